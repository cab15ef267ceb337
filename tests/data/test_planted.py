"""The planted set and its oracle: shipped as generated, exact by brute force, and out of reach of simple predictors, each for its own reason."""

import dataclasses
import math

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

SEEDS, PREMIERES = integers(0, 10**6), sampled_from(["many", "none", "at the end"])

# The module's story once more, in plain Python: a film is (genre, number), genres and numbers from 0; a distribution is a dict.
PRIOR = {g: (1 / (4 + g)) / sum(1 / (4 + other) for other in range(10)) for g in range(10)}
FAME = {
    n: (1 / (1 + 7 * n % 50)) / sum(1 / (1 + 7 * other % 50) for other in range(50))
    for n in range(50)
}
FILMS = [(g, n) for g in range(10) for n in range(50)]


def taste(favourite: int) -> dict:
    return {(g, n): 0.9 * (g == favourite) * FAME[n] + 0.1 * PRIOR[g] * FAME[n] for g, n in FILMS}


def walk(prefix: list) -> dict:
    """From the last film one, two or three on; which way, the last step tells if it was one of these on the same shelf."""
    genre, number = prefix[-1]
    ways = {1: 0.5, -1: 0.5}
    if len(prefix) > 1 and prefix[-2][0] == genre:
        for way in (1, -1):
            if any((prefix[-2][1] + way * stride) % 50 == number for stride in (1, 2, 3)):
                ways = {way: 1.0}
    return {
        (genre, (number + way * stride) % 50): share * chance
        for way, share in ways.items()
        for stride, chance in ((1, 0.5), (2, 0.3), (3, 0.2))
    }


def companions(premiere) -> dict:
    genre, decade = premiere[0], premiere[1] // 10
    return {
        ((genre + around) % 10, (decade + i) % 5 * 10 + 5): chance
        for i, (around, chance) in enumerate([(1, 0.4), (2, 0.3), (4, 0.2), (7, 0.1)])
    }


TASTES = [taste(favourite) for favourite in range(10)]


def next_film(prefix: list, favourite: int) -> dict:
    """P(next | prefix, favourite genre)"""
    if not prefix:
        return TASTES[favourite]
    premieres = [film for film in prefix if film[1] % 10 == 0]
    echo = companions(premieres[-1]) if premieres else TASTES[favourite]
    steps = walk(prefix)
    return {
        film: 0.5 * TASTES[favourite][film] + 0.25 * steps.get(film, 0) + 0.25 * echo.get(film, 0)
        for film in FILMS
    }


def brute_force(prefix: list) -> tuple[list[float], list[float]]:
    """(P(favourite | prefix), P(next | prefix) in the order of FILMS), by Bayes' rule over whole prefixes."""
    joint = [
        PRIOR[f] * math.prod(next_film(prefix[:t], f)[film] for t, film in enumerate(prefix))
        for f in range(10)
    ]
    posterior = [j / sum(joint) for j in joint]
    nexts = [next_film(prefix, f) for f in range(10)]
    return posterior, [
        sum(p * distribution[film] for p, distribution in zip(posterior, nexts)) for film in FILMS
    ]


def random_prefix(seed: int, length: int, premieres: str) -> list:
    """Films chosen so that every rule matters: neighbours, also across the ring's end, the last premiere's companions, and premieres: many, none
    or one at the very end, which may have been reached by a step along the shelf."""
    rng, prefix = np.random.default_rng(seed), []
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
    shipped, drawn = load_dataset("planted"), generate_planted(0)
    for name in ("items", "offsets", "item_ids", "user_ids"):
        assert np.array_equal(getattr(shipped, name), getattr(drawn, name))
    assert shipped.fingerprint == drawn.fingerprint and shipped.timestamps is None


def test_the_sequences_of_another_seed_are_others():
    assert (
        generate_planted(1, n_users=20).fingerprint != generate_planted(0, n_users=20).fingerprint
    )


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
    assert_allclose(
        PlantedOracle().probabilities(padded_rows([prefix], length))[0, 1:],
        expected,
        rtol=1e-9,
        atol=0,
    )


