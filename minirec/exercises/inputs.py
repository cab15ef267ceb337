"""Inputs on which answers are tried."""

import torch
from torch import Tensor


def random_tensors(seed: int, *shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Draw one normal tensor in float64 for each shape, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes)
