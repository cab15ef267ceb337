"""The ladder: what each piece of the course closes of the gap on the planted data.

Every rung is trained by one recipe, at one width, with five seeds, and leaves a run record for each
seed. What is shown is the share of the distance from popularity to the oracle, in expected NDCG@10
on the planted test set: 0% is popularity, 100% the oracle.

    python -m minirec.experiments.ladder

trains what has no record yet. A lesson shows the records, and trains its own rung once:

    torch.manual_seed(0)
    model = OneLayerRecommender(data.n_items, layer, **SIZES)
    fit(model, split, **RECIPE, seed=0, device="cpu")
    agrees_with_records("GRU", model, split)
"""

import argparse
import math
import re
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import nn

from minirec.data.datasets import default_folder, load_dataset
from minirec.data.planted import PlantedOracle
from minirec.data.splits import Split
from minirec.evaluation import expected_metrics
from minirec.experiments.records import load_record, provenance, record_run, save_record
from minirec.layers.attention import SoftmaxAttention
from minirec.layers.bd_lru import BehaviourDependentLRU
from minirec.layers.gru import GRU
from minirec.layers.linear_rnn import LRU, MinGRU
from minirec.models import build_model
from minirec.models.base import NeuralRecommender, Scorer
from minirec.models.one_layer import (
    CausalLinearAttention,
    DenseGRU,
    GatedGRU,
    NoLayer,
    OneLayerRecommender,
)
from minirec.plotting import plot_rungs
from minirec.storage import check_writable
from minirec.training import fit

# What all rungs share. Of the recipes in TRIALS it is the best on valid by the rule that stands
# there; a test compares the two.
SIZES: dict[str, Any] = {"d_model": 64, "dropout": 0.1, "max_len": 200}
RECIPE: dict[str, Any] = {
    "epochs": 10,
    "batch_size": 1024,
    "lr": 1e-2,
    "lr_schedule": "cosine",
    "patience": None,
}
SEEDS = range(5)
LAST_LESSON = "16"
STANDARD_ERRORS = 3.0  # by which two means must differ before a verdict is given

HEADS = 8  # of both attentions, as in GLINT-RU's released code
FLOOR = "popularity"
CEILING = "oracle"
TRIALS = "trials.json"  # the recipes that were tried, and by which rule one was taken
COUNTING = "counting.json"  # the record of what is counted or known and needs no seed


class Rung(NamedTuple):
    """One piece of the course, in a model that can be trained."""

    lesson: str  # that builds it, "02"
    name: str  # as the figure and the verdicts have it
    make: Callable[[int], NeuralRecommender]  # from the number of items to an untrained model

    @property
    def slug(self) -> str:
        """What its records' files begin with."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower())


def _in_the_shell(make_layer: Callable[[int], nn.Module]) -> Callable[[int], NeuralRecommender]:
    """Return a function from the number of items to the shell around a new layer."""

    def make(n_items: int) -> NeuralRecommender:
        layer = make_layer(SIZES["d_model"])
        return OneLayerRecommender(n_items, layer, **SIZES)

    return make


def _system(name: str, **options: Any) -> Callable[[int], NeuralRecommender]:
    """Return a function from the number of items to a whole system at the recipe's sizes."""

    def make(n_items: int) -> NeuralRecommender:
        model = build_model(name, n_items, **SIZES, **options)
        assert isinstance(model, NeuralRecommender)  # the counting ones are no rungs
        return model

    return make


def _gru(d_model: int) -> nn.Module:
    return GRU(d_model, d_model, bias=False, form="torch")


def _linear_attention(d_model: int) -> nn.Module:
    return CausalLinearAttention(d_model, HEADS, "released")


def _softmax_attention(d_model: int) -> nn.Module:
    return SoftmaxAttention(d_model, HEADS, causal=True)


# In the order of the lessons. Layers have the form of the released code; GLINT-RU and RecBLR are
# the systems with their own blocks around their layers, and RecBLR has two layers.
RUNGS = (
    Rung("02", "no layer", _in_the_shell(lambda d_model: NoLayer())),
    Rung("02", "GRU", _in_the_shell(_gru)),
    Rung("03", "dense GRU", _in_the_shell(DenseGRU)),
    Rung("04", "selective gate", _in_the_shell(GatedGRU)),
    Rung("05", "linear attention", _in_the_shell(_linear_attention)),
    Rung("05", "softmax attention", _in_the_shell(_softmax_attention)),
    Rung("06", "GLINT-RU", _system("glint-ru", inner_dropout=SIZES["dropout"])),
    Rung("09", "minGRU", _in_the_shell(lambda d_model: MinGRU(d_model, d_model))),
    Rung("09", "LRU", _in_the_shell(lambda d_model: LRU(d_model, d_model))),
    Rung("09", "BD-LRU", _in_the_shell(BehaviourDependentLRU)),
    Rung("13", "RecBLR", _system("recblr")),
)

