"""fit learns under every objective, stops when it should, keeps the best and repeats itself.

And it says what went wrong.
"""

import math
import re

import numpy as np
import pytest
import torch
from small_models import ClozeMean, RunningMean, WholeMean

from minirec import build_model, evaluate, fit
from minirec.data.planted import generate_planted
from minirec.models import MODELS
from minirec.models.base import NeuralRecommender
from minirec.training import StopTraining
from minirec.training.trainer import Run

pytestmark = pytest.mark.slow

NEURAL = [name for name, model in MODELS.items() if issubclass(model, NeuralRecommender)]


@pytest.fixture(scope="module")
def split():
    return generate_planted(1, n_users=300).split()


def trained(split, model=RunningMean, seed=3, **options):
    """The model and its history, after two epochs unless options say otherwise."""
    torch.manual_seed(seed)
    model = model(split.interactions.n_items)
    settings = {"epochs": 2, "batch_size": 512, "seed": seed, "device": "cpu", **options}
    history = fit(model, split, **settings)
    return model, history


def weights_equal(a, b):
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def assert_beats_popularity(model, split):
    """By its mean reciprocal rank, by more than three standard errors of the paired difference."""
    popularity = build_model("popularity", split.interactions.n_items)
    fit(popularity, split)
    difference = (1 / evaluate(model, split).ranks) - (1 / evaluate(popularity, split).ranks)
    assert difference.mean() > 3 * difference.std() / math.sqrt(len(difference))


@pytest.mark.parametrize("model", [RunningMean, WholeMean, ClozeMean])
def test_every_objective_learns_to_beat_popularity(split, model):
    model, _ = trained(split, model, epochs=30, lr=1e-2, batch_size=256)
    assert_beats_popularity(model, split)


@pytest.mark.parametrize("name", NEURAL)
def test_every_system_learns_to_beat_popularity(split, name):
    torch.manual_seed(0)
    few_states = {"d_state": 4} if name == "mamba4rec" else {}
    model = build_model(
        name, split.interactions.n_items, d_model=32, max_len=50, dropout=0.1, **few_states
    )
    settings = {"epochs": 6, "lr": 5e-3}
    if name == "bert4rec":
        # It is told less by each sequence: a fifth of the items, not every next one.
        settings = {"epochs": 30, "lr": 2e-3}
    fit(model, split, batch_size=256, device="cpu", **settings)
    assert_beats_popularity(model, split)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(split):
    first, first_history = trained(split)
    second, second_history = trained(split)
    third, _ = trained(split, seed=4)
    assert weights_equal(first, second)
    first_losses = [entry["loss"] for entry in first_history.epochs]
    second_losses = [entry["loss"] for entry in second_history.epochs]
    assert first_losses == second_losses
    assert not weights_equal(first, third)


def test_the_callers_random_numbers_are_left_alone(split):
    model = RunningMean(split.interactions.n_items)
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    fit(model, split, epochs=1, device="cpu")
    assert torch.equal(torch.rand(3), expected)


def test_the_model_ends_with_its_best_weights(split):
    model, history = trained(split, epochs=12, lr=3e-2)
    best = max(history.epochs, key=lambda entry: entry["valid_ndcg"])
    assert history.best_epoch == best["epoch"]
    assert history.best_epoch < 12  # at this learning rate the last epoch is not the best
    assert evaluate(model, split, which="valid").ndcg == best["valid_ndcg"]
    assert history.best_ndcg == best["valid_ndcg"]


@pytest.mark.parametrize("protocol", ["uniform-100", "popular-100"])
def test_the_best_epoch_is_chosen_by_the_selected_protocol(split, protocol):
    model, history = trained(split, select=protocol)
    assert evaluate(model, split, which="valid", protocol=protocol).ndcg == history.best_ndcg


def test_training_stops_after_patience_epochs_without_a_better_one(split):
    _, history = trained(split, epochs=60, lr=3e-2, patience=3)
    assert history.stopped == "patience"
    assert len(history.epochs) == history.best_epoch + 3


def test_without_patience_every_epoch_is_run(split):
    _, history = trained(split, epochs=8, lr=3e-2, patience=None)
    assert history.stopped == "epochs"
    assert len(history.epochs) == 8


def raises_after_two_epochs(exception):
    def on_epoch(history):
        if len(history.epochs) == 2:
            raise exception

    return on_epoch


def test_ctrl_c_keeps_the_best_so_far(split):
    model, history = trained(split, epochs=9, on_epoch=raises_after_two_epochs(KeyboardInterrupt))
    reference, _ = trained(split, epochs=2)
    assert history.stopped == "interrupted"
    assert len(history.epochs) == 2
    assert weights_equal(model, reference)
    assert not model.training


