"""The papers' tables out of run records: which runs they need, training those that are missing, and ours beside the papers' (notebook 12)."""

import contextlib
import json
import math
import re
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats

from minirec.benchmark import BENCHMARKS
from minirec.data.datasets import find_file, load_dataset
from minirec.files import atomic_write
from minirec.models import MODELS, build_model, model_options
from minirec.results import load_records, provenance, record_run, refuse_existing, save_record
from minirec.training import FIT_DEFAULTS, choose_device, fit

SYSTEMS = {
    "GLINT-RU": "glint-ru",
    "SASRec": "sasrec",
    "LinRec": "linrec",
    "SMLP4Rec": "smlp4rec",
    "Mamba4Rec": "mamba4rec",
    "BERT4Rec": "bert4rec",
    "GRU4Rec": "gru4rec",
    "RecBLR": "recblr",
}  # in the order in which they are worth running
DATA = {
    "beauty": ("beauty", 64, 100, 0.5),
    "ml-1m": ("ml-1m-full", 128, 200, 0.2),
    "video-games": ("video-games", 64, 100, 0.5),
    "ml-1m, 5-core": ("ml-1m", 128, 200, 0.2),
}  # GLINT-RU, 4.3; the last is RecBLR's MovieLens, which GLINT-RU's tables do not have
EARLIER = {
    "ml-1m, 5-core, ties by movie id": ("ml-1m, ties by movie id", 128, 200, 0.2),
}  # no set that load_dataset knows by this name: its runs are shown from records, never trained
ABOUT_EARLIER = (
    "*ml-1m, 5-core, ties by movie id*: the histories hold the same films, but those rated in the "
    "same second stand in the order of their numbers, not of the source file. That changes which "
    "film is asked for, so these rows are not comparable with any other row on MovieLens."
)
ABLATIONS = {
    "default": {},
    "without gated MLP": {"gated_mlp": False},
    "without attention": {"attention": False},
    "without GRU": {"gru": False},
    "without temporal conv": {"temporal_conv": False},
}
SIZES = ("d_model", "max_len", "dropout")
RECBLR_ON_ML_1M = {
    "lr": 3e-3,
    "lr_schedule": "cosine",
    "batch_size": 4096,
    "epochs": 45,
    "patience": 25,
}  # lesson 11's best on valid, with the ties by movie id
RECBLR = {
    "ml-1m, 5-core": RECBLR_ON_ML_1M,
    "beauty": {},
    "ml-1m, 5-core, ties by movie id": RECBLR_ON_ML_1M,
}
METRICS = {"recall": "Recall", "mrr": "MRR", "ndcg": "NDCG"}
RESULTS = re.compile("(?<=<!-- results -->\n).*(?=<!-- end of results -->)", re.DOTALL)
PAPER_SIZES = {(64, 100): "beauty", (128, 200): "ml-1m"}  # d and N
TIMED = {
    "train": ("epoch", "seconds", "epoch_s"),
    "inference": ("reading", "seconds", "inference_ms"),
    "memory": ("training step, a sample", "mib", "memory_gib"),
}  # the benchmarks behind Table 3: the cases it has, our column and the paper's


@dataclass(frozen=True)
class Unit:
    """One training run: a row of a table, or one of its seeds."""

    row: str
    paper_data: str
    data: str
    model: str
    options: dict
    settings: dict

    @property
    def name(self) -> str:
        varied = [f"{key}={value}" for key, value in self.options.items() if key not in SIZES]
        return "-".join(
            [
                self.data,
                self.model,
                *varied,
                self.settings["select"],
                f"seed{self.settings['seed']}",
            ]
        )


def units(
    table: int | None = None, figure: int | None = None, *, data=None, seeds=(0,)
) -> list[Unit]:
    """The runs behind GLINT-RU's Table 2 or 4, its Figures 2 and 3, or (neither given) RecBLR's
    full ranking; seed by seed.

    data: only these keys of DATA, or of EARLIER, whose runs are left out where no data are named.
    """
    if table not in (None, 2, 4) or figure not in (None, 2, 3):
        raise ValueError(
            f"runs stand behind Tables 2 and 4 and Figures 2 and 3; got table {table}, figure {figure}."
        )
    known = DATA | EARLIER
    if table == 2:
        rows = [(row, name, model, {}, {}) for name in known for row, model in SYSTEMS.items()]
    elif table == 4:
        rows = [(row, "ml-1m", "glint-ru", options, {}) for row, options in ABLATIONS.items()]
    elif figure is not None:
        rows = [
            (f"k = {k}", "beauty", "glint-ru", {"kernel_size": k}, {}) for k in (1, 3, 5, 7)
        ] + [("Mamba4Rec", "beauty", "mamba4rec", {}, {})]
    else:
        rows = [
            (
                "RecBLR",
                name,
                "recblr",
                {"d_model": 64, "dropout": 0.2},
                {"select": "full"} | settings,
            )
            for name, settings in RECBLR.items()
        ]
    usual = {"select": "popular-100", "epochs": 200, "patience": 10}
    return [
        Unit(
            row,
            name,
            known[name][0],
            model,
            dict(zip(SIZES, known[name][1:])) | options,
            usual | {"seed": seed} | settings,
        )
        for seed in seeds
        for row, name, model, options, settings in rows
        if name in (DATA if data is None else data)
    ]


