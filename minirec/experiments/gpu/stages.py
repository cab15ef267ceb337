"""The stages, in order of worth, and how the minutes are shared out among them."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from minirec.experiments.gpu.job import Job, Row


class StageModule(Protocol):
    """What the module of a stage has to offer."""

    def run(self, job: Job) -> None:
        """Do the stage's work, noting each finding as it is made."""

    def in_words(self, rows: list[Row]) -> list[str]:
        """Put what was noted in a few lines, the most important first."""


@dataclass(frozen=True)
class Stage:
    """One stage of the command."""

    number: int
    name: str  # of its module
    title: str  # for people
    share: float  # of the minutes, beside the shares of the other stages
    n_lines: int  # that it may have in the summary
    warms_up: bool = True  # its process may start while the stage before it is running

    @property
    def module(self) -> StageModule:
        """The module that does the work."""
        return cast(StageModule, importlib.import_module(f"{__package__}.{self.name}"))


STAGES = (
    Stage(1, "marked_tests", "the tests marked gpu", share=15, n_lines=2),
    Stage(2, "training", "every system trained", share=22, n_lines=11),
    Stage(3, "profiles", "a profile of a training step", share=8, n_lines=2),
    Stage(4, "kernels", "kernels beside a copy and beside peers", share=18, n_lines=8),
    Stage(5, "lessons", "the notebooks with cells tagged gpu", share=10, n_lines=2),
    Stage(6, "quality", "seconds to a good model", share=15, n_lines=1, warms_up=False),
    Stage(7, "table_runs", "training runs of the papers' tables", share=12, n_lines=2),
)


def chosen_stages(numbers: Sequence[int] | None) -> list[Stage]:
    """Return the stages with these numbers, in their own order; all of them for None."""
    return [stage for stage in STAGES if numbers is None or stage.number in numbers]


def seconds_for(stage: Stage, still_to_come: Sequence[Stage], left: float) -> float:
    """Share out the time that is left: what earlier stages did not use goes to the later ones.

    Parameters
    ----------
    stage : Stage
        The one that is about to start.
    still_to_come : sequence of Stage
        The stages after it.
    left : float
        Seconds left in all.

    Returns
    -------
    float
        Seconds for this stage: all that is left, if it is the last.
    """
    shares = stage.share + sum(other.share for other in still_to_come)
    return left * stage.share / shares


def summary_lines(stage: Stage, rows: list[Row]) -> list[str]:
    """Return what a stage found in at most as many lines as it may have."""
    lines = stage.module.in_words(rows)
    if len(lines) <= stage.n_lines:
        return lines
    n_more = len(lines) - stage.n_lines + 1
    return [*lines[: stage.n_lines - 1], f"... and {n_more} lines more in gpu.json"]
