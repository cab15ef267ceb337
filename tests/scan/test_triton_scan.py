"""The Triton kernels against float64 loops and autograd.

On a GPU where there is one; else, on small tensors, in Triton's interpreter.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from minirec.scan import bd_lru as operator
from minirec.scan import chunking

pytestmark = pytest.mark.slow

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    # Read when the kernels are defined, so it is set before the import.
    os.environ.setdefault("TRITON_INTERPRET", "1")
pytest.importorskip("triton")
gpu = pytest.importorskip("minirec.scan.triton_scan")
launching = pytest.importorskip("minirec.scan.launching")
fused = pytest.importorskip("minirec.scan.triton_bd_lru")
assert DEVICE == "cuda" or gpu.INTERPRETED, (
    "minirec.scan.triton_scan was imported before TRITON_INTERPRET=1 was set"
)

# A tensor is rounded once to its own dtype, the arithmetic is float32's: the error of a result is
# about its dtype's eps / sqrt(12), up to twice that for grad_a and grad_z, which read a rounded h.
TOLERANCE = {
    torch.float64: 1e-13,
    torch.float32: 1e-6,
    torch.float16: 1.5 * 2**-10,
    torch.bfloat16: 1.5 * 2**-7,
}
DTYPES = st.sampled_from(list(TOLERANCE))
SMALL = st.integers(1, 5)
LAYOUTS = ("contiguous", "half", "transposed", "channels last to first", "expanded")


@pytest.fixture(autouse=True)
def small_programs(monkeypatch):
    """Give small tensors small blocks.

    So there are several programs, partly filled, and tiles that end before, at and after the last
    position.
    """
    for module in (gpu, fused):
        monkeypatch.setattr(module, "BLOCK", 8)
        monkeypatch.setattr(module, "UNROLL", 4)
        monkeypatch.setattr(module, "UNROLL_BACK", 2)


def draw(shape, dtype, seed, layout="contiguous", values=torch.randn):
    """A tensor [B, N, D] of any layout; what lies around it in memory is NaN."""
    generator = torch.Generator().manual_seed(seed)
    value = values(shape, generator=generator, dtype=torch.float64).to(DEVICE, dtype)
    B, N, D = shape
    around = torch.full((B + 2, N + 2, 2 * D + 2), torch.nan, device=DEVICE, dtype=dtype)
    in_a_row = around.flatten()[: B * N * D]
    view = {
        "contiguous": in_a_row.view(B, N, D),
        "half": around[1:-1, 1:-1, D : 2 * D],
        "transposed": in_a_row.view(B, D, N).transpose(1, 2),
        "channels last to first": in_a_row.view(D, N, B).permute(2, 1, 0),
        "expanded": around[:1, :1, :D].expand(B, N, D),
    }[layout]
    if layout == "expanded":
        around[0, 0, :D] = value[0, 0] if N else 0
        return view
    return view.copy_(value)


def draw_state(B, D, dtype, seed, layout="contiguous"):
    """A tensor [B, D]."""
    return draw((B, 1, D), dtype, seed, layout)[:, 0]


def error(found, wanted):
    """The distance relative to the wanted tensor's norm; NaN where a NaN was read."""
    return ((found.double() - wanted).norm() / wanted.norm().clamp_min(1e-300)).item()


def agree(found, wanted, dtype, times=1):
    for name in wanted:
        assert found[name].shape == wanted[name].shape
        assert error(found[name], wanted[name]) <= times * TOLERANCE[dtype], name


def leaf_64(tensor):
    return tensor.double().detach().requires_grad_()


# ----- The scan -----------------------------------------------------------------------------------


def scan_64(a, b, h0):
    h = h0
    states = []
    for n in range(b.shape[1]):
        h = a[:, n] * h + b[:, n]
        states.append(h)
    return torch.stack(states, 1)


