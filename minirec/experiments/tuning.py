"""The same search of settings for every system: trials, epochs and space, on valid alone.

To compare a tuned system with untuned ones is to compare the tuning. Here every system gets the
same search. A trial samples a learning rate, a dropout and a batch size by Optuna's tree-structured
Parzen estimator (Bergstra et al., 2011), trains with them, and is judged by its best valid NDCG@10.
The winner is trained once more, and only that run is evaluated on the test users. Optuna is an
extra: pip install 'minirec[tune]'.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from minirec.data.splits import Split
from minirec.devices import choose_device
from minirec.experiments.recblr import LOADED, PAPER, SETTINGS, unit_of
from minirec.experiments.records import (
    SCHEMA,
    load_record,
    load_records,
    provenance,
    record_run,
    save_record,
)
from minirec.experiments.units import Unit
from minirec.models import build_model
from minirec.models.base import Recommender
from minirec.storage import check_writable
from minirec.training import History, fit

if TYPE_CHECKING:
    from optuna import Study, Trial

SEARCHES = "tuning"  # the folder of the searches' records, in that of all records

PLANTED = {"d_model": 32, "max_len": 50}  # sizes on the planted set

# The space, the same for every system.
LEARNING_RATES = (3e-4, 1e-2)  # log-uniform between the two
DROPOUTS = (0.0, 0.6)  # uniform
BATCH_SIZES = (512, 1024, 2048, 4096)  # in targets
DIVERGED = "diverged"  # why a trial stopped whose loss was no number
RANDOM_TRIALS = 4  # before the estimator has something to estimate from


def unit_to_tune(model: str, data: str, epochs: int) -> Unit:
    """Return what a search of one system starts from: RecBLR's sizes and protocol.

    Parameters
    ----------
    model : str
        The name that `build_model` knows.
    data : str
        A key of `recblr.LOADED`, or "planted".
    epochs : int
        The budget of a trial, which ends earlier after three epochs without progress.

    Returns
    -------
    Unit
        Without the settings that are searched for.

    Raises
    ------
    ValueError
        For other data.
    """
    if data == "planted":
        unit = Unit(model, data, data, model, dict(PLANTED), dict(SETTINGS), paper=PAPER)
    elif data in LOADED:
        loaded, ties = LOADED[data]
        unit = unit_of(model, model, data, loaded=loaded, ties=ties)
    else:
        raise ValueError(f"{data!r} is none of the data to tune on: {', '.join(LOADED)}, planted.")
    options = {key: value for key, value in unit.options.items() if key != "dropout"}
    settings = unit.settings | {"epochs": epochs, "patience": 3}
    return replace(unit, options=options, settings=settings)


def tune(
    unit: Unit,
    split: Split,
    out: str | Path,
    *,
    n_trials: int,
    command: Sequence[str],
    seed: int = 0,
    budget: float = math.inf,
    say: Callable[[str], object] = print,
) -> dict[str, Any]:
    """Search for the settings of one system, and record every trial as it ends.

    The same call goes on where an earlier one was stopped: a trial that has ended is not run again,
    and the trials to come are those that would have come. A trial that Ctrl-C stops is none. Where
    more trials find better settings, the winner is trained once more.

    Parameters
    ----------
    unit : Unit
        The system, its sizes, and what no trial changes; `epochs` and `patience` of its settings
        are the budget of each trial.
    split : Split
        Its data.
    out : str or Path
        The folder of the records: "<unit>-trials.json" holds the search, "<unit>-best.json" is the
        run record of the winner.
    n_trials : int
        How many settings are tried, at least 1.
    command : sequence of str
        The words typed, for the records.
    seed : int
        Of the search.
    budget : float
        Seconds after which no training begins; one that has begun goes on to its end.
    say : callable
        Takes a line about each trial.

    Returns
    -------
    dict
        The search: what is fixed, the space, and for each trial its settings, its best valid
        NDCG@10, epochs, seconds, and why it stopped.

    Raises
    ------
    RuntimeError
        Without Optuna.
    ValueError
        For fewer than one trial, and where the file of the trials is of another search.
    KeyboardInterrupt
        On Ctrl-C, also within a training.
    """
    if n_trials < 1:
        raise ValueError(f"a search takes at least one trial; got {n_trials}.")
    require_optuna()
    deadline = time.monotonic() + budget
    path = Path(out) / f"{unit.name}-trials.json"
    winner_path = Path(out) / f"{unit.name}-best.json"
    check_writable(path)
    search = _begin_or_resume(path, unit, split, n_trials, seed, command)
    study = _study_of(search["trials"])

    for number in range(len(search["trials"]), n_trials):
        if time.monotonic() >= deadline:
            say(f"{unit.name}: {number} of {n_trials} trials; the same command goes on")
            return search
        study.sampler = _sampler(seed, number)
        trial = study.ask()
        tried = _settings_of(trial)
        came_to = _try(unit, split, tried)
        study.tell(trial, came_to["valid_ndcg"])
        search["trials"].append(tried | came_to)
        save_record(path, search, replace=True)
        say(
            f"{unit.name}, trial {number + 1} of {n_trials}: {_in_words(tried)}, "
            f"valid {came_to['valid_ndcg']:.4f}"
        )

    best = best_settings(search)
    if not _is_trained(winner_path, best) and time.monotonic() < deadline:
        model, history = _train(unit, split, best)
        # It may take the place of a winner that later trials have beaten.
        save_record(winner_path, record_run(model, split, history, command), replace=True)
    return search


def require_optuna() -> None:
    """Raise RuntimeError, which says what to install, where Optuna is not installed."""
    try:
        import optuna  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise RuntimeError(
            "a search for settings needs Optuna, which is not installed: "
            "pip install 'minirec[tune]'."
        ) from None


def _is_trained(winner: Path, settings: dict[str, Any]) -> bool:
    """Whether the record of the winner is there, and is of these settings."""
    if not winner.exists():
        return False
    record = load_record(winner)
    trained = record["settings"] | {"dropout": record["options"]["dropout"]}
    return all(trained[name] == value for name, value in settings.items())


def best_settings(search: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the trial that was best on valid; of equals the first.

    Parameters
    ----------
    search : dict
        From `tune`.

    Returns
    -------
    dict
        Its learning rate, dropout and batch size.
    """
    best = max(search["trials"], key=lambda trial: trial["valid_ndcg"])
    return {name: best[name] for name in ("lr", "dropout", "batch_size")}


