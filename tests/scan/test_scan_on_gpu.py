"""The scan and the BD-LRU on a GPU: launched by Triton and past it, in CUDA graphs, compiled."""

import pytest
import torch

from minirec.scan import linear_recurrence
from minirec.scan.bd_lru import bd_lru
from minirec.scan.chunking import chunking

pytestmark = pytest.mark.gpu

SHAPES = [(3, 37, 50), (20, 200, 128), (1, 3000, 64)]


def draw(*shape, seed):
    generator = torch.Generator("cuda").manual_seed(seed)
    return torch.randn(shape, generator=generator, device="cuda")


def scan_inputs(shape):
    B, _, D = shape
    return draw(*shape, seed=0).sigmoid(), draw(*shape, seed=1), draw(B, D, seed=2)


def bd_lru_inputs(shape):
    B, N, H = shape
    xz = draw(B, N, 2 * H, seed=1)
    gates = draw(B, N, 2 * H, seed=0)
    return gates, xz[..., :H], xz[..., H:], draw(H, seed=2) - 3, draw(B, H, seed=3)


def scan(*inputs):
    return (linear_recurrence(*inputs),)


OPERATIONS = [(scan, scan_inputs), (bd_lru, bd_lru_inputs)]
each = pytest.mark.parametrize("operation, inputs", OPERATIONS, ids=["scan", "bd_lru"])


def with_gradients(operation, tensors):
    """Return the outputs and the gradients of the sum of their squares."""
    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    outputs = operation(*leaves)
    loss = sum(output.square().sum() for output in outputs)
    return [*(output.detach() for output in outputs), *torch.autograd.grad(loss, leaves)]


def exact(operation, tensors):
    """The same in float64: a loop, or the formula in plain PyTorch, on the CPU."""
    tensors = [tensor.double().cpu() for tensor in tensors]
    if operation is scan:

        def plain(*given):
            return (linear_recurrence(*given, impl="loop"),)
    else:

        def plain(*given):
            return bd_lru(*given, impl="unfused")

    return with_gradients(plain, tensors)


def agree(found, wanted):
    for ours, theirs in zip(found, wanted, strict=True):
        assert (ours.double().cpu() - theirs).norm() <= 1e-5 * theirs.norm()


@each
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("launch_seconds", [0, 1])  # in chunks where rows are long; plain walks
def test_every_launch_gives_the_same_bits_and_agrees_with_float64(
    operation, inputs, shape, launch_seconds
):
    tensors = inputs(shape)
    wanted = exact(operation, tensors)
    with chunking(launch_seconds=launch_seconds):
        first = with_gradients(operation, tensors)  # by Triton
        for _ in range(2):
            again = with_gradients(operation, tensors)  # past it, where its version is known
            assert all(map(torch.equal, first, again))
    agree(first, wanted)


def test_addresses_that_are_no_multiples_of_16_bytes_after_ones_that_are():
    shape = (4, 50, 64)
    a, b, h0 = scan_inputs(shape)
    memory = torch.zeros(a.numel() + 1, device="cuda")
    shifted = memory[1:].view(shape).copy_(a)
    for given in (a, shifted, a, shifted):
        agree(with_gradients(scan, (given, b, h0)), exact(scan, (a, b, h0)))


@each
def test_a_captured_graph_is_replayed_on_new_numbers(operation, inputs):
    shape = (20, 200, 128)
    tensors = [tensor.contiguous() for tensor in inputs(shape)]
    with chunking(launch_seconds=0):
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                with_gradients(operation, tensors)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            results = with_gradients(operation, tensors)

    tensors[1].mul_(0.5)
    graph.replay()
    torch.cuda.synchronize()
    agree(results, exact(operation, tensors))


@each
def test_it_compiles_as_one_graph(operation, inputs):
    tensors = inputs((20, 200, 128))
    torch._dynamo.reset()
    compiled = torch.compile(operation, fullgraph=True, backend="aot_eager")
    agree(with_gradients(compiled, tensors), exact(operation, tensors))
