"""minirec reproduce: train what has no record yet, and show the papers' tables beside ours."""

import argparse
import math
import re
import sys
from pathlib import Path

from minirec.cli.shared import add_data_home_flag, show
from minirec.experiments import tables
from minirec.experiments.gpu.collect import collect
from minirec.experiments.orders import cells_of_orders, table_of_orders
from minirec.experiments.run import run as run_units
from minirec.experiments.run import time_systems
from minirec.experiments.units import DATA, Unit, units

SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}  # in each unit of a duration


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `reproduce`."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--table", type=int, choices=(1, 2, 3, 4), help="of GLINT-RU")
    what.add_argument("--figure", type=int, choices=(2, 3), help="of GLINT-RU")
    what.add_argument("--recblr", action="store_true", help="RecBLR under full ranking")
    what.add_argument(
        "--orders",
        action="store_true",
        help="systems under several orders of ties in time, with seen items kept and left out",
    )
    what.add_argument(
        "--readme",
        metavar="README.md",
        help="write the results that are recorded into this file's results section",
    )
    what.add_argument(
        "--collect",
        metavar="DIR",
        help="file what `python -m minirec.experiments.gpu --out DIR` left among the records",
    )
    parser.add_argument(
        "--data",
        action="append",
        type=_key_of_data,
        choices=list(DATA),
        metavar="NAME",
        help="only these data: beauty, ml-1m, video-games or ml-1m-5core (RecBLR's MovieLens); "
        "may be repeated",
    )
    add_data_home_flag(parser)
    parser.add_argument("--seeds", default="0", metavar="0,1,2")
    parser.add_argument(
        "--budget",
        type=duration,
        default=math.inf,
        metavar="9m",
        help="for this call; what it cuts short the next call continues; 0: only show",
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
        tables.write_readme(options.readme, options.out)
    elif options.collect:
        for line in collect(options.collect, options.out):
            print(line)
    elif options.table == 1:
        show(tables.statistics_beside_paper(options.data_home), options)
    elif options.table == 3:
        if options.budget != 0:
            time_systems(options.out, options.typed)
        show(tables.efficiency_beside_paper(options.out, gpus=True), options)
    elif options.orders:
        cells = cells_of_orders()
        out = Path(options.out) / "recblr"
        _run([cell.unit for cell in cells], out, options)
        show(table_of_orders(cells, out), options)
    else:
        seeds = [int(seed) for seed in options.seeds.split(",")]
        todo = units(options.table, options.figure, data=options.data, seeds=seeds)
        _run(todo, options.out, options)
        show(tables.beside_paper(todo, options.out, options.table), options)


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


def _key_of_data(typed: str) -> str:
    """Return the key of DATA that is meant; one of them is awkward to type."""
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
