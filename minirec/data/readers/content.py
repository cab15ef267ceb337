"""The bytes of a file, unpacked, and their text."""

import gzip
import stat
import zipfile
import zlib
from pathlib import Path

from minirec.errors import DataError

# The files with the interactions inside MovieLens' archives and folders.
RATINGS_FILES = ("ratings.dat", "u.data", "ratings.csv")

# The first bytes of a zip file: with members, and without any.
ZIP_MARKS = (b"PK\x03\x04", b"PK\x05\x06")

GZIP_MARK = b"\x1f\x8b"


def file_content(path: Path) -> tuple[str, bytes]:
    """Read a file, and unpack it if it is packed.

    Parameters
    ----------
    path : Path
        A plain or gzipped file, or a zip archive that holds one of `RATINGS_FILES`.

    Returns
    -------
    name : str
        How error messages call it: the path, and the member of an archive.
    raw : bytes
        Its content, unpacked.

    Raises
    ------
    DataError
        If it is a folder, cannot be read, or cannot be unpacked.
    """
    if path.is_dir():
        raise _folder_error(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None

    # The content decides how it is packed, not the name.
    if raw.startswith(ZIP_MARKS):
        return _from_zip(path)
    if raw.startswith(GZIP_MARK):
        return str(path), _from_gzip(path, raw)
    if path.suffix == ".gz" and raw:
        raise DataError(
            f"{path} is not a gzip file, despite its name; if it is plain text, take .gz off the "
            "name."
        )
    return str(path), raw


def decoded(name: str, raw: bytes, first_line: int = 1) -> str:
    """Decode bytes as UTF-8.

    Parameters
    ----------
    name : str
        Name of the file, for error messages.
    raw : bytes
        All of it, or one line.
    first_line : int
        Number of the line on which `raw` begins.

    Returns
    -------
    str
        The text.

    Raises
    ------
    DataError
        If a byte is not UTF-8; it names that byte and its line.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = first_line + raw.count(b"\n", 0, error.start)
        byte = raw[error.start]
        raise DataError(
            f"{name}, line {line:,}: the byte 0x{byte:02x} is not UTF-8 text. Save the file as "
            "UTF-8 first."
        ) from None


def _folder_error(folder: Path) -> DataError:
    """Return the error for a folder; it names the file inside that is the likeliest."""
    files = [entry for entry in folder.iterdir() if entry.is_file()]
    if not files:
        return DataError(f"{folder} is a folder; pass the file inside it.")
    likeliest = min(files, key=_ratings_first)
    return DataError(f"{folder} is a folder; pass the file inside it, such as {likeliest}.")


def _ratings_first(file: Path) -> tuple[bool, str]:
    """Sort `RATINGS_FILES` before others, both by name: False comes before True."""
    return file.name not in RATINGS_FILES, file.name


def _from_gzip(path: Path, packed: bytes) -> bytes:
    """Return the content of a gzip file."""
    try:
        return gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: the gzip file is cut short or damaged ({error}). Download or copy it again."
        ) from None


def _from_zip(path: Path) -> tuple[str, bytes]:
    """Return the name and the content of the ratings inside an archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            ratings = _find_ratings(path, archive.infolist())
            return f"{path}/{ratings.filename}", archive.read(ratings)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        NotImplementedError,  # a way of packing that Python does not know
        RuntimeError,  # an encrypted member
    ) as error:
        raise DataError(
            f"{path}: the zip file cannot be unpacked ({error}). Download or copy it again."
        ) from None


def _find_ratings(path: Path, members: list[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    """Return the member with the ratings; DataError where there is none, or one is suspicious."""
    # An archive that would write outside its folder is not trusted at all, even though nothing is
    # written here.
    for member in members:
        if _points_outside(member):
            raise DataError(
                f"{path}: refused, because its member {member.filename!r} points outside the "
                "archive's own folder. Get the archive from its original source."
            )

    for wanted in RATINGS_FILES:
        for member in members:
            if member.filename.split("/")[-1] == wanted:
                return member

    names = f"{', '.join(RATINGS_FILES[:-1])} or {RATINGS_FILES[-1]}"
    raise DataError(f"{path} holds no {names}; unpack it and pass the file with the ratings.")


def _points_outside(member: zipfile.ZipInfo) -> bool:
    """Whether unpacking a member could write outside the archive's own folder."""
    parts = member.filename.replace("\\", "/").split("/")
    upwards = ".." in parts
    from_the_root = parts[0] == ""
    on_a_drive = ":" in parts[0]  # C:/ratings.dat, on Windows
    is_link = stat.S_ISLNK(member.external_attr >> 16)  # the mode that Unix archivers keep there
    return upwards or from_the_root or on_a_drive or is_link
