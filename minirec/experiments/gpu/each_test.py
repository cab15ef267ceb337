"""Running pytest so that each test is noted as it ends: a run cut short loses nothing.

In this process, or as a plugin in another one:

    MINIREC_STAGE=FOLDER python -m pytest -p minirec.experiments.gpu.each_test ...
"""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from minirec.experiments.gpu.job import Job, Row

FOLDER = "MINIREC_STAGE"  # the variable that names the stage's folder to the plugin
# The project's own options need nbval, which a machine may lack.
OPTIONS = ["-o", "addopts=", "-p", "no:cacheprovider", "-q", "-rfE", "--tb=short"]
OPTIONS += ["--continue-on-collection-errors"]


class EachTest:
    """A plugin of pytest that notes each test in a job. pytest calls the methods by their names."""

    def __init__(self, job: Job):
        self.job = job

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note a test that has passed, failed or been skipped."""
        passed = report.when == "call" and report.passed
        if not (passed or report.skipped or report.failed):
            return
        finding = {"test": report.nodeid, "outcome": report.outcome}
        if report.failed:
            finding["reason"] = _reason(report)
        self.job.note(**finding)

    def pytest_collectreport(self, report: Any) -> None:
        """Note a file that could not be collected.

        One that needs a package which this machine lacks is left out, and so skipped.
        """
        if report.failed:
            reason = _reason(report)
            lacks_package = "ModuleNotFoundError" in reason and "minirec" not in reason
            outcome = "skipped" if lacks_package else "failed"
            self.job.note(test=report.nodeid, outcome=outcome, reason=reason)


def pytest_configure(config: Any) -> None:
    """Register the plugin where this module is one; pytest calls this by its name."""
    folder = Path(os.environ[FOLDER])
    config.pluginmanager.register(EachTest(Job(folder, results=folder, until=0.0)))


def run_here(job: Job, arguments: list[str]) -> int:
    """Run pytest in this process, which has imported much already; return its exit status."""
    pytest = importlib.import_module("pytest")  # by name: the package does without it
    return int(pytest.main([*OPTIONS, *arguments], plugins=[EachTest(job)]))


def run_apart(job: Job, arguments: list[str]) -> int:
    """Run pytest in a process of its own, so that several can run at once.

    Parameters
    ----------
    job : Job
        The stage, in which its tests are noted.
    arguments : list of str
        For pytest.

    Returns
    -------
    int
        Its exit status. Where the stage's time is over it is ended with the stage.
    """
    words = [sys.executable, "-m", "pytest", "-p", __name__, *OPTIONS, *arguments]
    environment = os.environ | {FOLDER: str(job.folder)}
    return subprocess.run(words, env=environment, check=False).returncode


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


def _reason(report: Any) -> str:
    """Return the error of a failed test in a line, as far as pytest tells it."""
    crash = getattr(getattr(report, "longrepr", None), "reprcrash", None)
    text = crash.message if crash is not None else str(report.longrepr)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return "no reason was given"
    return lines[0] if crash is not None else lines[-1]
