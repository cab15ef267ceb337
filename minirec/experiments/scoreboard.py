"""The scoreboard of the papers' claims as Markdown: short in the README, whole in docs/."""

import re
from pathlib import Path

import pandas as pd

from minirec.errors import printable_path
from minirec.experiments.claims import PAPERS, VERDICTS, judged_claims
from minirec.experiments.references import protocol_in_words, references
from minirec.experiments.tables import markdown_rows
from minirec.storage import atomic_write

# What stands between the two marks in the README.
SCOREBOARD = re.compile(
    "(?<=<!-- scoreboard -->\n).*(?=<!-- end of scoreboard -->)", flags=re.DOTALL
)

DECIDED = ("confirmed", "contradicted")

HOW_IT_IS_DECIDED = """\
Every verdict is computed from the run records by `python -m minirec reproduce --claims`; none is
typed. It says what this project's runs say, no more.

**Claims of order** ("ahead of") compare two finished runs: training ended because the valid metric
had stopped improving. A run that its budget ended never decides. Both sides have the paper's sizes,
were chosen and are judged under the paper's protocol (GLINT-RU: among 100 negatives drawn by
popularity; RecBLR: full ranking), stand on the same copy of the data with the same order of ties in
time, and were trained with the same settings, which need not be the paper's.

The interval is one of 95%. From two seeds on each side on it is Welch's t-interval over the seeds.
With fewer it is over users: as if both systems had been judged on users of their own, with the
largest variance that the recorded means allow. Both systems are judged on the same users, so this
interval is wider than a paired one and errs towards "undecided"; of what another seed would give
it knows nothing. *Confirmed* means that the interval lies wholly on the claim's side,
*contradicted* wholly on the other, *undecided* that it holds 0. A claim about several pairs is
confirmed only if every pair is, and contradicted if one is. Where a pair was compared in several
orders of ties, it needs the same verdict in all of them.

**Claims of cost** are judged by ratios of medians within one benchmark on one device, the spread
being that between opposite quartiles; the device stands beside the verdict. The papers measured on
GPUs, with their own kernels. A verdict from a CPU is about this module's implementations there: it
shows what a user without a GPU meets, and does not refute a figure that was measured on a GPU.
"""


def counts(claims: pd.DataFrame) -> pd.DataFrame:
    """Count the claims of each paper by their verdict.

    Parameters
    ----------
    claims : DataFrame
        From `judged_claims`.

    Returns
    -------
    DataFrame
        A row for each verdict, a column for each paper.
    """
    table = pd.crosstab(claims["verdict"], claims["paper"])
    table = table.reindex(index=list(VERDICTS), columns=list(PAPERS), fill_value=0)
    table.columns.name = None
    return table.reset_index()


def readme_section(claims: pd.DataFrame) -> str:
    """Write the counts and the decided claims as Markdown.

    Parameters
    ----------
    claims : DataFrame
        From `judged_claims`.

    Returns
    -------
    str
        For a page in the folder that holds data/ and docs/.
    """
    decided = claims[claims["verdict"].isin(DECIDED)]
    lines = [
        *markdown_rows(counts(claims)),
        "",
        "Decided so far, by records one click away. A claim about several pairs needs them all; "
        "the figures of each pair and how a verdict comes about stand in "
        "[docs/scoreboard.md](docs/scoreboard.md). A verdict with a device beside it is about the "
        "cost of this module's implementations on that device; the papers measured on GPUs.",
        "",
    ]
    if len(decided):
        lines += [*markdown_rows(_short_rows(decided, "data/results")), ""]
    return "\n".join(lines)


def page(claims: pd.DataFrame) -> str:
    """Write every claim with its verdict, figures and evidence as Markdown.

    Parameters
    ----------
    claims : DataFrame
        From `judged_claims`.

    Returns
    -------
    str
        For docs/scoreboard.md.
    """
    lines = [
        "# Scoreboard: what the papers claim, and what our records say",
        "",
        HOW_IT_IS_DECIDED,
        *markdown_rows(counts(claims)),
        "",
    ]
    for paper in PAPERS:
        rows = _full_rows(claims[claims["paper"] == paper], "../data/results")
        lines += [f"## {paper}", "", *markdown_rows(rows), ""]
    lines += _reference_lines()
    return "\n".join(lines)


def _short_rows(claims: pd.DataFrame, folder: str) -> pd.DataFrame:
    """Return the columns of the README's table."""
    return pd.DataFrame(
        {
            "claim": claims["claim"],
            "place": claims["paper"] + ", " + claims["place"],
            "verdict": _verdicts(claims),
            "evidence": [_links(files, folder) for files in claims["evidence"]],
        }
    )


def _full_rows(claims: pd.DataFrame, folder: str) -> pd.DataFrame:
    """Return the columns of the page's tables."""
    return pd.DataFrame(
        {
            "id": claims["id"],
            "place": claims["place"],
            "claim": claims["claim"],
            "verdict": _verdicts(claims),
            "what the records say": ["<br>".join(said) for said in claims["said"]],
            "evidence": [_links(files, folder) for files in claims["evidence"]],
        }
    )


def _verdicts(claims: pd.DataFrame) -> list[str]:
    """Return the verdicts, those on costs with the device that they hold for."""
    verdicts = []
    for verdict, device in zip(claims["verdict"], claims["measured_on"], strict=True):
        verdicts.append(f"**{verdict}** (on {device})" if device else f"**{verdict}**")
    return verdicts


def _links(files: list[str], folder: str) -> str:
    """Return a link to each file of the records."""
    return ", ".join(f"[{Path(file).stem}]({folder}/{file})" for file in files)


def _reference_lines() -> list[str]:
    """Return the published results under full ranking, a table for each protocol."""
    lines = [
        "## Published results under full ranking, by protocol",
        "",
        "HR@10 (recall) and NDCG@10 on test, as their sources print them. Whether items already "
        "seen stay among the candidates, which users and items are left after filtering, and the "
        "order of events of the same time change every figure: **never rank rows of different "
        "tables**.",
        "",
    ]
    for _, group in references().groupby("group"):
        shown = group.drop(columns=["group", "data", "seen items", "filtering", "ties"])
        for metric in ("recall", "ndcg"):
            shown[metric] = [f"{value:.4f}" for value in shown[metric]]
        lines += [f"**{protocol_in_words(group)}**", "", *markdown_rows(shown), ""]
    return lines


def write_scoreboard(readme: str | Path, out: str | Path) -> None:
    """Write the scoreboard into a README, and the whole of it into docs/scoreboard.md beside it.

    Parameters
    ----------
    readme : str or Path
        The file; what stands between its lines <!-- scoreboard --> and <!-- end of scoreboard -->
        is replaced, nothing else.
    out : str or Path
        The folder of the records; the claims lie beside it.

    Raises
    ------
    ValueError
        Where one of the two lines is missing, before anything is written; and see `judged_claims`.
    """
    text = Path(readme).read_text(encoding="utf-8")
    found = SCOREBOARD.search(text)
    if found is None:
        raise ValueError(
            f"{printable_path(readme)} has no lines <!-- scoreboard --> and "
            "<!-- end of scoreboard --> to write between; add them where the scoreboard belongs."
        )
    claims = judged_claims(out)
    written = text[: found.start()] + readme_section(claims) + text[found.end() :]
    whole = Path(readme).parent / "docs" / "scoreboard.md"
    whole.parent.mkdir(exist_ok=True)
    for path, content in ((readme, written), (whole, page(claims))):
        with atomic_write(path) as file:
            file.write(content.encode())
