"""What several commands share."""

import pandas as pd

import minirec


def data_flags(parser) -> None:
    """Add the flags that say which data, and how they are split."""
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


def load_data(options):
    """Load the data that the flags name."""
    columns = (
        dict(key_and_value(part, "--columns") for part in options.columns.split(","))
        if options.columns
        else None
    )
    return minirec.load_dataset(options.data, data_home=options.data_home, columns=columns)


def key_and_value(text: str, flag: str) -> tuple[str, str]:
    """Split KEY=VALUE; ValueError for anything else."""
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise ValueError(f"{flag} takes KEY=VALUE; got {text!r}.")
    return key.strip(), value.strip()


def show(frame: pd.DataFrame, options) -> None:
    """Print a frame as a table or as JSON."""
    print(frame.to_json(orient="records") if options.json else frame.to_string(index=False))


def metrics_of(result) -> dict:
    """Return an evaluation's metrics with what they are of."""
    return {"which": result.which, "protocol": result.protocol, "k": result.k, **result.figures}


def metrics_line(test: dict) -> str:
    """Return an evaluation's metrics as one line."""
    figures = "   ".join(
        f"{name}@{test['k']} {test[name.lower()]:.4f}" for name in ("Recall", "MRR", "NDCG")
    )
    return f"{test['which']:<9} {figures}   ({test['protocol']} ranking, {test['users']:,} users)"


def duration_in_words(seconds: float) -> str:
    """Return seconds as seconds, minutes or hours."""
    return (
        f"{seconds:.1f} s"
        if seconds < 60
        else f"{seconds / 60:.1f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )
