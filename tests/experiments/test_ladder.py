"""The ladder: its records, its figure and its verdicts."""

import json
import math

import contract
import matplotlib.colors
import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from torch import nn

from minirec.data.datasets import load_dataset
from minirec.experiments import ladder
from minirec.experiments.records import load_record
from minirec.layers.gru import GRU
from minirec.models.one_layer import OneLayerRecommender
from minirec.plotting import PALE, PALETTE, plot_gap

NAMES = [rung.name for rung in ladder.RUNGS]
STEP = 2**-6  # a power of two, so that the sums below are exact
AROUND = [-2 * STEP, -STEP, 0, STEP, 2 * STEP]  # five seeds; standard error of a mean: STEP / sqrt2


def write_ladder(folder, means):
    """Write made-up records: popularity at 0, the oracle at 1, five seeds around each mean."""
    known = {"popularity": 0.0, "oracle": 1.0, "last item": 0.25, "shelf + echo, known": 0.5}
    expected = {name: {"ndcg": value} for name, value in known.items()}
    (folder / "counting.json").write_text(json.dumps({"schema": 1, "expected": expected}))
    for name in NAMES:
        for seed, distance in enumerate(AROUND):
            record = {
                "schema": 1,
                "model": "made up",
                "options": {**ladder.SIZES, "rung": name},
                "settings": {**ladder.RECIPE, "seed": seed},
                "metrics": {"test": {"expected": {"ndcg": means.get(name, 0.5) + distance}}},
            }
            ladder.record_path(name, seed, folder).write_text(json.dumps(record))
    return folder


@pytest.fixture
def figure_of():
    """Return the axes of a drawn ladder; every figure is closed afterwards."""

    def draw(*arguments, **keywords):
        (axes,) = ladder.plot_ladder(*arguments, **keywords).axes
        return axes

    yield draw
    plt.close("all")


# --- What is committed -------------------------------------------------------------------------


def test_every_rung_has_a_record_of_each_seed_by_the_one_recipe():
    runs = ladder.shares_of_gap()  # raises for a missing record, and for one of another recipe
    counts = runs[runs["seed"].notna()].groupby("rung")["seed"].nunique()
    assert counts.to_dict() == dict.fromkeys(NAMES, len(ladder.SEEDS))
    assert len(ladder.SEEDS) >= 5


def test_the_folder_holds_nothing_but_the_ladders_records():
    folder = ladder.results_folder()
    expected = {ladder.record_path(name, seed, folder) for name in NAMES for seed in ladder.SEEDS}
    assert set(folder.iterdir()) == expected | {folder / ladder.COUNTING, folder / ladder.TRIALS}


def test_the_recipe_is_the_best_on_valid_of_those_tried_on_three_rungs():
    trials = pd.DataFrame(load_record(ladder.results_folder() / ladder.TRIALS)["trials"])
    settings = ["lr", "batch_size", "dropout", "epochs", "lr_schedule"]
    tried = trials.groupby(settings)["valid_expected_ndcg"].agg(["mean", "count"])
    complete = tried[tried["count"] == 3]
    assert len(complete) >= 5
    best = dict(zip(settings, complete["mean"].idxmax(), strict=True))
    used = {**ladder.SIZES, **ladder.RECIPE}
    assert best == {key: used[key] for key in settings}


def test_every_record_is_of_the_planted_data_that_are_loaded_today():
    split = load_dataset("planted").split()
    found = set(ladder.results_folder().iterdir()) - {ladder.results_folder() / ladder.TRIALS}
    records = [load_record(path) for path in found]
    assert {record["data"] for record in records} == {"planted"}
    assert {record["split"] for record in records} == {split.fingerprint}


def test_records_tell_what_the_models_options_are_today():
    for name in NAMES:
        record = load_record(ladder.record_path(name, 0, ladder.results_folder()))
        assert record["options"] == ladder.build_rung(name, 30).options
        assert record["n_items"] == 500


def test_no_rung_is_above_the_oracle_or_below_popularity():
    shares = ladder.shares_of_gap()["share"]
    assert shares.between(0, 1, inclusive="neither").all()


# --- The models --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_rung_represents_each_prefix_alone(name):
    model = ladder.build_rung(name, contract.N_ITEMS).double().eval()
    contract.position_t_is_the_prefix_up_to_t(model, contract.random_items(0, [6, 1, 4]))


@pytest.mark.parametrize("name", NAMES)
def test_every_rung_is_as_wide_and_drops_as_much_as_the_recipe_says(name):
    model = ladder.build_rung(name, contract.N_ITEMS)
    shares = {module.p for module in model.modules() if isinstance(module, nn.Dropout)}
    assert model.item_embedding.weight.shape == (contract.N_ITEMS + 1, ladder.SIZES["d_model"])
    assert ladder.SIZES["dropout"] in shares
    assert shares <= {0.0, ladder.SIZES["dropout"]}  # a layer in the shell has none of its own


