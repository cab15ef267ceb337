"""The command line, one command a file."""

from minirec.cli.main import main

__all__ = ["main"]
