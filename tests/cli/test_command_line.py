"""The command line, run as a user runs it: train, evaluate and recommend from the file alone."""

import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from minirec import History
from minirec.cli import main
from minirec.cli.reproduce import duration
from minirec.cli.train import _epoch_line
from minirec.training.trainer import Run

RECORDS = Path(__file__).resolve().parents[2] / "data" / "results"


def run(capsys, *arguments):
    status = main(list(map(str, arguments)))
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@pytest.fixture
def log_file(tmp_path):
    """A small log of named items: each user walks along a ring of eight, so there is something to learn."""
    names = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen"]
    lines = [
        f"{user},{names[(user * 3 + step) % 8]},{100 * step + user}"
        for user in range(40)
        for step in range(8)
    ]
    path = tmp_path / "walks.csv"
    path.write_text("user,item,timestamp\n" + "\n".join(lines) + "\n")
    return path


@pytest.fixture
def trained(capsys, tmp_path, log_file):
    status, out, _ = run(
        capsys,
        "train",
        "--data",
        log_file,
        "--model",
        "gru4rec",
        "--d-model",
        16,
        "--option",
        "d_state=16",
        "--epochs",
        40,
        "--lr",
        "0.02",
        "--device",
        "cpu",
        "--out",
        tmp_path / "model.pt",
        "--log",
    )
    assert status == 0
    return tmp_path / "model.pt", out


def test_train_prints_data_model_epochs_and_test_figures(trained):
    path, out = trained
    assert "40 users   8 items   320 interactions   mean history 8.0" in out
    assert "d_model 16" in out and "d_state 16" in out and "cpu" in out
    assert re.search(r"epoch +1/40   loss \d+\.\d+   valid NDCG@10 0\.\d{4} \(best\)", out)
    assert re.search(
        r"test +Recall@10 \d\.\d{4}   MRR@10 \d\.\d{4}   NDCG@10 \d\.\d{4}   \(full ranking, 40 users\)",
        out,
    )
    assert f"saved     {path}" in out and path.exists()


def test_train_is_quiet_where_there_is_no_terminal(capsys, tmp_path, log_file):
    _, out, err = run(
        capsys,
        "train",
        "--data",
        log_file,
        "--model",
        "gru4rec",
        "--epochs",
        2,
        "--out",
        tmp_path / "m.pt",
    )
    assert "epoch  " not in out and err == ""


def test_recommend_needs_the_file_alone_and_speaks_in_raw_ids(
    trained, capsys, monkeypatch, log_file, tmp_path
):
    path, _ = trained
    log_file.unlink()
    monkeypatch.chdir(tmp_path.parent)
    status, out, _ = run(capsys, "recommend", path, "--history", "ant,bee,cat,dog", "--k", 1)
    assert status == 0 and "eel" in out  # the next animal on the ring


def test_recommend_counts_unknown_items_and_flags_an_empty_history(trained, capsys):
    _, out, _ = run(
        capsys, "recommend", trained[0], "--history", "ant,yak,emu", "--history", "", "--k", 2
    )
    assert "2 unknown items dropped" in out and "the most popular items" in out


def test_evaluate_repeats_what_train_reported(trained, capsys, log_file):
    _, out, _ = run(capsys, "evaluate", trained[0], "--data", log_file)
    assert out.strip() in trained[1]


def test_evaluate_refuses_other_data(trained, capsys, tmp_path, log_file):
    other = tmp_path / "other.csv"
    other.write_text(log_file.read_text() + "99,ant,1\n")
    status, _, err = run(capsys, "evaluate", trained[0], "--data", other)
    assert status == 1 and "was trained on other data" in err


def test_json_is_one_object_with_the_same_figures(trained, capsys, log_file, tmp_path):
    _, out, _ = run(
        capsys, "evaluate", trained[0], "--data", log_file, "--json", "--protocol", "uniform-100"
    )
    assert json.loads(out)["protocol"] == "uniform-100"
    _, out, _ = run(
        capsys,
        "train",
        "--data",
        log_file,
        "--model",
        "popularity",
        "--out",
        tmp_path / "p.pt",
        "--json",
    )
    assert json.loads(out)["test"]["users"] == 40
    _, out, _ = run(capsys, "recommend", tmp_path / "p.pt", "--history", "ant", "--k", 3, "--json")
    assert [row["rank"] for row in json.loads(out)] == [1, 2, 3]
    _, out, _ = run(capsys, "datasets", "--json")
    assert "planted" in [row["name"] for row in json.loads(out)]