def scan_both(a, b, h0, grad, n_chunks):
    """Return what the kernels found and what a float64 loop and autograd want: h and gradients."""
    names = ("a", "b", "h0")
    leaves = [leaf_64(a), leaf_64(b), leaf_64(torch.zeros_like(b[:, 0]) if h0 is None else h0)]
    h_64 = scan_64(*leaves)
    gradients_64 = torch.autograd.grad(h_64, leaves, grad.double())
    wanted = dict(zip(names, gradients_64, strict=True))
    wanted["h"] = h_64.detach()

    h = gpu.scan_forward(a, b, h0, n_chunks=n_chunks)
    gradients = gpu.scan_backward(a, h, h0, grad, n_chunks=n_chunks)
    found = dict(zip(names, gradients, strict=True))
    found["h"] = h
    for name in ("a", "b", "h"):
        assert found[name].dtype == b.dtype
        assert found[name].is_contiguous()
    if h0 is None:
        assert found.pop("h0") is None
        wanted.pop("h0")
    return found, wanted


@settings(max_examples=14)
@given(
    B=SMALL,
    N=st.integers(1, 13),
    D=st.integers(1, 9),
    dtype=DTYPES,
    n_chunks=st.sampled_from([None, 1, 2, 3, 5, 20]),
    with_h0=st.booleans(),
    layouts=st.tuples(*[st.sampled_from(LAYOUTS)] * 3),
    seed=st.integers(0, 99),
)
def test_scan_and_its_gradients_at_ragged_shapes_and_any_strides(
    B, N, D, dtype, n_chunks, with_h0, layouts, seed
):
    a, b, grad = (draw((B, N, D), dtype, seed + k, layout) for k, layout in enumerate(layouts))
    h0 = draw_state(B, D, dtype, seed + 3, "half") if with_h0 else None
    tame = a.sigmoid() if seed % 2 == 1 else a.clamp(-1, 1)
    found, wanted = scan_both(tame, b, h0, grad, n_chunks)
    agree(found, wanted, dtype, times=2)

    # |a| > 1 now and then: errors grow with the state.
    found, wanted = scan_both(a, b, h0, grad, n_chunks)
    agree(found, wanted, dtype, times=4)


@pytest.mark.parametrize("n_chunks", [1, 3])
@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, -0.5, 1 - 1e-6])
def test_special_coefficients(value, n_chunks):
    b = draw((2, 40, 3), torch.float32, 1)
    h0 = draw_state(2, 3, torch.float32, 2)
    grad = draw((2, 40, 3), torch.float32, 3)
    found, wanted = scan_both(torch.full_like(b, value), b, h0, grad, n_chunks)
    agree(found, wanted, torch.float32)


def test_default_blocks_and_a_long_row(monkeypatch):
    monkeypatch.undo()
    for shape, n_chunks in (((1, 300, 2), 5), ((3, 17, 70), 1), ((3, 33, 30), 2)):
        a, b, grad = (draw(shape, torch.float32, k) for k in range(3))
        found, wanted = scan_both(a.sigmoid(), b, None, grad, n_chunks)
        agree(found, wanted, torch.float32)


@pytest.mark.parametrize("shape", [(2, 0, 3), (0, 4, 3), (2, 4, 0)])
def test_empty_tensors(shape):
    B, N, D = shape
    empty = torch.ones(shape, device=DEVICE)
    h0 = torch.ones(B, D, device=DEVICE)
    decay = torch.ones(D, device=DEVICE)
    gates = torch.ones(B, N, 2 * D, device=DEVICE)

    h = gpu.scan_forward(empty, empty, h0)
    grad_a, grad_b, grad_h0 = gpu.scan_backward(empty, h, h0, empty)
    y, h_fused = fused.bd_lru_forward(gates, empty, empty, decay, h0)
    gradients = fused.bd_lru_backward(gates, empty, empty, decay, h0, h_fused, empty, None)
    for tensor in (h, grad_a, grad_b, y, h_fused):
        assert tensor.shape == shape
    assert grad_h0.shape == h0.shape
    assert not grad_h0.any()
    for gradient, tensor in zip(gradients, (gates, empty, empty, decay, h0), strict=True):
        assert gradient.shape == tensor.shape
    assert not gradients[3].any()


# ----- The fused BD-LRU ---------------------------------------------------------------------------


def bd_lru_64(gates, x, z, decay, h0):
    r, i = gates.chunk(2, dim=-1)
    t = decay * torch.sigmoid(r)
    beta = torch.sqrt(-torch.expm1(-2 * t))
    h = scan_64(torch.exp(-t), beta * torch.sigmoid(i) * x, h0)
    return F.silu(z) * h, h


