"""How interactions are split for training and judging.

M interactions, n_users users, n_items items, as in `minirec.data.interactions`; T targets.
"""

import dataclasses
import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from minirec.data.interactions import Interactions
from minirec.data.raw_ids import dense_ids
from minirec.errors import DataError, shown

SHORTEST_HISTORY = 3  # one item to train on, one for valid, one for test

# By the kind of split, in words.
WHY_NOT_JUDGED = {
    "leave-one-out": "too short to be judged",
    "temporal": "not judged: nothing on both sides of the point in time",
    "files": "not judged: no history, or nothing held out",
}


@dataclass(frozen=True, eq=False)
class Targets:
    """What one phase asks: the item that user users[j] chooses next, at positions[j].

    The history that a model may read is items[starts[j]:positions[j]]; the answer is
    items[positions[j]].
    """

    users: np.ndarray  # int64[T]
    starts: np.ndarray  # int64[T]
    positions: np.ndarray  # int64[T]

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True, eq=False)
class Split:
    """Training sequences and the two evaluated phases, as positions in `interactions.items`.

    Nothing is copied: user u trains on items[offsets[u]:train_ends[u]].
    """

    interactions: Interactions
    kind: str  # "leave-one-out", "temporal" or "files"
    train_ends: np.ndarray  # int64[n_users]
    valid: Targets
    test: Targets
    too_short: int  # users that are in training only, because nothing of theirs can be held out

    @cached_property
    def fingerprint(self) -> str:
        """The kind of split and 16 hexadecimal digits that change with the part it trains on."""
        return f"{self.kind} {hashlib.sha256(self.train_ends.tobytes()).hexdigest()[:16]}"

    def train_sequence(self, user: int) -> np.ndarray:
        """Return a user's training items, oldest first, int32[...]: a view."""
        return self.interactions.items[self.interactions.offsets[user] : self.train_ends[user]]

    def train_counts(self) -> np.ndarray:
        """Return how often each item occurs in training: int64[n_items + 1]."""
        interactions = self.interactions
        n = interactions.n_interactions
        # +1 where a user's training begins, -1 where it ends: a running sum of 1 is training.
        begins = np.bincount(interactions.offsets[:-1], minlength=n + 1)
        ends = np.bincount(self.train_ends, minlength=n + 1)
        is_training = np.cumsum(begins - ends)[:n] > 0
        return np.bincount(interactions.items[is_training], minlength=interactions.n_items + 1)

    def targets(self, phase: str) -> Targets:
        """Return the targets of the "valid" or the "test" phase."""
        if phase not in ("valid", "test"):
            raise ValueError(f"the phase must be 'valid' or 'test'; got {phase!r}.")
        return self.valid if phase == "valid" else self.test

    @property
    def why_not_judged(self) -> str:
        """Why too_short users are not judged, in words."""
        return WHY_NOT_JUDGED[self.kind]

    def __repr__(self) -> str:
        n_train = int((self.train_ends - self.interactions.offsets[:-1]).sum())
        return (
            f"Split({self.kind}: {n_train:,} training interactions, {len(self.valid):,} valid and "
            f"{len(self.test):,} test targets, {self.too_short:,} users {self.why_not_judged})"
        )


def split_interactions(
    interactions: Interactions, kind: str = "leave-one-out", *, held_out: float = 0.1
) -> Split:
    """Split a log into training, valid and test.

    Parameters
    ----------
    interactions : Interactions
        The log.
    kind : {"leave-one-out", "temporal"}
        "leave-one-out": each user's last item is the test target, the one before it the valid
        target, the rest trains. "temporal": of all interactions by time, the last `held_out` share
        is test, as much before it valid, the rest trains; each user's first item of a phase is its
        target. Leave-one-out lets a model see other users' future, a temporal split does not.
        What happened at one time is never divided. The valid cut is put at the time that the
        share says; if that is the first time of all, at the second, and if it is the last, at the
        last but one. The test cut is put at the time that the share says, but at the next time
        after the valid cut if it is not later than that.
    held_out : float
        The share of interactions in each phase of a temporal split.

    Returns
    -------
    Split
        Users too short to be judged stay in training and are counted in `too_short`.

    Raises
    ------
    DataError
        Where nobody can be judged, or a temporal split has no timestamps to go by or fewer than
        three distinct ones.
    ValueError
        For any other kind, or a share outside 0 to 0.5.
    """
    begins = interactions.offsets[:-1]
    ends = interactions.offsets[1:]
    if kind == "leave-one-out":
        valid_begins, test_begins = _leave_one_out_cuts(begins, ends)
        needed = f"the {SHORTEST_HISTORY} interactions that leave-one-out needs."
    elif kind == "temporal":
        valid_begins, test_begins = _temporal_cuts(interactions, held_out)
        needed = "items on both sides of the point in time; use another held_out or leave-one-out."
    elif kind == "files":
        raise ValueError("a split by files is made of the files, by split_files(train, test).")
    else:
        raise ValueError(f"kind must be 'leave-one-out' or 'temporal'; got {kind!r}.")
    return _split_at(interactions, kind, valid_begins, test_begins, needed)


