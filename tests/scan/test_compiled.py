"""Compiled kernels: what is kept on disk is never stale, never trusted blindly, never needed.

Most tests compile a toy kernel and import it again, as the next process would; some start
processes that run the package's own kernels, in a copy of the package.
"""

import importlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
import torch
from numba.core.compiler import CompileResult

import minirec
from minirec.scan.bd_lru import bd_lru
from minirec.scan.compiled import DIGEST, compiled, program_of
from minirec.scan.numba_bd_lru import _backward, _forward
from minirec.scan.numba_scan import _walk, _walk_back

pytestmark = pytest.mark.slow

HELPER = """
from numba import njit

FACTOR = 2.0

@njit(inline="always")
def change(value):
    return FACTOR * value
"""

KERNEL = """
import numpy as np

from minirec.scan.compiled import compiled
from toy_helper import change

OFFSET = np.float64(1)

@compiled(nogil=True)
def total(values):
    result = 0.0
    for value in values:
        result += change(value) + OFFSET
    return result

@compiled(nogil=True)
def least(values):
    result = np.inf
    for value in values:
        result = min(result, value)
    return result
"""

VALUES = np.array([0.5, 3.0, -8.0, 1.25])  # 4 values, of sum -3.25
TOTAL = 2 * -3.25 + 4 * 1


