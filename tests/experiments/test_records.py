"""Run records: they tell the whole run, come back as they were, and never replace anything or name a folder."""

import json
import os
import subprocess
import sys

import pytest
import torch
from logs import log
from small_models import RunningMean

import minirec
from minirec import build_model, evaluate, expected_metrics, fit
from minirec.data.planted import PlantedOracle, generate_planted
from minirec.experiments.records import _without_folders, load_records, record_run, save_record


@pytest.fixture(scope="module")
def split():
    return generate_planted(1, n_users=100).split()


def run(split, **options):
    torch.manual_seed(0)
    model = build_model("gru4rec", split.interactions.n_items, d_model=8)
    return model, fit(model, split, **{"epochs": 2, "device": "cpu", **options})


@pytest.fixture(scope="module")
def told(split):
    model, history = run(split)
    return (
        model,
        history,
        record_run(
            model,
            split,
            history,
            ["python", "-m", "minirec", "train", "--data", "/home/me/my data.csv"],
        ),
    )


def test_a_record_tells_model_data_settings_and_machine(told, split):
    model, history, record = told
    data = split.interactions
    assert (record["model"], record["options"], record["n_parameters"]) == (
        "gru4rec",
        model.options,
        sum(p.numel() for p in model.parameters()),
    )
    assert (record["data"], record["n_users"], record["n_items"], record["n_interactions"]) == (
        "planted",
        100,
        data.n_items,
        data.n_interactions,
    )
    assert (record["fingerprint"], record["split"], record["settings"]) == (
        data.fingerprint,
        split.fingerprint,
        history.settings,
    )
    assert record["history"] == history.epochs and record["seconds"] == sum(
        entry["seconds"] for entry in history.epochs
    )
    assert record["command"] == "python -m minirec train --data 'my data.csv'"
    assert (
        record["versions"]["minirec"] == minirec.__version__
        and record["versions"]["torch"] == torch.__version__
    )
    assert f"{torch.get_num_threads()} thread" in record["device"] and record["date"].endswith(
        "+00:00"
    )
    assert (
        record["peak_memory_mib"] is None or 50 < record["peak_memory_mib"] < 50_000
    )  # PyTorch alone is more than the one


@pytest.mark.parametrize("which", ["valid", "test"])
@pytest.mark.parametrize("protocol", ["full", "uniform-100", "popular-100"])
def test_its_metrics_are_those_of_evaluate(told, split, which, protocol):
    result = evaluate(told[0], split, which=which, protocol=protocol)
    assert told[2]["k"] == 10
    assert told[2]["metrics"][which][protocol] == {
        "recall": result.recall,
        "mrr": result.mrr,
        "ndcg": result.ndcg,
        "users": 100,
    }


@pytest.mark.parametrize("which", ["valid", "test"])
def test_on_the_planted_set_it_tells_the_metrics_in_expectation_too(told, split, which):
    assert told[2]["metrics"][which]["expected"] == expected_metrics(
        told[0], split, PlantedOracle(), which=which
    )


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
    assert (record["stopped"], record["ended"]) == (stopped, ended)


def test_it_comes_back_as_it_was(told, tmp_path):
    save_record(tmp_path / "new" / "run.json", told[2])
    assert json.loads((tmp_path / "new" / "run.json").read_text(encoding="utf-8")) == told[2]


def test_a_record_is_never_replaced(told, tmp_path):
    (tmp_path / "run.json").write_text("precious")
    with pytest.raises(FileExistsError, match="run.json exists, and a record is never replaced"):
        save_record(tmp_path / "run.json", told[2])
    assert (tmp_path / "run.json").read_text() == "precious" and os.listdir(tmp_path) == [
        "run.json"
    ]


def test_what_is_no_number_is_null_and_what_json_lacks_is_not_written(split, tmp_path):
    model = build_model("popularity", split.interactions.n_items)
    record = record_run(model, split, fit(model, split))
    assert (
        record["history"][0]["loss"] is None
        and record["ended"] == "converged"
        and record["n_parameters"] == 0
    )
    save_record(tmp_path / "run.json", record)
    json.loads(
        (tmp_path / "run.json").read_text(),
        parse_constant=lambda name: pytest.fail(f"{name} is not JSON"),
    )
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
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]  # it had begun
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
    """The first user has chosen every item, so no negative is left; full ranking is still possible."""
    split = log([[1, 2, 3, 4, 1], [1, 2, 3], [2, 3, 4]]).split()
    model = RunningMean(4)
    record = record_run(model, split, fit(model, split, epochs=1, device="cpu"))
    assert (
        record["metrics"]["test"]["uniform-100"] is None
        and record["metrics"]["test"]["full"]["users"] == 3
    )


def test_records_become_a_frame(told, split, tmp_path):
    for name, lr in (("b.json", 0.5), ("a.json", 0.25)):
        save_record(tmp_path / name, told[2] | {"settings": told[2]["settings"] | {"lr": lr}})
    frame = load_records(tmp_path)
    assert frame["file"].tolist() == ["a.json", "b.json"] and frame["settings.lr"].tolist() == [
        0.25,
        0.5,
    ]
    assert (
        frame["metrics.test.full.ndcg"].tolist() == [told[2]["metrics"]["test"]["full"]["ndcg"]] * 2
    )
    assert frame["history"][0] == told[2]["history"]
    assert (
        load_records(tmp_path / "b*.json")["settings.lr"].tolist()
        == [0.5]
        == load_records(tmp_path / "b.json")["settings.lr"].tolist()
    )


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
    save_record(tmp_path / "a.json", told[2])
    (tmp_path / "broken.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=message):
        load_records(tmp_path)
