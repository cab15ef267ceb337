"""The linear recurrence: every implementation against the loop, and each one's promises. (The Triton kernels have a test file of their own.)"""

import importlib
import math
import multiprocessing
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minirec.scan import linear_recurrence
from minirec.scan import numba_scan as cpu
from minirec.scan import recurrence as scan
from minirec.scan.tree import blelloch, combine, hillis_steele

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
# From a leaf tensor to a [B, N, D] with strides of its own. The leaf's shape; the view of it.
LAYOUTS = {
    "contiguous": (lambda B, N, D: (B, N, D), lambda x: x),
    "left half": (lambda B, N, D: (B, N, 2 * D), lambda x: x.chunk(2, -1)[0]),
    "right half": (lambda B, N, D: (B, N, 2 * D), lambda x: x.chunk(2, -1)[1]),
    "channels first": (lambda B, N, D: (B, D, N), lambda x: x.mT),
    "time first": (lambda B, N, D: (N, B, D), lambda x: x.transpose(0, 1)),
    "every other step": (lambda B, N, D: (B, 2 * N, D), lambda x: x[:, ::2]),
    "one row for all": (lambda B, N, D: (1, N, D), None),
    "one step for all": (lambda B, N, D: (B, 1, D), None),
    "one channel for all": (lambda B, N, D: (B, N, 1), None),
}


