"""Interactions: who chose what, in order, as two flat arrays.

M interactions, n_users users, n_items items. Item ids are dense, 1..n_items (0 is padding); user
ids are dense, 0..n_users - 1. User u's sequence, oldest first, is
items[offsets[u]:offsets[u + 1]].
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from minirec.data.frames import columns_of_frame
from minirec.data.raw_ids import dense_ids, encode_items
from minirec.data.ties import check_order, checked_seed, name_of_data, reordered, runs
from minirec.data.times import NotATime, moments_of_column, ticks
from minirec.errors import DataError

if TYPE_CHECKING:
    from minirec.data.splits import Split


@dataclass(frozen=True, eq=False)
class Interactions:
    """An interaction log: 12 bytes per interaction, and 8 per user.

    Made by `load_dataset`, `from_frame` or `from_columns`.

    Parameters
    ----------
    items : numpy.ndarray
        int32[M]: the item of every interaction, user after user, oldest first.
    offsets : numpy.ndarray
        int64[n_users + 1]: where each user's interactions begin, and M.
    item_ids, user_ids : numpy.ndarray
        Raw ids: item i is item_ids[i - 1], user u is user_ids[u]. `encode_items` goes the other
        way.
    timestamps : numpy.ndarray, optional
        int64[M], in seconds or whatever clock the log has: its order and its ties are exactly
        those of the times that were read.
    n_duplicates : int
        How many exact repeats (same user, item and timestamp) were left out.
    source : str
        What messages call the data.
    time_unit : str
        The unit of the timestamps in words, such as "milliseconds"; "" where nobody said.
    read_as : str
        Which columns of a file or a frame were read as what, in words.
    ties : str
        The order of what a user chose at one time: "file", as it came; "id", by the raw item ids;
        or "random" and its seed, as in "random 3".

    Raises
    ------
    DataError
        Where a user has no interaction, or an item id is out of range.
    """

    items: np.ndarray
    offsets: np.ndarray
    item_ids: np.ndarray
    user_ids: np.ndarray
    timestamps: np.ndarray | None = None
    n_duplicates: int = 0
    source: str = ""
    time_unit: str = ""
    read_as: str = ""
    ties: str = "file"

    def __post_init__(self) -> None:
        if len(self.items) == 0 or np.any(np.diff(self.offsets) < 1):
            raise DataError(
                f"{self.source or 'the data'}: every user needs at least one interaction; "
                "found an empty row or no rows at all."
            )
        if self.items.min() < 1 or self.items.max() > len(self.item_ids):
            raise DataError(
                f"{self.source or 'the data'}: item ids must lie in 1..{len(self.item_ids)} "
                f"(0 is padding); found {self.items.min()}..{self.items.max()}."
            )

    @property
    def name(self) -> str:
        """What a result on these data is filed under: the source and, if not the file's, the order.

        Such as "beauty", "beauty, ties by id" or "beauty, ties random 3".
        """
        return name_of_data(self.source, self.ties)

    @property
    def n_users(self) -> int:
        """How many users there are."""
        return len(self.offsets) - 1

    @property
    def n_items(self) -> int:
        """How many items there are; padding is none."""
        return len(self.item_ids)

    @property
    def n_interactions(self) -> int:
        """How many interactions there are, M."""
        return len(self.items)

    @classmethod
    def from_columns(
        cls,
        users: Sequence[Any] | np.ndarray | pd.Categorical,
        items: Sequence[Any] | np.ndarray | pd.Categorical,
        timestamps: Sequence[Any] | np.ndarray | None = None,
        *,
        source: str = "",
        time_unit: str = "",
        read_as: str = "",
    ) -> "Interactions":
        """Make a log of raw ids in file order, one row per interaction.

        Each user's rows are put in the order of (timestamp, file order). Rows that repeat user,
        item and timestamp are kept once; without timestamps all are, as choosing twice then looks
        like a repeated line.

        Parameters
        ----------
        users, items : sequence of M raw ids
            All numbers or all strings.
        timestamps : sequence of M, optional
            Integers of any clock, or whatever else `from_frame` reads as times.
        source, time_unit, read_as : str
            As for `Interactions`.

        Returns
        -------
        Interactions

        Raises
        ------
        DataError
            For columns of unequal length, a missing id, or a timestamp that is none.
        """
        columns = [column for column in (users, items, timestamps) if column is not None]
        if len({len(column) for column in columns}) != 1:
            raise DataError(
                f"{source or 'the data'}: users, items and timestamps must be equally many."
            )
        user_codes, user_ids = dense_ids(users)
        item_codes, item_ids = dense_ids(items)
        n_rows = len(user_codes)

        times = None
        if timestamps is not None:
            times, unit_of_times = _integer_times(timestamps, source)
            time_unit = time_unit or unit_of_times
        order = _order(user_codes, times)
        if order is not None:
            user_codes = user_codes[order]
            item_codes = item_codes[order]
            times = None if times is None else times[order]
            del order  # as large as all the rest
        elif times is not None:
            times = times.copy()  # the caller may change its own

        if times is not None and n_rows:
            repeated = _repeats(user_codes, times, item_codes)
            if repeated.any():
                user_codes = user_codes[~repeated]
                item_codes = item_codes[~repeated]
                times = times[~repeated]

        return cls(
            items=(item_codes + 1).astype(np.int32, copy=False),
            offsets=_offsets(user_codes, len(user_ids)),
            item_ids=item_ids,
            user_ids=user_ids,
            timestamps=times,
            n_duplicates=n_rows - len(user_codes),
            source=source,
            time_unit=time_unit,
            read_as=read_as,
        )

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        user: str | None = None,
        item: str | None = None,
        timestamp: str | None = "auto",
    ) -> "Interactions":
        """Make a log of a frame with a user column, an item column and perhaps a time column.

        Parameters
        ----------
        frame : pandas.DataFrame
            One row per interaction. Floats that are all whole numbers are integers as ids.
        user, item : str, optional
            The names of the columns; unless given, the same names are recognised as in files, such
            as "user_id" or "Item ID".
        timestamp : str or None
            The name of the time column: integers of any clock, decimals, datetimes (without a zone
            they are in UTC), or strings that hold numbers or dates as files do. They order the
            rows with full precision. "auto" reads a column with a usual name, if there is one;
            None reads no times.

        Returns
        -------
        Interactions
            Its `read_as` says which columns were read, its `time_unit` what the timestamps count.

        Raises
        ------
        DataError
            For a column that is not there or there twice, a missing value (NaN, None, or a word
            such as "NULL" among strings), or a value that is no point in time.
        """
        columns = columns_of_frame(frame, user, item, timestamp)
        return cls.from_columns(
            columns.users,
            columns.items,
            columns.timestamps,
            source="frame",
            time_unit=columns.time_unit,
            read_as=columns.read_as,
        )

    def to_frame(self) -> pd.DataFrame:
        """Return columns user, item (raw ids) and, if known, timestamp: one row per interaction.

        Rows are in the order of the user, then of time. Timestamps are integers (see `time_unit`).
        """
        users = np.repeat(self.user_ids, np.diff(self.offsets))
        frame = pd.DataFrame({"user": users, "item": self.item_ids[self.items - 1]})
        if self.timestamps is not None:
            frame["timestamp"] = self.timestamps
        return frame

    def encode_items(self, raw: Sequence[Any] | np.ndarray | pd.Index) -> np.ndarray:
        """Return the dense ids of raw ones: int64[n], 0 where the id is unknown."""
        return encode_items(raw, pd.Index(self.item_ids))

    def sequence(self, user: int) -> np.ndarray:
        """Return a user's items, oldest first, int32[...]: a view, nothing is copied."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def item_counts(self) -> np.ndarray:
        """Return how often each item occurs: int64[n_items + 1], entry 0 is 0."""
        return np.bincount(self.items, minlength=self.n_items + 1)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when any id, order or raw item id does."""
        raw_ids = "\n".join(map(str, self.item_ids.tolist())).encode(errors="surrogatepass")
        content = self.items.tobytes() + self.offsets.tobytes() + raw_ids
        return hashlib.sha256(content).hexdigest()[:16]

    def statistics(self) -> pd.Series:
        """Return users, items, interactions, mean history and sparsity in percent.

        This is a row of GLINT-RU's Table 1, without counting the padding id. A log with times has
        two figures more, in percent: of neighbours in a user's sequence those of one time, and of
        the users those whose last two items are, so that a tie decides their last one, which is the
        test target of leave-one-out.
        """
        n_pairs = self.n_users * self.n_items
        figures = {
            "users": self.n_users,
            "items": self.n_items,
            "interactions": self.n_interactions,
            "mean history": self.n_interactions / self.n_users,
            "sparsity (%)": 100 * (1 - self.n_interactions / n_pairs),
        }
        if self.timestamps is not None:
            tied_to_previous = np.append(False, np.diff(self._runs) == 0)
            n_neighbours = self.n_interactions - self.n_users
            figures["tied neighbours (%)"] = 100 * tied_to_previous.sum() / max(1, n_neighbours)
            figures["tied targets (%)"] = 100 * tied_to_previous[self.offsets[1:] - 1].mean()
        return pd.Series(figures, dtype=object)

    def k_core(self, k: int) -> "Interactions":
        """Drop users and items with fewer than k interactions until none is left to drop.

        Raises DataError where nothing is left.
        """
        shortest_history = np.diff(self.offsets).min()
        rarest_item = self.item_counts()[1:].min()
        if shortest_history >= k and rarest_item >= k:
            return self

        users = np.repeat(np.arange(self.n_users), np.diff(self.offsets))
        keep = np.ones(self.n_interactions, dtype=bool)
        n_kept_before = -1
        while keep.sum() != n_kept_before:
            n_kept_before = keep.sum()
            of_user = np.bincount(users[keep], minlength=self.n_users)
            of_item = np.bincount(self.items[keep], minlength=self.n_items + 1)
            keep &= (of_user[users] >= k) & (of_item[self.items] >= k)
        if not keep.any():
            raise DataError(
                f"{self.source or 'the data'}: no interaction is left after {k}-core filtering; "
                f"choose a smaller k than {k}."
            )

        kept_users, user_codes = np.unique(users[keep], return_inverse=True)
        kept_items, item_codes = np.unique(self.items[keep], return_inverse=True)
        return Interactions(
            items=(item_codes + 1).astype(np.int32),
            offsets=_offsets(user_codes, len(kept_users)),
            item_ids=self.item_ids[kept_items - 1],
            user_ids=self.user_ids[kept_users],
            timestamps=None if self.timestamps is None else self.timestamps[keep],
            n_duplicates=self.n_duplicates,
            source=self.source,
            time_unit=self.time_unit,
            read_as=self.read_as,
            ties=self.ties,
        )

    def reorder_ties(self, order: str, seed: int = 0) -> "Interactions":
        """Put what a user chose at one time into another order; nothing else changes.

        No clock knows that order, and it decides which item is a user's last, and so the target of
        leave-one-out. How much of a result hangs on it shows when it is drawn anew.

        Parameters
        ----------
        order : {"file", "id", "random"}
            "file" keeps it as it came; "id" sorts by the raw ids of the items; "random" draws one.
        seed : int
            Of "random": one seed gives one order, whatever the order before.

        Returns
        -------
        Interactions
            Its `ties` name the order, and its fingerprint is that of another log.

        Raises
        ------
        DataError
            For any order but "file" on a log without times, and for "file" after another order.
        ValueError
            For another order, and for a seed of a random one that is no integer from 0 up.
        """
        check_order(order, self.timestamps is not None, self.source)
        if order == "file":
            if self.ties != "file":
                raise DataError(
                    f"the order of the file is gone, ties are in the order '{self.ties}'; load the "
                    "data once more."
                )
            return self

        name = "id"
        if order == "random":
            seed = checked_seed(seed)
            name = f"random {seed}"
        places = reordered(self._runs, self.items, order, seed)
        # Within a run users and times are the same, so that only items change places.
        return dataclasses.replace(self, items=self.items[places], ties=name)

    @property
    def _runs(self) -> np.ndarray:
        """Which interactions are tied, int64[M]; see `minirec.data.ties`."""
        assert self.timestamps is not None
        users = np.repeat(np.arange(self.n_users), np.diff(self.offsets))
        return runs(users, self.timestamps)

    def split(self, kind: str = "leave-one-out", *, held_out: float = 0.1) -> "Split":
        """Hold out the ends of the sequences; see `minirec.data.splits.split_interactions`."""
        from minirec.data.splits import split_interactions  # which is made of Interactions

        return split_interactions(self, kind, held_out=held_out)

    def __repr__(self) -> str:
        counts = (
            f"{self.n_users:,} users, {self.n_items:,} items, {self.n_interactions:,} interactions"
        )
        if self.n_duplicates:
            counts += f", {self.n_duplicates:,} duplicates left out"
        return f"Interactions({counts})"


def _offsets(users: np.ndarray, n_users: int) -> np.ndarray:
    """Where each user's rows begin in sorted rows, and their number: int64[n_users + 1]."""
    return np.searchsorted(users, np.arange(n_users + 1, dtype=users.dtype)).astype(np.int64)


