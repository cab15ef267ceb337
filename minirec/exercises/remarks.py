"""What a wrong result has in common with the right one: its sign, its order, a factor, a shape.

Every remark is a fact about the two results, never a guess at how the wrong one came about.
"""

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from minirec.exercises.compare import as_tensor, difference, is_same, tolerance_for

MOST_PARTS = 5  # of a tuple whose parts are tried in every order
NEARLY = 1e-3  # relative to the largest entry: what rounding leaves
PRECISION_OF_16_BITS = 1e-2  # the same, of a short sum in bfloat16
SHORT_DTYPES = (torch.float16, torch.bfloat16)


def remark(expected: Any, value: Any, tolerance: float | None = None) -> str:
    """Say in a sentence what two different results have in common.

    Parameters
    ----------
    expected, value : anything
        What was expected of one case, or of a part of it, and what was given.
    tolerance : float, optional
        By how much numbers may differ, as in `difference`.

    Returns
    -------
    str
        The sentence; empty where there is nothing certain to say.
    """
    if isinstance(expected, tuple) and isinstance(value, list | tuple):
        return _about_parts(expected, value, tolerance)
    if isinstance(value, tuple) and not isinstance(expected, list):
        return _about_one_part(expected, value, tolerance)

    a = as_tensor(expected)
    b = as_tensor(value)
    if a is None or b is None:
        return _about_lists(expected, value)
    if a.shape != b.shape:
        return _about_shapes(a, b, tolerance)
    if torch.bool in (a.dtype, b.dtype):
        return _about_truth(a, b)
    return (
        _about_numbers(a, b, tolerance)
        or _about_order(a, b, tolerance)
        or _about_places(a, b, tolerance)
        or _about_precision(a, b)
    )


def remark_on_all(
    expected: Sequence[Any], values: Sequence[Any], tolerance: float | None = None
) -> str:
    """Say what the results of all cases have in common with what was expected.

    Parameters
    ----------
    expected, values : sequences
        What was expected of each case, and what was given.
    tolerance : float, optional
        By how much numbers may differ, as in `difference`.

    Returns
    -------
    str
        The sentence; empty where there is nothing certain to say, or where there is only one case.
    """
    if len(expected) < 2:
        return ""
    rights = []
    ours = []
    for right, value in zip(expected, values, strict=True):
        a = as_tensor(right)
        b = as_tensor(value)
        if a is None or b is None or a.shape != b.shape:
            return ""
        if (a.dtype == torch.bool) != (b.dtype == torch.bool):
            return ""
        rights.append(a.flatten())
        ours.append(b.flatten())
    flat_a = torch.cat(rights)
    flat_b = torch.cat(ours)
    if torch.bool in (flat_a.dtype, flat_b.dtype):
        return _about_truth(flat_a, flat_b)
    return _about_numbers(flat_a, flat_b, tolerance)


def _agree(a: Tensor, b: Tensor, tolerance: float) -> bool:
    return a.shape == b.shape and bool(is_same(a, b, tolerance).all())


# Tuples and lists.


def _about_parts(expected: tuple, value: Sequence[Any], tolerance: float | None) -> str:
    """Try the parts of a tuple in every order."""
    if len(expected) != len(value) or len(expected) > MOST_PARTS:
        return ""
    for order in permutations(value):
        if not any(difference(*pair, tolerance) for pair in zip(expected, order, strict=True)):
            return "The parts are right, but they stand in the wrong order."
    return ""


def _about_one_part(expected: Any, value: tuple, tolerance: float | None) -> str:
    """Look for what was expected among the parts of a tuple."""
    for i, part in enumerate(value):
        if not difference(expected, part, tolerance):
            return f"Part {i + 1} of it alone would be right."
    return ""


def _about_lists(expected: Any, value: Any) -> str:
    """Compare lists of names, or of unequal rows."""
    is_list = isinstance(expected, list | np.ndarray) and isinstance(value, list | np.ndarray)
    if not is_list or len(expected) < 2 or len(expected) != len(value):
        return ""
    if not difference(list(expected), list(value)[::-1]):
        return "It is the right list in reverse order."
    if sorted(map(repr, expected)) == sorted(map(repr, value)):
        return "The entries are right, but they stand in the wrong order."
    return ""


# Tensors of different shapes.


def _about_shapes(a: Tensor, b: Tensor, tolerance: float | None) -> str:
    limit = tolerance_for(a, b, tolerance)
    if a.dim() == b.dim() >= 2 and a.mT.shape == b.shape:
        if _agree(a.mT, b, limit):
            return "It is the right answer transposed."
        return "It has the shape of the answer transposed."
    if a.squeeze().shape == b.squeeze().shape:
        if _agree(a.squeeze(), b.squeeze(), limit):
            return "Apart from dimensions of size 1 it is right."
        return "Apart from dimensions of size 1 the shapes agree."
    if a.numel() == b.numel() and _agree(a.flatten(), b.flatten(), limit):
        return "The values are right, in another shape."
    if a.dim() == b.dim() == 1:
        return _about_lengths(a, b, limit)
    return ""


