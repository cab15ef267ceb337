"""What a training run may be asked for."""

import math
from dataclasses import dataclass

from minirec.evaluation import PROTOCOLS

PRECISIONS = ("float32", "bfloat16")

SCHEDULES = ("constant", "cosine")

HIGHEST_SEED = 2**64 - 1  # that PyTorch takes


@dataclass(frozen=True)
class Settings:
    """The settings of one training run, checked; `fit` says what each of them means."""

    batch_size: int  # targets per batch
    lr: float
    lr_schedule: str  # one of SCHEDULES
    seed: int
    precision: str  # one of PRECISIONS
    select: str  # one of PROTOCOLS
    objective: str  # "next-item", "prefix", "cloze", or "count" for a model that only counts
    prefixes_per_user: int | None  # None unless the objective is "prefix"
    epochs: int
    patience: int | None  # None: never stop early
    device: str  # the type of the device in use, "cpu" or "cuda"

    def __post_init__(self) -> None:
        """Raise ValueError for an impossible value.

        batch_size and prefixes_per_user are checked where the batches are made, the objective where
        the model is known.
        """
        _check_choice("precision", self.precision, PRECISIONS)
        _check_choice("select", self.select, PROTOCOLS)
        _check_choice("lr_schedule", self.lr_schedule, SCHEDULES)

        if self.epochs < 1:
            raise ValueError(f"epochs must be at least 1; got {self.epochs}.")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience must be at least 1, or None; got {self.patience}.")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise ValueError(f"lr must be positive and finite; got {self.lr}.")
        if not isinstance(self.seed, int) or not 0 <= self.seed <= HIGHEST_SEED:
            raise ValueError(f"seed must be an integer from 0 to 2^64 - 1; got {self.seed!r}.")


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}.")
