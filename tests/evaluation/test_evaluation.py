"""evaluate and expected_metrics against loops over users.

And what a model is shown, and what is refused.
"""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.strategies import booleans, integers, lists, sampled_from
from logs import log, random_log, rows_of

from minirec import build_model, evaluate, expected_metrics, fit, metrics
from minirec.data import batching
from minirec.data.batching import flat_ranges, history_batches, padded
from minirec.data.planted import PlantedOracle, generate_planted
from minirec.evaluation import sample_negatives

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SEEDS = integers(0, 10**6)


class Arithmetic(torch.nn.Module):
    """Scores that depend on everything in the row but its padding, with many ties.

    It remembers what it was shown, and in which mode.
    """

    name = "arithmetic"

    def __init__(self, n_items, max_len=None):
        super().__init__()
        self.n_items = n_items
        self.max_len = max_len
        self.shown = []
        self.modes = []

    def scores(self, items):
        self.shown.append(items.clone())
        self.modes.append((self.training, torch.is_grad_enabled()))
        last = items.gather(1, (items > 0).sum(1, keepdim=True) - 1)
        total = items.sum(1, keepdim=True)
        first = items[:, :1]
        mixed = 31 * last + 17 * total + (7 + first) * torch.arange(self.n_items + 1)
        scores = (mixed % 9).double()
        scores[:, 0] = math.nan  # nobody may look at the padding's score
        return scores


def ranks_by_hand(model, split, which, exclude_seen, negatives):
    """One user after another: candidates as a set, scores of an unpadded row, ranks by counting."""
    rows = rows_of(split.interactions)
    targets = split.targets(which)
    ranks = []
    for number, user in enumerate(targets.users.tolist()):
        place = int(targets.positions[number] - targets.starts[number])  # of the target in its row
        history = rows[user][:place]
        target = rows[user][place]

        others = set(range(1, split.interactions.n_items + 1))
        if negatives is not None:
            others = set(negatives[number].tolist())
        if exclude_seen:
            others -= set(history)
        others -= {target}

        shown = history if model.max_len is None else history[-model.max_len :]
        scores = model.scores(torch.tensor([shown]))[0].tolist()
        ranks.append(rank_by_hand(scores, target, others))
    return ranks


def rank_by_hand(scores, target, others):
    n_higher = sum(scores[item] > scores[target] for item in others)
    n_equal = sum(scores[item] == scores[target] for item in others)
    return 1 + n_higher + math.ceil(n_equal / 2)


@given(
    seed=SEEDS,
    protocol=sampled_from(["full", "uniform-100", "popular-100"]),
    exclude_seen=booleans(),
    which=sampled_from(["valid", "test"]),
    kind=sampled_from(["leave-one-out", "temporal"]),
    max_len=sampled_from([None, 1, 4]),
    in_batch=sampled_from([1, 200, 10**6]),
)
def test_ranks_are_those_of_a_loop_over_users(
    seed, protocol, exclude_seen, which, kind, max_len, in_batch
):
    split = random_log(seed, latest=60, n_items=40, n_users=30).split(kind)
    model = Arithmetic(40, max_len)
    negatives = None
    if protocol != "full":
        negatives = sample_negatives(split, which, protocol, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "SCORES_PER_BATCH", {"cpu": in_batch})
        evaluation = evaluate(
            model, split, which=which, protocol=protocol, exclude_seen=exclude_seen, seed=seed
        )
    assert evaluation.ranks.tolist() == ranks_by_hand(model, split, which, exclude_seen, negatives)
    assert evaluation.users.tolist() == split.targets(which).users.tolist()


def test_an_evaluation_has_the_metrics_of_its_ranks_at_k():
    evaluation = evaluate(Arithmetic(30), random_log(1).split(), k=3)
    assert evaluation.recall == metrics.recall(evaluation.ranks, 3)
    assert evaluation.mrr == metrics.mrr(evaluation.ranks, 3)
    assert evaluation.ndcg == metrics.ndcg(evaluation.ranks, 3)
    assert "arithmetic: Recall@3" in repr(evaluation)


@given(seed=SEEDS, max_len=sampled_from([None, 1, 5]))
def test_a_batch_is_as_wide_as_its_longest_history(seed, max_len):
    model = Arithmetic(30, max_len)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "SCORES_PER_BATCH", {"cpu": 500})
        evaluate(model, random_log(seed).split())
    assert len(model.shown) > 1
    assert all((items[:, -1] > 0).any() for items in model.shown)
    assert max_len is None or max(items.shape[1] for items in model.shown) <= max_len


