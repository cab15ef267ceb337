"""Which names of a notebook's cells hold measured times, and which of them an assertion reads.

A time comes from one of TIMERS and is followed through assignments, loops and functions, from cell
to cell. What is read from a stored record is not measured. It is a rule of thumb: it looks at
names, runs nothing, and does not follow a name that a cell both reads and assigns anew.
"""

import ast

TIMERS = {
    "perf_counter",
    "process_time",
    "thread_time",
    "monotonic",
    "take_turns",
    "operator_seconds",
    "timed",
}


def asserted_and_measured(tree, measured: set[str]) -> tuple[set[str], set[str]]:
    """Of a cell: the names that its assertions read, and those that hold a measured time after
    it, when `measured` held one before. A cell that patches the clock measures nothing."""
    bindings = _bindings(tree)
    measured = measured - {name for name, _ in bindings}
    if "patch" not in _names_read(tree):
        measured |= _reached(measured, bindings)
    return set().union(*map(_names_read, _assertions(tree))), measured


def _bindings(tree) -> list[tuple[str, set[str]]]:
    """(name, names that its value is made of) for all that a cell assigns, loops over, appends to
    or defines."""
    found, waiting = [], [tree]
    while waiting:
        node = waiting.pop()
        targets, value = [], None
        if isinstance(node, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            if not isinstance(node, ast.Lambda):
                found.append((node.name, _names_read(node)))
            continue  # what is assigned inside is known there only
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign, ast.NamedExpr)):
            targets, value = [node.target], node.value
        elif isinstance(node, ast.For):
            found += _loop_bindings(node.target, node.iter)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("append", "extend"):
            targets, value = [node.func.value], ast.Tuple(node.args)
        if value is not None:
            found += [(name, _names_read(value)) for target in targets for name in _held_in(target)]
        waiting += ast.iter_child_nodes(node)
    return found


def _loop_bindings(target, values) -> list[tuple[str, set[str]]]:
    """The same for a loop: each part of a zip by itself, and no keys of items()."""
    called = getattr(values, "func", None)
    parts = target.elts if isinstance(target, ast.Tuple) else []
    if getattr(called, "id", None) == "zip" and len(parts) == len(values.args):
        pairs = zip(parts, values.args)
        return [binding for part, value in pairs for binding in _loop_bindings(part, value)]
    if getattr(called, "attr", None) == "items" and parts:
        target = ast.Tuple(parts[1:])
    return [(name, _names_read(values)) for name in _held_in(target)]


def _held_in(target) -> set[str]:
    """The names that an assignment to `target` changes: a and b of `a, b`, and x of `x[i]`."""
    if isinstance(target, (ast.Subscript, ast.Attribute, ast.Starred)):
        return _held_in(target.value)
    if isinstance(target, (ast.Tuple, ast.List)):
        return set().union(*map(_held_in, target.elts))
    return {target.id} if isinstance(target, ast.Name) else set()


def _reached(measured: set[str], bindings) -> set[str]:
    """The names that hold a measured time by these bindings, in however many steps."""
    reached = set()
    while new := {name for name, made_of in bindings if made_of & (measured | reached)} - reached:
        reached |= new
    return reached


def _names_read(tree) -> set[str]:
    """Names and attributes whose values count: no indices, no texts, nothing of which only the
    number or the sign is asked."""
    if isinstance(tree, ast.JoinedStr):
        return set()
    if isinstance(tree, ast.Subscript):
        return _names_read(tree.value)
    if isinstance(tree, ast.Call):
        if getattr(tree.func, "id", getattr(tree.func, "attr", None)) in ("len", "isfinite"):
            return set()
    if isinstance(tree, ast.Compare) and _asks_for_the_sign(tree):
        return set()
    if isinstance(tree, ast.Name):
        return {tree.id}
    read = set().union(*map(_names_read, ast.iter_child_nodes(tree)))
    if isinstance(tree, ast.Attribute):
        return read | {tree.attr}
    return read - _own_names(tree)


def _asks_for_the_sign(comparison) -> bool:
    """`seconds > 0`, which holds on any machine; `slow - fast > 0` is another matter."""
    right = comparison.comparators[0]
    return (
        isinstance(comparison.left, (ast.Name, ast.Subscript))
        and isinstance(comparison.ops[0], ast.Gt)
        and len(comparison.ops) == 1
        and isinstance(right, ast.Constant)
        and right.value == 0
    )


def _own_names(tree) -> set[str]:
    """The names that a function, a class or a comprehension keeps to itself."""
    comprehensions = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    if not isinstance(tree, (ast.FunctionDef, ast.Lambda, ast.ClassDef, *comprehensions)):
        return set()
    nodes = list(ast.walk(tree))
    return {
        node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    } | {node.arg for node in nodes if isinstance(node, ast.arg)}


def _assertions(tree) -> list[ast.AST]:
    """What the cell asserts: the tests of assert statements, and the values given to check()."""
    asserted = [node.test for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    return asserted + [
        argument
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "check"
        for argument in node.args[1:]
    ]
