"""Every system trains in both precisions, by every objective that it can have."""

import math

import pytest
import torch
from small_models import WAYS_TO_TRAIN, small_system

from minirec import fit
from minirec.data.planted import generate_planted

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def split():
    return generate_planted(1, n_users=40).split()


def losses_and_weights(split, name, objective, precision):
    model = small_system(name, split.interactions.n_items, d_model=8, max_len=30, d_state=4)
    history = fit(
        model,
        split,
        epochs=3,
        batch_size=128,
        lr=1e-2,
        patience=None,
        device="cpu",
        objective=objective,
        precision=precision,
    )
    return [entry["loss"] for entry in history.epochs], list(model.parameters())


@pytest.mark.parametrize("name, objective", WAYS_TO_TRAIN)
def test_every_system_learns_in_bfloat16_nearly_as_in_float32(split, name, objective):
    full, _ = losses_and_weights(split, name, objective, "float32")
    half, weights = losses_and_weights(split, name, objective, "bfloat16")
    for losses in (full, half):
        assert all(math.isfinite(loss) for loss in losses)
        assert losses[-1] < losses[0]
    assert all(weight.dtype == torch.float32 and weight.isfinite().all() for weight in weights)

    # bfloat16 has 8 bits, so a product is off by up to 2^-9 of itself; over hundreds of targets
    # such errors of either sign leave less than that of a mean loss. Half a dozen steps of Adam,
    # whose gradients are off likewise, may double it.
    assert half == pytest.approx(full, rel=2**-8)
    assert half != full
