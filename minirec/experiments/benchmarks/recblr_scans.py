"""RecBLR's Table 5: an epoch by the scan that trains it, and by where it is padded.

RecBLR's own scan takes a length that is a power of two. Its paper compares a serial scan, a
parallel one of padded histories ("sequence padding", which every layer then works on), and a
parallel one that pads just before the scan ("embedding padding"). Ours takes any length, so nothing
is padded.

B rows, N positions, H width of the recurrence.
"""

from collections.abc import Callable
from functools import partial

import pandas as pd
from torch import Tensor
from torch.nn import functional as F

from minirec.experiments.benchmarks.systems import Side, epochs_in_turns, split_of
from minirec.layers.bd_lru import GatedRecurrentLayer
from minirec.scan import linear_recurrence
from minirec.scan.bd_lru import decay_and_scale

# A recurrence: what is left of each state and what comes in, both [B, N, H], to the states.
Scan = Callable[[Tensor, Tensor], Tensor]

# The names of our rows; the first three are those of the paper's.
SERIAL = "serial"
SEQUENCES_PADDED = "parallel, sequences padded"
EMBEDDINGS_PADDED = "parallel, embeddings padded"
NOTHING_PADDED = "parallel, nothing padded"
FUSED = "fused with its gates, nothing padded"


def benchmark_recblr_scans(
    n_users: int | None = None, repeats: int = 3, rows: int = 64, n: int = 2, max_len: int = 200
) -> pd.DataFrame:
    """Measure an epoch of RecBLR with one scan after another, as Table 5 does.

    The data are MovieLens-1M where it lies on this machine, else planted. As in the paper a sample
    is a padded prefix, and every target has one.

    Parameters
    ----------
    n_users : int, optional
        So many planted users, for a quick look.
    repeats : int
        How often each is measured.
    rows : int
        Samples in a batch.
    n : int
        Batches in a measurement.
    max_len : int
        N, the length of a padded sample.

    Returns
    -------
    DataFrame
        Seconds per epoch with each scan, the fastest first, with the ratio to the fused one's.
    """
    split, name = split_of("ml-1m", n_users)
    scans: dict[str, Scan | None] = {
        FUSED: None,
        NOTHING_PADDED: partial(linear_recurrence, impl="tree"),
        EMBEDDINGS_PADDED: padded_to_a_power_of_two,
        SEQUENCES_PADDED: partial(linear_recurrence, impl="tree"),
        SERIAL: partial(linear_recurrence, impl="loop"),
    }
    sides = {}
    for row, scan in scans.items():
        side = Side(split, "recblr", 64, max_len, augmented=True, pad=True).sample(rows, n)
        if row == SEQUENCES_PADDED:
            side.batches = [(_pad(items), targets) for items, targets in side.batches]
        if scan is not None:
            for layer in side.model.layers:
                layer.recurrent.forward = partial(forward_by, scan, layer.recurrent)
        sides[row] = side
    return epochs_in_turns(f"epoch of padded samples, {name}, N = {max_len}", sides, repeats)


def forward_by(scan: Scan, layer: GatedRecurrentLayer, u: Tensor) -> Tensor:
    """Return what the layer makes of u [B, N, d], its states by the scan given.

    Parameters
    ----------
    scan : callable
        The recurrence.
    layer : GatedRecurrentLayer
        With its gates.
    u : Tensor
        The layer's input [B, N, d].

    Returns
    -------
    Tensor
        The layer's output [B, N, d].

    References
    ----------
    RecBLR, Algorithm 1; notebook 13.
    """
    x, z = layer.input(u).chunk(2, dim=-1)
    x = F.silu(layer.conv(x))
    r, i = layer.gates(x).chunk(2, dim=-1)
    log_alpha, scale = decay_and_scale(r, layer.Lambda)
    h = scan(log_alpha.exp(), scale * i.sigmoid() * x)
    return layer.output(F.silu(z) * h)


def padded_to_a_power_of_two(a: Tensor, b: Tensor) -> Tensor:
    """Scan at the next power of two positions, and cut what was added.

    Parameters
    ----------
    a, b : Tensor
        What is left of each state, and what comes in [B, N, H].

    Returns
    -------
    Tensor
        The states [B, N, H].
    """
    n = a.shape[1]
    wide = _power_of_two(n) - n
    a = F.pad(a, (0, 0, 0, wide))
    b = F.pad(b, (0, 0, 0, wide))
    return linear_recurrence(a, b, impl="tree")[:, :n]


def _pad(items: Tensor) -> Tensor:
    """Pad histories [B, N] on the right to the next power of two."""
    n = items.shape[1]
    return F.pad(items, (0, _power_of_two(n) - n))


def _power_of_two(n: int) -> int:
    """Return the smallest power of two that is at least n."""
    return 1 << (n - 1).bit_length()
