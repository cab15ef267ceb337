"""FPMC beside a loop; what it promises as every model does is in test_contract.py."""

import contract
import gradients
import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import integers, lists
from torch import nn

from minirec import Interactions, build_model, evaluate, fit
from minirec.models.fpmc import FPMC

CLOSE = {"rtol": 0, "atol": 1e-10}
D_MODEL = contract.SMALL["d_model"]


def score_by_hand(model, history, item):
    """<mean of the history's taste vectors, v^IU> + <v^LI of the last item, v^IL>, term by term."""
    tastes = model.item_embedding.weight[history].tolist()
    last = model.last_embedding.weight[history[-1]].tolist()
    wanted = model.target_embedding.weight[item].tolist()
    score = 0.0
    for k in range(D_MODEL):
        taste = sum(vector[k] for vector in tastes) / len(tastes)
        score += taste * wanted[k] + last[k] * wanted[D_MODEL + k]
    return score


@given(lengths=lists(integers(1, 9), min_size=1, max_size=3), seed=integers(0, 10**6))
@settings(max_examples=40)
def test_a_score_is_that_of_the_factorisation_plus_that_of_the_markov_chain(lengths, seed):
    model = contract.random_model("fpmc", {}, seed)
    items = contract.random_items(seed, lengths)
    scores = model.encode(items) @ model.output_weights().T
    for row, length in enumerate(lengths):
        for t in range(length):
            history = items[row, : t + 1].tolist()
            for item in (1, history[-1], contract.N_ITEMS):
                expected = score_by_hand(model, history, item)
                assert scores[row, t, item].item() == pytest.approx(expected, rel=0, abs=1e-10)


def test_one_half_alone_is_a_factorised_markov_chain():
    model = contract.random_model("fpmc", {}, 0)
    nn.init.zeros_(model.item_embedding.weight)
    same_last_item = torch.tensor([[1, 2, 3], [9, 8, 3], [2, 1, 4]])
    first, second, other = model.last(same_last_item)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_the_other_half_alone_does_not_know_the_order():
    model = contract.random_model("fpmc", {}, 0)
    nn.init.zeros_(model.last_embedding.weight)
    first, second, other = model.last(torch.tensor([[1, 2, 3], [3, 1, 2], [1, 2, 4]]))
    torch.testing.assert_close(first, second, **CLOSE)
    assert (first - other).abs().max() > 1e-3


class ScoresOf(nn.Module):
    """A model's scores of the real items at every position, as a function of its weights."""

    def __init__(self, model, items):
        super().__init__()
        self.model = model
        self.items = items

    def forward(self):
        scores = self.model.encode(self.items) @ self.model.output_weights().T
        return scores[..., 1:][self.items > 0]


def test_the_gradients_of_all_tables_are_right():
    torch.manual_seed(0)
    model = FPMC(4, d_model=2).double().eval()
    assert gradients.gradients_are_right(ScoresOf(model, torch.tensor([[1, 2, 1], [4, 3, 0]])))


def test_each_table_starts_with_the_padding_at_zero():
    model = build_model("fpmc", 30, d_model=16)
    tables = [model.item_embedding, model.last_embedding, model.target_embedding]
    assert [table.weight.shape[1] for table in tables] == [16, 16, 32]
    for table in tables:
        assert not table.weight[0].any()
        assert table.weight[1:].all()


def test_the_state_is_a_sum_a_count_and_the_last_item():
    model = contract.random_model("fpmc", {}, 0)
    state = model.init_state(1)
    for item in (3, 5, 3):
        _, state = model.step(state, torch.tensor([item]))
    taste = model.item_embedding.weight
    torch.testing.assert_close(state["total"][0], 2 * taste[3] + taste[5], **CLOSE)
    assert state["count"].tolist() == [[3]]
    assert torch.equal(state["last"][0], model.last_embedding.weight[3])


# --- What the two halves are for: a log in which both are needed ---

N_TASTES = 4
N_QUESTIONS = 8


def log_of_questions_and_answers(seed):
    """Users look at questions at random, and give the last of them the answer of their taste.

    Items below N_QUESTIONS are questions; the others are answers, one for each question and taste.
    The last question alone leaves N_TASTES answers to choose from. The taste alone leaves one for
    each of the questions that have none yet, about half of all; and it does not know whether an
    answer is due. Each history ends in an answer and one more question.
    """
    generator = torch.Generator().manual_seed(seed)
    users = []
    items = []
    for user in range(160):
        taste = user % N_TASTES
        history = []
        for _ in range(8):
            n_questions = int(torch.randint(1, 4, (), generator=generator))
            questions = torch.randint(N_QUESTIONS, (n_questions,), generator=generator).tolist()
            answer = N_QUESTIONS + N_TASTES * questions[-1] + taste
            history += [*questions, answer]
        history.append(0)
        users += [user] * len(history)
        items += history
    return Interactions.from_columns(users, items)


class TasteAlone(FPMC):
    """The last item's vector is left out."""

    def encode(self, items):
        encoded = super().encode(items).clone()
        encoded[..., D_MODEL:] = 0
        return encoded


class ChainAlone(FPMC):
    """The mean of the history is left out."""

    def encode(self, items):
        encoded = super().encode(items).clone()
        encoded[..., :D_MODEL] = 0
        return encoded


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0])
def test_where_taste_and_last_item_decide_together_both_halves_are_needed(seed):
    split = log_of_questions_and_answers(seed).split()
    found = {}
    for model_class in (FPMC, TasteAlone, ChainAlone):
        torch.manual_seed(seed)
        model = model_class(split.interactions.n_items, d_model=D_MODEL, dropout=0.0, max_len=40)
        fit(model, split, epochs=12, batch_size=256, lr=0.03, seed=seed, device="cpu")
        # The last answer is the valid item: the question behind it is anybody's guess.
        found[model_class] = evaluate(model, split, which="valid", k=1).recall
    assert found[FPMC] > 0.9
    # A quarter for the chain, which has four answers to choose from; less for the taste alone.
    assert max(found[TasteAlone], found[ChainAlone]) < 0.5
