"""Diagnostic tasks: answers by rules in plain Python, chance levels by listing all histories, and
what a model learns with the piece and without it.
"""

import itertools
import math
from collections import Counter, defaultdict

import pytest
import torch
from hypothesis import given
from hypothesis.strategies import integers, sampled_from
from torch import Tensor, nn
from torch.nn import functional as F

from minirec.diagnostics import (
    Diagnostic,
    accuracy,
    film_long_ago,
    first_item,
    learn,
    marked_item,
    marked_noise,
    order_of_neighbours,
    recall,
    selective_copying,
    show,
    trained,
    two_questions,
)
from minirec.layers.attention import LinearAttention
from minirec.layers.bd_lru import BehaviourDependentLRU
from minirec.layers.gru import GRU
from minirec.layers.selective_gate import SelectiveGate
from minirec.layers.temporal_conv import TemporalConv

TASKS = {
    "order_of_neighbours": order_of_neighbours,
    "marked_item": marked_item,
    "first_item": first_item,
    "marked_noise": marked_noise,
    "recall": recall,
    "two_questions": two_questions,
    "selective_copying": selective_copying,
    "film_long_ago": film_long_ago,
}
every_task = pytest.mark.parametrize("make", TASKS.values(), ids=TASKS)
seeds = integers(0, 10**6)


def rows_of(task: Diagnostic) -> list[tuple[list[str], str]]:
    """Every row in words: its items' names and its answer's."""
    rows = []
    for items, answer in zip(task.items.tolist(), task.answers.tolist(), strict=True):
        assert min(items) >= 1, "padding"
        rows.append(([task.item_names[item - 1] for item in items], task.answer_names[answer]))
    return rows


@given(seed=seeds, n_films=integers(4, 9), length=integers(2, 7))
def test_the_next_film_lies_as_far_beyond_the_last_as_the_one_before_lies_behind(
    seed, n_films, length
):
    task = order_of_neighbours(20, seed=seed, n_films=n_films, length=length)
    for names, answer in rows_of(task):
        films = [int(name) for name in names]
        assert len(films) == length
        assert (films[-1] - films[-2]) % n_films in (1, n_films - 1)
        assert int(answer) == (2 * films[-1] - films[-2]) % n_films


@given(seed=seeds, n_films=integers(2, 6), room=integers(2, 9), gap=integers(0, 5))
def test_the_marked_film_stands_behind_the_only_mark_and_before_the_gap(seed, n_films, room, gap):
    task = marked_item(20, seed=seed, n_films=n_films, length=room + gap, gap=gap)
    for names, answer in rows_of(task):
        assert len(names) == room + gap
        assert names.count("MARK") == 1
        after = names[names.index("MARK") + 1 :]
        assert after[0] == answer
        assert len(after) - 1 >= gap


def test_the_mark_stands_at_every_place_that_leaves_the_gap():
    task = marked_item(500, seed=0, length=9, gap=3)
    places = {names.index("MARK") for names, _ in rows_of(task)}
    assert places == {0, 1, 2, 3, 4}


@given(seed=seeds, n_films=integers(2, 6), length=integers(1, 9))
def test_the_first_film_is_the_first(seed, n_films, length):
    task = first_item(20, seed=seed, n_films=n_films, length=length)
    for names, answer in rows_of(task):
        assert len(names) == length
        assert names[0] == answer


@given(seed=seeds, n_genres=integers(2, 30), n_values=integers(2, 5))
def test_among_noise_the_film_of_the_named_genre_counts(seed, n_genres, n_values):
    task = marked_noise(10, seed=seed, n_genres=n_genres, n_values=n_values)
    for (*films, sign), answer in rows_of(task):
        pairs = dict(film.split("-") for film in films)
        assert len(pairs) == len(films) == n_genres
        assert sign.endswith("?")
        assert pairs[sign[:-1]] == answer


@given(seed=seeds, length=integers(2, 8), spare=integers(0, 25), n_values=integers(2, 5))
def test_recall_asks_for_a_number_from_the_first_half(seed, length, spare, n_values):
    task = recall(10, seed=seed, n_genres=length + spare, n_values=n_values, length=length)
    for (*films, sign), answer in rows_of(task):
        pairs = [film.split("-") for film in films]
        assert len(pairs) == length == len({genre for genre, _ in pairs})
        place = [genre for genre, _ in pairs].index(sign[:-1])
        assert place < length // 2
        assert pairs[place][1] == answer


