"""The full softmax's loss beside plain cross-entropy, other people's kernels and its floor.

Loss and gradients, their time and the memory they take.

T targets, V items, d model width.
"""

import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from minirec.devices import choose_device
from minirec.experiments.records import provenance
from minirec.losses import full_softmax_loss
from minirec.profiling import cpu_threads, keep_memory, peak_memory, take_turns

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]  # x [T, d], items [V, d], targets [T] from 0

# The items of MovieLens-1M and of Beauty (both 5-core), and what shops have.
CATALOGUES = (3_416, 12_101, 100_000, 1_000_000)
WIDTHS = (64, 128)
TARGETS = {"cpu": (2_048,), "cuda": (2_048, 8_192)}
DTYPES = {"cpu": (torch.float32,), "cuda": (torch.float32, torch.bfloat16)}

# Plain cross-entropy holds three matrices of T V numbers; beyond these it is not tried.
WHOLE_MATRIX_UP_TO = {"cpu": 2**28, "cuda": 2**32}

# How far a peer's gradients may be from ours, relatively: it may multiply in TensorFloat-32, which
# has 10 bits, or leave out the smallest probabilities. A wrong gradient is further away.
TOLERANCES = {torch.float32: 1e-2, torch.bfloat16: 5e-2}

SQUARE = 2048  # rows and columns of the matrices whose product gives the machine's rate
PASSES_OVER = {"cpu": 2**18, "cuda": 2**24}  # numbers that stay close to the core, or the GPU


@dataclass(frozen=True)
class Peer:
    """Somebody else's loss, a kernel for GPUs."""

    module: str
    function: str
    call: Callable[..., Tensor]  # (function, x, items, targets) -> loss


def _call_liger(function: Any, x: Tensor, items: Tensor, targets: Tensor) -> Tensor:
    result = function.apply(x, items, targets)
    if isinstance(result, tuple):  # newer versions return more than the loss
        return result[0]
    return result


def _call_cut_cross_entropy(function: Any, x: Tensor, items: Tensor, targets: Tensor) -> Tensor:
    return function(x, items, targets)


PEERS = {
    "Liger fused linear cross-entropy": Peer(
        "liger_kernel.ops.fused_linear_cross_entropy",
        "LigerFusedLinearCrossEntropyFunction",
        _call_liger,
    ),
    "cut-cross-entropy": Peer("cut_cross_entropy", "linear_cross_entropy", _call_cut_cross_entropy),
}


def benchmark_losses(
    catalogues: Sequence[int] = CATALOGUES,
    widths: Sequence[int] = WIDTHS,
    n_targets: Sequence[int] | None = None,
    dtypes: Sequence[torch.dtype] | None = None,
    repeats: int = 5,
    device: str = "auto",
) -> pd.DataFrame:
    """Measure the loss and its gradients for each catalogue, width and number of targets.

    "floor" is the least that they could take here, of what was measured in the same turns:
    6 T V d operations (the scores and two products of the gradients) at the rate of a product of
    square matrices, and maximum, subtraction, exp and sum over T V numbers that lie in the cache
    (on a CPU measured on one thread, and shared out among all).

    Parameters
    ----------
    catalogues : sequence of int
        Numbers of items, V.
    widths : sequence of int
        Model widths, d.
    n_targets : sequence of int, optional
        Targets, T; unless given, 2,048, on a GPU also 8,192.
    dtypes : sequence of torch.dtype, optional
        Of representations and embeddings; unless given, float32, on a GPU also bfloat16.
    repeats : int
        How often each is measured.
    device : str
        Where to measure, as `choose_device` knows it.

    Returns
    -------
    DataFrame
        What `take_turns` returns, ours first, behind a column "device"; and "mib" (the memory
        needed at most, beside the inputs), "mib_ratio" (to ours) and "note": why a peer has no
        figures. It is absent, or cannot do this case.

    Raises
    ------
    RuntimeError
        Where a peer does not agree with ours.
    """
    keep_memory()
    on = choose_device(device)
    if n_targets is None:
        n_targets = TARGETS[on.type]
    if dtypes is None:
        dtypes = DTYPES[on.type]

    frames = []
    for dtype in dtypes:
        for n_items in catalogues:
            for d in widths:
                for n in n_targets:
                    frames.append(_Case(n, n_items, d, dtype, on).measure(repeats))
    frame = pd.concat(frames, ignore_index=True)
    frame.insert(0, "device", provenance(on, ())["device"])
    return frame


