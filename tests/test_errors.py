"""What a file holds is quoted harmlessly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirec.errors import printable, printable_path, shown


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


@pytest.mark.parametrize(
    ("foreign", "harmless"),
    [
        ('salt "fine", a\\b', 'salt "fine", a\\b'),
        (7, "7"),
        ("日本 😀", "日本 😀"),
        ("\x1b[2Jx\n\t", "\\x1b[2Jx\\n\\t"),
        ("\u202eabc", "\\u202eabc"),
        ("a" * 80, "a" * 80),
        ("a" * 81, "a" * 80 + "..."),
        ("\x1b" * 10**6, ("\\x1b" * 20) + "..."),
    ],
)
def test_a_text_without_quotes_is_escaped_and_cut(foreign, harmless):
    assert printable(foreign) == harmless


@given(foreign=st.text(max_size=300))
def test_whatever_is_shown_without_quotes_is_printable_and_short(foreign):
    assert printable(foreign).isprintable()
    assert len(printable(foreign)) <= 83


def test_how_much_is_shown_can_be_said():
    assert printable("\x1b" + "x" * 1000, longest=200) == "\\x1b" + "x" * 196 + "..."


def test_a_long_path_keeps_its_end():
    path = "/data/" + "long/" * 100 + "log.csv"
    assert len(printable_path(path)) == 200
    assert printable_path(path).startswith("/data/long/")
    assert printable_path(path).endswith("/long/log.csv")
    assert "..." in printable_path(path)


def test_an_ordinary_path_is_shown_as_it_is():
    assert printable_path("logs/Ünïcode 水.csv") == "logs/Ünïcode 水.csv"
    assert printable_path("a\x1b[2Jb.csv") == r"a\x1b[2Jb.csv"