class Toy:
    """Two files with kernels in a folder, and ways to import, edit and damage them."""

    def __init__(self, folder):
        self.folder = folder
        self.cache = folder / "__pycache__"
        (folder / "toy_helper.py").write_text(HELPER)
        (folder / "toy.py").write_text(KERNEL)

    def anew(self):
        """Import the kernels as the next process would: nothing is compiled yet."""
        for name in ("toy", "toy_helper"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return importlib.import_module("toy")

    def edit(self, name, old, new):
        """Replace some text by some as long, and put the time of the last change back."""
        path = self.folder / name
        text = path.read_text()
        assert text.count(old) == 1
        assert len(old) == len(new)
        before = path.stat()
        path.write_text(text.replace(old, new))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def files(self, kernel="total"):
        return sorted(self.cache.glob(f"toy.{kernel}-*.nbc"))

    def file(self, kernel="total"):
        (path,) = self.files(kernel)
        return path


@pytest.fixture
def toy(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("NUMBA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    # Python trusts the size and time of a source file: without bytecode it reads the text.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path)
    yield Toy(tmp_path)
    for name in ("toy", "toy_helper"):
        sys.modules.pop(name, None)


def nowhere_to_write(monkeypatch):
    """Leave Numba no folder of the user's."""
    for name in ("HOME", "XDG_CACHE_HOME", "IPYTHONDIR", "LOCALAPPDATA"):
        monkeypatch.setenv(name, "/dev/null/nothing")


def was_loaded(kernel):
    """Whether all machine code of a kernel, and there is some, came from the disk."""
    hits = sum(kernel._cache_hits.values())
    misses = sum(kernel._cache_misses.values())
    assert hits + misses > 0
    return misses == 0


# ----- What is kept -------------------------------------------------------------------------------


def test_the_next_process_loads_what_one_has_compiled(toy):
    first = toy.anew()
    assert first.total(VALUES) == TOTAL
    assert not was_loaded(first.total)

    second = toy.anew()
    assert second.total(VALUES) == TOTAL
    assert second.total(VALUES.astype(np.float32)) == TOTAL
    assert second.least(VALUES) == -8
    assert sum(second.total.stats.cache_hits.values()) == 1
    assert sum(second.total.stats.cache_misses.values()) == 1

    third = toy.anew()
    assert third.total(VALUES) == TOTAL
    assert third.total(VALUES.astype(np.float32)) == TOTAL
    assert third.least(VALUES) == -8
    assert was_loaded(third.total)
    assert was_loaded(third.least)
    assert list(toy.cache.glob("*.part")) == []


CHANGES = {
    "a helper of another file": ("toy_helper.py", "FACTOR * value", "FACTOR - value", 8 + 3.25 + 4),
    "a constant of another file": ("toy_helper.py", "FACTOR = 2.0", "FACTOR = 4.0", 4 * -3.25 + 4),
    "the kernel": ("toy.py", "+ OFFSET", "- OFFSET", 2 * -3.25 - 4),
    "a literal of the kernel": ("toy.py", "result = 0.0", "result = 9.0", TOTAL + 9),
    "a constant": ("toy.py", "np.float64(1)", "np.float64(5)", 2 * -3.25 + 4 * 5),
    "the type of a constant": ("toy.py", "np.float64(1)", "np.float32(1)", TOTAL),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen_though_size_and_time_of_the_file_are_the_same(toy, change):
    file, old, new, expected = CHANGES[change]
    toy.anew().total(VALUES)

    toy.edit(file, old, new)
    changed = toy.anew().total
    assert changed(VALUES) == expected
    assert not was_loaded(changed)

    # What was compiled anew has taken the old one's place.
    again = toy.anew().total
    assert again(VALUES) == expected
    assert was_loaded(again)
    assert len(toy.files()) == 1


def test_other_options_of_the_compiler_are_seen(toy):
    toy.anew().total(VALUES)
    text = (toy.folder / "toy.py").read_text()
    (toy.folder / "toy.py").write_text(text.replace("nogil=True", "nogil=True, fastmath=True"))
    kernel = toy.anew().total
    assert kernel(VALUES) == TOTAL
    assert not was_loaded(kernel)


def test_other_settings_of_numba_are_seen(toy, monkeypatch):
    toy.anew().total(VALUES)
    monkeypatch.setenv("NUMBA_OPT", "0")
    kernel = toy.anew().total
    assert kernel(VALUES) == TOTAL
    assert not was_loaded(kernel)


def test_what_was_edited_after_its_import_is_not_kept_as_the_new_text(toy):
    kernel = toy.anew().total
    toy.edit("toy_helper.py", "FACTOR * value", "FACTOR - value")
    assert kernel(VALUES) == TOTAL  # compiled only now, from what was imported
    assert toy.anew().total(VALUES) == 8 + 3.25 + 4


def test_machine_code_is_that_of_the_bytecode_which_python_runs(toy, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    toy.anew().total(VALUES)
    toy.edit("toy_helper.py", "FACTOR * value", "FACTOR - value")
    # Python itself has not seen the edit, and what is compiled now is the old function once more.
    assert toy.anew().total(VALUES) == TOTAL

    for path in toy.cache.glob("*.pyc"):
        path.unlink()
    assert toy.anew().total(VALUES) == 8 + 3.25 + 4


# ----- Damage -------------------------------------------------------------------------------------


def loaded(kernel):
    """What the cache returns for the kernel's one signature."""
    (signature,) = kernel.nopython_signatures
    return kernel._cache.load_overload(signature.args, kernel.targetctx)


def test_no_flipped_bit_is_loaded(toy):
    kernel = toy.anew().total
    kernel(VALUES)
    assert loaded(kernel) is not None

    path = toy.file()
    whole = path.read_bytes()
    head = range(DIGEST + 64)
    spread = range(DIGEST + 64, len(whole), max(1, len(whole) // 300))
    for place in (*head, *spread):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        assert loaded(kernel) is None, f"byte {place}"

    path.write_bytes(whole)
    assert loaded(kernel) is not None


DAMAGES = {
    "empty": lambda whole: b"",
    "one byte": lambda whole: whole[:1],
    "a digest alone": lambda whole: whole[:DIGEST],
    "cut in half": lambda whole: whole[: len(whole) // 2],
    "cut by a byte": lambda whole: whole[:-1],
    "longer": lambda whole: whole + b"\0",
    "zeros": lambda whole: bytes(len(whole)),
    "a flipped bit": lambda whole: whole[:-1000] + bytes([whole[-1000] ^ 4]) + whole[-999:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_replaced(toy, damage):
    toy.anew().total(VALUES)
    path = toy.file()
    path.write_bytes(DAMAGES[damage](path.read_bytes()))

    kernel = toy.anew().total
    assert kernel(VALUES) == TOTAL
    assert not was_loaded(kernel)

    mended = toy.anew().total
    assert mended(VALUES) == TOTAL
    assert was_loaded(mended)


def test_a_sound_file_of_another_signature_is_not_loaded(toy):
    kernel = toy.anew().total
    kernel(VALUES)
    of_float64 = toy.file()
    kernel(VALUES.astype(np.float32))
    (of_float32,) = set(toy.files()) - {of_float64}
    shutil.copy(of_float32, of_float64)

    kernel = toy.anew().total
    assert kernel(VALUES) == TOTAL
    assert not was_loaded(kernel)


def test_a_sound_file_of_another_kernel_is_not_loaded(toy):
    kernels = toy.anew()
    kernels.total(VALUES)
    kernels.least(VALUES)
    shutil.copy(toy.file("least"), toy.file("total"))

    kernel = toy.anew().total
    assert kernel(VALUES) == TOTAL
    assert not was_loaded(kernel)


def test_a_folder_in_the_place_of_a_file_does_not_matter(toy):
    toy.anew().total(VALUES)
    path = toy.file()
    path.unlink()
    path.mkdir()
    assert toy.anew().total(VALUES) == TOTAL
    assert list(toy.cache.glob("*.part")) == []


# ----- Nowhere to keep it -------------------------------------------------------------------------


def test_without_a_folder_that_can_be_written_to_a_kernel_is_compiled_in_memory(toy, monkeypatch):
    nowhere_to_write(monkeypatch)
    toy.cache.write_text("a file where the folder should be")
    assert toy.anew().total(VALUES) == TOTAL


def test_a_folder_that_is_lost_after_the_import_does_not_matter(toy, monkeypatch):
    kernel = toy.anew().total
    nowhere_to_write(monkeypatch)
    shutil.rmtree(toy.cache, ignore_errors=True)
    toy.cache.write_text("a file where the folder was")
    assert kernel(VALUES) == TOTAL


def test_a_full_disk_does_not_matter_and_leaves_nothing_behind(toy):
    resource = pytest.importorskip("resource")
    kernel = toy.anew().total
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # no file grows beyond it
    try:
        assert kernel(VALUES) == TOTAL
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(toy.cache.iterdir()) == []

    # The same kernel is kept as soon as there is room.
    toy.anew().total(VALUES)
    assert toy.file().stat().st_size > 1000


@pytest.mark.parametrize(
    "owner, name",
    [
        (numba.core.caching, "FunctionCache"),
        (CompileResult, "_reduce"),
        (CompileResult, "_rebuild"),
    ],
    ids=["FunctionCache", "_reduce", "_rebuild"],
)
def test_without_a_private_name_of_numba_a_kernel_is_compiled_in_memory(
    toy, monkeypatch, owner, name
):
    monkeypatch.delattr(owner, name)
    for _ in range(2):
        kernel = toy.anew().total
        assert kernel(VALUES) == TOTAL
        assert sum(kernel._cache_hits.values()) == 0


def test_where_compiling_is_switched_off_the_function_itself_is_returned(monkeypatch):
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)

    def double(value):
        return 2 * value

    assert compiled(nogil=True)(double) is double


# ----- What a kernel may name ---------------------------------------------------------------------

NUMBERS = np.array([1.0, 2.0])


def with_a_default(value, factor=2.0):
    return factor * value


def with_an_array(value):
    return NUMBERS[0] * value


def with_an_unknown_module(value):
    return DIGEST * value + len(os.sep)


def with_an_inner_function(value):
    double = lambda number: 2 * number  # noqa: E731
    return double(value)


def outer_variable():
    factor = 2.0

    def with_an_outer_variable(value):
        return factor * value

    return with_an_outer_variable


@pytest.mark.parametrize(
    "function, says",
    [
        (with_a_default, "with_a_default has inner functions, outer variables or defaults"),
        (with_an_inner_function, "with_an_inner_function has inner functions"),
        (outer_variable(), "with_an_outer_variable has inner functions, outer variables"),
        (with_an_array, "NUMBERS is a ndarray"),
        (with_an_unknown_module, "os is a module"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_kernel_of_what_could_change_unseen_is_not_described(function, says):
    with pytest.raises(TypeError, match=says):
        program_of(numba.njit(function))


def test_a_kernel_that_cannot_be_described_works_and_is_not_kept(toy):
    text = (toy.folder / "toy.py").read_text()
    text = text.replace("OFFSET = np.float64(1)", "OFFSET = (1.0, 7.0)")
    (toy.folder / "toy.py").write_text(text.replace("+ OFFSET", "+ OFFSET[0]"))
    assert toy.anew().total(VALUES) == TOTAL
    assert toy.files() == []


@pytest.mark.parametrize("kernel", [_walk, _walk_back, _forward, _backward], ids=str)
def test_each_kernel_of_the_package_can_be_described(kernel):
    assert program_of(kernel) == program_of(kernel)


# ----- The package's own kernels, in processes ----------------------------------------------------

ROWS, POSITIONS, CHANNELS = 2, 5, 3

RUN_ALL = """
import json
import torch
from minirec.scan import numba_bd_lru, numba_scan
from minirec.scan.recurrence import best, linear_recurrence

torch.manual_seed(0)
gates = torch.randn(2, 5, 6)
x, z = torch.randn(2, 2, 5, 3)
decay = torch.tensor([0.1, 0.5, 2.0])
h = numba_scan.scan_forward(x, z, None)
numba_scan.scan_backward(x, h, None, z)
y, states = numba_bd_lru.bd_lru_forward(gates, x, z, decay, None)
numba_bd_lru.bd_lru_backward(gates, x, z, decay, None, states, y, None)
assert torch.equal(linear_recurrence(x, z, impl="numba"), h)

kernels = (numba_scan._walk, numba_scan._walk_back, numba_bd_lru._forward, numba_bd_lru._backward)
found = {"h": h.tolist(), "y": y.tolist(), "best": best(torch.device("cpu"))}
found["hits"] = [sum(kernel._cache_hits.values()) for kernel in kernels]
found["misses"] = [sum(kernel._cache_misses.values()) for kernel in kernels]
print(json.dumps(found))
"""


@pytest.fixture
def package(tmp_path):
    """A copy of the package."""
    here = Path(minirec.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(here, tmp_path / "minirec", ignore=ignored))


def run_all(package, **environment):
    """Run every kernel in a process of its own; return what RUN_ALL has found."""
    inherited = {name: os.environ[name] for name in os.environ if not name.startswith("NUMBA_")}
    inherited.update(PYTHONPATH=str(package.parent), PYTHONDONTWRITEBYTECODE="1", **environment)
    command = [sys.executable, "-W", "error:::minirec", "-c", RUN_ALL]
    done = subprocess.run(
        command, env=inherited, cwd=package.parent, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def expected_of_the_first_step_repeated():
    """What h and y are if every position reads the inputs of the first: by plain formulas."""
    torch.manual_seed(0)
    gates = torch.randn(ROWS, POSITIONS, 2 * CHANNELS)
    x, z = torch.randn(2, ROWS, POSITIONS, CHANNELS)
    decay = torch.tensor([0.1, 0.5, 2.0])

    state = torch.zeros(ROWS, CHANNELS)
    h = []
    for _ in range(POSITIONS):
        state = x[:, 0] * state + z[:, 0]
        h.append(state)

    repeated = [tensor[:, :1].expand_as(tensor) for tensor in (gates, x, z)]
    Lambda = torch.log(torch.expm1(decay))  # the inverse of softplus
    y, _ = bd_lru(*repeated, Lambda, impl="unfused")
    return torch.stack(h, dim=1), y


def test_the_packages_kernels_are_loaded_until_their_helper_in_another_file_changes(package):
    first = run_all(package)
    assert first["hits"] == [0, 0, 0, 0]
    second = run_all(package)
    assert second["misses"] == [0, 0, 0, 0]
    assert (second["h"], second["y"]) == (first["h"], first["y"])

    # Now `line`, which numba_bd_lru.py takes from numba_scan.py, reads the first position always.
    path = package / "scan" / "numba_scan.py"
    text = path.read_text()
    before = path.stat()
    assert text.count("t * by_step") == 1
    path.write_text(text.replace("t * by_step", "0 * by_step"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size

    third = run_all(package)
    h, y = expected_of_the_first_step_repeated()
    torch.testing.assert_close(torch.tensor(third["h"]), h)
    torch.testing.assert_close(torch.tensor(third["y"]), y)
    assert not np.allclose(third["y"], first["y"])


@pytest.mark.skipif(os.name == "nt", reason="/dev/null is a POSIX name")
def test_where_nothing_can_be_written_the_packages_kernels_are_compiled_in_memory(package):
    (package / "scan" / "__pycache__").write_text("a file where the folder should be")
    nowhere = "/dev/null/nothing"
    found = run_all(package, HOME=nowhere, XDG_CACHE_HOME=nowhere, IPYTHONDIR=nowhere)
    assert found["best"] == "numba"
    assert found["misses"] == [1, 1, 1, 1]


def compile_at_once(folder, barrier, n_rounds):
    """Compile toy kernels in step with other processes; raise if one of them is wrong."""
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    for number in range(n_rounds):
        module = importlib.import_module(f"toy_{number}")
        barrier.wait(timeout=60)
        assert module.total(VALUES) == TOTAL


def test_processes_that_compile_at_once_do_not_disturb_each_other(toy):
    n_rounds = 10
    for number in range(n_rounds):
        shutil.copy(toy.folder / "toy.py", toy.folder / f"toy_{number}.py")

    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    arguments = (toy.folder, barrier, n_rounds)
    processes = [context.Process(target=compile_at_once, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        process.kill()
    assert [process.exitcode for process in processes] == [0, 0]

    # One whole file for each kernel, and nothing else.
    assert len(list(toy.cache.iterdir())) == n_rounds
    sys.modules.pop("toy", None)
    kernel = importlib.import_module("toy_0").total
    assert kernel(VALUES) == TOTAL
    assert was_loaded(kernel)
