"""How an answer is judged: tried on cases, compared with the solution and with known mistakes."""

import copy
import inspect
import textwrap
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from minirec.exercises.compare import difference
from minirec.exercises.explain import Place, count, describe_inputs, explain, first_place
from minirec.exercises.predictions import explain_prediction, same_prediction
from minirec.exercises.remarks import remark, remark_on_all
from minirec.exercises.unset import UNSET, empty_arrays_hold, holds_nan

KINDS = ("fill in", "predict", "read a figure", "find the bug", "derive", "extend")
LONGEST_MESSAGE = 200  # characters of an exception that are shown
LONGEST_LINE = 80  # of a learner's source, in characters

RIGHT = "right!"
NOT_ATTEMPTED = "not attempted. Replace the ... and run the cell again."

Answer = Callable[..., Any]


class Mistake(NamedTuple):
    """A mistake that we expect: an answer that makes it, and the hint for whoever made it."""

    answer: Any  # a function, or a wrong value where a value is asked for
    hint: str


def mistake(hint: str) -> Callable[[Answer], Mistake]:
    """Mark a function as a mistake that learners make.

    An answer that does on every case what the function does has made the mistake. The function may
    be right on some cases. On some or all of them it may raise: an answer that raises the same
    error there agrees with it.

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
    """One exercise of a lesson.

    Its answer is a function, tried on cases, or a value (see `predicted`).

    Parameters
    ----------
    solution : callable or value
        What is right. A function gets copies of a case's arguments, so it may change
        them; it must not raise.
    cases : tuple of tuples
        The arguments of each call on which a function is tried; none for a value.
    mistakes : tuple of Mistake or of (answer, hint)
        What learners get wrong, the most likely first.
    title : str
        What is to be done, in a few words.
    kind : str
        One of KINDS.
    stars : int
        How hard it is, from 1 to 3.
    minutes : int
        How long it takes somebody who has understood the text.
    hints : tuple of str
        Steps towards the solution, shown one at a time by `hint`.
    tolerance : float, optional
        By how much numbers may differ. For a function's results it is relative to the largest
        entry, and what their dtype allows unless given: 1e-9 in float64, 1e-5 in float32. For a
        predicted value it is relative to it, and 1% unless given; an integer must then be exact.
    unset_is_nan : bool
        Whether a function is called once more with NaN in what np.empty and np.empty_like return,
        so that an entry that it never writes is wrong at each call, and not by chance.
    """

    solution: Any
    cases: tuple[tuple, ...] = ()
    mistakes: tuple[Mistake | tuple[Any, str], ...] = ()
    title: str = ""
    kind: str = ""
    stars: int = 0
    minutes: int = 0
    hints: tuple[str, ...] = ()
    tolerance: float | None = None
    unset_is_nan: bool = False


def predicted(
    solution: Any, mistakes: dict | Iterable[tuple[Any, str]] = (), **rest: Any
) -> Exercise:
    """Make an exercise whose answer is a value, written down before the cell is run.

    Parameters
    ----------
    solution : number, string, bool, or tuple or list of them
        The value. A verdict never says it.
    mistakes : dict or pairs
        The hint for each wrong value: {wrong: hint} or [(wrong, hint)].
    **rest : any
        Other fields of Exercise; the kind is "predict" unless given.

    Returns
    -------
    Exercise
    """
    pairs = mistakes.items() if isinstance(mistakes, dict) else mistakes
    expected_mistakes = tuple(Mistake(wrong, hint) for wrong, hint in pairs)
    return Exercise(solution, mistakes=expected_mistakes, **{"kind": "predict", **rest})


def judge(exercise: Exercise, answer: Any) -> str:
    """Return the verdict on an answer.

    Parameters
    ----------
    exercise : Exercise
        What was asked.
    answer : callable or value
        The learner's function, or the value where a value is asked for.

    Returns
    -------
    str
        Not attempted, right, the hint for a known mistake, or where the answer first differs.
    """
    if answer is ...:
        return NOT_ATTEMPTED
    if not callable(exercise.solution):
        return _judge_value(exercise, answer)
    if not callable(answer):
        return (
            "not yet. The answer is a function, and you gave something else. Give the function's "
            "name, without brackets behind it."
        )
    complaint = _wrong_arguments(exercise, answer)
    if complaint:
        return f"not yet. {complaint}"

    outcomes = [_outcome(answer, case) for case in exercise.cases]
    if any(_is_unfinished(outcome) for outcome in outcomes):
        return NOT_ATTEMPTED
    uses_unset = False
    if exercise.unset_is_nan:
        spoiled = [_with_nan_where_unset(answer, case) for case in exercise.cases]
        uses_unset = any(each is not None for each in spoiled)
        pairs_of_ours = zip(spoiled, outcomes, strict=True)
        outcomes = [plain if each is None else each for each, plain in pairs_of_ours]
    expected = [exercise.solution(*copy.deepcopy(case)) for case in exercise.cases]
    pairs = zip(expected, outcomes, strict=True)
    is_right = [_agree(exercise, right, ours) for right, ours in pairs]
    if all(is_right):
        return RIGHT
    for wrong_answer, hint in exercise.mistakes:
        if _makes(exercise, wrong_answer, outcomes, is_right):
            return f"not yet. Hint: {hint}"
    explanation = _explain_first(exercise, expected, outcomes, is_right)
    return f"not yet. {UNSET} {explanation}" if uses_unset else f"not yet. {explanation}"


# An answer that is a value.


def _judge_value(exercise: Exercise, answer: Any) -> str:
    if callable(answer):
        return "not yet. The answer is a value, and you gave a function. Give what it returns."
    if isinstance(answer, list | tuple) and any(part is ... for part in answer):
        return NOT_ATTEMPTED
    if same_prediction(exercise.solution, answer, exercise.tolerance):
        return RIGHT
    for wrong, hint in exercise.mistakes:
        if same_prediction(wrong, answer, exercise.tolerance):
            return f"not yet. Hint: {hint}"
    return f"not yet. {explain_prediction(exercise.solution, answer, exercise.tolerance)}"


# An answer that is a function.


class Raised(NamedTuple):
    """An exception, in the place of a result."""

    kind: str
    message: str
    line: str = ""  # of the answer's source, "" where it is not known


def _outcome(answer: Answer, case: tuple) -> Any:
    """Return what an answer gives for a case, or what it raised."""
    try:
        return answer(*copy.deepcopy(case))
    except Exception as error:
        message = str(error)
        if len(message) > LONGEST_MESSAGE:
            message = f"{message[:LONGEST_MESSAGE]}..."
        return Raised(type(error).__name__, message, _line_that_raised(answer, error))


def _with_nan_where_unset(answer: Answer, case: tuple) -> Any:
    """Return what an answer gives if unset entries are NaN; None if it needs none of them.

    Numba compiles calls of np.empty, so the Python function behind a compiled one is called.
    """
    python = getattr(answer, "py_func", answer)
    with empty_arrays_hold(float("nan")):
        with_nan = _outcome(python, case)
    with empty_arrays_hold(0.0):
        with_zeros = _outcome(python, case)
    is_spoiled = holds_nan(with_nan) and not holds_nan(with_zeros)
    return with_nan if is_spoiled else None


def _line_that_raised(answer: Answer, error: Exception) -> str:
    """Return the last line of the answer's own file through which the error came."""
    code = getattr(answer, "__code__", None)
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if code is not None and frame.filename == code.co_filename:
            return textwrap.shorten(frame.line or "", LONGEST_LINE, placeholder=" ...")
    return ""


