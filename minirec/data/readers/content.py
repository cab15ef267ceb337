"""The bytes of a file, unpacked."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from minirec.data.readers.archives import RATINGS_FILES
from minirec.data.readers.formats import HEAD_BYTES, check_text, kind_of, packing_of
from minirec.data.readers.unpacking import no_room, unpack
from minirec.errors import DataError, printable_path

# The packing that the end of a name promises.
SUFFIXES = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".lzma": "xz", ".zip": "zip"}

PARQUET_END = b"PAR1"


@dataclass(frozen=True)
class Content:
    """A log as a plain file on disk.

    Attributes
    ----------
    name : str
        How error messages call it: the path, and the member of an archive. Safe to print: control
        characters are escaped, and the middle of a very long name is left out.
    path : Path
        The file itself, or a temporary one with what was packed in it.
    kind : str
        "text" or "parquet".
    """

    name: str
    path: Path
    kind: str


@contextmanager
def opened(path: Path, *, trusted: bool = False) -> Iterator[Content]:
    """Give a log as a plain file on disk: a packed one is unpacked for as long as it is used.

    Its first bytes decide what it is, not its name. It is unpacked in small pieces into a temporary
    file, which is deleted at the end, whatever happens.

    Parameters
    ----------
    path : Path
        A file of text or Parquet, plain or packed by gzip, bzip2, xz (lzma) or zip. An archive
        holds one table, or one of `RATINGS_FILES`.
    trusted : bool
        Whether it may unpack to any size, and not only to what an honest log of its size does.

    Yields
    ------
    Content
        The log; text is not decoded yet.

    Raises
    ------
    DataError
        If it is not a file, cannot be read or unpacked, or is of a format that is not read here.
    """
    name = printable_path(path)
    head = _read_head(name, path)
    packing = packing_of(head)
    if packing is None:
        kind = _plain_kind(name, path, head)
        if kind == "parquet":
            _check_parquet_end(name, path)
        yield Content(name, path, kind)
        return

    with _temporary_file(name) as unpacked:
        name, kind = unpack(path, packing, unpacked, trusted=trusted)
        if kind == "parquet":
            _check_parquet_end(name, unpacked)
        yield Content(name, unpacked, kind)


def _read_head(name: str, path: Path) -> bytes:
    """Return the first bytes of a file; DataError if it is none, or cannot be read."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # no path of a file at all, such as one with a NUL
        raise _unreadable(name, error) from None
    if stat.S_ISDIR(mode):
        raise _folder_error(name, path)
    if not stat.S_ISREG(mode):
        # Opening a pipe could wait for ever, and what is read from it is gone.
        raise DataError(
            f"{name} is not a regular file but a pipe, a socket or a device, and a log is read "
            "more than once. Save what it gives into a file first, and pass that."
        )
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        raise _unreadable(name, error) from None


def _unreadable(name: str, error: OSError | ValueError) -> DataError:
    """Return the error for a file that the system does not give."""
    reason = error.strerror if isinstance(error, OSError) else None
    return DataError(f"{name} cannot be read: {reason or error}.")


def _folder_error(name: str, folder: Path) -> DataError:
    """Return the error for a folder; it names the file inside that is the likeliest."""
    try:
        files = [entry for entry in folder.iterdir() if entry.is_file()]
    except OSError as error:
        raise _unreadable(name, error) from None
    if not files:
        return DataError(f"{name} is a folder; pass the file inside it.")
    likeliest = printable_path(min(files, key=_ratings_first))
    return DataError(f"{name} is a folder; pass the file inside it, such as {likeliest}.")


def _ratings_first(file: Path) -> tuple[bool, bool, str]:
    """Sort `RATINGS_FILES` before others, hidden files last, else by name: False before True."""
    hidden = file.name.startswith((".", "_"))
    return file.name not in RATINGS_FILES, hidden, file.name


def _plain_kind(name: str, path: Path, head: bytes) -> str:
    """Return the kind of a file that is not packed, by its first bytes."""
    kind = kind_of(name, head)
    promised = SUFFIXES.get(path.suffix.lower())
    if promised is not None and head:
        raise DataError(
            f"{name} is not a {promised} file, despite its name; if it is plain text, take "
            f"{path.suffix} off the name, else download or copy it again."
        )
    if kind == "text":
        check_text(name, head)
    return kind


def _check_parquet_end(name: str, path: Path) -> None:
    """Raise a DataError if a Parquet file does not end as it began, so is cut short."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - len(PARQUET_END)))
        end = file.read()
    if end != PARQUET_END:
        raise DataError(
            f"{name}: the Parquet file is cut short or damaged (it does not end in PAR1). Download "
            "or copy it again."
        )


@contextmanager
def _temporary_file(name: str) -> Iterator[Path]:
    """Give an empty file that is deleted at the end."""
    try:
        descriptor, path = tempfile.mkstemp(prefix="minirec-")
    except OSError as error:
        raise no_room(name, error) from None
    try:
        os.close(descriptor)
        yield Path(path)
    finally:
        Path(path).unlink(missing_ok=True)
