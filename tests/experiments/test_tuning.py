"""The search: the same for every system, on valid alone, resumed where it was stopped."""

import math
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


def test_a_trial_that_somebody_stops_is_none_and_is_tried_again(unit, split, tmp_path, monkeypatch):
    whole = search(unit, split, tmp_path / "whole", 2)
    real_fit = tuning.fit
    stopped = []

    def fit_until_interrupted(*arguments, **settings):
        def press_ctrl_c(history):
            raise KeyboardInterrupt

        if stopped:
            return real_fit(*arguments, **settings)
        stopped.append(1)
        return real_fit(*arguments, on_epoch=press_ctrl_c, **settings)

    monkeypatch.setattr(tuning, "fit", fit_until_interrupted)
    with pytest.raises(KeyboardInterrupt):
        search(unit, split, tmp_path / "apart", 2)
    apart = search(unit, split, tmp_path / "apart", 2)
    assert without_times(apart["trials"]) == without_times(whole["trials"])


def test_more_trials_may_find_another_winner_which_takes_the_place_of_the_first(
    unit, split, tmp_path, monkeypatch
):
    # Every trial is better than those before it.
    came_to = iter(range(1, 9))

    def better_each_time(*arguments):
        return {"valid_ndcg": next(came_to) / 10, "epochs": 1, "seconds": 0.0, "stopped": "epochs"}

    monkeypatch.setattr(tuning, "_try", better_each_time)
    path = tmp_path / f"{unit.name}-best.json"
    for n_trials in (1, 3):
        found = search(unit, split, tmp_path, n_trials)
        assert load_record(path)["settings"]["lr"] == found["trials"][-1]["lr"]
    shown = tuned_side_by_side(tmp_path).iloc[0]
    assert shown["test ndcg"] == load_record(path)["metrics"]["test"]["full"]["ndcg"]

    written = path.stat().st_mtime_ns
    search(unit, split, tmp_path, 3)  # the same once more: nothing is left to train
    assert path.stat().st_mtime_ns == written

    # Two trials more, but no new winner yet: the old one's figure is not shown as theirs.
    monkeypatch.setattr(tuning, "_is_trained", lambda *arguments: True)
    search(unit, split, tmp_path, 5)
    monkeypatch.undo()
    assert math.isnan(tuned_side_by_side(tmp_path).iloc[0]["test ndcg"])


def test_a_search_without_time_left_begins_nothing(unit, split, tmp_path):
    found = search(unit, split, tmp_path, 2, budget=0)
    assert found["trials"] == []
    assert list(tmp_path.glob("*.json")) == []


@pytest.mark.parametrize("n_trials", [0, -1])
def test_a_search_without_trials_is_refused(unit, split, tmp_path, n_trials):
    with pytest.raises(ValueError, match=f"at least one trial; got {n_trials}"):
        search(unit, split, tmp_path, n_trials)


def test_another_search_of_the_same_name_is_refused(unit, split, tmp_path):
    search(unit, split, tmp_path, 1)
    longer = replace(unit, settings=unit.settings | {"epochs": 2})
    with pytest.raises(ValueError, match=r"is the record of another search: its settings is"):
        search(longer, split, tmp_path, 1)


def test_data_without_sizes_are_refused():
    with pytest.raises(ValueError, match="'steam' is none of the data to tune on: beauty, sports"):
        unit_to_tune("gru4rec", "steam", epochs=1)
