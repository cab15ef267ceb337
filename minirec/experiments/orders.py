"""How far a published lead depends on the order of ties: systems by orders and rankings.

What ties are, and why their order decides which item is the target, stands in `minirec.data.ties`.
Here the same systems are trained and judged under several orders of the same interactions.
"""

import math
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from minirec.experiments.printed import paper
from minirec.experiments.recblr import unit_of
from minirec.experiments.records import FULL_RANKINGS
from minirec.experiments.units import Unit, recorded

# The papers' names of the systems, and ours. The baselines count occurrences and have no weights.
BASELINES = {"popularity": "popularity", "last item": "last-item"}
LEADER = "RecBLR"  # whose lead over the others is looked at
TRAINED = {
    "RecBLR": "recblr",
    "SASRec": "sasrec",
    "GLINT-RU": "glint-ru",
    "LRURec": "lrurec",
}
SYSTEMS = BASELINES | TRAINED
ORDERS = ("file", "id", "random 0", "random 1", "random 2")

# The data sets, the most telling first. MovieLens-1M is at hand in two orders only. MovieLens-100K
# stands in neither paper, so only the baselines are run on it.
ORDERS_OF = {"beauty": ORDERS, "sports": ORDERS, "ml-1m": ("file", "id"), "ml-100k": ORDERS}
ONLY_BASELINES = ("ml-100k",)

# Orders that come as a file of their own. The usual file of Beauty has its ties by id already; the
# other public copy, which has times, lists them in another order.
FILES = {
    ("beauty", "file"): "beauty-with-times.inter.gz",
    ("beauty", "id"): "beauty",
}


class Ordered(NamedTuple):
    """A cell of the table: a system on data in one order of ties."""

    data: str  # a key of ORDERS_OF
    order: str  # one of ORDERS
    unit: Unit  # the run behind it, with the system


def cells_of_orders() -> list[Ordered]:
    """List the cells of the table in the order in which they are run, the baselines first.

    Returns
    -------
    list of Ordered
        Every system on every data set in every order of ties, at RecBLR's sizes.
    """
    cells = []
    for data, orders in ORDERS_OF.items():
        systems = BASELINES if data in ONLY_BASELINES else SYSTEMS
        for order in orders:
            for row, model in systems.items():
                cells.append(Ordered(data, order, _unit(row, model, data, order)))
    return sorted(cells, key=_place_in_line)


def _unit(row: str, model: str, data: str, order: str) -> Unit:
    """Return the run of a system on the data in an order, at RecBLR's settings."""
    if (data, order) in FILES:
        return unit_of(row, model, data, loaded=FILES[data, order])
    return unit_of(row, model, data, ties=order)


def _place_in_line(cell: Ordered) -> tuple[bool, int, bool, int]:
    """Return what cells are sorted by, the least first.

    Baselines before trained systems, which take hours; then by data set; then the first three
    orders of all systems before the others; then by system.
    """
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
    """Tell how much of RecBLR's published lead is left under each order of ties.

    Parameters
    ----------
    table : DataFrame
        From `table_of_orders`.

    Returns
    -------
    DataFrame
        A row for each data set and rival of RecBLR: RecBLR's test NDCG@10 less the rival's, among
        all items with seen items kept.

        - printed: as RecBLR's paper has it; NaN where it prints none.
        - a column for each order: ours; NaN where one of the two has no record or ended on its
          budget.
        - random, mean: over the random orders.
    """
    finished = table[table["ended"] == "converged"]
    cells = finished.set_index(["data", "system", "ties"])["ndcg full"]
    printed = paper(1, "recblr").set_index(["system", "data"])["ndcg"]
    rows = []
    for data, orders in ORDERS_OF.items():
        if data in ONLY_BASELINES:
            continue
        for rival in SYSTEMS:
            if rival == LEADER:
                continue
            in_print = [printed.get((system, data), math.nan) for system in (LEADER, rival)]
            row = {"data": data, "RecBLR's lead over": rival, "printed": in_print[0] - in_print[1]}
            for order in orders:
                both = [cells.get((data, system, order), math.nan) for system in (LEADER, rival)]
                row[order] = both[0] - both[1]
            rows.append(row)
    leads = pd.DataFrame(rows)
    drawn = [order for order in ORDERS if order.startswith("random")]
    leads["random, mean"] = leads[drawn].mean(axis=1)
    return leads
