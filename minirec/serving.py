"""A trained model on disk and in use.

One file holds the weights, the options and the raw ids; nothing else is needed to recommend.

B batch (histories at a time), V items, k recommendations per history. Raw ids are those of the
learner's own log, dense ids are 1..V.
"""

import os
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from minirec.data.batching import scores_per_batch
from minirec.data.interactions import Interactions
from minirec.data.raw_ids import encode_items
from minirec.errors import printable, printable_path, shown
from minirec.evaluation.evaluate import check_k
from minirec.models import build_model, model_options
from minirec.models.base import Recommender, Vocabulary, judging
from minirec.storage import StorageError, read, save

# What a saved model has to hold; see `save_model`.
PARTS = frozenset(
    {"name", "n_items", "options", "weights", "item_ids", "counts", "fingerprint", "split"}
)

LONGEST_REASON = 200  # characters of why a model cannot be built, which may quote its file


def save_model(
    path: str | os.PathLike[str], model: Recommender, interactions: Interactions
) -> None:
    """Write a model and what its ids mean to one file, whole or not at all.

    The file holds the weights, the options that build the model again, the raw item ids and their
    counts, and the fingerprints of the data and of the split.

    Parameters
    ----------
    path : str or path
        The file.
    model : Recommender
        Made by `build_model`.
    interactions : Interactions
        The log that it was trained on.

    Raises
    ------
    ValueError
        For a model that was not made by `build_model`, or not trained on these interactions.
    """
    if model.n_items != interactions.n_items:
        raise ValueError(
            f"the model knows {model.n_items:,} items, the interactions have "
            f"{interactions.n_items:,}: these are not what it was trained on."
        )
    vocabulary = model.vocabulary
    if vocabulary is not None and vocabulary.fingerprint != interactions.fingerprint:
        raise ValueError(
            f"the {model.name} was trained on other interactions than these, so their ids would "
            "name the wrong items."
        )
    if set(model.options) != set(model_options(model.name)):
        raise ValueError(
            "only a model made by build_model can be saved, because its options build it again; "
            f"make the {model.name} that way."
        )

    state = {
        "name": model.name,
        "n_items": model.n_items,
        "options": model.options,
        "torch": str(torch.__version__),
        "weights": {name: value.detach().cpu() for name, value in model.state_dict().items()},
        "item_ids": _ids_to_plain(interactions.item_ids),
        "counts": torch.from_numpy(interactions.item_counts()),
        "fingerprint": interactions.fingerprint,
        "split": "" if vocabulary is None else vocabulary.split,
    }
    save(path, "model", state)


def load_model(path: str | os.PathLike[str]) -> Recommender:
    """Return the model saved at `path`, on the CPU, ready to evaluate or recommend.

    Parameters
    ----------
    path : str or path
        A file written by `save_model`.

    Returns
    -------
    Recommender
        In eval mode, with its vocabulary.

    Raises
    ------
    ValueError
        For a file that is not a saved model, of a later version, cut off, damaged, or without a
        part; and for one whose parts do not go together.
    OSError
        For a file that cannot be opened.
    """
    state = read(path, "model", PARTS)
    name = printable_path(path)
    if state["format"] == 1:
        warnings.warn(
            f"{name} was written by minirec 0.1 and has no checksum, so damage to it could go "
            "unseen; load it and save it again to give it one.",
            stacklevel=2,
        )
    vocabulary = _vocabulary_of(state, name)
    model = _model_of(state, name)
    model.vocabulary = vocabulary
    return model.eval()


def _vocabulary_of(state: dict[str, Any], name: str) -> Vocabulary:
    """Return the vocabulary in a file's values; raise where it cannot be one."""
    n_items = state["n_items"]
    try:
        if type(n_items) is not int:
            raise TypeError
        item_ids = _ids_from_plain(state["item_ids"])
        counts = state["counts"].numpy()
        complaint = _complaint(n_items, item_ids, counts)
        if not _all_texts([state["fingerprint"], state["split"]]):
            complaint = "its fingerprints are not texts"
    except (TypeError, AttributeError, RuntimeError):
        complaint = "its parts are of other types"
    if complaint:
        raise StorageError(
            f"{name} is not a saved model as minirec writes them: {complaint}. Take a copy of the "
            "file as it was saved, or train the model again."
        )
    return Vocabulary(item_ids, counts, fingerprint=state["fingerprint"], split=state["split"])


