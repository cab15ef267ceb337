"""Text of a drawing: numbers as SVG writes them, and lines of text with mathematics in them."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from typing import NamedTuple

INDEX_SCALE = 0.78  # of a subscript or superscript
INDEX_SHIFT = 0.28  # how far it moves down or up, in sizes of the text around it

SUBSCRIPT = -1
SUPERSCRIPT = 1

INDEX = re.compile(r"([_^])(\{[^{}]*\}|[^{}])")
LETTERS = re.compile(r"([^\W\d_][\u0300-\u036f]*)+")


class Span(NamedTuple):
    """A piece of text that is set in one way."""

    text: str
    italic: bool
    level: int  # 0 on the line, -1 a subscript, 1 a superscript


def spans(text: str) -> list[Span]:
    """Cut a line of text into pieces that are set alike.

    Parameters
    ----------
    text : str
        Between dollars, letters are italic, and _ and ^ lower or raise the next character, or the
        next group in braces: "the state $h_{t-1}$".

    Returns
    -------
    list of Span
        From left to right.

    Raises
    ------
    ValueError
        If a dollar is left over.
    """
    parts = text.split("$")
    if len(parts) % 2 == 0:
        raise ValueError(f"{text!r} has a dollar too many or too few: they come in pairs.")
    found = []
    for number, part in enumerate(parts):
        if number % 2 == 1:
            found += _mathematics(part)
        elif part:
            found.append(Span(part, italic=False, level=0))
    return found


def _mathematics(text: str) -> list[Span]:
    """Cut a formula into pieces that are set alike; a hyphen becomes a minus sign."""
    text = text.replace("-", "−")
    found = []
    end = 0
    for index in INDEX.finditer(text):
        found += _italic_letters(text[end : index.start()], level=0)
        level = SUBSCRIPT if index.group(1) == "_" else SUPERSCRIPT
        found += _italic_letters(index.group(2).strip("{}"), level)
        end = index.end()
    return found + _italic_letters(text[end:], level=0)


def _italic_letters(text: str, level: int) -> list[Span]:
    """Cut a formula's piece where letters begin and end."""
    found = []
    end = 0
    for letters in LETTERS.finditer(text):
        if letters.start() > end:
            found.append(Span(text[end : letters.start()], italic=False, level=level))
        found.append(Span(letters.group(), italic=True, level=level))
        end = letters.end()
    if end < len(text):
        found.append(Span(text[end:], italic=False, level=level))
    return found


def fill_line(element: ElementTree.Element, line: str, size: float) -> None:
    """Put a line of text into its element, in pieces if they are set differently."""
    pieces = spans(line)
    if all(not piece.italic and piece.level == 0 for piece in pieces):
        element.text = line
        return
    # Without this some programs drop the spaces where a piece begins or ends.
    element.set("xml:space", "preserve")
    level = 0
    for piece in pieces:
        # dy moves this piece and all that follow, so each piece moves from where the last one was.
        step = (level - piece.level) * INDEX_SHIFT * size
        level = piece.level
        moved = as_attributes(
            {
                "dy": step if step else None,
                "font_size": INDEX_SCALE * size if piece.level else None,
                "font_style": "italic" if piece.italic else None,
            }
        )
        ElementTree.SubElement(element, "tspan", moved).text = piece.text


def as_attributes(given: Mapping[str, float | str | None]) -> dict[str, str]:
    """Return attributes as SVG writes them, without those that are None."""
    written = {}
    for name, value in given.items():
        if value is None:
            continue
        text = value if isinstance(value, str) else as_number(value)
        written[name.replace("_", "-")] = text
    return written


def as_number(value: float) -> str:
    """Return a number with two decimals at most, the same on every machine."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
