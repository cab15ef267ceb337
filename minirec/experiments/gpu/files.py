"""What lies in the folder of results: at most eight files, each written whole.

summary.txt       a screen of text
gpu.json          the machine, and everything that the stages noted
log.txt           what the stages printed, one section each
trace-NAME.json.gz    a profile of one training step of a system (two of them)
profile.png       the same as a picture
runs.zip          run records of the papers' tables, one file each
unfinished.zip    the checkpoint of the run that the end of the minutes cut short
"""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

from minirec.storage import atomic_write

MAX_COPIED = 3  # beside the five that are named below
MAX_BYTES = 16 * 2**20  # per file
LOG_BYTES = 2**20  # per stage: the end of a longer log

SUMMARY = "summary.txt"
FINDINGS = "gpu.json"
LOG = "log.txt"
RUNS = "runs.zip"
UNFINISHED = "unfinished.zip"


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all; one that is there already is replaced."""
    with atomic_write(path) as file:
        file.write(content)


def write_findings(out: Path, findings: dict[str, Any]) -> None:
    """Write gpu.json."""
    write_text(out / FINDINGS, json.dumps(findings, indent=1, ensure_ascii=False) + "\n")


def write_log(out: Path, logs: dict[str, Path]) -> None:
    """Write log.txt: the end of every stage's log, under its title."""
    sections = []
    for title, path in logs.items():
        if not path.exists():
            continue
        content = path.read_bytes()
        cut = "" if len(content) <= LOG_BYTES else " (its end)"
        text = content[-LOG_BYTES:].decode(errors="replace")
        sections.append(f"==== {title}{cut} ====\n{text}\n")
    write_text(out / LOG, "\n".join(sections))


def copy_files(out: Path, paths: list[Path]) -> list[str]:
    """Copy the files that stages made into `out`; return a line for each one left out."""
    left_out = []
    n_copied = 0
    for path in paths:
        if path.stat().st_size > MAX_BYTES:
            left_out.append(f"{path.name} is larger than {MAX_BYTES // 2**20} MiB: left out")
        elif n_copied == MAX_COPIED:
            left_out.append(f"{path.name} would be one file too many: left out")
        else:
            write_bytes(out / path.name, path.read_bytes())
            n_copied += 1
    return left_out


def write_zip(out: Path, name: str, paths: list[Path]) -> list[str]:
    """Write files into one archive; without any, the archive goes. Returns as `copy_files`."""
    if not paths:
        (out / name).unlink(missing_ok=True)
        return []
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(paths):
            archive.write(path, path.name)
    if content.tell() > MAX_BYTES:
        return [f"{name} would be larger than {MAX_BYTES // 2**20} MiB: left out"]
    write_bytes(out / name, content.getvalue())
    return []


def unzip(archive: Path, folder: Path, *, replace: bool = False) -> list[str]:
    """Extract an archive that `write_zip` made; return the names of the files that are new.

    Parameters
    ----------
    archive : Path
        It may be missing: then nothing is extracted.
    folder : Path
        Where the files go. Only the last part of a name in the archive counts.
    replace : bool
        Whether a file that is there already is replaced; else it stays.

    Returns
    -------
    list of str
        The names of the files written.
    """
    if not archive.exists():
        return []
    written = []
    with zipfile.ZipFile(archive) as content:
        for member in content.namelist():
            name = Path(member).name
            target = folder / name
            if name and (replace or not target.exists()):
                write_bytes(target, content.read(member))
                written.append(name)
    return written
