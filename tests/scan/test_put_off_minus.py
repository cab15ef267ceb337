"""Tensors whose minus sign PyTorch has put off, as the imaginary part of a conjugate has it.

Their memory holds the opposite numbers, which a kernel must not read as they are.
"""

import pytest
import torch
from torch.testing import assert_close

from minirec.scan import linear_recurrence
from minirec.scan.bd_lru import bd_lru
from minirec.scan.loop import loop
from minirec.scan.numba_scan import scan_forward

pytestmark = pytest.mark.slow  # kernels are compiled


def with_minus_put_off(numbers: torch.Tensor) -> torch.Tensor:
    """The same numbers, as a view of their opposites."""
    view = torch.complex(torch.zeros_like(numbers), -numbers).conj().imag
    assert view.is_neg()
    assert torch.equal(view, numbers)
    return view


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


# Several such channels do not lie side by side in memory, and are copied; a single one is not.
N_CHANNELS = pytest.mark.parametrize("n_channels", [1, 5])


@N_CHANNELS
def test_the_recurrence_reads_them_with_their_sign(n_channels):
    a = torch.sigmoid(random(2, 7, n_channels))
    b = random(2, 7, n_channels)
    h = torch.zeros(2, n_channels)
    states = []
    for t in range(7):
        h = a[:, t] * h + b[:, t]
        states.append(h)
    found = linear_recurrence(with_minus_put_off(a), with_minus_put_off(b))
    assert_close(found, torch.stack(states, dim=1))


@N_CHANNELS
def test_the_kernel_reads_them_with_their_sign_where_nobody_has_looked_before(n_channels):
    # PyTorch sets the signs right before it calls an operator, but not before any other function.
    a = torch.sigmoid(random(2, 7, n_channels))
    b = random(2, 7, n_channels)
    found = scan_forward(with_minus_put_off(a), with_minus_put_off(b), None)
    assert_close(found, loop(a, b, torch.zeros(2, n_channels)))


@N_CHANNELS
def test_gradients_that_come_with_a_minus_put_off_keep_their_sign(n_channels):
    a = torch.sigmoid(random(2, 7, n_channels)).requires_grad_()
    b = random(2, 7, n_channels).requires_grad_()
    above = random(2, 7, n_channels)
    h = linear_recurrence(a, b)
    found = torch.autograd.grad(h, (a, b), with_minus_put_off(above), retain_graph=True)
    assert_close(found, torch.autograd.grad(h, (a, b), above))


@N_CHANNELS
def test_the_bd_lru_reads_them_with_their_sign(n_channels):
    gates = random(2, 6, 2 * n_channels)
    x = random(2, 6, n_channels)
    z = random(3, 6, n_channels)[:2]
    Lambda = random(n_channels)
    plain = bd_lru(gates, x, z, Lambda)
    found = bd_lru(*map(with_minus_put_off, (gates, x, z)), Lambda)
    assert_close(found, plain)
