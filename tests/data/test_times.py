"""Points in time against Python's exact ones: Fraction for numbers, datetime for dates."""

import datetime
import decimal
import itertools
import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirec.data.times import (
    Moments,
    NotATime,
    concatenate,
    moments_of_column,
    moments_of_texts,
    ticks,
)

UTC = datetime.UTC
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)
UNIT = 10**18


def exact(moments: Moments) -> list[Fraction]:
    """The points in time as Python's fractions."""
    fractions = [0] * len(moments.whole) if moments.fraction is None else moments.fraction.tolist()
    assert all(0 <= fraction < UNIT for fraction in fractions)
    return [
        Fraction(whole * UNIT + fraction, UNIT)
        for whole, fraction in zip(moments.whole.tolist(), fractions, strict=True)
    ]


def cut_to_18_decimals(text: str) -> Fraction:
    return Fraction(math.floor(Fraction(text) * UNIT), UNIT)


def seconds_since_1970(moment: datetime.datetime) -> Fraction:
    passed = moment - EPOCH
    return passed.days * 86_400 + passed.seconds + Fraction(passed.microseconds, 10**6)


# ------------------------------------------------------------------------------------- numbers

# As many digits as files have, and more.
DIGITS = st.text("0123456789", min_size=1, max_size=25)


@st.composite
def written_numbers(draw) -> str:
    """A number in any of the ways in which files write it, between -2^63 and 2^63."""
    whole = draw(st.integers(0, 2**63 - 1).map(str) | DIGITS.map(lambda digits: digits[:18]))
    decimals = draw(st.just("") | st.just(".") | DIGITS.map(lambda digits: "." + digits))
    if len(decimals) > 1 and draw(st.booleans()):
        whole = ""
    sign = draw(st.sampled_from(["", "-", "+"]))
    exponent = draw(st.sampled_from(["", "e0", "E-3", "e-07", "e-21", "e-250"]))
    blanks = draw(st.sampled_from(["", " ", "\t"]))
    return blanks + sign + whole + decimals + exponent + blanks


@pytest.mark.slow
@given(texts=st.lists(written_numbers(), min_size=1, max_size=12))
def test_numbers_are_exact_to_the_18th_decimal(texts):
    texts = [text for text in texts if abs(Fraction(text)) < 2**63 - 1] or ["0"]
    moments = moments_of_texts(texts)
    assert exact(moments) == [cut_to_18_decimals(text) for text in texts]
    assert not moments.are_dates


@pytest.mark.parametrize(
    "text, whole, fraction",
    [
        ("978300760", 978300760, 0),
        ("978300760.9", 978300760, 9 * 10**17),
        ("-0.25", -1, 75 * 10**16),
        ("-5", -5, 0),
        (".5", 0, 5 * 10**17),
        ("12.", 12, 0),
        ("8.8125e8", 881250000, 0),
        ("1.500012228e+09", 1500012228, 0),
        ("15e17", 15 * 10**17, 0),
        ("0e999", 0, 0),
        ("1512345678.123456789012345678", 1512345678, 123456789012345678),
        ("9223372036854775807", 2**63 - 1, 0),
        ("-9223372036854775808", -(2**63), 0),
        ("9223372036854775807.999", 2**63 - 1, 999 * 10**15),
        ("007", 7, 0),
        ("0.1234567890123456789", 0, 123456789012345678),
        ("0." + "3" * 500, 0, int("3" * 18)),
    ],
)
def test_a_number_is_its_whole_part_and_its_fraction(text, whole, fraction):
    moments = moments_of_texts([text, "1"])
    assert moments.whole.tolist() == [whole, 1]
    assert exact(moments)[0] == Fraction(whole * UNIT + fraction, UNIT)


def test_whole_numbers_have_no_fraction():
    assert moments_of_texts(["12", "13.0", "1e3", "-7.000"]).fraction is None


