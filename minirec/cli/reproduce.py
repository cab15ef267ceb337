"""minirec reproduce: the papers' tables: train what has no record yet, and show ours beside theirs."""

import argparse
import math
import re
import sys

from minirec.cli.shared import show
from minirec.experiments import tables
from minirec.experiments.run import run as run_units
from minirec.experiments.run import time_systems
from minirec.experiments.units import DATA, units


def add_flags(again) -> None:
    """Add the flags of `reproduce`."""
    what = again.add_mutually_exclusive_group(required=True)
    what.add_argument("--table", type=int, choices=(1, 2, 3, 4), help="of GLINT-RU")
    what.add_argument("--figure", type=int, choices=(2, 3), help="of GLINT-RU")
    what.add_argument("--recblr", action="store_true", help="RecBLR under full ranking")
    what.add_argument(
        "--readme",
        metavar="README.md",
        help="write the results that are recorded into this file's results section",
    )
    again.add_argument(
        "--data",
        action="append",
        type=lambda name: {"ml-1m-5core": "ml-1m, 5-core"}.get(name, name),
        choices=list(DATA),
        metavar="NAME",
        help="only these data: beauty, ml-1m, video-games or ml-1m-5core (RecBLR's MovieLens); may be repeated",
    )
    again.add_argument(
        "--data-home",
        help="where named data sets lie (default: the folder MINIREC_DATA, then data/)",
    )
    again.add_argument("--seeds", default="0", metavar="0,1,2")
    again.add_argument(
        "--budget",
        type=duration,
        default=math.inf,
        metavar="9m",
        help="for this call; what it cuts short the next call continues; 0: only show",
    )
    again.add_argument(
        "--unit-budget",
        type=duration,
        default=math.inf,
        metavar="45m",
        help="the most training of one run, which is then recorded as ended by its budget",
    )
    again.add_argument(
        "--out", default="data/results", help="the folder of the records (default data/results)"
    )


def run(options) -> None:
    """Train what has no record and show ours beside the papers'."""
    if options.readme:
        return tables.write_readme(options.readme, options.out)
    if options.table == 1:
        return show(tables.statistics_beside_paper(options.data_home), options)
    if options.table == 3:
        if options.budget != 0:
            time_systems(options.out, options.typed)
        return show(tables.efficiency_beside_paper(options.out), options)
    todo = units(
        options.table,
        options.figure,
        data=options.data,
        seeds=[int(seed) for seed in options.seeds.split(",")],
    )
    run_units(
        todo,
        options.out,
        command=options.typed,
        data_home=options.data_home,
        budget=options.budget,
        unit_budget=options.unit_budget,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    show(tables.beside_paper(todo, options.out, options.table), options)


def duration(text: str) -> float:
    """ "90", "90s", "9m" or "2h" -> seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 90s, 9m or 2h")
    return float(found[1]) * {"s": 1, "": 1, "m": 60, "h": 3600}[found[2]]
