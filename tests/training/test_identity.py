"""A checkpoint is another run's where either side knows something that the other does not."""

import pytest

from minirec import storage
from minirec.errors import CheckpointError
from minirec.training.progress import PARTS, load_checkpoint


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
