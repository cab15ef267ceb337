"""The Triton kernels against float64 loops and autograd: on a GPU where there is one, else, on small tensors, in Triton's interpreter."""

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

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ.setdefault(
        "TRITON_INTERPRET", "1"
    )  # read when the kernels are defined, so before the import
pytest.importorskip("triton")
gpu = pytest.importorskip("minirec.scan.triton_scan")
fused = pytest.importorskip("minirec.scan.triton_bd_lru")
assert DEVICE == "cuda" or gpu.INTERPRETED, (
    "minirec.scan.triton_scan was imported before TRITON_INTERPRET=1 was set"
)

# A tensor is rounded once to its own dtype, the arithmetic is float32's: the error of a result is about its dtype's eps / sqrt(12), up to twice that for
# grad_a and grad_z, which read a rounded h.
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
    """Small tensors, so small blocks: several programs, partly filled, and tiles that end before, at and after the last position."""
    monkeypatch.setattr(gpu, "BLOCK", 8)
    for module, name, value in (
        (gpu, "UNROLL", 4),
        (gpu, "UNROLL_BACK", 2),
        (fused, "UNROLL", 4),
        (fused, "UNROLL_BACK", 2),
    ):
        monkeypatch.setattr(module, name, value)


def draw(shape, dtype, seed, layout="contiguous", values=torch.randn):
    """A tensor [B, N, D] of any layout; what lies around it in memory is NaN."""
    generator = torch.Generator().manual_seed(seed)
    value = values(shape, generator=generator, dtype=torch.float64).to(DEVICE, dtype)
    B, N, D = shape
    around = torch.full((B + 2, N + 2, 2 * D + 2), torch.nan, device=DEVICE, dtype=dtype)
    view = {
        "contiguous": around.flatten()[: B * N * D].view(B, N, D),
        "half": around[1:-1, 1:-1, D : 2 * D],
        "transposed": around.flatten()[: B * N * D].view(B, D, N).transpose(1, 2),
        "channels last to first": around.flatten()[: B * N * D].view(D, N, B).permute(2, 1, 0),
        "expanded": around[:1, :1, :D].expand(B, N, D),
    }[layout]
    if layout == "expanded":
        around[0, 0, :D] = value[0, 0] if N else 0
        return view
    return view.copy_(value)


def error(found, wanted):
    """The distance relative to the wanted tensor's norm; NaN where a NaN was read."""
    return ((found.double() - wanted).norm() / wanted.norm().clamp_min(1e-300)).item()


def agree(found, wanted, dtype, times=1):
    for name in wanted:
        assert found[name].shape == wanted[name].shape
        assert error(found[name], wanted[name]) <= times * TOLERANCE[dtype], name


def scan_64(a, b, h0):
    h, out = h0, []
    for n in range(b.shape[1]):
        h = a[:, n] * h + b[:, n]
        out.append(h)
    return torch.stack(out, 1)


def scan_both(a, b, h0, grad, n_chunks):
    leaves = [
        t.double().detach().requires_grad_()
        for t in (a, b, torch.zeros_like(b[:, 0]) if h0 is None else h0)
    ]
    h_64 = scan_64(*leaves)
    wanted = dict(
        zip(("a", "b", "h0"), torch.autograd.grad(h_64, leaves, grad.double())), h=h_64.detach()
    )
    h = gpu.scan_forward(a, b, h0, n_chunks=n_chunks)
    found = dict(zip(("a", "b", "h0"), gpu.scan_backward(a, h, h0, grad, n_chunks=n_chunks)), h=h)
    assert all(
        found[name].dtype == b.dtype and found[name].is_contiguous() for name in ("a", "b", "h")
    )
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
    h0 = draw((B, 1, D), dtype, seed + 3, "half")[:, 0] if with_h0 else None
    agree(
        *scan_both(a.sigmoid() if seed % 2 else a.clamp(-1, 1), b, h0, grad, n_chunks),
        dtype,
        times=2,
    )
    agree(
        *scan_both(a, b, h0, grad, n_chunks), dtype, times=4
    )  # |a| > 1 now and then: errors grow with the state