NO_NUMBERS = [
    "nan",
    "inf",
    "1_000",
    "0x10",
    "\u0663",  # an Arabic digit
    "\uff11\uff12",  # digits as wide as Chinese characters
    "1,5",
    "1e",
    "e5",
    ".",
    "-",
    "1 2",
    "1e1000",
    "12\0",
    "1" * 70 + "x",
    "1-1",
    "--1",
]


@pytest.mark.parametrize("text", NO_NUMBERS)
@pytest.mark.parametrize("row", [0, 2])
def test_what_is_no_number_is_refused_where_it_stands(text, row):
    texts = ["1", "2", "3", "nor is this"]
    texts[row] = text
    with pytest.raises(NotATime) as caught:
        moments_of_texts(texts)
    assert caught.value.index == row
    assert len(caught.value.complaint) < 600


@pytest.mark.parametrize(
    "text", ["9223372036854775808", "-9223372036854775809", "-9223372036854775808.5", "1e30"]
)
def test_numbers_beyond_64_bits_are_too_large(text):
    with pytest.raises(NotATime, match="too large") as caught:
        moments_of_texts(["1", text])
    assert caught.value.index == 1
    assert repr(text) in caught.value.complaint


# --------------------------------------------------------------------------------------- dates

OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: minutes * 60)


