"""What several commands share."""

import argparse
import contextlib
import csv
import sys
from pathlib import Path
from typing import Any

import pandas as pd

import minirec
from minirec.data.datasets import NAMED_SETS, load_file
from minirec.data.splits import split_files
from minirec.data.ties import ORDERS
from minirec.errors import printable, printable_path

HELD_OUT = 0.1  # the share of interactions in each held-out phase, unless --held-out says another

IN_QUOTES = "a pair that holds a comma, or a key that holds =, stands in double quotes"


def add_data_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which data, and how they are split."""
    parser.add_argument("--data", required=True, help="a named data set (see `datasets`) or a file")
    add_data_home_flag(parser)
    parser.add_argument(
        "--columns",
        metavar="user=A,item=B,timestamp=C",
        help="the columns of a file: names in its header, or positions counted from 0; "
        f"a line of CSV, so {IN_QUOTES}: 'user=id,\"item=title, year\"'. "
        "Or the word sequences: each line is a user and the user's items",
    )
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="COLUMN=VALUE",
        help="take only the rows that have this value, such as event=purchase; may be repeated; "
        f"COLUMN as in --columns; {IN_QUOTES}: '\"a=b\"=value'",
    )
    parser.add_argument(
        "--trusted",
        action="store_true",
        help="the file is yours: unpack it however much larger than its packed size it is",
    )
    parser.add_argument(
        "--ties",
        choices=ORDERS,
        default="file",
        help="the order of what a user chose at the same time, which decides which item is the "
        "last one: as in the file (default), by the raw item ids, or drawn at random",
    )
    parser.add_argument(
        "--ties-seed", type=int, default=0, help="of --ties random: one seed, one order"
    )
    _add_split_flags(parser)


def _add_split_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what is held out."""
    parser.add_argument(
        "--split",
        choices=("leave-one-out", "temporal"),
        help="default: the one a saved model was trained on, else leave-one-out",
    )
    parser.add_argument(
        "--held-out",
        type=_share,
        metavar="SHARE",
        help="of a temporal split: the share of the interactions in valid, and as many in test "
        f"(default {HELD_OUT})",
    )
    parser.add_argument(
        "--test-data", metavar="FILE", help="a file with what is held out; --data is for training"
    )
    parser.add_argument(
        "--valid-data",
        metavar="FILE",
        help="beside --test-data: a file with the targets of validation "
        "(default: each user's last training item)",
    )


def _share(text: str) -> float:
    """Read --held-out; argparse says what ArgumentTypeError holds."""
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 0.5:
        raise argparse.ArgumentTypeError(f"{text!r} is no share between 0 and 0.5")
    return share


def add_data_home_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flag that says where the named data sets lie."""
    parser.add_argument(
        "--data-home",
        help="where named data sets lie (default: the folder MINIREC_DATA, then data/)",
    )


def add_saved_model_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the commands that use a saved model."""
    parser.add_argument("model", help="a file written by train")
    parser.add_argument(
        "--k",
        type=int,
        default=10,
        help="the length of the list that is judged or printed (default 10)",
    )
    parser.add_argument(
        "--exclude-seen", action="store_true", help="take the history out of the candidates"
    )


def load_split(options: argparse.Namespace, trained_on: str = "") -> minirec.Split:
    """Load the data that the flags name, and split them as the flags say.

    Parameters
    ----------
    options : argparse.Namespace
        The flags of `add_data_flags`.
    trained_on : str
        The fingerprint of the split that a saved model was trained on; empty where none is known.

    Returns
    -------
    Split
        Of the kind that was typed, else of the saved model's kind, else leave-one-out.

    Raises
    ------
    ValueError
        Where flags do not go together; before anything is loaded.
    """
    if options.test_data is not None:
        return _load_files(options)
    if options.valid_data is not None:
        raise ValueError("--valid-data goes beside --test-data; name that file, too.")

    # The fingerprint begins with the split's kind.
    kind = options.split or trained_on.partition(" ")[0] or "leave-one-out"
    if kind == "files":
        raise ValueError(
            "the model was trained on separate files; name them as for training, by --test-data "
            "and, if there was one, --valid-data."
        )
    if options.held_out is not None and kind != "temporal":
        raise ValueError(f"--held-out is of a temporal split, and this one is {kind}.")
    held_out = HELD_OUT if options.held_out is None else options.held_out

    return _load(options.data, options).split(kind, held_out=held_out)