@pytest.mark.parametrize(
    "n_items, longest", [(30, 12), (400, 4)], ids=["long histories", "many items"]
)
def test_scores_are_asked_for_whole_rows_and_few_at_a_time(monkeypatch, n_items, longest):
    """[B, N], with B x (V + 1) scores and B x N states bounded; never anything as [B, N, V]."""
    monkeypatch.setattr(batching, "SCORES_PER_BATCH", {"cpu": 1500})
    model = Arithmetic(n_items)
    evaluate(model, random_log(3, n_users=60, n_items=n_items, longest=longest).split())
    assert {items.dim() for items in model.shown} == {2}
    assert len(model.shown) > 2
    for items in model.shown:
        within_bounds = len(items) * (n_items + 1) <= 1500 and items.numel() * 64 <= 1500
        assert within_bounds or len(items) == 1


@given(seed=SEEDS, max_len=sampled_from([None, 1, 5]), in_batch=integers(1, 3000))
def test_history_batches_ask_every_target_once_after_its_last_items(seed, max_len, in_batch):
    split = random_log(seed).split()
    rows = rows_of(split.interactions)
    asked = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "SCORES_PER_BATCH", {"cpu": in_batch})
        for numbers, items, targets in history_batches(split, "test", max_len):
            for number, row, target in zip(
                numbers.tolist(), items.tolist(), targets.tolist(), strict=True
            ):
                assert number not in asked
                asked[number] = ([item for item in row if item > 0], target)

    assert len(asked) == len(split.test)
    for number, user in enumerate(split.test.users):
        *history, target = rows[user]
        recent = history if max_len is None else history[-max_len:]
        assert asked[number] == (recent, target)


@given(lengths=lists(integers(0, 5), min_size=1, max_size=6).filter(any), seed=SEEDS)
def test_padded_rows_are_slices_with_zeros_on_the_right(lengths, seed):
    rng = np.random.default_rng(seed)
    flat = rng.integers(1, 9, 12)
    starts = rng.integers(0, 7, len(lengths))
    expected = []
    for start, length in zip(starts, lengths, strict=True):
        expected.append(flat[start : start + length].tolist() + [0] * (max(lengths) - length))
    assert padded(flat, starts, np.array(lengths)).tolist() == expected


@given(ranges=lists(lists(integers(0, 9), min_size=2, max_size=2), min_size=1, max_size=8))
def test_flat_ranges_are_ranges_one_after_another(ranges):
    starts, lengths = np.array(ranges).T
    expected_rows = []
    expected_positions = []
    for row, (start, length) in enumerate(ranges):
        expected_rows += [row] * length
        expected_positions += range(start, start + length)
    rows, positions = flat_ranges(starts, lengths)
    assert rows.tolist() == expected_rows
    assert positions.tolist() == expected_positions


@pytest.mark.parametrize("training", [True, False])
def test_a_model_is_asked_in_eval_mode_without_gradients_and_left_in_its_own(training):
    model = Arithmetic(30).train(training)
    evaluate(model, random_log(0).split())
    assert set(model.modes) == {(False, False)}
    assert model.training == training
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


class Broken(Arithmetic):
    """Arithmetic whose scores are spoilt by a function."""

    name = "broken"

    def __init__(self, spoil):
        super().__init__(30)
        self.spoil = spoil

    def scores(self, items):
        return self.spoil(super().scores(items))


def nan_somewhere(scores):
    return scores.index_fill(1, torch.tensor([7]), math.nan)


def everything_excluded(scores):
    return torch.full_like(scores, -math.inf)


def without_padding(scores):
    return scores[:, 1:]


def fails(scores):
    raise ZeroDivisionError("inside the model")


def one_row(scores):
    return scores[:1]


@pytest.mark.parametrize(
    "spoil, message",
    [
        (nan_somewhere, "NaN"),
        (everything_excluded, "-inf"),
        (without_padding, r"\[20, 30\].*padding"),
        (one_row, r"\[1, 31\]"),
    ],
)
def test_bad_scores_are_an_error_that_names_the_model(spoil, message):
    with pytest.raises(ValueError, match=f"broken.*{message}"):
        evaluate(Broken(spoil), random_log(0, shortest=3).split())


@pytest.mark.parametrize("spoil", [nan_somewhere, fails])
def test_a_model_is_left_in_its_own_mode_after_an_error(spoil):
    model = Broken(spoil).train()
    with pytest.raises((ValueError, ZeroDivisionError)):
        evaluate(model, random_log(0).split())
    assert model.training
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_a_model_of_other_data_is_refused_by_name():
    with pytest.raises(ValueError, match="gru4rec knows 7 items, the data has 30"):
        evaluate(build_model("gru4rec", 7, d_model=4), random_log(0).split())


