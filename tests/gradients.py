"""Are a module's gradients those of the function that it computes?"""

import torch
from torch import Tensor, nn


def gradients_are_right(module: nn.Module, *inputs: Tensor) -> bool:
    """Compare the gradients of all inputs and parameters, in float64, with finite differences."""
    names = []
    weights = []
    for name, parameter in module.named_parameters():
        names.append(name)
        weights.append(parameter)

    def function(*values: Tensor) -> Tensor:
        given = values[: len(inputs)]
        named = dict(zip(names, values[len(inputs) :], strict=True))
        return torch.func.functional_call(module, named, given)

    values = [value.detach().requires_grad_() for value in (*inputs, *weights)]
    return torch.autograd.gradcheck(function, values)