@pytest.mark.parametrize("n_chunks", [1, 3])
@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, -0.5, 1 - 1e-6])
def test_special_coefficients(value, n_chunks):
    b, h0, grad = (
        draw((2, 40, 3), torch.float32, 1),
        draw((2, 1, 3), torch.float32, 2)[:, 0],
        draw((2, 40, 3), torch.float32, 3),
    )
    agree(*scan_both(torch.full_like(b, value), b, h0, grad, n_chunks), torch.float32)


def test_default_blocks_and_a_long_row(monkeypatch):
    monkeypatch.undo()
    for shape, n_chunks in (((1, 300, 2), 5), ((3, 17, 70), 1), ((3, 33, 30), 2)):
        a, b, grad = (draw(shape, torch.float32, k) for k in range(3))
        agree(*scan_both(a.sigmoid(), b, None, grad, n_chunks), torch.float32)


@pytest.mark.parametrize("shape", [(2, 0, 3), (0, 4, 3), (2, 4, 0)])
def test_empty_tensors(shape):
    (B, N, D), empty = shape, torch.ones(shape, device=DEVICE)
    h0, decay, gates = (
        torch.ones(B, D, device=DEVICE),
        torch.ones(D, device=DEVICE),
        torch.ones(B, N, 2 * D, device=DEVICE),
    )
    h = gpu.scan_forward(empty, empty, h0)
    grad_a, grad_b, grad_h0 = gpu.scan_backward(empty, h, h0, empty)
    y, h_fused = fused.bd_lru_forward(gates, empty, empty, decay, h0)
    gradients = fused.bd_lru_backward(gates, empty, empty, decay, h0, h_fused, empty, None)
    assert (
        h.shape == grad_a.shape == grad_b.shape == y.shape == h_fused.shape == shape
        and not grad_h0.any()
        and grad_h0.shape == h0.shape
    )
    assert [g.shape for g in gradients] == [
        gates.shape,
        empty.shape,
        empty.shape,
        decay.shape,
        h0.shape,
    ] and not gradients[3].any()


def bd_lru_64(gates, x, z, decay, h0):
    r, i = gates.chunk(2, dim=-1)
    t = decay * torch.sigmoid(r)
    h = scan_64(torch.exp(-t), torch.sqrt(-torch.expm1(-2 * t)) * torch.sigmoid(i) * x, h0)
    return F.silu(z) * h, h


def bd_lru_both(gates, x, z, decay, h0, grad_y, grad_last):
    leaves = [
        t.double().detach().requires_grad_()
        for t in (gates, x, z, decay, torch.zeros_like(x[:, 0]) if h0 is None else h0)
    ]
    y_64, h_64 = bd_lru_64(*leaves)
    loss = (y_64 * grad_y.double()).sum() + (
        0 if grad_last is None else (h_64[:, -1] * grad_last.double()).sum()
    )
    names = ("gates", "x", "z", "log decay", "h0")
    wanted = dict(zip(names, torch.autograd.grad(loss, leaves)), y=y_64.detach(), h=h_64.detach())
    wanted["log decay"] = wanted["log decay"] * decay.double()
    y, h = fused.bd_lru_forward(gates, x, z, decay, h0)
    found = dict(
        zip(names, fused.bd_lru_backward(gates, x, z, decay, h0, h, grad_y, grad_last)), y=y, h=h
    )
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
    x, z, grad_y = (
        draw((B, N, H), dtype, seed + k, layout) for k, layout in enumerate(layouts[1:], 1)
    )
    ends = draw((B, 2, H), dtype, seed + 4, "half")
    decay = draw((1, 1, H), torch.float64 if dtype == torch.float64 else torch.float32, seed + 5)[
        0, 0
    ].exp()  # t on both sides of the series' end
    found, wanted = bd_lru_both(
        gates,
        x,
        z,
        decay,
        ends[:, 0] if with_h0 else None,
        grad_y,
        ends[:, 1] if with_last else None,
    )
    assert found["log decay"].dtype == decay.dtype and found["gates"].dtype == dtype
    agree(found, wanted, dtype, times=4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e-30, 1e-12, 1e-4, 0.2, 0.2499999, 0.25, 0.3, 2, 80, 1e4])
