"""What separates our RecBLR on Beauty from its paper's, one cause at a time.

The base is RecBLR at its paper's settings on the usual copy of Beauty. Each run differs from it in
one thing that the paper, its released code or its framework (RecBole) does, or may do, otherwise.
Where reading the code is enough, a reason stands in place of a run. If one of the runs is to be
preferred, NDCG@10 on valid decides, never on test.

What the released code does was read at github.com/chengkai-liu/RecBLR, commit d01e5c9.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from minirec.experiments.orders import cells_of_orders
from minirec.experiments.printed import paper
from minirec.experiments.recblr import PAPER, unit_of
from minirec.experiments.records import load_record
from minirec.experiments.tuning import SEARCHES
from minirec.experiments.units import Unit, recorded
from minirec.models import model_options

DATA = "beauty"
BASE = "nothing: the base"
ONLY_THE_SEED = "nothing but the seed"
PRINTED = "as the paper prints it"

LONGER = 100  # items of a history, where the paper's own settings have 50

# Every prefix of every history is a sample once an epoch, as in the framework: no user of Beauty
# has so many, so none is left out.
AS_SAMPLES = {"objective": "prefix", "prefixes_per_user": 1000}

# Settings that belong to a run, not to its configuration.
NO_CONFIGURATION = ("seed", "epochs", "patience", "device")

ORDERS_IN_WORDS = {
    "file": "as the other public copy lists them",
    "random 0": "random, 0",
    "random 1": "random, 1",
    "random 2": "random, 2",
}


class Cause(NamedTuple):
    """A row of the table: one change, with the run that judges it or the reason for having none."""

    change: str  # what differs from the base
    how: str  # the option, the setting or the data that make it so
    unit: Unit | None = None
    found: str = ""  # without a run: what is known of the change, in two or three words
    reason: str = ""  # without a run: why that is known, or why there is none


def base_unit(seed: int = 0) -> Unit:
    """Return the run that all others are compared with.

    Parameters
    ----------
    seed : int
        Of the run.

    Returns
    -------
    Unit
        RecBLR at its paper's settings on Beauty with the ties by id, as in its Table 1.
    """
    return unit_of("RecBLR", "recblr", DATA, loaded=DATA, seed=seed)


def causes() -> list[Cause]:
    """List what may separate the two figures, the base first.

    Returns
    -------
    list of Cause
        The order of ties, and what else may matter, in the order in which it is asked for.
    """
    return [
        Cause(BASE, "length 50, ties by id, seed 0", base_unit()),
        *_orders(),
        Cause(
            "times in float32",
            "the framework reads them so, and then sorts",
            found="cannot matter",
            reason="Amazon's times are whole days in seconds. Until 2038 neighbouring float32 "
            "numbers are at most 128 apart, and a day is 675 times 128: each day is such a number, "
            "so no two days merge. On MovieLens-1M, whose times are seconds, neighbours would "
            "merge; its times are not at hand, so this is not tried.",
        ),
        _changed("length of histories", {"max_len": LONGER}),
        _changed("each prefix a sample", settings=AS_SAMPLES),
        Cause(
            "initial weights and dropout",
            "read in the released code",
            found="do not differ",
            reason="Linear maps and embeddings begin normal with deviation 0.02, biases at zero, "
            "the convolution as PyTorch makes it, Lambda evenly spaced; dropout stands at the same "
            "places with the same share. Only the padding's row of the embedding begins "
            "otherwise: the next row.",
        ),
        _changed("padding is a class", {"padding_class": True}),
        Cause(
            "fake steps before a history",
            "14 of them: 50 positions become 64",
            found="not tried",
            reason="The released scan wants a power of two and pads on the left, in front of a "
            "convolution with a bias. So each history begins with the state after 14 steps of "
            "padding, the same for everybody, and not with zeros. No option of ours has it, "
            "because what a row represents would depend on the width of its batch.",
        ),
        Cause(
            "batch of evaluation",
            "4,096 in the released code",
            found="cannot matter",
            reason="Other rows and padding change no score: the models' contract, which "
            "tests/models/test_contract.py holds every system to.",
        ),
        # How far apart two runs lie that differ in nothing that could be a cause.
        Cause(ONLY_THE_SEED, "seed=1", base_unit(seed=1)),
        Cause(ONLY_THE_SEED, "seed=2", base_unit(seed=2)),
    ]


def _orders() -> list[Cause]:
    """Return the base under the orders of ties that are not its own."""
    rows = []
    for cell in cells_of_orders():
        is_recblr = cell.unit.model == "recblr"
        if is_recblr and cell.data == DATA and cell.order in ORDERS_IN_WORDS:
            rows.append(Cause("order of ties", ORDERS_IN_WORDS[cell.order], cell.unit))
    return rows


def _changed(
    change: str,
    options: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
) -> Cause:
    """Return the base with other options or settings, named after them."""
    base = base_unit()
    options = options or {}
    settings = settings or {}
    changes = options | settings
    unit = replace(
        base,
        options=base.options | options,
        settings=base.settings | settings,
        named=tuple(changes),
    )
    return Cause(change, ", ".join(f"{key}={value}" for key, value in changes.items()), unit)


def units_to_run(listed: list[Cause], out: str | Path) -> list[Unit]:
    """Return the runs that have no record: neither among RecBLR's nor among all others.

    Parameters
    ----------
    listed : list of Cause
        From `causes`.
    out : str or Path
        The folder of all records; those of RecBLR's tables lie in a folder in it.

    Returns
    -------
    list of Unit
        In the order of the table.
    """
    known = _records(listed, out)
    todo = [cause.unit for cause in listed if cause.unit is not None]
    return [unit for unit in todo if unit.name not in known]


def _records(listed: list[Cause], out: str | Path) -> dict[str, dict[str, Any]]:
    """Return the record of each run that has one, by the run's name.

    A run that was made before there was this table lies among all others.
    """
    todo = [cause.unit for cause in listed if cause.unit is not None]
    found = {}
    for folder in (Path(out), Path(out) / PAPER):  # the later counts where both have one
        for unit, record in recorded(todo, folder):
            found[unit.name] = record
    return found


def table_of_causes(listed: list[Cause], out: str | Path) -> pd.DataFrame:
    """Put what was recorded beside the base, under full ranking with seen items kept.

    Parameters
    ----------
    listed : list of Cause
        From `causes`, the base first.
    out : str or Path
        The folder of all records.

    Returns
    -------
    DataFrame
        A row for each, and one for what the paper prints:

        - change, how: what differs from the base, and what makes it so.
        - ended: "converged", "budget", "not run" where there is no record, or what is known
          without a run.
        - same targets: whether it is judged on the targets of the base. Where it is not, as in
          another order of ties, its valid NDCG cannot be compared with the base's.
        - valid ndcg: NDCG@10 on valid, by which runs are chosen.
        - recall, ndcg: at 10, on test. With one target for each user Recall is the hit ratio.
        - recall difference, ndcg difference: to the base.
        - reason: why no run is needed, or why there is none.
    """
    records = _records(listed, out)
    base = base_unit()
    rows = []
    for cause in listed:
        unit = cause.unit
        record = {} if unit is None else records.get(unit.name, {})
        row = {
            "change": cause.change,
            "how": cause.how,
            "ended": cause.found if unit is None else record.get("ended", "not run"),
            "same targets": unit is not None and unit.recorded_data == base.recorded_data,
            "valid ndcg": record.get("metrics.valid.full.ndcg"),
            "recall": record.get("metrics.test.full.recall"),
            "ndcg": record.get("metrics.test.full.ndcg"),
            "reason": cause.reason,
        }
        rows.append(row)
    rows.append(_printed_row())

    table = pd.DataFrame(rows).astype({"valid ndcg": float, "recall": float, "ndcg": float})
    for metric in ("recall", "ndcg"):
        table[f"{metric} difference"] = table[metric] - table[metric].iloc[0]
    table["reason"] = table.pop("reason")  # long, so it stands last
    return table


def _printed_row() -> dict[str, Any]:
    """Return what the paper prints in its Table 1, as a row of the table."""
    printed = paper(1, PAPER).set_index(["system", "data"]).loc[("RecBLR", DATA)]
    return {
        "change": PRINTED,
        "how": "",
        "ended": "printed",
        "same targets": False,
        "recall": printed["recall"],
        "ndcg": printed["ndcg"],
        "reason": "",
    }


def chosen_on_valid(table: pd.DataFrame) -> str:
    """Say which run is the best on valid.

    Parameters
    ----------
    table : DataFrame
        From `table_of_causes`.

    Returns
    -------
    str
        A sentence about those that have a record, are judged on the targets of the base and
        differ from it in more than the seed.
    """
    may_be_chosen = table["same targets"] & (table["change"] != ONLY_THE_SEED)
    comparable = table[may_be_chosen].dropna(subset=["valid ndcg"])
    if comparable.empty:
        return "No run on the targets of the base has a record yet, so none is best on valid."
    best = comparable.loc[comparable["valid ndcg"].idxmax()]
    return (
        f"On the targets of the base the best on valid, among recorded runs ({len(comparable)}): "
        f"{best['change']} ({best['how']}), NDCG@10 {best['valid ndcg']:.4f}."
    )


def configurations_in_words(out: str | Path) -> str:
    """Say how many configurations of RecBLR were run on Beauty, counted from records.

    Parameters
    ----------
    out : str or Path
        The folder of all records, with those of RecBLR's tables and of the searches in it.

    Returns
    -------
    str
        A sentence. A configuration is a copy of the data in an order of ties, the model's options
        and the settings. Runs that differ only in the seed or in the limit on the epochs have the
        same configuration.
    """
    out = Path(out)
    runs = []
    for path in [*out.glob("*.json"), *(out / PAPER).glob("*.json")]:
        record = load_record(path)
        if _is_of_recblr(record):
            runs.append(_configuration(record["data"], record["options"], record["settings"]))

    # A search's winner is one of its trials, trained once more: it is counted among them.
    n_trials = 0
    for path in (out / SEARCHES).glob("*-trials.json"):
        search = load_record(path)
        if _is_of_recblr(search):
            n_trials += len(search["trials"])
            runs += [_configuration_of_trial(search, trial) for trial in search["trials"]]

    return (
        f"In all RecBLR was run on Beauty {len(runs)} times, in {len(set(runs))} configurations "
        f"(seeds are not counted); {n_trials} of the runs are trials of a search."
    )


def _is_of_recblr(record: dict[str, Any]) -> bool:
    """Whether a record is of RecBLR on Beauty, whichever copy and order of ties."""
    return record.get("model") == "recblr" and record.get("data", "").startswith(DATA)


def _configuration(data: str, options: dict[str, Any], settings: dict[str, Any]) -> str:
    """Return a configuration as text, so that equal ones are equal."""
    settings = {key: value for key, value in settings.items() if key not in NO_CONFIGURATION}
    return json.dumps([data, options, settings], sort_keys=True)


def _configuration_of_trial(search: dict[str, Any], trial: dict[str, Any]) -> str:
    """Return the configuration of a search's trial."""
    options = model_options(search["model"]) | search["sizes"] | {"dropout": trial["dropout"]}
    settings = search["settings"] | {"lr": trial["lr"], "batch_size": trial["batch_size"]}
    return _configuration(search["data"], options, settings)
