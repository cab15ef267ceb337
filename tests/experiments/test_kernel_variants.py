"""Variants of the Triton kernels: every one agrees with the formula in float64.

On a GPU where there is one; else, on small tensors, in Triton's interpreter.
"""

import os

import pandas as pd
import pytest
import torch

pytestmark = pytest.mark.slow

if not torch.cuda.is_available():
    # Read when the kernels are defined, so it is set before the import.
    os.environ.setdefault("TRITON_INTERPRET", "1")
pytest.importorskip("minirec.scan.triton_scan")

from minirec.experiments.benchmarks import kernels as timed  # noqa: E402
from minirec.scan.bd_lru import unfused  # noqa: E402
from minirec.scan.recurrence import linear_recurrence  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SHAPE = (3, 37, 50)  # no multiple of a block or of a tile
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 2e-2}


def name_of(variant):
    return f"{variant.operation}: {variant.name}"


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("variant", timed.variants(), ids=name_of)
def test_every_variant_agrees_with_the_formula_in_float64(variant, dtype):
    module = timed._module(variant.operation)
    settings = [getattr(module, name) for name, _ in variant.settings]

    generator = torch.Generator().manual_seed(0)
    B, N, D = SHAPE
    width = D if variant.operation == timed.SCAN else 2 * D
    first = torch.randn(B, N, width, generator=generator).to(DEVICE, dtype)
    x, z, grad = torch.randn(3, *SHAPE, generator=generator).to(DEVICE, dtype)
    decay = torch.linspace(0.001, 2, D, device=DEVICE)

    with timed.in_force(variant):
        if variant.operation == timed.SCAN:
            leaves = [first.sigmoid(), x]
            found = [module.scan_forward(*leaves)]
            found += module.scan_backward(leaves[0], found[0], None, grad)[:2]
        else:
            leaves = [first, x, z]
            y, h = module.bd_lru_forward(*leaves, decay)
            found = [y, *module.bd_lru_backward(*leaves, decay, None, h, grad)[:3]]

    exact = [leaf.double().requires_grad_() for leaf in leaves]
    if variant.operation == timed.SCAN:
        output = linear_recurrence(*exact, impl="loop")
    else:
        Lambda = torch.log(torch.expm1(decay.double()))
        output, _ = unfused(*exact, Lambda)
    wanted = [output, *torch.autograd.grad(output, exact, grad.double())]
    for ours, theirs in zip(found, wanted, strict=True):
        assert (ours.double() - theirs).norm() <= TOLERANCE[dtype] * theirs.norm()
    assert settings == [getattr(module, name) for name, _ in variant.settings]


@pytest.mark.parametrize("operation", [timed.SCAN, timed.BD_LRU])
def test_the_first_variant_is_what_is_in_use_and_no_two_are_the_same(operation):
    listed = [variant for variant in timed.variants() if variant.operation == operation]
    module = timed._module(operation)
    for name, value in listed[0].settings:
        assert getattr(module, name) == value
    assert len({variant.settings for variant in listed}) == len(listed)
    assert len({variant.name for variant in listed}) == len(listed)


def test_variants_are_timed_with_their_bytes():
    frame = timed.benchmark_variants([(1, 3, 4)], [torch.bfloat16], repeats=1)
    assert set(zip(frame.operation, frame.variant, strict=True)) == {
        (variant.operation, variant.name) for variant in timed.variants()
    }
    assert frame.groupby("operation").bytes.first().to_dict() == {
        timed.SCAN: 16 * 12,
        timed.BD_LRU: 28 * 12,
    }


def test_a_variant_that_disagrees_is_noticed(monkeypatch):
    module = timed._module(timed.SCAN)
    forward = module.scan_forward

    def wrong(a, b, *rest, **named):
        return forward(a, b, *rest, **named) * (1 if module.UNROLL == 16 else 2)

    monkeypatch.setattr(module, "scan_forward", wrong)
    with pytest.raises(RuntimeError, match=r"scan, 64 lanes.* disagrees at"):
        timed.benchmark_variants([(1, 3, 4)], [torch.float32], repeats=1)


def test_a_sweep_of_chunks_makes_a_table():
    swept = timed.sweep_chunks([(1, 70, 2), (2, 20, 2)], repeats=1)
    by_shape = swept.groupby(["B", "N", "D"]).chunks.apply(list).to_dict()
    assert by_shape == {(1, 70, 2): [1, 2, 4], (2, 20, 2): [1]}

    made_up = pd.DataFrame(
        {
            "B": [1, 1, 2],
            "N": [70, 70, 20],
            "D": 2,
            "chunks": [1, 4, 1],
            "forward": [3.0, 1.0, 1.0],
            "backward": [3.0, 4.0, 1.0],
        }
    )
    assert timed.best_chunks(made_up) == {(1, 70, 2): 4, (2, 20, 2): 1}
