"""Every notebook, and the package's source, keep the rules of the course. The rules: notebook_rules.py and source_rules.py."""

import re
from pathlib import Path

import notebook_rules
import pytest
import source_rules

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted(
    path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts
)
LESSONS = [path for path in NOTEBOOKS if path.parent == ROOT / "notebooks"]
PAGES = sorted(ROOT.glob("*.md")) + NOTEBOOKS


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


SOURCES = {module_name(path): path for path in sorted((ROOT / "minirec").rglob("*.py"))}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in SOURCES.items()}


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def expect_none(complaints: list[str]):
    assert not complaints, "\n".join(complaints)


def name_of(rule) -> str:
    return rule.__name__


@pytest.mark.parametrize("rule", notebook_rules.RULES, ids=name_of)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=short)
def test_notebook(path, rule):
    expect_none(rule(notebook_rules.read(path)))


@pytest.mark.parametrize("rule", notebook_rules.LESSON_RULES, ids=name_of)
@pytest.mark.parametrize("path", LESSONS, ids=short)
def test_lesson(path, rule):
    expect_none(rule(notebook_rules.read(path)))


@pytest.mark.parametrize("path", PAGES, ids=short)
def test_links_lead_to_files(path):
    text = (
        notebook_rules.markdown(notebook_rules.read(path))
        if path.suffix == ".ipynb"
        else path.read_text(encoding="utf-8")
    )
    expect_none(notebook_rules.dead_links(text, path.parent))


@pytest.mark.parametrize("name", SOURCES)
def test_equations_and_lessons_named_in_the_source_exist(name):
    lessons = {
        path.name[:2]: source_rules.sections(notebook_rules.read(path))
        for path in LESSONS
        if re.match(r"\d\d_", path.name)
    }
    expect_none(source_rules.dangling_references(name, TEXTS[name], lessons))


# The answers of the exercises, right and wrong, say by their names what they do.
DOCUMENTED = [name for name in SOURCES if not name.startswith("minirec.exercises.lesson_")]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_public_names_have_docstrings(name):
    expect_none(source_rules.missing_docstrings(name, TEXTS[name]))


def test_imports_run_downward_only():
    imported = {
        name: source_rules.imports(name, text, set(SOURCES), SOURCES[name].name == "__init__.py")
        for name, text in TEXTS.items()
    }
    expect_none(source_rules.upward_imports(imported))
