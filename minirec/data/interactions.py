"""Interactions: who chose what, in order, as two flat arrays.

M interactions, n_users users, n_items items. Item ids are dense, 1..n_items (0 is padding); user ids are dense, 0..n_users - 1.
User u's sequence, oldest first, is items[offsets[u]:offsets[u + 1]].
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from minirec.errors import DataError

if TYPE_CHECKING:
    from minirec.data.splits import Split


@dataclass(frozen=True, eq=False)
class Interactions:
    """An interaction log in 12 bytes an interaction (items int32, timestamps int64 or None) and 8 a user (offsets int64).

    item_ids[i - 1] is the raw id of item i, user_ids[u] that of user u; `encode_items` goes the other way.
    n_duplicates counts exact repeats (same user, item and timestamp) that were left out.
    """

    items: np.ndarray
    offsets: np.ndarray
    item_ids: np.ndarray
    user_ids: np.ndarray
    timestamps: np.ndarray | None = None
    n_duplicates: int = 0
    source: str = ""

    def __post_init__(self):
        if len(self.items) == 0 or np.any(np.diff(self.offsets) < 1):
            raise DataError(
                f"{self.source or 'the data'}: every user needs at least one interaction; found an empty row or no rows at all."
            )
        if self.items.min() < 1 or self.items.max() > len(self.item_ids):
            raise DataError(
                f"{self.source or 'the data'}: item ids must lie in 1..{len(self.item_ids)} (0 is padding); "
                f"found {self.items.min()}..{self.items.max()}."
            )

    n_users = property(lambda self: len(self.offsets) - 1)
    n_items = property(lambda self: len(self.item_ids))
    n_interactions = property(lambda self: len(self.items))

    @classmethod
    def from_columns(cls, users, items, timestamps=None, *, source: str = "") -> "Interactions":
        """Raw ids in file order, a row an interaction. Each user's rows are put in the order of (integer timestamp, file order).

        Rows that repeat user, item and timestamp are kept once; without timestamps all are, as choosing twice then looks like a repeated line.
        """
        if len({len(column) for column in (users, items, timestamps) if column is not None}) != 1:
            raise DataError(
                f"{source or 'the data'}: users, items and timestamps must be equally many."
            )
        users, user_ids = _dense(users)
        items, item_ids = _dense(items)
        n_rows = len(users)
        if timestamps is not None and n_rows:
            timestamps = np.asarray(timestamps, dtype=np.int64)
            order = np.lexsort(_digits(timestamps) + _digits(users))
            users, items, timestamps = users[order], items[order], timestamps[order]
            if (repeated := _repeats(users, timestamps, items)).any():
                users, items, timestamps = (
                    column[~repeated] for column in (users, items, timestamps)
                )
        elif (users[1:] < users[:-1]).any():
            order = np.lexsort(_digits(users))
            users, items = users[order], items[order]
        return cls(
            (items + 1).astype(np.int32),
            _offsets(users, len(user_ids)),
            item_ids,
            user_ids,
            timestamps,
            n_rows - len(users),
            source,
        )

    @classmethod
    def from_frame(
        cls, frame: pd.DataFrame, *, user="user", item="item", timestamp="timestamp"
    ) -> "Interactions":
        """A frame with a user and an item column and, if it has one, a timestamp column (seconds, or any integer clock; or datetimes)."""
        for role, name, otherwise in (
            ("user", user, ""),
            ("item", item, ""),
            ("timestamp", timestamp, ", or give None"),
        ):
            if name not in frame and (role != "timestamp" or name not in ("timestamp", None)):
                raise DataError(
                    f"the frame has no column {name!r}; it has {', '.join(map(repr, frame.columns))}. Name it with {role}={otherwise}."
                )
            if name in frame and frame[name].isna().any():
                raise DataError(
                    f"column {name!r} has a missing value at row {int(np.argmax(frame[name].isna().to_numpy())):,}; "
                    f"drop the row{' or the column' if role == 'timestamp' else ''}."
                )
        times = _integer_seconds(frame[timestamp]) if timestamp in frame else None
        return cls.from_columns(
            frame[user].to_numpy(), frame[item].to_numpy(), times, source="frame"
        )

    def to_frame(self) -> pd.DataFrame:
        """Columns user, item (raw ids) and, if known, timestamp; a row an interaction, ordered by user, then time."""
        users = np.repeat(self.user_ids, np.diff(self.offsets))
        frame = pd.DataFrame({"user": users, "item": self.item_ids[self.items - 1]})
        return frame if self.timestamps is None else frame.assign(timestamp=self.timestamps)

    def encode_items(self, raw) -> np.ndarray:
        """Raw item ids -> dense ids (int64), 0 where the id is unknown."""
        return encode_items(raw, pd.Index(self.item_ids))

    def sequence(self, user: int) -> np.ndarray:
        """User's items, oldest first: a view, nothing is copied."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def item_counts(self) -> np.ndarray:
        """How often each item occurs: int64[n_items + 1], entry 0 is 0."""
        return np.bincount(self.items, minlength=self.n_items + 1)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when any id, order or raw item id does."""
        raw = "\n".join(map(str, self.item_ids.tolist())).encode()
        return hashlib.sha256(self.items.tobytes() + self.offsets.tobytes() + raw).hexdigest()[:16]

    def statistics(self) -> pd.Series:
        """Users, items, interactions, mean history, sparsity (%): a row of GLINT-RU's Table 1, without counting the padding id."""
        n_users, n_items, n = self.n_users, self.n_items, self.n_interactions
        return pd.Series(
            {
                "users": n_users,
                "items": n_items,
                "interactions": n,
                "mean history": n / n_users,
                "sparsity (%)": 100 * (1 - n / (n_users * n_items)),
            },
            dtype=object,
        )

    def k_core(self, k: int) -> "Interactions":
        """Drops users and items with fewer than k interactions until none is left to drop."""
        if np.diff(self.offsets).min() >= k and self.item_counts()[1:].min() >= k:
            return self
        users = np.repeat(np.arange(self.n_users), np.diff(self.offsets))
        keep, n_kept = np.ones(self.n_interactions, dtype=bool), None
        while keep.sum() != n_kept:
            n_kept = keep.sum()
            by_user, by_item = (
                np.bincount(users[keep], minlength=self.n_users),
                np.bincount(self.items[keep], minlength=self.n_items + 1),
            )
            keep &= (by_user[users] >= k) & (by_item[self.items] >= k)
        if not keep.any():
            raise DataError(
                f"{self.source or 'the data'}: no interaction is left after {k}-core filtering; choose a smaller k than {k}."
            )
        kept_users, users = np.unique(users[keep], return_inverse=True)
        kept_items, items = np.unique(self.items[keep], return_inverse=True)
        return Interactions(
            (items + 1).astype(np.int32),
            _offsets(users, len(kept_users)),
            self.item_ids[kept_items - 1],
            self.user_ids[kept_users],
            None if self.timestamps is None else self.timestamps[keep],
            self.n_duplicates,
            self.source,
        )

    def split(self, kind: str = "leave-one-out", *, held_out: float = 0.1) -> "Split":
        """Training, valid and test: see `minirec.data.splits.split_interactions`."""
        from minirec.data.splits import split_interactions  # splits are made of interactions

        return split_interactions(self, kind, held_out=held_out)

    def __repr__(self):
        return (
            f"Interactions({self.n_users:,} users, {self.n_items:,} items, {self.n_interactions:,} interactions"
            f"{f', {self.n_duplicates:,} duplicates left out' if self.n_duplicates else ''})"
        )


