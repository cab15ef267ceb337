"""What a Triton kernel reads and writes, noted while Triton's interpreter runs it (notebook 12).

The interpreter runs a kernel's programs one after another on the CPU, each operation in NumPy. Here
it also notes every load and store. What a GPU or its compiler would not take is refused: a load or
store outside its tensor, a place that two programs write, a type that changes along a loop. A GPU
would read or overwrite whatever lies there. So a learner's kernel can be run without harm.

    program    one copy of the kernel
    lane       one entry of a program's vectors; live, if no mask switches it off
    warp       32 lanes of a program that a GPU serves together
    line       128 bytes of memory, from a multiple of 128 on, fetched in one transaction

Counted from the addresses of a load or store; every tensor is taken to begin at a line, as
PyTorch's do on a GPU. What a GPU's caches then save is not counted. Nor is seen: time, a place that
one program writes and another reads, and whether a GPU has registers enough.
"""

import ast
import importlib.util
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

WARP = 32  # lanes
LINE = 128  # bytes

# Each tensor gets a region of addresses of its own, of so many bits, and begins in its middle. So
# a place far outside is still known for one of this tensor, and never taken for another's.
REGION_BITS = 44
MIDDLE = 1 << (REGION_BITS - 1)

ARCHITECTURE = 90  # a compiler's name of the H100 and the H200; no GPU is needed to compile for one


class Access(NamedTuple):
    """One load or store of one program.

    places : the numbers that its live lanes touch, counted from the tensor's first number.
    lanes : those lanes, counted from the program's first.
    """

    program: tuple[int, int, int]
    is_write: bool
    tensor: str
    places: np.ndarray
    lanes: np.ndarray
    n_lanes: int
    n_bytes: int  # of one number

    @property
    def transactions(self) -> int:
        """The lines that each warp fetches or writes, added up over its warps."""
        if len(self.lanes) == 0:
            return 0
        warps = self.lanes // WARP
        lines = self.places * self.n_bytes // LINE
        return len(np.unique(np.stack([warps, lines]), axis=1).T)


@dataclass(frozen=True)
class KernelTraffic:
    """All loads and stores of a kernel, in the order in which they happened.

    Parameters
    ----------
    accesses : tuple of Access
        One for each load or store of each program.
    tensors : tuple of str
        The names of the kernel's parameters that are tensors.
    """

    accesses: tuple[Access, ...]
    tensors: tuple[str, ...] = ()

    def of(self, tensor: str) -> "KernelTraffic":
        """Return the loads and stores of one tensor, named as the kernel's parameter is."""
        if tensor not in self.tensors:
            raise KeyError(f"no tensor is named {tensor!r}: there are {', '.join(self.tensors)}")
        own = tuple(each for each in self.accesses if each.tensor == tensor)
        return KernelTraffic(own, self.tensors)

    @property
    def reads(self) -> int:
        """Numbers read; one that is read twice counts twice."""
        return sum(len(each.places) for each in self.accesses if not each.is_write)

    @property
    def writes(self) -> int:
        """Numbers written."""
        return sum(len(each.places) for each in self.accesses if each.is_write)

    @property
    def bytes(self) -> int:
        """Bytes read and written."""
        return sum(len(each.places) * each.n_bytes for each in self.accesses)

    @property
    def transactions(self) -> int:
        """Lines of 128 bytes fetched or written, counted for each warp of each load and store."""
        return sum(each.transactions for each in self.accesses)

    @property
    def lanes(self) -> int:
        """Lanes of all loads and stores, those that a mask has switched off too."""
        return sum(each.n_lanes for each in self.accesses)


