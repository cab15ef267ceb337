"""What things cost: counts are exact, and compared with PyTorch's.

Times are not tested: machines differ.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import booleans, integers, sampled_from

from minirec import linear_recurrence, profiling
from minirec.experiments.benchmarks.systems import SYSTEMS
from minirec.models import MODELS, build_model, model_options
from minirec.models.base import NeuralRecommender

N_ROWS = 3


def counted(model, n):
    """PyTorch's count of the layers' operations on rows of n items, by the pass that is priced."""
    device = next(model.parameters()).device
    items = torch.randint(1, 10, (N_ROWS, n), device=device)
    if model.name == "glint-ru":
        forward = model  # the model as written, not `encode`
    elif model.objective == "prefix":
        forward = model.last
    else:
        forward = model.encode
    with torch.no_grad():
        return profiling.flops(lambda: forward(items))


@given(
    name=sampled_from(sorted(SYSTEMS)),
    d_model=sampled_from([8, 16, 40]),
    n=integers(1, 12),
    n_layers=sampled_from([1, 2]),
)
@settings(max_examples=40)
def test_the_closed_form_is_what_pytorch_counts(name, d_model, n, n_layers):
    options = {"n_layers": n_layers} if "n_layers" in model_options(name) else {}
    model = build_model(name, 9, d_model=d_model, max_len=20, **options).eval()
    assert counted(model, n) == N_ROWS * profiling.closed_form(model, n)


@given(
    form=sampled_from(["released", "paper"]),
    experts=sampled_from([{}, {"attention": False}, {"gru": False}]),
    temporal_conv=booleans(),
    gated_mlp=booleans(),
    n_heads=sampled_from([None, 2]),
    kernel_size=sampled_from([1, 5]),
)
@settings(max_examples=20)
def test_the_closed_form_knows_the_forms_and_ablations_of_glint_ru(
    form, experts, temporal_conv, gated_mlp, n_heads, kernel_size
):
    model = build_model(
        "glint-ru",
        9,
        d_model=16,
        max_len=20,
        form=form,
        temporal_conv=temporal_conv,
        gated_mlp=gated_mlp,
        n_heads=n_heads,
        kernel_size=kernel_size,
        **experts,
    ).eval()
    assert counted(model, 7) == N_ROWS * profiling.closed_form(model, 7)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("recblr", {"temporal_conv": False}),
        ("recblr", {"behaviour_gates": False}),
        ("recblr", {"feed_forward": False, "kernel_size": 3}),
        ("recblr", {"gated_layer": False}),
        ("recblr", {"gated_layer": False, "behaviour_gates": False, "temporal_conv": False}),
        ("recblr", {"initial_decays": "random"}),
        ("gru4rec", {"d_state": 5, "n_layers": 3}),
        ("gru4rec", {"form": "paper"}),
        ("mamba4rec", {"kernel_size": 2, "d_state": 4}),
        ("linrec", {"n_heads": 4}),
        ("sasrec", {"n_heads": 4}),
    ],
)
def test_the_closed_form_knows_the_options_of_the_other_systems(name, options):
    model = build_model(name, 9, d_model=16, max_len=20, **options).eval()
    assert counted(model, 7) == N_ROWS * profiling.closed_form(model, 7)


def test_every_neural_system_has_a_closed_form():
    inherited = NeuralRecommender.multiply_adds
    for name in SYSTEMS:
        assert MODELS[name].multiply_adds is not inherited, name


def test_peak_memory_is_the_most_that_is_held_at_one_time():
    def two_of_three():
        a = torch.ones(2**18)  # a MiB each
        b = a + 1
        del a
        return (b + 1).sum()

    assert profiling.peak_memory(two_of_three) == pytest.approx(2, abs=0.01)


def test_traffic_counts_inputs_and_outputs_and_no_views():
    x = torch.ones(100)
    assert profiling.traffic(lambda: x.view(10, 10)[2:]) == 0
    assert profiling.traffic(lambda: x + x) == 3 * 400
    assert profiling.traffic(lambda: x.mul_(2)) == 2 * 400


@torch.no_grad()
def test_traffic_counts_what_a_compiled_scan_reads_and_writes():
    a = torch.rand(2, 50, 8)
    assert profiling.traffic(lambda: linear_recurrence(a, a + 0)) == 3 * a.nbytes + 2 * a.nbytes


@pytest.mark.parametrize("size", [1, 1000])
def test_calls_are_counted_whatever_the_size_of_the_tensors(size):
    x = torch.ones(size, requires_grad=True)
    assert profiling.calls(lambda: (x.detach() + 1) * 2) == 3
    assert profiling.calls(lambda: (x * 2).sum().backward()) > 3  # backward ones too


def test_operators_are_sorted_into_their_parts():
    a = torch.rand(64, 64)
    parts = {"product": ("aten::mm",), "none": ("aten::conv",)}
    seconds = profiling.operator_seconds(lambda: (a @ a).exp(), parts)
    assert seconds["product"] > 0
    assert seconds["none"] == 0
    assert seconds["all else"] > 0


def test_the_roof_is_the_lower_of_two():
    roofs = {"flops": 100.0, "bandwidth": 10.0}
    assert profiling.roofline(1000, 10, 20.0, roofs) == {
        "intensity": 100,
        "flops_per_second": 50,
        "least_seconds": 10,
        "share_of_roof": 0.5,
    }
    assert profiling.roofline(10, 100, 10.0, roofs)["least_seconds"] == 10


def test_the_machine_is_measured():
    roofs = profiling.machine(64, 2**12, repeats=1)
    assert roofs["flops"] > 0
    assert roofs["bandwidth"] > 0


def test_quartiles_stand_beside_the_median(monkeypatch):
    clock = iter([0, 1, 0, 2, 0, 3, 0, 4, 0, 5])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    frame = profiling.take_turns("case", {"a": lambda: None}, repeats=5, times={"a": 10})
    assert frame.loc[0, ["low", "seconds", "high"]].tolist() == [20, 30, 40]


@pytest.mark.parametrize("n", [1, 2])
def test_a_number_of_threads_holds_inside_its_block_only(n):
    before = torch.get_num_threads()
    with profiling.cpu_threads(n):
        assert torch.get_num_threads() == n
    assert torch.get_num_threads() == before


def test_a_number_of_threads_ends_with_an_error_too():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), profiling.cpu_threads(before + 1):
        raise KeyError("from inside")
    assert torch.get_num_threads() == before


def test_no_threads_are_refused():
    with pytest.raises(ValueError, match="at least 1; got 0"), profiling.cpu_threads(0):
        pass
