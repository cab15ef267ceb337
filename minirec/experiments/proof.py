"""The proof that a training step needs no word from the host, on a machine without a GPU.

A fake tensor has a shape, a type and a device, but no numbers. So a step that runs on fake tensors
has asked for none: a size that depends on data, `.item()` and `.numpy()` raise. What would copy to
the host raises too.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

from minirec.data.batching import TrainingBatches
from minirec.data.planted import generate_planted
from minirec.experiments.benchmarks.systems import options_it_has
from minirec.models import build_model
from minirec.models.base import NeuralRecommender
from minirec.training.step import TrainingStep

SMALL = {"d_model": 16, "max_len": 20}


class HostWasAsked(RuntimeError):
    """A training step wanted to copy a tensor to the host."""


class _NoHostCopies(TorchFunctionMode):
    """Raises at `.cpu()` and `.to("cpu")`.

    On a CPU both do nothing, so fake tensors of a CPU would let them pass.
    """

    def __torch_function__(
        self,
        function: Callable,
        types: Any,
        args: tuple = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        asks_for_cpu = function is Tensor.cpu
        if function is Tensor.to:
            asks_for_cpu = any(_names_the_cpu(value) for value in [*args[1:], *kwargs.values()])
        if asks_for_cpu:
            raise HostWasAsked(f"a tensor of shape {list(args[0].shape)} is copied to the host.")
        return function(*args, **kwargs)


def _names_the_cpu(value: object) -> bool:
    if isinstance(value, torch.device):
        return value.type == "cpu"
    return isinstance(value, str) and value.startswith("cpu")


def prove(name: str, *, device: str = "cpu", precision: str = "float32") -> str:
    """Run one training step of a system on fake tensors: batch, forward, loss, backward, Adam.

    Parameters
    ----------
    name : str
        A neural system's name in the registry.
    device : str
        Where the fake tensors claim to be. A PyTorch without CUDA knows fake ones of a CPU only.
    precision : str
        "float32" or "bfloat16".

    Returns
    -------
    str
        One line: what was run, and on how many shapes.

    Raises
    ------
    HostWasAsked
        Where a tensor is copied to the host.
    Exception
        PyTorch's own, where a size depends on data or a number is asked for.
    """
    options = options_it_has(name, SMALL)

    def build(n_items: int) -> NeuralRecommender:
        return cast(NeuralRecommender, build_model(name, n_items, **options))

    n_shapes = run_on_fakes(build, device, precision)
    return (
        f"{name}: batch, forward, loss, backward and Adam in {precision} on fake {device} tensors "
        f"of {n_shapes} shapes: nothing asked for a number, nothing went to the host"
    )


def run_on_fakes(
    build: Callable[[int], NeuralRecommender], device: str = "cpu", precision: str = "float32"
) -> int:
    """Run one training step of a model on fake tensors for each shape of its batches.

    Parameters
    ----------
    build : callable
        Makes the model, given the number of items.
    device, precision : str
        As for `prove`.

    Returns
    -------
    int
        The number of shapes.

    Raises
    ------
    HostWasAsked, Exception
        As `prove` does.
    """
    split = generate_planted(1, n_users=60).split()
    where = torch.device(device)
    with FakeTensorMode():
        with where:  # not .to(where), which cannot exchange a parameter for a fake one
            model = build(split.interactions.n_items)
        batches = TrainingBatches(
            split, model.objective, model.max_len, batch_size=64, seed=0, device=where
        )
        epoch = batches.epoch(0)
        step = TrainingStep(model, model.objective, precision, lr=1e-3)

        # The first batch of each shape, in its fixed shape whatever the device.
        first_of_shape: dict[int, int] = {}
        for i, number in enumerate(epoch.shape_numbers.tolist()):
            first_of_shape.setdefault(number, i)
        with _NoHostCopies():
            for i in first_of_shape.values():
                step(epoch.batch(i, epoch.fixed_shape(i)))
    return len(first_of_shape)