# Lesson 01's predictors, which have no weights: they count, or know a part of the planted rule.
COUNTED: dict[str, Callable[[int], Scorer]] = {
    "last item": lambda n_items: build_model("last-item", n_items),
    "shelf + echo, known": lambda n_items: PlantedOracle(("shelf", "echo")),
}
COUNTED_IN = "01"


def results_folder() -> Path:
    """Return where the ladder's records lie: beside the data of the checkout, else of this folder.

    Returns
    -------
    Path
        "results/ladder" in `data.datasets.default_folder`.
    """
    return default_folder() / "results" / "ladder"


# --- Training ----------------------------------------------------------------------------------


def build_rung(name: str, n_items: int, seed: int = 0) -> NeuralRecommender:
    """Return a rung's model before any training.

    Parameters
    ----------
    name : str
        Of RUNGS.
    n_items : int
        Number of items.
    seed : int
        Of the first weights. PyTorch's own generator is set to it, as a lesson does.

    Returns
    -------
    NeuralRecommender
        Its `options` tell the rung, the sizes and the model's own options.

    Raises
    ------
    ValueError
        For a name that is not among RUNGS.
    """
    rung = _find_rung(name)
    torch.manual_seed(seed)
    model = rung.make(n_items)
    model.options = {**SIZES, **model.options, "rung": name}
    return model


def _rungs_up_to(lesson: str) -> list[Rung]:
    """Return the rungs of the lessons up to this one."""
    if not re.fullmatch(r"\d\d", lesson):
        raise ValueError(f"up_to is a lesson's two digits, such as '04'; got {lesson!r}.")
    return [rung for rung in RUNGS if rung.lesson <= lesson]


def _find_rung(name: str) -> Rung:
    for rung in RUNGS:
        if rung.name == name:
            return rung
    known = ", ".join(rung.name for rung in RUNGS)
    raise ValueError(f"the ladder has no rung {name!r} that is trained; it has: {known}.")


def record_ladder(
    out: str | Path,
    *,
    up_to: str = LAST_LESSON,
    seeds: Sequence[int] = SEEDS,
    command: Sequence[str] = (),
    say: Callable[[str], object] = print,
) -> None:
    """Train every rung that has no record yet, and record it.

    Parameters
    ----------
    out : str or Path
        The folder of the records; a record that is there is left as it is.
    up_to : str
        The last lesson whose rungs are trained.
    seeds : sequence of int
        One run of every rung for each.
    command : sequence of str
        The words typed, for the records.
    say : callable
        Takes a line about each run.

    Raises
    ------
    ValueError
        For a record that was made by another recipe.
    """
    split = load_dataset("planted").split()
    out = Path(out)
    if not (out / COUNTING).exists():
        _record_counting(out / COUNTING, split, command)
    for seed in seeds:
        for rung in _rungs_up_to(up_to):
            path = record_path(rung.name, seed, out)
            if path.exists():
                _read_run(path, rung.name, seed)  # raises where it is another recipe's
                continue
            check_writable(path)
            model = build_rung(rung.name, split.interactions.n_items, seed)
            history = fit(model, split, **RECIPE, seed=seed, device="cpu", progress=False)
            record = record_run(model, split, history, command)
            save_record(path, record)
            valid = record["metrics"]["valid"]["expected"]["ndcg"]
            say(
                f"{rung.name}, seed {seed}: {record['seconds']:.0f} s, "
                f"expected NDCG@10 on valid {valid:.4f}"
            )


def _record_counting(path: Path, split: Split, command: Sequence[str]) -> None:
    """Record what needs no training: popularity, lesson 01's predictors and the oracle."""
    n_items = split.interactions.n_items
    oracle = PlantedOracle()
    predictors: dict[str, Scorer] = {FLOOR: build_model(FLOOR, n_items), CEILING: oracle}
    predictors |= {name: make(n_items) for name, make in COUNTED.items()}
    expected = {}
    for name, predictor in predictors.items():
        if hasattr(predictor, "count"):
            predictor.count(split)
        expected[name] = expected_metrics(predictor, split, oracle)
    check_writable(path)
    record = {
        "schema": 1,
        **provenance(torch.device("cpu"), command),
        "data": split.interactions.name,
        "split": split.fingerprint,
        "expected": expected,
    }
    save_record(path, record)


