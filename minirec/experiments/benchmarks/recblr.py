"""RecBLR: where the time of training and of serving goes (notebooks 11 and 13).

The parts of a training step, the fused BD-LRU beside its formula, and one more item in serving.

B rows, N positions, H inner width.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from minirec.experiments.benchmarks.systems import Side, build, device, histories, split_of
from minirec.profiling import operator_seconds, take_turns
from minirec.scan import linear_recurrence
from minirec.scan.bd_lru import bd_lru

# Operators of PyTorch, by the beginning of their names.
PARTS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm"),
    "BD-LRU, fused": ("_BDLRU", "minirec::bd_lru"),
    "convolution": (
        "aten::mkldnn_conv",
        "aten::convolution",
        "aten::_conv",
        "aten::cudnn_conv",
        "aten::conv",
    ),
    "dropout": ("aten::bernoulli", "aten::native_dropout", "aten::dropout", "aten::_fused_dropout"),
}
LENGTHS = (10, 1_000, 100_000)  # of histories, in items


def benchmark_recblr(
    n_users: int | None = None,
    repeats: int = 7,
    shape: tuple[int, int, int] = (20, 128, 128),
    lengths: Sequence[int] = LENGTHS,
) -> pd.DataFrame:
    """Measure a training step's parts, the fused operator beside the formula, and serving.

    The data are MovieLens-1M where it lies on this machine, else planted.

    Parameters
    ----------
    n_users : int, optional
        So many planted users, for a quick look.
    repeats : int
        How often each is measured.
    shape : (int, int, int)
        B, N and H of the operator.
    lengths : sequence of int
        Of the histories after which one more item is served.

    Returns
    -------
    DataFrame
        Three cases: shares of a training step at MovieLens-1M's shape; the operator; serving.
    """
    frames = [_parts(n_users, 10), _operator(shape, repeats), _serving(lengths, repeats)]
    return pd.concat(frames, ignore_index=True)


def _parts(n_users: int | None, n_steps: int) -> pd.DataFrame:
    """Measure the seconds of a training step by the kind of operator.

    The ratio is the share of the whole. The scan is fused with its gates in a step, so it is also
    measured alone, in the model's shapes.
    """
    split, name = split_of("ml-1m", n_users)
    side = Side(split, "recblr", 64, 200).sample(2048, n_steps)
    n_sampled = len(side.batches)
    parts = pd.Series(operator_seconds(side.run, PARTS)) / n_sampled

    recurrences = 0.0
    for items, _ in side.batches:
        recurrences += _recurrence_seconds(items.shape, side.model)

    seconds = pd.Series(
        {
            "all": parts.sum(),
            **parts,
            "of that, the recurrences alone": recurrences / n_sampled,
        }
    )
    return pd.DataFrame(
        {
            "case": f"parts of a training step, {name}, 2,048 targets",
            "name": seconds.index,
            "seconds": seconds.values,
            "ratio": seconds.values / seconds["all"],
        }
    )


def _recurrence_seconds(shape: Sequence[int], model: Any) -> float:
    """Measure linear_recurrence, forward and backward, in every layer for a batch [B, N]."""
    width = 2 * model.d_model
    a = torch.rand(*shape, width, device=device(), requires_grad=True)
    b = torch.rand(*shape, width, device=device(), requires_grad=True)
    grad = torch.rand_like(a)

    def both_ways() -> None:
        torch.autograd.grad(linear_recurrence(a, b), (a, b), grad)

    seconds_per_layer = take_turns("", {"": both_ways}, 3)["seconds"][0]
    return len(model.layers) * seconds_per_layer


def _operator(shape: tuple[int, int, int], repeats: int) -> pd.DataFrame:
    """Measure the BD-LRU from its gates to SiLU(z) h, forward and backward."""
    rows, n, width = shape
    torch.manual_seed(0)

    def random(*size: int) -> Tensor:
        return torch.randn(size, device=device(), requires_grad=True)

    gates = random(rows, n, 2 * width)
    x = random(rows, n, width)
    xz = random(rows, n, 2 * width)  # z is the second half of a wider tensor, as in the model
    Lambda = random(width)
    grad = torch.randn_like(x)

    def both_ways(impl: str) -> None:
        y, _ = bd_lru(gates, x, xz[..., width:], Lambda, impl=impl)
        torch.autograd.grad(y, (gates, x, xz, Lambda), grad)

    runs: dict[str, Callable[[], Any]] = {
        impl: partial(both_ways, impl) for impl in ("fused", "unfused")
    }
    return take_turns(f"BD-LRU, forward and backward, {list(shape)}", runs, repeats)


@torch.inference_mode()
def _serving(lengths: Sequence[int], repeats: int) -> pd.DataFrame:
    """Measure one more item of 8 users after histories of each length.

    Beside it, one user's longest history is read whole again.
    """
    model = build("recblr", 3_416).eval()
    items = histories(8, max(lengths), model.n_items)
    runs: dict[str, Callable[[], Any]] = {}
    for n in lengths:
        all_of_n = torch.full((len(items),), n, device=device())
        state = model.state_after(items[:, :n], all_of_n)
        runs[f"a step of 8 users, each after {n:,} items"] = partial(model.step, state, items[:, 0])
    runs[f"one user's {max(lengths):,} items read again"] = partial(model.last, items[:1])
    return take_turns("serving", runs, repeats)