@given(
    seed=seeds,
    length=integers(2, 8),
    spare=integers(0, 4),
    ask=sampled_from([("last", "recall"), ("last",), ("recall",), ["recall", "last"]]),
)
def test_of_two_questions_the_sign_says_which_is_asked(seed, length, spare, ask):
    task = two_questions(10, seed=seed, ask=ask, n_genres=length + spare, length=length)
    for (*films, sign), answer in rows_of(task):
        pairs = [film.split("-") for film in films]
        if sign == "LAST?":
            assert "last" in ask
            assert pairs[-1][1] == answer
        else:
            assert "recall" in ask
            first_half = dict(pairs[: length // 2])
            assert first_half[sign[:-1]] == answer


@given(
    seed=seeds,
    n_films=integers(2, 5),
    n_kept=integers(1, 5),
    n_noise=integers(0, 6),
    back=integers(1, 5),
)
def test_selective_copying_counts_from_the_end_without_the_noise(
    seed, n_films, n_kept, n_noise, back
):
    back = min(back, n_kept)
    task = selective_copying(
        10, seed=seed, n_films=n_films, n_kept=n_kept, n_noise=n_noise, back=back
    )
    for names, answer in rows_of(task):
        kept = [name for name in names if name != "noise"]
        assert len(kept) == n_kept
        assert len(names) == n_kept + n_noise
        assert kept[-back] == answer


@given(seed=seeds, n_films=integers(2, 6), n_noise=integers(1, 9))
def test_the_film_long_ago_comes_first_and_only_noise_behind_it(seed, n_films, n_noise):
    task = film_long_ago(10, seed=seed, n_films=n_films, n_noise=n_noise)
    for names, answer in rows_of(task):
        assert names == [answer] + ["noise"] * n_noise


@every_task
def test_items_and_answers_are_dense_ids_and_all_of_them_occur(make):
    task = make(4000, seed=0)
    assert task.items.dtype == task.answers.dtype == torch.int64
    assert task.items.unique().tolist() == list(range(1, task.n_items + 1))
    assert task.answers.unique().tolist() == list(range(task.n_answers))
    assert len(set(task.item_names)) == task.n_items
    assert len(set(task.answer_names)) == task.n_answers


@every_task
def test_answers_are_balanced(make):
    n = 20000
    task = make(n, seed=1)
    expected = n / task.n_answers
    counts = Counter(task.answers.tolist())
    for answer in range(task.n_answers):
        assert abs(counts[answer] - expected) < 5 * math.sqrt(expected)


@every_task
def test_a_seed_gives_the_same_rows_and_another_seed_others(make):
    once, again, other = make(50, seed=3), make(50, seed=3), make(50, seed=4)
    assert torch.equal(once.items, again.items)
    assert torch.equal(once.answers, again.answers)
    assert not torch.equal(once.items, other.items)


@every_task
def test_drawing_leaves_the_callers_random_numbers_alone(make):
    before = torch.get_rng_state()
    make(10, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def best_accuracy(rows, visible) -> float:
    """The best accuracy of whoever sees visible(history), all rows being equally likely."""
    groups = defaultdict(Counter)
    for history, answer in rows:
        groups[visible(history)][answer] += 1
    return sum(max(group.values()) for group in groups.values()) / len(rows)


def all_orders(n_films=5, length=3):
    for earlier in itertools.product(range(n_films), repeat=length - 2):
        for before in range(n_films):
            for way in (-1, 1):
                last = (before + way) % n_films
                yield (*earlier, before, last), (last + way) % n_films


def all_marked(n_films=3, length=6, gap=2):
    for films in itertools.product(range(n_films), repeat=length - 1):
        for place in range(length - gap - 1):
            yield (*films[:place], "MARK", *films[place:]), films[place]


def all_firsts(n_films=3, length=5):
    for films in itertools.product(range(n_films), repeat=length):
        yield films, films[0]


def all_pairs(n_genres, n_values, length, places):
    for genres in itertools.permutations(range(n_genres), length):
        for values in itertools.product(range(n_values), repeat=length):
            films = tuple(zip(genres, values, strict=True))
            for place in places:
                yield (*films, genres[place]), values[place]


def all_lasts(n_genres, n_values, length):
    for (*films, _), value in all_pairs(n_genres, n_values, length, [length - 1]):
        yield (*films, "LAST?"), value


def all_copies(n_films=3, n_kept=3, n_noise=2, back=2):
    for films in itertools.product(range(n_films), repeat=n_kept):
        for places in itertools.combinations(range(n_kept + n_noise), n_kept):
            history = ["noise"] * (n_kept + n_noise)
            for place, film in zip(places, films, strict=True):
                history[place] = film
            yield tuple(history), films[-back]


def all_long_ago(n_films=4, n_noise=3):
    for film in range(n_films):
        yield (film, *["noise"] * n_noise), film


def bag(history):
    return tuple(sorted(map(str, history)))


def values_only(history):
    return bag([value for _, value in history[:-1]])


def second_half(history):
    *films, sign = history
    return (*films[len(films) // 2 :], sign)


def all_but_the_first(history):
    return history[1:]


def the_last(history):
    return history[-1]


def pairs_without_order(history):
    *films, sign = history
    return (bag(films), sign)


SMALL_PAIRS = {"n_genres": 4, "n_values": 2, "length": 4}
SMALL_ROWS = {
    "order": all_orders(),
    "marked": all_marked(),
    "first": all_firsts(),
    "noise": all_pairs(3, 3, 3, range(3)),
    "recall": all_pairs(4, 2, 4, range(2)),
    "last": all_lasts(4, 2, 4),
    "copying": all_copies(),
    "long ago": all_long_ago(),
}
SMALL_ROWS = {name: list(rows) for name, rows in SMALL_ROWS.items()}
CHANCES = [
    ("order", the_last, order_of_neighbours, {"n_films": 5, "length": 3}),
    ("marked", bag, marked_item, {"n_films": 3, "length": 6, "gap": 2}),
    ("first", bag, first_item, {"n_films": 3, "length": 5}),
    ("noise", values_only, marked_noise, {"n_genres": 3, "n_values": 3}),
    ("recall", second_half, recall, SMALL_PAIRS),
    ("last", pairs_without_order, two_questions, {"ask": ["last"], **SMALL_PAIRS}),
    ("recall", second_half, two_questions, {"ask": ["recall"], **SMALL_PAIRS}),
    ("copying", bag, selective_copying, {"n_films": 3, "n_kept": 3, "n_noise": 2}),
    ("long ago", all_but_the_first, film_long_ago, {"n_films": 4, "n_noise": 3}),
]


@pytest.mark.parametrize(("rows", "visible", "make", "sizes"), CHANCES)
def test_chance_is_the_best_accuracy_without_the_piece(rows, visible, make, sizes):
    n = 20000
    task = make(n, seed=5, **sizes)
    exact = best_accuracy(SMALL_ROWS[rows], visible)
    # A row's share lies between 0 and 1, so its deviation is at most a half.
    assert abs(task.chance - exact) < 4 * 0.5 / math.sqrt(n)


@pytest.mark.parametrize("rows", SMALL_ROWS)
def test_the_ceiling_is_one_because_the_history_decides_the_answer(rows):
    assert best_accuracy(SMALL_ROWS[rows], tuple) == 1


@every_task
def test_the_ceiling_lies_well_above_chance(make):
    task = make(1000, seed=0)
    assert task.ceiling == 1
    assert 1 / task.n_answers <= task.chance < 0.75


def test_the_order_of_neighbours_cannot_be_told_from_the_films_without_their_order_either():
    assert best_accuracy(list(all_orders(5, 2)), bag) == 0.5
    assert best_accuracy(list(all_orders(5, 4)), bag) <= 0.5


def test_with_two_questions_chance_is_that_of_the_better_single_expert():
    both = two_questions(20000, seed=5, **SMALL_PAIRS)
    order_blind = (best_accuracy(SMALL_ROWS["last"], pairs_without_order) + 1) / 2
    forgetful = (1 + best_accuracy(SMALL_ROWS["recall"], second_half)) / 2
    assert order_blind > forgetful  # sizes for which the two can be told apart
    assert abs(both.chance - order_blind) < 0.015


@pytest.mark.parametrize(
    ("make", "sizes", "message"),
    [
        (order_of_neighbours, {"n_films": 3}, "n_films must be at least 4; got 3"),
        (order_of_neighbours, {"length": 1}, "length must be at least 2; got 1"),
        (marked_item, {"length": 9, "gap": 8}, "length must be at least 10; got 9"),
        (marked_item, {"gap": -1}, "gap must be at least 0; got -1"),
        (first_item, {"n_films": 1}, "n_films must be at least 2; got 1"),
        (marked_noise, {"n_genres": 1}, "n_genres must be at least 2; got 1"),
        (recall, {"n_genres": 3, "length": 4}, "at most n_genres = 3; got 4"),
        (recall, {"length": 1}, "length must be at least 2; got 1"),
        (two_questions, {"ask": ["first"]}, r"ask must be some of last, recall; got \('first',\)"),
        (two_questions, {"ask": []}, "ask must be some of last, recall"),
        (selective_copying, {"n_kept": 3, "back": 4}, "between 1 and n_kept = 3; got 4"),
        (film_long_ago, {"n_films": 1}, "n_films must be at least 2; got 1"),
        (film_long_ago, {"n_noise": 0}, "n_noise must be at least 1; got 0"),
    ],
)
def test_impossible_sizes_are_refused_by_name(make, sizes, message):
    with pytest.raises(ValueError, match=message):
        make(5, seed=0, **sizes)


HAND_MADE = Diagnostic(
    question="Which film came first?",
    items=torch.tensor([[1, 2], [2, 1], [2, 2]]),
    answers=torch.tensor([0, 1, 1]),
    item_names=("noir", "crime"),
    answer_names=("dark", "grim"),
    without="the order",
    chance=2 / 3,
)


def test_show_prints_question_rows_and_levels_in_words(capsys):
    show(HAND_MADE, 2)
    assert capsys.readouterr().out.splitlines() == [
        "Which film came first?",
        "    noir  crime  ->  dark",
        "    crime  noir  ->  grim",
        "without the order: 0.667 at best; with it: 1.000",
    ]


class AlwaysTheSecond(nn.Module):
    def forward(self, items):
        return torch.tensor([[0.0, 1.0]]).expand(len(items), 2)


def test_accuracy_is_the_share_of_right_answers():
    assert accuracy(AlwaysTheSecond(), HAND_MADE) == pytest.approx(2 / 3)


def test_only_the_last_position_is_read():
    model = trained(lambda d_model: nn.Identity(), HAND_MADE, d_model=4, steps=1)
    scores = model(HAND_MADE.items)
    torch.testing.assert_close(scores[0], scores[2])  # both end in item 2
    assert (scores[0] - scores[1]).abs().max() > 0.01


def test_a_layer_that_passes_the_last_item_on_learns_what_it_alone_decides():
    task = selective_copying(200, seed=0, n_films=4, n_kept=1, n_noise=0, back=1)
    assert learn(lambda d_model: nn.Identity(), task, task, steps=50) == 1


def test_learning_is_fixed_by_its_seed_and_leaves_the_callers_random_numbers_alone():
    task = first_item(100, seed=0, length=3)
    torch.manual_seed(11)
    before = torch.get_rng_state()

    def weights(seed):
        return trained(lambda d: nn.Linear(d, d), task, steps=3, seed=seed).output.weight

    once = weights(1)
    torch.rand(5)
    assert torch.equal(once, weights(1))
    assert not torch.equal(once, weights(2))

    torch.manual_seed(11)
    weights(1)
    assert torch.equal(torch.get_rng_state(), before)


# What a model learns with the piece and without it, from five starts each.


class PlainRecurrence(nn.Module):
    """h' = tanh(W x + U h + b): a recurrence without gates."""

    def __init__(self, d_model: int):
        super().__init__()
        self.rnn = nn.RNN(d_model, d_model, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.rnn(x)
        return states


class LeakyAverage(nn.Module):
    """h' = (1 - z) h + z (W x + b): z is trained, and the same for every item and every state."""

    def __init__(self, d_model: int):
        super().__init__()
        self.candidate = nn.Linear(d_model, d_model)
        self.z = nn.Parameter(torch.linspace(-4, 2, d_model))  # before its sigmoid

    def forward(self, x: Tensor) -> Tensor:
        z = torch.sigmoid(self.z)
        h = torch.zeros_like(x[:, 0])
        states = []
        for candidate in self.candidate(x).unbind(1):
            h = torch.lerp(h, candidate, z)
            states.append(h)
        return torch.stack(states, dim=1)


class RunningMean(nn.Module):
    """The mean of all inputs so far: a state without any weights."""

    def forward(self, x: Tensor) -> Tensor:
        counts = torch.arange(1, x.shape[1] + 1)
        return x.cumsum(1) / counts[:, None]


class GatedMean(nn.Module):
    """The selective gate on a running mean; or, with the same weights, a sum of its two parts."""

    def __init__(self, d_model: int, multiply: bool):
        super().__init__()
        self.state = RunningMean()
        self.parts = SelectiveGate(d_model)
        self.multiply = multiply

    def forward(self, x: Tensor) -> Tensor:
        h = self.state(x)
        if self.multiply:
            return self.parts(x, h)
        return self.parts.gate(x) + self.parts.crossing(h)


class TwoExperts(nn.Module):
    """Attention and a GRU, mixed and gated by the data as in GLINT-RU; either may be left out."""

    def __init__(self, d_model: int, attention: bool = True, gru: bool = True):
        super().__init__()
        experts = []
        if attention:
            experts.append(LinearAttention(d_model))
        if gru:
            experts.append(gated_recurrence(d_model))
        self.experts = nn.ModuleList(experts)
        self.mixing = nn.Parameter(torch.full((len(experts),), 0.5))
        self.data_gate = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor) -> Tensor:
        answers = torch.stack([expert(x) for expert in self.experts], dim=-1)  # [B, N, d, 2]
        mixed = answers @ self.mixing.softmax(0)
        return F.gelu(self.data_gate(x)) * mixed


def gated_recurrence(d_model: int) -> GRU:
    return GRU(d_model, d_model, form="torch")


def window(kernel_size: int):
    return lambda d_model: TemporalConv(d_model, kernel_size, causal=True)


def linear_recurrence(behaviour_gates: bool):
    """BD-LRU from short memories: from its usual ones, .9 and more, it learns this much slower."""
    options = {"behaviour_gates": behaviour_gates, "initial_decays": "random"}
    return lambda d_model: BehaviourDependentLRU(d_model, **options)


def gated_mean(multiply: bool):
    return lambda d_model: GatedMean(d_model, multiply)


def experts(**kept: bool):
    return lambda d_model: TwoExperts(d_model, **kept)


WITH_THE_PIECE = {
    "a window of two tells the order": (order_of_neighbours, window(2)),
    "a window of three tells the order": (order_of_neighbours, window(3)),
    "a GRU holds the marked film": (marked_item, gated_recurrence),
    "a gate lets the film that counts through": (marked_noise, gated_mean(multiply=True)),
    "linear attention recalls": (recall, LinearAttention),
    "two experts answer both questions": (two_questions, experts()),
    "decays that see the item copy selectively": (
        selective_copying,
        linear_recurrence(behaviour_gates=True),
    ),
}
WITHOUT_THE_PIECE = {
    "a window of one does not tell the order": (order_of_neighbours, window(1)),
    "a bag does not tell the order": (order_of_neighbours, lambda d_model: RunningMean()),
    "a plain recurrence loses the marked film": (marked_item, PlainRecurrence),
    "a leaky average loses the marked film": (marked_item, LeakyAverage),
    "a sum in the gate's place does not read": (marked_noise, gated_mean(multiply=False)),
    "a window does not recall": (recall, window(3)),
    "attention alone answers one question": (two_questions, experts(gru=False)),
    "a GRU alone answers one question": (two_questions, experts(attention=False)),
}
five_starts = pytest.mark.parametrize("seed", range(5))


def learned(make, layer, seed: int) -> tuple[float, Diagnostic]:
    train = make(8000, seed=2 * seed)
    test = make(2000, seed=2 * seed + 1)
    return learn(layer, train, test, seed=seed), test


@pytest.mark.slow
@five_starts
@pytest.mark.parametrize(("make", "layer"), WITH_THE_PIECE.values(), ids=WITH_THE_PIECE)
def test_with_the_piece_a_model_answers_nearly_always(make, layer, seed):
    found, test = learned(make, layer, seed)
    assert found > test.ceiling - 0.05


@pytest.mark.slow
@five_starts
@pytest.mark.parametrize(("make", "layer"), WITHOUT_THE_PIECE.values(), ids=WITHOUT_THE_PIECE)
def test_without_the_piece_a_model_stays_near_chance(make, layer, seed):
    found, test = learned(make, layer, seed)
    assert found < test.chance + 0.1


@pytest.mark.slow
@five_starts
def test_decays_that_do_not_see_the_item_copy_little(seed):
    found, test = learned(selective_copying, linear_recurrence(behaviour_gates=False), seed)
    # How long ago a film came says something about its place among the films, so it knows a
    # little more than which films came.
    assert found < test.chance + 0.15


def long_memory(decays: str):
    return lambda d_model: BehaviourDependentLRU(d_model, initial_decays=decays)


@pytest.mark.slow
@five_starts
def test_decays_that_start_near_one_reach_a_film_long_ago_and_small_ones_do_not(seed):
    train = film_long_ago(2000, seed=2 * seed)
    test = film_long_ago(1000, seed=2 * seed + 1)
    near_one = learn(long_memory("spread"), train, test, steps=100, seed=seed)
    small = learn(long_memory("random"), train, test, steps=100, seed=seed)
    assert near_one > test.ceiling - 0.05
    assert small < test.chance + 0.1


@pytest.mark.slow
@five_starts
def test_decays_that_start_near_one_do_not_copy_selectively_within_300_steps(seed):
    train = selective_copying(2000, seed=2 * seed)
    test = selective_copying(1000, seed=2 * seed + 1)
    found = learn(long_memory("spread"), train, test, seed=seed)
    assert found < test.chance + 0.1
