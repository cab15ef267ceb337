"""minGRU, whose gate sees only the input, and the LRU, which has no gate (notebook 09).

Both are linear in their state, so `linear_recurrence` runs them.

N : positions
x : the input, [batch, N, d_input]
h : the state; complex in the LRU
z : minGRU's update gate, c its candidate
lambda : the LRU's eigenvalues, complex, one per channel: a step shrinks the state by |lambda|
    and turns it by the angle of lambda
gamma : what the LRU's input is scaled by, so that its states are of about the same size, however
    long a channel remembers
B, C, D : the LRU's matrices into the state and out of it, and the weights of its skip connection
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minirec.scan import linear_recurrence


class MinGRU(nn.Module):
    """Move the state towards a candidate, as far as a gate decides; neither sees the state.

    h_t = (1 - z_t) h_{t-1} + z_t c_t, with z_t = sigmoid(W_z x_t + b_z) and c_t = W_h x_t + b_h.

    Parameters
    ----------
    d_input : int
        Width of the input.
    d_state : int
        Width of the state.

    Attributes
    ----------
    project : nn.Linear
        Its rows are W_z on top of W_h.

    References
    ----------
    Feng et al., 2024; derived in notebook 09.
    """

    def __init__(self, d_input: int, d_state: int):
        super().__init__()
        self.project = nn.Linear(d_input, 2 * d_state)

    def forward(self, x: Tensor) -> Tensor:
        """Return the state after every step from h = 0, [batch, N, d_input] -> [..., d_state]."""
        projected = self.project(x)
        # In float32 or better: bfloat16 would round a decay of 0.999 to 1.
        wide = projected.to(torch.promote_types(projected.dtype, torch.float32))
        z, candidate = wide.chunk(2, dim=-1)  # z before its sigmoid
        keep = torch.sigmoid(-z)  # 1 - sigmoid(z), without its cancellation where z is large
        driven = torch.sigmoid(z) * candidate
        return linear_recurrence(keep, driven).to(projected.dtype)


class LRU(nn.Module):
    """Shrink and turn a complex state by the same factors at every step.

    h_t = lambda h_{t-1} + gamma B x_t and y_t = Re(C h_t) + D x_t, with
    lambda = exp(-exp(nu) + i exp(theta)) and gamma = sqrt(1 - |lambda|^2).

    Where others differ: the authors' code trains gamma by itself.

    Parameters
    ----------
    d_input : int
        Width of input and output.
    d_state : int
        Number of complex channels.
    ring : tuple of float
        Smallest and largest |lambda| before any training; |lambda|^2 is uniform between their
        squares, which fills the ring evenly.
    max_angle : float
        Largest angle of lambda before any training, in radians; uniform from 0.

    Attributes
    ----------
    nu, theta : nn.Parameter
        They make lambda, [d_state] each. Whatever their values, |lambda| < 1.
    B, C : nn.Parameter
        Real and imaginary part, [2, d_state, d_input] and [2, d_input, d_state].
    D : nn.Parameter
        [d_input].

    Raises
    ------
    ValueError
        If ring is not 0 <= r < R <= 1, or max_angle is not positive.

    References
    ----------
    Orvieto et al., 2023; RecBLR, Eq. 3, with its A made diagonal. Derived in notebook 09.
    """

    def __init__(
        self,
        d_input: int,
        d_state: int,
        ring: tuple[float, float] = (0.9, 0.999),
        max_angle: float = 2 * math.pi,
    ):
        super().__init__()
        inner, outer = ring
        if not 0 <= inner < outer <= 1 or max_angle <= 0:
            raise ValueError(
                "ring must be two radii 0 <= r < R <= 1 and max_angle positive; "
                f"got {ring} and {max_angle}."
            )

        # |lambda| = exp(-exp(nu)), so nu = log(-log |lambda|) = log(-0.5 log |lambda|^2).
        # torch.rand is in [0, 1): the square is in (inner^2, outer^2], never 0. A square of 1
        # would have nu = -inf.
        low = inner**2
        high = outer**2
        squared = high - (high - low) * torch.rand(d_state)
        squared = squared.clamp_max(1 - 1e-6)
        nu = torch.log(-0.5 * torch.log(squared))
        angle = max_angle * (1 - torch.rand(d_state))  # in (0, max_angle]

        B = torch.randn(2, d_state, d_input) / math.sqrt(2 * d_input)
        C = torch.randn(2, d_input, d_state) / math.sqrt(d_state)
        D = torch.randn(d_input)

        self.nu = nn.Parameter(nu)
        self.theta = nn.Parameter(torch.log(angle))
        self.B = nn.Parameter(B)
        self.C = nn.Parameter(C)
        self.D = nn.Parameter(D)

    def eigenvalues(self) -> Tensor:
        """Return lambda, complex [d_state]."""
        return torch.polar(self._modulus(), self.theta.exp())

    def forward(self, x: Tensor) -> Tensor:
        """Return y from h = 0, [batch, N, d_input] -> the same; position t has read x[:, :t + 1].

        A complex step shrinks and turns. Seen from a frame that turns along, it only shrinks:
        g_t = exp(-i angle t) h_t follows g_t = |lambda| g_{t-1} + exp(-i angle t) gamma B x_t,
        where real and imaginary part are two real recurrences.
        """
        # The frame's angle at every step, [N, d_state]. In float32 it would be wrong after many
        # turns: the larger a number, the coarser its fraction of a turn.
        steps = torch.arange(x.shape[1], device=x.device, dtype=torch.float64)
        angle = steps[:, None] * self.theta.double().exp()
        cos = angle.cos().to(self.nu.dtype)
        sin = angle.sin().to(self.nu.dtype)

        # Into the frame: times exp(-i angle) = cos - i sin.
        real, imaginary = self._drive(x)
        turned_real = cos * real + sin * imaginary
        turned_imaginary = cos * imaginary - sin * real

        # Both recurrences at once, side by side: [batch, N, 2 d_state].
        turned = torch.cat([turned_real, turned_imaginary], dim=-1)
        decay = self._modulus().repeat(2).expand_as(turned)
        g_real, g_imaginary = linear_recurrence(decay, turned).chunk(2, dim=-1)

        # Out of the frame: times exp(i angle) = cos + i sin.
        h_real = cos * g_real - sin * g_imaginary
        h_imaginary = cos * g_imaginary + sin * g_real
        return self._read(h_real, h_imaginary, x)

    def step(self, h: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Read one more input. h: complex [..., d_state], x: [..., d_input].

        Returns y, [..., d_input], and the next state.
        """
        turned = self.eigenvalues() * h
        real, imaginary = self._drive(x)
        h = turned + torch.complex(real, imaginary)
        return self._read(h.real, h.imag, x), h

    def _modulus(self) -> Tensor:
        """Return |lambda|, [d_state]."""
        return torch.exp(-self.nu.exp())

    def _drive(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return gamma B x, its real and imaginary part, [..., d_state] each."""
        # 1 - |lambda|^2 = -expm1(log |lambda|^2), accurate where |lambda| is near 1.
        log_squared = -2 * self.nu.exp()
        gamma = torch.sqrt(-torch.expm1(log_squared))

        stacked = self.B.flatten(0, 1)  # [2 d_state, d_input], one product for both parts
        driven = F.linear(x, stacked).to(self.nu.dtype)
        real, imaginary = driven.chunk(2, dim=-1)
        return gamma * real, gamma * imaginary

    def _read(self, real: Tensor, imaginary: Tensor, x: Tensor) -> Tensor:
        """Return y = Re(C h) + D x, [..., d_input]; real and imaginary are h's parts."""
        C_real, C_imaginary = self.C
        read = F.linear(real, C_real) - F.linear(imaginary, C_imaginary)
        return read + self.D * x
