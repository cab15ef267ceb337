"""What a training run leaves: an entry for every epoch."""

from dataclasses import dataclass, field

import pandas as pd


@dataclass
class History:
    """What happened, an entry an epoch: epoch, loss (mean over targets), valid_recall, valid_mrr, valid_ndcg (at 10), seconds.

    best_epoch counts from 1 and is the one whose weights the model has now. stopped says why training ended: "epochs", "patience",
    "interrupted" or "counted" (a model that only counts). settings: what `fit` was asked for, the objective and the device as it chose them.
    """

    epochs: list[dict] = field(default_factory=list)
    best_epoch: int = 0
    stopped: str = ""
    settings: dict = field(default_factory=dict)

    best_ndcg = property(
        lambda self: (
            self.epochs[self.best_epoch - 1]["valid_ndcg"] if self.best_epoch else float("nan")
        )
    )

    def frame(self) -> pd.DataFrame:
        """The entries as a frame, indexed by epoch."""
        return pd.DataFrame(
            self.epochs,
            columns=["epoch", "loss", "valid_recall", "valid_mrr", "valid_ndcg", "seconds"],
        ).set_index("epoch")

    def plot(self):
        """Training loss and valid NDCG@10 against the epoch; returns the figure."""
        from minirec.plotting import plot_history

        return plot_history(self)

    def __repr__(self):
        return f"History({len(self.epochs)} epochs, best valid NDCG@10 {self.best_ndcg:.4f} at epoch {self.best_epoch}, stopped by {self.stopped})"
