"""Which device a model runs on."""

import re

import torch


def choose_device(name: str) -> torch.device:
    """Turn a device's name into the device.

    Parameters
    ----------
    name : str
        "auto" (a GPU if there is one, else the CPU), "cpu", "cuda", or "cuda:1" for the second GPU.

    Returns
    -------
    torch.device
        The device to train or measure on.

    Raises
    ------
    ValueError
        For any other name, and for a GPU where PyTorch sees none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"

    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ValueError(f"device must be 'auto', 'cpu', 'cuda' or 'cuda:NUMBER'; got {name!r}.")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"device {name!r} was asked for, but this PyTorch sees no CUDA GPU; "
            "use 'cpu' or 'auto'."
        )

    return torch.device(name)
