"""The linear recurrence: every implementation against the loop, and each one's promises.

The Triton kernels have a test file of their own.
"""

import math
import multiprocessing
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minirec.scan import linear_recurrence, recurrence
from minirec.scan import numba_scan as cpu
from minirec.scan.tree import blelloch, combine, hillis_steele

pytestmark = pytest.mark.slow

CLOSE = {"rtol": 1e-11, "atol": 1e-11}
ON_CPU = ("loop", "tree", "numba")
AGAINST_LOOP = ("tree", "numba", "auto")
DECAYS = {
    "any sign": lambda u: 2.4 * u - 1.2,
    "near 1": lambda u: 1 - 1e-7 * u,
    "zero": lambda u: 0 * u,
    "one": lambda u: 0 * u + 1,
    "some zero": lambda u: u * (u > 0.5),
    "alternating": lambda u: -u,
}

# From a leaf tensor to a [B, N, D] with strides of its own: the leaf's shape, and the view of it.
LAYOUTS = {
    "contiguous": (lambda B, N, D: (B, N, D), lambda x: x),
    "left half": (lambda B, N, D: (B, N, 2 * D), lambda x: x.chunk(2, -1)[0]),
    "right half": (lambda B, N, D: (B, N, 2 * D), lambda x: x.chunk(2, -1)[1]),
    "channels first": (lambda B, N, D: (B, D, N), lambda x: x.mT),
    "time first": (lambda B, N, D: (N, B, D), lambda x: x.transpose(0, 1)),
    "every other step": (lambda B, N, D: (B, 2 * N, D), lambda x: x[:, ::2]),
    "one row for all": (lambda B, N, D: (1, N, D), None),  # None: the leaf is expanded
    "one step for all": (lambda B, N, D: (B, 1, D), None),
    "one channel for all": (lambda B, N, D: (B, N, 1), None),
}


def draw(*shape, low=-1.0, high=1.0, dtype=torch.float64, seed=0):
    """A uniform draw between low and high."""
    generator = torch.Generator().manual_seed(seed)
    u = torch.rand(shape, generator=generator, dtype=torch.float64)
    return (low + (high - low) * u).to(dtype)


def between_minus_2_and_2(u):
    return 4 * u - 2


def laid_out(layout, shape, seed, values=between_minus_2_and_2):
    """Return (the leaf, its view [B, N, D]): a float64 draw from 0 to 1 through `values`."""
    shape_of_leaf, view = LAYOUTS[layout]
    u = draw(*shape_of_leaf(*shape), low=0.0, seed=seed)
    leaf = values(u).requires_grad_()
    if view is None:
        return leaf, leaf.expand(shape)
    return leaf, view(leaf)


def with_gradients(impl, leaves, a, b, h0, grad):
    """Return h and the leaves' gradients, zeros where nothing flows.

    The final state counts twice in the loss.
    """
    h = linear_recurrence(a, b, h0, impl=impl)
    loss = (h * grad).sum() + (h[:, -1:] * grad[:, :1]).sum()
    found = torch.autograd.grad(loss, leaves, allow_unused=True, retain_graph=True)
    gradients = []
    for leaf, gradient in zip(leaves, found, strict=True):
        gradients.append(torch.zeros_like(leaf) if gradient is None else gradient)
    return h.detach(), gradients


def naming(impl):
    """Put the implementation's name before PyTorch's own words."""
    return lambda text: f"{impl}: {text}"


def equal(these, those):
    """Whether two lists hold the same arrays or tensors, bit for bit."""
    return all(np.array_equal(this, that) for this, that in zip(these, those, strict=True))


# ----- Every implementation -----------------------------------------------------------------------


