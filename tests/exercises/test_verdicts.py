"""Verdicts on answers to small made-up exercises: each mistake is told what is wrong with it."""

import math

import numpy as np
import pytest
import torch
from numba import njit

from minirec import exercises as course
from minirec.exercises import Exercise, check, judge, mistake

# An exercise of one line.


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


def stub(*arguments):
    return ...


def half_filled_in(x):
    factor = ...
    return factor * x


def half_filled_in_for_torch(x):
    y = ...
    return torch.tanh(y)


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


def with_two_arguments(x, factor):
    return factor * x


def nothing(x):
    2 * x


def one_nan(x):
    result = 2 * x
    result[0] = math.nan
    return result


def double_as_list(x):
    return (2 * x).tolist()


def double_as_list_of_tensors(x):
    return list((2 * x).requires_grad_())


def double_as_array(x):
    return 2 * x.numpy()


def double_in_place_with_gradient(x):
    return x.mul_(2).requires_grad_()


def double_in_float64(x):
    return 2 * x.double()


def with_one_more_dimension(x):
    return 2 * x[None]


def yielding(x):
    yield 2 * x


@pytest.mark.parametrize(
    "answer, verdict",
    [
        (..., "not attempted. Replace the ... and run the cell again."),
        (stub, "not attempted. Replace the ... and run the cell again."),
        (half_filled_in, "not attempted. Replace the ... and run the cell again."),
        (half_filled_in_for_torch, "not attempted. Replace the ... and run the cell again."),
        (added_to_itself, "right!"),
        (double_as_list, "right!"),
        (double_as_list_of_tensors, "right!"),
        (double_as_array, "right!"),
        (double_in_place_with_gradient, "right!"),
        (double_in_float64, "right!"),
        (times_itself, "not yet. Hint: twice, not squared"),
        (copied, "not yet. Hint: it is the input"),
        (
            wrong_for_one_number,
            "not yet. For case 2 of 2 shapes agree ([1]). The first entry that differs is [0]: "
            "yours 7, expected 6 (1 of 1 entries differ). The input: x = [3].",
        ),
        (
            divided_by_a_string,
            "not yet. For case 1 of 2 it raises TypeError: unsupported operand type(s) for /: "
            "'Tensor' and 'str' at `return x / \"2\"`. The input: x = [1, 2].",
        ),
        (
            without_arguments,
            "not yet. Your function takes no arguments, but it is called with 1 argument (x).",
        ),
        (
            with_two_arguments,
            "not yet. Your function takes 2 arguments (x, factor), but it is called with "
            "1 argument (x).",
        ),
        (
            torch.tensor([2.0, 4.0]),
            "not yet. The answer is a function, and you gave something else. Give the function's "
            "name, without brackets behind it.",
        ),
        (
            nothing,
            "not yet. For case 1 of 2 your function returns None: is a `return` missing? "
            "The input: x = [1, 2].",
        ),
        (
            one_nan,
            "not yet. For case 1 of 2 shapes agree ([2]), but entry [0] is NaN (1 of 2 entries "
            "are). The input: x = [1, 2].",
        ),
        (
            with_one_more_dimension,
            "not yet. For case 1 of 2 your answer has shape [1, 2]; it should have [2]. Apart "
            "from dimensions of size 1 it is right. The input: x = [1, 2].",
        ),
        (
            yielding,
            "not yet. For case 1 of 2 your answer is a generator (list(...) makes a list of it); "
            "it should be a tensor of shape [2]. The input: x = [1, 2].",
        ),
    ],
)
def test_the_verdict_fits_the_answer(answer, verdict):
    assert judge(DOUBLE, answer) == verdict


def test_a_builtin_function_can_be_an_answer():
    total = Exercise(solution=lambda values: sum(values), cases=(([1, 2],), ([3],)))
    assert judge(total, sum) == "right!"


def test_float32_is_compared_with_its_own_tolerance():
    third = Exercise(solution=lambda x: x / 3, cases=((torch.ones(4, dtype=torch.float64),),))
    assert judge(third, lambda x: x.float() / 3) == "right!"
    assert judge(third, lambda x: x / 3 + 1e-7) != "right!"


def test_an_exercise_may_have_a_tolerance_of_its_own():
    third = Exercise(solution=lambda: 1 / 3, cases=((),), tolerance=0.01)
    assert judge(third, lambda: 0.333) == "right!"
    assert judge(third, lambda: 0.3) != "right!"


