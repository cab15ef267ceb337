"""The benchmarks run, name what they compare, and compare like with like.

What they measure is not tested: machines differ.
"""

from functools import partial

import pandas as pd
import pytest
import torch

from minirec.data.batching import TrainingBatches
from minirec.experiments import benchmarks, tables
from minirec.experiments.benchmarks import (
    glint_ru,
    glint_ru_variants,
    losses,
    recblr,
    recblr_scans,
    scan,
    systems,
)
from minirec.experiments.records import device_in_words
from minirec.layers.bd_lru import GatedRecurrentLayer
from minirec.profiling import take_turns
from minirec.scan import linear_recurrence

pytestmark = pytest.mark.slow

SMALL = {"beauty": (8, 6)}


def kinds_of_case(frame):
    """The cases, up to their first comma."""
    return [case.partition(",")[0] for case in frame["case"].unique()]


def test_runs_take_turns_and_the_first_is_the_measure():
    calls = []
    frame = take_turns(
        "case",
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")},
        repeats=2,
        times={"b": 10.0},
    )
    assert calls == list("ab" * 3)  # once unmeasured, then in turns
    assert frame["name"].tolist() == ["a", "b"]
    assert frame["ratio"][0] == 1
    assert (frame["seconds"] > 0).all()


def test_a_sampled_part_is_scaled_to_the_whole(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))  # every run takes 1 s
    frame = take_turns("case", {"a": lambda: None, "b": lambda: None}, repeats=3, times={"b": 8.0})
    assert frame["seconds"].tolist() == [1, 8]
    assert frame["ratio"].tolist() == [1, 8]


@pytest.mark.parametrize(("name", "is_on_gpu"), [("loading", False), ("scan", True)])
def test_every_row_names_the_device_that_was_measured(name, is_on_gpu, monkeypatch):
    rows = pd.DataFrame({"name": ["a", "b"], "seconds": [1.0, 2.0]})
    monkeypatch.setitem(benchmarks.BENCHMARKS, name, lambda repeats: rows.assign(low=repeats))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100")
    frame = benchmarks.measure(name, repeats=3)
    expected = "NVIDIA H100" if is_on_gpu else device_in_words(torch.device("cpu"))
    assert frame["device"].tolist() == [expected] * 2
    assert frame["low"].tolist() == [3, 3]


def test_glint_ru_is_measured_beside_its_peers_and_leaves_the_threads_as_they_were():
    threads = torch.get_num_threads()
    frame = glint_ru.benchmark_glint_ru(n_users=12, repeats=1)
    assert torch.get_num_threads() == threads
    assert kinds_of_case(frame) == ["epoch", "encoder alone", "parts of an epoch"]
    assert frame.groupby("case")["ratio"].first().eq(1).all()
    assert (frame["seconds"] > 0).all()
    parts = frame[frame["case"].str.startswith("parts")].set_index("name")["seconds"]
    assert parts.drop(["all", "all but the softmax"]).sum() == pytest.approx(parts["all"], rel=1e-6)


def test_both_sides_of_the_epoch_compute_the_same_loss_and_a_difference_is_noticed():
    split, name = systems.split_of("ml-1m", 12)
    assert name == "planted, for want of ml-1m"
    one_pass, augmented = (
        systems.Side(split, "glint-ru", 16, 30, augmented=each, pad=each, **glint_ru.NO_DROPOUT)
        for each in (False, True)
    )
    glint_ru._same_loss(one_pass, augmented)
    with torch.no_grad():
        augmented.model.mixing[0] += 1
    with pytest.raises(RuntimeError, match="disagree about the loss"):
        glint_ru._same_loss(one_pass, augmented)


def test_the_sample_of_an_epoch_stands_for_all_of_it():
    split, _ = systems.split_of("beauty", 40)
    side = systems.Side(split, "glint-ru", 8, 30, augmented=True, pad=True)
    side.sample(16, 3)
    assert len(side.batches) == 3
    assert all(items.shape[1] == 30 for items, _ in side.batches)
    n_prefixes = int((split.train_ends - split.interactions.offsets[:-1] - 1).clip(0).sum())
    epoch = TrainingBatches(split, "prefix", 30, 16, 0, prefixes_per_user=2**31).epoch(0)
    assert side.times * 3 == len(epoch)
    assert sum(real.n_rows for real in epoch.real) == n_prefixes
    # Every width rounds its number of batches by itself, by a half at most.
    assert len(epoch) == pytest.approx(n_prefixes / 16, abs=len(epoch.shapes) / 2)


