"""The chunked cross-entropy, against torch's own on the whole matrix of scores."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis.strategies import integers
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensorMode
from torch.nn.functional import cross_entropy
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from minirec import losses
from minirec.losses import full_softmax_loss, represent


def random_case(seed: int, n_targets: int, n_items: int, d: int, dtype=torch.float64):
    """(representations [T, d], embeddings [V + 1, d], targets [T])"""
    generator = torch.Generator().manual_seed(seed)

    def random_rows(n):
        rows = torch.randn(n, d, generator=generator, dtype=torch.float64)
        return rows.to(dtype).requires_grad_()

    x = random_rows(n_targets)
    e = random_rows(n_items + 1)
    targets = torch.randint(1, n_items + 1, (n_targets,), generator=generator)
    return x, e, targets


def whole_loss(x, e, targets):
    return cross_entropy(x @ e[1:].T, targets - 1)


def make_chunks_small(patch: pytest.MonkeyPatch, scores_per_chunk: int):
    """Let a chunk have that many scores, and a single target if they are fewer than the items.

    It has several blocks, because each has a third of the scores or fewer.
    """
    patch.setitem(losses.SCORES_PER_CHUNK, "cpu", scores_per_chunk)
    threads = torch.get_num_threads()
    patch.setattr(losses, "SCORES_PER_BLOCK_AND_THREAD", scores_per_chunk // (3 * threads))
    patch.setattr(losses, "LEAST_TARGETS_PER_CHUNK", 1)


@pytest.fixture
def small_chunks(monkeypatch):
    make_chunks_small(monkeypatch, 64)


@given(
    seed=integers(0, 10**6),
    n_targets=integers(1, 23),
    n_items=integers(1, 40),
    per_chunk=integers(1, 300),
)
def test_value_and_gradients_are_those_of_the_whole_matrix(seed, n_targets, n_items, per_chunk):
    x, e, targets = random_case(seed, n_targets, n_items, d=5)
    with pytest.MonkeyPatch.context() as patch:
        make_chunks_small(patch, per_chunk)
        ours = full_softmax_loss(x, e, targets)
        # Scaled, so that the incoming gradient matters.
        our_gradients = torch.autograd.grad(ours * 3, (x, e))
    theirs = whole_loss(x, e, targets)
    their_gradients = torch.autograd.grad(theirs * 3, (x, e))
    assert_close(ours, theirs, rtol=0, atol=1e-12)
    assert_close(our_gradients, their_gradients, rtol=0, atol=1e-12)


def test_gradients_are_those_of_finite_differences(small_chunks):
    x, e, targets = random_case(0, 7, 20, 3)

    def loss(x, e):
        return full_softmax_loss(x, e, targets)

    assert torch.autograd.gradcheck(loss, (x, e))


def test_the_padding_as_a_class_of_many_chunks_of_many_blocks_is_that_of_all_rows():
    x, e, targets = random_case(4, 3 * losses.LEAST_TARGETS_PER_CHUNK + 1, 9000, 3)
    ours = full_softmax_loss(x, e, targets, padding_class=True)
    theirs = cross_entropy(x @ e.T, targets)
    assert_close(ours, theirs, rtol=0, atol=1e-12)
    assert_close(
        torch.autograd.grad(ours, (x, e)), torch.autograd.grad(theirs, (x, e)), rtol=0, atol=1e-12
    )


def test_padding_is_no_candidate_and_gets_no_gradient():
    x, e, targets = random_case(0, 6, 9, 4)
    loss = full_softmax_loss(x, e, targets)
    changed = torch.cat([e[:1] + 100, e[1:]])
    assert torch.equal(full_softmax_loss(x, changed, targets), loss)
    (gradient,) = torch.autograd.grad(loss, e)
    assert not gradient[0].any()


@given(
    seed=integers(0, 10**6),
    n_targets=integers(1, 23),
    n_absent=integers(0, 5),
    n_items=integers(1, 40),
    per_chunk=integers(1, 300),
)
def test_with_the_padding_as_a_class_they_are_those_of_all_rows(
    seed, n_targets, n_absent, n_items, per_chunk
):
    x, e, targets = random_case(seed, n_targets + n_absent, n_items, d=5)
    targets[:n_absent] = 0
    with pytest.MonkeyPatch.context() as patch:
        make_chunks_small(patch, per_chunk)
        ours = full_softmax_loss(x, e, targets, padding_class=True)
        our_gradients = torch.autograd.grad(ours * 3, (x, e))
    theirs = cross_entropy(x[n_absent:] @ e.T, targets[n_absent:])
    their_gradients = torch.autograd.grad(theirs * 3, (x, e))
    assert_close(ours, theirs, rtol=0, atol=1e-12)
    assert_close(our_gradients, their_gradients, rtol=0, atol=1e-12)
    assert not our_gradients[0][:n_absent].any()


@given(
    seed=integers(0, 10**6),
    n_targets=integers(1, 23),
    n_absent=integers(0, 23),
    n_items=integers(1, 40),
    per_chunk=integers(1, 300),
)
def test_rows_without_a_target_count_nothing(seed, n_targets, n_absent, n_items, per_chunk):
    x, e, targets = random_case(seed, n_targets + n_absent, n_items, d=5)
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed))
    absent = order[:n_absent]
    real = order[n_absent:]
    targets[absent] = 0
    with pytest.MonkeyPatch.context() as patch:
        make_chunks_small(patch, per_chunk)
        ours = full_softmax_loss(x, e, targets)
        our_gradients = torch.autograd.grad(ours * 3, (x, e))
    theirs = whole_loss(x[real], e, targets[real])
    their_gradients = torch.autograd.grad(theirs * 3, (x, e))
    assert_close(ours, theirs, rtol=0, atol=1e-12)
    assert_close(our_gradients, their_gradients, rtol=0, atol=1e-12)
    assert not our_gradients[0][absent].any()


def test_a_row_without_a_target_may_hold_anything():
    x, e, targets = random_case(0, 6, 9, 4)
    targets[2] = 0
    loss = full_softmax_loss(x, e, targets)
    gradients = torch.autograd.grad(loss, (x, e))
    for anything in (1e308, torch.inf, torch.nan):
        changed = x.detach().clone()
        changed[2] = anything
        changed.requires_grad_()
        loss_of_changed = full_softmax_loss(changed, e, targets)
        assert torch.equal(loss_of_changed, loss)
        gradients_of_changed = torch.autograd.grad(loss_of_changed, (changed, e))
        assert torch.equal(gradients_of_changed[0], gradients[0])
        assert torch.equal(gradients_of_changed[1], gradients[1])


@pytest.mark.parametrize("n_rows", [0, 5])
def test_without_any_target_the_loss_and_its_gradients_are_zero(n_rows):
    x, e, _ = random_case(0, n_rows, 9, 4)
    loss = full_softmax_loss(x, e, torch.zeros(n_rows, dtype=torch.long))
    assert loss == 0
    for gradient in torch.autograd.grad(loss, (x, e)):
        assert torch.equal(gradient, torch.zeros_like(gradient))


def test_gradients_with_absent_targets_are_those_of_finite_differences(small_chunks):
    x, e, targets = random_case(1, 7, 20, 3)
    targets[[0, 3, 6]] = 0

    def loss(x, e):
        return full_softmax_loss(x, e, targets)

    assert torch.autograd.gradcheck(loss, (x, e))


# Autograd asks even of a fake CUDA tensor that PyTorch be built for CUDA.
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_shape_depends_on_the_data(device, dtype):
    # A fake tensor has a shape and no numbers: to ask it for one, or for a mask's, raises.
    with FakeTensorMode():
        x = torch.empty(3_000, 8, device=device, requires_grad=True)
        e = torch.empty(10_001, 8, device=device, requires_grad=True)
        targets = torch.empty(3_000, dtype=torch.long, device=device)
        with torch.autocast(device, torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = full_softmax_loss(x, e, targets)
        gradients = torch.autograd.grad(loss, (x, e))
    assert loss.shape == ()
    assert loss.device.type == device
    assert [gradient.shape for gradient in gradients] == [x.shape, e.shape]
    assert [gradient.device.type for gradient in gradients] == [device] * 2


def test_a_shape_that_depends_on_the_data_would_have_been_noticed():
    with FakeTensorMode():
        x = torch.empty(3_000, 8)
        targets = torch.empty(3_000, dtype=torch.long)
        with pytest.raises(DynamicOutputShapeException):
            x[targets > 0]


def test_tensors_without_numbers_have_a_loss_without_a_number():
    x = torch.empty(30, 8, device="meta", requires_grad=True)
    e = torch.empty(11, 8, device="meta", requires_grad=True)
    loss = full_softmax_loss(x, e, torch.empty(30, dtype=torch.long, device="meta"))
    loss.backward()
    assert loss.shape == ()
    assert x.grad.shape == x.shape
    assert e.grad.shape == e.shape


def test_large_scores_do_not_overflow():
    x, e, targets = random_case(0, 6, 9, 4, torch.float32)
    assert_close(full_softmax_loss(x * 1000, e, targets), whole_loss(x * 1000, e, targets))


class LargestTensor(TorchDispatchMode):
    """Remembers the largest number of elements that any operation inside returned."""

    def __init__(self):
        super().__init__()
        self.n = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        if keywords is None:
            keywords = {}
        result = function(*arguments, **keywords)
        returned = result if isinstance(result, (tuple, list)) else [result]
        for tensor in returned:
            if isinstance(tensor, torch.Tensor):
                self.n = max(self.n, tensor.numel())
        return result


def largest(loss, n_targets, n_items, d):
    x, e, targets = random_case(0, n_targets, n_items, d)
    with LargestTensor() as seen:
        loss(x, e, targets).backward()
    return seen.n


def test_no_tensor_is_larger_than_a_chunk_an_input_or_a_gradient(small_chunks):
    for n_targets, n_items, d in ((400, 30, 2), (50, 500, 3)):
        allowed = max(64, n_items + 1, n_targets * d, (n_items + 1) * d)
        assert largest(full_softmax_loss, n_targets, n_items, d) <= allowed


def test_a_chunk_has_at_least_its_least_targets_however_many_the_items(monkeypatch):
    make_chunks_small(monkeypatch, 64)
    monkeypatch.setattr(losses, "LEAST_TARGETS_PER_CHUNK", 16)
    assert largest(full_softmax_loss, 50, 500, 3) == 16 * 500


def test_the_whole_matrix_would_have_been_noticed():
    assert largest(whole_loss, 400, 30, 2) == 400 * 30


def test_bfloat16_autocast_is_close_to_rounding_the_inputs():
    x, e, targets = random_case(1, 200, 300, 16, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        loss = full_softmax_loss(x, e, targets)
    gradients = torch.autograd.grad(loss, (x, e))
    assert loss.dtype == torch.float32
    assert [gradient.dtype for gradient in gradients] == [torch.float32] * 2

    rounded = [part.detach().bfloat16().double().requires_grad_() for part in (x, e)]
    exact_loss = whole_loss(*rounded, targets)
    exact_gradients = torch.autograd.grad(exact_loss, rounded)
    step = 2.0**-8  # between neighbouring bfloat16 numbers, relatively
    scores = rounded[0] @ rounded[1].T
    assert abs(loss.item() - exact_loss.item()) < step * scores.abs().max().item()
    for ours, exact in zip(gradients, exact_gradients, strict=True):
        assert (ours - exact).norm() < 4 * step * exact.norm()


@pytest.mark.parametrize("n_items", [1000, 3001])
def test_under_bfloat16_autocast_sums_over_items_keep_float32s_digits(n_items):
    _, e, targets = random_case(3, 6, n_items, 8, torch.float32)
    x = torch.zeros(6, 8)  # all scores are 0, exactly, so that nothing but the sum can round
    with torch.autocast("cpu", torch.bfloat16):
        loss = full_softmax_loss(x, e, targets)
    assert loss.item() == pytest.approx(math.log(n_items), abs=1e-5)


def test_bfloat16_representations_get_bfloat16_gradients_of_a_float32_loss():
    x, e, targets = random_case(2, 20, 30, 8, torch.float32)
    half = x.detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        loss = full_softmax_loss(half, e, targets)
        loss.backward()
    assert loss.dtype == torch.float32
    assert half.grad.dtype == torch.bfloat16
    assert e.grad.dtype == torch.float32


def test_second_derivatives_are_refused():
    x, e, targets = random_case(0, 4, 5, 3)
    with pytest.raises(RuntimeError, match="once only"):
        torch.autograd.grad(full_softmax_loss(x, e, targets), x, create_graph=True)


class EveryItemItself:
    """Represents each position by its item's id and ten times that."""

    def encode(self, items):
        return torch.stack([items, 10 * items], dim=-1).float()


