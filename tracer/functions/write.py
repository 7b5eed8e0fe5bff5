"""Functions that write into their arguments."""
