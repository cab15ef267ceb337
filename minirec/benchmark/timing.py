"""Runs that take turns, so that whatever else the machine does falls on all of them alike."""

import ctypes
import statistics
import time
from collections.abc import Callable

import pandas as pd

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's numbers for them


def keep_memory() -> None:
    """Asks the C library to keep freed memory, as a long training run comes to do: getting it anew costs more than a scan. Only glibc knows how."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(TRIM_THRESHOLD, 2**31 - 1)
    mallopt(MMAP_THRESHOLD, 2**25)  # the most it takes; larger blocks are given back at once


def take_turns(case: str, runs: dict[str, Callable], repeats: int, times: dict[str, float] | None = None) -> pd.DataFrame:
    """Columns case, name, seconds (median), ratio (to the first run's). times: how many such runs a whole takes, where a sample is measured."""
    for run in runs.values():
        run()
    seconds = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    medians = [statistics.median(each) * (times or {}).get(name, 1) for name, each in seconds.items()]
    return pd.DataFrame({"case": case, "name": list(runs), "seconds": medians, "ratio": [median / medians[0] for median in medians]})
