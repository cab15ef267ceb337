"""What is measured, beside which peers. Each benchmark returns a frame: what ran, its median in seconds, and that as a multiple of ours."""

from minirec.benchmark.glint_ru import benchmark_glint_ru
from minirec.benchmark.loading import benchmark_loading
from minirec.benchmark.recblr import benchmark_recblr
from minirec.benchmark.scan import benchmark_scan

BENCHMARKS = {"loading": benchmark_loading, "glint-ru": benchmark_glint_ru, "scan": benchmark_scan, "recblr": benchmark_recblr}
