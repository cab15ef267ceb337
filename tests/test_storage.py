"""Files that rot, disks that fill, processes that die: nothing is silently wrong or half-done."""

import contextlib
import hashlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from logs import random_log
from processes import ENVIRONMENT, python
from small_disk import can_mount, on_a_small_disk

from minirec import build_model, evaluate, fit, load_model, save_model, storage
from minirec.errors import CheckpointError
from minirec.experiments.records import save_record
from minirec.storage import StorageError, atomic_write, check_writable, in_use, read

pytestmark = pytest.mark.slow

STORED = Path(__file__).parent / "stored"
N_FLIPS = 300
posix_only = pytest.mark.skipif(os.name != "posix", reason="signals and limits as on POSIX")


def same(a, b):
    """Whether two nested values agree, tensors bit for bit, types included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A saved model and a training checkpoint."""
    folder = tmp_path_factory.mktemp("files")
    data = random_log(0, n_users=30, n_items=20)
    torch.manual_seed(0)
    model = build_model("gru4rec", data.n_items, d_model=8)
    fit(model, data.split(), epochs=1, device="cpu", checkpoint=folder / "run.ckpt")
    save_model(folder / "model.pt", model, data)
    return {"model": folder / "model.pt", "checkpoint": folder / "run.ckpt"}


def read_kind(path, kind):
    return read(path, kind, frozenset())


# ----- Files that rot -----------------------------------------------------------------------------


def assert_random_flips_change_nothing(content, whole, kind, path):
    """Write content with one bit flipped, and read it: it is refused by name, or whole."""
    draw = np.random.default_rng(0)
    refused = 0
    for _ in range(N_FLIPS):
        flipped = bytearray(content)
        position = draw.integers(len(content))
        flipped[position] ^= 1 << draw.integers(8)
        path.write_bytes(flipped)
        try:
            state = read_kind(path, kind)
        except StorageError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            assert same(state, whole)
    assert refused > 0


@pytest.mark.parametrize("kind", ["model", "checkpoint"])
def test_a_flipped_bit_is_found_or_changes_nothing(files, kind, tmp_path):
    whole = read_kind(files[kind], kind)
    content = files[kind].read_bytes()
    assert_random_flips_change_nothing(content, whole, kind, tmp_path / "flipped")


@pytest.mark.parametrize("kind", ["model", "checkpoint"])
def test_a_flipped_bit_near_the_end_makes_no_file_of_format_1(files, kind, tmp_path):
    """The last line says that there is a checksum: every bit of it and around it counts."""
    content = files[kind].read_bytes()
    path = tmp_path / "flipped"
    for position in range(len(content) - 130, len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[position] ^= 1 << bit
            path.write_bytes(flipped)
            with pytest.raises(StorageError, match="damaged"):
                read_kind(path, kind)


def test_a_flipped_bit_in_a_file_of_format_1_is_mostly_found(tmp_path):
    """It has only the checksums of its members, so what lies between them goes unseen."""
    content = (STORED / "models" / "gru4rec.pt").read_bytes()
    path = tmp_path / "flipped.pt"
    path.write_bytes(content)
    whole = read_kind(path, "model")
    assert_random_flips_change_nothing(content, whole, "model", path)


@pytest.mark.parametrize("kind", ["model", "checkpoint"])
def test_a_file_that_is_cut_anywhere_is_refused(files, kind, tmp_path):
    content = files[kind].read_bytes()
    path = tmp_path / "cut"
    for length in np.linspace(0, len(content) - 1, 100).astype(int):
        path.write_bytes(content[:length])
        with pytest.raises(StorageError, match=r"cut off|not a file of minirec"):
            read_kind(path, kind)


# ----- Files that cannot be used, each with a message of its own ----------------------------------


def of_a_later_version(content, path):
    """As this version would write it, but for the number."""
    length = content.rindex(b"minirec format 2")
    changed = content[:length] + b"minirec format 3, SHA-256 "
    path.write_bytes(changed + hashlib.sha256(changed).hexdigest().encode() + b"\n")
    return "has format 3.* a later version wrote it. Upgrade minirec"


def of_another_kind(content, path):
    path.write_text("user item\n")
    return "is not a file of minirec"


def another_torch_file(content, path):
    torch.save([1], path)
    return "is not a file of minirec"


def cut_off(content, path):
    path.write_bytes(content[:-1000])
    return "is cut off"


def without_its_last_line(content, path):
    path.write_bytes(content[: content.rindex(b"minirec format")])
    return "is cut off or damaged at its end"


def damaged(content, path):
    path.write_bytes(content.replace(b"gru4rec", b"gru5rec"))
    return "is damaged: its content does not have the checksum"


SPOILERS = [
    of_a_later_version,
    of_another_kind,
    another_torch_file,
    cut_off,
    without_its_last_line,
    damaged,
]


@pytest.mark.parametrize("spoil", SPOILERS)
def test_a_model_that_cannot_be_used_says_why(files, spoil, tmp_path):
    path = tmp_path / "spoiled.pt"
    message = spoil(files["model"].read_bytes(), path)
    with pytest.raises(ValueError, match=rf"spoiled\.pt {message}"):
        load_model(path)


def continue_from(path):
    data = random_log(0, n_users=30, n_items=20)
    model = build_model("gru4rec", data.n_items, d_model=8)
    return fit(model, data.split(), epochs=1, device="cpu", checkpoint=path)


@pytest.mark.parametrize("spoil", SPOILERS)
def test_a_checkpoint_that_cannot_be_used_says_why_and_is_left_alone(files, spoil, tmp_path):
    path = tmp_path / "spoiled.ckpt"
    message = spoil(files["checkpoint"].read_bytes(), path)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=rf"spoiled\.ckpt {message}.* Give another path, or"):
        continue_from(path)
    assert path.read_bytes() == before


