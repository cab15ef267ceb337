"""A model is judged in eval mode by any number of threads, and is left in its own modes."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from small_models import SYSTEMS, small_system
from torch import nn

from minirec import evaluate, recommend
from minirec.data.planted import generate_planted
from minirec.models import base
from minirec.models.base import Vocabulary, judging


class Parts(nn.Module):
    """Two parts, of which the second is frozen: in eval mode whatever the model is in."""

    def __init__(self, part=None):
        super().__init__()
        self.part = nn.Dropout(0.5) if part is None else part
        self.frozen = nn.Dropout(0.5).eval()
        self.called = []

    def train(self, mode=True):
        self.called.append(mode)
        return super().train(mode)


def modes(model):
    return [module.training for module in model.modules()]


class Judge:
    """Judges a model in a thread of its own, from `begin` to `end`."""

    def __init__(self, model):
        self.model = model
        self.end_now = threading.Event()
        self.begun = threading.Event()
        self.thread = threading.Thread(target=self._judge)

    def _judge(self):
        with judging(self.model):
            self.begun.set()
            assert self.end_now.wait(60)

    def begin(self):
        self.thread.start()
        assert self.begun.wait(60)
        return self

    def end(self):
        self.end_now.set()
        self.thread.join(60)
        assert not self.thread.is_alive()


def test_every_part_is_left_in_its_own_mode():
    model = Parts()
    with judging(model):
        assert not any(modes(model))
    assert modes(model) == [True, True, False]


@pytest.mark.parametrize("first_out", [0, 1])
def test_a_model_stays_in_eval_mode_until_the_last_judge_is_done(first_out):
    model = Parts()
    judges = [Judge(model).begin(), Judge(model).begin()]
    judges[first_out].end()
    assert not any(modes(model))
    third = Judge(model).begin()
    judges[1 - first_out].end()
    assert not any(modes(model))
    third.end()
    assert modes(model) == [True, True, False]


def test_a_part_that_two_models_share_stays_in_eval_mode_until_both_are_judged():
    one = Parts()
    other = Parts(one.part)
    of_one = Judge(one).begin()
    of_other = Judge(other).begin()
    of_one.end()
    assert not one.part.training
    assert one.training
    of_other.end()
    assert modes(one) == modes(other) == [True, True, False]


def test_a_model_is_told_its_mode_by_its_own_methods():
    """One that does more than note it, such as exchanging its weights, has to be asked."""
    model = Parts()
    with judging(model):
        assert model.called == [False]
    assert model.called == [False, True]
    model.eval()
    model.called.clear()
    with judging(model):
        pass
    assert model.called == []


def test_nothing_is_remembered_of_a_model_that_was_judged():
    model = Parts()
    with pytest.raises(ZeroDivisionError), judging(model):
        raise ZeroDivisionError
    assert not base._judges.modes
    assert not base._trained


@pytest.fixture(scope="module")
def split():
    return generate_planted(1, n_users=60).split()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SYSTEMS if name in ("gru4rec", "sasrec")])
def test_a_model_in_training_mode_is_right_in_many_threads(split, name):
    """With dropout, which would change nearly every score."""
    model = small_system(name, split.interactions.n_items, d_model=8, max_len=20, dropout=0.5)
    data = split.interactions
    model.vocabulary = Vocabulary(data.item_ids, data.item_counts(), data.fingerprint)
    histories = [data.item_ids[data.sequence(user)[:5] - 1].tolist() for user in range(4)]
    ranks = evaluate(model.eval(), split).ranks.tolist()
    recommended = recommend(model, histories)

    model.train()
    n_threads = 6
    together = threading.Barrier(n_threads)

    def judge(number):
        found = []
        for _ in range(12):
            together.wait(60)
            if number % 2 == 0:
                found.append(evaluate(model, split).ranks.tolist() == ranks)
            else:
                found.append(recommend(model, histories).equals(recommended))
        return found

    with ThreadPoolExecutor(n_threads) as pool:
        found = [right for rights in pool.map(judge, range(n_threads)) for right in rights]
    assert found == [True] * (12 * n_threads)
    assert all(modes(model))
    assert torch.is_grad_enabled()
