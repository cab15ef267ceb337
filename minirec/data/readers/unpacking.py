"""A packed file, unpacked into another in small pieces, and never without bounds.

A few kilobytes can be made to unpack to terabytes. So unpacking stops at `MOST_UNPACKED` bytes, and
beyond `ALWAYS_UNPACKED` also at `MOST_TIMES` the packed size; an honest log has 3 to 20 times. Both
fall for a file that the caller trusts.
"""

import bz2
import gzip
import lzma
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import BinaryIO

from minirec.data.readers.archives import table_member
from minirec.data.readers.formats import check_text, kind_of, refusal, zip_format
from minirec.errors import DataError, printable, printable_path

MOST_UNPACKED = 8 << 30  # bytes
ALWAYS_UNPACKED = 64 << 20  # bytes that are unpacked however small the packed file is
MOST_TIMES = 200  # the packed size, once there are more bytes than that

PIECE = 1 << 20  # bytes that are unpacked and written at once
PACKED_PIECE = 1 << 16  # bytes that are read at once: what follows a short stream is copied

XZ_MEMORY = 256 << 20  # bytes that unpacking may take; the strongest usual setting takes 65 MiB

# What Python's modules raise for a damaged file. A damaged zip can lead them astray in many ways.
DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError)
ZIP_DAMAGE = (
    *DAMAGE,
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    struct.error,
)


def unpack(path: Path, packing: str, target: Path, *, trusted: bool = False) -> tuple[str, str]:
    """Unpack a file into another.

    Parameters
    ----------
    path : Path
        The packed file.
    packing : str
        "gzip", "bzip2", "xz" or "zip"; of a zip archive, the member with the log is unpacked.
    target : Path
        The file to write.
    trusted : bool
        Whether it may unpack to any size.

    Returns
    -------
    name : str
        How messages call what was unpacked: the path, and the member of an archive.
    kind : str
        "text" or "parquet".

    Raises
    ------
    DataError
        If the file is damaged, unpacks to more than is allowed, or holds no log; if there is no
        room for it.
    """
    name = printable_path(path)
    packed_bytes = path.stat().st_size
    if packing == "zip":
        return _unpack_zip(path, packed_bytes, target, trusted)

    pieces = _joined(_pieces(path, packing, trusted))
    pieces_or_error = _named_damage(name, packing, DAMAGE, pieces)
    kind = _write(name, packing, pieces_or_error, target, packed_bytes, trusted)
    return name, kind


def _unpack_zip(path: Path, packed_bytes: int, target: Path, trusted: bool) -> tuple[str, str]:
    """Unpack the log inside an archive; return its name and kind."""
    name = printable_path(path)
    try:
        archive = zipfile.ZipFile(path)
    except ZIP_DAMAGE as error:
        raise _damaged(name, "zip", error) from None

    with archive:
        foreign = zip_format(archive.namelist())
        if foreign is not None:
            raise refusal(name, foreign)
        member = table_member(name, archive.infolist())
        # Both sizes are what the archive says. The first cannot be passed while reading, so a bomb
        # that is honest about itself is not even begun; the second may be a lie, but not beyond
        # the whole file.
        packed_bytes = min(member.compress_size, packed_bytes)
        inner_name = f"{name}/{printable_path(member.filename)}"
        if not trusted:
            _check_size(inner_name, member.file_size, packed_bytes)
        pieces_or_error = _named_damage(name, "zip", ZIP_DAMAGE, _member_pieces(archive, member))
        kind = _write(inner_name, "zip", pieces_or_error, target, packed_bytes, trusted)
    return inner_name, kind


def _write(
    name: str,
    packing: str,
    pieces: Generator[bytes, None, None],
    target: Path,
    packed_bytes: int,
    trusted: bool,
) -> str:
    """Write the pieces that a file unpacks to, judging each of them; return the file's kind."""
    unpacked_bytes = 0
    kind = "text"  # an empty file
    try:
        with closing(pieces), open(target, "wb") as file:
            for piece in pieces:
                if unpacked_bytes == 0:
                    kind = kind_of(name, piece, packing)
                if kind == "text":
                    check_text(name, piece, unpacked_bytes)
                unpacked_bytes += len(piece)
                if not trusted:
                    _check_size(name, unpacked_bytes, packed_bytes)
                file.write(piece)
    except OSError as error:  # of the target: one of the packed file is a DataError already
        raise no_room(name, error) from None
    return kind


