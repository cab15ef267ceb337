"""Stage 3: a profile of one training step of each of the two systems, as a trace and a picture.

The trace opens in chrome://tracing and in Perfetto. The picture shows the same on one scale: what
the host does, and what the device does meanwhile.
"""

import gzip
import json
import os
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import torch
from torch.profiler import ProfilerActivity, profile, record_function

from minirec.data.splits import Split
from minirec.experiments.gpu.job import Job, Row, failures, found_by, not_reached
from minirec.experiments.gpu.steps import StandingRun, sizes_for, split_for
from minirec.plotting import PALETTE
from minirec.storage import atomic_write

SYSTEMS = ("glint-ru", "recblr")
WARM_STEPS = 3
STEP = "step, "  # how the annotation of a step begins
PICTURE = "profile.png"

# Parts of names of kernels and operators, and what they do. The first that fits counts.
KINDS: dict[str, tuple[str, ...]] = {
    "recurrence": ("_walk", "_chunk_ends", "rnn", "gru", "bdlru", "linear_recurrence", "bd_lru"),
    "Adam": ("adam", "multi_tensor"),
    "softmax": ("softmax", "logsumexp", "nll", "cross_entropy"),
    "products": ("gemm", "cutlass", "cublas", "nvjet", "mm", "bmm", "linear"),
}
COLOURS = {
    "recurrence": PALETTE["red"],
    "Adam": PALETTE["green"],
    "softmax": PALETTE["orange"],
    "products": PALETTE["blue"],
    "all else": PALETTE["grey"],
}
ON_DEVICE = ("kernel", "gpu_memcpy", "gpu_memset")  # categories of events in a trace
ON_HOST = ("cpu_op", "cuda_runtime", "cuda_driver")


@dataclass(frozen=True)
class Event:
    """A piece of work in a trace; times in milliseconds from the beginning of its step."""

    name: str
    start: float
    duration: float
    on_device: bool

    @property
    def kind(self) -> str:
        """What it does: a key of COLOURS."""
        name = self.name.lower()
        for kind, parts in KINDS.items():
            if any(part in name for part in parts):
                return kind
        return "all else"


def run(job: Job) -> None:
    """Profile a step of each system, then draw what was found."""
    # As PyTorch's profiler sets them where CUDA graphs are replayed, which crashed without.
    os.environ.setdefault("DISABLE_CUPTI_LAZY_REINIT", "1")
    os.environ.setdefault("TEARDOWN_CUPTI", "0")
    split, data = split_for(job)
    job.note(data=data)
    job.each({system: partial(profiled, job, split, system) for system in SYSTEMS})
    job.each({"the picture": partial(picture, job)})