def encode_items(raw, index: pd.Index) -> np.ndarray:
    """Raw item ids -> positions in `index` plus one (int64), 0 where the id is unknown; '12' finds 12 where ids are integers."""
    raw = pd.Index(raw)
    if index.inferred_type == "string":
        return index.get_indexer(raw.map(str)).astype(np.int64) + 1
    if index.dtype.kind not in "iuf" or raw.dtype.kind in "iuf":
        return index.get_indexer(raw).astype(np.int64) + 1
    codes, numbers = np.zeros(len(raw), dtype=np.int64), pd.to_numeric(raw, errors="coerce").notna()
    codes[numbers] = (
        index.get_indexer(pd.to_numeric(raw[numbers])) + 1
    )  # again, because one that is no number makes all of them float
    return codes


def _dense(raw) -> tuple[np.ndarray, np.ndarray]:
    """Raw ids -> (codes 0..n-1, the n distinct raw ids in sorted order). Small-range integers need no hash table."""
    if isinstance(raw, pd.Categorical):  # strings as the readers deliver them
        codes, used = _dense(raw.codes)
        names = np.asarray(raw.categories, dtype=object)[used]
        order = np.argsort(names)
        return np.argsort(order).astype(np.int32)[codes], names[order]
    raw = np.asarray(raw)
    if len(raw) and raw.dtype.kind in "iu" and raw.min() >= 0 and raw.max() < 4 * len(raw) + 1024:
        present = np.zeros(int(raw.max()) + 1, dtype=bool)
        present[raw] = True
        return (np.cumsum(present, dtype=np.int32) - np.int32(1))[raw], np.flatnonzero(present)
    codes, distinct = pd.factorize(raw, sort=True)
    if len(codes) and codes.min() < 0:
        raise DataError(
            f"a user or item id is missing (None or NaN) at row {int(np.argmax(codes < 0)):,}; drop the row."
        )
    distinct = np.asarray(distinct)
    numbers_or_strings = ("string", "integer", "floating", "mixed-integer-float", "empty")
    if (
        distinct.dtype.kind not in "iufUT"
        and pd.api.types.infer_dtype(distinct, skipna=False) not in numbers_or_strings
    ):
        raise DataError(
            "user ids, and item ids, must be all numbers or all strings; turn dates, pairs or a mixture into strings first, as in "
            "frame['item'].astype(str)."
        )
    return codes, distinct


