"""What a training run leaves: an entry for every epoch."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = ["epoch", "loss", "valid_recall", "valid_mrr", "valid_ndcg", "seconds"]


@dataclass
class History:
    """What happened in a training run, one entry per epoch.

    An entry is a dict with the keys of COLUMNS: the epoch, counted from 1; the loss, a mean over
    the epoch's targets; recall, MRR and NDCG at 10 on the valid phase; and the seconds that the
    epoch took, evaluation included.

    `stopped` says why training ended: "epochs" or "patience", whichever ran out; "budget", where an
    on_epoch callback raised StopTraining; "interrupted", by Ctrl-C; "counted", for a model that
    learns by counting and not in epochs.
    """

    epochs: list[dict[str, Any]] = field(default_factory=list)  # the entries
    best_epoch: int = 0  # counted from 1: its weights are the model's now; 0 before the first
    stopped: str = ""  # empty until training ends
    settings: dict[str, Any] = field(default_factory=dict)  # those of `Settings`, by name

    @property
    def best_ndcg(self) -> float:
        """The valid NDCG@10 of the best epoch; NaN before the first."""
        if self.best_epoch == 0:
            return math.nan
        return self.epochs[self.best_epoch - 1]["valid_ndcg"]

    def frame(self) -> pd.DataFrame:
        """Return the entries as a frame, indexed by epoch."""
        return pd.DataFrame(self.epochs, columns=COLUMNS).set_index("epoch")

    def plot(self) -> "Figure":
        """Plot the training loss and valid NDCG@10 against the epoch; return the figure."""
        from minirec.plotting import plot_history  # here, because training needs no plotting

        return plot_history(self)

    def __repr__(self) -> str:
        return (
            f"History({len(self.epochs)} epochs, best valid NDCG@10 {self.best_ndcg:.4f} "
            f"at epoch {self.best_epoch}, stopped by {self.stopped})"
        )
