"""Which training runs stand behind the papers' tables, and which of them have a record."""

from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from minirec.data.datasets import NAMED_SETS, find_in_folders, load_dataset, load_file
from minirec.data.interactions import Interactions
from minirec.data.long_logs import LONG_LOGS, generate_long_logs
from minirec.data.ties import name_of_data
from minirec.errors import DataError
from minirec.experiments.records import load_records
from minirec.models import MODELS, model_options
from minirec.training import FIT_DEFAULTS


class DataSetup(NamedTuple):
    """A data set, and the sizes of the models that are trained on it."""

    data: str  # the name that load_dataset knows
    d_model: int
    max_len: int
    dropout: float

    def sizes(self) -> dict[str, Any]:
        """Return the sizes as options of a model."""
        return {"d_model": self.d_model, "max_len": self.max_len, "dropout": self.dropout}


# The papers' names of the systems, and ours, in the order in which they are run.
SYSTEMS = {
    "GLINT-RU": "glint-ru",
    "SASRec": "sasrec",
    "LinRec": "linrec",
    "SMLP4Rec": "smlp4rec",
    "Mamba4Rec": "mamba4rec",
    "BERT4Rec": "bert4rec",
    "GRU4Rec": "gru4rec",
    "RecBLR": "recblr",
}

# The sizes are those of GLINT-RU's section 4.3. The last set is RecBLR's MovieLens, which
# GLINT-RU's tables do not have.
DATA = {
    "beauty": DataSetup("beauty", d_model=64, max_len=100, dropout=0.5),
    "ml-1m": DataSetup("ml-1m-full", d_model=128, max_len=200, dropout=0.2),
    "video-games": DataSetup("video-games", d_model=64, max_len=100, dropout=0.5),
    "ml-1m, 5-core": DataSetup("ml-1m", d_model=128, max_len=200, dropout=0.2),
}

# MovieLens in another order of ties, in which its first runs were made: they are shown from records
# and never trained again.
EARLIER = {
    "ml-1m, 5-core, ties by movie id": DataSetup(
        "ml-1m, ties by id", d_model=128, max_len=200, dropout=0.2
    ),
}

# Data whose usual file lists ties by the items' ids already.
ALREADY_BY_ID = ("beauty", "ml-1m, ties by id")

# Options that belong to a data set, so that a unit's name need not tell them.
SIZES = ("d_model", "max_len", "dropout")

# GLINT-RU's Table 4: the variant, and the options that make it.
ABLATIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "without gated MLP": {"gated_mlp": False},
    "without attention": {"attention": False},
    "without GRU": {"gru": False},
    "without temporal conv": {"temporal_conv": False},
}

KERNEL_SIZES = (1, 3, 5, 7)  # of Figures 2 and 3

# How GLINT-RU's tables are trained: its released code chooses among popular negatives.
USUAL_SETTINGS = {"select": "popular-100", "epochs": 200, "patience": 10, "seed": 0}

# RecBLR's own sizes, and its settings on each data set: lesson 13's best on valid, for MovieLens
# with the ties by movie id.
RECBLR_OPTIONS = {"d_model": 64, "dropout": 0.2}
RECBLR_ON_ML_1M = {
    "lr": 3e-3,
    "lr_schedule": "cosine",
    "batch_size": 4096,
    "epochs": 45,
    "patience": 25,
}
RECBLR: dict[str, dict[str, Any]] = {
    "ml-1m, 5-core": RECBLR_ON_ML_1M,
    "beauty": {},
    "ml-1m, 5-core, ties by movie id": RECBLR_ON_ML_1M,
}


@dataclass(frozen=True)
class Unit:
    """One training run: a row of a table, or one of its seeds."""

    row: str  # the system or the variant, as the table prints it
    paper_data: str  # the data set as the table prints it: a key of DATA or of EARLIER
    data: str  # the name that load_dataset knows, or a file: its path or its name in a data folder
    model: str  # the name that build_model knows
    options: dict[str, Any]  # of the model
    settings: dict[str, Any]  # of fit
    ties: str = "file"  # the order of ties: "file", "id", or "random" and its seed
    paper: str = "glint-ru"  # whose tables it is a run of
    named: tuple[str, ...] = ()  # sizes and settings that its name tells, beside other options

    @property
    def name(self) -> str:
        """What its record's file is called, without the ending.

        That of a run of RecBLR's tables begins with "recblr-".
        """
        paper = [] if self.paper == "glint-ru" else [self.paper]
        order = [] if self.ties == "file" else [f"ties-{self.ties.replace(' ', '-')}"]
        told = {key: value for key, value in self.options.items() if key not in SIZES}
        told |= {key: (self.options | self.settings)[key] for key in self.named}
        varied = [f"{key}={value}" for key, value in told.items()]
        seed = f"seed{self.settings['seed']}"
        data = Path(self.data).name.partition(".")[0]  # of a file without folders and endings
        return "-".join([*paper, data, *order, self.model, *varied, self.settings["select"], seed])

    @property
    def order(self) -> str:
        """The order of ties, as a table shows it: "id" also where the file is in that order."""
        return "id" if self.data in ALREADY_BY_ID else self.ties

    @property
    def recorded_data(self) -> str:
        """What its record calls the data, as `Interactions.name` does."""
        return name_of_data(Path(self.data).name, self.ties)

    def is_here(self, data_home: str | Path | None) -> bool:
        """Whether its data, in its order of ties, lie on this machine or are generated."""
        if self.data in LONG_LOGS:
            return True
        if self.data not in NAMED_SETS:
            return find_in_folders((self.data,), data_home) is not None
        known = NAMED_SETS[self.data]
        files = known.files if self.ties == "file" else known.with_times
        if self.ties == "id":
            files += known.by_id
        return find_in_folders(files, data_home) is not None

    def load(self, data_home: str | Path | None) -> Interactions:
        """Load its data, with their ties in its order."""
        order, _, seed = self.ties.partition(" ")
        if self.data in LONG_LOGS:
            return generate_long_logs(LONG_LOGS[self.data])
        if self.data in NAMED_SETS:
            return load_dataset(self.data, data_home=data_home, ties=order, seed=int(seed or 0))
        path = find_in_folders((self.data,), data_home)
        if path is None:
            raise DataError(
                f"{self.data} is no named data set and lies in no folder of data; put it into the "
                "folder that MINIREC_DATA or --data-home names."
            )
        return load_file(str(path)).reorder_ties(order, int(seed or 0))


