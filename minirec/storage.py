"""Files that are whole or not there: plain values on disk, checked when they are read.

A file is what `torch.save` writes, so that `torch.load(path, weights_only=True)` can read it too,
and one more line at its end:

    minirec format 2, SHA-256 <64 digits>

The digits are the checksum of all bytes before them. So a change to the file is noticed before
anything in it is used.
"""

import contextlib
import errno
import glob
import hashlib
import io
import os
import re
import secrets
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from filelock import FileLock, Timeout

from minirec.errors import printable_path

# Of the files that `save` writes; `read` accepts format 1, too, which lacks the last line.
FORMAT = 2

LAST_LINE_PATTERN = re.compile(rb"minirec format (\d+), SHA-256 ([0-9a-f]{64})\n\Z")
LONGEST_LAST_LINE = 200  # bytes, whatever the number of the format will be

BEGINS_A_ZIP = b"PK\x03\x04"  # torch.save writes a zip archive
CHUNK = 1 << 20  # bytes that are read at a time to compute a checksum

LOCK_SECONDS = 10.0  # that a lock which nobody else holds for long is waited for

# The errors that name no file: of a disk that is full, on which this user may write no more, or
# that is broken; and where the folder that a relative path begins in is gone.
OF_THE_DISK = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO, errno.ENOENT}

# What a file may hold, in words, and a key by which one of format 1 is known.
KINDS = {"model": "a saved model", "checkpoint": "a training checkpoint"}
KEYS_OF_FORMAT_1 = {"model": "weights", "checkpoint": "identity"}

WAY_OUT = "Take a sound copy of it, or make it again."  # of a damaged file


class StorageError(ValueError):
    """A file that is not what it has to be; the message names the file and says what it is."""


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a binary file that takes the name `path` only once its content lies on the disk.

    What is written goes to a temporary file in the same folder. If the block raises, or the process
    dies, whatever had the name before is still there, unchanged; after an exception the temporary
    file is gone too, and after a sudden death the next writer of `path` removes it.

    Parameters
    ----------
    path : str or path
        The name the file takes in the end; its folder is made if it is missing. Where it is a
        symbolic link, the file that the link leads to is written.

    Yields
    ------
    binary file
        Open for writing.

    Raises
    ------
    OSError
        Where it cannot be written, such as on a full disk, and for a folder, a device or a pipe;
        it names `path`.
    """
    path = _behind_link(path)
    with _errors_that_name(path):
        _refuse_no_file(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        temporary = _temporary_beside(path)
        lock = _lock_of(temporary)
        with _gone_in_the_end(lock), _held(lock):
            try:
                with open(temporary, "xb") as file:
                    yield file
                    # The content must be on the disk before the name is: after a power cut the
                    # other order could leave the name with nothing behind it.
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, path)
                if os.name == "posix":  # Windows makes a new name durable without being asked
                    _write_names_to_disk(path.parent)
            finally:
                temporary.unlink(missing_ok=True)


def _behind_link(path: str | os.PathLike) -> Path:
    """Return where a symbolic link leads to; any other path as it is."""
    path = Path(path)
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _refuse_no_file(path: Path) -> None:
    """Raise OSError for what is there and would vanish if a file took its name: /dev/null, say."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():
        what = "It is a device or a pipe; name a file"
        raise OSError(errno.EINVAL, what, str(path))


def _temporary_beside(path: Path) -> Path:
    """Return a name that nobody else has, for the content of `path` until it is whole."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


def _lock_of(temporary: Path) -> FileLock:
    """Return the lock of whoever writes a temporary file; only `_sweep` may want it, too."""
    return FileLock(temporary.with_suffix(".lock"), timeout=LOCK_SECONDS)


@contextmanager
def _errors_that_name(path: Path) -> Iterator[None]:
    """Make the system's errors in this block name `path` as what could not be written.

    The error of a full disk names no file, that of a vanished folder the temporary file.
    """
    try:
        yield
    except OSError as error:
        of_the_disk = error.filename is None and error.errno in OF_THE_DISK
        of_temporary = Path(str(error.filename)).name.startswith(f".{path.name}.")
        if of_the_disk or of_temporary:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


@contextmanager
def _held(lock: FileLock) -> Iterator[None]:
    """Hold a lock for this block, then remove its file; a process that dies lets go of it, too."""
    with lock, _gone_in_the_end(lock):
        # Others who wait for the lock find that its file is gone, and make a new one.
        yield


@contextmanager
def _gone_in_the_end(lock: FileLock) -> Iterator[None]:
    """Remove a lock's file after this block, even where Ctrl-C comes while the lock is taken."""
    try:
        yield
    finally:
        # Windows lets nobody remove an open file: there it stays, empty.
        with contextlib.suppress(PermissionError):
            Path(lock.lock_file).unlink(missing_ok=True)


