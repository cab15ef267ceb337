"""The same command, typed again after it ended, was interrupted or killed, does what is left."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
from processes import python

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX"),
]

EPOCHS = 60
TRAIN = (
    f"train --log --data walks.csv --model gru4rec --d-model 8 --lr 0.01 --epochs {EPOCHS} "
    "--patience 60 --device cpu --out m.pt --record run.json"
)
WITH_CHECKPOINT = f"{TRAIN} --checkpoint run.ckpt"


@pytest.fixture
def folder(log_file, monkeypatch):
    monkeypatch.chdir(log_file.parent)
    return log_file.parent


def minirec(command):
    return python("-m", "minirec", *command.split())


def run(command):
    """Run a command to its end; return what it printed."""
    with minirec(command) as process:
        return end(process)


def end(process):
    printed, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return printed


def wait_for(process, words):
    """Read what a process prints up to the line that has these words."""
    for line in process.stdout:
        if words in line:
            return
    pytest.fail(f"it never said {words!r}: {process.stderr.read()}")


def record():
    return json.loads(Path("run.json").read_text())


def what_counts(record):
    """A record without what differs between two runs of one command: times and the machine."""
    left_out = {"date", "seconds", "peak_memory_mib", "saved_sha256"}
    kept = {key: value for key, value in record.items() if key not in left_out}
    kept["history"] = [{**entry, "seconds": None} for entry in record["history"]]
    return kept


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_command_that_has_ended_reports_again_and_changes_nothing(folder, cli, never_trained):
    printed = run(TRAIN)
    before = {name: (folder / name).read_bytes() for name in names(folder)}

    again = cli(TRAIN)  # in this process, where training fails the test
    assert again.status == 0, again.err
    assert "finished  this command ended" in again.out
    for words in ("trained ", "test ", "recorded ", "saved ", "next "):
        line = next(line for line in printed.splitlines() if line.startswith(words))
        assert line in again.out
    assert {name: (folder / name).read_bytes() for name in names(folder)} == before

    as_json = cli(TRAIN.replace("train --log", "train --json --log"))
    assert as_json.status == 1  # another command, by its words
    assert "a record is never replaced" in as_json.err


@pytest.mark.parametrize("command", [TRAIN, WITH_CHECKPOINT], ids=["alone", "with a checkpoint"])
def test_after_ctrl_c_the_same_command_ends_with_the_record_of_a_whole_run(folder, command):
    with minirec(command) as process:
        wait_for(process, "epoch    2/")
        process.send_signal(signal.SIGINT)
        end(process)
    assert record()["stopped"] == "interrupted"
    assert len(record()["history"]) < EPOCHS

    run(command)
    continued = record()
    assert continued["stopped"] == "epochs"

    for name in ("m.pt", "run.json", "run.ckpt"):
        Path(name).unlink(missing_ok=True)
    run(command)
    assert what_counts(continued) == what_counts(record())


def test_a_second_ctrl_c_after_fewer_epochs_keeps_what_the_first_left(folder):
    with minirec(TRAIN) as process:
        wait_for(process, "epoch   20/")
        process.send_signal(signal.SIGINT)
        end(process)
    before = {name: (folder / name).read_bytes() for name in names(folder)}

    with minirec(TRAIN) as process:
        wait_for(process, "epoch    1/")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=240)
    assert process.returncode == 130
    assert "m.pt and run.json are kept" in errors
    assert {name: (folder / name).read_bytes() for name in names(folder)} == before


def test_a_record_without_a_part_is_not_of_this_command(folder, cli, never_trained):
    run(TRAIN)
    whole = record()
    for part in ("stopped", "history", "metrics", "date"):
        less = {key: value for key, value in whole.items() if key != part}
        Path("run.json").write_text(json.dumps(less))
        printed = cli(TRAIN)
        assert printed.status == 1
        assert "exists, and a record is never replaced" in printed.err


@pytest.mark.parametrize("left", [["m.pt"], ["m.pt", "run.json"]], ids=["the model", "all"])
def test_after_a_kill_behind_a_file_the_same_command_ends_with_the_right_record(folder, left):
    run(WITH_CHECKPOINT)
    whole = record()
    # As a kill just behind the model, or behind the record, would leave it.
    for name in {"m.pt", "run.json"} - set(left):
        Path(name).unlink()
    run(WITH_CHECKPOINT)
    assert what_counts(record()) == what_counts(whole)
    assert names(folder) == ["m.pt", "run.ckpt", "run.json", "walks.csv"]


def test_after_kills_at_any_time_the_same_command_ends_with_the_right_record(folder):
    run(WITH_CHECKPOINT)
    whole = record()
    for name in ("m.pt", "run.json", "run.ckpt"):
        Path(name).unlink()

    for words in ("epoch    1/", "epoch   30/", f"epoch   {EPOCHS}/"):
        with minirec(WITH_CHECKPOINT) as process:
            wait_for(process, words)
            time.sleep(0.01)
            process.kill()
        if Path("run.json").exists():
            break
    run(WITH_CHECKPOINT)
    assert what_counts(record()) == what_counts(whole)
    assert names(folder) == ["m.pt", "run.ckpt", "run.json", "walks.csv"]


def test_a_record_whose_model_is_gone_or_another_is_said(folder, cli, never_trained):
    run(TRAIN)
    model = Path("m.pt").read_bytes()
    Path("m.pt").write_bytes(model + b" ")
    printed = cli(TRAIN)
    assert printed.status == 1
    assert "m.pt is another model; delete the record to train it again" in printed.err

    Path("m.pt").unlink()
    printed = cli(TRAIN)
    assert printed.status == 1
    assert "m.pt is gone; delete the record to train it again" in printed.err


@pytest.mark.parametrize(
    "other",
    [TRAIN.replace("--lr 0.01", "--lr 0.02"), TRAIN.replace("walks.csv", "others.csv")],
    ids=["settings", "data"],
)
def test_the_record_of_another_command_is_not_replaced(folder, cli, never_trained, other):
    run(TRAIN)
    before = Path("run.json").read_bytes()
    walks = Path("walks.csv").read_text()
    Path("others.csv").write_text(walks + "41,ant,1\n41,bee,2\n41,cat,3\n")
    printed = cli(other)
    assert printed.status == 1
    assert "exists, and a record is never replaced" in printed.err
    assert Path("run.json").read_bytes() == before


def test_nor_is_that_of_the_same_words_on_data_that_have_grown(folder, cli, never_trained):
    run(TRAIN)
    with open("walks.csv", "a") as file:
        file.write("41,ant,1\n41,bee,2\n41,cat,3\n")
    printed = cli(TRAIN)
    assert printed.status == 1
    assert "exists, and a record is never replaced" in printed.err


def test_ctrl_c_before_the_first_epoch_leaves_nothing_and_the_command_can_be_repeated(folder):
    with minirec(TRAIN.replace(f"--epochs {EPOCHS}", "--epochs 3")) as process:
        wait_for(process, "gru4rec")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    if process.returncode == 130:
        assert names(folder) == ["walks.csv"]
    run(TRAIN.replace(f"--epochs {EPOCHS}", "--epochs 3"))
    assert record()["stopped"] == "epochs"