@st.composite
def written_dates(draw) -> tuple[str, Fraction]:
    """A date in any of the ways that are read, and the seconds since 1970 that it means."""
    year = draw(st.integers(2, 9998) | st.sampled_from([1600, 1969, 1970, 2000, 2024, 2262, 2500]))
    moment = draw(
        st.datetimes(datetime.datetime(year, 1, 1), datetime.datetime(year, 12, 31, 23, 59, 59))
    )
    mark = draw(st.sampled_from("-/"))
    text = moment.strftime(f"%m{mark}%d")
    text = f"{moment.year:04}{mark}{text}"
    form = draw(st.sampled_from(["day", "minute", "second", "fraction"]))
    if form == "day":
        return text, seconds_since_1970(datetime.datetime.combine(moment, datetime.time.min, UTC))

    text += draw(st.sampled_from(["T", " "])) + moment.strftime("%H:%M")
    seconds = seconds_since_1970(moment.replace(second=0, microsecond=0, tzinfo=UTC))
    if form != "minute":
        text += moment.strftime(":%S")
        seconds += moment.second
    if form == "fraction":
        digits = draw(st.text("0123456789", min_size=1, max_size=18))
        text += "." + digits
        seconds += Fraction(int(digits), 10 ** len(digits))

    zone = draw(st.sampled_from(["", "Z", " Z", "UTC", " UTC", " GMT", "+02", "+0200", "+02:00"]))
    if zone.startswith("+"):
        offset = draw(OFFSETS)
        if zone == "+02":
            offset = int(offset / 3600) * 3600
        hours, minutes = divmod(abs(offset) // 60, 60)
        sign = "-" if offset < 0 else "+"
        zone = zone.replace("+", sign).replace("02", f"{hours:02}")
        if len(zone) > 3:
            zone = zone[:-2] + f"{minutes:02}"
        zone = draw(st.sampled_from(["", " "])) + zone
        seconds -= offset
    return text + zone, seconds


@pytest.mark.slow
@given(dates=st.lists(written_dates(), min_size=1, max_size=12))
def test_dates_are_exact_seconds_since_1970_in_any_form(dates):
    texts = [text for text, _ in dates]
    moments = moments_of_texts(texts)
    assert exact(moments) == [seconds for _, seconds in dates]
    assert moments.are_dates


@pytest.mark.slow
@given(moments=st.lists(st.datetimes(timezones=st.timezones()), min_size=1, max_size=12))
def test_dates_are_what_python_reads(moments):
    """Local times of former centuries, with seconds in their offsets, among them."""
    texts = [moment.isoformat(" ") for moment in moments]
    expected = [seconds_since_1970(datetime.datetime.fromisoformat(text)) for text in texts]
    assert exact(moments_of_texts(texts)) == expected


@given(
    nanoseconds=st.lists(st.integers(-(2**63) + 1, 2**63 - 1), min_size=1, max_size=12),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns"]),
)
def test_dates_are_what_pandas_reads(nanoseconds, zone):
    # A day from either end, so that the local time is within pandas' range as well.
    day = 86_400 * 10**9
    nanoseconds = [min(max(time, -(2**63) + day), 2**63 - day) for time in nanoseconds]
    stamps = pd.to_datetime(pd.Series(nanoseconds), unit="ns", utc=True).dt.tz_convert(zone)
    texts = [stamp.isoformat() for stamp in stamps]
    assert exact(moments_of_texts(texts)) == [Fraction(time, 10**9) for time in nanoseconds]


def test_every_day_of_four_centuries_is_the_day_of_the_calendar():
    first = datetime.date(1899, 12, 31)
    days = [first + datetime.timedelta(days=i) for i in range(400 * 366)]
    moments = moments_of_texts([day.isoformat() for day in days])
    n_days = (first - datetime.date(1970, 1, 1)).days
    expected = 86_400 * (np.arange(len(days)) + n_days)
    assert np.array_equal(moments.whole, expected)


ONE_MOMENT = [
    "2017-7-4 6:03",
    "2017/07/04 06:03:00",
    "2017-07-04T06:03:00.000Z",
    "2017-07-04 06:03:00,0",
    "2017-07-04 08:03:00+02:00",
    "2017-07-03 22:33:00 -0730",
    "  2017-07-04  06:03 UTC ",
]


@pytest.mark.parametrize("text", ONE_MOMENT)
def test_the_year_comes_first_and_leading_zeros_may_lack(text):
    moment = datetime.datetime(2017, 7, 4, 6, 3, tzinfo=UTC)
    assert exact(moments_of_texts([text])) == [moment.timestamp()]


@pytest.mark.parametrize("text", ["0001-01-01", "1600-02-29", "2500-12-31 23:59:59", "9999-12-31"])
def test_years_beyond_the_nanoseconds_of_pandas_are_right(text):
    moment = datetime.datetime.fromisoformat(text).replace(tzinfo=UTC)
    assert exact(moments_of_texts([text])) == [seconds_since_1970(moment)]


REFUSED_DATES = [
    "07/14/2017",
    "14.07.2017",
    "14/07/2017 06:03",
    "Jul 14 2017",
    "Fri, 14 Jul 2017 06:03:48 GMT",
    "2017-07",
    "2017-W28-5",
    "2017-195",
    "20170714T0603480",
    "20170714 060348",
    "2017-07/14",
    "17-07-14",
    "2017-07-14T",
    "2017-07-14T06",
    "2017-07-14+02:00",
    "2017-07-14T06:03:48 CEST",
    "2017-07-14T06:03:48+2",
    "2017-07-14T06:03:48.",
    "2017-07-14T06:03:48." + "1" * 19,
    "2017-07-14T06:03:48.123" + " " * 100 + "Z",
    "2017-07-14 06:03 PM",
    "\u0662\u0660\u0661\u0667-07-14",
    "12017-07-14",
    "-2017-07-14",
    "today",
    "now",
    "06:03:48",
]


@pytest.mark.parametrize("text", REFUSED_DATES)
@pytest.mark.parametrize("row", [0, 2])
def test_a_date_that_is_ambiguous_or_no_point_in_time_is_refused(text, row):
    texts = ["2017-07-14", "2017-07-15 06:03", "2017-07-16", "nor is this"]
    texts[row] = text
    with pytest.raises(NotATime, match=r"pandas\.to_datetime.*Interactions\.from_frame") as caught:
        moments_of_texts(texts)
    assert caught.value.index == row


NONEXISTENT = [
    "2017-02-29",
    "1900-02-29",
    "2017-13-01",
    "2017-00-10",
    "2017-04-31",
    "2017-04-00",
    "0000-01-01",
    "2017-04-01 24:00",
    "2017-04-01 12:60",
    "2016-12-31T23:59:60Z",
    "2017-04-01 12:00+24:00",
    "2017-04-01 12:00+0260",
]


@pytest.mark.parametrize("text", NONEXISTENT)
def test_a_day_or_time_of_day_that_does_not_exist_is_refused(text):
    with pytest.raises(NotATime, match="does not exist") as caught:
        moments_of_texts(["2017-04-01 12:00", "2017-04-01", text, text])
    assert caught.value.index == 2


# ------------------------------------------------------------------------------- one rule a column


@pytest.mark.parametrize(
    "texts, index, message",
    [
        (["12", "13.5", "2017-07-14"], 2, "is a date, but the first of the column is a number"),
        (["2017-07-14", "1500012228"], 1, "is a number, but the first of the column is a date"),
    ],
)
def test_numbers_and_dates_in_one_column_are_refused(texts, index, message):
    with pytest.raises(NotATime, match=message) as caught:
        moments_of_texts(texts)
    assert caught.value.index == index


@pytest.mark.slow
@given(
    wrong=st.dictionaries(
        st.integers(0, 19), st.sampled_from(["x", "2017-13-01", "", "5", "+++"]), min_size=1
    )
)
def test_the_first_of_several_wrong_texts_is_named(wrong):
    dates = ["2017-07-14", "2017-07-14 06:03", "2017-07-14T06:03:48.5Z"]
    texts = list(itertools.islice(itertools.cycle(dates), 20))
    for row, text in wrong.items():
        texts[row] = text
    first = min(wrong)
    if texts[0] == "5":  # then the column is one of numbers
        first = 1 if texts[1] != "5" else next(i for i in range(20) if texts[i] != "5")
    with pytest.raises(NotATime) as caught:
        moments_of_texts(texts)
    assert caught.value.index == first


@pytest.mark.parametrize("text", ["", "  ", "NULL", "nan", r"\N"])
@pytest.mark.parametrize("row", [0, 1])
def test_a_missing_time_is_called_missing(text, row):
    texts = ["1", "2"]
    texts[row] = text
    with pytest.raises(NotATime, match="missing") as caught:
        moments_of_texts(texts)
    assert caught.value.index == row


def test_a_column_of_words_is_refused_before_the_others_are_read():
    class Untouchable(str):
        def isascii(self):
            raise AssertionError("this text was looked at")

    with pytest.raises(NotATime) as caught:
        moments_of_texts(["noon", Untouchable("dusk")])
    assert caught.value.index == 0


def test_what_a_file_holds_is_quoted_harmlessly():
    with pytest.raises(NotATime) as caught:
        moments_of_texts(["\x1b[2J" + "x" * 1000])
    assert "\x1b" not in caught.value.complaint
    assert len(caught.value.complaint) < 600


def test_no_texts_are_no_times():
    times, _ = ticks(moments_of_texts([]))
    assert times.tolist() == []
    assert times.dtype == np.int64


# -------------------------------------------------------------------------------------- columns

EXTREME_FLOATS = [0.1, 5e-324, 1 / 3, 2.0**52 + 0.5, 2.0**62, 1500012228.123456, 1.5e18, -0.0]


@given(
    numbers=st.lists(
        st.floats(-(2.0**62), 2.0**62)
        | st.sampled_from(EXTREME_FLOATS)
        | st.integers(0, 2**51).map(lambda n: n / 10**6),
        min_size=1,
    )
)
def test_a_float_is_the_decimal_that_python_writes(numbers):
    moments = moments_of_column(pd.Series(numbers, dtype=np.float64))
    assert exact(moments) == [cut_to_18_decimals(repr(number)) for number in numbers]


@given(micros=st.lists(st.integers(0, 4 * 10**15), min_size=1, max_size=50))
def test_a_column_of_floats_is_the_file_that_holds_it(micros):
    column = pd.Series([micro / 10**6 for micro in micros])
    texts = column.to_csv(index=False, header=False).split()
    of_column = moments_of_column(column)
    assert exact(of_column) == exact(moments_of_texts(texts))
    assert ticks(of_column)[0].tolist() == ticks(moments_of_texts(texts))[0].tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float16, "Float32", "Float64", "Sparse[float64]"])
