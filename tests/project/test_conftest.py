"""What conftest.py and pytest's configuration do.

They get a run of their own: a small notebook and two small tests, without a GPU, in an environment
that meddles.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import nbformat.v4 as v4
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]

PRINTS_ENVIRONMENT = """\
import os
print(os.environ.get('MINIREC_FULL'), os.environ.get('MPLBACKEND', '').startswith('module://'))"""

SMALL_PACKAGE = """\
import warnings

def grumble():
    warnings.warn('old')
"""

SMALL_TESTS = """
import minirec, pytest

@pytest.mark.gpu
def test_fast():
    assert False

def test_grumble():
    minirec.grumble()
"""


def small_notebook() -> nbformat.NotebookNode:
    """Cell 0 prints what the kernel knows, cell 1 fails but needs a GPU, cell 2 fails."""
    expected = v4.new_output("stream", name="stdout", text="None True\n")
    cells = [
        v4.new_code_cell(PRINTS_ENVIRONMENT, execution_count=1, outputs=[expected]),
        v4.new_code_cell("1 / 0", execution_count=2, metadata={"tags": ["gpu"]}),
        v4.new_code_cell("1 / 0", execution_count=3),
    ]
    kernel = {"name": "python3", "display_name": "Python 3"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> str:
    """What pytest says of the small suite."""
    folder = tmp_path_factory.mktemp("suite")
    for room in ("notebooks/solutions", "tests", "minirec"):
        (folder / room).mkdir(parents=True)
    nbformat.write(small_notebook(), folder / "notebooks/solutions/small.ipynb")
    (folder / "minirec/__init__.py").write_text(SMALL_PACKAGE)
    (folder / "tests/test_small.py").write_text(SMALL_TESTS)
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)

    environment = {
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "",
        "MINIREC_FULL": "1",
        "MPLBACKEND": "Agg",
    }
    command = [sys.executable, "-m", "pytest", "--nbval", "-v", "-p", "no:cacheprovider"]
    finished = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return finished.stdout


def test_a_cell_tagged_gpu_is_skipped(report):
    assert "Cell 1 SKIPPED" in report


def test_a_test_marked_gpu_is_skipped(report):
    assert "test_fast SKIPPED" in report


def test_other_cells_run_in_solutions_too(report):
    assert re.search("notebooks/solutions/.*Cell 2 FAILED", report)


def test_a_warning_of_our_own_code_is_a_failure(report):
    assert "test_grumble FAILED" in report


def test_kernels_know_neither_minirec_full_nor_a_plotting_backend_of_the_outside(report):
    assert "Cell 0 PASSED" in report
