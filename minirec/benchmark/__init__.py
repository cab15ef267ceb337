"""What is measured, beside which peers. Each benchmark returns a frame: what ran, and its median in seconds (or memory in MiB) beside others."""

from minirec.benchmark.glint_ru import benchmark_glint_ru
from minirec.benchmark.loading import benchmark_loading
from minirec.benchmark.recblr import benchmark_recblr
from minirec.benchmark.scan import benchmark_scan
from minirec.benchmark.systems import (
    benchmark_inference,
    benchmark_length,
    benchmark_memory,
    benchmark_train,
)

BENCHMARKS = {
    "loading": benchmark_loading,
    "glint-ru": benchmark_glint_ru,
    "scan": benchmark_scan,
    "recblr": benchmark_recblr,
    "train": benchmark_train,
    "inference": benchmark_inference,
    "memory": benchmark_memory,
    "length": benchmark_length,
}
