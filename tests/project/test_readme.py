"""The README keeps its word.

Its commands parse, its Python runs, its pictures are the notebooks', its results those of the
records, its table of lessons complete.
"""

import base64
import re
import shlex
from pathlib import Path

import nbformat
import notebook_rules
import pytest

import minirec
from minirec.cli.main import _parser
from minirec.experiments import results, scoreboard
from minirec.experiments.claims import judged_claims

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text()
COMMAND_LINES = re.findall(r"^python -m minirec (.+)$", TEXT, re.MULTILINE)
PYTHON_EXAMPLE = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL).group(1)
LESSONS_LISTED = re.findall(r"\]\((notebooks/\d\d_\w+\.ipynb)\)", TEXT)

# What makes the example run in a moment, and without the real data.
IN_MINIATURE = {
    '"ml-1m"': '"planted"',
    "[2571, 589, 260]": '["noir-20"]',
    "fit(model, split)": "fit(model, split, epochs=1)",
}


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_every_command_line_is_one_the_parser_accepts(line):
    options = _parser().parse_args(shlex.split(line))
    assert callable(options.run)


def test_the_python_example_runs(tmp_path, monkeypatch):
    code = PYTHON_EXAMPLE
    for written, small in IN_MINIATURE.items():
        code = code.replace(written, small)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert isinstance(names["history"], minirec.History)
    assert (tmp_path / "model.pt").exists()


@pytest.mark.parametrize(
    ("picture", "notebook", "drawn_by"),
    [
        ("gap", "00_start_here", "plot_gap("),
        ("learning-curves", "14_full_training", "Each run keeps"),
        ("speed", "15_profiling", 'epochs_on("beauty")'),
    ],
)
def test_each_picture_is_the_one_that_its_notebook_draws(picture, notebook, drawn_by):
    cells = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", 4).cells
    drawn = []
    for cell in cells:
        if cell.cell_type == "code" and drawn_by in cell.source:
            drawn += png_pictures(cell)
    assert drawn == [(ROOT / "docs" / f"{picture}.png").read_bytes()]
    assert f"](docs/{picture}.png)" in TEXT


def png_pictures(cell) -> list[bytes]:
    stored = [output.get("data", {}) for output in cell.outputs]
    return [base64.b64decode(data["image/png"]) for data in stored if "image/png" in data]


def test_the_results_are_those_of_the_records_here_and_whole_on_their_page():
    records = ROOT / "data" / "results"
    assert results.RESULTS.search(TEXT)[0] == results.readme_section(records)
    whole = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert whole == results.page(records)
    assert not notebook_rules.dead_links(whole, ROOT / "docs")


def test_the_lesson_table_lists_every_notebook_there_is():
    notebooks = (ROOT / "notebooks").glob("*.ipynb")
    assert set(LESSONS_LISTED) == {f"notebooks/{path.name}" for path in notebooks}


def test_the_scoreboard_is_that_of_the_records_here_and_whole_on_its_page():
    claims = judged_claims(ROOT / "data" / "results")
    assert scoreboard.SCOREBOARD.search(TEXT)[0] == scoreboard.readme_section(claims)
    whole = (ROOT / "docs" / "scoreboard.md").read_text(encoding="utf-8")
    assert whole == scoreboard.page(claims)
    assert not notebook_rules.dead_links(whole, ROOT / "docs")
