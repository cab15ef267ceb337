"""The papers' tables out of run records: which runs they need, training those that are missing, and ours beside the papers' (notebook 12)."""

import contextlib
import json
import re
import time
from dataclasses import dataclass, field
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

SYSTEMS = {"GLINT-RU": "glint-ru", "SASRec": "sasrec", "LinRec": "linrec", "SMLP4Rec": "smlp4rec", "Mamba4Rec": "mamba4rec", "BERT4Rec": "bert4rec",
           "GRU4Rec": "gru4rec", "RecBLR": "recblr"}  # in the order in which they are worth running
DATA = {"beauty": ("beauty", 64, 100, 0.5), "ml-1m": ("ml-1m-full", 128, 200, 0.2), "video-games": ("video-games", 64, 100, 0.5),
        "ml-1m, 5-core": ("ml-1m", 128, 200, 0.2)}  # GLINT-RU, 4.3; the last is RecBLR's MovieLens, which GLINT-RU's tables do not have
ABLATIONS = {"default": {}, "without gated MLP": {"gated_mlp": False}, "without attention": {"attention": False}, "without GRU": {"gru": False},
             "without temporal conv": {"temporal_conv": False}}
KERNELS = (1, 3, 5, 7)
RECBLR = {"ml-1m": {"lr": 3e-3, "lr_schedule": "cosine", "batch_size": 4096, "epochs": 45, "patience": 25}, "beauty": {}}  # on ml-1m, what lesson 11 found best on valid
METRICS = ("recall", "mrr", "ndcg")
CHECKPOINTS = Path("runs/reproduce")
RESULTS = re.compile("(?<=<!-- results -->\n).*(?=<!-- end of results -->)", re.DOTALL)
PAPER_SIZES = {(64, 100): "beauty", (128, 200): "ml-1m"}  # d and N
TIMED = ("train", "inference", "memory")  # the benchmarks behind Table 3


@dataclass(frozen=True)
class Unit:
    """One training run: a row of a table, or one of its seeds."""

    row: str
    paper_data: str
    data: str
    model: str
    options: dict = field(hash=False)
    settings: dict = field(hash=False)

    name = property(lambda self: f"{self.data}-{self.model}{''.join(f'-{key}={value}' for key, value in self.varied.items())}-"
                                 f"{self.settings['select']}-seed{self.settings['seed']}")
    varied = property(lambda self: {key: value for key, value in self.options.items() if key not in ("d_model", "max_len", "dropout")})


def units(table: int | None = None, figure: int | None = None, *, data=None, seeds=(0,)) -> list[Unit]:
    """The runs behind GLINT-RU's Table 2 or 4, its Figures 2 and 3, or (neither given) RecBLR's full ranking; seed by seed. data: only these, by the papers' names."""
    def unit(row, paper_data, model, seed, options=(), settings=()):
        name, d_model, max_len, dropout = DATA[paper_data]
        usual = {"d_model": d_model, "max_len": max_len, "dropout": dropout}
        return Unit(row, paper_data, name, model, usual | dict(options), {"select": "popular-100", "epochs": 200, "patience": 10, "seed": seed} | dict(settings))

    if table not in (None, 2, 4) or figure not in (None, 2, 3):
        raise ValueError(f"runs stand behind Tables 2 and 4 and Figures 2 and 3; got table {table}, figure {figure}.")
    found = []
    for seed in seeds:
        if table == 2:
            found += [unit(row, name, model, seed) for name in DATA for row, model in SYSTEMS.items()]
        elif table == 4:
            found += [unit(row, "ml-1m", "glint-ru", seed, options) for row, options in ABLATIONS.items()]
        elif figure is not None:
            found += [unit(f"k = {k}", "beauty", "glint-ru", seed, {"kernel_size": k}) for k in KERNELS] + [unit("Mamba4Rec", "beauty", "mamba4rec", seed)]
        else:
            found += [Unit("RecBLR", name, name, "recblr", {"d_model": 64, "max_len": DATA[name][2], "dropout": 0.2},
                           {"select": "full", "epochs": 200, "patience": 10, "seed": seed} | settings) for name, settings in RECBLR.items()]
    return [unit for unit in found if data is None or unit.paper_data in data]


def find(records: pd.DataFrame, unit: Unit) -> pd.DataFrame:
    """The records of this unit: the same model, options and data, and the same settings but for how long it was to train."""
    settings = {key: FIT_DEFAULTS[key] for key in ("lr", "lr_schedule", "batch_size", "precision")} | {"objective": MODELS[unit.model].objective} | unit.settings
    wanted = {"model": unit.model, "data": unit.data} | {f"options.{key}": value for key, value in (model_options(unit.model) | unit.options).items()}
    wanted |= {f"settings.{key}": value for key, value in settings.items() if key not in ("epochs", "patience")}
    fits = pd.Series(True, index=records.index)
    for key, value in wanted.items():
        if key not in records:
            return records.iloc[:0]
        fits &= records[key].isna() if value is None else records[key] == value
    return records[fits]


