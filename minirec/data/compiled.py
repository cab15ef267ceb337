"""The fast way through a large log: compiled loops that read its bytes, one piece for each processor.

They take plain data only: ASCII without quotes, rows of equal make. Whatever looks different makes them give up (None), and the plain way in
`formats` does the work. Compiling takes a few seconds, once per machine; numba keeps the result.
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


def scan_rows(raw: bytes, start: int, separator: str, n_fields: int, wanted: dict[int, int]) -> list | None:
    """The columns at the positions `wanted` (position: TEXT, INTEGER or SECONDS), in that order, of every row from byte `start` on.

    A column of integers or seconds is int64[rows]; one of texts is (codes int64[rows], the distinct texts). `separator` is one byte or '::'.
    None where the file is not plain (see above) or a row has not exactly n_fields fields.
    """
    kinds, columns = np.full(n_fields, ANYTHING, dtype=np.int8), np.zeros(n_fields, dtype=np.int8)
    kinds[list(wanted)], columns[list(wanted)] = list(wanted.values()), range(len(wanted))
    if separator == "::":
        kinds, columns = (np.insert(array, np.arange(1, n_fields), NOTHING) for array in (kinds, columns))
    raw = raw if raw.endswith(b"\n") else raw + b"\n"
    text = np.frombuffer(raw, dtype=np.uint8)
    cuts = [start, *(raw.find(b"\n", cut) + 1 or len(raw) for cut in _cuts(start, len(raw))[1:-1]), len(raw)]  # each just after a newline
    rows = np.cumsum([0, *_in_threads(lambda begin, end: _count_lines(text[begin:end]), cuts, cuts[1:])])
    out = np.empty((len(wanted), rows[-1]), dtype=np.int64)
    scan = lambda begin, end, row: _scan_rows(text, begin, end, ord(separator[0]), kinds, columns, out, row)  # noqa: E731
    found = _in_threads(scan, cuts, cuts[1:], rows)
    if min(found) < 0 or sum(found) == 0:
        return None
    if sum(found) < rows[-1]:  # blank lines left gaps
        out = np.concatenate([out[:, row:row + n] for row, n in zip(rows, found)], axis=1)
    scanned = _in_threads(lambda kind, column: _distinct(text, column) if kind == TEXT else column, wanted.values(), out)
    return None if any(column is None for column in scanned) else scanned


def _distinct(text: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, list[str]] | None:
    """(the code of the text at each place, the distinct texts by code); None if, against all odds, two different texts have one hash."""
    codes, distinct = pd.factorize(_hashes(text, places))
    first = np.empty(len(distinct), dtype=np.int64)
    first[codes[::-1]] = places[::-1]  # the last writer is the first row
    if not _same_texts(text, places, first[codes]):
        return None
    return codes, [text[begin:begin + length].tobytes().decode("ascii") for begin, length in zip(first >> LENGTH_BITS, first & LENGTH_MASK)]


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


# The digits are read in place: as a function of its own, that loop makes the scanner twice as slow. A difference of unsigned bytes never is
# negative: what lies before '0' wraps round to a large number.

@njit(cache=True, nogil=True)
def _scan_rows(text, start, end, separator, kinds, columns, out, first):
    """Fills out[columns[field], first:] for each wanted field, with the place of a text and the value of a number; returns the number of rows, or -1."""
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
                    if at == begin or at - begin > LENGTH_MASK or text[begin] <= BLANK or text[at - 1] <= BLANK:
                        return -1
                    out[columns[field], row] = begin << LENGTH_BITS | (at - begin)
            if field == last and text[at] == RETURN:
                at += 1
            if text[at] != (NEWLINE if field == last else separator):
                return -1
            at += 1
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
