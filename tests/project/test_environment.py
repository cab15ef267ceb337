"""Everything that names a dependency, a version or a command says the same.

pyproject.toml, constraints.txt, environment.yml, the Makefile, the workflow, the hooks and the
running environment.
"""

import ast
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version
from itertools import chain
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
ASKED_FOR = [*PROJECT["dependencies"], *chain.from_iterable(EXTRAS.values())]
DIRECT = [Requirement(line) for line in ASKED_FOR]

CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
JOBS = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())["jobs"]
WORKFLOW = JOBS["test"]
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]


def pinned_lines() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def pins() -> dict[str, str]:
    """The pinned version of each package."""
    found = {}
    for line in pinned_lines():
        name, _, pinned = line.partition("==")
        found[canonicalize_name(name)] = pinned
    return found


PINS = pins()


def makefile(*words: str) -> str:
    """The Makefile's lines that contain all of the words."""
    lines = (ROOT / "Makefile").read_text().splitlines()
    return "\n".join(line for line in lines if all(word in line for word in words))


def test_constraints_are_exact_public_versions_each_named_once():
    exact_and_public = re.compile(r"[\w.-]+==[\w.]+")
    assert [line for line in pinned_lines() if not exact_and_public.fullmatch(line)] == []
    assert len(PINS) == len(pinned_lines())


@pytest.mark.parametrize("requirement", DIRECT, ids=str)
def test_every_dependency_has_a_pin_within_its_range(requirement):
    assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)])


def requirement_name(requirement: Requirement) -> str:
    return requirement.name


@pytest.mark.parametrize("requirement", DIRECT, ids=requirement_name)
def test_the_installed_version_is_the_pinned_one(requirement):
    installed = Version(version(requirement.name)).public  # torch may be 2.x.y+cpu
    assert installed == PINS[canonicalize_name(requirement.name)]


@pytest.mark.skipif(
    sys.platform != "linux",
    reason="the pins were made on Linux; other systems need a few packages more",
)
def test_everything_the_install_brings_is_pinned():
    # The ordinary Linux torch pins CUDA's packages itself.
    brought = {name for name in installed_with(DIRECT) if not name.startswith(("nvidia-", "cuda-"))}
    assert brought - set(PINS) == set()


def installed_with(direct: list[Requirement]) -> set[str]:
    """The packages that these requirements bring, those of requirements included."""
    names = set()
    seen = set()
    # Pairs of a requirement and the extra, "" for none, for which somebody asks for it.
    waiting = [(requirement, "") for requirement in direct]
    while waiting:
        requirement, asked_by = waiting.pop()
        name = canonicalize_name(requirement.name)
        key = (name, *requirement.extras)
        if key in seen or not applies(requirement, asked_by):
            continue
        seen.add(key)
        names.add(name)
        for line in requires_of(name):
            for extra in requirement.extras or [""]:
                waiting.append((Requirement(line), extra))
    return names


def applies(requirement: Requirement, extra: str) -> bool:
    """Whether the requirement counts on this machine, with the extra or without any."""
    marker = requirement.marker
    if marker is None:
        return True
    return marker.evaluate({"extra": extra}) or marker.evaluate({"extra": ""})


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
        imported |= packages_imported(path.read_text(encoding="utf-8"))
    declared = {Requirement(line).name for line in PROJECT["dependencies"]}
    # Triton, where there is one, comes with torch; `make gpu` runs the tests where pytest is; and
    # only a search for settings needs Optuna.
    not_asked_for = {"minirec", "triton", "pytest", "optuna"}
    assert imported - set(sys.stdlib_module_names) - declared - not_asked_for == set()


def packages_imported(source: str) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules.add(node.module)
    return {module.split(".")[0] for module in modules}


def test_conda_installs_the_same_extras_with_the_same_constraints_as_make():
    (pip_lines,) = [entry["pip"] for entry in CONDA if isinstance(entry, dict)]
    install = f"pip install {' '.join(pip_lines)}"
    assert install in makefile("pip install", "-e").replace("'", "")
    assert pip_lines == ["-c constraints.txt", f"-e .[{','.join(EXTRAS)}]"]


def test_conda_takes_everything_but_python_and_pip_from_pip():
    from_conda = [entry for entry in CONDA if isinstance(entry, str)]
    names = [re.split("[<>=]", entry)[0] for entry in from_conda]
    assert sorted(names) == ["pip", "python"]


def test_conda_and_make_ask_for_the_python_of_pyproject():
    wanted = PROJECT["requires-python"]
    assert f"python{wanted}" in CONDA
    as_a_tuple = wanted.replace(">=3.", ">= (3, ")  # ">=3.11" is ">= (3, 11" there
    assert f"version_info {as_a_tuple})" in makefile("version_info", "sys.exit")


def test_the_workflow_tests_pythons_that_the_project_allows_the_oldest_among_them():
    tested = WORKFLOW["strategy"]["matrix"]["python-version"]
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert all(allowed.contains(python) for python in tested)
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


def test_make_test_runs_the_parts_of_the_suite_and_gives_them_the_arguments():
    assert makefile("side_by_side").strip() == (
        "$(VENV)/bin/python tests/side_by_side.py $(PYTEST_ARGS)"
    )


def test_coverage_is_not_counted_by_a_plugin_of_pytest():
    # With pytest-cov, nbval counts coverage in the kernels too, and no kernel starts.
    assert "pytest-cov" not in (ROOT / "pyproject.toml").read_text()
