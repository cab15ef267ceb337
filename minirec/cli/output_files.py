"""What `train` leaves: the model and the record, and what is there of them already."""

import argparse
import contextlib
import glob
import hashlib
import re
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import minirec
from minirec.errors import printable_path
from minirec.experiments.records import (
    as_recorded,
    is_finished,
    load_record,
    refuse_existing,
    save_record,
)
from minirec.models.base import Recommender
from minirec.storage import check_writable

# Endings of tables and of packings, which are no part of a data set's name.
KNOWN_ENDINGS = re.compile(
    r"\.(csv|tsv|txt|dat|json|jsonl|ndjson|inter|parquet|gz|bz2|xz|zip)$", re.IGNORECASE
)

# The signs of a pattern of files, such as * and [0-9], with the strokes and dots around them.
SIGNS_OF_A_PATTERN = re.compile(r"[-_. ]*(\[[^]]*\]|[*?])+[-_. ]*")

MOST_RESCUED = 1000  # files of one name that may lie beside each other
LONGEST_RESCUED = 50  # characters of a name: a long one can be why a file could not be written


@dataclass(frozen=True)
class FilesToWrite:
    """The files that a run leaves, tried and free."""

    model: Path
    record: Path | None  # None where none was asked for
    finished: dict[str, Any] | None  # the record, where this command has ended before
    replaces_record: bool  # whether the record there is of this command, ended by Ctrl-C

    def save_model(self, model: Recommender, data: minirec.Interactions) -> None:
        """Write the model, or rescue it: hours of work may stand behind it."""
        _save_or_rescue(self.model, lambda path: minirec.save_model(path, model, data))

    def save_record(self, record: dict[str, Any]) -> None:
        """Write the record, with the checksum of the model's file."""
        assert self.record is not None
        record = {**record, "saved_sha256": _sha256_of(self.model)}
        replace = self.replaces_record
        _save_or_rescue(self.record, lambda path: save_record(path, record, replace=replace))


def files_to_write(options: argparse.Namespace, split: minirec.Split) -> FilesToWrite:
    """Look at everything that the command is to write, before it begins.

    Parameters
    ----------
    options : argparse.Namespace
        The flags of `train`.
    split : Split
        What is trained on.

    Returns
    -------
    FilesToWrite
        The paths, and what is there already of the same command.

    Raises
    ------
    ValueError
        For two files of one name, and where a file would replace what is not its own.
    OSError
        Where nothing can be written.
    """
    given_out = options.out
    out = Path(given_out or f"runs/{name_of_data(options.data)}-{options.model}.pt")
    record_path = None if options.record is None else Path(options.record)
    _refuse_folders_and_names_of_others(options, out, record_path)
    for path in (out, record_path, options.checkpoint):
        if path is not None:
            check_writable(path)

    if given_out is None:
        _refuse_to_replace_model_of_other_data(out, split.interactions)
    if record_path is None or not record_path.exists():
        return FilesToWrite(out, record_path, finished=None, replaces_record=False)

    found = _record_of_same_command(record_path, options, split)
    if not is_finished(found):
        return FilesToWrite(out, record_path, finished=None, replaces_record=True)
    _refuse_without_its_model(out, found)
    return FilesToWrite(out, record_path, finished=found, replaces_record=False)


def _refuse_folders_and_names_of_others(
    options: argparse.Namespace, out: Path, record_path: Path | None
) -> None:
    """Raise ValueError for a folder, a file that is read, and one file to be written twice."""
    taken: list[tuple[str, str | Path | None]] = [
        ("the data file", options.data),
        ("also the file of --test-data", options.test_data),
        ("also the file of --valid-data", options.valid_data),
    ]
    taken += [("one of the data files", path) for path in glob.glob(options.data)]
    to_write = [("--checkpoint", options.checkpoint), ("--out", out), ("--record", record_path)]
    for flag, path in to_write:
        if path is None:
            continue
        if Path(path).is_dir():
            raise ValueError(f"{flag} {printable_path(path)} is a folder; name a file in it.")
        for whose, other in taken:
            if other is not None and _same_file(Path(path), Path(other)):
                raise ValueError(f"{flag} {printable_path(path)} is {whose}; name another.")
        taken.append((f"also the file of {flag}", path))


