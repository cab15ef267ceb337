"""The papers' claims, each judged by run records alone.

The claims stand in data/claims.csv of the repository, a row each; no verdict is typed there or
anywhere. A verdict says what our records say, not what the papers' authors measured.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from minirec.errors import printable_path
from minirec.experiments.benchmarks.recblr_scans import EMBEDDINGS_PADDED, SEQUENCES_PADDED, SERIAL
from minirec.experiments.recblr import ABLATIONS as OF_TABLE_3
from minirec.experiments.recblr import DROPOUTS, PAPER
from minirec.experiments.recblr import SIZES as RECBLR_SIZES
from minirec.experiments.recblr import SYSTEMS as OF_RECBLR
from minirec.experiments.records import load_records
from minirec.experiments.units import ABLATIONS as OF_TABLE_4
from minirec.experiments.units import DATA as GLINT_RU_DATA
from minirec.experiments.units import KERNEL_SIZES, Unit, find
from minirec.experiments.units import SYSTEMS as OF_GLINT_RU
from minirec.models import MODELS, model_options

VERDICTS = ("confirmed", "contradicted", "undecided", "untested", "untestable here")

PAPERS = ("GLINT-RU", "RecBLR")

# How a claim is decided. "none" is a claim that cannot be tested here, for the reason in its row.
KINDS = (
    "ahead",  # the metric of every one of the systems exceeds that of every one of the others
    "cheaper",  # a cost, in seconds or MiB, is lower than that of every one of the others
    "about as cheap",  # a cost is at most a quarter above that of every one of the others
    "linear in length",  # the time grows with N more nearly as N than as its square
    "quadratic in length",  # or the other way round
    "none",
)
AT_MOST = 1.25  # of a cost that is about as cheap
BETWEEN = 1.5  # the exponent half-way between linear and quadratic

# The lowest figure above 0 that one user can have: a target in the tenth place.
LOWEST = {"recall": 1.0, "mrr": 1 / 10, "ndcg": 1 / math.log2(11)}

# What must be the same on both sides of a comparison, besides the sizes of the models: the copy of
# the data, with its order of ties, and how they were trained. Who waits longer for progress finds a
# better epoch; and the epochs decide how fast a rate falls that falls ("schedule_epochs").
SAME_SETTINGS = ("lr", "lr_schedule", "schedule_epochs", "batch_size", "precision", "patience")
SAME = ["data", "fingerprint", *[f"settings.{key}" for key in SAME_SETTINGS]]

# What of a record is looked at, whatever its model.
NEEDED = ["file", "model", "ended", "settings.select", "settings.seed", *SAME]

METRIC_NAMES = {"recall": "Recall@10", "mrr": "MRR@10", "ndcg": "NDCG@10"}


class DataSet(NamedTuple):
    """A data set of a paper: what its records are called, and the paper's sizes on it."""

    recorded: tuple[str, ...]  # one name for each order of ties
    sizes: dict[str, Any]


# The order of ties that RecBLR's data had is not known: either of the two orders in which copies
# of them are public may be it.
DATA = {
    ("GLINT-RU", "ML-1M"): DataSet(("ml-1m-full",), GLINT_RU_DATA["ml-1m"].sizes()),
    ("GLINT-RU", "Beauty"): DataSet(("beauty",), GLINT_RU_DATA["beauty"].sizes()),
    ("GLINT-RU", "Video Games"): DataSet(("video-games",), GLINT_RU_DATA["video-games"].sizes()),
    ("RecBLR", "ML-1M"): DataSet(("ml-1m", "ml-1m, ties by id"), RECBLR_SIZES["ml-1m"]),
    ("RecBLR", "Beauty"): DataSet(("beauty-with-times.inter.gz", "beauty"), RECBLR_SIZES["beauty"]),
    ("RecBLR", "Sports"): DataSet(("sports", "sports, ties by id"), RECBLR_SIZES["sports"]),
}