def test_a_model_is_no_checkpoint_and_a_checkpoint_no_model(files):
    with pytest.raises(ValueError, match="is a training checkpoint, not a saved model"):
        load_model(files["checkpoint"])
    with pytest.raises(CheckpointError, match="is a saved model, not a training checkpoint"):
        continue_from(files["model"])


def without_part(path, kind, part, new):
    state = torch.load(path, weights_only=True)
    del state[part]
    if state.pop("kind", None) is not None:
        storage.save(new, kind, state)
    else:
        torch.save(state, new)


@pytest.mark.parametrize("part", sorted({"split", "counts", "item_ids", "weights", "n_items"}))
def test_a_model_without_a_part_is_refused_with_the_part_named(files, part, tmp_path):
    without_part(files["model"], "model", part, tmp_path / "less.pt")
    with pytest.raises(ValueError, match=rf"less\.pt lacks {part}, which a saved model has"):
        load_model(tmp_path / "less.pt")


@pytest.mark.parametrize("part", ["split", "counts"])
def test_so_is_one_of_format_1(part, tmp_path):
    without_part(STORED / "models" / "gru4rec.pt", "model", part, tmp_path / "less.pt")
    with pytest.raises(ValueError, match=rf"less\.pt lacks {part}, which a saved model has"):
        load_model(tmp_path / "less.pt")


def test_each_of_five_reasons_has_a_message_of_its_own(files, tmp_path):
    """A later version, another kind, cut off, damaged, without a part."""
    content = files["model"].read_bytes()
    messages = set()
    for spoil in (of_a_later_version, of_another_kind, cut_off, damaged):
        spoil(content, tmp_path / "file")
        with pytest.raises(StorageError) as raised:
            read_kind(tmp_path / "file", "model")
        messages.add(re.sub(r".*/file", "", str(raised.value)))
    without_part(files["model"], "model", "split", tmp_path / "file")
    with pytest.raises(StorageError) as raised:
        read(tmp_path / "file", "model", frozenset({"split"}))
    messages.add(re.sub(r".*/file", "", str(raised.value)))
    assert len(messages) == 5


@pytest.mark.parametrize("part", ["identity", "random", "optimizer", "best"])
def test_a_checkpoint_without_a_part_is_refused_with_the_part_named(files, part, tmp_path):
    without_part(files["checkpoint"], "checkpoint", part, tmp_path / "less.ckpt")
    with pytest.raises(CheckpointError, match=rf"less\.ckpt lacks {part}, which a training"):
        continue_from(tmp_path / "less.ckpt")


