"""Raw ids of texts: what is an integer, what stays a string, and what stands for nothing."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirec.data.raw_ids import dense_ids, is_missing, typed_ids

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(numbers=st.lists(INT64, min_size=1), zeros=st.sampled_from(["", ".0", ".00"]))
def test_texts_that_are_all_ordinary_integers_are_integers(numbers, zeros):
    texts = [f" {number}{zeros}\t" for number in numbers]
    ids = typed_ids(texts)
    assert ids.dtype == np.int64
    assert ids.tolist() == numbers


def test_12_and_12_point_0_are_one_id():
    assert typed_ids(["12", "12.0", "12.00", "0.0"]).tolist() == [12, 12, 12, 0]


NO_ORDINARY_INTEGERS = ["007", "+5", "1e3", "-0", "-0.0", "12.", "12.5", ".0", "1_000", "0x1"]
NO_ORDINARY_INTEGERS += ["9223372036854775808", "-9223372036854775809", "1" * 30, "\u0663", "a b"]


@pytest.mark.parametrize("text", NO_ORDINARY_INTEGERS)
def test_one_other_text_leaves_all_of_them_strings(text):
    ids = typed_ids([" 12", text, "12.0"])
    assert ids.dtype == object
    assert ids.tolist() == ["12", text, "12.0"]


def test_no_texts_are_no_ids():
    assert len(typed_ids([])) == 0


@pytest.mark.parametrize("text", ["", " ", "\t", "NULL", "NaN", "nan", "NA", "N/A", r"\N"])
def test_what_programs_write_for_nothing_is_missing(text):
    assert is_missing(text)
    assert is_missing(f" {text} ")


@pytest.mark.parametrize("text", ["Null", "null", "none", "NAN", "N", "0", "-", "null-user"])
def test_other_words_are_not(text):
    assert not is_missing(text)


def test_these_words_are_missing_to_pandas_as_well(tmp_path):
    words = ["NULL", "NaN", "nan", "NA", "N/A", "#N/A", "<NA>", "None", ""]
    path = tmp_path / "words.csv"
    path.write_text("word,row\n" + "".join(f"{word},1\n" for word in words))
    assert pd.read_csv(path)["word"].isna().all()
    assert all(is_missing(word) for word in words)


@pytest.mark.parametrize(
    "categories, kind", [([30, 10, 20], "i"), (["b", "c", "a"], "O"), ([0.5, 2.5, 1.0], "f")]
)
def test_categories_keep_their_kind_and_are_sorted(categories, kind):
    raw = pd.Categorical.from_codes([2, 0, 0, 2], categories=categories)
    codes, distinct = dense_ids(raw)
    expected = sorted([categories[2], categories[0]])
    assert distinct.tolist() == expected
    assert distinct.dtype.kind == kind
    assert [expected[code] for code in codes] == [categories[code] for code in (2, 0, 0, 2)]