def bd_lru_both(gates, x, z, decay, h0, grad_y, grad_last):
    """Return what the kernels found and what a float64 loop and autograd want."""
    names = ("gates", "x", "z", "log decay", "h0")
    start = torch.zeros_like(x[:, 0]) if h0 is None else h0
    leaves = [leaf_64(tensor) for tensor in (gates, x, z, decay, start)]
    y_64, h_64 = bd_lru_64(*leaves)
    loss = (y_64 * grad_y.double()).sum()
    if grad_last is not None:
        loss = loss + (h_64[:, -1] * grad_last.double()).sum()
    wanted = dict(zip(names, torch.autograd.grad(loss, leaves), strict=True))
    wanted["log decay"] = wanted["log decay"] * decay.double()
    wanted["y"] = y_64.detach()
    wanted["h"] = h_64.detach()

    y, h = fused.bd_lru_forward(gates, x, z, decay, h0)
    gradients = fused.bd_lru_backward(gates, x, z, decay, h0, h, grad_y, grad_last)
    found = dict(zip(names, gradients, strict=True))
    found["y"] = y
    found["h"] = h
    if h0 is None:
        assert found.pop("h0") is None
        wanted.pop("h0")
    return found, wanted


@settings(max_examples=8)
@given(
    B=SMALL,
    N=st.integers(1, 9),
    H=st.integers(1, 9),
    dtype=DTYPES,
    with_h0=st.booleans(),
    with_last=st.booleans(),
    layouts=st.tuples(*[st.sampled_from(LAYOUTS)] * 4),
    seed=st.integers(0, 99),
)
def test_fused_bd_lru_and_its_gradients(B, N, H, dtype, with_h0, with_last, layouts, seed):
    gates = 3 * draw((B, N, 2 * H), dtype, seed, layouts[0])
    x = draw((B, N, H), dtype, seed + 1, layouts[1])
    z = draw((B, N, H), dtype, seed + 2, layouts[2])
    grad_y = draw((B, N, H), dtype, seed + 3, layouts[3])
    ends = draw((B, 2, H), dtype, seed + 4, "half")
    h0 = ends[:, 0] if with_h0 else None
    grad_last = ends[:, 1] if with_last else None
    wide = torch.promote_types(dtype, torch.float32)
    decay = draw((1, 1, H), wide, seed + 5)[0, 0].exp()  # t on both sides of the series' end

    found, wanted = bd_lru_both(gates, x, z, decay, h0, grad_y, grad_last)
    assert found["log decay"].dtype == decay.dtype
    assert found["gates"].dtype == dtype
    agree(found, wanted, dtype, times=4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e-30, 1e-12, 1e-4, 0.2, 0.2499999, 0.25, 0.3, 2, 80, 1e4])
def test_decays_from_tiny_to_huge(size, dtype):
    gates = draw((2, 9, 6), dtype, 1)
    x = draw((2, 9, 3), dtype, 2)
    z = draw((2, 9, 3), dtype, 3)
    grad_y = draw((2, 9, 3), dtype, 4)
    gates[..., :3] = 40  # the sigmoid is 1, so t is the decay itself
    decay = torch.full((3,), size, dtype=dtype, device=DEVICE)
    found, wanted = bd_lru_both(gates, x, z, decay, None, grad_y, None)
    assert wanted["gates"][..., :3].norm() < 1e-10 * wanted["gates"].norm()
    agree(found, wanted, dtype, times=4)