@pytest.mark.parametrize(
    "options, message",
    [({"protocol": "sampled"}, "protocol must be one of"), ({"which": "train"}, "phase must be")],
)
def test_unknown_choices_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        evaluate(Arithmetic(30), random_log(0).split(), **options)


@pytest.mark.parametrize("k", [0, -1, 2.5, True, "10", None])
def test_an_impossible_k_is_refused_before_anything_is_scored(monkeypatch, k):
    model = Arithmetic(30)
    monkeypatch.setattr(model, "scores", lambda items: pytest.fail("it scored first"))
    with pytest.raises(ValueError, match="k must be an integer from 1 up"):
        evaluate(model, random_log(0).split(), k=k)


def expected_by_hand(model, split, k):
    """Probability of each item times the gain of its rank, item by item."""
    rows = rows_of(split.interactions)
    means = {"recall": 0.0, "mrr": 0.0, "ndcg": 0.0}
    for row in rows:
        history = torch.tensor([row[:-1]])
        truth = PlantedOracle().scores(history)[0].tolist()
        scores = model.scores(history)[0].tolist()
        for item in range(1, len(truth)):
            rank = rank_by_hand(scores, item, set(range(1, len(truth))) - {item})
            if rank <= k:
                weight = truth[item] / len(rows)
                means["recall"] += weight
                means["mrr"] += weight / rank
                means["ndcg"] += weight / math.log2(rank + 1)
    return means


@pytest.mark.parametrize(
    "model", [Arithmetic(500), PlantedOracle(("shelf",))], ids=["arithmetic", "shelf only"]
)
def test_expected_metrics_are_sums_over_every_possible_next_item(model):
    split = generate_planted(2, n_users=3, longest=20).split()
    expected = expected_by_hand(model, split, 60)
    assert expected_metrics(model, split, PlantedOracle(), k=60) == pytest.approx(
        expected, abs=1e-12
    )


def test_the_mean_over_drawn_targets_is_near_the_expected_metric():
    split = generate_planted(4, n_users=1000).split()
    drawn = evaluate(PlantedOracle(), split)
    expected = expected_metrics(PlantedOracle(), split, PlantedOracle())
    gains = np.where(drawn.ranks <= 10, 1 / np.log2(drawn.ranks + 1), 0)
    assert abs(drawn.ndcg - expected["ndcg"]) < 4 * gains.std() / math.sqrt(len(gains))


def test_expected_metrics_refuse_nan_by_the_models_name():
    model = Broken(nan_somewhere)
    model.n_items = 500
    with pytest.raises(ValueError, match=r"broken.*NaN"):
        expected_metrics(model, generate_planted(2, n_users=3).split(), PlantedOracle())


# In a process of its own, whose peak memory is printed in MiB.
EVALUATES_ML_1M = """
from minirec import build_model, evaluate, load_dataset
from minirec.experiments.records import _peak_memory
data = load_dataset("ml-1m", download=False)
model = build_model("gru4rec", data.n_items, d_model=64)
evaluate(model, data.split(), protocol="popular-100")
print(_peak_memory(next(model.parameters()).device))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs the resource module")
def test_evaluating_ml_1m_stays_under_a_gigabyte(real_data):
    environment = {
        **os.environ,
        "MINIREC_DATA": real_data,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",  # as fast here, however busy the machine
    }
    process = subprocess.run(
        [sys.executable, "-c", EVALUATES_ML_1M],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    mebibytes = float(process.stdout)
    assert mebibytes > 100  # importing PyTorch alone takes more
    assert mebibytes < 10**9 / 2**20


def test_a_user_with_the_same_item_everywhere_is_judged():
    split = log([[2, 2, 2, 2]], n_items=3).split()
    evaluation = evaluate(Arithmetic(3), split, exclude_seen=True)
    assert evaluation.ranks.tolist() == ranks_by_hand(Arithmetic(3), split, "test", True, None)


def test_a_model_trained_on_other_data_or_another_split_is_refused():
    data = random_log(3, n_users=40, shortest=4, latest=50)
    other = random_log(4, n_users=40, shortest=4, latest=50)
    model = build_model("popularity", data.n_items)
    fit(model, data.split())
    with pytest.raises(ValueError, match="popularity was trained on other data"):
        evaluate(model, other.split())
    message = r"popularity was trained on the split 'leave-one-out .* this is 'temporal"
    with pytest.raises(ValueError, match=message):
        evaluate(model, data.split("temporal"))
