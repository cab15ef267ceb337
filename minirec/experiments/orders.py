"""What a published lead owes to the order of ties: one table of systems, orders and rankings.

Amazon's reviews carry days and MovieLens' ratings seconds in which people rate a page at a time. So
which item a user chose last, which is what leave-one-out asks for, hangs on the order in which a
copy of the data lists them. Here the same systems are trained and judged under several orders.
"""

import math
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from minirec.experiments.printed import paper
from minirec.experiments.recblr import unit_of
from minirec.experiments.records import FULL_RANKINGS
from minirec.experiments.units import Unit, recorded

# The papers' names of the systems, and ours: those that only count come first.
COUNTED = {"popularity": "popularity", "last item": "last-item"}
OURS = "RecBLR"  # whose lead over the others is looked at
TRAINED = {
    "RecBLR": "recblr",
    "SASRec": "sasrec",
    "GLINT-RU": "glint-ru",
    "LRURec": "lrurec",
}
SYSTEMS = COUNTED | TRAINED
ORDERS = ("file", "id", "random 0", "random 1", "random 2")

# In the order in which they are worth running; MovieLens-1M is known in two orders only. On
# MovieLens-100K, which neither paper has, systems are only counted.
ORDERS_OF = {"beauty": ORDERS, "sports": ORDERS, "ml-1m": ("file", "id"), "ml-100k": ORDERS}
ONLY_COUNTED = ("ml-100k",)

# Where an order is had as a file that is in it. The usual file of Beauty has its ties by id
# already; the order of the other public copy is its own.
FILES = {
    ("beauty", "file"): "beauty-with-times.inter.gz",
    ("beauty", "id"): "beauty",
}


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
        systems = COUNTED if data in ONLY_COUNTED else SYSTEMS
        for order in orders:
            for row, model in systems.items():
                cells.append(Ordered(data, order, _unit(row, model, data, order)))
    return sorted(cells, key=_worth)


def _unit(row: str, model: str, data: str, order: str) -> Unit:
    """Return the run of a system on the data in an order, at RecBLR's settings."""
    if (data, order) in FILES:
        return unit_of(row, model, data, loaded=FILES[data, order])
    return unit_of(row, model, data, ties=order)


def _worth(cell: Ordered) -> tuple[bool, int, bool, int]:
    """Return what cells are sorted by: counting, the data, the first three orders, the system."""
    systems = list(SYSTEMS.values())
    return (
        cell.unit.row in TRAINED,
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


def leads_by_order(table: pd.DataFrame) -> pd.DataFrame:
    """Ask what part of a published lead survives a random order of ties.

    Parameters
    ----------
    table : DataFrame
        From `table_of_orders`.

    Returns
    -------
    DataFrame
        A row for each data set and rival of RecBLR: RecBLR's NDCG@10 less the rival's, among all
        items, seen items kept: as its paper prints them, and as ours are in each order, with the
        mean over the random ones. NaN where nothing is printed, or where one of the two has no
        record or ended on its budget.
    """
    finished = table[table["ended"] == "converged"]
    cells = finished.set_index(["data", "system", "ties"])["ndcg full"]
    printed = paper(1, "recblr").set_index(["system", "data"])["ndcg"]
    rows = []
    for data, orders in ORDERS_OF.items():
        if data in ONLY_COUNTED:
            continue
        for rival in SYSTEMS:
            if rival == OURS:
                continue
            in_print = [printed.get((system, data), math.nan) for system in (OURS, rival)]
            row = {"data": data, "RecBLR's lead over": rival, "printed": in_print[0] - in_print[1]}
            for order in orders:
                both = [cells.get((data, system, order), math.nan) for system in (OURS, rival)]
                row[order] = both[0] - both[1]
            rows.append(row)
    leads = pd.DataFrame(rows)
    drawn = [order for order in ORDERS if order.startswith("random")]
    leads["random, mean"] = leads[drawn].mean(axis=1)
    return leads
