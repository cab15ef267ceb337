"""Interaction data: reading, splitting and batching it, and a planted set with a known answer."""
