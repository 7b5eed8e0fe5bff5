"""The tables of ops, one file a kind; importing the package registers them all."""

from . import (
    control,
    cumulative,
    einsum,
    elementwise,
    index,
    linalg,
    matmul,
    order,
    reduce,
    select,
    shape,
    windows,
)

__all__ = [
    "control",
    "cumulative",
    "einsum",
    "elementwise",
    "index",
    "linalg",
    "matmul",
    "order",
    "reduce",
    "select",
    "shape",
    "windows",
]
