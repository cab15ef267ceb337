"""minirec datasets: list the named data sets, their licences and where they lie."""

import argparse

import minirec
from minirec.cli.shared import show


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `datasets`: none of its own."""


def run(options: argparse.Namespace) -> None:
    """Print the table of the named data sets."""
    show(minirec.available_datasets(), options)
