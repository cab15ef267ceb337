"""The README keeps its word: its commands parse, its Python runs, its picture is the notebook's, its links lead somewhere."""

import base64
import re
import shlex
from pathlib import Path

import nbformat
import pytest

import minirec
from minirec.__main__ import _parser
from minirec.reproduce import RESULTS, results_section

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("line", re.findall(r"^python -m minirec (.+)$", TEXT, re.MULTILINE))
def test_every_command_line_is_one_the_parser_accepts(line):
    assert callable(_parser().parse_args(shlex.split(line)).run)


def test_the_python_example_runs(tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL).group(1)
    code = code.replace('"ml-1m"', '"planted"').replace("[2571, 589, 260]", '["noir-20"]').replace("fit(model, split)", "fit(model, split, epochs=1)")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert isinstance(names["history"], minirec.History) and (tmp_path / "model.pt").exists()


def test_the_picture_is_the_one_that_the_first_notebook_draws():
    notebook = nbformat.read(ROOT / "notebooks" / "00_start_here.ipynb", 4)
    drawn = [base64.b64decode(output.data["image/png"]) for cell in notebook.cells if "plot_gap(" in cell.source
             for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    assert drawn == [(ROOT / "docs" / "gap.png").read_bytes()]


def test_the_results_are_those_of_the_records():
    assert RESULTS.search(TEXT)[0] == results_section(ROOT / "data" / "results")


def test_the_lesson_table_lists_every_notebook_there_is():
    assert set(re.findall(r"\]\((notebooks/\d\d_\w+\.ipynb)\)", TEXT)) == {f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb")}
