"""The fast way through a large log: compiled loops that read its bytes and order its rows, one piece for each processor.

They take plain data only: ASCII without quotes, rows of equal make. Whatever looks different makes them give up (None), and the plain way in
`formats` and `interactions` does the work. Compiling takes a few seconds, once per machine; numba keeps the result.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from numba import njit

NEWLINE, RETURN, BLANK, QUOTE, DOT, ZERO = b'\n\r ".0'
ANYTHING, NOTHING, TEXT, INTEGER, SECONDS = range(5)  # what a field holds; NOTHING lies between the two colons of '::'
MAX_DIGITS = 18  # always fits int64
LENGTH_BITS = 16  # a text's place is its first byte and its length in one integer
HASH_START, HASH_STEP = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # the FNV-1a hash


def scan_rows(raw: bytes, start: int, separator: str, n_fields: int, wanted: dict[int, int]) -> list | None:
    """The columns at the positions `wanted` (position: TEXT, INTEGER or SECONDS), in that order, of every row from byte `start` on.

    A column of integers or seconds is int64[rows]; one of texts is (codes int64[rows], the distinct texts). `separator` is one byte or '::'.
    None where the file is not plain (see above) or a row has not exactly n_fields fields.
    """
    kinds, columns = np.full(n_fields, ANYTHING, dtype=np.int8), np.zeros(n_fields, dtype=np.int8)
    kinds[list(wanted)], columns[list(wanted)] = list(wanted.values()), range(len(wanted))
    if separator == "::":
        kinds, columns = (np.insert(array, np.arange(1, n_fields), NOTHING) for array in (kinds, columns))
    text = _ending_in_newline(raw)
    cuts = _cut_at_lines(text, start, _processors())
    with ThreadPoolExecutor(len(cuts) - 1) as pool:
        rows = np.cumsum([0, *pool.map(lambda part: _count_lines(text[part[0]:part[1]]), zip(cuts, cuts[1:]))])
        out = np.empty((len(wanted), rows[-1]), dtype=np.int64)
        places = np.empty((len(wanted), rows[-1] if TEXT in wanted.values() else 0), dtype=np.int64)
        scan = lambda begin, end, row: _scan_rows(text, begin, end, ord(separator[0]), kinds, columns, out, places, row)  # noqa: E731
        found = list(pool.map(scan, cuts, cuts[1:], rows[:-1]))
        if min(found) < 0:
            return None
        if sum(found) < rows[-1]:  # blank lines left gaps
            out, places = (np.concatenate([array[:, row:row + n] for row, n in zip(rows, found)], axis=1) for array in (out, places))
        scanned = list(pool.map(lambda kind, column, where: _distinct(text, column, where) if kind == TEXT else column, wanted.values(), out, places))
    return None if any(column is None for column in scanned) else scanned


def _distinct(text: np.ndarray, hashes: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, list[str]] | None:
    """(the code of each row's text, the distinct texts by code); None if, against all odds, two different texts have one hash."""
    codes, distinct = pd.factorize(hashes)
    first = np.empty(len(distinct), dtype=np.int64)
    first[codes[::-1]] = places[::-1]  # the last writer is the first row
    if not _same_texts(text, codes, places, first):
        return None
    ends = (first >> LENGTH_BITS) + (first & (1 << LENGTH_BITS) - 1)
    return codes, [text[begin:end].tobytes().decode("ascii") for begin, end in zip(first >> LENGTH_BITS, ends)]


def order_rows(users: np.ndarray, items: np.ndarray, timestamps: np.ndarray, n_users: int, n_items: int) -> tuple | None:
    """Rows of dense codes (from 0) in the order of (user, timestamp, row), each repeat of user, item and timestamp left out.

    (items int32 from 1, offsets int64[n_users + 1], timestamps int64, number of repeats); None where user, time and row number do not fit into
    one 63-bit integer. Sorting such integers is many times faster than sorting rows.
    """
    users, items = (np.require(codes, dtype=np.int32, requirements=("C", "W")) for codes in (users, items))  # one compiled form for all callers
    timestamps = np.require(timestamps, dtype=np.int64, requirements=("C", "W"))
    n, first = len(users), int(timestamps.min())
    row_bits, time_bits = (n - 1).bit_length(), (int(timestamps.max()) - first).bit_length()
    if row_bits + time_bits + (n_users - 1).bit_length() > 63:
        return None
    keys, counts = np.empty(n, dtype=np.int64), np.zeros((_processors(), n_users), dtype=np.int64)
    _in_parts(n, lambda part, begin, end: _pack(users, timestamps, first, time_bits, row_bits, begin, end, keys, counts[part]))
    keys.sort()
    ordered, times, repeated = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.int64), np.zeros(n, dtype=np.bool_)
    _in_parts(n, lambda part, begin, end: _unpack(keys, items, n_items, first, time_bits, row_bits, begin, end, ordered, times, repeated))
    counts, n_repeats = counts.sum(axis=0), int(np.count_nonzero(repeated))
    if n_repeats:
        counts -= np.bincount(keys[repeated] >> (time_bits + row_bits), minlength=n_users)
        ordered, times = ordered[~repeated], times[~repeated]
    return ordered, np.concatenate([[0], np.cumsum(counts)]), times, n_repeats


