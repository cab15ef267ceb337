"""The files that `train` writes, checked before it begins and rescued if a disk is full."""

import argparse
import contextlib
import glob
import hashlib
import math
import re
import signal
import tempfile
import threading
import time
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

# The signs of a pattern of files, such as * and [0-9], with the hyphens and dots around them.
SIGNS_OF_A_PATTERN = re.compile(r"[-_. ]*(\[[^]]*\]|[*?])+[-_. ]*")

# What is reported of a run that has ended, from its record.
REPORTED = {"date", "history", "best_epoch", "stopped", "settings", "seconds", "k", "metrics"}

MOST_RESCUED = 1000  # files of one name that may lie beside each other
SECONDS_OF_ONE_PRESS = 2.0  # the presses of Ctrl-C within them are meant as one
LONGEST_RESCUED = 50  # characters of a name: a long one can be why a file could not be written


@dataclass(frozen=True)
class FilesToWrite:
    """The files that a run will write: each can be written, and replaces nobody else's."""

    model: Path
    record: Path | None  # None where none was asked for
    finished: dict[str, Any] | None  # the record, if this command has run to its end before
    replaces_record: bool  # whether this command left a record when Ctrl-C ended it
    epochs_there: int = 0  # epochs that this command had trained then, if its model is there still

    def hold_more_than(self, history: minirec.History) -> bool:
        """Whether an earlier Ctrl-C left more epochs than a run that Ctrl-C has ended now."""
        return history.stopped == "interrupted" and len(history.epochs) < self.epochs_there

    def save_model(self, model: Recommender, data: minirec.Interactions) -> None:
        """Write the model, elsewhere if need be: it may be the result of hours."""
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
        The paths, and what the same command has left there before.

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
        epochs_there = 0 if _fault_of_model(out, found) else len(found["history"])
        return FilesToWrite(
            out, record_path, finished=None, replaces_record=True, epochs_there=epochs_there
        )
    fault = _fault_of_model(out, found)
    if fault:
        raise ValueError(
            f"{printable_path(record_path)} says that this command has ended, but "
            f"{printable_path(out)} {fault}; delete the record to train it again."
        )
    return FilesToWrite(out, record_path, finished=found, replaces_record=False)


def _refuse_folders_and_names_of_others(
    options: argparse.Namespace, out: Path, record_path: Path | None
) -> None:
    """Raise ValueError for a folder, for an input file, and for two outputs of one name."""
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
    """Whether two paths lead to one file, which need not exist and may be linked to."""
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
    """Raise where the default file, which nobody typed, is not a model of these data."""
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
    """Return the record that this command left; raise FileExistsError for any other."""
    try:
        record = load_record(path)
    except ValueError:
        refuse_existing(path)
        raise
    of_this_command = (
        record.keys() >= REPORTED
        and record.get("command") == as_recorded(options.typed)
        and record.get("fingerprint") == split.interactions.fingerprint
        and record.get("split") == split.fingerprint
    )
    if not of_this_command:
        refuse_existing(path)
    return record


def _fault_of_model(out: Path, record: dict[str, Any]) -> str:
    """Say why a file is not the model that a record goes with; empty if it is."""
    if not out.exists():
        return "is gone"
    if _sha256_of(out) != record.get("saved_sha256"):
        return "is another model"
    return ""


def _sha256_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _save_or_rescue(path: Path, save: Callable[[Path], None]) -> None:
    """Write a file by `save(path)`; if that fails, write it elsewhere and raise OSError."""
    with _answering_ctrl_c_by(signal.SIG_IGN):  # by nothing, for this short time
        try:
            save(path)
        except OSError as error:
            rescued = _rescue(path, save)
            if rescued is None:
                raise
            why = error.strerror or printable_path(error).rstrip(".")
            if isinstance(error, FileExistsError):  # a record that appeared meanwhile
                why = "it is there already"
            raise OSError(
                f"{printable_path(path)} could not be written: {why}. Nothing is lost: it was "
                f"written to {printable_path(rescued)} instead."
            ) from error


def _rescue(path: Path, save: Callable[[Path], None]) -> Path | None:
    """Write a file to another folder under a new name; None if that fails everywhere."""
    for find_folder in (Path.cwd, Path.home, tempfile.gettempdir):
        # The folder that we work in may be gone; a user may have no home, a RuntimeError.
        with contextlib.suppress(OSError, RuntimeError):
            elsewhere = _new_name(Path(find_folder()), path.name[-LONGEST_RESCUED:])
            save(elsewhere)
            return elsewhere
    return None


def _new_name(folder: Path, name: str) -> Path:
    """Return a path in a folder that nothing has yet."""
    for number in range(1, MOST_RESCUED):
        path = folder / f"rescued-{number}-{name}"
        if not path.exists():
            return path
    raise FileExistsError(f"{folder} has too many rescued files of the name {name}.")


@contextmanager
def one_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C interrupt this block, and count what follows within SECONDS_OF_ONE_PRESS as one.

    Training ends at the first with something to save; whoever pressed it once may press it again.
    A later one interrupts again: the first may have been swallowed, in a destructor for example.
    """
    last_time = -math.inf

    def interrupt(*signal_and_frame: object) -> None:
        nonlocal last_time
        now = time.monotonic()
        if now - last_time > SECONDS_OF_ONE_PRESS:
            last_time = now
            raise KeyboardInterrupt

    # Who started us deaf to Ctrl-C, in the background for example, wants us to stay so.
    listens = callable(signal.getsignal(signal.SIGINT))
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
