"""The runs behind RecBLR's tables: every printed row has one, at the paper's settings."""

import pytest
from run_records import write_record

from minirec.experiments import tables
from minirec.experiments.recblr import (
    DROPOUTS,
    LOADED,
    LONG,
    OF_THE_OTHER_PAPER,
    ONLY_AS_FILES,
    SIZES,
    unit_of,
    units_of_figure_6,
    units_of_table,
)
from minirec.models import build_model


def rows_of(units):
    return {(unit.row, unit.paper_data) for unit in units}


@pytest.mark.parametrize("table", [1, 3])
def test_every_printed_row_has_a_run_where_the_data_are_to_be_had(table):
    printed = tables.paper(table, "recblr")
    files = {name: f"/data/{name}.inter" for name in ("gowalla", "steam")}
    asked = rows_of(units_of_table(table, files))
    assert set(zip(printed.iloc[:, 0], printed["data"], strict=True)) <= asked

    to_be_had = rows_of(units_of_table(table))
    assert {data for _, data in to_be_had} == set(LOADED)
    more = {row for row, _ in to_be_had} - set(printed.iloc[:, 0])
    assert more == (set(OF_THE_OTHER_PAPER) if table == 1 else set())


def test_table_4_stands_on_generated_logs_and_on_the_reader_s_file():
    printed = tables.paper(4, "recblr")
    generated = units_of_table(4)
    assert {unit.paper_data for unit in generated} == set(LONG)
    assert {unit.options["max_len"] for unit in generated} == {800, 8000}
    with_file = units_of_table(4, {"xlong": "/data/xlong.inter", "steam": "/data/steam.inter"})
    assert set(zip(printed["system"], printed["data"], strict=True)) <= rows_of(with_file)
    assert "steam" not in {unit.paper_data for unit in with_file}


def test_every_run_has_a_name_of_its_own_and_a_model_that_can_be_built():
    found = [unit for table in (1, 3, 4) for unit in units_of_table(table, seeds=(0, 1))]
    # The default of Table 3 is RecBLR of Table 1.
    names = {unit.name for unit in found}
    assert len(names) == len(found) - 2 * len(LOADED)
    assert all(name.startswith("recblr-") for name in names)
    for unit in found:
        if unit.paper_data == "beauty":
            assert build_model(unit.model, 5, **unit.options).options["max_len"] == 50


def test_figure_6_has_a_run_for_every_dropout_one_of_them_table_1_s():
    found = units_of_figure_6()
    names = {unit.name for unit in found}
    assert len(names) == len(found) == len(DROPOUTS) * len(LOADED)
    of_table_1 = {unit.name for unit in units_of_table(1) if unit.model == "recblr"}
    assert of_table_1 <= names
    assert {unit.options["dropout"] for unit in found} == set(DROPOUTS)


def test_table_4_says_what_long_histories_cost(tmp_path):
    unit = next(unit for unit in units_of_table(4) if unit.model == "sasrec")
    figures = {"recall": 0.3, "mrr": 0.1, "ndcg": 0.2, "users": 10}
    cost = {"history": [{}] * 4, "seconds": 20.0, "peak_memory_mib": 300.0, "device": "a machine"}
    write_record(tmp_path / "one.json", unit, {"test": {"full": figures}}, **cost)

    table = tables.long_beside_paper(units_of_table(4), tmp_path).set_index(["system", "data"])
    row = table.loc["SASRec", unit.paper_data]
    assert row["seconds per epoch"] == 5
    assert row["peak memory (MiB)"] == 300
    assert row["ndcg"] == 0.2
    assert table.drop(row.name)["ndcg"].isna().all()
    assert set(table.drop(row.name)["ended"]) == {"not run"}


def test_settings_are_those_of_section_4_1():
    unit = unit_of("RecBLR", "recblr", "xlong", seed=3)
    assert unit.options == {"d_model": 64, "max_len": 1000, "dropout": 0.2}
    assert unit.settings["batch_size"] == 512
    assert unit.settings["seed"] == 3
    assert unit.settings["patience"] == 10
    assert unit_of("FPMC", "fpmc", "beauty").settings["select"] == "full"
    assert set(ONLY_AS_FILES) < set(SIZES)


def test_a_table_without_runs_is_refused():
    with pytest.raises(ValueError, match="Tables 1, 3 and 4; got table 2"):
        units_of_table(2)
