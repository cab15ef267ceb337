"""Saved models and recommendations.

The file is enough; raw ids go in and come out; nothing is half-written or silently wrong.
"""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from logs import random_log
from small_models import small_system

from minirec import (
    Interactions,
    available_models,
    build_model,
    fit,
    load_model,
    recommend,
    save_model,
    storage,
)
from minirec.models.gru4rec import GRU4Rec

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
# Away from the defaults, so that a lost option shows.
SMALL = {"d_model": 8, "dropout": 0.5, "max_len": 5, "n_layers": 2}


def named_log(names) -> Interactions:
    """Six users over 12 items called names(0) .. names(11), item 0 the most popular."""
    rng = np.random.default_rng(0)
    items = np.concatenate([np.arange(12), rng.integers(0, 12, 24), np.zeros(12, int)])
    return Interactions.from_columns(np.arange(48) % 6, [names(i) for i in items])


def trained(name: str, data: Interactions, **changes):
    """A model that has seen the data, without spending time on training it."""
    model = small_system(name, data.n_items, **(SMALL | changes))
    if model.objective == "count":
        fit(model, data.split())
    return model.eval()


def saved(path, name="gru4rec", names=int, **changes):
    """(the model that was saved, the one that was loaded, the data)"""
    data = named_log(names)
    model = trained(name, data, **changes)
    save_model(path, model, data)
    return model, load_model(path), data


@pytest.mark.parametrize("name", available_models())
def test_a_loaded_model_scores_bit_for_bit_as_the_saved_one(tmp_path, name):
    model, again, _ = saved(tmp_path / "model.pt", name)
    items = torch.tensor([[1, 2, 3, 4, 5], [7, 12, 0, 0, 0]])
    with torch.inference_mode():
        assert torch.equal(again.scores(items), model.scores(items))
    assert again.options == model.options
    assert again.max_len == model.max_len
    assert not again.training


def test_a_loaded_model_has_the_padding_as_a_class_if_the_saved_one_had(tmp_path):
    model, again, _ = saved(tmp_path / "model.pt", "recblr", padding_class=True)
    assert again.padding_class
    assert torch.equal(again.item_embedding.weight, model.item_embedding.weight)
    assert again.item_embedding.weight[0].all()


@pytest.mark.parametrize("name", available_models())
def test_the_file_holds_plain_tensors_and_numbers(tmp_path, name):
    saved(tmp_path / "model.pt", name)
    assert torch.load(tmp_path / "model.pt", weights_only=True)["name"] == name


RECOMMENDS = """
from minirec import load_model, recommend

frame = recommend(load_model("only.pt"), [["film 3", "film 7"], []], 4)
print(frame.to_csv(index=False), end="")
"""


def film(i):
    return f"film {i}"