def record_path(name: str, seed: int, out: str | Path) -> Path:
    """Return where the record of a run of a rung lies.

    Parameters
    ----------
    name : str
        The rung's.
    seed : int
        Of the run.
    out : str or Path
        The folder of the records.

    Returns
    -------
    Path
        Its file, whether it is there or not.
    """
    return Path(out) / f"{_find_rung(name).slug}-seed{seed}.json"


# --- Reading the records -----------------------------------------------------------------------


def shares_of_gap(
    names: Collection[str] | None = None, *, out: str | Path | None = None
) -> pd.DataFrame:
    """Return what each run of each rung closes of the gap, from the records.

    Parameters
    ----------
    names : collection of str, optional
        Of the rungs, whose records alone are read; all of them unless given.
    out : str or Path, optional
        The folder of the records; `results_folder` unless given.

    Returns
    -------
    DataFrame
        A row for each predictor of lesson 01 and each run, in the order of the lessons: lesson,
        rung, seed (NaN for what has none), ndcg (expected, at 10, on test) and share, 0 at
        popularity and 1 at the oracle.

    Raises
    ------
    ValueError
        Where a record is missing, or was made by another recipe.
    """
    out = results_folder() if out is None else Path(out)
    known = {name: figures["ndcg"] for name, figures in _read_counting(out).items()}
    rows = [(COUNTED_IN, name, math.nan, known[name]) for name in COUNTED]
    for rung in RUNGS:
        if names is not None and rung.name not in names:
            continue
        for seed in SEEDS:
            run = _read_run(record_path(rung.name, seed, out), rung.name, seed)
            rows.append((rung.lesson, rung.name, seed, run["metrics"]["test"]["expected"]["ndcg"]))
    table = pd.DataFrame(rows, columns=["lesson", "rung", "seed", "ndcg"])
    table["share"] = (table["ndcg"] - known[FLOOR]) / (known[CEILING] - known[FLOOR])
    return table


def _read_counting(out: Path) -> dict[str, dict[str, float]]:
    path = out / COUNTING
    _refuse_missing(path, "what is counted")
    return load_record(path)["expected"]


def _read_run(path: Path, name: str, seed: int) -> dict[str, Any]:
    """Return the record of one run; raise where there is none, or it is another recipe's."""
    _refuse_missing(path, f"the rung {name!r}, seed {seed}")
    record = load_record(path)
    wanted = {**RECIPE, "seed": seed}
    used = {key: record["settings"].get(key) for key in wanted}
    wanted |= {**SIZES, "rung": name}
    used |= {key: record["options"].get(key) for key in (*SIZES, "rung")}
    for key, value in wanted.items():
        if used[key] != value:
            raise ValueError(
                f"{path} was trained with {key} = {used[key]!r}, the ladder's is {value!r}; "
                "delete the file and run `python -m minirec.experiments.ladder`."
            )
    return record


def _refuse_missing(path: Path, what: str) -> None:
    if not path.is_file():
        raise ValueError(
            f"the ladder has no record of {what}: {path} is missing. Run "
            "`python -m minirec.experiments.ladder`, which trains what has no record, or start in "
            "a checkout, whose data/results/ladder has all of them."
        )


# --- What a lesson uses ------------------------------------------------------------------------


def plot_ladder(up_to: str, *, title: str = "", out: str | Path | None = None) -> Figure:
    """Draw the share of the gap that each rung closes, up to a lesson's, whose bars stand out.

    Parameters
    ----------
    up_to : str
        The lesson, "04": later rungs are left out.
    title : str
        What the figure shows; unless given, what the lesson's best rung closes.
    out : str or Path, optional
        The folder of the records; `results_folder` unless given.

    Returns
    -------
    Figure
        A bar for each rung, the first lesson's at the bottom: the mean over the seeds, with a
        whisker of one standard error to each side.

    Raises
    ------
    ValueError
        For a lesson that is not written as two digits, and where a record is missing.
    """
    runs = shares_of_gap([rung.name for rung in _rungs_up_to(up_to)], out=out)
    rungs = runs.groupby("rung", sort=False)["share"].agg(["mean", "sem"])
    own = list(runs.loc[runs["lesson"] == up_to, "rung"].unique())
    if not title:
        best = rungs.loc[own, "mean"] if own else rungs["mean"]
        title = f"{best.max():.0%} of the gap closed by {best.idxmax()}"
    return plot_rungs(
        rungs["mean"].to_dict(), rungs["sem"].fillna(0.0).to_dict(), highlight=own, title=title
    )