def test_a_long_message_and_a_long_line_are_cut():
    message = "word " * 1000 + "the end"

    def verbose(x):
        raise ValueError(message if len(x) else "this line is so long that no verdict shows it")

    verdict = judge(DOUBLE, verbose)
    assert "it raises ValueError: word word" in verdict
    assert "the end" not in verdict
    assert "shows it" not in verdict
    assert len(verdict) < 500


# General mistakes. What is right: each row of x over its sum, or something as small.

ROWS = torch.arange(1.0, 7.0, dtype=torch.float64).reshape(2, 3)
SQUARE = torch.arange(1.0, 10.0, dtype=torch.float64).reshape(3, 3)


def shares(x):
    return x / x.sum(dim=1, keepdim=True)


SHARES = Exercise(solution=shares, cases=((ROWS,), (SQUARE,)))


def first_row_wrong(x):
    result = shares(x)
    result[0] = result[0].flip(0) ** 2
    return result


def shuffled(x):
    return shares(x)[:, [1, 0, 2]]


def unused_infinity(x):
    result = shares(x)
    result[0, 1] = math.inf
    return result


GENERAL = {
    "transposed": (lambda x: shares(x).T, "It is the right answer transposed."),
    "transposed and wrong": (lambda x: x.T, "It has the shape of the answer transposed."),
    "negated": (lambda x: -shares(x), "Every number has the wrong sign."),
    "half": (lambda x: shares(x) / 2, "Every number is 0.5 times what it should be."),
    "one too large": (lambda x: shares(x) + 1, "Every number is 1 too large."),
    "one minus": (lambda x: 1 - shares(x), "Every number is 1 minus what it should be."),
    "zeros": (torch.zeros_like, "Every number of yours is 0."),
    "nothing": (lambda x: None, "your function returns None: is a `return` missing?"),
    "a NaN": (lambda x: shares(x) * math.nan, "entry [0, 0] is NaN (6 of 6 entries are)."),
    "an infinity": (unused_infinity, "is [0, 1]: yours inf, expected 0.333333 (1 of 6"),
    "another dimension": (
        lambda x: shares(x)[:, None],
        "has shape [2, 1, 3]; it should have [2, 3]. Apart from dimensions of size 1 it is right.",
    ),
    "flattened": (lambda x: shares(x).flatten(), "The values are right, in another shape."),
    "one number": (lambda x: x.sum(), "is a single number; it should have shape [2, 3]."),
    "first row wrong": (first_row_wrong, "Only entries with index 0 in dimension 0 are wrong."),
    "reversed": (lambda x: shares(x).flip(1), "in reverse order along dimension 1."),
    "shuffled": (shuffled, "The values are right, but they stand in the wrong order."),
    "float16": (lambda x: shares(x).half(), "to the few digits that float16 has"),
    "integers": (lambda x: shares(x).long(), "Every number of yours is 0."),
    "rounded": (lambda x: shares(x).round(decimals=4), "It is right to three digits"),
    "a string": (lambda x: str(x.shape), "it should be a tensor of shape [2, 3]."),
    "a tuple": (lambda x: (x, shares(x)), "Part 2 of it alone would be right."),
    "a dict": (lambda x: {"a": x}, "is a dict of 1 key; it should be a tensor of shape [2, 3]."),
    "a function": (lambda x: shares, "your answer is the function shares; it should be"),
    "unequal rows": (lambda x: [[1.0], [1.0, 2.0]], "your answer is a list of 2 values; it"),
    "unfinished": (lambda x: (x, ...), "your answer is a tuple of 2 parts; it should be"),
}


@pytest.mark.parametrize("answer, sentence", GENERAL.values(), ids=GENERAL)
def test_a_general_mistake_gets_a_sentence_of_its_own(answer, sentence):
    verdict = judge(SHARES, answer)
    assert verdict.startswith("not yet. For case 1 of 2 ")
    assert sentence in verdict
    assert verdict.endswith(" The input: x = [[1, 2, 3], [4, 5, 6]].")
    assert "tensor(" not in verdict


def test_only_the_shapes_are_said_where_nothing_more_is_certain():
    assert judge(SHARES, lambda x: x[:, :2]) == (
        "not yet. For case 1 of 2 your answer has shape [2, 2]; it should have [2, 3]. "
        "The input: x = [[1, 2, 3], [4, 5, 6]]."
    )


