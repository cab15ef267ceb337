"""What the package's source must keep: each rule returns its complaints, an empty list when all is well.

A module is given as (name, source), for example ("minirec.layers.gru", "..."); lessons as {"02": [the text of each section]}.
"""

import ast
import graphlib
import re

import notebook_rules

# Rooms that know little: what each may import of minirec besides itself. The other rooms only must not import in a circle.
MAY_IMPORT = {
    "errors": set(),
    "storage": set(),
    "devices": set(),
    "metrics": set(),
    "losses": set(),
    "data": {"errors", "storage"},
    "scan": set(),
    "layers": {"scan"},
    "models": {"layers", "scan"},
}
KNOW_ONLY_THE_CONTRACT = {
    "training",
    "evaluation",
}  # of minirec.models, these may import minirec.models.base
KNOWN_BY_NOBODY = {"__main__", "cli", "exercises", "notebooks", "tests", "conftest"}
KNOWN_ONLY_BY = {"experiments": {"experiments", "cli"}}
KNOW_EVERYTHING = {"minirec", "__main__", "cli"}

EQUATION = re.compile(
    r"\b(?:Eq\.|Equation)\s+\(?(\d+)|\b(?:Eqs\.|Equations)\s+(\(?\d+\)?(?:(?:,\s*and|,|and|to|[-–\s])+\(?\d+\)?)*)"
)
LESSON = re.compile(
    r"\b(?:notebook|lesson)\s+(\d\d)\b|\b(?:notebooks|lessons)[\s/]+(\d\d(?:(?:,\s*and|,|and|to|[-–\s])+\d\d\b)*)",
    re.I,
)


def equations(text: str) -> set[int]:
    """The equation numbers of 'Eq. 3', 'Eqs. 7 and 9', 'Equations 5-8', 'Eq. (2)'."""
    return {n for one, many in EQUATION.findall(text) for n in _numbers(one or many)}


def lessons_named(text: str) -> set[str]:
    """The lesson numbers of 'notebook 02', 'notebooks 02 and 06', 'lessons 03-05', 'notebooks/02_gru.ipynb'."""
    return {f"{n:02}" for one, many in LESSON.findall(text) for n in _numbers(one or many)}


def _numbers(listed: str) -> set[int]:
    spans = re.findall(r"(\d+)(?:\)?\s*(?:-|–|\bto\b)\s*\(?(\d+))?", listed)
    return {n for first, last in spans for n in range(int(first), int(last or first) + 1)}


def sections(notebook) -> list[str]:
    """The notebook's text from each second-level heading (or deeper) to the next; the title and the head are no section."""
    return re.split(r"^##+ ", notebook_rules.markdown(notebook), flags=re.M)[1:]


def docstrings(source: str) -> list[tuple[int, str, set[str]]]:
    """(line, docstring, lessons it names, or those named by the nearest docstring around it that names any)."""
    found = []

    def visit(node, inherited):
        documented = isinstance(
            node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        )
        text = ast.get_docstring(node) if documented else None
        if text:
            inherited = lessons_named(text) or inherited
            found.append((node.body[0].lineno, text, inherited))
        for child in ast.iter_child_nodes(node):
            visit(child, inherited)

    visit(ast.parse(source), set())
    return found


def dangling_references(name: str, source: str, lessons: dict[str, list[str]]) -> list[str]:
    """Lessons that do not exist, and equations of docstrings that no section of the lesson named beside them mentions."""
    complaints = [
        f"{name}: there is no lesson {number}"
        for number in sorted(lessons_named(source) - set(lessons))
    ]
    for line, text, named in docstrings(source):
        if equations(text) and not named:
            complaints.append(
                f"{name}, line {line}: gives an equation number but no notebook that derives it"
            )
        derived = {
            n for number in named for section in lessons.get(number, []) for n in equations(section)
        }
        if named <= set(lessons) and named:
            complaints += [
                f"{name}, line {line}: no section of notebook {' or '.join(sorted(named))} mentions Eq. {n}"
                for n in sorted(equations(text) - derived)
            ]
    return complaints


def missing_docstrings(name: str, source: str) -> list[str]:
    return [
        f"{name}: the public name {node.name} has no docstring"
        for node in ast.parse(source).body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]


def imports(name: str, source: str, modules: set[str], is_package: bool = False) -> set[str]:
    """The modules that the source imports, at the top or inside functions; `from package import module` counts as the module."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            up = (
                name.split(".")[: len(name.split(".")) - node.level + is_package]
                if node.level
                else []
            )
            base = ".".join([*up, *filter(None, [node.module])])
            found |= {
                f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules else base
                for alias in node.names
            }
    return found


def room(module: str) -> str:
    """ "data" for minirec.data.planted; "minirec" for the package itself; what is not minirec's, by its first name."""
    parts = module.split(".")
    return parts[1] if parts[0] == "minirec" and len(parts) > 1 else parts[0]


def upward_imports(imported: dict[str, set[str]]) -> list[str]:
    """imported: for every module of minirec, the modules it imports. Complaints about imports that do not run downward."""
    complaints, rooms = [], {}
    for name, targets in imported.items():
        here = room(name)
        if here in KNOW_EVERYTHING:
            continue
        for target in sorted(targets):
            there, ours = room(target), target.split(".")[0] == "minirec"
            if there == here or not (ours or there in KNOWN_BY_NOBODY):
                continue
            rooms.setdefault(here, set()).add(there)
            allowed = MAY_IMPORT.get(here)
            contract = (
                here in KNOW_ONLY_THE_CONTRACT
                and there == "models"
                and target != "minirec.models.base"
            )
            if (
                there in KNOWN_BY_NOBODY
                or target == "minirec"
                or contract
                or (allowed is not None and there not in allowed)
            ):
                complaints.append(f"{name} imports {target}, which it must not know")
    try:
        graphlib.TopologicalSorter(rooms).prepare()
    except graphlib.CycleError as error:
        complaints.append(f"rooms import in a circle: {' -> '.join(reversed(error.args[1]))}")
    return complaints
