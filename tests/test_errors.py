"""What a file holds is quoted harmlessly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirec.errors import shown


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("tv-1", "'tv-1'"),
        ("水", "'水'"),
        ("\x1b[2J", r"'\x1b[2J'"),
        ("a\nb", r"'a\nb'"),
        (7, "'7'"),
    ],
)
def test_a_text_is_shown_in_quotes_and_escaped(text, wanted):
    assert shown(text) == wanted


@given(text=st.text(max_size=300))
def test_nothing_unprintable_and_nothing_long_is_shown(text):
    assert shown(text).isprintable()
    assert len(shown(text)) <= 86


def test_a_long_text_is_cut_and_says_so():
    assert shown("x" * 1000) == f"'{'x' * 80}...'"
