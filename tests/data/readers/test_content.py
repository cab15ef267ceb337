"""A log becomes a plain file; what is packed is unpacked within bounds, or refused."""

import bz2
import gzip
import lzma
import os
import signal
import socket
import sys
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reader_files import lines, write

from minirec.data.readers import unpacking
from minirec.data.readers.content import opened
from minirec.errors import DataError

LOG = lines("{},{},{}", [(user, user * 7 % 1000, 10**9 + user) for user in range(3_000)]).encode()


def zip_compress(content: bytes) -> bytes:
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("log.csv", content)
        file.seek(0)
        return file.read()


def lzma_compress(content: bytes) -> bytes:
    return lzma.compress(content, lzma.FORMAT_ALONE)


PACK = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".lzma": lzma_compress,
    ".zip": zip_compress,
}
PACKINGS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".lzma": "xz", ".zip": "zip"}
IN_STREAMS = [".gz", ".bz2", ".xz", ".lzma"]  # what can follow one another in one file


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch) -> Path:
    """A folder for temporary files, and for nothing else."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def error_of(path, **options) -> str:
    with pytest.raises(DataError) as caught, opened(path, **options):
        pass
    return str(caught.value)


def packed_file(tmp_path, suffix, content=LOG) -> Path:
    path = tmp_path / f"log.csv{suffix}"
    path.write_bytes(PACK[suffix](content))
    return path


def test_a_plain_file_is_given_as_it_is(tmp_path, temporary):
    path = tmp_path / "log.csv"
    path.write_bytes(LOG)
    with opened(path) as content:
        assert (content.name, content.path, content.kind) == (str(path), path, "text")
        assert not list(temporary.iterdir())
    assert path.read_bytes() == LOG


@pytest.mark.parametrize("suffix", PACK)
def test_a_packed_file_is_unpacked_for_as_long_as_it_is_used(tmp_path, temporary, suffix):
    path = packed_file(tmp_path, suffix)
    with opened(path) as content:
        assert content.path.parent == temporary
        assert content.path.read_bytes() == LOG
        assert content.kind == "text"
        assert content.name == (f"{path}/log.csv" if suffix == ".zip" else str(path))
    assert not list(temporary.iterdir())
    assert path.exists()


@pytest.mark.parametrize("suffix", PACK)
def test_the_content_decides_how_a_file_is_packed_and_not_its_name(tmp_path, suffix):
    for name in ("log.csv", "log.gz", "log.xz", "log.zip"):
        path = tmp_path / name
        path.write_bytes(PACK[suffix](LOG))
        with opened(path) as content:
            assert content.path.read_bytes() == LOG


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("size", [0, 1, 9_999, 10_000, 10_001, 20_000, 30_000])
def test_a_packed_file_of_any_size_is_unpacked_whole(tmp_path, monkeypatch, suffix, size):
    monkeypatch.setattr(unpacking, "PIECE", 10_000)
    monkeypatch.setattr(unpacking, "PACKED_PIECE", 1_000)
    with opened(packed_file(tmp_path, suffix, LOG[:size])) as content:
        assert content.path.read_bytes() == LOG[:size]


@pytest.mark.parametrize("suffix", IN_STREAMS)
@pytest.mark.parametrize("padding", [0, 4, 200_000])
def test_packed_files_in_a_row_are_read_as_one(tmp_path, suffix, padding):
    path = tmp_path / "log"
    path.write_bytes((PACK[suffix](LOG) + bytes(padding)) * 3)
    with opened(path) as content:
        assert content.path.read_bytes() == LOG * 3


@pytest.mark.parametrize("suffix", IN_STREAMS)
def test_what_a_file_is_shows_even_if_its_first_stream_is_tiny(tmp_path, suffix):
    path = tmp_path / "log"
    path.write_bytes(PACK[suffix](b"") + PACK[suffix](b"%P") + PACK[suffix](b"DF-1.7"))
    assert "is a PDF document, inside" in error_of(path)


@pytest.mark.parametrize("suffix", PACK)
def test_the_temporary_file_is_deleted_when_its_user_fails(tmp_path, temporary, suffix):
    with pytest.raises(OSError, match="the user's own"), opened(packed_file(tmp_path, suffix)):
        raise OSError("the user's own")
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("damage", ["cut", "overwritten"])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path, temporary, suffix, damage):
    packed = bytearray(PACK[suffix](LOG))
    middle = len(packed) // 2
    if damage == "cut":
        del packed[middle:]
    else:
        packed[middle : middle + 40] = bytes(40)

    path = tmp_path / f"log.csv{suffix}"
    path.write_bytes(packed)
    said = error_of(path)
    assert f"{path}: the {PACKINGS[suffix]} file cannot be unpacked; it is cut short" in said
    assert "Download or copy it again" in said
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("suffix", IN_STREAMS)
def test_garbage_after_a_packed_file_is_an_error(tmp_path, suffix):
    path = tmp_path / "log"
    path.write_bytes(PACK[suffix](LOG) + b"garbage")
    assert f"the {PACKINGS[suffix]} file cannot be unpacked" in error_of(path)


def test_a_damaged_member_of_a_zip_is_an_error_that_says_how(tmp_path):
    path = tmp_path / "ml.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ml/ratings.dat", "1::2::5::3\n")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1::2::5::3", b"1::2::5::4"))
    said = error_of(path)
    assert "ml.zip: the zip file cannot be unpacked" in said
    assert "CRC" in said


def damaged(data, packed: bytes) -> bytes:
    """Draw a damage, and do it."""
    place = data.draw(st.integers(1, len(packed) - 1))
    before, after = packed[:place], packed[place:]
    kind = data.draw(st.sampled_from(["change", "cut", "insert", "repeat"]))
    if kind == "cut":
        return before
    if kind == "repeat":
        return before + packed
    some = data.draw(st.binary(min_size=1, max_size=8))
    if kind == "insert":
        return before + some + after
    return before + some + after[len(some) :]


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zip"])
@given(data=st.data())
def test_random_damage_gives_the_exact_content_or_a_data_error(suffix, data):
    log = LOG[:400]
    temporary = Path(tempfile.gettempdir())
    path = temporary.parent / f"log.csv{suffix}"
    path.write_bytes(damaged(data, PACK[suffix](log)))
    try:
        with opened(path) as content:
            assert content.path.read_bytes() == log
    except DataError as error:
        assert str(error).isprintable()
        assert str(path) in str(error)
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("suffix", PACK)
def test_an_unpacked_file_may_be_so_large_and_no_larger(tmp_path, temporary, monkeypatch, suffix):
    path = packed_file(tmp_path, suffix)
    monkeypatch.setattr(unpacking, "MOST_UNPACKED", len(LOG))
    with opened(path) as content:
        assert content.path.read_bytes() == LOG

    monkeypatch.setattr(unpacking, "MOST_UNPACKED", len(LOG) - 1)
    said = error_of(path)
    assert "unpacked unasked" in said
    assert "trusted=True (on the command line: --trusted)" in said
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("suffix", PACK)
def test_a_trusted_file_may_unpack_to_any_size(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(unpacking, "MOST_UNPACKED", 1)
    monkeypatch.setattr(unpacking, "ALWAYS_UNPACKED", 1)
    monkeypatch.setattr(unpacking, "MOST_TIMES", 0)
    with opened(packed_file(tmp_path, suffix), trusted=True) as content:
        assert content.path.read_bytes() == LOG


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_a_bomb_stops_soon_after_64_mib(tmp_path, temporary, suffix):
    path = tmp_path / "bomb"
    path.write_bytes(PACK[suffix](b"1 2\n" * (1 << 18)) * 100)  # 100 MiB
    said = error_of(path)
    assert "unpack to 65.0 MiB or more; that is more than 200 times its packed size" in said
    assert "trusted=True (on the command line: --trusted)" in said
    assert not list(temporary.iterdir())


def test_the_size_of_a_tiny_bomb_is_said_in_bytes(tmp_path, monkeypatch):
    path = packed_file(tmp_path, ".gz", b"1 2\n" * (1 << 16))
    monkeypatch.setattr(unpacking, "ALWAYS_UNPACKED", 1 << 16)
    n_bytes = path.stat().st_size
    assert n_bytes < 1024
    assert f"its {n_bytes} bytes unpack to 256.0 KiB or more" in error_of(path)


def test_a_zip_that_says_it_is_a_bomb_is_not_even_begun(tmp_path, monkeypatch):
    path = packed_file(tmp_path, ".zip", b"1 2\n" * (1 << 18))
    monkeypatch.setattr(unpacking, "ALWAYS_UNPACKED", 1 << 16)
    monkeypatch.delattr(unpacking, "_write")
    assert "1.0 MiB or more; that is more than 200 times its packed size" in error_of(path)


def test_a_zip_that_lies_about_its_size_is_an_error(tmp_path):
    path = packed_file(tmp_path, ".zip")
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        start = content.index(mark) + place
        content[start : start + 4] = (100).to_bytes(4, "little")
    path.write_bytes(content)
    assert "the zip file cannot be unpacked" in error_of(path)


def test_honest_logs_that_pack_well_are_unpacked_beyond_64_mib(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "ALWAYS_UNPACKED", len(LOG) // 2)
    for suffix in PACK:
        with opened(packed_file(tmp_path, suffix)) as content:
            assert content.path.read_bytes() == LOG


@pytest.mark.parametrize("suffix", PACK)
def test_the_memory_does_not_grow_with_the_file(tmp_path, suffix):
    path = packed_file(tmp_path, suffix, b" " * (18 << 20))  # in a few kilobytes
    tracemalloc.start()
    try:
        with opened(path, trusted=True):
            _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 14 << 20  # of them 8 MiB are the dictionary of xz


def test_an_xz_file_that_wants_much_memory_is_refused_unless_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "XZ_MEMORY", 1 << 20)
    path = packed_file(tmp_path, ".xz")
    said = error_of(path)
    assert "takes more than 1.0 MiB of memory" in said
    assert "trusted=True" in said
    with opened(path, trusted=True) as content:
        assert content.path.read_bytes() == LOG


def test_no_folder_for_temporary_files_is_an_error_that_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    said = error_of(packed_file(tmp_path, ".gz"))
    assert f"cannot be unpacked into the folder {tmp_path / 'missing'}" in said
    assert "No such file" in said
    assert "TMPDIR" in said


def test_a_system_without_temporary_files_is_an_error_that_says_so(tmp_path, monkeypatch):
    def refuse():
        raise FileNotFoundError(2, "No usable temporary directory found")

    path = packed_file(tmp_path, ".gz")
    monkeypatch.setattr(tempfile, "gettempdir", refuse)
    assert "into the folder for temporary files (No usable" in error_of(path)


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert "cannot be read: Permission denied" in error_of(tmp_path)


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs the limits of Unix")
@pytest.mark.parametrize("suffix", PACK)
def test_a_full_disk_is_an_error_that_says_so(tmp_path, temporary, suffix):
    import resource

    path = packed_file(tmp_path, suffix, LOG * 20)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))  # fails as a full disk does
    try:
        said = error_of(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert f"cannot be unpacked into the folder {temporary}" in said
    assert "TMPDIR" in said
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("suffix", [".gz", ".BZ2", ".xz", ".lzma", ".zip"])
def test_a_plain_file_with_the_name_of_a_packed_one_is_an_error(tmp_path, suffix):
    path = tmp_path / f"log.csv{suffix}"
    path.write_bytes(LOG)
    said = error_of(path)
    assert f"is not a {PACKINGS[suffix.lower()]} file, despite its name" in said
    assert f"take {suffix} off the name" in said


def test_a_folder_is_an_error_that_says_which_file_to_pass(tmp_path, temporary):
    write(tmp_path / "README", "what this is\n")
    write(tmp_path / "ratings.dat", "1::2::5::3\n")
    assert "is a folder; pass the file inside it, such as" in error_of(tmp_path)
    assert error_of(tmp_path).endswith("ratings.dat.")
    assert error_of(temporary) == f"{temporary} is a folder; pass the file inside it."


def test_a_hidden_file_is_the_last_to_be_suggested(tmp_path):
    for name in (".DS_Store", "_SUCCESS", "part-0.csv"):
        write(tmp_path / name, "1 2\n")
    assert error_of(tmp_path).endswith("part-0.csv.")


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path):
    assert "nowhere.csv cannot be read: No such file" in error_of(tmp_path / "nowhere.csv")


def test_a_file_that_the_system_does_not_give_is_an_error(tmp_path, monkeypatch):
    path = write(tmp_path / "log.csv", "1 2\n")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert error_of(path) == f"{path} cannot be read: Permission denied."


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with named pipes")
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    said = error_of(path)
    assert "is not a regular file" in said
    assert "Save what it gives into a file first" in said


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with named pipes")
def test_standard_input_from_a_pipe_is_refused(tmp_path):
    reading, writing = os.pipe()
    try:
        assert "Save what it gives into a file first" in error_of(Path(f"/dev/fd/{reading}"))
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs sockets in the file system")
def test_a_socket_and_a_device_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("log.csv")
        assert "log.csv is not a regular file" in error_of(Path("log.csv"))
    assert "is not a regular file" in error_of(Path(os.devnull))


HARMFUL_NAMES = ["a\x1b[2Jb.csv", "a\nb.csv", "\u202egnp.csv", "\udcff.csv", "c" * 250]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere files have no such names")
@pytest.mark.parametrize("name", HARMFUL_NAMES)
def test_the_name_of_a_file_is_shown_harmlessly(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"%PDF-1.7\n")
    said = error_of(path)
    assert "is a PDF document" in said
    assert said.isprintable() and said.isascii()
    assert len(said) < 400


@pytest.mark.parametrize("name", [*HARMFUL_NAMES, "a\0b.csv", "\ud800", "c" * 5_000])
def test_the_name_of_no_file_is_shown_harmlessly(tmp_path, name):
    said = error_of(tmp_path / name)
    assert "cannot be read: " in said
    assert said.isprintable() and said.isascii()
    assert len(said) < 400


def test_an_ordinary_name_is_shown_as_it_is(tmp_path):
    path = tmp_path / "Ünïcode 水 'quoted' \\ back.csv"
    path.write_bytes(LOG)
    with opened(path) as content:
        assert content.name == str(path)
