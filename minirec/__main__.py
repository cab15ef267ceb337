"""The command line: python -m minirec datasets | train | evaluate | recommend | benchmark | reproduce."""

import argparse
import ast
import csv
import json
import math
import os
import re
import shlex
import sys
import time
from pathlib import Path

import pandas as pd
import torch

import minirec
from minirec import reproduce
from minirec.benchmark import BENCHMARKS
from minirec.evaluation import PROTOCOLS
from minirec.models import model_options
from minirec.results import record_run, refuse_existing, save_record
from minirec.training import FIT_DEFAULTS, PRECISIONS, SCHEDULES, choose_device

COMMON_OPTIONS = {
    "d_model": int,
    "n_layers": int,
    "n_heads": int,
    "dropout": float,
    "max_len": int,
    "kernel_size": int,
}
FIT_OPTIONS = {
    "epochs": "most epochs",
    "patience": "epochs without a better valid NDCG@10 before stopping",
    "batch_size": "targets in a batch",
    "lr": "Adam's learning rate",
    "seed": "of weights, batches and dropout",
    "prefixes_per_user": "in an epoch, where prefixes are sampled",
    "lr_schedule": "cosine: from lr to 0 over the epochs",
    "device": "auto, cpu or cuda",
    "precision": "of the products; the weights are float32",
    "select": "the protocol that chooses the best epoch",
    "checkpoint": "continue from this file if it exists, and keep it up to date",
    "objective": "prefix: train a next-item model on sampled prefixes (default: the model's own objective)",
}
CHOICES = {"lr_schedule": SCHEDULES, "precision": PRECISIONS, "select": PROTOCOLS}


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, 1 for an error that is explained in one line, 130 for Ctrl-C before there is a result."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    options.typed = ["python", "-m", "minirec", *arguments]
    try:
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output (head, less) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (
        ValueError,
        TypeError,
        OSError,
        FloatingPointError,
        RuntimeError,
    ) as error:  # RuntimeError: PyTorch's, out of memory for one
        print(f"error: {str(error).partition(chr(10))[0]}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m minirec",
        description="Train, judge and use efficient sequential recommenders.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name, run, text):
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--json", action="store_true", help="print JSON instead of a table")
        sub.set_defaults(run=run)
        return sub

    command(
        "datasets",
        lambda options: _show(minirec.available_datasets(), options),
        "List the named data sets, their licences and where they lie.",
    )
    _train_flags(command("train", _train, "Train a model, report it on the test users, save it."))

    judge = command("evaluate", _evaluate, "Judge a saved model.")
    _data_flags(judge)
    judge.add_argument("--which", default="test", choices=("valid", "test"))
    judge.add_argument("--protocol", default="full", choices=PROTOCOLS)

    use = command("recommend", _recommend, "Recommend from a saved model alone.")
    use.add_argument(
        "--history",
        action="append",
        required=True,
        metavar="ITEM,ITEM,...",
        help="raw item ids, oldest first, as a line of CSV; may be repeated; may be empty",
    )
    for sub in (judge, use):
        sub.add_argument("model", help="a file written by train")
        sub.add_argument("--k", type=int, default=10)
        sub.add_argument(
            "--exclude-seen", action="store_true", help="take the history out of the candidates"
        )

    measure = command(
        "benchmark",
        lambda options: _show(BENCHMARKS[options.what](), options),
        "Measure against peers, in one run.",
    )
    measure.add_argument("what", choices=list(BENCHMARKS))

    _reproduce_flags(
        command(
            "reproduce",
            _reproduce,
            "The papers' tables: train what has no record yet, and show ours beside theirs.",
        )
    )
    return parser


def _train_flags(train) -> None:
    _data_flags(train)
    train.add_argument(
        "--model", required=True, help=f"one of: {', '.join(minirec.available_models())}"
    )
    for name, kind in COMMON_OPTIONS.items():
        train.add_argument(
            f"--{name.replace('_', '-')}", type=kind, help="an option of the model, if it has it"
        )
    train.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any other option of the model; may be repeated",
    )
    for name, text in FIT_OPTIONS.items():
        default = FIT_DEFAULTS[name]
        train.add_argument(
            f"--{name.replace('_', '-')}",
            type=str if default is None else type(default),
            default=default,
            choices=CHOICES.get(name),
            help=text if default is None else f"{text} (default {default})",
        )
    train.add_argument("--out", help="where to save the model (default runs/DATA-MODEL.pt)")
    train.add_argument(
        "--record",
        metavar="FILE.json",
        help="where to leave the run's record: settings, history, metrics, machine; must be a new file",
    )
    train.add_argument(
        "--log", action="store_true", help="print a line an epoch even where there is no terminal"
    )


