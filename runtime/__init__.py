"""The NumPy runtime that executes a planned program."""