def ladder_verdict(name: str, other: str, *, out: str | Path | None = None) -> str:
    """Say whether one rung closes more of the gap than another, judged over the seeds.

    Parameters
    ----------
    name, other : str
        Two rungs; or one and a predictor of lesson 01.
    out : str or Path, optional
        The folder of the records; `results_folder` unless given.

    Returns
    -------
    str
        "ahead by 1.2 points, 3.4 standard errors" (percentage points of the gap, and the
        standard error of the difference of two means), "behind by ...", or "no difference that
        three standard errors could show".

    Raises
    ------
    ValueError
        For a name that the ladder does not have, for two predictors without seeds, which need no
        verdict, and where a record is missing.
    """
    runs = shares_of_gap((name, other), out=out)
    means = []
    variance = 0.0  # of the difference of the means
    for rung in (name, other):
        of_rung = runs.loc[runs["rung"] == rung]
        if of_rung.empty:
            listed = ", ".join([*COUNTED, *(known.name for known in RUNGS)])
            raise ValueError(f"the ladder has no rung {rung!r}; it has: {listed}.")
        means.append(of_rung["share"].mean())
        if of_rung["seed"].notna().all():  # what is counted comes out the same each time
            variance += of_rung["share"].var() / len(of_rung)
    if variance == 0:
        raise ValueError(f"{name!r} and {other!r} have no seeds to judge by; compare the numbers.")

    difference = means[0] - means[1]
    distance = abs(difference) / math.sqrt(variance)
    if distance < STANDARD_ERRORS:
        return "no difference that three standard errors could show"
    side = "ahead" if difference > 0 else "behind"
    return f"{side} by {100 * abs(difference):.1f} points, {distance:.1f} standard errors"


def agrees_with_records(
    name: str, model: Scorer, split: Split, *, out: str | Path | None = None
) -> bool:
    """Whether a rung that was trained here is as good as its records say.

    The same seed does not give the same bits on another processor or with another number of
    threads, and training makes large differences of small ones. So the run is judged as one more
    seed: it must lie within three standard errors of the mean of the recorded ones. One rung's five
    seeds say little about how far runs scatter, so the scatter is that of all rungs together.

    Parameters
    ----------
    name : str
        Of RUNGS.
    model : Scorer
        Trained by RECIPE.
    split : Split
        Of the planted data.
    out : str or Path, optional
        The folder of the records; `results_folder` unless given.

    Returns
    -------
    bool
        By expected NDCG@10 on test.

    Raises
    ------
    ValueError
        For a name that is not among RUNGS, and where a record is missing.
    """
    _find_rung(name)
    runs = shares_of_gap(out=out)
    trained = runs[runs["seed"].notna()].groupby("rung")["ndcg"]
    pooled_variance = trained.var().mean()  # every rung has as many seeds
    n_seeds = len(SEEDS)
    standard_error = math.sqrt(pooled_variance * (1 + 1 / n_seeds))
    found = expected_metrics(model, split, PlantedOracle())["ndcg"]
    return bool(abs(found - trained.mean()[name]) <= STANDARD_ERRORS * standard_error)


# --- The command -------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `python -m minirec.experiments.ladder`.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the command line unless given.
    """
    parser = argparse.ArgumentParser(
        prog="python -m minirec.experiments.ladder",
        description="Train the rungs of the ladder that have no record, five seeds each.",
    )
    parser.add_argument("--out", default=results_folder(), help="the folder of the records")
    parser.add_argument("--up-to", default=LAST_LESSON, help="the last lesson whose rungs are run")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=list(SEEDS), help="only these (default: all five)"
    )
    typed = sys.argv[1:] if arguments is None else list(arguments)
    chosen = parser.parse_args(typed)
    command = ["python", "-m", "minirec.experiments.ladder", *typed]
    record_ladder(chosen.out, up_to=chosen.up_to, seeds=chosen.seeds, command=command)


if __name__ == "__main__":
    main()
