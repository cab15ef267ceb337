"""What separates RecBLR's two figures on Beauty: one change a run, and only records fill the table.

Where a reason stands in the place of a run, the reason is tested.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from run_records import write_record

from minirec.data.batching import TrainingBatches
from minirec.data.datasets import load_dataset
from minirec.data.planted import generate_planted
from minirec.experiments.causes import (
    AS_SAMPLES,
    BASE,
    ONLY_THE_SEED,
    PRINTED,
    base_unit,
    causes,
    chosen_on_valid,
    configurations_in_words,
    table_of_causes,
    units_to_run,
)
from minirec.experiments.gpu import table_runs
from minirec.experiments.orders import cells_of_orders
from minirec.experiments.recblr import units_of_table

DAY = 24 * 60 * 60


def record(folder, unit, ndcg, name=None):
    """Write a record of a unit, with figures made up around an NDCG on test."""
    folder.mkdir(exist_ok=True)
    metrics = {
        "valid": {"full": {"recall": 3 * ndcg, "ndcg": ndcg + 0.01}},
        "test": {"full": {"recall": 2 * ndcg, "ndcg": ndcg}},
    }
    write_record(folder / f"{name or unit.name}.json", unit, metrics)


def unit_of_change(change):
    """The run of a row, the first of those of its name."""
    return next(cause.unit for cause in causes() if cause.change == change)


def differences(unit):
    """Where a run is not the base, its name left out."""
    base = base_unit()
    found = set()
    for ours, theirs in ((unit.options, base.options), (unit.settings, base.settings)):
        found |= {key for key in ours | theirs if ours.get(key) != theirs.get(key)}
    if unit.recorded_data != base.recorded_data:
        found.add("data")
    return found


def test_each_run_differs_from_the_base_in_one_thing():
    changed = [differences(cause.unit) for cause in causes() if cause.unit is not None]
    assert changed[0] == set()
    assert changed[1:5] == [{"data"}] * 4
    assert changed[5:] == [
        {"max_len"},
        {"objective", "prefixes_per_user"},
        {"padding_class"},
        {"seed"},
        {"seed"},
    ]


def test_each_row_has_a_run_or_a_reason_and_no_two_runs_one_name():
    listed = causes()
    names = [cause.unit.name for cause in listed if cause.unit is not None]
    assert len(set(names)) == len(names)
    for cause in listed:
        assert (cause.unit is None) == bool(cause.reason) == bool(cause.found)


def test_runs_of_other_tables_are_not_made_twice():
    names = {cause.unit.name for cause in causes() if cause.unit is not None}
    orders = {cell.unit.name for cell in cells_of_orders()}
    assert len(names & orders) == 5  # the base, whose ties are by id, and four other orders
    table_1 = {unit.name for seed in (0, 1, 2) for unit in units_of_table(1, seeds=[seed])}
    assert len(names & table_1) == 3  # three seeds


def test_on_a_gpu_they_come_behind_the_orders():
    names = [unit.name for unit in table_runs.units_by_worth()]
    n_orders = len(cells_of_orders())
    missing = [name for name in names[n_orders:] if "random" not in name][:3]
    assert missing == [
        unit_of_change("length of histories").name,
        unit_of_change("each prefix a sample").name,
        unit_of_change("padding is a class").name,
    ]


def test_the_table_shows_records_and_their_differences_to_the_base(tmp_path):
    record(tmp_path / "recblr", base_unit(), 0.04)
    record(tmp_path / "recblr", unit_of_change("order of ties"), 0.0625)
    record(tmp_path / "recblr", unit_of_change("padding is a class"), 0.035)
    table = table_of_causes(causes(), tmp_path)

    by_change = table.drop_duplicates("change").set_index("change")
    assert by_change.at[BASE, "ndcg"] == 0.04
    assert by_change.at[BASE, "ndcg difference"] == 0
    assert by_change.at["order of ties", "ndcg difference"] == pytest.approx(0.0225)
    assert by_change.at["order of ties", "recall difference"] == pytest.approx(0.045)
    assert by_change.at["padding is a class", "valid ndcg"] == pytest.approx(0.045)
    assert by_change.at["padding is a class", "ended"] == "converged"

    assert by_change.at["each prefix a sample", "ended"] == "not run"
    assert by_change.at["batch of evaluation", "ended"] == "cannot matter"
    assert np.isnan(by_change.at["each prefix a sample", "ndcg difference"])
    assert by_change.at[PRINTED, "recall"] == 0.0881
    assert by_change.at[PRINTED, "ndcg"] == 0.0446
    assert by_change.at[PRINTED, "ndcg difference"] == pytest.approx(0.0046)
    assert (table["ended"] == "converged").sum() == 3


def test_nothing_is_chosen_for_its_test_its_other_targets_or_its_seed(tmp_path):
    assert "none is best on valid" in chosen_on_valid(table_of_causes(causes(), tmp_path))
    record(tmp_path / "recblr", base_unit(), 0.04)
    record(tmp_path / "recblr", unit_of_change("order of ties"), 0.09)
    record(tmp_path / "recblr", unit_of_change(ONLY_THE_SEED), 0.08)
    record(tmp_path / "recblr", unit_of_change("padding is a class"), 0.05)

    path = tmp_path / "recblr" / f"{unit_of_change('each prefix a sample').name}.json"
    record(tmp_path / "recblr", unit_of_change("each prefix a sample"), 0.03)
    worse_on_test = json.loads(path.read_text())
    worse_on_test["metrics"]["valid"]["full"]["ndcg"] = 0.07
    path.write_text(json.dumps(worse_on_test))

    said = chosen_on_valid(table_of_causes(causes(), tmp_path))
    assert "among recorded runs (3): each prefix a sample (objective=prefix" in said
    assert said.endswith("NDCG@10 0.0700.")


def test_a_run_made_before_there_was_this_table_counts_and_is_not_made_again(tmp_path):
    longer = unit_of_change("length of histories")
    assert longer in units_to_run(causes(), tmp_path)
    record(tmp_path, longer, 0.041, name="beauty-recblr")
    (tmp_path / "recblr").mkdir()
    assert longer not in units_to_run(causes(), tmp_path)

    table = table_of_causes(causes(), tmp_path).set_index("change")
    assert table.at["length of histories", "ndcg"] == 0.041
    assert table.at[BASE, "ended"] == "not run"
    record(tmp_path / "recblr", longer, 0.042)
    table = table_of_causes(causes(), tmp_path).set_index("change")
    assert table.at["length of histories", "ndcg"] == 0.042


def test_configurations_are_counted_from_records(tmp_path):
    record(tmp_path / "recblr", base_unit(), 0.04)
    record(tmp_path / "recblr", base_unit(seed=1), 0.04)  # no configuration of its own
    record(tmp_path / "recblr", replace(base_unit(), model="gru4rec", options={}), 0.04, "other")
    record(tmp_path / "recblr", replace(base_unit(), data="sports"), 0.04)
    record(tmp_path / "recblr", unit_of_change("order of ties"), 0.04)
    record(tmp_path, unit_of_change("length of histories"), 0.04, name="beauty-recblr")
    trial = {"dropout": 0.25, "lr": 0.001, "batch_size": 512, "valid_ndcg": 0.05}
    search = {
        "schema": 1,
        "model": "recblr",
        "data": "beauty",
        "sizes": {"d_model": 64},
        "settings": {"seed": 0},
        "trials": [trial, trial | {"dropout": 0.5}],
    }
    (tmp_path / "tuning").mkdir()
    (tmp_path / "tuning" / "some-trials.json").write_text(json.dumps(search))
    (tmp_path / "tuning" / "some-best.json").write_text(json.dumps(search))
    assert configurations_in_words(tmp_path) == (
        "In all RecBLR was run on Beauty 6 times, in 5 configurations (seeds are not counted); "
        "2 of the runs are trials of a search."
    )


def test_as_samples_every_prefix_is_there_once_in_every_epoch():
    split = generate_planted(1, n_users=20).split()
    batches = TrainingBatches(
        split, "prefix", 50, 64, 0, prefixes_per_user=AS_SAMPLES["prefixes_per_user"]
    )
    asked = []
    for batch in batches.epoch(3):
        asked += zip(batch.inputs[:, 0].tolist(), batch.targets.tolist(), strict=True)

    expected = []
    log = split.interactions
    for start, end in zip(log.offsets[:-1], split.train_ends, strict=True):
        history = log.items[start:end].tolist()
        for t in range(1, len(history)):
            expected.append((history[max(0, t - 50)], history[t]))  # the last 50 before it
    assert sorted(asked) == sorted(expected)


def days(first, last):
    """Every day's first second from one year's beginning to another's, since 1970."""
    years = [
        np.datetime64(f"{year}-01-01").astype("datetime64[s]").astype(int) for year in (first, last)
    ]
    return np.arange(*years, DAY)


def test_whole_days_are_exact_in_float32():
    found = days(2000, 2015)
    assert len(found) == 15 * 365 + 4
    assert (found.astype(np.float32).astype(np.int64) == found).all()


def test_seconds_are_not_exact_in_float32():
    seconds = days(2000, 2001)[0] + np.arange(DAY)
    assert len(np.unique(seconds.astype(np.float32))) == DAY // 64 + 1


@pytest.mark.slow
def test_the_times_of_beauty_are_exact_in_float32(real_data):
    log = load_dataset("beauty", data_home=real_data, download=False, ties="id")
    assert (log.timestamps % DAY == 0).all()
    assert (log.timestamps.astype(np.float32).astype(np.int64) == log.timestamps).all()


@pytest.mark.slow
def test_nobody_in_beauty_has_more_prefixes_than_are_taken(real_data):
    log = load_dataset("beauty", data_home=real_data, download=False)
    assert np.diff(log.offsets).max() < AS_SAMPLES["prefixes_per_user"]