@given(
    shape=st.tuples(st.integers(0, 4), st.integers(0, 35), st.integers(1, 20)),
    layouts=st.tuples(*[st.sampled_from(sorted(LAYOUTS))] * 2),
    decay=st.sampled_from(sorted(DECAYS)),
    start=st.booleans(),
    seed=st.integers(0, 2**20),
)
@settings(max_examples=120)
def test_all_equal_the_loop(shape, layouts, decay, start, seed):
    B, _, D = shape
    leaf_a, a = laid_out(layouts[0], shape, seed, DECAYS[decay])
    leaf_b, b = laid_out(layouts[1], shape, seed + 1)
    leaves = [leaf_a, leaf_b]
    h0 = None
    if start:
        leaf_h0, states = laid_out("right half", (1, B, D), seed + 2)
        leaves.append(leaf_h0)
        h0 = states[0]
    _, grad = laid_out("channels first", shape, seed + 3)
    grad = grad.detach()
    before = [leaf.detach().clone() for leaf in leaves]

    expected = with_gradients("loop", leaves, a, b, h0, grad)
    for impl in AGAINST_LOOP:
        found = with_gradients(impl, leaves, a, b, h0, grad)
        torch.testing.assert_close(found, expected, **CLOSE, msg=naming(impl))

    leaves = [leaf.detach() for leaf in leaves]
    assert equal(before, leaves), "an input was changed"


def test_the_loop_is_the_definition():
    a = draw(2, 3, 4)
    b = draw(2, 3, 4, seed=1)
    h0 = draw(2, 4, seed=2)
    h1 = a[:, 0] * h0 + b[:, 0]
    h2 = a[:, 1] * h1 + b[:, 1]
    h3 = a[:, 2] * h2 + b[:, 2]
    found = linear_recurrence(a, b, h0, impl="loop")
    assert torch.equal(found, torch.stack([h1, h2, h3], dim=1))


@pytest.mark.parametrize("n", [*range(1, 20), 31, 32, 33, 100])
@pytest.mark.parametrize("tree_scan", [hillis_steele, blelloch], ids=lambda f: f.__name__)
def test_both_trees_take_any_length(tree_scan, n):
    a = draw(2, n, 3)
    b = draw(2, n, 3, seed=1)
    torch.testing.assert_close(tree_scan(a, b), linear_recurrence(a, b, impl="loop"), **CLOSE)


def test_combine_is_one_step_after_the_other_and_associative():
    a1, b1, a2, b2, a3, b3, h = draw(7, 4)
    a, b = combine(a1, b1, a2, b2)
    torch.testing.assert_close(a * h + b, a2 * (a1 * h + b1) + b2, **CLOSE)

    left_first = combine(a, b, a3, b3)
    right_first = combine(a1, b1, *combine(a2, b2, a3, b3))
    torch.testing.assert_close(left_first, right_first, **CLOSE)


@pytest.mark.parametrize("impl", ON_CPU)
@pytest.mark.parametrize("start", [True, False])
def test_gradients_are_those_of_finite_differences(impl, start):
    shapes = [(2, 5, 3), (2, 5, 3)]
    if start:
        shapes.append((2, 3))
    inputs = [draw(*shape, seed=seed).requires_grad_() for seed, shape in enumerate(shapes)]
    scan = partial(linear_recurrence, impl=impl)

    assert torch.autograd.gradcheck(scan, inputs)
    assert torch.autograd.gradgradcheck(scan, inputs)


def test_a_state_changed_in_place_before_the_way_back_is_refused():
    a = draw(1, 4, 2).requires_grad_()
    b = draw(1, 4, 2, seed=1)
    h = linear_recurrence(a, b)
    with torch.no_grad():
        h.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        h.sum().backward()


