"""What several commands share."""

import argparse
from typing import Any

import pandas as pd

import minirec


def add_data_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which data, and how they are split."""
    parser.add_argument("--data", required=True, help="a named data set (see `datasets`) or a file")
    add_data_home_flag(parser)
    parser.add_argument(
        "--columns", metavar="user=A,item=B,timestamp=C", help="the columns of a file with a header"
    )
    parser.add_argument(
        "--split",
        choices=("leave-one-out", "temporal"),
        help="default: the one a saved model was trained on, else leave-one-out",
    )


def add_data_home_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flag that says where the named data sets lie."""
    parser.add_argument(
        "--data-home",
        help="where named data sets lie (default: the folder MINIREC_DATA, then data/)",
    )


def add_saved_model_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the commands that use a saved model."""
    parser.add_argument("model", help="a file written by train")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument(
        "--exclude-seen", action="store_true", help="take the history out of the candidates"
    )


def load_data(options: argparse.Namespace) -> minirec.Interactions:
    """Load the data that the flags name."""
    columns = None
    if options.columns:
        columns = dict(key_and_value(part, "--columns") for part in options.columns.split(","))
    return minirec.load_dataset(options.data, data_home=options.data_home, columns=columns)


def key_and_value(text: str, flag: str) -> tuple[str, str]:
    """Split KEY=VALUE; raise ValueError, naming the flag, for anything else."""
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise ValueError(f"{flag} takes KEY=VALUE; got {text!r}.")
    return key.strip(), value.strip()


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