def test_only_the_first_entry_that_differs_is_said_where_nothing_more_is_certain():
    def softmax(x):
        return x.softmax(dim=1)

    assert judge(SHARES, softmax) == (
        "not yet. For case 1 of 2 shapes agree ([2, 3]). The first entry that differs is [0, 0]: "
        "yours 0.0900306, expected 0.166667 (6 of 6 entries differ). "
        "The input: x = [[1, 2, 3], [4, 5, 6]]."
    )


# (what is right, what is given, what is said)
VECTOR = torch.tensor([1.0, 2.0, 4.0, 8.0, 5.0, 7.0])
SAID = {
    "the wrong sign": (2.5, -2.5, "Your answer is -2.5; it should be 2.5. It has the wrong sign."),
    "a NaN": (2.5, math.nan, "Your answer is NaN."),
    "nearly": (1 / 3, 0.3333, "Your answer is 0.3333; it should be 0.333333. It is right to three"),
    "very nearly": (1.0, 1.0 + 1e-8, "Your answer is 1.00000001; it should be 1.0."),
    "cut off": ([1.5, 2.5, 4.0], [1, 2, 4], "with the fractions cut off"),
    "the first": (VECTOR, VECTOR.clone().index_fill_(0, torch.tensor(0), 3.0), "Only the first"),
    "the last": (VECTOR, VECTOR.clone().index_fill_(0, torch.tensor(5), 3.0), "Only the last"),
    "one too few": (VECTOR, VECTOR[:5], "has shape [5]; it should have [6]. The first 5 agree."),
    "one too late": (VECTOR, VECTOR[1:], "has shape [5]; it should have [6]. The last 5 agree."),
    "in reverse": (VECTOR, VECTOR.flip(0), "It is the right answer in reverse order."),
    "a vector for a number": (3.0, [3.0, 4.0], "has shape [2]; it should be a single number."),
    "a number for truth": (True, 1, "Your answer is the number 1; it should be True or False."),
    "truth for a number": (1, True, "Your answer is True; it should be a number."),
    "the opposite": (
        torch.tensor([True, False]),
        torch.tensor([False, True]),
        "It is True where it should be False, and False where it should be True.",
    ),
    "a part": (
        (torch.ones(2), torch.ones(3), 5),
        (torch.ones(2), torch.ones(1, 3), 5),
        "For part 2 of 3 your answer has shape [1, 3]; it should have [3].",
    ),
    "parts exchanged": ((1, 2), (2, 1), "The parts are right, but they stand in the wrong order."),
    "a part too many": ((1, 2), (1, 2, 3), "Your answer is a tuple of 3 parts; it should be a"),
    "a part missing": ((1, 2), 1, "Your answer is 1; it should be a tuple of 2 parts."),
    "None in a tuple": ((1, 2), (1, None), "For part 2 of 2 your answer is None; it should be 2."),
    "... in a tuple": ((1, 2), (1, ...), "For part 2 of 2 your answer is still `...`: replace it."),
    "a wrong list for a tuple": (
        (torch.ones(2), torch.ones(3)),
        [torch.ones(2), torch.zeros(3)],
        "For part 2 of 2 shapes agree ([3]). The first entry that differs is [0]: yours 0, ",
    ),
    "a wrong tuple for an array": (
        np.array([0.25, 0.75]),
        (0.25, 0.5),
        "Shapes agree ([2]). The first entry that differs is [1]: yours 0.5, expected 0.75",
    ),
    "a tuple of three for an array of two": (
        np.array([0.25, 0.75]),
        (0.25, 0.5, 0.75),
        "Your answer is a tuple of 3 parts; it should be an array of shape [2].",
    ),
    "a key": ({"a": 1, "b": 2}, {"a": 1, "b": 3}, "For key 'b' your answer is 3; it should be 2."),
    "a key too few": ({"a": 1, "b": 2}, {"a": 1}, "Your answer lacks the key 'b'."),
    "another key": (
        {"a": 1},
        {"b": 1, "c": 1},
        "Your answer lacks the key 'a' and has the key 'b' (and 1 more), which should not be",
    ),
    "a part of a key": (
        {"a": (1, 2)},
        {"a": (1, 3)},
        "For key 'a', part 2 of 2, your answer is 3; it should be 2.",
    ),
    "a member": ({1, 2}, {1, 3}, "Your answer lacks the member 2 and has the member 3, which"),
    "a name": ("gate", "gru", "Your answer is 'gru'; it should be 'gate'."),
    "a number for a name": ("gate", 3, "Your answer is 3; it should be the string 'gate'."),
    "a value for nothing": (None, 3, "Your answer is 3; it should be None."),
    "names": (
        ["a", "b", "c"],
        ["a", "d", "e"],
        "Lengths agree (3). The first entry that differs is [1]: yours 'd', expected 'b' (2 of 3",
    ),
    "names in reverse": (["a", "b"], ["b", "a"], "It is the right list in reverse order."),
    "names out of order": (["a", "b", "c"], ["b", "a", "c"], "they stand in the wrong order."),
    "fewer names": (["a", "b"], ["a"], "Your answer has length 1 (a list of 1 value); it should"),
    "rows": ([[1], [2, 3]], [[1], [2, 4]], "For entry [1] shapes agree ([2]). The first entry"),
    "a long string": ("gate", "g" * 1000, f"Your answer is '{'g' * 60}'...; it should be 'gate'."),
}