def run(todo: list[Unit], out, *, command: list[str], data_home=None, budget: float | None = None, unit_budget: float | None = None,
        checkpoints=CHECKPOINTS, say=print) -> None:
    """Trains those units that have no record in the folder `out`, one after the other, and leaves a record of each as it ends.

    budget: seconds for this call; a run that it cuts short is continued by the next call, from its checkpoint. unit_budget: seconds of training after
    which a run ends for good, and is recorded as ended by its budget. Ctrl-C is a budget that ends now. checkpoints: the folder for unfinished runs.
    Raises ValueError where something in `out` is not a record, and FileExistsError where another run's record has this one's name.
    """
    begin, loaded = time.monotonic(), {}
    for unit in todo:
        path = Path(out) / f"{unit.name}.json"
        if len(find(_recorded(out), unit)):
            continue
        refuse_existing(path)
        if budget is not None and time.monotonic() - begin >= budget:
            return
        if unit.data not in loaded:
            loaded = {unit.data: load_dataset(unit.data, data_home=data_home).split()}
        split, checkpoint = loaded[unit.data], Path(checkpoints) / f"{unit.name}.ckpt"

        def stop(history) -> None:
            if (budget is not None and time.monotonic() - begin >= budget) or _spent(history, unit_budget):
                raise KeyboardInterrupt

        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # the most memory is counted anew for each run, where Linux counts it
        torch.manual_seed(unit.settings["seed"])
        model = build_model(unit.model, split.interactions.n_items, **unit.options)
        history = fit(model, split, checkpoint=checkpoint, on_epoch=stop, progress=False, **unit.settings)
        if history.stopped == "interrupted" and not _spent(history, unit_budget):
            say(f"{unit.name}: {len(history.epochs)} epochs so far; the same command continues it")
            return
        record = record_run(model, split, history, command)
        save_record(path, record)
        checkpoint.unlink(missing_ok=True)
        figures = record["metrics"]["test"][unit.settings["select"]]
        say(f"{unit.name}: {record['ended']} after {len(history.epochs)} epochs, {record['seconds'] / 60:.1f} min, test NDCG@10 {figures['ndcg']:.4f}")


def _recorded(out) -> pd.DataFrame:
    """The records of a folder, which may have none yet."""
    return load_records(out) if any(Path(out).glob("*.json")) else pd.DataFrame()


def _spent(history, unit_budget) -> bool:
    return unit_budget is not None and sum(epoch["seconds"] for epoch in history.epochs) >= unit_budget


def time_systems(out, command: list[str], say=print) -> None:
    """Runs the benchmarks behind Table 3 that have no record in out/benchmarks, and leaves their records there."""
    for what in TIMED:
        path = Path(out) / "benchmarks" / f"{what}.json"
        if not path.exists():
            record = {**provenance(choose_device("auto"), command), "rows": BENCHMARKS[what]().to_dict("records")}
            with atomic_write(path) as file:
                file.write(json.dumps(record, indent=1).encode() + b"\n")
            say(f"measured {what}: {path}")


def paper(table) -> pd.DataFrame:
    """What the paper prints: GLINT-RU's Table 1, 2, 3 or 4."""
    return pd.read_csv(Path(__file__).parents[1] / "data" / "paper" / f"glint-ru-table-{table}.csv")


def beside_paper(todo: list[Unit], out, table: int | None = None) -> pd.DataFrame:
    """A row for each system (or variant) and data set: ours (mean over seeds), the paper's, and their difference, on test, under the protocol that chose.

    n_seeds: 0 where it was not run. interval: half of the 95% interval of our mean NDCG over seeds, from two seeds on. sigmas: the difference of Recall
    in standard errors, as if two separate draws of as many users were compared. ended: "converged", or "budget" if a seed ended so, or "not run".
    """
    records, rows = _recorded(out), []
    printed = paper(table) if table in (2, 4) else pd.DataFrame(columns=["system", "data", *METRICS])
    first, protocol = printed.columns[0], "full" if todo and todo[0].settings["select"] == "full" else "popular-100"
    for row, data in dict.fromkeys((unit.row, unit.paper_data) for unit in todo):
        mine = [find(records, unit) for unit in todo if (unit.row, unit.paper_data) == (row, data)]
        mine = pd.concat([each.iloc[:1] for each in mine]) if mine else records.iloc[:0]
        theirs = printed[(printed[first] == row) & (printed["data"] == data)]
        entry = {first: row, "data": data, "n_seeds": len(mine), "ended": min(mine.get("ended", []), default="not run")}
        for metric in METRICS:
            ours = mine[f"metrics.test.{protocol}.{metric}"].mean() if len(mine) else np.nan
            said = theirs[metric].iloc[0] if len(theirs) else np.nan
            entry |= {metric: ours, f"paper {metric}": said, f"{metric} difference": ours - said}
        entry |= {"interval": np.nan, "sigmas": np.nan}
        if len(mine):
            users, recall = mine[f"metrics.test.{protocol}.users"].iloc[0], entry["recall"]
            entry["sigmas"] = entry["recall difference"] / np.sqrt(2 * recall * (1 - recall) / users)
        if len(mine) > 1:
            ndcgs = mine[f"metrics.test.{protocol}.ndcg"]
            entry["interval"] = stats.t.ppf(0.975, len(ndcgs) - 1) * ndcgs.std() / np.sqrt(len(ndcgs))
        rows.append(entry)
    return pd.DataFrame(rows)


