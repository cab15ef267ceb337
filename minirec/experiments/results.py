"""The results as Markdown, from run records: short in the README, whole in docs/results.md."""

import math
from pathlib import Path

import pandas as pd

from minirec.experiments.markdown import between_marks, markdown_rows, write_short_and_whole
from minirec.experiments.orders import cells_of_orders, leads_by_order, table_of_orders
from minirec.experiments.recblr import PAPER, units_of_table
from minirec.experiments.records import load_records
from minirec.experiments.tables import METRICS, beside_paper
from minirec.experiments.units import DATA, EARLIER, recorded, units

RESULTS = between_marks("results")
SEEDS = range(10)  # whichever of these have a record are averaged

# What `settings.select` of a record means: the ranking whose NDCG on valid chose the best epoch.
CHOSEN_BY = {"popular-100": "100 popular negatives", "full": "full ranking"}

# The rankings of all items, by what becomes of those that the user has seen.
RANKINGS_IN_WORDS = {
    "full": "kept",
    "full-unseen": "left out",
    "full-unseen-window": "left out as far as the system read them",
}

# --- The texts ---------------------------------------------------------------------------------

ABOUT_THE_README = (
    "Each entry is NDCG@10 on the test users, ours / the paper's. Ours is the mean over the seeds "
    "run so far. **Bold** is the best finished run of its column. A run in (brackets) reached the "
    "end of its budget of time or epochs before it had converged, and is not ranked. A dash means "
    "not run, or not printed. Recall, MRR, the number of seeds, the same runs under full ranking "
    "and RecBLR's ablations are in [docs/results.md](docs/results.md)."
)

ABOUT_LEADS = (
    "RecBLR's NDCG@10 less that of another system, from the runs above. *Printed* is the "
    "difference in its paper. A lead in one order of ties alone is a lead in guessing that order."
)

ABOUT_SEEN = (
    "NDCG@10 of the same runs, by what becomes of the items that a user has seen before: RecBLR's "
    "paper keeps them among the candidates, many others leave them out, and LRURec's code leaves "
    "out those that the system has read. Figures in different columns are not comparable."
)

ABOUT_THE_PAGE = """\
All figures are computed from the [run records](../data/results) by
`python -m minirec reproduce --readme README.md`; none is typed.

- **Metrics** are Recall, MRR and NDCG at 10 on the test users, one target for each user
  (leave-one-out). Where a cell has two figures, they are *ours / the paper's*; "-" means that the
  paper prints none.
- **Ranking.** GLINT-RU's paper ranks the target among 100 negatives drawn by popularity, RecBLR's
  among all items ("full ranking"), those that the user has seen included. The figures of the two
  rankings are not comparable.
- **Ties** are interactions of one user at the same time. In the column *ties* they stand in the
  order of the source file ("file"), in that of the items' ids ("id"), or at random ("random" and
  the seed). The order decides which item is the target, so rows that differ in it are not
  comparable.
- **Finished** means that training ended because NDCG@10 on the validation users had stopped
  improving. A run that reached the end of its budget of time or epochs before is listed apart, and
  is not ranked.
- **Seeds** counts the runs that a row is the mean of.
- **Data.** "ml-1m" has every user and film of MovieLens-1M; "ml-1m, 5-core" only those with at
  least five ratings, as in RecBLR's paper. In RecBLR's tables below "ml-1m" is this 5-core too.
"""

CUT_SHORT = "Stopped by their budget of time or epochs, and so not ranked:"

ABOUT_EARLIER = (
    "*ml-1m, 5-core, ties by movie id*: the histories hold the same films, but those rated in the "
    "same second stand in the order of their numbers, not of the source file. That changes which "
    "film is asked for, so these rows are not comparable with any other row on MovieLens."
)

ABOUT_ORDERS = (
    "NDCG@10 on test among all items, at RecBLR's settings, one seed of training each. The columns "
    "differ only in the order of what a user chose at the same time: that of the source file, that "
    "of the items' ids, or one drawn at random."
)

NOTHING_YET = "None of these runs has a record yet."


# --- The README --------------------------------------------------------------------------------


def readme_section(out: str | Path) -> str:
    """Write the README's section of results.

    Parameters
    ----------
    out : str or Path
        The folder of the records; those at RecBLR's settings lie in its folder "recblr".

    Returns
    -------
    str
        NDCG@10 of every system beside GLINT-RU's Table 2 and RecBLR's Table 1, a row for each
        system; and what the order of ties does on Beauty.

    Raises
    ------
    ValueError
        Where there is no record.
    """
    load_records(out)  # raises where there is none
    own = Path(out) / PAPER
    table_2 = beside_paper(units(2, seeds=SEEDS), out, 2)
    table_1 = beside_paper(units_of_table(1, seeds=SEEDS), own, 1, of="recblr")
    orders = table_of_orders(cells_of_orders(), own)
    lines = [
        ABOUT_THE_README,
        "",
        "**GLINT-RU's Table 2**, among 100 negatives drawn by popularity:",
        "",
        *_side_by_side(table_2),
        "**RecBLR's Table 1**, among all items:",
        "",
        *_side_by_side(table_1),
        f"**The order of ties in time**, on Beauty. {ABOUT_ORDERS}",
        "",
        *_orders(orders[orders["data"] == "beauty"]),
    ]
    return "\n".join(lines)


