"""How interactions are split for training and judging.

M interactions, n_users users, n_items items, as in `minirec.data.interactions`; T targets.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from minirec.data.interactions import Interactions
from minirec.errors import DataError

SHORTEST_HISTORY = 3  # one item to train on, one for valid, one for test


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
    kind: str  # "leave-one-out" or "temporal"
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
        if self.kind == "leave-one-out":
            return "too short to be judged"
        return "not judged: nothing on both sides of the point in time"

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
    held_out : float
        The share of interactions in each phase of a temporal split.

    Returns
    -------
    Split
        Users too short to be judged stay in training and are counted in `too_short`.

    Raises
    ------
    DataError
        Where nobody can be judged, or a temporal split has no timestamps to go by.
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
    else:
        raise ValueError(f"kind must be 'leave-one-out' or 'temporal'; got {kind!r}.")

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
    return _first_from(interactions, valid_moment), _first_from(interactions, test_moment)


def _first_from(interactions: Interactions, moment: int) -> np.ndarray:
    """Return the position of each user's first interaction from a moment on, int64[n_users]."""
    assert interactions.timestamps is not None
    begins = interactions.offsets[:-1]
    is_before = (interactions.timestamps < moment).astype(np.int64)
    return begins + np.add.reduceat(is_before, begins)
