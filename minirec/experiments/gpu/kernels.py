"""Stage 4: scan, BD-LRU and loss beside a copy and beside other people's, and what is tuned.

Shapes are [B, N, D]. T targets, V items, d model width.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
import torch

from minirec.devices import choose_device
from minirec.experiments.benchmarks import recblr, scan
from minirec.experiments.benchmarks.losses import benchmark_losses
from minirec.experiments.gpu.job import Job, Row, Task, failures, found_by, not_reached
from minirec.profiling import machine, take_turns

# Training, long and narrow, long and wide, small: the shapes where other scans were faster and
# where they were not.
SCANS: list[scan.Shape] = [
    (2048, 200, 128),
    (64, 200, 128),
    (16, 1024, 128),
    (1, 65_536, 512),
    (2048, 200, 512),
    (2048, 1024, 128),
    (20, 200, 128),
    (16, 65_536, 256),
    (256, 8192, 128),
    (1, 8192, 128),
]
BD_LRUS: list[scan.Shape] = [(2048, 200, 128), (64, 200, 128), (512, 200, 256), (20, 200, 128)]
# Where it is tried how many chunks of time are best, within CUDA graphs and without.
SWEEPS: list[scan.Shape] = [
    (64, 200, 128),
    (20, 200, 128),
    (16, 1024, 128),
    (1, 8192, 128),
    (1, 65_536, 512),
    (16, 8192, 64),
]
CATALOGUES = (3_416, 12_101, 100_000, 1_000_000)
SMALL: scan.Shape = (1, 16, 4)  # of the dry run

# Bytes that must move per element, forward and backward, in float32.
SCAN_BYTES = 4 * scan.PASSES
BD_LRU_BYTES = 56

CALLS = 20  # in one measurement of a single kernel, which is shorter than starting a clock
FEWEST = 16  # positions in a chunk


def run(job: Job) -> None:
    """Measure the copy first, then each kernel at each shape."""
    job.each(tasks_in_miniature() if job.dry_run else tasks())


def tasks() -> dict[str, Task]:
    """Return what is measured on a GPU, by worth."""
    found: dict[str, Task] = {"the machine": measure_machine}
    for shape in SCANS[:4]:
        found[f"scan {list(shape)}"] = partial(measure_scan, shape)
    for shape in BD_LRUS:
        found[f"BD-LRU {list(shape)}"] = partial(measure_bd_lru, shape)
    for n_items in CATALOGUES:
        found[f"loss V = {n_items:,}"] = partial(measure_loss, n_items)
    for shape in SWEEPS:
        found[f"chunks {list(shape)}"] = partial(sweep, shape)
    for shape in SCANS[4:]:
        found[f"scan {list(shape)}"] = partial(measure_scan, shape)
    return found


def tasks_in_miniature() -> dict[str, Task]:
    """Return one task of each kind, small."""
    return {
        "the machine": partial(machine, size=64, n_bytes=2**16, repeats=1),
        f"scan {list(SMALL)}": partial(measure_scan, SMALL, repeats=1),
        f"BD-LRU {list(SMALL)}": partial(measure_bd_lru, SMALL, repeats=1),
        "loss V = 50": partial(measure_loss, 50, n_targets=8, d=4, repeats=1),
        f"chunks {list(SMALL)}": partial(sweep, SMALL, repeats=1),
    }


def measure_machine() -> Row:
    """Measure the product and the copy that everything else is compared with."""
    return machine(size=8192, n_bytes=2**31, repeats=9, device="cuda")


def measure_scan(shape: scan.Shape, repeats: int = 9) -> list[Row]:
    """Measure the scan beside a copy and its peers at one shape."""
    return _rows(scan.benchmark_scan(shapes=[shape], repeats=repeats), shape)


def measure_bd_lru(shape: scan.Shape, repeats: int = 9) -> list[Row]:
    """Measure the fused BD-LRU beside its formula at one shape."""
    return _rows(recblr._operator(shape, repeats), shape)


def _rows(frame: pd.DataFrame, shape: scan.Shape) -> list[Row]:
    """Return a benchmark's rows as findings of one shape, ours first."""
    return [
        {"shape": list(shape), "name": name, "seconds": seconds}
        for name, seconds in zip(frame["name"], frame["seconds"], strict=True)
    ]


