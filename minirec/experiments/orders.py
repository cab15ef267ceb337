"""What a published lead owes to the order of ties: one table of systems, orders and rankings.

Amazon's reviews carry days and MovieLens' ratings seconds in which people rate a page at a time. So
which item a user chose last, which is what leave-one-out asks for, hangs on the order in which a
copy of the data lists them. Here the same systems are trained and judged under several orders.
"""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from minirec.experiments.records import FULL_RANKINGS
from minirec.experiments.units import RECBLR_ON_ML_1M, Unit, recorded

# The papers' names of the systems, and ours: the ones that only count come first.
SYSTEMS = {
    "last item": "last-item",
    "RecBLR": "recblr",
    "SASRec": "sasrec",
    "GLINT-RU": "glint-ru",
    "LRURec": "lrurec",
}
ORDERS = ("file", "id", "random 0", "random 1", "random 2")

# In the order in which they are worth running; MovieLens-1M is known in two orders only.
ORDERS_OF = {"beauty": ORDERS, "sports": ORDERS, "ml-1m": ("file", "id")}

# Where an order is had as a file that is in it. The usual file of Beauty has its ties by id
# already; the order of the other public copy is its own.
FILES = {
    ("beauty", "file"): "beauty-with-times.inter.gz",
    ("beauty", "id"): "beauty",
}

# RecBLR's section 4.1.
AMAZON = {"d_model": 64, "max_len": 50, "dropout": 0.5}
SIZES = {
    "beauty": AMAZON,
    "sports": AMAZON,
    "ml-1m": {"d_model": 64, "max_len": 200, "dropout": 0.2},
}
TWO_LAYERS = ("recblr", "sasrec", "lrurec")  # GLINT-RU has one by design
SETTINGS = {"select": "full", "epochs": 200, "patience": 10, "seed": 0}
SETTINGS_ON = {"ml-1m": RECBLR_ON_ML_1M}  # the best that was found on valid


class Ordered(NamedTuple):
    """A cell of the table: the system, the data and their order of ties, and the run behind it."""

    data: str
    order: str
    unit: Unit


def cells_of_orders() -> list[Ordered]:
    """List the cells of the table: those that count first, then in order of worth.

    Returns
    -------
    list of Ordered
        Every system on every data set in every order of ties, at RecBLR's sizes.
    """
    cells = []
    for data, orders in ORDERS_OF.items():
        for order in orders:
            for row, model in SYSTEMS.items():
                cells.append(Ordered(data, order, _unit(row, model, data, order)))
    return sorted(cells, key=_worth)


def _unit(row: str, model: str, data: str, order: str) -> Unit:
    options: dict[str, Any] = {}
    settings: dict[str, Any] = dict(SETTINGS)
    if model != "last-item":
        options = dict(SIZES[data])
        settings |= SETTINGS_ON.get(data, {})
    if model in TWO_LAYERS:
        options["n_layers"] = 2
    if (data, order) in FILES:
        return Unit(row, data, FILES[data, order], model, options, settings)
    return Unit(row, data, data, model, options, settings, ties=order)


def _worth(cell: Ordered) -> tuple[bool, int, bool, int]:
    """Return what cells are sorted by: counting, the data, the first three orders, the system."""
    systems = list(SYSTEMS.values())
    return (
        cell.unit.model != "last-item",
        list(ORDERS_OF).index(cell.data),
        cell.order not in ORDERS[:3],
        systems.index(cell.unit.model),
    )


def table_of_orders(cells: list[Ordered], out: str | Path) -> pd.DataFrame:
    """Put what was recorded side by side.

    Parameters
    ----------
    cells : list of Ordered
        From `cells_of_orders`.
    out : str or Path
        The folder of the records.

    Returns
    -------
    DataFrame
        A row for each system, data set and order of ties: how the run ended, "not run" where there
        is no record; and on test Recall@10 of all items and NDCG@10 under each of FULL_RANKINGS.
    """
    units = [cell.unit for cell in cells]
    found = {id(unit): record for unit, record in recorded(units, out)}
    rows = []
    for cell in cells:
        record = found.get(id(cell.unit), {})
        row = {
            "data": cell.data,
            "ties": cell.order,
            "system": cell.unit.row,
            "ended": record.get("ended", "not run"),
            "recall": record.get("metrics.test.full.recall"),
        }
        for ranking in FULL_RANKINGS:
            row[f"ndcg {ranking}"] = record.get(f"metrics.test.{ranking}.ndcg")
        rows.append(row)
    table = pd.DataFrame(rows)
    in_order = [list(ORDERS_OF), list(ORDERS), list(SYSTEMS)]
    for column, known in zip(["data", "ties", "system"], in_order, strict=True):
        table[column] = pd.Categorical(table[column], known)
    return table.sort_values(["data", "system", "ties"], ignore_index=True)