def _sweep(path: Path) -> None:
    """Remove the temporary files of those who were killed while they wrote `path`.

    Whoever is still writing holds the lock beside the temporary file.
    """
    beside = f".{glob.escape(path.name)}.*"
    for leftover in [*path.parent.glob(f"{beside}.part"), *path.parent.glob(f"{beside}.lock")]:
        lock = FileLock(leftover.with_suffix(".lock"), timeout=0)
        # Somebody is writing, or it is another user's: then it stays.
        with contextlib.suppress(OSError), _held(lock):
            leftover.with_suffix(".part").unlink(missing_ok=True)


def _write_names_to_disk(folder: Path) -> None:
    """Make the names in a folder durable, as fsync of a file does for its content."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_writable(path: str | os.PathLike) -> None:
    """Find out whether a file could be written, and write nothing.

    To be called before hours of work. The permissions alone do not tell: the disk may be read-only,
    for example.

    Parameters
    ----------
    path : str or path
        The file to be; its folder is made if it is missing.

    Raises
    ------
    OSError
        Where no file can be made in the folder, where its name is too long to be written safely,
        and where `path` is a folder, a device or a pipe; it names `path`.
    """
    path = _behind_link(path)
    with _errors_that_name(path):
        _refuse_no_file(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        # The names of `atomic_write`: one that is too long, or a disk without locks, shows now. The
        # lock comes second, because in a folder such as /proc it would be waited for.
        temporary = _temporary_beside(path)
        try:
            temporary.touch(exist_ok=False)
            with _held(_lock_of(temporary)):
                pass
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def in_use(path: str | os.PathLike) -> Iterator[None]:
    """Keep a file to this block: as long as it runs, nobody else can have the file in use.

    Parameters
    ----------
    path : str or path
        The file, which need not exist.

    Raises
    ------
    StorageError
        Where another process, or another thread, has it in use.
    OSError
        Where the folder cannot be written.
    """
    path = _behind_link(path)
    lock = FileLock(path.with_name(f".{path.name}.in-use"), timeout=0)
    with contextlib.ExitStack() as stack:
        with _errors_that_name(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(_held(lock))
            except Timeout:
                raise StorageError(
                    f"{printable_path(path)} is in use by another run, in this process or in "
                    "another."
                ) from None
        yield


def save(path: str | os.PathLike, kind: str, state: dict[str, Any]) -> None:
    """Write plain values to a file, whole or not at all: `path` always holds one whole file.

    Parameters
    ----------
    path : str or path
        The file; one that is there already is replaced.
    kind : str
        What the values are, one of KINDS.
    state : dict
        Tensors, numbers, strings, and lists and dicts of them.

    Raises
    ------
    OSError
        Where it cannot be written, naming `path`.
    """
    # To memory first: where a write to disk fails, the error of PyTorch's writer does not say why.
    memory = io.BytesIO()
    torch.save({**state, "format": FORMAT, "kind": kind}, memory)
    memory.write(f"minirec format {FORMAT}, SHA-256 ".encode())
    content = memory.getbuffer()
    digits = hashlib.sha256(content).hexdigest()
    with atomic_write(path) as file:
        file.write(content)
        file.write(f"{digits}\n".encode())


def read(path: str | os.PathLike, kind: str, parts: frozenset[str]) -> dict[str, Any]:
    """Return what `save` has written to a file; nothing in the file is executed.

    Parameters
    ----------
    path : str or path
        The file.
    kind : str
        What it has to hold, one of KINDS.
    parts : frozenset of str
        The keys that it has to have.

    Returns
    -------
    dict
        The values, tensors on the CPU, and the number of the format under "format": 1 for a file
        without a checksum, of minirec 0.1.

    Raises
    ------
    StorageError
        For a file of a later version or of another kind, for one that is cut off or damaged, and
        for one that lacks a part.
    OSError
        For a file that cannot be opened.
    """
    name = printable_path(path)
    with open(path, "rb") as file:
        checked = _check_last_line(file, name)
        _check_archive(file, name, look_for_damage=not checked)
        state = _load(file, name)

    number = state.get("format")
    if type(number) is not int or number not in (1, FORMAT):
        raise StorageError(f"{name} is not a file of minirec.")
    if number == FORMAT and not checked:
        raise StorageError(
            f"{name} is cut off or damaged at its end: its last line is missing. {WAY_OUT}"
        )
    found = _kind_of(state)
    if found != kind:
        what = KINDS.get(found, "something else")
        raise StorageError(f"{name} is {what}, not {KINDS[kind]}.")
    missing = sorted(parts - state.keys())
    if missing:
        raise StorageError(
            f"{name} lacks {', '.join(missing)}, which {KINDS[kind]} has; something other than "
            "minirec wrote or changed it."
        )
    return state


def _check_last_line(file: BinaryIO, name: str) -> bool:
    """Return whether a file ends in a line with a checksum; raise if that does not match."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - LONGEST_LAST_LINE))
    found = LAST_LINE_PATTERN.search(file.read())
    if found is None:
        return False

    left = end - len(found[2]) - len(b"\n")
    digest = hashlib.sha256()
    file.seek(0)
    while left > 0:
        chunk = file.read(min(left, CHUNK))
        digest.update(chunk)
        left -= len(chunk)
    if digest.hexdigest() != found[2].decode():
        raise StorageError(
            f"{name} is damaged: its content does not have the checksum that it was written with. "
            f"{WAY_OUT}"
        )

    number = int(found[1])
    if number > FORMAT:
        raise StorageError(
            f"{name} has format {number}, and this version of minirec reads formats 1 and "
            f"{FORMAT}: a later version wrote it. Upgrade minirec."
        )
    return True


