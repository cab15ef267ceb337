"""minirec train: train a model, report it on the test users, save it."""

import argparse
import ast
import csv
import glob
import io
import json
import math
import os
import re
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import minirec
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
from minirec.evaluation import PROTOCOLS
from minirec.experiments.records import record_run, refuse_existing, save_record
from minirec.models import model_options
from minirec.models.base import Recommender
from minirec.training import FIT_DEFAULTS, PRECISIONS, SCHEDULES

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

HIGHEST_SEED = 2**64 - 1  # that PyTorch takes

# Endings of tables and of packings, which are no part of a data set's name.
KNOWN_ENDINGS = re.compile(
    r"\.(csv|tsv|txt|dat|json|jsonl|ndjson|inter|parquet|gz|bz2|xz|zip)$", re.IGNORECASE
)

# The signs of a pattern of files, such as * and [0-9], with the strokes and dots around them.
SIGNS_OF_A_PATTERN = re.compile(r"[-_. ]*(\[[^]]*\]|[*?])+[-_. ]*")

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
        "must be a new file",
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
    out, record_path = _files_to_write(options)
    if options.out is None:
        _refuse_to_replace_model_of_other_data(out, data)

    quiet = options.json or not (options.log or sys.stdout.isatty())
    if not options.json:
        print_read_as(data)
    if not quiet:
        _print_head(options, data, split, model)
    begin = time.perf_counter()
    history = minirec.fit(
        model,
        split,
        **{name: getattr(options, name) for name in FIT_OPTIONS},
        progress=False if quiet else None,
        on_epoch=None if quiet else _epoch_line(options.epochs),
    )
    if not history.epochs:
        # Ctrl-C ended fit before its first epoch: it ends the command, which has nothing to save.
        raise KeyboardInterrupt

    minirec.save_model(out, model, data)
    if record_path is None:
        test = metrics_of(minirec.evaluate(model, split))
    else:
        record = record_run(model, split, history, options.typed)
        save_record(record_path, record)
        figures = record["metrics"]["test"]["full"]
        test = {"which": "test", "protocol": "full", "k": record["k"], **figures}

    if options.json:
        seconds = time.perf_counter() - begin
        _print_json(options, model, data, history, test, out, seconds)
    else:
        _print_report(data, history, test, out, record_path)


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


def _files_to_write(options: argparse.Namespace) -> tuple[Path, Path | None]:
    """Return the paths of the model and of the record; raise where one cannot be written."""
    out = options.out or f"runs/{name_of_data(options.data)}-{options.model}.pt"
    taken: list[tuple[str, str | Path | None]] = [
        ("the data file", options.data),
        ("also the file of --test-data", options.test_data),
        ("also the file of --valid-data", options.valid_data),
        ("also the file of --checkpoint", options.checkpoint),
    ]
    taken += [("one of the data files", path) for path in glob.glob(options.data)]
    out = _writable("--out", out, taken)
    if options.record is None:
        return out, None

    taken.append(("also the file of --out", out))
    record_path = _writable("--record", options.record, taken)
    refuse_existing(record_path)
    return out, record_path


def name_of_data(typed: str) -> str:
    """Return what a data set is called in the name of a model's file.

    Parameters
    ----------
    typed : str
        A named data set, a file, a folder, or a pattern of files.

    Returns
    -------
    str
        The last part of the path, without the endings of tables and of packings, and without the
        signs of a pattern: "log.2020" of "logs/log.2020.csv.gz", "part" of "logs/part-*.csv".
    """
    name = Path(typed).name
    while KNOWN_ENDINGS.search(name):
        name = KNOWN_ENDINGS.sub("", name)
    name = SIGNS_OF_A_PATTERN.sub("-", name).strip("-")
    return name or "data"


def _refuse_to_replace_model_of_other_data(out: Path, data: minirec.Interactions) -> None:
    """Raise where the file that nobody typed holds a model of other data, or something else."""
    if not out.exists():
        return
    way_out = "name another file with --out, or this one to replace it."
    try:
        vocabulary = minirec.load_model(out).vocabulary
    except ValueError:
        raise ValueError(
            f"{out} exists, and is no model of this version of minirec; {way_out}"
        ) from None
    if vocabulary is not None and vocabulary.fingerprint != data.fingerprint:
        raise ValueError(f"{out} holds a model that was trained on other data; {way_out}")


def _writable(flag: str, path: str | Path, taken: list[tuple[str, str | Path | None]]) -> Path:
    """Return the path of a file to be; raise ValueError where it cannot be written.

    taken: in words what must not be overwritten, and its path, None where there is no such file.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{flag} {path} is a folder; name a file in it.")
    for whose, other in taken:
        if other is not None and _same_file(path, Path(other)):
            raise ValueError(f"{flag} {path} is {whose}; name another.")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"{flag} {path}: the folder {path.parent} is not writable.")
    return path


def _same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, be it by a link or before there is a file at all."""
    if one.resolve() == other.resolve():
        return True
    return one.exists() and other.exists() and one.samefile(other)


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
    print(
        f"{options.data:<9} {data.n_users:,} users   {data.n_items:,} items   "
        f"{data.n_interactions:,} interactions   mean history {mean_history:.1f}"
    )

    left_out = f"   {data.n_duplicates:,} duplicates left out" if data.n_duplicates else ""
    print(
        f"split     {split.kind}   {len(split.valid):,} valid   {len(split.test):,} test   "
        f"{split.too_short:,} users {split.why_not_judged}{left_out}"
    )

    given = {key: value for key, value in model.options.items() if value is not None}
    options_given = "   ".join(f"{key} {value}" for key, value in given.items())
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    print(
        f"{model.name:<9} {options_given}   {n_parameters:,} parameters   "
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
) -> None:
    """Print how the training went, the test metrics, the files written and what to do next."""
    seconds = sum(entry["seconds"] for entry in history.epochs)
    print(
        f"trained   {len(history.epochs)} epochs in {duration_in_words(seconds)}, "
        f"stopped by {history.stopped}; "
        f"best epoch {history.best_epoch}, valid NDCG@10 {history.best_ndcg:.4f}"
    )
    print(metrics_line(test))
    if record_path is not None:
        print(f"recorded  {record_path}")
    print(f"saved     {out}")
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
