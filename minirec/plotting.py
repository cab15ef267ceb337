"""One visual style for every figure: colour-blind-safe colours, one message a figure, PNG."""

import matplotlib.pyplot as plt
import seaborn as sns

PALETTE = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "red": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "grey": "#7F7F7F",
}


def use_style() -> None:
    """Sets the style for all figures of this process; call it once at the top of a notebook."""
    sns.set_theme(
        context="notebook",
        style="whitegrid",
        palette=list(PALETTE.values()),
        rc={
            "figure.figsize": (7, 3.6),
            "figure.dpi": 110,
            "figure.constrained_layout.use": True,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.titlesize": 12,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "grid.color": "#E6E6E6",
            "legend.frameon": False,
        },
    )


def plot_history(history):
    """Training loss and valid NDCG@10 against the epoch, the best epoch marked. Returns the figure."""
    frame = history.frame()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), sharex=True)
    left.plot(frame.index, frame["loss"], color=PALETTE["grey"])
    left.set(title="Training loss falls", xlabel="epoch", ylabel="loss (mean surprise, nats)")
    right.plot(frame.index, frame["valid_ndcg"], color=PALETTE["blue"])
    right.plot(
        history.best_epoch,
        history.best_ndcg,
        "o",
        color=PALETTE["red"],
        label=f"best: epoch {history.best_epoch}",
    )
    right.legend(loc="lower right")
    right.set(title="Valid NDCG@10 picks the best epoch", xlabel="epoch", ylabel="valid NDCG@10")
    return figure


def plot_gap(scores: dict[str, float], *, title: str = ""):
    """Horizontal bars from popularity's score to each model's, labelled with the share of the gap popularity -> oracle that it closes.

    scores: name -> expected NDCG@10 on the planted data, popularity and oracle included. Returns the figure.
    """
    low, high = scores["popularity"], scores["oracle"]
    names = sorted((n for n in scores if n not in ("popularity", "oracle")), key=scores.get)
    figure, axes = plt.subplots(figsize=(7.5, 1.4 + 0.45 * len(names)))
    axes.barh(names, [scores[n] - low for n in names], left=low, height=0.55, color=PALETTE["blue"])
    for name in names:
        axes.text(scores[name], name, f"  {gap_closed(scores, name):.0%}", va="center")
    for value, name in ((low, "popularity"), (high, "oracle")):
        axes.axvline(value, color=PALETTE["grey"], linestyle="--", linewidth=1.2)
        axes.text(
            value,
            len(names) - 0.35,
            f"{name} {value:.3f}",
            ha="center",
            va="bottom",
            color="#555555",
            fontsize=10.5,
        )
    axes.set(
        xlabel="expected NDCG@10 on the planted test set",
        xlim=(low - 0.08 * (high - low), high + 0.1 * (high - low)),
        ylim=(-0.6, len(names) - 0.4),
    )
    axes.set_title(title, pad=24)
    axes.grid(axis="y", visible=False)
    return figure


def gap_closed(scores: dict[str, float], name: str) -> float:
    """The share of the distance from popularity's score to the oracle's that `name` covers: 0 at the one, 1 at the other."""
    return (scores[name] - scores["popularity"]) / (scores["oracle"] - scores["popularity"])
