"""A checkpoint is another run's where either side knows something that the other does not."""

import pytest

from minirec import build_model, storage
from minirec.errors import CheckpointError
from minirec.training.progress import PARTS, default_options, load_checkpoint


@pytest.mark.parametrize(
    "stored, now",
    [({"seed": 1}, {"seed": 1, "lr": 2}), ({"seed": 1, "lr": 2}, {"seed": 1})],
    ids=["only the run has it", "only the file has it"],
)
def test_what_one_side_alone_knows_is_a_difference(tmp_path, stored, now):
    state = {**dict.fromkeys(PARTS), "identity": stored}
    storage.save(tmp_path / "run.pt", "checkpoint", state)
    with pytest.raises(CheckpointError, match="lr is"):
        load_checkpoint(tmp_path / "run.pt", now)


def checkpoint_of(path, identity):
    storage.save(path, "checkpoint", {**dict.fromkeys(PARTS), "identity": identity})


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, None),
        ({"gated_layer": False}, "option gated_layer is True in the checkpoint and False now"),
        ({"d_model": 8}, "option d_model is 64 in the checkpoint and 8 now"),
    ],
    ids=str,
)
def test_an_option_that_is_newer_than_a_checkpoint_had_its_default_in_it(
    tmp_path, options, message
):
    model = build_model("recblr", 9, **options)
    wanted = {f"option {name}": value for name, value in model.options.items()}
    checkpoint_of(tmp_path / "run.pt", {"option d_model": 64, "option n_layers": 2})
    if message is None:
        assert load_checkpoint(tmp_path / "run.pt", wanted, default_options(model)) is not None
        return
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "run.pt", wanted, default_options(model))


def test_what_a_checkpoint_holds_is_not_replaced_by_a_default(tmp_path):
    model = build_model("recblr", 9)
    wanted = {f"option {name}": value for name, value in model.options.items()}
    checkpoint_of(tmp_path / "run.pt", wanted | {"option gated_layer": None})
    with pytest.raises(CheckpointError, match="option gated_layer is None in the checkpoint"):
        load_checkpoint(tmp_path / "run.pt", wanted, default_options(model))