def _offsets(users: np.ndarray, n_users: int) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.bincount(users, minlength=n_users))]).astype(np.int64)


def _digits(keys: np.ndarray) -> list[np.ndarray]:
    """The keys' digits to base 2^16 as np.lexsort takes them, the most significant last: it sorts uint16 by radix, far faster than int64."""
    above = (keys.astype(np.int64) - keys.min(initial=0)).view(
        np.uint64
    )  # right even where the difference exceeds int64: both are modulo 2^64
    return [
        (above >> np.uint64(shift)).astype(np.uint16)
        for shift in range(0, max(1, int(above.max(initial=0)).bit_length()), 16)
    ]


def _repeats(users: np.ndarray, timestamps: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Of rows in the order of (user, timestamp): bool[M], whether an earlier row is the same."""
    as_before = np.append(False, (users[1:] == users[:-1]) & (timestamps[1:] == timestamps[:-1]))
    tied, repeated = as_before | np.append(as_before[1:], False), np.zeros(len(users), dtype=bool)
    repeated[tied] = pd.DataFrame(
        {"moment": np.cumsum(~as_before)[tied], "item": items[tied]}
    ).duplicated()
    return repeated


def _integer_seconds(times: pd.Series) -> np.ndarray:
    """A timestamp column as int64: datetimes to seconds since 1970, decimals cut to whole seconds."""
    if pd.api.types.is_datetime64_any_dtype(times):
        times = times if times.dt.tz is None else times.dt.tz_convert(None)
        return times.to_numpy().astype("datetime64[s]").astype(np.int64)
    times = times.to_numpy()
    if times.dtype.kind not in "iuf":
        raise DataError(
            "the timestamp column is not numeric; convert it with pandas.to_datetime or to whole seconds first."
        )
    if (too_large := np.abs(times) >= 2.0**63).any():
        raise DataError(
            f"the timestamp {times[too_large][0]:g} at row {int(np.argmax(too_large)):,} is no point in time; mend or drop the row."
        )
    return (np.floor(times) if times.dtype.kind == "f" else times).astype(np.int64)
