"""The planted set and its oracle.

Shipped as generated, exact by brute force, and out of reach of simple predictors, each for a reason
of its own.
"""

import dataclasses
import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import integers, sampled_from
from numpy.testing import assert_allclose

from minirec import compare, evaluate, expected_metrics, load_dataset
from minirec.data import planted
from minirec.data.datasets import default_folder, find_file
from minirec.data.planted import PlantedOracle, generate_planted
from minirec.models.baselines import LastItem, Popularity

pytestmark = pytest.mark.slow

SEEDS = integers(0, 10**6)
PREMIERES = sampled_from(["many", "none", "at the end"])

# The module's story once more, in plain Python: a film is (genre, number), genres and numbers from
# 0; a distribution is a dict.
FILMS = [(genre, number) for genre in range(10) for number in range(50)]


def normalised(weights: list[float]) -> dict:
    return {i: weight / sum(weights) for i, weight in enumerate(weights)}


PRIOR = normalised([1 / (4 + genre) for genre in range(10)])
FAME = normalised([1 / (1 + 7 * number % 50) for number in range(50)])


def taste(favourite: int) -> dict:
    chances = {}
    for genre, number in FILMS:
        is_favourite = genre == favourite
        chances[genre, number] = (0.9 * is_favourite + 0.1 * PRIOR[genre]) * FAME[number]
    return chances


def walk(prefix: list) -> dict:
    """From the last film one, two or three on.

    Which way, the last step tells if it was one of these on the same shelf.
    """
    genre, number = prefix[-1]
    ways = {1: 0.5, -1: 0.5}
    if len(prefix) > 1 and prefix[-2][0] == genre:
        for way in (1, -1):
            reached = [(prefix[-2][1] + way * stride) % 50 for stride in (1, 2, 3)]
            if number in reached:
                ways = {way: 1.0}
    chances = {}
    for way, share in ways.items():
        for stride, chance in ((1, 0.5), (2, 0.3), (3, 0.2)):
            chances[genre, (number + way * stride) % 50] = share * chance
    return chances


def companions(premiere) -> dict:
    genre, number = premiere
    decade = number // 10
    chances = {}
    for i, (around, chance) in enumerate([(1, 0.4), (2, 0.3), (4, 0.2), (7, 0.1)]):
        chances[(genre + around) % 10, (decade + i) % 5 * 10 + 5] = chance
    return chances


TASTES = [taste(favourite) for favourite in range(10)]


def next_film(prefix: list, favourite: int) -> dict:
    """P(next | prefix, favourite genre)"""
    liking = TASTES[favourite]
    if not prefix:
        return liking
    premieres = premieres_of(prefix)
    echo = companions(premieres[-1]) if premieres else liking
    steps = walk(prefix)
    chances = {}
    for film in FILMS:
        chances[film] = 0.5 * liking[film] + 0.25 * steps.get(film, 0) + 0.25 * echo.get(film, 0)
    return chances


def premieres_of(prefix: list) -> list:
    return [film for film in prefix if film[1] % 10 == 0]


def brute_force(prefix: list) -> tuple[list[float], list[float]]:
    """By Bayes' rule over whole prefixes: P(favourite | prefix), and P(next | prefix) of FILMS."""
    joint = []
    for favourite in range(10):
        steps = [next_film(prefix[:t], favourite)[film] for t, film in enumerate(prefix)]
        joint.append(PRIOR[favourite] * math.prod(steps))
    posterior = [probability / sum(joint) for probability in joint]

    nexts = [next_film(prefix, favourite) for favourite in range(10)]
    chances = []
    for film in FILMS:
        given_each = [distribution[film] for distribution in nexts]
        chances.append(sum(p * q for p, q in zip(posterior, given_each, strict=True)))
    return posterior, chances


def random_prefix(seed: int, length: int, premieres: str) -> list:
    """Films chosen so that every rule matters.

    Neighbours, also across the ring's end, the last premiere's companions, and premieres: many,
    none, or one at the very end, which may have been reached by a step along the shelf.
    """
    rng = np.random.default_rng(seed)
    prefix = []
    seen = (int(rng.integers(10)), 0)
    for _ in range(length):
        choice = rng.integers(4) if prefix else 0
        if choice == 0:
            film = FILMS[rng.integers(500)]
        elif choice == 1:
            film = (prefix[-1][0], int(prefix[-1][1] + rng.integers(-4, 5)) % 50)
        elif choice == 2:
            film = list(companions(seen))[rng.integers(4)]
        else:
            film = (int(rng.integers(10)), int(rng.choice([0, 10, 48, 49, 1])))
        if premieres != "many" and film[1] % 10 == 0:
            film = (film[0], film[1] + 1)
        seen = film if film[1] % 10 == 0 else seen
        prefix.append(film)
    if premieres == "at the end" and length > 1:
        genre, number = prefix[-2]
        prefix[-1] = (genre, round(number, -1) % 50)
    return prefix


