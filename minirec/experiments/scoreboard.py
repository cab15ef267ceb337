"""The scoreboard of the papers' claims as Markdown: short in the README, whole in docs/."""

from pathlib import Path

import pandas as pd

from minirec.experiments.claims import KINDS, PAPERS, VERDICTS, judged_claims
from minirec.experiments.markdown import between_marks, markdown_rows, write_short_and_whole
from minirec.experiments.references import protocol_in_words, references

SCOREBOARD = between_marks("scoreboard")

DECIDED = ("confirmed", "contradicted")

MEANINGS = {
    "confirmed": "our records say the same of every pair compared, beyond the spread",
    "contradicted": "our records say the opposite of at least one pair, beyond the spread",
    "undecided": "for at least one pair the difference is within the spread",
    "untested": "a run or a benchmark that it needs has no record yet, or did not finish",
    "untestable here": "it needs data or options that this project does not have",
}

# What the kinds of claims are about, in the order in which they are shown.
SUBJECTS = {
    "quality of recommendations": ("ahead",),
    "time and memory": tuple(kind for kind in KINDS if kind not in ("ahead", "none")),
}

# What a reader of the decided claims' figures has to know.
HOW_TO_READ = {
    "quality of recommendations": "Each difference stands with its 95% interval. Both systems were "
    "trained with the same settings, which need not be the paper's.",
    "time and memory": "A ratio below 1 means that the system named first costs less. The papers "
    "measured on GPUs; a verdict here holds for this module's implementations on the device that "
    "is named.",
}

HOW_IT_IS_DECIDED = """\
**Quality of recommendations** ("ahead of", "worse without"). Two finished runs are compared:
training ended because the metric on the validation users had stopped improving. A run that its
budget ended never decides. Both runs have the paper's sizes, were chosen and are judged under the
paper's protocol (GLINT-RU: among 100 negatives drawn by popularity; RecBLR: full ranking), use the
same copy of the data with the same order of ties in time, and were trained with the same settings,
which need not be the paper's.

The interval is one of 95%. With at least two seeds on each side it is Welch's t-interval over the
seeds. With fewer it is over users: as if both systems had been judged on separate users, with the
largest variance that the recorded means allow. In fact both are judged on the same users, so this
interval is wider than a paired one and errs towards "undecided". It says nothing about what another
seed would give. *Confirmed* means that the interval lies wholly on the claim's side, *contradicted*
wholly on the other side, *undecided* that it contains 0. A claim about several pairs is confirmed
only if every pair is, and contradicted if one is. Where a pair was compared in several orders of
ties, it needs the same verdict in all of them.

**Time and memory.** Each figure is a ratio of medians within one benchmark on one device. In
brackets stand the lower quartile of the first system over the upper quartile of the second, and the
upper over the lower. Memory is counted and has no spread. Growth with the length N is given as the
exponent: 1 is linear, 2 quadratic, and 1.5 the boundary. The papers measured on GPUs, with their
own kernels. A verdict from a CPU is about this module's implementations there: it shows what a user
without a GPU gets, and does not refute a figure that was measured on a GPU.
"""

ABOUT_REFERENCES = (
    "HR@10 (recall) and NDCG@10 on test, as their sources print them. Three things change every "
    "figure: whether items already seen stay among the candidates, which users and items are left "
    "after filtering, and the order of events of the same time. **Never rank rows of different "
    "tables.** *Not known* means that the source does not say, *not read* that we have not looked."
)


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


