"""Files that an earlier version of minirec wrote still load, and mean what they meant.

tests/stored/README.md says how the files were made.
"""

import json
import shutil
import warnings
from pathlib import Path

import pytest
import torch

from minirec import Interactions, available_models, build_model, fit, load_model, recommend
from minirec.experiments.records import load_records
from minirec.profiling import cpu_threads

# Each of them is read with a warning; one test below asks for it.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*was written by minirec 0.1 and has no checksum"),
]

STORED = Path(__file__).parent / "stored"
MODELS = json.loads((STORED / "models" / "expected.json").read_text(encoding="utf-8"))
RUN = json.loads((STORED / "training" / "run.json").read_text(encoding="utf-8"))


def test_every_system_of_that_version_can_still_be_built():
    assert set(MODELS) <= set(available_models())
    assert len(MODELS) == 11


def test_both_kinds_of_ids_are_stored():
    assert {expected["ids"] for expected in MODELS.values()} == {"integers", "strings"}


@pytest.mark.parametrize("name", MODELS)
def test_a_stored_model_gives_the_scores_it_gave(name):
    model = load_model(STORED / "models" / f"{name}.pt")
    with torch.inference_mode():
        scores = model.scores(torch.tensor(MODELS[name]["histories"]))[:, 1:]
    expected = torch.tensor(MODELS[name]["scores"], dtype=scores.dtype)
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-6)


def test_a_stored_model_has_no_checksum_and_says_so():
    with pytest.warns(UserWarning, match=r"gru4rec\.pt was written by minirec 0\.1") as caught:
        load_model(STORED / "models" / "gru4rec.pt")
    assert caught[0].filename == __file__  # it names the line that loads


@pytest.mark.parametrize("name", MODELS)
def test_a_stored_model_speaks_in_its_raw_ids(name):
    item_ids = MODELS[name]["item_ids"]
    model = load_model(STORED / "models" / f"{name}.pt")
    assert model.vocabulary.item_ids.tolist() == item_ids
    frame = recommend(model, [item_ids[:3]], k=12)
    assert set(frame["item"]) == set(item_ids)
    assert not frame["unknown"].any()


@pytest.fixture
def one_thread():
    """The thread count of the stored run, with which it is continued bit for bit."""
    with cpu_threads(1):
        yield


def test_a_stored_checkpoint_is_continued_with_its_epoch_begun_again(tmp_path, one_thread):
    """Its batches were cut in another way: what it had of the second epoch counts no batches."""
    checkpoint = tmp_path / "run.ckpt"
    shutil.copy(STORED / "training" / "run.ckpt", checkpoint)
    log = json.loads((STORED / "log.json").read_text(encoding="utf-8"))
    data = Interactions.from_columns(log["users"], log["items"])
    model = build_model(RUN["model"], data.n_items, **RUN["options"])

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = fit(model, data.split(), checkpoint=checkpoint, **RUN["settings"])

    messages = [str(warning.message) for warning in caught]
    assert sum("begins again from its first batch" in message for message in messages) == 1
    assert sum("was written by minirec 0.1" in message for message in messages) == 1
    losses = [entry["loss"] for entry in history.epochs]
    assert len(losses) == RUN["settings"]["epochs"]
    assert losses[0] == pytest.approx(RUN["losses"][0], abs=1e-6)  # of the epoch that was finished
    assert losses == sorted(losses, reverse=True)

    stored_weights = torch.load(STORED / "training" / "weights.pt", weights_only=True)
    assert model.state_dict().keys() == stored_weights.keys()

    # Written by this version, it is continued without that warning.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = fit(model, data.split(), checkpoint=checkpoint, **RUN["settings"])
    assert again.epochs == history.epochs


def test_the_stored_checkpoint_is_in_the_middle_of_an_epoch():
    state = torch.load(STORED / "training" / "run.ckpt", weights_only=True)
    assert state["epoch"] == 1
    assert state["step"] > 0
    assert RUN["best_epoch"] == RUN["settings"]["epochs"]  # the weights come from after it


def test_a_stored_record_is_read():
    records = load_records(STORED / "records")
    assert records["model"].tolist() == [RUN["model"]]
    assert records["settings.lr"].tolist() == [RUN["settings"]["lr"]]
    assert records["best_epoch"].tolist() == [RUN["best_epoch"]]
    assert records["ended"].tolist() == ["budget"]
    assert records["metrics.valid.full.ndcg"].tolist() == [max(RUN["valid_ndcg"])]
