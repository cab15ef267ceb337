"""What the tests share that ask rules: the notebooks read once, rules by name, complaints shown."""

import functools
from pathlib import Path

import notebook_rules


def name_of(function) -> str:
    return function.__name__


@functools.cache
def read_once(path: Path):
    """The notebook, read for the first rule only: no rule changes what it looks at."""
    return notebook_rules.read(path)


def expect_none(complaints: list[str]):
    assert not complaints, "\n".join(complaints)
