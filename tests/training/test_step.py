"""A training step on fixed shapes: the loss and gradients of plain ragged batches."""

import copy

import numpy as np
import pytest
import torch
from small_models import SYSTEMS, small_system
from torch.nn import functional as F

from minirec.data.batching import TrainingBatches
from minirec.data.planted import generate_planted
from minirec.models import MODELS, build_model
from minirec.models.base import NeuralRecommender
from minirec.training.step import TrainingStep

# Each system by its own objective, and those of every prefix by sampled ones too.
WAYS = [(name, MODELS[name].objective) for name in SYSTEMS]
WAYS += [(name, "prefix") for name in SYSTEMS if MODELS[name].objective == "next-item"]
CLOSE = {"rtol": 1e-6, "atol": 1e-9}


@pytest.fixture(scope="module")
def split():
    return generate_planted(2, n_users=60).split()


def small_model(name: str, split) -> NeuralRecommender:
    model = small_system(name, split.interactions.n_items, d_model=8, max_len=12)
    # In eval mode no dropout is drawn, and every system still has its gradients.
    return model.double().eval()


def ragged_loss(model, objective, batch):
    """The mean cross-entropy of a batch's targets, a row at a time, each without its padding."""
    losses = []
    weights = model.output_weights()
    for inputs, targets in zip(batch.inputs, batch.targets, strict=True):
        items = inputs[inputs > 0][None]
        if objective == "prefix":
            found = model.last(items)
            wanted = targets[None]
        else:
            row_targets = targets[: items.shape[1]]
            found = model.encode(items)[0][row_targets > 0]
            wanted = row_targets[row_targets > 0]
        if (wanted == 0).all():
            continue  # an empty row
        scores = found @ weights.T
        scores[:, 0] = -torch.inf
        losses.append(F.cross_entropy(scores, wanted, reduction="none"))
    return torch.cat(losses).mean()


@pytest.mark.slow
@pytest.mark.parametrize("name, objective", WAYS)
def test_fixed_shapes_have_the_loss_and_gradients_of_ragged_batches(split, name, objective):
    model = small_model(name, split)
    step = TrainingStep(model, objective, "float32", lr=1e-3)
    epoch = TrainingBatches(split, objective, model.max_len, 40, seed=0).epoch(0)

    has_empty_row = [epoch.real[i].n_rows < epoch.fixed_shape(i).n_rows for i in range(len(epoch))]
    chosen = {0, int(np.argmax(has_empty_row)), len(epoch) - 1}
    for i in chosen:
        parameters = list(model.parameters())
        expected_loss = ragged_loss(model, objective, epoch[i])
        expected = torch.autograd.grad(expected_loss, parameters, allow_unused=True)
        for batch in (epoch.batch(i, epoch.fixed_shape(i)), epoch[i]):
            loss = step.loss(batch)
            torch.testing.assert_close(loss, expected_loss, **CLOSE)
            found = torch.autograd.grad(loss, parameters, allow_unused=True)
            for ours, theirs in zip(found, expected, strict=True):
                zeros = torch.zeros(())
                ours = zeros if ours is None else ours
                theirs = zeros if theirs is None else theirs
                torch.testing.assert_close(*torch.broadcast_tensors(ours, theirs), **CLOSE)


def test_the_padding_is_a_class_where_the_model_says_so(split):
    n_items = split.interactions.n_items
    model = build_model("recblr", n_items, d_model=8, max_len=12, padding_class=True)
    model = model.double().eval()
    batch = TrainingBatches(split, "next-item", model.max_len, 40, seed=0).epoch(0)[0]
    loss = TrainingStep(model, "next-item", "float32", lr=1e-3).loss(batch)

    wanted = batch.targets[batch.targets > 0]
    scores = model.encode(batch.inputs)[batch.targets > 0] @ model.item_embedding.weight.T
    expected = F.cross_entropy(scores, wanted)
    torch.testing.assert_close(loss, expected, **CLOSE)

    ours, theirs = (
        torch.autograd.grad(either, model.item_embedding.weight)[0] for either in (loss, expected)
    )
    torch.testing.assert_close(ours, theirs, **CLOSE)
    assert ours[0].abs().max() > 1e-6  # the padding's row is pushed away, though it is no input


def test_a_step_is_one_step_of_adam(split):
    model = small_model("sasrec", split)
    expected = copy.deepcopy(model)
    batch = TrainingBatches(split, "next-item", 12, 100, seed=0).epoch(0)[0]

    loss = TrainingStep(model, "next-item", "float32", lr=0.01)(batch)

    optimizer = torch.optim.Adam(expected.parameters(), lr=0.01)
    expected_loss = ragged_loss(expected, "next-item", batch)
    expected_loss.backward()
    optimizer.step()
    torch.testing.assert_close(loss, expected_loss.detach(), **CLOSE)
    for ours, theirs in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_a_second_step_has_the_gradients_of_its_own_batch_alone(split):
    model = small_model("sasrec", split)
    epoch = TrainingBatches(split, "next-item", 12, 100, seed=0).epoch(0)
    step = TrainingStep(model, "next-item", "float32", lr=0.01)
    step(epoch[0])
    before_the_second = copy.deepcopy(model)
    step(epoch[1])

    ragged_loss(before_the_second, "next-item", epoch[1]).backward()
    for ours, theirs in zip(model.parameters(), before_the_second.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None)
        if theirs.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-8)


def test_the_loss_that_a_step_returns_keeps_no_graph(split):
    # It is looked at many steps later: till then, a graph would hold all that its step computed.
    batch = TrainingBatches(split, "next-item", 12, 100, seed=0).epoch(0)[0]
    loss = TrainingStep(small_model("sasrec", split), "next-item", "float32", lr=0.01)(batch)
    assert not loss.requires_grad


def test_the_learning_rate_of_a_checkpoint_is_taken_over(split):
    model = small_model("sasrec", split)
    first = TrainingStep(model, "next-item", "float32", lr=0.01)
    first.set_learning_rate(0.005)
    second = TrainingStep(model, "next-item", "float32", lr=0.01)
    second.load_optimizer(first.optimizer.state_dict())
    assert second.optimizer.param_groups[0]["lr"] == 0.005
