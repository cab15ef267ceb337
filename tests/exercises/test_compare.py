"""When two results are the same, and what `check` says of results that are compared."""

import math

import numpy as np
import pytest
import torch

from minirec.exercises import check, difference

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
    "a list for a tuple": ((torch.ones(2), 5), [torch.ones(2), 5]),
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
