"""Every exercise of the course: its stub, its solution, its mistakes, its hints and its rating."""

import ast
import dataclasses
import inspect
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

import minirec.exercises
from minirec.exercises import KINDS, LIKE_A_NUMBER, NUMBER, Exercise, exercises, judge

EXERCISES = exercises()
LESSONS = [
    path.stem.removeprefix("lesson_").upper()
    for path in sorted(Path(minirec.exercises.__file__).parent.glob("lesson_*.py"))
]
FUNCTIONS = [number for number, each in EXERCISES.items() if callable(each.solution)]
REBUILT = [number for number, each in EXERCISES.items() if each.stars]  # rated, with hints
SLIPS_OF_OURS = re.compile(r"it raises (NameError|AttributeError|ImportError|UnboundLocalError)")
LONGEST_VERDICT = 700  # characters


def stub(*arguments):
    return ...


def breaks(*arguments):
    raise KeyError("a slip")


def zeros(*arguments):
    return torch.zeros(100, 100)


def something_else(*arguments):
    return "something else"


def spoils(*arguments):
    """Overwrite the inputs."""
    for value in arguments:
        if isinstance(value, (torch.Tensor, np.ndarray)):
            value[...] = 0
        elif isinstance(value, list):
            for row in value:
                if isinstance(row, list):
                    row.clear()
            value.clear()


@pytest.fixture(params=EXERCISES)
def exercise(request):
    return EXERCISES[request.param]


@pytest.fixture(params=FUNCTIONS)
def function(request):
    """Return an exercise whose answer is a function."""
    return EXERCISES[request.param]


@pytest.fixture(params=REBUILT)
def rebuilt(request):
    return EXERCISES[request.param]


def test_numbers_have_the_one_form():
    assert all(NUMBER.fullmatch(number) for number in EXERCISES)
    assert all(LIKE_A_NUMBER.fullmatch(number) for number in EXERCISES)


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_exercises_of_a_lesson_bear_its_number(lesson):
    assert {number.split(".")[0] for number in exercises(lesson)} == {lesson}


def test_a_stub_is_not_attempted(exercise):
    answer = stub if callable(exercise.solution) else ...
    assert judge(exercise, answer).startswith("not attempted")


def test_a_solution_is_right(exercise):
    assert judge(exercise, exercise.solution) == "right!"


def numbered_mistakes():
    for number, exercise in EXERCISES.items():
        for i in range(len(exercise.mistakes)):
            yield number, i


@pytest.mark.parametrize("number, i", list(numbered_mistakes()))
def test_a_mistake_gets_its_own_hint(number, i):
    answer, hint = EXERCISES[number].mistakes[i]
    assert judge(EXERCISES[number], answer) == f"not yet. Hint: {hint}"


@pytest.mark.parametrize("number, i", list(numbered_mistakes()))
def test_a_mistake_is_not_made_by_a_slip_of_its_own(number, i):
    """One that raises NameError would get its hint, and so would whoever mistypes a name."""
    exercise = dataclasses.replace(EXERCISES[number], mistakes=())
    assert not SLIPS_OF_OURS.search(judge(exercise, EXERCISES[number].mistakes[i][0]))


def test_mistakes_are_two_at_least_with_different_hints(exercise):
    hints = [hint for _, hint in exercise.mistakes]
    assert len(hints) >= 2
    assert len(set(hints)) == len(hints)
    assert all(hint.strip() for hint in hints)


def test_an_answer_that_raises_is_told_so(function):
    assert "it raises KeyError: 'a slip'" in judge(function, breaks)


def test_an_answer_of_another_kind_is_told_so(function):
    verdict = judge(function, something_else)
    assert "your answer is the string 'something else'; it should be " in verdict or (
        "your answer is 'something else'; it should be '" in verdict
    )


@pytest.mark.parametrize("answer", [breaks, something_else, zeros])
def test_a_verdict_is_never_a_dump(function, answer):
    assert len(judge(function, answer)) < LONGEST_VERDICT


def test_a_solution_is_still_right_after_an_answer_that_spoils_its_inputs(function):
    judge(function, spoils)
    assert judge(function, function.solution) == "right!"


# Those that have a rating.


@pytest.mark.skipif(not REBUILT, reason="no exercise has a rating yet")
def test_a_rebuilt_exercise_is_complete(rebuilt):
    assert incomplete(rebuilt) == []


def incomplete(exercise):
    """Say what an exercise with a rating lacks."""
    complaints = []
    if exercise.stars not in (1, 2, 3):
        complaints.append("stars")
    if not 1 <= exercise.minutes <= 60:
        complaints.append("minutes")
    if exercise.kind not in KINDS:
        complaints.append("kind")
    if not exercise.title.strip():
        complaints.append("title")
    if not 1 <= len(exercise.hints) <= 4 or not all(hint.strip() for hint in exercise.hints):
        complaints.append("number of hints")
    if any(gives_away(exercise.solution, hint) for hint in exercise.hints):
        complaints.append("a hint gives the solution away")
    return complaints


def gives_away(solution, hint):
    """Whether a hint has what the solution returns, or a predicted value, word for word."""
    if callable(solution):
        answers = returned_by(solution)
    else:
        answers = [solution] if isinstance(solution, str) else [repr(solution)]
        answers = [answer for answer in answers if len(answer) >= 3]  # not 0, 1, 10
    return any(stands_in(answer, hint) for answer in answers)


def stands_in(answer, hint):
    """Whether a text has an expression, whatever the blanks in it."""
    words = re.findall(r"\w+|\S", answer)
    pattern = r"\s*".join(map(re.escape, words))
    return re.search(rf"(?<!\w){pattern}(?!\w)", hint) is not None


def returned_by(solution):
    """Return the expressions that a function returns, but for names and constants alone."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(solution)))
    values = [node.value for node in ast.walk(tree) if isinstance(node, ast.Return)]
    trivial = (ast.Name, ast.Constant, type(None))
    return [ast.unparse(value) for value in values if not isinstance(value, trivial)]


def double(x):
    return 2 * x


COMPLETE = Exercise(
    double, title="Twice", kind="fill in", stars=1, minutes=5, hints=("Add it to itself.",)
)


def test_an_exercise_with_all_its_fields_is_complete():
    assert incomplete(COMPLETE) == []


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"stars": 4}, "stars"),
        ({"minutes": 0}, "minutes"),
        ({"minutes": 90}, "minutes"),
        ({"kind": "fill-in"}, "kind"),
        ({"title": " "}, "title"),
        ({"hints": ()}, "number of hints"),
        ({"hints": ("a", "b", "c", "d", "e")}, "number of hints"),
        ({"hints": ("Try 2*x.",)}, "a hint gives the solution away"),
        ({"solution": 0.75, "hints": ("It is 0.75.",)}, "a hint gives the solution away"),
        ({"solution": "gate", "hints": ("The gate does.",)}, "a hint gives the solution away"),
    ],
)
def test_an_exercise_that_lacks_something_is_caught(change, complaint):
    assert incomplete(dataclasses.replace(COMPLETE, **change)) == [complaint]
