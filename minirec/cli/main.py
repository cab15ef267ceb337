"""The command line: minirec datasets | train | evaluate | recommend | benchmark | reproduce."""

import argparse
import os
import sys

import minirec
from minirec.cli import evaluate, recommend, reproduce, train
from minirec.cli.shared import data_flags, show
from minirec.evaluation import PROTOCOLS
from minirec.experiments.benchmarks import BENCHMARKS


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, 1 for an error that is explained in one line, 130 for Ctrl-C before there is a result."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    options.typed = ["python", "-m", "minirec", *arguments]
    try:
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output (head, less) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (
        ValueError,
        TypeError,
        OSError,
        FloatingPointError,
        RuntimeError,
    ) as error:  # RuntimeError: PyTorch's, out of memory for one
        print(f"error: {str(error).partition(chr(10))[0]}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m minirec",
        description="Train, judge and use efficient sequential recommenders.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name, run, text):
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--json", action="store_true", help="print JSON instead of a table")
        sub.set_defaults(run=run)
        return sub

    command(
        "datasets",
        lambda options: show(minirec.available_datasets(), options),
        "List the named data sets, their licences and where they lie.",
    )
    train.add_flags(
        command("train", train.run, "Train a model, report it on the test users, save it.")
    )

    judge = command("evaluate", evaluate.run, "Judge a saved model.")
    data_flags(judge)
    judge.add_argument("--which", default="test", choices=("valid", "test"))
    judge.add_argument("--protocol", default="full", choices=PROTOCOLS)

    use = command("recommend", recommend.run, "Recommend from a saved model alone.")
    use.add_argument(
        "--history",
        action="append",
        required=True,
        metavar="ITEM,ITEM,...",
        help="raw item ids, oldest first, as a line of CSV; may be repeated; may be empty",
    )
    for sub in (judge, use):
        sub.add_argument("model", help="a file written by train")
        sub.add_argument("--k", type=int, default=10)
        sub.add_argument(
            "--exclude-seen", action="store_true", help="take the history out of the candidates"
        )

    measure = command(
        "benchmark",
        lambda options: show(BENCHMARKS[options.what](), options),
        "Measure against peers, in one run.",
    )
    measure.add_argument("what", choices=list(BENCHMARKS))

    reproduce.add_flags(
        command(
            "reproduce",
            reproduce.run,
            "The papers' tables: train what has no record yet, and show ours beside theirs.",
        )
    )
    return parser
