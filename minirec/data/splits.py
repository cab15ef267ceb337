"""How interactions are split for training and judging.

M interactions, n_users users, n_items items, as in `minirec.data.interactions`.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from minirec.data.interactions import Interactions
from minirec.errors import DataError


@dataclass(frozen=True, eq=False)
class Targets:
    """What one phase asks: target j is items[positions[j]], asked of user users[j] after the history items[starts[j]:positions[j]]."""

    users: np.ndarray
    starts: np.ndarray
    positions: np.ndarray

    def __len__(self):
        return len(self.users)


@dataclass(frozen=True, eq=False)
class Split:
    """Training sequences and the two evaluated phases, all as positions in `interactions.items`: nothing is copied.

    User u trains on items[offsets[u]:train_ends[u]]. too_short users are in training only, because nothing of theirs can be held out.
    """

    interactions: Interactions
    kind: str
    train_ends: np.ndarray
    valid: Targets
    test: Targets
    too_short: int

    @cached_property
    def fingerprint(self) -> str:
        """The kind of split and 16 hexadecimal digits that change with the part it trains on."""
        return f"{self.kind} {hashlib.sha256(self.train_ends.tobytes()).hexdigest()[:16]}"

    def train_sequence(self, user: int) -> np.ndarray:
        """User's training items, oldest first: a view."""
        return self.interactions.items[self.interactions.offsets[user] : self.train_ends[user]]

    def train_counts(self) -> np.ndarray:
        """How often each item occurs in training: int64[n_items + 1]."""
        offsets, n = self.interactions.offsets, self.interactions.n_interactions
        change = np.bincount(offsets[:-1], minlength=n + 1) - np.bincount(
            self.train_ends, minlength=n + 1
        )
        return np.bincount(
            self.interactions.items[np.cumsum(change[:n]) > 0],
            minlength=self.interactions.n_items + 1,
        )

    def targets(self, phase: str) -> Targets:
        """The "valid" or the "test" phase."""
        if phase not in ("valid", "test"):
            raise ValueError(f"the phase must be 'valid' or 'test'; got {phase!r}.")
        return self.valid if phase == "valid" else self.test

    @property
    def why_not_judged(self) -> str:
        """Why too_short users are not judged, in words."""
        return (
            "too short to be judged"
            if self.kind == "leave-one-out"
            else "not judged: nothing on both sides of the point in time"
        )

    def __repr__(self):
        n_train = int((self.train_ends - self.interactions.offsets[:-1]).sum())
        return (
            f"Split({self.kind}: {n_train:,} training interactions, {len(self.valid):,} valid and {len(self.test):,} test targets, "
            f"{self.too_short:,} users {self.why_not_judged})"
        )


def _temporal_cuts(data: Interactions, held_out: float) -> list[np.ndarray]:
    """Where each user's valid phase begins, and where the test phase does: int64[n_users] each."""
    if data.timestamps is None:
        raise DataError(
            f"{data.source or 'the data'}: a temporal split needs timestamps; load them, or use leave-one-out."
        )
    if not 0 < held_out < 0.5:
        raise ValueError(
            f"held_out is the share of interactions in each held-out phase, between 0 and 0.5; got {held_out}."
        )
    starts, moments = (
        data.offsets[:-1],
        np.quantile(data.timestamps, [1 - 2 * held_out, 1 - held_out], method="higher"),
    )
    return [
        starts + np.add.reduceat((data.timestamps < moment).astype(np.int64), starts)
        for moment in moments
    ]


def split_interactions(
    interactions: Interactions, kind: str = "leave-one-out", *, held_out: float = 0.1
) -> Split:
    """ "leave-one-out": each user's last item is the test target, the one before it the valid target, the rest trains.

    "temporal": of all interactions by time, the last `held_out` share is test, as much before it valid, the rest trains; each user's first
    item of a phase is its target; leave-one-out lets a model see other users' future, this does not.
    Users too short to be judged stay in training and are counted in `too_short`.
    """
    starts, ends = interactions.offsets[:-1], interactions.offsets[1:]
    if kind == "leave-one-out":
        n_held_out, needed = (
            np.where(ends - starts >= 3, 2, 0),
            "the 3 interactions that leave-one-out needs.",
        )
        train_ends, test_starts = ends - n_held_out, ends - n_held_out // 2
    elif kind == "temporal":
        train_ends, test_starts = _temporal_cuts(interactions, held_out)
        needed = "items on both sides of the point in time; use another held_out or leave-one-out."
    else:
        raise ValueError(f"kind must be 'leave-one-out' or 'temporal'; got {kind!r}.")
    phases = []
    for positions, phase_ends in ((train_ends, test_starts), (test_starts, ends)):
        users = np.flatnonzero((positions > starts) & (positions < phase_ends))
        phases.append(Targets(users, starts[users], positions[users]))
    if min(map(len, phases)) == 0:
        raise DataError(f"{interactions.source or 'the data'}: no user has {needed}")
    return Split(
        interactions,
        kind,
        train_ends,
        *phases,
        interactions.n_users - len(np.union1d(phases[0].users, phases[1].users)),
    )