@pytest.mark.parametrize("impl", ON_CPU)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_small_types_are_rounded_once_and_the_state_is_carried_in_float32(impl, dtype):
    a = draw(2, 50, 3, low=0.5, dtype=dtype).requires_grad_()
    b = draw(2, 50, 3, dtype=dtype, seed=1).requires_grad_()
    h0 = draw(2, 3, dtype=dtype, seed=2).requires_grad_()
    grad = draw(2, 50, 3, dtype=dtype, seed=3)
    leaves = [a, b, h0]
    h, grads = with_gradients(impl, leaves, a, b, h0, grad)
    in_float64 = [x.double() for x in (a, b, h0, grad)]
    exact, exact_grads = with_gradients("loop", leaves, *in_float64)
    assert h.dtype == dtype
    assert all(g.dtype == dtype for g in grads)

    # h: one rounding, of half an eps, besides float32's own. The gradient of a: h's rounding, its
    # own, and that of a sum.
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(h.double(), exact.double(), rtol=0.5 * eps + 1e-6, atol=1e-5)
    for found, expected in zip(grads, exact_grads, strict=True):
        torch.testing.assert_close(
            found.double(), expected.double(), rtol=2 * eps, atol=2 * eps + 1e-5
        )

    # 256 + 1 is 256 in bfloat16, 2048 + 1 is 2048 in float16.
    ones = torch.ones(1, 3000, 2, dtype=dtype, requires_grad=True)
    h = linear_recurrence(torch.ones_like(ones), ones, impl=impl)
    (grad,) = torch.autograd.grad(h, ones, torch.ones_like(ones))
    assert torch.equal(h[0, :, 0], torch.arange(1.0, 3001).to(dtype))
    assert torch.equal(grad[0, :, 1], torch.arange(3000.0, 0, -1).to(dtype))


def bound(a, b):
    """Largest error in float32 of h [B, N, D], whatever the brackets.

    a, b: float64, already rounded to float32.

    h_t is the sum over s of b_s a_{s+1} ... a_t. Each of these terms takes t - s products, and,
    in the loop, t - s + 1 sums (in a tree, fewer: two per level at most). Every product and sum
    adds a relative error of u = 2^-24 at most. So the term is off by (2 (t - s) + 1) u at most,
    or, for short ones in a tree, by (t - s + 2 ceil(log2 N)) u. With E_t the sum of
    |terms| (t - s + 1) and H_t that of |terms|, h_t is off by u (2 E_t + 2 ceil(log2 N) H_t).
    Both are recurrences themselves: H_t = |a_t| H_{t-1} + |b_t|, E_t = |a_t| E_{t-1} + H_t.
    """
    H = linear_recurrence(a.abs(), b.abs(), impl="loop")
    E = linear_recurrence(a.abs(), H, impl="loop")
    levels = math.ceil(math.log2(a.shape[1]))
    return 1.01 * 2**-24 * (2 * E + 2 * levels * H)  # 1%: the products of small errors


