"""How a prediction is judged: an answer that is a value, written down before the cell is run."""

import math
from typing import Any

import numpy as np
from torch import Tensor

TOLERANCE = 0.01  # relative: a predicted number with a fraction may be given rounded


def same_prediction(expected: Any, value: Any, tolerance: float | None = None) -> bool:
    """Return whether a prediction is the expected one.

    Parameters
    ----------
    expected, value : numbers, strings, bools, or lists, tuples, arrays and tensors of them
        The solution and the prediction. Strings may differ in case and in blanks around them.
        A solution that is a frozenset of capital letters may be given as a string, a list or a set
        of them, in any order: frozenset("BC") as "CB", "b, c" or ["B", "C"].
    tolerance : float, optional
        By how much a number may differ, relative to the expected one. Unless given, 1% where the
        expected number is a float, and nothing where it is an integer.
    """
    expected = plain(expected)
    value = plain(value)
    if isinstance(expected, frozenset):
        return expected == _letters(value)
    if isinstance(expected, list) or isinstance(value, list):
        if not (isinstance(expected, list) and isinstance(value, list)):
            return False
        if len(expected) != len(value):
            return False
        pairs = zip(expected, value, strict=True)
        return all(same_prediction(right, ours, tolerance) for right, ours in pairs)

    kind = _kind(expected)
    if kind != _kind(value):
        return False
    if kind == "a string":
        return expected.strip().casefold() == value.strip().casefold()
    if kind != "a number":
        return bool(expected == value)
    if tolerance is None:
        tolerance = TOLERANCE if isinstance(expected, float) else 0.0
    return math.isclose(expected, value, rel_tol=0, abs_tol=tolerance * abs(expected))


def explain_prediction(expected: Any, value: Any, tolerance: float | None = None) -> str:
    """Say what is wrong with a prediction, and do not say what is right.

    Parameters
    ----------
    expected, value : numbers, strings, bools, or lists, tuples, arrays and tensors of them
        The solution and a prediction that differs from it.
    tolerance : float, optional
        As in `same_prediction`.
    """
    expected = plain(expected)
    value = plain(value)
    if isinstance(expected, frozenset):
        return _explain_letters(expected, value)
    if isinstance(expected, list) and isinstance(value, list):
        return _explain_values(expected, value, tolerance)
    kind = "a list of values" if isinstance(expected, list) else _kind(expected)
    given = "a list of values" if isinstance(value, list) else _kind(value)
    if kind != given:
        return f"The answer is {kind}; yours is {given}."
    return _explain_value(expected, value, tolerance)


def _letters(value: Any) -> frozenset[str] | None:
    """Return the letters that a string, list or set names, as capitals; None for anything else."""
    if not isinstance(value, str | list | set | frozenset):
        return None
    text = "".join(map(str, value))
    return frozenset(letter for letter in text.upper() if letter.isalpha())


def _explain_letters(expected: frozenset[str], value: Any) -> str:
    """Say how many letters are missing or too many, and not which."""
    given = _letters(value)
    if given is None:
        return f"The answer is a string of letters; yours is {_kind(value)}."
    return f"{len(given - expected)} letters too many, {len(expected - given)} missing."


def _explain_values(expected: list, value: list, tolerance: float | None) -> str:
    if len(expected) != len(value):
        return f"The answer has {len(expected)} values; yours has {len(value)}."
    pairs = list(zip(expected, value, strict=True))
    wrong = [i for i, pair in enumerate(pairs) if not same_prediction(*pair, tolerance)]
    if sorted(map(_sortable, expected)) == sorted(map(_sortable, value)):
        return "The values are right, but they stand in the wrong order."
    first = wrong[0]
    problem = explain_prediction(expected[first], value[first], tolerance)
    return f"{len(wrong)} of {len(expected)} values are wrong. Value {first + 1}: {problem}"


def _sortable(part: Any) -> str:
    """Return a text that is the same for 1 and 1.0, and orders parts of any kind."""
    return repr(float(part)) if _kind(part) == "a number" else repr(part)


def _explain_value(expected: Any, value: Any, tolerance: float | None) -> str:
    if _kind(expected) != "a number":
        return f"It is not {value!r}."
    if math.isnan(value):
        return "Yours is NaN."
    if same_prediction(expected, -value, tolerance):
        return "It has the wrong sign."
    if same_prediction(expected, value / 100, tolerance):
        return "Is it in per cent? Give it as a share."
    if same_prediction(expected, 1 - value, tolerance):
        return "It is 1 minus what it should be."
    return f"{value:.6g} is too {'large' if value > expected else 'small'}."


def plain(value: Any) -> Any:
    """Return a value as Python's own numbers, strings and lists."""
    if isinstance(value, Tensor):
        return value.detach().tolist()
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def _kind(value: Any) -> str:
    """Name the kind of a plain value that is no list."""
    if isinstance(value, bool):
        return "True or False"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return f"an object of type {type(value).__name__}"
