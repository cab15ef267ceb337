"""Building blocks, one a file, each with a lesson of its own."""
