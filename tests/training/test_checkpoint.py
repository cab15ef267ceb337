"""A run that is killed and continued ends as the run that was not: bit for bit, on the CPU."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from logs import random_log
from small_models import RunningMean, WholeMean

from minirec import History, build_model, fit
from minirec.data.planted import generate_planted
from minirec.errors import CheckpointError
from minirec.training import trainer
from minirec.training.trainer import weights_of

pytestmark = pytest.mark.slow

# A training run in a process of its own, which can be killed.
TRAIN = """
import sys
import time

import torch

sys.path.insert(0, {tests!r})
from small_models import ClozeMean, WholeMean

from minirec import build_model, fit
from minirec.data.planted import generate_planted
from minirec.training.trainer import Run

torch.set_num_threads(1)
split = generate_planted(1, n_users=100).split()
torch.manual_seed(5)
name = {name!r}
if name == "gru4rec":
    model = build_model(name, 500, d_model=16, dropout=0.3)
elif name == "prefix":
    model = WholeMean(500)
elif name == "cloze":
    model = ClozeMean(500)

one_step = Run.one_step


def slow_step(self, batch):  # so that there is time to be killed in
    one_step(self, batch)
    time.sleep({pause})


Run.one_step = slow_step
history = fit(
    model,
    split,
    epochs=5,
    batch_size=256,
    lr=1e-2,
    patience=4,
    seed=5,
    device="cpu",
    checkpoint={path!r},
    checkpoint_seconds=0.0,
    **{options!r},
)

for entry in history.epochs:
    del entry["seconds"]
result = {{
    "weights": model.state_dict(),
    "history": history.epochs,
    "best": history.best_epoch,
    "stopped": history.stopped,
}}
torch.save(result, {out!r})
"""


def start(name, options, path, out, pause):
    tests = str(Path(__file__).parents[1])
    code = TRAIN.format(
        tests=tests, name=name, options=options, path=str(path), out=str(out), pause=pause
    )
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)


def finish(process):
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors


def wait_until_it_trains(process, path):
    """Until the checkpoint at `path` is written anew."""
    written = last_written(path)
    while process.poll() is None and last_written(path) == written:
        time.sleep(0.01)


def last_written(path):
    return path.stat().st_mtime_ns if path.exists() else 0


def kill(process):
    if hasattr(signal, "SIGKILL"):
        process.send_signal(signal.SIGKILL)
    else:
        process.kill()


def same(a, b):
    """Whether two nested values agree, tensors bit for bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def state_without_times(path):
    """A checkpoint, but for the one thing in which two equal runs may differ."""
    state = torch.load(path, weights_only=True)
    state["seconds"] = None
    for entry in state["epochs"]:
        entry["seconds"] = None
    return state


@pytest.mark.parametrize(
    "name, options",
    [
        ("gru4rec", {}),
        ("prefix", {}),
        ("cloze", {}),
        ("gru4rec", {"objective": "prefix", "prefixes_per_user": 20, "lr_schedule": "cosine"}),
    ],
)
def test_a_killed_run_ends_bit_identical_to_one_that_was_not(tmp_path, name, options):
    finish(start(name, options, tmp_path / "whole.ckpt", tmp_path / "whole.pt", pause=0.0))

    path = tmp_path / "killed.ckpt"
    out = tmp_path / "killed.pt"
    waits = torch.rand(3, generator=torch.Generator().manual_seed(len(name))) * 0.5
    for wait in waits.tolist():
        # A pause after every step: far from done when it is killed, on a busy machine too.
        process = start(name, options, path, out, pause=0.3)
        wait_until_it_trains(process, path)
        time.sleep(wait)
        kill(process)
        assert process.wait(timeout=60) != 0  # it was killed every time, never done
        process.stderr.close()
    assert not out.exists()
    finish(start(name, options, path, out, pause=0.0))

    whole = torch.load(tmp_path / "whole.pt", weights_only=True)
    killed = torch.load(tmp_path / "killed.pt", weights_only=True)
    assert same(whole, killed)
    whole_state = state_without_times(tmp_path / "whole.ckpt")
    killed_state = state_without_times(tmp_path / "killed.ckpt")
    assert same(whole_state, killed_state)


@pytest.fixture(scope="module")
def split():
    return generate_planted(1, n_users=100).split()


def run(split, path, model=RunningMean, epochs=1, **options):
    torch.manual_seed(0)
    model = model(split.interactions.n_items)
    history = fit(model, split, epochs=epochs, device="cpu", checkpoint=path, **options)
    return model, history


def test_a_finished_run_comes_back_at_once_with_its_best_weights(split, tmp_path):
    first, first_history = run(split, tmp_path / "run.ckpt", epochs=3)
    second, second_history = run(split, tmp_path / "run.ckpt", epochs=3)
    assert first_history.epochs == second_history.epochs  # seconds included: nothing ran again
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_more_epochs_continue_a_finished_run(split, tmp_path):
    run(split, tmp_path / "run.ckpt", epochs=2)
    _, more = run(split, tmp_path / "run.ckpt", epochs=4)
    _, straight = run(split, None, epochs=4)
    assert [entry["loss"] for entry in more.epochs] == [entry["loss"] for entry in straight.epochs]


def with_the_padding_as_a_class(n_items):
    return build_model("recblr", n_items, d_model=8, max_len=12, padding_class=True)


