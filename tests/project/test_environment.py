"""pyproject.toml, constraints.txt, environment.yml, the Makefile, the workflow and the running environment say the same."""

import ast
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
ASKED_FOR = [*PROJECT["dependencies"], *EXTRAS["lab"], *EXTRAS["test"], *EXTRAS["dev"]]
DIRECT = [Requirement(line) for line in ASKED_FOR]
PINNED_LINES = [
    line
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
]
PINS = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in PINNED_LINES}
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
JOBS = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())["jobs"]
WORKFLOW = JOBS["test"]
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]


def makefile(*arguments: str) -> str:
    """The Makefile's lines that contain all of the arguments."""
    return "\n".join(
        line
        for line in (ROOT / "Makefile").read_text().splitlines()
        if all(argument in line for argument in arguments)
    )


def test_constraints_are_exact_public_versions_each_named_once():
    assert [line for line in PINNED_LINES if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    assert len(PINS) == len(PINNED_LINES)


@pytest.mark.parametrize("requirement", DIRECT, ids=str)
def test_every_dependency_has_a_pin_within_its_range(requirement):
    assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)])


@pytest.mark.parametrize("requirement", DIRECT, ids=lambda requirement: requirement.name)
def test_the_installed_version_is_the_pinned_one(requirement):
    assert (
        Version(version(requirement.name)).public == PINS[canonicalize_name(requirement.name)]
    )  # torch may be 2.x.y+cpu


@pytest.mark.skipif(
    sys.platform != "linux",
    reason="the pins were made on Linux; other systems need a few packages more",
)
def test_everything_the_install_brings_is_pinned():
    todo, seen = [(requirement, "") for requirement in DIRECT], set()
    while todo:
        requirement, asked_by = todo.pop()
        name = canonicalize_name(requirement.name)
        applies = requirement.marker is None or any(
            requirement.marker.evaluate({"extra": extra}) for extra in [asked_by, ""]
        )
        if not applies or (name, *requirement.extras) in seen:
            continue
        seen.add((name, *requirement.extras))
        todo += [
            (Requirement(line), extra)
            for line in requires_of(name)
            for extra in requirement.extras or [""]
        ]
    cuda = {
        name for name, *_ in seen if name.startswith(("nvidia-", "cuda-"))
    }  # the ordinary Linux torch pins these itself
    assert {name for name, *_ in seen} - cuda - set(PINS) == set()


def requires_of(name: str) -> list[str]:
    try:
        return requires(name) or []
    except PackageNotFoundError:
        return []


def test_triton_is_pinned_for_the_ordinary_torch_of_linux():
    assert "triton" in PINS


def test_the_package_imports_only_what_the_project_declares():
    imported = set()
    for path in (ROOT / "minirec").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            imported |= {name.split(".")[0] for name in names}
    declared = {Requirement(line).name for line in PROJECT["dependencies"]}
    assert (
        imported - set(sys.stdlib_module_names) - declared - {"minirec", "triton"} == set()
    )  # triton, where there is one, comes with torch


def test_conda_installs_the_same_extras_with_the_same_constraints_as_make():
    pip_lines = next(entry["pip"] for entry in CONDA if isinstance(entry, dict))
    assert f"pip install {' '.join(pip_lines)}" in makefile("pip install", "-e").replace("'", "")
    assert pip_lines == ["-c constraints.txt", f"-e .[{','.join(EXTRAS)}]"]


def test_conda_takes_everything_but_python_and_pip_from_pip():
    assert sorted(re.split("[<>=]", entry)[0] for entry in CONDA if isinstance(entry, str)) == [
        "pip",
        "python",
    ]


def test_conda_and_make_ask_for_the_python_of_pyproject():
    wanted = PROJECT["requires-python"]
    assert f"python{wanted}" in CONDA
    assert f"version_info {wanted.replace('>=3.', '>= (3, ')})" in makefile(
        "version_info", "sys.exit"
    )


def test_the_workflow_tests_pythons_that_the_project_allows_the_oldest_among_them():
    tested = WORKFLOW["strategy"]["matrix"]["python-version"]
    assert all(SpecifierSet(PROJECT["requires-python"]).contains(python) for python in tested)
    assert PROJECT["requires-python"] == f">={min(tested, key=Version)}"


def test_the_workflow_and_ci_run_the_same_command():
    assert WORKFLOW["steps"][-1] == {"run": ".ci/run"}
    assert (ROOT / ".ci/run").read_text().splitlines()[-2:] == ["make check", "make test"]


def test_the_workflow_checks_style_and_types_apart():
    assert JOBS["lint"]["steps"][-1] == {"run": "make check"}


def test_the_workflow_runs_on_linux_and_macos():
    assert WORKFLOW["strategy"]["matrix"]["os"] == ["ubuntu-latest", "macos-latest"]


def test_hooks_before_a_commit_are_local_and_fetch_nothing():
    assert [repository["repo"] for repository in HOOKS] == ["local"]
    assert {hook["language"] for hook in HOOKS[0]["hooks"]} == {"system"}


@pytest.mark.parametrize("command", ["ruff format --check .", "ruff check .", "mypy"])
def test_make_check_asks_for_format_lint_and_types(command):
    assert f"python -m {command}" in makefile("$(VENV)", command)


def test_ci_run_may_be_executed():
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_make_test_is_plain_pytest_nbval():
    assert re.search(r"pytest --nbval --cov .*\$\(PYTEST_ARGS\)$", makefile("$(VENV)", "--nbval"))
