"""Where an answer parts from what was expected: in words, and never as a dump of numbers."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from minirec.exercises.compare import as_tensor, difference, is_same, tolerance_for

LONGEST_TEXT = 60  # characters of a string that is shown
MOST_NUMBERS = 6  # of an input that is shown whole


class Place(NamedTuple):
    """The innermost part of a result in which it differs from what was expected."""

    where: tuple[str, ...]  # ("part 2 of 3", "key 'a'"), empty for the whole result
    expected: Any
    value: Any


def first_place(expected: Any, value: Any, tolerance: float | None = None) -> Place:
    """Find the first part of a tuple, dict or list of unlike things that differs.

    Parameters
    ----------
    expected, value : anything
        Two results that differ.
    tolerance : float, optional
        By how much numbers may differ, as in `difference`.

    Returns
    -------
    Place
        Where it is and what stands there; the whole where it has no parts or other parts.
    """
    for name, right, ours in _parts(expected, value):
        if difference(right, ours, tolerance):
            inner = first_place(right, ours, tolerance)
            return Place((name, *inner.where), inner.expected, inner.value)
    return Place((), expected, value)


def _parts(expected: Any, value: Any) -> list[tuple[str, Any, Any]]:
    """Return name, expected and given of each part that is compared by itself."""
    if isinstance(expected, dict) and isinstance(value, dict):
        if expected.keys() != value.keys():
            return []
        return [(f"key {key!r}", expected[key], value[key]) for key in expected]

    if not _are_lists(expected, value) or len(expected) != len(value):
        return []
    pairs = list(zip(expected, value, strict=True))
    if isinstance(expected, tuple):
        n_parts = len(expected)
        return [(f"part {i + 1} of {n_parts}", *pair) for i, pair in enumerate(pairs)]
    if as_tensor(expected) is not None or _holds_only_strings(expected):
        return []  # compared as one
    return [(f"entry [{i}]", *pair) for i, pair in enumerate(pairs)]


def _are_lists(expected: Any, value: Any) -> bool:
    is_sequence = isinstance(expected, list | tuple | np.ndarray)
    return is_sequence and isinstance(value, list | tuple | np.ndarray) and _has_length(value)


def _has_length(value: Any) -> bool:
    return not isinstance(value, np.ndarray) or value.ndim > 0


def _holds_only_strings(values: Any) -> bool:
    return all(isinstance(each, str) for each in values)


def explain(expected: Any, value: Any, tolerance: float | None = None) -> str:
    """Say in one or two sentences what is wrong with a result that has no parts.

    Parameters
    ----------
    expected, value : anything
        Two results that differ, as `first_place` finds them.
    tolerance : float, optional
        By how much numbers may differ, as in `difference`.

    Returns
    -------
    str
        A text that begins in lower case: the kind, the shapes, or the first entry that differs.
    """
    if value is ...:
        return "your answer is still `...`: replace it."
    other_kind = f"your answer is {kind_of(value)}; it should be {kind_of(expected)}."
    if isinstance(expected, tuple):  # of another length, or only this one is
        return other_kind
    if isinstance(expected, dict) and isinstance(value, dict):
        return _explain_members("key", list(expected), list(value))
    if isinstance(expected, set) and isinstance(value, set):
        return _explain_members("member", sorted(expected, key=str), sorted(value, key=str))
    if isinstance(expected, str) and isinstance(value, str):
        return f"your answer is {show(value)}; it should be {show(expected)}."

    a = as_tensor(expected)
    b = as_tensor(value)
    if a is not None and b is not None:
        if isinstance(value, tuple) and a.shape != b.shape:
            return other_kind
        return _explain_tensors(a, b, tolerance)
    are_lists = a is None and b is None and _are_lists(expected, value)
    if are_lists and not isinstance(value, tuple):
        return _explain_lists(expected, value)
    return other_kind


def _explain_members(noun: str, expected: list, value: list) -> str:
    """Name what a dict or a set lacks, and what it should not hold."""
    missing = [each for each in expected if each not in value]
    needless = [each for each in value if each not in expected]
    complaints = []
    if missing:
        complaints.append(f"lacks the {noun} {_some(missing)}")
    if needless:
        complaints.append(f"has the {noun} {_some(needless)}, which should not be there")
    return f"your answer {' and '.join(complaints)}."


def _some(values: list) -> str:
    """Show the first of several things and count the others."""
    others = f" (and {len(values) - 1} more)" if len(values) > 1 else ""
    return f"{show(values[0])}{others}"


def _explain_lists(expected: Any, value: Any) -> str:
    """Compare two lists of which neither is a tensor: names, or rows of unequal lengths."""
    if len(expected) != len(value):
        return (
            f"your answer has length {len(value)} ({kind_of(value)}); it should have length "
            f"{len(expected)} ({kind_of(expected)})."
        )
    pairs = list(zip(expected, value, strict=True))
    differs = [i for i, pair in enumerate(pairs) if difference(*pair)]
    first = differs[0]
    return (
        f"lengths agree ({len(expected)}). The first entry that differs is [{first}]: yours "
        f"{show(value[first])}, expected {show(expected[first])} "
        f"({len(differs)} of {len(expected)} entries differ)."
    )


def _explain_tensors(a: Tensor, b: Tensor, tolerance: float | None) -> str:
    """Compare the expected numbers a with the given ones b."""
    if a.shape != b.shape:
        if a.dim() == 0:
            return f"your answer has shape {list(b.shape)}; it should be a single number."
        if b.dim() == 0:
            return f"your answer is a single number; it should have shape {list(a.shape)}."
        return f"your answer has shape {list(b.shape)}; it should have {list(a.shape)}."
    if a.dim() == 0:
        return _explain_numbers(a, b)

    invented_nan = b.isnan() & ~a.isnan()
    if invented_nan.any():
        count = f"{int(invented_nan.sum())} of {a.numel()} entries are"
        return f"shapes agree ({list(a.shape)}), but entry {_first(invented_nan)} is NaN ({count})."

    differs = ~is_same(a, b, tolerance_for(a, b, tolerance))
    first = _first(differs)
    ours, right = show_two(b[tuple(first)].item(), a[tuple(first)].item())
    return (
        f"shapes agree ({list(a.shape)}). The first entry that differs is {first}: yours {ours}, "
        f"expected {right} ({int(differs.sum())} of {a.numel()} entries differ)."
    )


def _explain_numbers(a: Tensor, b: Tensor) -> str:
    if a.dtype == torch.bool and b.dtype != torch.bool:
        return f"your answer is the number {show(b.item())}; it should be True or False."
    if b.dtype == torch.bool and a.dtype != torch.bool:
        return f"your answer is {b.item()}; it should be a number."
    if b.isnan():
        return "your answer is NaN."
    ours, right = show_two(b.item(), a.item())
    return f"your answer is {ours}; it should be {right}."


def _first(mask: Tensor) -> list[int]:
    """Return the index of the first true entry."""
    return mask.nonzero()[0].tolist()


def show(value: Any) -> str:
    """Return a small thing as a learner would write it, a large one by its kind."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bool | int | None):
        return str(value)
    if isinstance(value, str):
        text = str(value)
        return repr(text) if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]!r}..."
    return kind_of(value)


