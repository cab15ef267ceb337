"""Run records: what a training run leaves behind, as JSON.

A table can be made of many records later, and on another machine.
"""

import glob
import importlib.metadata
import json
import platform
import re
import shlex
import sys
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy
import pandas as pd
import torch

from minirec.data.planted import PlantedOracle
from minirec.data.splits import Split
from minirec.evaluation import PROTOCOLS, evaluate, expected_metrics
from minirec.models.base import Recommender
from minirec.storage import atomic_write
from minirec.training import History

SCHEMA = 1

# From the reason why `fit` stopped to whether training was finished. Somebody's Ctrl-C is a budget
# too: the run might have gone on and become better.
ENDED = {
    "patience": "converged",
    "counted": "converged",
    "epochs": "budget",
    "budget": "budget",
    "interrupted": "budget",
}


def record_run(
    model: Recommender, split: Split, history: History, command: Sequence[str] = ()
) -> dict[str, Any]:
    """Gather what is worth keeping of a run of `fit`.

    Parameters
    ----------
    model : Recommender
        The trained model, made by `build_model`.
    split : Split
        What it was trained on.
    history : History
        What `fit` returned.
    command : sequence of str
        The words typed. Of every absolute path, and of one through ~ or .., only the last part is
        kept, so that no folder of this machine is named.

    Returns
    -------
    dict
        Ready for JSON: what was trained, on which data and with which settings, how it went, and
        its metrics under every protocol. A number that is not finite becomes None. Among its keys:

        - ended: "converged" (patience ran out) or "budget" (the epochs or the time did, or
          somebody stopped it).
        - seconds: of all epochs, training and validation.
        - peak_memory_mib: the most that this process held, on the GPU where it trained on one.
        - metrics[phase][protocol]: recall, mrr and ndcg at k, and users; None where some user
          leaves nothing to sample. On the planted set also "expected", over the true
          probabilities of the next item.
    """
    data = split.interactions
    device = next(iter(model.state_dict().values())).device
    record = {
        "schema": SCHEMA,
        **provenance(device, command),
        "model": model.name,
        "options": model.options,
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "data": _without_folders(data.source),
        "n_users": data.n_users,
        "n_items": data.n_items,
        "n_interactions": data.n_interactions,
        "fingerprint": data.fingerprint,
        "split": split.fingerprint,
        "settings": history.settings,
        "history": history.epochs,
        "best_epoch": history.best_epoch,
        "stopped": history.stopped,
        "ended": ENDED[history.stopped],
        "seconds": sum(epoch["seconds"] for epoch in history.epochs),
        "peak_memory_mib": _peak_memory(device),
    }

    # The metrics come after the memory was read, because they need memory of their own.
    record["k"] = 10
    record["metrics"] = {phase: _metrics(model, split, phase) for phase in ("valid", "test")}

    # JSON knows neither NaN nor infinity; Python writes them as words, which are read as None.
    return json.loads(json.dumps(record), parse_constant=lambda not_finite: None)


