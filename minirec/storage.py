"""A file whole or not at all; and files of plain tensors, numbers and strings."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch

FORMAT = 1  # of the files that `save` writes and `read` accepts


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a binary file that takes the name `path` only once its content lies on the disk.

    What is written goes to a temporary file in the same folder. If the block raises, or the process
    dies, whatever had the name before is still there, unchanged; after an exception the temporary
    file is gone too.

    Parameters
    ----------
    path : str or path
        The name the file takes in the end; its folder is made if it is missing.

    Yields
    ------
    binary file
        Open for writing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")

    try:
        with open(temporary, "xb") as file:
            yield file
            # The content must be on the disk before the name is: after a power cut the other order
            # could leave the name with nothing behind it.
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        if os.name == "posix":  # Windows makes a new name durable without being asked
            _write_names_to_disk(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _write_names_to_disk(folder: Path) -> None:
    """Make the names in a folder durable, as fsync of a file does for its content."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save(path: str | os.PathLike, state: dict[str, Any]) -> None:
    """Write plain values to a file, whole or not at all: `path` always holds one whole file.

    Parameters
    ----------
    path : str or path
        The file; one that is there already is replaced.
    state : dict
        Tensors, numbers, strings, and lists and dicts of them.
    """
    with atomic_write(path) as file:
        torch.save({"format": FORMAT, **state}, file)


def read(path: str | os.PathLike) -> dict[str, Any]:
    """Return what `save` has written to a file; nothing in the file is executed.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    dict
        The values, tensors on the CPU, and the number of the format under "format".

    Raises
    ------
    ValueError
        For a file of another kind or format.
    OSError
        For a file that cannot be opened.
    """
    with open(path, "rb") as file:
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except Exception:  # a damaged or foreign file can make the unpickler raise anything at all
            state = None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(f"{path} is not a file of format {FORMAT}.")
    return state