def watch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> KernelTraffic:
    """Run a kernel in Triton's interpreter and note what it reads and writes.

    A floating-point load gives NaN to lanes that its mask switches off, unless `other` says what
    they get: on a GPU that value is not defined.

    Parameters
    ----------
    kernel : function
        Written in Triton's language, under `triton.jit` or not.
    grid : tuple of int
        How many programs there are, in up to three dimensions.
    *arguments : Tensor, number or None
        The kernel's arguments; tensors lie on the CPU, and a kernel writes into them.
    **constants : any
        Those given by name, such as BLOCK=64.

    Returns
    -------
    KernelTraffic
        Every load and store.

    Raises
    ------
    RuntimeError
        If there is no Triton.
    TypeError
        If the grid is no tuple, an argument is a NumPy array, or a GPU's compiler refuses the
        kernel.
    ValueError
        If a tensor is not on the CPU, or if two programs, or two lanes of one store, write to the
        same place.
    IndexError
        If a lane that no mask switches off reads or writes outside its tensor.
    NotImplementedError
        If the kernel uses an atomic operation.
    """
    _ask_for_triton()
    from triton.runtime.interpreter import InterpretedFunction, InterpreterError

    python = getattr(kernel, "fn", kernel)
    constants.pop("num_warps", None)  # is for the launch, not for the kernel
    given = inspect.signature(python).bind(*arguments, **constants).arguments
    _refuse_arguments(grid, given)
    regions = _Regions({name: each for name, each in given.items() if isinstance(each, Tensor)})

    noted: list[Access] = []
    pointers = {name: regions.pointer(name) for name in regions.tensors}
    try:
        with _noting(regions, noted):
            InterpretedFunction(python)[grid](**(given | pointers))
    except InterpreterError as error:
        raise error.__cause__ or error from None
    _refuse_races(noted)
    _ask_the_compiler(python, given)
    return KernelTraffic(tuple(noted), tuple(regions.tensors))


def is_stub(kernel: Any) -> bool:
    """Tell whether a kernel is still to be written: its body is `...` and nothing else.

    Parameters
    ----------
    kernel : function
        Under `triton.jit` or not.

    Returns
    -------
    bool
    """
    source = textwrap.dedent(inspect.getsource(getattr(kernel, "fn", kernel)))
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    return [ast.unparse(each) for each in function.body] == ["..."]


def bytes_of(run: Callable[[], Any]) -> int:
    """Count the bytes that kernels read and write in Triton's interpreter while `run` runs.

    Parameters
    ----------
    run : callable
        Launches kernels that were made under TRITON_INTERPRET=1; others are not seen.

    Returns
    -------
    int
        Bytes; 0 if no kernel was interpreted.

    Raises
    ------
    RuntimeError
        If there is no Triton.
    """
    _ask_for_triton()
    noted: list[Access] = []
    with _noting(None, noted):
        run()
    return KernelTraffic(tuple(noted)).bytes


def _ask_for_triton() -> None:
    if importlib.util.find_spec("triton") is None:
        raise RuntimeError("this needs Triton (on Linux: pip install triton), which is missing")
    _keep_language()


def _refuse_arguments(grid: Any, given: Mapping[str, Any]) -> None:
    if not isinstance(grid, tuple):
        raise TypeError(f"grid is a tuple, such as (4,) for four programs; got {grid!r}")
    for name, each in given.items():
        if isinstance(each, np.ndarray):
            raise TypeError(f"{name} is a NumPy array; a kernel takes tensors: torch.from_numpy")
        if isinstance(each, Tensor) and each.device.type != "cpu":
            raise ValueError(f"{name} is on {each.device}; the interpreter needs it on the CPU")


# Addresses.