def test_a_rung_is_what_a_lesson_writes_by_hand():
    torch.manual_seed(3)
    layer = GRU(64, 64, bias=False, form="torch")
    by_hand = OneLayerRecommender(30, layer, **ladder.SIZES)
    built = ladder.build_rung("GRU", 30, seed=3)
    for ours, theirs in zip(built.parameters(), by_hand.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_an_unknown_rung_is_refused_by_name():
    with pytest.raises(ValueError, match="no rung 'gru' that is trained; it has: no layer, GRU"):
        ladder.build_rung("gru", 30)


# --- Recording ---------------------------------------------------------------------------------


@pytest.fixture
def one_short_rung(monkeypatch):
    monkeypatch.setattr(ladder, "RUNGS", ladder.RUNGS[:1])
    monkeypatch.setitem(ladder.RECIPE, "epochs", 1)
    monkeypatch.setitem(ladder.RECIPE, "batch_size", 8192)


@pytest.mark.slow
def test_what_has_a_record_is_not_trained_again(one_short_rung, tmp_path, monkeypatch):
    ladder.main(["--out", str(tmp_path), "--seeds", "1"])
    path = ladder.record_path("no layer", 1, tmp_path)
    record = load_record(path)
    assert record["settings"]["seed"] == 1
    assert record["command"] == (
        f"python -m minirec.experiments.ladder --out {tmp_path.name} --seeds 1"
    )
    expected = load_record(tmp_path / ladder.COUNTING)["expected"]
    assert set(expected) == {"popularity", "last item", "shelf + echo, known", "oracle"}
    assert expected["popularity"]["ndcg"] < expected["last item"]["ndcg"]
    assert max(expected, key=lambda name: expected[name]["ndcg"]) == "oracle"

    monkeypatch.setattr(ladder, "fit", None)  # whoever trains now fails
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    ladder.main(["--out", str(tmp_path), "--seeds", "1"])
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize(("part", "key"), [("settings", "lr"), ("options", "dropout")])
def test_a_record_of_another_recipe_is_refused_and_never_replaced(part, key, tmp_path):
    write_ladder(tmp_path, {})
    path = ladder.record_path("GRU", 2, tmp_path)
    record = json.loads(path.read_text())
    record[part][key] = 0.125
    path.write_text(json.dumps(record))
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"gru-seed2.json was trained with {key} = 0.125"):
        ladder.shares_of_gap(out=tmp_path)
    with pytest.raises(ValueError, match="delete the file"):
        ladder.record_ladder(tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("dense-gru-seed4.json", "no record of the rung 'dense GRU', seed 4"),
        ("counting.json", "no record of what is counted"),
    ],
)
def test_a_missing_record_is_named_with_what_to_do(file, message, tmp_path):
    write_ladder(tmp_path, {})
    (tmp_path / file).unlink()
    for read in (
        lambda: ladder.plot_ladder("04", out=tmp_path),
        lambda: ladder.ladder_verdict("GRU", "dense GRU", out=tmp_path),
    ):
        with pytest.raises(ValueError, match=message) as raised:
            read()
        assert "python -m minirec.experiments.ladder" in str(raised.value)


def test_a_lesson_needs_no_record_of_a_later_one(tmp_path):
    write_ladder(tmp_path, {"GRU": 0.5, "dense GRU": 0.75})
    ladder.record_path("linear attention", 0, tmp_path).unlink()
    ladder.plot_ladder("04", out=tmp_path)
    plt.close("all")
    assert ladder.ladder_verdict("dense GRU", "GRU", out=tmp_path).startswith("ahead by 25.0")
    with pytest.raises(ValueError, match="linear attention"):
        ladder.plot_ladder("05", out=tmp_path)


# --- The figure --------------------------------------------------------------------------------


def test_bars_and_whiskers_are_the_records_means_and_standard_errors(figure_of, tmp_path):
    write_ladder(tmp_path, {"GRU": 0.75, "dense GRU": 0.625})
    axes = figure_of("03", out=tmp_path)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["last item", "shelf + echo, known", "no layer", "GRU", "dense GRU"]
    lengths = [bar.get_width() for bar in axes.patches]
    assert lengths == pytest.approx([25, 50, 50, 75, 62.5])

    # Each whisker is a line from mean - error to mean + error; what is counted has none.
    whiskers = [collection.get_segments()[0] for collection in axes.collections]
    ends = [(segment[0][0], segment[1][0]) for segment in whiskers]
    error = 100 * STEP / math.sqrt(2)
    assert ends == [pytest.approx((x - error, x + error)) for x in (50, 75, 62.5)]


def test_a_lessons_own_bars_stand_out(figure_of, tmp_path):
    axes = figure_of("03", out=write_ladder(tmp_path, {}))
    colours = [matplotlib.colors.to_hex(bar.get_facecolor()).upper() for bar in axes.patches]
    assert colours == [PALE] * 4 + [PALETTE["blue"]]


