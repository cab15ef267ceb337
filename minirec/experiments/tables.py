"""The papers' tables out of run records, ours beside the papers' (notebook 12)."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from minirec.data.datasets import find_file, load_dataset
from minirec.experiments.records import load_records
from minirec.experiments.units import DATA, EARLIER, SYSTEMS, Unit, recorded, units
from minirec.storage import atomic_write

METRICS = {"recall": "Recall", "mrr": "MRR", "ndcg": "NDCG"}

RESULTS = re.compile("(?<=<!-- results -->\n).*(?=<!-- end of results -->)", re.DOTALL)

ABOUT_EARLIER = (
    "*ml-1m, 5-core, ties by movie id*: the histories hold the same films, but those rated in the "
    "same second stand in the order of their numbers, not of the source file. That changes which "
    "film is asked for, so these rows are not comparable with any other row on MovieLens."
)
PAPER_SIZES = {(64, 100): "beauty", (128, 200): "ml-1m"}  # d and N

TIMED = {
    "train": ("epoch", "seconds", "epoch_s"),
    "inference": ("reading", "seconds", "inference_ms"),
    "memory": ("training step, a sample", "mib", "memory_gib"),
}  # the benchmarks behind Table 3: the cases it has, our column and the paper's


def paper(table) -> pd.DataFrame:
    """What the paper prints: GLINT-RU's Table 1, 2, 3 or 4."""
    return pd.read_csv(Path(__file__).parent / "paper" / f"glint-ru-table-{table}.csv")


def beside_paper(todo: list[Unit], out, table: int | None = None) -> pd.DataFrame:
    """A row for each system (or variant) and data set: ours (mean over seeds), the paper's, and their difference, on test, under the protocol that chose.

    n_seeds: 0 where it was not run. interval: half of the 95% interval of our mean NDCG over seeds, from two seeds on. sigmas: the difference of Recall
    in standard errors, as if two separate draws of as many users were compared. ended: "converged", or "budget" if a seed ended so, or "not run".
    """
    printed = paper(table) if table in (2, 4) else paper(2).iloc[:0]
    keys, protocol = (
        list(printed.columns[:2]),
        todo[0].settings["select"] if todo else "popular-100",
    )
    figures = [*METRICS, "users"]
    found = [
        [
            unit.row,
            unit.paper_data,
            record["ended"],
            *(record[f"metrics.test.{protocol}.{each}"] for each in figures),
        ]
        for unit, record in recorded(todo, out)
    ]
    runs = (
        pd.DataFrame(found, columns=[*keys, "ended", *figures])
        .astype(dict.fromkeys(figures, float))
        .groupby(keys)
    )
    ours = (
        runs[figures]
        .mean()
        .assign(
            ended=runs["ended"].min(),
            n_seeds=runs.size(),
            interval=stats.t.ppf(0.975, runs.size() - 1) * runs["ndcg"].sem(),
        )
    )
    rows = pd.DataFrame(
        [(unit.row, unit.paper_data) for unit in todo], columns=keys
    ).drop_duplicates(ignore_index=True)
    rows = rows.join(ours, on=keys).join(printed.set_index(keys).add_prefix("paper "), on=keys)
    rows = rows.fillna({"n_seeds": 0, "ended": "not run"}).astype({"n_seeds": int})
    rows = rows.assign(
        **{f"{metric} difference": rows[metric] - rows[f"paper {metric}"] for metric in METRICS}
    )
    rows["sigmas"] = rows["recall difference"] / np.sqrt(
        2 * rows["recall"] * (1 - rows["recall"]) / rows["users"]
    )
    return rows[
        [
            *keys,
            "n_seeds",
            "ended",
            *(each for m in METRICS for each in (m, f"paper {m}", f"{m} difference")),
            "interval",
            "sigmas",
        ]
    ]


def statistics_beside_paper(data_home=None) -> pd.DataFrame:
    """Table 1: ours, counted, beside the paper's, whose users and items count the padding id. Data that are not on this machine are left out."""
    here = {
        name: load_dataset(ours, data_home=data_home)
        for name, (ours, *_) in DATA.items()
        if find_file(ours, data_home=data_home) is not None
    }
    printed = paper(1).set_index("data")
    counted = pd.DataFrame(
        [data.statistics() for data in here.values()], index=list(here), columns=printed.columns
    )
    table = (
        counted.infer_objects().join(printed.add_prefix("paper ")).rename_axis("data").reset_index()
    )
    return table[["data", *(f"{who}{key}" for key in printed for who in ("", "paper "))]]