def provenance(device: torch.device, command: Sequence[str]) -> dict[str, Any]:
    """Say where a result comes from.

    Parameters
    ----------
    device : torch.device
        What it was computed on.
    command : sequence of str
        The words typed; see `record_run`.

    Returns
    -------
    dict
        date (UTC), command, device (in words) and versions.
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(_without_folders(word) for word in command),
        "device": _in_words(device),
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "numpy": numpy.__version__,
            "minirec": _own_version(),
        },
    }


def _own_version() -> str:
    """Return the version that is installed, or that of the checkout this file lies in."""
    try:
        return importlib.metadata.version("minirec")
    except importlib.metadata.PackageNotFoundError:
        project = Path(__file__).resolve().parents[2] / "pyproject.toml"
        return tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"]


def save_record(path: str | Path, record: dict[str, Any]) -> None:
    """Write a record, whole or not at all.

    Parameters
    ----------
    path : str or Path
        A new file.
    record : dict
        What `record_run` returned, or anything else that JSON can hold.

    Raises
    ------
    FileExistsError
        Where there is a file already: a record is never replaced.
    """
    refuse_existing(path)
    text = json.dumps(record, indent=1, allow_nan=False, ensure_ascii=False)
    with atomic_write(path) as file:
        file.write(text.encode() + b"\n")


def refuse_existing(path: str | Path) -> None:
    """Raise FileExistsError where a record would replace something."""
    if Path(path).exists():
        raise FileExistsError(
            f"{path} exists, and a record is never replaced; name another file, or delete it."
        )


def load_records(place: str | Path) -> pd.DataFrame:
    """Read records into a frame.

    Parameters
    ----------
    place : str or Path
        A folder (its *.json are read), a file, or a pattern such as "runs/beauty-*.json".

    Returns
    -------
    DataFrame
        One row per record, in the order of the files' names, with columns such as "file",
        "model", "settings.lr" and "metrics.test.full.ndcg".

    Raises
    ------
    ValueError
        For a file that is not a record, naming it, and where there is no record at all.
    """
    if Path(place).is_dir():
        paths = sorted(Path(place).glob("*.json"))
    else:
        paths = sorted(Path(name) for name in glob.glob(str(place)))
    if not paths:
        raise ValueError(f"there is no record at {place}.")
    return pd.json_normalize([_read_record(path) for path in paths])


def _read_record(path: Path) -> dict[str, Any]:
    """Return one record, with the name of its file."""
    try:
        record = {"file": path.name, **json.loads(path.read_text(encoding="utf-8"))}
        schema = record["schema"]
    except (ValueError, TypeError, KeyError):
        raise ValueError(f"{path} is not a run record: it is damaged, or something else.") from None
    if schema != SCHEMA:
        raise ValueError(
            f"{path} is a record of schema {schema!r}; "
            f"this version of minirec reads schema {SCHEMA}."
        )
    return record


def _metrics(model: Recommender, split: Split, phase: str) -> dict[str, Any]:
    """Return the metrics of one phase under every protocol."""
    found: dict[str, Any] = {"full": evaluate(model, split, which=phase).figures}
    for protocol in PROTOCOLS:
        if protocol == "full":
            continue
        try:
            found[protocol] = evaluate(model, split, which=phase, protocol=protocol).figures
        except ValueError:
            found[protocol] = None  # full ranking was possible, so what failed is the sampling
    if split.interactions.source == "planted":
        found["expected"] = expected_metrics(model, split, PlantedOracle(), which=phase)
    return found


def _without_folders(word: str) -> str:
    """Turn "--out=/home/me/a.pt" into "--out=a.pt"; leave relative paths that only go down."""
    value = re.sub(r"\A(?:[\w-]+=)*", "", word)  # without the keys before it
    keys = word[: len(word) - len(value)]
    absolute = re.match(r"[\\/]|[A-Za-z]:[\\/]|~", value)
    goes_up = ".." in re.split(r"[\\/]", value)
    if not (absolute or goes_up):
        return word
    last_part = re.split(r"[\\/]", value.rstrip("\\/"))[-1]
    return keys + last_part


def _in_words(device: torch.device) -> str:
    """Return the GPU's name, or the CPU's and the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = _line_of_file("/proc/cpuinfo", r"^model name\s*:\s*(.+)$")
    if name is None:
        name = platform.processor() or platform.machine()
    n_threads = torch.get_num_threads()
    threads = "thread" if n_threads == 1 else "threads"
    return f"{name}, {n_threads} {threads}"


def _peak_memory(device: torch.device) -> float | None:
    """Return the most MiB held so far: on a GPU by PyTorch, else by this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20

    # Linux counts the memory of the parent process into ru_maxrss below, but not into VmHWM.
    kib = _line_of_file("/proc/self/status", r"^VmHWM:\s*(\d+) kB")
    if kib is not None:
        return int(kib) / 2**10

    try:
        import resource
    except ImportError:  # Windows has none
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    units_per_mib = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes, others KiB
    return peak / units_per_mib


def _line_of_file(path: str, pattern: str) -> str | None:
    """Return the first group of the first line that matches, None without such a file or line."""
    try:
        text = Path(path).read_text()
    except OSError:
        return None
    found = re.search(pattern, text, re.MULTILINE)
    return found[1] if found else None
