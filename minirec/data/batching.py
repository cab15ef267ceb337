"""From flat sequences to padded batches: histories to judge, and windows or prefixes to train on.

B rows, N the width of a batch, T targets, M interactions, W windows. Items are Long[B, N], padded
with 0 on the right; a target of 0 is no target. A row is given by where it starts in the flat items
and by its length.

Training batches come in a few fixed shapes, so that a GPU can record the work of a step once and
repeat it: the log, the plan of an epoch and the masks lie on the device, and `gather` makes a batch
of them there. On a CPU, where a shape costs nothing, a batch is cut down to what is real in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from minirec.data.splits import Split
from minirec.data.widths import best_widths

# Floats in one batch of scores: 16 MiB on a CPU, 256 MiB on a GPU, which wants more at once.
SCORES_PER_BATCH = {"cpu": 2**22, "cuda": 2**26}
WIDTH_OF_STATES = 64  # hidden states of a batch of histories are bounded as if they were this wide
MOST_WIDTHS = 11  # more widths mean less padding, fewer mean a freer shuffle
BATCHES_PER_WIDTH = 2  # there are only so many widths that each has about this many batches
PREFIXES_PER_USER = 8  # per epoch, drawn anew each time
MASK_SHARE = 0.2  # the share of the items that a "cloze" model has hidden

# A "cloze" batch has room for as many hidden items as are expected, and so many standard deviations
# more: one epoch in a million million has a batch with more, and is drawn again.
DEVIATIONS_OF_ROOM = 8

OBJECTIVES = ("next-item", "prefix", "cloze")


@dataclass(frozen=True)
class Shape:
    """The sizes of a training batch."""

    n_rows: int  # B
    width: int  # N
    n_targets: int  # T


@dataclass(frozen=True, eq=False)
class Batch:
    """What one training step reads."""

    inputs: Tensor  # Long[B, N]
    targets: Tensor  # Long[B, N], 0 where there is none; Long[B] for "prefix"
    # Long[T]: where the targets stand in the flattened `targets`, in order, and B N for each that
    # there are fewer than T; None for "prefix".
    positions: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Tables:
    """The log and the rows of an epoch, on the device; R rows."""

    items: Tensor  # Int[M + 1]: the log, and a 0 behind it
    starts: Tensor  # Long[R]: where a row begins in the log
    lengths: Tensor  # Long[R]: how many items it has
    counted: Tensor  # Long[R]: how many of them, at its end, may have targets
    hidden: Tensor | None  # for "cloze", Bool[sum of the lengths]: which items are hidden
    hidden_starts: Tensor | None  # for "cloze", Long[R]: where a row begins in `hidden`

    def clone(self) -> "Tables":
        """Return copies of all tensors."""
        return Tables(
            items=self.items.clone(),
            starts=self.starts.clone(),
            lengths=self.lengths.clone(),
            counted=self.counted.clone(),
            hidden=None if self.hidden is None else self.hidden.clone(),
            hidden_starts=None if self.hidden_starts is None else self.hidden_starts.clone(),
        )

    def copy_(self, other: "Tables") -> None:
        """Write another epoch's rows over these, which stay where they are."""
        for own, new in zip(self._tensors(), other._tensors(), strict=True):
            if own is not None and new is not None:
                own.copy_(new)

    def _tensors(self) -> list[Tensor | None]:
        return [getattr(self, field.name) for field in fields(self)]


@dataclass(frozen=True, eq=False)
class Rows:
    """What an epoch is made of, before it is cut into batches; R rows, on the CPU."""

    starts: np.ndarray  # int64[R]
    lengths: np.ndarray  # int64[R]
    counted: np.ndarray  # int64[R]
    n_targets: np.ndarray  # int64[R]
    hidden: np.ndarray | None = None  # for "cloze", bool[sum of the lengths]


