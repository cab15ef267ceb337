"""One visual style for every figure: colour-blind-safe colours, one message per figure, PNG."""

from collections.abc import Collection, Mapping
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PALETTE = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "red": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "grey": "#7F7F7F",
}

PALE = "#BBD5E6"  # the blue of bars that stand back behind a highlighted one


def use_style() -> None:
    """Set the style for all figures of this process; call it once at the top of a notebook."""
    import seaborn as sns  # here, because the palette and the plots below do without it

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


def plot_history(history: Any) -> Figure:
    """Draw training loss and valid NDCG@10 against the epoch, the best epoch marked.

    Parameters
    ----------
    history : History
        What `fit` returned. (Its class calls this function, so it cannot be imported here.)

    Returns
    -------
    Figure
        Two panels, the loss on the left.
    """
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


def plot_gap(
    scores: dict[str, float], *, title: str = "", highlight: str | Collection[str] = ()
) -> Figure:
    """Draw horizontal bars from popularity's score to each model's.

    Each bar is labelled with the percentage of the gap from popularity to the oracle that it
    closes.

    Parameters
    ----------
    scores : dict of str to float
        Name to expected NDCG@10 on the planted data, with "popularity" and "oracle" among them.
    title : str
        What the figure shows.
    highlight : str, collection of str, or dict of str to str
        The model, or the models, that the figure is about: the other bars are lighter. All are
        alike unless given. A dict gives each a colour of its own.

    Returns
    -------
    Figure
        The best model on top, popularity and the oracle as dashed lines.

    Raises
    ------
    ValueError
        For a model to highlight that has no bar.
    """
    low = scores["popularity"]
    high = scores["oracle"]
    models = [name for name in scores if name not in ("popularity", "oracle")]
    models.sort(key=lambda name: scores[name])

    figure, axes = plt.subplots(figsize=(7.5, 1.4 + 0.45 * len(models)))
    lengths = [scores[name] - low for name in models]
    colours = _bar_colours(models, highlight)
    axes.barh(models, lengths, left=low, height=0.55, color=colours)
    for position, name in enumerate(models):
        axes.text(scores[name], position, f"  {gap_closed(scores, name):.0%}", va="center")

    for name in ("popularity", "oracle"):
        _mark_end(axes, scores[name], f"{name} {scores[name]:.3f}", len(models))

    gap = high - low
    axes.set(
        xlabel="expected NDCG@10 on the planted test set\n(beside each bar: % of gap closed)",
        xlim=(low - 0.08 * gap, high + 0.1 * gap),
        ylim=(-0.6, len(models) - 0.4),
    )
    axes.set_title(title, pad=24)
    axes.grid(axis="y", visible=False)
    return figure


def gap_closed(scores: dict[str, float], name: str) -> float:
    """Return the share of the distance from popularity's score to the oracle's that is covered.

    Parameters
    ----------
    scores : dict of str to float
        Name to score, with "popularity" and "oracle" among them.
    name : str
        Whose share.

    Returns
    -------
    float
        0 at popularity, 1 at the oracle.
    """
    return (scores[name] - scores["popularity"]) / (scores["oracle"] - scores["popularity"])


def plot_rungs(
    shares: dict[str, float],
    errors: dict[str, float],
    *,
    highlight: str | Collection[str] = (),
    title: str = "",
) -> Figure:
    """Draw how much of the gap between popularity and the oracle each piece closes.

    Parameters
    ----------
    shares : dict of str to float
        Name to the share that is closed, from 0 at popularity to 1 at the oracle.
    errors : dict of str to float
        Name to the standard error of its share; 0 where there is none, and no whisker.
    highlight : str or collection of str
        The pieces that the figure is about: the other bars are lighter. All are alike unless given.
    title : str
        What the figure shows.

    Returns
    -------
    Figure
        A bar for each, the first at the bottom, labelled in percent.

    Raises
    ------
    ValueError
        For a piece to highlight that has no bar.
    """
    names = list(shares)
    percent = [100 * shares[name] for name in names]
    whiskers = [100 * errors[name] for name in names]
    colours = _bar_colours(names, highlight)

    figure, axes = plt.subplots(figsize=(7.5, 1.6 + 0.38 * len(names)))
    axes.barh(names, percent, height=0.6, color=colours)
    for position, (length, whisker) in enumerate(zip(percent, whiskers, strict=True)):
        if whisker > 0:
            axes.errorbar(length, position, xerr=whisker, color="#333333", capsize=3, linewidth=1.2)
        axes.text(length + whisker, position, f"  {length:.1f}%", va="center")

    for place, name in ((0, "popularity"), (100, "oracle")):
        _mark_end(axes, place, name, len(names))
    label = "% of gap closed (expected NDCG@10 on the planted test set)"
    if any(whisker > 0 for whisker in whiskers):
        label += "\nbars: mean over the seeds; whiskers: one standard error"
    axes.set(xlabel=label, xlim=(-6, 106), ylim=(-0.6, len(names) - 0.4))
    axes.set_title(title, pad=24)
    axes.grid(axis="y", visible=False)
    return figure


def _mark_end(axes: Axes, place: float, label: str, n_bars: int) -> None:
    """Draw a dashed line where the gap begins or ends, with its label above the highest bar."""
    axes.axvline(place, color=PALETTE["grey"], linestyle="--", linewidth=1.2)
    axes.text(
        place,
        n_bars - 0.35,  # just above the highest bar
        label,
        ha="center",
        va="bottom",
        color="#555555",
        fontsize=10.5,
    )


def _bar_colours(names: list[str], highlight: str | Collection[str]) -> list[str]:
    """Return a colour for each bar: blue or its own, or pale where others are highlighted."""
    chosen = {highlight} if isinstance(highlight, str) else set(highlight)
    unknown = sorted(chosen - set(names))
    if unknown:
        known = ", ".join(names)
        raise ValueError(f"highlight names {', '.join(unknown)}, but the bars are: {known}.")
    own = highlight if isinstance(highlight, Mapping) else dict.fromkeys(chosen, PALETTE["blue"])
    return [own.get(name, PALE) if chosen else PALETTE["blue"] for name in names]
