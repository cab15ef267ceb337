"""Where a run's files go: tried before the training, and rescued where a disk is full after it."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from processes import ENVIRONMENT
from small_disk import can_mount, on_a_small_disk

from minirec import load_model, storage
from minirec.cli import output_files
from minirec.cli.output_files import FilesToWrite

pytestmark = pytest.mark.slow

needs_a_small_disk = pytest.mark.skipif(
    not can_mount(), reason="no disk of its own can be mounted here"
)


def run_on_a_small_disk(command, folder, kilobytes, cwd):
    return subprocess.run(
        [
            *on_a_small_disk(folder, kilobytes),
            *(sys.executable, "-m", "minirec", *map(str, command)),
        ],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        cwd=cwd,
        timeout=240,
    )


@pytest.fixture
def folders(tmp_path):
    """A folder to work in, and one for the small disk."""
    (tmp_path / "work").mkdir()
    (tmp_path / "full").mkdir()
    return tmp_path / "work", tmp_path / "full"


@needs_a_small_disk
def test_a_full_disk_does_not_lose_the_model(log_file, folders):
    work, full = folders
    command = f"train --model gru4rec --d-model 32 --epochs 1 --data {log_file} --out {full}/m.pt"
    result = run_on_a_small_disk(command.split(), full, kilobytes=8, cwd=work)
    assert result.returncode == 1
    rescued = work / "rescued-1-m.pt"
    assert result.stderr == (
        f"error: {full}/m.pt could not be written: No space left on device. Nothing is lost: it "
        f"was written to {rescued} instead.\n"
    )
    assert load_model(rescued).name == "gru4rec"
    assert os.listdir(work) == ["rescued-1-m.pt"]


@needs_a_small_disk
def test_nor_does_it_lose_the_record(log_file, folders):
    work, full = folders
    options = "--model gru4rec --d-model 4 --epochs 20 --patience 20 --out m.pt"
    command = f"train {options} --data {log_file} --record {full}/run.json"
    result = run_on_a_small_disk(command.split(), full, kilobytes=4, cwd=work)
    assert result.returncode == 1
    assert "run.json could not be written: No space left on device" in result.stderr
    assert sorted(os.listdir(work)) == ["m.pt", "rescued-1-run.json"]


def test_what_was_rescued_before_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "rescued-1-run.json").write_text("precious")
    (tmp_path / "m.pt").write_bytes(b"a model")
    files = FilesToWrite(
        tmp_path / "m.pt", tmp_path / "file" / "run.json", finished=None, replaces_record=False
    )
    with pytest.raises(OSError, match=r"it was written to .*rescued-2-run\.json instead"):
        files.save_record({"schema": 1})
    assert (tmp_path / "rescued-1-run.json").read_text() == "precious"


def test_a_record_that_appears_during_training_is_kept_and_so_is_this_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.json").write_text("precious")
    (tmp_path / "m.pt").write_bytes(b"a model")
    files = FilesToWrite(
        tmp_path / "m.pt", tmp_path / "run.json", finished=None, replaces_record=False
    )
    with pytest.raises(OSError, match=r"could not be written: it is there already\. .*rescued-1"):
        files.save_record({"schema": 1})
    assert (tmp_path / "run.json").read_text() == "precious"
    assert (tmp_path / "rescued-1-run.json").exists()


NOT_A_FOLDER = "file/in/it"


@pytest.mark.parametrize("flag", ["--out", "--record", "--checkpoint"])
def test_a_place_that_cannot_be_written_is_found_before_training(
    cli, tmp_path, log_file, never_trained, flag
):
    (tmp_path / "file").touch()
    files = {"--out": tmp_path / "m.pt", flag: tmp_path / NOT_A_FOLDER}
    words = [str(word) for pair in files.items() for word in pair]
    printed = cli("train --model popularity", "--data", log_file, *words)
    assert printed.status == 1
    assert str(tmp_path / "file") in printed.err


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="has no /proc")
@pytest.mark.parametrize("flag", ["--out", "--record", "--checkpoint"])
def test_so_is_one_where_permissions_say_yes_and_the_system_no(
    cli, tmp_path, log_file, never_trained, flag
):
    files = {"--out": tmp_path / "m.pt", flag: "/proc/self/file"}
    words = [str(word) for pair in files.items() for word in pair]
    printed = cli("train --model popularity", "--data", log_file, *words)
    assert printed.status == 1
    assert "/proc/self/file" in printed.err


PAIRS = [("--out", "--record"), ("--out", "--checkpoint"), ("--record", "--checkpoint")]


@pytest.mark.parametrize("one, other", PAIRS)
def test_two_files_of_one_name_are_refused_before_training(
    cli, tmp_path, log_file, never_trained, one, other
):
    files = {"--out": tmp_path / "m.pt", one: tmp_path / "same", other: tmp_path / "same"}
    words = [str(word) for pair in files.items() for word in pair]
    printed = cli("train --model popularity", "--data", log_file, *words)
    assert printed.status == 1
    assert "same is also the file of --" in printed.err


@pytest.fixture
def lost_folder(tmp_path, monkeypatch):
    """The folder that we work in is gone; another is our home."""
    (tmp_path / "work").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    (tmp_path / "work").rmdir()
    yield tmp_path / "home"
    os.chdir(tmp_path)  # a folder that is gone cannot be returned to by those who come next


def write_nothing(path):
    storage.save(path, "model", {})


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps a folder that is worked in")
def test_a_model_is_rescued_where_the_folder_that_we_work_in_is_gone(lost_folder):
    with pytest.raises(
        OSError, match=r"^m\.pt could not be written: No such file .* is .*rescued-1"
    ):
        output_files._save_or_rescue(Path("m.pt"), write_nothing)
    assert os.listdir(lost_folder) == ["rescued-1-m.pt"]


def test_a_model_is_rescued_where_nobody_has_a_home(tmp_path, monkeypatch):
    def has_no_home():
        raise RuntimeError("Could not determine home directory.")

    def save(path):
        if tmp_path not in Path(path).parents:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_nothing(path)

    monkeypatch.setattr(Path, "home", has_no_home)
    monkeypatch.setattr(output_files.tempfile, "gettempdir", lambda: str(tmp_path))
    with pytest.raises(OSError, match="Nothing is lost"):
        output_files._save_or_rescue(Path("m.pt"), save)
    assert os.listdir(tmp_path) == ["rescued-1-m.pt"]


def test_a_command_can_be_run_in_a_thread(cli, tmp_path, log_file):
    """Only the main thread may say what Ctrl-C does."""
    words = f"train --model popularity --data {log_file} --out {tmp_path}/m.pt"
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(cli(words).status))
    thread.start()
    thread.join()
    assert statuses == [0]
    assert load_model(tmp_path / "m.pt").name == "popularity"


@pytest.fixture
def listening():
    """Ctrl-C as Python answers it; whoever is started in the background is deaf to it."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
