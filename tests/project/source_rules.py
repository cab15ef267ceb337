"""What the package's source must keep: each rule returns its complaints, none if all is well.

A module is given as (name, source), for example ("minirec.layers.gru", "..."); lessons as
{"02": [the text of each section]}.
"""

import ast
import graphlib
import re
from typing import NamedTuple

import notebook_rules

# Rooms that know little: what each may import of minirec besides itself. The other rooms only must
# not import in a circle.
MAY_IMPORT = {
    "errors": set(),
    "storage": {"errors"},
    "devices": set(),
    "metrics": set(),
    "losses": set(),
    "diagnostics": set(),
    "data": {"errors", "storage"},
    "scan": set(),
    "layers": {"scan"},
    "models": {"layers", "scan"},
}
# Of minirec.models, these may import minirec.models.base.
KNOW_ONLY_THE_CONTRACT = {"training", "evaluation"}
KNOWN_BY_NOBODY = {"__main__", "cli", "exercises", "notebooks", "tests", "conftest"}
KNOWN_ONLY_BY = {"experiments": {"cli"}}
KNOW_EVERYTHING = {"minirec", "__main__", "cli"}

# "Eq. 3", or "Eqs. 7 and 9" with a list of numbers and ranges of them. Before it stands the paper:
# "RecBLR, Eq. 8"; without its name it is GLINT-RU's, or the lesson's own.
EQUATION = re.compile(
    r"(\bRecBLR,\s+)?"
    r"(?:\b(?:Eq\.|Equation)\s+\(?(\d+)"
    r"|\b(?:Eqs\.|Equations)\s+(\(?\d+\)?(?:(?:,\s*and|,|and|to|[-–\s])+\(?\d+\)?)*))"
)
ALGORITHM = re.compile(r"\bRecBLR,\s+Algorithm\s+(\d+)")
LESSON = re.compile(
    r"\b(?:notebook|lesson)\s+(\d\d)\b"
    r"|\b(?:notebooks|lessons)[\s/]+(\d\d(?:(?:,\s*and|,|and|to|[-–\s])+\d\d\b)*)",
    re.IGNORECASE,
)
ONE_OR_A_RANGE = re.compile(r"(\d+)(?:\)?\s*(?:-|–|\bto\b)\s*\(?(\d+))?")


class Numbered(NamedTuple):
    """What a paper has numbered."""

    paper: str  # "RecBLR, ", or "" where no paper is named, and for GLINT-RU
    kind: str  # "Eq." or "Algorithm"
    number: int

    def __str__(self) -> str:
        return f"{self.paper}{self.kind} {self.number}"


class Docstring(NamedTuple):
    line: int
    text: str
    lessons: set[str]  # that it names, or the nearest docstring around it that names any


def equations(text: str) -> set[Numbered]:
    """The equations of 'Eq. 3', 'Eqs. 7 and 9', 'Equations 5-8', 'Eq. (2)', 'RecBLR, Eq. 8'.

    And the algorithm of 'RecBLR, Algorithm 1'.
    """
    found = set()
    for paper, one, many in EQUATION.findall(text):
        named = "RecBLR, " if paper else ""
        found |= {Numbered(named, "Eq.", number) for number in _numbers(one or many)}
    for number in ALGORITHM.findall(text):
        found.add(Numbered("RecBLR, ", "Algorithm", int(number)))
    return found


def lessons_named(text: str) -> set[str]:
    """The lesson numbers of 'notebook 02', 'lessons 02 and 06', 'lessons 03-05', 'notebooks/02'."""
    named = set()
    for one, many in LESSON.findall(text):
        named |= {f"{number:02}" for number in _numbers(one or many)}
    return named


def _numbers(listed: str) -> set[int]:
    """The numbers of '3', '7 and 9', '5-8'."""
    numbers = set()
    for first, last in ONE_OR_A_RANGE.findall(listed):
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers


def sections(notebook) -> list[str]:
    """The notebook's text from each heading of the second level or deeper to the next."""
    _, *found = re.split(r"^##+ ", notebook_rules.markdown(notebook), flags=re.MULTILINE)
    return found


