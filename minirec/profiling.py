"""What a piece of work costs, and the least time that this machine could do it in (notebook 13).

Its time, memory, operations and bytes. One multiply-add is two operations (FLOPs).

B rows, N positions.
"""

import contextlib
import ctypes
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop

from minirec.models.base import NeuralRecommender

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler need not announce itself on stderr

# Options of the C library's `mallopt`, from glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3

Run = Callable[..., Any]  # a piece of work, called with nothing; what it returns is not looked at


def keep_memory() -> None:
    """Ask the C library to keep freed memory, as a long training run comes to do.

    Getting it anew from the system costs more than a scan. Only glibc knows how; elsewhere nothing
    happens.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
        # The most it takes, 32 MiB: larger blocks are given back at once.
        mallopt(M_MMAP_THRESHOLD, 2**25)


def take_turns(
    case: str,
    runs: Mapping[str, Run],
    repeats: int,
    times: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Time warm runs that take turns.

    So whatever else the machine does falls on all alike. On a GPU its own clock counts.

    Parameters
    ----------
    case : str
        What is measured, for the column of this name.
    runs : mapping
        The pieces of work by name.
    repeats : int
        How many turns each run gets, after one that is not counted.
    times : mapping, optional
        Where a run is a sample of a whole: how many such runs the whole takes; 1 unless given.

    Returns
    -------
    DataFrame
        One row per run: case, name, seconds (median), low and high (quartiles), ratio (to the
        first run's seconds).

    References
    ----------
    Notebook 13.
    """
    for run in runs.values():
        run()

    turns = []
    for _ in range(repeats):
        turns.append([_seconds(run) for run in runs.values()])

    if times is None:
        times = {}
    scale = [times.get(name, 1) for name in runs]
    seconds = np.array(turns) * scale  # [repeats, runs]
    low, middle, high = np.quantile(seconds, (0.25, 0.5, 0.75), axis=0)
    return pd.DataFrame(
        {
            "case": case,
            "name": list(runs),
            "seconds": middle,
            "low": low,
            "high": high,
            "ratio": middle / middle[0],
        }
    )


def _seconds(run: Run) -> float:
    """Time one run: by the GPU's clock if there is one, because the CPU only hands work over."""
    if torch.cuda.is_available():
        begin = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        begin.record()
        run()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3  # from milliseconds

    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def peak_memory(run: Run) -> float:
    """Measure the memory that `run` needs at most at one time, beside what was there before.

    On a GPU its allocator tells, elsewhere PyTorch's profiler.

    Parameters
    ----------
    run : callable
        The piece of work; it is run twice, once to warm up.

    Returns
    -------
    float
        MiB.

    References
    ----------
    Notebook 13.
    """
    run()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        run()
    # The memory held is the running sum of what was allocated (positive) and freed (negative).
    held = accumulate(_allocations(trace), initial=0)
    return max(held) / 2**20