def test_gates_that_saturate_keep_digits_and_stay_finite():
    x, z, grad_y = (draw((2, 8, 4), torch.float32, k) for k in range(3))
    h0 = draw_state(2, 4, torch.float32, 4)
    decay = torch.full((4,), 0.05, device=DEVICE)

    # Whole tensors of tiny gradients: right to their own norm.
    for r, i in ((12, 12), (-12, -12), (-60, 3), (20, -20)):
        gates = torch.tensor([r] * 4 + [i] * 4, dtype=torch.float32, device=DEVICE).expand(2, 8, 8)
        found, wanted = bd_lru_both(gates, x, z, decay, h0, grad_y, None)
        agree(found, wanted, torch.float32, times=4)
        found_r = {"r": found["gates"][..., :4]}
        wanted_r = {"r": wanted["gates"][..., :4]}
        agree(found_r, wanted_r, torch.float32, times=4)

    for r in (-200, -1e30, 200):
        gates = torch.full((2, 8, 8), r, dtype=torch.float32, device=DEVICE)
        y, h = fused.bd_lru_forward(gates, x, z, decay, h0)
        gradients = fused.bd_lru_backward(gates, x, z, decay, h0, h, grad_y, h0)
        assert all(tensor.isfinite().all() for tensor in (y, h, *gradients))
        if r < 0:
            assert torch.equal(h, h0[:, None].expand_as(h))  # nothing decays, nothing enters

    no_decay = torch.zeros_like(decay)
    gradients = fused.bd_lru_backward(gates, x, z, no_decay, None, h, grad_y, None)
    assert all(tensor.isfinite().all() for tensor in gradients[:4])
    assert not gradients[3].any()


def outputs_and_gradients(inputs, **options):
    """Return y, the final state and the gradients of bd_lru's inputs, by name."""
    y, last = operator.bd_lru(*inputs, **options)
    gradients = torch.autograd.grad(y.sum() + last.sum(), inputs)
    names = ("gates", "x", "z", "Lambda", "h0")
    return {"y": y, "last": last, **dict(zip(names, gradients, strict=True))}