@pytest.mark.parametrize("right, given, said", SAID.values(), ids=SAID)
def test_what_is_said_of_one_result(right, given, said):
    exercise = Exercise(solution=lambda: right, cases=((),))
    assert judge(exercise, lambda: right) == "right!"
    verdict = judge(exercise, lambda: given)
    assert verdict.startswith("not yet. ")
    assert said in verdict


def test_a_factor_common_to_all_cases_is_said():
    exercise = Exercise(solution=lambda n: n * (n + 1) // 2, cases=((3,), (5,), (10,)))
    verdict = judge(exercise, lambda n: n * (n + 1))
    assert "Every number is 2 times what it should be." in verdict


@pytest.mark.parametrize("given", [3, 7])
def test_one_number_is_not_enough_for_a_rule(given):
    exercise = Exercise(solution=lambda: 6, cases=((),))
    assert judge(exercise, lambda: given) == f"not yet. Your answer is {given}; it should be 6."


def test_equal_infinities_do_not_hide_a_rule():
    right = torch.tensor([-math.inf, 1.0, 2.0])
    exercise = Exercise(solution=lambda: right, cases=((),))
    assert "Every number is 3 times what it should be." in judge(exercise, lambda: 3 * right)


# What the input was.


@pytest.mark.parametrize(
    "value, said",
    [
        (3, "value = 3"),
        (0.123456789, "value = 0.123457"),
        ("planted", "value = 'planted'"),
        (True, "value = True"),
        (None, "value = None"),
        (torch.tensor(2.0), "value = 2"),
        ([1.5, 2.0], "value = [1.5, 2]"),
        (np.arange(6), "value = [0, 1, 2, 3, 4, 5]"),
        (torch.arange(7), "value of shape [7]"),
        ([["a"], ["b", "c"]], "value: a list of 2 values"),
        (["a", "b"], "value = ['a', 'b']"),
        ({"a": 1}, "value: a dict of 1 key"),
        (math.sqrt, "value: the function sqrt"),
        (torch.nn.Identity(), "value: the function Identity"),
    ],
)
def test_a_small_input_is_shown_and_a_large_one_described(value, said):
    exercise = Exercise(solution=lambda value: 1, cases=((value,),))
    assert judge(exercise, lambda value: 2).endswith(f"it should be 1. The input: {said}.")


# Mistakes that raise, and mistakes that are right on some cases.


def inverse(x):
    return 1 / x if x else 0.0


@mistake("what is 1 / 0?")
def without_the_zero(x):
    return 1 / x


@mistake("it is 1 over x")
def negative(x):
    return -1 / x


INVERSE = Exercise(solution=inverse, cases=((2.0,), (0.0,)), mistakes=(without_the_zero, negative))


def negative_in_numpy(x):
    with np.errstate(divide="ignore"):
        return -1 / np.float64(x)


@pytest.mark.parametrize(
    "answer, verdict",
    [
        (lambda x: 1 / x, "not yet. Hint: what is 1 / 0?"),
        (lambda x: -1 / x, "not yet. Hint: it is 1 over x"),
        (negative_in_numpy, "not yet. Hint: it is 1 over x"),
        (lambda x: 1 / x if x else 1.0, "not yet. For case 2 of 2 your answer is 1; it should"),
        (lambda x: [1][2], "not yet. For case 1 of 2 it raises IndexError: list index out of"),
    ],
)
def test_a_mistake_may_raise_or_be_right_on_some_cases(answer, verdict):
    assert judge(INVERSE, answer).startswith(verdict)


@mistake("W is [d_output, d_input]: transpose it")
def untransposed(x, W):
    return x @ W


LINEAR = Exercise(
    solution=lambda x, W: x @ W.T,
    cases=((torch.ones(2, 3), torch.ones(4, 3)),),
    mistakes=(untransposed,),
)


def test_a_mistake_that_always_raises_is_known_by_its_error():
    assert judge(LINEAR, lambda x, W: torch.matmul(x, W)) == f"not yet. Hint: {untransposed.hint}"


@pytest.mark.parametrize(
    "answer", [lambda x, W: x @ W.T @ W.T, lambda x, W: torch.ones(2, 4), lambda x, W: x.y]
)
def test_other_wrong_answers_do_not_get_the_hint_of_a_mistake_that_raises(answer):
    assert "Hint" not in judge(LINEAR, answer)


# What `check` prints for an exercise.


@pytest.fixture
def one_exercise(monkeypatch):
    monkeypatch.setattr(course, "exercises", lambda lesson: {"02.1": DOUBLE})


def test_check_prints_the_verdict_of_an_exercise(one_exercise, capsys):
    check("02.1", double)
    assert capsys.readouterr().out == "02.1: right!\n"


@pytest.mark.parametrize("value", [double, 0.75, ...], ids=["function", "value", "stub"])
@pytest.mark.parametrize("number", ["02.9", "2.1", "02-1", "02.10"])
def test_an_exercise_that_does_not_exist_is_an_error_not_a_verdict(
    one_exercise, number, value, capsys
):
    with pytest.raises(ValueError, match=r"lesson 02 has 02\.1\.$"):
        check(number, value)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("number", ["77.1", "Z.1", "z.1"])
def test_a_lesson_that_does_not_exist_is_an_error_that_lists_the_lessons(number):
    with pytest.raises(ValueError, match=r"These lessons have exercises: 00, 01, "):
        check(number, 0.75)


def test_a_function_under_a_name_in_words_is_an_error():
    with pytest.raises(ValueError, match="there is no exercise 'so it is'"):
        check("so it is", double)


def test_more_than_one_answer_is_an_error(one_exercise):
    with pytest.raises(ValueError, match=r"takes one answer, not 2.*as a tuple"):
        check("02.1", 3, 5)


def test_an_appendix_has_exercises_too(monkeypatch, capsys):
    monkeypatch.setattr(course, "_lessons", lambda: ["00", "A"])
    monkeypatch.setattr(course, "exercises", lambda lesson: {f"{lesson}.1": DOUBLE})
    check("A.1", double)
    assert capsys.readouterr().out == "A.1: right!\n"


# Entries that nobody wrote.


def running_sum(x):
    return np.cumsum(x)


RUNNING_SUM = Exercise(
    solution=running_sum, cases=((np.array([1.0, 2.0, 3.0]),),), unset_is_nan=True
)


def first_never_written(x):
    total = np.empty_like(x)
    total[1:] = np.cumsum(x)[1:]
    return total


def reads_the_last_before_it_is_written(x):
    total = np.empty(3)
    for n in range(3):
        total[n] = total[n - 1] + x[n]
    return total


def all_written(x):
    total = np.empty_like(x)
    total[...] = np.cumsum(x)
    return total


def divides_zero_by_zero(x):
    with np.errstate(invalid="ignore"):
        return np.zeros_like(x) / np.zeros_like(x)


@pytest.mark.parametrize("answer", [first_never_written, reads_the_last_before_it_is_written])
@pytest.mark.parametrize("is_compiled", [False, True])
def test_an_entry_that_nobody_wrote_is_never_right(answer, is_compiled):
    tried = njit(answer) if is_compiled else answer
    verdicts = {judge(RUNNING_SUM, tried) for _ in range(3)}
    assert all("nothing has written" in verdict for verdict in verdicts)


def test_an_empty_array_that_is_filled_is_right():
    assert judge(RUNNING_SUM, all_written) == "right!"
    assert judge(RUNNING_SUM, njit(all_written)) == "right!"


def test_a_nan_of_another_origin_is_not_called_unset():
    verdict = judge(RUNNING_SUM, divides_zero_by_zero)
    assert verdict.startswith("not yet.")
    assert "nothing has written" not in verdict


def test_numpy_creates_empty_arrays_as_before_a_verdict():
    before = np.empty, np.empty_like
    judge(RUNNING_SUM, first_never_written)
    assert (np.empty, np.empty_like) == before
