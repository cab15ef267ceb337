"""Readers: an interaction log in any of the usual formats, one format per file."""

from minirec.data.readers.file import read_interactions_file

__all__ = ["read_interactions_file"]
