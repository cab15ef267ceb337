"""Cross-entropy over the whole catalogue, without the whole matrix of scores (the softmax of GLINT-RU's last equation).

T targets, d model width, V items.
"""

import torch
from torch import Tensor

SCORES_PER_CHUNK = {
    "cpu": 2**20,
    "cuda": 2**24,
}  # scores at a time, whatever T and V: 4 MiB of float32 stay in a CPU's cache; a GPU wants more at once


def full_softmax_loss(representations: Tensor, embeddings: Tensor, targets: Tensor) -> Tensor:
    """Mean of -log softmax(representation . embeddings)[target], a scalar in float32 (float64 for float64 inputs).

    representations: Float[T, d]; embeddings: Float[V + 1, d], row 0 (padding) is no candidate; targets: Long[T] in 1..V. The gradient is formed in
    the forward pass, a chunk of targets at a time, so memory is one chunk of scores beside the inputs and their gradients, not T x V.
    """
    return _ChunkedCrossEntropy.apply(representations, embeddings[1:], targets - 1)


def represent(model, objective: str, items: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """What `full_softmax_loss` needs of a training batch: representations [T, d] and targets [T]. items [B, N]; targets [B, N], 0 for none; "prefix": [B]."""
    if objective == "prefix":
        return model.last(items), targets
    real = targets > 0
    return model.encode(items)[real], targets[real]


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, representations, embeddings, targets):
        columns = embeddings.T.contiguous()  # products with long rows of V are the fast ones
        grad_representations, grad_columns = (
            torch.empty_like(representations),
            torch.zeros_like(columns),
        )
        loss = torch.zeros(
            (),
            dtype=torch.promote_types(representations.dtype, torch.float32),
            device=representations.device,
        )
        chunk = max(1, SCORES_PER_CHUNK[representations.device.type] // len(embeddings))
        for at in range(0, len(targets), chunk):
            rows = slice(at, at + chunk)
            x, target = representations[rows], targets[rows, None]
            scores = (x @ columns).to(loss.dtype)
            top, own = scores.amax(1, keepdim=True), scores.gather(1, target)
            total = scores.sub_(top).exp_().sum(1, keepdim=True)
            loss += (total.log() + top - own).sum()
            # d loss / d scores = softmax(scores) - one-hot(target) = slope / total, in place of the scores; the division is left to the thin matrices
            slope = scores.scatter_add_(1, target, -total).to(x.dtype)
            grad_representations[rows] = (slope @ embeddings.to(x.dtype)) / total
            grad_columns += (x / total).to(x.dtype).T @ slope
        ctx.save_for_backward(grad_representations, grad_columns.T.contiguous())
        ctx.n_targets = len(targets)
        return loss / len(targets)

    @staticmethod
    def backward(ctx, grad):
        if torch.is_grad_enabled():  # the saved gradients are constants here, so a second derivative would silently lack their part
            raise RuntimeError(
                "full_softmax_loss can be differentiated once only; leave create_graph out."
            )
        grad_representations, grad_embeddings = ctx.saved_tensors
        scale = grad / ctx.n_targets
        return (
            grad_representations * scale.to(grad_representations.dtype),
            grad_embeddings * scale,
            None,
        )
