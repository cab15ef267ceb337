"""minirec train: train a model, report it on the test users, save it."""

import argparse
import ast
import csv
import io
import json
import math
import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import minirec
from minirec.cli.output_files import FilesToWrite, files_to_write, one_ctrl_c
from minirec.cli.shared import (
    add_data_flags,
    duration_in_words,
    key_and_value,
    load_split,
    metrics_line,
    metrics_of,
    print_read_as,
)
from minirec.devices import choose_device
from minirec.errors import printable
from minirec.evaluation import PROTOCOLS
from minirec.experiments.records import record_run
from minirec.models import model_options
from minirec.models.base import Recommender
from minirec.training import FIT_DEFAULTS, PRECISIONS, SCHEDULES
from minirec.training.settings import HIGHEST_SEED

# Options of models that have a flag of their own; the others are given by --option.
COMMON_OPTIONS = {
    "d_model": int,
    "n_layers": int,
    "n_heads": int,
    "dropout": float,
    "max_len": int,
    "kernel_size": int,
}

# Options of fit, each a flag, with its help.
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
    "objective": "prefix: train a next-item model on sampled prefixes "
    "(default: the model's own objective)",
}

# `History.stopped` in words.
WHY_IT_STOPPED = {
    "budget": "stopped by its budget",
    "epochs": "as many as --epochs allows",
    "patience": "then --patience ran out",
    "interrupted": "stopped by Ctrl-C",
    "counted": "by counting",
}

LONGEST_TYPED = 1000  # characters of an id in the command that is printed

