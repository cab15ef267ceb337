"""Points in time, read exactly as they are written: numbers or dates, to the last digit.

A log's times say which row comes first and which rows are the same one twice. Both are lost where
times are cut to whole seconds, or go through a float. So a time is kept as two integers, and only
`ticks` decides which one integer stands for it::

    texts or a frame's column  ->  Moments  ->  ticks: int64, and their unit in words

    "978300760.25"          978300760 and 250,000,000,000,000,000 / 10^18
    "2017-07-14 06:03:48"   1500012228 seconds since 1970, in UTC

A column is read by one rule, either all numbers or all dates; its first text says which.

How many texts are read at once
-------------------------------
Texts whose digits stand at the same places have the same *shape*: their text with every digit
made 0. A million dates have one shape, or a few. So the regular expression is asked once per
shape. Its groups tell which columns of the table of characters hold the year, the month and so
on, and these columns become integers for all rows of this shape together. A number that cannot be
read this way, such as one of 20 digits, is read alone, by Python's Decimal.

M times.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context, Decimal
from typing import TypeAlias

import numpy as np
import pandas as pd

from minirec.data.raw_ids import INT64_LIMIT, is_missing
from minirec.errors import shown

DECIMALS = 18  # digits behind the point that are kept; further ones are cut
UNITS_PER_TICK = 10**DECIMALS

# A number as files write it: 12, -5, 978300760.9, .5, 8.8125e8. Neither 'nan' nor 1_000.
NUMBER = re.compile(
    r"(?P<sign>[+-])?(?:(?P<whole>\d+)(?:\.(?P<fraction>\d*))?|\.(?P<only_fraction>\d+))"
    r"(?:e(?P<exponent_sign>[+-])?(?P<exponent>\d{1,3}))?",
    re.ASCII | re.IGNORECASE,
)

# A date that begins with its year, so that month and day cannot be mistaken for each other:
# ISO 8601 with its separators, or with slashes. The offset's seconds are Python's own addition,
# for the local times of former centuries.
DATE = re.compile(
    r"(?P<year>\d{4})(?P<mark>[-/])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})"
    r"(?:(?:T| {1,3})(?P<hour>\d{1,2}):(?P<minute>\d\d)"
    r"(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,18}))?)?"
    r" {0,3}(?:Z|UTC|GMT|(?P<offset_sign>[+-])(?P<offset_hour>\d\d)"
    r"(?::?(?P<offset_minute>\d\d)(?::(?P<offset_second>\d\d))?)?)?)?",
    re.ASCII,
)

# The same without separators, which a date must have a time of day for: 20170714 is a number.
COMPACT_DATE = re.compile(
    r"(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)T(?P<hour>\d\d)(?P<minute>\d\d)"
    r"(?:(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,18}))?)?"
    r"(?:Z|(?P<offset_sign>[+-])(?P<offset_hour>\d\d)"
    r"(?::?(?P<offset_minute>\d\d)(?P<offset_second>\d\d)?)?)?",
    re.ASCII,
)

LONGEST = 64  # characters of a text that is read together with others of its shape
DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
ZERO = ord("0")
MOST_DIGITS = 19  # uint64 holds every number of so many digits

TICKS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # NumPy's units of datetimes

# The name of a unit by how many decimals of a second it is.
UNIT_NAMES = {0: "seconds", 3: "milliseconds", 6: "microseconds", 9: "nanoseconds"}
BETWEEN_1980_AND_2100 = (315_532_800, 4_102_444_800)  # seconds since 1970
UNKNOWN_UNIT = "the log's own clock"
# Numbers from 10^least on, and below 10^beyond, are taken for such a unit since 1970.
LIKELY_UNITS = ((8, 11, 0), (11, 14, 3), (14, 17, 6), (17, 19, 9))  # (least, beyond, decimals)

# Below 2^52, two decimals with k digits behind the point never round to the same float.
LARGEST_SURE = 2.0**52
MOST_DECIMALS_AT_ONCE = 9

EXACT = Context(prec=60)  # more digits than a number below 2^63 with 18 decimals has

# What a group of texts of one shape is read into: whole ticks, the fraction in units of 1e-18,
# and whether a row is yet to be read alone.
Read: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Moments:
    """M points in time, exact.

    Parameters
    ----------
    whole : numpy.ndarray
        int64[M]: whole seconds since 1970, or whole ticks of the log's own clock.
    fraction : numpy.ndarray or None
        int64[M]: what is left over, in units of 1e-18, so that 0 <= fraction < 10^18. None where
        all are 0.
    are_dates : bool
        Whether they were written as dates, so that they are known to be seconds.
    """

    whole: np.ndarray
    fraction: np.ndarray | None
    are_dates: bool


class NotATime(ValueError):
    """A text or value that is no point in time, or not by the same rule as the first.

    Parameters
    ----------
    index : int
        Which one it is, counted from 0: the first of those that are wrong.
    complaint : str
        What is wrong with it and what to do. It names no file and no row: the caller does.
    """

    def __init__(self, index: int, complaint: str):
        super().__init__(complaint)
        self.index = index
        self.complaint = complaint


def moments_of_texts(texts: Sequence[str] | np.ndarray) -> Moments:
    """Read texts as points in time: all as numbers, or all as dates.

    Numbers may have decimals and an exponent. Dates begin with their year: 2017-07-14 or
    2017/07/14, perhaps with the time of day, 06:03 or 06:03:48.123, behind a blank or a T, and
    with Z, UTC, GMT or an offset such as +02:00. Without one, they are in UTC.

    Parameters
    ----------
    texts : sequence of M strings
        Blanks around them do not count. They may repeat; where many do, the distinct ones are
        enough.

    Returns
    -------
    Moments
        Exact, but that digits beyond the 18th decimal are cut (rounded down).

    Raises
    ------
    NotATime
        For the first text that is missing, no time, beyond int64, or not of the first one's kind.
    """
    stripped = [text.strip() for text in texts]
    if not stripped:
        return Moments(np.zeros(0, dtype=np.int64), None, are_dates=False)

    # The first text alone decides: a column of words is refused before anything is computed.
    are_dates = _date(stripped[0]) is not None
    if not are_dates and not NUMBER.fullmatch(stripped[0]):
        raise NotATime(0, _complaint(stripped[0], stripped[0]))

    whole = np.zeros(len(stripped), dtype=np.int64)
    fraction = np.zeros(len(stripped), dtype=np.int64)
    first_wrong = len(stripped)
    for rows, shape, characters in _groups_of_one_shape(stripped):
        if rows[0] > first_wrong:
            break  # the groups come in the order of their first rows
        read = _read_dates if are_dates else _read_numbers
        whole[rows], fraction[rows], is_left = read(shape, characters)
        for row in rows[is_left]:
            moment = None if are_dates else _exact_number(stripped[row])
            if moment is None:
                first_wrong = min(first_wrong, int(row))
                break
            whole[row], fraction[row] = moment

    if first_wrong < len(stripped):
        raise NotATime(first_wrong, _complaint(stripped[first_wrong], stripped[0]))
    return _moments(whole, fraction, are_dates)


def moments_of_column(column: pd.Series) -> Moments:
    """Read a column of a frame as points in time.

    Parameters
    ----------
    column : pandas.Series
        [M]: integers of any width; floats, each taken for the shortest decimal that gives it back,
        which is what a file would hold; datetimes of any unit and zone, those without a zone in
        UTC; or objects, such as strings, Decimals and dates, each taken for the text that `str`
        makes of it, as by `moments_of_texts`.

    Returns
    -------
    Moments
        The same as of a file that holds the column.

    Raises
    ------
    NotATime
        For the first value that is missing or no point in time; for a column of bools.
    """
    missing = column.isna().to_numpy()
    if missing.any():
        n_missing = int(missing.sum())
        complaint = (
            f"the timestamp is missing, in {n_missing:,} of {len(column):,} rows; drop these, or "
            "leave out the column."
        )
        raise NotATime(int(np.argmax(missing)), complaint)

    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    is_of_arrow = type(column.dtype).__name__ == "ArrowDtype"
    if is_of_arrow and not pd.api.types.is_numeric_dtype(column.dtype):
        column = pd.Series(column.tolist())  # pandas finds the kind of the values anew

    if pd.api.types.is_bool_dtype(column.dtype):
        raise NotATime(0, "the timestamps are True and False, which are no points in time.")
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return _moments_of_datetimes(column)
    if pd.api.types.is_integer_dtype(column.dtype):
        return _moments_of_integers(column)
    if pd.api.types.is_float_dtype(column.dtype):
        return _moments_of_floats(column)
    return _moments_of_objects(column)


def concatenate(parts: Sequence[Moments]) -> Moments:
    """Put parts of one column together.

    Parameters
    ----------
    parts : sequence of Moments
        In the order of their rows; each was read by itself.

    Returns
    -------
    Moments
        All of their rows.

    Raises
    ------
    NotATime
        For the first row of the first part that holds numbers where others hold dates, or the
        other way round.
    """
    parts = [part for part in parts if len(part.whole)]
    if not parts:
        return Moments(np.zeros(0, dtype=np.int64), None, are_dates=False)

    are_dates = parts[0].are_dates
    n_rows = 0
    for part in parts:
        if part.are_dates != are_dates:
            raise NotATime(n_rows, _complaint_about_mixture("the timestamp", part.are_dates))
        n_rows += len(part.whole)

    whole = np.concatenate([part.whole for part in parts])
    if all(part.fraction is None for part in parts):
        return Moments(whole, None, are_dates)
    fractions = []
    for part in parts:
        none_left_over = np.zeros(len(part.whole), dtype=np.int64)
        fractions.append(none_left_over if part.fraction is None else part.fraction)
    return Moments(whole, np.concatenate(fractions), are_dates)


def ticks(moments: Moments) -> tuple[np.ndarray, str]:
    """Return one integer per point in time, and its unit.

    Parameters
    ----------
    moments : Moments
        M points in time.

    Returns
    -------
    ticks : numpy.ndarray
        int64[M], in the same order and with the same ties as the moments. Whole numbers stay as
        they are. With fractions, they count the coarsest of milliseconds, microseconds and
        nanoseconds (or of thousandths and so on of the log's own clock) in which nothing is lost;
        where there is none, or int64 could not hold it, they are ranks 0, 1, 2, ... of the
        distinct times.
    unit : str
        In words, such as "milliseconds". For plain numbers it is guessed from their size, and only
        names them.

    Raises
    ------
    NotATime
        Where all numbers are times between 1980 and 2100, but some in one unit and some in another.
    """
    if not moments.are_dates:
        _refuse_two_units(moments.whole)
    decimals = 0 if moments.are_dates else _likely_decimals(moments.whole)
    if moments.fraction is None:
        return moments.whole, _unit_name(decimals, 0)

    # One more than the largest: a fraction lies above it.
    largest = max(int(moments.whole.max()) + 1, -int(moments.whole.min()))
    for finer in (3, 6, 9):
        units = 10 ** (DECIMALS - finer)
        if largest * 10**finer < INT64_LIMIT and not (moments.fraction % units).any():
            whole = moments.whole * 10**finer
            return whole + moments.fraction // units, _unit_name(decimals, finer)
    return _dense_ranks(moments.whole, moments.fraction), "ranks of decimals"


def _date(text: str) -> re.Match[str] | None:
    """Return the match of a date, None for another text."""
    return DATE.fullmatch(text) or COMPACT_DATE.fullmatch(text)


def _refuse_two_units(whole: np.ndarray) -> None:
    """Raise NotATime where some numbers are seconds since 1970 and others milliseconds, say."""
    if len(whole) == 0:
        return
    unit_of_row = np.full(len(whole), -1, dtype=np.int8)
    for decimals in UNIT_NAMES:
        earliest, latest = (moment * 10**decimals for moment in BETWEEN_1980_AND_2100)
        unit_of_row[(earliest <= whole) & (whole < latest)] = decimals
    is_other = unit_of_row != unit_of_row[0]
    if (unit_of_row < 0).any() or not is_other.any():
        return
    row = int(np.argmax(is_other))
    first = UNIT_NAMES[int(unit_of_row[0])]
    this = UNIT_NAMES[int(unit_of_row[row])]
    raise NotATime(
        row,
        f"the timestamp {whole[row]} seems to count {this}, but the first of the column {first}: "
        "their order would be wrong. Bring all to one unit.",
    )


def _moments(whole: np.ndarray, fraction: np.ndarray, are_dates: bool) -> Moments:
    """Return the moments, without the fraction if there is none."""
    return Moments(whole, fraction if fraction.any() else None, are_dates)


def _groups_of_one_shape(
    texts: list[str],
) -> Iterator[tuple[np.ndarray, str, np.ndarray]]:
    """Yield the rows of each shape, int64[m], the shape, and their characters, uint8[m, width].

    Groups come in the order of their first rows.
    """
    words = _same_width(texts)
    shapes = np.frombuffer(words.tobytes().translate(DIGITS_TO_ZERO), dtype=words.dtype)
    characters = words.view(np.uint8).reshape(len(words), words.itemsize)

    unread = np.arange(len(words))
    while len(unread):
        shape = shapes[unread[0]]
        is_alike = shapes[unread] == shape
        rows = unread[is_alike]
        yield rows, shape.decode(), characters[rows]
        unread = unread[~is_alike]


def _same_width(texts: list[str]) -> np.ndarray:
    """Return the texts as bytes of one width; '?' for those that cannot be read together."""
    all_of_them = "".join(texts)
    is_plain = all_of_them.isascii() and "\0" not in all_of_them  # NumPy drops a final NUL
    if not is_plain or max(map(len, texts)) > LONGEST:
        texts = [text if _is_plain(text) else "?" for text in texts]
    return np.array(texts, dtype=np.bytes_)


def _is_plain(text: str) -> bool:
    """Whether a text is short, and its characters are bytes without a NUL."""
    return len(text) <= LONGEST and text.isascii() and "\0" not in text


def _read_numbers(shape: str, characters: np.ndarray) -> Read:
    """Read numbers of one shape, with at most 19 digits; whatever is difficult is left."""
    whole = np.zeros(len(characters), dtype=np.int64)
    fraction = np.zeros(len(characters), dtype=np.int64)
    is_left = np.ones(len(characters), dtype=bool)
    match = NUMBER.fullmatch(shape)
    if match is None:
        return whole, fraction, is_left

    fraction_name = "fraction" if match["only_fraction"] is None else "only_fraction"
    places = [*range(*match.span("whole")), *range(*match.span(fraction_name))]
    if len(places) > MOST_DIGITS:
        return whole, fraction, is_left
    digits = _number_at(places, characters)
    exponents = _number_at(range(*match.span("exponent")), characters).astype(np.int64)
    if match["exponent_sign"] == "-":
        exponents = -exponents

    # 1.25e1 has the digits 125, of which one is behind the point.
    all_decimals = len(match[fraction_name] or "") - exponents
    for decimals in pd.unique(all_decimals):
        if not 0 <= decimals <= DECIMALS:
            continue
        rows = np.flatnonzero(all_decimals == decimals)
        before, behind = np.divmod(digits[rows], np.uint64(10**decimals))
        whole[rows] = before.astype(np.int64)
        fraction[rows] = behind.astype(np.int64) * 10 ** (DECIMALS - decimals)
        is_left[rows] = before >= np.uint64(INT64_LIMIT)

    if match["sign"] == "-":
        # -2.25 is -3 and 0.75: the fraction counts upwards from the whole number below.
        has_fraction = fraction > 0
        whole = -whole - has_fraction
        fraction = np.where(has_fraction, UNITS_PER_TICK - fraction, 0)
    return whole, fraction, is_left


def _read_dates(shape: str, characters: np.ndarray) -> Read:
    """Read dates of one shape as seconds since 1970; those that are on no calendar are left."""
    nothing = np.zeros(len(characters), dtype=np.int64)
    match = _date(shape)
    if match is None:
        return nothing, nothing, np.ones(len(characters), dtype=bool)

    def number(name: str) -> np.ndarray:
        """Return the number in the group of this name, int64[m]; 0 where it is not written."""
        return _number_at(range(*match.span(name)), characters).astype(np.int64)

    year = number("year")
    month = number("month")
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    dates = months.astype("datetime64[D]") + (number("day") - 1)
    # Day 0 and day 31 of a shorter month are days of another month.
    in_calendar = (year >= 1) & (month >= 1) & (month <= 12)
    in_calendar &= dates.astype("datetime64[M]") == months

    hour = number("hour")
    minute = number("minute")
    second = number("second")
    offset_hour = number("offset_hour")
    offset_minute = number("offset_minute")
    offset_second = number("offset_second")
    in_clock = (hour < 24) & (minute < 60) & (second < 60)
    in_clock &= (offset_hour < 24) & (offset_minute < 60) & (offset_second < 60)

    # Clocks that are ahead of UTC showed this time earlier.
    ahead = offset_hour * 3600 + offset_minute * 60 + offset_second
    if match["offset_sign"] == "-":
        ahead = -ahead
    time_of_day = hour * 3600 + minute * 60 + second
    seconds = dates.astype("datetime64[s]").astype(np.int64) + time_of_day - ahead

    fraction = number("fraction") * 10 ** (DECIMALS - len(match["fraction"] or ""))
    return seconds, fraction, ~(in_calendar & in_clock)


def _number_at(places: Sequence[int], characters: np.ndarray) -> np.ndarray:
    """Return the number whose digits stand at these places, uint64[m]; 0 without places."""
    number = np.zeros(len(characters), dtype=np.uint64)
    for place in places:
        number *= np.uint64(10)
        number += characters[:, place] - np.uint8(ZERO)
    return number


def _exact_number(text: str) -> tuple[int, int] | None:
    """Read any one number: its whole part and its fraction in units of 1e-18; None if it is none.

    Nothing goes through a float.
    """
    if not NUMBER.fullmatch(text):
        return None
    number = Decimal(text)
    if not -INT64_LIMIT <= number < INT64_LIMIT:
        return None
    cut = number.quantize(Decimal(1).scaleb(-DECIMALS), ROUND_FLOOR, EXACT)
    return divmod(int(cut.scaleb(DECIMALS, EXACT)), UNITS_PER_TICK)


def _complaint(text: str, first: str) -> str:
    """Say what is wrong with a text in a column that begins with `first`, and what to do."""
    what = f"the timestamp {shown(text)}"
    if is_missing(text):
        written = f" ({shown(text)})" if text else ""
        return (
            f"the timestamp is missing{written}. Drop the row, or leave out the column: then rows "
            "keep their order."
        )
    is_date = _date(text) is not None
    is_number = NUMBER.fullmatch(text) is not None
    if not is_date and not is_number:
        return (
            f"{what} is neither a number (such as seconds since 1970) nor a date that begins with "
            "its year (ISO 8601, such as 2017-07-14 06:03:48). Drop the row, or convert the "
            "column, for example by pandas.to_datetime(..., format='%d.%m.%Y'), and use "
            "Interactions.from_frame; without the column, rows keep their order."
        )
    if is_date != (_date(first) is not None):
        return _complaint_about_mixture(what, is_date)
    if is_date:
        return f"{what} is a day or a time of day that does not exist. Mend or drop the row."
    return f"{what} is too large: it must lie between -2^63 and 2^63. Mend or drop the row."


def _complaint_about_mixture(what: str, is_date: bool) -> str:
    """Say that a time is not of the first one's kind."""
    this, first = ("a date", "a number") if is_date else ("a number", "a date")
    return (
        f"{what} is {this}, but the first of the column is {first}. Write all of them as numbers, "
        "or all as dates."
    )


def _moments_of_datetimes(column: pd.Series) -> Moments:
    """Return datetimes of any unit and zone; those without a zone are in UTC."""
    if column.dt.tz is not None:
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    datetimes = column.to_numpy()
    unit, _ = np.datetime_data(datetimes.dtype)
    per_second = TICKS_PER_SECOND[unit]
    whole, left_over = np.divmod(datetimes.astype(np.int64), per_second)
    return _moments(whole, left_over * (UNITS_PER_TICK // per_second), are_dates=True)


def _moments_of_integers(column: pd.Series) -> Moments:
    """Return integers of any width, which may be unsigned."""
    is_unsigned = pd.api.types.is_unsigned_integer_dtype(column.dtype)
    numbers = column.to_numpy(dtype=np.uint64 if is_unsigned else np.int64)
    if is_unsigned:
        too_large = numbers >= np.uint64(INT64_LIMIT)
        if too_large.any():
            row = int(np.argmax(too_large))
            raise NotATime(row, _complaint(str(numbers[row]), "0"))
    return Moments(numbers.astype(np.int64), None, are_dates=False)


def _moments_of_floats(column: pd.Series) -> Moments:
    """Return floats, each as the shortest decimal that gives it back."""
    # A column that may hold missing values has a kind of its own around that of its numbers.
    numbers = column.to_numpy(dtype=getattr(column.dtype, "numpy_dtype", None))
    # float64, because float16 knows no 2^63; and "not below", because NaN is not above either.
    not_in_range = ~(np.abs(numbers.astype(np.float64, copy=False)) < 2.0**63)
    if not_in_range.any():
        row = int(np.argmax(not_in_range))
        complaint = (
            f"the timestamp {numbers[row]:g} is no point in time: it must lie between -2^63 and "
            "2^63. Mend or drop the row."
        )
        raise NotATime(row, complaint)

    whole = np.zeros(len(numbers), dtype=np.int64)
    fraction = np.zeros(len(numbers), dtype=np.int64)
    left = np.arange(len(numbers))
    if numbers.dtype == np.float64:
        for decimals in range(MOST_DECIMALS_AT_ONCE + 1):
            per_one = 10**decimals
            scaled = np.rint(numbers[left] * per_one)
            # A decimal with so many digits gives the float back, and no other one does.
            is_it = (scaled / per_one == numbers[left]) & (np.abs(scaled) < LARGEST_SURE)
            rows = left[is_it]
            whole[rows], left_over = np.divmod(scaled[is_it].astype(np.int64), per_one)
            fraction[rows] = left_over * (UNITS_PER_TICK // per_one)
            left = left[~is_it]

    distinct, place = np.unique(numbers[left], return_inverse=True)
    others = moments_of_texts(_shortest_decimals(distinct))
    whole[left] = others.whole[place]
    if others.fraction is not None:
        fraction[left] = others.fraction[place]
    return _moments(whole, fraction, are_dates=False)


def _shortest_decimals(numbers: np.ndarray) -> list[str]:
    """Write each float as the shortest decimal that gives it back."""
    if numbers.dtype == np.float64:
        return [repr(number) for number in numbers.tolist()]
    return numbers.astype(str).tolist()  # NumPy does the same for other widths, but slowly


def _moments_of_objects(column: pd.Series) -> Moments:
    """Return values of any other kind, each by the text that `str` makes of it."""
    texts = np.array([str(value) for value in column], dtype=object)
    codes, distinct = pd.factorize(texts)
    try:
        moments = moments_of_texts(distinct)
    except NotATime as error:
        first_row = int(np.argmax(codes == error.index))
        raise NotATime(first_row, error.complaint) from None
    if moments.fraction is None:
        return Moments(moments.whole[codes], None, moments.are_dates)
    return Moments(moments.whole[codes], moments.fraction[codes], moments.are_dates)


def _likely_decimals(whole: np.ndarray) -> int | None:
    """Guess the unit of plain numbers, as decimals of a second; None if they are of no usual one.

    Only their size tells: seconds since 1970 have had ten digits since 2001, nine before.
    """
    if len(whole) == 0:
        return None
    sizes = np.abs(whole)
    least = int(sizes.min())
    largest = int(sizes.max())
    for exponent, beyond, decimals in LIKELY_UNITS:
        if 10**exponent <= least and largest < 10**beyond:
            return decimals
    return None


def _unit_name(decimals: int | None, finer: int) -> str:
    """Name the unit that is 10^finer times finer than one of so many decimals of a second."""
    if decimals is not None and decimals + finer in UNIT_NAMES:
        return UNIT_NAMES[decimals + finer]
    unit = UNKNOWN_UNIT if decimals is None else UNIT_NAMES[decimals]
    return unit if finer == 0 else f"1/{10**finer:,} of {unit}"


def _dense_ranks(whole: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    """Return each time's place, from 0, among the distinct ones: int64[M]."""
    order = np.lexsort([fraction, whole])
    whole = whole[order]
    fraction = fraction[order]
    is_new = (whole[1:] != whole[:-1]) | (fraction[1:] != fraction[:-1])
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.append(0, np.cumsum(is_new))
    return ranks
