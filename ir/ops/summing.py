"""Sums over rows or columns as products with ones, which BLAS computes several times faster.

`np.add.reduce` calls its inner loop once for each row. For float64 matrices of m rows and n columns
(one thread, µs, sums over columns and over rows):

============  =================  ================
m, n          `np.add.reduce`    with ones
============  =================  ================
8, 8          0.96 and 0.96      0.48 and 0.50
128, 32       3.4 and 3.8        0.90 and 0.97
256, 256      13 and 15.5        6.0 and 6.1
100000, 10    1600 and 1960      244 and 260
4096, 1024    884 and 893        1016 and 1146
============  =================  ================

So wide rows are left to NumPy. The two differ by rounding.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from math import prod

import numpy as np

from ..core import Atom
from ..op import Emitter

WIDEST = 4096
"""Bytes of a row beyond which the memory, and not the calls of the inner loop, sets the pace."""
MOST_ONES = 2**17
"""The most rows that are summed so; their ones are one array for all programs."""


@functools.cache
def _all_ones(dtype: np.dtype) -> np.ndarray:
    ones = np.ones(MOST_ONES, dtype)
    ones.flags.writeable = False
    return ones


@functools.cache
def ones(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return an array of ones with at most one axis that is longer than 1."""
    return _all_ones(dtype)[: max(shape)].reshape(shape)


def sum_by_product(
    emitter: Emitter,
    atom: Atom | None,
    operand: str,
    axes: Sequence[int],
    keepdims: bool,
    out: str | None,
) -> str | None:
    """Return source for a sum over negative `axes` as a product, None where NumPy's is better."""
    if emitter.exact or atom is None or not atom.type.is_static or atom.layout is not None:
        return None
    dtype, ndim = atom.type.dtype, atom.type.ndim
    shape = tuple([d for d in atom.type.shape if isinstance(d, int)])
    count = len(axes)
    if dtype.char not in "fd" or not count < ndim or 0 in shape:
        return None
    is_last = tuple(axes) == tuple(range(-count, 0))
    if not is_last and tuple(axes) != tuple(range(-ndim, count - ndim)):
        return None
    split = ndim - count if is_last else count
    rows, columns = prod(shape[:split]), prod(shape[split:])
    length, size = (columns, rows) if is_last else (rows, columns)
    if columns * dtype.itemsize > WIDEST or not 1 < length <= MOST_ONES:
        return None
    whole = shape[:split] if is_last else shape[split:]
    flat: tuple[int, ...] = (size,)
    form: tuple[int, ...] = (length,)
    if keepdims:
        kept = (1,) * count
        whole = (*whole, *kept) if is_last else (*kept, *whole)
        flat, form = ((size, 1), (length, 1)) if is_last else ((1, size), (1, length))
    matrix = operand if ndim == 2 else f"{operand}.reshape({rows}, {columns})"
    factor = emitter.bind(ones(form, dtype), "ones")
    dot = emitter.bind(np.dot, "dot")
    call = f"{dot}({matrix}, {factor}" if is_last else f"{dot}({factor}, {matrix}"
    if out is None:
        return f"{call})" if whole == flat else f"{call}).reshape({whole})"
    target = out if whole == flat else f"{out}.reshape({flat})"
    return f"{call}, {target})"