def efficiency_beside_paper(out) -> pd.DataFrame:
    """Table 3: what was measured here (seconds and MiB, and the ratio to GLINT-RU) beside the same ratio in the paper, whose machine is another."""
    names, rows = {model: name for name, model in SYSTEMS.items()} | {"lrurec": "LRURec"}, []
    said = paper(3).set_index(["data", "system"])
    for what, (case, value, printed) in TIMED.items():
        path = Path(out) / "benchmarks" / f"{what}.json"
        measured = pd.DataFrame(
            json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else [],
            columns=["case", "name", value],
        )
        theirs = said[printed] / said[printed].xs("GLINT-RU", level="system")
        for title, each in measured[measured["case"].str.startswith(case)].groupby(
            "case", sort=False
        ):
            size = tuple(
                int(re.search(pattern, title)[1]) for pattern in (r"d = (\d+)", r"(?:N =|of) (\d+)")
            )
            ours = each.set_index("name")[value]
            rows += [
                {
                    "case": title,
                    "system": names.get(name, name),
                    value: took,
                    "ratio": took / ours["glint-ru"],
                    "paper ratio": theirs.get((PAPER_SIZES.get(size), names.get(name)), np.nan),
                }
                for name, took in ours.items()
            ]
    return pd.DataFrame(rows)


def results_section(out) -> str:
    """The results that are recorded, as Markdown. Raises ValueError where there is no record."""
    load_records(out)
    shown = [*DATA, *EARLIER]
    frame = beside_paper(units(2, data=shown, seeds=range(10)), out, 2)
    ran = frame[frame["n_seeds"] > 0].sort_values(["data", "ndcg"], ascending=[True, False])
    pairs = {
        title: ran[metric].map("{:.4f} / ".format)
        + ran[f"paper {metric}"].map("{:.4f}".format).replace("nan", "-")
        for metric, title in METRICS.items()
    }
    table = ran[["data", "system"]].assign(
        **pairs, seeds=ran["n_seeds"], **{"ended by": ran["ended"]}
    )
    to_run = frame[(frame["n_seeds"] == 0) & frame["data"].isin(DATA)]
    missing = to_run.groupby("data", sort=False)["system"].agg(", ".join)
    found = recorded([*units(2, data=shown), *units(data=shown)], out)
    full = [
        [
            unit.paper_data,
            f"{unit.row}, chosen by {unit.settings['select']}",
            *(f"{record[f'metrics.test.full.{each}']:.4f}" for each in METRICS),
        ]
        for unit, record in found
    ]
    own_missing = [unit.paper_data for unit in units() if not recorded([unit], out)]
    lines = [
        "**GLINT-RU's Table 2** (Recall, MRR and NDCG at 10 on test, among 100 negatives drawn by popularity; ours / the paper's):",
        "",
        *markdown_rows(table),
        "",
        "Not run: " + "; ".join(f"{names} on {data}" for data, names in missing.items()) + ".",
        "",
        "**Full ranking** of all items, on test, of the same runs and of RecBLR's own setting:",
        "",
        *markdown_rows(pd.DataFrame(full, columns=["data", "system", *METRICS.values()])),
        "",
    ]
    if own_missing:
        lines += [f"Not run: RecBLR, chosen by full, on {', '.join(own_missing)}.", ""]
    if any(unit.paper_data in EARLIER for unit, _ in found):
        lines += [ABOUT_EARLIER, ""]
    return "\n".join(lines)


def markdown_rows(table: pd.DataFrame) -> list[str]:
    """Return a frame as lines of a Markdown table."""
    head, *rows = (f"| {' | '.join(map(str, row))} |" for row in (table.columns, *table.values))
    return [head, "|" + "---|" * len(table.columns), *rows]


def write_readme(path, out) -> None:
    """Replaces what stands between <!-- results --> and <!-- end of results --> by `results_section`. Raises ValueError where the two are missing."""
    text = Path(path).read_text(encoding="utf-8")
    if not RESULTS.search(text):
        raise ValueError(
            f"{path} has no lines <!-- results --> and <!-- end of results --> to write between."
        )
    with atomic_write(path) as file:
        file.write(RESULTS.sub(lambda _: results_section(out), text).encode())
