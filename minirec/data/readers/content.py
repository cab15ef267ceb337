"""The bytes of a file, unpacked, and their text."""

import gzip
import stat
import zipfile
import zlib
from pathlib import Path

from minirec.errors import DataError

IN_ZIP = ("ratings.dat", "u.data", "ratings.csv")


def file_content(path: Path) -> tuple[str, bytes]:
    """The file's name, for messages, and its bytes, unpacked."""
    if path.is_dir():
        inside = sorted(
            (entry for entry in path.iterdir() if entry.is_file()),
            key=lambda entry: (entry.name not in IN_ZIP, entry.name),
        )
        raise DataError(
            f"{path} is a folder; pass the file inside it{f', such as {inside[0]}' if inside else ''}."
        )
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    if raw[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _from_zip(path)
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(
                f"{path}: the gzip file is cut short or damaged ({error}). Download or copy it again."
            ) from None
    elif path.suffix == ".gz" and raw:
        raise DataError(
            f"{path} is not a gzip file, despite its name; if it is plain text, take .gz off the name."
        )
    return str(path), raw


def _from_zip(path: Path) -> tuple[str, bytes]:
    """The ratings inside an archive. One that would write outside its folder is not trusted at all, even though nothing is written here."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            for member in members:
                parts = member.filename.replace("\\", "/").split("/")
                if (
                    ".." in parts
                    or parts[0] == ""
                    or ":" in parts[0]
                    or stat.S_ISLNK(member.external_attr >> 16)
                ):
                    raise DataError(
                        f"{path}: refused, because its member {member.filename!r} points outside the archive's own folder. "
                        "Get the archive from its original source."
                    )
            ratings = [
                m for wanted in IN_ZIP for m in members if m.filename.split("/")[-1] == wanted
            ]
            if not ratings:
                raise DataError(
                    f"{path} holds no {', '.join(IN_ZIP[:-1])} or {IN_ZIP[-1]}; unpack it and pass the file with the ratings."
                )
            return f"{path}/{ratings[0].filename}", archive.read(ratings[0])
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
    ) as error:  # the last: an encrypted member
        raise DataError(
            f"{path}: the zip file cannot be unpacked ({error}). Download or copy it again."
        ) from None


def decoded(name: str, raw: bytes, first_line: int = 1) -> str:
    """Return bytes as text; DataError with the line of a byte that is not UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = first_line + raw.count(b"\n", 0, error.start)
        raise DataError(
            f"{name}, line {line:,}: the byte 0x{raw[error.start]:02x} is not UTF-8 text. Save the file as UTF-8 first."
        ) from None
