"""Every notebook, and the package's source, keep the rules of the course.

The rules stand in notebook_rules.py and source_rules.py.
"""

import re
from pathlib import Path

import notebook_rules
import pytest
import source_rules
from asking_rules import expect_none, name_of, read_once

ROOT = Path(__file__).resolve().parents[2]


def find_notebooks() -> list[Path]:
    paths = sorted((ROOT / "notebooks").rglob("*.ipynb"))
    return [path for path in paths if ".ipynb_checkpoints" not in path.parts]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


NOTEBOOKS = find_notebooks()
LESSONS = [path for path in NOTEBOOKS if path.parent == ROOT / "notebooks"]
PAGES = sorted(ROOT.glob("*.md")) + NOTEBOOKS
SOURCES = {module_name(path): path for path in sorted((ROOT / "minirec").rglob("*.py"))}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in SOURCES.items()}
# The answers of the exercises, right and wrong, say by their names what they do.
DOCUMENTED = [name for name in SOURCES if not name.startswith("minirec.exercises.lesson_")]


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("rule", notebook_rules.RULES, ids=name_of)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=short)
def test_notebook(path, rule):
    expect_none(rule(read_once(path)))


@pytest.mark.parametrize("rule", notebook_rules.LESSON_RULES, ids=name_of)
@pytest.mark.parametrize("path", LESSONS, ids=short)
def test_lesson(path, rule):
    expect_none(rule(read_once(path)))


@pytest.mark.parametrize("path", PAGES, ids=short)
def test_links_lead_to_files(path):
    if path.suffix == ".ipynb":
        text = notebook_rules.markdown(read_once(path))
    else:
        text = path.read_text(encoding="utf-8")
    expect_none(notebook_rules.dead_links(text, path.parent))


@pytest.fixture(scope="module")
def lesson_sections() -> dict[str, list[str]]:
    """The sections of every lesson, by its number: {"02": [...]}."""
    found = {}
    for path in LESSONS:
        if re.match(r"\d\d_", path.name):
            number = path.name[:2]
            found[number] = source_rules.sections(read_once(path))
    return found


@pytest.mark.parametrize("name", SOURCES)
def test_equations_and_lessons_named_in_the_source_exist(name, lesson_sections):
    expect_none(source_rules.dangling_references(name, TEXTS[name], lesson_sections))


@pytest.mark.parametrize("name", DOCUMENTED)
def test_public_names_have_docstrings(name):
    expect_none(source_rules.missing_docstrings(name, TEXTS[name]))


def test_imports_run_downward_only():
    imported = {}
    for name, text in TEXTS.items():
        is_package = SOURCES[name].name == "__init__.py"
        imported[name] = source_rules.imports(name, text, set(SOURCES), is_package)
    expect_none(source_rules.upward_imports(imported))
