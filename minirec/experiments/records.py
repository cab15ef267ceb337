"""Run records: what a training run leaves behind, as JSON, so that a table can be made of many runs later and elsewhere."""

import contextlib
import glob
import importlib.metadata
import json
import platform
import re
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy
import pandas as pd
import torch

from minirec.data.planted import PlantedOracle
from minirec.evaluation import PROTOCOLS, evaluate, expected_metrics
from minirec.storage import atomic_write

SCHEMA = 1
ENDED = {
    "patience": "converged",
    "counted": "converged",
    "epochs": "budget",
    "interrupted": "budget",
}


def record_run(model, split, history, command: list[str] = ()) -> dict:
    """What is worth keeping of a run of `fit`, ready for JSON: what was trained on what and how, how it went, and its metrics under every protocol.

    ended: "converged" (patience ran out) or "budget" (the epochs did, or somebody did). seconds: all epochs, training and validation.
    peak_memory_mib: the most this process held, on the GPU where it trained on one. metrics[phase][protocol]: recall, mrr and ndcg at k, and users; None
    where some user leaves nothing to sample; on the planted set also "expected", over the true odds of the next item. command: the words typed, of which
    every absolute path, or one through ~ or .., keeps its last part: no folder of this machine is named. A number that is not finite becomes None.
    """
    data, device = split.interactions, next(iter(model.state_dict().values())).device
    record = {
        "schema": SCHEMA,
        **provenance(device, command),
        "model": model.name,
        "options": model.options,
        "n_parameters": sum(p.numel() for p in model.parameters()),
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
        "seconds": sum(e["seconds"] for e in history.epochs),
        "peak_memory_mib": _peak_memory(
            device
        ),  # read here, before the metrics need memory of their own
        "k": 10,
        "metrics": {which: _metrics(model, split, which) for which in ("valid", "test")},
    }
    return json.loads(json.dumps(record), parse_constant=lambda not_finite: None)


def provenance(device: torch.device, command: list[str]) -> dict:
    """Where a result comes from: date, command (see `record_run`), device and versions."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(map(_without_folders, command)),
        "device": _in_words(device),
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "numpy": numpy.__version__,
            "minirec": importlib.metadata.version("minirec"),
        },
    }


def save_record(path, record: dict) -> None:
    """Writes a record, whole or not at all. Raises FileExistsError where there is a file already: a record is never replaced."""
    refuse_existing(path)
    with atomic_write(path) as file:
        file.write(
            json.dumps(record, indent=1, allow_nan=False, ensure_ascii=False).encode() + b"\n"
        )


def refuse_existing(path) -> None:
    """Raises FileExistsError where a record would replace something."""
    if Path(path).exists():
        raise FileExistsError(
            f"{path} exists, and a record is never replaced; name another file, or delete it."
        )


def load_records(place) -> pd.DataFrame:
    """The records of a folder (its *.json), a file or a pattern: a row each, in the order of their names, with columns such as "file", "model",
    "settings.lr" and "metrics.test.full.ndcg". Raises ValueError for a file that is not a record, naming it, and where there is none at all.
    """
    paths = (
        sorted(Path(place).glob("*.json"))
        if Path(place).is_dir()
        else sorted(map(Path, glob.glob(str(place))))
    )
    if not paths:
        raise ValueError(f"there is no record at {place}.")
    records = []
    for path in paths:
        try:
            records.append({"file": path.name, **json.loads(path.read_text(encoding="utf-8"))})
            schema = records[-1]["schema"]
        except (ValueError, TypeError, KeyError):
            raise ValueError(
                f"{path} is not a run record: it is damaged, or something else."
            ) from None
        if schema != SCHEMA:
            raise ValueError(
                f"{path} is a record of schema {schema!r}; this version of minirec reads schema {SCHEMA}."
            )
    return pd.json_normalize(records)


def _metrics(model, split, which: str) -> dict:
    found = {"full": evaluate(model, split, which=which).figures}
    for protocol in PROTOCOLS[1:]:
        try:
            found[protocol] = evaluate(model, split, which=which, protocol=protocol).figures
        except ValueError:  # full ranking was possible, so what failed is the sampling
            found[protocol] = None
    if split.interactions.source == "planted":
        found["expected"] = expected_metrics(model, split, PlantedOracle(), which=which)
    return found


def _without_folders(word: str) -> str:
    """ "--out=/home/me/a.pt" -> "--out=a.pt"; a relative path that goes only down stays as it is."""
    keys, value = re.fullmatch(r"((?:[\w-]+=)*)(.*)", word, re.DOTALL).groups()
    outside = re.match(r"[\\/]|[A-Za-z]:[\\/]|~", value) or ".." in re.split(r"[\\/]", value)
    return keys + (re.split(r"[\\/]", value.rstrip("\\/"))[-1] if outside else value)


def _in_words(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, TypeError):  # no such file, or no such line
        name = re.search(
            r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE
        )[1]
    return f"{name}, {torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)}"


def _peak_memory(device: torch.device) -> float | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    with contextlib.suppress(
        OSError, TypeError
    ):  # Linux counts a parent's memory into ru_maxrss, but not into this
        return (
            int(
                re.search(
                    r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE
                )[1]
            )
            / 2**10
        )
    with contextlib.suppress(ImportError):  # Windows has none
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
            2**20 if sys.platform == "darwin" else 2**10
        )
