"""NumPy functions as compositions of ops, one file a family; importing a file registers its functions."""

from . import (  # noqa: F401  (imported to register)
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
