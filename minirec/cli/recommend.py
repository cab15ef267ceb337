"""minirec recommend: recommend from a saved model alone."""

import argparse
import csv

import pandas as pd

import minirec
from minirec.cli.shared import add_saved_model_flags


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `recommend`."""
    parser.add_argument(
        "--history",
        action="append",
        required=True,
        metavar="ITEM,ITEM,...",
        help="raw item ids, oldest first, as a line of CSV; may be repeated; may be empty",
    )
    add_saved_model_flags(parser)


def run(options: argparse.Namespace) -> None:
    """Print the best next items for each history."""
    model = minirec.load_model(options.model)
    histories = [_items_in(line) for line in options.history]
    frame = minirec.recommend(model, histories, options.k, exclude_seen=options.exclude_seen)
    if options.json:
        print(frame.to_json(orient="records"))
        return
    for number, rows in frame.groupby("history"):
        typed = options.history[number] or "empty"
        print(f"history {number + 1}: {typed}{_notes(rows)}")
        print(rows[["rank", "item", "score"]].to_string(index=False, float_format="{:.3f}".format))


def _items_in(line: str) -> list[str]:
    """Return the ids of a line of CSV, which may quote those that hold a comma."""
    items = []
    for row in csv.reader([line]):
        items += [raw.strip() for raw in row if raw.strip()]
    return items


def _notes(rows: pd.DataFrame) -> str:
    """Return what there is to say about one history; every row of it says the same."""
    notes = ""
    unknown = rows["unknown"].iloc[0]
    if unknown:
        notes += f"   ({unknown} unknown items dropped)"
    if rows["fallback"].iloc[0]:
        notes += "   (nothing known in it: the most popular items)"
    return notes
