"""minirec train: train a model, report it on the test users, save it."""

import ast
import json
import os
import shlex
import sys
import time
from pathlib import Path

import pandas as pd
import torch

import minirec
from minirec.cli.shared import (
    data_flags,
    duration_in_words,
    key_and_value,
    load_data,
    metrics_line,
    metrics_of,
)
from minirec.devices import choose_device
from minirec.evaluation import PROTOCOLS
from minirec.experiments.records import record_run, refuse_existing, save_record
from minirec.models import model_options
from minirec.training import FIT_DEFAULTS, PRECISIONS, SCHEDULES

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


def add_flags(train) -> None:
    """Add the flags of `train`."""
    data_flags(train)
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


def run(options) -> None:
    """Train a model, report it on the test users and save it."""
    model_options(options.model)  # an unknown model is found before the data are loaded
    chosen = {
        name: getattr(options, name)
        for name in COMMON_OPTIONS
        if getattr(options, name) is not None
    }
    chosen |= {
        key: _value(value)
        for key, value in (key_and_value(text, "--option") for text in options.option)
    }
    data = load_data(options)
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
        test = metrics_of(minirec.evaluate(model, split))
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
        f"trained   {len(history.epochs)} epochs in {duration_in_words(sum(e['seconds'] for e in history.epochs))}, stopped by {history.stopped}; "
        f"best epoch {history.best_epoch}, valid NDCG@10 {history.best_ndcg:.4f}"
    )
    print(metrics_line(test))
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
            f"   {duration_in_words(entry['seconds'])}   left {duration_in_words(left)}",
            flush=True,
        )

    return show


def _value(text: str):
    """An option typed on the command line: a number, true, false, none, or text."""
    try:
        return ast.literal_eval(text.title() if text.lower() in ("true", "false", "none") else text)
    except (ValueError, SyntaxError):
        return text
