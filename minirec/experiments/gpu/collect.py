"""File what came back from a GPU among the project's records."""

import json
import re
import tempfile
from pathlib import Path

from minirec.experiments.gpu import files
from minirec.experiments.recblr import PAPER
from minirec.experiments.records import load_records

SUBFOLDER = "gpu"  # of the records: what the command noted beside training runs


def collect(folder: str | Path, results: str | Path) -> list[str]:
    """File the records of one call of the command. None that is there already is replaced.

    Parameters
    ----------
    folder : str or Path
        What the command was given as --out.
    results : str or Path
        The folder of the records, where the tables find them: each training run becomes a file of
        its own there; everything else the call noted becomes one file in its folder "gpu".

    Returns
    -------
    list of str
        A line about each file.

    Raises
    ------
    ValueError
        For a folder without results of the command, for those of a dry run, and for an archive
        that holds something else than run records.
    """
    folder = Path(folder)
    results = Path(results)
    findings = folder / files.FINDINGS
    if not findings.exists():
        raise ValueError(f"{folder} has no {files.FINDINGS}: it is no folder of results of a GPU.")
    text = findings.read_text(encoding="utf-8")
    found = json.loads(text)
    if found["dry_run"]:
        raise ValueError(f"{folder} holds a dry run: its figures are of a CPU and mean nothing.")

    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        names = files.unzip(folder / files.RUNS, Path(scratch))
        if names:
            load_records(scratch)  # raises for what is no record
        for name in sorted(names):
            of_recblr = name.startswith(f"{PAPER}-")
            place = results / PAPER if of_recblr else results
            lines.append(_file(place / name, (Path(scratch) / name).read_bytes()))

    device = re.sub(r"[^a-z0-9]+", "-", found["device"].lower()).strip("-")
    moment = re.sub(r"[^0-9T]", "", found["date"].partition("+")[0])
    lines.append(_file(results / SUBFOLDER / f"{moment}-{device}.json", text.encode()))
    return lines


def _file(path: Path, content: bytes) -> str:
    """Write a file unless there is one; return a line about it."""
    if path.exists():
        return f"{path} is there already: left as it is"
    files.write_bytes(path, content)
    return f"filed {path}"
