"""Linear algebra in Python floats, an oracle for layers."""

import math

from torch import nn


def inner(a: list[float], b: list[float]) -> float:
    """Return the inner product of a and b, rounded once."""
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def sigmoid(a: float) -> float:
    return 1 / (1 + math.exp(-a))


def affine(linear: nn.Linear, vector: list[float]) -> list[float]:
    """Return x W + b; the rows of nn.Linear's weight are the columns of W."""
    rows = linear.weight.tolist()
    biases = linear.bias.tolist()
    result = []
    for row, bias in zip(rows, biases, strict=True):
        result.append(inner(row, vector) + bias)
    return result
