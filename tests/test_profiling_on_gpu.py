"""What profiling makes of a GPU's work: seen here through made-up events, shapes and allocators.

The tests marked gpu do the same on a real one.
"""

from types import TracebackType

import pytest
import torch
from test_profiling import N_ROWS, counted
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import DeviceType
from torch.autograd.profiler_util import EventList, FunctionEvent
from torch.profiler import ProfilerActivity
from torch.utils.flop_counter import FlopCounterMode

from minirec import profiling
from minirec.experiments.benchmarks.systems import SYSTEMS
from minirec.models import build_model
from minirec.profiling import FLOP_FORMULAS

CUDNN_MODES = {"RNN_RELU": 0, "RNN_TANH": 1, "LSTM": 2, "GRU": 3}  # the numbers of its cells


# --- Seconds by the kind of operator ---


def cpu_event(name: str, begin: float, end: float, **more) -> FunctionEvent:
    return FunctionEvent(0, name, 1, begin, end, use_device="cuda", stack=[], **more)


def gpu_event(name: str, begin: float, end: float, **more) -> FunctionEvent:
    return cpu_event(name, begin, end, device_type=DeviceType.CUDA, **more)


def a_step() -> EventList:
    """A step as PyTorch lists it: times in microseconds.

    An annotation, "forward", spans a product within a linear layer, an addition, and a CUDA graph,
    whose kernels belong to no operator.
    """
    annotation = cpu_event("forward", 0, 40, is_user_annotation=True)
    annotation.append_kernel("forward", 0, 90)  # its span on the GPU
    linear = cpu_event("aten::linear", 0, 10)
    product = cpu_event("aten::addmm", 2, 8)
    product.append_kernel("gemm", 0, 30)
    addition = cpu_event("aten::add", 12, 15)
    addition.append_kernel("elementwise", 0, 5)
    events = [
        annotation,
        linear,
        product,
        cpu_event("cudaLaunchKernel", 4, 6),
        addition,
        cpu_event("cudaGraphLaunch", 20, 30),
        gpu_event("forward", 10, 100, is_user_annotation=True),
        gpu_event("gemm", 10, 40),
        gpu_event("elementwise", 40, 45),
        gpu_event("gemm", 50, 62),
        gpu_event("scan_kernel", 70, 77),
        gpu_event("Memcpy HtoD (Pinned -> Device)", 80, 82),
    ]
    listed = EventList(events, use_device="cuda")
    listed._build_tree()
    return listed


class FakeProfile:
    """Stands for `torch.profiler.profile`, and knows what it will have seen."""

    def __init__(self, events: EventList):
        self.seen = events
        self.watched: list = []

    def __call__(self, activities: list) -> "FakeProfile":
        self.watched = activities
        return self

    def __enter__(self) -> "FakeProfile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def events(self) -> EventList:
        return self.seen


@pytest.fixture
def profile_sees(monkeypatch):
    """A function that makes the profiler see these events."""

    def see(events: EventList) -> FakeProfile:
        fake = FakeProfile(events)
        monkeypatch.setattr(profiling, "profile", fake)
        return fake

    return see


def nothing() -> None:
    """A piece of work that does nothing."""


PARTS = {"products": ("aten::addmm", "gemm"), "scan": ("scan_kernel",), "layers": ("aten::linear",)}


def test_a_kernel_counts_once_for_the_operator_that_launched_it_or_by_its_own_name(profile_sees):
    profile_sees(a_step())
    seconds = profiling.operator_seconds(nothing, PARTS)
    in_microseconds = {part: round(1e6 * each, 6) for part, each in seconds.items()}
    # The first gemm by its operator, the graph's by its name; the addition and the copy are left.
    assert in_microseconds == {"products": 30 + 12, "scan": 7, "layers": 0, "all else": 5 + 2}


def test_the_parts_add_up_to_the_time_that_pytorchs_table_gives_the_gpu(profile_sees):
    profile_sees(a_step())
    seconds = profiling.operator_seconds(nothing, {})
    table = a_step().key_averages().table()
    assert f"Self CUDA time total: {1e6 * sum(seconds.values()):.3f}us" in table


def test_the_cpus_seconds_of_the_same_step_are_those_of_its_operators(profile_sees):
    profile_sees(a_step())
    seconds = profiling.operator_seconds(nothing, {"products": ("aten::addmm",)}, device="cpu")
    assert seconds["products"] == pytest.approx((6 - 2) / 1e6)  # without the launch inside it
    assert sum(seconds.values()) == pytest.approx(40 / 1e6)  # the annotation's span holds all


def test_work_that_runs_nothing_on_the_gpu_counts_on_the_cpu(profile_sees):
    on_cpu = EventList([cpu_event("aten::mm", 0, 9)], use_device="cuda")
    on_cpu._build_tree()
    profile_sees(on_cpu)
    assert profiling.operator_seconds(nothing, {"products": ("aten::mm",)})["products"] == 9e-6