def _side_by_side(table: pd.DataFrame) -> list[str]:
    """Return NDCG of `beside_paper`: a row for each system, a column for each data set."""
    was_run = table[table["n_seeds"] > 0]
    if was_run.empty:
        return [NOTHING_YET, ""]

    shown = pd.DataFrame({"system": was_run["system"].unique()})
    for data, rows in was_run.groupby("data", sort=False):
        entries = {row["system"]: _entry(row, rows) for row in rows.to_dict("records")}
        title = f"{data} (ties: {rows['ties'].iloc[0]})"
        shown[title] = [entries.get(system, "-") for system in shown["system"]]

    lines = [*markdown_rows(shown), ""]
    never_run = [data for data in table["data"].unique() if data not in set(was_run["data"])]
    if never_run:
        lines += [f"No system has been run yet on {_listed(never_run)}.", ""]
    return lines


def _entry(row: dict[str, float], rows: pd.DataFrame) -> str:
    """Return one figure, ours / the paper's: bold if the best finished, in brackets if cut short.

    row : a row of `beside_paper`; rows : all those of its data set that were run.
    """
    ours = f"{row['ndcg']:.4f}"
    finished = rows.loc[rows["ended"] == "converged", "ndcg"]
    if row["ended"] != "converged":
        ours = f"({ours})"
    elif len(finished) > 1 and row["ndcg"] == finished.max():
        ours = f"**{ours}**"
    return f"{ours} / {_figure(row['paper ndcg'])}"


# --- The page ----------------------------------------------------------------------------------


def page(out: str | Path) -> str:
    """Write docs/results.md.

    Parameters
    ----------
    out : str or Path
        The folder of the records; those at RecBLR's settings lie in its folder "recblr".

    Returns
    -------
    str
        GLINT-RU's Table 2 beside ours, and the same runs under full ranking; RecBLR's Tables 1 and
        3 beside ours; and what the order of ties does. Runs that ended on their budget stand apart,
        and runs on an earlier order of the data in rows of their own.

    Raises
    ------
    ValueError
        Where there is no record.
    """
    load_records(out)  # raises where there is none
    own = Path(out) / PAPER
    with_earlier = [*DATA, *EARLIER]
    table_2 = beside_paper(units(2, data=with_earlier, seeds=SEEDS), out, 2)
    table_1 = beside_paper(units_of_table(1, seeds=SEEDS), own, 1, of="recblr")
    table_3 = beside_paper(units_of_table(3, seeds=SEEDS), own, 3, of="recblr")
    orders = table_of_orders(cells_of_orders(), own)
    sections = {
        "GLINT-RU's Table 2: among 100 negatives drawn by popularity": _beside(table_2),
        "The same runs, and RecBLR's of lesson 13, under full ranking": _full_ranking(out),
        "RecBLR's Table 1: under full ranking": _beside(table_1),
        "RecBLR's Table 3: without one of its parts, under full ranking": _beside(table_3),
        "The order of ties in time": [ABOUT_ORDERS, "", *_orders(orders)],
        "What is left of RecBLR's lead in each order": [ABOUT_LEADS, "", *_leads(orders)],
        "Seen items kept among the candidates, and left out": [
            ABOUT_SEEN,
            "",
            *_seen_items(orders),
        ],
    }
    lines = ["# Results: our runs beside the papers'", "", ABOUT_THE_PAGE + _devices(out), ""]
    if (table_2["data"].isin(list(EARLIER)) & (table_2["n_seeds"] > 0)).any():
        lines += [ABOUT_EARLIER, ""]
    for title, section in sections.items():
        lines += [f"## {title}", "", *section]
    return "\n".join(lines)


def _devices(out: str | Path) -> str:
    """Return the last item of the page's list: what the runs were trained on."""
    own = Path(out) / PAPER
    frames = [load_records(folder) for folder in (Path(out), own) if any(folder.glob("*.json"))]
    devices = pd.concat(frames)["device"].dropna().unique()
    return f"- **Machines** that the records name: {_listed(sorted(devices))}."


def _beside(table: pd.DataFrame) -> list[str]:
    """Return `beside_paper` in three parts: finished, best first; cut short; not run."""
    was_run = table["n_seeds"] > 0
    finished = table["ended"] == "converged"
    lines = []
    if finished.any():
        lines += [*markdown_rows(_pairs(table[finished])), ""]
    cut_short = table[was_run & ~finished]
    if len(cut_short):
        lines += [CUT_SHORT, "", *markdown_rows(_pairs(cut_short)), ""]
    is_earlier = table["data"].isin(list(EARLIER))
    if (~was_run & ~is_earlier).any():
        lines += [_not_run(table[~is_earlier]), ""]
    return lines


