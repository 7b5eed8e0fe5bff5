"""The tables of ops, one file a kind; importing the package registers them all."""

from . import control, elementwise, index, matmul, reduce, select, shape  # noqa: F401
