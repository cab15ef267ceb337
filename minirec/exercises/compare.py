"""When two results are the same: one rule for numbers, lists, arrays and tensors."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}  # relative to the largest entry


def difference(expected: Any, value: Any, tolerance: float | None = None) -> str:
    """Say what tells two results apart.

    Parameters
    ----------
    expected, value : numbers, strings, sets, None, arrays, tensors, or dicts and sequences of them
        The two results.
    tolerance : float, optional
        By how much numbers may differ, relative to the largest of `expected`; unless given, what
        their dtype allows.

    Returns
    -------
    str
        The difference in words; empty where the two agree.
    """
    for kind in (str, set, type(None)):
        if isinstance(expected, kind) or isinstance(value, kind):
            same_kind = isinstance(expected, kind) and isinstance(value, kind)
            return "" if same_kind and expected == value else f"{expected!r} and {value!r}"

    if isinstance(expected, dict) and isinstance(value, dict):
        return _difference_of_dicts(expected, value, tolerance)
    if type(expected) is tuple and type(value) in (tuple, list):
        return _entry_by_entry(expected, value, tolerance)

    other_kind = f"a {type(value).__name__} where {type(expected).__name__} was expected"
    a = as_tensor(expected)
    b = as_tensor(value)
    if a is None or b is None:  # lists of names, or of unequal lengths
        are_lists = isinstance(expected, list | np.ndarray)
        are_lists = are_lists and isinstance(value, list | tuple | np.ndarray)
        return _entry_by_entry(expected, value, tolerance) if are_lists else other_kind
    if a.shape != b.shape:
        return f"shapes {list(a.shape)} and {list(b.shape)}"
    if a.dim() == 0 and (a.dtype == torch.bool) != (b.dtype == torch.bool):
        return other_kind
    return _difference_of_tensors(a, b, tolerance)


def as_tensor(value: Any) -> Tensor | None:
    """Return a value as a tensor on the CPU, None where it is none.

    Python floats and lists of them are float64.
    """
    try:
        return _tensor(value)
    except (TypeError, ValueError, RuntimeError):
        return None


def tolerance_for(a: Tensor, b: Tensor, tolerance: float | None = None) -> float:
    """Return by how much two tensors may differ, relative to the largest entry.

    The less precise of the two decides: float32 has no more than float32's digits.
    """
    if tolerance is not None:
        return tolerance
    return max(TOLERANCE.get(a.dtype, 0.0), TOLERANCE.get(b.dtype, 0.0))


def is_same(a: Tensor, b: Tensor, tolerance: float) -> Tensor:
    """Return for each entry whether two tensors of one shape agree there.

    The largest finite entry of a, or 1 if that is larger, is the measure of the tolerance.
    """
    a = a.double()
    b = b.double()
    finite = a[a.isfinite()]
    largest = float(finite.abs().max()) if finite.numel() else 1.0
    is_close = (a - b).abs() <= tolerance * max(1.0, largest)
    return is_close | (a == b)  # equal infinities; a NaN agrees with nothing, itself included


def _difference_of_dicts(expected: dict, value: dict, tolerance: float | None) -> str:
    if expected.keys() != value.keys():
        return f"keys {sorted(map(str, expected))} and {sorted(map(str, value))}"
    for key in expected:
        problem = difference(expected[key], value[key], tolerance)
        if problem:
            return problem
    return ""


def _entry_by_entry(expected: Any, value: Any, tolerance: float | None) -> str:
    if len(expected) != len(value):
        return f"{len(expected)} and {len(value)} values"
    for right, ours in zip(expected, value, strict=True):
        problem = difference(right, ours, tolerance)
        if problem:
            return problem
    return ""


def _difference_of_tensors(a: Tensor, b: Tensor, tolerance: float | None) -> str:
    if is_same(a, b, tolerance_for(a, b, tolerance)).all():
        return ""
    distance = (a.double() - b.double()).abs().nan_to_num(nan=torch.inf)
    return f"largest difference {float(distance.max()):.3g}"


def _tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, list | tuple):
        holds_more = any(isinstance(each, Tensor | list | tuple) for each in value)
        if holds_more:
            return torch.stack([_tensor(each) for each in value])
    return torch.from_numpy(np.array(value))
