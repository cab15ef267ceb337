"""What a file is, told by its first bytes: packed, Parquet, text, or something that is not read.

A name can be wrong, the first bytes hardly ever. A format that is not read here is an error that
names it and says how to get at its table: without that, a spreadsheet is "a byte that is not UTF-8"
and a saved sign-in page a log with strange users.

Some formats begin with letters, as a log may: a user can be called PAR1. Such letters count only
where a NUL byte follows, which no text holds.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from minirec.errors import DataError

HEAD_BYTES = 1 << 16  # how many of the first bytes are looked at

NUL = b"\0"
THEN_A_NUL = rb"[\s\S]*?\x00"  # what makes sure that letters are no text

# What is unpacked here, by the first bytes. A bzip2 file goes on with a block or with its end; the
# first three letters alone could be a user's name.
PACKINGS = {
    "gzip": rb"\x1f\x8b",
    "bzip2": rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)",
    "xz": rb"\xfd7zXZ\x00|\x5d\x00\x00",  # xz itself, and lzma, which came before it
    "zip": rb"PK\x03\x04|PK\x05\x06",  # with members, and without any
}

# A Parquet file goes on with a structure whose first field makes this byte.
PARQUET_MARK = rb"PAR1(?:\x15|" + THEN_A_NUL + rb")"

# The byte order marks, the longer ones first: one begins like another.
BYTE_ORDER_MARKS = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


@dataclass(frozen=True)
class Format:
    """A format that is not read here.

    Attributes
    ----------
    name : str
        With its article, such as "a PDF document".
    advice : str
        What to do to get at its table: whole sentences.
    """

    name: str
    advice: str


FROM_FRAME = "and pass the frame to Interactions.from_frame"
UNPACK = "Unpack it and pass the file with the interactions."
NOT_A_LOG = "Pass the log itself: lines of text, or Parquet."
OFFICE = "Save its table as CSV and pass that."

EXCEL = Format(
    "an Excel workbook",
    f"Save the sheet as CSV and pass that; or read it by pandas.read_excel {FROM_FRAME}.",
)
OLD_OFFICE = Format(
    "a file of Excel (.xls) or of another Office program",
    f"Save the sheet as CSV and pass that; or read it by pandas.read_excel {FROM_FRAME}.",
)
OPEN_DOCUMENT = Format(
    "an OpenDocument file",
    f"Save the sheet as CSV and pass that; or read it by pandas.read_excel {FROM_FRAME}.",
)
PICKLE = Format(
    "a pickle",
    "A pickle can run any program while it is loaded, so none is loaded here. If you trust where "
    f"it comes from, load it yourself {FROM_FRAME}.",
)
FEATHER = Format("a Feather (Arrow) file", f"Read it by pandas.read_feather {FROM_FRAME}.")
ARROW_STREAM = Format(
    "a stream of Arrow", f"Read it by pyarrow.ipc.open_stream(...).read_pandas() {FROM_FRAME}."
)
ENCRYPTED_PARQUET = Format("an encrypted Parquet file", "Decrypt it first.")
ORC = Format("an ORC file", f"Read it by pandas.read_orc {FROM_FRAME}.")
AVRO = Format("an Avro file", "Convert it to CSV, JSON lines or Parquet first.")
HDF5 = Format("an HDF5 file", f"Read its table by pandas.read_hdf or h5py {FROM_FRAME}.")
NPY = Format(
    "a NumPy array", f"Load it by numpy.load, name its columns in a pandas.DataFrame {FROM_FRAME}."
)
NPZ = Format(
    "an archive of NumPy arrays",
    f"Load it by numpy.load, put its columns into a pandas.DataFrame {FROM_FRAME}.",
)
SQLITE = Format(
    "a SQLite database",
    f"Save the table as CSV and pass that; or read it by pandas.read_sql {FROM_FRAME}.",
)
PYTORCH = Format("a PyTorch file, such as a trained model", NOT_A_LOG)
TAR = Format("a tar archive", "Unpack it (tar -xf) and pass the file with the interactions.")
HTML = Format(
    "an HTML page",
    "This is mostly a page to sign in, or an error, saved in the file's place: download the file "
    "again, signed in.",
)
XML = Format("XML", f"Convert it to CSV or JSON lines; or read it by pandas.read_xml {FROM_FRAME}.")
PDF = Format("a PDF document", "Get its table as CSV and pass that.")

SQL_DUMP = Format(
    "a dump of a SQL database",
    "Load it into the database and save the table as CSV.",
)
GIT_LFS = Format(
    "a pointer of Git LFS, which stands for a file that was not fetched",
    "Fetch the file itself, as with: git lfs pull.",
)

# By a regular expression for the first bytes.
FOREIGN = (
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLD_OFFICE),
    (rb"\x80[\x02-\x05]", PICKLE),
    # The two oldest kinds: a list, a dict or a class, and its number in the memo.
    (rb"(?:\([dl]|c[A-Za-z_][\w.]*\n\w+\n)p0\n", PICKLE),
    (rb"(?:[\]}]|c[A-Za-z_][\w.]*\n\w+\n)q\x00", PICKLE),
    (rb"ARROW1\x00\x00|FEA1" + THEN_A_NUL, FEATHER),
    (rb"\xff\xff\xff\xff", ARROW_STREAM),
    (rb"PARE" + THEN_A_NUL, ENCRYPTED_PARQUET),
    (rb"ORC" + THEN_A_NUL, ORC),
    (rb"Obj\x01", AVRO),
    (rb"\x89HDF\r\n\x1a\n", HDF5),
    (rb"\x93NUMPY", NPY),
    (rb"SQLite format 3\x00", SQLITE),
    # The name of its first member ends in NUL bytes; the mark comes 257 bytes in.
    (rb"(?=[\s\S]{0,256}?\x00)[\s\S]{257}ustar", TAR),
    (rb"7z\xbc\xaf\x27\x1c", Format("a 7z archive", UNPACK)),
    (rb"Rar!\x1a\x07", Format("a rar archive", UNPACK)),
    (rb"\x28\xb5\x2f\xfd", Format("packed by zstd", "Unpack it (unzstd) and pass what it holds.")),
    (rb"\x04\x22\x4d\x18", Format("packed by lz4", "Unpack it (unlz4) and pass what it holds.")),
    (rb"\x1f\x9d", Format("packed by compress (.Z)", "Unpack it (gunzip) and pass what it holds.")),
    (rb"(?:--\s+)*(?:MySQL|MariaDB|PostgreSQL|phpMyAdmin SQL) (?:database )?[Dd]ump\b", SQL_DUMP),
    (rb"version https://git-lfs\.", GIT_LFS),
    (rb"%PDF-", PDF),
    (rb"\x89PNG\r\n\x1a\n", Format("a PNG image", NOT_A_LOG)),
    (rb"\xff\xd8\xff", Format("a JPEG image", NOT_A_LOG)),
    (rb"GIF8[79]a" + THEN_A_NUL, Format("a GIF image", NOT_A_LOG)),
    (rb"RIFF[\s\S]{4}WEBPVP8" + THEN_A_NUL, Format("a WebP image", NOT_A_LOG)),
    # Comments or an XML declaration may come before the page itself.
    (rb"(?i)(?:\xef\xbb\xbf)?\s*<(?:[\s\S]{0,1000}<)?(?:!doctype\s+html|html)\b", HTML),
    (rb"(?i)(?:\xef\xbb\xbf)?\s*<(?:\?xml|svg)\b", XML),
)

# Formats that are zip archives, by the members that all must be there.
FOREIGN_ZIPS = (
    (("xl/work*",), EXCEL),
    (("word/document.xml",), Format("a Word document", OFFICE)),
    (("ppt/presentation.xml",), Format("a PowerPoint presentation", OFFICE)),
    (("mimetype", "META-INF/manifest.xml"), OPEN_DOCUMENT),
    (("Index/*.iwa",), Format("an Apple Numbers or iWork file", OFFICE)),
    (("*/data.pkl", "*/version"), PYTORCH),
)

# What stands before a member inside a zip: 22 bytes after the mark, how long its name is.
ZIP_MEMBER = re.compile(rb"PK\x03\x04[\s\S]{22}([\s\S]{2})[\s\S]{2}")


def packing_of(head: bytes) -> str | None:
    """Return how a file is packed, one of `PACKINGS`, by its first bytes; None if it is not."""
    for packing, mark in PACKINGS.items():
        if re.match(mark, head):
            return packing
    return None


def kind_of(name: str, head: bytes, packing: str | None = None) -> str:
    """Return what a file holds, by its first bytes.

    Parameters
    ----------
    name : str
        How messages call the file.
    head : bytes
        Its first bytes, unpacked: `HEAD_BYTES` of them, or all if there are fewer.
    packing : str, optional
        How the file was packed: "gzip", "bzip2", "xz" or "zip".

    Returns
    -------
    str
        "parquet", or "text" for whatever is not recognised; `check_text` looks closer at that.

    Raises
    ------
    DataError
        If it is a format that is not read here, or is packed a second time.
    """
    if packing is not None:
        _refuse_packed_twice(name, head, packing)
    head = head[:HEAD_BYTES]
    if re.match(PARQUET_MARK, head):
        return "parquet"
    for mark, foreign in FOREIGN:
        if re.match(mark, head):
            raise refusal(name, foreign, packing)
    return "text"


def refusal(name: str, foreign: Format, packing: str | None = None) -> DataError:
    """Return the error for a format that is not read, in a file packed so or not at all."""
    inside = "" if packing is None else f", inside a {packing} file"
    return DataError(f"{name} is {foreign.name}{inside}; that is not read here. {foreign.advice}")


def zip_format(members: Sequence[str]) -> Format | None:
    """Return which format a zip archive is by the names of its members; None for a mere archive."""
    for patterns, foreign in FOREIGN_ZIPS:
        if all(_any_matches(members, pattern) for pattern in patterns):
            return foreign
    if members and all(member.endswith(".npy") for member in members):
        return NPZ
    return None


def check_text(name: str, piece: bytes, first_byte: int = 0) -> None:
    """Raise a DataError if a piece of a file cannot be text in UTF-8, for marks or NUL bytes in it.

    Parameters
    ----------
    name : str
        How messages call the file.
    piece : bytes
        Bytes of the file that follow one another.
    first_byte : int
        How many bytes of the file come before them.
    """
    if first_byte == 0:
        for mark, encoding in BYTE_ORDER_MARKS.items():
            if piece.startswith(mark):
                raise DataError(f"{name} is {encoding} text. Save it as UTF-8 and pass that.")
    nul = piece.find(NUL)
    if nul < 0:
        return
    if _looks_like_utf_16(piece[:HEAD_BYTES]):
        raise DataError(
            f"{name} looks like UTF-16 text (every second byte is NUL). Save it as UTF-8 and pass "
            "that."
        )
    raise DataError(
        f"{name}: byte {first_byte + nul + 1:,} is NUL, which no text holds; so this is damaged, "
        "or of a format that is not read here. Pass lines of text in UTF-8, or Parquet."
    )


def _refuse_packed_twice(name: str, head: bytes, packing: str) -> None:
    """Raise a DataError if what a packed file holds is packed again; `head` is how it begins."""
    inner = packing_of(head)
    if inner is None:
        return
    if inner == "zip":
        foreign = zip_format(_members_in(head))
        if foreign is not None:
            raise refusal(name, foreign, packing)
    raise DataError(
        f"{name} is packed twice: a {inner} file inside a {packing} file. Unpack the outer one, "
        f"the {packing} file, and pass the {inner} file."
    )


def _members_in(head: bytes) -> list[str]:
    """Return the names of the members of a zip archive that stand in its first bytes."""
    names = []
    for found in ZIP_MEMBER.finditer(head):
        length = int.from_bytes(found.group(1), "little")
        name = head[found.end() : found.end() + length]
        names.append(name.decode(errors="replace"))
    return names


def _any_matches(names: Sequence[str], pattern: str) -> bool:
    """Whether a name is as the pattern wants it, case included; a * stands for anything."""
    return any(fnmatchcase(name, pattern) for name in names)


def _looks_like_utf_16(head: bytes) -> bool:
    """Whether of every two bytes one is mostly NUL, as in UTF-16 of a Latin text."""
    pairs = len(head) // 2
    most = max(head[0::2].count(0), head[1::2].count(0))
    return most > 0.7 * pairs and head.count(0) < 1.3 * pairs
