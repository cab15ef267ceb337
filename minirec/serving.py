"""A trained model on disk and in use: one file holds the weights, the options and the raw ids, and nothing else is needed to recommend."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch

from minirec.data.batching import SCORES_PER_BATCH
from minirec.data.raw_ids import encode_items
from minirec.models import build_model, model_options
from minirec.models.base import Vocabulary, judging
from minirec.storage import read, save


def save_model(path, model, interactions) -> None:
    """Writes model, options, raw item ids, item counts and data fingerprint to one file, whole or not at all."""
    if model.n_items != interactions.n_items:
        raise ValueError(
            f"the model knows {model.n_items:,} items, the interactions have {interactions.n_items:,}: these are not what it was trained on."
        )
    if model.vocabulary is not None and model.vocabulary.fingerprint != interactions.fingerprint:
        raise ValueError(
            f"the {model.name} was trained on other interactions than these, so their ids would name the wrong items."
        )
    if set(model.options) != set(model_options(model.name)):
        raise ValueError(
            f"only a model made by build_model can be saved, because its options build it again; make the {model.name} that way."
        )
    ids = interactions.item_ids
    save(
        path,
        {
            "name": model.name,
            "n_items": model.n_items,
            "options": model.options,
            "torch": str(torch.__version__),
            "weights": {key: value.detach().cpu() for key, value in model.state_dict().items()},
            "item_ids": torch.from_numpy(ids.copy())
            if ids.dtype.kind in "iuf"
            else [str(raw) for raw in ids],
            "counts": torch.from_numpy(interactions.item_counts()),
            "fingerprint": interactions.fingerprint,
            "split": model.vocabulary.split if model.vocabulary else "",
        },
    )


def load_model(path):
    """The model saved at `path`, on the CPU, ready to evaluate or recommend. Raises ValueError for a file that is not a saved model."""
    try:
        state = read(path)
        model = build_model(state["name"], state["n_items"], **state["options"])
        model.load_state_dict(state["weights"])
    except (ValueError, TypeError, KeyError, RuntimeError):
        raise ValueError(
            f"{path} is not a model saved by save_model of this version of minirec."
        ) from None
    ids = (
        state["item_ids"].numpy()
        if isinstance(state["item_ids"], torch.Tensor)
        else np.array(state["item_ids"], dtype=object)
    )
    model.vocabulary = Vocabulary(
        ids, state["counts"].numpy(), state["fingerprint"], state["split"]
    )
    return model.eval()


def recommend(
    model, histories, k: int = 10, *, exclude_seen: bool = False, batch_size: int = 512
) -> pd.DataFrame:
    """The k best next items for each history of raw item ids, oldest first.

    Returns a frame with k rows a history: history (its number), rank, item (raw id), score, unknown (how many of its items the model does not
    know; they are dropped) and fallback (True where nothing was left of it and the list is the most popular items; their score is the count).
    """
    if model.vocabulary is None:
        raise ValueError(
            "the model has no vocabulary, so raw ids mean nothing to it; train it with fit, or load it with load_model."
        )
    if not 1 <= k <= model.n_items:
        raise ValueError(f"k must lie in 1..{model.n_items} (the number of items); got {k}.")
    histories = list(histories)
    if any(isinstance(history, str) or not isinstance(history, Iterable) for history in histories):
        raise TypeError(
            "histories is a list of histories, each a list of item ids; for one history write recommend(model, [history])."
        )
    index = pd.Index(model.vocabulary.item_ids)
    coded = [encode_items(list(history), index) for history in histories]
    known = [codes[codes > 0] for codes in coded]
    left = model.n_items - max((len(set(real.tolist())) for real in known), default=0)
    if exclude_seen and k > left:
        raise ValueError(
            f"without the items seen, some history leaves only {left} items to recommend; choose a k up to that, not {k}."
        )
    batch_size = min(
        batch_size, max(1, SCORES_PER_BATCH // (model.n_items + 1))
    )  # bounds memory for a large catalogue
    items, scores = np.zeros((len(histories), k), dtype=int), np.zeros((len(histories), k))
    for at in range(0, len(histories), batch_size):
        rows = slice(at, at + batch_size)
        items[rows], scores[rows] = _best(model, known[rows], k, exclude_seen)
    n_given, n_known = (
        np.array([len(codes) for codes in rows], dtype=int) for rows in (coded, known)
    )
    history = np.repeat(np.arange(len(histories)), k)
    return pd.DataFrame(
        {
            "history": history,
            "rank": np.tile(np.arange(1, k + 1), len(histories)),
            "item": model.vocabulary.item_ids[items.ravel() - 1],
            "score": scores.ravel(),
            "unknown": (n_given - n_known)[history],
            "fallback": n_known[history] == 0,
        }
    )


def _best(model, histories, k, exclude_seen):
    """(items [B, k], scores [B, k]) for histories of dense ids; popularity where a history is empty."""
    scores = torch.from_numpy(model.vocabulary.counts).double().expand(len(histories), -1).clone()
    real = [i for i, history in enumerate(histories) if len(history)]
    if real:
        rows = [
            torch.from_numpy(histories[i][-(model.max_len or len(histories[i])) :]) for i in real
        ]
        with judging(model) as device:
            scores[real] = (
                model.scores(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device))
                .cpu()
                .double()
            )
    if scores[:, 1:].isnan().any():
        raise ValueError(f"{model.name}: the scores contain NaN, so nothing can be recommended.")
    scores[:, 0] = -torch.inf
    if exclude_seen:
        for row, history in enumerate(histories):
            scores[row, torch.from_numpy(history)] = -torch.inf
    values, items = scores.topk(k)
    return items.numpy(), values.numpy()