SYSTEMS = OF_GLINT_RU | OF_RECBLR


class Variant(NamedTuple):
    """A system that is not as its paper has it by default."""

    system: str
    options: dict[str, Any]


# RecBLR's ablations: what the claims call them, and their rows in its Table 3.
ABLATED = {
    "RecBLR with one layer": "one layer",
    "RecBLR, BD-LRU only": "BD-LRU only",
    "RecBLR without convolution": "without conv1d",
    "RecBLR without feed-forward": "without feed-forward",
    "RecBLR with random initial decays": "without initialisation of Lambda",
}


def _variants() -> dict[str, Variant]:
    """Name every variant that a claim is about."""
    variants = {name: Variant("RecBLR", OF_TABLE_3[row]) for name, row in ABLATED.items()}
    for name, options in OF_TABLE_4.items():
        if options:
            variants[f"GLINT-RU {name}"] = Variant("GLINT-RU", options)
    for kernel_size in KERNEL_SIZES:
        options = {"kernel_size": kernel_size}
        variants[f"GLINT-RU, k = {kernel_size}"] = Variant("GLINT-RU", options)
    for dropout in DROPOUTS:
        variants[f"RecBLR, dropout {dropout}"] = Variant("RecBLR", {"dropout": dropout})
    return variants


VARIANTS = _variants()

# What is timed only, no option of a model, and what the benchmark calls it.
TIMED_VARIANTS = {
    "RecBLR, serial scan": SERIAL,
    "RecBLR, padded sequences": SEQUENCES_PADDED,
    "RecBLR, padded embeddings": EMBEDDINGS_PADDED,
}


class Benchmark(NamedTuple):
    """What we measured, in which of our benchmarks, and which of their cases a claim is about."""

    files: tuple[str, ...]
    case: str  # of d, N and the name of the data set
    unit: str  # the column


# The papers train on a sample for every prefix, and so do these cases.
BENCHMARKS = {
    "training": Benchmark(
        ("train", "train-video-games", "glint-ru-variants"),
        "epoch, a sample a prefix, padded, {on}",
        "seconds",
    ),
    "memory": Benchmark(
        ("memory", "glint-ru-variants"), "training step, a sample a prefix, padded, {on}", "mib"
    ),
    "inference": Benchmark(
        ("inference", "glint-ru-variants"), "reading 2,048 histories of {n}, d = {d}", "seconds"
    ),
    "one more item": Benchmark(
        ("inference",), "one more item after 2,048 histories of {n}, d = {d}", "seconds"
    ),
    "scan": Benchmark(("recblr-scans",), "epoch of padded samples, {name}, N = {n}", "seconds"),
    "length": Benchmark(("length",), "20,000 positions in rows of N = {n:,}, d = 64", "seconds"),
}
LENGTHS = (100, 1000)  # between which the growth with N is measured


@dataclass(frozen=True)
class Claim:
    """A row of data/claims.csv."""

    id: str
    paper: str  # of PAPERS
    place: str  # its table, figure or section
    claim: str  # in plain words
    kind: str  # of KINDS
    data: tuple[str, ...]  # the paper's names
    systems: tuple[str, ...]  # keys of SYSTEMS and VARIANTS; every one of them
    others: tuple[str, ...]  # is compared with every one of these
    protocol: str  # of `evaluate`, which also chose the best epoch; or a key of BENCHMARKS
    metric: str  # recall, mrr or ndcg at 10; seconds or mib
    confirmed_by: str  # in plain words
    untestable: str  # the reason; empty where the claim can be tested here


@dataclass(frozen=True)
class Comparison:
    """What the records say of one pair of systems on one data set."""

    verdict: str
    said: tuple[str, ...]  # the figures with their intervals, or why there are none
    evidence: tuple[str, ...] = ()  # files in the folder of the records
    device: str = ""  # what a cost was measured on


