"""A run that diverged says so, where and what to do; what was good is still there."""

import math

import pytest
import torch
from small_models import WAYS_TO_TRAIN, RunningMean, small_system

from minirec import fit, storage
from minirec.__main__ import main
from minirec.data.planted import generate_planted
from minirec.training.divergence import LARGEST_WEIGHT, unusable_weight
from minirec.training.trainer import Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def split():
    return generate_planted(1, n_users=40).split()


def copied(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_holds(model, weights):
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name]), name


@pytest.mark.parametrize("batch_size", [100, 10**6], ids=["some steps", "one step"])
@pytest.mark.parametrize("name, objective", WAYS_TO_TRAIN)
def test_a_rate_far_too_large_diverges_by_name_and_leaves_the_model_as_it_was(
    split, name, objective, batch_size
):
    """With a single step no loss shows it: the weights are 1e30, the loss is of those before."""
    model = small_system(name, split.interactions.n_items, d_model=8, max_len=12, d_state=4)
    before = copied(model)
    settings = {"epochs": 1, "lr": 1e30, "batch_size": batch_size, "device": "cpu"}
    with pytest.raises(FloatingPointError) as raised:
        fit(model, split, objective=objective, **settings)
    message = str(raised.value)
    assert message.startswith("training diverged: ")
    assert "epoch 1, step " in message
    assert "learning rate 1e+30" in message
    assert "Lower the learning rate." in message
    assert "checkpoint" not in message
    assert_holds(model, before)
    assert model.vocabulary is None
    assert not model.training


class Breaks(RunningMean):
    """Breaks in training step `when`, counted from 1: its loss, or only what the step leaves."""

    how = "loss"
    when = 4
    n_steps = 0

    def encode(self, items):
        representations = super().encode(items)
        if not self.training:
            return representations
        self.n_steps += 1
        if self.n_steps != self.when:
            return representations
        if self.how == "loss":
            return representations * math.nan
        representations.register_hook(lambda gradient: gradient * math.nan)
        return representations


class NaNOnTheValidPhase(RunningMean):
    """Its weights and losses are fine, but from the second epoch on its scores are NaN."""

    n_judged = 0

    def scores(self, items):
        self.n_judged += 1
        return super().scores(items) * (math.nan if self.n_judged > 1 else 1.0)


def breaking(how, when):
    def build(n_items):
        model = Breaks(n_items)
        model.how = how
        model.when = when
        return model

    return build


def run(split, build, **options):
    """The model, and the error that ended its run."""
    torch.manual_seed(0)
    model = build(split.interactions.n_items)
    settings = {"epochs": 3, "batch_size": 256, "lr": 1e-2, "device": "cpu", **options}
    with pytest.raises(FloatingPointError) as raised:
        fit(model, split, **settings)
    return model, str(raised.value)


def steps_per_epoch(split):
    steps = []

    def note(history):
        steps.append(model.n_steps)

    model = breaking("loss", 10**9)(split.interactions.n_items)
    fit(model, split, epochs=1, batch_size=256, device="cpu", on_epoch=note)
    return steps[0]


def test_weights_that_only_the_last_step_broke_are_found_before_they_are_judged(split):
    last = steps_per_epoch(split)
    model, message = run(split, breaking("weights", last))
    assert f"holds nan after epoch 1, step {last} of {last} (learning rate 0.01)" in message
    assert not unusable_weight(model)


def test_scores_that_are_nan_on_the_valid_phase_only_are_a_divergence(split):
    model, message = run(split, NaNOnTheValidPhase)
    where = "training diverged: after epoch 2 (learning rate 0.01), on the valid phase, "
    assert message.startswith(f"{where}running-mean: 40 of 40 rows of scores contain NaN. Lower ")
    assert model.vocabulary is not None  # it has been trained


def test_half_precision_is_named_as_a_possible_cause(split):
    _, message = run(split, breaking("loss", 2), precision="bfloat16")
    assert "Lower the learning rate, or use precision='float32'." in message


@pytest.mark.parametrize("how", ["loss", "weights"])
def test_the_model_has_its_best_weights_after_a_divergence(split, how):
    n_steps = steps_per_epoch(split)
    model, message = run(split, breaking(how, 2 * n_steps + 1))  # in the third epoch

    torch.manual_seed(0)
    reference = RunningMean(split.interactions.n_items)
    history = fit(reference, split, epochs=2, batch_size=256, lr=1e-2, device="cpu")
    assert f"The model has its best weights, of epoch {history.best_epoch}." in message
    assert_holds(model, reference.state_dict())
    assert not model.training


