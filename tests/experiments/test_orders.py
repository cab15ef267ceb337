"""The table of orders of ties: every cell has its run, and only records fill it."""

import math

import pytest
from run_records import write_record

from minirec import load_dataset
from minirec.data.datasets import NAMED_SETS
from minirec.errors import DataError
from minirec.experiments.orders import (
    BASELINES,
    FILES,
    ONLY_BASELINES,
    ORDERS_OF,
    TRAINED,
    cells_of_orders,
    leads_by_order,
    table_of_orders,
)
from minirec.experiments.recblr import SETTINGS
from minirec.experiments.records import FULL_RANKINGS, record_run
from minirec.experiments.units import Unit
from minirec.models import build_model
from minirec.training import fit


def record(folder, unit, ndcg, ended="converged"):
    """Write a record of a unit, with an NDCG made up for each ranking."""
    test = {name: {"recall": 0.5, "ndcg": ndcg + 0.01 * n} for n, name in enumerate(FULL_RANKINGS)}
    write_record(folder / f"{unit.name}.json", unit, {"test": test}, ended=ended)


def test_every_system_has_a_run_of_its_own_in_every_order():
    cells = cells_of_orders()
    n_trained = sum(len(ORDERS_OF[data]) for data in ORDERS_OF if data not in ONLY_BASELINES)
    n_baselines = sum(len(orders) for orders in ORDERS_OF.values())
    n_cells = n_trained * len(TRAINED) + n_baselines * len(BASELINES)
    assert len({cell.unit.name for cell in cells}) == len(cells) == n_cells
    assert len({(cell.data, cell.order, cell.unit.row) for cell in cells}) == len(cells)


def test_the_baselines_come_first():
    rows = [cell.unit.row for cell in cells_of_orders()]
    n_baselines = sum(row in BASELINES for row in rows)
    assert set(rows[:n_baselines]) == set(BASELINES)


def test_the_table_shows_records_and_says_not_run_elsewhere(tmp_path):
    cells = cells_of_orders()
    chosen = next(cell for cell in cells if cell.unit.model == "sasrec" and "random" in cell.order)
    record(tmp_path, chosen.unit, 0.03)

    table = table_of_orders(cells, tmp_path)
    assert len(table) == len(cells)
    was_run = table["ended"] != "not run"
    row = table[was_run].iloc[0]
    assert (row["data"], row["ties"], row["system"]) == ("beauty", chosen.order, "SASRec")
    assert row["ndcg full"] == 0.03
    assert row["ndcg full-unseen"] == 0.04
    assert row["ndcg full-unseen-window"] == 0.05
    assert was_run.sum() == 1
    assert table.loc[~was_run, "ndcg full"].isna().all()


def test_a_lead_is_the_difference_of_two_finished_runs_in_one_order(tmp_path):
    cells = {(cell.data, cell.order, cell.unit.row): cell.unit for cell in cells_of_orders()}
    record(tmp_path, cells["beauty", "id", "RecBLR"], 0.05)
    record(tmp_path, cells["beauty", "id", "SASRec"], 0.04)
    record(tmp_path, cells["beauty", "random 0", "RecBLR"], 0.04)
    record(tmp_path, cells["beauty", "random 0", "SASRec"], 0.038)
    record(tmp_path, cells["beauty", "random 1", "RecBLR"], 0.04)
    record(tmp_path, cells["beauty", "file", "RecBLR"], 0.04)
    record(tmp_path, cells["beauty", "file", "SASRec"], 0.01, ended="budget")

    leads = leads_by_order(table_of_orders(cells_of_orders(), tmp_path))
    lead = leads.set_index(["data", "RecBLR's lead over"]).loc["beauty", "SASRec"]
    assert lead["printed"] == pytest.approx(0.0446 - 0.0409)
    assert lead["id"] == pytest.approx(0.01)
    assert lead["random 0"] == lead["random, mean"] == pytest.approx(0.002)
    assert math.isnan(lead["file"])  # a run that ended on its budget is not compared
    assert "ml-100k" not in set(leads["data"])


@pytest.mark.slow
def test_a_run_in_an_order_is_recorded_under_it(tmp_path):
    path = tmp_path / "log.csv"
    rows = [f"{user},{(user * step) % 7},{step // 2}" for user in range(9) for step in range(6)]
    path.write_text("\n".join(["user,item,timestamp", *rows]))
    unit = Unit("last item", "log", "log.csv", "last-item", {}, SETTINGS, ties="random 2")

    split = unit.load(tmp_path).split()
    model = build_model(unit.model, split.interactions.n_items)
    made = record_run(model, split, fit(model, split, device="cpu", **unit.settings))
    assert made["data"] == unit.recorded_data == "log.csv, ties random 2"
    assert made["ties"] == "random 2"
    assert set(FULL_RANKINGS) <= set(made["metrics"]["test"])
    assert unit.name.startswith("log-ties-random-2-last-item")


def test_a_file_that_lies_nowhere_is_named(tmp_path):
    unit = Unit("last item", "log", "gowalla.inter", "last-item", {}, SETTINGS)
    with pytest.raises(DataError, match=r"gowalla\.inter is no named data set and lies in no"):
        unit.load(tmp_path)


@pytest.mark.slow
def test_the_usual_file_of_beauty_has_its_ties_by_id(real_data):
    assert FILES["beauty", "id"] == "beauty"
    by_id = load_dataset("beauty", data_home=real_data, download=False, ties="id")
    usual = load_dataset("beauty", data_home=real_data, download=False)
    assert (usual.offsets == by_id.offsets).all()
    same_place = set(zip(usual.items.tolist(), by_id.items.tolist(), strict=True))
    assert len(same_place) == usual.n_items  # the two copies differ in the items' numbers alone
    assert FILES["beauty", "file"] in NAMED_SETS["beauty"].with_times