def _is_unfinished(outcome: Any) -> bool:
    """Return whether a stub's `...` is still there: returned, or computed with."""
    if isinstance(outcome, Raised):
        return outcome.kind in ("TypeError", "AttributeError") and "ellipsis" in outcome.message
    return outcome is ...


def _agree(exercise: Exercise, first: Any, second: Any) -> bool:
    """Return whether two outcomes are the same."""
    if isinstance(first, Raised) and isinstance(second, Raised):
        return first[:2] == second[:2]
    if isinstance(first, Raised) or isinstance(second, Raised):
        return False
    return not difference(first, second, exercise.tolerance)


def _makes(
    exercise: Exercise, wrong_answer: Answer, outcomes: Sequence[Any], is_right: Sequence[bool]
) -> bool:
    """Return whether an answer does what a mistake does, on one wrong case at least.

    Where the mistake raises, the answer may also give a wrong result: NumPy divides by zero where
    Python refuses to.
    """
    is_proved = False
    for case, ours, right in zip(exercise.cases, outcomes, is_right, strict=True):
        theirs = _outcome(wrong_answer, case)
        if _agree(exercise, theirs, ours):
            is_proved = is_proved or not right
        elif right or not isinstance(theirs, Raised):
            return False
    return is_proved


def _wrong_arguments(exercise: Exercise, answer: Answer) -> str:
    """Say so where an answer cannot be called with the arguments of a case."""
    try:
        signature = inspect.signature(answer)
    except (TypeError, ValueError):  # of some functions written in C
        return ""
    for case in exercise.cases:
        try:
            signature.bind(*case)
        except TypeError:
            takes = _arguments(list(signature.parameters))
            called_with = _arguments(_argument_names(exercise, case))
            return f"Your function takes {takes}, but it is called with {called_with}."
    return ""