@pytest.mark.parametrize("in_use", [True, False])
def test_the_profiler_watches_a_gpu_that_is_in_use_and_wakes_no_other(
    profile_sees, monkeypatch, in_use
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: in_use)
    monkeypatch.setattr(torch.cuda, "synchronize", nothing)
    fake = profile_sees(a_step())
    profiling.operator_seconds(nothing, {})
    assert (ProfilerActivity.CUDA in fake.watched) == in_use
    assert ProfilerActivity.CUDA in profiling.activities()


# --- Clocks and memory ---


def test_a_run_is_over_when_the_gpu_is_done(monkeypatch):
    order = []
    clock = iter([0.0, 7.0])

    def read_clock() -> float:
        order.append("clock")
        return next(clock)

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: order.append("wait"))
    monkeypatch.setattr("time.perf_counter", read_clock)
    assert profiling._seconds(lambda: order.append("run")) == 7
    assert order == ["wait", "clock", "run", "wait", "clock"]


def test_a_process_that_uses_no_gpu_does_not_wait_for_one(monkeypatch):
    def refuse() -> None:
        raise AssertionError

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.cuda, "synchronize", refuse)
    assert profiling._seconds(nothing) >= 0


class FakeAllocator:
    """A GPU's memory, as far as `torch.cuda` tells of it."""

    def __init__(self) -> None:
        self.held = 100 * 2**20
        self.most = 500 * 2**20  # of something long ago

    def take(self, n_bytes: int) -> None:
        self.held += n_bytes
        self.most = max(self.most, self.held)

    def memory_allocated(self, device: object = None) -> int:
        return self.held

    def max_memory_allocated(self, device: object = None) -> int:
        return self.most

    def reset_peak_memory_stats(self, device: object = None) -> None:
        self.most = self.held


@pytest.fixture
def allocator(monkeypatch) -> FakeAllocator:
    fake = FakeAllocator()
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    for name in ("memory_allocated", "max_memory_allocated", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, getattr(fake, name))
    return fake


def test_work_on_a_gpu_is_measured_by_its_allocator(allocator):
    def three_of_which_two_are_freed() -> None:
        torch.ones(2**18)  # a MiB on the CPU, which does not count
        allocator.take(3 * 2**20)
        allocator.take(-3 * 2**20)

    assert profiling.peak_memory(three_of_which_two_are_freed) == 3


def test_work_on_the_cpu_is_measured_there_on_a_machine_with_a_gpu_too(allocator):
    def one() -> torch.Tensor:
        return torch.ones(2**18)

    assert profiling.peak_memory(one) == pytest.approx(1, abs=0.01)


def test_the_device_can_be_named(allocator):
    def both() -> None:
        torch.ones(2**18)
        allocator.take(3 * 2**20)
        allocator.take(-3 * 2**20)

    assert profiling.peak_memory(both, device="cuda") == 3
    assert profiling.peak_memory(both, device="cpu") == pytest.approx(1, abs=0.01)


# --- Operations of what is one operator on a GPU ---