def show_two(ours: float, right: float) -> tuple[str, str]:
    """Show two unequal numbers with as many digits as it takes to tell them apart."""
    if show(ours) != show(right):
        return show(ours), show(right)
    return repr(ours), repr(right)


def kind_of(value: Any) -> str:
    """Say in a few words what a thing is."""
    if isinstance(value, str):
        return f"the string {show(value)}"
    if isinstance(value, bool | int | float | None):
        return show(value)
    if isinstance(value, Tensor | np.ndarray | np.generic):
        return _kind_of_array(value)
    for kind, noun in ((tuple, "part"), (list, "value"), (set, "member"), (dict, "key")):
        if isinstance(value, kind):
            return f"a {kind.__name__} of {count(len(value), noun)}"
    if isinstance(value, Iterator):
        return f"a {type(value).__name__} (list(...) makes a list of it)"
    if callable(value):
        return f"the function {getattr(value, '__name__', type(value).__name__)}"
    return f"an object of type {type(value).__name__}"


def count(n: int, noun: str) -> str:
    """Return the number with its noun, "1 part" or "2 parts"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _kind_of_array(value: Tensor | np.ndarray | np.generic) -> str:
    if not value.shape:
        return show(value.item())
    noun = "a tensor" if isinstance(value, Tensor) else "an array"
    return f"{noun} of shape {list(value.shape)}"


def describe_inputs(names: Iterable[str], values: Iterable[Any]) -> str:
    """Describe the arguments of a call: small ones in full, large ones by their shapes.

    Parameters
    ----------
    names, values : iterables of equal length
        The arguments' names and what they are.

    Returns
    -------
    str
        For example "scores of shape [3, 100], k = 10".
    """
    return ", ".join(_describe(name, value) for name, value in zip(names, values, strict=True))


def _describe(name: str, value: Any) -> str:
    if isinstance(value, str | bool | int | float | None):
        return f"{name} = {show(value)}"
    tensor = as_tensor(value)
    if tensor is not None and tensor.numel() <= MOST_NUMBERS:
        return f"{name} = {_show_nested(tensor.tolist())}"
    if tensor is not None:
        return f"{name} of shape {list(tensor.shape)}"
    if (
        isinstance(value, list | tuple)
        and len(value) <= MOST_NUMBERS
        and _holds_only_strings(value)
    ):
        return f"{name} = {_show_nested(value)}"
    return f"{name}: {kind_of(value)}"


def _show_nested(value: Any) -> str:
    """Show a few numbers, with four digits, or names, in brackets where there are several."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_show_nested, value))}]"
    return f"{value:.4g}" if isinstance(value, float) else show(value)