@given(seed=SEEDS, length=integers(1, 9), premieres=PREMIERES)
def test_the_posterior_is_the_brute_force_posterior(seed, length, premieres):
    prefix = random_prefix(seed, length, premieres)
    assert_allclose(
        PlantedOracle().posterior(padded_rows([prefix], length))[0],
        brute_force(prefix)[0],
        rtol=1e-9,
        atol=0,
    )


@given(seed=SEEDS)
def test_padding_and_neighbours_do_not_matter(seed):
    prefixes = [
        random_prefix(seed + i, length, premieres="many") for i, length in enumerate((1, 2, 5, 9))
    ]
    together = PlantedOracle().probabilities(padded_rows(prefixes, 12))
    alone = [
        PlantedOracle().probabilities(padded_rows([prefix], len(prefix)))[0] for prefix in prefixes
    ]
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
    """(probabilities [T, V], drawn films [T], prefixes) of every position but the first of 500 drawn users, as the oracle sees it."""
    data = generate_planted(11, n_users=500)
    rows, drawn, prefixes = [], [], []
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
    assert (
        abs(z_score(surprise[np.arange(len(p)), drawn], mean, (p * surprise**2).sum(1) - mean**2))
        < 4
    )


@pytest.mark.parametrize("first, last", [(1, 1), (2, 4), (5, 10), (11, 60), (61, 500)])
def test_the_generator_draws_each_rank_as_often_as_the_oracle_expects(foretold, first, last):
    p, drawn, _ = foretold
    order = (-p).argsort(1, kind="stable")
    share = np.take_along_axis(p, order[:, first - 1 : last], 1).sum(1)
    happened = (order[:, first - 1 : last] == drawn[:, None]).any(1)
    assert abs(z_score(happened, share, share * (1 - share))) < 4


def ways_on(prefix, strides):
    return [film for film in walk(prefix) if (film[1] - prefix[-1][1]) % 50 in strides]


def last_companions(prefix) -> list:
    premieres = [film for film in prefix if film[1] % 10 == 0]
    return list(companions(premieres[-1])) if premieres else []


EVENTS = {
    "any step": walk,
    "a step of one": lambda p: ways_on(p, (1, 49)),
    "a step of two": lambda p: ways_on(p, (2, 48)),
    "a step of three": lambda p: ways_on(p, (3, 47)),
    "a step forwards": lambda p: ways_on(p, (1, 2, 3)),
    "any companion": last_companions,
    "the first companion": lambda p: last_companions(p)[:1],
    "the last companion": lambda p: last_companions(p)[3:],
}


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_the_generator_draws_each_kind_of_film_as_often_as_the_oracle_expects(foretold, event):
    p, drawn, prefixes = foretold
    films = [ids(event(prefix)) for prefix in prefixes]
    share = np.array([row[np.array(kind, dtype=int) - 1].sum() for row, kind in zip(p, films)])
    happened = np.array([film + 1 in kind for film, kind in zip(drawn.tolist(), films)])
    assert happened.sum() > 100 and abs(z_score(happened, share, share * (1 - share))) < 4


def first_targets(split, n: int):
    """The same split, asked for its first n test targets only."""
    return dataclasses.replace(
        split,
        test=dataclasses.replace(
            split.test, **{name: values[:n] for name, values in vars(split.test).items()}
        ),
    )


def kinds_of_targets(split) -> dict[str, np.ndarray]:
    """Which test targets are a step along the shelf, which only an echo of a premiere further back, and which neither: bool[T] each."""
    kinds = {"step": [], "echo": [], "taste": []}
    for begin, at in zip(split.test.starts, split.test.positions):
        prefix = [divmod(int(item) - 1, 50) for item in split.interactions.items[begin:at]]
        target = divmod(int(split.interactions.items[at]) - 1, 50)
        step = target[0] == prefix[-1][0] and (target[1] - prefix[-1][1]) % 50 in (
            1,
            2,
            3,
            47,
            48,
            49,
        )
        premieres = [film for film in prefix if film[1] % 10 == 0]
        echo = bool(premieres) and target in companions(premieres[-1])
        kinds["step"].append(step)
        kinds["echo"].append(echo and not step and premieres[-1] != prefix[-1])
        kinds["taste"].append(not step and not echo)
    return {name: np.array(mask) for name, mask in kinds.items()}


