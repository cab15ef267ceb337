"""How an answer is judged: tried on cases, compared with the solution and with known mistakes."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}  # relative to the largest entry
LONGEST_SHOWN = 160  # characters of an input or a result in a verdict

Answer = Callable[..., Any]


class Mistake(NamedTuple):
    """A mistake that we expect: an answer that makes it, and the hint for whoever made it."""

    answer: Answer
    hint: str


def mistake(hint: str) -> Callable[[Answer], Mistake]:
    """Mark a function as a mistake that learners make.

    An answer that agrees with the function on every case of an exercise has made the mistake.

    Parameters
    ----------
    hint : str
        What a learner who made it is told.

    Returns
    -------
    callable
        A decorator; the function becomes a Mistake.
    """

    def decorate(answer: Answer) -> Mistake:
        return Mistake(answer, hint)

    return decorate


@dataclass(frozen=True)
class Exercise:
    """One exercise of a lesson."""

    solution: Answer
    cases: tuple[tuple, ...]  # the arguments of each call on which an answer is tried
    mistakes: tuple[Mistake | tuple[Answer, str], ...]


def judge(exercise: Exercise, answer: Answer) -> str:
    """Return the verdict on an answer.

    Parameters
    ----------
    exercise : Exercise
        What was asked.
    answer : callable
        The learner's function.

    Returns
    -------
    str
        Not attempted, right, the hint for a known mistake, or the first case that differs.
    """
    results = []
    for case in exercise.cases:
        try:
            result = answer(*copy.deepcopy(case))
        except Exception as error:
            kind = type(error).__name__
            return f"not yet. It raises {kind}: {error} for the input {_show(case)}"
        if result is ...:
            return "not attempted. Replace the ... and run the cell again."
        results.append(result)

    expected = _results(exercise.solution, exercise.cases)
    if _all_agree(expected, results):
        return "right!"
    for wrong_answer, hint in exercise.mistakes:
        if _all_agree(_results(wrong_answer, exercise.cases), results):
            return f"not yet. Hint: {hint}"

    differs = [bool(difference(*pair)) for pair in zip(expected, results, strict=True)]
    first = differs.index(True)
    return (
        f"not yet. For the input {_show(exercise.cases[first])} it should give "
        f"{_show(expected[first])}; yours gives {_show(results[first])}"
    )


def _results(answer: Answer, cases: Sequence[tuple]) -> list[Any]:
    return [answer(*copy.deepcopy(case)) for case in cases]


def _all_agree(expected: list[Any], results: list[Any]) -> bool:
    pairs = zip(expected, results, strict=True)
    return not any(difference(right, ours) for right, ours in pairs)


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
    if type(expected) is tuple and type(value) is tuple:
        return _entry_by_entry(expected, value, tolerance)

    other_kind = f"a {type(value).__name__} where {type(expected).__name__} was expected"
    try:
        a = _tensor(expected)
        b = _tensor(value)
    except (TypeError, ValueError, RuntimeError):  # lists of names, or of unequal lengths
        are_lists = isinstance(expected, list | np.ndarray)
        are_lists = are_lists and isinstance(value, list | tuple | np.ndarray)
        return _entry_by_entry(expected, value, tolerance) if are_lists else other_kind
    if a.shape != b.shape:
        return f"shapes {list(a.shape)} and {list(b.shape)}"
    if a.dim() == 0 and (a.dtype == torch.bool) != (b.dtype == torch.bool):
        return other_kind
    return _difference_of_tensors(a, b, tolerance)


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
    """Compare two tensors of one shape; the largest finite entry of a is the measure."""
    if tolerance is None:
        tolerance = max(TOLERANCE.get(a.dtype, 0.0), TOLERANCE.get(b.dtype, 0.0))
    a = a.double()
    b = b.double()
    finite = a[a.isfinite()]
    largest = float(finite.abs().max()) if finite.numel() else 1.0
    distance = (a - b).abs()
    is_close = distance <= tolerance * max(1.0, largest)
    is_same = a == b  # infinities; a NaN agrees with nothing, itself included
    if (is_same | is_close).all():
        return ""
    return f"largest difference {float(distance.nan_to_num(nan=torch.inf).max()):.3g}"


def _tensor(value: Any) -> Tensor:
    """Return a value as a tensor; Python floats and lists of them are float64."""
    if isinstance(value, list | tuple) and any(isinstance(each, Tensor) for each in value):
        return torch.stack(list(value)).detach()
    if isinstance(value, Tensor):
        return value.detach()
    return torch.from_numpy(np.array(value))


def _show(value: Any) -> str:
    """Return an input or a result as a learner would write it, not too long."""
    if isinstance(value, Tensor):
        value = value.detach().numpy()
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "f":
            value = np.round(value, 4)
        value = value.tolist()

    if isinstance(value, tuple):
        text = ", ".join(map(_show, value))
    elif isinstance(value, float):
        text = f"{value:.6g}"
    else:
        text = str(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."