def test_a_checkpointed_command_continues(capsys, tmp_path, log_file):
    arguments = [
        "train",
        "--data",
        log_file,
        "--model",
        "gru4rec",
        "--d-model",
        8,
        "--device",
        "cpu",
        "--checkpoint",
        tmp_path / "run.ckpt",
        "--log",
    ]
    _, first, _ = run(capsys, *arguments, "--epochs", 2, "--out", tmp_path / "a.pt")
    _, second, _ = run(capsys, *arguments, "--epochs", 3, "--out", tmp_path / "b.pt")
    assert "epoch    1/2" in first and "epoch    1/3" not in second and "epoch    3/3" in second


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["train", "--data", "ml-1n", "--model", "gru4rec"], "ml-1m"),
        (["train", "--data", "planted", "--model", "gru4re"], "did you mean 'gru4rec'?"),
        (
            ["train", "--data", "planted", "--model", "gru4rec", "--kernel-size", "3"],
            "gru4rec has no option 'kernel_size'",
        ),
        (
            ["train", "--data", "planted", "--model", "gru4rec", "--option", "d_state"],
            "--option takes KEY=VALUE",
        ),
        (["train", "--data", "planted", "--model", "gru4rec", "--lr", "-1"], "lr positive"),
        (["train", "--data", "planted", "--model", "gru4rec", "--device", "abacus"], "abacus"),
        (
            ["train", "--data", "planted", "--model", "gru4rec", "--objective", "cloze"],
            "gru4rec can be 'next-item' or 'prefix'; got 'cloze'",
        ),
        (["recommend", "nowhere.pt", "--history", "1"], "nowhere.pt"),
        (["recommend", __file__, "--history", "1"], "is not a model saved by save_model"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(capsys, arguments, message):
    status, _, err = run(capsys, *arguments)
    assert (
        status == 1
        and message in err
        and err.startswith("error: ")
        and len(err.strip().splitlines()) == 1
    )


def test_ctrl_c_before_the_first_epoch_saves_nothing(capsys, tmp_path, log_file, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("minirec.training.trainer.Run.one_step", interrupted)
    status, _, err = run(
        capsys, "train", "--data", log_file, "--model", "gru4rec", "--out", tmp_path / "m.pt"
    )
    assert status == 130 and not (tmp_path / "m.pt").exists() and "interrupted" in err


def test_a_terminal_sees_a_line_an_epoch(capsys, tmp_path, log_file, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    main(
        [
            "train",
            "--data",
            str(log_file),
            "--model",
            "gru4rec",
            "--epochs",
            "2",
            "--out",
            str(tmp_path / "m.pt"),
        ]
    )
    assert "epoch    2/2" in terminal.getvalue()


def test_a_model_is_judged_on_the_split_it_was_trained_on(capsys, tmp_path, log_file):
    train = [
        "train",
        "--data",
        log_file,
        "--model",
        "last-item",
        "--split",
        "temporal",
        "--out",
        tmp_path / "m.pt",
    ]
    _, reported, _ = run(capsys, *train)
    status, repeated, _ = run(capsys, "evaluate", tmp_path / "m.pt", "--data", log_file)
    assert status == 0 and repeated.strip() in reported
    status, _, err = run(
        capsys, "evaluate", tmp_path / "m.pt", "--data", log_file, "--split", "leave-one-out"
    )
    assert status == 1 and "was trained on the split 'temporal" in err


@pytest.mark.parametrize("out, message", [("", "is a folder"), ("walks.csv", "is the data file")])
def test_an_impossible_out_is_found_before_training(
    capsys, tmp_path, log_file, monkeypatch, out, message
):
    before = log_file.read_bytes()
    monkeypatch.setattr("minirec.fit", lambda *args, **kwargs: pytest.fail("it trained first"))
    status, _, err = run(
        capsys, "train", "--data", log_file, "--model", "popularity", "--out", tmp_path / out
    )
    assert status == 1 and message in err and log_file.read_bytes() == before


def test_train_leaves_a_record_that_tells_the_run(capsys, tmp_path, log_file):
    arguments = [
        "train",
        "--data",
        log_file,
        "--model",
        "gru4rec",
        "--d-model",
        8,
        "--epochs",
        3,
        "--objective",
        "prefix",
        "--prefixes-per-user",
        2,
        "--lr-schedule",
        "cosine",
        "--device",
        "cpu",
        "--checkpoint",
        tmp_path / "run.ckpt",
        f"--out={tmp_path / 'm.pt'}",
        "--record",
        tmp_path / "new" / "run.json",
    ]
    status, out, _ = run(capsys, *arguments)
    text = (tmp_path / "new" / "run.json").read_text()
    record = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert status == 0 and f"recorded  {tmp_path / 'new' / 'run.json'}" in out
    assert record["command"] == (
        "python -m minirec train --data walks.csv --model gru4rec --d-model 8 --epochs 3 --objective prefix --prefixes-per-user 2 "
        "--lr-schedule cosine --device cpu --checkpoint run.ckpt --out=m.pt --record run.json"
    )
    assert str(tmp_path) not in text and tmp_path.name not in text
    assert (
        record["data"],
        record["options"]["d_model"],
        record["settings"]["prefixes_per_user"],
        len(record["history"]),
    ) == ("walks.csv", 8, 2, 3)
    _, judged, _ = run(capsys, "evaluate", tmp_path / "m.pt", "--data", log_file, "--json")
    assert {
        **record["metrics"]["test"]["full"],
        "which": "test",
        "protocol": "full",
        "k": record["k"],
    } == json.loads(judged)


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
    capsys, tmp_path, log_file, monkeypatch, record, message
):
    (tmp_path / "old.json").write_text("precious")
    monkeypatch.setattr("minirec.fit", lambda *args, **kwargs: pytest.fail("it trained first"))
    status, _, err = run(
        capsys,
        "train",
        "--data",
        log_file,
        "--model",
        "popularity",
        "--out",
        tmp_path / "m.pt",
        "--checkpoint",
        tmp_path / "run.ckpt",
        "--record",
        tmp_path / record,
    )
    assert status == 1 and message in err and (tmp_path / "old.json").read_text() == "precious"


@pytest.mark.parametrize("epochs, kept", [(0, False), (2, True)])
def test_ctrl_c_leaves_a_record_only_of_whole_epochs(
    capsys, tmp_path, log_file, monkeypatch, epochs, kept
):
    one_epoch = Run.one_epoch

    def interrupted(self, bar):
        if self.progress.epoch == epochs:
            raise KeyboardInterrupt
        one_epoch(self, bar)

    monkeypatch.setattr(Run, "one_epoch", interrupted)
    run(
        capsys,
        "train",
        "--data",
        log_file,
        "--model",
        "gru4rec",
        "--d-model",
        8,
        "--out",
        tmp_path / "m.pt",
        "--record",
        tmp_path / "run.json",
    )
    left = {path.name for path in tmp_path.iterdir()} - {"walks.csv"}
    assert left == ({"m.pt", "run.json"} if kept else set())
    if kept:
        record = json.loads((tmp_path / "run.json").read_text())
        assert (record["stopped"], record["ended"], len(record["history"])) == (
            "interrupted",
            "budget",
            2,
        )


def test_ids_with_commas_quotes_and_blanks_can_be_named(capsys, tmp_path):
    names = ["salt, fine", 'a "b" c', "naïve é", "plain"]
    quoted = ['"salt, fine"', '"a ""b"" c"', "naïve é", "plain"]
    path = tmp_path / "odd.csv"
    path.write_text(
        "user,item,timestamp\n"
        + "".join(f"{user},{quoted[(user + t) % 4]},{t}\n" for user in range(9) for t in range(4))
    )
    _, out, _ = run(
        capsys, "train", "--data", path, "--model", "last-item", "--out", tmp_path / "m.pt"
    )
    command = shlex.split(re.search(r"next +python -m minirec (.+)", out).group(1))
    _, listed, _ = run(capsys, *command, "--k", 4)
    assert "unknown" not in listed and all(name in listed for name in names)


def test_json_has_null_where_there_is_no_loss(capsys, tmp_path, log_file):
    _, out, _ = run(
        capsys,
        "train",
        "--data",
        log_file,
        "--model",
        "popularity",
        "--out",
        tmp_path / "p.pt",
        "--json",
    )
    assert "NaN" not in out and json.loads(out)["epochs"][0]["loss"] is None


def test_an_epoch_is_marked_best_only_where_the_history_says_so(capsys):
    entries = [
        {"epoch": n, "loss": 1.0, "valid_ndcg": value, "seconds": 1.0}
        for n, value in ((1, 0.5), (2, 0.4), (3, 0.6))
    ]
    show = _epoch_line(3)
    show(
        History(entries[:2], best_epoch=1)
    )  # the first line after a resume: worse than what came before it
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
    assert process.wait(60) == 0 and errors == b""


def test_reproduce_shows_the_papers_rows_and_what_was_not_run(capsys, tmp_path):
    assert (
        main(
            [
                "reproduce",
                "--table",
                "2",
                "--data",
                "beauty",
                "--budget",
                "0",
                "--out",
                str(RECORDS),
                "--json",
            ]
        )
        == 0
    )
    rows = {row["system"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["GLINT-RU"]["paper ndcg"] == 0.2964 and rows["GLINT-RU"]["n_seeds"] >= 1
    assert main(["reproduce", "--figure", "2", "--budget", "0", "--out", str(RECORDS)]) == 0
    assert "k = 7" in capsys.readouterr().out
    assert (
        main(
            [
                "reproduce",
                "--recblr",
                "--data",
                "ml-1m-5core",
                "--budget",
                "0",
                "--out",
                str(RECORDS),
                "--json",
            ]
        )
        == 0
    )
    rows = json.loads(capsys.readouterr().out)
    assert [row["data"] for row in rows] == ["ml-1m, 5-core"]
    assert all((row["n_seeds"] == 0) == (row["ended"] == "not run") for row in rows)
    with pytest.raises(SystemExit):
        main(["reproduce", "--table", "2", "--budget", "soon"])
    assert "'soon' is no duration; write 90s, 9m or 2h" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("90", 90), ("90s", 90), ("9m", 540), ("1.5h", 5400)]
)
def test_durations_are_read(text, seconds):
    assert duration(text) == seconds
