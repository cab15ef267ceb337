"""What is measured, beside which peers.

Each benchmark returns a frame: what ran, and its median in seconds (or its memory in MiB) beside
others. Where there is a GPU they run on it, but for those that have nothing to do there; hide it
(CUDA_VISIBLE_DEVICES="") to measure the CPU.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
import torch

from minirec.devices import choose_device
from minirec.experiments.benchmarks.glint_ru import benchmark_glint_ru
from minirec.experiments.benchmarks.glint_ru_variants import benchmark_glint_ru_variants
from minirec.experiments.benchmarks.loading import benchmark_loading
from minirec.experiments.benchmarks.losses import benchmark_losses
from minirec.experiments.benchmarks.recblr import benchmark_recblr
from minirec.experiments.benchmarks.recblr_scans import benchmark_recblr_scans
from minirec.experiments.benchmarks.scan import benchmark_scan
from minirec.experiments.benchmarks.systems import (
    benchmark_inference,
    benchmark_length,
    benchmark_memory,
    benchmark_train,
)
from minirec.experiments.records import device_in_words

# By the name that the command line knows. Each runs without arguments; smaller when asked to.
BENCHMARKS: dict[str, Callable[..., pd.DataFrame]] = {
    "loading": benchmark_loading,
    "glint-ru": benchmark_glint_ru,
    "glint-ru-variants": benchmark_glint_ru_variants,
    "scan": benchmark_scan,
    "losses": benchmark_losses,
    "recblr": benchmark_recblr,
    "recblr-scans": benchmark_recblr_scans,
    "train": benchmark_train,
    "train-video-games": partial(benchmark_train, sizes={"video-games": (64, 100)}),
    "inference": benchmark_inference,
    "memory": benchmark_memory,
    "length": benchmark_length,
}
ON_CPU_ONLY = ("loading",)


def measure(name: str, **options: Any) -> pd.DataFrame:
    """Run a benchmark; say in every row on which device.

    Parameters
    ----------
    name : str
        One of BENCHMARKS.
    **options
        Arguments of the benchmark.

    Returns
    -------
    DataFrame
        What the benchmark returns, behind a column "device": the name of the GPU, or the CPU's and
        the number of threads.
    """
    device = torch.device("cpu") if name in ON_CPU_ONLY else choose_device("auto")
    frame = BENCHMARKS[name](**options)
    if "device" not in frame:  # a benchmark that can be told its device says it itself
        frame.insert(0, "device", device_in_words(device))
    return frame
