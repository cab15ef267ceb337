"""The systems, one file each, all keeping the contract of `base`; and the registry that builds them by name."""

import difflib
import inspect

from minirec.models.base import Recommender
from minirec.models.baselines import LastItem, Popularity
from minirec.models.bert4rec import BERT4Rec
from minirec.models.glint_ru import GLINTRU
from minirec.models.gru4rec import GRU4Rec
from minirec.models.linrec import LinRec
from minirec.models.lrurec import LRURec
from minirec.models.mamba4rec import Mamba4Rec
from minirec.models.recblr import RecBLR
from minirec.models.sasrec import SASRec
from minirec.models.smlp4rec import SMLP4Rec

MODELS = {
    model.name: model
    for model in (
        Popularity,
        LastItem,
        GRU4Rec,
        BERT4Rec,
        SASRec,
        LinRec,
        SMLP4Rec,
        Mamba4Rec,
        LRURec,
        GLINTRU,
        RecBLR,
    )
}


def available_models() -> list[str]:
    """The names `build_model` knows."""
    return list(MODELS)


def model_options(name: str) -> dict[str, object]:
    """The keywords a model takes, with their defaults. Raises ValueError for an unknown name."""
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=1, cutoff=0.4)
        raise ValueError(
            f"there is no model {name!r}{f'; did you mean {near[0]!r}?' if near else ''} Available: {', '.join(MODELS)}."
        )
    _, *options = inspect.signature(MODELS[name]).parameters.values()  # all but n_items
    return {option.name: option.default for option in options}


def build_model(name: str, n_items: int, **options) -> Recommender:
    """A new model by name. Options are the model's own keywords; one it does not have is an error that names those it has."""
    known = model_options(name)
    for option in [option for option in options if option not in known]:
        near = difflib.get_close_matches(option, known, n=1, cutoff=0.5)
        raise TypeError(
            f"{name} has no option {option!r}{f'; did you mean {near[0]!r}?' if near else '.'} It has: {', '.join(known) or 'none'}."
        )
    model = MODELS[name](n_items, **options)
    model.options = {**known, **options}
    return model