def _check_archive(file: BinaryIO, name: str, *, look_for_damage: bool) -> None:
    """Raise for a file that is not an archive as `torch.save` makes them, and for a damaged one."""
    file.seek(0)
    begins_well = file.read(len(BEGINS_A_ZIP)) == BEGINS_A_ZIP
    if not zipfile.is_zipfile(file):
        if begins_well:
            raise StorageError(f"{name} is cut off or damaged at its end. {WAY_OUT}")
        raise StorageError(f"{name} is not a file of minirec.")

    try:
        with zipfile.ZipFile(file) as archive:
            # Packed members, which torch.save never makes, could unpack to any size.
            packed = any(member.compress_type != zipfile.ZIP_STORED for member in archive.filelist)
            # PyTorch does not look at the checksums that an archive keeps of its members.
            damaged = look_for_damage and not packed and archive.testzip() is not None
    except Exception:  # in a damaged archive anything at all may go wrong
        packed = False
        damaged = True
    if packed:
        raise StorageError(f"{name} is not a file of minirec.")
    if damaged:
        raise StorageError(f"{name} is damaged: its content is not what was written. {WAY_OUT}")


def _load(file: BinaryIO, name: str) -> dict[str, Any]:
    """Return the dict in a file whose bytes are as they were written."""
    file.seek(0)
    try:
        # weights_only: tensors and plain values are read, and nothing is called that a file names.
        state = torch.load(file, map_location="cpu", weights_only=True)
        usable = isinstance(state, dict) and all(map(_has_memory, _tensors_in(state)))
    except (OSError, MemoryError):
        raise
    except Exception:  # a foreign file, or a list that holds itself, can raise anything at all
        usable = False
    if not usable:
        raise StorageError(f"{name} is not a file of minirec.")
    return state


def _tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """Find the tensors in nested dicts and lists."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors_in(part)


def _has_memory(tensor: torch.Tensor) -> bool:
    """Whether each value of a tensor has a place of its own in the file.

    With strides of 0, a single number can be a tensor of any size; one of the device "meta" has a
    size alone.
    """
    if tensor.device.type != "cpu":
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _kind_of(state: dict[str, Any]) -> str:
    """Return what kind of file this is; empty where it is neither of KINDS."""
    if state["format"] != 1:
        return str(state.get("kind"))
    for kind, key in KEYS_OF_FORMAT_1.items():
        if key in state:
            return kind
    return ""