def changed(path, new, **parts):
    """A copy of a checkpoint, whole by its checksum, in which some parts are others."""
    state = {**torch.load(path, weights_only=True), **parts}
    storage.save(new, state.pop("kind"), state)


OTHER_PARTS = {
    "no weights": {"model": {}},
    "no optimizer": {"optimizer": {}},
    "fewer entries than epochs": {"epochs": []},
    "a text for a number": {"epoch": "one"},
    "numbers of another kind": {"random": torch.zeros(3)},
    "another model's best weights": {"best": {"x": torch.zeros(1)}},
    "no best weights": {"best": None},
}


@pytest.mark.parametrize("parts", OTHER_PARTS.values(), ids=OTHER_PARTS)
def test_a_checkpoint_whose_parts_do_not_go_together_is_refused_and_the_model_untouched(
    files, tmp_path, parts
):
    changed(files["checkpoint"], tmp_path / "odd.ckpt", **parts)
    data = random_log(0, n_users=30, n_items=20)
    model = build_model("gru4rec", data.n_items, d_model=8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"odd\.ckpt is not a checkpoint as minirec writes"):
        fit(model, data.split(), epochs=1, device="cpu", checkpoint=tmp_path / "odd.ckpt")
    assert same(dict(model.state_dict()), before)


@pytest.mark.parametrize(
    "identity",
    [{"\x1b[2J": "x"}, {"lr": "\x1b[2J" + "y" * 1000}, {str(i): i for i in range(1000)}, [1]],
    ids=["a name", "a value", "many", "a list"],
)
def test_what_stands_in_a_foreign_checkpoint_is_shown_harmlessly(files, tmp_path, identity):
    changed(files["checkpoint"], tmp_path / "foreign.ckpt", identity=identity)
    with pytest.raises(CheckpointError, match="belongs to another run") as raised:
        continue_from(tmp_path / "foreign.ckpt")
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 3000


def test_what_stands_in_a_foreign_model_is_shown_harmlessly(files, tmp_path):
    changed(files["model"], tmp_path / "foreign.pt", name="\x1b[2J" + "x" * 10_000)
    with pytest.raises(StorageError, match=r"there is no model '\\x1b") as raised:
        load_model(tmp_path / "foreign.pt")
    assert len(str(raised.value)) < 1000

    changed(files["model"], tmp_path / "foreign.pt", fingerprint="\x1b[2J")
    data = random_log(0, n_users=30, n_items=20)
    with pytest.raises(ValueError, match="trained on other data") as raised:
        evaluate(load_model(tmp_path / "foreign.pt"), data.split())
    assert str(raised.value).isprintable()


def test_a_checkpoint_that_does_not_say_all_of_what_it_is_belongs_to_another_run(files, tmp_path):
    state = torch.load(files["checkpoint"], weights_only=True)
    kind = state.pop("kind")
    del state["identity"]["seed"]
    storage.save(tmp_path / "less.ckpt", kind, state)
    with pytest.raises(CheckpointError, match="seed is None in the checkpoint and 0 now"):
        continue_from(tmp_path / "less.ckpt")


def test_any_torch_can_read_a_file(files):
    assert torch.load(files["model"], weights_only=True)["name"] == "gru4rec"
    assert zipfile.ZipFile(files["model"]).testzip() is None


# ----- Files from strangers -----------------------------------------------------------------------


class Harmful:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


@pytest.mark.parametrize("in_the_place_of", ["weights", "identity", "format"])
def test_nothing_in_a_file_is_executed(in_the_place_of, tmp_path):
    state = {"format": 1, "weights": {}, "identity": {}}
    state[in_the_place_of] = Harmful(tmp_path / "was executed")
    torch.save(state, tmp_path / "harmful.pt")
    for load in (load_model, continue_from):
        with pytest.raises(ValueError, match=r"harmful\.pt is not a file of minirec"):
            load(tmp_path / "harmful.pt")
    assert not (tmp_path / "was executed").exists()

    # The file can do harm: a reader that trusts it runs what it says.
    torch.load(tmp_path / "harmful.pt", weights_only=False)
    assert (tmp_path / "was executed").exists()