class _Regions:
    """Addresses that a kernel is given in the place of its tensors' own."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = dict(tensors)
        self.names = list(tensors)
        self.owned = {name: _places_of(tensor) for name, tensor in tensors.items()}

    def pointer(self, name: str) -> Any:
        """Return the pointer to a tensor, as the interpreter has it."""
        import triton.language as tl
        from triton.runtime.interpreter import TensorHandle
        from triton.runtime.jit import mangle_type

        kind = tl.str_to_ty(mangle_type(self.tensors[name]), None)
        address = (self.names.index(name) << REGION_BITS) + MIDDLE
        return tl.tensor(TensorHandle(np.array([address], dtype=np.uint64), kind), kind)

    def find(self, addresses: np.ndarray) -> tuple[str, np.ndarray]:
        """Return whose addresses these are, and the places counted from the first number."""
        number = int(addresses[0]) >> REGION_BITS
        if number >= len(self.names):
            raise IndexError("an address leads to no tensor: it has to begin with a kernel's _ptr")
        name = self.names[number]
        first = (number << REGION_BITS) + MIDDLE
        size = self.tensors[name].element_size()
        return name, (addresses.astype(np.int64) - first) // size

    def real(self, name: str, places: np.ndarray) -> np.ndarray:
        """Return where in memory the places of a tensor are."""
        tensor = self.tensors[name]
        return (tensor.data_ptr() + places * tensor.element_size()).astype(np.uint64)


def _places_of(tensor: Tensor) -> np.ndarray:
    """Return for each place from a tensor's first number to its last whether it is the tensor's."""
    if tensor.numel() == 0:
        return np.zeros(0, dtype=bool)
    pairs = zip(tensor.shape, tensor.stride(), strict=True)
    owned = torch.zeros(1 + sum((size - 1) * stride for size, stride in pairs), dtype=torch.bool)
    owned.as_strided(tensor.shape, tensor.stride()).fill_(True)
    return owned.numpy()


@contextmanager
def _noting(regions: _Regions | None, noted: list[Access]) -> Iterator[None]:
    """Note every load and store of the interpreter, before it happens.

    `create_masked_load` and `create_masked_store` are what tl.load and tl.store become there, with
    a mask and without. Without regions, places are counted from the first byte of memory.
    """
    from triton.runtime.interpreter import TensorHandle
    from triton.runtime.interpreter import interpreter_builder as builder

    load = builder.create_masked_load
    store = builder.create_masked_store

    def note(pointers: Any, mask: Any, is_write: bool) -> Any:
        addresses = np.atleast_1d(pointers.data).ravel()
        live = np.broadcast_to(mask.data, np.shape(pointers.data)).ravel()
        lanes = np.flatnonzero(live)
        x, y, z = (int(index) for index in builder.grid_idx)
        size = pointers.get_element_ty().primitive_bitwidth // 8
        name = ""
        places = addresses.astype(np.int64)
        if regions is not None:
            name, places = regions.find(addresses)
        used = places[lanes]
        noted.append(Access((x, y, z), is_write, name, used, lanes, len(addresses), size))
        if regions is None:
            return pointers
        _refuse_beyond(noted[-1], regions.owned[name])
        real = regions.real(name, places).reshape(np.shape(pointers.data))
        return TensorHandle(real, pointers.dtype)

    def noted_load(pointers: Any, mask: Any, other: Any, *rest: Any) -> Any:
        found = note(pointers, mask, is_write=False)
        if regions is not None and other is None and pointers.get_element_ty().is_fp32():
            nothing = np.full(np.shape(pointers.data), np.nan, dtype=np.float32)
            other = TensorHandle(nothing, pointers.get_element_ty())
        return load(found, mask, other, *rest)

    def noted_store(pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
        return store(note(pointers, mask, is_write=True), value, mask, *rest)

    def refuse_atomics(*_: Any) -> Any:
        raise NotImplementedError("atomic operations are not noted here: use tl.store")

    with (
        patch.object(builder, "create_masked_load", noted_load),
        patch.object(builder, "create_masked_store", noted_store),
        patch.object(builder, "create_atomic_rmw", refuse_atomics),
        patch.object(builder, "create_atomic_cas", refuse_atomics),
    ):
        yield


# What a GPU would not take.


def _refuse_beyond(access: Access, owned: np.ndarray) -> None:
    """Raise an IndexError where a live lane leaves the tensor."""
    inside = (access.places >= 0) & (access.places < len(owned))
    inside[inside] = owned[access.places[inside]]
    if inside.all():
        return
    first = np.flatnonzero(~inside)[0]
    does, function = ("writes to", "tl.store") if access.is_write else ("reads", "tl.load")
    gaps = "" if owned.all() else " with gaps between them"
    raise IndexError(
        f"program {_number(access.program)}, lane {access.lanes[first]} {does} place "
        f"{access.places[first]} of {access.tensor}, which has the places 0 to {len(owned) - 1}"
        f"{gaps}. Look at the address, and at the mask that {function} is given"
    )


def _number(program: Sequence[int]) -> str:
    """Return a program's number, or its two or three where the grid has so many dimensions."""
    x, *others = program
    return f"{tuple(program)}" if any(others) else f"{x}"


def _refuse_races(noted: list[Access]) -> None:
    """Raise a ValueError where a place is written by two programs, or by two lanes of a store."""
    writers: dict[tuple[str, int], tuple[int, ...]] = {}
    for access in noted:
        if not access.is_write:
            continue
        places, counts = np.unique(access.places, return_counts=True)
        if (counts > 1).any():
            raise ValueError(
                f"lanes of program {_number(access.program)} write to place "
                f"{places[counts > 1][0]} of {access.tensor} in one tl.store: on a GPU nobody "
                "knows whose number stays"
            )
        for place in places.tolist():
            first = writers.setdefault((access.tensor, place), access.program)
            if first != access.program:
                raise ValueError(
                    f"programs {_number(first)} and {_number(access.program)} both write to place "
                    f"{place} of {access.tensor}: on a GPU nobody knows whose number stays. Look "
                    "at where a program's lanes begin, and by how much they go on"
                )


