"""Exercises whose answer is a value: what is right, and what is said of a wrong one."""

import math

import numpy as np
import pytest
import torch

from minirec import exercises as course
from minirec.exercises import check, judge, predicted

RIGHT = {
    "itself": (0.75, 0.75),
    "rounded": (2 / 3, 0.67),
    "a float for an integer": (12, 12.0),
    "an integer for a float": (12.0, 12),
    "a tensor": (0.75, torch.tensor(0.75)),
    "a NumPy number": (12, np.int64(12)),
    "zero": (0.0, 0),
    "infinity": (math.inf, math.inf),
    "truth": (True, True),
    "truth of NumPy": (False, np.False_),
    "truth of a tensor": (True, torch.tensor(3) > 2),
    "a name": ("gate", " Gate "),
    "a tuple": ((1, 2, 0.5), (1, 2, 0.501)),
    "a list for a tuple": ((1, 2), [1, 2]),
    "an array": ([[1.0, 2.0]], np.array([[1.0, 2.0]])),
    "letters in another order": (frozenset("BC"), "CB"),
    "letters with a comma": (frozenset("BC"), " b, c"),
    "a list of letters": (frozenset("BC"), ["C", "B"]),
    "a set of letters": (frozenset("BC"), {"C", "B"}),
    "mixed": ((True, "up", 3), (True, "up", 3)),
}

# (what is right, what is given, what is said)
WRONG = {
    "too large": (0.75, 0.9, "0.9 is too large."),
    "too small": (0.75, -3, "-3 is too small."),
    "beyond rounding": (0.75, 0.76, "0.76 is too large."),
    "an integer is exact": (1000, 1001, "1001 is too large."),
    "zero is exact": (0.0, 0.001, "0.001 is too large."),
    "the wrong sign": (0.75, -0.75, "It has the wrong sign."),
    "per cent": (0.75, 75, "Is it in per cent? Give it as a share."),
    "one minus": (0.8, 0.2, "It is 1 minus what it should be."),
    "a NaN": (0.75, math.nan, "Yours is NaN."),
    "truth for a number": (1, True, "The answer is a number; yours is True or False."),
    "a number for truth": (True, 1, "The answer is True or False; yours is a number."),
    "a name for a number": (1, "1", "The answer is a number; yours is a string."),
    "nothing": (1, None, "The answer is a number; yours is an object of type NoneType."),
    "a list for a number": (1, [1], "The answer is a number; yours is a list of values."),
    "a number for a list": ([1], 1, "The answer is a list of values; yours is a number."),
    "the other truth": (True, False, "It is not False."),
    "another name": ("gate", "gru", "It is not 'gru'."),
    "a value too few": ((1, 2, 3), (1, 2), "The answer has 3 values; yours has 2."),
    "a wrong part": ((1, 2, 3), (1, 5, 9), "2 of 3 values are wrong. Value 2: 5 is too large."),
    "out of order": ((1, 2, 3), (2, 1, 3), "The values are right, but they stand in the wrong"),
    "out of order, 1 for 1.0": ((1.0, 1.75), (1.75, 1), "The values are right, but they stand in"),
    "a letter too few": (frozenset("BC"), "C", "0 letters too many, 1 missing."),
    "letters too many": (frozenset("BC"), "ABCD", "2 letters too many, 0 missing."),
    "a number for letters": (frozenset("BC"), 2, "The answer is a string of letters; yours is a"),
    "inside a list": (((1, 2), 3), ((1, 5), 3), "1 of 2 values are wrong. Value 1: 1 of 2 values"),
}


@pytest.mark.parametrize("right, given", RIGHT.values(), ids=RIGHT)
def test_a_prediction_is_right(right, given):
    assert judge(predicted(right), given) == "right!"


@pytest.mark.parametrize("right, given, said", WRONG.values(), ids=WRONG)
def test_a_wrong_prediction_is_told_what_is_wrong(right, given, said):
    assert judge(predicted(right), given).startswith(f"not yet. {said}")


@pytest.mark.parametrize("given", [..., (1, ...), [..., ...]])
def test_a_stub_is_not_attempted(given):
    assert judge(predicted((1, 2)), given).startswith("not attempted")


def test_a_function_is_told_that_a_value_is_asked_for():
    assert judge(predicted(3), lambda: 3).startswith("not yet. The answer is a value, and you gave")


def test_the_right_value_is_never_said():
    assert "0.4321" not in judge(predicted(0.4321), 7)
    assert "forget" not in judge(predicted("forget"), "update")


@pytest.mark.parametrize(
    "mistakes",
    [{6: "one way only", 24: "both ways count once"}, [(6, "one way only"), (24, "both")]],
    ids=["dict", "pairs"],
)
def test_an_expected_wrong_value_gets_its_hint(mistakes):
    exercise = predicted(12, mistakes)
    assert judge(exercise, 6) == "not yet. Hint: one way only"
    assert judge(exercise, 7) == "not yet. 7 is too small."


def test_lists_may_be_wrong_values():
    exercise = predicted([3, 5], [([5, 3], "first the rows")])
    assert judge(exercise, (5, 3)) == "not yet. Hint: first the rows"


def test_one_is_not_the_wrong_value_true():
    assert judge(predicted(2, [(True, "no")]), 1) == "not yet. 1 is too small."


def test_a_tolerance_of_its_own_replaces_the_usual_one():
    assert judge(predicted(1000, tolerance=0.05), 1040) == "right!"
    assert judge(predicted(0.75, tolerance=0.0), 0.751) != "right!"


def test_a_prediction_has_the_fields_of_an_exercise():
    exercise = predicted(3, kind="read a figure", stars=2, minutes=5, title="The crossing")
    assert (exercise.kind, exercise.stars, exercise.minutes) == ("read a figure", 2, 5)
    assert predicted(3).kind == "predict"


def test_check_judges_a_prediction(monkeypatch, capsys):
    monkeypatch.setattr(course, "exercises", lambda lesson: {"02.2": predicted(0.75)})
    check("02.2", 0.75)
    check("02.2", ...)
    check("02.2", 0)
    assert capsys.readouterr().out == (
        "02.2: right!\n"
        "02.2: not attempted. Replace the ... and run the cell again.\n"
        "02.2: not yet. 0 is too small.\n"
    )