@torch.no_grad()
def test_a_hundred_thousand_steps_do_not_drift():
    n = 100_000
    decays = torch.tensor([0.9, 0.99, 0.999, 0.9999])
    a = (decays + (1 - decays) * draw(1, n, 4, dtype=torch.float32)).double()
    b = (draw(1, n, 4, dtype=torch.float32, seed=1) * (1 - decays**2).sqrt()).double()

    exact = linear_recurrence(a, b, impl="loop")
    allowed = bound(a, b)
    scans = [partial(linear_recurrence, impl=impl) for impl in ON_CPU]
    for scan in (*scans, hillis_steele):
        error = (scan(a.float(), b.float()).double() - exact).abs()
        assert (error <= allowed).all()
        typical = error.square().mean(1).sqrt() / exact.square().mean(1).sqrt()
        assert (typical < 1e-4).all()
        early = error[:, n // 5 : 2 * n // 5].max(1).values
        late = error[:, -n // 5 :].max(1).values
        assert (late < 2 * early).all()

    # g_t = grad_t + a_{t+1} g_{t+1}: the same recurrence, from the end; here grad is b.
    flipped_a = torch.cat([torch.ones_like(a[:, :1]), a[:, 1:].flip(1)], dim=1)
    flipped_b = b.flip(1)
    exact = linear_recurrence(flipped_a, flipped_b, impl="loop").flip(1)
    allowed = bound(flipped_a, flipped_b).flip(1)
    _, g, _ = cpu.scan_backward(a.float(), b.float(), None, b.float())
    assert ((g.double() - exact).abs() <= allowed).all()


# ----- Where numbers overflow ---------------------------------------------------------------------


@pytest.mark.parametrize("first_big, first_nan", [(0, 3), (2, 3), (3, 5), (4, 5), (5, 7)])
def test_coefficients_whose_product_overflows_give_nan_in_a_tree_only(first_big, first_nan):
    a = torch.ones(1, 9, 1)
    a[:, first_big:] = 1e30
    b = torch.zeros(1, 9, 1)
    for impl in ("loop", "numba"):
        assert torch.equal(linear_recurrence(a, b, impl=impl), b)
    h = linear_recurrence(a, b, impl="tree").flatten()
    assert torch.equal(h[:first_nan], b.flatten()[:first_nan])
    assert h[first_nan:].isnan().all()


def test_a_product_that_overflows_times_a_state_that_is_not_0_is_infinite_in_a_tree():
    a = torch.tensor([1, 1, 1e30, 1e30])[None, :, None]
    b = torch.tensor([-1e-30, 0, 0, 0])[None, :, None]
    assert linear_recurrence(a, b, impl="tree")[0, -1, 0] == -math.inf
    assert linear_recurrence(a, b, impl="loop")[0, -1, 0] == pytest.approx(-1e30)


@given(data=st.data(), n=st.integers(1, 20))
def test_no_tree_overflows_with_coefficients_of_at_most_1(data, n):
    coefficients = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, -1e-45])
    inputs = st.sampled_from([0.0, 1e37, -1e37, 1.0, 1e-45])  # 20 of them and h0: 3e38 at most
    a = torch.tensor(data.draw(st.lists(coefficients, min_size=n, max_size=n)))[None, :, None]
    b = torch.tensor(data.draw(st.lists(inputs, min_size=n, max_size=n)))[None, :, None]
    h0 = torch.tensor([[data.draw(st.sampled_from([0.0, 1e38, -1e38]))]])

    exact = linear_recurrence(a.double(), b.double(), h0.double(), impl="loop")
    largest = b.abs().sum() + h0.abs().sum()
    for impl in AGAINST_LOOP:
        h = linear_recurrence(a, b, h0, impl=impl)
        assert h.isfinite().all()
        assert ((h.double() - exact).abs() <= 1e-5 * largest + 1e-42).all()


# ----- The Numba kernels: blocks and threads ------------------------------------------------------