def test_a_second_ctrl_c_does_not_lose_what_the_first_one_ended(listening):
    reached = []
    with output_files.one_ctrl_c():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        reached.append("the model is saved")
    assert reached
    with pytest.raises(KeyboardInterrupt):  # and afterwards Ctrl-C is itself again
        signal.raise_signal(signal.SIGINT)


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
def test_ctrl_c_waits_for_a_write_within_training_too(listening):
    with output_files.one_ctrl_c():
        with output_files._answering_ctrl_c_by(signal.SIG_IGN):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
def test_a_later_ctrl_c_interrupts_again(listening, monkeypatch):
    """The first one may have been swallowed, in a destructor for example."""
    monkeypatch.setattr(output_files, "SECONDS_OF_ONE_PRESS", -1.0)
    with output_files.one_ctrl_c():
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such a name")
def test_a_record_can_hold_a_name_that_is_no_text(cli, tmp_path, log_file):
    out = os.fsdecode(b"m\xff.pt")
    words = ["--data", log_file, "--out", tmp_path / out, "--record", tmp_path / "run.json"]
    first = cli("train --model popularity", *words)
    assert first.status == 0, first.err
    again = cli("train --model popularity", *words)
    assert again.status == 0, again.err
    assert "finished" in again.out


def test_a_path_of_two_lines_is_told_in_one(cli, tmp_path, log_file):
    record = tmp_path / "two\nlines.json"
    record.write_text('{"schema": 1}')
    words = ["--data", log_file, "--out", tmp_path / "m.pt", "--record", record]
    printed = cli("train --model popularity", *words)
    assert printed.status == 1
    assert "two\\nlines.json exists, and a record is never replaced" in printed.err