@dataclass(frozen=True, eq=False)
class Epoch:
    """The batches of one epoch, each made when it is asked for.

    Batch i has the shape shapes[shape_numbers[i]]; its rows are
    places[shape_numbers[i]][numbers[i]], and -1 where a row is empty.
    """

    objective: str
    mask_token: int
    shapes: list[Shape]
    shape_numbers: np.ndarray  # int64[batches]
    numbers: np.ndarray  # int64[batches]
    real: list[Shape]  # for each batch: its rows, their longest and their targets, without padding
    places: list[Tensor]  # for each shape, on the device: Long[its batches, B]
    tables: Tables

    def __len__(self) -> int:
        return len(self.real)

    def __getitem__(self, i: int) -> Batch:
        """Return batch i: in its fixed shape on a GPU, cut down to what is real on a CPU."""
        if not 0 <= i < len(self):
            raise IndexError(f"the epoch has {len(self)} batches; there is no batch {i}.")
        on_cpu = self.tables.items.device.type == "cpu"
        return self.batch(i, self.real[i] if on_cpu else self.fixed_shape(i))

    def fixed_shape(self, i: int) -> Shape:
        """Return the shape that batch i shares with others."""
        return self.shapes[self.shape_numbers[i]]

    def batch(self, i: int, shape: Shape) -> Batch:
        """Return batch i in a shape: its fixed one, its real one, or one in between."""
        rows = self.places[self.shape_numbers[i]][self.numbers[i]]
        return gather(self.tables, rows[: shape.n_rows], shape, self.objective, self.mask_token)

    def padding(self) -> tuple[float, float]:
        """Return what share of the positions is padding in real rows, and what share empty rows."""
        fixed = [self.fixed_shape(i) for i in range(len(self))]
        positions = sum(shape.n_rows * shape.width for shape in fixed)
        in_real_rows = sum(
            real.n_rows * shape.width for real, shape in zip(self.real, fixed, strict=True)
        )
        lengths = self.tables.lengths.cpu().numpy()
        n_items = 0
        for rows in self.places:
            numbers = rows.cpu().numpy()
            n_items += lengths[numbers[numbers >= 0]].sum()
        return 1 - n_items / in_real_rows, 1 - in_real_rows / positions