def tuned_side_by_side(out: str | Path) -> pd.DataFrame:
    """Put the searches that are recorded side by side.

    Parameters
    ----------
    out : str or Path
        The folder of the records.

    Returns
    -------
    DataFrame
        A row for each search: data, ties, system, how many trials and epochs it had and how many
        seconds they took, the best setting, the median and the best of the trials' valid NDCG@10,
        and the winner's test NDCG@10 among all items, NaN where the search has not ended.
    """
    rows = []
    for path in sorted(Path(out).glob("*-trials.json")):
        search = load_record(path)
        trials = pd.DataFrame(search["trials"])
        winner = path.with_name(path.name.replace("-trials.json", "-best.json"))
        test_ndcg = math.nan
        has_ended = len(trials) >= search["n_trials"]
        if has_ended and _is_trained(winner, best_settings(search)):
            test_ndcg = load_records(winner).at[0, "metrics.test.full.ndcg"]
        rows.append(
            {
                "data": search["data"],
                "ties": search["ties"],
                "system": search["model"],
                "trials": f"{len(trials)} of {search['n_trials']}",
                "epochs": trials["epochs"].sum(),
                "seconds": trials["seconds"].sum(),
                "best": _in_words(best_settings(search)),
                "median valid ndcg": trials["valid_ndcg"].median(),
                "best valid ndcg": trials["valid_ndcg"].max(),
                "test ndcg": test_ndcg,
            }
        )
    return pd.DataFrame(rows)


