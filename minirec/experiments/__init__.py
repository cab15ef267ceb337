"""What reproduces the papers' tables and measures against peers; nothing else in the package imports it."""