@pytest.mark.parametrize("room", [2, 3, 5])
def test_each_target_is_represented_once_however_much_room_there_is(room):
    items = torch.tensor([[3, 1], [2, 5]])
    targets = torch.tensor([[1, 0], [0, 4]])  # the very last position has one, too
    positions = torch.tensor([0, 3, 4, 4, 4])[:room]
    representations, found = represent(EveryItemItself(), "next-item", items, targets, positions)
    assert found.tolist() == [1, 4, 0, 0, 0][:room]
    assert representations[:2].tolist() == [[3, 30], [5, 50]]


def test_without_positions_the_targets_are_counted():
    items = torch.tensor([[3, 1], [2, 5]])
    targets = torch.tensor([[0, 7], [6, 0]])
    representations, found = represent(EveryItemItself(), "next-item", items, targets)
    assert found.tolist() == [7, 6]
    assert representations.tolist() == [[1, 10], [2, 20]]


def test_the_scores_of_bfloat16_are_added_up_in_float32():
    """Of 301 equal scores the loss is log 301; bfloat16 has no number between 300 and 302."""
    embeddings = torch.zeros(302, 4, dtype=torch.bfloat16)
    representations = torch.ones(3, 4, dtype=torch.bfloat16)
    loss = full_softmax_loss(representations, embeddings, torch.tensor([1, 7, 301]))
    assert loss.item() == pytest.approx(math.log(301), abs=1e-5)


