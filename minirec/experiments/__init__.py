"""What reproduces the papers' tables and measures against peers.

Nothing else in the package imports it.
"""
