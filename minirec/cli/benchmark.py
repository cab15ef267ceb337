"""minirec benchmark: measure against peers, in one run."""

import argparse

from minirec.cli.shared import show
from minirec.experiments.benchmarks import BENCHMARKS, measure


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `benchmark`."""
    parser.add_argument(
        "what",
        choices=list(BENCHMARKS),
        help="runs on the GPU if there is one and it has something to do there; "
        'CUDA_VISIBLE_DEVICES="" before the command hides it',
    )


def run(options: argparse.Namespace) -> None:
    """Run one benchmark and print its measurements, each with its device."""
    show(measure(options.what), options)