def profiled(job: Job, split: Split, system: str) -> Row:
    """Profile one warm step as it is, and on a GPU one from its graph; keep the trace.

    Parameters
    ----------
    job : Job
        The stage; the trace goes into its files.
    split : Split
        What is trained on.
    system : str
        The model's name.

    Returns
    -------
    dict
        "steps": for each way of taking the step its milliseconds, the share of them in which the
        device worked, the number of kernels, and the device's milliseconds by kind.
    """
    standing = StandingRun(split, system, sizes_for(job))
    ways = {"one by one": standing.eager}
    if standing.run.graphs is not None:
        ways["by graph"] = standing.usual

    middle = len(standing.epoch) // 2
    activities = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities.append(ProfilerActivity.CUDA)
    for step in ways.values():
        for _ in range(WARM_STEPS):
            step(middle)
    _wait()
    with profile(activities=activities) as found:
        for way, step in ways.items():
            with record_function(f"{STEP}{way}"):
                step(middle)
                _wait()

    events = _keep_trace(found, job.folder / "files" / f"trace-{system}.json.gz")
    steps = {way: _described(events_of(events, f"{STEP}{way}")) for way in ways}
    return {"system": system, "capture_failed": standing.failure, "steps": steps}


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _keep_trace(found: Any, path: Path) -> list[dict[str, Any]]:
    """Write the profiler's trace, compressed; return its events."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "trace.json"
        found.export_chrome_trace(str(plain))
        content = plain.read_bytes()
    with atomic_write(path) as file:
        file.write(gzip.compress(content))
    return json.loads(content)["traceEvents"]


def events_of(trace: list[dict[str, Any]], step: str) -> list[Event]:
    """Return what was done within the annotation `step`, by host and device.

    Parameters
    ----------
    trace : list of dict
        The events of a trace in Chrome's format; times in microseconds.
    step : str
        The annotation's name. The device had finished when it was closed.

    Returns
    -------
    list of Event
        In the order of the trace, the step's own annotations left out.
    """
    (mark,) = [
        event
        for event in trace
        if event.get("name") == step and event.get("cat") == "user_annotation"
    ]
    begin = mark["ts"]
    end = begin + mark["dur"]
    found = []
    for event in trace:
        category = event.get("cat")
        if category in (*ON_DEVICE, *ON_HOST) and begin <= event["ts"] <= end:
            start = (event["ts"] - begin) / 1e3
            duration = event.get("dur", 0) / 1e3
            found.append(Event(event["name"], start, duration, category in ON_DEVICE))
    return found


def _described(events: list[Event]) -> Row:
    """Return the figures of one step."""
    on_device = [event for event in events if event.on_device]
    worked = on_device or events  # without a GPU the host is the device
    total = max((event.start + event.duration for event in worked), default=0.0)
    by_kind = dict.fromkeys(COLOURS, 0.0)
    for event in on_device:
        by_kind[event.kind] += event.duration
    return {
        "ms": total,
        "n_kernels": len(on_device),
        "device_busy": covered(on_device) / total if on_device else None,
        "device_ms_by_kind": by_kind,
    }


def covered(events: list[Event]) -> float:
    """Return the milliseconds in which at least one of the events was under way."""
    milliseconds = 0.0
    end = 0.0
    for event in sorted(events, key=lambda event: event.start):
        milliseconds += max(0.0, event.start + event.duration - max(end, event.start))
        end = max(end, event.start + event.duration)
    return milliseconds


def picture(job: Job) -> Row:
    """Draw the traces that are there: a panel per system, a lane per way and per worker.

    Parameters
    ----------
    job : Job
        The stage, with traces among its files; the picture joins them.

    Returns
    -------
    dict
        The name of the file.
    """
    traces = {}
    for system in SYSTEMS:
        path = job.folder / "files" / f"trace-{system}.json.gz"
        if path.exists():
            traces[system] = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    if not traces:
        raise FileNotFoundError("there is no trace to draw")

    figure, panels = plt.subplots(
        len(traces), 1, figsize=(10, 2.6 * len(traces)), squeeze=False, layout="constrained"
    )
    for (system, trace), panel in zip(traces.items(), panels[:, 0], strict=True):
        _draw(panel, system, trace)
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in COLOURS.values()]
    figure.legend(handles, list(COLOURS), loc="outside lower center", ncols=len(COLOURS))

    with atomic_write(job.folder / "files" / PICTURE) as file:
        figure.savefig(file, format="png", dpi=110)
    plt.close(figure)
    return {"file": PICTURE}


def _draw(panel: Any, system: str, trace: list[dict[str, Any]]) -> None:
    """Draw one system's steps into a panel: lanes from top to bottom, time to the right."""
    marks = [event for event in trace if event.get("cat") == "user_annotation"]
    marks.sort(key=lambda mark: mark["ts"])
    ways = [str(mark["name"]) for mark in marks if str(mark["name"]).startswith(STEP)]
    lanes: list[str] = []
    titles = []
    for way in ways:
        events = events_of(trace, way)
        titles.append(f"a step {way.removeprefix(STEP)} takes {_described(events)['ms']:.1f} ms")
        for worker, on_device in (("host", False), ("device", True)):
            shown = [event for event in events if event.on_device == on_device]
            if shown:
                _draw_lane(panel, len(lanes), shown)
                lanes.append(f"{worker}, {way.removeprefix(STEP)}")
    panel.set_yticks(range(len(lanes)), lanes)
    panel.invert_yaxis()
    panel.grid(False)
    panel.set(title=f"{system}: {', '.join(titles)}", xlabel="milliseconds")


def _draw_lane(panel: Any, lane: int, events: list[Event]) -> None:
    """Draw events of one lane as bars; what the host does inside something else lies on top."""
    for kind, colour in reversed(COLOURS.items()):
        spans = [(event.start, event.duration) for event in events if event.kind == kind]
        panel.broken_barh(spans, (lane - 0.4, 0.8), facecolors=colour, linewidth=0)


def in_words(rows: list[Row]) -> list[str]:
    """Return a line for each system: how long a step takes and how busy the device is."""
    lines = []
    for row in found_by(rows, ""):
        if "steps" not in row:
            continue
        parts = []
        for way, step in row["steps"].items():
            part = f"{way} {step['ms']:.2f} ms"
            if step["device_busy"] is not None:
                part += f" ({step['n_kernels']} kernels, device busy {step['device_busy']:.0%})"
            parts.append(part)
        lines.append(f"{row['system']}: {'; '.join(parts)}")
    return failures(rows) + not_reached(rows) + lines