def _load_files(options: argparse.Namespace) -> minirec.Split:
    """Load separate files for training, test and perhaps valid.

    Raises ValueError, before anything is loaded, where flags do not go together or name one file
    twice.
    """
    if options.split is not None or options.held_out is not None:
        raise ValueError(
            "--test-data says what is held out, so --split and --held-out do not go beside it; "
            "leave them out."
        )
    named = [options.data, options.test_data]
    if options.valid_data is not None:
        named.append(options.valid_data)
    if len({Path(name).resolve() for name in named}) < len(named):
        raise ValueError(
            "--data, --test-data and --valid-data must be different files; got "
            f"{', '.join(map(printable_path, named))}."
        )
    train, test, *valid = [_load(name, options) for name in named]
    return split_files(train, test, *valid)


def _load(name_or_path: str, options: argparse.Namespace) -> minirec.Interactions:
    """Load one data set or file, read as the flags say."""
    how: dict[str, Any] = {}
    if options.columns:
        how["columns"] = _columns(options.columns)
    if options.where:
        wanted = _pairs(options.where, "--where")
        how["where"] = {_name_or_position(column): value for column, value in wanted.items()}
    if options.trusted:
        how["trusted"] = True
    if name_or_path not in NAMED_SETS:
        data = load_file(name_or_path, **how)  # what was taken is printed by print_read_as
        return data.reorder_ties(options.ties, options.ties_seed)
    how |= {"ties": options.ties, "seed": options.ties_seed}
    # What loading has to say, such as a licence, must not stand before the JSON.
    with contextlib.redirect_stdout(sys.stderr if options.json else sys.stdout):
        return minirec.load_dataset(name_or_path, data_home=options.data_home, **how)


def _columns(typed: str) -> dict[str, str | int] | str:
    """Return --columns as `load_dataset` takes it."""
    if typed == "sequences":
        return typed
    columns = _pairs(csv_fields(typed, "--columns"), "--columns")
    return {role: _name_or_position(column) for role, column in columns.items()}


def _pairs(texts: list[str], flag: str) -> dict[str, str]:
    """Return texts such as KEY=VALUE as a dict; raise where a key is there twice."""
    pairs = {}
    for text in texts:
        key, value = key_and_value(text, flag)
        if key in pairs:
            raise ValueError(f"{flag} has {key!r} twice; name it once.")
        pairs[key] = value
    return pairs


def _name_or_position(text: str) -> str | int:
    """Return a column's position where the text is one, else its name."""
    return int(text) if text.isascii() and text.isdigit() else text


def csv_fields(line: str, flag: str, delimiter: str = ",") -> list[str]:
    """Return the fields of what was typed as a line of CSV; raise ValueError, naming the flag."""
    try:
        rows = list(csv.reader([line], delimiter=delimiter))
    except csv.Error as error:
        raise ValueError(
            f"{flag} takes a line of CSV; {printable(line)} is none: {error}."
        ) from None
    return [field for row in rows for field in row]


def key_and_value(text: str, flag: str) -> tuple[str, str]:
    """Split KEY=VALUE, of which each may be quoted; raise ValueError, naming the flag."""
    key, *rest = csv_fields(text, flag, delimiter="=") or [""]
    value = "=".join(rest)
    if not (key.strip() and value.strip()):
        raise ValueError(f"{flag} takes KEY=VALUE; got {text!r}.")
    return key.strip(), value.strip()


def print_read_as(data: minirec.Interactions) -> None:
    """Print what was taken of a file, if the data came from one."""
    if data.read_as:
        print(f"read      {data.read_as}", flush=True)


def show(frame: pd.DataFrame, options: argparse.Namespace) -> None:
    """Print a frame as a table or as JSON."""
    print(frame.to_json(orient="records") if options.json else frame.to_string(index=False))


def metrics_of(evaluation: minirec.Evaluation) -> dict[str, Any]:
    """Return an evaluation's metrics with the phase, the protocol and k that they are of."""
    return {
        "which": evaluation.which,
        "protocol": evaluation.protocol,
        "k": evaluation.k,
        **evaluation.figures,
    }


def metrics_line(metrics: dict[str, Any]) -> str:
    """Return what `metrics_of` returns as one line."""
    k = metrics["k"]
    figures = "   ".join(
        f"{name}@{k} {metrics[name.lower()]:.4f}" for name in ("Recall", "MRR", "NDCG")
    )
    judged = f"({metrics['protocol']} ranking, {metrics['users']:,} users)"
    return f"{metrics['which']:<9} {figures}   {judged}"


def duration_in_words(seconds: float) -> str:
    """Return seconds as seconds, minutes or hours."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 5400:  # up to an hour and a half
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