def test_a_file_whose_members_are_packed_is_not_unpacked(tmp_path):
    """A few kilobytes could unpack to any size; `torch.save` never packs."""
    torch.save({"format": 1, "weights": torch.zeros(10_000_000)}, tmp_path / "plain.pt")
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for member in plain.namelist():
            packed.writestr(member, plain.read(member))
    assert (tmp_path / "packed.pt").stat().st_size < 100_000
    with pytest.raises(ValueError, match=r"packed\.pt is not a file of minirec"):
        load_model(tmp_path / "packed.pt")


def test_a_tensor_that_has_one_number_and_any_size_is_refused(files, tmp_path):
    state = torch.load(files["model"], weights_only=True)
    state["item_ids"] = torch.zeros(1).expand(10**12)
    kind = state.pop("kind")
    storage.save(tmp_path / "huge.pt", kind, state)
    assert (tmp_path / "huge.pt").stat().st_size < 100_000
    with pytest.raises(ValueError, match=r"huge\.pt is not a file of minirec"):
        load_model(tmp_path / "huge.pt")


# ----- Disks that fill, folders that vanish -------------------------------------------------------


def run_python(code, *arguments, before=()):
    """Run code in a process of its own; return it with what it printed."""
    return subprocess.run(
        [*before, sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=120,
    )


SAVE_TWICE = """
import os
import sys
import torch
from minirec import storage

{limit}
storage.save(sys.argv[1], "model", {{"a": torch.zeros(10)}})
try:
    storage.save(sys.argv[1], "model", {{"a": torch.zeros(1_000_000)}})
except OSError as error:
    print(error)
print(storage.read(sys.argv[1], "model", frozenset())["a"].numel(), sorted(os.listdir(".")))
"""


def assert_the_cause_is_told_and_the_old_file_is_there(result, cause):
    assert result.returncode == 0, result.stderr
    told, left = result.stdout.splitlines()
    assert cause in told
    assert "small.pt" in told
    assert left == "10 ['small.pt']"


@posix_only
def test_a_write_beyond_a_limit_says_so_and_leaves_the_old_file(tmp_path):
    """The limit of a file's size, which the system itself enforces."""
    limit = f"""
import resource
os.chdir({str(tmp_path)!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
"""
    result = run_python(SAVE_TWICE.format(limit=limit), "small.pt")
    assert_the_cause_is_told_and_the_old_file_is_there(result, "File too large")


@pytest.mark.skipif(not can_mount(), reason="no disk of its own can be mounted here")
def test_a_full_disk_says_so_and_leaves_the_old_file(tmp_path):
    """A disk of 200 kB, which only this process sees."""
    limit = f"os.chdir({str(tmp_path)!r})"
    before = on_a_small_disk(tmp_path, kilobytes=200)
    result = run_python(SAVE_TWICE.format(limit=limit), "small.pt", before=before)
    assert_the_cause_is_told_and_the_old_file_is_there(result, "No space left on device")


def test_a_folder_that_vanishes_while_a_file_is_written_is_told_with_the_files_name(tmp_path):
    path = tmp_path / "folder" / "file"
    with pytest.raises(OSError) as raised, atomic_write(path) as file:
        file.write(b"something")
        os.rename(path.parent, tmp_path / "elsewhere")
    assert raised.value.filename == str(path)
    assert isinstance(raised.value, FileNotFoundError)


def test_an_error_about_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as raised, atomic_write(tmp_path / "file"):
        (tmp_path / "source").read_bytes()
    assert raised.value.filename == str(tmp_path / "source")


def test_a_place_where_nothing_can_be_written_is_found_beforehand(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=str(tmp_path / "file")):
        check_writable(tmp_path / "file" / "model.pt")
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        check_writable(tmp_path)
    if Path("/proc/self").exists():  # a folder in which nobody can make a file, whatever it says
        with pytest.raises(OSError, match=r"/proc/self/model\.pt"):
            check_writable("/proc/self/model.pt")


def test_trying_a_place_leaves_nothing_there(tmp_path):
    check_writable(tmp_path / "new" / "model.pt")
    assert list((tmp_path / "new").iterdir()) == []


# ----- Processes that are interrupted or killed ---------------------------------------------------

SAVE_FOR_EVER = """
import itertools
import sys
import torch
from minirec import storage

path = sys.argv[1]
print("begins", flush=True)
try:
    for number in itertools.count():
        storage.save(path, "model", {"a": torch.full((300_000,), number), "number": number})
except KeyboardInterrupt:
    print("interrupted")
"""


@contextlib.contextmanager
def saving(path):
    """A process that writes a file over and over again."""
    with python("-c", SAVE_FOR_EVER, path) as process:
        assert process.stdout.readline() == "begins\n"
        while not path.exists():
            time.sleep(0.01)
        yield process


def assert_whole(path):
    state = read_kind(path, "model")
    assert (state["a"] == state["number"]).all()


@posix_only
@pytest.mark.parametrize("delay", [0.05, 0.13])
def test_ctrl_c_inside_a_write_is_ctrl_c_and_leaves_a_whole_file(tmp_path, delay):
    with saving(tmp_path / "model.pt") as process:
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=60)
    assert (printed, errors) == ("interrupted\n", "")
    assert os.listdir(tmp_path) == ["model.pt"]
    assert_whole(tmp_path / "model.pt")


