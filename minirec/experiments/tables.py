"""The papers' tables as frames from run records, ours beside the papers' (notebook 14).

Where no paper is named, GLINT-RU's is meant.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from minirec.data.datasets import find_file, load_dataset, load_file
from minirec.experiments.benchmarks.recblr_scans import EMBEDDINGS_PADDED
from minirec.experiments.printed import paper
from minirec.experiments.recblr import LOADED
from minirec.experiments.units import DATA, SYSTEMS, Unit, recorded

# The tables of runs, whose rows stand beside ours.
ROWS_OF = {"glint-ru": (2, 4), "recblr": (1, 3, 4)}

METRICS = {"recall": "Recall", "mrr": "MRR", "ndcg": "NDCG"}

SCANS = "recblr-scans"  # the benchmark behind RecBLR's Table 5

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


def beside_paper(
    todo: list[Unit], out: str | Path, table: int | None = None, of: str = "glint-ru"
) -> pd.DataFrame:
    """Put our test metrics beside the paper's, under the protocol that chose the best epoch.

    Parameters
    ----------
    todo : list of Unit
        The runs that make the table; several seeds of a row become one row.
    out : str or Path
        The folder of the records.
    table : int, optional
        The paper's table with the same rows: 2 or 4 of GLINT-RU, 1, 3 or 4 of RecBLR; without one
        nothing printed stands beside ours.
    of : {"glint-ru", "recblr"}
        The paper.

    Returns
    -------
    DataFrame
        A row for each system (or variant) and data set. For each metric: ours (the mean over
        seeds), the paper's, and their difference. And:

        - ties: the order of ties in time in our data, as `Unit.order` says it.
        - n_seeds: 0 where it was not run.
        - ended: "converged", or "budget" if one seed ended so, or "not run".
        - interval: half the 95% interval of our mean NDCG over seeds, from two seeds on.
        - sigmas: the difference of Recall in standard errors, as if two separate draws of as
          many users were compared.
    """
    # A paper's table without rows still has the names of the columns.
    has_rows = table in ROWS_OF[of]
    printed = paper(table, of) if has_rows and table else paper(ROWS_OF[of][0], of).head(0)
    keys = list(printed.columns[:2])  # "system" or "variant", and "data"

    # A row for each that was asked for, run or not, printed or not.
    asked = [(unit.row, unit.paper_data, unit.order) for unit in todo]
    rows = pd.DataFrame(asked, columns=[*keys, "ties"]).drop_duplicates(keys, ignore_index=True)
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

    columns = [*keys, "ties", "n_seeds", "ended"]
    for metric in METRICS:
        columns += [metric, f"paper {metric}", f"{metric} difference"]
    return rows[[*columns, "interval", "sigmas"]]


def long_beside_paper(todo: list[Unit], out: str | Path) -> pd.DataFrame:
    """Put what very long histories cost, and what is learned of them, beside RecBLR's Table 4.

    Parameters
    ----------
    todo : list of Unit
        From `units_of_table(4)`.
    out : str or Path
        The folder of the records.

    Returns
    -------
    DataFrame
        A row for each system and data set: what `beside_paper` says of Recall and NDCG@10 on test,
        the seconds of an epoch (training and validation), the most memory that the process held in
        MiB, and the device. NaN where it was not run.
    """
    table = beside_paper(todo, out, 4, of="recblr")
    costs = []
    for unit, record in recorded(todo, out):
        n_epochs = len(record["history"])
        costs.append(
            {
                "system": unit.row,
                "data": unit.paper_data,
                "seconds per epoch": record["seconds"] / n_epochs,
                "peak memory (MiB)": record["peak_memory_mib"],
                "device": record["device"],
            }
        )
    columns = ["system", "data", "seconds per epoch", "peak memory (MiB)", "device"]
    frame = pd.DataFrame(costs, columns=columns).drop_duplicates(["system", "data"])
    shown = table[["data", "system", "n_seeds", "ended"]]
    for metric in ("recall", "ndcg"):
        shown = shown.join(table[[metric, f"paper {metric}"]])
    return shown.merge(frame, on=["system", "data"], how="left")


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
    """Put our count of the data sets beside GLINT-RU's Table 1.

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
    counted = {}
    for name, setup in DATA.items():
        if find_file(setup.data, data_home=data_home) is not None:
            counted[name] = load_dataset(setup.data, data_home=data_home).statistics()
    return _beside_printed(counted, paper(1).set_index("data"))


def statistics_beside_recblr(
    data_home: str | Path | None = None, files: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Put our count of the data sets beside RecBLR's Table 2.

    Parameters
    ----------
    data_home : str or Path, optional
        Where data sets lie; see `load_dataset`. Data that are not on this machine are left out.
    files : mapping of str to str, optional
        Files of sets that cannot be downloaded, by their name in the paper.

    Returns
    -------
    DataFrame
        A row for each data set; each count of ours, then the paper's.
    """
    counted = {}
    for name, (loaded, _) in LOADED.items():
        if find_file(loaded, data_home=data_home) is not None:
            counted[name] = load_dataset(loaded, data_home=data_home).statistics()
    for name, path in (files or {}).items():
        counted[name] = load_file(path).statistics()
    return _beside_printed(counted, paper(2, "recblr").set_index("data"))


def _beside_printed(counted: dict[str, pd.Series], printed: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each counted data set: each statistic of ours, then the printed one."""
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
    rows = []
    for folder in _folders_of_benchmarks(out, gpus):
        rows += _efficiency_in(folder)
    return pd.DataFrame(rows)


def scans_beside_paper(out: str | Path) -> pd.DataFrame:
    """Put our times of RecBLR's scans beside its Table 5, as ratios to the scan it proposes.

    Parameters
    ----------
    out : str or Path
        The folder of the records, as for `efficiency_beside_paper`.

    Returns
    -------
    DataFrame
        A row for each device and scan: our seconds per epoch, their ratio to the parallel scan with
        padded embeddings, and the paper's two figures, from its MovieLens-1M. Empty where nothing
        was measured.
    """
    printed = paper(5, "recblr").query("data == 'ml-1m'").set_index("scan")["epoch_s"]
    rows = []
    for folder in _folders_of_benchmarks(out, gpus=True):
        path = folder / f"{SCANS}.json"
        if not path.exists():
            continue
        record = json.loads(path.read_text(encoding="utf-8"))
        measured = pd.DataFrame(record["rows"])
        seconds = measured.set_index("name")["seconds"]
        for row in measured.to_dict("records"):
            rows.append(
                {
                    "device": record["device"],
                    "case": row["case"],
                    "scan": row["name"],
                    "seconds": row["seconds"],
                    "ratio": row["seconds"] / seconds[EMBEDDINGS_PADDED],
                    "paper seconds": printed.get(row["name"], math.nan),
                    "paper ratio": printed.get(row["name"], math.nan) / printed[EMBEDDINGS_PADDED],
                }
            )
    return pd.DataFrame(rows)


def _folders_of_benchmarks(out: str | Path, gpus: bool) -> list[Path]:
    """Return the folder of the CPU's benchmarks, and those of GPUs if they are asked for."""
    folders = [Path(out) / "benchmarks"]
    if gpus:
        folders += sorted(path for path in folders[0].glob("*") if path.is_dir())
    return folders


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
