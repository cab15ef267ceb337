"""Which names of a notebook's cells hold measured times, and which of them an assertion reads.

A time comes from one of TIMERS and is followed through assignments, loops and functions, from cell
to cell. What is read from a stored record is not measured. It is a rule of thumb: it looks at
names, runs nothing, and does not follow a name that a cell both reads and assigns anew.
"""

import ast
from typing import NamedTuple

TIMERS = {
    "perf_counter",
    "process_time",
    "thread_time",
    "monotonic",
    "take_turns",
    "operator_seconds",
    "timed",
}

# What is assigned inside one of these is known there only.
DEFINITIONS = (ast.FunctionDef, ast.Lambda, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Binding(NamedTuple):
    name: str
    made_of: set[str]  # the names that its value is computed from


def asserted_and_measured(tree: ast.AST, measured: set[str]) -> tuple[set[str], set[str]]:
    """The names that a cell's assertions read, and those that hold a measured time after it.

    measured: the names that held one before. A cell that patches the clock measures nothing.
    """
    bindings = _bindings(tree)
    # A name that is assigned anew holds what it is assigned, no longer what it held before.
    measured = measured - {binding.name for binding in bindings}
    if "patch" not in _names_read(tree):
        measured |= _reached(measured, bindings)
    return _names_asserted(tree), measured


def _reached(measured: set[str], bindings: list[Binding]) -> set[str]:
    """The names that come to hold a measured time by these bindings, in however many steps."""
    reached = set()
    while True:
        sources = measured | reached
        now = {binding.name for binding in bindings if binding.made_of & sources}
        if now <= reached:
            return reached
        reached |= now


# --- What a cell binds ---


def _bindings(node: ast.AST) -> list[Binding]:
    """All that a cell assigns, loops over, appends to or defines."""
    bindings = _bindings_by(node)
    if not isinstance(node, DEFINITIONS):
        for child in ast.iter_child_nodes(node):
            bindings += _bindings(child)
    return bindings


def _bindings_by(node: ast.AST) -> list[Binding]:
    """What this one node of the syntax tree binds, not counting the nodes inside it."""
    match node:
        case ast.FunctionDef() | ast.ClassDef():
            return [Binding(node.name, _names_read(node))]
        case ast.Assign():
            return _bind(node.targets, [node.value])
        case ast.AugAssign() | ast.AnnAssign() | ast.NamedExpr() if node.value is not None:
            return _bind([node.target], [node.value])
        case ast.For():
            return _loop_bindings(node.target, node.iter)
        case ast.Call(func=ast.Attribute(attr="append" | "extend")):
            return _bind([node.func.value], node.args)
    return []


def _loop_bindings(target: ast.expr, values: ast.expr) -> list[Binding]:
    """What a loop binds: each part of a zip by itself, and no keys of items()."""
    parts = target.elts if isinstance(target, ast.Tuple) else []
    match values:
        case ast.Call(func=ast.Name(id="zip")) if len(parts) == len(values.args):
            bindings = []
            for part, value in zip(parts, values.args, strict=True):
                bindings += _loop_bindings(part, value)
            return bindings
        case ast.Call(func=ast.Attribute(attr="items")) if parts:
            return _bind(parts[1:], [values])
    return _bind([target], [values])


def _bind(targets: list[ast.expr], values: list[ast.expr]) -> list[Binding]:
    """Every name in the targets is made of every name in the values."""
    made_of = _names_read_in(values)
    bindings = []
    for target in targets:
        bindings += [Binding(name, made_of) for name in _names_held(target)]
    return bindings


def _names_held(target: ast.expr) -> set[str]:
    """The names that an assignment to `target` changes: a and b of `a, b`, and x of `x[i]`."""
    match target:
        case ast.Name():
            return {target.id}
        case ast.Subscript() | ast.Attribute() | ast.Starred():
            return _names_held(target.value)
        case ast.Tuple() | ast.List():
            return set().union(*map(_names_held, target.elts))
    return set()


# --- What a cell reads ---


def _names_asserted(tree: ast.AST) -> set[str]:
    """The names that assert statements test, and those of the values given to check()."""
    asserted = []
    for node in ast.walk(tree):
        match node:
            case ast.Assert():
                asserted.append(node.test)
            case ast.Call(func=ast.Name(id="check")):
                asserted += node.args[1:]  # the first one is the verdict's text
    return _names_read_in(asserted)


def _names_read_in(trees: list[ast.AST]) -> set[str]:
    return set().union(*map(_names_read, trees))


def _names_read(tree: ast.AST) -> set[str]:
    """Names and attributes whose values count.

    No indices, no texts, nothing of which only the number or the sign is asked.
    """
    match tree:
        case ast.Name():
            return {tree.id}
        case ast.JoinedStr():
            return set()
        case ast.Subscript():
            return _names_read(tree.value)
        case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called)):
            if called in ("len", "isfinite"):
                return set()
        case ast.Compare():
            if _asks_for_the_sign(tree):
                return set()

    read = _names_read_in(list(ast.iter_child_nodes(tree)))
    if isinstance(tree, ast.Attribute):
        read.add(tree.attr)
    return read - _own_names(tree)


def _asks_for_the_sign(comparison: ast.Compare) -> bool:
    """Whether it is like `seconds > 0`, which holds on any machine.

    `slow - fast > 0` is another matter.
    """
    match comparison:
        case ast.Compare(
            left=ast.Name() | ast.Subscript(),
            ops=[ast.Gt()],
            comparators=[ast.Constant(value=0)],
        ):
            return True
    return False


def _own_names(tree: ast.AST) -> set[str]:
    """The names that a function, a class or a comprehension keeps to itself."""
    if not isinstance(tree, DEFINITIONS + COMPREHENSIONS):
        return set()
    own = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(ctx=ast.Store()):
                own.add(node.id)
            case ast.arg():
                own.add(node.arg)
    return own