def measure_loss(n_items: int, n_targets: int = 2_048, d: int = 128, repeats: int = 5) -> list[Row]:
    """Measure the loss beside plain cross-entropy, its peers and its floor."""
    frame = benchmark_losses([n_items], [d], [n_targets], repeats=repeats)
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def sweep(shape: scan.Shape, repeats: int = 9) -> list[Row]:
    """Measure the scan's kernels alone, cut into ever more chunks of time.

    Parameters
    ----------
    shape : (int, int, int)
        B, N and D.
    repeats : int
        How often each is measured.

    Returns
    -------
    list of dict
        For each number of chunks: milliseconds of forward and backward together, launched one by
        one and, on a GPU, within a CUDA graph.
    """
    from minirec.scan import triton_scan  # without Triton this task fails, and no other

    device = choose_device("auto")
    torch.manual_seed(0)
    a = 0.5 + 0.5 * torch.rand(shape, device=device)
    b = torch.randn(shape, device=device)
    grad = torch.randn(shape, device=device)
    h = triton_scan.scan_forward(a, b, None, n_chunks=1)

    def both_ways(n_chunks: int) -> None:
        triton_scan.scan_forward(a, b, None, n_chunks=n_chunks)
        triton_scan.scan_backward(a, h, None, grad, n_chunks=n_chunks)

    on_gpu = device.type == "cuda"
    n_calls = CALLS if on_gpu else 1
    numbers = chunks_to_try(shape[1])
    ways = {"ms": repeated}
    if on_gpu:
        ways["graph_ms"] = in_graph
    found: list[Row] = [{"shape": list(shape), "chunks": number} for number in numbers]
    for way, wrapped in ways.items():
        runs = {str(number): wrapped(partial(both_ways, number), n_calls) for number in numbers}
        seconds = take_turns("", runs, repeats)["seconds"]
        for row, value in zip(found, seconds, strict=True):
            row[way] = value * 1e3 / n_calls
    return found


def chunks_to_try(n: int) -> list[int]:
    """Return 1, then powers of two from 4 on that leave FEWEST positions in a chunk."""
    powers = [2**exponent for exponent in range(2, 12)]
    return [1, *(power for power in powers if power * FEWEST <= n)]


def repeated(work: Callable[[], Any], n_calls: int) -> Callable[[], None]:
    """Return what does a piece of work n_calls times, one launch after the other."""

    def run_all() -> None:
        for _ in range(n_calls):
            work()

    return run_all


def in_graph(work: Callable[[], Any], n_calls: int) -> Callable[[], None]:
    """Return what replays a CUDA graph of n_calls times a piece of work."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        work()  # compiles, which a capture does not allow
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(n_calls):
            work()
    return graph.replay


# --- The summary ---


def in_words(rows: list[Row]) -> list[str]:
    """Return what failed, and a line for each kind of kernel."""
    lines = failures(rows) + not_reached(rows)
    roofs = found_by(rows, "the machine")
    if roofs:
        bandwidth = roofs[0]["bandwidth"]
        rate = roofs[0]["flops"]
        lines.append(f"copy {bandwidth / 1e12:.3g} TB/s, product {rate / 1e12:.3g} TFLOP/s")
        for what, n_bytes in (("scan", SCAN_BYTES), ("BD-LRU", BD_LRU_BYTES)):
            lines += _beside_the_copy(what, found_by(rows, what), n_bytes / bandwidth)
    lines += _losses(found_by(rows, "loss"))
    lines += _best_chunks(found_by(rows, "chunks"))
    return lines


def _by_task(rows: list[Row]) -> list[list[Row]]:
    """Return the findings of each task together."""
    names = dict.fromkeys(row["task"] for row in rows)
    return [[row for row in rows if row["task"] == name] for name in names]


def _beside_the_copy(what: str, rows: list[Row], seconds_per_element: float) -> list[str]:
    """Return the copy's share of our time at each shape, and where another one is faster."""
    shares = []
    behind = []
    for ours, *others in _by_task(rows):
        shape = "x".join(str(size) for size in ours["shape"])
        n_rows, n, width = ours["shape"]
        floor = n_rows * n * width * seconds_per_element
        shares.append(f"{shape} {floor / ours['seconds']:.2f}")
        for other in others:
            if other["name"] != "copy" and other["seconds"] < ours["seconds"]:
                behind.append(f"{shape} {other['name']} {other['seconds'] / ours['seconds']:.2f}")
    lines = []
    if shares:
        lines.append(f"{what}, floor / ours: {', '.join(shares)}")
    if behind:
        lines.append(f"{what}, faster than ours: {', '.join(behind)}")
    return lines


def _losses(rows: list[Row]) -> list[str]:
    """Return how many times the floor our loss takes, and how it stands to the best other."""
    parts = []
    for of_case in _by_case(rows):
        seconds = {row["name"]: row["seconds"] for row in of_case if row.get("seconds")}
        ours = seconds.pop("ours")
        floor = seconds.pop("floor")
        others = {name: value for name, value in seconds.items() if "floor" not in name}
        part = f"{of_case[0]['case']}: {ours / floor:.1f}"
        if others:
            name = min(others, key=lambda other: others[other])
            part += f" ({name} {others[name] / floor:.1f})"
        parts.append(part)
    return [f"loss, times the floor: {'; '.join(parts)}"] if parts else []


def _by_case(rows: list[Row]) -> list[list[Row]]:
    """Return the findings of each case of a benchmark together."""
    cases = dict.fromkeys(row["case"] for row in rows)
    return [[row for row in rows if row["case"] == case] for case in cases]


def _best_chunks(rows: list[Row]) -> list[str]:
    """Return the best number of chunks at each shape."""
    parts = []
    for of_shape in _by_task(rows):
        way = "graph_ms" if "graph_ms" in of_shape[0] else "ms"
        best = min(of_shape, key=lambda row: row[way])
        shape = "x".join(str(size) for size in best["shape"])
        parts.append(f"{shape} {best['chunks']} ({best[way]:.3g} ms)")
    return [f"best chunks: {', '.join(parts)}"] if parts else []
