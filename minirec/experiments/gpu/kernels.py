"""Stage 4: scan, BD-LRU and loss beside a copy and beside other people's, and what is tuned.

Shapes are [B, N, D]. T targets, V items, d model width.
"""

from functools import partial

import pandas as pd
import torch

from minirec.experiments.benchmarks import kernels as bare
from minirec.experiments.benchmarks import recblr, scan
from minirec.experiments.benchmarks.losses import benchmark_losses
from minirec.experiments.gpu.job import Job, Row, Task, failures, found_by, not_reached
from minirec.profiling import machine

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
CATALOGUES = (3_416, 12_101, 100_000, 1_000_000)
SMALL: scan.Shape = (1, 4, 2)  # of the dry run

# Bytes that must move per element, forward and backward, in float32.
SCAN_BYTES = 4 * scan.PASSES
BD_LRU_BYTES = 56


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
    for dtype in (torch.float32, torch.bfloat16):
        for shape in bare.SHAPES:
            name = f"variants {list(shape)} {str(dtype).removeprefix('torch.')}"
            found[name] = partial(measure_variants, shape, dtype)
    for shape in bare.CHUNKED:
        found[f"chunks {list(shape)}"] = partial(measure_chunks, shape)
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
        f"variants {list(SMALL)}": partial(measure_variants, SMALL, torch.float32, repeats=1),
        f"chunks {list(SMALL)}": partial(measure_chunks, SMALL, repeats=1),
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


def measure_chunks(shape: scan.Shape, repeats: int = 9) -> list[Row]:
    """Measure the scan's kernels within a CUDA graph, cut into ever more chunks of time."""
    frame = bare.sweep_chunks([shape], repeats)
    return [
        {"shape": list(shape), "chunks": row["chunks"], "ms": _both_ways_ms(row)}
        for row in frame.to_dict("records")
    ]


def measure_variants(shape: scan.Shape, dtype: torch.dtype, repeats: int = 9) -> list[Row]:
    """Measure the scan and the BD-LRU with other settings than those in use, which come first."""
    frame = bare.benchmark_variants([shape], [dtype], repeats)
    return [
        {
            "shape": list(shape),
            "dtype": row["dtype"],
            "operation": row["operation"],
            "variant": row["variant"],
            "ms": _both_ways_ms(row),
            "bytes_per_second": row["bytes_per_second"],
            "ratio": row["ratio"],
        }
        for row in frame.to_dict("records")
    ]


def _both_ways_ms(row: Row) -> float:
    return (row["forward"] + row["backward"]) * 1e3


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
    lines += _best_variants(found_by(rows, "variants"))
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


def _best_variants(rows: list[Row]) -> list[str]:
    """Return where another variant is faster than the one in use, and by how much."""
    parts = []
    for of_task in _by_task(rows):
        for operation in dict.fromkeys(row["operation"] for row in of_task):
            tried = [row for row in of_task if row["operation"] == operation]
            best = min(tried, key=lambda row: row["ms"])
            shape = "x".join(str(size) for size in best["shape"])
            parts.append(f"{operation} {shape} {best['variant']} ({best['ratio']:.2f})")
    return [f"best variants, beside those in use: {'; '.join(parts)}"] if parts else []


def _best_chunks(rows: list[Row]) -> list[str]:
    """Return the best number of chunks at each shape."""
    parts = []
    for of_shape in _by_task(rows):
        best = min(of_shape, key=lambda row: row["ms"])
        shape = "x".join(str(size) for size in best["shape"])
        parts.append(f"{shape} {best['chunks']} ({best['ms']:.3g} ms)")
    return [f"best chunks: {', '.join(parts)}"] if parts else []