def docstrings(source: str) -> list[Docstring]:
    """Every docstring of a module, with the lessons that it leans on."""
    found = []
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

    def visit(node, inherited):
        text = ast.get_docstring(node) if isinstance(node, documented) else None
        if text:
            inherited = lessons_named(text) or inherited
            found.append(Docstring(node.body[0].lineno, text, inherited))
        for child in ast.iter_child_nodes(node):
            visit(child, inherited)

    visit(ast.parse(source), set())
    return found


def dangling_references(name: str, source: str, lessons: dict[str, list[str]]) -> list[str]:
    """Lessons that do not exist, and equations that the lesson named beside does not derive."""
    unknown = sorted(lessons_named(source) - set(lessons))
    complaints = [f"{name}: there is no lesson {number}" for number in unknown]
    for line, text, named in docstrings(source):
        where = f"{name}, line {line}"
        given = equations(text)
        if given and not named:
            complaints.append(f"{where}: gives an equation number but no notebook that derives it")
        if not named or not named <= set(lessons):
            continue
        derived = set()
        for number in named:
            for section in lessons[number]:
                derived |= equations(section)
        notebook = " or ".join(sorted(named))
        for equation in sorted(given - derived):
            complaints.append(f"{where}: no section of notebook {notebook} mentions {equation}")
    return complaints


def missing_docstrings(name: str, source: str) -> list[str]:
    """Public functions and classes of a module that say nothing about themselves."""
    complaints = []
    for node in ast.parse(source).body:
        is_definition = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if is_definition and not node.name.startswith("_") and not ast.get_docstring(node):
            complaints.append(f"{name}: the public name {node.name} has no docstring")
    return complaints


def imports(name: str, source: str, modules: set[str], is_package: bool = False) -> set[str]:
    """The modules that the source imports, at the top or inside functions.

    `from package import module` counts as the module.
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _imported_from(node, name, is_package)
            for alias in node.names:
                longer = f"{base}.{alias.name}"
                found.add(longer if longer in modules else base)
    return found


def _imported_from(node: ast.ImportFrom, name: str, is_package: bool) -> str:
    """The module that a `from ... import` in module `name` names, relative or not."""
    parts = []
    if node.level:
        here = name.split(".")
        parts = here[: len(here) - node.level + is_package]
    if node.module:
        parts.append(node.module)
    return ".".join(parts)


def room(module: str) -> str:
    """The room of a module: "data" of minirec.data.planted, "minirec" of the package itself.

    Of what is not minirec's, the first name.
    """
    parts = module.split(".")
    if parts[0] == "minirec" and len(parts) > 1:
        return parts[1]
    return parts[0]


def upward_imports(imported: dict[str, set[str]]) -> list[str]:
    """Imports that do not run downward. imported: for every module, the modules it imports."""
    complaints = []
    rooms = {}
    for name, targets in imported.items():
        here = room(name)
        if here in KNOW_EVERYTHING:
            continue
        for target in sorted(targets):
            there = room(target)
            is_ours = target.split(".")[0] == "minirec"
            if there == here or not (is_ours or there in KNOWN_BY_NOBODY):
                continue
            rooms.setdefault(here, set()).add(there)
            if not _may_know(here, there, target):
                complaints.append(f"{name} imports {target}, which it must not know")
    try:
        graphlib.TopologicalSorter(rooms).prepare()
    except graphlib.CycleError as error:
        complaints.append(f"rooms import in a circle: {' -> '.join(reversed(error.args[1]))}")
    return complaints


def _may_know(here: str, there: str, target: str) -> bool:
    """Whether a module in room `here` may import the module `target` of room `there`."""
    if there in KNOWN_BY_NOBODY or target == "minirec":
        return False
    if here not in KNOWN_ONLY_BY.get(there, {here}):
        return False
    if here in KNOW_ONLY_THE_CONTRACT and there == "models":
        return target == "minirec.models.base"
    return there in MAY_IMPORT.get(here, {there})