def _complaint(n_items: int, item_ids: np.ndarray, counts: np.ndarray) -> str:
    """Say what is wrong with a vocabulary; empty if nothing is."""
    if type(n_items) is not int or item_ids.ndim > 1:
        return "its parts are of other types"
    if item_ids.size != n_items:
        return f"for {n_items} items it has {item_ids.size} raw ids"
    repeated = pd.Index(item_ids).duplicated()
    if repeated.any():
        return f"the raw id {shown(item_ids[repeated][0])} is there twice"
    if counts.shape != (n_items + 1,):
        return f"for {n_items} items and padding it has {counts.size} counts"
    if counts.dtype.kind not in "iu":  # signed or unsigned
        return "its counts are no integers"
    if counts[0] != 0 or (counts < 0).any():
        return "a count is below 0, or padding has one"
    return ""


def _model_of(state: dict[str, Any], name: str) -> Recommender:
    """Build the model that a file's values describe, and give it its weights."""
    options = state["options"]
    weights = state["weights"]
    try:
        if not isinstance(options, dict):
            raise TypeError("its options are no dict")
        if not _all_plain([state["name"], *options.keys(), *options.values()]):
            raise ValueError("its name or options are no texts and numbers")
        if options.get("n_layers", 1) > len(weights):
            raise ValueError(f"it has {len(weights)} weights for {options['n_layers']} layers")
        # A "meta" tensor has a size and takes no memory, so the sizes that a file names cost
        # nothing: only the weights in the file are ever held. Nor is a random number drawn.
        with torch.device("meta"):
            model = build_model(state["name"], state["n_items"], **options)
        expected = {key: value.dtype for key, value in model.state_dict().items()}
        model.load_state_dict(weights, assign=True)
        if expected != {key: value.dtype for key, value in weights.items()}:
            raise ValueError("its weights are of other types than the model's")
    except RuntimeError:  # PyTorch lists every name and size
        raise StorageError(
            f"{name} is not a saved model as minirec writes them: its weights do not fit its model "
            "and options. Take a copy of the file as it was saved, or train the model again."
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StorageError(
            f"{name} holds a model that this version of minirec cannot build: "
            f"{printable(error, LONGEST_REASON)}"
        ) from None
    return model


def _all_texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _all_plain(values: list[Any]) -> bool:
    """Whether values are what options can be: None, numbers, texts."""
    return all(value is None or isinstance(value, str | int | float) for value in values)


def _ids_to_plain(item_ids: np.ndarray) -> Tensor | list[str]:
    """Return raw ids as a file of plain values can hold them: numbers as a tensor, else strings."""
    if item_ids.dtype.kind in "iuf":  # signed, unsigned or floating numbers
        return torch.from_numpy(item_ids.copy())
    return [str(raw) for raw in item_ids]


def _ids_from_plain(stored: Tensor | list[str]) -> np.ndarray:
    """Return what `_ids_to_plain` was given."""
    if isinstance(stored, Tensor):
        item_ids = stored.numpy()
        if item_ids.dtype.kind not in "iuf":
            raise TypeError
        return item_ids
    if not isinstance(stored, list) or not _all_texts(stored):
        raise TypeError
    return np.array(stored, dtype=object)


def recommend(
    model: Recommender,
    histories: Iterable[Iterable[Any]],
    k: int = 10,
    *,
    exclude_seen: bool = False,
    batch_size: int = 512,
) -> pd.DataFrame:
    """Return the k best next items for each history.

    Parameters
    ----------
    model : Recommender
        Trained by `fit` or loaded by `load_model`, so that it has a vocabulary.
    histories : list of lists
        Raw item ids, oldest first; any length, also empty.
    k : int
        Recommendations per history; fewer where there are fewer items.
    exclude_seen : bool
        Leave out every item of the history, which makes its list shorter where fewer than k are
        left.
    batch_size : int
        At most so many histories are scored at a time; fewer for a large catalogue.

    Returns
    -------
    pandas.DataFrame
        At most k rows per history with the columns history (its number), rank (from 1), item (raw
        id), score, unknown (how many of its items the model does not know; they are dropped) and
        fallback (True where nothing was left of it, and the list is the most popular items; their
        score is the count).

    Raises
    ------
    ValueError
        For a model without a vocabulary, a k that is no integer from 1 up, and scores that contain
        NaN.
    TypeError
        For a single history that is not in a list.
    RuntimeError
        For a model that another thread is training.
    """
    if model.vocabulary is None:
        raise ValueError(
            "the model has no vocabulary, so raw ids mean nothing to it; train it with fit, or "
            "load it with load_model."
        )
    check_k(k)
    k = min(k, model.n_items)
    histories = _checked(histories)

    # Raw ids become dense ids; an unknown item becomes 0 and is dropped.
    index = pd.Index(model.vocabulary.item_ids)
    encoded = [encode_items(list(history), index) for history in histories]
    known = [ids[ids > 0] for ids in encoded]

    # A few histories at a time, which bounds memory however large the catalogue is.
    most_scores = scores_per_batch(torch.device("cpu"))
    batch_size = min(batch_size, max(1, most_scores // (model.n_items + 1)))
    popularity = torch.from_numpy(model.vocabulary.counts).double()
    best_items = np.zeros((len(histories), k), dtype=int)
    best_scores = np.zeros((len(histories), k))
    for start in range(0, len(histories), batch_size):
        rows = slice(start, start + batch_size)
        scores = _scores_or_popularity(model, popularity, known[rows])
        if exclude_seen:
            _exclude(scores, known[rows])
        best = scores.topk(k)
        best_items[rows] = best.indices.numpy()
        best_scores[rows] = best.values.numpy()

    n_given = np.array([len(ids) for ids in encoded], dtype=int)
    n_known = np.array([len(ids) for ids in known], dtype=int)
    history = np.repeat(np.arange(len(histories)), k)
    frame = pd.DataFrame(
        {
            "history": history,
            "rank": np.tile(np.arange(1, k + 1), len(histories)),
            "item": model.vocabulary.item_ids[best_items.ravel() - 1],
            "score": best_scores.ravel(),
            "unknown": (n_given - n_known)[history],
            "fallback": n_known[history] == 0,
        }
    )
    if not exclude_seen:
        return frame

    # Beyond as many items as were not seen, a list would be filled with seen ones.
    n_left = np.array([model.n_items - len(np.unique(ids)) for ids in known], dtype=int)
    return frame[frame["rank"] <= n_left[history]].reset_index(drop=True)


def _checked(histories: Iterable[Iterable[Any]]) -> list[Iterable[Any]]:
    """Return the histories as a list; raise TypeError where one is none."""
    histories = list(histories)
    if any(isinstance(history, str) or not isinstance(history, Iterable) for history in histories):
        raise TypeError(
            "histories is a list of histories, each a list of item ids; for one history write "
            "recommend(model, [history])."
        )
    return histories


def _scores_or_popularity(
    model: Recommender, popularity: Tensor, histories: list[np.ndarray]
) -> Tensor:
    """Return the model's scores, or the popularity of the items where a history is empty.

    histories: B arrays of dense ids. Returns Double[B, V + 1] on the CPU, with column 0 at -inf.
    """
    scores = popularity.expand(len(histories), -1).clone()

    rows = [row for row, history in enumerate(histories) if len(history) > 0]
    if rows:
        # The model reads the last max_len items; without a max_len it reads all of them.
        longest = model.max_len or max(len(histories[row]) for row in rows)
        recent = [torch.from_numpy(histories[row][-longest:]) for row in rows]
        items = torch.nn.utils.rnn.pad_sequence(recent, batch_first=True)
        with judging(model) as device:
            scores[rows] = model.scores(items.to(device)).cpu().double()

    if scores[:, 1:].isnan().any():
        raise ValueError(f"{model.name}: the scores contain NaN, so nothing can be recommended.")
    scores[:, 0] = -torch.inf
    return scores


def _exclude(scores: Tensor, histories: list[np.ndarray]) -> None:
    """Set the scores [B, V + 1] of the histories' items to -inf, in place."""
    for row, history in enumerate(histories):
        scores[row, torch.from_numpy(history)] = -torch.inf
