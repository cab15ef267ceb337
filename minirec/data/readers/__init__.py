"""Readers: an interaction log in any of the usual formats, one format per file."""

from minirec.data.readers.file import SEQUENCES, read_interactions_file
from minirec.data.readers.header import Request

__all__ = ["SEQUENCES", "Request", "read_interactions_file"]
