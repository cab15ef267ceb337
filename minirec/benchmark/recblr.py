"""RecBLR: where a training step's time goes, the fused BD-LRU beside its parts, and what serving one more item costs (notebooks 10 and 11).

B rows, N positions, H inner width.
"""

import pandas as pd
import torch
from torch.profiler import ProfilerActivity, profile

from minirec.benchmark.glint_ru import split_of
from minirec.benchmark.scan import wait
from minirec.benchmark.timing import take_turns
from minirec.data.batching import TrainingBatches
from minirec.losses import full_softmax_loss
from minirec.models import build_model
from minirec.scan import linear_recurrence
from minirec.scan.bd_lru import bd_lru

PARTS = {  # operators of PyTorch, by the beginning of their names
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm"), "BD-LRU, fused": ("_BDLRU",), "convolution": ("aten::mkldnn_conv", "aten::convolution",
    "aten::_conv", "aten::cudnn_conv", "aten::conv"), "dropout": ("aten::bernoulli", "aten::native_dropout", "aten::dropout", "aten::_fused_dropout")}
HISTORIES = (10, 1_000, 100_000)  # items


def benchmark_recblr(n_users: int | None = None, repeats: int = 7, shape=(20, 128, 128), histories=HISTORIES) -> pd.DataFrame:
    """Shares of a training step at MovieLens-1M's shape; the fused operator beside the formula, at [B, N, H]; a step of serving after histories of each length.

    The data are MovieLens-1M where it lies on this machine, else planted. n_users: fewer, for a quick look.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return pd.concat([_parts(n_users, 10, device), _operator(shape, device, repeats), _serving(histories, device, repeats)], ignore_index=True)


def _parts(n_users, n_steps: int, device) -> pd.DataFrame:
    """Seconds of a training step by the kind of operator; the ratio is the share of the whole. The scan alone is measured by itself, in the model's shapes."""
    split, name = split_of("ml-1m", n_users)
    torch.manual_seed(0)
    model = build_model("recblr", split.interactions.n_items).to(device)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    epoch = TrainingBatches(split, "next-item", model.max_len, 2048, 0).epoch(0)
    batches = [[torch.from_numpy(part).to(device) for part in (batch.inputs, batch.targets)] for batch in (epoch[i % len(epoch)] for i in range(n_steps))]

    def steps():
        for items, targets in batches:
            real = targets > 0
            optimizer.zero_grad(set_to_none=True)
            full_softmax_loss(model.encode(items)[real], model.output_weights(), targets[real]).backward()
            optimizer.step()
        wait(device)

    steps()
    with profile(activities=[ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")) as trace:
        steps()
    seconds = dict.fromkeys([*PARTS, "all else"], 0.0)
    for event in trace.key_averages():
        part = next((part for part, names in PARTS.items() if event.key.startswith(names)), "all else")
        seconds[part] += (event.self_device_time_total if device.type == "cuda" else event.self_cpu_time_total) / 1e6 / n_steps
    whole = sum(seconds.values())
    seconds["of that, the recurrences alone"] = sum(_recurrence_seconds(items.shape, model, device) for items, _ in batches) / n_steps
    return pd.DataFrame({"case": f"parts of a training step, {name}, 2,048 targets", "name": ["all", *seconds], "seconds": [whole, *seconds.values()],
                         "ratio": [1.0, *(each / whole for each in seconds.values())]})


def _recurrence_seconds(shape, model, device) -> float:
    """linear_recurrence, forward and backward, in every layer of a batch of this shape."""
    a, b = (torch.rand(*shape, 2 * model.d_model, device=device, requires_grad=True) for _ in range(2))
    grad = torch.rand_like(a)
    return len(model.layers) * take_turns("", {"": lambda: (torch.autograd.grad(linear_recurrence(a, b), (a, b), grad), wait(device))}, 3)["seconds"][0]


def _operator(shape, device, repeats) -> pd.DataFrame:
    """The BD-LRU from its gates to SiLU(z) h, forward and backward."""
    torch.manual_seed(0)
    n_channels = shape[2]
    gates, xz = (torch.randn(*shape[:2], 2 * n_channels, device=device, requires_grad=True) for _ in range(2))
    x, Lambda, grad = (torch.randn(size, device=device, requires_grad=size != shape or at == 0) for at, size in enumerate((shape, n_channels, shape)))

    def both_ways(impl):
        y, _ = bd_lru(gates, x, xz[..., n_channels:], Lambda, impl=impl)
        torch.autograd.grad(y, (gates, x, xz, Lambda), grad)
        wait(device)

    return take_turns(f"BD-LRU, forward and backward, {list(shape)}", {impl: lambda impl=impl: both_ways(impl) for impl in ("fused", "unfused")}, repeats)


@torch.inference_mode()
def _serving(histories, device, repeats) -> pd.DataFrame:
    """One more item of 8 users, after histories of each length; and reading the longest one whole again, for one user."""
    model = build_model("recblr", 3_416).to(device).eval()
    items = torch.randint(1, model.n_items + 1, (8, max(histories)), device=device)
    runs = {}
    for n in histories:
        state = model.state_after(items[:, :n], torch.full((len(items),), n, device=device))
        runs[f"a step of 8 users, each after {n:,} items"] = lambda state=state: (model.step(state, items[:, 0]), wait(device))
    runs[f"one user's {max(histories):,} items read again"] = lambda: (model.last(items[:1]), wait(device))
    return take_turns("serving", runs, repeats)
