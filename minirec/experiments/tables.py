"""The papers' tables out of run records, ours beside the papers' (notebook 12)."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from minirec.data.datasets import find_file, load_dataset
from minirec.experiments.records import load_records
from minirec.experiments.units import DATA, EARLIER, SYSTEMS, Unit, recorded, units
from minirec.storage import atomic_write

METRICS = {"recall": "Recall", "mrr": "MRR", "ndcg": "NDCG"}

# What stands between the two marks in the README.
RESULTS = re.compile("(?<=<!-- results -->\n).*(?=<!-- end of results -->)", re.DOTALL)

ABOUT_EARLIER = (
    "*ml-1m, 5-core, ties by movie id*: the histories hold the same films, but those rated in the "
    "same second stand in the order of their numbers, not of the source file. That changes which "
    "film is asked for, so these rows are not comparable with any other row on MovieLens."
)

# Which data set of the paper has this d and N. Video Games has those of Beauty.
PAPER_SIZES = {(64, 100): "beauty", (128, 200): "ml-1m"}


@dataclass(frozen=True)
class Timing:
    """What is compared of one of our benchmarks and one column of Table 3."""

    case: str  # the cases compared are those whose titles begin so
    ours: str  # our column
    paper: str  # the paper's column


# The benchmarks behind Table 3.
TIMED = {
    "train": Timing("epoch", ours="seconds", paper="epoch_s"),
    "inference": Timing("reading", ours="seconds", paper="inference_ms"),
    "memory": Timing("training step, a sample", ours="mib", paper="memory_gib"),
}


def paper(table: int) -> pd.DataFrame:
    """Return what the paper prints: GLINT-RU's Table 1, 2, 3 or 4.

    Parameters
    ----------
    table : int
        The table's number.

    Returns
    -------
    DataFrame
        A row for each system (or variant) and data set, in the paper's units.
    """
    return pd.read_csv(Path(__file__).parent / "paper" / f"glint-ru-table-{table}.csv")


def beside_paper(todo: list[Unit], out: str | Path, table: int | None = None) -> pd.DataFrame:
    """Put our test metrics beside the paper's, under the protocol that chose the best epoch.

    Parameters
    ----------
    todo : list of Unit
        The runs that make the table; several seeds of a row become one row.
    out : str or Path
        The folder of the records.
    table : {2, 4}, optional
        The paper's table with the same rows; without one nothing printed stands beside ours.

    Returns
    -------
    DataFrame
        A row for each system (or variant) and data set. For each metric: ours (the mean over
        seeds), the paper's, and their difference. And:

        - n_seeds: 0 where it was not run.
        - ended: "converged", or "budget" if one seed ended so, or "not run".
        - interval: half the 95% interval of our mean NDCG over seeds, from two seeds on.
        - sigmas: the difference of Recall in standard errors, as if two separate draws of as
          many users were compared.
    """
    # A paper's table without rows still has the names of the columns.
    printed = paper(table) if table in (2, 4) else paper(2).head(0)
    keys = list(printed.columns[:2])  # "system" or "variant", and "data"

    # A row for each that was asked for, run or not, printed or not.
    asked = pd.DataFrame([(unit.row, unit.paper_data) for unit in todo], columns=keys)
    rows = asked.drop_duplicates(ignore_index=True)
    rows = rows.join(_mean_over_seeds(todo, out, keys), on=keys)
    rows = rows.join(printed.set_index(keys).add_prefix("paper "), on=keys)
    rows = rows.fillna({"n_seeds": 0, "ended": "not run"}).astype({"n_seeds": int})

    for metric in METRICS:
        rows[f"{metric} difference"] = rows[metric] - rows[f"paper {metric}"]

    # With one target per user, Recall is a share p of the users, of variance p (1 - p) / users;
    # the variance of a difference is the sum of two such.
    recall = rows["recall"]
    standard_error = np.sqrt(2 * recall * (1 - recall) / rows["users"])
    rows["sigmas"] = rows["recall difference"] / standard_error

    columns = [*keys, "n_seeds", "ended"]
    for metric in METRICS:
        columns += [metric, f"paper {metric}", f"{metric} difference"]
    return rows[[*columns, "interval", "sigmas"]]


def _mean_over_seeds(todo: list[Unit], out: str | Path, keys: list[str]) -> pd.DataFrame:
    """Return metrics, users, ended, n_seeds and interval of what was run, indexed by `keys`."""
    figures = [*METRICS, "users"]
    found = []
    for unit, record in recorded(todo, out):
        protocol = unit.settings["select"]  # the same for all units of a table
        entry = [unit.row, unit.paper_data, record["ended"]]
        entry += [record[f"metrics.test.{protocol}.{figure}"] for figure in figures]
        found.append(entry)

    frame = pd.DataFrame(found, columns=[*keys, "ended", *figures])
    frame = frame.astype(dict.fromkeys(figures, float))  # floats even if nothing was found
    runs = frame.groupby(keys)
    n_seeds = runs.size()

    means = runs[figures].mean()
    means["n_seeds"] = n_seeds
    means["ended"] = runs["ended"].min()  # "budget" comes before "converged" in the alphabet
    # Student's t: the interval of a mean whose deviation is estimated from the same few seeds.
    means["interval"] = stats.t.ppf(0.975, n_seeds - 1) * runs["ndcg"].sem()
    return means


def statistics_beside_paper(data_home: str | Path | None = None) -> pd.DataFrame:
    """Put our count of the data sets beside the paper's Table 1.

    Parameters
    ----------
    data_home : str or Path, optional
        Where data sets lie; see `load_dataset`. Data that are not on this machine are left out.

    Returns
    -------
    DataFrame
        A row for each data set; each count of ours, then the paper's, whose users and items count
        the padding id too.
    """
    printed = paper(1).set_index("data")
    counted = {}
    for name, setup in DATA.items():
        if find_file(setup.data, data_home=data_home) is not None:
            counted[name] = load_dataset(setup.data, data_home=data_home).statistics()

    ours = pd.DataFrame(list(counted.values()), index=list(counted), columns=printed.columns)
    table = ours.infer_objects().join(printed.add_prefix("paper "))

    columns = []
    for statistic in printed.columns:
        columns += [statistic, f"paper {statistic}"]
    return table[columns].rename_axis("data").reset_index()


def efficiency_beside_paper(out: str | Path, gpus: bool = False) -> pd.DataFrame:
    """Put our times and memory beside the paper's Table 3, as ratios to GLINT-RU.

    Parameters
    ----------
    out : str or Path
        The folder of the records; the benchmarks' lie in its folder "benchmarks", those of a GPU in
        a folder of their own in there.
    gpus : bool
        Show what was measured on GPUs too, after what was measured on the CPU.

    Returns
    -------
    DataFrame
        A row for each device, case and system: what was measured here (seconds or mib), its ratio
        to GLINT-RU's, and the same ratio in the paper, whose machine is another. Empty where
        nothing was measured.
    """
    folders = [Path(out) / "benchmarks"]
    if gpus:
        folders += sorted(path for path in folders[0].glob("*") if path.is_dir())
    rows = []
    for folder in folders:
        rows += _efficiency_in(folder)
    return pd.DataFrame(rows)


def _efficiency_in(folder: Path) -> list[dict[str, Any]]:
    """Return the rows of one device's records."""
    rows = []
    for benchmark, timing in TIMED.items():
        path = folder / f"{benchmark}.json"
        if path.exists():
            record = json.loads(path.read_text(encoding="utf-8"))
            for row in _ratios_beside_paper(pd.DataFrame(record["rows"]), timing):
                rows.append({"device": record["device"], **row})
    return rows