@pytest.fixture
def threads():
    """Sets PyTorch's number of threads, and puts it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def forward_and_backward(a, b, h0, grad):
    """Return h and the gradients of a, b and h0, as arrays."""
    h = cpu.scan_forward(a, b, h0)
    gradients = cpu.scan_backward(a, h, h0, grad)
    return [tensor.numpy() for tensor in (h, *gradients)]


def inputs_of(shape, seed=0):
    B, _, D = shape
    a = draw(*shape, dtype=torch.float32, seed=seed)
    b = draw(*shape, dtype=torch.float32, seed=seed + 1)
    grad = draw(*shape, dtype=torch.float32, seed=seed + 2)
    h0 = draw(B, D, dtype=torch.float32, seed=seed + 3)
    return a, b, h0, grad


SHARED = [  # each worth sharing
    (4, 300, 40),
    (2, 500, 40),
    (1, 1100, 33),
    (7, 5000, 1),
    (1, 40_000, 1),
    (3, 400, 128),
    (2, 50, 700),
]


@pytest.mark.parametrize("shape", SHARED, ids=str)
def test_the_number_of_threads_changes_nothing(threads, shape):
    assert math.prod(shape) >= cpu.WORTH_SHARING
    inputs = inputs_of(shape)
    threads(1)
    alone = forward_and_backward(*inputs)
    h = torch.from_numpy(alone[0])
    expected = linear_recurrence(*inputs[:3], impl="tree")
    torch.testing.assert_close(h, expected, rtol=1e-4, atol=1e-5)
    for n in (2, 3, 5):
        threads(n)
        assert equal(alone, forward_and_backward(*inputs))


@pytest.mark.parametrize("n_threads", [1, 2, 3, 5, 8])
@pytest.mark.parametrize(
    "shape", [*SHARED, (2, 3, 4), (0, 5, 2), (2, 0, 3), (8, 4096, 2), (9, 4096, 17)], ids=str
)
def test_blocks_cover_every_row_and_channel_once(threads, shape, n_threads):
    threads(n_threads)
    blocks = []

    def note(first_row, last_row, first, last):
        blocks.append((slice(first_row, last_row), slice(first, last)))

    cpu.share(shape, note)
    times = np.zeros((shape[0], shape[2]), int)
    for block in blocks:
        times[block] += 1
    assert (times == 1).all()
    assert 1 <= len(blocks) <= n_threads
    assert len(blocks) == 1 or math.prod(shape) >= cpu.WORTH_SHARING
    assert all(columns.start % cpu.VECTOR == 0 for _, columns in blocks)


def test_several_python_threads_may_call_it_at_once(threads):
    threads(2)
    inputs = [inputs_of(SHARED[i % 2], seed=i) for i in range(12)]
    one_by_one = [forward_and_backward(*each) for each in inputs]
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(forward_and_backward, *each) for each in inputs]
        at_once = [each.result(timeout=60) for each in waiting]
    for alone, beside_others in zip(one_by_one, at_once, strict=True):
        assert equal(alone, beside_others)


def test_an_error_on_any_thread_is_raised(threads):
    threads(3)

    def fails(first_row, *rest):
        if first_row:
            raise ValueError(f"row {first_row}")

    with pytest.raises(ValueError, match=r"row [24]"):
        cpu.share((6, 10_000, 1), fails)


def test_one_thread_does_it_all_where_openmp_has_another_name(threads, monkeypatch):
    threads(3)
    inputs = inputs_of(SHARED[0])
    expected = forward_and_backward(*inputs)
    monkeypatch.setattr(cpu, "_openmp", lambda: None)
    assert equal(expected, forward_and_backward(*inputs))


def test_pytorch_brings_the_openmp_that_is_asked_for():
    assert cpu._openmp() is not None or not sys.platform.startswith("linux")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork on Windows")
def test_it_works_after_a_fork(threads):
    threads(2)
    inputs = inputs_of(SHARED[0])
    # The parent's threads are running after this; none of them is in the child.
    expected = forward_and_backward(*inputs)

    def child():
        same = equal(expected, forward_and_backward(*inputs))
        sys.exit(0 if same else 1)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(20)
    hangs = process.is_alive()
    process.kill()
    assert not hangs
    assert process.exitcode == 0


def test_views_with_their_channels_side_by_side_are_not_copied():
    both = draw(3, 7, 8)
    for view in (
        *both.chunk(2, -1),
        both[:, ::2],
        both[::2, 1:],
        both.transpose(0, 1),
        both[:1].expand(5, 7, 8),
        both[..., :1],
    ):
        flat, by_row, by_step = cpu.lines_of(view)
        assert flat.ctypes.data == view.data_ptr()
        assert flat[by_row + by_step] == view[1, 1, 0]


# ----- What is refused ----------------------------------------------------------------------------


class TestErrors:
    f32 = torch.zeros(2, 3, 4)
    f64 = torch.zeros(2, 3, 4).double()

    @pytest.mark.parametrize(
        "inputs, error, says",
        [
            ((f32[0], f32[0]), ValueError, r"a and b .* \[B, N, D\]; got \[3, 4\] and \[3, 4\]"),
            ((f32, f32[:, :2]), ValueError, r"got \[2, 3, 4\] and \[2, 2, 4\]"),
            # What would broadcast is refused too.
            ((f32, f32[..., :1]), ValueError, r"got \[2, 3, 4\] and \[2, 3, 1\]"),
            ((f32, f32, f32[:, 0, :3]), ValueError, r"h0 .* \[B, D\] = \[2, 4\]; got \[2, 3\]"),
            ((f32, f32, f32[0, 0]), ValueError, r"h0 .* got \[4\]"),
            ((f32, f64), TypeError, "one dtype; got a torch.float32, b torch.float64"),
            (
                (f32, f32, f64[:, 0]),
                TypeError,
                "one dtype; got a torch.float32, b torch.float32, h0 torch.float64",
            ),
            ((f32, f32.to("meta")), TypeError, "one device; got a cpu, b meta"),
            ((f32, f32, f32[:, 0].to("meta")), TypeError, "h0 meta"),
            (
                (f32.long(), f32.long()),
                TypeError,
                "float32, float64, bfloat16 or float16; got torch.int64",
            ),
            ((f32.to(torch.cfloat), f32.to(torch.cfloat)), TypeError, "got torch.complex64"),
        ],
    )
    @pytest.mark.parametrize("impl", ["auto", "loop", "numba"])
    def test_what_disagrees_is_named(self, inputs, error, says, impl):
        with pytest.raises(error, match=says):
            linear_recurrence(*inputs, impl=impl)

    @pytest.mark.parametrize("impl", ["Numba", "cuda", "", None])
    def test_an_unknown_implementation_is_named(self, impl):
        with pytest.raises(ValueError, match=f"auto, loop, tree, numba, triton; got {impl!r}"):
            linear_recurrence(self.f32, self.f32, impl=impl)

    def test_a_kernel_for_another_device_is_refused(self):
        away = self.f32.to("meta")
        with pytest.raises(RuntimeError, match="'numba' works on cpu tensors; these are on meta"):
            linear_recurrence(away, away, impl="numba")
        assert linear_recurrence(away, away).shape == away.shape
        assert recurrence.best(away.device) == "tree"

    @pytest.mark.parametrize("impl", ["numba", "triton"])
    def test_without_its_library_an_implementation_is_refused_and_auto_uses_the_tree(
        self, monkeypatch, impl
    ):
        a = draw(2, 5, 3)
        b = draw(2, 5, 3, seed=1)
        expected = linear_recurrence(a, b, impl="loop")
        assert recurrence.best(torch.device("cpu")) == "numba"

        def refuse(name):
            raise ModuleNotFoundError(f"nothing called {name} here", name=name)

        monkeypatch.setattr(recurrence, "_import_kernels", refuse)
        message = (
            f"impl='{impl}' cannot be used here: nothing called {impl} here. "
            "Use impl='auto', or 'tree'"
        )
        with pytest.raises(RuntimeError, match=message):
            linear_recurrence(a, b, impl=impl)
        assert recurrence.best(torch.device("cpu")) == "tree"
        assert recurrence.best(torch.device("cuda")) == "tree"
        torch.testing.assert_close(linear_recurrence(a, b), expected, **CLOSE)

    @pytest.mark.parametrize(
        "reason",
        [
            ImportError("Numba needs NumPy 2.2 or less"),
            ModuleNotFoundError("No module named 'llvmlite'", name="llvmlite"),
            AttributeError("no attribute 'constexpr'"),
            OSError("Could not find the shared object file"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_with_a_library_that_fails_auto_says_so_and_uses_the_tree(self, monkeypatch, reason):
        a = draw(2, 5, 3)
        b = draw(2, 5, 3, seed=1)
        expected = linear_recurrence(a, b, impl="loop")

        def refuse(name):
            raise reason

        monkeypatch.setattr(recurrence, "_import_kernels", refuse)
        message = f"numba is installed but cannot be used.*impl='tree'.*{reason}.*Install a version"
        with pytest.warns(RuntimeWarning, match=message):
            found = linear_recurrence(a, b)
        torch.testing.assert_close(found, expected, **CLOSE)
        with pytest.raises(RuntimeError, match=f"impl='numba' cannot be used here: {reason}"):
            linear_recurrence(a, b, impl="numba")

    @pytest.mark.parametrize("error", [RuntimeError, SyntaxError, ZeroDivisionError])
    def test_any_other_failure_of_an_implementation_is_raised(self, monkeypatch, error):
        def fail(name):
            raise error("in our own code")

        monkeypatch.setattr(recurrence, "_import_kernels", fail)
        with pytest.raises(error, match="in our own code"):
            linear_recurrence(self.f32, self.f32)
