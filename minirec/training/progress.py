"""How far a training run is, and the checkpoint that keeps it.

A checkpoint is one flat dict, written by `Run.save` and read by `Run.resume`:

    epoch, step, loss_sum, n_targets, seconds, best   the fields of Progress
    epochs, best_epoch                                 those of History
    model, optimizer, random, cuda_random              weights, Adam's moments, random generators
    identity, environment                              which run it is, and what it ran on
    batching                                           how an epoch is cut into batches

Those of minirec 0.1 have no `batching`.
"""

import contextlib
import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from minirec.data.splits import Split
from minirec.errors import CheckpointError, printable, printable_path
from minirec.models.base import Recommender, name_of
from minirec.storage import StorageError, in_use, read
from minirec.training.settings import Settings

MOST_DIFFERENCES = 20  # that are listed

# What to do about a checkpoint that this run cannot use. It may be somebody's only copy of it.
WAY_OUT = "Give another path, or delete this file if nobody needs it."

# What a checkpoint has to hold; `batching` may be missing.
PARTS = frozenset(
    {
        *("epoch", "step", "loss_sum", "n_targets", "seconds", "best"),
        *("epochs", "best_epoch"),
        *("model", "optimizer", "random", "cuda_random"),
        *("identity", "environment"),
    }
)


@dataclass
class Progress:
    """How far a run is: what a checkpoint stores beside the weights."""

    epoch: int = 0  # epochs finished
    step: int = 0  # batches finished in the epoch under way
    loss_sum: float = 0.0  # over the targets of the epoch under way, as far as looked at
    n_targets: int = 0  # how many targets those are
    seconds: float = 0.0  # that the epoch under way took before the run was resumed
    best: dict[str, Tensor] | None = None  # the weights of the best epoch, on the CPU

    @property
    def mean_loss(self) -> float:
        """The loss per target of the epoch under way."""
        return self.loss_sum / self.n_targets

    def start_next_epoch(self) -> None:
        """Count the epoch under way as finished."""
        self.epoch += 1
        self.restart_epoch()

    def restart_epoch(self) -> None:
        """Go back to the first batch of the epoch under way; the weights stay as they are."""
        self.step = 0
        self.loss_sum = 0.0
        self.n_targets = 0
        self.seconds = 0.0

    def to_checkpoint(self) -> dict[str, Any]:
        """Return the fields by name; no tensor is copied."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "loss_sum": self.loss_sum,
            "n_targets": self.n_targets,
            "seconds": self.seconds,
            "best": self.best,
        }

    @classmethod
    def from_checkpoint(cls, state: dict[str, Any]) -> "Progress":
        """Return the progress that a whole checkpoint holds."""
        return cls(
            epoch=state["epoch"],
            step=state["step"],
            loss_sum=float(state["loss_sum"]),  # a tensor in older files
            n_targets=state["n_targets"],
            seconds=state["seconds"],
            best=state["best"],
        )


def identity_of(model: Recommender, split: Split, settings: Settings) -> dict[str, Any]:
    """Return what has to agree for a run to be the same run.

    Parameters
    ----------
    model : Recommender
        The model to train: its name, options and the shapes of its weights count.
    split : Split
        The data and how they are split, by their fingerprints.
    settings : Settings
        All but those that may change while a run is continued.

    Returns
    -------
    dict
        Flat names and plain values.
    """
    may_change = {"patience"}
    if settings.lr_schedule == "constant":
        may_change.add("epochs")  # the steps of a cosine depend on how many epochs there will be

    identity = {
        "model": name_of(model),
        "n_items": model.n_items,
        "data": split.interactions.fingerprint,
        "split": split.fingerprint,
    }
    for name, value in asdict(settings).items():
        if name not in may_change:
            identity[name] = value
    for name, value in getattr(model, "options", {}).items():
        identity[f"option {name}"] = value
    for name, parameter in model.named_parameters():
        identity[f"shape of {name}"] = list(parameter.shape)
    return identity


def default_options(model: Recommender) -> dict[str, Any]:
    """Return the part of `identity_of` that is what the model's class has by default.

    Parameters
    ----------
    model : Recommender
        The model to train.

    Returns
    -------
    dict
        "option NAME" and its default, for the options that have one.
    """
    options = getattr(model, "options", {})
    defaults = {}
    for parameter in inspect.signature(type(model)).parameters.values():
        if parameter.default is not parameter.empty and parameter.name in options:
            defaults[f"option {parameter.name}"] = parameter.default
    return defaults


@contextmanager
def checkpoint_in_use(path: str | os.PathLike[str]) -> Iterator[None]:
    """Keep a checkpoint for this block alone.

    Parameters
    ----------
    path : str or path
        Where the checkpoint is, or will be.

    Raises
    ------
    CheckpointError
        Where another run uses it, and for a folder.
    OSError
        Where no file can be written there.
    """
    if Path(path).is_dir():
        raise CheckpointError(f"{printable_path(path)} is a folder; name a file in it.")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(in_use(path))
        except StorageError as error:
            raise CheckpointError(f"{error} Wait for it, or give another path.") from None
        yield


def load_checkpoint(
    path: str | os.PathLike[str],
    identity: dict[str, Any],
    defaults: dict[str, Any] | None = None,
) -> dict[str, Any] | None:
    """Read a checkpoint, if there is one, and make sure that it belongs to this run.

    Parameters
    ----------
    path : str or path
        Where the checkpoint is, or will be.
    identity : dict
        That of the run which is to go on, from `identity_of`.
    defaults : dict, optional
        From `default_options`: what holds of a checkpoint from before the model had an option. A
        new option's default is what the model was before.

    Returns
    -------
    dict or None
        The checkpoint; None where there is no file yet.

    Raises
    ------
    CheckpointError
        For a file that is no checkpoint, of a later version, cut off, damaged, or without a part;
        for a checkpoint of another run, naming the differences.
    """
    if not Path(path).exists():
        return None

    try:
        state = read(path, "checkpoint", PARTS)
    except StorageError as error:
        raise CheckpointError(f"{error} {WAY_OUT}") from None

    stored = state["identity"]
    if isinstance(stored, dict):
        stored = {**(defaults or {}), **stored}
    differences = _differences(stored, identity)
    if differences:
        raise CheckpointError(
            f"{printable_path(path)} belongs to another run: {'; '.join(differences)}. Continue "
            "with the same settings, or give another path."
        )
    return state


def _differences(stored: Any, wanted: dict[str, Any]) -> list[str]:
    """Say in words where the identity in a checkpoint differs from that of this run."""
    if not isinstance(stored, dict):
        return ["the checkpoint does not say which"]
    found = []
    for name in sorted({*stored, *wanted}, key=str):
        then = stored.get(name)
        now = wanted.get(name)
        if then != now:
            then_and_now = f"{printable(repr(then))} in the checkpoint and {now!r} now"
            found.append(f"{printable(name)} is {then_and_now}")
    return found[:MOST_DIFFERENCES]