def _reproduce_flags(again) -> None:
    what = again.add_mutually_exclusive_group(required=True)
    what.add_argument("--table", type=int, choices=(1, 2, 3, 4), help="of GLINT-RU")
    what.add_argument("--figure", type=int, choices=(2, 3), help="of GLINT-RU")
    what.add_argument("--recblr", action="store_true", help="RecBLR under full ranking")
    what.add_argument(
        "--readme",
        metavar="README.md",
        help="write the results that are recorded into this file's results section",
    )
    again.add_argument(
        "--data",
        action="append",
        type=lambda name: {"ml-1m-5core": "ml-1m, 5-core"}.get(name, name),
        choices=list(reproduce.DATA),
        metavar="NAME",
        help="only these data: beauty, ml-1m, video-games or ml-1m-5core (RecBLR's MovieLens); may be repeated",
    )
    again.add_argument(
        "--data-home",
        help="where named data sets lie (default: the folder MINIREC_DATA, then data/)",
    )
    again.add_argument("--seeds", default="0", metavar="0,1,2")
    again.add_argument(
        "--budget",
        type=_duration,
        default=math.inf,
        metavar="9m",
        help="for this call; what it cuts short the next call continues; 0: only show",
    )
    again.add_argument(
        "--unit-budget",
        type=_duration,
        default=math.inf,
        metavar="45m",
        help="the most training of one run, which is then recorded as ended by its budget",
    )
    again.add_argument(
        "--out", default="data/results", help="the folder of the records (default data/results)"
    )


def _data_flags(parser) -> None:
    parser.add_argument("--data", required=True, help="a named data set (see `datasets`) or a file")
    parser.add_argument(
        "--data-home",
        help="where named data sets lie (default: the folder MINIREC_DATA, then data/)",
    )
    parser.add_argument(
        "--columns", metavar="user=A,item=B,timestamp=C", help="the columns of a file with a header"
    )
    parser.add_argument(
        "--split",
        choices=("leave-one-out", "temporal"),
        help="default: the one a saved model was trained on, else leave-one-out",
    )


def _load(options):
    columns = (
        dict(_pair(part, "--columns") for part in options.columns.split(","))
        if options.columns
        else None
    )
    return minirec.load_dataset(options.data, data_home=options.data_home, columns=columns)