@pytest.mark.parametrize("name", available_models())
def test_nothing_but_the_file_is_needed_to_recommend(tmp_path, name):
    _, again, _ = saved(tmp_path / "model.pt", name, film)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    os.rename(tmp_path / "model.pt", elsewhere / "only.pt")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    environment.pop("MINIREC_DATA", None)
    run = subprocess.run(
        [sys.executable, "-c", RECOMMENDS],
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    here = recommend(again, [["film 3", "film 7"], []], 4)
    assert run.stdout.splitlines() == here.to_csv(index=False).splitlines()


NAMES = {
    "integers": int,
    "large integers": lambda i: i + 2**60,
    "decimals": lambda i: i / 4,
    "digits": lambda i: f"0{i}",
    "strings": lambda i: f"ü {i}\n",
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_raw_ids_survive(tmp_path, names):
    _, again, data = saved(tmp_path / "model.pt", names=names)
    assert again.vocabulary.item_ids.tolist() == data.item_ids.tolist()
    assert set(recommend(again, [[names(3)]], 12)["item"]) == {names(i) for i in range(12)}


def test_the_vocabulary_counts_and_fingerprint_survive(tmp_path):
    _, again, data = saved(tmp_path / "model.pt")
    assert again.vocabulary.counts.tolist() == data.item_counts().tolist()
    assert again.vocabulary.fingerprint == data.fingerprint


def test_recommend_gives_the_best_scored_items_in_order(tmp_path):
    model, again, data = saved(tmp_path / "model.pt", names=film)
    histories = [
        ["film 3", "film 7"],
        ["film 1"] * 9,
        ["film 0", "film 2", "film 4", "film 6", "film 8", "film 10", "film 1"],
    ]
    frame = recommend(again, histories, 5, batch_size=2)
    for number, history in enumerate(histories):
        row = torch.from_numpy(data.encode_items(history[-5:]))[None]  # max_len is 5
        with torch.inference_mode():
            scores = model.scores(row)[0]
        best = sorted(range(1, 13), key=lambda i: -scores[i].item())[:5]
        rows = frame[frame["history"] == number]
        assert rows["item"].tolist() == data.item_ids[np.array(best) - 1].tolist()
        assert rows["rank"].tolist() == [1, 2, 3, 4, 5]
        assert rows["score"].to_numpy() == pytest.approx(scores[best].double().numpy(), rel=1e-5)
    assert not frame["fallback"].any()
    assert not frame["unknown"].any()


def test_unknown_items_are_dropped_and_counted(tmp_path):
    _, model, _ = saved(tmp_path / "model.pt")
    frame = recommend(model, [[99, 3, -1, 7, "no film"]], 4)
    clean = recommend(model, [[3, 7]], 4)
    assert frame["unknown"].tolist() == [3] * 4
    assert frame.drop(columns="unknown").equals(clean.drop(columns="unknown"))


@pytest.mark.parametrize("nothing", [[], [99, 98]], ids=["empty", "all unknown"])
def test_an_empty_history_falls_back_to_popularity_and_says_so(tmp_path, nothing):
    _, model, data = saved(tmp_path / "model.pt")
    frame = recommend(model, [[3], nothing], 12)
    counts = data.item_counts()[1:]
    fallback = frame[frame["history"] == 1]
    assert frame["fallback"].tolist() == [False] * 12 + [True] * 12
    assert fallback["unknown"].tolist() == [len(nothing)] * 12
    scores = fallback["score"].tolist()
    assert scores == sorted(counts.tolist(), reverse=True)
    # Here an item's raw id is its dense id less one.
    assert [counts[item] for item in fallback["item"]] == scores


def test_an_item_that_nobody_chose_is_listed_last_and_padding_never(tmp_path):
    """Popularity counts of 0, which padding has as well."""
    _, loaded, _ = saved(tmp_path / "model.pt")
    counts = loaded.vocabulary.counts.copy()
    counts[5] = 0
    loaded.vocabulary = dataclasses.replace(loaded.vocabulary, counts=counts)
    item_ids = loaded.vocabulary.item_ids
    frame = recommend(loaded, [[]], k=len(item_ids))
    assert sorted(frame["item"]) == sorted(item_ids)
    assert frame["item"].iloc[-1] == item_ids[4]


def test_exclude_seen_leaves_out_the_whole_history(tmp_path):
    _, model, _ = saved(tmp_path / "model.pt")
    history = [0, 1, 2, 3, 4, 5, 6, 7]  # longer than max_len
    assert set(recommend(model, [history], 4, exclude_seen=True)["item"]) == {8, 9, 10, 11}
    assert set(recommend(model, [history], 12)["item"]) == set(range(12))


def test_a_history_that_leaves_few_items_has_a_shorter_list_and_no_seen_item_fills_it(tmp_path):
    _, model, _ = saved(tmp_path / "model.pt")
    long = [0, 1, 2, 3, 4, 5, 6, 7, 7]
    everything = list(range(12))
    frame = recommend(model, [[1], long, everything, []], 5, exclude_seen=True)
    assert frame["history"].tolist() == [0] * 5 + [1] * 4 + [3] * 5
    assert frame["rank"].tolist() == [1, 2, 3, 4, 5, 1, 2, 3, 4, 1, 2, 3, 4, 5]
    assert set(frame["item"][frame["history"] == 1]) == {8, 9, 10, 11}
    alone = recommend(model, [[1]], 5, exclude_seen=True)
    assert frame["item"][:5].tolist() == alone["item"].tolist()


@pytest.mark.parametrize("k", [12, 13, 1000, np.int64(13)])
def test_a_list_is_at_most_as_long_as_the_catalogue(tmp_path, k):
    _, model, _ = saved(tmp_path / "model.pt")
    frame = recommend(model, [[1], []], k)
    assert frame["rank"].tolist() == [*range(1, 13)] * 2
    assert set(frame["item"][:12]) == set(range(12))


@pytest.mark.parametrize("k", [0, -1, 2.5, True, "10", None])
def test_an_impossible_k_is_refused(tmp_path, k):
    _, model, _ = saved(tmp_path / "model.pt")
    with pytest.raises(ValueError, match="k must be an integer from 1 up"):
        recommend(model, [[1]], k)


def test_no_histories_are_no_rows(tmp_path):
    _, model, _ = saved(tmp_path / "model.pt")
    frame = recommend(model, [], 3)
    assert len(frame) == 0
    assert list(frame) == ["history", "rank", "item", "score", "unknown", "fallback"]


@pytest.mark.parametrize("histories", [[3, 7], ["film 3", "film 7"], "film 3"])
def test_a_history_that_is_not_in_a_list_is_refused(tmp_path, histories):
    _, model, _ = saved(tmp_path / "model.pt", names=film)
    with pytest.raises(TypeError, match=r"recommend\(model, \[history\]\)"):
        recommend(model, histories, 3)


@pytest.mark.parametrize("container", [tuple, np.array, pd.Series, iter])
def test_a_history_may_be_any_sequence(tmp_path, container):
    _, model, _ = saved(tmp_path / "model.pt")
    assert recommend(model, [container([3, 7])], 3).equals(recommend(model, [[3, 7]], 3))


def test_dropout_takes_no_part_in_recommendations_and_the_mode_is_kept(tmp_path):
    _, model, _ = saved(tmp_path / "model.pt")
    expected = recommend(model, [[3, 7]], 12)
    assert recommend(model.train(), [[3, 7]], 12).equals(expected)
    assert model.training


def test_nan_scores_are_no_recommendation(tmp_path):
    _, model, _ = saved(tmp_path / "model.pt")
    model.output.bias.data.fill_(float("nan"))
    with pytest.raises(ValueError, match=r"gru4rec.*NaN"):
        recommend(model, [[3]], 3)


def test_recommending_after_fit_equals_recommending_after_a_reload(tmp_path):
    data = named_log(int)
    model = build_model("gru4rec", data.n_items, d_model=8)
    fit(model, data.split(), epochs=2, device="cpu", progress=False)
    save_model(tmp_path / "model.pt", model, data)
    histories = [[3, 7], [], [99]]
    again = load_model(tmp_path / "model.pt")
    assert recommend(again, histories, 5).equals(recommend(model, histories, 5))


def test_a_model_without_a_vocabulary_is_refused():
    with pytest.raises(ValueError, match="no vocabulary"):
        recommend(build_model("gru4rec", 5, d_model=4), [[1]], 2)


def test_a_model_whose_options_are_unknown_is_not_saved(tmp_path):
    model = GRU4Rec(12, d_model=8)
    with pytest.raises(ValueError, match="build_model"):
        save_model(tmp_path / "model.pt", model, named_log(int))
    assert not list(tmp_path.iterdir())


def test_a_model_of_other_data_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="5 items, the interactions have 12"):
        save_model(tmp_path / "model.pt", build_model("gru4rec", 5, d_model=4), named_log(int))


def change(path, **entries):
    """Write a saved model once more, checksum and all, with other entries."""
    state = {**torch.load(path, weights_only=True), **entries}
    kind = state.pop("kind")
    storage.save(path, kind, state)


def too_few_ids(path):
    change(path, item_ids=torch.load(path, weights_only=True)["item_ids"][:-1])


def a_repeated_id(path):
    ids = torch.load(path, weights_only=True)["item_ids"]
    ids[3] = ids[0]
    change(path, item_ids=ids)


def too_many_counts(path):
    counts = torch.load(path, weights_only=True)["counts"]
    change(path, counts=torch.cat([counts, counts]))


def a_count_of_padding(path):
    counts = torch.load(path, weights_only=True)["counts"]
    counts[0] = 1
    change(path, counts=counts)


def a_number_for_ids(path):
    change(path, item_ids=3)


def a_number_for_counts(path):
    change(path, counts=3)


def an_unknown_model(path):
    change(path, name="gru5rec")


def an_unknown_option(path):
    change(path, options={"d_modle": 4})


def other_options(path):
    change(path, options={"d_model": 4})


def a_billion_layers(path):
    change(path, options={**torch.load(path, weights_only=True)["options"], "n_layers": 10**9})


def a_width_beyond_all_memory(path):
    change(path, options={**torch.load(path, weights_only=True)["options"], "d_model": 10**9})


def a_number_of_items_beyond_all_memory(path):
    change(path, n_items=10**12)


def weights_of_another_type(path):
    weights = torch.load(path, weights_only=True)["weights"]
    change(path, weights={name: weight.double() for name, weight in weights.items()})


def a_text_for_the_number_of_items(path):
    change(path, n_items="12")


def ids_in_ids(path):
    change(path, item_ids=[["a"]] * 12)


def a_number_for_the_split(path):
    change(path, split=5)


def a_list_for_options(path):
    change(path, options=[1])


WRONG_CONTENTS = [
    (a_text_for_the_number_of_items, "its parts are of other types"),
    (ids_in_ids, "its parts are of other types"),
    (a_number_for_the_split, "its fingerprints are not texts"),
    (a_list_for_options, "its options are no dict"),
    (too_few_ids, "for 12 items it has 11 raw ids"),
    (a_repeated_id, "the raw id '[0-9]+' is there twice"),
    (too_many_counts, "for 12 items and padding it has 26 counts"),
    (a_count_of_padding, "padding has one"),
    (a_number_for_ids, "its parts are of other types"),
    (a_number_for_counts, "of other types"),
    (an_unknown_model, "there is no model 'gru5rec'"),
    (an_unknown_option, "has no option 'd_modle'"),
    (other_options, "its weights do not fit"),
    (a_billion_layers, "weights for 1000000000 layers"),
    (a_width_beyond_all_memory, "its weights do not fit"),
    (a_number_of_items_beyond_all_memory, "for 1000000000000 items it has 12 raw ids"),
    (weights_of_another_type, "of other types than the model's"),
]


@pytest.mark.parametrize(
    "spoil, complaint", WRONG_CONTENTS, ids=[spoil.__name__ for spoil, _ in WRONG_CONTENTS]
)
def test_contents_that_do_not_go_together_are_named(tmp_path, spoil, complaint):
    saved(tmp_path / "model.pt")
    spoil(tmp_path / "model.pt")
    with pytest.raises(ValueError, match=rf"model\.pt.*{complaint}"):
        load_model(tmp_path / "model.pt")


def test_loading_draws_no_random_numbers(tmp_path):
    saved(tmp_path / "model.pt")
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    load_model(tmp_path / "model.pt")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("name", ["nowhere.pt", "."])
def test_a_file_that_cannot_be_opened_is_named(tmp_path, name):
    with pytest.raises(OSError) as raised:
        load_model(tmp_path / name)
    assert str(tmp_path) in str(raised.value)


def test_a_model_is_not_saved_with_the_ids_of_other_data(tmp_path):
    data = random_log(0)
    other = random_log(1)
    model = build_model("popularity", data.n_items)
    fit(model, data.split())
    with pytest.raises(ValueError, match="trained on other interactions"):
        save_model(tmp_path / "model.pt", model, other)
    assert not (tmp_path / "model.pt").exists()


def test_a_large_catalogue_is_scored_a_few_histories_at_a_time(monkeypatch):
    data = random_log(0)
    model = build_model("popularity", data.n_items)
    fit(model, data.split())
    monkeypatch.setattr("minirec.data.batching.SCORES_PER_BATCH", {"cpu": 3 * (data.n_items + 1)})
    rows = []
    scores = model.scores

    def noting_the_rows(items):
        rows.append(len(items))
        return scores(items)

    monkeypatch.setattr(model, "scores", noting_the_rows)
    frame = recommend(model, [[1]] * 10, k=2)
    assert rows == [3, 3, 3, 1]
    assert len(frame) == 20
