"""Markdown that is written from records: tables, and sections of a page between two marks."""

import re
from pathlib import Path
from typing import Any

import pandas as pd

from minirec.errors import printable_path
from minirec.storage import atomic_write


def markdown_rows(table: pd.DataFrame) -> list[str]:
    """Return a frame as lines of a Markdown table, its index left out.

    Parameters
    ----------
    table : DataFrame
        Its values as they are to be shown.

    Returns
    -------
    list of str
        The names of the columns, a rule, and a line for each row.
    """
    lines = [_markdown_row(table.columns), "|" + "---|" * len(table.columns)]
    lines += [_markdown_row(row) for row in table.to_numpy(dtype=object)]
    return lines


def _markdown_row(cells: Any) -> str:
    """Return one line of a Markdown table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def between_marks(name: str) -> re.Pattern[str]:
    """Return the pattern of what a page has between <!-- name --> and <!-- end of name -->.

    Parameters
    ----------
    name : str
        The section's name, as the two marks have it.

    Returns
    -------
    re.Pattern
        It matches the lines between the marks, not the marks themselves.
    """
    return re.compile(
        f"(?<=<!-- {name} -->\n).*(?=<!-- end of {name} -->)",
        flags=re.DOTALL,
    )


def with_section(page: str | Path, name: str, section: str) -> str:
    """Return a page's text with another section between its two marks.

    Parameters
    ----------
    page : str or Path
        The file, which is only read.
    name : str
        The section's name, as the two marks have it.
    section : str
        What is to stand between the marks: whole lines.

    Returns
    -------
    str
        All else as it was.

    Raises
    ------
    ValueError
        Where one of the two marks is missing.
    """
    text = Path(page).read_text(encoding="utf-8")
    found = between_marks(name).search(text)
    if found is None:
        raise ValueError(
            f"{printable_path(page)} has no lines <!-- {name} --> and <!-- end of {name} --> to "
            "write between; add them where the section belongs."
        )
    return text[: found.start()] + section + text[found.end() :]


def write_short_and_whole(readme: str | Path, name: str, section: str, page: str) -> None:
    """Write a section into a README, and the page that it is short for into docs/ beside it.

    Parameters
    ----------
    readme : str or Path
        The file; what stands between its marks <!-- name --> and <!-- end of name --> is replaced,
        nothing else.
    name : str
        Of the section; the page is docs/name.md.
    section, page : str
        What is written, whole lines.

    Raises
    ------
    ValueError
        Where one of the two marks is missing; nothing is written then.
    """
    written = with_section(readme, name, section)
    whole = Path(readme).parent / "docs" / f"{name}.md"
    whole.parent.mkdir(exist_ok=True)
    for path, content in ((Path(readme), written), (whole, page)):
        with atomic_write(path) as file:
            file.write(content.encode())
