"""What is measured, beside which peers.

Each benchmark returns a frame: what ran, and its median in seconds (or its memory in MiB) beside
others.
"""

from collections.abc import Callable

import pandas as pd

from minirec.experiments.benchmarks.glint_ru import benchmark_glint_ru
from minirec.experiments.benchmarks.loading import benchmark_loading
from minirec.experiments.benchmarks.losses import benchmark_losses
from minirec.experiments.benchmarks.recblr import benchmark_recblr
from minirec.experiments.benchmarks.scan import benchmark_scan
from minirec.experiments.benchmarks.systems import (
    benchmark_inference,
    benchmark_length,
    benchmark_memory,
    benchmark_train,
)

# By the name that the command line knows. Each runs without arguments; smaller when asked to.
BENCHMARKS: dict[str, Callable[..., pd.DataFrame]] = {
    "loading": benchmark_loading,
    "glint-ru": benchmark_glint_ru,
    "scan": benchmark_scan,
    "losses": benchmark_losses,
    "recblr": benchmark_recblr,
    "train": benchmark_train,
    "inference": benchmark_inference,
    "memory": benchmark_memory,
    "length": benchmark_length,
}