def _same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, be it by a link or before there is a file at all."""
    if one.resolve() == other.resolve():
        return True
    return one.exists() and other.exists() and one.samefile(other)


def name_of_data(typed: str) -> str:
    """Return what a data set is called in the name of a model's file.

    Parameters
    ----------
    typed : str
        A named data set, a file, a folder, or a pattern of files.

    Returns
    -------
    str
        The last part of the path, without the endings of tables and of packings, and without the
        signs of a pattern: "log.2020" of "logs/log.2020.csv.gz", "part" of "logs/part-*.csv".
    """
    name = Path(typed).name
    while KNOWN_ENDINGS.search(name):
        name = KNOWN_ENDINGS.sub("", name)
    name = SIGNS_OF_A_PATTERN.sub("-", name).strip("-")
    return name or "data"


def _refuse_to_replace_model_of_other_data(out: Path, data: minirec.Interactions) -> None:
    """Raise where the file that nobody typed holds a model of other data, or something else."""
    if not out.exists():
        return
    way_out = "name another file with --out, or this one to replace it."
    try:
        vocabulary = minirec.load_model(out).vocabulary
    except ValueError as error:
        raise ValueError(f"{error} It is left alone; {way_out}") from None
    if vocabulary is not None and vocabulary.fingerprint != data.fingerprint:
        raise ValueError(
            f"{printable_path(out)} holds a model that was trained on other data; {way_out}"
        )


def _record_of_same_command(
    path: Path, options: argparse.Namespace, split: minirec.Split
) -> dict[str, Any]:
    """Return the record that is there, if this command left it; raise FileExistsError if not."""
    try:
        record = load_record(path)
    except ValueError:
        refuse_existing(path)
        raise
    of_this_command = (
        record.get("command") == as_recorded(options.typed)
        and record.get("fingerprint") == split.interactions.fingerprint
        and record.get("split") == split.fingerprint
    )
    if not of_this_command:
        refuse_existing(path)
    return record


def _refuse_without_its_model(out: Path, record: dict[str, Any]) -> None:
    """Raise where a finished run's record is there and its model is not."""
    if not out.exists():
        what = "is gone"
    elif _sha256_of(out) != record.get("saved_sha256"):
        what = "is another model"
    else:
        return
    raise ValueError(
        f"{printable_path(record['file'])} says that this command has ended, but "
        f"{printable_path(out)} {what}; delete the record to train it again."
    )


def _sha256_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _save_or_rescue(path: Path, save: Callable[[Path], None]) -> None:
    """Write a file by `save(path)`; where that fails, write it elsewhere and raise OSError."""
    with _answering_ctrl_c_by(signal.SIG_IGN):  # by nothing, for this short time
        try:
            save(path)
        except OSError as error:
            rescued = _rescue(path, save)
            if rescued is None:
                raise
            why = error.strerror or printable_path(error).rstrip(".")
            raise OSError(
                f"{printable_path(path)} could not be written: {why}. Nothing is lost: what was to "
                f"lie there is {printable_path(rescued)}."
            ) from error


def _rescue(path: Path, save: Callable[[Path], None]) -> Path | None:
    """Write a file to some other folder under a new name; None where that fails everywhere."""
    for find_folder in (Path.cwd, Path.home, tempfile.gettempdir):
        # The folder that we work in may be gone; a user may have no home, a RuntimeError.
        with contextlib.suppress(OSError, RuntimeError):
            elsewhere = _new_name(Path(find_folder()), path.name[-LONGEST_RESCUED:])
            save(elsewhere)
            return elsewhere
    return None


def _new_name(folder: Path, name: str) -> Path:
    """Return a path in a folder at which there is nothing yet."""
    for number in range(1, MOST_RESCUED):
        path = folder / f"rescued-{number}-{name}"
        if not path.exists():
            return path
    raise FileExistsError(f"{folder} is full of rescued files of the name {name}.")


@contextmanager
def one_ctrl_c() -> Iterator[None]:
    """Let the first Ctrl-C interrupt this block, and no further one.

    Training ends at the first with something to save; whoever pressed it once may press it again.
    """

    def interrupt(*signal_and_frame: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    # Who started us deaf to Ctrl-C, in the background for example, wants us to stay so.
    listens = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with _answering_ctrl_c_by(interrupt) if listens else contextlib.nullcontext():
        yield


@contextmanager
def _answering_ctrl_c_by(answer: signal.Handlers | Callable) -> Iterator[None]:
    """Answer Ctrl-C in another way during this block, if this thread may change that."""
    is_main_thread = threading.current_thread() is threading.main_thread()
    if not is_main_thread or signal.getsignal(signal.SIGINT) is None:  # None: not Python answers
        yield
        return
    previous = signal.signal(signal.SIGINT, answer)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