def without_it(n_items):
    return build_model("recblr", n_items, d_model=8, max_len=12)


def test_a_run_with_the_padding_as_a_class_is_continued_as_one(split, tmp_path):
    run(split, tmp_path / "run.ckpt", model=with_the_padding_as_a_class, epochs=1)
    with pytest.raises(CheckpointError, match="option padding_class is True in the checkpoint"):
        run(split, tmp_path / "run.ckpt", model=without_it, epochs=2)
    resumed, _ = run(split, tmp_path / "run.ckpt", model=with_the_padding_as_a_class, epochs=2)
    straight, _ = run(split, None, model=with_the_padding_as_a_class, epochs=2)
    assert same(resumed.state_dict(), straight.state_dict())
    assert resumed.item_embedding.weight[0].all()


def narrow(n_items):
    return RunningMean(n_items, d_model=8)


@pytest.mark.parametrize(
    "other, named",
    [
        ({"lr": 0.5}, "lr is 0.001 in the checkpoint and 0.5 now"),
        ({"seed": 1}, "seed is 0"),
        ({"batch_size": 9}, "batch_size"),
        ({"objective": "prefix"}, "objective is 'next-item' in the checkpoint and 'prefix' now"),
        ({"lr_schedule": "cosine"}, "lr_schedule is 'constant' in the checkpoint and 'cosine' now"),
        ({"model": WholeMean}, "model is 'running-mean' in the checkpoint and 'whole-mean' now"),
        ({"model": narrow}, "option d_model is 16 in the checkpoint and 8 now"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_with_the_difference_named(
    split, tmp_path, other, named
):
    run(split, tmp_path / "run.ckpt")
    before = (tmp_path / "run.ckpt").read_bytes()
    with pytest.raises(CheckpointError, match=named):
        run(split, tmp_path / "run.ckpt", **other)
    assert (tmp_path / "run.ckpt").read_bytes() == before


def test_more_epochs_are_another_cosine_and_are_refused(split, tmp_path):
    run(split, tmp_path / "run.ckpt", epochs=2, lr_schedule="cosine")
    with pytest.raises(CheckpointError, match="epochs is 2 in the checkpoint and 3 now"):
        run(split, tmp_path / "run.ckpt", epochs=3, lr_schedule="cosine")


def test_another_number_of_prefixes_is_refused(split, tmp_path):
    run(split, tmp_path / "run.ckpt", objective="prefix")
    with pytest.raises(CheckpointError, match="prefixes_per_user is 8 in the checkpoint and 4 now"):
        run(split, tmp_path / "run.ckpt", objective="prefix", prefixes_per_user=4)


def test_a_checkpoint_of_other_data_is_refused(split, tmp_path):
    run(split, tmp_path / "run.ckpt")
    with pytest.raises(CheckpointError, match=r"data is '[0-9a-f]{16}' in the checkpoint"):
        run(generate_planted(2, n_users=100).split(), tmp_path / "run.ckpt")


def test_a_file_that_is_no_checkpoint_is_refused_and_left_alone(split, tmp_path):
    (tmp_path / "run.ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="is not a file of minirec"):
        run(split, tmp_path / "run.ckpt")
    assert (tmp_path / "run.ckpt").read_bytes() == b"not a checkpoint"


def test_another_number_of_threads_is_a_warning_not_a_silence(split, tmp_path):
    run(split, tmp_path / "run.ckpt")
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        with pytest.warns(UserWarning, match="not bit for bit"):
            run(split, tmp_path / "run.ckpt", epochs=2)
    finally:
        torch.set_num_threads(threads)


def test_a_callback_may_change_into_another_folder(tmp_path, monkeypatch):
    """A relative path means the folder that training began in, from beginning to end."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    data = random_log(0, n_users=30, n_items=20)
    model = build_model("gru4rec", data.n_items, d_model=8)

    def leave(history):
        os.chdir(tmp_path / "elsewhere")

    fit(model, data.split(), epochs=2, device="cpu", checkpoint="run.ckpt", on_epoch=leave)
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "run.ckpt"]
    assert os.listdir(tmp_path / "elsewhere") == []
    state = torch.load(tmp_path / "run.ckpt", weights_only=True)
    assert state["epoch"] == 2


@pytest.mark.parametrize("when", [1, 2])
def test_ctrl_c_while_the_best_weights_are_copied_leaves_history_and_weights_in_step(
    monkeypatch, when
):
    data = random_log(0, n_users=30, n_items=20)
    copied = []

    def interrupted(model):
        weights = weights_of(model)
        copied.append(weights)
        if len(copied) == when + 1:  # the first copy is of the weights at the beginning
            raise KeyboardInterrupt
        return weights

    monkeypatch.setattr(trainer, "weights_of", interrupted)
    monkeypatch.setattr(trainer.Run, "reason_to_stop", lambda run: "")
    # Every epoch is the best so far, so that its weights are copied.
    monkeypatch.setattr(History, "best_ndcg", property(lambda history: -1.0))
    torch.manual_seed(0)
    model = build_model("gru4rec", data.n_items, d_model=8)
    history = fit(model, data.split(), device="cpu")
    assert history.stopped == "interrupted"
    assert len(history.epochs) == history.best_epoch == when - 1
    if when > 1:
        for name, value in model.state_dict().items():
            assert torch.equal(value, copied[when - 1][name])