def _ratios_beside_paper(measured: pd.DataFrame, timing: Timing) -> list[dict[str, Any]]:
    """Return the rows of one benchmark: every system in every case that is compared."""
    paper_names = {model: name for name, model in SYSTEMS.items()} | {"lrurec": "LRURec"}
    printed = paper(3).set_index(["data", "system"])[timing.paper]
    paper_ratios = printed / printed.xs("GLINT-RU", level="system")

    compared = measured[measured["case"].str.startswith(timing.case)]
    rows = []
    for case, systems in compared.groupby("case", sort=False):
        paper_data = PAPER_SIZES.get(_sizes_in(str(case)))
        ours = systems.set_index("name")[timing.ours]
        for model, value in ours.items():
            paper_name = paper_names.get(model)
            rows.append(
                {
                    "case": case,
                    "system": paper_names.get(model, model),
                    timing.ours: value,
                    "ratio": value / ours["glint-ru"],
                    "paper ratio": paper_ratios.get((paper_data, paper_name), np.nan),
                }
            )
    return rows


def _sizes_in(case: str) -> tuple[int, int]:
    """Return d and N from a title such as "epoch, beauty, d = 64, N = 100"."""
    d_model = re.search(r"d = (\d+)", case)
    max_len = re.search(r"(?:N =|of) (\d+)", case)  # "reading 2,048 histories of 100, d = 64"
    if d_model is None or max_len is None:
        raise ValueError(f"the benchmark's case {case!r} does not name its d and N.")
    return int(d_model[1]), int(max_len[1])


