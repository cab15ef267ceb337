"""Every system's training step runs without a word from the host; steps that ask are caught."""

import pytest
import torch
from small_models import SYSTEMS
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
)

from minirec.experiments.proof import HostWasAsked, prove, run_on_fakes
from minirec.models import build_model
from minirec.models.base import NeuralRecommender


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_training_step_needs_no_word_from_the_host(name, precision):
    line = prove(name, precision=precision)
    assert line.startswith(f"{name}: ")
    assert "\n" not in line


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_nor_does_one_with_the_padding_as_a_class(precision):
    def build(n_items):
        return build_model("recblr", n_items, d_model=16, max_len=20, padding_class=True)

    assert run_on_fakes(build, precision=precision) >= 3


class Asking(NeuralRecommender):
    """A model of one embedding, whose `encode` may do what a step must not."""

    def __init__(self, n_items: int, ask):
        super().__init__(n_items, d_model=4, max_len=20)
        self.ask = ask

    def encode(self, items):
        x = self.item_embedding(items)
        self.ask(items, x)
        return x


def proved(ask) -> int:
    return run_on_fakes(lambda n_items: Asking(n_items, ask))


def test_a_model_that_asks_nothing_is_proved():
    assert proved(lambda items, x: None) >= 3


@pytest.mark.parametrize(
    "ask",
    [
        lambda items, x: x[items > 0],
        lambda items, x: items.nonzero(),
        lambda items, x: items.max().item(),
        lambda items, x: x.sum().tolist(),
        lambda items, x: bool((items > 5).any()),
    ],
    ids=["boolean mask", "nonzero", "item", "tolist", "bool"],
)
def test_a_step_that_asks_for_data_is_caught(ask):
    with pytest.raises((DataDependentOutputException, DynamicOutputShapeException)):
        proved(ask)


def test_a_step_that_makes_an_array_is_caught():
    with pytest.raises(RuntimeError, match="numpy"):
        proved(lambda items, x: items.numpy())


@pytest.mark.parametrize(
    "ask",
    [
        lambda items, x: items.cpu(),
        lambda items, x: items.to("cpu"),
        lambda items, x: items.to(device=torch.device("cpu")),
    ],
    ids=["cpu", "to", "to a device"],
)
def test_a_step_that_copies_to_the_host_is_caught(ask):
    with pytest.raises(HostWasAsked, match="copied to the host"):
        proved(ask)


def test_a_step_may_change_a_type():
    assert proved(lambda items, x: x.to(torch.bfloat16)) >= 3