@pytest.mark.parametrize("n, fuses", [(40, True), (1000, False)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_few_long_rows_take_the_formula_around_the_scan_in_chunks(n, fuses, dtype, monkeypatch):
    monkeypatch.setattr(operator, "best", lambda device: "triton")
    gates = draw((1, n, 4), dtype, 1)
    x = draw((1, n, 2), dtype, 2)
    z = draw((1, n, 2), dtype, 3)
    Lambda = draw_state(1, 2, dtype, 4)[0]
    h0 = draw_state(1, 2, dtype, 5)
    inputs = [tensor.requires_grad_() for tensor in (gates, x, z, Lambda, h0)]

    # As in a CUDA graph: launches cost nothing, so that a row need not be as long to be cut.
    with chunking.chunking(launch_seconds=0):
        found = outputs_and_gradients(inputs)
        n_chunks, _ = gpu.chunks(x)
    assert (n_chunks == 1) == fuses
    assert ("_BDLRU" in str(found["y"].grad_fn)) == fuses

    in_float64 = [tensor.double() for tensor in inputs]
    agree(found, outputs_and_gradients(in_float64, impl="unfused"), dtype, times=4)


# ----- Memory -------------------------------------------------------------------------------------


def far_apart(shape, seed):
    """bfloat16 values [2, 2, D] whose rows, or positions, lie more than 2^31 elements apart.

    Memory that is never touched costs nothing.
    """
    strides = (2**31 + 64, shape[2], 1) if seed % 2 == 1 else (shape[2], 2**31 + 64, 1)
    memory = torch.empty(2**31 + 4096, dtype=torch.bfloat16, device=DEVICE)
    return memory.as_strided(shape, strides).copy_(draw(shape, torch.bfloat16, seed))


@pytest.mark.parametrize(
    "seed, n_chunks, unroll", [(0, 1, 1), (0, 1, 2), (0, 2, 2), (1, 1, 2), (1, 2, 2)]
)
def test_offsets_beyond_2_to_the_31(seed, n_chunks, unroll, monkeypatch):
    for module in (gpu, fused):  # 1: from tile to tile; 2: within a tile
        monkeypatch.setattr(module, "UNROLL", unroll)
        monkeypatch.setattr(module, "UNROLL_BACK", unroll)

    far = far_apart((2, 2, 5), seed)
    near = draw((2, 2, 5), torch.bfloat16, 2)
    h0 = draw_state(2, 5, torch.bfloat16, 3)
    for a, b, grad in ((far, near, near), (near, far, near), (near, near, far)):
        found, wanted = scan_both(a, b, h0, grad, n_chunks)
        agree(found, wanted, torch.bfloat16, times=2)
    if n_chunks == 2:
        return

    gates = draw((2, 2, 10), torch.bfloat16, 4)
    decay = torch.ones(5, device=DEVICE)
    for x, z, grad in ((far, near, near), (near, far, near), (near, near, far)):
        found, wanted = bd_lru_both(gates, x, z, decay, h0, grad, h0)
        agree(found, wanted, torch.bfloat16, times=2)
    far_gates = far.as_strided((2, 2, 10), far.stride()).copy_(gates)
    found, wanted = bd_lru_both(far_gates, near, near, decay, h0, near, h0)
    agree(found, wanted, torch.bfloat16, times=2)


def test_nothing_is_written_outside_and_twice_gives_the_same_bits(monkeypatch):
    margin = 200
    made = []
    empty = torch.empty

    def guarded(shape, **options):
        """Like torch.empty, with a margin of -7 on both sides."""
        n = torch.Size(shape).numel()
        buffer = empty(n + 2 * margin, **options).fill_(-7)
        made.append((buffer, n))
        return buffer[margin : margin + n].view(shape)

    monkeypatch.setattr(torch, "empty", guarded)
    gates = draw((3, 5, 6), torch.float32, 0)
    x = draw((3, 5, 3), torch.float32, 1)
    z = draw((3, 5, 3), torch.float32, 2)
    grad = draw((3, 5, 3), torch.float32, 3)
    h0 = x[:, 0].contiguous()
    decay = torch.ones(3, device=DEVICE)

    runs = []
    for _ in range(2):
        _, h = fused.bd_lru_forward(gates, x, z, decay, h0)
        runs.append(fused.bd_lru_backward(gates, x, z, decay, h0, h, grad))
    assert all(map(torch.equal, *runs))
    for n_chunks in (1, 2):
        h = gpu.scan_forward(x, z, h0, n_chunks=n_chunks)
        gpu.scan_backward(x, h, h0, grad, n_chunks=n_chunks)

    assert len(made) > 20
    for buffer, n in made:
        assert (buffer[:margin] == -7).all()
        assert (buffer[margin + n :] == -7).all()
        assert len(buffer[margin + n :]) == margin


def test_chunks_have_one_length_and_none_is_empty():
    like = torch.empty(1, 10, 1, device=DEVICE)
    for asked, wanted in (
        (1, (1, 10)),
        (3, (3, 4)),
        (4, (4, 3)),
        (6, (5, 2)),
        (99, (10, 1)),
        (0, (1, 10)),
    ):
        assert gpu.chunks(like, asked) == wanted


# ----- The compiler -------------------------------------------------------------------------------


def run_compiled(tmp_path, program, *arguments):
    """Run a program beside this file with Triton's compiler, and return what it prints."""
    environment = os.environ | {"TRITON_CACHE_DIR": str(tmp_path)}
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name(program), *arguments],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.skipif(
    launching._version_is_known(), reason="the launches past Triton compile every kernel"
)
def test_every_kernel_compiles_for_a_gpu_that_need_not_be_there(tmp_path):
    compiled = run_compiled(tmp_path, "compile_kernels.py", "90", "float32", "bfloat16")
    expected = {f"{gpu.__name__}._chunk_ends"}
    for module in (gpu, fused):
        expected |= {f"{module.__name__}._walk", f"{module.__name__}._walk_back"}
    assert {name for name, _ in compiled} == expected
    assert all(int(size) > 0 for _, size in compiled)


@pytest.mark.skipif(
    not launching._version_is_known(), reason="with this Triton every launch goes through it"
)
def test_every_kernel_compiles_and_a_launch_past_triton_is_the_same_with_less_python(tmp_path):
    rows = run_compiled(tmp_path, "pretend_gpu.py")
    compiled = [row[1:] for row in rows if row[0] == "compiled"]
    assert {name for name, _ in compiled} == {"_walk", "_walk_back", "_chunk_ends"}
    assert all(int(size) > 0 for _, size in compiled)
    assert ["same"] in rows
    [(plain, in_chunks)] = [row[1:] for row in rows if row[0] == "calls"]
    assert int(plain) <= 50  # 121 through Triton
    assert int(in_chunks) <= 100  # 318