def ids(prefix: list) -> list[int]:
    return [50 * genre + number + 1 for genre, number in prefix]


def padded_rows(prefixes: list, width: int) -> np.ndarray:
    return np.array([ids(prefix) + [0] * (width - len(prefix)) for prefix in prefixes])


def test_the_shipped_data_is_what_the_generator_draws(monkeypatch):
    monkeypatch.delenv("MINIREC_DATA", raising=False)
    assert find_file("planted", None) == default_folder() / "planted.txt.gz"
    shipped = load_dataset("planted")
    drawn = generate_planted(0)
    for name in ("items", "offsets", "item_ids", "user_ids"):
        assert np.array_equal(getattr(shipped, name), getattr(drawn, name))
    assert shipped.fingerprint == drawn.fingerprint
    assert shipped.timestamps is None


def test_the_sequences_of_another_seed_are_others():
    first = generate_planted(0, n_users=20)
    second = generate_planted(1, n_users=20)
    assert second.fingerprint != first.fingerprint


def test_lengths_lie_within_their_bounds():
    lengths = np.diff(generate_planted(3, n_users=2000, shortest=5, longest=9).offsets)
    assert set(lengths) == {5, 6, 7, 8, 9}


def test_the_example_in_the_docstring_is_one():
    names = planted.film_names().tolist()
    companions_of_noir_20 = planted.echo_films(np.array(names.index("noir-20") + 1))
    listed = planted.__doc__.split("noir-20:")[1].split(")")[0].replace(",", " ").split()
    assert [names[i - 1] for i in companions_of_noir_20] == listed


@given(seed=SEEDS, length=integers(1, 9), premieres=PREMIERES)
def test_the_oracle_is_the_brute_force_probability(seed, length, premieres):
    prefix = random_prefix(seed, length, premieres)
    _, expected = brute_force(prefix)
    found = PlantedOracle().probabilities(padded_rows([prefix], length))[0, 1:]
    assert_allclose(found, expected, rtol=1e-9, atol=0)


@given(seed=SEEDS, length=integers(1, 9), premieres=PREMIERES)
def test_the_posterior_is_the_brute_force_posterior(seed, length, premieres):
    prefix = random_prefix(seed, length, premieres)
    expected, _ = brute_force(prefix)
    found = PlantedOracle().posterior(padded_rows([prefix], length))[0]
    assert_allclose(found, expected, rtol=1e-9, atol=0)


@given(seed=SEEDS)
def test_padding_and_neighbours_do_not_matter(seed):
    prefixes = [random_prefix(seed + i, n, "many") for i, n in enumerate((1, 2, 5, 9))]
    oracle = PlantedOracle()
    together = oracle.probabilities(padded_rows(prefixes, 12))
    alone = [oracle.probabilities(padded_rows([prefix], len(prefix)))[0] for prefix in prefixes]
    assert_allclose(together, alone, rtol=1e-12, atol=0)


def test_scores_are_the_probabilities_with_padding_excluded():
    items = padded_rows([random_prefix(0, 4, "many"), random_prefix(1, 6, "many")], 6)
    scores = PlantedOracle().scores(torch.from_numpy(items))
    assert torch.isneginf(scores[:, 0]).all()
    assert_allclose(scores[:, 1:].numpy(), PlantedOracle().probabilities(items)[:, 1:], rtol=0)
    assert_allclose(scores[:, 1:].sum(1).numpy(), 1, rtol=1e-12)