def _pair(text: str, flag: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise ValueError(f"{flag} takes KEY=VALUE; got {text!r}.")
    return key.strip(), value.strip()


def _show(frame: pd.DataFrame, options) -> None:
    print(frame.to_json(orient="records") if options.json else frame.to_string(index=False))


def _train(options) -> None:
    model_options(options.model)  # an unknown model is found before the data are loaded
    chosen = {
        name: getattr(options, name)
        for name in COMMON_OPTIONS
        if getattr(options, name) is not None
    }
    chosen |= {
        key: _value(value) for key, value in (_pair(text, "--option") for text in options.option)
    }
    data = _load(options)
    split = data.split(options.split or "leave-one-out")
    torch.manual_seed(options.seed)
    model = minirec.build_model(options.model, data.n_items, **chosen)
    taken = {"the data file": options.data}
    out = _writable(
        "--out",
        options.out or f"runs/{Path(options.data).name.split('.')[0]}-{options.model}.pt",
        taken,
    )
    if options.record is not None:
        options.record = _writable(
            "--record",
            options.record,
            taken
            | {"also the file of --out": out, "also the file of --checkpoint": options.checkpoint},
        )
        refuse_existing(options.record)
    quiet = options.json or not (options.log or sys.stdout.isatty())
    if not quiet:
        _head(options, data, split, model)
    begin = time.perf_counter()
    history = minirec.fit(
        model,
        split,
        **{name: getattr(options, name) for name in FIT_OPTIONS},
        progress=False if quiet else None,
        on_epoch=None if quiet else _epoch_line(options.epochs),
    )
    if not history.epochs:
        raise KeyboardInterrupt  # before the first epoch ended: there is nothing worth saving
    minirec.save_model(out, model, data)
    if options.record is None:
        test = _metrics(minirec.evaluate(model, split))
    else:
        record = record_run(model, split, history, options.typed)
        save_record(options.record, record)
        test = {
            "which": "test",
            "protocol": "full",
            "k": record["k"],
            **record["metrics"]["test"]["full"],
        }
    if options.json:
        epochs = [
            {key: None if value != value else value for key, value in entry.items()}
            for entry in history.epochs
        ]  # JSON has no NaN
        print(
            json.dumps(
                {
                    "model": options.model,
                    "options": model.options,
                    "data": options.data,
                    "saved": str(out),
                    "seconds": time.perf_counter() - begin,
                    "best_epoch": history.best_epoch,
                    "stopped": history.stopped,
                    "epochs": epochs,
                    "test": test,
                }
            )
        )
        return
    print(
        f"trained   {len(history.epochs)} epochs in {_time(sum(e['seconds'] for e in history.epochs))}, stopped by {history.stopped}; "
        f"best epoch {history.best_epoch}, valid NDCG@10 {history.best_ndcg:.4f}"
    )
    print(_line(test))
    if options.record is not None:
        print(f"recorded  {options.record}")
    example = (
        pd.DataFrame([data.item_ids[data.sequence(0)[:3] - 1]])
        .to_csv(header=False, index=False)
        .rstrip()
    )
    print(
        f"saved     {out}\nnext      python -m minirec recommend {shlex.quote(str(out))} --history {shlex.quote(example)}"
    )


def _head(options, data, split, model) -> None:
    device = choose_device(options.device)
    where = f"cpu, {torch.get_num_threads()} threads" if device.type == "cpu" else str(device)
    print(
        f"{options.data:<9} {data.n_users:,} users   {data.n_items:,} items   {data.n_interactions:,} interactions   "
        f"mean history {data.n_interactions / data.n_users:.1f}"
    )
    left_out = f"   {data.n_duplicates:,} duplicates left out" if data.n_duplicates else ""
    print(
        f"split     {split.kind}   {len(split.valid):,} valid   {len(split.test):,} test   {split.too_short:,} users {split.why_not_judged}{left_out}"
    )
    shown = "   ".join(
        f"{key} {value}" for key, value in model.options.items() if value is not None
    )
    print(
        f"{model.name:<9} {shown}   {sum(p.numel() for p in model.parameters()):,} parameters   {where}, {options.precision}",
        flush=True,
    )


def _writable(flag: str, path, taken: dict[str, object]) -> Path:
    """The path of a file to be, found out before the training and not after it. Raises where it cannot be written, or is one of those taken."""
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{flag} {path} is a folder; name a file in it.")
    for whose, other in taken.items():
        if other is not None and (
            path.resolve() == Path(other).resolve()
            or (path.exists() and Path(other).exists() and path.samefile(other))
        ):
            raise ValueError(f"{flag} {path} is {whose}; name another.")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"{flag} {path}: the folder {path.parent} is not writable.")
    return path


