"""The gated multilayer perceptron that closes a GLINT-RU block (Eq. 12, notebook 06). d width."""

from torch import Tensor, nn
from torch.nn import functional as F


class GatedMLP(nn.Module):
    """R = (GeLU(Z W3 + b3) * V) W_o + b_o (Eq. 12, notebook 06).

    form="paper": V = Z itself; form="released": V = Z W4 + b4, a second linear map, as the authors' code has it.
    """

    def __init__(self, d_model: int, form: str = "paper"):
        super().__init__()
        if form not in ("paper", "released"):
            raise ValueError(f"form must be 'paper' or 'released'; got {form!r}.")
        self.gate, self.output = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)
        self.value = nn.Linear(d_model, d_model) if form == "released" else nn.Identity()

    def forward(self, z: Tensor) -> Tensor:
        """z: [..., d] -> [..., d]."""
        return self.output(F.gelu(self.gate(z)) * self.value(z))