def _arguments(names: list[str]) -> str:
    """Return "no arguments", "1 argument (x)" or "2 arguments (x, h)"."""
    if not names:
        return "no arguments"
    return f"{count(len(names), 'argument')} ({', '.join(names)})"


def _argument_names(exercise: Exercise, case: tuple) -> list[str]:
    """Return the names that the solution gives to the arguments of a case."""
    names = list(inspect.signature(exercise.solution).parameters)[: len(case)]
    unnamed = range(len(names), len(case))
    return names + [f"argument {i + 1}" for i in unnamed]


def _explain_first(exercise: Exercise, expected: list, outcomes: list, is_right: list[bool]) -> str:
    """Describe the first case on which an answer is wrong, and its input."""
    first = is_right.index(False)
    case = exercise.cases[first]
    where = []
    if len(exercise.cases) > 1:
        where.append(f"case {first + 1} of {len(exercise.cases)}")

    right = expected[first]
    ours = outcomes[first]
    common = ""
    if isinstance(ours, Raised):
        at = f" at `{ours.line}`" if ours.line else ""
        clause = f"it raises {ours.kind}: {ours.message}{at}."
    elif ours is None:
        clause = "your function returns None: is a `return` missing?"
    else:
        place = first_place(right, ours, exercise.tolerance)
        where.extend(place.where)
        clause = explain(place.expected, place.value, exercise.tolerance)
        common = _common(exercise, expected, outcomes, first, place)
    given = ""
    if case:
        given = f"The input: {describe_inputs(_argument_names(exercise, case), case)}."
    sentences = [_begin(where, clause), common, given]
    return " ".join(sentence for sentence in sentences if sentence)


def _begin(where: list[str], clause: str) -> str:
    if not where:
        return clause[0].upper() + clause[1:]
    comma = "," if len(where) > 1 else ""
    return f"For {', '.join(where)}{comma} {clause}"


def _common(exercise: Exercise, expected: list, outcomes: list, first: int, place: Place) -> str:
    """Say what the wrong results have in common with the right ones.

    A rule that holds in all cases says most, then one that holds for a whole result, then one for
    the part of it that differs first.
    """
    tolerance = exercise.tolerance
    if not any(isinstance(outcome, Raised) for outcome in outcomes):
        on_all = remark_on_all(expected, outcomes, tolerance)
        if on_all:
            return on_all
    on_whole = remark(expected[first], outcomes[first], tolerance)
    return on_whole or remark(place.expected, place.value, tolerance)
