"""Checks for the notebooks: results compared, and a learner's exercises answered at once."""

import importlib
import pkgutil
import re
from typing import Any

from minirec.exercises.checker import KINDS, Exercise, Mistake, judge, mistake, predicted
from minirec.exercises.compare import difference

__all__ = [
    "KINDS",
    "Exercise",
    "Mistake",
    "check",
    "difference",
    "exercises",
    "hint",
    "judge",
    "mistake",
    "predicted",
]

# The number of an exercise: its lesson, 00 to 99 or an appendix's letter, and its place there.
NUMBER = re.compile(r"(\d\d|[A-Z])\.[1-9]\d?")
# What is, or was meant as, one: 2.1, 02-1 and a.1 too. It is never a claim in words.
LIKE_A_NUMBER = re.compile(r"\d{1,2}\s*[.,:-]\s*\d{1,2}|[A-Za-z]\.\d{1,2}")

_last_step: dict[str, int] = {}  # the hint shown last for each exercise, in this process


def check(name: str, value: Any, *others: Any, tolerance: float | None = None) -> None:
    """Judge an exercise, or state that results agree, and print the verdict.

    check("02.1", my_function) judges the answer to an exercise; some ask for a value instead,
    check("02.2", 0.75). The verdict is: not attempted, right, a hint for a mistake that we expect,
    or else the shapes and the first entry that differs.

    check("two things agree", a, b, ...) prints `two things agree: True`.

    Parameters
    ----------
    name : str
        The number of an exercise, "02.1" or "A.1", or what is checked, in words.
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
        For an exercise that does not exist, or more than one answer to it.
    """
    if LIKE_A_NUMBER.fullmatch(name) or callable(value):
        exercise = _find(name)
        if others:
            raise ValueError(
                f"exercise {name} takes one answer, not {1 + len(others)}; put several values "
                "into brackets, as a tuple."
            )
        print(f"{name}: {judge(exercise, value)}")
        return

    if not others:
        assert bool(value), f"{name}: False"
    for other in others:
        problem = difference(value, other, tolerance)
        assert not problem, f"{name}: False ({problem})"
    print(f"{name}: True")


def hint(number: str, step: int | None = None) -> None:
    """Print the next hint of an exercise, one step at a time.

    After the last hint it says so once, and where the solution is; then it starts over.

    Parameters
    ----------
    number : str
        The number of an exercise, "02.1" or "A.1".
    step : int, optional
        A particular hint, from 1; the next one stays the next.

    Raises
    ------
    ValueError
        For an exercise or a step that does not exist.
    """
    hints = _find(number).hints
    n_hints = len(hints)
    if step is not None:
        if not 1 <= step <= n_hints:
            raise ValueError(f"exercise {number} has {n_hints} hints; there is no hint {step}.")
        print(f"{number}, hint {step} of {n_hints}: {hints[step - 1]}")
        return

    following = _last_step.get(number, 0) + 1
    if following <= n_hints:
        print(f"{number}, hint {following} of {n_hints}: {hints[following - 1]}")
        _last_step[number] = following
        return
    _last_step[number] = 0
    none_left = "there is no further hint" if hints else "there are no hints"
    print(
        f"{number}: {none_left}. The solution is in notebooks/solutions, in the notebook whose "
        f"name begins with {_lesson(number)}."
    )


def exercises(lesson: str | None = None) -> dict[str, Exercise]:
    """Return exercises by their numbers.

    Parameters
    ----------
    lesson : str, optional
        "02", or "A" for an appendix; unless given, those of all modules lesson_00, lesson_01, ...
    """
    found: dict[str, Exercise] = {}
    for each in _lessons() if lesson is None else [lesson]:
        module = importlib.import_module(f"{__name__}.lesson_{each.lower()}")
        found.update(module.EXERCISES)
    return found


def _lessons() -> list[str]:
    """Return the lessons that have a module of exercises: ["00", "01", ..., "A"]."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    return [name.removeprefix("lesson_").upper() for name in names if name.startswith("lesson_")]


def _lesson(number: str) -> str:
    """Return the lesson of what is, or was meant as, the number of an exercise; else ""."""
    if not LIKE_A_NUMBER.fullmatch(number):
        return ""
    if number[0].isalpha():
        return number[0].upper()
    return re.split(r"\D", number)[0].zfill(2)


def _find(number: str) -> Exercise:
    """Return an exercise; where there is none, the error lists those of its lesson."""
    lesson = _lesson(number)
    lessons = _lessons()
    if lesson not in lessons:
        raise ValueError(
            f"there is no exercise {number!r}: give a number such as {lessons[0]}.1. These lessons "
            f"have exercises: {', '.join(lessons)}."
        )
    known = exercises(lesson)
    if number not in known:
        raise ValueError(
            f"there is no exercise {number!r}; lesson {lesson} has {', '.join(sorted(known))}."
        )
    return known[number]
