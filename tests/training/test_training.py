"""fit: it learns under every objective, stops when it should, keeps the best, repeats itself, and says what went wrong."""

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
from minirec.training.trainer import Run


@pytest.fixture(scope="module")
def split():
    return generate_planted(1, n_users=300).split()


def trained(split, model=RunningMean, seed=3, **options):
    torch.manual_seed(seed)
    model = model(split.interactions.n_items)
    return model, fit(
        model, split, **{"epochs": 2, "batch_size": 512, "seed": seed, "device": "cpu", **options}
    )


def weights_equal(a, b):
    return all(
        torch.equal(x, y)
        for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("model", [RunningMean, WholeMean, ClozeMean])
def test_every_objective_learns_to_beat_popularity(split, model):
    popularity = build_model("popularity", split.interactions.n_items)
    fit(popularity, split)
    model, history = trained(split, model, epochs=30, lr=1e-2, batch_size=256)
    difference = (1 / evaluate(model, split).ranks) - (1 / evaluate(popularity, split).ranks)
    assert difference.mean() > 3 * difference.std() / math.sqrt(len(difference))


@pytest.mark.parametrize(
    "name", [name for name, model in MODELS.items() if issubclass(model, NeuralRecommender)]
)
def test_every_system_learns_to_beat_popularity(split, name):
    popularity = build_model("popularity", split.interactions.n_items)
    fit(popularity, split)
    torch.manual_seed(0)
    few_states = {"d_state": 4} if name == "mamba4rec" else {}
    model = build_model(
        name, split.interactions.n_items, d_model=32, max_len=50, dropout=0.1, **few_states
    )
    slow = (
        name == "bert4rec"
    )  # it is told less by each sequence: a fifth of the items, not every next one
    fit(
        model,
        split,
        epochs=30 if slow else 6,
        lr=2e-3 if slow else 5e-3,
        batch_size=256,
        device="cpu",
    )
    difference = (1 / evaluate(model, split).ranks) - (1 / evaluate(popularity, split).ranks)
    assert difference.mean() > 3 * difference.std() / math.sqrt(len(difference))


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(split):
    (first, one), (second, two), (third, _) = trained(split), trained(split), trained(split, seed=4)
    assert weights_equal(first, second) and [e["loss"] for e in one.epochs] == [
        e["loss"] for e in two.epochs
    ]
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
    assert (
        history.best_epoch == best["epoch"] < 12
    )  # at this learning rate the last epoch is not the best
    assert evaluate(model, split, which="valid").ndcg == best["valid_ndcg"] == history.best_ndcg


@pytest.mark.parametrize("protocol", ["uniform-100", "popular-100"])
def test_the_best_epoch_is_chosen_by_the_selected_protocol(split, protocol):
    model, history = trained(split, select=protocol)
    assert evaluate(model, split, which="valid", protocol=protocol).ndcg == history.best_ndcg


def test_training_stops_after_patience_epochs_without_a_better_one(split):
    _, history = trained(split, epochs=60, lr=3e-2, patience=3)
    assert history.stopped == "patience" and len(history.epochs) == history.best_epoch + 3


def test_without_patience_every_epoch_is_run(split):
    _, history = trained(split, epochs=8, lr=3e-2, patience=None)
    assert history.stopped == "epochs" and len(history.epochs) == 8


def test_ctrl_c_keeps_the_best_so_far(split):
    def interrupt(history):
        if len(history.epochs) == 2:
            raise KeyboardInterrupt

    (model, history), (reference, _) = (
        trained(split, epochs=9, on_epoch=interrupt),
        trained(split, epochs=2),
    )
    assert history.stopped == "interrupted" and len(history.epochs) == 2
    assert weights_equal(model, reference) and not model.training


def test_a_loss_that_is_not_finite_names_epoch_step_batch_and_learning_rate(split):
    class Breaks(RunningMean):
        steps = 0

        def encode(self, items):
            if self.training:
                self.steps += 1
            return super().encode(items) * (math.nan if self.steps == 4 else 1)

    with pytest.raises(
        FloatingPointError,
        match=r"epoch 1, step 4 of \d+ \(batch of shape \(\d+, \d+\), learning rate 0.001\)",
    ):
        trained(split, Breaks)


def test_bfloat16_training_is_close_to_float32_and_not_equal(split):
    (_, full), (_, half) = trained(split), trained(split, precision="bfloat16")
    assert full.epochs[-1]["loss"] != half.epochs[-1]["loss"]
    assert full.epochs[-1]["loss"] == pytest.approx(
        half.epochs[-1]["loss"], rel=2**-8
    )  # bfloat16 has 8 bits


def test_the_loss_is_the_mean_cross_entropy_over_the_real_targets(split):
    model, history = trained(
        split, lambda n: RunningMean(n, dropout=0.0, max_len=60), epochs=1, lr=1e-12
    )  # too small a step to change anything
    losses = []
    for user in range(split.interactions.n_users):
        items = torch.from_numpy(split.train_sequence(user)).long()
        scores = model.encode(items[None, :-1])[0] @ model.output_weights()[1:].T
        losses.append(torch.nn.functional.cross_entropy(scores, items[1:] - 1, reduction="none"))
    assert history.epochs[0]["loss"] == pytest.approx(torch.cat(losses).mean().item(), rel=1e-6)


def test_the_bar_shows_loss_metric_and_time_left(split, capsys):
    trained(split, progress=True)
    assert re.search(
        r"\d+/\d+ \[\d+:\d+<\d+:\d+, .*loss \d+\.\d+, valid NDCG@10 0\.\d{4}",
        capsys.readouterr().err,
    )


def test_nothing_is_printed_where_there_is_no_terminal(split, capsys):
    trained(split)
    assert capsys.readouterr() == ("", "")


def test_history_is_a_frame_and_a_figure(split):
    _, history = trained(split)
    assert history.frame().index.tolist() == [1, 2]
    assert history.frame()["valid_ndcg"].tolist() == [
        entry["valid_ndcg"] for entry in history.epochs
    ]
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


@pytest.mark.parametrize(
    "model, objective, possible",
    [
        (RunningMean, "cloze", "running-mean can be 'next-item' or 'prefix'"),
        (RunningMean, "prefixes", "running-mean can be 'next-item' or 'prefix'"),
        (WholeMean, "next-item", "whole-mean can be 'prefix'"),
        (ClozeMean, "next-item", "cloze-mean can be 'cloze'"),
        (lambda n: build_model("popularity", n), "next-item", "popularity can be 'count'"),
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
    """As many as asked for of each user, and through `last`; with all of them and no step worth the name, the loss is that of one pass."""
    n_targets = np.array(
        [len(split.train_sequence(user)) - 1 for user in range(split.interactions.n_users)]
    )
    model, history = trained(split, NotesItsRows, epochs=1, objective="prefix", prefixes_per_user=3)
    assert (
        model.rows == np.minimum(n_targets, 3).sum() and history.settings["objective"] == "prefix"
    )
    still = {"model": lambda n: NotesItsRows(n, dropout=0.0, max_len=60), "epochs": 1, "lr": 1e-12}
    (model, all_of_them), (other, one_pass) = (
        trained(split, **still, objective="prefix", prefixes_per_user=100),
        trained(split, **still),
    )
    assert model.rows == n_targets.sum() and other.rows == 0
    assert all_of_them.epochs[0]["loss"] == pytest.approx(one_pass.epochs[0]["loss"], rel=1e-6)


def test_the_models_own_objective_may_be_named(split):
    (first, history), (second, _) = (
        trained(split),
        trained(split, objective="next-item", prefixes_per_user=3),
    )
    assert weights_equal(first, second) and history.settings["prefixes_per_user"] is None


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_learning_rate_follows_its_schedule(split, monkeypatch, schedule):
    rates, one_step = [], Run.one_step
    monkeypatch.setattr(
        Run,
        "one_step",
        lambda self, batch: (
            rates.append(self.optimizer.param_groups[0]["lr"]),
            one_step(self, batch),
        ),
    )
    trained(split, epochs=4, lr=0.5e-3, lr_schedule=schedule)
    expected = 0.25e-3 * (1 + np.cos(np.pi * np.arange(len(rates)) / len(rates)))
    assert np.allclose(rates, expected if schedule == "cosine" else 0.5e-3, rtol=1e-9)


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
    (_, cpu), (_, gpu) = trained(split), trained(split, device="cuda")
    assert cpu.epochs[0]["loss"] == pytest.approx(
        gpu.epochs[0]["loss"], rel=1e-2
    )  # dropout draws differ
