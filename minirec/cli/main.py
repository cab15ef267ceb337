"""The command line: minirec datasets | train | evaluate | recommend | benchmark | reproduce.

Each command is a file beside this one, with `add_flags(parser)` and `run(options)`.
"""

import argparse
import io
import os
import sys
import warnings
from types import ModuleType

import torch

from minirec.cli import benchmark, datasets, evaluate, recommend, reproduce, train
from minirec.errors import printable_path

ALLOCATOR = "DefaultCPUAllocator"  # stands in PyTorch's message where the CPU's memory is short


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : list of str, optional
        The words after the program's name; those of this process unless given.

    Returns
    -------
    int
        The exit status: 0, 1 for an error that is explained in one line, 130 for Ctrl-C before
        there is a result.
    """
    if arguments is None:
        arguments = sys.argv[1:]
    _print_any_text()
    options = _parser().parse_args(arguments)
    options.typed = ["python", "-m", "minirec", *arguments]  # for the records
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads our output (head, less) has gone. Python writes what is left once more
        # when it ends, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, TypeError, OSError, FloatingPointError, RuntimeError, MemoryError) as error:
        print(f"error: {_in_one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _print_any_text() -> None:
    """Escape what the terminal's encoding lacks, so that no id can end a command.

    A Windows console, and a pipe there, may know some hundred characters only.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _show_warning(message: Warning | str, *where: object, **more: object) -> None:
    """Print a warning as a user reads it: without the line of code that it came from."""
    print(f"warning: {message}", file=sys.stderr)


def _in_one_line(error: BaseException) -> str:
    """Return an error's message as one line; in words where memory is short."""
    if isinstance(error, OSError) and error.filename is not None:
        # As other commands write it; `str` would begin with "[Errno 2]".
        return f"{printable_path(error.filename)}: {error.strerror}"
    first_line = str(error).partition("\n")[0]
    # PyTorch raises a plain RuntimeError where the CPU's memory is short.
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or ALLOCATOR in first_line:
        return (
            "not enough memory; take fewer rows of the data, a smaller --batch-size, --d-model or "
            f"--max-len, or a machine with more ({first_line or 'no size was given'})."
        )
    return first_line


def _parser() -> argparse.ArgumentParser:
    """Assemble the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="python -m minirec",
        description="Train, judge and use efficient sequential recommenders.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(name: str, command: ModuleType, text: str) -> None:
        subparser = commands.add_parser(name, help=text, description=text)
        subparser.add_argument("--json", action="store_true", help="print JSON instead of a table")
        command.add_flags(subparser)
        subparser.set_defaults(run=command.run)

    add("datasets", datasets, "List the named data sets, their licences and where they lie.")
    add("train", train, "Train a model, report it on the test users, save it.")
    add("evaluate", evaluate, "Judge a saved model.")
    add("recommend", recommend, "Recommend from a saved model alone.")
    add("benchmark", benchmark, "Measure against peers, in one run.")
    add(
        "reproduce",
        reproduce,
        "The papers' tables: train what has no record yet, and show ours beside theirs.",
    )
    return parser
