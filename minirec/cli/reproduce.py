"""minirec reproduce: train what has no record yet, and show the papers' tables beside ours."""

import argparse
import math
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from minirec.cli.shared import add_data_home_flag, show
from minirec.experiments import causes, scoreboard, tables
from minirec.experiments.claims import judged_claims
from minirec.experiments.gpu.collect import collect
from minirec.experiments.orders import cells_of_orders, leads_by_order, table_of_orders
from minirec.experiments.recblr import ONLY_AS_FILES, PAPER, units_of_figure_6, units_of_table
from minirec.experiments.references import protocol_in_words, references
from minirec.experiments.results import write_results
from minirec.experiments.run import run as run_units
from minirec.experiments.run import time_systems
from minirec.experiments.tuning import (
    SEARCHES,
    require_optuna,
    tune,
    tuned_side_by_side,
    unit_to_tune,
)
from minirec.experiments.units import DATA, Unit, units
from minirec.models import MODELS, model_options

SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}  # in each unit of a duration


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `reproduce`."""
    _add_what(parser)
    _add_which(parser)
    _add_limits(parser)


def _add_what(parser: argparse.ArgumentParser) -> None:
    """Add the flags of which one says what is wanted."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--table",
        type=int,
        choices=(1, 2, 3, 4, 5),
        help="of --paper: 1 to 4 of GLINT-RU, 1 to 5 of RecBLR",
    )
    what.add_argument(
        "--figure", type=int, choices=(2, 3, 6), help="2 and 3 of GLINT-RU, 6 of RecBLR"
    )
    what.add_argument(
        "--recblr",
        action="store_true",
        help="RecBLR under full ranking, with the settings that were best on valid",
    )
    what.add_argument(
        "--orders",
        action="store_true",
        help="systems under several orders of ties in time, with seen items kept and left out",
    )
    what.add_argument(
        "--causes",
        action="store_true",
        help="what separates our RecBLR on Beauty from its paper's, one change at a time",
    )
    what.add_argument(
        "--tune",
        type=_models,
        metavar="MODEL,MODEL",
        help="search the settings of each model with the same number of trials, on valid alone, as "
        "in recblr,sasrec; --data is beauty (default), sports, ml-1m or planted; needs Optuna: pip "
        "install 'minirec[tune]'",
    )
    what.add_argument(
        "--claims",
        action="store_true",
        help="the papers' claims, each with the verdict that our records give",
    )
    what.add_argument(
        "--references",
        action="store_true",
        help="what others have published under full ranking, by protocol",
    )
    what.add_argument(
        "--readme",
        metavar="README.md",
        help="write the results and the scoreboard of the papers' claims from the records: short "
        "into this file, whole into docs/results.md and docs/scoreboard.md beside it",
    )
    what.add_argument(
        "--collect",
        metavar="DIR",
        help="file what `python -m minirec.experiments.gpu --out DIR` left among the records",
    )