def test_under_bfloat16_autocast_gradients_of_many_chunks_are_added_up_in_float32():
    """Each of 600 chunks adds -64. Beyond 16,384 the next number of bfloat16 is 128 away.

    Two items that score alike, and the first is the target every time: its gradient is the mean of
    1/2 - 1.
    """
    n_targets = 600 * 128
    representations = torch.ones(n_targets, 1)
    embeddings = torch.zeros(3, 1, requires_grad=True)
    targets = torch.ones(n_targets, dtype=torch.long)
    with pytest.MonkeyPatch.context() as patch, torch.autocast("cpu", torch.bfloat16):
        patch.setattr(losses, "SCORES_PER_CHUNK", {"cpu": 1, "cuda": 1})
        full_softmax_loss(representations, embeddings, targets).backward()
    assert embeddings.grad[:, 0].tolist() == [0.0, -0.5, 0.5]


def test_under_bfloat16_autocast_a_float32_representation_has_a_float32_gradient():
    """Among three items that score alike, the gradient is the mean embedding less the target's."""
    representations = torch.zeros(1, 1, requires_grad=True)
    embeddings = torch.tensor([[0.0], [1.0], [0.0], [0.0]])
    with torch.autocast("cpu", torch.bfloat16):
        full_softmax_loss(representations, embeddings, torch.tensor([2])).backward()
    assert representations.grad.item() == pytest.approx(1 / 3, rel=1e-6)
