"""The systems, one file each, and the registry that builds them by name.

All keep the contract of `minirec.models.base`.
"""

import difflib
import inspect
from collections.abc import Iterable
from typing import Any

from minirec.models.base import Recommender
from minirec.models.baselines import LastItem, Popularity
from minirec.models.bert4rec import BERT4Rec
from minirec.models.caser import Caser
from minirec.models.fmlp_rec import FMLPRec
from minirec.models.fpmc import FPMC
from minirec.models.glint_ru import GLINTRU
from minirec.models.gru4rec import GRU4Rec
from minirec.models.linrec import LinRec
from minirec.models.lrurec import LRURec
from minirec.models.mamba4rec import Mamba4Rec
from minirec.models.narm import NARM
from minirec.models.recblr import RecBLR
from minirec.models.sasrec import SASRec
from minirec.models.smlp4rec import SMLP4Rec

_CLASSES: tuple[type[Recommender], ...] = (
    Popularity,
    LastItem,
    FPMC,
    GRU4Rec,
    NARM,
    BERT4Rec,
    SASRec,
    LinRec,
    SMLP4Rec,
    Caser,
    FMLPRec,
    Mamba4Rec,
    LRURec,
    GLINTRU,
    RecBLR,
)
MODELS = {model.name: model for model in _CLASSES}


def available_models() -> list[str]:
    """List the names that `build_model` knows.

    Returns
    -------
    list of str
        The counting baselines first.
    """
    return list(MODELS)


def model_options(name: str) -> dict[str, Any]:
    """Look up the keywords that a model takes.

    Parameters
    ----------
    name : str
        A model's name in the registry.

    Returns
    -------
    dict
        Every option of the model with its default.

    Raises
    ------
    ValueError
        If there is no model of this name.
    """
    if name not in MODELS:
        hint = _did_you_mean(name, MODELS, cutoff=0.4)
        raise ValueError(f"there is no model {name!r}{hint} Available: {', '.join(MODELS)}.")
    _n_items, *options = inspect.signature(MODELS[name]).parameters.values()
    return {option.name: option.default for option in options}


def build_model(name: str, n_items: int, **options: Any) -> Recommender:
    """Build a new model by name, with weights drawn at random.

    Parameters
    ----------
    name : str
        A model's name in the registry, such as "glint-ru".
    n_items : int
        Number of items; their ids are 1..n_items.
    **options
        The model's own keywords (`model_options` lists them).

    Returns
    -------
    Recommender
        In training mode, on the CPU.

    Raises
    ------
    ValueError
        If there is no model of this name, or an option has an impossible value.
    TypeError
        If the model does not have one of the options; the message lists those it has.
    """
    known = model_options(name)
    for option in options:
        if option not in known:
            hint = _did_you_mean(option, known, cutoff=0.5)
            listed = ", ".join(known) or "none"
            raise TypeError(f"{name} has no option {option!r}{hint} It has: {listed}.")

    model = MODELS[name](n_items, **options)
    model.options = {**known, **options}
    return model


def _did_you_mean(word: str, known: Iterable[str], cutoff: float) -> str:
    """Return the end of the sentence about an unknown word: the most similar known one, if any."""
    similar = difflib.get_close_matches(word, known, n=1, cutoff=cutoff)
    if similar:
        return f"; did you mean {similar[0]!r}?"
    return "."
