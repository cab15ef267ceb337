"""What things cost: counts are exact, and compared with PyTorch's; times are not tested, machines differ."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import integers, sampled_from

from minirec import profiling
from minirec.models import build_model


@given(
    name=sampled_from(sorted(profiling.MULTIPLY_ADDS)),
    d_model=sampled_from([8, 16, 40]),
    n=integers(1, 12),
    n_layers=sampled_from([1, 2]),
)
@settings(max_examples=40)
def test_the_closed_form_is_what_pytorch_counts(name, d_model, n, n_layers):
    layers = {} if name in ("glint-ru", "gru4rec") else {"n_layers": n_layers}
    model = build_model(name, 9, d_model=d_model, max_len=20, **layers).eval()
    items = torch.randint(1, 10, (3, n))
    forward = (
        model if name == "glint-ru" else model.last if model.objective == "prefix" else model.encode
    )
    with torch.no_grad():
        assert profiling.flops(lambda: forward(items)) == 3 * profiling.closed_form(model, n)


def test_every_neural_system_has_a_closed_form():
    from minirec.benchmark.systems import SYSTEMS

    assert set(profiling.MULTIPLY_ADDS) == set(SYSTEMS)


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


def test_calls_are_counted_whatever_the_size_of_the_tensors():
    for size in (1, 1000):
        x = torch.ones(size, requires_grad=True)
        assert profiling.calls(lambda: (x.detach() + 1) * 2) == 3
        assert profiling.calls(lambda: (x * 2).sum().backward()) > 3  # backward ones too


def test_operators_are_sorted_into_their_parts():
    a = torch.rand(64, 64)
    seconds = profiling.operator_seconds(
        lambda: (a @ a).exp(), {"product": ("aten::mm",), "none": ("aten::conv",)}
    )
    assert seconds["product"] > 0 and seconds["none"] == 0 and seconds["all else"] > 0


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
    assert roofs["flops"] > 0 and roofs["bandwidth"] > 0


def test_quartiles_stand_beside_the_median(monkeypatch):
    clock = iter([0, 1, 0, 2, 0, 3, 0, 4, 0, 5])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    frame = profiling.take_turns("case", {"a": lambda: None}, repeats=5, times={"a": 10})
    assert frame.loc[0, ["low", "seconds", "high"]].tolist() == [20, 30, 40]
