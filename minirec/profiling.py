"""What a piece of work costs, and the least time that this machine could do it in (notebook 15).

Its time, memory, operations and bytes. One multiply-add is two operations (FLOPs).

Work on the CPU and work on a GPU are told apart by what the work does, not by what the machine has:
a small model on the CPU is measured rightly on a machine with a GPU too.

B rows, N positions.
"""

import contextlib
import ctypes
import json
import math
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.autograd import DeviceType
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop, sdpa_flop

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


@contextlib.contextmanager
def cpu_threads(n: int) -> Iterator[None]:
    """Let PyTorch compute on n threads of the CPU, and afterwards on as many as before.

    with cpu_threads(1): measures what one core does, whatever the machine has.

    Parameters
    ----------
    n : int
        Number of threads, at least 1.

    Yields
    ------
    None
        Nothing; the number holds inside the block.

    Raises
    ------
    ValueError
        If n is below 1.

    References
    ----------
    Notebook 05.
    """
    if n < 1:
        raise ValueError(f"n, the number of threads, must be at least 1; got {n}.")
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def take_turns(
    case: str,
    runs: Mapping[str, Run],
    repeats: int,
    times: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Time warm runs that take turns.

    So whatever else the machine does falls on all alike. A run is over when its work is done: one
    that uses a GPU is waited for.

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
    Notebook 15.
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


def synchronize() -> None:
    """Wait until a GPU has done what it was given; nothing where this process uses none.

    Before a clock is read: a call only hands work to the GPU and returns.
    """
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def activities() -> list[ProfilerActivity]:
    """List what PyTorch's profiler is to watch on this machine: the CPU, and a GPU if there is one.

    Returns
    -------
    list of ProfilerActivity
        For `torch.profiler.profile`.
    """
    watched = [ProfilerActivity.CPU]
    if torch.cuda.is_available():
        watched.append(ProfilerActivity.CUDA)
    return watched


def _seconds(run: Run) -> float:
    """Time one run, until the GPU is done with its part if it has one."""
    synchronize()
    started = time.perf_counter()
    run()
    synchronize()
    return time.perf_counter() - started


def peak_memory(run: Run, device: str | torch.device | None = None) -> float:
    """Measure the memory that `run` needs at most at one time, beside what was there before.

    On a GPU its allocator tells, on the CPU PyTorch's profiler.

    Parameters
    ----------
    run : callable
        The piece of work; it is run twice, once to warm up.
    device : str or torch.device, optional
        Whose memory; unless given, the GPU's if the work takes memory there, else the CPU's.

    Returns
    -------
    float
        MiB.

    References
    ----------
    Notebook 15.
    """
    on_gpu = _takes_memory_on_gpu(run)  # the warm run
    if device is None:
        device = "cuda" if on_gpu else "cpu"
    device = torch.device(device)

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        run()
    # The memory held is the running sum of what was allocated (positive) and freed (negative).
    held = accumulate(_allocations(trace), initial=0)
    return max(held) / 2**20


def _takes_memory_on_gpu(run: Run) -> bool:
    """Run the work; return whether it held memory of the current GPU that was free before."""
    if not torch.cuda.is_initialized():
        run()
        # What uses a GPU for the first time here finds it without anything.
        return torch.cuda.is_initialized() and torch.cuda.max_memory_allocated() > 0
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    return torch.cuda.max_memory_allocated() > before


def _allocations(trace: profile) -> list[int]:
    """List the CPU's allocations (positive) and releases (negative) in bytes, in order of time."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        trace.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    of_memory = [event for event in events if event.get("name") == "[memory]"]
    of_memory.sort(key=lambda event: event["ts"])
    changes = []
    for event in of_memory:
        details = event["args"]
        # A GPU's are listed too, under the number of its kind of device.
        if details["Device Type"] == DeviceType.CPU.value:
            changes.append(details["Bytes"])
    return changes


def operator_seconds(
    run: Run, parts: Mapping[str, tuple[str, ...]], device: str | torch.device | None = None
) -> dict[str, float]:
    """Measure the seconds of a warm `run` by the kind of operator.

    On a GPU a kernel counts for the operator that launched it. One that no operator launched (in a
    CUDA graph, for example) counts by its own name.

    Parameters
    ----------
    run : callable
        The piece of work; it is run twice, once to warm up.
    parts : mapping
        For each part, the beginnings of its operators' names. An operator counts for the first
        part that fits it.
    device : str or torch.device, optional
        Whose seconds; unless given, the GPU's if the work runs anything there, else the CPU's.

    Returns
    -------
    dict
        Seconds of each part, and of "all else". They add up to the time that the device worked:
        on a GPU that of all its kernels and copies, on the CPU that of all operators.

    References
    ----------
    Notebook 15.
    """
    run()
    synchronize()
    # A GPU that the warm run did not need is left alone: to wake it takes seconds.
    uses_gpu = torch.cuda.is_initialized()
    with profile(activities=activities() if uses_gpu else [ProfilerActivity.CPU]) as trace:
        run()

    # What a GPU did is in the list beside the operators that the CPU called.
    events = trace.events()
    if device is None:
        on_gpu = any(_is_gpu_work(event) for event in events)
    else:
        on_gpu = torch.device(device).type == "cuda"

    microseconds = _gpu_times(events) if on_gpu else _cpu_times(events)
    seconds = dict.fromkeys([*parts, "all else"], 0.0)
    for name, taken in microseconds:
        seconds[_part_of(name, parts)] += taken / 1e6
    return seconds


def _cpu_times(events: Iterable[FunctionEvent]) -> list[tuple[str, float]]:
    """List every operator's name and its own microseconds on the CPU, without its children's."""
    return [(event.name, event.self_cpu_time_total) for event in events]


def _gpu_times(events: Sequence[FunctionEvent]) -> list[tuple[str, float]]:
    """List names and microseconds that add up to the GPU's time, each kernel counted once.

    The profiler tells a kernel's time up to three times: with the operator that launched it, as the
    kernel's own row, and within every annotation (`record_function`) that was open.
    """
    times = []
    launched: dict[str, float] = defaultdict(float)  # microseconds by kernel, of those in `times`
    for event in events:
        if event.device_type == DeviceType.CPU and not event.is_user_annotation:
            for kernel in event.kernels:
                times.append((event.name, kernel.duration))
                launched[kernel.name] += kernel.duration

    rows: dict[str, float] = defaultdict(float)  # microseconds by kernel, of all
    for event in events:
        if _is_gpu_work(event):
            rows[event.name] += event.time_range.elapsed_us()
    for name, taken in rows.items():
        times.append((name, max(0.0, taken - launched[name])))
    return times


def _is_gpu_work(event: FunctionEvent) -> bool:
    """Return whether the event is a GPU's kernel or copy; annotations are drawn there as well."""
    return event.device_type == DeviceType.CUDA and not event.is_user_annotation


def _part_of(operator: str, parts: Mapping[str, tuple[str, ...]]) -> str:
    for part, beginnings in parts.items():
        if operator.startswith(beginnings):
            return part
    return "all else"


def flops(run: Run) -> int:
    """Count the operations of `run` by PyTorch's counter.

    It counts products of matrices, convolutions, attention and recurrent layers, on the CPU and on
    a GPU, and nothing that goes element by element.

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
    Notebook 15.
    """
    with FlopCounterMode(display=False, custom_mapping=FLOP_FORMULAS) as counter:
        run()
    return counter.get_total_flops()


def _attention_flops(q: Any, k: Any, v: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """Count what softmax attention takes forward. q, k, v: shapes."""
    return sdpa_flop(q, k, v)


def _attention_backward_flops(
    grad: Any, q: Any, k: Any, v: Any, *_: Any, out_shape: Any = None, **__: Any
) -> int:
    """Count what softmax attention takes backward. grad, q, k, v: shapes."""
    return sdpa_backward_flop(grad, q, k, v)


def _rnn_flops(
    x: Sequence[int],
    weights: Sequence[Sequence[int]],
    *_: Any,
    out_shape: Any = None,
    **__: Any,
) -> int:
    """Count what cuDNN's recurrent layers take forward.

    Every matrix meets every position once, whatever the cell, the layers and the directions.
    x: [B, N, d], [N, B, d] or packed [positions, d]; weights: shapes of matrices and biases.
    """
    positions = math.prod(x[:-1])
    in_matrices = sum(math.prod(shape) for shape in weights if len(shape) == 2)
    return 2 * positions * in_matrices


def _rnn_backward_flops(
    x: Sequence[int],
    weights: Sequence[Sequence[int]],
    *others: Any,
    out_shape: Any = None,
    **__: Any,
) -> int:
    """Count what cuDNN's recurrent layers take backward.

    As much as forward for the gradients of inputs and states, which cuDNN always computes, and as
    much again for those of the weights, which are asked for or not.
    """
    *_, output_mask = others
    asks_for_weights = output_mask[3]
    return (1 + asks_for_weights) * _rnn_flops(x, weights)


# What PyTorch's counter does not know by itself: the kernel of attention on CPUs (it knows those of
# GPUs), and cuDNN's recurrent layers, which are one operator on a GPU where a CPU runs the products
# of every step. Formulas take shapes in place of tensors.
FLOP_FORMULAS: dict[Any, Callable[..., int]] = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_flops,
    torch.ops.aten._cudnn_rnn: _rnn_flops,
    torch.ops.aten._cudnn_rnn_backward: _rnn_backward_flops,
}


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
    Notebook 15.
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

    Each operator's inputs and outputs count once, those of the compiled scans too.

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
    Notebook 15.
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
    Notebook 15.
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
    Notebook 15.
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
    Notebook 15.
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