@dataclass(frozen=True)
class Evidence:
    """All that verdicts are made of."""

    out: Path  # the folder of the records
    records: pd.DataFrame  # of training, with their places in the folder under "file"
    found: dict[tuple[str, ...], pd.DataFrame]  # what was looked up already: it is asked for often


def claims_file(out: str | Path) -> Path:
    """Return where the table of claims lies: beside the folder of the records.

    Parameters
    ----------
    out : str or Path
        The folder of the records.

    Returns
    -------
    Path
        Of claims.csv, which may not be there.
    """
    return Path(out).absolute().parent / "claims.csv"


def read_claims(path: str | Path) -> list[Claim]:
    """Read the table of claims.

    Parameters
    ----------
    path : str or Path
        A CSV file whose columns are the fields of `Claim`; names in one cell are separated by
        semicolons.

    Returns
    -------
    list of Claim
        In the file's order.

    Raises
    ------
    ValueError
        Where there is no such file; for a row with an unknown kind, system, data set, protocol or
        metric, or with an id that another row has: the message names the row.
    """
    if not Path(path).exists():
        raise ValueError(
            f"there is no table of claims at {printable_path(path)}; it is part of the repository "
            "(data/claims.csv), so let --out name a folder beside it."
        )
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    missing = set(Claim.__dataclass_fields__) - set(table.columns)
    if missing:
        raise ValueError(
            f"{printable_path(path)} lacks the columns {', '.join(sorted(missing))}; add them."
        )

    claims: list[Claim] = []
    for row in table.to_dict("records"):
        lists = {key: _names_in(row[key]) for key in ("data", "systems", "others")}
        claim = Claim(**{str(key): value for key, value in (row | lists).items()})
        wrong = _what_is_wrong(claim)
        if claim.id in [earlier.id for earlier in claims]:
            wrong = "another row has this id"
        if wrong:
            raise ValueError(f"{printable_path(path)}, claim {claim.id!r}: {wrong}; mend the row.")
        claims.append(claim)
    return claims


def _names_in(cell: str) -> tuple[str, ...]:
    """Return the names of a cell that are separated by semicolons."""
    return tuple(name.strip() for name in cell.split(";") if name.strip())


def _what_is_wrong(claim: Claim) -> str:
    """Return what is not as it should be in a claim; empty where nothing is."""
    if claim.paper not in PAPERS:
        return f"there is no paper {claim.paper!r}"
    if claim.kind not in KINDS:
        return f"there is no kind {claim.kind!r}"
    if (claim.kind == "none") != bool(claim.untestable):
        return "a reason stands in `untestable` if and only if the kind is none"
    if claim.kind == "none":
        return ""
    return _what_is_unknown(claim)


def _what_is_unknown(claim: Claim) -> str:
    """Return which of a claim's names means nothing; empty where all are known."""
    for name in (*claim.systems, *claim.others):
        if name not in SYSTEMS | VARIANTS and name not in TIMED_VARIANTS:
            return f"there is no system {name!r}"
    for name in claim.data:
        if (claim.paper, name) not in DATA:
            return f"the paper has no data set {name!r} that is at hand"
    if claim.kind == "ahead":
        known_protocols, known_metrics = {"full", "popular-100"}, set(LOWEST)
    else:
        known_protocols, known_metrics = set(BENCHMARKS), {"seconds", "mib"}
    if claim.protocol not in known_protocols:
        return f"there is no protocol {claim.protocol!r} of this kind"
    if claim.metric not in known_metrics:
        return f"there is no metric {claim.metric!r} of this kind"
    return ""


