"""One training step: forward, loss, backward, Adam, without a word from the host.

Nothing here asks the device for a number, and no size depends on what a tensor holds. So on a GPU
the host can run ahead of the device, and a step can be captured as a CUDA graph
(`minirec.training.graphs`). `minirec.experiments.proof` proves it on a machine without a GPU.

B rows, N positions, T targets of a batch, d model width.
"""

import torch
from torch import Tensor

from minirec.data.batching import Batch
from minirec.losses import full_softmax_loss, represent
from minirec.models.base import NeuralRecommender


class TrainingStep:
    """A model and its optimizer, and what one step does with a batch.

    Parameters
    ----------
    model : NeuralRecommender
        On its device; its weights change in place.
    objective : str
        "next-item", "prefix" or "cloze".
    precision : str
        "float32", or "bfloat16" (autocast).
    lr : float
        Adam's learning rate.

    References
    ----------
    Notebook 14.
    """

    def __init__(self, model: NeuralRecommender, objective: str, precision: str, lr: float):
        self.model = model
        self.objective = objective
        self.in_bfloat16 = precision == "bfloat16"
        self.device = next(model.parameters()).device

        # On a GPU the rate is a tensor and Adam counts its steps there, so that both can change
        # between two replays of a captured step.
        self.on_gpu = self.device.type == "cuda"
        self.learning_rate = torch.tensor(lr, device=self.device) if self.on_gpu else lr
        self.optimizer = torch.optim.Adam(
            model.parameters(), lr=self.learning_rate, fused=True, capturable=self.on_gpu
        )

    def __call__(self, batch: Batch) -> Tensor:
        """Change the weights once; return the mean loss of the batch's targets, a scalar."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(batch)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean loss of the batch's targets, with its graph; inputs [B, N]."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.in_bfloat16):
            # Only what has a target is scored: representations [T, d], targets [T].
            representations, targets = represent(
                self.model, self.objective, batch.inputs, batch.targets, batch.positions
            )
            return full_softmax_loss(
                representations,
                self.model.output_weights(),
                targets,
                padding_class=self.model.padding_class,
            )

    def set_learning_rate(self, lr: float) -> None:
        """Set Adam's learning rate for the steps to come."""
        if isinstance(self.learning_rate, Tensor):
            self.learning_rate.fill_(lr)
        else:
            self.optimizer.param_groups[0]["lr"] = lr

    def load_optimizer(self, state: dict) -> None:
        """Take over Adam's state from a checkpoint, whichever device it was written on."""
        self.optimizer.load_state_dict(state)
        group = self.optimizer.param_groups[0]
        stored_rate = float(group["lr"])
        group["lr"] = self.learning_rate
        group["fused"] = True
        group["capturable"] = self.on_gpu
        self.set_learning_rate(stored_rate)
