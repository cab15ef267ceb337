"""Which training runs stand behind the papers' tables, and which of them have a record."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from minirec.experiments.records import load_records
from minirec.models import MODELS, model_options
from minirec.training import FIT_DEFAULTS

SYSTEMS = {
    "GLINT-RU": "glint-ru",
    "SASRec": "sasrec",
    "LinRec": "linrec",
    "SMLP4Rec": "smlp4rec",
    "Mamba4Rec": "mamba4rec",
    "BERT4Rec": "bert4rec",
    "GRU4Rec": "gru4rec",
    "RecBLR": "recblr",
}  # in the order in which they are worth running

DATA = {
    "beauty": ("beauty", 64, 100, 0.5),
    "ml-1m": ("ml-1m-full", 128, 200, 0.2),
    "video-games": ("video-games", 64, 100, 0.5),
    "ml-1m, 5-core": ("ml-1m", 128, 200, 0.2),
}  # GLINT-RU, 4.3; the last is RecBLR's MovieLens, which GLINT-RU's tables do not have

EARLIER = {
    "ml-1m, 5-core, ties by movie id": ("ml-1m, ties by movie id", 128, 200, 0.2),
}  # no set that load_dataset knows by this name: its runs are shown from records, never trained
ABLATIONS = {
    "default": {},
    "without gated MLP": {"gated_mlp": False},
    "without attention": {"attention": False},
    "without GRU": {"gru": False},
    "without temporal conv": {"temporal_conv": False},
}

SIZES = ("d_model", "max_len", "dropout")

RECBLR_ON_ML_1M = {
    "lr": 3e-3,
    "lr_schedule": "cosine",
    "batch_size": 4096,
    "epochs": 45,
    "patience": 25,
}  # lesson 11's best on valid, with the ties by movie id
RECBLR = {
    "ml-1m, 5-core": RECBLR_ON_ML_1M,
    "beauty": {},
    "ml-1m, 5-core, ties by movie id": RECBLR_ON_ML_1M,
}


@dataclass(frozen=True)
class Unit:
    """One training run: a row of a table, or one of its seeds."""

    row: str
    paper_data: str
    data: str
    model: str
    options: dict
    settings: dict

    @property
    def name(self) -> str:
        varied = [f"{key}={value}" for key, value in self.options.items() if key not in SIZES]
        return "-".join(
            [
                self.data,
                self.model,
                *varied,
                self.settings["select"],
                f"seed{self.settings['seed']}",
            ]
        )


def units(
    table: int | None = None, figure: int | None = None, *, data=None, seeds=(0,)
) -> list[Unit]:
    """The runs behind GLINT-RU's Table 2 or 4, its Figures 2 and 3, or (neither given) RecBLR's full ranking; seed by seed.

    data: only these keys of DATA, or of EARLIER, whose runs are left out where no data are named.
    """
    if table not in (None, 2, 4) or figure not in (None, 2, 3):
        raise ValueError(
            f"runs stand behind Tables 2 and 4 and Figures 2 and 3; got table {table}, figure {figure}."
        )
    known = DATA | EARLIER
    if table == 2:
        rows = [(row, name, model, {}, {}) for name in known for row, model in SYSTEMS.items()]
    elif table == 4:
        rows = [(row, "ml-1m", "glint-ru", options, {}) for row, options in ABLATIONS.items()]
    elif figure is not None:
        rows = [
            (f"k = {k}", "beauty", "glint-ru", {"kernel_size": k}, {}) for k in (1, 3, 5, 7)
        ] + [("Mamba4Rec", "beauty", "mamba4rec", {}, {})]
    else:
        rows = [
            (
                "RecBLR",
                name,
                "recblr",
                {"d_model": 64, "dropout": 0.2},
                {"select": "full"} | settings,
            )
            for name, settings in RECBLR.items()
        ]
    usual = {"select": "popular-100", "epochs": 200, "patience": 10}
    return [
        Unit(
            row,
            name,
            known[name][0],
            model,
            dict(zip(SIZES, known[name][1:])) | options,
            usual | {"seed": seed} | settings,
        )
        for seed in seeds
        for row, name, model, options, settings in rows
        if name in (DATA if data is None else data)
    ]


def find(records: pd.DataFrame, unit: Unit) -> pd.DataFrame:
    """The records of this unit: the same model, options and data, and the same settings but for how long it was to train."""
    settings = (
        {key: FIT_DEFAULTS[key] for key in ("lr", "lr_schedule", "batch_size", "precision")}
        | {"objective": MODELS[unit.model].objective}
        | unit.settings
    )
    wanted = {"model": unit.model, "data": unit.data} | {
        f"options.{key}": value for key, value in (model_options(unit.model) | unit.options).items()
    }
    wanted |= {
        f"settings.{key}": value
        for key, value in settings.items()
        if key not in ("epochs", "patience")
    }
    found = records.reindex(columns=list(wanted))
    return records[
        np.all(
            [
                found[key].isna() if value is None else found[key] == value
                for key, value in wanted.items()
            ],
            axis=0,
        )
    ]


def recorded(todo: list[Unit], out) -> list[tuple[Unit, dict]]:
    """The units that have a record in the folder `out`, each with its first."""
    records = load_records(out) if any(Path(out).glob("*.json")) else pd.DataFrame()
    return [
        (unit, record)
        for unit in todo
        for record in find(records, unit).iloc[:1].to_dict("records")
    ]
