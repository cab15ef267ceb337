"""What is packed is unpacked; what is damaged, suspicious or no file is an error that says so."""

import gzip
import stat
import zipfile

import pytest
from reader_files import lines, write

from minirec.data.readers import read_interactions_file
from minirec.errors import DataError


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
        archive.writestr(member, text)
    found = read_interactions_file(path)
    assert [column.tolist() for column in found] == [[1], [2], [3]]


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
    with pytest.raises(DataError, match="refused, because its member"):
        read_interactions_file(path)


@pytest.mark.parametrize("damage", ["cut", "flip", "garbage after"])
def test_a_damaged_gzip_is_an_error_that_names_it(tmp_path, damage):
    rows = [(user, user * 7 % 1000, 10**9 + user) for user in range(3_000)]
    packed = bytearray(gzip.compress(lines("{}::{}::4::{}", rows).encode()))
    middle = len(packed) // 2
    if damage == "cut":
        del packed[middle:]
    elif damage == "flip":
        packed[middle] ^= 0xFF
    else:
        packed += b"garbage"

    path = tmp_path / "ratings.dat.gz"
    path.write_bytes(packed)
    with pytest.raises(DataError, match=r"ratings\.dat\.gz: the gzip file is cut short or damaged"):
        read_interactions_file(path)


def test_a_damaged_member_of_a_zip_is_an_error_that_names_the_zip(tmp_path):
    path = tmp_path / "ml.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ml/ratings.dat", "1::2::5::3\n")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1::2::5::3", b"1::2::5::4"))
    with pytest.raises(DataError, match=r"ml\.zip: the zip file cannot be unpacked .*CRC"):
        read_interactions_file(path)


def test_a_folder_is_an_error_that_says_which_file_to_pass(tmp_path):
    write(tmp_path / "README", "what this is\n")
    write(tmp_path / "ratings.dat", "1::2::5::3\n")
    with pytest.raises(
        DataError, match=r"is a folder; pass the file inside it, such as .*ratings\.dat"
    ):
        read_interactions_file(tmp_path)


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv cannot be read: No such file"):
        read_interactions_file(tmp_path / "nowhere.csv")
