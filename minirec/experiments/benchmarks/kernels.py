"""Variants of the Triton kernels, and chunks of time, timed on a GPU (notebook 12).

The bare kernels, without autograd. On a GPU each run is captured as a CUDA graph and replayed, so
the host's launches do not count. On a CPU, in Triton's interpreter, everything runs, but the times
mean nothing.

    B, N, D    rows, positions, channels
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

import pandas as pd
import torch
from torch import Tensor

from minirec.scan.chunking import best_of
from minirec.scan.recurrence import kernels

Shape = tuple[int, int, int]
Run = Callable[[], object]

SCAN = "scan"
BD_LRU = "bd_lru"
SHAPES: list[Shape] = [(2048, 200, 128), (64, 200, 128), (20, 200, 128)]
CHUNKED: list[Shape] = [  # too few lanes to fill a GPU, or nearly
    (20, 200, 128),
    (64, 200, 128),
    (16, 1024, 128),
    (256, 1024, 64),
    (16, 8192, 64),
    (1, 8192, 128),
    (1, 65_536, 512),
]

# Bytes that must move in float32, forward and backward, per element: the scan reads a and b, a, h
# and a gradient, and writes h and two gradients; the BD-LRU reads and writes as in notebook 11,
# the states that only its own way back reads left out.
BYTES = {SCAN: 32, BD_LRU: 56}


@dataclass(frozen=True)
class Variant:
    """A kernel with other settings.

    Attributes
    ----------
    operation : {"scan", "bd_lru"}
        What it computes.
    name : str
        The settings in words.
    settings : tuple of (str, int)
        Names and values of constants in triton_scan or triton_bd_lru.
    """

    operation: str
    name: str
    settings: tuple[tuple[str, int], ...]


def variants() -> list[Variant]:
    """List the variants worth timing, for each operation those in use first.

    Returns
    -------
    list of Variant
        By lanes of a program, warps that share them, positions in a tile forward and backward,
        and, for the BD-LRU, whether the walk backwards reads a tile ahead.
    """
    # Without a measurement on paper only: what needs no more than 255 registers of a thread.
    scan = [
        (64, 1, 16, 8),
        (64, 1, 8, 8),
        (64, 1, 8, 4),
        (128, 1, 8, 4),
        (128, 2, 16, 8),
        (32, 1, 16, 8),
        (32, 1, 32, 16),
    ]
    bd_lru = [
        (64, 1, 8, 4, False),
        (64, 1, 4, 2, False),
        (64, 1, 4, 2, True),
        (64, 1, 8, 4, True),
        (128, 1, 4, 2, False),
        (128, 1, 4, 2, True),
        (128, 2, 8, 4, False),
        (32, 1, 8, 8, False),
        (32, 1, 8, 4, True),
    ]
    found = [_variant(SCAN, *values) for values in scan]
    found += [_variant(BD_LRU, *values) for values in bd_lru]
    return found


def _variant(
    operation: str, block: int, warps: int, unroll: int, back: int, ahead: bool | None = None
) -> Variant:
    name = f"{block} lanes, {warps} warps, tiles of {unroll} and {back}"
    settings = [("BLOCK", block), ("WARPS", warps), ("UNROLL", unroll), ("UNROLL_BACK", back)]
    if ahead is not None:
        settings.append(("PREFETCH_BACK", ahead))
        name += ", ahead both ways" if ahead else ", ahead forward"
    return Variant(operation, name, tuple(settings))


@contextmanager
def in_force(variant: Variant) -> Iterator[None]:
    """Run the kernels with a variant's settings.

    Parameters
    ----------
    variant : Variant
        One of `variants`.
    """
    module = _module(variant.operation)
    before = [(name, getattr(module, name)) for name, _ in variant.settings]
    for name, value in variant.settings:
        setattr(module, name, value)
    try:
        yield
    finally:
        for name, value in before:
            setattr(module, name, value)


def _module(operation: str) -> ModuleType:
    """Import the Triton kernels of an operation; RuntimeError where there are none to run."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    scan = kernels("triton", device)
    if operation == SCAN:
        return scan
    from minirec.scan import triton_bd_lru

    return triton_bd_lru


def benchmark_variants(
    shapes: Sequence[Shape] = SHAPES,
    dtypes: Sequence[torch.dtype] = (torch.float32, torch.bfloat16),
    repeats: int = 9,
) -> pd.DataFrame:
    """Time every variant at every shape, forward and backward.

    Parameters
    ----------
    shapes : sequence of (int, int, int)
        B, N and D.
    dtypes : sequence of torch.dtype
        Of the tensors.
    repeats : int
        How often each is timed; the median counts.

    Returns
    -------
    DataFrame
        operation, shape, dtype, variant; seconds forward and backward; bytes that both must move
        at least, and bytes_per_second; what a variant costs beside the one in use (ratio), both
        ways.

    Raises
    ------
    RuntimeError
        Where Triton's kernels cannot run, or a variant does not agree with the one in use.
    """
    rows = []
    for shape in shapes:
        for dtype in dtypes:
            for operation in (SCAN, BD_LRU):
                rows += _time_variants(operation, shape, dtype, repeats)
    return pd.DataFrame(rows)