def _epoch_line(epochs: int):
    """A function that prints an epoch: number, loss, valid NDCG@10, whether it is the best so far, its time, the time left if every epoch is run."""

    def show(history) -> None:
        entry = history.epochs[-1]
        left = (epochs - entry["epoch"]) * history.frame()["seconds"].mean()
        best = " (best)" if history.best_epoch == entry["epoch"] else "       "
        print(
            f"epoch {entry['epoch']:>4}/{epochs}   loss {entry['loss']:.3f}   valid NDCG@10 {entry['valid_ndcg']:.4f}{best}"
            f"   {_time(entry['seconds'])}   left {_time(left)}",
            flush=True,
        )

    return show


def _evaluate(options) -> None:
    model, data = minirec.load_model(options.model), _load(options)
    split = data.split(options.split or model.vocabulary.split.partition(" ")[0] or "leave-one-out")
    result = minirec.evaluate(
        model,
        split,
        which=options.which,
        protocol=options.protocol,
        k=options.k,
        exclude_seen=options.exclude_seen,
    )
    print(json.dumps(_metrics(result)) if options.json else _line(_metrics(result)))


def _recommend(options) -> None:
    model = minirec.load_model(options.model)
    histories = [
        [raw.strip() for row in csv.reader([text]) for raw in row if raw.strip()]
        for text in options.history
    ]
    frame = minirec.recommend(model, histories, options.k, exclude_seen=options.exclude_seen)
    if options.json:
        print(frame.to_json(orient="records"))
        return
    for number, rows in frame.groupby("history"):
        unknown, fallback = rows.iloc[0][["unknown", "fallback"]]
        notes = f"   ({unknown} unknown items dropped)" * bool(
            unknown
        ) + "   (nothing known in it: the most popular items)" * bool(fallback)
        print(f"history {number + 1}: {options.history[number] or 'empty'}{notes}")
        print(rows[["rank", "item", "score"]].to_string(index=False, float_format="{:.3f}".format))


def _reproduce(options) -> None:
    if options.readme:
        return reproduce.write_readme(options.readme, options.out)
    if options.table == 1:
        return _show(reproduce.statistics_beside_paper(options.data_home), options)
    if options.table == 3:
        if options.budget != 0:
            reproduce.time_systems(options.out, options.typed)
        return _show(reproduce.efficiency_beside_paper(options.out), options)
    todo = reproduce.units(
        options.table,
        options.figure,
        data=options.data,
        seeds=[int(seed) for seed in options.seeds.split(",")],
    )
    reproduce.run(
        todo,
        options.out,
        command=options.typed,
        data_home=options.data_home,
        budget=options.budget,
        unit_budget=options.unit_budget,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    _show(reproduce.beside_paper(todo, options.out, options.table), options)


def _duration(text: str) -> float:
    """ "90", "90s", "9m" or "2h" -> seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 90s, 9m or 2h")
    return float(found[1]) * {"s": 1, "": 1, "m": 60, "h": 3600}[found[2]]


def _metrics(result) -> dict:
    return {"which": result.which, "protocol": result.protocol, "k": result.k, **result.figures}


def _line(test: dict) -> str:
    figures = "   ".join(
        f"{name}@{test['k']} {test[name.lower()]:.4f}" for name in ("Recall", "MRR", "NDCG")
    )
    return f"{test['which']:<9} {figures}   ({test['protocol']} ranking, {test['users']:,} users)"


def _value(text: str):
    """An option typed on the command line: a number, true, false, none, or text."""
    try:
        return ast.literal_eval(text.title() if text.lower() in ("true", "false", "none") else text)
    except (ValueError, SyntaxError):
        return text


def _time(seconds: float) -> str:
    return (
        f"{seconds:.1f} s"
        if seconds < 60
        else f"{seconds / 60:.1f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )


if __name__ == "__main__":
    sys.exit(main())
