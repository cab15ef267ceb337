"""Of a zip archive the one table is taken; where it is not clear which, the error lists them."""

import stat
import zipfile

import pytest
from reader_files import read

from minirec.data.readers.content import opened
from minirec.errors import DataError

LOG = "user,item\n1,2\n"
BELL = "\x1b[2J\x07"


def write_zip(path, *members, packing=zipfile.ZIP_DEFLATED):
    """Write an archive whose members all hold `LOG`; return its path."""
    with zipfile.ZipFile(path, "w", packing) as archive:
        for member in members:
            archive.writestr(member, LOG)
    return path


def error_of(path) -> str:
    with pytest.raises(DataError) as caught, opened(path):
        pass
    return str(caught.value)


@pytest.mark.parametrize(
    "member, text",
    [
        ("ml-1m/ratings.dat", "1::2::5::3\n"),
        ("ml-100k/u.data", "1\t2\t5\t3\n"),
        ("ml-25m/ratings.csv", "userId,movieId,rating,timestamp\n1,2,5.0,3\n"),
    ],
)
def test_the_ratings_are_found_inside_a_zip(tmp_path, member, text):
    path = tmp_path / "ml.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ml/README", "something else")
        archive.writestr("ml/movies.csv", "something else")
        archive.writestr(member, text)
    assert read(path) == ([1], [2], [3])


@pytest.mark.parametrize(
    "member",
    [
        "../ratings.dat",
        "ml/../../ratings.dat",
        "/etc/ratings.dat",
        "C:/ratings.dat",
        "C:ratings.dat",
        "..\\ratings.dat",
        "ml/link",
    ],
)
def test_a_zip_with_a_member_that_leaves_its_folder_is_refused(tmp_path, member):
    kind = stat.S_IFLNK if member == "ml/link" else stat.S_IFREG
    entry = zipfile.ZipInfo("placeholder")
    entry.filename = member  # given later, as it is: ZipInfo() itself would tidy it
    entry.external_attr = kind << 16

    path = tmp_path / "ml.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ml/ratings.dat", "1::2::5::3\n")
        archive.writestr(entry, "1::2::5::3\n")
    assert "refused, because its member" in error_of(path)


NO_LOGS = [
    "a/",
    "README",
    "a/readme.txt",
    "LICENSE.txt",
    "a/Licence",
    "notes.md",
    "index.html",
    "paper.PDF",
    ".hidden.csv",
    ".git/config",
    "__MACOSX/a/._clicks.csv",
    "__MACOSX/ratings.csv",
]


def test_the_only_table_of_a_zip_is_taken(tmp_path):
    path = write_zip(tmp_path / "data.zip", *NO_LOGS, "a/clicks.tsv")
    with opened(path) as content:
        assert content.name == f"{path}/a/clicks.tsv"
        assert content.kind == "text"
        assert content.path.read_text() == LOG


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_is_read_stored_or_deflated(tmp_path, packing):
    with opened(write_zip(tmp_path / "data", "clicks", packing=packing)) as content:
        assert content.path.read_text() == LOG


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_packed_in_a_rare_way_is_an_error_that_says_to_unpack_it(tmp_path, packing):
    path = write_zip(tmp_path / "data.zip", "clicks.csv", packing=packing)
    assert f"'clicks.csv' is packed in a way that is not read here (method {packing})" in error_of(
        path
    )


@pytest.mark.parametrize("members", [[], NO_LOGS], ids=["empty", "nothing but texts"])
def test_a_zip_without_a_table_is_an_error(tmp_path, members):
    path = write_zip(tmp_path / "data.zip", *members)
    assert "data.zip holds no ratings.dat, u.data or ratings.csv, and no other" in error_of(path)


def test_a_zip_with_several_tables_is_an_error_that_lists_them(tmp_path):
    path = write_zip(tmp_path / "data.zip", "README", "a/train.csv", "a/test.csv")
    said = error_of(path)
    assert "data.zip holds 2 files that may be the log: 'a/train.csv', 'a/test.csv'." in said
    assert "Unpack it and pass one" in said
    assert "README" not in said


def test_at_most_twelve_tables_are_listed(tmp_path):
    path = write_zip(tmp_path / "data.zip", *[f"{part:02}.csv" for part in range(30)])
    said = error_of(path)
    assert "holds 30 files" in said
    assert "'11.csv' and 18 more" in said
    assert "12.csv" not in said


def test_two_ratings_of_one_name_are_an_error_that_lists_them(tmp_path):
    path = write_zip(tmp_path / "data.zip", "small/ratings.csv", "full/ratings.csv", "tags.csv")
    assert "2 files that may be the log: 'small/ratings.csv', 'full/ratings.csv'" in error_of(path)


def test_an_encrypted_member_is_an_error_that_names_it(tmp_path):
    path = write_zip(tmp_path / "data.zip", "clicks.csv")
    content = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + flags] |= 1
    path.write_bytes(content)
    assert "its member 'clicks.csv' is encrypted. Unpack it with its password" in error_of(path)


@pytest.mark.parametrize("inner", ["clicks.csv.gz", "clicks.csv.bz2", "clicks.csv.xz", "more.zip"])
def test_a_packed_table_inside_a_zip_is_an_error_that_says_to_unpack_the_outer_one(tmp_path, inner):
    marks = {
        "gz": ("gzip", b"\x1f\x8b\x08"),
        "bz2": ("bzip2", b"BZh91AY&SY"),
        "xz": ("xz", b"\xfd7zXZ\0"),
        "zip": ("zip", b"PK\x03\x04"),
    }
    packing, mark = marks[inner.rsplit(".", 1)[1]]
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(inner, mark + bytes(40))
    said = error_of(path)
    assert f"data.zip/{inner} is packed twice: a {packing} file inside a zip file" in said
    assert f"Unpack the outer one, the zip file, and pass the {packing} file" in said


def test_the_path_of_windows_inside_a_zip_is_understood(tmp_path):
    entry = zipfile.ZipInfo("placeholder")
    entry.filename = "ml\\ratings.csv"
    path = tmp_path / "ml.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("movies.csv", "something else")
        archive.writestr(entry, LOG)
    with opened(path) as content:
        assert content.path.read_text() == LOG


LONG = "a" * 500 + ".csv"


@pytest.mark.parametrize(
    "members",
    [
        [f"{BELL}.csv", "other.csv"],
        [LONG, "other.csv"],
        [f"../{BELL}"],
        [f"../{LONG}"],
    ],
    ids=["listed", "long and listed", "outside", "long and outside"],
)
def test_the_names_of_members_are_shown_harmlessly(tmp_path, members):
    said = error_of(write_zip(tmp_path / "data.zip", *members))
    assert said.isprintable()
    assert len(said) < 500


@pytest.mark.parametrize("member", [f"{BELL}.csv", LONG, "\u202egnp.csv"])
def test_the_name_of_what_was_unpacked_is_harmless(tmp_path, member):
    path = write_zip(tmp_path / "data.zip", member)
    with opened(path) as content:
        assert content.name.isprintable()
        assert content.name.startswith(f"{path}/")
        assert content.name.endswith(".csv")
        assert len(content.name) < len(str(path)) + 250


@pytest.mark.parametrize("member", [f"{BELL}.csv", LONG])
def test_the_name_of_a_damaged_member_is_shown_harmlessly(tmp_path, member):
    path = write_zip(tmp_path / "data.zip", member, packing=zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"1,2", b"1,3"))
    said = error_of(path)
    assert "data.zip: the zip file cannot be unpacked" in said
    assert said.isprintable()
    assert len(said) < 600