def _split_at(
    interactions: Interactions,
    kind: str,
    valid_begins: np.ndarray,
    test_begins: np.ndarray,
    needed: str,
) -> Split:
    """Split where each user's phases begin, int64[n_users] each.

    needed: in words what nobody has, where nobody can be judged.
    """
    begins = interactions.offsets[:-1]
    ends = interactions.offsets[1:]
    valid = _first_of_each_phase(begins, valid_begins, test_begins)
    test = _first_of_each_phase(begins, test_begins, ends)
    if len(valid) == 0 or len(test) == 0:
        raise DataError(f"{interactions.source or 'the data'}: no user has {needed}")
    n_judged = len(np.union1d(valid.users, test.users))
    return Split(
        interactions=interactions,
        kind=kind,
        train_ends=valid_begins,
        valid=valid,
        test=test,
        too_short=interactions.n_users - n_judged,
    )


def _first_of_each_phase(
    histories_begin: np.ndarray, phase_begins: np.ndarray, phase_ends: np.ndarray
) -> Targets:
    """Each user's first item of a phase, if there is one and at least one item stands before it."""
    has_history = phase_begins > histories_begin
    has_target = phase_begins < phase_ends
    users = np.flatnonzero(has_history & has_target)
    return Targets(users, histories_begin[users], phase_begins[users])


