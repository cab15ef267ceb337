"""How well a recommender ranks what users really chose next: one `evaluate` for models and baselines, and one `compare`.

B batch, N positions, V items, T targets.
"""

import contextlib
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy import stats

from minirec import metrics
from minirec.data.batching import flat_ranges, history_batches, padded
from minirec.data.interactions import Split

PROTOCOLS = ("full", "uniform-100", "popular-100")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """ranks: int64[T], one a judged user, in the order of `users` (dense ids); recall, mrr, ndcg are at k; seed is that of sampled negatives."""

    name: str
    which: str
    protocol: str
    k: int
    users: np.ndarray
    ranks: np.ndarray
    exclude_seen: bool = False
    seed: int | None = None

    recall = property(lambda self: metrics.recall(self.ranks, self.k))
    mrr = property(lambda self: metrics.mrr(self.ranks, self.k))
    ndcg = property(lambda self: metrics.ndcg(self.ranks, self.k))
    figures = property(
        lambda self: {
            "recall": self.recall,
            "mrr": self.mrr,
            "ndcg": self.ndcg,
            "users": len(self.ranks),
        },
        doc="As run records keep them.",
    )

    def __repr__(self):
        return (
            f"{self.name}: Recall@{self.k} {self.recall:.4f}   MRR@{self.k} {self.mrr:.4f}   NDCG@{self.k} {self.ndcg:.4f}"
            f"   ({self.which}, {self.protocol} ranking, {len(self.ranks):,} users)"
        )


