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
LENGTH_BITS, LENGTH_MASK = 16, (1 << 16) - 1  # a text's place is its first byte and its length in one integer
HASH_START, HASH_STEP = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # the FNV-1a hash


def scan_rows(raw: bytes, start: int, layout, wanted: tuple[int, ...]) -> list | None:
    """The columns at layout.wanted, read as the kinds `wanted` (TEXT, INTEGER or SECONDS), of every row from byte `start` on.

    A column of integers or seconds is int64[rows]; one of texts is (codes int64[rows], the distinct texts).
    None where the file is not plain (see above) or a row is not of this layout (`formats.Layout`).
    """
    kinds, columns = np.full(layout.n_fields, ANYTHING, dtype=np.int8), np.zeros(layout.n_fields, dtype=np.int8)
    kinds[list(layout.wanted)], columns[list(layout.wanted)] = wanted, range(len(wanted))
    if layout.separator == "::":
        kinds, columns = (np.insert(array, np.arange(1, layout.n_fields), NOTHING) for array in (kinds, columns))
    separator = ord(layout.separator[0])
    raw = raw if raw.endswith(b"\n") else raw + b"\n"
    text = np.frombuffer(raw, dtype=np.uint8)
    cuts = [start, *(raw.find(b"\n", cut) + 1 or len(raw) for cut in _cuts(start, len(raw))[1:-1]), len(raw)]  # each just after a newline
    mark = separator if layout.repeats else NEWLINE  # stands once a row
    rows = np.cumsum([0, *_in_threads(lambda begin, end: np.count_nonzero(text[begin:end] == mark), cuts, cuts[1:])])
    out = np.empty((len(wanted), rows[-1]), dtype=np.int64)
    scan = lambda begin, end, row: _scan_rows(text, begin, end, separator, kinds, columns, layout.repeats, out, row)  # noqa: E731
    found = _in_threads(scan, cuts, cuts[1:], rows)
    if min(found) < 0 or sum(found) == 0:
        return None
    if sum(found) < rows[-1]:  # blank lines left gaps
        out = np.concatenate([out[:, row:row + n] for row, n in zip(rows, found)], axis=1)
    scanned = _in_threads(lambda kind, column: _distinct(text, column) if kind == TEXT else column, wanted, out)
    return None if any(column is None for column in scanned) else scanned


def _distinct(text: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, list[str]] | None:
    """(the code of the text at each place, the distinct texts by code); None if, against all odds, two different texts have one hash."""
    codes, distinct = pd.factorize(_hashes(text, places))
    first = np.empty(len(distinct), dtype=np.int64)
    first[codes[::-1]] = places[::-1]  # the last writer is the first row
    if not _same_texts(text, places, first[codes]):
        return None
    return codes, [text[begin:begin + length].tobytes().decode("ascii") for begin, length in zip(first >> LENGTH_BITS, first & LENGTH_MASK)]


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
    cuts = _cuts(0, n)
    keys, ordered, times, repeated = (np.empty(n, dtype=kind) for kind in (np.int64, np.int32, np.int64, np.bool_))
    _in_threads(lambda begin, end: _pack(users, timestamps, first, time_bits, row_bits, begin, end, keys), cuts, cuts[1:])
    keys.sort()
    _in_threads(lambda begin, end: _unpack(keys, items, n_items, first, time_bits, row_bits, begin, end, ordered, times, repeated), cuts, cuts[1:])
    if repeated.any():
        keys, ordered, times = keys[~repeated], ordered[~repeated], times[~repeated]
    offsets = np.searchsorted(keys, np.arange(n_users) << (time_bits + row_bits))
    return ordered, np.append(offsets, len(keys)), times, n - len(keys)


def _processors() -> int:
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def _in_threads(work, *arguments) -> list:
    """[work(*those) for those in zip(*arguments)], on all processors."""
    with ThreadPoolExecutor(_processors()) as pool:
        return list(pool.map(work, *arguments))


def _cuts(start: int, end: int) -> list[int]:
    """Cuts range(start, end) into equal parts, one for each processor."""
    return [start + (end - start) * part // _processors() for part in range(_processors() + 1)]


@njit(cache=True, nogil=True)
def _pack(users, timestamps, first, time_bits, row_bits, begin, end, keys):
    """Fills keys: user, time and row in one integer."""
    for row in range(begin, end):
        keys[row] = (np.int64(users[row]) << time_bits | timestamps[row] - first) << row_bits | row


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
def _field_end(text, at, separator):
    """Where the field that starts at `at` ends; -1 if it holds a quote or a byte that is not ASCII."""
    while text[at] != separator and text[at] != NEWLINE and text[at] != RETURN:
        if text[at] == QUOTE or text[at] > 127:
            return -1
        at += 1
    return at


# Digits are read in place: as a function of its own, even an inlined one, that loop makes loading a fifth slower. A difference of unsigned bytes
# never is negative: what lies before '0' wraps round to a large number.

@njit(cache=True, nogil=True)
def _scan_rows(text, start, end, separator, kinds, columns, repeats, out, first):
    """Fills out[columns[field], first:] for each wanted field, with the place of a text and the value of a number; returns the number of rows, or -1."""
    at, row, last, again = start, first, len(kinds) - 1, False  # again: the line goes on with another last field
    while at < end:
        if again:
            out[0, row] = out[0, row - 1]
        elif text[at] == NEWLINE:
            at += 1
            continue
        for field in range(last if again else 0, last + 1):
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
                if at < 0 or kind == TEXT and (at == begin or at - begin > LENGTH_MASK or text[begin] <= BLANK or text[at - 1] <= BLANK):
                    return -1
                if kind == TEXT:
                    out[columns[field], row] = begin << LENGTH_BITS | (at - begin)
            if field == last and text[at] == RETURN and text[at + 1] == NEWLINE:
                at += 1
            if text[at] != (NEWLINE if field == last else separator) and not (repeats and field == last and text[at] == separator):
                return -1
            at += 1
        again = text[at - 1] != NEWLINE
        row += 1
    return row - first


@njit(cache=True, nogil=True)
def _hashes(text, places):
    hashes = np.empty(len(places), dtype=np.int64)
    for row in range(len(places)):
        begin, mixed = places[row] >> LENGTH_BITS, HASH_START
        for at in range(begin, begin + (places[row] & LENGTH_MASK)):
            mixed = (mixed ^ np.uint64(text[at])) * HASH_STEP
        hashes[row] = np.int64(mixed)
    return hashes


@njit(cache=True, nogil=True)
def _same_texts(text, places, others):
    """Whether the texts at places[i] and others[i] are the same, byte for byte, for every i."""
    for row in range(len(places)):
        here, there = places[row] >> LENGTH_BITS, others[row] >> LENGTH_BITS
        if places[row] & LENGTH_MASK != others[row] & LENGTH_MASK:
            return False
        for at in range(places[row] & LENGTH_MASK):
            if text[here + at] != text[there + at]:
                return False
    return True
