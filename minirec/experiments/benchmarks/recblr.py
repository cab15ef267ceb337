"""RecBLR: where a training step's time goes, the fused BD-LRU beside its parts, and what serving one more item costs (notebooks 10 and 11).

B rows, N positions, H inner width.
"""

from functools import partial

import pandas as pd
import torch

from minirec.experiments.benchmarks.systems import Side, build, device, histories, split_of
from minirec.profiling import operator_seconds, take_turns
from minirec.scan import linear_recurrence
from minirec.scan.bd_lru import bd_lru

PARTS = {  # operators of PyTorch, by the beginning of their names
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm"),
    "BD-LRU, fused": ("_BDLRU",),
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
    n_users: int | None = None, repeats: int = 7, shape=(20, 128, 128), lengths=LENGTHS
) -> pd.DataFrame:
    """Shares of a training step at MovieLens-1M's shape; the fused operator beside the formula, at [B, N, H]; a step of serving after histories of each length.

    The data are MovieLens-1M where it lies on this machine, else planted. n_users: fewer, for a quick look.
    """
    return pd.concat(
        [_parts(n_users, 10), _operator(shape, repeats), _serving(lengths, repeats)],
        ignore_index=True,
    )


def _parts(n_users, n_steps: int) -> pd.DataFrame:
    """Seconds of a training step by the kind of operator; the ratio is the share of the whole. The scan alone is measured by itself, in the model's shapes."""
    split, name = split_of("ml-1m", n_users)
    side = Side(split, "recblr", 64, 200).sample(2048, n_steps)
    parts = pd.Series(operator_seconds(side.run, PARTS)) / len(side.batches)
    recurrences = sum(
        _recurrence_seconds(items.shape, side.model) for items, _ in side.batches
    ) / len(side.batches)
    seconds = pd.Series(
        {"all": parts.sum(), **parts, "of that, the recurrences alone": recurrences}
    )
    return pd.DataFrame(
        {
            "case": f"parts of a training step, {name}, 2,048 targets",
            "name": seconds.index,
            "seconds": seconds.values,
            "ratio": seconds.values / seconds["all"],
        }
    )


def _recurrence_seconds(shape, model) -> float:
    """linear_recurrence, forward and backward, in every layer of a batch of this shape."""
    a, b = (
        torch.rand(*shape, 2 * model.d_model, device=device(), requires_grad=True) for _ in range(2)
    )
    grad = torch.rand_like(a)
    return (
        len(model.layers)
        * take_turns(
            "", {"": lambda: torch.autograd.grad(linear_recurrence(a, b), (a, b), grad)}, 3
        )["seconds"][0]
    )


def _operator(shape, repeats) -> pd.DataFrame:
    """The BD-LRU from its gates to SiLU(z) h, forward and backward."""
    torch.manual_seed(0)
    rows, n, width = shape
    sizes = (rows, n, 2 * width), shape, (rows, n, 2 * width), (width,)
    gates, x, xz, Lambda = (
        torch.randn(size, device=device(), requires_grad=True) for size in sizes
    )
    grad = torch.randn_like(x)

    def both_ways(impl):
        y, _ = bd_lru(gates, x, xz[..., width:], Lambda, impl=impl)
        torch.autograd.grad(y, (gates, x, xz, Lambda), grad)

    return take_turns(
        f"BD-LRU, forward and backward, {list(shape)}",
        {impl: lambda impl=impl: both_ways(impl) for impl in ("fused", "unfused")},
        repeats,
    )


@torch.inference_mode()
def _serving(lengths, repeats) -> pd.DataFrame:
    """One more item of 8 users, after histories of each length; and reading the longest one whole again, for one user."""
    model = build("recblr", 3_416).eval()
    items = histories(8, max(lengths), model.n_items)
    runs = {}
    for n in lengths:
        state = model.state_after(items[:, :n], torch.full((len(items),), n, device=device()))
        runs[f"a step of 8 users, each after {n:,} items"] = partial(model.step, state, items[:, 0])
    runs[f"one user's {max(lengths):,} items read again"] = partial(model.last, items[:1])
    return take_turns("serving", runs, repeats)
