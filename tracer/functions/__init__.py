"""NumPy functions as compositions of ops, one file a family; importing a file registers its functions."""

from . import create, index, linalg, reduce, shape  # noqa: F401  (imported to register)