def _time_variants(operation: str, shape: Shape, dtype: torch.dtype, repeats: int) -> list[dict]:
    """Time the variants of one operation at one shape."""
    B, N, D = shape
    forward, backward = runs_of(operation, shape, dtype)
    least = BYTES[operation] * B * N * D * dtype.itemsize // 4
    exact: list[Tensor] = []
    rows: list[dict] = []
    for variant in variants():
        if variant.operation != operation:
            continue
        with in_force(variant):
            found = [*forward(), *backward()]
            seconds_forward = device_seconds(forward, repeats)
            seconds_backward = device_seconds(backward, repeats)
        exact = exact or found
        for ours, theirs in zip(exact, found, strict=True):
            if (ours.double() - theirs.double()).norm() > dtype_error(dtype) * ours.norm():
                raise RuntimeError(f"{operation}, {variant.name}: disagrees at {list(shape)}.")
        both = seconds_forward + seconds_backward
        first = rows[0]["forward"] + rows[0]["backward"] if rows else both
        rows.append(
            {
                "operation": operation,
                "shape": list(shape),
                "dtype": str(dtype),
                "variant": variant.name,
                "forward": seconds_forward,
                "backward": seconds_backward,
                "bytes": least,
                "bytes_per_second": least / both,
                "ratio": both / first,
            }
        )
    return rows


def dtype_error(dtype: torch.dtype) -> float:
    """Bound how far two variants may be apart, relative to the norm: roundings of a few numbers."""
    return 8 * torch.finfo(dtype).eps


def runs_of(
    operation: str, shape: Shape, dtype: torch.dtype
) -> tuple[Callable[[], Sequence[Tensor]], Callable[[], Sequence[Tensor]]]:
    """Prepare an operation's inputs, laid out as in the layers.

    Parameters
    ----------
    operation : {"scan", "bd_lru"}
        What to run.
    shape : (int, int, int)
        B, N and D.
    dtype : torch.dtype
        Of the tensors.

    Returns
    -------
    forward, backward : callable
        Each runs the bare kernel and returns its results.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator = torch.Generator(device).manual_seed(0)

    def draw(*size: int, kind: torch.dtype = dtype) -> Tensor:
        return torch.randn(size, generator=generator, device=device).to(kind)

    B, N, D = shape
    module = _module(operation)
    grad = draw(*shape)
    if operation == SCAN:
        a = draw(*shape).sigmoid()
        b = draw(*shape)
        h = module.scan_forward(a, b)
        return (
            lambda: (module.scan_forward(a, b),),
            lambda: module.scan_backward(a, h, None, grad)[:2],
        )

    gates = draw(B, N, 2 * D)
    x = draw(*shape)
    z = draw(B, N, 2 * D)[..., D:]  # the right half of a wider tensor
    decay = torch.linspace(0.001, 0.1, D, device=device)
    _, h = module.bd_lru_forward(gates, x, z, decay)
    return (
        lambda: module.bd_lru_forward(gates, x, z, decay),
        lambda: module.bd_lru_backward(gates, x, z, decay, None, h, grad)[:4],
    )


def sweep_chunks(
    shapes: Sequence[Shape] = CHUNKED, repeats: int = 9, most: int = 2048
) -> pd.DataFrame:
    """Time the scan in float32 with 1, 2, 4, ... chunks of time.

    Parameters
    ----------
    shapes : sequence of (int, int, int)
        B, N and D.
    repeats : int
        How often each is timed; the median counts.
    most : int
        Chunks at most; a chunk has 16 positions at least.

    Returns
    -------
    DataFrame
        B, N, D, chunks; seconds forward and backward.
    """
    module = _module(SCAN)
    rows = []
    for shape in shapes:
        most_here = min(most, shape[1] // 16)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        a = torch.rand(shape, device=device)
        b = torch.rand(shape, device=device)
        h = module.scan_forward(a, b)
        n_chunks = 1
        while n_chunks <= max(1, most_here):

            def forward(n_chunks: int = n_chunks, a: Tensor = a, b: Tensor = b) -> object:
                return module.scan_forward(a, b, n_chunks=n_chunks)

            def backward(
                n_chunks: int = n_chunks, a: Tensor = a, b: Tensor = b, h: Tensor = h
            ) -> object:
                return module.scan_backward(a, h, None, b, n_chunks=n_chunks)

            seconds = (device_seconds(forward, repeats), device_seconds(backward, repeats))
            rows.append((*shape, n_chunks, *seconds))
            n_chunks *= 2
    return pd.DataFrame(rows, columns=["B", "N", "D", "chunks", "forward", "backward"])


def best_chunks(swept: pd.DataFrame) -> dict[Shape, int]:
    """Find the best number of chunks of each shape: a table for `minirec.scan.chunking.chunking`.

    Parameters
    ----------
    swept : DataFrame
        What `sweep_chunks` returned.

    Returns
    -------
    dict
        From (B, N, D) to a number of chunks.
    """
    measured = []
    for row in swept.to_dict("records"):
        shape = (int(row["B"]), int(row["N"]), int(row["D"]))
        measured.append((shape, int(row["chunks"]), row["forward"] + row["backward"]))
    return best_of(measured)


def device_seconds(run: Run, repeats: int = 9, per_replay: int = 10) -> float:
    """Measure how long the device works on a warm run, the median of several.

    Parameters
    ----------
    run : callable
        The piece of work. On a GPU it is captured as a CUDA graph, `per_replay` times in a row, so
        that the host does not count; on a CPU it is the time on the clock.
    repeats : int
        How often it is measured.
    per_replay : int
        Runs in a graph.

    Returns
    -------
    float
        Seconds of one run.
    """
    run()
    if not torch.cuda.is_available():
        return statistics.median(_seconds_on_the_clock(run) for _ in range(repeats))

    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(per_replay):
            run()
    graph.replay()
    begin = torch.cuda.Event(enable_timing=True)
    end = torch.cuda.Event(enable_timing=True)
    milliseconds = []
    for _ in range(repeats):
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        milliseconds.append(begin.elapsed_time(end))
    return statistics.median(milliseconds) / per_replay / 1e3


def _seconds_on_the_clock(run: Run) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin
