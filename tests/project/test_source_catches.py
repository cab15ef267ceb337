"""Each rule for the package's source fires, and allows what it should."""

import pytest
import source_rules
from good_lesson import HEAD, lesson

LESSONS = {"02": source_rules.sections(lesson())}

# --- Equations and lessons that a docstring names ---


@pytest.mark.parametrize(
    ("docstring", "n_complaints"),
    [
        ("Eq. 1, derived in notebook 02.", 0),
        ("Eq. 1, derived in\n\n    notebook 02.", 0),
        ("Eqs. 1 and 6, derived in notebook 02.", 1),
        ("Equations 1-3, derived in notebook 02.", 2),
        ("Eq. (7), derived in notebook 02.", 1),
        ("Eq. 1, derived in notebook 03.", 1),
        ("Eq. 1.", 1),
        ("See notebooks 02 and 05.", 1),
    ],
    ids=str,
)
def test_dangling_references_are_found(docstring, n_complaints):
    module = f'def gru():\n    """{docstring}"""\n'
    complaints = source_rules.dangling_references("minirec.layers.gru", module, LESSONS)
    assert len(complaints) == n_complaints


# Both lessons mention a number 5, lesson 08 that of RecBLR's paper only.
OF_TWO_PAPERS = {
    "02": ["The GRU (Eq. 5), and Eqs. 1 to 3."],
    "08": ["The recurrence (RecBLR, Eq. 5), its gates (RecBLR,\nEqs. 6 and 7)", "Eq. 1 is a GRU."],
    "11": ["The layer (RecBLR, Algorithm 1) and its feed-forward (RecBLR, Eq. 4)."],
}


@pytest.mark.parametrize(
    ("docstring", "complaints"),
    [
        ("RecBLR, Eqs. 5 to 7; derived in notebook 08.", []),
        ("RecBLR,\n    Eq. 5; derived in notebook 08.", []),
        ("RecBLR, Eq. 6, and Eq. 1, notebook 08.", []),
        ("RecBLR, Eq. 5, notebook 08; RecBLR, Eq. 4 and RecBLR, Algorithm 1, notebook 11.", []),
        # A number of the one paper is none of the other's.
        ("Eq. 5; derived in notebook 08.", ["no section of notebook 08 mentions Eq. 5"]),
        ("RecBLR, Eq. 5; notebook 02.", ["no section of notebook 02 mentions RecBLR, Eq. 5"]),
        ("RecBLR, Eqs. 7 and 8; notebook 08.", ["notebook 08 mentions RecBLR, Eq. 8"]),
        ("RecBLR, Algorithm 1; notebook 08.", ["notebook 08 mentions RecBLR, Algorithm 1"]),
        ("RecBLR, Algorithm 2; notebook 11.", ["notebook 11 mentions RecBLR, Algorithm 2"]),
        ("RecBLR, Eq. 5.", ["gives an equation number but no notebook"]),
        ("RecBLR, Algorithm 1.", ["gives an equation number but no notebook"]),
    ],
    ids=str,
)
def test_an_equation_of_recblrs_paper_is_looked_for_under_its_name(docstring, complaints):
    module = f'def bd_lru():\n    """{docstring}"""\n'
    found = source_rules.dangling_references("minirec.x", module, OF_TWO_PAPERS)
    assert len(found) == len(complaints)
    for line, expected in zip(found, complaints, strict=True):
        assert expected in line


def test_a_method_may_lean_on_the_notebook_that_its_class_names():
    module = '''
class GRU:
    """Derived in notebook 02."""

    def forward(self):
        """Eq. 1."""
'''
    assert source_rules.dangling_references("minirec.layers.gru", module, LESSONS) == []


def test_an_equation_in_the_head_of_a_lesson_derives_nothing():
    notebook = lesson()
    notebook.cells[HEAD].source += " Eq. 9."
    for section in source_rules.sections(notebook):
        assert 9 not in {equation.number for equation in source_rules.equations(section)}


# --- Docstrings ---


def test_a_missing_docstring_is_found_and_private_names_need_none():
    module = """
def shown(): pass

class Shown: pass

def _hidden(): pass

def told():
    'What it does.'
"""
    assert source_rules.missing_docstrings("minirec.x", module) == [
        "minirec.x: the public name shown has no docstring",
        "minirec.x: the public name Shown has no docstring",
    ]


# --- Imports ---


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("minirec.layers.gru", "minirec.data.interactions"),
        ("minirec.scan.numba_scan", "minirec.data"),
        ("minirec.models.gru4rec", "minirec.training"),
        ("minirec.training", "minirec.models.gru4rec"),
        ("minirec.data.planted", "minirec.models.base"),
        ("minirec.metrics", "minirec"),
        ("minirec.plotting", "minirec.exercises.checks"),
        ("minirec.plotting", "minirec.__main__"),
        ("minirec.plotting", "minirec.cli.train"),
        ("minirec.training.fit", "minirec.experiments.records"),
        ("minirec.plotting", "tests.helper"),
        ("minirec.plotting", "notebooks"),
    ],
)
def test_an_upward_import_is_found(name, target):
    assert source_rules.upward_imports({name: {target}}) == [
        f"{name} imports {target}, which it must not know"
    ]


def test_a_circle_of_imports_is_found():
    imported = {
        "minirec.profiling": {"minirec.plotting"},
        "minirec.plotting": {"minirec.profiling"},
    }
    assert len(source_rules.upward_imports(imported)) == 1


def test_downward_imports_are_allowed():
    imported = {
        "minirec.__main__": {"minirec", "minirec.exercises"},
        "minirec.models.gru4rec": {"minirec.layers.gru", "torch"},
        "minirec.training": {"minirec.models.base", "minirec.data.batching"},
        "minirec.data.datasets": {"minirec.data.readers", "minirec.storage"},
    }
    assert source_rules.upward_imports(imported) == []


@pytest.mark.parametrize(
    "line",
    [
        "import minirec.data",
        "from minirec import data",
        "from minirec.data import Split",
        "from .. import data",
        "from ..data import Split",
        "def late():\n    import minirec.data",
    ],
)
def test_every_form_of_import_is_seen(line):
    assert source_rules.imports("minirec.layers.gru", line, {"minirec.data"}) == {"minirec.data"}