def results_section(out: str | Path) -> str:
    """Write the results that are recorded as Markdown.

    Parameters
    ----------
    out : str or Path
        The folder of the records.

    Returns
    -------
    str
        Two tables: GLINT-RU's Table 2 beside ours, and the same runs under full ranking. Runs on an
        earlier order of the data stand in rows of their own.

    Raises
    ------
    ValueError
        Where there is no record.
    """
    load_records(out)  # raises where there is none
    shown = [*DATA, *EARLIER]
    table = beside_paper(units(2, data=shown, seeds=range(10)), out, 2)
    was_run = table["n_seeds"] > 0
    to_run = ~was_run & table["data"].isin(DATA)
    full_ranking = recorded([*units(2, data=shown), *units(data=shown)], out)
    was_recorded = [unit for unit, _ in full_ranking]
    own_to_run = [unit.paper_data for unit in units() if unit not in was_recorded]
    lines = [
        "**GLINT-RU's Table 2** (Recall, MRR and NDCG at 10 on test, among 100 negatives drawn "
        "by popularity; ours / the paper's):",
        "",
        *markdown_rows(_pairs(table[was_run])),
        "",
        _not_run(table[to_run]),
        "",
        "**Full ranking** of all items, on test, of the same runs and of RecBLR's own setting:",
        "",
        *markdown_rows(_full_ranking(full_ranking)),
        "",
    ]
    if own_to_run:
        lines += [f"Not run: RecBLR, chosen by full, on {', '.join(own_to_run)}.", ""]
    if any(unit.paper_data in EARLIER for unit, _ in full_ranking):
        lines += [ABOUT_EARLIER, ""]
    return "\n".join(lines)


def _pairs(table: pd.DataFrame) -> pd.DataFrame:
    """Return rows of `beside_paper`, best first, each metric as "ours / the paper's"."""
    table = table.sort_values(["data", "ndcg"], ascending=[True, False])
    shown = table[["data", "system"]].copy()
    for metric, title in METRICS.items():
        both = zip(table[metric], table[f"paper {metric}"], strict=True)
        shown[title] = [f"{ours:.4f} / {_printed_or_dash(printed)}" for ours, printed in both]
    shown["seeds"] = table["n_seeds"]
    shown["ended by"] = table["ended"]
    return shown


def _printed_or_dash(value: float) -> str:
    """Return the paper's figure, "-" where it has none."""
    return "-" if math.isnan(value) else f"{value:.4f}"


def _not_run(table: pd.DataFrame) -> str:
    """Return the rows of `beside_paper` that were not run as one sentence."""
    missing = table.groupby("data", sort=False)["system"].agg(", ".join)
    return "Not run: " + "; ".join(f"{names} on {data}" for data, names in missing.items()) + "."


def _full_ranking(found: list[tuple[Unit, dict[str, Any]]]) -> pd.DataFrame:
    """Return the metrics under full ranking of units and their records."""
    rows = []
    for unit, record in found:
        figures = [f"{record[f'metrics.test.full.{metric}']:.4f}" for metric in METRICS]
        rows.append([unit.paper_data, f"{unit.row}, chosen by {unit.settings['select']}", *figures])
    return pd.DataFrame(rows, columns=["data", "system", *METRICS.values()])


def markdown_rows(table: pd.DataFrame) -> list[str]:
    """Return a frame as lines of a Markdown table, its index left out."""
    lines = [_markdown_row(table.columns), "|" + "---|" * len(table.columns)]
    lines += [_markdown_row(row) for row in table.to_numpy(dtype=object)]
    return lines


def _markdown_row(cells: Any) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def write_readme(path: str | Path, out: str | Path) -> None:
    """Write `results_section` into a README.

    Parameters
    ----------
    path : str or Path
        The file; what stands between its lines <!-- results --> and <!-- end of results --> is
        replaced, nothing else.
    out : str or Path
        The folder of the records.

    Raises
    ------
    ValueError
        Where one of the two lines is missing.
    """
    text = Path(path).read_text(encoding="utf-8")
    found = RESULTS.search(text)
    if found is None:
        raise ValueError(
            f"{path} has no lines <!-- results --> and <!-- end of results --> to write between."
        )
    written = text[: found.start()] + results_section(out) + text[found.end() :]
    with atomic_write(path) as file:
        file.write(written.encode())