def counts_by_subject(claims: pd.DataFrame) -> pd.DataFrame:
    """Count the claims of both papers by what they are about and by their verdict.

    Parameters
    ----------
    claims : DataFrame
        From `judged_claims`.

    Returns
    -------
    DataFrame
        A row for each of SUBJECTS, a column for each verdict; claims that cannot be tested here
        are left out.
    """
    subject_of = {kind: subject for subject, kinds in SUBJECTS.items() for kind in kinds}
    subjects = claims["kind"].map(subject_of).rename("about")
    table = pd.crosstab(subjects, claims["verdict"])
    verdicts = [verdict for verdict in VERDICTS if verdict != "untestable here"]
    table = table.reindex(index=list(SUBJECTS), columns=verdicts, fill_value=0)
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
    lines = [
        *markdown_rows(counts(claims)),
        "",
        "What a verdict means, the figures behind each, and the claims that are not decided are in "
        "[docs/scoreboard.md](docs/scoreboard.md). Verdicts on time and memory hold for this "
        "module's implementations on the device that is named; the papers measured on GPUs.",
        "",
    ]
    decided = claims[claims["verdict"].isin(DECIDED)]
    for subject, rows in _by_subject(decided):
        table = _rows(rows, "data/results", with_figures=False)
        lines += [f"**{subject.capitalize()}**", "", *markdown_rows(table), ""]
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
        For docs/scoreboard.md: the counts first, then the decided claims, those that are not, how a
        verdict is reached, and what others have published.
    """
    decided = claims["verdict"].isin(DECIDED)
    meanings = counts(claims)
    meanings["meaning"] = meanings["verdict"].map(MEANINGS)
    lines = [
        "# Scoreboard: what the papers claim, and what our records say",
        "",
        f"This page lists {len(claims)} claims of the papers on GLINT-RU and RecBLR, and judges "
        f"each by this project's own run records. {decided.sum()} of them are decided so far, "
        f"{(claims['verdict'] == 'untested').sum()} are untested. The claims are typed in "
        "[data/claims.csv](../data/claims.csv); the verdicts are computed by "
        "`python -m minirec reproduce --claims`.",
        "",
        *markdown_rows(meanings),
        "",
        "The same claims by what they are about, without those that cannot be tested here:",
        "",
        *markdown_rows(counts_by_subject(claims)),
        "",
        "## Decided",
        "",
    ]
    for subject, rows in _by_subject(claims[decided]):
        table = _rows(rows, "../data/results", with_figures=True)
        lines += [f"### {subject.capitalize()}", "", HOW_TO_READ[subject], ""]
        lines += [*markdown_rows(table), ""]
    lines += ["## Not decided", ""]
    for paper in PAPERS:
        rows = claims[~decided & (claims["paper"] == paper)]
        lines += [f"### {paper}", "", *markdown_rows(_open_rows(rows)), ""]
    lines += ["## How a verdict is reached", "", HOW_IT_IS_DECIDED]
    lines += _reference_lines()
    return "\n".join(lines)


def _by_subject(claims: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return the claims about each of SUBJECTS that has any."""
    found = []
    for subject, kinds in SUBJECTS.items():
        rows = claims[claims["kind"].isin(kinds)]
        if len(rows):
            found.append((subject, rows))
    return found


def _rows(claims: pd.DataFrame, folder: str, with_figures: bool) -> pd.DataFrame:
    """Return decided claims as a table: with their figures on the page, without in the README.

    folder : of the records, as a link from the page names it.
    """
    place = claims["paper"] + ", " + claims["place"]
    verdicts = [f"**{verdict}**" for verdict in claims["verdict"]]
    if not with_figures:
        table = pd.DataFrame({"claim": claims["claim"], "place": place, "verdict": verdicts})
    else:
        # One column less, so that there is room for the figures.
        claims_and_places = claims["claim"] + " *(" + place + ")*"
        table = pd.DataFrame({"claim": claims_and_places, "verdict": verdicts})
        table["what the records say"] = ["<br>".join(said) for said in claims["said"]]
    if (claims["measured_on"] != "").any():
        table["measured on"] = claims["measured_on"]
    table["evidence"] = [_links(files, folder) for files in claims["evidence"]]
    return table


def _open_rows(claims: pd.DataFrame) -> pd.DataFrame:
    """Return claims that are not decided as a table, each with what is missing."""
    return pd.DataFrame(
        {
            "claim": claims["claim"],
            "place": claims["place"],
            "verdict": claims["verdict"],
            "why": ["; ".join(said) for said in claims["said"]],
        }
    )


def _links(files: list[str], folder: str) -> str:
    """Return a link to each file of the records."""
    return ", ".join(f"[{Path(file).stem}]({folder}/{file})" for file in files)


def _reference_lines() -> list[str]:
    """Return the published results under full ranking, a table for each protocol."""
    lines = [
        "## Published results under full ranking, by protocol",
        "",
        ABOUT_REFERENCES,
        "",
    ]
    for _, group in references().groupby("group"):
        shown = group.drop(columns=["group", "data", "seen items", "filtering", "ties"])
        for metric in ("recall", "ndcg"):
            shown[metric] = [f"{value:.4f}" for value in shown[metric]]
        shown = shown.rename(columns={"n_items": "items"})
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
    claims = judged_claims(out)
    write_short_and_whole(readme, "scoreboard", readme_section(claims), page(claims))
