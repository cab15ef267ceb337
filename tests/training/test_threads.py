"""Runs in several threads come out as they do alone, and leave the caller's numbers alone."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from small_models import RunningMean, small_system

from minirec import evaluate, fit, recommend
from minirec.data.planted import generate_planted
from minirec.training.random_numbers import RandomNumbers, alone_on

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
GPU = torch.device("cuda")


@pytest.fixture(scope="module")
def split():
    return generate_planted(1, n_users=60).split()


def model_of(name, split):
    return small_system(name, split.interactions.n_items, d_model=8, max_len=20, dropout=0.4)


def trained(model, split, **options):
    """Each epoch's loss and metric, and the weights."""
    settings = {"epochs": 3, "batch_size": 256, "lr": 1e-2, "patience": None, "device": "cpu"}
    history = fit(model, split, **(settings | options))
    numbers = [(entry["loss"], entry["valid_ndcg"]) for entry in history.epochs]
    return numbers, list(model.parameters())


def assert_same(one, other):
    assert one[0] == other[0]
    assert all(torch.equal(a, b) for a, b in zip(one[1], other[1], strict=True))


def test_two_runs_in_two_threads_are_bit_for_bit_what_they_are_alone(split):
    names = ["gru4rec", "sasrec"]
    alone = [trained(model_of(name, split), split) for name in names]

    models = [model_of(name, split) for name in names]
    before = torch.get_rng_state()
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda model: trained(model, split), models))
    for one, other in zip(alone, together, strict=True):
        assert_same(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_a_callback_draws_is_the_callers_and_no_part_of_the_run(split):
    expected = trained(model_of("gru4rec", split), split)
    model = model_of("gru4rec", split)
    drawn = []
    torch.manual_seed(7)
    found = trained(model, split, on_epoch=lambda history: drawn.append(torch.rand(3)))
    assert_same(found, expected)
    torch.manual_seed(7)
    assert torch.equal(torch.cat(drawn), torch.cat([torch.rand(3) for _ in range(3)]))


def test_a_model_trained_within_another_run_leaves_both_as_they_are_alone(split):
    outer = trained(model_of("gru4rec", split), split)
    inner = trained(model_of("sasrec", split), split)
    within = []

    def train_another(history):
        if len(history.epochs) == 2:
            within.append(trained(model_of("sasrec", split), split))

    model = model_of("gru4rec", split)
    assert_same(trained(model, split, on_epoch=train_another), outer)
    assert_same(within[0], inner)


class DrawsWhenJudged(RunningMean):
    def scores(self, items):
        return super().scores(items) + torch.rand(())


def test_a_model_that_draws_while_it_is_judged_draws_from_its_run(split):
    torch.manual_seed(0)
    model = DrawsWhenJudged(split.interactions.n_items)
    before = torch.get_rng_state()
    trained(model, split)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("seed", [0, 5, 2**63, 2**64 - 1])
def test_the_numbers_of_a_run_are_those_of_its_seed_from_step_to_step(seed):
    torch.manual_seed(seed)
    expected = torch.rand(6)
    numbers = RandomNumbers(seed, CPU)
    torch.manual_seed(3)
    with numbers.for_a_step():
        first = torch.rand(2)
    callers = torch.rand(1)
    with pytest.raises(ZeroDivisionError), numbers.for_a_step():
        second = torch.rand(4)
        raise ZeroDivisionError
    assert torch.equal(torch.cat([first, second]), expected)
    torch.manual_seed(3)
    assert torch.equal(callers, torch.rand(1))


def test_evaluating_draws_nothing(split):
    for name in ("gru4rec", "bert4rec", "popularity"):
        model = model_of(name, split)
        if name == "popularity":
            fit(model, split)
        before = torch.get_rng_state()
        for protocol in ("full", "popular-100"):
            evaluate(model, split, protocol=protocol)
        assert torch.equal(torch.get_rng_state(), before)


# ----- One model, several threads -----------------------------------------------------------------


def in_another_thread(work):
    """What `work` returns or raises there."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


@pytest.mark.parametrize("how", ["evaluate", "recommend"])
def test_a_model_is_not_scored_while_another_thread_trains_it(split, how):
    """Else it would leave training mode for some steps, and be judged between two weights."""
    expected = trained(model_of("gru4rec", split), split)
    model = model_of("gru4rec", split)

    def score():
        if how == "evaluate":
            return evaluate(model, split)
        return recommend(model, [[split.interactions.item_ids[0]]])

    def try_to_score(history):
        score()  # this thread may
        with pytest.raises(RuntimeError, match=r"gru4rec is being trained in another thread"):
            in_another_thread(score)

    assert_same(trained(model, split, on_epoch=try_to_score), expected)
    in_another_thread(score)  # training has ended


@pytest.mark.parametrize("name", ["gru4rec", "popularity"])
def test_a_model_is_not_trained_while_it_is_scored(split, name):
    model = model_of(name, split)
    if name == "popularity":
        fit(model, split)
    scores = model.scores
    refusals = []

    def training_meanwhile(items):
        with pytest.raises(RuntimeError, match=f"{name} is being scored already") as raised:
            in_another_thread(lambda: fit(model, split, epochs=1, device="cpu"))
        refusals.append(raised)
        return scores(items)

    model.scores = training_meanwhile
    evaluate(model, split)
    assert refusals


def test_a_model_is_not_trained_twice_at_once(split):
    model = model_of("gru4rec", split)
    expected = trained(model_of("gru4rec", split), split)

    def train_it_too(history):
        with pytest.raises(RuntimeError, match="gru4rec is being trained already"):
            in_another_thread(lambda: trained(model, split))

    assert_same(trained(model, split, on_epoch=train_it_too), expected)


def test_a_model_may_be_trained_again_after_a_run_that_failed(split):
    model = model_of("gru4rec", split)
    with pytest.raises(FloatingPointError):
        trained(model, split, lr=1e30)
    assert_same(trained(model, split), trained(model_of("gru4rec", split), split))


# ----- On a GPU, which a machine without one pretends ---------------------------------------------


def test_a_second_thread_is_refused_on_a_gpu_and_has_its_turn_afterwards():
    def enter():
        with alone_on(GPU):
            return "alone"

    with alone_on(GPU):
        assert enter() == "alone"  # the same thread, one run within another
        with pytest.raises(RuntimeError, match="another thread of this process is training on the"):
            in_another_thread(enter)
        with alone_on(CPU):
            pass
    assert in_another_thread(enter) == "alone"


def test_fit_is_refused_on_a_gpu_that_another_thread_trains_on(split, monkeypatch):
    """Before the model is touched: it is not moved, and has no vocabulary."""
    # By its name `minirec.training.fit` is the function and not the file.
    monkeypatch.setattr(sys.modules[fit.__module__], "choose_device", lambda name: GPU)
    model = model_of("gru4rec", split)
    entered = threading.Event()
    leave = threading.Event()

    def train_on_it():
        with alone_on(GPU):
            entered.set()
            leave.wait(60)

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(train_on_it)
        assert entered.wait(60)
        try:
            with pytest.raises(RuntimeError, match="Train one model after the other"):
                fit(model, split, epochs=1)
        finally:
            leave.set()
        other.result()
    assert model.vocabulary is None
    assert model.item_embedding.weight.device == CPU


def test_a_run_on_a_gpu_has_the_generators_from_beginning_to_end(monkeypatch):
    """A CUDA graph draws from the device's own generator, so that is not exchanged step by step."""
    of_gpu = {"state": "the caller's"}
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: of_gpu["state"])
    monkeypatch.setattr(
        torch.cuda, "set_rng_state", lambda state, device: of_gpu.update(state=state)
    )
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(11)
    before = torch.get_rng_state()
    numbers = RandomNumbers(5, GPU)
    with numbers.for_the_run():
        of_gpu["state"] = "the run's"
        drawn = []
        for _ in range(2):
            with numbers.for_a_step():
                drawn.append(torch.rand(2))
            assert of_gpu["state"] == "the run's"
        kept = numbers.state
        torch.rand(3)
        numbers.state = kept
        assert torch.equal(torch.get_rng_state(), kept)
    assert torch.equal(torch.cat(drawn), expected)
    assert torch.equal(torch.get_rng_state(), before)
    assert of_gpu["state"] == "the caller's"


def test_a_step_on_the_cpu_waits_until_another_threads_step_is_over():
    """Whoever draws outside a turn would take numbers out of another run's."""
    numbers = [RandomNumbers(seed, CPU) for seed in (1, 2)]
    order = []

    def step():
        with numbers[1].for_a_step():
            order.append("second")

    with ThreadPoolExecutor(1) as pool:
        with numbers[0].for_a_step():
            waiting = pool.submit(step)
            with pytest.raises(TimeoutError):
                waiting.result(0.2)
            order.append("first")
        waiting.result(60)
    assert order == ["first", "second"]
