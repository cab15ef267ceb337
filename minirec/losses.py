"""Cross-entropy over the whole catalogue, without the whole matrix of scores.

The softmax is that of GLINT-RU's last equation.

T targets, d model width, V items, C targets per chunk. x a representation, e an item's embedding.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

# Scores kept at a time, whatever T and V: 4 MiB of float32 stay in a CPU's cache; a GPU wants more
# at once, and so, we suppose, does any other device.
SCORES_PER_CHUNK = {"cpu": 2**20, "cuda": 2**24}

# But a chunk is never narrower than this, however many items there are: each chunk reads all of the
# embeddings and of their gradient, which pays only if there is enough to compute with them.
LEAST_TARGETS_PER_CHUNK = 128

# A CPU goes through a chunk in blocks of items, so small (2 MiB for each of its threads) that what
# one operation wrote is still beside the core when the next one reads it. Other devices take a
# chunk as one block.
SCORES_PER_BLOCK_AND_THREAD = 2**19

# A product that adds up over a block's items is cut into so many, which threads share better.
PIECES = 8


class Representing(Protocol):
    """What `represent` asks of a model (the contract: `minirec.models.base`)."""

    def encode(self, items: Tensor) -> Tensor:
        """Represent every position: items [B, N] -> [B, N, d]."""

    def last(self, items: Tensor) -> Tensor:
        """Represent each whole row: items [B, N] -> [B, d]."""


def full_softmax_loss(
    representations: Tensor,
    embeddings: Tensor,
    targets: Tensor,
    *,
    padding_class: bool = False,
) -> Tensor:
    """Compute the mean of -log softmax(representation . embeddings)[target] over the targets.

    The gradient is formed in the forward pass, a chunk of targets at a time, so memory is one
    chunk of scores beside the inputs and their gradients, not T x V.

    Parameters
    ----------
    representations : Tensor
        Float[T, d].
    embeddings : Tensor
        Float[V + 1, d]; row 0, the padding, is no candidate unless padding_class says so.
    targets : Tensor
        Long[T], item ids in 1..V, or 0 where there is no target: that row counts nothing, neither
        in the mean nor in a gradient. So a batch can keep its shape whatever it holds.
    padding_class : bool
        True: the softmax runs over all V + 1 rows. The padding is then a class that is never the
        target, as in code that takes the cross-entropy over a whole embedding table.

    Returns
    -------
    Tensor
        A scalar in float32 (float64 for float64 inputs), in nats per target; 0 where there is no
        target at all. It can be differentiated once.
    """
    return _ChunkedCrossEntropy.apply(representations, embeddings, targets, padding_class)


def _targets_per_chunk(device: torch.device, n_items: int) -> int:
    """Return how many targets are a chunk: a multiple of the least, so that vectors fit."""
    most_scores = SCORES_PER_CHUNK.get(device.type, SCORES_PER_CHUNK["cuda"])
    multiple = most_scores // (LEAST_TARGETS_PER_CHUNK * n_items)
    return LEAST_TARGETS_PER_CHUNK * max(1, multiple)


def _blocks_of_items(device: torch.device, n_items: int, chunk: int) -> list[slice]:
    """Return the blocks of items in which a chunk's scores are gone through."""
    size = n_items
    if device.type == "cpu":
        size = max(1, SCORES_PER_BLOCK_AND_THREAD * torch.get_num_threads() // chunk)
    return [slice(start, start + size) for start in range(0, n_items, size)]


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
    places = positions.clamp_max(last)
    return encoded.index_select(0, places), targets[places] * (positions <= last)


class _ChunkedCrossEntropy(torch.autograd.Function):
    """The mean cross-entropy, and its gradient in the same pass.

    With scores s_v = x . e_v, a target's loss is log(sum_v exp(s_v)) - s_target, and its derivative
    with respect to the scores is softmax(s) - onehot(target). Both need the scores, and a chunk's
    scores exist only while it is being worked on: to form the gradient later, backward would have
    to keep T x V numbers or compute them anew. Because the loss is a scalar, the derivative that
    comes in from above is one number, and backward only has to scale the gradient by it.
    """

    @staticmethod
    def forward(
        ctx: Any,
        representations: Tensor,
        embeddings: Tensor,
        targets: Tensor,
        padding_class: bool,
    ) -> Tensor:
        """Compute the loss: of [T, d], embeddings [V + 1, d], Long[T] in 0..V."""
        # Products may be in half precision, by autocast or by their inputs; all else is in float32.
        product_dtype = (representations[:0] @ embeddings[:0].T).dtype
        dtype = torch.promote_types(representations.dtype, torch.float32)

        # Rows without a target are computed like the others, because to leave them out would make
        # the shapes depend on the data, for which a GPU would have to wait. With x = 0 they add
        # nothing to the embeddings' gradient; their own gradient and loss are set to 0 at the end.
        absent = targets == 0
        x = representations.masked_fill(absent[:, None], 0).to(product_dtype)
        n_targets = (~absent).sum().clamp_min(1)  # without any the loss is 0, not 0 / 0

        # Where the padding is no candidate, row 0 is that of item 1 below.
        first = 0 if padding_class else 1
        target_rows = (targets - first).clamp_min(0)
        items = embeddings[first:].to(product_dtype)
        grad_embeddings = torch.zeros_like(embeddings, dtype=dtype)

        chunk = _targets_per_chunk(x.device, len(items))
        work = _Work(
            embeddings=items,
            grad_embeddings=grad_embeddings[first:],
            blocks=_blocks_of_items(x.device, len(items), chunk),
            memory=x.new_empty(len(items) * min(chunk, len(x)), dtype=dtype),
        )
        losses = x.new_empty(len(x), dtype=dtype)
        grad_representations = torch.empty_like(x, dtype=dtype)
        for start in range(0, len(x), chunk):
            rows = slice(start, start + chunk)
            losses[rows], grad_representations[rows] = _one_chunk(x[rows], target_rows[rows], work)

        grad_representations.masked_fill_(absent[:, None], 0)
        ctx.save_for_backward(
            grad_representations.to(representations.dtype),
            grad_embeddings.to(embeddings.dtype),
            n_targets,
        )
        return losses.masked_fill_(absent, 0).sum() / n_targets

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
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
            None,
        )


