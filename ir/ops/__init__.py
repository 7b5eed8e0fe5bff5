"""The tables of ops, one file a kind; importing the package registers them all."""

from . import (  # noqa: F401
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