def _integer_times(timestamps: Any, source: str) -> tuple[np.ndarray, str]:
    """Return times as int64[M], and their unit in words, "" where integers were given."""
    if isinstance(timestamps, np.ndarray) and timestamps.dtype == np.int64:
        return timestamps, ""
    try:
        times, unit = ticks(moments_of_column(pd.Series(timestamps)))
    except NotATime as error:
        raise DataError(f"{source or 'the data'}, row {error.index:,}: {error.complaint}") from None
    return times, unit


def _order(users: np.ndarray, times: np.ndarray | None) -> np.ndarray | None:
    """Return the rows in the order of user, time and row: int64[M]; None if they are in it.

    The key and the number of its row share 64 bits, so that plain integers are sorted, which is
    several times faster than to sort row numbers by their keys::

        packed = key << n_row_bits | row          sorted: row = packed & (2^n_row_bits - 1)

    A key of more bits than are left is sorted digit by digit, the least significant first.
    """
    if _is_in_order(users, times):
        return None
    n_row_bits = (len(users) - 1).bit_length()
    n_key_bits = 64 - n_row_bits
    rows = np.arange(len(users), dtype=np.uint64)
    order = None
    for key, n_bits in _sort_keys(users, times, n_key_bits):
        for shift in range(0, n_bits, n_key_bits):
            packed = (key >> shift).astype(np.uint64, copy=False)
            if order is not None:
                packed = packed[order]
            packed <<= np.uint64(n_row_bits)  # which drops the bits beyond this digit
            packed |= rows
            packed.sort()
            packed &= np.uint64(2**n_row_bits - 1)
            order = packed if order is None else order[packed]
    return order