def _add_which(parser: argparse.ArgumentParser) -> None:
    """Add the flags that choose among what a table or a search may have."""
    parser.add_argument(
        "--paper",
        choices=("glint-ru", "recblr"),
        default="glint-ru",
        help="whose (default glint-ru)",
    )
    parser.add_argument(
        "--data",
        action="append",
        metavar="NAME",
        help="only these data: of GLINT-RU beauty, ml-1m, video-games or ml-1m-5core (RecBLR's "
        "MovieLens); of RecBLR beauty, ml-1m, sports; of --orders these and ml-100k; may be "
        "repeated",
    )
    parser.add_argument(
        "--file",
        action="append",
        type=_named_file,
        default=[],
        metavar="NAME=FILE",
        help="data of RecBLR's tables that cannot be downloaded: gowalla, steam or xlong, and your "
        "file of it; may be repeated",
    )
    parser.add_argument(
        "--trials", type=_positive, default=12, metavar="12", help="of --tune, for each system"
    )
    parser.add_argument(
        "--trial-epochs", type=_positive, default=20, metavar="20", help="of each trial of --tune"
    )
    add_data_home_flag(parser)
    parser.add_argument(
        "--seeds",
        type=_seeds,
        default=[0],
        metavar="0,1,2",
        help="a run with each, in tables of runs and figures (default 0)",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    """Add how long it may take, and where the records lie."""
    parser.add_argument(
        "--budget",
        type=duration,
        default=math.inf,
        metavar="9m",
        help="the most time for this call; the next one goes on with what it cuts short; 0: only "
        "show what is recorded",
    )
    parser.add_argument(
        "--unit-budget",
        type=duration,
        default=math.inf,
        metavar="45m",
        help="the most training of one run, which is then recorded as ended by its budget",
    )
    parser.add_argument(
        "--out", default="data/results", help="the folder of the records (default data/results)"
    )


def run(options: argparse.Namespace) -> None:
    """Train what has no record and show ours beside the papers'."""
    if options.readme:
        scoreboard.write_scoreboard(options.readme, options.out)
        write_results(options.readme, options.out)
    elif options.collect:
        print(*collect(options.collect, options.out), sep="\n")
    elif options.claims:
        _show_claims(options)
    elif options.references:
        _show_references(options)
    elif options.orders:
        _orders(options)
    elif options.causes:
        _causes(options)
    elif options.tune:
        _tune(options)
    elif options.paper == "recblr":
        _recblr(options)
    else:
        _glint_ru(options)


def _orders(options: argparse.Namespace) -> None:
    """Show every system under every order of ties, and what is left of RecBLR's leads."""
    cells = cells_of_orders()
    wanted = _only_known(options.data or [], {cell.data for cell in cells})
    cells = [cell for cell in cells if not wanted or cell.data in wanted]
    out = Path(options.out) / PAPER
    _run([cell.unit for cell in cells], out, options)
    table = table_of_orders(cells, out)
    show(table, options)
    leads = leads_by_order(table)
    leads = leads[leads["data"].isin({cell.data for cell in cells})]
    if not options.json and len(leads):
        print()
        show(leads, options)


def _glint_ru(options: argparse.Namespace) -> None:
    """Show a table or a figure of GLINT-RU, or RecBLR under full ranking."""
    if options.table == 5 or options.figure == 6:
        raise ValueError(
            "GLINT-RU has Tables 1 to 4 and Figures 2 and 3; for RecBLR's add --paper recblr."
        )
    if options.table == 1:
        show(tables.statistics_beside_paper(options.data_home), options)
        return
    if options.table == 3:
        if options.budget != 0:
            time_systems(options.out, options.typed, say=_print_progress)
        show(tables.efficiency_beside_paper(options.out, gpus=True), options)
        return
    known = [_typed_data(name) for name in DATA]
    data = [_key_of_data(name) for name in _only_known(options.data or [], known)]
    todo = units(options.table, options.figure, data=data or None, seeds=options.seeds)
    _run(todo, options.out, options)
    show(tables.beside_paper(todo, options.out, options.table), options)


def _recblr(options: argparse.Namespace) -> None:
    """Show one of RecBLR's tables, or its Figure 6."""
    if options.table is None and options.figure != 6:
        raise ValueError("of RecBLR there are --table 1, 2, 3, 4 and 5, and --figure 6.")
    files = dict(options.file)
    if options.table == 2:
        show(tables.statistics_beside_recblr(options.data_home, files), options)
    elif options.table == 5:
        if options.budget != 0:
            time_systems(options.out, options.typed, [tables.SCANS], _print_progress)
        show(tables.scans_beside_paper(options.out), options)
    else:
        if options.figure is None:
            todo = units_of_table(options.table, files, seeds=options.seeds)
        else:
            todo = units_of_figure_6(seeds=options.seeds)
        wanted = _only_known(options.data or [], {unit.paper_data for unit in todo})
        todo = [unit for unit in todo if not wanted or unit.paper_data in wanted]
        out = Path(options.out) / PAPER
        _run(todo, out, options)
        if options.table == 4:
            show(tables.long_beside_paper(todo, out), options)
        else:
            show(tables.beside_paper(todo, out, options.table, of="recblr"), options)


def _causes(options: argparse.Namespace) -> None:
    """Print the table of causes, then its reasons and what was counted; all columns as JSON."""
    listed = causes.causes()
    _run(causes.units_to_run(listed, options.out), Path(options.out) / PAPER, options)
    table = causes.table_of_causes(listed, options.out)
    if options.json:
        show(table, options)
        return
    show(table.drop(columns="reason"), options)
    print()
    for row in table[table["reason"] != ""].to_dict("records"):
        print(f"{row['change']}: {row['ended']}. {row['reason']}")
    print(causes.chosen_on_valid(table))
    print(causes.configurations_in_words(options.out))


def _tune(options: argparse.Namespace) -> None:
    """Give each system the same search of settings, and show the outcomes side by side."""
    out = Path(options.out) / SEARCHES
    deadline = time.monotonic() + options.budget
    todo = {}  # all of them first: a name that is not known must not be met after hours
    for data in options.data or ["beauty"]:
        todo[data] = [unit_to_tune(model, data, options.trial_epochs) for model in options.tune]
    if options.budget > 0:
        require_optuna()
        for of_data in todo.values():
            split = of_data[0].load(options.data_home).split()
            for unit in of_data:
                tune(
                    unit,
                    split,
                    out,
                    n_trials=options.trials,
                    command=options.typed,
                    budget=deadline - time.monotonic(),
                    say=_print_progress,
                )
    show(tuned_side_by_side(out), options)


def _seeds(typed: str) -> list[int]:
    """Read "0,1,2"; a seed that is typed twice counts once."""
    if re.fullmatch(r"[0-9]+(,[0-9]+)*", typed) is None:
        raise argparse.ArgumentTypeError(f"{typed!r} are no seeds; write 0 or 0,1,2")
    return list(dict.fromkeys(int(seed) for seed in typed.split(",")))


def _positive(typed: str) -> int:
    """Read an integer from 1 up."""
    if re.fullmatch(r"[0-9]+", typed) is None or int(typed) < 1:
        raise argparse.ArgumentTypeError(f"{typed!r} is no integer from 1 up")
    return int(typed)


def _only_known(typed: list[str], known: Iterable[str]) -> list[str]:
    """Return the names of data that were typed; refuse one that the table does not have."""
    names = sorted(known)
    for name in typed:
        if name not in names:
            raise ValueError(f"{name!r} is none of this table's data: {', '.join(names)}.")
    return typed


def _models(typed: str) -> list[str]:
    """Read "recblr,sasrec": models that have a dropout to search for."""
    names = typed.split(",")
    for name in names:
        if name not in MODELS or "dropout" not in model_options(name):
            can = [name for name in MODELS if "dropout" in model_options(name)]
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(can)}")
    return names