def hidden_files(folder):
    return [name for name in os.listdir(folder) if name.startswith(".")]


@posix_only
def test_what_a_killed_writer_leaves_is_swept_by_the_next(tmp_path):
    path = tmp_path / "model.pt"
    for _ in range(10):  # most often the first is enough
        with saving(path) as process:
            while process.poll() is None and not hidden_files(tmp_path):
                pass
            process.kill()
        assert_whole(path)
        if any(hidden_files(tmp_path)):
            break
    assert hidden_files(tmp_path)  # else nothing is there to be swept
    storage.save(path, "model", {"a": torch.zeros(1), "number": 0})
    assert os.listdir(tmp_path) == ["model.pt"]


def test_what_older_versions_left_is_swept_and_what_is_others_is_not(tmp_path):
    (tmp_path / ".model.pt.0123abcd.part").touch()
    (tmp_path / ".other.pt.0123abcd.part").touch()
    storage.save(tmp_path / "model.pt", "model", {})
    assert sorted(os.listdir(tmp_path)) == [".other.pt.0123abcd.part", "model.pt"]


def test_whoever_is_still_writing_is_not_swept(tmp_path):
    path = tmp_path / "file"
    with atomic_write(path) as first:
        first.write(b"slowly")
        with atomic_write(path) as second:
            second.write(b"quickly")
        assert path.read_bytes() == b"quickly"
    assert path.read_bytes() == b"slowly"
    assert os.listdir(tmp_path) == ["file"]


def test_the_content_is_on_the_disk_before_the_name_and_the_name_before_the_end(
    tmp_path, monkeypatch
):
    done = []
    fsync = os.fsync
    replace = os.replace

    def note_fsync(descriptor):
        is_folder = os.path.isdir(f"/proc/self/fd/{descriptor}")
        done.append("fsync of the folder" if is_folder else "fsync of the file")
        fsync(descriptor)

    def note_replace(source, target):
        assert Path(source).read_bytes() == b"content"
        done.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    with atomic_write(tmp_path / "file") as file:
        file.write(b"content")
    if not Path("/proc/self/fd").exists():
        pytest.skip("which file a descriptor belongs to can be looked up on Linux only")
    assert done == ["fsync of the file", "replace", "fsync of the folder"]


