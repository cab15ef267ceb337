"""Every system on a GPU trains, evaluates, streams, is saved and resumed, as it is on the CPU."""

import copy
import warnings

import pytest
import torch
from small_models import SYSTEMS, small_system

from minirec import evaluate, fit, load_model, save_model
from minirec.data.planted import generate_planted
from minirec.layers.gru import GRU
from minirec.models import MODELS
from minirec.models.base import NeuralRecommender

pytestmark = pytest.mark.gpu

GPU = "cuda"
RECURRENT = [name for name in SYSTEMS if hasattr(MODELS[name], "step")]
CLOSE = {"rtol": 0, "atol": 1e-4}  # float32, and the two devices add in another order
SMALL = {"d_model": 16, "max_len": 30}


@pytest.fixture(scope="module")
def split():
    return generate_planted(1, n_users=100).split()


def small_model(name: str, split) -> NeuralRecommender:
    return small_system(name, split.interactions.n_items, **SMALL)


def some_items(n_items: int) -> torch.Tensor:
    """Four histories of 1, 7, 20 and 25 items, padded with 0 on the right."""
    items = torch.randint(1, n_items + 1, (4, 25), generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([1, 7, 20, 25])
    return items * (torch.arange(25) < lengths[:, None])


@pytest.mark.parametrize("name", SYSTEMS)
@torch.no_grad()
def test_scores_on_the_gpu_are_the_cpus(split, name):
    model = small_model(name, split).eval()
    items = some_items(model.n_items)
    on_cpu = model.scores(items)
    on_gpu = model.to(GPU).scores(items.to(GPU))
    torch.testing.assert_close(on_gpu.cpu(), on_cpu, **CLOSE)


@pytest.mark.parametrize("name", SYSTEMS)
def test_one_epoch_trains_and_evaluates_on_the_gpu(split, name):
    model = small_model(name, split)
    before = copy.deepcopy(model.state_dict())
    history = fit(model, split, epochs=1, batch_size=512, device=GPU)
    assert history.settings["device"] == GPU
    assert any(
        not torch.equal(value.cpu(), before[key]) for key, value in model.state_dict().items()
    )
    assert len(evaluate(model, split).ranks) == len(split.test)


@pytest.mark.parametrize("name", RECURRENT)
@torch.no_grad()
def test_steps_on_the_gpu_are_the_cpus(split, name):
    model = small_model(name, split).eval()
    columns = some_items(model.n_items)[:, :5].unbind(1)  # 0 where a history has ended

    def walk(device: str) -> torch.Tensor:
        model.to(device)
        state = model.init_state(4)
        for items in columns:
            representation, state = model.step(state, items.to(device))
        return representation.cpu()

    torch.testing.assert_close(walk(GPU), walk("cpu"), **CLOSE)


@pytest.mark.parametrize("name", SYSTEMS)
@torch.no_grad()
def test_a_model_saved_from_the_gpu_loads_on_the_cpu(split, name, tmp_path):
    model = small_model(name, split).eval().to(GPU)
    save_model(tmp_path / "model.pt", model, split.interactions)
    loaded = load_model(tmp_path / "model.pt")
    items = some_items(model.n_items)
    torch.testing.assert_close(loaded.scores(items), model.scores(items.to(GPU)).cpu(), **CLOSE)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_run_on_the_gpu_is_resumed(split, name, tmp_path):
    """One epoch, then another from its checkpoint: the first is not trained again."""
    options = {"batch_size": 512, "device": GPU, "checkpoint": tmp_path / "run.ckpt"}
    first = fit(small_model(name, split), split, epochs=1, **options)
    second = fit(small_model(name, split), split, epochs=2, **options)
    assert len(second.epochs) == 2
    assert second.epochs[0] == first.epochs[0]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_the_gru_has_gradients_on_the_gpu_in_train_and_eval_mode(training, bias):
    torch.manual_seed(0)
    gru = GRU(5, 7, bias=bias, form="torch").train(training)
    on_gpu = copy.deepcopy(gru).to(GPU)
    x = torch.randn(3, 11, 5)
    expected = torch.autograd.grad(gru(x).sum(), list(gru.parameters()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # cuDNN warns of weights that are not one contiguous chunk
        found = torch.autograd.grad(on_gpu(x.to(GPU)).sum(), list(on_gpu.parameters()))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-3, atol=1e-4)