def _named_file(typed: str) -> tuple[str, str]:
    """Read "gowalla=FILE"."""
    name, _, path = typed.partition("=")
    if name not in ONLY_AS_FILES or not path:
        raise argparse.ArgumentTypeError(
            f"{typed!r} is not NAME=FILE with one of {', '.join(ONLY_AS_FILES)} as its name"
        )
    if not Path(path).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {path}")
    return name, str(Path(path).resolve())


def _show_claims(options: argparse.Namespace) -> None:
    """Print the claims with their verdicts, how many of each first; all columns as JSON."""
    claims = judged_claims(options.out)
    if options.json:
        show(claims, options)
        return
    show(scoreboard.counts(claims), options)
    for claim in claims.to_dict("records"):
        device = f" (on {claim['measured_on']})" if claim["measured_on"] else ""
        print(f"\n{claim['paper']}, {claim['place']}: {claim['claim']}")
        print(f"  {claim['verdict']}{device}")
        for said in claim["said"]:
            print(f"    {said}")


def _show_references(options: argparse.Namespace) -> None:
    """Print the published results, a table for each protocol; as JSON one table with them all."""
    table = references()
    if options.json:
        show(table, options)
        return
    for _, group in table.groupby("group"):
        print(f"\n{protocol_in_words(group)}")
        show(group[["source", "year", "system", "n_items", "users", "recall", "ndcg"]], options)


def _run(todo: list[Unit], out: str | Path, options: argparse.Namespace) -> None:
    """Train the units that have no record, within the budget."""
    run_units(
        todo,
        out,
        command=options.typed,
        data_home=options.data_home,
        budget=options.budget,
        unit_budget=options.unit_budget,
        say=_print_progress,
    )


def _print_progress(line: str) -> None:
    """Print to stderr, so that stdout is the table alone."""
    print(line, file=sys.stderr, flush=True)


def _typed_data(key: str) -> str:
    """Return what is typed for a key of DATA; one of them is awkward to type."""
    return "ml-1m-5core" if key == "ml-1m, 5-core" else key


def _key_of_data(typed: str) -> str:
    """Return the key of DATA that is meant."""
    return "ml-1m, 5-core" if typed == "ml-1m-5core" else typed


def duration(text: str) -> float:
    """Read a duration typed on the command line.

    Parameters
    ----------
    text : str
        "90", "90s", "9m" or "2h".

    Returns
    -------
    float
        Seconds.

    Raises
    ------
    argparse.ArgumentTypeError
        For anything else.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 90s, 9m or 2h")
    number, unit = found.groups()
    return float(number) * SECONDS[unit]
