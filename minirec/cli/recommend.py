"""minirec recommend: recommend from a saved model alone."""

import argparse
import json

import pandas as pd

import minirec
from minirec.cli.shared import add_saved_model_flags, csv_fields
from minirec.errors import printable
from minirec.evaluation.evaluate import check_k


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `recommend`."""
    parser.add_argument(
        "--history",
        action="append",
        required=True,
        metavar="ITEM,ITEM,...",
        help="raw item ids, oldest first, as a line of CSV; may be repeated; may be empty; "
        "--history=-5,... where the first id begins with a dash",
    )
    add_saved_model_flags(parser)


def run(options: argparse.Namespace) -> None:
    """Print the best next items for each history."""
    check_k(options.k)
    model = minirec.load_model(options.model)
    assert model.vocabulary is not None  # load_model sets it
    known = set(map(str, model.vocabulary.item_ids.tolist()))
    histories = [items_in(line, known) for line in options.history]
    frame = minirec.recommend(model, histories, options.k, exclude_seen=options.exclude_seen)
    if options.json:
        print(json.dumps(frame.to_dict(orient="records")))
        return

    frame["item"] = frame["item"].map(printable)
    for number, line in enumerate(options.history):
        rows = frame[frame["history"] == number]
        print(f"history {number + 1}: {printable(line) or 'empty'}{_notes(rows)}")
        if len(rows):
            table = rows[["rank", "item", "score"]]
            print(table.to_string(index=False, float_format="{:.3f}".format))


def items_in(line: str, known: set[str]) -> list[str]:
    """Return the ids of a line of CSV, which may quote those that hold a comma.

    Parameters
    ----------
    line : str
        What was typed.
    known : set of str
        The ids of the model. Blanks around an id are dropped, unless they are part of a known id.

    Returns
    -------
    list of str
        The ids.
    """
    fields = csv_fields(line, "--history")
    return [raw if raw in known else raw.strip() for raw in fields if raw.strip()]


def _notes(rows: pd.DataFrame) -> str:
    """Return what there is to say about one history; every row of it says the same."""
    if len(rows) == 0:
        return "   (all items are in it: none is left to recommend)"
    notes = ""
    unknown = rows["unknown"].iloc[0]
    if unknown:
        items = "item" if unknown == 1 else "items"
        notes += f"   ({unknown} unknown {items} dropped)"
    if rows["fallback"].iloc[0]:
        notes += "   (nothing known in it: the most popular items)"
    return notes