def test_a_lesson_without_a_rung_shows_all_before_it_alike(figure_of, tmp_path):
    axes = figure_of("08", out=write_ladder(tmp_path, {"GLINT-RU": 0.75}))
    colours = {matplotlib.colors.to_hex(bar.get_facecolor()).upper() for bar in axes.patches}
    assert colours == {PALETTE["blue"]}
    assert axes.get_yticklabels()[-1].get_text() == "GLINT-RU"
    assert axes.get_title(loc="left") + axes.get_title() == "75% of the gap closed by GLINT-RU"


def test_the_title_is_the_lessons_own_best_or_what_is_given(figure_of, tmp_path):
    write_ladder(tmp_path, {"GRU": 0.875, "linear attention": 0.625, "softmax attention": 0.75})
    axes = figure_of("05", out=tmp_path)
    said = axes.get_title(loc="left") + axes.get_title()
    assert said == "75% of the gap closed by softmax attention"
    given = figure_of("05", title="Attention climbs", out=tmp_path)
    assert given.get_title(loc="left") + given.get_title() == "Attention climbs"


def test_a_lesson_is_two_digits(tmp_path):
    with pytest.raises(ValueError, match="two digits, such as '04'; got '4'"):
        ladder.plot_ladder("4", out=tmp_path)


def test_plot_gap_paints_the_others_lighter():
    scores = {"popularity": 0.0, "a": 0.5, "b": 0.75, "oracle": 1.0}
    (axes,) = plot_gap(scores, highlight="b").axes
    colours = [matplotlib.colors.to_hex(bar.get_facecolor()).upper() for bar in axes.patches]
    plt.close("all")
    assert colours == [PALE, PALETTE["blue"]]
    assert "% of gap closed" in axes.get_xlabel()


def test_plot_gap_gives_each_highlighted_model_a_colour_of_its_own():
    scores = {"popularity": 0.0, "a": 0.25, "b": 0.5, "c": 0.75, "oracle": 1.0}
    own = {"c": PALETTE["orange"], "a": PALETTE["blue"]}
    (axes,) = plot_gap(scores, highlight=own).axes
    colours = [matplotlib.colors.to_hex(bar.get_facecolor()).upper() for bar in axes.patches]
    plt.close("all")
    assert colours == [PALETTE["blue"], PALE, PALETTE["orange"]]


def test_a_bar_that_is_not_there_cannot_be_highlighted():
    scores = {"popularity": 0.0, "a": 0.5, "oracle": 1.0}
    with pytest.raises(ValueError, match="highlight names c, but the bars are: a"):
        plot_gap(scores, highlight=["a", "c"])
    plt.close("all")


# --- The verdicts ------------------------------------------------------------------------------

# Two means with a standard error of STEP / sqrt 2 each: that of their difference is STEP.


@pytest.mark.parametrize(
    ("steps", "verdict"),
    [
        (3, "ahead by 4.7 points, 3.0 standard errors"),
        (-3, "behind by 4.7 points, 3.0 standard errors"),
        (2.984375, "no difference that three standard errors could show"),
        (-2.984375, "no difference that three standard errors could show"),
        (0, "no difference that three standard errors could show"),
    ],
)
def test_a_verdict_takes_three_standard_errors_of_the_difference(steps, verdict, tmp_path):
    write_ladder(tmp_path, {"GRU": 0.5, "dense GRU": 0.5 + steps * STEP})
    assert ladder.ladder_verdict("dense GRU", "GRU", out=tmp_path) == verdict


def test_what_is_counted_has_no_error_of_its_own(tmp_path):
    write_ladder(tmp_path, {"GRU": 0.25 + 3 * STEP})  # 3 sqrt 2 standard errors of one mean
    verdict = ladder.ladder_verdict("GRU", "last item", out=tmp_path)
    assert verdict == "ahead by 4.7 points, 4.2 standard errors"


def test_two_counted_predictors_need_no_verdict(tmp_path):
    write_ladder(tmp_path, {})
    with pytest.raises(ValueError, match="no seeds to judge by"):
        ladder.ladder_verdict("last item", "shelf + echo, known", out=tmp_path)


def test_a_verdict_on_an_unknown_rung_is_refused(tmp_path):
    write_ladder(tmp_path, {})
    with pytest.raises(ValueError, match="no rung 'gru'; it has: last item"):
        ladder.ladder_verdict("gru", "last item", out=tmp_path)


@pytest.mark.parametrize(("sides", "agrees"), [(2.99, True), (-2.99, True), (3.01, False)])
def test_a_run_agrees_within_three_standard_errors_of_one_more_seed(
    sides, agrees, tmp_path, monkeypatch
):
    write_ladder(tmp_path, {"GRU": 0.25})
    deviation = STEP * math.sqrt(2.5)  # of five seeds, the same for every rung
    found = 0.25 + sides * deviation * math.sqrt(1 + 1 / 5)
    monkeypatch.setattr(ladder, "expected_metrics", lambda *arguments: {"ndcg": found})
    assert ladder.agrees_with_records("GRU", None, None, out=tmp_path) is agrees
