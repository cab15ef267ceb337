"""A run that is killed and continued ends as the run that was not: bit for bit, on the CPU."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_models import RunningMean, WholeMean

from minirec import fit
from minirec.data.planted import generate_planted
from minirec.errors import CheckpointError

TRAIN = """
import sys, time, torch
sys.path.insert(0, {tests!r})
import minirec.training.trainer
from minirec import build_model, fit
from minirec.data.planted import generate_planted
from small_models import ClozeMean, WholeMean
torch.set_num_threads(1)
split = generate_planted(1, n_users=100).split()
torch.manual_seed(5)
name = {name!r}
model = build_model(name, 500, d_model=16, dropout=0.3) if name == "gru4rec" else dict(prefix=WholeMean, cloze=ClozeMean)[name](500)
one_step = minirec.training.trainer.Run.one_step
def slow(self, batch):  # so that there is time to be killed in
    one_step(self, batch)
    time.sleep({pause})
minirec.training.trainer.Run.one_step = slow
history = fit(model, split, epochs=5, batch_size=256, lr=1e-2, patience=4, seed=5, device="cpu", checkpoint={path!r}, checkpoint_seconds=0.0,
              **{options!r})
entries = [{{k: v for k, v in entry.items() if k != "seconds"}} for entry in history.epochs]
torch.save({{"weights": model.state_dict(), "history": entries, "best": history.best_epoch, "stopped": history.stopped}}, {out!r})
"""


def start(name, options, path, out, pause):
    code = TRAIN.format(
        tests=str(Path(__file__).parents[1]),
        name=name,
        options=options,
        path=str(path),
        out=str(out),
        pause=pause,
    )
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)


def finish(process):
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


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
    path, out, kills = tmp_path / "killed.ckpt", tmp_path / "killed.pt", 0
    waits = torch.rand(3, generator=torch.Generator().manual_seed(len(name))) * 0.5
    for wait in waits.tolist():
        process = start(name, options, path, out, pause=0.3)  # far from done, on a busy machine too
        written = path.stat().st_mtime_ns if path.exists() else 0
        while (
            process.poll() is None and (path.stat().st_mtime_ns if path.exists() else 0) == written
        ):
            time.sleep(0.01)  # until it trains
        time.sleep(wait)
        process.send_signal(signal.SIGKILL) if hasattr(signal, "SIGKILL") else process.kill()
        kills += process.wait(timeout=60) != 0
        process.stderr.close()
    assert kills == len(waits) and not out.exists()  # it was killed every time, never done
    finish(start(name, options, path, out, pause=0.0))
    whole, killed = (
        torch.load(tmp_path / f"{which}.pt", weights_only=True) for which in ("whole", "killed")
    )
    assert same(whole, killed)
    states = [
        torch.load(tmp_path / f"{which}.ckpt", weights_only=True) for which in ("whole", "killed")
    ]
    for state in states:  # times are the one thing that may differ
        state["seconds"] = None
        state["epochs"] = [{**entry, "seconds": None} for entry in state["epochs"]]
    assert same(*states)


@pytest.fixture(scope="module")
def split():
    return generate_planted(1, n_users=100).split()


def run(split, path, model=RunningMean, epochs=1, **options):
    torch.manual_seed(0)
    model = model(split.interactions.n_items)
    return model, fit(model, split, epochs=epochs, device="cpu", checkpoint=path, **options)


def test_a_finished_run_comes_back_at_once_with_its_best_weights(split, tmp_path):
    (first, one), (second, two) = (
        run(split, tmp_path / "run.ckpt", epochs=3),
        run(split, tmp_path / "run.ckpt", epochs=3),
    )
    assert one.epochs == two.epochs  # seconds included: nothing was run again
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters()))


def test_more_epochs_continue_a_finished_run(split, tmp_path):
    run(split, tmp_path / "run.ckpt", epochs=2)
    (_, more), (_, straight) = (
        run(split, tmp_path / "run.ckpt", epochs=4),
        run(split, None, epochs=4),
    )
    assert [e["loss"] for e in more.epochs] == [e["loss"] for e in straight.epochs]


@pytest.mark.parametrize(
    "other, named",
    [
        ({"lr": 0.5}, "lr is 0.001 in the checkpoint and 0.5 now"),
        ({"seed": 1}, "seed is 0"),
        ({"batch_size": 9}, "batch_size"),
        ({"objective": "prefix"}, "objective is 'next-item' in the checkpoint and 'prefix' now"),
        ({"lr_schedule": "cosine"}, "lr_schedule is 'constant' in the checkpoint and 'cosine' now"),
        ({"model": WholeMean}, "model is 'running-mean' in the checkpoint and 'whole-mean' now"),
        (
            {"model": lambda n: RunningMean(n, d_model=8)},
            "option d_model is 16 in the checkpoint and 8 now",
        ),
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
    with pytest.raises(CheckpointError, match="data is '[0-9a-f]{16}' in the checkpoint"):
        run(generate_planted(2, n_users=100).split(), tmp_path / "run.ckpt")


def test_a_file_that_is_no_checkpoint_is_refused_and_left_alone(split, tmp_path):
    (tmp_path / "run.ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="is not a training checkpoint"):
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


def test_a_failed_write_leaves_the_old_checkpoint(split, tmp_path, monkeypatch):
    run(split, tmp_path / "run.ckpt")
    before = (tmp_path / "run.ckpt").read_bytes()

    def full_disk(state, file):
        file.write(b"half of it")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        run(split, tmp_path / "run.ckpt", epochs=2)
    assert (tmp_path / "run.ckpt").read_bytes() == before and os.listdir(tmp_path) == ["run.ckpt"]
