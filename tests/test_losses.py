"""The chunked cross-entropy, against torch's own on the whole matrix of scores."""

import pytest
import torch
from hypothesis import given
from hypothesis.strategies import integers
from torch.nn.functional import cross_entropy
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from minirec import losses
from minirec.losses import full_softmax_loss


def random_case(seed: int, n_targets: int, n_items: int, d: int, dtype=torch.float64):
    """(representations [T, d], embeddings [V + 1, d], targets [T])"""
    generator = torch.Generator().manual_seed(seed)
    x, e = (
        torch.randn(n, d, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
        for n in (n_targets, n_items + 1)
    )
    return x, e, torch.randint(1, n_items + 1, (n_targets,), generator=generator)


def whole_loss(x, e, targets):
    return cross_entropy(x @ e[1:].T, targets - 1)


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(losses, "SCORES_PER_CHUNK", {"cpu": 64})


@given(
    seed=integers(0, 10**6),
    n_targets=integers(1, 23),
    n_items=integers(1, 40),
    per_chunk=integers(1, 300),
)
def test_value_and_gradients_are_those_of_the_whole_matrix(seed, n_targets, n_items, per_chunk):
    x, e, targets = random_case(seed, n_targets, n_items, d=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(losses, "SCORES_PER_CHUNK", {"cpu": per_chunk})
        ours = full_softmax_loss(x, e, targets)
        gradients = torch.autograd.grad(
            ours * 3, (x, e)
        )  # scaled, so that the incoming gradient matters
    theirs = whole_loss(x, e, targets)
    assert_close(ours, theirs, rtol=0, atol=1e-12)
    assert_close(gradients, torch.autograd.grad(theirs * 3, (x, e)), rtol=0, atol=1e-12)


def test_gradients_are_those_of_finite_differences(small_chunks):
    x, e, targets = random_case(0, 7, 20, 3)
    assert torch.autograd.gradcheck(lambda x, e: full_softmax_loss(x, e, targets), (x, e))


def test_padding_is_no_candidate_and_gets_no_gradient():
    x, e, targets = random_case(0, 6, 9, 4)
    loss = full_softmax_loss(x, e, targets)
    changed = torch.cat([e[:1] + 100, e[1:]])
    assert torch.equal(full_softmax_loss(x, changed, targets), loss)
    assert not torch.autograd.grad(loss, e)[0][0].any()


def test_large_scores_do_not_overflow():
    x, e, targets = random_case(0, 6, 9, 4, torch.float32)
    assert_close(full_softmax_loss(x * 1000, e, targets), whole_loss(x * 1000, e, targets))


class LargestTensor(TorchDispatchMode):
    """Remembers the largest number of elements that any operation inside returned."""

    def __init__(self):
        super().__init__()
        self.n = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **keywords or {})
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            self.n = max(self.n, tensor.numel() if isinstance(tensor, torch.Tensor) else 0)
        return result


def largest(loss, n_targets, n_items, d):
    x, e, targets = random_case(0, n_targets, n_items, d)
    with LargestTensor() as seen:
        loss(x, e, targets).backward()
    return seen.n


def test_no_tensor_is_larger_than_a_chunk_an_input_or_a_gradient(small_chunks):
    for n_targets, n_items, d in ((400, 30, 2), (50, 500, 3)):
        assert largest(full_softmax_loss, n_targets, n_items, d) <= max(
            64, n_items + 1, n_targets * d, (n_items + 1) * d
        )


def test_the_whole_matrix_would_have_been_noticed():
    assert largest(whole_loss, 400, 30, 2) == 400 * 30


def test_bfloat16_autocast_is_close_to_rounding_the_inputs():
    x, e, targets = random_case(1, 200, 300, 16, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        ours = full_softmax_loss(x, e, targets)
    gradients = torch.autograd.grad(ours, (x, e))
    rounded = [t.detach().bfloat16().double().requires_grad_() for t in (x, e)]
    exact = whole_loss(*rounded, targets)
    assert ours.dtype == torch.float32 and [g.dtype for g in gradients] == [torch.float32] * 2
    step = 2.0**-8  # between neighbouring bfloat16 numbers, relatively
    scores = rounded[0] @ rounded[1].T
    assert abs(ours.item() - exact.item()) < step * scores.abs().max().item()
    for ours, exact in zip(gradients, torch.autograd.grad(exact, rounded)):
        assert (ours - exact).norm() < 4 * step * exact.norm()


def test_bfloat16_representations_get_bfloat16_gradients_of_a_float32_loss():
    x, e, targets = random_case(2, 20, 30, 8, torch.float32)
    half = x.detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        loss = full_softmax_loss(half, e, targets)
        loss.backward()
    assert (loss.dtype, half.grad.dtype, e.grad.dtype) == (
        torch.float32,
        torch.bfloat16,
        torch.float32,
    )


def test_second_derivatives_are_refused():
    x, e, targets = random_case(0, 4, 5, 3)
    with pytest.raises(RuntimeError, match="once only"):
        torch.autograd.grad(full_softmax_loss(x, e, targets), x, create_graph=True)