def judged_claims(out: str | Path) -> pd.DataFrame:
    """Judge every claim by the records.

    Parameters
    ----------
    out : str or Path
        The folder of the records; the claims lie beside it (`claims_file`).

    Returns
    -------
    DataFrame
        A row for each claim: id, paper, place, claim, kind, verdict, and

        - said: a list of what the records say of each pair of systems, with its figure and its
          interval, or why there is none.
        - evidence: a list of the records' files, in the folder of the records.
        - measured_on: the devices behind a verdict on costs; empty for the other claims.

    Raises
    ------
    ValueError
        Where there is no table of claims, and for a row of it that is not well formed.

    Notes
    -----
    **ahead.** Both sides need a finished run (patience ran out; a run that its budget ended never
    decides) at the paper's sizes, chosen and judged under the paper's protocol, on the same copy of
    the data with the same order of ties, and trained with the same settings, patience included. The
    95% interval of the difference of the means is

    - from two seeds on each side on, Welch's t-interval over the seeds: what other seeds would
      give for the same users;
    - else that of two independent draws of users. Of a user's figure x only the means of x and of
      the hits are recorded; among all distributions with these means the one with the largest
      variance is taken, which puts every hit into the first or the tenth place. The runs judge the
      same users, so that a paired interval would be narrower: this one errs towards "undecided".
      It knows nothing of what another seed would give.

    A claim is confirmed (contradicted) if its interval lies wholly on its side (on the other), and
    undecided else. Where a pair was compared in several orders of ties, it needs the same verdict
    in all of them.

    **Costs** are compared by the ratio of the medians of one benchmark on one device, between the
    ratios of opposite quartiles; a GPU's where there is one, else the CPU's, and the device is
    named. Growth with the length is the exponent between two lengths with as many positions in all.

    A claim about several pairs is contradicted if one of them is; else untested if one of them is,
    else undecided if one of them is.
    """
    evidence = _load_evidence(out)
    rows = []
    for claim in read_claims(claims_file(out)):
        comparisons = _comparisons(claim, evidence)
        row = {
            "id": claim.id,
            "paper": claim.paper,
            "place": claim.place,
            "claim": claim.claim,
            "kind": claim.kind,
            "verdict": _of_all([comparison.verdict for comparison in comparisons]),
            "said": _once(text for comparison in comparisons for text in comparison.said),
            "evidence": _once(file for comparison in comparisons for file in comparison.evidence),
            "measured_on": "; ".join(filter(None, _once(each.device for each in comparisons))),
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _once(texts: Iterable[str]) -> list[str]:
    """Return every text once, in the order of their first appearance."""
    return list(dict.fromkeys(texts))


def _load_evidence(out: str | Path) -> Evidence:
    """Load the training records of the folder, and of its folder with RecBLR's own settings."""
    frames = [pd.DataFrame(columns=NEEDED)]
    for folder in (Path(out), Path(out) / PAPER):
        if any(folder.glob("*.json")):
            frame = load_records(folder)
            place = folder.relative_to(out)
            frames.append(frame.assign(file=[(place / name).as_posix() for name in frame["file"]]))
    records = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
    records = records.reindex(columns=records.columns.union(["settings.epochs"], sort=False))
    is_constant = records["settings.lr_schedule"] == "constant"
    records["settings.schedule_epochs"] = records["settings.epochs"].mask(is_constant, 0)
    return Evidence(Path(out), records, {})


def _of_all(verdicts: list[str]) -> str:
    """Return the verdict on a claim that says all of several things."""
    for verdict in ("untestable here", "contradicted", "untested", "undecided"):
        if verdict in verdicts:
            return verdict
    return "confirmed"


def _comparisons(claim: Claim, evidence: Evidence) -> list[Comparison]:
    """Return everything that has to hold for a claim to hold."""
    if claim.kind == "none":
        return [Comparison("untestable here", (claim.untestable,))]
    if claim.kind.endswith("in length"):
        return [_growth(claim, name, evidence.out) for name in claim.systems]
    found = []
    for data, name, other in product(claim.data, claim.systems, claim.others):
        if claim.kind == "ahead":
            found.append(_ahead(claim, evidence, data, name, other))
        else:
            found.append(_cost(claim, data, name, other, evidence.out))
    return found


# --- Claims of order ---------------------------------------------------------------------------


def _ahead(claim: Claim, evidence: Evidence, data: str, name: str, other: str) -> Comparison:
    """Compare a metric of two systems, in every order of ties in which both have finished."""
    all_ours = _runs(evidence, claim, data, name)
    all_theirs = _runs(evidence, claim, data, other)
    ours, theirs = (runs[runs["ended"] == "converged"] for runs in (all_ours, all_theirs))

    found = []
    for alike in ours[SAME].drop_duplicates().to_dict("records"):
        two_sides = [_with(ours, alike), _with(theirs, alike)]
        if len(two_sides[1]) > 0:
            found.append(_difference(claim, f"{name} against {other}", *two_sides))
    if not found:
        return Comparison("untested", _why_not(data, name, all_ours, other, all_theirs))

    verdicts = {comparison.verdict for comparison in found}
    verdict = verdicts.pop() if len(verdicts) == 1 else "undecided"
    said = tuple(text for comparison in found for text in comparison.said)
    files = tuple(file for comparison in found for file in comparison.evidence)
    return Comparison(verdict, said, files)


def _runs(evidence: Evidence, claim: Claim, data: str, name: str) -> pd.DataFrame:
    """Return the records of a system at the paper's sizes, under the claim's protocol."""
    asked = (claim.paper, claim.protocol, data, name)
    if asked not in evidence.found:
        evidence.found[asked] = _look_up(evidence.records, claim, data, name)
    return evidence.found[asked]


def _look_up(records: pd.DataFrame, claim: Claim, data: str, name: str) -> pd.DataFrame:
    """Find what `_runs` returns."""
    recorded, sizes = DATA[claim.paper, data]
    variant = VARIANTS.get(name, Variant(name, {}))
    model = SYSTEMS[variant.system]
    known = model_options(model) if model in MODELS else {}
    if model not in MODELS or not variant.options.keys() <= known.keys():
        return records.iloc[:0]  # this version of minirec does not have it

    options = {key: value for key, value in sizes.items() if key in known}
    options |= variant.options

    of_this = (records["model"] == model) & records["data"].isin(recorded)
    candidates = records[of_this & (records["settings.select"] == claim.protocol)]
    settings = ["data", "settings.seed", *SAME[2:]]
    settings.remove("settings.patience")  # which `find` does not look at
    found = []
    for used in candidates[settings].drop_duplicates().to_dict("records"):
        trained = {key.removeprefix("settings."): used[key] for key in settings[1:]}
        trained["select"] = claim.protocol
        unit = Unit(name, data, str(used["data"]), model, options, trained)
        found.append(find(candidates, unit))
    return pd.concat(found) if found else records.iloc[:0]


def _with(runs: pd.DataFrame, alike: dict[Any, Any]) -> pd.DataFrame:
    """Return the runs that have these values; of a seed that was run twice the first only."""
    same = np.ones(len(runs), dtype=bool)
    for column, value in alike.items():
        same &= (runs[column] == value).to_numpy()
    return runs[same].drop_duplicates("settings.seed")


def _difference(claim: Claim, pair: str, ours: pd.DataFrame, theirs: pd.DataFrame) -> Comparison:
    """Compare the means of two systems that were trained and judged alike."""
    column = f"metrics.test.{claim.protocol}"
    means = [runs[f"{column}.{claim.metric}"].mean() for runs in (ours, theirs)]
    difference = means[0] - means[1]
    seeds = [len(runs) for runs in (ours, theirs)]
    if min(seeds) > 1:
        samples = [runs[f"{column}.{claim.metric}"].to_numpy() for runs in (ours, theirs)]
        half = _half_interval_over_seeds(*samples)
        by = f"over {seeds[0]} and {seeds[1]} seeds"
    else:
        half = _half_interval_over_users(ours, theirs, claim)
        by = "over users"
    low, high = difference - half, difference + half
    verdict = _verdict(low, high, bar=0.0, above=True)
    said = (
        f"{pair} on {ours['data'].iloc[0]}: {METRIC_NAMES[claim.metric]} {means[0]:.4f} against "
        f"{means[1]:.4f}, {difference:+.4f} ({low:+.4f} to {high:+.4f} {by})"
    )
    return Comparison(verdict, (said,), (*ours["file"], *theirs["file"]))


def _half_interval_over_seeds(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return half of Welch's 95% interval of the difference of two means."""
    variances = [ours.var(ddof=1) / len(ours), theirs.var(ddof=1) / len(theirs)]
    total = sum(variances)
    if total == 0:
        return 0.0
    # Welch and Satterthwaite's degrees of freedom.
    weights = [variances[0] ** 2 / (len(ours) - 1), variances[1] ** 2 / (len(theirs) - 1)]
    freedom = total**2 / sum(weights)
    return float(stats.t.ppf(0.975, freedom) * math.sqrt(total))


def _half_interval_over_users(ours: pd.DataFrame, theirs: pd.DataFrame, claim: Claim) -> float:
    """Return half of the 95% interval of the difference of two means over separate users."""
    variance = 0.0
    for runs in (ours, theirs):
        figures = {key: runs[f"metrics.test.{claim.protocol}.{key}"].mean() for key in LOWEST}
        users = runs[f"metrics.test.{claim.protocol}.users"].mean()
        variance += largest_variance(figures["recall"], figures[claim.metric], claim.metric) / users
    return float(stats.norm.ppf(0.975) * math.sqrt(variance))


def largest_variance(recall: float, mean: float, metric: str) -> float:
    """Return the largest variance that a metric of single users can have, given two means.

    Parameters
    ----------
    recall : float
        The share of users whose target is among the first ten.
    mean : float
        The metric's mean over all users.
    metric : {"recall", "mrr", "ndcg"}
        Its name.

    Returns
    -------
    float
        A hit's figure lies between the lowest, l, and 1. The square is convex, so that its mean is
        largest where every hit has one of the two; the two means say how many have which:
        p + q = recall and p + l q = mean, hence the variance p + l^2 q - mean^2.
    """
    lowest = LOWEST[metric]
    if lowest == 1:  # a hit is a hit
        return mean - mean**2
    first = (mean - lowest * recall) / (1 - lowest)
    tenth = recall - first
    return first + lowest**2 * tenth - mean**2


def _why_not(
    data: str, name: str, ours: pd.DataFrame, other: str, theirs: pd.DataFrame
) -> tuple[str, ...]:
    """Say why two systems cannot be compared by their records."""
    reasons = []
    for system, runs in ((name, ours), (other, theirs)):
        if len(runs) == 0:
            reasons.append(f"no run of {system} on {data}")
        elif not (runs["ended"] == "converged").any():
            reasons.append(f"only unfinished runs of {system} on {data}")
    if not reasons:
        reasons.append(
            f"no two finished runs of {name} and {other} on {data} with the same settings and "
            "order of ties"
        )
    return tuple(reasons)


def _verdict(low: float, high: float, *, bar: float, above: bool) -> str:
    """Say on which side of a bar an interval lies; `above` is the claim's side."""
    if low > bar:
        return "confirmed" if above else "contradicted"
    if high < bar:
        return "contradicted" if above else "confirmed"
    return "undecided"


# --- Claims of cost ----------------------------------------------------------------------------


class Measured(NamedTuple):
    """A median of a benchmark with its quartiles; memory is counted and has no spread."""

    middle: float
    low: float
    high: float


def _benchmarks(files: Sequence[str], out: str | Path) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield the records of some benchmarks: file, device and rows; those of GPUs come first."""
    folder = Path(out) / "benchmarks"
    of_gpus = [path for file in files for path in sorted(folder.glob(f"*/{file}.json"))]
    of_the_cpu = [folder / f"{file}.json" for file in files]
    for path in [*of_gpus, *of_the_cpu]:
        if path.exists():
            record = json.loads(path.read_text(encoding="utf-8"))
            place = path.relative_to(Path(out)).as_posix()
            yield place, record["device"], pd.DataFrame(record["rows"])


def _measured(rows: pd.DataFrame, case: str, name: str, unit: str) -> Measured | None:
    """Return what one benchmark measured of one system in one case; None where it did not."""
    if unit not in rows:
        return None
    found = rows[(rows["case"] == case) & (rows["name"] == name)]
    if len(found) == 0:
        return None
    row = found.iloc[0]
    middle = float(row[unit])
    if math.isnan(middle):
        return None
    low, high = (row.get(quartile, math.nan) for quartile in ("low", "high"))
    if math.isnan(low) or math.isnan(high):
        return Measured(middle, middle, middle)  # memory is counted, so it has no quartiles
    return Measured(middle, float(low), float(high))


def _cost_name(name: str) -> str:
    """Return what a benchmark calls a system or a variant."""
    if name in TIMED_VARIANTS:
        return TIMED_VARIANTS[name]
    if name in SYSTEMS:
        return SYSTEMS[name]
    system = next(system for system in PAPERS if name.startswith(system))
    return SYSTEMS[system] + name.removeprefix(system)


def _case(claim: Claim, data: str) -> str:
    """Return the title of the benchmark's case with the paper's sizes."""
    sizes = DATA[claim.paper, data].sizes
    d, n = sizes["d_model"], sizes["max_len"]
    name = data.lower().replace(" ", "-")
    on = f"{name}, d = {d}, N = {n}"
    return BENCHMARKS[claim.protocol].case.format(on=on, name=name, d=d, n=n)


def _cost(claim: Claim, data: str, name: str, other: str, out: str | Path) -> Comparison:
    """Compare a cost of two systems on the first device on which both were measured."""
    benchmark = BENCHMARKS[claim.protocol]
    case = _case(claim, data)
    for file, device, rows in _benchmarks(benchmark.files, out):
        ours = _measured(rows, case, _cost_name(name), benchmark.unit)
        theirs = _measured(rows, case, _cost_name(other), benchmark.unit)
        if ours is None or theirs is None:
            continue
        low, high = ours.low / theirs.high, ours.high / theirs.low
        ratio = ours.middle / theirs.middle
        bar = AT_MOST if claim.kind == "about as cheap" else 1.0
        spread = f" ({low:.2f} to {high:.2f})" if low < high else ""
        said = f"{name} against {other}, {claim.protocol} on {data}: ratio {ratio:.2f}{spread}"
        verdict = _verdict(low, high, bar=bar, above=False)
        return Comparison(verdict, (said,), (file,), device)
    missing = f"no benchmark of {claim.protocol} on {data} with {name} and {other}"
    return Comparison("untested", (missing,))


def _growth(claim: Claim, name: str, out: str | Path) -> Comparison:
    """Measure how the time grows with the length, at as many positions in all."""
    benchmark = BENCHMARKS[claim.protocol]
    cases = [benchmark.case.format(n=n) for n in LENGTHS]
    for file, device, rows in _benchmarks(benchmark.files, out):
        short, long = (_measured(rows, case, _cost_name(name), benchmark.unit) for case in cases)
        if short is None or long is None:
            continue
        # At as many positions in rows that are longer, a linear cost stays the same.
        exponent, low, high = (
            1 + math.log(ratio) / math.log(LENGTHS[1] / LENGTHS[0])
            for ratio in (
                long.middle / short.middle,
                long.low / short.high,
                long.high / short.low,
            )
        )
        said = (
            f"{name}, N = {LENGTHS[0]:,} to {LENGTHS[1]:,}: time grows as N to the power "
            f"{exponent:.2f} ({low:.2f} to {high:.2f})"
        )
        is_quadratic = claim.kind == "quadratic in length"
        verdict = _verdict(low, high, bar=BETWEEN, above=is_quadratic)
        return Comparison(verdict, (said,), (file,), device)
    return Comparison("untested", (f"no benchmark of {name} with a growing length",))
