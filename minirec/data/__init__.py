"""Interaction data: reading it, splitting it, batching it, and a planted set whose answer is known."""