@given(seed=SEEDS, premieres=PREMIERES)
def test_the_parts_add_up_to_the_oracle(seed, premieres):
    items = padded_rows([random_prefix(seed, 6, premieres)], 6)
    parts = [PlantedOracle((part,)).probabilities(items) for part in ("taste", "shelf", "echo")]
    assert_allclose(sum(parts), PlantedOracle().probabilities(items), rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("parts", [(), ("tastes",)])
def test_an_unknown_part_is_refused(parts):
    with pytest.raises(ValueError, match="parts must be some of"):
        PlantedOracle(parts)


@pytest.fixture(scope="module")
def foretold():
    """(probabilities [T, V], drawn films [T], prefixes) as the oracle sees them.

    Of every position but the first of 500 drawn users.
    """
    data = generate_planted(11, n_users=500)
    rows = []
    drawn = []
    prefixes = []
    for user in range(data.n_users):
        row = data.sequence(user)
        films = [FILMS[item - 1] for item in row]
        rows += [np.pad(row[:t], (0, 60 - t)) for t in range(1, len(row))]
        prefixes += [films[:t] for t in range(1, len(row))]
        drawn.append(row[1:] - 1)
    return PlantedOracle().probabilities(np.array(rows))[:, 1:], np.concatenate(drawn), prefixes


def z_score(happened, means, variances) -> float:
    return float((happened.sum() - means.sum()) / np.sqrt(variances.sum()))


def test_the_generator_draws_as_surprisingly_as_the_oracle_expects(foretold):
    p, drawn, _ = foretold
    surprise = np.log(p)
    mean = (p * surprise).sum(1)
    variance = (p * surprise**2).sum(1) - mean**2
    happened = surprise[np.arange(len(p)), drawn]
    assert abs(z_score(happened, mean, variance)) < 4


@pytest.mark.parametrize("first, last", [(1, 1), (2, 4), (5, 10), (11, 60), (61, 500)])
def test_the_generator_draws_each_rank_as_often_as_the_oracle_expects(foretold, first, last):
    p, drawn, _ = foretold
    films = (-p).argsort(1, kind="stable")[:, first - 1 : last]
    share = np.take_along_axis(p, films, 1).sum(1)
    happened = (films == drawn[:, None]).any(1)
    assert abs(z_score(happened, share, share * (1 - share))) < 4


def ways_on(prefix, strides):
    return [film for film in walk(prefix) if (film[1] - prefix[-1][1]) % 50 in strides]


def last_companions(prefix) -> list:
    premieres = premieres_of(prefix)
    return list(companions(premieres[-1])) if premieres else []


EVENTS = {
    "any step": walk,
    "a step of one": partial(ways_on, strides=(1, 49)),
    "a step of two": partial(ways_on, strides=(2, 48)),
    "a step of three": partial(ways_on, strides=(3, 47)),
    "a step forwards": partial(ways_on, strides=(1, 2, 3)),
    "any companion": last_companions,
    "the first companion": lambda p: last_companions(p)[:1],
    "the last companion": lambda p: last_companions(p)[3:],
}


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_the_generator_draws_each_kind_of_film_as_often_as_the_oracle_expects(foretold, event):
    p, drawn, prefixes = foretold
    films = [ids(event(prefix)) for prefix in prefixes]
    share = np.zeros(len(films))
    happened = np.zeros(len(films), dtype=bool)
    for t, kind in enumerate(films):
        share[t] = p[t, np.array(kind, dtype=int) - 1].sum()
        happened[t] = drawn[t] + 1 in kind
    assert happened.sum() > 100
    assert abs(z_score(happened, share, share * (1 - share))) < 4


def first_targets(split, n: int):
    """The same split, asked for its first n test targets only."""
    first = {name: values[:n] for name, values in vars(split.test).items()}
    return dataclasses.replace(split, test=dataclasses.replace(split.test, **first))


def kinds_of_targets(split) -> dict[str, np.ndarray]:
    """bool[T] each: which test targets are a step along the shelf, an echo alone, or neither.

    An echo counts where its premiere is not the last film.
    """
    kinds = {"step": [], "echo": [], "taste": []}
    films = [divmod(int(item) - 1, 50) for item in split.interactions.items]
    for begin, position in zip(split.test.starts, split.test.positions, strict=True):
        prefix = films[begin:position]
        target = films[position]
        last = prefix[-1]
        distance = (target[1] - last[1]) % 50
        step = target[0] == last[0] and distance in (1, 2, 3, 47, 48, 49)
        premieres = premieres_of(prefix)
        echo = bool(premieres) and target in companions(premieres[-1])
        kinds["step"].append(step)
        kinds["echo"].append(echo and not step and premieres[-1] != last)
        kinds["taste"].append(not step and not echo)
    return {name: np.array(mask) for name, mask in kinds.items()}


@pytest.fixture(scope="module", params=range(5), ids=lambda seed: f"seed {seed}")
def contest(request):
    """Of a generator seed: (split, {name: predictor}, {name: evaluation}, {kind: its targets})."""
    split = generate_planted(request.param).split()
    models = {
        "popularity": Popularity(500).count(split),
        "last item": LastItem(500).count(split),
        "taste only": PlantedOracle(("taste",)),
        "oracle": PlantedOracle(),
    }
    evaluations = {name: evaluate(model, split) for name, model in models.items()}
    return split, models, evaluations, kinds_of_targets(split)


def test_the_oracle_beats_every_simple_predictor_by_ten_standard_errors(contest):
    _, _, evaluations, _ = contest
    for name in ("popularity", "last item", "taste only"):
        assert compare(evaluations["oracle"], evaluations[name]).t > 10


def test_no_simple_predictor_closes_three_quarters_of_the_gap_from_popularity_to_the_oracle(
    contest,
):
    split, models, _, _ = contest
    some = first_targets(split, 1000)
    expected = {}
    for name, model in models.items():
        expected[name] = expected_metrics(model, some, models["oracle"])["ndcg"]
    gap = expected["oracle"] - expected["popularity"]
    assert expected["oracle"] > 3 * expected["popularity"]
    for name in ("last item", "taste only"):
        assert 0 < expected[name] - expected["popularity"] < 0.75 * gap


def standard_errors_ahead(better, worse, where) -> float:
    """How far the first is ahead in NDCG@10 among some targets, in standard errors."""
    return compare(among(better, where), among(worse, where)).t


def among(evaluation, where):
    users = evaluation.users[where]
    return dataclasses.replace(evaluation, users=users, ranks=evaluation.ranks[where])


def test_popularity_fails_on_steps_echoes_and_taste(contest):
    _, _, evaluations, kinds = contest
    for where in kinds.values():
        assert standard_errors_ahead(evaluations["oracle"], evaluations["popularity"], where) > 10


def test_last_item_fails_on_taste_and_on_echoes_of_what_lies_further_back(contest):
    _, _, evaluations, kinds = contest
    last_item = evaluations["last item"]
    assert standard_errors_ahead(evaluations["taste only"], last_item, kinds["taste"]) > 10
    assert standard_errors_ahead(evaluations["oracle"], last_item, kinds["echo"]) > 10


def test_taste_only_fails_on_steps_and_echoes(contest):
    _, _, evaluations, kinds = contest
    taste_only = evaluations["taste only"]
    assert standard_errors_ahead(evaluations["last item"], taste_only, kinds["step"]) > 10
    assert standard_errors_ahead(evaluations["last item"], taste_only, kinds["echo"]) > 10


def test_an_oracle_that_lacks_one_part_is_behind(contest):
    split, models, _, _ = contest
    few = first_targets(split, 300)
    oracle = models["oracle"]
    best = expected_metrics(oracle, few, oracle)["ndcg"]
    for parts in (("shelf", "echo"), ("taste", "echo"), ("taste", "shelf")):
        assert expected_metrics(PlantedOracle(parts), few, oracle)["ndcg"] < 0.9 * best


FEW = generate_planted(7, n_users=25).split()


class NearOracle:
    """The oracle's probabilities, disturbed a little or beyond recognition; no two are equal."""

    max_len = None
    name = "near-oracle"

    def __init__(self, seed, noise):
        self.generator = torch.Generator().manual_seed(seed)
        self.noise = noise

    def scores(self, items):
        scores = PlantedOracle().scores(items).clamp_min(1e-12).log()
        draws = torch.randn(scores.shape, generator=self.generator, dtype=torch.float64)
        scores += self.noise * draws
        assert all(len(row.unique()) == len(row) for row in scores)
        return scores


@settings(max_examples=30)
@given(seed=SEEDS, power=integers(-3, 6), k=integers(1, 30))
def test_nothing_exceeds_the_oracle_in_expectation(seed, power, k):
    best = expected_metrics(PlantedOracle(), FEW, PlantedOracle(), k=k)
    found = expected_metrics(NearOracle(seed, noise=4.0**power / 64), FEW, PlantedOracle(), k=k)
    assert all(found[name] <= best[name] + 1e-12 for name in best)