def test_a_callback_may_stop_training_and_the_best_weights_are_kept(split):
    """It stops at the first epoch that is not better, whose weights the model must not keep."""

    def stop_when_worse(history):
        if len(history.epochs) > history.best_epoch:
            raise StopTraining

    model, history = trained(split, epochs=12, lr=3e-2, on_epoch=stop_when_worse)
    assert history.stopped == "budget"
    assert len(history.epochs) == history.best_epoch + 1 < 12
    best, _ = trained(split, epochs=history.best_epoch, lr=3e-2)
    assert weights_equal(model, best)
    assert not model.training


def test_a_stopped_run_is_continued_from_its_checkpoint(split, tmp_path):
    checkpoint = tmp_path / "run.ckpt"
    stop = raises_after_two_epochs(StopTraining)
    trained(split, epochs=4, checkpoint=checkpoint, on_epoch=stop)
    continued, history = trained(split, epochs=4, checkpoint=checkpoint)
    whole, whole_history = trained(split, epochs=4)
    assert history.stopped == "epochs"
    assert history.best_epoch == whole_history.best_epoch
    assert weights_equal(continued, whole)


def test_a_loss_that_is_not_finite_names_epoch_step_batch_and_learning_rate(split):
    class Breaks(RunningMean):
        steps = 0

        def encode(self, items):
            if self.training:
                self.steps += 1
            representations = super().encode(items)
            return representations * math.nan if self.steps == 4 else representations

    message = r"epoch 1, step 4 of \d+ \(batch of shape \(\d+, \d+\), learning rate 0.001\)"
    with pytest.raises(FloatingPointError, match=message):
        trained(split, Breaks)


def test_bfloat16_training_is_close_to_float32_and_not_equal(split):
    _, full = trained(split)
    _, half = trained(split, precision="bfloat16")
    full_loss = full.epochs[-1]["loss"]
    half_loss = half.epochs[-1]["loss"]
    assert full_loss != half_loss
    assert full_loss == pytest.approx(half_loss, rel=2**-8)  # bfloat16 has 8 bits


def without_dropout(n_items):
    return RunningMean(n_items, dropout=0.0, max_len=60)


def test_the_loss_is_the_mean_cross_entropy_over_the_real_targets(split):
    # The learning rate is too small to change anything.
    model, history = trained(split, without_dropout, epochs=1, lr=1e-12)
    losses = []
    for user in range(split.interactions.n_users):
        items = torch.from_numpy(split.train_sequence(user)).long()
        scores = model.encode(items[None, :-1])[0] @ model.output_weights()[1:].T
        losses.append(torch.nn.functional.cross_entropy(scores, items[1:] - 1, reduction="none"))
    assert history.epochs[0]["loss"] == pytest.approx(torch.cat(losses).mean().item(), rel=1e-6)


def test_the_bar_shows_loss_metric_and_time_left(split, capsys):
    trained(split, progress=True)
    bar = r"\d+/\d+ \[\d+:\d+<\d+:\d+, .*loss \d+\.\d+, valid NDCG@10 0\.\d{4}"
    assert re.search(bar, capsys.readouterr().err)


def test_nothing_is_printed_where_there_is_no_terminal(split, capsys):
    trained(split)
    assert capsys.readouterr() == ("", "")


def test_history_is_a_frame_and_a_figure(split):
    _, history = trained(split)
    frame = history.frame()
    assert frame.index.tolist() == [1, 2]
    assert frame["valid_ndcg"].tolist() == [entry["valid_ndcg"] for entry in history.epochs]
    assert len(history.plot().axes) == 2


def test_a_model_that_counts_is_fitted_by_counting(split):
    model = build_model("popularity", split.interactions.n_items)
    assert fit(model, split).stopped == "counted"
    assert model.counts.tolist() == split.train_counts().tolist()


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"precision": "half"}, "precision"),
        ({"select": "all"}, "select"),
        ({"epochs": 0}, "epochs"),
        ({"lr": 0.0}, "lr"),
        ({"lr": math.inf}, "lr must be positive and finite"),
        ({"lr": math.nan}, "lr must be positive and finite"),
        ({"patience": 0}, "patience"),
        ({"batch_size": 0}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"device": "cpu:x"}, "device"),
        ({"lr_schedule": "linear"}, "lr_schedule must be one of constant, cosine"),
        ({"objective": "prefix", "prefixes_per_user": 0}, "prefixes_per_user"),
    ],
)
def test_impossible_settings_are_refused_by_name(split, wrong, message):
    with pytest.raises(ValueError, match=message):
        trained(split, **wrong)


