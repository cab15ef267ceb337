"""Cross-entropy over the whole catalogue, without the whole matrix of scores.

The softmax is that of GLINT-RU's last equation.

T targets, d model width, V items, C targets per chunk. x a representation, e an item's embedding.
"""

from typing import Any, Protocol

import torch
from torch import Tensor

# Scores computed at a time, whatever T and V: 4 MiB of float32 stay in a CPU's cache; a GPU wants
# more at once, and so, we suppose, does any other device.
SCORES_PER_CHUNK = {"cpu": 2**20, "cuda": 2**24}

# But never fewer targets than these, however many items there are: a product with a handful of rows
# reads the embeddings for nearly nothing.
LEAST_TARGETS_PER_CHUNK = 64


class Representing(Protocol):
    """What `represent` asks of a model (the contract: `minirec.models.base`)."""

    def encode(self, items: Tensor) -> Tensor:
        """Represent every position: items [B, N] -> [B, N, d]."""

    def last(self, items: Tensor) -> Tensor:
        """Represent each whole row: items [B, N] -> [B, d]."""


def full_softmax_loss(representations: Tensor, embeddings: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean of -log softmax(representation . embeddings)[target] over the targets.

    The gradient is formed in the forward pass, a chunk of targets at a time, so memory is one
    chunk of scores beside the inputs and their gradients, not T x V.

    Parameters
    ----------
    representations : Tensor
        Float[T, d].
    embeddings : Tensor
        Float[V + 1, d]; row 0, the padding, is no candidate.
    targets : Tensor
        Long[T], item ids in 1..V, or 0 where there is no target: that row counts nothing, neither
        in the mean nor in a gradient. So a batch can keep its shape whatever it holds.

    Returns
    -------
    Tensor
        A scalar in float32 (float64 for float64 inputs), in nats per target; 0 where there is no
        target at all. It can be differentiated once.
    """
    return _ChunkedCrossEntropy.apply(representations, embeddings[1:], targets)


def _targets_per_chunk(device: torch.device, n_items: int) -> int:
    at_once = SCORES_PER_CHUNK.get(device.type, SCORES_PER_CHUNK["cuda"])
    return max(LEAST_TARGETS_PER_CHUNK, at_once // n_items)


def represent(
    model: Representing,
    objective: str,
    items: Tensor,
    targets: Tensor,
    positions: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Compute what `full_softmax_loss` needs of a training batch.

    Parameters
    ----------
    model : Representing
        A neural recommender.
    objective : str
        "prefix": a row of items has one target. Otherwise every position may have one.
    items : Tensor
        Long[B, N].
    targets : Tensor
        Long[B] for "prefix", else Long[B, N] with 0 where there is no target.
    positions : Tensor, optional
        Long[T]: where the targets stand in the flattened `targets`, and B N for each that there
        are fewer than T. With it no size depends on what a tensor holds. Without it T is counted,
        for which a GPU has to be waited for.

    Returns
    -------
    representations : Tensor
        Float[T, d].
    targets : Tensor
        Long[T], 0 where there is no target.
    """
    if objective == "prefix":
        return model.last(items), targets
    targets = targets.flatten()
    if positions is None:
        positions = targets.nonzero()[:, 0]
    encoded = model.encode(items).flatten(0, 1)  # [B N, d]

    # A position behind the last one has no target, and takes the last one's representation.
    last = len(targets) - 1
    representations = encoded.index_select(0, positions.clamp_max(last))
    chosen = targets[positions.clamp_max(last)] * (positions <= last)
    return representations, chosen


class _ChunkedCrossEntropy(torch.autograd.Function):
    """The mean cross-entropy, and its gradient in the same pass.

    With scores s_v = x . e_v, a target's loss is log(sum_v exp(s_v)) - s_target, and its derivative
    with respect to the scores is softmax(s) - onehot(target). Both need the scores, and a chunk's
    scores exist only while it is being worked on: to form the gradient later, backward would have
    to keep T x V numbers or compute them anew. Because the loss is a scalar, the derivative that
    comes in from above is one number, and backward only has to scale the gradient by it.
    """

    @staticmethod
    def forward(ctx: Any, representations: Tensor, embeddings: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss: of [T, d], embeddings [V, d] without padding, Long[T] in 0..V."""
        # A product is fast where its inner loop runs along contiguous memory. Both large products
        # of a chunk, its scores and the embeddings' gradient, have rows of length V; so the
        # embeddings are laid out as columns [d, V] once, and their gradient is summed up like that.
        columns = embeddings.T.contiguous()
        grad_representations = torch.empty_like(representations)
        grad_columns = torch.zeros_like(columns)

        # The loss is summed in float32 even where the scores are in half precision.
        loss_dtype = torch.promote_types(representations.dtype, torch.float32)
        loss = torch.zeros((), dtype=loss_dtype, device=representations.device)

        # Rows without a target are computed like the others, because to leave them out would make
        # the shapes depend on the data, for which a GPU would have to wait. With x = 0 they add
        # nothing to the embeddings' gradient; their own gradient and loss are set to 0.
        absent = (targets == 0)[:, None]  # [T, 1]
        own_rows = (targets - 1).clamp_min(0)[:, None]  # [T, 1], a target's row in `embeddings`
        n_targets = (~absent).sum()

        chunk = _targets_per_chunk(representations.device, len(embeddings))
        for start in range(0, len(targets), chunk):
            rows = slice(start, start + chunk)
            x = representations[rows].masked_fill(absent[rows], 0)  # [C, d]
            target = own_rows[rows]  # [C, 1]

            # 1. Scores of every item, [C, V], less their maximum so that exp cannot overflow:
            #    log sum exp(s) = top + log sum exp(s - top).
            scores = (x @ columns).to(loss_dtype)
            top = scores.amax(1, keepdim=True)
            own = scores.gather(1, target)
            exps = scores.sub_(top).exp_()  # in place: there is one [C, V] matrix, not three
            total = exps.sum(1, keepdim=True)

            # 2. The chunk's loss.
            loss += (total.log() + top - own).masked_fill_(absent[rows], 0).sum()

            # 3. The derivative with respect to the scores is softmax - onehot = slope / total, with
            #    slope = exps - total * onehot, again in place. The division by total is left to the
            #    thin matrices, [C, d], which have far fewer numbers than slope.
            slope = exps.scatter_add_(1, target, -total).to(x.dtype)

            # 4. The chain rule through s = x . e. A representation belongs to this chunk alone; an
            #    embedding takes part in all chunks, so its gradient is added up.
            grad_x = (slope @ embeddings.to(x.dtype)) / total
            grad_representations[rows] = grad_x.masked_fill_(absent[rows], 0)
            grad_columns += (x / total).to(x.dtype).T @ slope

        n_targets = n_targets.clamp_min(1)  # without any the loss is 0, not 0 / 0
        ctx.save_for_backward(grad_representations, grad_columns.T.contiguous(), n_targets)
        return loss / n_targets

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        """Scale the gradients by `grad`, the derivative with respect to the mean loss."""
        # The saved gradients are constants: a second derivative would silently lack their part.
        if torch.is_grad_enabled():
            raise RuntimeError(
                "full_softmax_loss can be differentiated once only; leave create_graph out."
            )
        grad_representations, grad_embeddings, n_targets = ctx.saved_tensors
        scale = grad / n_targets  # saved are the gradients of the sum, not of the mean
        return (
            grad_representations * scale.to(grad_representations.dtype),
            grad_embeddings * scale,
            None,
        )
