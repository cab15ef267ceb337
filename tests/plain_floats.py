"""Linear algebra in Python floats, an oracle for layers."""

import math

from torch import nn


def affine(linear: nn.Linear, vector: list[float]) -> list[float]:
    """x W + b in Python floats; the rows of nn.Linear's weight are the columns of W."""
    return [
        math.fsum(w * x for w, x in zip(row, vector, strict=True)) + b
        for row, b in zip(linear.weight.tolist(), linear.bias.tolist(), strict=True)
    ]