def scan_sequences(raw: bytes) -> tuple[np.ndarray, np.ndarray] | None:
    """(users, items), int64, an entry an interaction, of a file of `user item item ...` lines; None where it is not plain."""
    text = _ending_in_newline(raw)
    bound = len(text) // 2
    users, items = np.empty(bound, dtype=np.int64), np.empty(bound, dtype=np.int64)
    n = _scan_sequences(text, users, items)
    return None if n < 0 else (users[:n], items[:n])


def _ending_in_newline(raw: bytes) -> np.ndarray:
    return np.frombuffer(raw if raw.endswith(b"\n") else raw + b"\n", dtype=np.uint8)


def _processors() -> int:
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _cut_at_lines(text: np.ndarray, start: int, parts: int) -> list[int]:
    """Byte positions, each just after a newline, that cut text[start:] into about equal parts."""
    cuts = [start]
    for part in range(1, parts):
        cut = max(cuts[-1], start + (len(text) - start) * part // parts)
        cuts.append(cut + int(_line_length(text[cut:])))
    return [*cuts, len(text)]


def _in_parts(n: int, work) -> None:
    """work(part, begin, end) over range(n), a part for each processor."""
    cuts = [n * part // _processors() for part in range(_processors() + 1)]
    with ThreadPoolExecutor(len(cuts) - 1) as pool:
        list(pool.map(work, range(len(cuts) - 1), cuts, cuts[1:]))


@njit(cache=True, nogil=True)
def _pack(users, timestamps, first, time_bits, row_bits, begin, end, keys, counts):
    """Fills keys (user, time and row in one integer) and counts the users."""
    for row in range(begin, end):
        user = np.int64(users[row])
        counts[user] += 1
        keys[row] = (user << time_bits | timestamps[row] - first) << row_bits | row


@njit(cache=True, nogil=True)
def _unpack(keys, items, n_items, first, time_bits, row_bits, begin, end, ordered, times, repeated):
    """Fills ordered (item ids from 1), times and repeated from the sorted keys."""
    row_mask, time_mask = (np.int64(1) << row_bits) - 1, (np.int64(1) << time_bits) - 1
    seen, moment = np.full(n_items, -1, dtype=np.int64), np.int64(-1)  # at which moment (user and time) an item was last seen
    start = begin
    while start > 0 and start < end and keys[start - 1] >> row_bits == keys[begin] >> row_bits:
        start -= 1  # a moment that began in the part before
    for at in range(start, end):
        item, moment = items[keys[at] & row_mask], keys[at] >> row_bits
        if at >= begin:
            ordered[at], times[at], repeated[at] = item + 1, (moment & time_mask) + first, seen[item] == moment
        seen[item] = moment


@njit(cache=True, nogil=True)
def _line_length(text):
    at = 0
    while at < len(text) and text[at] != NEWLINE:
        at += 1
    return min(at + 1, len(text))


@njit(cache=True, nogil=True)
def _count_lines(text):
    n = 0
    for byte in text:
        n += byte == NEWLINE
    return n


@njit(cache=True, nogil=True)
def _field_end(text, at, separator):
    """Where the field that starts at `at` ends; -1 if it holds a quote or a byte that is not ASCII."""
    while text[at] != separator and text[at] != NEWLINE and text[at] != RETURN:
        if text[at] == QUOTE or text[at] > 127:
            return -1
        at += 1
    return at


@njit(cache=True, nogil=True)
def _hash(text, begin, end):
    mixed = HASH_START
    for at in range(begin, end):
        mixed = (mixed ^ np.uint64(text[at])) * HASH_STEP
    return np.int64(mixed)


# Both scanners read digits in place: as a function of its own, that loop makes them twice as slow. A difference of unsigned bytes never is
# negative: what lies before '0' wraps round to a large number.

@njit(cache=True, nogil=True)
def _scan_rows(text, start, end, separator, kinds, columns, out, places, first):
    """Fills out[columns[field], first:] (and places, for texts) for each wanted field; returns the number of rows, or -1."""
    at, row, last = start, first, len(kinds) - 1
    while at < end:
        if text[at] == NEWLINE:
            at += 1
            continue
        for field in range(len(kinds)):
            kind = kinds[field]
            if kind >= INTEGER:
                begin, value, digit = at, np.int64(0), text[at] - np.uint8(ZERO)
                while digit < 10:
                    value = value * 10 + digit
                    at += 1
                    digit = text[at] - np.uint8(ZERO)
                if at == begin or at - begin > MAX_DIGITS or (at - begin > 1 and text[begin] == ZERO):
                    return -1
                if kind == SECONDS and text[at] == DOT:
                    at += 1
                    while ZERO <= text[at] < ZERO + 10:
                        at += 1
                out[columns[field], row] = value
            elif kind != NOTHING:
                begin, at = at, _field_end(text, at, separator)
                if at < 0:
                    return -1
                if kind == TEXT:
                    if at == begin or at - begin >= 1 << LENGTH_BITS or text[begin] <= BLANK or text[at - 1] <= BLANK:
                        return -1
                    out[columns[field], row], places[columns[field], row] = _hash(text, begin, at), begin << LENGTH_BITS | (at - begin)
            if field == last and text[at] == RETURN:
                at += 1
            if text[at] != (NEWLINE if field == last else separator):
                return -1
            at += 1
        row += 1
    return row - first


@njit(cache=True, nogil=True)
def _same_texts(text, codes, places, first):
    """Whether every row's text is, byte for byte, the first one of its code."""
    for row in range(len(codes)):
        here, there = places[row], first[codes[row]]
        if here & ((1 << LENGTH_BITS) - 1) != there & ((1 << LENGTH_BITS) - 1):
            return False
        a, b = here >> LENGTH_BITS, there >> LENGTH_BITS
        for at in range(here & ((1 << LENGTH_BITS) - 1)):
            if text[a + at] != text[b + at]:
                return False
    return True


@njit(cache=True, nogil=True)
def _scan_sequences(text, users, items):
    """Fills users and items; returns how many interactions there are, or -1."""
    at, n = 0, 0
    while at < len(text):
        user, before = np.int64(-1), n
        while text[at] != NEWLINE:
            begin, value, digit = at, np.int64(0), text[at] - np.uint8(ZERO)
            while digit < 10:
                value = value * 10 + digit
                at += 1
                digit = text[at] - np.uint8(ZERO)
            if at == begin or at - begin > MAX_DIGITS or (at - begin > 1 and text[begin] == ZERO):
                return -1
            if user < 0:
                user = value
                if text[at] != BLANK:
                    return -1
            else:
                users[n], items[n] = user, value
                n += 1
            if text[at] == BLANK or (text[at] == RETURN and text[at + 1] == NEWLINE):
                at += 1
            elif text[at] != NEWLINE:
                return -1
        if user >= 0 and n == before:
            return -1
        at += 1
    return n
