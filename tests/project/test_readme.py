"""The README keeps its word: its commands parse, its Python runs, its pictures are the notebooks', its links lead somewhere."""

import base64
import re
import shlex
from pathlib import Path

import nbformat
import pytest

import minirec
from minirec.cli.main import _parser
from minirec.experiments.tables import RESULTS, results_section

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("line", re.findall(r"^python -m minirec (.+)$", TEXT, re.MULTILINE))
def test_every_command_line_is_one_the_parser_accepts(line):
    assert callable(_parser().parse_args(shlex.split(line)).run)


def test_the_python_example_runs(tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL).group(1)
    code = (
        code.replace('"ml-1m"', '"planted"')
        .replace("[2571, 589, 260]", '["noir-20"]')
        .replace("fit(model, split)", "fit(model, split, epochs=1)")
    )
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert isinstance(names["history"], minirec.History) and (tmp_path / "model.pt").exists()


@pytest.mark.parametrize(
    ("picture", "notebook", "drawn_by"),
    [
        ("gap", "00_start_here", "plot_gap("),
        ("learning-curves", "12_full_training", "Each run keeps"),
        ("speed", "13_profiling", 'epochs_on("beauty")'),
    ],
)
def test_each_picture_is_the_one_that_its_notebook_draws(picture, notebook, drawn_by):
    cells = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", 4).cells
    drawn = [
        base64.b64decode(output.data["image/png"])
        for cell in cells
        if cell.cell_type == "code" and drawn_by in cell.source
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert (
        drawn == [(ROOT / "docs" / f"{picture}.png").read_bytes()]
        and f"](docs/{picture}.png)" in TEXT
    )


def test_the_results_are_those_of_the_records():
    assert RESULTS.search(TEXT)[0] == results_section(ROOT / "data" / "results")


def test_the_lesson_table_lists_every_notebook_there_is():
    assert set(re.findall(r"\]\((notebooks/\d\d_\w+\.ipynb)\)", TEXT)) == {
        f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb")
    }