def test_decays_from_tiny_to_huge(size, dtype):
    gates, x, z, grad_y = (
        draw((2, 9, 6), dtype, 1),
        draw((2, 9, 3), dtype, 2),
        draw((2, 9, 3), dtype, 3),
        draw((2, 9, 3), dtype, 4),
    )
    gates[..., :3] = 40  # the sigmoid is 1, so t is the decay itself
    found, wanted = bd_lru_both(
        gates, x, z, torch.full((3,), size, dtype=dtype, device=DEVICE), None, grad_y, None
    )
    assert wanted["gates"][..., :3].norm() < 1e-10 * wanted["gates"].norm()
    agree(found, wanted, dtype, times=4)


def test_gates_that_saturate_keep_digits_and_stay_finite():
    x, z, grad_y = (draw((2, 8, 4), torch.float32, k) for k in range(3))
    h0 = draw((2, 1, 4), torch.float32, 4)[:, 0]
    decay = torch.full((4,), 0.05, device=DEVICE)
    for r, i in (
        (12, 12),
        (-12, -12),
        (-60, 3),
        (20, -20),
    ):  # whole tensors of tiny gradients: right to their own norm
        gates = torch.tensor([r] * 4 + [i] * 4, dtype=torch.float32, device=DEVICE).expand(2, 8, 8)
        found, wanted = bd_lru_both(gates, x, z, decay, h0, grad_y, None)
        agree(found, wanted, torch.float32, times=4)
        agree(
            {"r": found["gates"][..., :4]}, {"r": wanted["gates"][..., :4]}, torch.float32, times=4
        )
    for r in (-200, -1e30, 200):
        gates = torch.full((2, 8, 8), r, dtype=torch.float32, device=DEVICE)
        y, h = fused.bd_lru_forward(gates, x, z, decay, h0)
        gradients = fused.bd_lru_backward(gates, x, z, decay, h0, h, grad_y, h0)
        assert all(t.isfinite().all() for t in (y, h, *gradients))
        if r < 0:
            assert torch.equal(h, h0[:, None].expand_as(h))  # nothing decays, nothing enters
    gradients = fused.bd_lru_backward(gates, x, z, torch.zeros_like(decay), None, h, grad_y, None)
    assert all(t.isfinite().all() for t in gradients[:4]) and not gradients[3].any()