def _about_lengths(a: Tensor, b: Tensor, limit: float) -> str:
    """Compare two vectors of different lengths at their beginnings and at their ends."""
    shared = min(len(a), len(b))
    if shared == 0:
        return ""
    if _agree(a[:shared], b[:shared], limit):
        return f"The first {shared} agree." if shared > 1 else ""
    if _agree(a[-shared:], b[-shared:], limit):
        return f"The last {shared} agree." if shared > 1 else ""
    return ""


# Tensors of one shape.


def _about_truth(a: Tensor, b: Tensor) -> str:
    """Say so where every one of several answers is the opposite."""
    if a.dtype == b.dtype and a.numel() > 1 and torch.equal(~a, b):
        return "It is True where it should be False, and False where it should be True."
    return ""


def _about_numbers(a: Tensor, b: Tensor, tolerance: float | None) -> str:
    """Look for a rule by which every entry follows from the right one.

    Infinities must be the same in both; the rule is looked for among the other entries.
    """
    limit = tolerance_for(a, b, tolerance)
    a = a.double()
    b = b.double()
    finite = a.isfinite()
    if not b[finite].isfinite().all() or not torch.equal(a[~finite], b[~finite]):
        return ""
    a = a[finite]
    b = b[finite]
    if not a.numel():
        return ""
    if _agree(-a, b, limit):
        return "It has the wrong sign." if a.numel() == 1 else "Every number has the wrong sign."

    # One number follows from another by many rules, so two different ones at least are wanted.
    if len(a.unique()) < 2:
        return ""
    if len(b.unique()) == 1:
        return f"Every number of yours is {b[0].item():.6g}."
    if _agree(1 - a, b, limit):
        return "Every number is 1 minus what it should be."
    largest = int(a.abs().argmax())
    factor = b[largest] / a[largest]
    if _agree(factor * a, b, limit):
        return f"Every number is {factor.item():.6g} times what it should be."
    offset = b[largest] - a[largest]
    if _agree(a + offset, b, limit):
        direction = "large" if offset > 0 else "small"
        return f"Every number is {abs(offset.item()):.6g} too {direction}."
    return ""


def _about_order(a: Tensor, b: Tensor, tolerance: float | None) -> str:
    limit = tolerance_for(a, b, tolerance)
    if a.numel() < 2:
        return ""
    if a.dim() >= 2 and _agree(a.mT, b, limit):
        return "It is the right answer transposed."
    for dim in range(a.dim()):
        if _agree(a.flip(dim), b, limit):
            along = f" along dimension {dim}" if a.dim() > 1 else ""
            return f"It is the right answer in reverse order{along}."
    if _agree(a.flatten().sort().values, b.flatten().sort().values, limit):
        return "The values are right, but they stand in the wrong order."
    return ""


def _about_places(a: Tensor, b: Tensor, tolerance: float | None) -> str:
    """Say so where all entries that differ lie in one row, one column or at one end."""
    differs = ~is_same(a, b, tolerance_for(a, b, tolerance))
    if a.dim() == 1 and len(a) > 2 and int(differs.sum()) == 1:
        if differs[0]:
            return "Only the first entry is wrong."
        if differs[-1]:
            return "Only the last entry is wrong."
    if a.dim() < 2 or int(differs.sum()) < 2:
        return ""
    indices = differs.nonzero()
    for dim in range(a.dim()):
        found = indices[:, dim].unique()
        if len(found) == 1 and a.shape[dim] > 1:
            return f"Only entries with index {int(found)} in dimension {dim} are wrong."
    return ""


def _about_precision(a: Tensor, b: Tensor) -> str:
    """Say so where the numbers are nearly right."""
    if not (a.is_floating_point() and a.isfinite().all() and b.isfinite().all()):
        return ""
    if torch.equal(a.trunc().double(), b.double()):
        return "It is the right answer with the fractions cut off: are the numbers integers?"
    distance = (a.double() - b.double()).abs().max() / a.abs().max()
    if b.dtype in SHORT_DTYPES and distance < PRECISION_OF_16_BITS:
        name = str(b.dtype).removeprefix("torch.")
        return f"It is right to the few digits that {name} has; compute in float32."
    if distance < NEARLY:
        return "It is right to three digits: is something rounded, or left out that is small?"
    return ""