_COMPILED: dict[Any, str] = {}  # what the compiler said of a kernel and its arguments' types
_LANGUAGE: list[tuple[Any, dict[str, Any]]] = []  # parts of Triton's language and what they hold


def _keep_language() -> None:
    """Note what Triton's language is before the interpreter has changed it."""
    import triton.language as tl

    if _LANGUAGE or not tl.core.is_builtin(tl.load):
        return
    for part in (tl, tl.core, tl.math, tl.tensor, tl.dtype, tl.core.tensor_descriptor_base):
        _LANGUAGE.append((part, dict(vars(part))))


def _restore_language() -> None:
    """Undo what the interpreter leaves behind where one kernel has called another."""
    for part, kept in _LANGUAGE:
        for name, each in dict(vars(part)).items():
            if name not in kept and not inspect.ismodule(each):
                delattr(part, name)
            elif name in kept and each is not kept[name]:
                setattr(part, name, kept[name])


def _ask_the_compiler(python: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Raise a TypeError where Triton's compiler refuses a kernel that its interpreter takes.

    Only its first stage is run, which knows the types; it needs no GPU. It is left out where other
    kernels were interpreted before the first was watched, and have left the language changed.
    """
    if not _LANGUAGE:
        return
    from triton.compiler import CompilationError
    from triton.runtime.jit import JITFunction, mangle_type

    function = JITFunction(python)
    types, constants = {}, {}
    for position, parameter in enumerate(function.params):
        value = given.get(parameter.name, parameter.default)
        is_constant = parameter.is_constexpr or value is None
        types[parameter.name] = "constexpr" if is_constant else mangle_type(value)
        if is_constant:
            constants[(position,)] = value
    key = (python, tuple(types.values()), repr(constants))
    if key not in _COMPILED:
        _restore_language()
        try:
            _to_its_first_form(function, types, constants)
            _COMPILED[key] = ""
        except CompilationError as error:
            _COMPILED[key] = _in_one_line(error)
    if _COMPILED[key]:
        raise TypeError(f"a GPU's compiler refuses this kernel: {_COMPILED[key]}")


def _in_one_line(error: Any) -> str:
    """Return the compiler's own message, without the source that it quotes."""
    message = str(error.error_message or error).strip().rstrip(".")
    wrapped = re.fullmatch(r"""\w+\((["'])(.*)\1\)""", message, re.DOTALL)
    if wrapped:  # an AssertionError("..."), as Python writes it
        message = wrapped[2].rstrip(".")
    return " ".join(message.split())


def _to_its_first_form(function: Any, types: dict[str, str], constants: dict[Any, Any]) -> None:
    """Let the compiler translate a kernel into Triton's first representation of it."""
    import triton.language as tl
    import triton.language.standard as standard
    from triton._C.libtriton import ir
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from triton.compiler.compiler import make_backend

    target = GPUTarget("cuda", ARCHITECTURE, WARP)
    backend = make_backend(target)
    options = backend.parse_options({"num_warps": 1})
    context = ir.context()
    ir.load_dialects(context)
    backend.load_dialects(context)
    source = ASTSource(function, types, constants)
    with _compiled_in_place_of_interpreted(vars(tl), vars(standard), function.fn.__globals__):
        code = backend.get_codegen_implementation(options)
        source.make_ir(target, options, code, backend.get_module_map(), context)


@contextmanager
def _compiled_in_place_of_interpreted(*namespaces: dict[str, Any]) -> Iterator[None]:
    """Exchange what TRITON_INTERPRET=1 made for the interpreter, tl.zeros too, and put it back."""
    from triton.runtime.interpreter import InterpretedFunction
    from triton.runtime.jit import JITFunction

    exchanged = []
    for names in namespaces:
        for name, each in list(names.items()):
            if isinstance(each, InterpretedFunction):
                exchanged.append((names, name, each))
                names[name] = JITFunction(each.fn)
    try:
        yield
    finally:
        for names, name, each in exchanged:
            names[name] = each


if "triton" in sys.modules:
    _keep_language()
