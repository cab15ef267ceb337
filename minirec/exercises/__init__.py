"""Checks for the notebooks: results compared, and a learner's exercises answered at once."""

import importlib
import pkgutil
import re
from typing import Any

from minirec.exercises.checker import Exercise, Mistake, difference, judge, mistake

__all__ = ["Exercise", "Mistake", "check", "difference", "exercises", "judge", "mistake"]


def check(name: str, value: Any, *others: Any, tolerance: float | None = None) -> None:
    """Judge an exercise, or state that results agree, and print the verdict.

    check("02.1", my_function) judges the answer to an exercise.
    check("two things agree", a, b, ...) prints `two things agree: True`.

    Parameters
    ----------
    name : str
        The number of an exercise, or what is checked, in words.
    value : callable or anything
        The answer to the exercise, or the first result; alone, it must be true.
    *others : numbers, arrays, tensors or nested lists
        Results that must all equal the first.
    tolerance : float, optional
        By how much they may differ, relative to the largest entry: 1e-5 in float32 and 1e-9 in
        float64 unless given.

    Raises
    ------
    AssertionError
        Where results do not agree, with the largest difference.
    ValueError
        For an exercise that does not exist.
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
    """Return the exercises of all modules lesson_00, lesson_01, ... by their numbers."""
    found: dict[str, Exercise] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name.startswith("lesson_"):
            lesson = importlib.import_module(f"{__name__}.{module.name}")
            found.update(lesson.EXERCISES)
    return found
