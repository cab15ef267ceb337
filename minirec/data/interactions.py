"""Interactions: who chose what, in order, as two flat arrays.

M interactions, n_users users, n_items items. Item ids are dense, 1..n_items (0 is padding); user
ids are dense, 0..n_users - 1. User u's sequence, oldest first, is
items[offsets[u]:offsets[u + 1]].
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from minirec.data.raw_ids import dense_ids, encode_items
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
        int64[M], in seconds or whatever clock the log has.
    n_duplicates : int
        How many exact repeats (same user, item and timestamp) were left out.
    source : str
        What messages call the data.

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
        timestamps: Sequence[int] | np.ndarray | None = None,
        *,
        source: str = "",
    ) -> "Interactions":
        """Make a log of raw ids in file order, one row per interaction.

        Each user's rows are put in the order of (integer timestamp, file order). Rows that repeat
        user, item and timestamp are kept once; without timestamps all are, as choosing twice then
        looks like a repeated line. Raises DataError for columns of unequal length.
        """
        columns = [column for column in (users, items, timestamps) if column is not None]
        if len({len(column) for column in columns}) != 1:
            raise DataError(
                f"{source or 'the data'}: users, items and timestamps must be equally many."
            )
        user_codes, user_ids = dense_ids(users)
        item_codes, item_ids = dense_ids(items)
        n_rows = len(user_codes)

        times = None if timestamps is None else np.asarray(timestamps, dtype=np.int64)
        if times is not None and n_rows:
            order = np.lexsort(_digits(times) + _digits(user_codes))
            user_codes = user_codes[order]
            item_codes = item_codes[order]
            times = times[order]
            repeated = _repeats(user_codes, times, item_codes)
            if repeated.any():
                user_codes = user_codes[~repeated]
                item_codes = item_codes[~repeated]
                times = times[~repeated]
        elif (user_codes[1:] < user_codes[:-1]).any():
            order = np.lexsort(_digits(user_codes))
            user_codes = user_codes[order]
            item_codes = item_codes[order]

        return cls(
            items=(item_codes + 1).astype(np.int32),
            offsets=_offsets(user_codes, len(user_ids)),
            item_ids=item_ids,
            user_ids=user_ids,
            timestamps=times,
            n_duplicates=n_rows - len(user_codes),
            source=source,
        )

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        user: str = "user",
        item: str = "item",
        timestamp: str | None = "timestamp",
    ) -> "Interactions":
        """Make a log of a frame with a user column, an item column and perhaps timestamps.

        Timestamps are seconds, any other integer clock, or datetimes; a frame without the column
        "timestamp" has none. Raises DataError for a missing column or value.
        """
        _require_column(frame, user, "user")
        _require_column(frame, item, "item")
        if timestamp not in ("timestamp", None) or timestamp in frame:
            _require_column(frame, timestamp, "timestamp")
        times = None
        if timestamp is not None and timestamp in frame:
            times = _integer_seconds(frame[timestamp])
        return cls.from_columns(
            frame[user].to_numpy(), frame[item].to_numpy(), times, source="frame"
        )

    def to_frame(self) -> pd.DataFrame:
        """Return columns user, item (raw ids) and, if known, timestamp: one row per interaction.

        Rows are in the order of the user, then of time.
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
        raw_ids = "\n".join(map(str, self.item_ids.tolist())).encode()
        content = self.items.tobytes() + self.offsets.tobytes() + raw_ids
        return hashlib.sha256(content).hexdigest()[:16]

    def statistics(self) -> pd.Series:
        """Return users, items, interactions, mean history and sparsity in percent.

        This is a row of GLINT-RU's Table 1, without counting the padding id.
        """
        n_pairs = self.n_users * self.n_items
        figures = {
            "users": self.n_users,
            "items": self.n_items,
            "interactions": self.n_interactions,
            "mean history": self.n_interactions / self.n_users,
            "sparsity (%)": 100 * (1 - self.n_interactions / n_pairs),
        }
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
        )

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
    lengths = np.bincount(users, minlength=n_users)
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _digits(keys: np.ndarray) -> list[np.ndarray]:
    """Return the keys' digits to base 2^16, the most significant last, as np.lexsort takes them.

    np.lexsort sorts uint16 by radix, which is far faster than comparing int64.
    """
    # Right even where the difference exceeds int64: both are modulo 2^64.
    above_least = (keys.astype(np.int64) - keys.min(initial=0)).view(np.uint64)
    n_bits = max(1, int(above_least.max(initial=0)).bit_length())
    return [(above_least >> np.uint64(shift)).astype(np.uint16) for shift in range(0, n_bits, 16)]


def _repeats(users: np.ndarray, timestamps: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Whether an earlier row is the same: bool[M], of rows in the order of (user, timestamp)."""
    same_user = users[1:] == users[:-1]
    same_time = timestamps[1:] == timestamps[:-1]
    tied_to_previous = np.append(False, same_user & same_time)
    tied_to_next = np.append(tied_to_previous[1:], False)
    tied = tied_to_previous | tied_to_next

    # Only rows that share user and time with another can repeat it: few are left to compare.
    moment = np.cumsum(~tied_to_previous)
    candidates = pd.DataFrame({"moment": moment[tied], "item": items[tied]})
    repeated = np.zeros(len(users), dtype=bool)
    repeated[tied] = candidates.duplicated()
    return repeated


def _require_column(frame: pd.DataFrame, name: str | None, role: str) -> None:
    """Raise DataError where the frame lacks the column, or the column a value."""
    may_be_left_out = role == "timestamp"
    if name not in frame:
        columns = ", ".join(map(repr, frame.columns))
        way_out = f"Name it with {role}=" + (", or give None." if may_be_left_out else ".")
        raise DataError(f"the frame has no column {name!r}; it has {columns}. {way_out}")
    missing = frame[name].isna().to_numpy()
    if missing.any():
        row = int(np.argmax(missing))
        what_to_drop = "the row or the column" if may_be_left_out else "the row"
        raise DataError(f"column {name!r} has a missing value at row {row:,}; drop {what_to_drop}.")


def _integer_seconds(times: pd.Series) -> np.ndarray:
    """Return a timestamp column as int64[M].

    Datetimes become seconds since 1970, decimals are cut to whole seconds.
    """
    if pd.api.types.is_datetime64_any_dtype(times):
        if times.dt.tz is not None:
            times = times.dt.tz_convert(None)
        return times.to_numpy().astype("datetime64[s]").astype(np.int64)

    numbers = times.to_numpy()
    if numbers.dtype.kind not in "iuf":
        raise DataError(
            "the timestamp column is not numeric; convert it with pandas.to_datetime or to whole "
            "seconds first."
        )
    too_large = np.abs(numbers) >= 2.0**63
    if too_large.any():
        row = int(np.argmax(too_large))
        raise DataError(
            f"the timestamp {numbers[row]:g} at row {row:,} is no point in time; "
            "mend or drop the row."
        )
    if numbers.dtype.kind == "f":
        numbers = np.floor(numbers)
    return numbers.astype(np.int64)
