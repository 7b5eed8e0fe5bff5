"""NumPy functions as compositions of ops, one file a family; importing registers them all."""

from . import (
    create,
    einsum,
    index,
    join,
    linalg,
    math,
    norm,
    query,
    rearrange,
    reduce,
    shape,
    statistics,
)

__all__ = [
    "create",
    "einsum",
    "index",
    "join",
    "linalg",
    "math",
    "norm",
    "query",
    "rearrange",
    "reduce",
    "shape",
    "statistics",
]