def test_floats_of_other_widths_are_their_own_shortest_decimals(dtype):
    moments = moments_of_column(pd.Series([0.1, 2.5, -0.25], dtype=dtype))
    # 0.1 of 16 bits is nearly 0.09998, but no other decimal so short is nearer to it.
    assert exact(moments) == [Fraction(text) for text in ("0.1", "2.5", "-0.25")]


INTEGER_KINDS = ["int8", "int64", "uint8", "uint64", "Int16", "Int64", "UInt64", "Sparse[int64]"]


@pytest.mark.parametrize("kind", INTEGER_KINDS)
def test_integers_of_any_width_are_whole_ticks(kind):
    moments = moments_of_column(pd.Series([7, 3, 100], dtype=kind))
    assert moments.whole.tolist() == [7, 3, 100]
    assert moments.whole.dtype == np.int64
    assert moments.fraction is None


@pytest.mark.parametrize("kind", ["uint64", "UInt64"])
def test_unsigned_integers_are_exact_up_to_int64_and_refused_beyond(kind):
    column = pd.Series([2**53 + 1, 2**63 - 1, 2**63], dtype=kind)
    assert moments_of_column(column[:2]).whole.tolist() == [2**53 + 1, 2**63 - 1]
    with pytest.raises(NotATime, match=r"9223372036854775808.*too large") as caught:
        moments_of_column(column)
    assert caught.value.index == 2


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin", "America/St_Johns"])
def test_datetimes_of_any_unit_and_zone_are_exact(unit, zone):
    # Clocks go back in Berlin while the first six pass; the last lies before 1970.
    begin = datetime.datetime(2024, 10, 27, 0, 30, 0, 123_456, tzinfo=UTC)
    moments = [begin + datetime.timedelta(minutes=40 * i) for i in range(6)]
    moments.append(datetime.datetime(1969, 12, 31, 23, 59, 58, 500_000, tzinfo=UTC))
    digits = {"s": 0, "ms": 3, "us": 6, "ns": 6}[unit]
    per_second = 10**digits

    column = pd.Series(moments).dt.tz_convert(zone).dt.as_unit(unit)
    expected = [
        Fraction(math.floor(seconds_since_1970(moment) * per_second), per_second)
        for moment in moments
    ]
    read = moments_of_column(column)
    assert exact(read) == expected
    assert read.are_dates


