"""Steps that are recorded once and replayed are the steps that one takes without.

On a machine without a GPU a recording is played by running the same work again, so that all but
the capture itself is tested: what it reads lies where it was, and warming up leaves no trace.
"""

import contextlib

import pytest
import torch
from small_models import SYSTEMS, small_system

from minirec import fit
from minirec.data.batching import TrainingBatches
from minirec.data.planted import generate_planted
from minirec.models import MODELS
from minirec.training.graphs import GraphedSteps
from minirec.training.step import TrainingStep


class PlayedAgain(GraphedSteps):
    """Records nothing: a replay does the work again, on what lies at the same addresses."""

    n_recorded = 0

    @contextlib.contextmanager
    def _side_stream(self):
        yield

    def _record(self, work):
        self.n_recorded += 1
        return work


@pytest.fixture(scope="module")
def split():
    return generate_planted(3, n_users=80).split()


def small_model(name, split, **options):
    return small_system(name, split.interactions.n_items, d_model=8, max_len=15, **options)


def losses_of(split, name, objective, graphed, n_epochs=2, device="cpu", **options):
    """Train for some epochs; return each step's loss, the weights, and the steps' runner."""
    model = small_model(name, split, **options).to(device).train()
    step = TrainingStep(model, objective, "float32", lr=1e-3)
    batches = TrainingBatches(split, objective, 15, 100, 0, prefixes_per_user=8, device=device)
    runner = graphed(step, batches) if graphed is not None else None
    torch.manual_seed(1)
    losses = []
    for number in range(n_epochs):
        epoch = batches.epoch(number)
        if runner is not None:
            runner.load(epoch)
        for i in range(len(epoch)):
            batch = epoch.batch(i, epoch.fixed_shape(i))
            losses.append(step(batch) if runner is None else runner(i))
    return torch.stack(losses), list(model.parameters()), runner


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, objective",
    [("sasrec", "next-item"), ("sasrec", "prefix"), ("bert4rec", "cloze"), ("recblr", "next-item")],
)
def test_replayed_steps_are_the_steps(split, name, objective):
    """With dropout too: warming up draws from generators that are put back."""
    plain, plain_weights, _ = losses_of(split, name, objective, None)
    replayed, weights, runner = losses_of(split, name, objective, PlayedAgain)
    assert runner.n_recorded >= len(runner.replays) > 1
    assert torch.equal(replayed, plain)
    for ours, theirs in zip(weights, plain_weights, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.slow
def test_every_shape_is_recorded_once_though_epochs_follow_each_other(split):
    _, _, runner = losses_of(split, "sasrec", "next-item", PlayedAgain, n_epochs=3)
    assert runner.n_recorded == len(runner.batches.shapes)


def test_warming_up_in_the_middle_of_a_run_leaves_no_trace(split):
    """Adam has a state by then, which has to be put back and not emptied."""
    model = small_model("sasrec", split).train()
    step = TrainingStep(model, "next-item", "float32", lr=1e-2)
    batches = TrainingBatches(split, "next-item", 15, 100, 0)
    epoch = batches.epoch(0)
    step(epoch[0])
    weights = [weight.detach().clone() for weight in model.parameters()]
    counts = [float(state["step"]) for state in step.optimizer.state.values()]
    moments = [state["exp_avg"].clone() for state in step.optimizer.state.values()]

    runner = PlayedAgain(step, batches)
    runner.load(epoch)
    runner._warm_up(lambda: step(epoch[1]))

    for now, before in zip(model.parameters(), weights, strict=True):
        assert torch.equal(now, before)
    assert [float(state["step"]) for state in step.optimizer.state.values()] == counts
    for state, before in zip(step.optimizer.state.values(), moments, strict=True):
        assert torch.equal(state["exp_avg"], before)


class CannotRecord(PlayedAgain):
    def _record(self, work):
        raise RuntimeError("operation not permitted when stream is capturing")


@pytest.mark.slow
def test_where_a_capture_fails_the_run_goes_on_and_says_why_once(split):
    plain, _, _ = losses_of(split, "sasrec", "next-item", None)
    with pytest.warns(UserWarning, match="not permitted when stream is capturing") as warned:
        eager, _, runner = losses_of(split, "sasrec", "next-item", CannotRecord)
    assert len(warned) == 1
    assert "RuntimeError" in runner.failure
    assert torch.equal(eager, plain)


@pytest.mark.gpu
@pytest.mark.parametrize("name", SYSTEMS)
def test_captured_steps_have_the_losses_of_steps_without_a_graph(split, name):
    objective = MODELS[name].objective
    options = {"dropout": 0.0, "inner_dropout": 0.0}
    one_epoch = len(TrainingBatches(split, objective, 15, 100, 0, 8).epoch(0))
    n_epochs = -(-50 // one_epoch)  # at least 50 steps
    sizes = {"n_epochs": n_epochs, "device": "cuda", **options}
    plain, _, _ = losses_of(split, name, objective, None, **sizes)
    captured, _, runner = losses_of(split, name, objective, GraphedSteps, **sizes)
    assert runner.failure == ""
    assert len(captured) >= 50
    torch.testing.assert_close(captured, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_captured_run_with_dropout_learns_as_one_without_a_graph(split, name):
    histories = []
    for cuda_graphs in (True, False):
        model = small_model(name, split)
        options = {"epochs": 2, "batch_size": 100, "device": "cuda", "cuda_graphs": cuda_graphs}
        histories.append(fit(model, split, **options))
    first, second = [history.epochs[-1]["loss"] for history in histories]
    assert first == pytest.approx(second, rel=0.02)  # dropout is drawn in another order


@pytest.mark.gpu
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_captured_run_that_is_resumed_goes_on_as_one_that_is_not(split, name, tmp_path):
    options = {"batch_size": 100, "device": "cuda", "lr_schedule": "constant", "patience": None}
    no_dropout = {"dropout": 0.0, "inner_dropout": 0.0}
    whole = fit(small_model(name, split, **no_dropout), split, epochs=3, **options)

    kept = {"checkpoint": tmp_path / "run.ckpt", **options}
    fit(small_model(name, split, **no_dropout), split, epochs=2, **kept)
    resumed = fit(small_model(name, split, **no_dropout), split, epochs=3, **kept)
    assert resumed.epochs[-1]["loss"] == pytest.approx(whole.epochs[-1]["loss"], rel=1e-4)


@pytest.mark.gpu
def test_a_cosine_reaches_captured_steps(split):
    """The rate is a tensor that the graph reads: at the end of a cosine nothing moves any more."""
    model = small_model("sasrec", split).to("cuda").train()
    step = TrainingStep(model, "next-item", "float32", lr=1e-2)
    batches = TrainingBatches(split, "next-item", 15, 100, 0, device="cuda")
    runner = GraphedSteps(step, batches)
    epoch = batches.epoch(0)
    runner.load(epoch)
    runner(0)
    weights = [weight.detach().clone() for weight in model.parameters()]
    step.set_learning_rate(0.0)
    runner(0)
    for now, before in zip(model.parameters(), weights, strict=True):
        assert torch.equal(now, before)
