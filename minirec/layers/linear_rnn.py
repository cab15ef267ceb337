"""minGRU, whose gate sees only the input, and the LRU, which has none: linear in their state h (notebook 08). B batch, N positions, x the input."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minirec.scan import linear_recurrence


class MinGRU(nn.Module):
    """h_t = (1 - z_t) h_{t-1} + z_t c_t, with z_t = sigmoid(W_z x_t + b_z) and c_t = W_h x_t + b_h (Feng et al., 2024; notebook 08).

    Rows of the weights are stacked in the order update gate z, candidate c.
    """

    def __init__(self, d_input: int, d_state: int):
        super().__init__()
        self.project = nn.Linear(d_input, 2 * d_state)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, N, d_input] -> the state after every step [B, N, d_state], from h = 0."""
        z, candidate = self.project(x).chunk(2, dim=-1)
        return linear_recurrence(
            torch.sigmoid(-z), torch.sigmoid(z) * candidate
        )  # 1 - sigmoid(z) without its cancellation


class LRU(nn.Module):
    """h_t = lambda h_{t-1} + gamma B x_t, complex;  y_t = Re(C h_t) + D x_t (Orvieto et al., 2023; notebook 08).

    lambda = exp(-exp(nu) + i exp(theta)), a channel each; gamma = sqrt(1 - |lambda|^2), which their code trains by itself. B and C hold real and imaginary
    part [2, ...]. At the start |lambda|^2 is uniform between the squares of `ring`, the angle between 0 and `max_angle`.
    """

    def __init__(
        self,
        d_input: int,
        d_state: int,
        ring: tuple[float, float] = (0.9, 0.999),
        max_angle: float = 2 * math.pi,
    ):
        super().__init__()
        if not 0 <= ring[0] < ring[1] <= 1 or max_angle <= 0:
            raise ValueError(
                f"ring must be two radii 0 <= r < R <= 1 and max_angle positive; got {ring} and {max_angle}."
            )
        low, high = ring[0] ** 2, ring[1] ** 2
        squared = high - (high - low) * torch.rand(d_state)  # in (low, high]
        self.nu = nn.Parameter(torch.log(-0.5 * torch.log(squared.clamp_max(1 - 1e-6))))
        self.theta = nn.Parameter(torch.log(max_angle * (1 - torch.rand(d_state))))
        self.B = nn.Parameter(torch.randn(2, d_state, d_input) / math.sqrt(2 * d_input))
        self.C = nn.Parameter(torch.randn(2, d_input, d_state) / math.sqrt(d_state))
        self.D = nn.Parameter(torch.randn(d_input))

    def eigenvalues(self) -> Tensor:
        """lambda, complex [d_state]."""
        return torch.polar(torch.exp(-self.nu.exp()), self.theta.exp())

    def forward(self, x: Tensor) -> Tensor:
        """x [B, N, d_input] -> y [B, N, d_input], from h = 0; position t has read x[:, :t + 1].

        A complex step shrinks and turns. Seen from a frame that turns along, it only shrinks: g_t = exp(-i angle t) h_t follows
        g_t = |lambda| g_{t-1} + exp(-i angle t) gamma B x_t, where real and imaginary part are two real recurrences.
        """
        steps = torch.arange(x.shape[1], device=x.device, dtype=torch.float64)
        angle = (
            steps[:, None] * self.theta.double().exp()
        )  # [N, d_state]; in float32 it would be wrong after many turns
        cos, sin = angle.cos().to(self.nu.dtype), angle.sin().to(self.nu.dtype)
        real, imaginary = self._drive(x)
        turned = torch.cat([cos * real + sin * imaginary, cos * imaginary - sin * real], dim=-1)
        decay = torch.exp(-self.nu.exp()).repeat(2).expand_as(turned)
        g_real, g_imaginary = linear_recurrence(decay, turned).chunk(2, dim=-1)
        return self._read(cos * g_real - sin * g_imaginary, cos * g_imaginary + sin * g_real, x)

    def step(self, h: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """h [..., d_state] complex, x [..., d_input] -> (y [..., d_input], the next state)."""
        h = self.eigenvalues() * h + torch.complex(*self._drive(x))
        return self._read(h.real, h.imag, x), h

    def _drive(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """gamma B x, real and imaginary part [..., d_state] each."""
        gamma = torch.sqrt(-torch.expm1(-2 * self.nu.exp()))
        real, imaginary = F.linear(x, self.B.flatten(0, 1)).to(self.nu.dtype).chunk(2, dim=-1)
        return gamma * real, gamma * imaginary

    def _read(self, real: Tensor, imaginary: Tensor, x: Tensor) -> Tensor:
        return F.linear(real, self.C[0]) - F.linear(imaginary, self.C[1]) + self.D * x
