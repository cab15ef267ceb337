"""The benchmarks run, name what they compare, and compare like with like. What they measure is not tested: machines differ."""

import pytest
import torch

from minirec.benchmark import glint_ru
from minirec.benchmark.timing import take_turns


def test_runs_take_turns_and_the_first_is_the_measure():
    calls = []
    frame = take_turns("case", {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=2, times={"b": 10.0})
    assert calls == list("ab" * 3)  # once unmeasured, then in turns
    assert frame["name"].tolist() == ["a", "b"] and frame["ratio"][0] == 1 and (frame["seconds"] > 0).all()


def test_a_sampled_part_is_scaled_to_the_whole(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))  # every run takes 1 s
    frame = take_turns("case", {"a": lambda: None, "b": lambda: None}, repeats=3, times={"b": 8.0})
    assert frame["seconds"].tolist() == [1, 8] and frame["ratio"].tolist() == [1, 8]


def test_glint_ru_is_measured_beside_its_peers_and_leaves_the_threads_as_they_were():
    threads = torch.get_num_threads()
    frame = glint_ru.benchmark_glint_ru(n_users=12, repeats=1, lengths=(3,), n_histories=4)
    assert torch.get_num_threads() == threads
    assert [case.partition(",")[0] for case in frame["case"].unique()] == ["epoch", "encoder alone", "parts of an epoch", "inference"]
    assert frame.groupby("case")["ratio"].first().eq(1).all() and (frame["seconds"] > 0).all()
    parts = frame[frame["case"].str.startswith("parts")].set_index("name")["seconds"]
    assert parts.drop(["all", "all but the softmax"]).sum() == pytest.approx(parts["all"], rel=1e-6)


def test_both_sides_of_the_epoch_compute_the_same_loss_and_a_difference_is_noticed():
    split, name = glint_ru._split("ml-1m", 12)
    assert name == "made-up ml-1m"
    one_pass, augmented = (glint_ru._Side(split, 16, 30, augmented=each, pad=each) for each in (False, True))
    glint_ru._same_loss(one_pass, augmented)
    with torch.no_grad():
        augmented.model.mixing[0] += 1
    with pytest.raises(RuntimeError, match="disagree about the loss"):
        glint_ru._same_loss(one_pass, augmented)


def test_the_sample_of_an_epoch_stands_for_all_of_it():
    split, _ = glint_ru._split("beauty", 40)
    side = glint_ru._Side(split, 8, 30, augmented=True, pad=True)
    side.sample(16, 3)
    assert len(side.batches) == 3 and all(items.shape[1] == 30 for items, _ in side.batches)
    n_prefixes = int((split.train_ends - split.interactions.offsets[:-1] - 1).clip(0).sum())
    assert side.times * 3 == pytest.approx(n_prefixes / 16, abs=0.5)