def _leave_one_out_cuts(begins: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each user's valid and test phases begin, int64[n_users] each."""
    is_long_enough = ends - begins >= SHORTEST_HISTORY
    valid_begins = np.where(is_long_enough, ends - 2, ends)
    test_begins = np.where(is_long_enough, ends - 1, ends)
    return valid_begins, test_begins


def _temporal_cuts(interactions: Interactions, held_out: float) -> tuple[np.ndarray, np.ndarray]:
    """Where each user's valid and test phases begin, int64[n_users] each."""
    if interactions.timestamps is None:
        raise DataError(
            f"{interactions.source or 'the data'}: a temporal split needs timestamps; load them, "
            "or use leave-one-out."
        )
    if not 0 < held_out < 0.5:
        raise ValueError(
            "held_out is the share of interactions in each held-out phase, between 0 and 0.5; "
            f"got {held_out}."
        )
    shares = [1 - 2 * held_out, 1 - held_out]
    valid_moment, test_moment = np.quantile(interactions.timestamps, shares, method="higher")
    valid_moment, test_moment = _moved_apart(interactions, valid_moment, test_moment)
    return _first_from(interactions, valid_moment), _first_from(interactions, test_moment)


def _moved_apart(
    interactions: Interactions, valid_moment: int, test_moment: int
) -> tuple[int, int]:
    """Return the moments of the cuts, moved to other times only where a phase would be empty.

    Many interactions of one time can hold both cuts, or the first or the last of all.
    """
    times = interactions.timestamps
    assert times is not None
    between = times[(times > times.min()) & (times < times.max())]
    if len(between) == 0:
        raise DataError(
            f"{interactions.source or 'the data'}: a temporal split needs at least three distinct "
            "times, for training, valid and test; use leave-one-out."
        )
    # The valid cut must have something before it, and leave a later time to the test cut.
    valid_moment = np.clip(valid_moment, between.min(), between.max())
    if test_moment <= valid_moment:
        test_moment = times[times > valid_moment].min()
    return valid_moment, test_moment


def _first_from(interactions: Interactions, moment: int) -> np.ndarray:
    """Return the position of each user's first interaction from a moment on, int64[n_users]."""
    assert interactions.timestamps is not None
    begins = interactions.offsets[:-1]
    is_before = (interactions.timestamps < moment).astype(np.int64)
    return begins + np.add.reduceat(is_before, begins)


def split_files(
    train: Interactions, test: Interactions, valid: Interactions | None = None
) -> Split:
    """Split as separate files do: one holds the training interactions, another those of the test.

    A user's history is what the training file holds of them, then what the valid file holds. The
    user's first item in the test file is the test target, the first in the valid file the valid
    target.

    Parameters
    ----------
    train : Interactions
        The training file.
    test : Interactions
        The test file. Its items are in the catalogue, in training or not.
    valid : Interactions, optional
        The valid file. Without one, each user's last training item is the valid target, and not
        trained on, where the user has at least two.

    Returns
    -------
    Split
        Of one log that holds all files: each user's rows are those of training, of valid and of
        test, each in its own order. It has timestamps if all files have them, on one clock, and
        the files follow each other in time for every user. Users without a history, and those
        with nothing in the valid or the test file, are counted in `too_short`.

    Raises
    ------
    DataError
        Where nobody can be judged, where a row of one file (user, item and timestamp) stands in
        another, too, and where ids are decimal numbers in one file and something else in another.
    """
    files = [train, test] if valid is None else [train, valid, test]
    joined, n_rows = _joined(files)

    begins = joined.offsets[:-1]
    test_begins = joined.offsets[1:] - n_rows[-1]
    if valid is None:
        has_enough = n_rows[0] >= 2
        valid_begins = np.where(has_enough, test_begins - 1, test_begins)
        needed = "two items in the first file and one in the other; are the users named alike?"
    else:
        valid_begins = begins + n_rows[0]
        needed = "an item in the first file and one in the others; are the users named alike?"
    return _split_at(joined, "files", valid_begins, test_begins, needed)


def _joined(files: list[Interactions]) -> tuple[Interactions, np.ndarray]:
    """Make one log of several, and count each user's rows in each: int64[files, n_users].

    A user's rows are those of the first file, then those of the second, and so on.
    """
    source = " and ".join(file.source or "the data" for file in files)
    user_codes, user_ids = _joined_ids(source, "user", [file.user_ids for file in files])
    item_codes, item_ids = _joined_ids(source, "item", [file.item_ids for file in files])

    n_rows = np.zeros((len(files), len(user_ids)), dtype=np.int64)
    users_of_files = []
    items_of_files = []
    for number, file in enumerate(files):
        lengths = np.diff(file.offsets)
        n_rows[number, user_codes[number]] = lengths
        users_of_files.append(np.repeat(user_codes[number], lengths))
        items_of_files.append(item_codes[number][file.items - 1] + 1)

    order = np.argsort(np.concatenate(users_of_files), kind="stable")
    items = np.concatenate(items_of_files)[order]
    joined = Interactions(
        items=items.astype(np.int32),
        offsets=np.append(0, np.cumsum(n_rows.sum(axis=0))),
        item_ids=item_ids,
        user_ids=user_ids,
        timestamps=_joined_times(files, order),
        n_duplicates=sum(file.n_duplicates for file in files),
        source=source,
        time_unit=files[0].time_unit,
        read_as="; ".join(dict.fromkeys(file.read_as for file in files)),
        ties=" and ".join(dict.fromkeys(file.ties for file in files)),
    )
    _refuse_rows_in_two_files(joined)
    if _goes_back_in_time(joined):
        joined = dataclasses.replace(joined, timestamps=None)
    return joined, n_rows


def _joined_ids(
    source: str, whose: str, ids: list[np.ndarray]
) -> tuple[list[np.ndarray], np.ndarray]:
    """Give the distinct raw ids of several files one numbering.

    Where the ids of one file are integers and those of another are strings, as the readers give
    them for a file that holds 7 and one that holds 007, all are taken as strings.

    Returns
    -------
    codes : list of numpy.ndarray
        For each file the number of each of its ids, from 0.
    distinct : numpy.ndarray
        The raw ids, sorted.
    """
    kinds = {raw.dtype.kind for raw in ids}
    if "f" in kinds and len(kinds) > 1:
        raise DataError(
            f"{source}: the {whose} ids of one are decimal numbers, those of the other are not, so "
            "they cannot be compared; write them alike in all files."
        )
    if len(kinds) > 1:
        ids = [np.array([str(one) for one in raw.tolist()], dtype=object) for raw in ids]
    codes, distinct = dense_ids(np.concatenate(ids))
    ends = np.cumsum([len(raw) for raw in ids])
    return np.split(codes, ends[:-1]), distinct


def _joined_times(files: list[Interactions], order: np.ndarray) -> np.ndarray | None:
    """Return the times of all files' rows in that order, int64[M]; None if clocks differ.

    Clocks differ where a file has no times, or times in another unit.
    """
    times = [file.timestamps for file in files if file.timestamps is not None]
    units = {file.time_unit for file in files}
    if len(times) < len(files) or len(units) > 1:
        return None
    return np.concatenate(times)[order]


def _refuse_rows_in_two_files(joined: Interactions) -> None:
    """Raise where files have a row in common: a model would be asked for what it was trained on.

    Without timestamps nobody can tell such a row from an item that was chosen twice.
    """
    if joined.timestamps is None:
        return
    users = np.repeat(np.arange(joined.n_users), np.diff(joined.offsets))
    rows = pd.DataFrame({"user": users, "item": joined.items, "time": joined.timestamps})
    # No file holds a row twice, so what is there twice stands in two files.
    is_repeated = rows.duplicated().to_numpy()
    if is_repeated.any():
        first = int(np.argmax(is_repeated))
        raise DataError(
            f"{joined.source}: rows that stand in more than one of them: {is_repeated.sum():,}, "
            f"first user {shown(joined.user_ids[users[first]])}, item "
            f"{shown(joined.item_ids[joined.items[first] - 1])}, at the same time in both; take "
            "them out of one, for a model must not be asked for what it was trained on."
        )


def _goes_back_in_time(joined: Interactions) -> bool:
    """Whether some user's row is earlier than the row before it."""
    times = joined.timestamps
    if times is None:
        return False
    is_earlier = times[1:] < times[:-1]
    is_earlier[joined.offsets[1:-1] - 1] = False  # another user begins there
    return bool(is_earlier.any())