def _begin_or_resume(
    path: Path, unit: Unit, split: Split, n_trials: int, seed: int, command: Sequence[str]
) -> dict[str, Any]:
    """Return the search of an earlier call, or a new one without trials."""
    data = split.interactions
    search: dict[str, Any] = {
        "schema": SCHEMA,
        **provenance(choose_device("auto"), command),
        "model": unit.model,
        "data": data.name,
        "ties": data.ties,
        "fingerprint": data.fingerprint,
        "sizes": unit.options,
        "settings": unit.settings,
        "space": {"lr": LEARNING_RATES, "dropout": DROPOUTS, "batch_size": BATCH_SIZES},
        "seed": seed,
        "n_trials": n_trials,
        "trials": [],
    }
    if not path.exists():
        return search
    earlier = load_record(path)
    del earlier["file"]
    for key in ("model", "fingerprint", "sizes", "settings", "seed"):
        if earlier[key] != search[key]:
            raise ValueError(
                f"{path} is the record of another search: its {key} is {earlier[key]}, and not "
                f"{search[key]}. Name another folder, or take the file away."
            )
    return {**earlier, "n_trials": max(n_trials, len(earlier["trials"]))}


def _study_of(trials: list[dict[str, Any]]) -> "Study":
    """Return a study that knows the trials of an earlier call."""
    import optuna  # an extra: only a search needs it

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    space = {
        "lr": optuna.distributions.FloatDistribution(*LEARNING_RATES, log=True),
        "dropout": optuna.distributions.FloatDistribution(*DROPOUTS),
        "batch_size": optuna.distributions.CategoricalDistribution(BATCH_SIZES),
    }
    for trial in trials:
        settings = {name: trial[name] for name in space}
        value = trial["valid_ndcg"]
        study.add_trial(
            optuna.trial.create_trial(params=settings, distributions=space, value=value)
        )
    return study


def _sampler(seed: int, number: int) -> Any:
    """Return a sampler for one trial: what it draws depends on the trials before it, and no more.

    So a search that was stopped and resumed draws what it would have drawn.
    """
    import optuna

    return optuna.samplers.TPESampler(
        seed=1000 * seed + number, n_startup_trials=RANDOM_TRIALS, multivariate=False
    )


def _settings_of(trial: "Trial") -> dict[str, Any]:
    """Draw a trial's settings from the space."""
    return {
        "lr": trial.suggest_float("lr", *LEARNING_RATES, log=True),
        "dropout": trial.suggest_float("dropout", *DROPOUTS),
        "batch_size": trial.suggest_categorical("batch_size", BATCH_SIZES),
    }


def _try(unit: Unit, split: Split, tried: dict[str, Any]) -> dict[str, Any]:
    """Train with a trial's settings and return its outcome; if training diverges, NDCG is 0."""
    try:
        history = _train(unit, split, tried)[1]
    except FloatingPointError:
        return {"valid_ndcg": 0.0, "best_epoch": 0, "epochs": 0, "seconds": 0, "stopped": DIVERGED}
    return {
        "valid_ndcg": history.best_ndcg,
        "best_epoch": history.best_epoch,
        "epochs": len(history.epochs),
        "seconds": sum(epoch["seconds"] for epoch in history.epochs),
        "stopped": history.stopped,
    }


def _train(unit: Unit, split: Split, tried: dict[str, Any]) -> tuple[Recommender, History]:
    """Train the system with the settings of a trial."""
    options = unit.options | {"dropout": tried["dropout"]}
    settings = unit.settings | {"lr": tried["lr"], "batch_size": tried["batch_size"]}
    unit = replace(unit, options=options, settings=settings)
    torch.manual_seed(settings["seed"])
    model = build_model(unit.model, split.interactions.n_items, **unit.options)
    history = fit(model, split, progress=False, **unit.settings)
    if history.stopped == "interrupted":
        raise KeyboardInterrupt  # its figures are of fewer epochs than those of other trials
    return model, history


def _in_words(tried: dict[str, Any]) -> str:
    """Return settings as a table shows them."""
    return (
        f"lr {tried['lr']:.2g}, dropout {tried['dropout']:.2f}, batch size {tried['batch_size']:,}"
    )