def test_variants_of_glint_ru_are_measured_under_the_titles_of_all_systems():
    sizes = {"beauty": (8, 6), "ml-1m": (8, 7)}
    frame = glint_ru_variants.benchmark_glint_ru_variants(
        n_users=12, repeats=1, rows=4, n=1, sizes=sizes, n_histories=3
    )
    trained = systems.benchmark_train(n_users=12, repeats=1, sizes=SMALL, n=1, rows=4)
    title = next(case for case in trained["case"] if "a sample a prefix" in case)
    kernels = frame[frame["case"] == title]
    assert list(kernels["name"]) == [f"glint-ru, k = {k}" for k in (1, 3, 5, 7)]
    assert (kernels["seconds"] > 0).all()
    of_memory = frame[frame["case"].str.startswith("training step") & frame["mib"].notna()]
    assert {"glint-ru, k = 7", glint_ru_variants.LIGHT, "mamba4rec"} <= set(of_memory["name"])
    reading = frame[frame["case"] == "reading 3 histories of 7, d = 8"]
    assert set(reading["name"]) == {"glint-ru", glint_ru_variants.LIGHT}


def test_recblr_is_timed_by_every_scan_of_its_table_and_by_ours():
    frame = recblr_scans.benchmark_recblr_scans(n_users=12, repeats=1, rows=4, n=1, max_len=11)
    printed = set(tables.paper(5, "recblr")["scan"])
    assert printed < set(frame["name"])
    assert len(frame) == len(printed) + 2
    assert frame.set_index("name")["ratio"][recblr_scans.FUSED] == 1


@pytest.mark.parametrize("impl", ["loop", "tree", "padded"])
def test_whichever_scan_is_timed_it_computes_the_same_layer(impl):
    torch.manual_seed(0)
    layer = GatedRecurrentLayer(6)
    u = torch.randn(2, 11, 6)
    scans = {"padded": recblr_scans.padded_to_a_power_of_two}
    scan = scans.get(impl, partial(linear_recurrence, impl=impl))
    expected = layer(u)
    torch.testing.assert_close(recblr_scans.forward_by(scan, layer, u), expected)


def test_scans_are_measured_beside_a_copy_and_agree():
    frame = scan.benchmark_scan(shapes=[(2, 9, 4)], repeats=1)
    assert {"copy", "loop", "tree", "torch associative_scan"} <= set(frame["name"])
    assert frame["name"][0].startswith("ours, ")
    assert frame["ratio"][0] == 1
    assert (frame["seconds"] > 0).all()


def test_a_scan_that_disagrees_is_noticed(monkeypatch):
    def wrong(a, b):
        return linear_recurrence(a, b) * 1.01

    monkeypatch.setattr(scan, "peers", lambda device: {"wrong": wrong})
    with pytest.raises(RuntimeError, match="wrong and ours disagree"):
        scan.benchmark_scan(shapes=[(2, 9, 4)], repeats=1)


def test_a_peer_that_cannot_do_a_shape_is_left_out_and_named(monkeypatch, capsys):
    def refuse(a, b):
        raise ValueError("only powers of two")

    monkeypatch.setattr(scan, "peers", lambda device: {"choosy": refuse})
    frame = scan.benchmark_scan(shapes=[(2, 9, 4)], repeats=1)
    assert "choosy" not in set(frame["name"])
    assert "choosy leaves out [2, 9, 4]: only powers of two" in capsys.readouterr().out


SMALL_LOSS = {"catalogues": (7, 30), "widths": (4,), "n_targets": (5,), "repeats": 1}


def pretend_peers(monkeypatch, **peers):
    """Let these be the peers, on a CPU too; each takes x [T, d], items [V, d] and targets [T]."""

    def others(case, notes):
        return peers

    monkeypatch.setattr(losses._Case, "others", others)