@pytest.mark.parametrize("n, fuses", [(40, True), (1000, False)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_few_long_rows_take_the_formula_around_the_scan_in_chunks(n, fuses, dtype, monkeypatch):
    monkeypatch.setattr(operator, "best", lambda device: "triton")
    gates, x, z, Lambda = (
        draw((1, n, 4), dtype, 1),
        draw((1, n, 2), dtype, 2),
        draw((1, n, 2), dtype, 3),
        draw((1, 1, 2), dtype, 4)[0, 0],
    )
    inputs = [
        each.requires_grad_() for each in (gates, x, z, Lambda, draw((1, 1, 2), dtype, 5)[:, 0])
    ]
    y, last = operator.bd_lru(*inputs)
    assert (gpu.chunks(x)[0] == 1) == fuses == ("_BDLRU" in str(y.grad_fn))
    found = dict(zip("grxzLh", (y, *torch.autograd.grad(y.sum() + last.sum(), inputs))), last=last)
    y, last = operator.bd_lru(*(each.double() for each in inputs), impl="unfused")
    agree(
        found,
        dict(zip("grxzLh", (y, *torch.autograd.grad(y.sum() + last.sum(), inputs))), last=last),
        dtype,
        times=4,
    )


def far_apart(shape, seed):
    """bfloat16 values [2, 2, D] whose rows, or whose positions, lie more than 2^31 elements apart: memory that is never touched costs nothing."""
    strides = (2**31 + 64, shape[2], 1) if seed % 2 else (shape[2], 2**31 + 64, 1)
    return (
        torch.empty(2**31 + 4096, dtype=torch.bfloat16, device=DEVICE)
        .as_strided(shape, strides)
        .copy_(draw(shape, torch.bfloat16, seed))
    )


@pytest.mark.parametrize(
    "seed, n_chunks, unroll", [(0, 1, 1), (0, 1, 2), (0, 2, 2), (1, 1, 2), (1, 2, 2)]
)
def test_offsets_beyond_2_to_the_31(seed, n_chunks, unroll, monkeypatch):
    for module, name in (
        (gpu, "UNROLL"),
        (gpu, "UNROLL_BACK"),
        (fused, "UNROLL"),
        (fused, "UNROLL_BACK"),
    ):
        monkeypatch.setattr(module, name, unroll)  # 1: from tile to tile; 2: within a tile
    far, near, h0 = (
        far_apart((2, 2, 5), seed),
        draw((2, 2, 5), torch.bfloat16, 2),
        draw((2, 1, 5), torch.bfloat16, 3)[:, 0],
    )
    for a, b, grad in ((far, near, near), (near, far, near), (near, near, far)):
        agree(*scan_both(a, b, h0, grad, n_chunks), torch.bfloat16, times=2)
    if n_chunks == 2:
        return
    gates, decay = draw((2, 2, 10), torch.bfloat16, 4), torch.ones(5, device=DEVICE)
    far_gates = far.as_strided((2, 2, 10), far.stride())
    for g, x, z, grad in (
        (gates, far, near, near),
        (gates, near, far, near),
        (gates, near, near, far),
        (far_gates.copy_(gates), near, near, near),
    ):
        agree(*bd_lru_both(g, x, z, decay, h0, grad, h0), torch.bfloat16, times=2)


def test_nothing_is_written_outside_and_twice_gives_the_same_bits(monkeypatch):
    made, empty = [], torch.empty

    def guarded(shape, **options):
        n = torch.Size(shape).numel()
        made.append((empty(n + 400, **options).fill_(-7), n))
        return made[-1][0][200 : 200 + n].view(shape)

    monkeypatch.setattr(torch, "empty", guarded)
    values = {
        name: draw((3, 5, 3 * 2 ** (name == "gates")), torch.float32, k)
        for k, name in enumerate(("gates", "x", "z", "grad"))
    }
    h0, decay = values["x"][:, 0].contiguous(), torch.ones(3, device=DEVICE)
    runs = []
    for _ in range(2):
        y, h = fused.bd_lru_forward(values["gates"], values["x"], values["z"], decay, h0)
        runs.append(
            fused.bd_lru_backward(
                values["gates"], values["x"], values["z"], decay, h0, h, values["grad"]
            )
        )
    assert all(map(torch.equal, *runs))
    for n_chunks in (1, 2):
        h = gpu.scan_forward(values["x"], values["z"], h0, n_chunks=n_chunks)
        gpu.scan_backward(values["x"], h, h0, values["grad"], n_chunks=n_chunks)
    assert len(made) > 20
    for buffer, n in made:
        assert torch.equal(buffer[:200], torch.full_like(buffer[:200], -7)) and torch.equal(
            buffer[200 + n :], torch.full_like(buffer[:200], -7)
        )


def test_the_number_of_chunks():
    assert gpu.chunks_for(2048, 200, 128, 132) == 1 and gpu.chunks_for(64, 50, 128, 132) == 1
    assert 16 < gpu.chunks_for(1, 100_000, 64, 132) <= 100_000 / gpu.UNROLL
    assert gpu.chunks_for(1, 100_000, 64, 16) <= gpu.chunks_for(1, 100_000, 64, 132)
    like = torch.empty(1, 10, 1, device=DEVICE)
    for asked, wanted in (
        (1, (1, 10)),
        (3, (3, 4)),
        (4, (4, 3)),
        (6, (5, 2)),
        (99, (10, 1)),
        (0, (1, 10)),
    ):
        assert gpu.chunks(like, asked) == wanted  # none is empty


def test_every_kernel_compiles_for_a_gpu_that_need_not_be_there(tmp_path):
    environment = {
        name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"
    } | {"TRITON_CACHE_DIR": str(tmp_path)}
    program = Path(__file__).with_name("compile_kernels.py")
    done = subprocess.run(
        [sys.executable, program, "90", "float32", "bfloat16"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    sizes = [line.split() for line in done.stdout.splitlines()]
    walks = {
        f"{module.__name__}.{kernel}"
        for module in (gpu, fused)
        for kernel in ("_walk", "_walk_back")
    }
    assert {name for name, _ in sizes} == walks | {f"{gpu.__name__}._chunk_ends"} and all(
        int(size) > 0 for _, size in sizes
    )