def test_a_record_is_whole_or_not_there(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        save_record(tmp_path / "run.json", {"schema": 1, "loss": float("nan")})
    assert os.listdir(tmp_path) == []


# ----- A file in use ------------------------------------------------------------------------------

HOLD = """
import sys
import time
from minirec.storage import in_use

with in_use(sys.argv[1]):
    print("holds", flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def holder(path):
    """A process that uses a file until it is killed."""
    with python("-c", HOLD, path) as process:
        assert process.stdout.readline() == "holds\n"
        yield process


def test_a_checkpoint_that_another_process_uses_is_refused_until_that_dies(tmp_path):
    path = tmp_path / "run.ckpt"
    with holder(path):
        with pytest.raises(CheckpointError, match=r"run\.ckpt is in use by another run"):
            continue_from(path)
        assert not path.exists()
    assert len(continue_from(path).epochs) == 1
    assert os.listdir(tmp_path) == ["run.ckpt"]


def test_a_file_in_use_is_refused_in_the_same_process_too(tmp_path):
    with in_use(tmp_path / "run.ckpt"):
        with (
            pytest.raises(StorageError, match="in use"),
            in_use(tmp_path / "run.ckpt"),
        ):
            pass
        with in_use(tmp_path / "other.ckpt"):
            pass
    with in_use(tmp_path / "run.ckpt"):
        pass
    assert os.listdir(tmp_path) == []


# ----- Names and places that are odd --------------------------------------------------------------


@posix_only
@pytest.mark.parametrize("write", [check_writable, lambda path: storage.save(path, "model", {})])
def test_a_pipe_or_a_device_is_not_replaced_by_a_file(write, tmp_path):
    """As root, a file could take the place of /dev/null for the whole machine."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"device or a pipe; name a file: '.*pipe'"):
        write(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()
    assert os.listdir(tmp_path) == ["pipe"]


@posix_only
def test_behind_a_symbolic_link_the_file_is_written_and_the_link_stays(tmp_path):
    (tmp_path / "large disk").mkdir()
    link = tmp_path / "run.ckpt"
    link.symlink_to(tmp_path / "large disk" / "run.ckpt")
    storage.save(link, "checkpoint", {"a": 1})
    assert link.is_symlink()
    assert read_kind(tmp_path / "large disk" / "run.ckpt", "checkpoint")["a"] == 1
    with in_use(link), pytest.raises(StorageError), in_use(tmp_path / "large disk" / "run.ckpt"):
        pass


@posix_only
def test_a_name_that_cannot_be_written_safely_is_found_beforehand_and_named(tmp_path):
    path = tmp_path / ("m" * 250)  # a file of this name there can be, a longer one beside it not
    path.touch()
    for try_it in (check_writable, lambda path: storage.save(path, "model", {})):
        with pytest.raises(OSError, match="name too long") as raised:
            try_it(path)
        assert raised.value.filename == str(path)


def in_itself(kind):
    """A list or a dict that holds itself."""
    values = kind()
    if isinstance(values, list):
        values.append(values)
    else:
        values["again"] = values
    return values


STRANGE = {
    "sparse": torch.eye(3).to_sparse(),
    "without memory": torch.zeros(21, device="meta", dtype=torch.int64),
    "many": torch.arange(20),
    "trained": torch.nn.Parameter(torch.ones(21)),
    "a list of itself": in_itself(list),
    "a dict of itself": in_itself(dict),
    "long": "x" * 1_000_000,
    "escape": "\x1b[2J\n",
}


@pytest.mark.parametrize("strange", STRANGE)
@pytest.mark.parametrize("part", ["name", "n_items", "item_ids", "counts", "weights", "options"])
def test_a_part_of_any_other_type_is_refused_in_a_short_line(files, part, strange, tmp_path):
    if (part, strange) == ("item_ids", "many"):
        return  # twenty numbers are the ids of twenty items
    state = torch.load(files["model"], weights_only=True)
    kind = state.pop("kind")
    state[part] = STRANGE[strange]
    storage.save(tmp_path / "strange.pt", kind, state)
    with pytest.raises(StorageError, match=r"strange\.pt") as raised:
        load_model(tmp_path / "strange.pt")
    assert len(str(raised.value)) < 500
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("count", [float("nan"), float("inf"), 0.5])
def test_counts_that_are_no_integers_are_refused(files, count, tmp_path):
    state = torch.load(files["model"], weights_only=True)
    kind = state.pop("kind")
    state["counts"] = torch.tensor([0.0] + [count] * 20)
    storage.save(tmp_path / "strange.pt", kind, state)
    with pytest.raises(StorageError, match="its counts are no integers"):
        load_model(tmp_path / "strange.pt")


def test_a_format_that_is_a_tensor_is_no_format(tmp_path):
    torch.save({"format": torch.zeros(3)}, tmp_path / "strange.pt")
    with pytest.raises(StorageError, match="is not a file of minirec"):
        load_model(tmp_path / "strange.pt")