def test_the_loss_is_measured_beside_plain_cross_entropy_and_its_floor():
    threads = torch.get_num_threads()
    frame = losses.benchmark_losses(**SMALL_LOSS, device="cpu")
    assert torch.get_num_threads() == threads
    assert frame["case"].unique().tolist() == [
        "T = 5, V = 7, d = 4, float32",
        "T = 5, V = 30, d = 4, float32",
    ]
    assert frame["device"].str.contains("thread").all()

    first = frame[frame["case"] == frame["case"][0]].set_index("name")
    assert first.loc["ours", "ratio"] == first.loc["ours", "mib_ratio"] == 1
    assert (first.loc[["ours", "plain cross-entropy"], ["seconds", "mib"]] > 0).all(axis=None)
    parts = first.loc[["floor: products", "floor: passes"], "seconds"]
    assert first.loc["floor", "seconds"] == pytest.approx(parts.sum())

    absent = first.loc[list(losses.PEERS)]
    assert absent["seconds"].isna().all()
    assert absent["note"].eq("absent: it needs a GPU").all()


def test_a_matrix_that_would_not_fit_is_left_out_and_named(monkeypatch):
    monkeypatch.setitem(losses.WHOLE_MATRIX_UP_TO, "cpu", 5 * 7)
    frame = losses.benchmark_losses(**SMALL_LOSS, device="cpu")
    plain = frame[frame["name"] == "plain cross-entropy"]
    assert plain["seconds"].notna().tolist() == [True, False]
    assert plain["note"].str.startswith("left out").tolist() == [False, True]


def test_a_loss_that_disagrees_is_noticed(monkeypatch):
    def wrong(x, items, targets):
        return losses._plain(x, items, targets) * 1.1

    pretend_peers(monkeypatch, wrong=wrong)
    with pytest.raises(RuntimeError, match="wrong and ours disagree at T = 5, V = 7"):
        losses.benchmark_losses(**SMALL_LOSS, device="cpu")


def test_a_loss_that_cannot_do_a_case_is_named(monkeypatch):
    def refuse(x, items, targets):
        raise AssertionError("only half precision")

    pretend_peers(monkeypatch, choosy=refuse)
    frame = losses.benchmark_losses(**SMALL_LOSS, device="cpu")
    choosy = frame[frame["name"] == "choosy"]
    assert choosy["note"].eq("cannot: only half precision").all()
    assert choosy["seconds"].isna().all()


def test_recblr_is_taken_apart():
    frame = recblr.benchmark_recblr(n_users=12, repeats=1, shape=(2, 5, 4), lengths=(2, 20))
    assert kinds_of_case(frame) == ["parts of a training step", "BD-LRU", "serving"]
    parts = frame[frame["case"].str.startswith("parts")].set_index("name")
    seconds = parts["seconds"]
    operators = seconds.drop(["all", "of that, the recurrences alone"])
    assert operators.sum() == pytest.approx(seconds["all"])
    assert (seconds > 0).all()  # every kind of operator was found by its name


def test_every_system_is_measured_by_its_own_objective_and_by_the_common_one():
    frame = systems.benchmark_train(n_users=12, repeats=1, sizes=SMALL, n=1, rows=4)
    assert [set(names) for _, names in frame.groupby("case")["name"]] == [set(systems.SYSTEMS)] * 2
    assert (frame.loc[frame["name"] == "glint-ru", "ratio"] == 1).all()
    for _, seconds in frame.groupby("case")["seconds"]:
        assert seconds.is_monotonic_increasing


def test_memory_and_inference_have_every_system():
    memory = systems.benchmark_memory(n_users=12, sizes=SMALL, rows=4)
    assert len(memory) == 3 * len(systems.SYSTEMS)
    assert (memory["mib"] > 0).all()

    inference = systems.benchmark_inference(repeats=1, sizes=((8, 5),), n_histories=4, n_items=9)
    reading, one_more = (set(names) for _, names in inference.groupby("case")["name"])
    assert reading == one_more == {*systems.SYSTEMS, "sasrec, one layer"}


def test_growth_is_measured_and_a_system_whose_weights_do_not_fit_is_left_out(monkeypatch):
    monkeypatch.setattr(systems, "WEIGHTS_UP_TO", 6 * 8 * 8)
    frame = systems.benchmark_length(
        repeats=1, lengths=(4, 9), widths=(8,), batches=(2,), tokens=18
    )
    cases = {case: set(names) for case, names in frame.groupby("case")["name"]}
    assert cases["18 positions in rows of N = 4, d = 64"] == set(systems.SYSTEMS)
    assert set(systems.SYSTEMS) - cases["18 positions in rows of N = 9, d = 64"] == {"smlp4rec"}
