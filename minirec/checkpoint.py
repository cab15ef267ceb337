"""Files of plain tensors, numbers and strings: trained models, and training runs with everything that the rest of the run depends on."""

import contextlib
from pathlib import Path

import torch

from minirec.files import atomic_write

FORMAT = 1


class CheckpointError(ValueError):
    """A checkpoint that cannot be continued; the message says what differs and what to do."""


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


def load(path, identity: dict) -> dict | None:
    """The checkpoint at `path`, None if there is none. Raises CheckpointError where it is unreadable or its identity is not `identity`.

    identity: what has to agree for the run to be the same run (model, options, data, seed ...), as flat names and values.
    """
    if Path(path).is_dir():
        raise CheckpointError(f"{path} is a folder; name a file in it.")
    if not Path(path).exists():
        return None
    try:
        state = read(path)
        stored = state["identity"]
    except (ValueError, KeyError):
        raise CheckpointError(
            f"{path} is not a training checkpoint of this version of minirec. Delete it, or give another path."
        ) from None
    differences = [
        f"{key} is {stored.get(key)!r} in the checkpoint and {identity.get(key)!r} now"
        for key in sorted({*stored, *identity})
        if stored.get(key) != identity.get(key)
    ]
    if differences:
        raise CheckpointError(
            f"{path} belongs to another run: {'; '.join(differences)}. Continue with the same settings, or give another path."
        )
    return state