def cudnn_rnn(layer: nn.RNNBase, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Call cuDNN's operator with a layer's weights, on fake tensors: nothing is computed."""
    directions = 2 if layer.bidirectional else 1
    weights = list(layer.parameters())
    state = x.new_zeros(directions * layer.num_layers, len(x), layer.hidden_size)
    return torch.ops.aten._cudnn_rnn(
        x,
        weights,
        len(weights) // (directions * layer.num_layers),
        None,
        state,
        state if layer.mode == "LSTM" else None,
        CUDNN_MODES[layer.mode],
        layer.hidden_size,
        0,  # no projection
        layer.num_layers,
        True,  # rows first
        0.0,
        True,
        layer.bidirectional,
        [],
        None,
    )


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("n_layers", [1, 2])
def test_cudnns_recurrent_layers_count_as_their_products_on_a_cpu_do(kind, bidirectional, n_layers):
    def layer() -> nn.RNNBase:
        more = {"bidirectional": bidirectional, "batch_first": True, "dtype": torch.float64}
        return kind(5, 4, n_layers, **more)

    # In float64 the CPU has no kernel of its own for the LSTM, so every product is seen.
    on_cpu = layer()
    x = torch.randn(3, 7, 5, dtype=torch.float64)
    with FlopCounterMode(display=False) as counter:
        on_cpu(x)

    with FakeTensorMode(), torch.no_grad():
        fake = layer()
        fake_x = torch.empty(3, 7, 5, dtype=torch.float64)
        assert profiling.flops(lambda: cudnn_rnn(fake, fake_x)) == counter.get_total_flops()


@pytest.mark.parametrize("weights_too", [True, False])
def test_cudnns_gru_counts_backward_as_its_products_on_a_cpu_do(weights_too):
    gru = nn.GRU(5, 4, batch_first=True).requires_grad_(weights_too)
    x = torch.randn(3, 7, 5, requires_grad=True)
    h = torch.randn(1, 3, 4, requires_grad=True)  # cuDNN computes its gradient in any case
    with FlopCounterMode(display=False) as forward:
        out = gru(x, h)[0].sum()
    with FlopCounterMode(display=False) as backward:
        out.backward()

    shapes = (x.shape, [weight.shape for weight in gru.parameters()])
    formula = FLOP_FORMULAS[torch.ops.aten._cudnn_rnn_backward]
    assert FLOP_FORMULAS[torch.ops.aten._cudnn_rnn](*shapes) == forward.get_total_flops()
    found = formula(*shapes, 2, [True, True, False, weights_too])
    assert found == backward.get_total_flops()


@pytest.mark.parametrize("name", ["gru4rec", "glint-ru", "narm"])
def test_the_closed_form_is_what_pytorch_counts_where_the_gru_is_one_operator(name, monkeypatch):
    called = []

    def one_operator(x, h, weights, *, has_biases, num_layers, **others):
        called.append(weights)
        gru = nn.GRU(x.shape[-1], h.shape[-1], num_layers, bias=has_biases, batch_first=True)
        states, last, *_ = cudnn_rnn(gru, x)
        return states, last

    monkeypatch.setattr(torch, "gru", one_operator)
    with FakeTensorMode(), torch.no_grad():
        model = build_model(name, 9, d_model=16, max_len=20).eval()
        assert counted(model, 7) == N_ROWS * profiling.closed_form(model, 7)
    assert called


@pytest.mark.parametrize("kernel", ["efficient", "flash", "cudnn"])
def test_the_attention_kernels_of_gpus_count_as_those_of_cpus_do(kernel):
    attention = nn.functional.scaled_dot_product_attention
    on_cpu = torch.randn(2, 2, 8, 16)
    on_gpu = getattr(torch.ops.aten, f"_scaled_dot_product_{kernel}_attention")
    more = () if kernel == "flash" else (None, True)  # no mask, and what backward needs
    with FakeTensorMode():
        q = torch.empty(2, 2, 8, 16)
        found = profiling.flops(lambda: on_gpu(q, q, q, *more))
    assert found == profiling.flops(lambda: attention(on_cpu, on_cpu, on_cpu))


def test_attention_backward_is_five_products_to_two_forward():
    attention = nn.functional.scaled_dot_product_attention
    q = torch.randn(2, 2, 8, 16, requires_grad=True)
    found = profiling.flops(lambda: attention(q, q, q).sum().backward())
    # The weights are not stored, so they are computed once more.
    assert found == 7 * (2 * 2 * 2 * 8 * 8 * 16)  # two operations; rows, heads, pairs, width


# --- On a real GPU ---


@pytest.mark.gpu
@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_the_closed_form_is_what_pytorch_counts_on_a_gpu(name):
    model = build_model(name, 9, d_model=16, max_len=20).eval().to("cuda")
    assert counted(model, 7) == N_ROWS * profiling.closed_form(model, 7)


@pytest.mark.gpu
def test_peak_memory_is_the_gpus_for_work_there_and_the_cpus_for_work_here():
    def two_of_three(device: str) -> None:
        a = torch.ones(2**18, device=device)  # a MiB each
        b = a + 1
        del a
        b + 1

    for device in ("cuda", "cpu"):
        peak = profiling.peak_memory(lambda device=device: two_of_three(device))
        assert peak == pytest.approx(2, abs=0.01), device


@pytest.mark.gpu
def test_the_operators_of_work_on_a_gpu_are_the_gpus_and_of_work_on_the_cpu_the_cpus():
    a = torch.rand(512, 512)
    on_gpu = a.cuda()
    parts = {"product": ("aten::mm",)}
    on_cpu = profiling.operator_seconds(lambda: (a @ a).exp(), parts)
    there = profiling.operator_seconds(lambda: (on_gpu @ on_gpu).exp(), parts)
    for seconds in (on_cpu, there):
        assert seconds["product"] > 0
        assert seconds["all else"] > 0


@pytest.mark.gpu
def test_a_clock_waits_for_the_gpu():
    """A product of two large matrices is given away in no time and takes its time there."""
    a = torch.rand(4096, 4096, device="cuda")
    profiling._seconds(lambda: a @ a)
    end = torch.cuda.Event()

    def multiply() -> None:
        a @ a
        end.record()

    profiling._seconds(multiply)
    assert end.query()  # it is past
