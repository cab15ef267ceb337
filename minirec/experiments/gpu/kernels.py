"""Stage 4: scan, BD-LRU and loss beside a copy and beside other people's, and what is tuned.

Shapes are [B, N, D].
"""

from functools import partial

import pandas as pd

from minirec.experiments.benchmarks import recblr, scan
from minirec.experiments.gpu.job import Job, Row, Task, failures, found_by, not_reached
from minirec.profiling import machine

# Training, long and narrow, long and wide, small: the shapes where other scans were faster and
# where they were not.
SCANS: list[scan.Shape] = [
    (2048, 200, 128),
    (64, 200, 128),
    (16, 1024, 128),
    (1, 8192, 128),
    (1, 65_536, 512),
    (2048, 200, 512),
    (2048, 1024, 128),
    (16, 65_536, 256),
    (256, 8192, 128),
    (20, 200, 128),
]
BD_LRUS: list[scan.Shape] = [(2048, 200, 128), (64, 200, 128), (512, 200, 256), (20, 200, 128)]
SCANS_DRY: list[scan.Shape] = [(2, 9, 4)]

# Bytes that must move per element, forward and backward, in float32.
SCAN_BYTES = 4 * scan.PASSES
BD_LRU_BYTES = 56


def run(job: Job) -> None:
    """Measure the copy first, then each kernel at each shape."""
    dry = job.dry_run
    repeats = 1 if dry else 9
    tasks: dict[str, Task] = {"the machine": partial(measure_machine, dry)}
    for shape in SCANS_DRY if dry else SCANS[:5]:
        tasks[f"scan {list(shape)}"] = partial(measure_scan, shape, repeats)
    for shape in SCANS_DRY if dry else BD_LRUS:
        tasks[f"BD-LRU {list(shape)}"] = partial(measure_bd_lru, shape, repeats)
    for shape in [] if dry else SCANS[5:]:
        tasks[f"scan {list(shape)}"] = partial(measure_scan, shape, repeats)
    job.each(tasks)


def measure_machine(small: bool) -> Row:
    """Measure the product and the copy that everything else is compared with."""
    if small:
        return machine(size=64, n_bytes=2**16, repeats=1)
    return machine(size=8192, n_bytes=2**31, repeats=9, device="cuda")


def measure_scan(shape: scan.Shape, repeats: int) -> list[Row]:
    """Measure the scan beside a copy and its peers at one shape."""
    return _rows(scan.benchmark_scan(shapes=[shape], repeats=repeats), shape)


def measure_bd_lru(shape: scan.Shape, repeats: int) -> list[Row]:
    """Measure the fused BD-LRU beside its formula at one shape."""
    return _rows(recblr._operator(shape, repeats), shape)


def _rows(frame: pd.DataFrame, shape: scan.Shape) -> list[Row]:
    """Return a benchmark's rows as findings of one shape."""
    rows = frame.drop(columns=["case", "low", "high"]).to_dict("records")
    return [
        {"shape": list(shape), **{str(key): value for key, value in row.items()}} for row in rows
    ]


def in_words(rows: list[Row]) -> list[str]:
    """Return what failed, and a line for each shape: ours, its share of the copy, the best peer."""
    lines = failures(rows) + not_reached(rows)
    roofs = found_by(rows, "the machine")
    if not roofs:
        return lines
    bandwidth = roofs[0]["bandwidth"]
    tera = f"copy {bandwidth / 1e12:.2f} TB/s, product {roofs[0]['flops'] / 1e12:.1f} TFLOP/s"
    lines.append(tera)
    for what, n_bytes in (("scan", SCAN_BYTES), ("BD-LRU", BD_LRU_BYTES)):
        found = found_by(rows, what)
        for task in dict.fromkeys(row["task"] for row in found):
            at_shape = [row for row in found if row["task"] == task]
            lines.append(_beside(task, at_shape, n_bytes / bandwidth))
    return lines


def _beside(task: str, rows: list[Row], seconds_per_element: float) -> str:
    """Return one line: our milliseconds, the floor's share of them, and the fastest other."""
    ours, *others = rows
    n_rows, n, width = ours["shape"]
    floor = n_rows * n * width * seconds_per_element
    line = f"{task}: {ours['seconds'] * 1e3:.2f} ms, floor {floor / ours['seconds']:.0%} of it"
    peers = [row for row in others if row["name"] != "copy"]
    if peers:
        best = min(peers, key=lambda row: row["seconds"])
        line += f"; {best['name']} {best['seconds'] / ours['seconds']:.2f} times as long"
    return line
