"""The smallest models of each objective, and small ones of every system, for tests of training."""

import torch
from torch import nn

from minirec.models import MODELS, build_model, model_options
from minirec.models.base import NeuralRecommender

SYSTEMS = [name for name, model in MODELS.items() if issubclass(model, NeuralRecommender)]

# Each system by its own objective, and those of every prefix by sampled ones too.
WAYS_TO_TRAIN = [(name, MODELS[name].objective) for name in SYSTEMS]
WAYS_TO_TRAIN += [(name, "prefix") for name in SYSTEMS if MODELS[name].objective == "next-item"]


def small_system(name, n_items, **options):
    """A system with the same weights every time, and those of the options that it has."""
    known = model_options(name)
    torch.manual_seed(0)
    return build_model(name, n_items, **{key: options[key] for key in options if key in known})


class RunningMean(NeuralRecommender):
    """next-item: the mean of the embeddings so far, mapped."""

    name = "running-mean"

    def __init__(self, n_items, d_model=16, max_len=20, dropout=0.1):
        super().__init__(n_items, d_model, max_len)
        self.options = {"d_model": d_model, "max_len": max_len, "dropout": dropout}
        self.map = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def encode(self, items):
        x = self.item_embedding(items)
        count = torch.arange(1, items.shape[1] + 1, device=items.device)[:, None]
        return self.map(self.dropout(x.cumsum(1) / count))


class WholeMean(RunningMean):
    """prefix: the mean of the row."""

    name = "whole-mean"
    objective = "prefix"

    def encode(self, items):
        raise AssertionError("a prefix model is only asked for `last`")

    def last(self, items):
        lengths = (items > 0).sum(1, keepdim=True)
        mean = self.item_embedding(items).sum(1) / lengths
        return self.map(self.dropout(mean))


class ClozeMean(RunningMean):
    """cloze: every position gets the mean of its whole row; `last` appends a mask token."""

    name = "cloze-mean"
    objective = "cloze"

    def encode(self, items):
        x = self.item_embedding(items)
        lengths = (items > 0).sum(1)[:, None, None]
        mean = x.sum(1, keepdim=True) / lengths
        return self.map(self.dropout(x + mean))

    def last(self, items):
        end = (items > 0).sum(1)
        masked = nn.functional.pad(items, (0, 1)).scatter(1, end[:, None], self.n_items + 1)
        return self.encode(masked)[torch.arange(len(items)), end]
