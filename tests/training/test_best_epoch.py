"""Which epoch is the best where several are equally good, and what is kept of it."""

import pytest
import torch
from small_models import RunningMean

from minirec import fit
from minirec.data.planted import generate_planted

pytestmark = pytest.mark.slow

TOO_SMALL_TO_CHANGE_A_FLOAT = 1e-30  # a learning rate: all epochs end with the first weights


def trained_without_a_change(patience: int | None):
    split = generate_planted(1, n_users=60).split()
    torch.manual_seed(0)
    model = RunningMean(split.interactions.n_items)
    return fit(
        model,
        split,
        epochs=5,
        lr=TOO_SMALL_TO_CHANGE_A_FLOAT,
        patience=patience,
        device="cpu",
    )


def test_of_epochs_that_are_equally_good_the_first_is_the_best():
    history = trained_without_a_change(patience=None)
    assert len({entry["valid_ndcg"] for entry in history.epochs}) == 1
    assert len(history.epochs) == 5
    assert history.best_epoch == 1


def test_an_epoch_that_is_only_as_good_does_not_renew_the_patience():
    history = trained_without_a_change(patience=2)
    assert history.stopped == "patience"
    assert len(history.epochs) == 3
