"""Run records tell the whole run, come back as they were, and never replace or name a folder."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch
from logs import log
from small_models import RunningMean

import minirec
from minirec import build_model, evaluate, expected_metrics, fit
from minirec.data.planted import PlantedOracle, generate_planted
from minirec.experiments.records import (
    _without_folders,
    forget_peak_memory,
    load_record,
    load_records,
    record_run,
    save_record,
)
from minirec.models import model_options
from minirec.models.base import Recommender
from minirec.training import History

pytestmark = pytest.mark.slow

COMMAND = ["python", "-m", "minirec", "train", "--data", "/home/me/my data.csv"]


@dataclass
class Told:
    """A run and its record."""

    model: Recommender
    history: History
    record: dict


@pytest.fixture(scope="module")
def split():
    return generate_planted(1, n_users=100).split()


def not_json(name):
    """For parse_constant, which Python calls for NaN and the infinities."""
    pytest.fail(f"{name} is not JSON")


def run(split, **options):
    torch.manual_seed(0)
    model = build_model("gru4rec", split.interactions.n_items, d_model=8)
    return model, fit(model, split, **{"epochs": 2, "device": "cpu", **options})


@pytest.fixture(scope="module")
def told(split):
    model, history = run(split)
    return Told(model, history, record_run(model, split, history, COMMAND))


def test_a_record_tells_model_data_settings_and_machine(told, split):
    record = told.record
    assert record["model"] == "gru4rec"
    assert record["options"] == told.model.options
    assert record["n_parameters"] == sum(p.numel() for p in told.model.parameters())

    data = split.interactions
    assert record["data"] == "planted"
    assert record["n_users"] == 100
    assert record["n_items"] == data.n_items
    assert record["n_interactions"] == data.n_interactions
    assert record["fingerprint"] == data.fingerprint
    assert record["split"] == split.fingerprint

    assert record["settings"] == told.history.settings
    assert record["history"] == told.history.epochs
    assert record["seconds"] == sum(entry["seconds"] for entry in told.history.epochs)

    assert record["command"] == "python -m minirec train --data 'my data.csv'"
    assert record["versions"]["minirec"] == minirec.__version__
    assert record["versions"]["torch"] == torch.__version__
    assert f"{torch.get_num_threads()} thread" in record["device"]
    assert record["date"].endswith("+00:00")
    # PyTorch alone is more than the lower bound.
    assert record["peak_memory_mib"] is None or 50 < record["peak_memory_mib"] < 50_000


def test_the_most_memory_is_counted_anew_for_each_run_on_every_gpu(monkeypatch):
    began = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", began.append)
    forget_peak_memory()
    assert began == [0, 1]


@pytest.mark.parametrize("which", ["valid", "test"])
@pytest.mark.parametrize("protocol", ["full", "uniform-100", "popular-100"])
def test_its_metrics_are_those_of_evaluate(told, split, which, protocol):
    result = evaluate(told.model, split, which=which, protocol=protocol)
    assert told.record["k"] == 10
    assert told.record["metrics"][which][protocol] == {
        "recall": result.recall,
        "mrr": result.mrr,
        "ndcg": result.ndcg,
        "users": 100,
    }


@pytest.mark.parametrize("which", ["valid", "test"])
def test_on_the_planted_set_it_tells_the_metrics_in_expectation_too(told, split, which):
    expected = expected_metrics(told.model, split, PlantedOracle(), which=which)
    assert told.record["metrics"][which]["expected"] == expected


@pytest.mark.parametrize(
    "options, stopped, ended",
    [
        ({}, "epochs", "budget"),
        ({"epochs": 50, "lr": 0.05, "patience": 1}, "patience", "converged"),
    ],
)
def test_it_says_whether_training_had_converged(split, options, stopped, ended):
    model, history = run(split, **options)
    record = record_run(model, split, history)
    assert record["stopped"] == stopped
    assert record["ended"] == ended


def test_it_comes_back_as_it_was(told, tmp_path):
    path = tmp_path / "new" / "run.json"
    save_record(path, told.record)
    assert json.loads(path.read_text(encoding="utf-8")) == told.record


def test_a_record_is_never_replaced(told, tmp_path):
    path = tmp_path / "run.json"
    path.write_text("precious")
    with pytest.raises(FileExistsError, match=r"run\.json exists, and a record is never replaced"):
        save_record(path, told.record)
    assert path.read_text() == "precious"
    assert os.listdir(tmp_path) == ["run.json"]


def test_what_is_no_number_is_null_and_what_json_lacks_is_not_written(split, tmp_path):
    model = build_model("popularity", split.interactions.n_items)
    record = record_run(model, split, fit(model, split))
    assert record["history"][0]["loss"] is None
    assert record["ended"] == "converged"
    assert record["n_parameters"] == 0

    path = tmp_path / "run.json"
    save_record(path, record)
    json.loads(path.read_text(), parse_constant=not_json)
    with pytest.raises(ValueError):
        save_record(tmp_path / "nan.json", {"loss": float("nan")})
    assert os.listdir(tmp_path) == ["run.json"]


def test_a_run_killed_while_it_writes_leaves_no_record(tmp_path):
    code = (
        "import os; from minirec.experiments.records import save_record\n"
        "os.fsync = lambda file: os._exit(9)  # nothing is cleaned up, as when killed\n"
        f"save_record({str(tmp_path / 'run.json')!r}, {{'schema': 1}})"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".lock", ".part"]  # it had begun
    with pytest.raises(ValueError, match="there is no record at"):
        load_records(tmp_path)


@pytest.mark.parametrize(
    "typed, kept",
    [
        ("/home/me/a.csv", "a.csv"),
        ("--out=/home/me/a.pt", "--out=a.pt"),
        ("--option=file=/home/me/x", "--option=file=x"),
        ("/home/me/d/", "d"),
        ("/home/a=b,c d/e.csv", "e.csv"),
        ("~/logs/a.csv", "a.csv"),
        ("../../elsewhere/a.csv", "a.csv"),
        ("runs/../../me/a.csv", "a.csv"),
        (r"C:\Users\me\a.csv", "a.csv"),
        ("runs/a.pt", "runs/a.pt"),
        ("--lr", "--lr"),
        ("1e-3", "1e-3"),
        ("user=a,item=b", "user=a,item=b"),
        ("", ""),
    ],
)
def test_no_folder_of_the_machine_is_named(typed, kept):
    assert _without_folders(typed) == kept


def test_what_cannot_be_sampled_is_none():
    # The first user has chosen every item, so no negative is left; full ranking is still possible.
    split = log([[1, 2, 3, 4, 1], [1, 2, 3], [2, 3, 4]]).split()
    model = RunningMean(4)
    record = record_run(model, split, fit(model, split, epochs=1, device="cpu"))
    assert record["metrics"]["test"]["uniform-100"] is None
    assert record["metrics"]["test"]["full"]["users"] == 3


def test_records_become_a_frame(told, tmp_path):
    for name, lr in (("b.json", 0.5), ("a.json", 0.25)):
        settings = told.record["settings"] | {"lr": lr}
        save_record(tmp_path / name, told.record | {"settings": settings})

    frame = load_records(tmp_path)
    ndcg = told.record["metrics"]["test"]["full"]["ndcg"]
    assert frame["file"].tolist() == ["a.json", "b.json"]
    assert frame["settings.lr"].tolist() == [0.25, 0.5]
    assert frame["metrics.test.full.ndcg"].tolist() == [ndcg, ndcg]
    assert frame["history"][0] == told.record["history"]

    assert load_records(tmp_path / "b*.json")["settings.lr"].tolist() == [0.5]
    assert load_records(tmp_path / "b.json")["settings.lr"].tolist() == [0.5]


@pytest.mark.parametrize(
    ("recorded", "read"),
    [
        ({"d_state": 16}, {"form": "torch", "d_state": 16}),
        # None is a value too, and not what the option has by default.
        ({"form": None}, {"form": None, "d_state": None}),
        ({"no longer there": 3}, {"form": "torch", "no longer there": 3}),
    ],
    ids=str,
)
def test_an_option_that_an_older_record_lacks_has_its_default(told, tmp_path, recorded, read):
    save_record(tmp_path / "old.json", told.record | {"options": recorded})
    options = load_record(tmp_path / "old.json")["options"]
    assert options == model_options("gru4rec") | read


def test_options_of_a_model_that_is_not_registered_are_left_alone(told, tmp_path):
    save_record(tmp_path / "own.json", told.record | {"model": "my-own", "options": {"a": 1}})
    assert load_record(tmp_path / "own.json")["options"] == {"a": 1}


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"schema": 1, "mod', "broken.json is not a run record"),
        ("[1]", "broken.json is not a run record"),
        ("{}", "broken.json is not a run record"),
        ('{"schema": 99}', "broken.json is a record of schema 99"),
        ("\xff", "broken.json is not a run record"),
    ],
)
def test_a_broken_record_is_named(told, tmp_path, text, message):
    save_record(tmp_path / "a.json", told.record)
    (tmp_path / "broken.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=message):
        load_records(tmp_path)
