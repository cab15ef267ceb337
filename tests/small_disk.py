"""A disk so small that it fills, which only one process sees."""

import subprocess
import sys


def can_mount() -> bool:
    """Whether this system lets a process have a disk of its own: Linux, if nothing forbids it."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        tried = subprocess.run([*on_a_small_disk("/mnt", 10), "true"], capture_output=True)
    except OSError:
        return False
    return tried.returncode == 0


def on_a_small_disk(folder, kilobytes: int) -> list[str]:
    """The words before a command that let it see a disk of so many kB in the place of a folder."""
    mount = f"mount -t tmpfs -o size={kilobytes}k none {folder}"
    return ["unshare", "--map-root-user", "--mount", "sh", "-c", mount + ' && exec "$0" "$@"']
