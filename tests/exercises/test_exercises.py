"""The exercise checker, and every exercise of the course.

Stubs, solutions and the mistakes that we expect get the verdicts meant for them.
"""

import math

import numpy as np
import pytest
import torch

from minirec import exercises as course
from minirec.exercises import Exercise, check, difference, exercises, judge, mistake

EXERCISES = exercises()

# The exercises of the course.


def stub(*arguments):
    return ...


def breaks(*arguments):
    raise KeyError("a slip")


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


def test_a_stub_is_not_attempted(exercise):
    assert judge(exercise, stub).startswith("not attempted")


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


def test_mistakes_are_two_at_least_with_different_hints(exercise):
    hints = [hint for _, hint in exercise.mistakes]
    assert len(hints) >= 2
    assert len(set(hints)) == len(hints)
    assert all(hint.strip() for hint in hints)


def test_an_answer_that_raises_is_told_so(exercise):
    assert "It raises KeyError: 'a slip'" in judge(exercise, breaks)


def test_an_answer_of_no_known_kind_is_shown_what_it_should_give(exercise):
    assert judge(exercise, something_else).startswith("not yet. For the input ")


def test_a_solution_is_still_right_after_an_answer_that_spoils_its_inputs(exercise):
    judge(exercise, spoils)
    assert judge(exercise, exercise.solution) == "right!"


# Verdicts on answers to an exercise of one line.


def double(x):
    return 2 * x


@mistake("twice, not squared")
def squared(x):
    return x**2


@mistake("it is the input")
def unchanged(x):
    return x


DOUBLE = Exercise(
    solution=double,
    cases=((torch.tensor([1.0, 2.0]),), (torch.tensor([3.0]),)),
    mistakes=(squared, unchanged),
)


def added_to_itself(x):
    return x + x


def times_itself(x):
    return x * x


def copied(x):
    return x.clone()


def wrong_for_one_number(x):
    if len(x) == 1:
        return 2 * x + 1
    return 2 * x


def divided_by_a_string(x):
    return x / "2"


def without_arguments():
    return 1


def nothing(x):
    return None


def nan(x):
    return torch.full_like(x, math.nan)


def double_as_list(x):
    return (2 * x).tolist()


def double_as_array(x):
    return 2 * x.numpy()


def double_in_place_with_gradient(x):
    return (2 * x).mul_(1).requires_grad_()


def double_with_one_more_dimension(x):
    return 2 * x[None]


@pytest.mark.parametrize(
    "answer, verdict",
    [
        (stub, "not attempted. Replace the ... and run the cell again."),
        (added_to_itself, "right!"),
        (times_itself, "not yet. Hint: twice, not squared"),
        (copied, "not yet. Hint: it is the input"),
        (
            wrong_for_one_number,
            "not yet. For the input [3.0] it should give [6.0]; yours gives [7.0]",
        ),
        (divided_by_a_string, "not yet. It raises TypeError"),
        (without_arguments, "not yet. It raises TypeError"),
        (..., "not yet. It raises TypeError"),
        (
            nothing,
            "not yet. For the input [1.0, 2.0] it should give [2.0, 4.0]; yours gives None",
        ),
        (nan, "not yet. For the input [1.0, 2.0]"),
        (double_as_list, "right!"),
        (double_as_array, "right!"),
        (double_in_place_with_gradient, "right!"),
        (double_with_one_more_dimension, "not yet. For the input"),
    ],
)
def test_the_verdict_fits_the_answer(answer, verdict):
    assert judge(DOUBLE, answer).startswith(verdict)


# What `check` prints for an exercise.


@pytest.fixture
def one_exercise(monkeypatch):
    monkeypatch.setattr(course, "exercises", lambda: {"02.1": DOUBLE})


def test_check_prints_the_verdict_of_an_exercise(one_exercise, capsys):
    check("02.1", double)
    assert capsys.readouterr().out == "02.1: right!\n"


