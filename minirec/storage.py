"""A file whole or not at all; and files of plain tensors, numbers and strings."""

import contextlib
import os
import secrets
from contextlib import contextmanager
from pathlib import Path

import torch

FORMAT = 1


@contextmanager
def atomic_write(path: str | os.PathLike):
    """Open a binary file that takes the name `path` only once everything written to it lies on the disk.

    What is written goes to a temporary file in the same folder (made if missing). If the block raises, or the process dies, whatever had the
    name before is still there, unchanged; after an exception the temporary file is gone too.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        if (
            os.name == "posix"
        ):  # makes the new name itself durable; Windows does that without being asked
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    finally:
        temporary.unlink(missing_ok=True)


def save(path, state: dict) -> None:
    """Writes `state` (tensors, numbers, strings, lists, dicts), whole or not at all, so that `path` always holds one whole file."""
    with atomic_write(path) as file:
        torch.save({"format": FORMAT, **state}, file)


def read(path) -> dict:
    """What `save` has written to a file; nothing in it is executed. Raises ValueError for any other file or format."""
    with (
        open(path, "rb") as file,
        contextlib.suppress(Exception),
    ):  # whatever a damaged or foreign file does to the unpickler
        state = torch.load(file, map_location="cpu", weights_only=True)
        if state["format"] == FORMAT:
            return state
    raise ValueError(f"{path} is not a file of format {FORMAT}.")
