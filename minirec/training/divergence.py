"""When training has diverged, and what to do then."""

import torch

from minirec.models.base import Recommender

# No model has use for such a weight, and a product of more than three of them overflows float32.
# Adam moves a weight by up to the learning rate in a step, whatever the gradient is, so a rate far
# too large shows here before it shows in a loss.
LARGEST_WEIGHT = 1e12


def unusable_weight(model: Recommender) -> str:
    """Name a weight that is not finite, or beyond LARGEST_WEIGHT.

    Parameters
    ----------
    model : Recommender
        On any device; a GPU is waited for, once.

    Returns
    -------
    str
        The first such weight among those that are trained, and what it holds: "map.bias holds
        nan"; empty if there is none.
    """
    names = []
    largest = []
    for name, weight in model.named_parameters():
        if weight.requires_grad and weight.numel() > 0:
            names.append(name)
            largest.append(weight.detach().abs().max().double())  # NaN if any is
    if not largest:
        return ""
    for name, value in zip(names, torch.stack(largest).tolist(), strict=True):
        if not value <= LARGEST_WEIGHT:  # NaN is not, either
            return f"{name} holds {value:.3g}"
    return ""


def advice(precision: str) -> str:
    """Return what to do about a run that diverged, as a sentence.

    Parameters
    ----------
    precision : str
        Of the run, "float32" or "bfloat16".

    Returns
    -------
    str
        It names the settings of `fit` to change.
    """
    if precision == "bfloat16":
        return "Lower the learning rate, or use precision='float32'."
    return "Lower the learning rate."