def no_room(name: str, error: OSError) -> DataError:
    """Return the error for a temporary file that cannot be written."""
    try:
        folder = printable_path(tempfile.gettempdir())
    except OSError:
        folder = "for temporary files"
    return DataError(
        f"{name} cannot be unpacked into the folder {folder} ({error.strerror or error}). Make "
        "room there, let the environment variable TMPDIR name another folder, or unpack the file "
        "yourself and pass what it holds."
    )


def _check_size(name: str, unpacked_bytes: int, packed_bytes: int) -> None:
    """Raise a DataError if a file of this size unpacks to more than an honest one does."""
    if unpacked_bytes > MOST_UNPACKED:
        why = f"more than the {_size(MOST_UNPACKED)} that are unpacked unasked"
    elif unpacked_bytes > max(ALWAYS_UNPACKED, MOST_TIMES * packed_bytes):
        why = f"more than {MOST_TIMES} times its packed size, as in a file made to fill a disk"
    else:
        return
    raise DataError(
        f"{name}: its {_size(packed_bytes)} unpack to {_size(unpacked_bytes)} or more; that is "
        f"{why}. If you trust where it comes from, allow any size by trusted=True (on the command "
        "line: --trusted)."
    )


def _size(count: int) -> str:
    """Return a number of bytes in a fitting unit."""
    for unit, unit_bytes in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= unit_bytes:
            return f"{count / unit_bytes:,.1f} {unit}"
    return f"{count:,} bytes"


def _named_damage(
    name: str,
    packing: str,
    damage: tuple[type[Exception], ...],
    pieces: Iterator[bytes],
) -> Generator[bytes, None, None]:
    """Yield the pieces; what goes wrong while they are unpacked becomes a DataError."""
    try:
        yield from pieces
    except damage as error:
        if "Memory usage limit" in str(error):  # liblzma has no other sign of it in Python
            raise DataError(
                f"{name}: unpacking this {packing} file takes more than {_size(XZ_MEMORY)} of "
                "memory. If you trust where it comes from, allow that by trusted=True (on the "
                "command line: --trusted)."
            ) from None
        raise _damaged(name, packing, error) from None


def _damaged(name: str, packing: str, error: Exception) -> DataError:
    """Return the error for a file that does not unpack."""
    # The reason may quote the name of a member.
    reason = printable(str(error)) or type(error).__name__
    return DataError(
        f"{name}: the {packing} file cannot be unpacked; it is cut short or damaged ({reason}). "
        "Download or copy it again."
    )


def _member_pieces(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield what a member of an archive unpacks to."""
    with archive.open(member) as file:
        while piece := file.read(PIECE):
            yield piece


def _pieces(path: Path, packing: str, trusted: bool) -> Iterator[bytes]:
    """Yield what a file that is packed by itself unpacks to."""
    with open(path, "rb") as packed:
        if packing == "gzip":
            yield from _gzip_pieces(packed)
        elif packing == "bzip2":
            yield from _stream_pieces(packed, bz2.BZ2Decompressor)
        else:
            memory = None if trusted else XZ_MEMORY
            yield from _stream_pieces(packed, partial(lzma.LZMADecompressor, memlimit=memory))


def _gzip_pieces(packed: BinaryIO) -> Iterator[bytes]:
    """Yield what a gzip file unpacks to; several in a row count as one."""
    with gzip.GzipFile(fileobj=packed) as file:
        while piece := file.read(PIECE):
            yield piece


def _stream_pieces(
    packed: BinaryIO, new_decompressor: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]
) -> Iterator[bytes]:
    """Yield what one or more streams in a row unpack to, whole or with an error.

    `bz2.open` and `lzma.open` take a damaged second stream for the end of the file, and what
    follows would be lost without a word.
    """
    packed_piece = packed.read(PACKED_PIECE)
    while packed_piece:
        decompressor = new_decompressor()
        while not decompressor.eof:
            if decompressor.needs_input and not packed_piece:
                packed_piece = packed.read(PACKED_PIECE)
                if not packed_piece:
                    raise EOFError("the end of the stream is missing")
            yield decompressor.decompress(packed_piece, PIECE)
            packed_piece = b""
        packed_piece = _after_padding(decompressor.unused_data, packed)


def _after_padding(rest: bytes, packed: BinaryIO) -> bytes:
    """Return what follows the zero bytes that may fill up a file; nothing at its end."""
    rest = rest.lstrip(b"\0")
    while not rest:
        packed_piece = packed.read(PACKED_PIECE)
        if not packed_piece:
            return b""
        rest = packed_piece.lstrip(b"\0")
    return rest


def _joined(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Join pieces until they have `PIECE` bytes, so that the first tells what the file is."""
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        if len(gathered) >= PIECE:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)