@pytest.mark.parametrize("number", ["02.9", "2.1", "02-1"])
def test_an_exercise_that_does_not_exist_is_an_error_not_a_verdict(one_exercise, number, capsys):
    with pytest.raises(ValueError, match=r"there are 02.1"):
        check(number, double)
    assert capsys.readouterr().out == ""


# What agrees, and what does not.

AGREE = {
    "tensors": (torch.ones(3), torch.ones(3)),
    "nested lists": ([[1, 2], [3, 4]], torch.tensor([[1, 2], [3, 4]])),
    "rounding": (1.0, 1.0 + 1e-12),
    "float32 rounding": (torch.tensor([1e3, 1.0]), torch.tensor([1e3, 1.0 + 5e-3])),
    "infinities": ([-math.inf, 1.0], np.array([-math.inf, 1.0])),
    "truth": (True, np.True_),
    "names": (["a", "b"], np.array(["a", "b"], dtype=object)),
    "a name": ("a", np.str_("a")),
    "nothing": (None, None),
    "unequal rows": ([[1], [2, 3]], [[1], [2, 3]]),
    "tuples": ((1, [2.0]), (1, torch.tensor([2.0]))),
    "dicts": ({"a": 1.0}, {"a": torch.tensor(1.0)}),
    "sets": ({1, 2}, {2, 1}),
    "a list of tensors": ([torch.ones(2), torch.ones(2)], torch.ones(2, 2)),
}
DIFFER = {
    "values": ([1.0, 2.0], [1.0, 2.1], "largest difference 0.1"),
    "float64 beyond rounding": (1.0, 1.0 + 1e-7, "largest difference 1e-07"),
    "integers": ([10**6], [10**6 + 1], "largest difference 1"),
    "shapes": (torch.ones(2, 1), torch.ones(2), r"shapes \[2, 1\] and \[2\]"),
    "opposite infinities": ([math.inf], [-math.inf], "largest difference"),
    "a nan": ([1.0], [math.nan], "largest difference inf"),
    "truth": (True, False, "largest difference 1"),
    "names": (["a", "b"], ["a", "c"], "'b' and 'c'"),
    "nothing and zero": (None, 0, "None and 0"),
    "unequal rows": ([[1], [2, 3]], [[1, 2], [3]], "1 and 2 values|shapes"),
    "tuples of other lengths": ((1, 2), (1, 2, 3), "2 and 3 values"),
    "keys": ({"a": 1}, {"b": 1}, r"keys \['a'\] and \['b'\]"),
    "a number and a name": (1, "1", "1 and '1'"),
    "one and true": (1, True, "a bool where int was expected"),
    "an object": (1, object(), "object where int was expected"),
}


@pytest.mark.parametrize("a, b", AGREE.values(), ids=AGREE)
def test_check_prints_true_where_values_agree(a, b, capsys):
    check("they agree", a, b, a)
    assert capsys.readouterr().out == "they agree: True\n"


@pytest.mark.parametrize("a, b, problem", DIFFER.values(), ids=DIFFER)
def test_check_raises_and_says_what_differs(a, b, problem, capsys):
    with pytest.raises(AssertionError, match=f"^they agree: False .*({problem})"):
        check("they agree", a, a, b)
    assert capsys.readouterr().out == ""


def as_tuple(x):
    return x, x


def as_dict(x):
    return {"a": x}


def as_unequal_rows(x):
    return [[x], [x, x]]


@pytest.mark.parametrize(
    "make",
    [float, as_tuple, as_dict, as_unequal_rows],
    ids=["number", "tuple", "dict", "unequal rows"],
)
def test_a_tolerance_reaches_every_entry(make):
    assert not difference(make(1.0), make(1.05), tolerance=0.1)
    assert difference(make(1.0), make(1.2), tolerance=0.1)


def test_check_of_one_value_wants_it_true(capsys):
    check("so it is", torch.tensor(3) > 2)
    with pytest.raises(AssertionError, match="not so: False"):
        check("not so", [])
    assert capsys.readouterr().out == "so it is: True\n"


def test_check_of_nothing_is_an_error():
    with pytest.raises(TypeError):
        check("a claim without evidence")
