"""The runs behind RecBLR's own tables: its settings, its competitors, its ablations.

RecBLR's section 4.1 trains all systems alike: Adam, 2,048 targets in a batch, the best epoch by
NDCG@10 among all items on valid. The length of histories and the dropout belong to a data set.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from minirec.data.long_logs import LONG_LOGS
from minirec.experiments.units import Unit
from minirec.models import model_options

PAPER = "recblr"  # also the folder of these runs' records, in that of all records

# The papers' names of the systems, and ours: the columns of Table 1, from left to right.
SYSTEMS = {
    "FPMC": "fpmc",
    "Caser": "caser",
    "NARM": "narm",
    "GRU4Rec": "gru4rec",
    "SASRec": "sasrec",
    "BERT4Rec": "bert4rec",
    "FMLP-Rec": "fmlp-rec",
    "LRURec": "lrurec",
    "RecBLR": "recblr",
}

# Systems that only GLINT-RU's paper has; they are run at RecBLR's settings too.
OF_THE_OTHER_PAPER = {
    "GLINT-RU": "glint-ru",
    "LinRec": "linrec",
    "SMLP4Rec": "smlp4rec",
    "Mamba4Rec": "mamba4rec",
}

# Section 4.1. No dropout is printed for XLong.
AMAZON = {"d_model": 64, "max_len": 50, "dropout": 0.5}
SIZES: dict[str, dict[str, Any]] = {
    "beauty": AMAZON,
    "sports": AMAZON,
    "ml-1m": {"d_model": 64, "max_len": 200, "dropout": 0.2},
    "gowalla": {"d_model": 64, "max_len": 100, "dropout": 0.4},
    "steam": {"d_model": 64, "max_len": 50, "dropout": 0.4},
    "xlong": {"d_model": 64, "max_len": 1000, "dropout": 0.2},
}
SETTINGS: dict[str, Any] = {"select": "full", "epochs": 200, "patience": 10, "seed": 0}
SETTINGS_ON: dict[str, dict[str, Any]] = {"xlong": {"batch_size": 512}}

# Sets that cannot be downloaded: whoever has them gives their files.
ONLY_AS_FILES = ("gowalla", "steam", "xlong")

# Logs that are generated in place of XLong, at two lengths; all else is as on XLong.
LONG = {name: {**SIZES["xlong"], "max_len": length} for name, length in LONG_LOGS.items()}
SIZES |= LONG
# Until a system finds the rule of these logs, valid stays for a dozen epochs where guessing is.
SETTINGS_ON |= dict.fromkeys(LONG, SETTINGS_ON["xlong"] | {"patience": 30})

# What is run of the named sets: the name that load_dataset knows, and the order of ties. RecBLR's
# framework sorts by time, stably, and Amazon's reviews are listed product by product; so its order
# was probably that of the products' ids, which the file of Beauty has already.
LOADED = {"beauty": ("beauty", "file"), "sports": ("sports", "id"), "ml-1m": ("ml-1m", "file")}

# RecBLR's Table 3: the variant, and the options that make it.
ABLATIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "one layer": {"n_layers": 1},
    "BD-LRU only": {"gated_layer": False},
    "without conv1d": {"temporal_conv": False},
    "without feed-forward": {"feed_forward": False},
    "without initialisation of Lambda": {"initial_decays": "random"},
}

DROPOUTS = (0.1, 0.2, 0.3, 0.4, 0.5)  # of Figure 6


def unit_of(
    row: str,
    model: str,
    data: str,
    options: Mapping[str, Any] | None = None,
    *,
    loaded: str | None = None,
    ties: str = "file",
    seed: int = 0,
) -> Unit:
    """Return a run at RecBLR's settings.

    Parameters
    ----------
    row : str
        The system or the variant, as the table prints it.
    model : str
        The name that `build_model` knows.
    data : str
        The data set as the table prints it; its sizes are those of SIZES.
    options : mapping, optional
        Of the model, beside the sizes that it has.
    loaded : str, optional
        What is loaded: a name that `load_dataset` knows, or a file; `data` unless given.
    ties : str
        The order of ties: "file", "id", or "random" and its seed.
    seed : int
        Of the run.

    Returns
    -------
    Unit
        With those of the sizes that the model has.
    """
    known = model_options(model)
    sizes = {key: value for key, value in SIZES.get(data, {}).items() if key in known}
    settings = SETTINGS | SETTINGS_ON.get(data, {}) | {"seed": seed}
    more = dict(options or {})
    return Unit(
        row,
        paper_data=data,
        data=loaded or data,
        model=model,
        options=sizes | more,
        settings=settings,
        ties=ties,
        paper=PAPER,
        named=tuple(key for key in more if key in sizes and more[key] != sizes[key]),
    )


def units_of_table(
    table: int,
    files: Mapping[str, str] | None = None,
    *,
    seeds: Iterable[int] = (0,),
) -> list[Unit]:
    """List the runs behind RecBLR's Table 1, 3 or 4, in the order in which they are run.

    Parameters
    ----------
    table : {1, 3, 4}
        The systems side by side; RecBLR without one of its parts at a time; or three systems on
        very long histories, of generated logs and of XLong where its file is given.
    files : mapping of str to str, optional
        The files of sets that cannot be downloaded, by their name in the paper: "gowalla" and
        "steam", or for Table 4 "xlong".
    seeds : iterable of int
        One run of every row for each.

    Returns
    -------
    list of Unit
        Seed by seed, data set by data set.

    Raises
    ------
    ValueError
        For a table that no runs stand behind.
    """
    if table not in (1, 3, 4):
        raise ValueError(f"runs stand behind RecBLR's Tables 1, 3 and 4; got table {table}.")
    is_long = table == 4
    given = {name: (path, "file") for name, path in (files or {}).items()}
    loaded = {name: (name, "file") for name in LONG} if is_long else LOADED
    loaded = loaded | {name: what for name, what in given.items() if (name == "xlong") == is_long}
    found = []
    for seed in seeds:
        for data, (name, ties) in loaded.items():
            for row, model, options in _rows(table):
                unit = unit_of(row, model, data, options, loaded=name, ties=ties, seed=seed)
                found.append(unit)
    return found


def units_of_figure_6(*, seeds: Iterable[int] = (0,)) -> list[Unit]:
    """List the runs behind RecBLR's Figure 6: RecBLR with every dropout, on every data set.

    Parameters
    ----------
    seeds : iterable of int
        One run of every row for each.

    Returns
    -------
    list of Unit
        Seed by seed, data set by data set.
    """
    found = []
    for seed in seeds:
        for data, (name, ties) in LOADED.items():
            for dropout in DROPOUTS:
                options = {"dropout": dropout}
                row = f"dropout {dropout}"
                unit = unit_of(row, "recblr", data, options, loaded=name, ties=ties, seed=seed)
                found.append(unit)
    return found


def _rows(table: int) -> list[tuple[str, str, dict[str, Any]]]:
    """Return a table's rows, each with the model and its options; RecBLR's own first."""
    if table == 3:
        return [(variant, "recblr", options) for variant, options in ABLATIONS.items()]
    if table == 4:
        systems = {"RecBLR": "recblr", "LRURec": "lrurec", "SASRec": "sasrec"}
        return [(row, model, {}) for row, model in systems.items()]
    systems = {"RecBLR": "recblr"} | SYSTEMS | OF_THE_OTHER_PAPER
    return [(row, model, {}) for row, model in systems.items()]