class _Case:
    """One shape: its tensors, who can do it, and what that takes."""

    def __init__(self, n_targets: int, n_items: int, d: int, dtype: torch.dtype, on: torch.device):
        torch.manual_seed(0)
        self.device = on
        self.x = torch.randn(n_targets, d, device=on).to(dtype).requires_grad_()
        embeddings = torch.randn(n_items + 1, d, device=on) / math.sqrt(d)
        self.embeddings = embeddings.to(dtype).requires_grad_()
        self.targets = torch.randint(1, n_items + 1, (n_targets,), device=on)
        self.n_scores = n_targets * n_items
        self.name = f"T = {n_targets:,}, V = {n_items:,}, d = {d}, {str(dtype).split('.')[-1]}"

    def measure(self, repeats: int) -> pd.DataFrame:
        """Return the case's rows."""
        runs: dict[str, Callable[[], Any]] = {"ours": self.ours}
        notes: dict[str, str] = {}
        for name, loss in self.others(notes).items():
            if self.agrees(name, loss, notes):
                runs[name] = partial(self.both_ways, loss)

        measured = self.times(runs, repeats)
        mib = {name: peak_memory(run) for name, run in runs.items()}
        measured["mib"] = measured["name"].map(mib)
        measured["mib_ratio"] = measured["mib"] / mib["ours"]
        measured["note"] = ""
        rows = measured.to_dict("records")
        for name, note in notes.items():
            rows.append({"case": self.name, "name": name, "note": note})
        return pd.DataFrame(rows)

    def ours(self) -> tuple[Tensor, ...]:
        """Return our loss and its gradients."""
        loss = full_softmax_loss(self.x, self.embeddings, self.targets)
        return loss, *torch.autograd.grad(loss, (self.x, self.embeddings))

    def both_ways(self, loss_of: Loss) -> tuple[Tensor, ...]:
        """Return another's loss and its gradients."""
        loss = loss_of(self.x, self.embeddings[1:], self.targets - 1)
        return loss, *torch.autograd.grad(loss, (self.x, self.embeddings))

    def others(self, notes: dict[str, str]) -> dict[str, Loss]:
        """Return who may be able to do this case; write down of the rest why not."""
        able: dict[str, Loss] = {}
        if self.n_scores <= WHOLE_MATRIX_UP_TO[self.device.type]:
            able["plain cross-entropy"] = _plain
        else:
            gib = 3 * self.n_scores * self.x.element_size() / 2**30
            notes["plain cross-entropy"] = f"left out: its matrices would take {gib:.0f} GiB"
        for name, peer in PEERS.items():
            if self.device.type == "cpu":
                notes[name] = "absent: it needs a GPU"
                continue
            try:
                function = getattr(importlib.import_module(peer.module), peer.function)
            except (ImportError, AttributeError, OSError, RuntimeError) as error:
                notes[name] = f"absent: {_first_line(error)}"
                continue
            able[name] = partial(peer.call, function)
        return able

    def agrees(self, name: str, loss_of: Loss, notes: dict[str, str]) -> bool:
        """Say whether a peer can do this case; raise if it can and says something else than we."""
        try:
            theirs = self.both_ways(loss_of)
        except Exception as error:  # its limits, of memory or of types, may show in any way
            notes[name] = f"cannot: {_first_line(error)}"
            return False
        for our, their in zip(self.ours(), theirs, strict=True):
            if (our - their).norm() > TOLERANCES[self.x.dtype] * our.norm():
                raise RuntimeError(f"{name} and ours disagree at {self.name}.")
        return True

    def times(self, runs: dict[str, Callable[[], Any]], repeats: int) -> pd.DataFrame:
        """Measure the runs, and in the same turns what the floor is made of."""
        square = torch.rand(SQUARE, SQUARE, device=self.device).to(self.x.dtype)
        product = torch.empty_like(square)
        close = PASSES_OVER[self.device.type]
        scores = torch.randn(SQUARE, close // SQUARE, device=self.device)
        threads = torch.get_num_threads()

        def multiply() -> None:
            torch.mm(square, square, out=product)

        def passes() -> None:
            # Threads would have to be waited for more than such short work takes.
            with cpu_threads(1):
                scores.sub_(scores.amax(0)).exp_().sum(0)

        parts = {"floor: products": multiply, "floor: passes": passes}
        times = {
            "floor: products": 3 * self.n_scores * self.x.shape[1] / SQUARE**3,
            "floor: passes": self.n_scores / scores.numel(),
        }
        if self.device.type == "cpu":
            times["floor: passes"] /= threads
        measured = take_turns(self.name, {**runs, **parts}, repeats, times)

        is_part = measured["name"].isin(list(parts))
        columns = ["seconds", "low", "high", "ratio"]
        floor = measured.loc[is_part, columns].sum().to_frame().T
        floor.insert(0, "case", self.name)
        floor.insert(1, "name", "floor")
        return pd.concat([measured, floor], ignore_index=True)


def _plain(x: Tensor, items: Tensor, targets: Tensor) -> Tensor:
    """Compute the loss as one would at first, from the whole matrix of scores."""
    return F.cross_entropy((x @ items.T).float(), targets)


def _first_line(error: Exception) -> str:
    """Return an error's first line, the name of its class where it says nothing."""
    text = str(error)
    return text.splitlines()[0] if text else type(error).__name__
