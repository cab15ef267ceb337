"""The command line, run as a user runs it: train, evaluate and recommend from the file alone."""

import io
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import torch

from minirec import History
from minirec.cli import main
from minirec.cli.reproduce import duration
from minirec.cli.train import _epoch_line
from minirec.experiments.benchmarks import BENCHMARKS
from minirec.experiments.records import device_in_words
from minirec.training.trainer import Run

pytestmark = pytest.mark.slow

RECORDS = Path(__file__).resolve().parents[2] / "data" / "results"


def test_a_benchmark_names_its_device_in_every_row(cli, monkeypatch):
    measured = pd.DataFrame({"name": ["ours", "theirs"], "seconds": [1.0, 2.0]})
    monkeypatch.setitem(BENCHMARKS, "loading", lambda: measured)
    device = device_in_words(torch.device("cpu"))
    rows = cli("benchmark loading --json").json()
    assert rows == [
        {"device": device, "name": "ours", "seconds": 1.0},
        {"device": device, "name": "theirs", "seconds": 2.0},
    ]


def not_json(name):
    """For parse_constant, which Python calls for NaN and the infinities."""
    pytest.fail(f"{name} is not JSON")


@dataclass
class Trained:
    """A saved model, and what was printed while it was trained."""

    path: Path
    out: str


@pytest.fixture
def trained(cli, tmp_path, log_file):
    printed = cli(
        "train --model gru4rec --d-model 16 --option d_state=16 --epochs 40 --lr 0.02 --device cpu",
        "--log",
        data=log_file,
        out=tmp_path / "model.pt",
    )
    assert printed.status == 0
    return Trained(tmp_path / "model.pt", printed.out)


def test_train_prints_data_model_epochs_and_test_figures(trained):
    out = trained.out
    assert "data      " in out
    assert "40 users   8 items   320 interactions   mean history 8.0" in out
    assert "d_model 16" in out
    assert "d_state 16" in out
    assert "cpu" in out
    assert re.search(r"epoch +1/40   loss \d+\.\d+   valid NDCG@10 0\.\d{4} \(best\)", out)
    assert re.search(
        r"test +Recall@10 \d\.\d{4}   MRR@10 \d\.\d{4}   NDCG@10 \d\.\d{4}   "
        r"\(full ranking, 40 users\)",
        out,
    )
    assert f"saved     {trained.path}" in out
    assert trained.path.exists()


def test_train_is_quiet_where_there_is_no_terminal(cli, tmp_path, log_file):
    printed = cli("train --model gru4rec --epochs 2", data=log_file, out=tmp_path / "m.pt")
    assert "epoch  " not in printed.out
    assert printed.err == ""


def test_recommend_needs_the_file_alone_and_speaks_in_raw_ids(
    trained, cli, monkeypatch, log_file, tmp_path
):
    log_file.unlink()
    monkeypatch.chdir(tmp_path.parent)
    printed = cli("recommend", trained.path, history="ant,bee,cat,dog", k=1)
    assert printed.status == 0
    assert "eel" in printed.out  # the next animal on the ring


def test_recommend_counts_unknown_items_and_flags_an_empty_history(trained, cli):
    histories = ("--history", "ant,yak,emu", "--history", "")
    printed = cli("recommend", trained.path, *histories, k=2)
    assert "2 unknown items dropped" in printed.out
    assert "the most popular items" in printed.out


def test_evaluate_repeats_what_train_reported(trained, cli, log_file):
    printed = cli("evaluate", trained.path, data=log_file)
    assert set(printed.out.splitlines()) <= set(trained.out.splitlines())


def test_evaluate_refuses_other_data(trained, cli, tmp_path, log_file):
    other = tmp_path / "other.csv"
    other.write_text(log_file.read_text() + "99,ant,1\n")
    printed = cli("evaluate", trained.path, data=other)
    assert printed.status == 1
    assert "was trained on other data" in printed.err


def test_json_is_one_object_with_the_same_figures(trained, cli, log_file, tmp_path):
    judged = cli("evaluate --json --protocol uniform-100", trained.path, data=log_file)
    assert judged.json()["protocol"] == "uniform-100"

    popular = tmp_path / "p.pt"
    told = cli("train --model popularity --json", data=log_file, out=popular)
    assert told.json()["test"]["users"] == 40

    recommended = cli("recommend --json", popular, history="ant", k=3)
    assert [row["rank"] for row in recommended.json()] == [1, 2, 3]

    listed = cli("datasets --json")
    assert "planted" in [row["name"] for row in listed.json()]


def test_a_checkpointed_command_continues(cli, tmp_path, log_file):
    command = "train --model gru4rec --d-model 8 --device cpu --log"
    run = {"data": log_file, "checkpoint": tmp_path / "run.ckpt"}
    first = cli(command, **run, epochs=2, out=tmp_path / "a.pt")
    second = cli(command, **run, epochs=3, out=tmp_path / "b.pt")
    assert "epoch    1/2" in first.out
    assert "epoch    1/3" not in second.out
    assert "epoch    3/3" in second.out


