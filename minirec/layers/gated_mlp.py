"""The gated multilayer perceptron that closes a GLINT-RU block (notebook 06).

d : model width
Z : the input, [..., d]
V : what the gate acts on, [..., d]
W3, W4, W_o : weight matrices, b3, b4, b_o their biases
"""

from torch import Tensor, nn
from torch.nn import functional as F


class GatedMLP(nn.Module):
    """Gate each position's features by a function of the same position.

    R = (GeLU(Z W3 + b3) * V) W_o + b_o.

    Parameters
    ----------
    d_model : int
        Width of input and output.
    form : {"paper", "released"}
        What V is: Z itself, as the paper prints it, or Z W4 + b4, a second linear map, as the
        authors' code has it.

    Raises
    ------
    ValueError
        If form is neither of the two.

    References
    ----------
    GLINT-RU, Eq. 12; derived in notebook 06.
    """

    def __init__(self, d_model: int, form: str = "paper"):
        super().__init__()
        if form not in ("paper", "released"):
            raise ValueError(f"form must be 'paper' or 'released'; got {form!r}.")
        self.gate = nn.Linear(d_model, d_model)  # W3, b3
        self.output = nn.Linear(d_model, d_model)  # W_o, b_o
        self.value = nn.Linear(d_model, d_model) if form == "released" else nn.Identity()

    def forward(self, z: Tensor) -> Tensor:
        """Return R, [..., d] -> [..., d]."""
        gate = F.gelu(self.gate(z))
        return self.output(gate * self.value(z))
