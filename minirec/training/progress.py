"""What a checkpoint holds, and which run it belongs to."""

from pathlib import Path

from minirec.errors import CheckpointError
from minirec.storage import read


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
