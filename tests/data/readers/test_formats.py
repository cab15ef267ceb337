"""A format that is not read is refused by its name, packed or not; text is never taken for one."""

import gzip
import io
import lzma
import pickle
import sqlite3
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minirec.data.readers.content import opened
from minirec.data.readers.formats import kind_of, packing_of
from minirec.errors import DataError

LOG = b"user,item\n1,2\n"
FRAME = pd.DataFrame({"user": [1, 2], "item": ["a", "b"]})


def made(write) -> bytes:
    """What `write` writes into a file."""
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def zip_of(*members, content=b"<xml/>") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for member in members:
            archive.writestr(member, content)
    return file.getvalue()


def tar_of(member, kind) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind) as archive:
        information = tarfile.TarInfo(member)
        information.size = len(LOG)
        archive.addfile(information, io.BytesIO(LOG))
    return file.getvalue()


def sqlite_file() -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("create table log (user, item)")
    content = connection.serialize()
    connection.close()
    return content


SHEETS = ("docProps/app.xml", "xl/worksheets/sheet1.xml", "xl/workbook.xml", "[Content_Types].xml")
SOME_BYTES = bytes(range(256)) * 4  # what follows the first bytes

# Its name in the message, and the file: written by the program itself where Python has it.
FOREIGN = {
    "xlsx": ("an Excel workbook", zip_of(*SHEETS)),
    "xlsx, types first": ("an Excel workbook", zip_of(*reversed(SHEETS))),
    "docx": ("a Word document", zip_of("[Content_Types].xml", "word/document.xml")),
    "pptx": ("a PowerPoint presentation", zip_of("ppt/presentation.xml")),
    "ods": ("an OpenDocument file", zip_of("mimetype", "content.xml", "META-INF/manifest.xml")),
    "numbers": ("an Apple Numbers or iWork file", zip_of("Index/Document.iwa")),
    "xls": (".xls", bytes.fromhex("d0cf11e0a1b11ae1") + SOME_BYTES),
    "npy": ("a NumPy array", made(lambda file: np.save(file, np.arange(3)))),
    "npz": ("an archive of NumPy arrays", made(lambda file: np.savez(file, a=[1], b=[2]))),
    "model": ("a PyTorch file", made(lambda file: torch.save({"a": torch.ones(1)}, file))),
    "sqlite": ("a SQLite database", sqlite_file()),
    "tar": ("a tar archive", tar_of("log.csv", tarfile.USTAR_FORMAT)),
    "GNU tar": ("a tar archive", tar_of("log.csv", tarfile.GNU_FORMAT)),
    "pax tar": ("a tar archive", tar_of("é" * 120, tarfile.PAX_FORMAT)),
    "feather": ("a Feather (Arrow) file", b"ARROW1\0\0" + SOME_BYTES),
    "first feather": ("a Feather (Arrow) file", b"FEA1" + SOME_BYTES),
    "arrow stream": ("a stream of Arrow", b"\xff\xff\xff\xff\x70\0\0\0" + SOME_BYTES),
    "encrypted parquet": ("an encrypted Parquet file", b"PARE" + SOME_BYTES + b"PARE"),
    "orc": ("an ORC file", b"ORC\x0a" + SOME_BYTES),
    "avro": ("an Avro file", b"Obj\x01\x04\x14avro.codec" + SOME_BYTES),
    "hdf5": ("an HDF5 file", b"\x89HDF\r\n\x1a\n" + SOME_BYTES),
    "7z": ("a 7z archive", b"7z\xbc\xaf\x27\x1c" + SOME_BYTES),
    "rar": ("a rar archive", b"Rar!\x1a\x07\x01\0" + SOME_BYTES),
    "zstd": ("packed by zstd", b"\x28\xb5\x2f\xfd" + SOME_BYTES),
    "lz4": ("packed by lz4", b"\x04\x22\x4d\x18" + SOME_BYTES),
    "compress": ("packed by compress (.Z)", b"\x1f\x9d\x90" + SOME_BYTES),
    "pdf": ("a PDF document", b"%PDF-1.7\n" + SOME_BYTES),
    "png": ("a PNG image", b"\x89PNG\r\n\x1a\n" + SOME_BYTES),
    "jpeg": ("a JPEG image", b"\xff\xd8\xff\xe0\0\x10JFIF" + SOME_BYTES),
    "gif": ("a GIF image", b"GIF89a\x01\0\x01\0" + SOME_BYTES),
    "webp": ("a WebP image", b"RIFF\x24\0\0\0WEBPVP8 " + SOME_BYTES),
    "html": ("an HTML page", b"<!DOCTYPE html>\n<html><head><title>Sign in</title>"),
    "html after blanks": ("an HTML page", b"\xef\xbb\xbf\r\n  <HTML lang=en>"),
    "html after a comment": ("an HTML page", b"<!-- saved --> <!doctype HTML PUBLIC>"),
    "xhtml": ("an HTML page", b'<?xml version="1.0"?>\n<html xmlns="x">'),
    "xml": ("XML", b'<?xml version="1.0"?>\n<log><row user="1"/></log>'),
    "svg": ("XML", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
}


def expect_refused(tmp_path, content, *said):
    path = tmp_path / "log.data"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught, opened(path):
        pass
    assert str(caught.value).startswith(str(path))
    for words in said:
        assert words in str(caught.value)


@pytest.mark.parametrize("named, content", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_format_is_named(tmp_path, named, content):
    expect_refused(tmp_path, content, f"{named}", "not read here")


@pytest.mark.parametrize("named, content", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_format_inside_a_gzip_file_is_named(tmp_path, named, content):
    expect_refused(tmp_path, gzip.compress(content), named, "inside a gzip file")


@pytest.mark.parametrize("named, content", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_format_inside_a_zip_is_named(tmp_path, named, content):
    expect_refused(tmp_path, zip_of("a/log.csv", content=content), named, "inside a zip file")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("thing", [FRAME, FRAME["user"], [1, 2], {"user": 1}], ids=type)
def test_a_pickle_of_any_protocol_is_named_and_says_why_it_is_not_loaded(tmp_path, thing, protocol):
    expect_refused(
        tmp_path, pickle.dumps(thing, protocol), "a pickle", "can run any program", "from_frame"
    )


class Loaded(Exception):
    pass


class Trap:
    """Something whose pickle raises `Loaded` when it is loaded."""

    def __reduce__(self):
        return raise_loaded, ()


def raise_loaded():
    raise Loaded


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_never_loaded(tmp_path, protocol):
    content = pickle.dumps([Trap()], protocol)
    with pytest.raises(Loaded):
        pickle.loads(content)
    expect_refused(tmp_path, content, "a pickle")


@pytest.mark.parametrize(
    "name, advice",
    [
        ("xlsx", "Save the sheet as CSV"),
        ("xlsx", "pandas.read_excel and pass the frame to Interactions.from_frame"),
        ("feather", "pandas.read_feather and pass the frame to Interactions.from_frame"),
        ("html", "download the file again"),
        ("tar", "Unpack it (tar -xf) and pass the file with the interactions"),
        ("zstd", "unzstd"),
        ("model", "Pass the log itself"),
    ],
)
def test_a_foreign_format_comes_with_advice(tmp_path, name, advice):
    expect_refused(tmp_path, FOREIGN[name][1], advice)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("order", ["-le", "-be"])
def test_a_byte_order_mark_is_named(tmp_path, encoding, order):
    content = "\ufeffuser,item\n1,2\n".encode(encoding + order)
    expect_refused(tmp_path, content, f"is {encoding.upper()} text", "Save it as UTF-8")


@pytest.mark.parametrize("order", ["-le", "-be"])
def test_utf_16_without_a_mark_is_suspected(tmp_path, order):
    content = "user,item\n1,é\n".encode("utf-16" + order)
    expect_refused(tmp_path, content, "looks like UTF-16 text", "Save it as UTF-8")


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress], ids=["", "gz", "xz"])
def test_a_nul_byte_is_an_error_that_says_where(tmp_path, pack):
    content = LOG * 100 + b"\0" * 8 + LOG * 100
    expect_refused(tmp_path, pack(content), f"byte {len(LOG) * 100 + 1:,} is NUL")


def test_a_nul_byte_anywhere_in_a_packed_file_is_an_error(tmp_path):
    content = b"1,2\n" * 600_000 + b"\0"  # more than two pieces
    expect_refused(tmp_path, gzip.compress(content), "byte 2,400,001 is NUL")


WORDS_OF_FORMATS = [
    "PAR1", "PARE", "ORC", "FEA1", "GIF89a", "RIFFabcdWEBP", "BZh91", "Rar!", "7z", "Obj", "PK",
    "ustar", "ARROW1", "c", "(lp1", "]q", "MZ", "<item>", "SQLite format 3", "BM",
]  # fmt: skip
texts = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=12)


@given(first=st.sampled_from(WORDS_OF_FORMATS), separator=st.sampled_from("\t ,;|\n"), rest=texts)
def test_a_log_that_begins_with_the_letters_of_a_format_is_text(first, separator, rest):
    head = f"{first}{separator}7{separator}{rest}\n".encode()
    assert packing_of(head) is None
    assert kind_of("log.csv", head) == "text"


@given(st.integers(0, 300))
def test_the_mark_of_tar_inside_a_text_is_text(before):
    assert kind_of("log.csv", b"x" * before + b"ustar,7\n" * 60) == "text"


def test_a_parquet_file_is_parquet_and_one_that_is_cut_short_is_named(tmp_path):
    path = tmp_path / "log.parquet"
    whole = b"PAR1\x15\x04\x15" + SOME_BYTES + b"PAR1"
    path.write_bytes(whole)
    with opened(path) as content:
        assert (content.kind, content.path) == ("parquet", path)

    for kept in (len(whole) - 1, len(whole) // 2, 5):
        path.write_bytes(whole[:kept])
        with pytest.raises(DataError, match="the Parquet file is cut short"), opened(path):
            pass


@pytest.mark.parametrize("pack", [gzip.compress, lambda content: zip_of("log", content=content)])
def test_a_packed_parquet_file_is_parquet(tmp_path, pack):
    whole = b"PAR1\x15\x04\x15" + SOME_BYTES + b"PAR1"
    path = tmp_path / "log"
    path.write_bytes(pack(whole))
    with opened(path) as content:
        assert content.kind == "parquet"
        assert content.path.read_bytes() == whole

    path.write_bytes(pack(whole[:-1]))
    with pytest.raises(DataError, match="the Parquet file is cut short"), opened(path):
        pass