def _pairs(table: pd.DataFrame) -> pd.DataFrame:
    """Return rows of `beside_paper`, best first, each metric as "ours / the paper's"."""
    table = table.sort_values(["data", "ndcg"], ascending=[True, False])
    name = table.columns[0]  # "system" or "variant"
    shown = table[["data", "ties", name]].copy()
    for metric, title in METRICS.items():
        both = zip(table[metric], table[f"paper {metric}"], strict=True)
        shown[title] = [f"{ours:.4f} / {_figure(printed)}" for ours, printed in both]
    shown["seeds"] = table["n_seeds"]
    return shown


def _not_run(table: pd.DataFrame) -> str:
    """Return the rows of `beside_paper` that were not run as one sentence."""
    was_run = set(table.loc[table["n_seeds"] > 0, "data"])
    missing = table[table["n_seeds"] == 0].groupby("data", sort=False)[table.columns[0]]
    parts = []
    for data, names in missing:
        which = _listed(list(names)) if data in was_run else "every row"
        parts.append(f"{which} on {data}")
    return f"Not run yet: {'; '.join(parts)}."


def _full_ranking(out: str | Path) -> list[str]:
    """Return the metrics under full ranking of GLINT-RU's table and of RecBLR's best settings."""
    with_earlier = [*DATA, *EARLIER]
    found = recorded([*units(2, data=with_earlier), *units(data=with_earlier)], out)
    rows = []
    for unit, record in found:
        row = {
            "data": unit.paper_data,
            "ties": unit.order,
            "system": unit.row,
            "best epoch chosen by": CHOSEN_BY[unit.settings["select"]],
        }
        for metric, title in METRICS.items():
            row[title] = f"{record[f'metrics.test.full.{metric}']:.4f}"
        rows.append(row | {"ended": record["ended"]})
    if not rows:
        return [NOTHING_YET, ""]

    table = pd.DataFrame(rows).sort_values(["data", "NDCG"], ascending=[True, False])
    finished = table["ended"] == "converged"
    shown = table.drop(columns="ended")
    lines = []
    if finished.any():
        lines += [*markdown_rows(shown[finished]), ""]
    if not finished.all():
        lines += [CUT_SHORT, "", *markdown_rows(shown[~finished]), ""]

    has_record = [unit for unit, _ in found]
    to_run = [unit.paper_data for unit in units() if unit not in has_record]
    if to_run:
        lines += [f"Not run yet: RecBLR, chosen by full ranking, on {_listed(to_run)}.", ""]
    return lines


# --- Both --------------------------------------------------------------------------------------


def _orders(table: pd.DataFrame) -> list[str]:
    """Return finished runs of `table_of_orders`: a row for each system, a column for each order."""
    finished = table[table["ended"] == "converged"]
    if finished.empty:
        return [NOTHING_YET, ""]
    ndcg = finished.pivot_table(
        index=["data", "system"], columns="ties", values="ndcg full", observed=True
    )
    shown = ndcg.map(_figure).reset_index()
    shown.columns.name = None
    lines = [*markdown_rows(shown), ""]
    if len(finished) < len(table):
        lines += [f"{len(finished)} of these {len(table)} runs have finished so far.", ""]
    return lines


def _leads(table: pd.DataFrame) -> list[str]:
    """Return the rows of `leads_by_order` that have a lead of ours."""
    leads = leads_by_order(table)
    figures = leads.columns[2:]
    ours = [column for column in figures if column != "printed"]
    leads = leads[leads[ours].notna().any(axis=1)]
    if leads.empty:
        return [NOTHING_YET, ""]
    leads[figures] = leads[figures].map(_signed)
    return [*markdown_rows(leads), ""]


def _seen_items(table: pd.DataFrame) -> list[str]:
    """Return finished runs of `table_of_orders` under each of FULL_RANKINGS."""
    finished = table[table["ended"] == "converged"]
    if finished.empty:
        return [NOTHING_YET, ""]
    shown = finished[["data", "system", "ties"]].copy()
    for ranking, title in RANKINGS_IN_WORDS.items():
        shown[title] = finished[f"ndcg {ranking}"].map(_figure)
    return [*markdown_rows(shown), ""]


def _signed(value: float) -> str:
    """Return a difference as it is shown, "-" where there is none."""
    return "-" if math.isnan(value) else f"{value:+.4f}"


def _figure(value: float) -> str:
    """Return a metric as it is shown, "-" where there is none."""
    return "-" if math.isnan(value) else f"{value:.4f}"


def _listed(names: list[str]) -> str:
    """Return names as a sentence lists them; names that hold a comma stay apart."""
    separator = "; " if any("," in name for name in names) else ", "
    return separator.join(names)


def write_results(readme: str | Path, out: str | Path) -> None:
    """Write the results into a README, and the whole of them into docs/results.md beside it.

    Parameters
    ----------
    readme : str or Path
        The file; what stands between its lines <!-- results --> and <!-- end of results --> is
        replaced, nothing else.
    out : str or Path
        The folder of the records.

    Raises
    ------
    ValueError
        Where one of the two lines is missing, or where there is no record; nothing is written then.
    """
    write_short_and_whole(readme, "results", readme_section(out), page(out))