def _is_in_order(users: np.ndarray, times: np.ndarray | None) -> bool:
    """Whether no row comes after a row of a later user, or of the same one and a later time."""
    if times is None:
        return bool((users[1:] >= users[:-1]).all())
    later_user = users[1:] > users[:-1]
    same_user = users[1:] == users[:-1]
    return bool((later_user | (same_user & (times[1:] >= times[:-1]))).all())


def _sort_keys(
    users: np.ndarray, times: np.ndarray | None, n_bits_at_once: int
) -> list[tuple[np.ndarray, int]]:
    """Return what to sort by, the least significant first: int[M] >= 0, and how many bits it has.

    User and time are one key where that can be sorted at once.
    """
    n_user_bits = int(users.max()).bit_length()
    if times is None:
        return [(users, n_user_bits)]

    # Right even where the difference exceeds int64: both are modulo 2^64.
    by_time = (times - times.min()).view(np.uint64)
    n_time_bits = int(by_time.max()).bit_length()
    if n_user_bits + n_time_bits > n_bits_at_once:
        return [(by_time, n_time_bits), (users, n_user_bits)]
    by_user_and_time = users.astype(np.uint64)
    by_user_and_time <<= np.uint64(n_time_bits)
    by_user_and_time |= by_time
    return [(by_user_and_time, n_user_bits + n_time_bits)]


def _repeats(users: np.ndarray, timestamps: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Whether an earlier row is the same: bool[M], of rows in the order of (user, timestamp)."""
    same_user = users[1:] == users[:-1]
    same_time = timestamps[1:] == timestamps[:-1]
    tied_to_previous = np.append(False, same_user & same_time)
    tied_to_next = np.append(tied_to_previous[1:], False)
    tied = tied_to_previous | tied_to_next

    # Only rows that share user and time with another can repeat it: few are left to compare.
    moment = np.cumsum(~tied_to_previous[tied])
    candidates = pd.DataFrame({"moment": moment, "item": items[tied]})
    repeated = np.zeros(len(users), dtype=bool)
    repeated[tied] = candidates.duplicated()
    return repeated
