"""Writing a file whole or not at all."""

import os
import secrets
from contextlib import contextmanager
from pathlib import Path


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