def evaluate(
    model,
    split: Split,
    *,
    which: str = "test",
    protocol: str = "full",
    k: int = 10,
    exclude_seen: bool = False,
    seed: int = 0,
) -> Evaluation:
    """Ranks each user's target among all items, or among 100 sampled ones.

    model: anything with `scores(items)`; it sees the last `model.max_len` items. which: "valid" or "test". protocol: "full", "uniform-100" or
    "popular-100"; the negatives depend on (seed, which, user) alone, so they are the same for every model. exclude_seen takes a user's history
    out of the candidates, never the target. Memory is one batch of scores, [B, V + 1]. Raises ValueError where a score is NaN, naming the model.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}; got {protocol!r}.")
    targets = split.targets(which)
    negatives = None if protocol == "full" else sample_negatives(split, which, protocol, seed=seed)
    ranks = np.zeros(len(targets), dtype=np.int64)
    for rows, answers, scores in _scored(model, split, which):
        if (
            exclude_seen or negatives is not None
        ):  # full ranking needs no mask, and no copy of the scores
            candidates = torch.full_like(scores, negatives is None, dtype=torch.bool)
            if negatives is not None:
                candidates.scatter_(1, torch.from_numpy(negatives[rows]).to(scores.device), True)
            if exclude_seen:  # the whole history, not only what the model was shown
                row, at = flat_ranges(
                    targets.starts[rows], targets.positions[rows] - targets.starts[rows]
                )
                candidates[
                    torch.from_numpy(row),
                    torch.from_numpy(split.interactions.items[at].astype(np.int64)),
                ] = False
            scores = scores.masked_fill(~candidates.scatter_(1, answers[:, None], True), -math.inf)
        try:
            ranks[rows] = metrics.target_ranks(scores, answers).cpu().numpy()
        except ValueError as error:
            raise ValueError(f"{name_of(model)}: {error}") from None
    return Evaluation(
        name_of(model),
        which,
        protocol,
        k,
        targets.users,
        ranks,
        exclude_seen,
        None if negatives is None else seed,
    )


def expected_metrics(
    model, split: Split, oracle, *, which: str = "test", k: int = 10
) -> dict[str, float]:
    """Recall, MRR and NDCG at k of `model` on planted data, in expectation over the true distribution of the next item instead of at the drawn one.

    oracle: a `PlantedOracle`; without ties between scores no model can exceed it, because it puts the probable items first.
    """
    targets, sums = split.targets(which), np.zeros(3)
    for rows, _, scores in _scored(model, split, which):
        begin = targets.starts[
            rows
        ]  # the oracle sees the whole history, however little of it the model reads
        if scores[:, 1:].isnan().any():
            raise ValueError(f"{name_of(model)}: the scores contain NaN.")
        truth = oracle.probabilities(
            padded(split.interactions.items, begin, targets.positions[rows] - begin)
        )[:, 1:]
        first, last = (
            stats.rankdata(-scores[:, 1:].cpu(), method, axis=1) for method in ("min", "max")
        )  # of the items scored equal
        ranks = first + (last - first + 1) // 2
        sums += (
            truth * np.stack([metrics.gains(metric, ranks, k) for metric in metrics.GAINS])
        ).sum((1, 2))
    return dict(zip(metrics.GAINS, map(float, sums / len(targets))))


def compare(
    a: Evaluation, b: Evaluation, *, metric: str = "ndcg", n_bootstrap: int = 10_000, seed: int = 0
) -> pd.Series:
    """Paired t-test and bootstrap interval of the difference between two evaluations of the same users. metric: "recall", "mrr" or "ndcg".

    Returns difference (the mean of a - b over the users), t (its statistic), p (two-sided), low and high (of its 95% interval).
    """
    settings = [
        f"which = {e.which}, protocol = {e.protocol}, k = {e.k}, exclude_seen = {e.exclude_seen}, seed = {e.seed}, {len(e.ranks):,} users"
        for e in (a, b)
    ]
    if settings[0] != settings[1] or not np.array_equal(a.users, b.users):
        raise ValueError(
            f"only evaluations of the same users, with the same settings, can be paired; got {settings[0]} and {settings[1]}."
        )
    if metric not in metrics.GAINS:
        raise ValueError(f"metric must be one of {', '.join(metrics.GAINS)}; got {metric!r}.")
    difference = metrics.gains(metric, a.ranks, a.k) - metrics.gains(metric, b.ranks, a.k)
    if np.ptp(difference) == 0:  # nothing varies, so nothing can be tested
        return pd.Series(
            {
                "difference": difference[0],
                "t": math.nan,
                "p": math.nan,
                "low": difference[0],
                "high": difference[0],
            },
            name=metric,
        )
    test = stats.ttest_1samp(difference, 0.0)
    values, counts = np.unique(
        difference, return_counts=True
    )  # resampling users is drawing how often each value occurs
    rng, n = np.random.default_rng(seed), len(difference)
    low, high = np.quantile(
        rng.multinomial(n, counts / n, n_bootstrap) @ values / n, [0.025, 0.975]
    )
    return pd.Series(
        {
            "difference": difference.mean(),
            "t": test.statistic,
            "p": test.pvalue,
            "low": low,
            "high": high,
        },
        name=metric,
    )


def sample_negatives(split: Split, which: str, protocol: str, *, seed: int = 0) -> np.ndarray:
    """The sampled candidates of every target: int64[T, 100], drawn with replacement; repeats count once.

    "uniform-100" draws each item alike, "popular-100" in proportion to its occurrences in train, valid and test together. A draw that is a target
    of this user up to and including the phase (any item but the user's first) is drawn again. Each draw is a hash of (seed, phase, user, draw, try).
    """
    data, targets = split.interactions, split.targets(which)
    cumulative = np.cumsum(
        data.item_counts()[1:]
        if protocol == "popular-100"
        else np.ones(data.n_items, dtype=np.int64)
    )
    rows, at = flat_ranges(targets.starts + 1, targets.positions - targets.starts)
    codes = (
        rows * (data.n_items + 1) + data.items[at]
    )  # of each row, the user's items after the first, up to the target
    forbidden = np.sort(
        np.append(codes, np.iinfo(np.int64).max)
    )  # the last one, so that every key has a place before the end
    negatives = np.zeros((len(targets), 100), dtype=np.int64)
    todo = np.indices(negatives.shape).reshape(2, -1)
    for attempt in range(1000):
        uniform = _hash_uniform(
            seed, ("valid", "test").index(which), targets.users[todo[0]], todo[1], attempt
        )
        negatives[todo[0], todo[1]] = 1 + np.searchsorted(
            cumulative, (uniform * cumulative[-1]).astype(np.int64), side="right"
        )
        codes = todo[0] * (data.n_items + 1) + negatives[todo[0], todo[1]]
        todo = todo[:, forbidden[np.searchsorted(forbidden, codes)] == codes]
        if todo.shape[1] == 0:
            return negatives
    raise ValueError(
        f"user {data.user_ids[targets.users[todo[0, 0]]]} has chosen (nearly) every one of the {data.n_items} items, so no negative "
        f"can be sampled; use protocol='full'."
    )


def _hash_uniform(*keys) -> np.ndarray:
    """A number in [0, 1) for each tuple of keys, by chained splitmix64 finalisers: no state, so no order of drawing matters."""
    state = np.zeros(1, dtype=np.uint64)  # an array, which overflows without a warning
    for key in keys:
        state = state + np.asarray(key).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return (state >> np.uint64(11)) * 2.0**-53


def _scored(model, split: Split, which: str):
    """Yields (row numbers, target items [B], scores [B, V + 1]) over one phase, without gradients, in eval mode."""
    n_items = split.interactions.n_items
    if getattr(model, "n_items", n_items) != n_items:
        raise ValueError(
            f"{name_of(model)} knows {model.n_items:,} items, the data has {n_items:,}; it was made for other data."
        )
    trained_on = getattr(model, "vocabulary", None)
    if trained_on is not None and trained_on.fingerprint != split.interactions.fingerprint:
        raise ValueError(
            f"{name_of(model)} was trained on other data than this: their fingerprints are {trained_on.fingerprint} and "
            f"{split.interactions.fingerprint}. Evaluate it on the data it was trained on."
        )
    if trained_on is not None and trained_on.split not in ("", split.fingerprint):
        raise ValueError(
            f"{name_of(model)} was trained on the split '{trained_on.split}', and this is '{split.fingerprint}': it may have seen what it is "
            f"asked for. Split the data as for training."
        )
    with judging(model) as device:
        for rows, items, answers in history_batches(split, which, model.max_len):
            scores = model.scores(torch.from_numpy(items).to(device))
            if scores.shape != (len(rows), n_items + 1):
                raise ValueError(
                    f"{name_of(model)} gives scores of shape {list(scores.shape)}; it must score padding and every item: "
                    f"[{len(rows)}, {n_items + 1}]."
                )
            yield rows, torch.from_numpy(answers).to(device), scores


@contextlib.contextmanager
def judging(model):
    """Eval mode and no gradients, for as long as the block runs; gives the device the model is on."""
    training, device = getattr(model, "training", False), torch.device("cpu")
    if isinstance(model, torch.nn.Module):
        device = next(iter(model.state_dict().values()), torch.empty(0)).device
        model.eval()
    try:
        with torch.inference_mode():
            yield device
    finally:
        if training:
            model.train()


def name_of(model) -> str:
    """As the registry has it; of a model from elsewhere, its class's."""
    return getattr(model, "name", type(model).__name__)