AS_OBJECTS = {
    "decimals": [decimal.Decimal("978300760.123456789012345678"), decimal.Decimal("-1.5")],
    "strings": ["978300760.123456789012345678", "-1.5"],
    "large integers": [2**62 + 1, 5],
    "integers and strings": [12, "13"],
}


@pytest.mark.parametrize("values", AS_OBJECTS.values(), ids=AS_OBJECTS)
def test_objects_are_the_texts_that_they_write(values):
    moments = moments_of_column(pd.Series([*values, values[0]], dtype=object))
    expected = [Fraction(str(value)) for value in values]
    assert exact(moments) == [*expected, expected[0]]


def test_dates_and_datetimes_may_be_objects():
    values = [
        datetime.date(2017, 7, 14),
        datetime.datetime(2017, 7, 14, 6, 3, 48, 5, tzinfo=datetime.timezone(-OFFSET)),
        pd.Timestamp("2017-07-14 06:03:48.000000001"),
        np.datetime64("2017-07-14T06:03:48.5"),
    ]
    midnight = 1_499_990_400
    at = midnight + 6 * 3600 + 3 * 60 + 48
    expected = [
        midnight,
        at + OFFSET.seconds + Fraction(5, 10**6),
        at + Fraction(1, 10**9),
        at + Fraction(1, 2),
    ]
    assert exact(moments_of_column(pd.Series(values, dtype=object))) == expected


