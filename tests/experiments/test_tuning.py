"""The search: the same for every system, on valid alone, resumed where it was stopped."""

from dataclasses import replace

import pytest

from minirec.data.planted import generate_planted
from minirec.experiments import tuning
from minirec.experiments.records import load_record
from minirec.experiments.tuning import best_settings, tune, tuned_side_by_side, unit_to_tune

pytestmark = pytest.mark.slow

optuna = pytest.importorskip("optuna", reason="the extra 'tune' is not installed")


@pytest.fixture
def split():
    return generate_planted(0, n_users=60).split()


@pytest.fixture
def unit():
    """GRU4Rec, small, for one epoch a trial."""
    unit = unit_to_tune("gru4rec", "planted", epochs=1)
    settings = unit.settings | {"device": "cpu"}
    return replace(unit, options={"d_model": 4, "max_len": 10}, settings=settings)


def search(unit, split, out, n_trials, **options):
    return tune(unit, split, out, n_trials=n_trials, command=["python"], say=str, **options)


def without_times(trials):
    return [{key: value for key, value in trial.items() if key != "seconds"} for trial in trials]


def test_a_search_that_is_resumed_tries_what_it_would_have_tried(unit, split, tmp_path):
    whole = search(unit, split, tmp_path / "whole", 6)
    search(unit, split, tmp_path / "apart", 5)
    apart = search(unit, split, tmp_path / "apart", 6)
    assert without_times(apart["trials"]) == without_times(whole["trials"])
    assert len({trial["lr"] for trial in whole["trials"]}) == 6


def test_what_is_tried_first_is_the_same_for_every_system(unit, split, tmp_path):
    other = replace(unit, model="sasrec")
    tried = []
    for each in (unit, other):
        found = search(each, split, tmp_path, 3)
        tried.append([best_settings({"trials": [trial]}) for trial in found["trials"]])
    assert tried[0] == tried[1]
    for settings in tried[0]:
        low, high = tuning.LEARNING_RATES
        assert low <= settings["lr"] <= high
        assert settings["batch_size"] in tuning.BATCH_SIZES


def test_the_winner_is_the_best_on_valid_and_only_it_meets_the_test_users(unit, split, tmp_path):
    found = search(unit, split, tmp_path, 3)
    best = max(found["trials"], key=lambda trial: trial["valid_ndcg"])
    winner = load_record(tmp_path / f"{unit.name}-best.json")
    assert winner["settings"]["lr"] == best["lr"]
    assert winner["options"]["dropout"] == best["dropout"]
    valid = winner["history"][winner["best_epoch"] - 1]["valid_ndcg"]
    assert valid == best["valid_ndcg"]  # trained once more, with the same seed

    recorded = load_record(tmp_path / f"{unit.name}-trials.json")
    assert "metrics" not in recorded
    row = tuned_side_by_side(tmp_path).iloc[0]
    assert row["trials"] == "3 of 3"
    assert row["best valid ndcg"] == best["valid_ndcg"]
    assert row["test ndcg"] == winner["metrics"]["test"]["full"]["ndcg"]


def test_settings_that_diverge_are_worth_nothing(unit, split, tmp_path, monkeypatch):
    def diverge(*arguments):
        raise FloatingPointError("the loss is nan")

    monkeypatch.setattr(tuning, "_train", diverge)
    with pytest.raises(FloatingPointError):  # of the winner, once all trials diverged
        search(unit, split, tmp_path, 2)
    trials = load_record(tmp_path / f"{unit.name}-trials.json")["trials"]
    assert [trial["stopped"] for trial in trials] == ["diverged", "diverged"]
    assert [trial["valid_ndcg"] for trial in trials] == [0, 0]


def test_another_search_of_the_same_name_is_refused(unit, split, tmp_path):
    search(unit, split, tmp_path, 1)
    longer = replace(unit, settings=unit.settings | {"epochs": 2})
    with pytest.raises(ValueError, match=r"is the record of another search: its settings is"):
        search(longer, split, tmp_path, 1)


def test_data_without_sizes_are_refused():
    with pytest.raises(ValueError, match="'steam' is none of the data to tune on: beauty, sports"):
        unit_to_tune("gru4rec", "steam", epochs=1)