def find(records: pd.DataFrame, unit: Unit) -> pd.DataFrame:
    """The records of this unit: the same model, options and data, and the same settings but for how long it was to train."""
    settings = (
        {key: FIT_DEFAULTS[key] for key in ("lr", "lr_schedule", "batch_size", "precision")}
        | {"objective": MODELS[unit.model].objective}
        | unit.settings
    )
    wanted = {"model": unit.model, "data": unit.data} | {
        f"options.{key}": value for key, value in (model_options(unit.model) | unit.options).items()
    }
    wanted |= {
        f"settings.{key}": value
        for key, value in settings.items()
        if key not in ("epochs", "patience")
    }
    found = records.reindex(columns=list(wanted))
    return records[
        np.all(
            [
                found[key].isna() if value is None else found[key] == value
                for key, value in wanted.items()
            ],
            axis=0,
        )
    ]


def run(
    todo: list[Unit],
    out,
    *,
    command: list[str],
    data_home=None,
    budget: float = math.inf,
    unit_budget: float = math.inf,
    checkpoints="runs/reproduce",
    say=print,
) -> None:
    """Trains those units that have no record in the folder `out`, one after the other, and leaves a record of each as it ends.

    budget: seconds for this call; a run that it cuts short is continued by the next call, from its checkpoint. unit_budget: seconds of training after
    which a run ends for good, and is recorded as ended by its budget. Ctrl-C is a budget that ends now. checkpoints: the folder for unfinished runs.
    Raises ValueError where something in `out` is not a record, and FileExistsError where another run's record has this one's name.
    """
    begin, split_of = (
        time.monotonic(),
        cache(lambda name: load_dataset(name, data_home=data_home).split()),
    )

    def spent(history) -> bool:
        return sum(epoch["seconds"] for epoch in history.epochs) >= unit_budget

    def stop(history) -> None:
        if time.monotonic() - begin >= budget or spent(history):
            raise KeyboardInterrupt

    for unit in todo:
        path, checkpoint = Path(out) / f"{unit.name}.json", Path(checkpoints) / f"{unit.name}.ckpt"
        if _found([unit], out):
            continue
        refuse_existing(path)
        if time.monotonic() - begin >= budget:
            return
        split = split_of(unit.data)
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text(
                "5"
            )  # the most memory is counted anew for each run, where Linux counts it
        torch.manual_seed(unit.settings["seed"])
        model = build_model(unit.model, split.interactions.n_items, **unit.options)
        history = fit(
            model, split, checkpoint=checkpoint, on_epoch=stop, progress=False, **unit.settings
        )
        if history.stopped == "interrupted" and not spent(history):
            say(f"{unit.name}: {len(history.epochs)} epochs so far; the same command continues it")
            return
        record = record_run(model, split, history, command)
        save_record(path, record)
        checkpoint.unlink(missing_ok=True)
        figures = record["metrics"]["test"][unit.settings["select"]]
        say(
            f"{unit.name}: {record['ended']} after {len(history.epochs)} epochs, {record['seconds'] / 60:.1f} min, test NDCG@10 {figures['ndcg']:.4f}"
        )


def _found(todo: list[Unit], out) -> list[tuple[Unit, dict]]:
    """The units that have a record in the folder `out`, each with its first."""
    records = load_records(out) if any(Path(out).glob("*.json")) else pd.DataFrame()
    return [
        (unit, record)
        for unit in todo
        for record in find(records, unit).iloc[:1].to_dict("records")
    ]


def time_systems(out, command: list[str], say=print) -> None:
    """Runs the benchmarks behind Table 3, and how times grow with length, width and batch, where out/benchmarks has no record; leaves records there."""
    for what in (*TIMED, "length"):
        path = Path(out) / "benchmarks" / f"{what}.json"
        if not path.exists():
            save_record(
                path,
                {
                    **provenance(choose_device("auto"), command),
                    "rows": BENCHMARKS[what]().to_dict("records"),
                },
            )
            say(f"measured {what}: {path}")


def paper(table) -> pd.DataFrame:
    """What the paper prints: GLINT-RU's Table 1, 2, 3 or 4."""
    return pd.read_csv(Path(__file__).parents[1] / "data" / "paper" / f"glint-ru-table-{table}.csv")


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
        for unit, record in _found(todo, out)
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
    found = _found([*units(2, data=shown), *units(data=shown)], out)
    full = [
        [
            unit.paper_data,
            f"{unit.row}, chosen by {unit.settings['select']}",
            *(f"{record[f'metrics.test.full.{each}']:.4f}" for each in METRICS),
        ]
        for unit, record in found
    ]
    own_missing = [unit.paper_data for unit in units() if not _found([unit], out)]
    lines = [
        "**GLINT-RU's Table 2** (Recall, MRR and NDCG at 10 on test, among 100 negatives drawn by popularity; ours / the paper's):",
        "",
        *_markdown(table),
        "",
        "Not run: " + "; ".join(f"{names} on {data}" for data, names in missing.items()) + ".",
        "",
        "**Full ranking** of all items, on test, of the same runs and of RecBLR's own setting:",
        "",
        *_markdown(pd.DataFrame(full, columns=["data", "system", *METRICS.values()])),
        "",
    ]
    if own_missing:
        lines += [f"Not run: RecBLR, chosen by full, on {', '.join(own_missing)}.", ""]
    if any(unit.paper_data in EARLIER for unit, _ in found):
        lines += [ABOUT_EARLIER, ""]
    return "\n".join(lines)


def _markdown(table: pd.DataFrame) -> list[str]:
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