OFFSET = datetime.timedelta(hours=5, minutes=30)


@pytest.mark.parametrize(
    "values", [["2017-07-14", "2017-07-13", "2017-07-14"], [3, 1, 3], [2.5, 1.0, 2.5]]
)
def test_categories_are_their_values(values):
    plain = moments_of_column(pd.Series(values))
    assert exact(moments_of_column(pd.Series(values, dtype="category"))) == exact(plain)


REFUSED_COLUMNS = {
    "bools": (pd.Series([True, False]), 0, "True and False"),
    "bools that may be missing": (pd.Series([True, False], dtype="boolean"), 0, "True and False"),
    "a bool among numbers": (pd.Series([1, True, 2], dtype=object), 1, "'True'"),
    "a missing number": (pd.Series([1.0, np.nan, np.nan]), 1, "missing, in 2 of 3 rows"),
    "a missing date": (pd.Series([pd.Timestamp(0), pd.NaT]), 1, "missing, in 1 of 2 rows"),
    "a missing string": (pd.Series(["1", None]), 1, "missing, in 1 of 2 rows"),
    "a missing integer": (pd.Series([1, None], dtype="Int64"), 1, "missing, in 1 of 2 rows"),
    "an empty string": (pd.Series(["1", "2", ""]), 2, "missing"),
    "infinity": (pd.Series([1.0, np.inf]), 1, "inf is no point in time"),
    "beyond int64": (pd.Series([1.0, -1e30]), 1, "-1e.30 is no point in time"),
    "words": (pd.Series(["noon", "dusk"]), 0, "'noon' is neither"),
    "a word, of repeated texts": (pd.Series(["1", "1", "1", "x", "x"]), 3, "'x' is neither"),
    "spans of time": (pd.Series(pd.to_timedelta([1, 2], unit="s")), 0, "'0 days 00:00:01'"),
}


@pytest.mark.parametrize("column, row, message", REFUSED_COLUMNS.values(), ids=REFUSED_COLUMNS)
def test_what_is_no_time_is_refused_with_its_row(column, row, message):
    with pytest.raises(NotATime, match=message) as caught:
        moments_of_column(column)
    assert caught.value.index == row


def test_rows_are_counted_from_0_whatever_the_index_of_the_frame():
    column = pd.Series([1.0, np.inf], index=["b", "a"])
    with pytest.raises(NotATime) as caught:
        moments_of_column(column)
    assert caught.value.index == 1


# ---------------------------------------------------------------------------- ticks, concatenate

WHOLE = (
    st.integers(-3, 3)
    | st.integers(-(2**63), 2**63 - 1)
    | st.integers(1_500_000_000, 1_500_000_003)
)
FRACTIONS = st.sampled_from([0, 1, 10**3, 10**9, 5 * 10**12, 10**15, 999 * 10**15]) | st.integers(
    0, UNIT - 1
)
TIMES = st.tuples(WHOLE, FRACTIONS)


@given(times=st.lists(TIMES, min_size=1, max_size=30), are_dates=st.booleans())
def test_ticks_have_the_order_and_the_ties_of_the_moments(times, are_dates):
    whole = np.array([time[0] for time in times], dtype=np.int64)
    fraction = np.array([time[1] for time in times], dtype=np.int64)
    found, _ = ticks(Moments(whole, fraction if fraction.any() else None, are_dates))
    assert found.dtype == np.int64
    place = {time: i for i, time in enumerate(sorted(set(times)))}
    place_of_tick = {tick: i for i, tick in enumerate(sorted(set(found.tolist())))}
    assert [place[time] for time in times] == [place_of_tick[tick] for tick in found.tolist()]


