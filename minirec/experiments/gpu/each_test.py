"""A plugin for pytest that notes how each test ends, as it ends: a run cut short loses nothing.

MINIREC_STAGE=FOLDER python -m pytest -p minirec.experiments.gpu.each_test ...
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from minirec.experiments.gpu.job import Job, Row

FOLDER = "MINIREC_STAGE"  # the variable that names the stage's folder
CONFIGURED_OTHERWISE = ["-o", "addopts="]  # the project's own options need nbval, which may lack


def pytest_runtest_logreport(report: Any) -> None:
    """Note a test that has passed, failed or been skipped; pytest calls this by its name."""
    decided_by_itself = report.when == "call" and report.outcome != "skipped"
    if not (decided_by_itself or report.outcome == "skipped" or report.failed):
        return
    finding = {"test": report.nodeid, "outcome": report.outcome}
    if report.failed:
        finding["reason"] = _reason(report)
    _job_of_environment().note(**finding)


def pytest_collectreport(report: Any) -> None:
    """Note a file that could not be collected; pytest calls this by its name.

    A file that needs a package which this machine lacks is left out, and so skipped.
    """
    if report.failed:
        reason = _reason(report)
        lacks_package = "ModuleNotFoundError" in reason and "minirec" not in reason
        outcome = "skipped" if lacks_package else "failed"
        _job_of_environment().note(test=report.nodeid, outcome=outcome, reason=reason)


def run_pytest(job: Job, arguments: list[str]) -> int | None:
    """Run pytest in a process of its own; its tests are noted in the job.

    Parameters
    ----------
    job : Job
        The stage.
    arguments : list of str
        For pytest.

    Returns
    -------
    int or None
        Its exit status; None where the job's time ran out and it was ended.
    """
    words = [sys.executable, "-m", "pytest", "-p", __name__, "-p", "no:cacheprovider"]
    words += [*CONFIGURED_OTHERWISE, "-q", "-rfE", "--tb=short"]
    words += ["--continue-on-collection-errors", *arguments]
    environment = os.environ | {FOLDER: str(job.folder)}
    try:
        done = subprocess.run(words, env=environment, timeout=max(0.1, job.left()), check=False)
    except subprocess.TimeoutExpired:
        job.say("no time was left for the rest of these tests")
        return None
    return done.returncode


def outcomes(rows: list[Row]) -> dict[str, list[Row]]:
    """Return the tests noted, by outcome; one that failed in two phases counts once."""
    found: dict[str, list[Row]] = {"passed": [], "failed": [], "skipped": []}
    latest = {row["test"]: row for row in rows if "test" in row}
    for row in rows:
        if row.get("outcome") == "failed":
            latest[row["test"]] = row  # a failure counts, whatever came after it
    for row in latest.values():
        found[row["outcome"]].append(row)
    return found


def counted(rows: list[Row]) -> str:
    """Return how many tests had which outcome, in words."""
    return ", ".join(f"{len(tests)} {outcome}" for outcome, tests in outcomes(rows).items())


def _job_of_environment() -> Job:
    folder = Path(os.environ[FOLDER])
    return Job(folder, results=folder, until=0.0)


def _reason(report: Any) -> str:
    """Return the error of a failed test in a line, as far as pytest tells it."""
    crash = getattr(getattr(report, "longrepr", None), "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "no reason was given"
    return lines[0] if crash is not None else lines[-1]
