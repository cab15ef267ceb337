"""Stage 7: training runs of the papers' tables that have no record yet, until the minutes are over.

A run that is cut short is kept, and the next call goes on with it.
"""

from dataclasses import replace
from functools import partial

from minirec.experiments.causes import causes
from minirec.experiments.gpu.job import Job, LeftOutError, Row, failures, found_by, not_reached
from minirec.experiments.orders import cells_of_orders
from minirec.experiments.recblr import units_of_figure_6, units_of_table
from minirec.experiments.run import run as run_units
from minirec.experiments.units import Unit, recorded, units

# Keys of units.DATA, by worth. The first is RecBLR's MovieLens, where no run has a record.
DATA = ("ml-1m, 5-core", "ml-1m", "beauty", "video-games")
SEEDS = (0, 1, 2)
COMMAND = ["python", "-m", "minirec.experiments.gpu", "--stages", "7"]
DRY_OPTIONS = {"d_model": 8, "max_len": 10, "dropout": 0.1}


def run(job: Job) -> None:
    """Train one unit after the other, and record each as it ends."""
    wanted = dry_units() if job.dry_run else units_by_worth()
    done = {unit.name for unit, _ in recorded(wanted, job.results)}
    todo = [unit for unit in wanted if unit.name not in done and unit.is_here(job.data_home)]
    job.note(to_do=len(todo), recorded_before=len(wanted) - len(todo))
    if not todo:
        raise LeftOutError("no run is left to do with the data sets that lie on this machine")
    job.each({unit.name: partial(train, job, unit) for unit in todo})


def units_by_worth() -> list[Unit]:
    """Return all runs, the most telling first.

    The order of ties, which decides whose figures can be compared at all; then what else may
    separate RecBLR's figures from its paper's; then RecBLR's own tables, seed by seed; then
    GLINT-RU's, data set by data set and seed by seed.
    """
    found = [cell.unit for cell in cells_of_orders()]
    found += [cause.unit for cause in causes() if cause.unit is not None]
    for seed in SEEDS:
        for table in (1, 3, 4):
            found += units_of_table(table, seeds=[seed])
        found += units_of_figure_6(seeds=[seed])
    for data in DATA:
        for seed in SEEDS:
            found += units(data=[data], seeds=[seed])
            found += units(2, data=[data], seeds=[seed])
            found += units(4, data=[data], seeds=[seed])
    # A run can stand in two tables.
    return list({unit.name: unit for unit in found}.values())


def dry_units() -> list[Unit]:
    """Return one run, small, on the planted data."""
    unit = units(2, data=["beauty"])[0]
    settings = {"epochs": 1, "batch_size": 8192, "select": "full"}
    return [
        replace(
            unit,
            data="planted",
            model="gru4rec",
            options=DRY_OPTIONS,
            settings=unit.settings | settings,
        )
    ]


def train(job: Job, unit: Unit) -> Row:
    """Train one unit as far as the time goes.

    Parameters
    ----------
    job : Job
        The stage.
    unit : Unit
        A run without a record.

    Returns
    -------
    dict
        Whether it ended, and if so its seconds and test metrics.
    """
    run_units(
        [unit],
        job.results,
        command=COMMAND,
        data_home=job.data_home,
        budget=job.left(),
        checkpoints=job.results / "checkpoints",
        say=job.say,
    )
    found = recorded([unit], job.results)
    if not found:
        return {"unit": unit.name, "ended": "cut short: the next call goes on with it"}
    ((_, record),) = found
    return {
        "unit": unit.name,
        "ended": record["ended"],
        "seconds": record["seconds"],
        "epochs": len(record["history"]),
        "test_ndcg": record[f"metrics.test.{unit.settings['select']}.ndcg"],
    }


def in_words(rows: list[Row]) -> list[str]:
    """Return how many runs were recorded, and what the last ones came to."""
    found = [row for row in found_by(rows, "") if "unit" in row]
    ended = [row for row in found if "test_ndcg" in row]
    lines = [f"runs recorded: {len(ended)}", *failures(rows), *not_reached(rows)]
    for row in found:
        if row in ended:
            ndcg = f"test NDCG@10 {row['test_ndcg']:.4f}"
            lines.append(f"{row['unit']}: {row['epochs']} epochs, {row['seconds']:.0f} s, {ndcg}")
        else:
            lines.append(f"{row['unit']}: {row['ended']}")
    return lines