def _allocations(trace: profile) -> list[int]:
    """List the bytes of every allocation (positive) and release (negative), in order of time."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        trace.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    of_memory = [event for event in events if event.get("name") == "[memory]"]
    of_memory.sort(key=lambda event: event["ts"])
    return [event["args"]["Bytes"] for event in of_memory]


def operator_seconds(run: Run, parts: Mapping[str, tuple[str, ...]]) -> dict[str, float]:
    """Measure the seconds of a warm `run` by the kind of operator.

    Parameters
    ----------
    run : callable
        The piece of work; it is run twice, once to warm up.
    parts : mapping
        For each part, the beginnings of its operators' names. An operator counts for the first
        part that fits it.

    Returns
    -------
    dict
        Seconds of each part, and of "all else"; on a GPU, the GPU's.

    References
    ----------
    Notebook 13.
    """
    run()
    on_gpu = torch.cuda.is_available()
    activities = [ProfilerActivity.CPU]
    if on_gpu:
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as trace:
        run()

    seconds = dict.fromkeys([*parts, "all else"], 0.0)
    for event in trace.key_averages():
        microseconds = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        seconds[_part_of(event.key, parts)] += microseconds / 1e6
    return seconds


def _part_of(operator: str, parts: Mapping[str, tuple[str, ...]]) -> str:
    for part, beginnings in parts.items():
        if operator.startswith(beginnings):
            return part
    return "all else"


def flops(run: Run) -> int:
    """Count the operations of `run` by PyTorch's counter.

    It counts products of matrices, convolutions and attention, and nothing that goes element by
    element.

    Parameters
    ----------
    run : callable
        The piece of work; it is run once.

    Returns
    -------
    int
        Operations, two per multiply-add.

    References
    ----------
    Notebook 13.
    """
    # PyTorch's counter knows the attention kernels of GPUs; this one is its kernel on CPUs.
    attention_on_cpu = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    more = {attention_on_cpu: _attention_flops}
    with FlopCounterMode(display=False, custom_mapping=more) as counter:
        run()
    return counter.get_total_flops()


def _attention_flops(q: Any, k: Any, v: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """For `FlopCounterMode`, which calls it with shapes in place of tensors."""
    return sdpa_flop(q, k, v)


def closed_form(model: NeuralRecommender, n: int) -> int:
    """Compute on paper what `flops` counts: the operations of one row through the model's layers.

    From the model's sizes and options alone; without its item scores, which take 2 d V more per
    target.

    Parameters
    ----------
    model : NeuralRecommender
        Any of the neural systems; each says its own (`multiply_adds`).
    n : int
        Number of items in the row.

    Returns
    -------
    int
        Operations, two per multiply-add.

    References
    ----------
    Notebook 13.
    """
    return 2 * model.multiply_adds(n)


class _Traffic(TorchDispatchMode):
    """Adds up the bytes of every operator's inputs and outputs; views move nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.n_bytes = 0

    def __torch_dispatch__(
        self,
        operator: Any,
        types: Any,
        args: tuple = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if kwargs is None:
            kwargs = {}
        out = operator(*args, **kwargs)
        if not operator.is_view:
            for leaf in tree_leaves((args, kwargs, out)):
                if isinstance(leaf, Tensor):
                    self.n_bytes += leaf.nbytes
        return out


def traffic(run: Run) -> int:
    """Count the bytes that the operators of `run` read and write.

    Each operator's inputs and outputs count once; a compiled kernel of ours counts with its
    outputs only.

    Parameters
    ----------
    run : callable
        The piece of work; it is run once.

    Returns
    -------
    int
        Bytes.

    References
    ----------
    Notebook 13.
    """
    with _Traffic() as counter:
        run()
    return counter.n_bytes


class _Calls(TorchDispatchMode):
    """Counts the operators that are called, views too."""

    def __init__(self) -> None:
        super().__init__()
        self.n_calls = 0

    def __torch_dispatch__(
        self,
        operator: Any,
        types: Any,
        args: tuple = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if kwargs is None:
            kwargs = {}
        self.n_calls += 1
        return operator(*args, **kwargs)


def calls(run: Run) -> int:
    """Count the operators of PyTorch that `run` calls, backward ones and views too.

    Each call has its price, however small its tensors.

    Parameters
    ----------
    run : callable
        The piece of work; it is run once.

    Returns
    -------
    int
        Calls of operators.

    References
    ----------
    Notebook 13.
    """
    with _Calls() as counter:
        run()
    return counter.n_calls


def machine(
    size: int = 2048, n_bytes: int = 2**28, repeats: int = 7, device: str = "cpu"
) -> dict[str, float]:
    """Measure the two roofs of a machine, in float32.

    Parameters
    ----------
    size : int
        Of the square matrices whose product is timed.
    n_bytes : int
        Bytes that the timed copy moves: half of them read, half written.
    repeats : int
        Turns that both get; the median counts.
    device : str
        Where to measure.

    Returns
    -------
    dict
        "flops": operations per second of the product; "bandwidth": bytes per second of the copy.

    References
    ----------
    Notebook 13.
    """
    a = torch.rand(size, size, device=device)
    product = torch.empty_like(a)
    source = torch.ones(n_bytes // 8, device=device)  # 4 bytes per number, read and written
    target = torch.empty_like(source)

    def multiply() -> None:
        torch.mm(a, a, out=product)

    def copy() -> None:
        target.copy_(source)

    measured = take_turns("", {"product": multiply, "copy": copy}, repeats)
    seconds = dict(zip(measured["name"], measured["seconds"], strict=True))
    return {
        "flops": 2 * size**3 / seconds["product"],
        "bandwidth": n_bytes / seconds["copy"],
    }


def roofline(
    n_flops: float, n_bytes: float, seconds: float, roofs: dict[str, float]
) -> dict[str, float]:
    """Say where a piece of work stands under `machine`'s roofs.

    Parameters
    ----------
    n_flops, n_bytes : float
        Its operations, and the bytes it moves.
    seconds : float
        The time it took.
    roofs : dict
        "flops" and "bandwidth", per second, as `machine` measures them.

    Returns
    -------
    dict
        "intensity" (operations per byte), "flops_per_second", "least_seconds" (the least time it
        could take) and "share_of_roof" (what share of `seconds` that is).

    References
    ----------
    Notebook 13.
    """
    seconds_of_flops = n_flops / roofs["flops"]
    seconds_of_bytes = n_bytes / roofs["bandwidth"]
    least = max(seconds_of_flops, seconds_of_bytes)
    return {
        "intensity": n_flops / n_bytes,
        "flops_per_second": n_flops / seconds,
        "least_seconds": least,
        "share_of_roof": least / seconds,
    }