@dataclass(frozen=True)
class _Work:
    """What all chunks have in common."""

    embeddings: Tensor  # [V, d]
    grad_embeddings: Tensor  # [V, d], to which every chunk adds its part
    blocks: list[slice]  # of items
    memory: Tensor  # for the scores of a chunk; new memory for each would cost more than an exp


def _one_chunk(x: Tensor, target: Tensor, work: _Work) -> tuple[Tensor, Tensor]:
    """Return a chunk's losses [C] and their gradient [C, d]; add to the embeddings' gradient.

    Scores have a row per item, [V, C]: a block of items is one piece of memory, and the products
    of such blocks run near the rate of square matrices. With a row per target, [C, V], the
    neighbours of a score in the other direction are V numbers apart, and the scores cost twice the
    time.
    """
    scores = work.memory[: len(work.embeddings) * len(x)].view(-1, len(x))
    target = target[None]  # [1, C]

    # 1. Scores of every item and their maximum, taken off below so that exp cannot overflow:
    #    log sum exp(s) = top + log sum exp(s - top).
    columns = x.T.contiguous()  # [d, C], along which the product runs
    top = scores.new_full((1, len(x)), -torch.inf)
    for items in work.blocks:
        _product(work.embeddings[items], columns, out=scores[items])
        top = torch.maximum(top, scores[items].amax(0, keepdim=True))

    # 2. The losses. Each step is in place: there is one [V, C] matrix, not three.
    own = scores.gather(0, target)
    total = torch.zeros_like(top)
    for items in work.blocks:
        total += scores[items].sub_(top).exp_().sum(0, keepdim=True)
    losses = total.log() + top - own

    # 3. The derivative with respect to the scores is softmax - onehot = slope / total, with
    #    slope = exp(s - top) - total * onehot. The division by total is left to the thin matrices,
    #    [C, d], which have far fewer numbers than slope.
    slope = scores.scatter_add_(0, target, -total)

    # 4. The chain rule through s = x . e. A representation belongs to this chunk alone; an
    #    embedding takes part in all chunks, so its gradient is added up.
    grad_x = scores.new_zeros(x.shape[1], len(x))  # [d, C]
    scaled = (x / total.T).to(x.dtype)
    for items in work.blocks:
        slope_of_block = slope[items].to(x.dtype)
        grad_x += _product_over_items(work.embeddings[items], slope_of_block)
        _add_product(work.grad_embeddings[items], slope_of_block, scaled)
    return losses[0], (grad_x / total).T


def _product(a: Tensor, b: Tensor, out: Tensor) -> None:
    """Write a @ b into `out`, which may be of higher precision."""
    if a.dtype == out.dtype:
        torch.mm(a, b, out=out)
    else:
        out.copy_(a @ b)


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """Add a @ b to `total`, which may be of higher precision."""
    if a.dtype == total.dtype:
        total.addmm_(a, b)
    else:
        total += a @ b


def _product_over_items(a: Tensor, b: Tensor) -> Tensor:
    """Return a.T @ b [d, C] of many rows, a [n, d] and b [n, C].

    A product shares its result out among the threads, and this result is too small for that. So
    equal pieces of the sum become products of their own.
    """
    rows = len(a) // PIECES
    cut = rows * PIECES
    pieces_of_a = a[:cut].view(PIECES, rows, a.shape[1])
    pieces_of_b = b[:cut].view(PIECES, rows, b.shape[1])
    result = torch.bmm(pieces_of_a.mT, pieces_of_b).sum(0)
    return result + a[cut:].T @ b[cut:]
