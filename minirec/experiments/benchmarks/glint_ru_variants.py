"""What GLINT-RU's parts cost: its kernel (its Figures 2 and 3), and its gated MLP (section 4.6).

The cases have the titles of the benchmarks of all systems, so that a claim finds them.

N positions, d model width, k kernel size.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd

from minirec.data.splits import Split
from minirec.experiments.benchmarks.systems import (
    AUGMENTED,
    SIZES,
    Side,
    build,
    epochs_in_turns,
    histories,
    infer,
    split_of,
)
from minirec.experiments.units import KERNEL_SIZES
from minirec.profiling import keep_memory, peak_memory, take_turns

LIGHT = "glint-ru without gated MLP"


def benchmark_glint_ru_variants(
    n_users: int | None = None,
    repeats: int = 3,
    rows: int = 64,
    n: int = 2,
    sizes: dict[str, tuple[int, int]] = SIZES,
    n_histories: int = 2048,
) -> pd.DataFrame:
    """Measure GLINT-RU with every kernel size, and without its gated MLP.

    Parameters
    ----------
    n_users : int, optional
        So many planted users, for a quick look.
    repeats : int
        How often each time is measured.
    rows : int
        Padded samples in a batch.
    n : int
        Batches in a measurement.
    sizes : dict of str to (int, int)
        d and N on "beauty", for the kernels, and on "ml-1m", for the gated MLP.
    n_histories : int
        Histories that are read.

    Returns
    -------
    DataFrame
        Seconds per training epoch and MiB of a training step with each kernel size, and MiB of a
        training step and seconds of reading with and without the gated MLP, beside Mamba4Rec.
    """
    keep_memory()
    d_model, max_len = sizes["beauty"]
    split, name = split_of("beauty", n_users)
    where = f"{AUGMENTED}, {name}, d = {d_model}, N = {max_len}"
    kernels = {
        f"glint-ru, k = {k}": _side(split, "glint-ru", (d_model, max_len), rows, n, kernel_size=k)
        for k in KERNEL_SIZES
    }
    frames = [epochs_in_turns(f"epoch, {where}", kernels, repeats)]
    frames.append(_memory(f"training step, {where}", kernels))

    d_model, max_len = sizes["ml-1m"]
    split, name = split_of("ml-1m", n_users)
    where = f"{AUGMENTED}, {name}, d = {d_model}, N = {max_len}"
    sides = {
        LIGHT: _side(split, "glint-ru", (d_model, max_len), rows, n, gated_mlp=False),
        "glint-ru": _side(split, "glint-ru", (d_model, max_len), rows, n),
        "mamba4rec": _side(split, "mamba4rec", (d_model, max_len), rows, n),
    }
    frames.append(_memory(f"training step, {where}", sides))
    frames.append(_reading(d_model, max_len, n_histories, repeats))
    return pd.concat(frames, ignore_index=True)


def _side(
    split: Split, model: str, size: tuple[int, int], rows: int, n: int, **options: Any
) -> Side:
    """Return a system that trains on padded samples, with n batches of `rows`."""
    d_model, max_len = size
    side = Side(split, model, d_model, max_len, augmented=True, pad=True, **options)
    return side.sample(rows, n)


def _memory(case: str, sides: dict[str, Side]) -> pd.DataFrame:
    """Measure the MiB of a training step of each side."""
    found = [(case, name, peak_memory(side.run)) for name, side in sides.items()]
    return pd.DataFrame(found, columns=["case", "name", "mib"])


def _reading(d_model: int, max_len: int, n_histories: int, repeats: int) -> pd.DataFrame:
    """Measure how long representations of whole histories take, with and without the gated MLP."""
    n_items = 12_101
    items = histories(n_histories, max_len, n_items)
    runs: dict[str, Callable[[], Any]] = {}
    for name, gated_mlp in ((LIGHT, False), ("glint-ru", True)):
        built = partial(build, "glint-ru", n_items, d_model=d_model, max_len=max_len)
        model = built(gated_mlp=gated_mlp).eval()
        runs[name] = partial(infer, model, items)
    case = f"reading {n_histories:,} histories of {max_len}, d = {d_model}"
    return take_turns(case, runs, repeats)