def test_a_seed_that_pytorch_does_not_take_is_refused_by_its_bounds(split):
    model = RunningMean(split.interactions.n_items)
    with pytest.raises(
        ValueError, match=r"an integer from 0 to 2\^64 - 1; got 18446744073709551616"
    ):
        fit(model, split, seed=2**64)
    fit(model, split, seed=2**64 - 1, epochs=1, device="cpu")


def popularity(n_items):
    return build_model("popularity", n_items)


@pytest.mark.parametrize(
    "model, objective, possible",
    [
        (RunningMean, "cloze", "running-mean can be 'next-item' or 'prefix'"),
        (RunningMean, "prefixes", "running-mean can be 'next-item' or 'prefix'"),
        (WholeMean, "next-item", "whole-mean can be 'prefix'"),
        (ClozeMean, "next-item", "cloze-mean can be 'cloze'"),
        (popularity, "next-item", "popularity can be 'count'"),
    ],
)
def test_an_objective_that_the_model_cannot_have_is_refused(split, model, objective, possible):
    with pytest.raises(ValueError, match=f"the objective of {possible}; got '{objective}'"):
        trained(split, model, objective=objective)


class NotesItsRows(RunningMean):
    """Counts the rows on which it was trained through `last`."""

    rows = 0

    def last(self, items):
        self.rows += len(items) * self.training
        return super().last(items)


def test_a_next_item_model_can_be_trained_on_prefixes(split):
    """As many as asked for of each user, and through `last`.

    With all prefixes, and a step too small to change anything, the loss is that of one pass.
    """
    users = range(split.interactions.n_users)
    n_targets = np.array([len(split.train_sequence(user)) - 1 for user in users])

    model, history = trained(split, NotesItsRows, epochs=1, objective="prefix", prefixes_per_user=3)
    assert model.rows == np.minimum(n_targets, 3).sum()
    assert history.settings["objective"] == "prefix"

    def still_model(n_items):
        return NotesItsRows(n_items, dropout=0.0, max_len=60)

    still = {"model": still_model, "epochs": 1, "lr": 1e-12}
    model, all_prefixes = trained(split, **still, objective="prefix", prefixes_per_user=100)
    other, one_pass = trained(split, **still)
    assert model.rows == n_targets.sum()
    assert other.rows == 0
    assert all_prefixes.epochs[0]["loss"] == pytest.approx(one_pass.epochs[0]["loss"], rel=1e-6)


def test_the_models_own_objective_may_be_named(split):
    first, history = trained(split)
    second, _ = trained(split, objective="next-item", prefixes_per_user=3)
    assert weights_equal(first, second)
    assert history.settings["prefixes_per_user"] is None


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_learning_rate_follows_its_schedule(split, monkeypatch, schedule):
    rates = []
    one_step = Run.one_step

    def noting_the_rate(self, epoch):
        rates.append(self.step.optimizer.param_groups[0]["lr"])
        one_step(self, epoch)

    monkeypatch.setattr(Run, "one_step", noting_the_rate)
    trained(split, epochs=4, lr=0.5e-3, lr_schedule=schedule)
    expected = np.full(len(rates), 0.5e-3)
    if schedule == "cosine":
        expected = 0.25e-3 * (1 + np.cos(np.pi * np.arange(len(rates)) / len(rates)))
    assert np.allclose(rates, expected, rtol=1e-9)


def test_the_history_knows_the_settings(split):
    _, history = trained(split, epochs=3, patience=None, lr=2e-3)
    assert history.settings == {
        "epochs": 3,
        "batch_size": 512,
        "lr": 2e-3,
        "lr_schedule": "constant",
        "patience": None,
        "seed": 3,
        "precision": "float32",
        "select": "full",
        "objective": "next-item",
        "prefixes_per_user": None,
        "device": "cpu",
    }


def test_a_model_for_another_catalogue_is_refused(split):
    with pytest.raises(ValueError, match="the model knows 7 items, the data has 500"):
        fit(RunningMean(7), split)


@pytest.mark.gpu
def test_training_on_the_gpu_agrees_with_the_cpu(split):
    _, on_cpu = trained(split)
    _, on_gpu = trained(split, device="cuda")
    # Dropout draws differ.
    assert on_cpu.epochs[0]["loss"] == pytest.approx(on_gpu.epochs[0]["loss"], rel=1e-2)
