"""The scan and the BD-LRU as operators of PyTorch: compilers, transforms, fake tensors.

Fake CUDA tensors need no GPU; but on a machine whose PyTorch is built for CPUs, its autograd does
not take them, so gradients on them are asked of the operator itself.
"""

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap
from torch.utils._pytree import tree_leaves

import minirec
from minirec.scan import linear_recurrence
from minirec.scan.bd_lru import bd_lru

CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # the fused kernels of the CPU work in float32
NEURAL = [name for name in minirec.available_models() if name not in ("popularity", "last-item")]


def draw(*shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def scan_inputs(leading=(), dtype=torch.float64):
    """Return a, b and h0, with further dimensions in front."""
    a = draw(*leading, 2, 5, 3, dtype=dtype).sigmoid()
    b = draw(*leading, 2, 5, 3, seed=1, dtype=dtype)
    h0 = draw(*leading, 2, 3, seed=2, dtype=dtype)
    return a, b, h0


def bd_lru_inputs(leading=(), dtype=torch.float32):
    """Return gates, x, z, Lambda and h0, with further dimensions in front."""
    gates = draw(*leading, 2, 5, 6, dtype=dtype)
    x = draw(*leading, 2, 5, 3, seed=1, dtype=dtype)
    z = draw(*leading, 2, 5, 3, seed=2, dtype=dtype)
    Lambda = draw(*leading, 3, seed=3, dtype=dtype)
    h0 = draw(*leading, 2, 3, seed=4, dtype=dtype)
    return gates, x, z, Lambda, h0


# What is asked, of what, and the plain PyTorch that says what is right.
OPERATIONS = {
    "scan": (linear_recurrence, "loop", scan_inputs),
    "bd_lru": (bd_lru, "unfused", bd_lru_inputs),
}
each_operation = pytest.mark.parametrize("name", OPERATIONS)


def both(name):
    """Return the operation, its reference, and the function that draws its inputs."""
    operation, reference, inputs = OPERATIONS[name]

    def judge(*tensors):
        return operation(*tensors, impl=reference)

    return operation, judge, inputs


def require_grad(tensors):
    return [tensor.detach().requires_grad_() for tensor in tensors]


def squares(outputs):
    """Sum the squares of one output or of several."""
    return sum(output.pow(2).sum() for output in tree_leaves(outputs))


def naming(what):
    """Put a name before PyTorch's own words."""
    return lambda text: f"{what}: {text}"


# ----- Derivatives of derivatives -----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("with_h0", [True, False])
def test_second_derivatives_of_the_scan_are_those_of_finite_differences(with_h0):
    a, b, h0 = require_grad(scan_inputs())
    inputs = (a, b, h0) if with_h0 else (a, b)
    assert torch.autograd.gradgradcheck(linear_recurrence, inputs)


@pytest.mark.slow
@each_operation
def test_second_derivatives_are_right_in_every_way_they_are_asked_for(name):
    operation, judge, inputs = both(name)

    def second(function, ask):
        leaves = require_grad(inputs())
        firsts = torch.autograd.grad(squares(function(*leaves)), leaves, create_graph=True)
        return ask(squares(firsts), leaves)

    def by_grad(value, leaves):
        return torch.autograd.grad(value, leaves)

    def allowing_unused(value, leaves):
        found = torch.autograd.grad(value, leaves, allow_unused=True)
        assert None not in found
        return found

    def by_backward(value, leaves):
        value.backward()
        return [leaf.grad for leaf in leaves]

    expected = second(judge, by_grad)
    for ask in (by_grad, allowing_unused, by_backward):
        found = second(operation, ask)
        torch.testing.assert_close(found, expected, **CLOSE, msg=naming(ask.__name__))


def test_one_tensor_in_two_places_has_the_sum_of_both_gradients_at_every_order():
    gates, x, _, Lambda, h0 = require_grad(bd_lru_inputs())
    found = []
    for impl in ("fused", "unfused"):
        y, _ = bd_lru(gates, x, x, Lambda, h0, impl=impl)
        (first,) = torch.autograd.grad(squares(y), x, create_graph=True)
        (second,) = torch.autograd.grad(squares(first), x)
        found.append((first, second))
    torch.testing.assert_close(*found, **CLOSE)


@each_operation
def test_asking_for_a_graph_does_not_change_the_gradients(name):
    operation, _, inputs = both(name)
    leaves = require_grad(inputs())
    found = []
    for create_graph in (False, True):
        loss = squares(operation(*leaves))
        found.append(torch.autograd.grad(loss, leaves, create_graph=create_graph))
    torch.testing.assert_close(*found, **CLOSE)


# ----- torch.func ---------------------------------------------------------------------------------


@each_operation
@pytest.mark.parametrize("shared", [None, 0, 1, 2])
def test_vmap_computes_every_one_of_them_and_gradients_flow(name, shared):
    operation, judge, inputs = both(name)
    tensors = list(inputs(leading=(4,)))
    in_dims = [0] * len(tensors)
    if shared is not None:
        tensors[shared] = tensors[shared][0]  # one for all
        in_dims[shared] = None
    elsewhere = 0 if shared == 1 else 1
    tensors[elsewhere] = tensors[elsewhere].movedim(0, 2)
    in_dims[elsewhere] = 2

    found = []
    for function in (operation, judge):
        leaves = require_grad(tensors)
        outputs = vmap(function, in_dims=tuple(in_dims))(*leaves)
        found.append((outputs, torch.autograd.grad(squares(outputs), leaves)))
    torch.testing.assert_close(*found, **CLOSE)


@pytest.mark.slow
@each_operation
def test_every_transform_gives_what_plain_pytorch_gives(name):
    operation, judge, inputs = both(name)
    tensors = inputs()
    many = inputs(leading=(4,))

    def asked(function):
        def loss(*given):
            return squares(function(*given))

        def of_x(x):
            return function(tensors[0], x, *tensors[2:])

        def loss_of_x(x):
            return squares(of_x(x))

        return {
            "grad": grad(loss)(*tensors),
            "vmap of grad": vmap(grad(loss))(*many),
            "grad of vmap": grad(lambda *given: squares(vmap(function)(*given)))(*many),
            "jvp": jvp(function, tensors, tuple(tensor.flip(0) for tensor in tensors)),
            "vmap of vmap": vmap(vmap(function))(*inputs(leading=(2, 3))),
            "jacrev": jacrev(of_x)(tensors[1]),
            "jacfwd": jacfwd(of_x)(tensors[1]),
            "hessian": hessian(loss_of_x)(tensors[1]),
        }

    found = asked(operation)
    for what, expected in asked(judge).items():
        torch.testing.assert_close(found[what], expected, rtol=1e-4, atol=1e-4, msg=naming(what))


@each_operation
def test_a_vectorised_jacobian_is_the_one_row_by_row(name):
    operation, _, inputs = both(name)

    def first_output(*tensors):
        return tree_leaves(operation(*tensors))[0]

    by_rows = torch.autograd.functional.jacobian(first_output, inputs())
    at_once = torch.autograd.functional.jacobian(first_output, inputs(), vectorize=True)
    torch.testing.assert_close(at_once, by_rows, **CLOSE)


# ----- Compilers ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("with_h0", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_pytorch_finds_nothing_wrong_with_the_scan(dtype, with_h0):
    a, b, h0 = require_grad(scan_inputs(dtype=dtype))
    operator = torch.ops.minirec.scan.default
    torch.library.opcheck(operator, (a, b, h0 if with_h0 else None, "numba"))
    torch.library.opcheck(operator, (a.detach().mT.contiguous().mT, b, None, "numba"))


@pytest.mark.slow
@pytest.mark.parametrize("with_h0", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_pytorch_finds_nothing_wrong_with_the_bd_lru(dtype, with_h0):
    *tensors, h0 = require_grad(bd_lru_inputs(dtype=dtype))
    operator = torch.ops.minirec.bd_lru.default
    torch.library.opcheck(operator, (*tensors, h0 if with_h0 else None, "numba"))


@pytest.mark.slow
@each_operation
@pytest.mark.parametrize("dynamic", [False, True])
def test_it_compiles_as_one_graph_and_gives_the_same_bits(name, dynamic):
    operation, _, inputs = both(name)
    torch._dynamo.reset()
    compiled = torch.compile(operation, fullgraph=True, dynamic=dynamic, backend="aot_eager")
    found = []
    for function in (operation, compiled):
        leaves = require_grad(inputs())
        outputs = function(*leaves)
        found.append((outputs, torch.autograd.grad(squares(outputs), leaves)))
    torch.testing.assert_close(*found, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("name", NEURAL)
def test_every_system_can_be_exported(name, strict):
    class Represent(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, items):
            return self.model.last(items)

    torch.manual_seed(0)
    model = minirec.build_model(name, 30, d_model=8).eval()
    items = torch.tensor([[1, 2, 3, 4, 5, 0, 0], [3, 4, 5, 6, 7, 8, 9]])
    program = torch.export.export(Represent(model), (items,), strict=strict)

    others = torch.tensor([[9, 8, 7, 0, 0, 0, 0], [2, 2, 4, 4, 6, 6, 0]])
    with torch.no_grad():
        torch.testing.assert_close(program.module()(others), model.last(others))


# ----- Fake tensors -------------------------------------------------------------------------------


def described(tensors):
    return [(tensor.shape, tensor.stride(), tensor.dtype) for tensor in tensors]


@each_operation
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_fake_tensors_go_both_ways_as_real_ones_do(name, dtype):
    operation, _, inputs = both(name)
    real = require_grad(inputs(dtype=dtype))
    wanted = tree_leaves(operation(*real))
    wanted_gradients = torch.autograd.grad(squares(wanted), real)

    plain = [tensor.detach() for tensor in real]
    with FakeTensorMode() as mode:
        fake = require_grad(mode.from_tensor(tensor) for tensor in plain)
        found = tree_leaves(operation(*fake))
        gradients = torch.autograd.grad(squares(found), fake)
    assert described(found) == described(wanted)
    assert described(gradients) == described(wanted_gradients)


@pytest.mark.parametrize("n", [200, 20_000])  # in one walk, and in chunks of time
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_fake_cuda_tensors_need_no_gpu(n, dtype):
    gpu = {"device": "cuda", "dtype": dtype}
    with FakeTensorMode(), torch.no_grad():
        x = torch.empty(2, n, 8, **gpu)
        h0 = torch.empty(2, 8, **gpu)
        gates = torch.empty(2, n, 16, **gpu)
        Lambda = torch.empty(8, device="cuda")

        h = linear_recurrence(x, x, h0)
        y, last = bd_lru(gates, x, x, Lambda, h0)
        to_scan = torch.ops.minirec.scan_backward(x, h, h0, h, "triton")
        y_again, _, states, decay = torch.ops.minirec.bd_lru(gates, x, x, Lambda, h0, "triton")
        to_bd_lru = torch.ops.minirec.bd_lru_backward(
            gates, x, x, Lambda, h0, states, decay, y, last, "triton"
        )

    like_x = (h, y, y_again, states)
    assert described(like_x) == described([x] * len(like_x))
    assert last.shape == h0.shape
    assert last.dtype == dtype
    assert described(to_scan) == described([x, x, h0])
    assert described(to_bd_lru) == described([gates, x, x, Lambda, h0])
    assert {tensor.device.type for tensor in (*like_x, last, *to_scan, *to_bd_lru)} == {"cuda"}