@pytest.mark.parametrize(
    "command, words, message",
    [
        ("train --data ml-1n --model gru4rec", [], "ml-1m"),
        ("train --data planted --model gru4re", [], "did you mean 'gru4rec'?"),
        (
            "train --data planted --model gru4rec --kernel-size 3",
            [],
            "gru4rec has no option 'kernel_size'",
        ),
        (
            "train --data planted --model gru4rec --option d_state",
            [],
            "--option takes KEY=VALUE",
        ),
        ("train --data planted --model gru4rec --lr -1", [], "lr must be positive"),
        ("train --data planted --model gru4rec --device abacus", [], "abacus"),
        (
            "train --data planted --model gru4rec --objective cloze",
            [],
            "gru4rec can be 'next-item' or 'prefix'; got 'cloze'",
        ),
        ("recommend nowhere.pt --history 1", [], "nowhere.pt"),
        ("recommend --history 1", [__file__], "is not a file of minirec"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(cli, command, words, message):
    printed = cli(command, *words)
    assert printed.status == 1
    assert message in printed.err
    assert printed.err.startswith("error: ")
    assert len(printed.err.strip().splitlines()) == 1


def test_ctrl_c_before_the_first_epoch_saves_nothing(cli, tmp_path, log_file, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("minirec.training.trainer.Run.one_step", interrupted)
    printed = cli("train --model gru4rec", data=log_file, out=tmp_path / "m.pt")
    assert printed.status == 130
    assert not (tmp_path / "m.pt").exists()
    assert "interrupted" in printed.err


def test_a_terminal_sees_a_line_an_epoch(tmp_path, log_file, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    command = ["train", "--model", "gru4rec", "--epochs", "2"]
    main([*command, "--data", str(log_file), "--out", str(tmp_path / "m.pt")])
    assert "epoch    2/2" in terminal.getvalue()


def test_a_model_is_judged_on_the_split_it_was_trained_on(cli, tmp_path, log_file):
    model = tmp_path / "m.pt"
    reported = cli("train --model last-item --split temporal", data=log_file, out=model)
    repeated = cli("evaluate", model, data=log_file)
    assert repeated.status == 0
    assert set(repeated.out.splitlines()) <= set(reported.out.splitlines())

    refused = cli("evaluate --split leave-one-out", model, data=log_file)
    assert refused.status == 1
    assert "was trained on the split 'temporal" in refused.err


@pytest.mark.parametrize(
    "out, message",
    [
        ("", "is a folder"),
        ("walks.csv", "is the data file"),
        ("run.ckpt", "is also the file of --checkpoint"),
        ("test.csv", "is also the file of --test-data"),
    ],
)
def test_an_impossible_out_is_found_before_training(
    cli, tmp_path, log_file, never_trained, out, message
):
    before = log_file.read_bytes()
    (tmp_path / "test.csv").write_text("user,item,timestamp\n3,ant,900\n")
    printed = cli(
        "train --model popularity",
        data=log_file,
        test_data=tmp_path / "test.csv",
        checkpoint=tmp_path / "run.ckpt",
        out=tmp_path / out,
    )
    assert printed.status == 1
    assert message in printed.err
    assert log_file.read_bytes() == before


def test_train_leaves_a_record_that_tells_the_run(cli, tmp_path, log_file):
    model = tmp_path / "m.pt"
    path = tmp_path / "new" / "run.json"
    options = "--model gru4rec --d-model 8 --epochs 3 --objective prefix --prefixes-per-user 2"
    how = "--lr-schedule cosine --device cpu"
    printed = cli(
        "train",
        *("--data", log_file, *options.split(), *how.split()),
        *("--checkpoint", tmp_path / "run.ckpt", f"--out={model}", "--record", path),
    )
    assert printed.status == 0
    assert f"recorded  {path}" in printed.out

    text = path.read_text()
    assert str(tmp_path) not in text
    assert tmp_path.name not in text
    record = json.loads(text, parse_constant=not_json)
    assert record["command"] == (
        f"python -m minirec train --data walks.csv {options} {how} "
        "--checkpoint run.ckpt --out=m.pt --record run.json"
    )
    assert record["data"] == "walks.csv"
    assert record["options"]["d_model"] == 8
    assert record["settings"]["prefixes_per_user"] == 2
    assert len(record["history"]) == 3

    judged = cli("evaluate --json", model, data=log_file).json()
    del judged["read_as"]
    assert judged == {
        **record["metrics"]["test"]["full"],
        "which": "test",
        "protocol": "full",
        "k": record["k"],
    }


@pytest.mark.parametrize(
    "record, message",
    [
        ("", "is a folder"),
        ("walks.csv", "is the data file"),
        ("old.json", "exists, and a record is never replaced"),
        ("m.pt", "is also the file of --out"),
        ("run.ckpt", "is also the file of --checkpoint"),
    ],
)
def test_an_impossible_record_is_found_before_training(
    cli, tmp_path, log_file, never_trained, record, message
):
    (tmp_path / "old.json").write_text("precious")
    printed = cli(
        "train --model popularity",
        data=log_file,
        out=tmp_path / "m.pt",
        checkpoint=tmp_path / "run.ckpt",
        record=tmp_path / record,
    )
    assert printed.status == 1
    assert message in printed.err
    assert (tmp_path / "old.json").read_text() == "precious"


@pytest.mark.parametrize("epochs, kept", [(0, False), (2, True)])
def test_ctrl_c_leaves_a_record_only_of_whole_epochs(
    cli, tmp_path, log_file, monkeypatch, epochs, kept
):
    one_epoch = Run.one_epoch

    def interrupted(self, bar):
        if self.progress.epoch == epochs:
            raise KeyboardInterrupt
        one_epoch(self, bar)

    monkeypatch.setattr(Run, "one_epoch", interrupted)
    cli(
        "train --model gru4rec --d-model 8",
        data=log_file,
        out=tmp_path / "m.pt",
        record=tmp_path / "run.json",
    )
    left = {path.name for path in tmp_path.iterdir()} - {"walks.csv"}
    assert left == ({"m.pt", "run.json"} if kept else set())
    if kept:
        record = json.loads((tmp_path / "run.json").read_text())
        assert record["stopped"] == "interrupted"
        assert record["ended"] == "budget"
        assert len(record["history"]) == 2


def test_json_has_null_where_there_is_no_loss(cli, tmp_path, log_file):
    printed = cli("train --model popularity --json", data=log_file, out=tmp_path / "p.pt")
    assert "NaN" not in printed.out
    assert printed.json()["epochs"][0]["loss"] is None


def test_an_epoch_is_marked_best_only_where_the_history_says_so(capsys):
    entries = [
        {"epoch": n, "loss": 1.0, "valid_ndcg": value, "seconds": 1.0}
        for n, value in ((1, 0.5), (2, 0.4), (3, 0.6))
    ]
    show = _epoch_line(3)
    # The first line after a resume: worse than what came before it.
    show(History(entries[:2], best_epoch=1))
    show(History(entries, best_epoch=3))
    assert ["(best)" in line for line in capsys.readouterr().out.splitlines()] == [False, True]


def test_a_reader_that_goes_away_is_no_error():
    process = subprocess.Popen(
        [sys.executable, "-m", "minirec", "datasets"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 0
    assert errors == b""


def test_reproduce_shows_the_papers_rows_and_what_was_not_run(cli, capsys):
    table_2 = cli("reproduce --table 2 --data beauty --budget 0 --json", out=RECORDS)
    assert table_2.status == 0
    rows = {row["system"]: row for row in table_2.json()}
    assert rows["GLINT-RU"]["paper ndcg"] == 0.2964
    assert rows["GLINT-RU"]["n_seeds"] >= 1

    figure_2 = cli("reproduce --figure 2 --budget 0", out=RECORDS)
    assert figure_2.status == 0
    assert "k = 7" in figure_2.out

    recblr = cli("reproduce --recblr --data ml-1m-5core --budget 0 --json", out=RECORDS)
    assert recblr.status == 0
    rows = recblr.json()
    assert [row["data"] for row in rows] == ["ml-1m, 5-core"]
    assert all((row["n_seeds"] == 0) == (row["ended"] == "not run") for row in rows)

    with pytest.raises(SystemExit):
        cli("reproduce --table 2 --budget soon")
    assert "'soon' is no duration; write 90s, 9m or 2h" in capsys.readouterr().err


def test_reproduce_shows_causes_their_reasons_and_how_many_configurations(cli):
    shown = cli("reproduce --causes --budget 0", out=RECORDS)
    assert shown.status == 0
    *_, chosen, counted = shown.out.splitlines()
    assert "padding is a class" in shown.out
    assert "batch of evaluation: cannot matter. Other rows" in shown.out
    assert "best on valid" in chosen
    assert counted.startswith("In all RecBLR was run on Beauty ")

    rows = {
        row["change"]: row
        for row in cli("reproduce --causes --budget 0 --json", out=RECORDS).json()
    }
    assert rows["length of histories"]["ended"] == "converged"
    assert rows["as the paper prints it"]["ndcg"] == 0.0446


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("90", 90), ("90s", 90), ("9m", 540), ("1.5h", 5400)]
)
def test_durations_are_read(text, seconds):
    assert duration(text) == seconds