def statistics_beside_paper(data_home=None) -> pd.DataFrame:
    """Table 1: ours, counted, beside the paper's, whose users and items count the padding id. Data that are not on this machine are left out."""
    rows = []
    for name, (ours, *_) in DATA.items():
        if find_file(ours, data_home=data_home) is not None:
            found, printed = load_dataset(ours, data_home=data_home).statistics(), paper(1).set_index("data").loc[name]
            rows.append({"data": name} | {f"{who}{key}": row[key] for key in found.index for who, row in (("", found), ("paper ", printed))})
    return pd.DataFrame(rows)


def efficiency_beside_paper(out) -> pd.DataFrame:
    """Table 3: what was measured here (seconds and MiB, and the ratio to GLINT-RU) beside the same ratio in the paper, whose machine is another."""
    columns = {"train": ("epoch", "seconds", "epoch_s"), "inference": ("reading", "seconds", "inference_ms"),
               "memory": ("training step, a sample", "mib", "memory_gib")}
    names, rows, said = {model: name for name, model in SYSTEMS.items()} | {"lrurec": "LRURec"}, [], paper(3)
    for what, (case, value, printed) in columns.items():
        path = Path(out) / "benchmarks" / f"{what}.json"
        frame = pd.DataFrame(json.loads(path.read_text(encoding="utf-8"))["rows"]) if path.exists() else pd.DataFrame(columns=["case", "name", value])
        for title, each in frame[frame["case"].str.startswith(case)].groupby("case", sort=False):
            size = tuple(int(re.search(pattern, title)[1]) for pattern in (r"d = (\d+)", r"(?:N =|of) (\d+)"))
            theirs = said[said["data"] == PAPER_SIZES.get(size)].set_index("system")[printed]
            ours = each.set_index("name")[value]
            rows += [{"case": title, "system": names.get(name, name), value: ours[name], "ratio": ours[name] / ours["glint-ru"],
                      "paper ratio": theirs.get(names.get(name), np.nan) / theirs.get("GLINT-RU", np.nan)} for name in ours.index]
    return pd.DataFrame(rows)


def results_section(out) -> str:
    """The results that are recorded, as Markdown."""
    lines = ["**GLINT-RU's Table 2** (Recall, MRR and NDCG at 10 on test, among 100 negatives drawn by popularity; ours / the paper's):", "",
             "| data | system | Recall | MRR | NDCG | seeds | ended by |", "|---|---|---|---|---|---|---|"]
    frame = beside_paper(units(2, seeds=range(10)), out, 2)
    show = lambda row, metric: f"{row[metric]:.4f} / " + (f"{row[f'paper {metric}']:.4f}" if row[f"paper {metric}"] > 0 else "-")  # noqa: E731
    ran = frame[frame["n_seeds"] > 0].sort_values(["data", "ndcg"], ascending=[True, False])
    lines += [f"| {row['data']} | {row['system']} | {' | '.join(show(row, metric) for metric in METRICS)} | {row['n_seeds']} | {row['ended']} |"
              for _, row in ran.iterrows()]
    missing = frame[frame["n_seeds"] == 0].groupby("data", sort=False)["system"].agg(", ".join)
    lines += ["", "Not run: " + "; ".join(f"{names} on {data}" for data, names in missing.items()) + ".", "",
              "**Full ranking** of all items, on test, of the same runs and of RecBLR's own setting:", "", "| data | system | Recall | MRR | NDCG |", "|---|---|---|---|---|"]
    records, names = load_records(out), {ours: name for name, (ours, *_) in DATA.items()}
    for unit in [*units(2), *units()]:
        for _, record in find(records, unit).iloc[:1].iterrows():
            chosen = f"chosen by {unit.settings['select']}"
            figures = " | ".join(f"{record[f'metrics.test.full.{metric}']:.4f}" for metric in METRICS)
            lines.append(f"| {names[unit.data]} | {unit.row}, {chosen} | {figures} |")
    return "\n".join(lines) + "\n"


def write_readme(path, out) -> None:
    """Replaces what stands between <!-- results --> and <!-- end of results --> by `results_section`. Raises ValueError where the two are missing."""
    text = Path(path).read_text(encoding="utf-8")
    if not RESULTS.search(text):
        raise ValueError(f"{path} has no lines <!-- results --> and <!-- end of results --> to write between.")
    with atomic_write(path) as file:
        file.write(RESULTS.sub(lambda _: results_section(out), text).encode())