def laid_out(layout, shape, seed, values=lambda u: 4 * u - 2):
    """(the leaf, its view [B, N, D]): a float64 draw through `values`."""
    leaf_shape, view = LAYOUTS[layout]
    u = torch.rand(
        leaf_shape(*shape), generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    leaf = values(u).requires_grad_()
    return leaf, leaf.expand(shape) if view is None else view(leaf)


def with_gradients(impl, leaves, a, b, h0, grad):
    """(h, the leaves' gradients; zeros where nothing flows): the final state counts twice."""
    h = linear_recurrence(a, b, h0, impl=impl)
    out = (h * grad).sum() + (h[:, -1:] * grad[:, :1]).sum()
    found = torch.autograd.grad(out, leaves, allow_unused=True, retain_graph=True)
    return h.detach(), [
        torch.zeros_like(leaf) if g is None else g for leaf, g in zip(leaves, found)
    ]


@given(
    shape=st.tuples(st.integers(0, 4), st.integers(0, 35), st.integers(1, 20)),
    layouts=st.tuples(*[st.sampled_from(sorted(LAYOUTS))] * 2),
    decay=st.sampled_from(sorted(DECAYS)),
    start=st.booleans(),
    seed=st.integers(0, 2**20),
)
@settings(max_examples=120)
def test_all_equal_the_loop(shape, layouts, decay, start, seed):
    leaf_a, a = laid_out(layouts[0], shape, seed, DECAYS[decay])
    leaf_b, b = laid_out(layouts[1], shape, seed + 1)
    leaf_h0, h0 = laid_out("right half", (1, shape[0], shape[2]), seed + 2)
    leaves, h0 = ([leaf_a, leaf_b, leaf_h0], h0[0]) if start else ([leaf_a, leaf_b], None)
    grad = laid_out("channels first", shape, seed + 3)[1].detach()
    before = [leaf.detach().clone() for leaf in leaves]
    h, grads = with_gradients("loop", leaves, a, b, h0, grad)
    for impl in AGAINST_LOOP:
        torch.testing.assert_close(
            with_gradients(impl, leaves, a, b, h0, grad),
            (h, grads),
            **CLOSE,
            msg=lambda text: f"{impl}: {text}",
        )
    assert all(map(torch.equal, before, leaves)), "an input was changed"


def draw(*shape, low=-1.0, high=1.0, dtype=torch.float64, seed=0):
    u = torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (low + (high - low) * u).to(dtype)


def test_the_loop_is_the_definition():
    a, b, h0 = draw(2, 3, 4), draw(2, 3, 4, seed=1), draw(2, 4, seed=2)
    h1 = a[:, 0] * h0 + b[:, 0]
    h2 = a[:, 1] * h1 + b[:, 1]
    assert torch.equal(
        linear_recurrence(a, b, h0, impl="loop"),
        torch.stack([h1, h2, a[:, 2] * h2 + b[:, 2]], dim=1),
    )


@pytest.mark.parametrize("n", [*range(1, 20), 31, 32, 33, 100])
@pytest.mark.parametrize("tree_scan", [hillis_steele, blelloch], ids=lambda f: f.__name__)
def test_both_trees_take_any_length(tree_scan, n):
    a, b = draw(2, n, 3), draw(2, n, 3, seed=1)
    torch.testing.assert_close(tree_scan(a, b), linear_recurrence(a, b, impl="loop"), **CLOSE)


def test_combine_is_one_step_after_the_other_and_associative():
    a1, b1, a2, b2, a3, b3, h = draw(7, 4)
    a, b = combine(a1, b1, a2, b2)
    torch.testing.assert_close(a * h + b, a2 * (a1 * h + b1) + b2, **CLOSE)
    torch.testing.assert_close(
        combine(a, b, a3, b3), combine(a1, b1, *combine(a2, b2, a3, b3)), **CLOSE
    )


@pytest.mark.parametrize("impl", ON_CPU)
@pytest.mark.parametrize("start", [True, False])
def test_gradients_are_those_of_finite_differences(impl, start):
    inputs = [
        draw(*shape, seed=seed).requires_grad_()
        for seed, shape in enumerate([(2, 5, 3), (2, 5, 3), (2, 3)][: 2 + start])
    ]
    assert torch.autograd.gradcheck(lambda *x: linear_recurrence(*x, impl=impl), inputs)
    if impl == "numba":
        h = linear_recurrence(*inputs, impl=impl)
        (grad,) = torch.autograd.grad(h.square().sum(), inputs[:1], create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            grad.sum().backward()
    else:
        assert torch.autograd.gradgradcheck(lambda *x: linear_recurrence(*x, impl=impl), inputs)


def test_a_state_changed_in_place_before_the_way_back_is_refused():
    a, b = draw(1, 4, 2).requires_grad_(), draw(1, 4, 2, seed=1)
    h = linear_recurrence(a, b)
    with torch.no_grad():
        h.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        h.sum().backward()


@pytest.mark.parametrize("impl", ON_CPU)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_small_types_are_rounded_once_and_the_state_is_carried_in_float32(impl, dtype):
    a, b, h0 = (
        draw(2, 50, 3, low=0.5, dtype=dtype),
        draw(2, 50, 3, dtype=dtype, seed=1),
        draw(2, 3, dtype=dtype, seed=2),
    )
    leaves, grad = [x.requires_grad_() for x in (a, b, h0)], draw(2, 50, 3, dtype=dtype, seed=3)
    h, grads = with_gradients(impl, leaves, a, b, h0, grad)
    exact, exact_grads = with_gradients("loop", leaves, *(x.double() for x in (a, b, h0, grad)))
    assert h.dtype == dtype and all(g.dtype == dtype for g in grads)
    eps = torch.finfo(
        dtype
    ).eps  # h: one rounding, of half an eps, besides float32's own; the gradient of a: h's, its own, and that of a sum
    torch.testing.assert_close(h.double(), exact.double(), rtol=0.5 * eps + 1e-6, atol=1e-5)
    for found, expected in zip(grads, exact_grads):
        torch.testing.assert_close(
            found.double(), expected.double(), rtol=2 * eps, atol=2 * eps + 1e-5
        )
    ones = torch.ones(
        1, 3000, 2, dtype=dtype, requires_grad=True
    )  # 256 + 1 is 256 in bfloat16, 2048 + 1 is 2048 in float16
    h = linear_recurrence(torch.ones_like(ones), ones, impl=impl)
    (grad,) = torch.autograd.grad(h, ones, torch.ones_like(ones))
    assert torch.equal(h[0, :, 0], torch.arange(1.0, 3001).to(dtype)) and torch.equal(
        grad[0, :, 1], torch.arange(3000.0, 0, -1).to(dtype)
    )


def bound(a, b):
    """Largest error in float32 of h [B, N, D], whatever the brackets; a, b float64, already rounded to float32.

    h_t is the sum over s of b_s a_{s+1} ... a_t. Each of these terms takes t - s products, and, in the loop, t - s + 1 sums (in a tree, fewer: two a
    level at most). Every product and sum adds a relative error of u = 2^-24 at most. So the term is off by (2 (t - s) + 1) u at most, or, for short ones
    in a tree, (t - s + 2 ceil(log2 N)) u; with E_t the sum of |terms| (t - s + 1) and H_t that of |terms|, all together by u (2 E_t + 2 ceil(log2 N) H_t).
    Both are recurrences themselves: H_t = |a_t| H_{t-1} + |b_t|, E_t = |a_t| E_{t-1} + H_t.
    """
    H = linear_recurrence(a.abs(), b.abs(), impl="loop")
    E = linear_recurrence(a.abs(), H, impl="loop")
    return (
        1.01 * 2**-24 * (2 * E + 2 * math.ceil(math.log2(a.shape[1])) * H)
    )  # 1%: the products of small errors


@torch.no_grad()
def test_a_hundred_thousand_steps_do_not_drift():
    n, decays = 100_000, torch.tensor([0.9, 0.99, 0.999, 0.9999])
    a = (decays + (1 - decays) * draw(1, n, 4, dtype=torch.float32)).double()
    b = (draw(1, n, 4, dtype=torch.float32, seed=1) * (1 - decays**2).sqrt()).double()
    exact, allowed = linear_recurrence(a, b, impl="loop"), bound(a, b)
    for scanned in (
        *(lambda a, b, impl=impl: linear_recurrence(a, b, impl=impl) for impl in ON_CPU),
        hillis_steele,
    ):
        error = (scanned(a.float(), b.float()).double() - exact).abs()
        assert (error <= allowed).all()
        typical = error.square().mean(1).sqrt() / exact.square().mean(1).sqrt()
        assert (typical < 1e-4).all() and (
            error[:, -n // 5 :].max(1).values < 2 * error[:, n // 5 : 2 * n // 5].max(1).values
        ).all()
    flipped, grad = (
        [torch.cat([torch.ones_like(a[:, :1]), a[:, 1:].flip(1)], dim=1), b.flip(1)],
        b.float(),
    )  # g_t = grad_t + a_{t+1} g_{t+1}
    exact, allowed = linear_recurrence(*flipped, impl="loop").flip(1), bound(*flipped).flip(1)
    g = cpu.scan_backward(a.float(), b.float(), None, grad)[1]
    assert ((g.double() - exact).abs() <= allowed).all()


@pytest.fixture
def threads():
    """Sets PyTorch's number of threads, and puts it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def forward_and_backward(a, b, h0, grad):
    h = cpu.scan_forward(a, b, h0)
    return [h.numpy(), *(g.numpy() for g in cpu.scan_backward(a, h, h0, grad))]


def inputs_of(shape, seed=0):
    a, b, grad = (draw(*shape, dtype=torch.float32, seed=seed + i) for i in range(3))
    return a, b, draw(shape[0], shape[2], dtype=torch.float32, seed=seed + 3), grad


SHARED = [
    (4, 300, 40),
    (2, 500, 40),
    (1, 1100, 33),
    (7, 5000, 1),
    (1, 40_000, 1),
    (3, 400, 128),
    (2, 50, 700),
]  # each worth sharing


@pytest.mark.parametrize("shape", SHARED, ids=str)
def test_the_number_of_threads_changes_nothing(threads, shape):
    assert math.prod(shape) >= cpu.WORTH_SHARING
    inputs = inputs_of(shape)
    threads(1)
    alone = forward_and_backward(*inputs)
    torch.testing.assert_close(
        torch.from_numpy(alone[0]),
        linear_recurrence(*inputs[:3], impl="tree"),
        rtol=1e-4,
        atol=1e-5,
    )
    for n in (2, 3, 5):
        threads(n)
        assert all(map(np.array_equal, alone, forward_and_backward(*inputs)))


@pytest.mark.parametrize("n_threads", [1, 2, 3, 5, 8])
@pytest.mark.parametrize(
    "shape", [*SHARED, (2, 3, 4), (0, 5, 2), (2, 0, 3), (8, 4096, 2), (9, 4096, 17)], ids=str
)
def test_blocks_cover_every_row_and_channel_once(threads, shape, n_threads):
    threads(n_threads)
    times, blocks = np.zeros((shape[0], shape[2]), int), []
    cpu.share(
        shape,
        lambda first_row, last_row, first, last: blocks.append(
            (slice(first_row, last_row), slice(first, last))
        ),
    )
    for block in blocks:
        times[block] += 1
    assert (times == 1).all() and 1 <= len(blocks) <= n_threads
    assert len(blocks) == 1 or math.prod(shape) >= cpu.WORTH_SHARING
    assert all(columns.start % cpu.VECTOR == 0 for _, columns in blocks)


def test_several_python_threads_may_call_it_at_once(threads):
    threads(2)
    inputs = [inputs_of(SHARED[i % 2], seed=i) for i in range(12)]
    one_by_one = [forward_and_backward(*each) for each in inputs]
    with ThreadPoolExecutor(4) as pool:
        at_once = list(pool.map(lambda each: forward_and_backward(*each), inputs, timeout=60))
    assert all(all(map(np.array_equal, a, b)) for a, b in zip(one_by_one, at_once))


def test_an_error_on_any_thread_is_raised(threads):
    threads(3)

    def fails(first_row, *rest):
        if first_row:
            raise ValueError(f"row {first_row}")

    with pytest.raises(ValueError, match="row [24]"):
        cpu.share((6, 10_000, 1), fails)


def test_one_thread_does_it_all_where_openmp_has_another_name(threads, monkeypatch):
    threads(3)
    inputs = inputs_of(SHARED[0])
    expected = forward_and_backward(*inputs)
    monkeypatch.setattr(cpu, "_openmp", lambda: None)
    assert all(map(np.array_equal, expected, forward_and_backward(*inputs)))


def test_pytorch_brings_the_openmp_that_is_asked_for():
    assert cpu._openmp() is not None or not sys.platform.startswith("linux")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork on Windows")
def test_it_works_after_a_fork(threads):
    threads(2)
    inputs = inputs_of(SHARED[0])
    expected = forward_and_backward(
        *inputs
    )  # the parent's threads are running now; none of them is in the child

    def child():
        sys.exit(not all(map(np.array_equal, expected, forward_and_backward(*inputs))))

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(20)
    hangs = process.is_alive()
    process.kill()
    assert not hangs and process.exitcode == 0


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
        assert flat.ctypes.data == view.data_ptr() and flat[by_row + by_step] == view[1, 1, 0]


class TestErrors:
    f32, f64 = torch.zeros(2, 3, 4), torch.zeros(2, 3, 4).double()

    @pytest.mark.parametrize(
        "inputs, error, says",
        [
            ((f32[0], f32[0]), ValueError, r"a and b .* \[B, N, D\]; got \[3, 4\] and \[3, 4\]"),
            ((f32, f32[:, :2]), ValueError, r"got \[2, 3, 4\] and \[2, 2, 4\]"),
            (
                (f32, f32[..., :1]),
                ValueError,
                r"got \[2, 3, 4\] and \[2, 3, 1\]",
            ),  # what would broadcast is refused too
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
        assert (
            linear_recurrence(away, away).shape == away.shape and scan.best(away.device) == "tree"
        )

    @pytest.mark.parametrize("impl", ["numba", "triton"])
    def test_without_its_library_an_implementation_is_refused_and_auto_uses_the_tree(
        self, monkeypatch, impl
    ):
        a, b = draw(2, 5, 3), draw(2, 5, 3, seed=1)
        expected = linear_recurrence(a, b, impl="loop")
        assert scan.best(torch.device("cpu")) == "numba"

        def refuse(name):
            raise ImportError(f"nothing called {name} here")

        monkeypatch.setattr(importlib, "import_module", refuse)
        with pytest.raises(
            RuntimeError,
            match=f"impl='{impl}' cannot be used here: nothing called {scan.KERNELS[impl]} here. Use impl='auto', or 'tree'",
        ):
            linear_recurrence(a, b, impl=impl)
        assert scan.best(torch.device("cpu")) == scan.best(torch.device("cuda")) == "tree"
        torch.testing.assert_close(linear_recurrence(a, b), expected, **CLOSE)