@pytest.fixture(scope="module", params=range(5), ids=lambda seed: f"seed {seed}")
def contest(request):
    """(split, {name: predictor}, {name: evaluation}, {kind: which targets are of it}) of a generator seed."""
    split = generate_planted(request.param).split()
    models = {
        "popularity": Popularity(500).count(split),
        "last item": LastItem(500).count(split),
        "taste only": PlantedOracle(("taste",)),
        "oracle": PlantedOracle(),
    }
    return (
        split,
        models,
        {name: evaluate(model, split) for name, model in models.items()},
        kinds_of_targets(split),
    )


def test_the_oracle_beats_every_simple_predictor_by_ten_standard_errors(contest):
    _, _, evaluations, _ = contest
    for name in ("popularity", "last item", "taste only"):
        assert compare(evaluations["oracle"], evaluations[name]).t > 10


def test_no_simple_predictor_closes_three_quarters_of_the_gap_from_popularity_to_the_oracle(
    contest,
):
    split, models, _, _ = contest
    expected = {
        name: expected_metrics(model, first_targets(split, 1000), models["oracle"])["ndcg"]
        for name, model in models.items()
    }
    gap = expected["oracle"] - expected["popularity"]
    assert expected["oracle"] > 3 * expected["popularity"]
    for name in ("last item", "taste only"):
        assert 0 < expected[name] - expected["popularity"] < 0.75 * gap


def standard_errors_ahead(better, worse, where) -> float:
    """How far the first is ahead in NDCG@10 among some targets, in standard errors."""
    better, worse = (
        dataclasses.replace(e, users=e.users[where], ranks=e.ranks[where]) for e in (better, worse)
    )
    return compare(better, worse).t


def test_popularity_fails_on_steps_echoes_and_taste(contest):
    _, _, evaluations, kinds = contest
    for where in kinds.values():
        assert standard_errors_ahead(evaluations["oracle"], evaluations["popularity"], where) > 10


def test_last_item_fails_on_taste_and_on_echoes_of_what_lies_further_back(contest):
    _, _, evaluations, kinds = contest
    assert (
        standard_errors_ahead(evaluations["taste only"], evaluations["last item"], kinds["taste"])
        > 10
    )
    assert (
        standard_errors_ahead(evaluations["oracle"], evaluations["last item"], kinds["echo"]) > 10
    )


def test_taste_only_fails_on_steps_and_echoes(contest):
    _, _, evaluations, kinds = contest
    assert (
        standard_errors_ahead(evaluations["last item"], evaluations["taste only"], kinds["step"])
        > 10
    )
    assert (
        standard_errors_ahead(evaluations["last item"], evaluations["taste only"], kinds["echo"])
        > 10
    )


def test_an_oracle_that_lacks_one_part_is_behind(contest):
    split, models, _, _ = contest
    few, oracle = first_targets(split, 300), models["oracle"]
    best = expected_metrics(oracle, few, oracle)["ndcg"]
    for parts in (("shelf", "echo"), ("taste", "echo"), ("taste", "shelf")):
        assert expected_metrics(PlantedOracle(parts), few, oracle)["ndcg"] < 0.9 * best


FEW = generate_planted(7, n_users=25).split()


class NearOracle:
    """The oracle's probabilities, disturbed: a little or beyond recognition; no two scores are equal."""

    max_len, name = None, "near-oracle"

    def __init__(self, seed, noise):
        self.generator, self.noise = torch.Generator().manual_seed(seed), noise

    def scores(self, items):
        scores = PlantedOracle().scores(items).clamp_min(1e-12).log()
        scores += self.noise * torch.randn(
            scores.shape, generator=self.generator, dtype=torch.float64
        )
        assert all(len(row.unique()) == len(row) for row in scores)
        return scores


@settings(max_examples=30)
@given(seed=SEEDS, power=integers(-3, 6), k=integers(1, 30))
def test_nothing_exceeds_the_oracle_in_expectation(seed, power, k):
    best = expected_metrics(PlantedOracle(), FEW, PlantedOracle(), k=k)
    found = expected_metrics(NearOracle(seed, noise=4.0**power / 64), FEW, PlantedOracle(), k=k)
    assert all(found[name] <= best[name] + 1e-12 for name in best)