class TrainingBatches:
    """One epoch after another of batches of about batch_size targets, in a few fixed shapes.

    A row goes into the smallest width that holds it, and each width has a number of rows of its
    own. Who meets whom within a width, and the order of all batches, change every epoch. Everything
    about epoch e follows from (seed, e), so that a position in training is just two numbers: epoch
    and batch.

    Parameters
    ----------
    split : Split
        Its training part is used.
    objective : {"next-item", "prefix", "cloze"}
        What a model is trained to do, see `minirec.models.base`.
    max_len : int
        Items per row at most; longer histories are cut into windows.
    batch_size : int
        Targets per batch, roughly.
    seed : int
        Of the order of the rows, and of what is drawn.
    prefixes_per_user : int
        For "prefix": how many prefixes of each user an epoch has.
    device : torch.device or str
        Where the batches are made.

    Attributes
    ----------
    shapes : list of Shape
        The shapes that the batches of all epochs have.
    steps_per_epoch : int
        The number of batches of epoch 0; epochs of sampled prefixes may differ by a few.

    Raises
    ------
    ValueError
        For an unknown objective, numbers below 1, or where there is nothing to learn from.

    References
    ----------
    Notebook 08.
    """

    def __init__(
        self,
        split: Split,
        objective: str,
        max_len: int,
        batch_size: int,
        seed: int,
        prefixes_per_user: int = PREFIXES_PER_USER,
        device: torch.device | str = "cpu",
    ):
        if objective not in OBJECTIVES:
            raise ValueError(
                f"objective must be 'next-item', 'prefix' or 'cloze'; got {objective!r}."
            )
        if batch_size < 1 or prefixes_per_user < 1:
            raise ValueError(
                "batch_size, in targets, and prefixes_per_user must be at least 1; "
                f"got {batch_size} and {prefixes_per_user}."
            )
        self.objective = objective
        self.max_len = max_len
        self.batch_size = batch_size
        self.seed = seed
        self.prefixes_per_user = prefixes_per_user
        self.device = torch.device(device)

        self.mask_token = split.interactions.n_items + 1
        self.starts = split.interactions.offsets[:-1]
        # A user's first item has no predecessor, so it is no target.
        self.n_targets = np.maximum(split.train_ends - self.starts - 1, 0)
        if not self.n_targets.any():
            raise ValueError(
                "no user has two training interactions, so there is nothing to learn from."
            )

        lengths = self.n_targets
        if objective == "cloze":  # a hidden item needs no predecessor: the first may be hidden too
            lengths = lengths + (self.n_targets > 0)
        self.windows = windows(self.starts, lengths, max_len)

        log = np.append(split.interactions.items, 0).astype(np.int32)
        self.items = torch.from_numpy(log).to(self.device)
        self._choose_shapes()

    def _choose_shapes(self) -> None:
        """Choose the widths, and for each how many rows and targets its batches have.

        The rows of a width are those whose every position counts. Windows that begin in the middle
        of a history, where some positions count in the window before, have a last shape of their
        own: they are all max_len long and have half as many targets.
        """
        rows = self._rows(np.random.default_rng([self.seed, 0]))
        n_batches = rows.n_targets.sum() / self.batch_size
        n_widths = int(np.clip(n_batches / BATCHES_PER_WIDTH, 1, MOST_WIDTHS))

        is_whole = rows.counted == rows.lengths
        longest = min(self.max_len, int(rows.lengths.max()))
        if self.objective == "prefix":  # another epoch may draw longer ones
            longest = min(self.max_len, int(self.n_targets.max()))
        self.widths = best_widths(np.append(rows.lengths[is_whole], longest), n_widths)

        numbers = self._shape_numbers(rows)
        self.shapes = []
        for number, width in enumerate(self.widths.tolist()):
            n_rows = self._rows_per_batch(rows.n_targets[numbers == number])
            self.shapes.append(Shape(n_rows, width, self._room_for_targets(n_rows, width)))
        if not is_whole.all():
            n_rows = self._rows_per_batch(rows.n_targets[~is_whole])
            most_counted = int(rows.counted[~is_whole].max())
            room = self._room_for_targets(n_rows, most_counted)
            self.shapes.append(Shape(n_rows, self.max_len, room))

        rows_of_shapes = np.bincount(numbers, minlength=len(self.shapes)).tolist()
        self.steps_per_epoch = 0
        for shape, n_rows_here in zip(self.shapes, rows_of_shapes, strict=True):
            self.steps_per_epoch += -(-n_rows_here // shape.n_rows)  # rounded up

    def _shape_numbers(self, rows: Rows) -> np.ndarray:
        """Return which shape each row belongs to, int64[R]."""
        smallest_width = np.searchsorted(self.widths, rows.lengths)
        return np.where(rows.counted == rows.lengths, smallest_width, len(self.widths))

    def _rows_per_batch(self, n_targets: np.ndarray) -> int:
        """Return how many rows make about batch_size targets, with the last batch nearly full."""
        if len(n_targets) == 0:
            return 1
        n_batches = max(1, round(n_targets.sum() / self.batch_size))
        n_rows = len(n_targets)
        if self.objective == "prefix" and (self.n_targets > self.prefixes_per_user).any():
            # Epochs differ in how many rows a width gets, by about the root of it. With some room
            # the rows of most epochs fit into the same number of batches.
            n_rows += int(4 * np.sqrt(n_rows))
        return -(-n_rows // n_batches)  # rounded up

    def _room_for_targets(self, n_rows: int, most_counted: int) -> int:
        """Return how many targets n_rows rows can have, of which most_counted positions count."""
        if self.objective == "prefix":
            return n_rows
        most = n_rows * most_counted
        if self.objective == "next-item":
            return most
        # Each position is hidden or not by itself, and one is hidden where none would be.
        none_hidden = (1 - MASK_SHARE) ** most_counted
        expected = MASK_SHARE * most + none_hidden * n_rows
        deviation = np.sqrt(MASK_SHARE * (1 - MASK_SHARE) * most)
        return min(most, int(np.ceil(expected + DEVIATIONS_OF_ROOM * deviation)))

    def epoch(self, epoch: int) -> Epoch:
        """Return the batches of an epoch, which counts from 0."""
        rng = np.random.default_rng([self.seed, epoch])
        while True:
            planned = self._planned(self._rows(rng), rng)
            if planned is not None:
                return planned

    def _planned(self, rows: Rows, rng: np.random.Generator) -> Epoch | None:
        """Cut rows into batches in random order; None if a batch has more targets than room."""
        numbers_of_rows = self._shape_numbers(rows)
        places = []
        which = []  # of each batch: its shape's number and its own number within the shape
        real = []
        for shape_number, shape in enumerate(self.shapes):
            here = rng.permutation(np.flatnonzero(numbers_of_rows == shape_number))
            n_batches = -(-len(here) // shape.n_rows)  # rounded up
            place = np.full(n_batches * shape.n_rows, -1)
            place[: len(here)] = here
            rows_of_batches = place.reshape(n_batches, shape.n_rows)
            places.append(torch.from_numpy(rows_of_batches).to(self.device))
            for number, row_numbers in enumerate(rows_of_batches):
                present = row_numbers[row_numbers >= 0]
                n_targets = int(rows.n_targets[present].sum())
                if n_targets > shape.n_targets:
                    return None
                which.append((shape_number, number))
                real.append(Shape(len(present), int(rows.lengths[present].max()), n_targets))

        order = rng.permutation(len(which))
        shape_numbers, numbers = np.array(which)[order].T
        return Epoch(
            objective=self.objective,
            mask_token=self.mask_token,
            shapes=self.shapes,
            shape_numbers=shape_numbers,
            numbers=numbers,
            real=[real[i] for i in order],
            places=places,
            tables=self._tables(rows),
        )

    def _tables(self, rows: Rows) -> Tables:
        """Put the rows of an epoch on the device."""

        def on_device(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array).to(self.device)

        hidden = None
        hidden_starts = None
        if rows.hidden is not None:
            hidden = on_device(rows.hidden)
            hidden_starts = on_device(np.cumsum(rows.lengths) - rows.lengths)
        return Tables(
            items=self.items,
            starts=on_device(rows.starts),
            lengths=on_device(rows.lengths),
            counted=on_device(rows.counted),
            hidden=hidden,
            hidden_starts=hidden_starts,
        )

    def _rows(self, rng: np.random.Generator) -> Rows:
        """Return the rows of an epoch, some of which are drawn."""
        if self.objective == "prefix":
            return self._prefix_rows(rng)
        if self.objective == "cloze":
            return self._cloze_rows(rng)
        starts, lengths, counted = self.windows  # the target at a position is the item after it
        return Rows(starts, lengths, counted, n_targets=counted)

    def _prefix_rows(self, rng: np.random.Generator) -> Rows:
        """Draw some prefixes of each user, none twice; the target is the item after them."""
        users, positions = flat_ranges(self.starts + 1, self.n_targets)  # of all possible targets
        # Each user's targets in random order, of which the first prefixes_per_user are taken.
        order = np.lexsort((rng.random(len(users)), users))
        place_in_order = positions - self.starts[users]  # from 1, whichever position stands there
        is_taken = place_in_order <= self.prefixes_per_user
        targets = positions[order][is_taken]
        lengths = np.minimum(targets - self.starts[users[is_taken]], self.max_len)
        return Rows(targets - lengths, lengths, lengths, n_targets=np.ones_like(lengths))

    def _cloze_rows(self, rng: np.random.Generator) -> Rows:
        """Take every window with some of its items hidden, which are the targets."""
        starts, lengths, counted = self.windows
        window, position = flat_ranges(np.zeros_like(lengths), lengths)
        may_be_hidden = position >= (lengths - counted)[window]
        hidden = (rng.random(len(window)) < MASK_SHARE) & may_be_hidden
        n_hidden = np.bincount(window[hidden], minlength=len(lengths))
        is_last = position == lengths[window] - 1
        hidden |= is_last & (n_hidden[window] == 0)  # at least one item of each window
        return Rows(starts, lengths, counted, np.maximum(n_hidden, 1), hidden)


def gather(tables: Tables, rows: Tensor, shape: Shape, objective: str, mask_token: int) -> Batch:
    """Make a batch of a fixed shape, on the device and without a word from the host.

    No size depends on what the tensors hold. An empty row repeats the first one and has no targets.

    Parameters
    ----------
    tables : Tables
        The log and the rows of the epoch.
    rows : Tensor
        Long[B]: row numbers, the first a real one; -1 for an empty row.
    shape : Shape
        B, N and T; no row is longer than N, nor are there more targets than T.
    objective : str
        One of OBJECTIVES.
    mask_token : int
        What stands in place of a hidden item.

    Returns
    -------
    Batch
        On the device of the tables.
    """
    is_real = rows >= 0
    rows = torch.where(is_real, rows, rows[0])
    starts = tables.starts[rows][:, None]
    lengths = tables.lengths[rows][:, None]
    columns = torch.arange(shape.width, device=rows.device)
    is_inside = columns < lengths  # [B, N]

    last = len(tables.items) - 1  # where the 0 stands
    places = torch.where(is_inside, starts + columns, last)
    inputs = tables.items[places].long()

    if objective == "prefix":
        next_items = tables.items[starts + lengths][:, 0].long()
        return Batch(inputs, next_items * is_real)

    is_target = is_inside & is_real[:, None]
    if objective == "next-item":
        # Before the counted ones stand targets of the window before.
        counted = tables.counted[rows][:, None]
        is_target &= columns >= lengths - counted
        next_places = (places + 1).clamp_max(last)
        targets = tables.items[next_places].long() * is_target
    else:
        assert tables.hidden is not None
        assert tables.hidden_starts is not None
        hidden_places = tables.hidden_starts[rows][:, None] + columns
        is_hidden = tables.hidden[hidden_places.clamp_max(len(tables.hidden) - 1)] & is_inside
        is_target &= is_hidden
        targets = inputs * is_target
        inputs = torch.where(is_hidden, mask_token, inputs)
    return Batch(inputs, targets, positions_of(is_target, shape.n_targets))


def positions_of(is_target: Tensor, n_targets: int) -> Tensor:
    """Find the targets without asking how many there are.

    The k-th one stands where the running count of targets first reaches k.

    Parameters
    ----------
    is_target : Tensor
        Bool[B, N].
    n_targets : int
        How many positions to return.

    Returns
    -------
    Tensor
        Long[n_targets]: positions in the flattened [B, N], ascending; B N where there are fewer.
    """
    running_count = is_target.flatten().cumsum(0)
    k = torch.arange(1, n_targets + 1, device=is_target.device)
    return torch.searchsorted(running_count, k)


def history_batches(
    split: Split, which: str, max_len: int | None, device: torch.device | str = "cpu"
) -> Iterator[tuple[np.ndarray, Tensor, Tensor]]:
    """Walk over the histories of a phase in batches, rows of like length together.

    Parameters
    ----------
    split : Split
        The split.
    which : {"valid", "test"}
        The phase.
    max_len : int or None
        How many of the last items of each history to give; None: all.
    device : torch.device or str
        Where the batches are made.

    Yields
    ------
    rows : numpy.ndarray
        int64[B]: the numbers of the batch's targets in `split.targets(which)`.
    items : Tensor
        Long[B, N]: their histories.
    answers : Tensor
        Long[B]: the target items.
    """
    bound = scores_per_batch(torch.device(device))
    targets = split.targets(which)
    items = split.interactions.items
    lengths = np.minimum(targets.positions - targets.starts, max_len or len(items))
    order = np.argsort(lengths, kind="stable")
    most_rows = max(1, bound // (split.interactions.n_items + 1))

    begin = 0
    while begin < len(order):
        rows = order[begin : begin + most_rows]
        rows = rows[: _rows_that_fit(lengths[rows], bound)]
        begin += len(rows)
        positions = targets.positions[rows]
        histories = padded(items, positions - lengths[rows], lengths[rows])
        answers = items[positions].astype(np.int64)
        yield rows, torch.from_numpy(histories).to(device), torch.from_numpy(answers).to(device)


def scores_per_batch(device: torch.device) -> int:
    """Return how many scores a batch may have on a device."""
    return SCORES_PER_BATCH.get(device.type, SCORES_PER_BATCH["cpu"])


def _rows_that_fit(lengths: np.ndarray, bound: int) -> int:
    """How many of the first rows, sorted by length, have states within the bound; at least one."""
    n_rows = np.arange(1, len(lengths) + 1)
    # The last row is the longest: all are padded to it.
    n_floats = n_rows * lengths * WIDTH_OF_STATES
    return max(1, int((n_floats <= bound).sum()))


def flat_ranges(starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Write out ranges, one after the other.

    Parameters
    ----------
    starts, lengths : numpy.ndarray
        int64[R]: range i is starts[i] .. starts[i] + lengths[i] - 1.

    Returns
    -------
    rows, positions : numpy.ndarray
        int64[sum of the lengths]: the range that each element belongs to, and the element.
    """
    rows = np.repeat(np.arange(len(starts)), lengths)
    begins = np.cumsum(lengths) - lengths  # of each range in what is returned
    positions = np.arange(lengths.sum()) + np.repeat(starts - begins, lengths)
    return rows, positions


def padded(flat: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Gather rows of unequal length into one array, padded with 0 on the right.

    Parameters
    ----------
    flat : numpy.ndarray
        [M]: where the rows lie.
    starts, lengths : numpy.ndarray
        int64[B]: row i is flat[starts[i] : starts[i] + lengths[i]].

    Returns
    -------
    numpy.ndarray
        int64[B, longest].
    """
    columns = np.arange(lengths.max())
    is_inside = columns < lengths[:, None]
    positions = np.where(is_inside, starts[:, None] + columns, 0)
    return np.where(is_inside, flat[positions], 0).astype(np.int64)


def windows(
    starts: np.ndarray, lengths: np.ndarray, max_len: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut ranges into windows of at most max_len positions that overlap by half.

    Every position counts in exactly one window, and has at least max_len / 2 positions before it
    there, once that many exist. An empty range has no window.

    Parameters
    ----------
    starts, lengths : numpy.ndarray
        int64[R]: range i is starts[i] .. starts[i] + lengths[i] - 1.
    max_len : int
        Positions per window at most.

    Returns
    -------
    starts, lengths, counted : numpy.ndarray
        int64[W]: window w is positions starts[w] .. starts[w] + lengths[w] - 1, of which the last
        counted[w] count.
    """
    stride = max(1, max_len // 2)
    beyond_the_first = np.maximum(0, lengths - max_len)
    n_more = -(-beyond_the_first // stride)  # rounded up
    n_windows = np.where(lengths > 0, 1 + n_more, 0)

    owner, nth = flat_ranges(np.zeros_like(starts), n_windows)
    # Where a window begins and ends, and where the one before it ended, from the range's start.
    ends = np.minimum(max_len + nth * stride, lengths[owner])
    begins = np.maximum(0, ends - max_len)
    ends_before = np.where(nth > 0, np.minimum(max_len + (nth - 1) * stride, lengths[owner]), 0)
    return starts[owner] + begins, ends - begins, ends - ends_before