CHOICES = {"lr_schedule": SCHEDULES, "precision": PRECISIONS, "select": PROTOCOLS}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `train`."""
    add_data_flags(parser)
    parser.add_argument(
        "--model", required=True, help=f"one of: {', '.join(minirec.available_models())}"
    )
    for name, kind in COMMON_OPTIONS.items():
        parser.add_argument(_flag(name), type=kind, help="an option of the model, if it has it")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any other option of the model; may be repeated",
    )
    for name, text in FIT_OPTIONS.items():
        default = FIT_DEFAULTS[name]
        parser.add_argument(
            _flag(name),
            type=_type_of(name),
            default=default,
            choices=CHOICES.get(name),
            help=text if default is None else f"{text} (default {default})",
        )
    parser.add_argument("--out", help="where to save the model (default runs/DATA-MODEL.pt)")
    parser.add_argument(
        "--record",
        metavar="FILE.json",
        help="where to leave the run's record: settings, history, metrics, machine; "
        "a new file, or the one that the same command left",
    )
    parser.add_argument(
        "--log", action="store_true", help="print a line per epoch even where there is no terminal"
    )


def _flag(name: str) -> str:
    """Return the flag of an option: "--batch-size" of "batch_size"."""
    return "--" + name.replace("_", "-")


def _type_of(name: str) -> Callable[[str], Any]:
    """Return what turns the text that was typed for an option of fit into its value."""
    default = FIT_DEFAULTS[name]
    if name == "seed":
        return _seed
    return str if default is None else type(default)


def _seed(text: str) -> int:
    """Read --seed; argparse says what ArgumentTypeError holds."""
    try:
        seed = int(text)
    except ValueError:
        seed = -1
    if not 0 <= seed <= HIGHEST_SEED:
        raise argparse.ArgumentTypeError(f"a seed is an integer from 0 to 2^64 - 1; got {text!r}")
    return seed


def run(options: argparse.Namespace) -> None:
    """Train a model, report it on the test users and save it."""
    # Whatever can be wrong with what was typed is found before the training.
    model_options(options.model)  # an unknown model, even before the data are loaded
    chosen = _options_of_model(options)
    split = load_split(options)
    data = split.interactions
    torch.manual_seed(options.seed)
    model = minirec.build_model(options.model, data.n_items, **chosen)
    files = files_to_write(options, split)
    if not options.json:
        print_read_as(data)
    if files.finished is not None:
        _report_what_is_finished(options, data, model, files)
        return

    quiet = options.json or not (options.log or sys.stdout.isatty())
    if not quiet:
        _print_head(options, data, split, model)
    began = time.perf_counter()
    with one_ctrl_c():
        history = minirec.fit(
            model,
            split,
            **{name: getattr(options, name) for name in FIT_OPTIONS},
            progress=False if quiet else None,
            on_epoch=None if quiet else _epoch_line(options.epochs),
        )
        _end_without_results(history, files)
        files.save_model(model, data)

    if files.record is None:
        test = metrics_of(minirec.evaluate(model, split))
    else:
        record = record_run(model, split, history, options.typed)
        files.save_record(record)
        test = _test_metrics(record)

    seconds = time.perf_counter() - began
    _report(options, data, model, history, test, files, seconds)


def _end_without_results(history: minirec.History, files: FilesToWrite) -> None:
    """End the command where Ctrl-C has left nothing that is worth saving."""
    if not history.epochs:
        raise KeyboardInterrupt
    if files.hold_more_than(history):
        kept = f"{files.model} and {files.record} are kept: they are of more epochs than this run."
        print(kept, file=sys.stderr)
        raise KeyboardInterrupt


def _report_what_is_finished(
    options: argparse.Namespace,
    data: minirec.Interactions,
    model: Recommender,
    files: FilesToWrite,
) -> None:
    """Report a run that the same command has finished before, from its record."""
    record = files.finished
    assert record is not None
    entries = [
        {name: math.nan if value is None else value for name, value in entry.items()}
        for entry in record["history"]
    ]
    history = minirec.History(
        entries, record["best_epoch"], record["stopped"], settings=record["settings"]
    )
    if not options.json:
        date = printable(record["date"])
        print(f"finished  this command ended on {date}; this is its record")
    _report(options, data, model, history, _test_metrics(record), files, record["seconds"])


def _test_metrics(record: dict[str, Any]) -> dict[str, Any]:
    """Return the test metrics in a record, as `metrics_of` returns those of an evaluation."""
    figures = record["metrics"]["test"]["full"]
    return {"which": "test", "protocol": "full", "k": record["k"], **figures}


def _report(
    options: argparse.Namespace,
    data: minirec.Interactions,
    model: Recommender,
    history: minirec.History,
    test: dict[str, Any],
    files: FilesToWrite,
    seconds: float,
) -> None:
    """Print what came of the run, as a table or as JSON."""
    if options.json:
        _print_json(options, model, data, history, test, files.model, seconds)
    else:
        _print_report(data, history, test, files.model, files.record, options.checkpoint)


def _options_of_model(options: argparse.Namespace) -> dict[str, Any]:
    """Return the model's options: those with a flag of their own, then those by --option."""
    chosen = {}
    for name in COMMON_OPTIONS:
        value = getattr(options, name)
        if value is not None:
            chosen[name] = value
    for text in options.option:
        key, typed = key_and_value(text, "--option")
        chosen[key] = _value(typed)
    return chosen


def _value(text: str) -> Any:
    """Read an option typed on the command line: a number, true, false, none, or text."""
    if text.lower() in ("true", "false", "none"):
        text = text.title()  # as Python spells them
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _print_head(
    options: argparse.Namespace,
    data: minirec.Interactions,
    split: minirec.Split,
    model: Recommender,
) -> None:
    """Print what is trained on what: the data, the split, the model and the device."""
    device = choose_device(options.device)  # raises before anything is printed
    where = f"cpu, {torch.get_num_threads()} threads" if device.type == "cpu" else str(device)

    mean_history = data.n_interactions / data.n_users
    name = options.data if data.ties == "file" else f"{options.data}, ties {data.ties}"
    print(
        f"data      {name}   {data.n_users:,} users   {data.n_items:,} items   "
        f"{data.n_interactions:,} interactions   mean history {mean_history:.1f}"
    )

    left_out = f"   {data.n_duplicates:,} duplicates left out" if data.n_duplicates else ""
    print(
        f"split     {split.kind}   {len(split.valid):,} valid   {len(split.test):,} test   "
        f"{split.too_short:,} users {split.why_not_judged}{left_out}"
    )

    given = {key: value for key, value in model.options.items() if value is not None}
    options_given = "".join(f"{key} {value}   " for key, value in given.items())
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    print(
        f"model     {model.name}   {options_given}{n_parameters:,} parameters   "
        f"{where}, {options.precision}",
        flush=True,
    )


