"""Checks for the notebooks: `check` compares results in a lesson, and answers a learner's exercise at once, with a hint for the likely mistakes."""

import copy
import importlib
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}


@dataclass(frozen=True)
class Exercise:
    """One exercise: its answer, the inputs it is tried on, and the mistakes we expect, each with a hint of its own.

    A mistake is a function that makes it: an answer that agrees with it on every case has made it.
    """

    solution: Callable
    cases: tuple[tuple, ...]
    mistakes: tuple[tuple[Callable, str], ...]


def check(name: str, value, *others, tolerance: float | None = None) -> None:
    """check("02.1", my_function) judges an exercise and prints the verdict. check("two things agree", a, b, ...) prints `two things agree: True`.

    In the second form the values are numbers, arrays, tensors or nested lists that must all equal the first, to 1e-5 in float32 and 1e-9 in float64
    (relative to the largest entry, or `tolerance`); a single value must be true. Raises AssertionError, with the largest difference, where it does not hold.
    """
    if re.fullmatch(r"\d\d\.\d", name) or callable(value):
        known = exercises()
        if name not in known:
            raise ValueError(
                f"there is no exercise {name!r}; there are {', '.join(sorted(known))}."
            )
        print(f"{name}: {judge(known[name], value)}")
        return
    if not others:
        assert bool(value), f"{name}: False"
    for other in others:
        problem = difference(value, other, tolerance)
        assert not problem, f"{name}: False ({problem})"
    print(f"{name}: True")


def exercises() -> dict[str, Exercise]:
    """Every exercise of the course by its number, collected from the modules lesson_00, lesson_01, ... of this package."""
    found = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name.startswith("lesson_"):
            found |= importlib.import_module(f"{__name__}.{module.name}").EXERCISES
    return found


def judge(exercise: Exercise, answer: Callable) -> str:
    """The verdict on an answer: not attempted, right, the hint for a known mistake, or the first case that differs."""
    results = []
    for case in exercise.cases:
        try:
            results.append(answer(*copy.deepcopy(case)))
        except Exception as error:
            return f"not yet. It raises {type(error).__name__}: {error} for the input {_show(case)}"
        if results[-1] is ...:
            return "not attempted. Replace the ... and run the cell again."
    expected = [exercise.solution(*copy.deepcopy(case)) for case in exercise.cases]
    if not any(map(difference, expected, results)):
        return "right!"
    for mistake, hint in exercise.mistakes:
        if not any(
            map(difference, [mistake(*copy.deepcopy(case)) for case in exercise.cases], results)
        ):
            return f"not yet. Hint: {hint}"
    at = next(i for i, pair in enumerate(zip(expected, results)) if difference(*pair))
    return f"not yet. For the input {_show(exercise.cases[at])} it should give {_show(expected[at])}; yours gives {_show(results[at])}"


def difference(expected, value, tolerance: float | None = None) -> str:
    """What tells two results apart, in words; empty where they agree to the tolerance."""
    for kind in (str, set, type(None)):
        if isinstance(expected, kind) or isinstance(value, kind):
            return (
                ""
                if isinstance(expected, kind) and isinstance(value, kind) and expected == value
                else f"{expected!r} and {value!r}"
            )
    if isinstance(expected, dict) and isinstance(value, dict):
        if expected.keys() != value.keys():
            return f"keys {sorted(map(str, expected))} and {sorted(map(str, value))}"
        return next(
            filter(None, (difference(expected[key], value[key], tolerance) for key in expected)), ""
        )
    if type(expected) is tuple and type(value) is tuple:
        return _entry_by_entry(expected, value, tolerance)
    try:
        a, b = _tensor(expected), _tensor(value)
    except (TypeError, ValueError, RuntimeError):
        if isinstance(expected, (list, np.ndarray)) and isinstance(
            value, (list, tuple, np.ndarray)
        ):  # of names, or of unequal lengths
            return _entry_by_entry(expected, value, tolerance)
        return f"a {type(value).__name__} where {type(expected).__name__} was expected"
    if a.shape != b.shape:
        return f"shapes {list(a.shape)} and {list(b.shape)}"
    if a.dim() == 0 and (a.dtype == torch.bool) != (b.dtype == torch.bool):
        return f"a {type(value).__name__} where {type(expected).__name__} was expected"
    allowed = (
        tolerance if tolerance is not None else max(TOLERANCE.get(t.dtype, 0.0) for t in (a, b))
    )
    a, b = a.double(), b.double()
    same = a == b  # infinities; a NaN agrees with nothing, itself included
    finite = a[a.isfinite()]
    close = (a - b).abs() <= allowed * max(
        1.0, float(finite.abs().max()) if finite.numel() else 1.0
    )
    return (
        ""
        if (same | close).all()
        else f"largest difference {float((a - b).abs().nan_to_num(nan=torch.inf).max()):.3g}"
    )


def _entry_by_entry(expected, value, tolerance) -> str:
    if len(expected) != len(value):
        return f"{len(expected)} and {len(value)} values"
    return next(filter(None, (difference(a, b, tolerance) for a, b in zip(expected, value))), "")


def _tensor(value) -> torch.Tensor:
    """As a tensor; Python floats and lists of them are float64."""
    if isinstance(value, (list, tuple)) and any(isinstance(v, torch.Tensor) for v in value):
        return torch.stack(list(value)).detach()
    return value.detach() if isinstance(value, torch.Tensor) else torch.from_numpy(np.array(value))


def _show(value) -> str:
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    if isinstance(value, np.ndarray):
        value = (np.round(value, 4) if value.dtype.kind == "f" else value).tolist()
    text = (
        ", ".join(map(_show, value))
        if isinstance(value, tuple)
        else f"{value:.6g}"
        if isinstance(value, float)
        else str(value)
    )
    return text if len(text) <= 160 else f"{text[:157]}..."
