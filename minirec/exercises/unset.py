"""Entries of an array that nobody wrote: np.empty leaves in memory what it finds there."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np

UNSET = (
    "Hint: an entry that nothing has written is in the result, shown as NaN here. `np.empty_like` "
    "leaves in memory whatever stood there. Where do you write nothing, or read too early? An "
    "index below 0 counts from the end."
)


@contextlib.contextmanager
def empty_arrays_hold(value: float) -> Iterator[None]:
    """Let np.empty and np.empty_like return arrays full of one value.

    Arrays of integers and of bools stay as they are: they have no NaN.

    Parameters
    ----------
    value : float
        What stands in each entry of a new array of floating-point numbers.

    Yields
    ------
    None
        Nothing; afterwards both functions are NumPy's again.
    """

    def filled(create: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        def created(*arguments: Any, **options: Any) -> np.ndarray:
            array = create(*arguments, **options)
            if np.issubdtype(array.dtype, np.inexact):
                array[...] = value
            return array

        return created

    with (
        mock.patch.object(np, "empty", filled(np.empty)),
        mock.patch.object(np, "empty_like", filled(np.empty_like)),
    ):
        yield


def holds_nan(result: Any) -> bool:
    """Return whether an array, or one of a tuple or list of arrays, holds a NaN."""
    if isinstance(result, list | tuple):
        return any(holds_nan(part) for part in result)
    if not isinstance(result, np.ndarray) or not np.issubdtype(result.dtype, np.inexact):
        return False
    return bool(np.isnan(result).any())