def units(
    table: int | None = None,
    figure: int | None = None,
    *,
    data: Container[str] | None = None,
    seeds: Iterable[int] = (0,),
) -> list[Unit]:
    """List the runs behind a table or a figure of GLINT-RU, or behind RecBLR's full ranking.

    Parameters
    ----------
    table : {2, 4}, optional
        Of GLINT-RU.
    figure : {2, 3}, optional
        Of GLINT-RU; both are made of the same runs. With neither a table nor a figure: RecBLR
        under full ranking.
    data : container of str, optional
        Only these keys of DATA and EARLIER; all of DATA unless given.
    seeds : iterable of int
        One run of every row for each.

    Returns
    -------
    list of Unit
        Seed by seed: first all rows with the first seed.

    Raises
    ------
    ValueError
        For a table or a figure that no runs stand behind.
    """
    if table not in (None, 2, 4) or figure not in (None, 2, 3):
        raise ValueError(
            "runs stand behind Tables 2 and 4 and Figures 2 and 3; "
            f"got table {table}, figure {figure}."
        )
    if table == 2:
        rows = _table_2()
    elif table == 4:
        rows = _table_4()
    elif figure is not None:
        rows = _figures_2_and_3()
    else:
        rows = _recblr_full_ranking()

    wanted = DATA if data is None else data
    rows = [row for row in rows if row.paper_data in wanted]
    return [_with_seed(row, seed) for seed in seeds for row in rows]


def _table_2() -> list[Unit]:
    """Every system on every data set."""
    return [_unit(row, name, model) for name in DATA | EARLIER for row, model in SYSTEMS.items()]


def _table_4() -> list[Unit]:
    """GLINT-RU without one of its parts at a time."""
    return [_unit(row, "ml-1m", "glint-ru", options) for row, options in ABLATIONS.items()]


def _figures_2_and_3() -> list[Unit]:
    """GLINT-RU with every kernel size, and Mamba4Rec to compare with."""
    rows = [_unit(f"k = {k}", "beauty", "glint-ru", {"kernel_size": k}) for k in KERNEL_SIZES]
    rows.append(_unit("Mamba4Rec", "beauty", "mamba4rec"))
    return rows


def _recblr_full_ranking() -> list[Unit]:
    """RecBLR as its own paper judges it."""
    return [
        _unit("RecBLR", name, "recblr", RECBLR_OPTIONS, {"select": "full"} | settings)
        for name, settings in RECBLR.items()
    ]


def _unit(
    row: str,
    name: str,
    model: str,
    options: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
) -> Unit:
    """Return a run at the usual sizes and settings, but for the options and settings given."""
    setup = (DATA | EARLIER)[name]
    return Unit(
        row=row,
        paper_data=name,
        data=setup.data,
        model=model,
        options=setup.sizes() | (options or {}),
        settings=USUAL_SETTINGS | (settings or {}),
    )


def _with_seed(unit: Unit, seed: int) -> Unit:
    return replace(unit, settings=unit.settings | {"seed": seed})


def find(records: pd.DataFrame, unit: Unit) -> pd.DataFrame:
    """Choose the records of a unit.

    Parameters
    ----------
    records : DataFrame
        What `load_records` returned.
    unit : Unit
        The run that is looked for.

    Returns
    -------
    DataFrame
        The rows with the same model, options and data, and with the same settings but for how
        long the run was to train.
    """
    options = model_options(unit.model) | unit.options
    settings = {key: FIT_DEFAULTS[key] for key in ("lr", "lr_schedule", "batch_size", "precision")}
    settings["objective"] = MODELS[unit.model].objective
    settings |= unit.settings

    wanted: dict[str, Any] = {"model": unit.model, "data": unit.recorded_data}
    for key, value in options.items():
        wanted[f"options.{key}"] = value
    for key, value in settings.items():
        if key not in ("epochs", "patience"):
            wanted[f"settings.{key}"] = value

    # A column that no record has is NaN, which is also how None reads in a frame.
    columns = records.reindex(columns=list(wanted))
    same = np.ones(len(records), dtype=bool)
    for key, value in wanted.items():
        matches = columns[key].isna() if value is None else columns[key] == value
        same &= matches.to_numpy(dtype=bool)
    return records[same]


def recorded(todo: list[Unit], out: str | Path) -> list[tuple[Unit, dict[str, Any]]]:
    """Pair the units that have a record with it.

    Parameters
    ----------
    todo : list of Unit
        The units asked for.
    out : str or Path
        The folder of the records; it may be empty, or not be there.

    Returns
    -------
    list of (Unit, dict)
        Each unit with the first of its records, flat: its keys are the columns of `load_records`.
    """
    has_records = any(Path(out).glob("*.json"))
    records = load_records(out) if has_records else pd.DataFrame()
    found = []
    for unit in todo:
        its_records = find(records, unit).to_dict("records")
        if its_records:
            found.append((unit, its_records[0]))
    return found
