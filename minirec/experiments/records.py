"""Run records: what a training run leaves behind, as JSON.

A table can be made of many records later, and on another machine.
"""

import contextlib
import gc
import glob
import json
import platform
import re
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy
import pandas as pd
import torch

from minirec.data.planted import PlantedOracle
from minirec.data.splits import Split
from minirec.errors import printable, printable_path
from minirec.evaluation import PROTOCOLS, evaluate, expected_metrics
from minirec.models import MODELS, model_options
from minirec.models.base import Recommender
from minirec.storage import atomic_write
from minirec.training import History

SCHEMA = 1

# The full rankings that a record holds, and what each leaves out of the candidates.
FULL_RANKINGS: dict[str, bool | str] = {
    "full": False,
    "full-unseen": True,
    "full-unseen-window": "window",
}

# From the reason why `fit` stopped to whether training was finished. Somebody's Ctrl-C is a budget
# too: the run might have gone on and become better.
ENDED = {
    "patience": "converged",
    "counted": "converged",
    "epochs": "budget",
    "budget": "budget",
    "interrupted": "budget",
}


# What the data of older records are called now.
RENAMED = {"ml-1m, ties by movie id": "ml-1m, ties by id"}


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
        - peak_memory_mib: the most that was held since the count began: by this process, or on
          the GPU where it trained on one. See `forget_peak_memory`.
        - data, ties: what it was trained on, with the order of ties where that is not the file's.
        - metrics[phase][protocol]: recall, mrr and ndcg at k, and users; None where some user
          leaves nothing to sample. "full-unseen" is full ranking without what the user had chosen
          before, "full-unseen-window" without what the model had read of it. On the planted set
          also "expected", over the true probabilities of the next item.
    """
    data = split.interactions
    device = next(iter(model.state_dict().values())).device
    record = {
        "schema": SCHEMA,
        **provenance(device, command),
        "model": model.name,
        "options": model.options,
        "n_parameters": sum(parameter.numel() for parameter in model.parameters()),
        "data": _without_folders(data.name),
        "ties": data.ties,
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
        "command": as_recorded(command),
        "device": device_in_words(device),
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "numpy": numpy.__version__,
            "minirec": _own_version(),
        },
    }


def as_recorded(command: Sequence[str]) -> str:
    """Return a command as a record keeps it.

    Parameters
    ----------
    command : sequence of str
        The words typed.

    Returns
    -------
    str
        As for a shell. Of every absolute path, and of one through ~ or .., only the last part is
        there.
    """
    return shlex.join(_without_folders(word) for word in command)


def _own_version() -> str:
    """Return minirec's version, installed or used out of its folder."""
    package = sys.modules[__name__.partition(".")[0]]  # loaded before any module in it
    return package.__version__


def benchmark_folder(out: str | Path, device: torch.device) -> Path:
    """Return where the benchmarks' records of a device lie, so that figures of two never mix.

    Parameters
    ----------
    out : str or Path
        The folder of the records.
    device : torch.device
        What was measured.

    Returns
    -------
    Path
        "benchmarks" in `out` for a CPU; for a GPU a folder in there that has its name.
    """
    folder = Path(out) / "benchmarks"
    if device.type == "cpu":
        return folder
    return folder / re.sub(r"[^a-z0-9]+", "-", device_in_words(device).lower()).strip("-")


def save_record(path: str | Path, record: dict[str, Any], *, replace: bool = False) -> None:
    """Write a record, whole or not at all.

    Parameters
    ----------
    path : str or Path
        A new file.
    record : dict
        What `record_run` returned, or anything else that JSON can hold.
    replace : bool
        Let it replace a record: that of a run which was interrupted, and which this one continues.

    Raises
    ------
    FileExistsError
        Where there is a file already: a record is never replaced.
    """
    if not replace:
        refuse_existing(path)
    text = json.dumps(record, indent=1, allow_nan=False, ensure_ascii=False)
    with atomic_write(path) as file:
        # A name of a file that is no UTF-8 has lone surrogates: they are escaped, as in JSON.
        file.write(text.encode(errors="backslashreplace") + b"\n")


def refuse_existing(path: str | Path) -> None:
    """Raise FileExistsError where a record would replace something."""
    if Path(path).exists():
        raise FileExistsError(
            f"{printable_path(path)} exists, and a record is never replaced; "
            "name another file, or delete it."
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
    return pd.json_normalize([load_record(path) for path in paths])


def is_finished(record: dict[str, Any]) -> bool:
    """Whether a record is of a run that was not cut short by somebody.

    Parameters
    ----------
    record : dict
        From `record_run`.

    Returns
    -------
    bool
        False where Ctrl-C ended the run.
    """
    return record["stopped"] != "interrupted"


def load_record(path: Path) -> dict[str, Any]:
    """Read one record.

    Parameters
    ----------
    path : Path
        Its file.

    Returns
    -------
    dict
        The record, with the name of its file under "file". An option that its model has got since
        the record was written is given with its default: a new option's default is what the model
        was before.

    Raises
    ------
    ValueError
        For a file that is not a record, naming it.
    """
    try:
        record = {"file": path.name, **json.loads(path.read_text(encoding="utf-8"))}
        schema = record["schema"]
    except (ValueError, TypeError, KeyError):
        raise ValueError(
            f"{printable_path(path)} is not a run record: it is damaged, or something else."
        ) from None
    if schema != SCHEMA:
        raise ValueError(
            f"{printable_path(path)} is a record of schema {printable(schema)}; "
            f"this version of minirec reads schema {SCHEMA}."
        )
    if "data" in record:
        record["data"] = RENAMED.get(record["data"], record["data"])
    if "options" in record and record.get("model") in MODELS:
        record["options"] = model_options(record["model"]) | record["options"]
    return record


def _metrics(model: Recommender, split: Split, phase: str) -> dict[str, Any]:
    """Return the metrics of one phase under every protocol."""
    found: dict[str, Any] = {}
    for name, exclude_seen in FULL_RANKINGS.items():
        found[name] = evaluate(model, split, which=phase, exclude_seen=exclude_seen).figures
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


def device_in_words(device: torch.device) -> str:
    """Return the GPU's name, or the CPU's and the number of threads.

    Parameters
    ----------
    device : torch.device
        What something is measured or computed on.

    Returns
    -------
    str
        "NVIDIA H100 80GB HBM3", or "AMD EPYC, 2 threads", for example.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = _line_of_file("/proc/cpuinfo", r"^model name\s*:\s*(.+)$")
    if name is None:
        name = platform.processor() or platform.machine()
    n_threads = torch.get_num_threads()
    threads = "thread" if n_threads == 1 else "threads"
    return f"{name}, {n_threads} {threads}"


def forget_peak_memory() -> None:
    """Begin to count anew the most memory held: on every GPU in use, and here where Linux counts.

    On another system a record shows the most that any run of this process has held.
    """
    gc.collect()  # what a finished run left behind is not the next one's
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    if torch.cuda.is_initialized():
        for index in range(torch.cuda.device_count()):
            torch.cuda.reset_peak_memory_stats(index)


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