@pytest.mark.parametrize("how", ["loss", "weights"])
@pytest.mark.parametrize("place", ["within an epoch", "at the end of an epoch"])
def test_a_checkpoint_is_never_written_of_what_diverged(split, tmp_path, how, place):
    n_steps = steps_per_epoch(split)
    when = n_steps + 2 if place == "within an epoch" else 2 * n_steps
    path = tmp_path / "run.ckpt"
    _, message = run(split, breaking(how, when), checkpoint=path, checkpoint_seconds=0.0)

    state = torch.load(path, weights_only=True)
    n_done = state["epoch"] * n_steps + state["step"]
    assert n_done == when - 1
    assert all(value.isfinite().all() for value in state["model"].values())
    for moments in state["optimizer"]["state"].values():
        assert all(value.isfinite().all() for value in moments.values())
    assert f"The checkpoint {path} holds the state before." in message
    assert "needs a checkpoint of its own" in message


def test_a_checkpoint_is_left_alone_by_scores_that_are_nan(split, tmp_path):
    path = tmp_path / "run.ckpt"
    run(split, NaNOnTheValidPhase, checkpoint=path, checkpoint_seconds=10**9)
    assert torch.load(path, weights_only=True)["epoch"] == 1


def test_no_checkpoint_is_spoken_of_before_there_is_one(split, tmp_path):
    _, message = run(split, breaking("loss", 1), checkpoint=tmp_path / "run.ckpt")
    assert "checkpoint" not in message
    assert not (tmp_path / "run.ckpt").exists()


def test_ctrl_c_before_a_divergence_is_noticed_leaves_no_broken_weights(split, monkeypatch):
    one_step = Run.one_step

    def interrupted(self, epoch):
        one_step(self, epoch)
        if self.progress.step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Run, "one_step", interrupted)
    torch.manual_seed(0)
    model = breaking("weights", 2)(split.interactions.n_items)
    before = copied(model)
    history = fit(model, split, epochs=1, batch_size=256, device="cpu")
    assert history.stopped == "interrupted"
    assert_holds(model, before)


@pytest.mark.parametrize("value", [math.nan, -math.inf, 2 * LARGEST_WEIGHT])
def test_a_model_that_has_diverged_before_is_refused(split, value):
    def build(n_items):
        model = RunningMean(n_items)
        model.map.bias.data[3] = value
        return model

    model, message = run(split, build)
    held = f"{abs(value):.3g}"
    assert message == (
        f"the model had diverged before this run: map.bias holds {held}. Build a new model."
    )
    assert model.vocabulary is None


def test_a_checkpoint_of_diverged_weights_is_refused_by_its_path(split, tmp_path):
    path = tmp_path / "run.ckpt"
    torch.manual_seed(0)
    settings = {"batch_size": 256, "lr": 1e-2, "device": "cpu", "checkpoint": path}
    fit(RunningMean(split.interactions.n_items), split, epochs=1, **settings)
    state = torch.load(path, weights_only=True)
    state["model"]["map.bias"][0] = math.nan
    storage.save(path, "checkpoint", state)
    _, message = run(split, RunningMean, checkpoint=path)
    assert f"the checkpoint {path} is of a run that has diverged: map.bias holds nan" in message


@pytest.mark.parametrize("value", [0.0, -LARGEST_WEIGHT])
def test_a_weight_up_to_the_largest_is_usable(value):
    model = RunningMean(5)
    model.map.bias.data[3] = value
    assert unusable_weight(model) == ""


def test_a_weight_that_is_not_trained_may_hold_anything():
    model = RunningMean(5)
    model.map.bias.data[3] = -math.inf
    model.map.bias.requires_grad_(False)
    assert unusable_weight(model) == ""


def test_the_command_line_says_that_training_diverged_in_one_line(tmp_path, capsys):
    out = tmp_path / "model.pt"
    command = ["train", "--data", "planted", "--model", "gru4rec", "--d-model", "4"]
    command += ["--lr", "1e30", "--epochs", "1", "--batch-size", "100000", "--device", "cpu"]
    assert main([*command, "--out", str(out)]) == 1
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 1
    assert printed[0].startswith("error: training diverged: ")
    assert "Lower the learning rate." in printed[0]
    assert not out.exists()