def _epoch_line(epochs: int) -> Callable[[minirec.History], None]:
    """Return a function that prints the last epoch of a history as one line.

    The line has the epoch's number, loss, valid NDCG@10, whether it is the best so far, its time,
    and the time left if all `epochs` are run.
    """

    def print_line(history: minirec.History) -> None:
        entry = history.epochs[-1]
        epoch = entry["epoch"]
        seconds_left = (epochs - epoch) * history.frame()["seconds"].mean()
        best = " (best)" if history.best_epoch == epoch else "       "
        print(
            f"epoch {epoch:>4}/{epochs}   loss {entry['loss']:.3f}   "
            f"valid NDCG@10 {entry['valid_ndcg']:.4f}{best}   "
            f"{duration_in_words(entry['seconds'])}   left {duration_in_words(seconds_left)}",
            flush=True,
        )

    return print_line


def _print_json(
    options: argparse.Namespace,
    model: Recommender,
    data: minirec.Interactions,
    history: minirec.History,
    test: dict[str, Any],
    out: Path,
    seconds: float,
) -> None:
    """Print the run as one JSON object."""
    report = {
        "model": options.model,
        "options": model.options,
        "data": options.data,
        "read_as": data.read_as,
        "saved": str(out),
        "seconds": seconds,
        "best_epoch": history.best_epoch,
        "stopped": history.stopped,
        "epochs": [_without_nan(entry) for entry in history.epochs],
        "test": test,
    }
    print(json.dumps(report))


def _without_nan(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an epoch's entry with None for NaN, which JSON does not have."""
    return {key: None if math.isnan(value) else value for key, value in entry.items()}


def _print_report(
    data: minirec.Interactions,
    history: minirec.History,
    test: dict[str, Any],
    out: Path,
    record_path: Path | None,
    checkpoint: str | None,
) -> None:
    """Print how the training went, the test metrics, the files written and what to do next."""
    seconds = sum(entry["seconds"] for entry in history.epochs)
    n_epochs = len(history.epochs)
    epochs = "epoch" if n_epochs == 1 else "epochs"
    print(
        f"trained   {n_epochs} {epochs} in {duration_in_words(seconds)}, "
        f"{WHY_IT_STOPPED[history.stopped]}; "
        f"best epoch {history.best_epoch}, valid NDCG@10 {history.best_ndcg:.4f}"
    )
    print(metrics_line(test))
    if record_path is not None:
        print(f"recorded  {record_path}")
    print(f"saved     {out}")
    if history.stopped == "interrupted" and checkpoint is not None:
        print(f"go on     by the same command, from {checkpoint}")
    print(f"next      {_next_command(data, out)}")


def _next_command(data: minirec.Interactions, out: Path) -> str:
    """Return a command that recommends from the model, for a shell."""
    path = str(out)
    if path.startswith("-"):
        path = os.path.join(".", path)  # else it would be taken for a flag
    # Behind the equals sign an id may begin with a dash, too.
    history = f"--history={shlex.quote(_example_history(data))}"
    return f"python -m minirec recommend {shlex.quote(path)} {history}"


def _example_history(data: minirec.Interactions) -> str:
    """Return three items as a line of CSV, as --history takes it.

    They are the first user's first three, without those that cannot be typed; if none of them
    can, others of the catalogue; if none there can, the history is empty.
    """
    for items in (data.sequence(0)[:3], np.arange(1, data.n_items + 1)):
        typed = [_as_typed(raw) for raw in data.item_ids[items - 1].tolist()]
        usable = [field for field in typed if field]
        if usable:
            return ",".join(usable[:3])
    return ""


def _as_typed(raw: Any) -> str:
    """Return an id as a field of CSV; empty where it cannot be printed as it is, and typed again.

    Control characters cannot, nor what the terminal's encoding lacks, nor a text without an end.
    """
    text = str(raw)
    if len(text) > LONGEST_TYPED or not text.isprintable():
        return ""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return ""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([text])
    return line.getvalue()