@pytest.mark.parametrize(
    "texts, expected, unit",
    [
        (["2017-07-14", "1970-01-01"], [1_499_990_400, 0], "seconds"),
        (["1970-01-01 00:00:01.5", "1970-01-01"], [1500, 0], "milliseconds"),
        (["1970-01-01 00:00:01.000005"], [1_000_005], "microseconds"),
        (["1970-01-01 00:00:01.000000005"], [1_000_000_005], "nanoseconds"),
        (["1970-01-01 00:00:01.0000000005", "1970-01-01"], [1, 0], "ranks of decimals"),
        (["2500-01-01 00:00:00.000000005", "1970-01-01"], [1, 0], "ranks of decimals"),
        (["978300760", "978300760.0"], [978300760, 978300760], "seconds"),
        (["978300760", "978300760.25"], [978300760_000, 978300760_250], "milliseconds"),
        (["978300760123"], [978300760123], "milliseconds"),
        (["978300760123.5"], [978300760123_500], "microseconds"),
        (["978300760123456"], [978300760123456], "microseconds"),
        (["978300760123456789"], [978300760123456789], "nanoseconds"),
        (["978300760123456.5"], [978300760123456_500], "nanoseconds"),
        (["3", "1"], [3, 1], "the log's own clock"),
        (["-978300760", "978300760"], [-978300760, 978300760], "seconds"),
        (["978300760", "12"], [978300760, 12], "the log's own clock"),
        (["-9223372036854775808"], [-(2**63)], "the log's own clock"),
        (["0.5", "0.25", "-0.75"], [500, 250, -750], "1/1,000 of the log's own clock"),
        (["0.123456789012345678", "0.1", "0.1"], [1, 0, 0], "ranks of decimals"),
    ],
)
def test_ticks_count_the_coarsest_unit_that_loses_nothing(texts, expected, unit):
    found, name = ticks(moments_of_texts(texts))
    assert found.tolist() == expected
    assert name == unit


@pytest.mark.slow
@given(texts=st.lists(written_numbers(), min_size=1, max_size=12), cut=st.integers(0, 20))
def test_parts_of_a_column_put_together_are_the_column(texts, cut):
    texts = [text for text in texts if abs(Fraction(text)) < 2**63 - 1]
    parts = [moments_of_texts(texts[:cut]), moments_of_texts(texts[cut:])]
    assert exact(concatenate(parts)) == exact(moments_of_texts(texts))


def test_parts_of_dates_stay_dates_and_whole_ones_without_a_fraction():
    parts = [moments_of_texts(texts) for texts in ([], ["2017-07-14"], ["2017-07-15"])]
    whole = concatenate(parts)
    assert whole.are_dates
    assert whole.fraction is None


def test_parts_of_numbers_and_of_dates_are_refused_where_they_meet():
    parts = [moments_of_texts(texts) for texts in (["2017-07-14", "2017-07-15"], [], ["5", "6"])]
    with pytest.raises(NotATime, match="is a number, but the first of the column") as caught:
        concatenate(parts)
    assert caught.value.index == 2


def test_no_parts_are_no_times():
    assert len(concatenate([]).whole) == 0


@pytest.mark.parametrize(
    "text, second, nano",
    [
        ("20170714T060348Z", 1500012228, 0),
        ("20170714T060348.25", 1500012228, 250_000_000),
        ("20170714T080348+0200", 1500012228, 0),
        ("20170714T0603Z", 1500012180, 0),
    ],
)
def test_dates_without_separators_are_read_if_they_have_a_time_of_day(text, second, nano):
    moments = moments_of_texts(["2017-07-14", text])
    assert moments.are_dates
    assert moments.whole[1] == second
    fraction = 0 if moments.fraction is None else moments.fraction[1]
    assert fraction == nano * 10**9
    assert not moments_of_texts(["20170714"]).are_dates
