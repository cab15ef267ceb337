"""What a piece of work costs: its time, memory, operations and bytes, and the least time that this machine could do it in (notebook 13).

B rows, N positions, d model width, L layers, V items. One multiply-add is two operations (FLOPs).
"""

import contextlib
import ctypes
import json
import os
import tempfile
import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler need not announce itself on stderr

MULTIPLY_ADDS = {  # of one position of a row of N through the layers, by name: from d, N and the model's options; the item scores take d V more a target
    "gru4rec": lambda d, n, o: 20 * d**2,
    "glint-ru": lambda d, n, o: (
        (18 + 2 * o["kernel_size"]) * d**2 + 2 * d * d // (o["n_heads"] or 8)
    ),
    "recblr": lambda d, n, o: o["n_layers"] * (22 * d**2 + 2 * d * o["kernel_size"]),
    "sasrec": lambda d, n, o: o["n_layers"] * (12 * d**2 + 2 * n * d),
    "bert4rec": lambda d, n, o: o["n_layers"] * (12 * d**2 + 2 * n * d) + d**2,
    "linrec": lambda d, n, o: o["n_layers"] * (12 * d**2 + 2 * d * d // o["n_heads"]),
    "smlp4rec": lambda d, n, o: o["n_layers"] * (6 * d**2 + 6 * o["max_len"] * d),
    "mamba4rec": lambda d, n, o: (
        o["n_layers"]
        * (14 * d**2 + 2 * d * (2 * -(-d // 16) + 3 * o["d_state"] + o["kernel_size"]))
    ),
    "lrurec": lambda d, n, o: o["n_layers"] * 16 * d**2,
}


def keep_memory() -> None:
    """Asks the C library to keep freed memory, as a long training run comes to do: getting it anew costs more than a scan. Only glibc knows how."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
        mallopt(
            -3, 2**25
        )  # M_MMAP_THRESHOLD, the most it takes; larger blocks are given back at once


def take_turns(
    case: str, runs: dict[str, Callable], repeats: int, times: dict[str, float] | None = None
) -> pd.DataFrame:
    """Warm runs that take turns, so that whatever else the machine does falls on all alike; on a GPU its own clock counts.

    Columns case, name, seconds (median), low and high (quartiles), ratio (to the first run's). times: how many such runs a whole takes, where a
    sample is measured.
    """
    for run in runs.values():
        run()
    seconds = np.array([[_seconds(run) for run in runs.values()] for _ in range(repeats)]) * [
        (times or {}).get(name, 1) for name in runs
    ]
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


def _seconds(run: Callable) -> float:
    if not torch.cuda.is_available():
        begin = time.perf_counter()
        run()
        return time.perf_counter() - begin
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3


def peak_memory(run: Callable) -> float:
    """MiB that `run` needs at most at one time, beside what was there before: on a GPU by its allocator, else by PyTorch's profiler."""
    run()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        run()
    with tempfile.TemporaryDirectory() as folder:
        trace.export_chrome_trace(str(Path(folder) / "trace.json"))
        events = json.loads((Path(folder) / "trace.json").read_text())["traceEvents"]
    events = sorted(
        (event for event in events if event.get("name") == "[memory]"),
        key=lambda event: event["ts"],
    )
    return max(accumulate((event["args"]["Bytes"] for event in events), initial=0)) / 2**20


def operator_seconds(run: Callable, parts: dict[str, tuple[str, ...]]) -> dict[str, float]:
    """Seconds of a warm `run` by the kind of operator: each part's by the beginnings of its operators' names, and "all else"; on a GPU, the GPU's."""
    run()
    on_gpu = torch.cuda.is_available()
    with profile(activities=[ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu) as trace:
        run()
    seconds = dict.fromkeys([*parts, "all else"], 0.0)
    for event in trace.key_averages():
        part = next(
            (part for part, names in parts.items() if event.key.startswith(names)), "all else"
        )
        seconds[part] += (
            event.self_device_time_total if on_gpu else event.self_cpu_time_total
        ) / 1e6
    return seconds


def flops(run: Callable) -> int:
    """Operations of `run` by PyTorch's counter: products of matrices, convolutions and attention, nothing that goes element by element."""
    on_cpu = {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, out_shape=None, **__: (
            sdpa_flop(q, k, v)
        )
    }
    with FlopCounterMode(display=False, custom_mapping=on_cpu) as counter:
        run()
    return counter.get_total_flops()


def closed_form(model, n: int) -> int:
    """Operations of one row of n items through `model` as written, without its item scores: what `flops` counts, from d, n and the options alone."""
    n = model.max_len if model.name == "smlp4rec" else n  # it fills every row up
    return 2 * n * MULTIPLY_ADDS[model.name](model.d_model, n, model.options)


class _Traffic(TorchDispatchMode):
    n_bytes = 0

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        out = operator(*args, **(kwargs or {}))
        if not operator.is_view:
            self.n_bytes += sum(
                leaf.nbytes for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)
            )
        return out


def traffic(run: Callable) -> int:
    """Bytes that the operators of `run` read and write, each its inputs and outputs once; a compiled kernel of ours counts with its outputs only."""
    with _Traffic() as counter:
        run()
    return counter.n_bytes


class _Calls(TorchDispatchMode):
    n_calls = 0

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        self.n_calls += 1
        return operator(*args, **(kwargs or {}))


def calls(run: Callable) -> int:
    """How many operators of PyTorch `run` calls, backward ones and views too; each has its price, however small its tensors."""
    with _Calls() as counter:
        run()
    return counter.n_calls


def machine(
    size: int = 2048, n_bytes: int = 2**28, repeats: int = 7, device: str = "cpu"
) -> dict[str, float]:
    """The two roofs, measured in float32: "flops", operations a second of a product of size x size; "bandwidth", bytes a second of a copy of n_bytes."""
    a, source = torch.rand(size, size, device=device), torch.ones(n_bytes // 8, device=device)
    out, target = torch.empty_like(a), torch.empty_like(source)
    frame = take_turns(
        "",
        {"product": lambda: torch.mm(a, a, out=out), "copy": lambda: target.copy_(source)},
        repeats,
    )
    return {"flops": 2 * size**3 / frame["seconds"][0], "bandwidth": n_bytes / frame["seconds"][1]}


def roofline(
    n_flops: float, n_bytes: float, seconds: float, roofs: dict[str, float]
) -> dict[str, float]:
    """Where work stands under `machine`'s roofs: its intensity (operations a byte), the least seconds it could take, and what share of them `seconds` is."""
    least = max(n_flops / roofs["flops"], n_bytes / roofs["bandwidth"])
    return {
        "intensity": n_flops / n_bytes,
        "flops_per_second": n_flops / seconds,
        "least_seconds": least,
        "share_of_roof": least / seconds,
    }
