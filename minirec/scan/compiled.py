"""Kernels that Numba compiles once per machine, and keeps on disk only where that is safe.

Compiling takes seconds, so machine code is kept beside the kernels, in `__pycache__`, or where
Numba would keep it: the folder that NUMBA_CACHE_DIR names, or the user's own cache. Numba has such
a cache itself (`cache=True`). It is not used, because it

- runs old machine code after a change in a function that a kernel takes from another file;
- fails where no folder can be written to, and when the disk is full;
- trusts what it finds: one damaged bit gives an error, or wrong numbers.

Here each file holds the machine code of one kernel for one signature, behind a digest of that code
and of everything it was made from. What does not match is compiled anew, and what cannot be written
is kept in memory: a cache may cost time, never a result.

    program    what a kernel is compiled from: bytecode, options, constants and helpers
    place      what else decides about machine code: processor, versions, settings
    signature  the types of the arguments
"""

import functools
import hashlib
import importlib.metadata
import math
import os
import pickle
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from types import BuiltinFunctionType, CodeType, ModuleType
from typing import Any

import numba
import numpy as np
from numba import njit
from numba.extending import is_jitted

DIGEST = hashlib.sha256().digest_size  # bytes

# What a kernel may name besides other compiled functions: it never changes unless its text or its
# library's version does.
CONSTANTS = (bool, int, float, np.generic, type, BuiltinFunctionType)
LIBRARIES = (np, math)


def compiled(**options: Any) -> Callable[[Callable], Callable]:
    """Compile a function by Numba's `njit`, and keep its machine code for the next process.

    Functions that are only ever inlined into others need no more than `njit`. Where this version of
    Numba lacks the inner parts that `_Cache` uses, or the kernel names something that `program_of`
    cannot describe, every process compiles anew: slower, but right.

    Parameters
    ----------
    **options
        Options of `numba.njit`, but `cache`.

    Returns
    -------
    callable
        The decorator.
    """

    def decorate(function: Callable) -> Callable:
        dispatcher: Any = njit(**options)(function)
        is_compiled = is_jitted(dispatcher)  # not under NUMBA_DISABLE_JIT=1: then nothing is
        if is_compiled:
            dispatcher._cache = _Cache(dispatcher)
        return dispatcher

    return decorate


def program_of(dispatcher: Any) -> str:
    """Describe all that a compiled function is made from, its inlined helpers included.

    It is read from the bytecode that Python holds, as Numba does, and not from the source file,
    which may have been edited since Python read it.

    Parameters
    ----------
    dispatcher : Dispatcher
        What `njit` or `compiled` returned.

    Returns
    -------
    str
        Two programs that may differ in machine code have different descriptions.

    Raises
    ------
    TypeError
        If the function depends on something that could change unseen.
    """
    function = dispatcher.py_func
    code = function.__code__
    nested = any(isinstance(constant, CodeType) for constant in code.co_consts)
    if nested or code.co_freevars or function.__defaults__ or function.__kwdefaults__:
        raise TypeError(
            f"{function.__qualname__} has inner functions, outer variables or defaults: "
            "leave them out to have its machine code kept."
        )

    parts = [
        function.__qualname__,
        repr(sorted(dispatcher.targetoptions.items())),
        code.co_code.hex(),
        code.co_exceptiontable.hex(),
        repr((code.co_argcount, code.co_varnames, code.co_names, code.co_consts)),
    ]
    for name in code.co_names:  # of globals, built-ins and attributes
        if name in function.__globals__:
            value = function.__globals__[name]
            parts.append(f"{name} = {_described(name, value)}")
    return "\n".join(parts)


def _described(name: str, value: Any) -> str:
    """Describe what a kernel finds under a global name."""
    if is_jitted(value):
        return program_of(value)
    if isinstance(value, CONSTANTS):
        return repr(value)
    if isinstance(value, ModuleType) and value in LIBRARIES:
        return value.__name__
    raise TypeError(
        f"{name} is a {type(value).__name__}: a kernel's machine code is kept only if it names "
        "numbers, compiled functions, numpy and math."
    )


class _Cache:
    """The files of one kernel, with the methods that Numba's dispatcher calls.

    `load_overload` and `save_overload` turn every failure into "not there", since a kernel works
    without them. The names of `numba.core` are private, so a missing one is such a failure too.
    """

    def __init__(self, dispatcher: Any) -> None:
        self.dispatcher = dispatcher

    @property
    def cache_path(self) -> str:
        """The folder where Numba would keep this kernel; it has been written to on trial."""
        return numba.core.caching.FunctionCache(self.dispatcher.py_func).cache_path

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Return the compiled result for a signature; None where no sound file holds it."""
        try:
            target_context.refresh()
            identity = self._identity(signature)
            payload = _checked(self._path(signature).read_bytes(), identity)
            parts = pickle.loads(payload)
            return numba.core.compiler.CompileResult._rebuild(target_context, *parts)
        except Exception:
            return None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep a compiled result, if it can be kept."""
        try:
            if result.library.has_dynamic_globals:  # addresses of this process
                return
            identity = self._identity(signature)
            payload = numba.core.serialize.dumps(result._reduce())
            _replace(self._path(signature), _digest(payload, identity) + payload)
        except Exception:
            return

    def flush(self) -> None:
        """Do nothing: what no longer fits is replaced when it is met."""

    def _identity(self, signature: Any) -> bytes:
        """Everything that the machine code for a signature depends on."""
        program = program_of(self.dispatcher)
        return f"{self._place()}\n{signature!r}\n{program}".encode()

    def _place(self) -> str:
        """Describe the processor, the versions and the settings."""
        processor = self.dispatcher.targetctx.codegen().magic_tuple()
        settings = sorted(item for item in os.environ.items() if item[0].startswith("NUMBA_"))
        return repr((processor, _versions(), settings))

    def _path(self, signature: Any) -> Path:
        """Name the file. The program is no part of the name: a new one replaces the old."""
        function = self.dispatcher.py_func
        name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
        key = hashlib.sha256(f"{self._place()}\n{signature!r}".encode()).hexdigest()
        return Path(self.cache_path) / f"{name}-{key[:16]}.nbc"


@functools.cache
def _versions() -> tuple[str, ...]:
    """Return the versions of Python and of what takes part in compiling."""
    compiler = importlib.metadata.version("llvmlite")  # Numba's, which we do not import ourselves
    return (sys.version, np.__version__, numba.__version__, compiler)


def _digest(payload: bytes, identity: bytes) -> bytes:
    """Sum up machine code and what it was made from: a file of anything else will not match."""
    length = len(identity).to_bytes(8, "little")  # where one ends and the other begins
    return hashlib.sha256(length + identity + payload).digest()


def _checked(content: bytes, identity: bytes) -> bytes:
    """Return the payload of a file; ValueError if it is damaged, or belongs to something else."""
    payload = content[DIGEST:]
    if content[:DIGEST] != _digest(payload, identity):
        raise ValueError("damaged, or made from something else")
    return payload


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: another process may read or write it at the same time."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
