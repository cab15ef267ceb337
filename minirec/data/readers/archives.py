"""Which member of a zip archive is the log."""

import stat
import zipfile
from collections.abc import Sequence
from pathlib import PurePosixPath

from minirec.errors import DataError, shown

# The files with the interactions inside MovieLens' archives and folders.
RATINGS_FILES = ("ratings.dat", "u.data", "ratings.csv")

# What archives hold besides tables.
NO_TABLES = ("readme", "license", "licence")  # how the name begins
NO_TABLE_SUFFIXES = (".md", ".html", ".htm", ".pdf")

MOST_LISTED = 12  # members that a message lists

ENCRYPTED = 0x1  # the bit of a member's flags


def table_member(name: str, members: Sequence[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    """Return the member of an archive that holds the interactions.

    That is one of `RATINGS_FILES`, the first of them that is there; else the only member that may
    be a table.

    Parameters
    ----------
    name : str
        How messages call the archive.
    members : sequence of zipfile.ZipInfo
        All that it holds.

    Returns
    -------
    zipfile.ZipInfo
        The member.

    Raises
    ------
    DataError
        If there is none, or several; if it cannot be unpacked here; if any member is suspicious.
    """
    # An archive that would write outside its folder is not trusted at all, even though nothing is
    # written under its members' names here.
    for member in members:
        if _points_outside(member):
            raise DataError(
                f"{name}: refused, because its member {shown(member.filename)} points outside the "
                "archive's own folder. Get the archive from its original source."
            )

    found = _ratings_or_all([member for member in members if _may_be_a_table(member)])
    if not found:
        names = f"{', '.join(RATINGS_FILES[:-1])} or {RATINGS_FILES[-1]}"
        raise DataError(
            f"{name} holds no {names}, and no other table; pass the file with the interactions."
        )
    if len(found) > 1:
        raise _several(name, found)
    _check_unpackable(name, found[0])
    return found[0]


def _ratings_or_all(tables: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    """Return the members with the first name of `RATINGS_FILES` that occurs; if none, all."""
    for wanted in RATINGS_FILES:
        ratings = [member for member in tables if _path(member).name == wanted]
        if ratings:
            return ratings
    return tables


def _several(name: str, tables: list[zipfile.ZipInfo]) -> DataError:
    """Return the error for an archive with several tables, which lists them."""
    listed = ", ".join(shown(member.filename) for member in tables[:MOST_LISTED])
    left_out = len(tables) - MOST_LISTED
    if left_out > 0:
        listed += f" and {left_out:,} more"
    return DataError(
        f"{name} holds {len(tables):,} files that may be the log: {listed}. Unpack it and pass one."
    )


def _check_unpackable(name: str, member: zipfile.ZipInfo) -> None:
    """Raise a DataError if a member needs a password, or is packed in a rare way.

    The rare ways are left out because Python unpacks them in pieces of any size: a few kilobytes
    could fill the memory.
    """
    if member.flag_bits & ENCRYPTED:
        raise DataError(
            f"{name}: its member {shown(member.filename)} is encrypted. Unpack it with its "
            "password and pass the file inside."
        )
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(
            f"{name}: its member {shown(member.filename)} is packed in a way that is not read here "
            f"(method {member.compress_type}). Unpack it and pass the file inside."
        )


def _may_be_a_table(member: zipfile.ZipInfo) -> bool:
    """Whether a member may be a log: neither a folder nor a text about one, nor hidden."""
    path = _path(member)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    about = path.name.lower().startswith(NO_TABLES) or path.suffix.lower() in NO_TABLE_SUFFIXES
    return not (member.is_dir() or hidden or about)


def _path(member: zipfile.ZipInfo) -> PurePosixPath:
    """Return the path of a member; some archivers write it the way of Windows."""
    return PurePosixPath(member.filename.replace("\\", "/"))


def _points_outside(member: zipfile.ZipInfo) -> bool:
    """Whether unpacking a member could write outside the archive's own folder."""
    parts = member.filename.replace("\\", "/").split("/")
    upwards = ".." in parts
    from_the_root = parts[0] == ""
    on_a_drive = ":" in parts[0]  # C:/ratings.dat, on Windows
    is_link = stat.S_ISLNK(member.external_attr >> 16)  # the mode that Unix archivers keep there
    return upwards or from_the_root or on_a_drive or is_link
