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

Rows in parts of a tiled region, which threads share, are left to functions that have no threads of
their own: short rows are reduced entry by entry (6,553 rows of 10: a maximum takes 44 µs, 271 by
`np.maximum.reduce`), and `np.einsum` sums others (27 µs, 346 by `np.add.reduce`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from ..core import Atom
from ..op import Emitter
from ..types import ArrayType, most_entries
from .reducing import entry_by_entry, reduce_columns, slice_by_slice, sum_columns, sum_rows

WIDEST = 4096
"""Bytes of a row beyond which the memory, and not the calls of the inner loop, sets the pace."""
MOST_ONES = 2**17
"""The most rows that are summed so; their ones are one array for all programs."""
SLIM = 1024
"""Bytes of a row up to which `np.einsum` sums columns: 6,553 rows of 10 in 29 µs, not in 105."""
SHORT = 16
"""Entries of a row up to which `np.maximum` of two entries at a time is faster; 4 for sums."""
FEW = 1 << 12
"""Entries from which rows are put behind each other before their columns are reduced."""
NARROW = 32
"""Entries behind the last reduced axis beyond which NumPy's inner loop is long enough."""


class _Reduction(NamedTuple):
    """A reduction as the generated code asks for it."""

    emitter: Emitter
    ufunc: np.ufunc
    type: ArrayType
    operand: str
    axes: tuple[int, ...]
    keepdims: bool
    out: str | None

    def by(self, function: Callable[..., np.ndarray], *bound: object) -> str:
        """Return source that calls `function(*bound, operand, keepdims, out)`."""
        made = functools.partial(function, *bound) if bound else function
        name = self.emitter.bind(made, function.__name__)
        return f"{name}({self.operand}, {self.keepdims}, {self.out})"


def short_rows(
    emitter: Emitter,
    ufunc: np.ufunc,
    atom: Atom | None,
    operand: str,
    axes: Sequence[int],
    keepdims: bool,
    out: str | None,
) -> str | None:
    """Return source for a reduction of many short rows, None where NumPy's own is as good."""
    if emitter.exact or atom is None or atom.layout is not None:
        return None
    if atom.type.dtype.char not in "fd" or ufunc not in (np.add, np.maximum, np.minimum):
        return None
    asked = _Reduction(emitter, ufunc, atom.type, operand, tuple(axes), keepdims, out)
    if asked.axes == (-1,):
        return _rows(asked)
    return _apart(asked) or _first_axes(asked) or _columns(asked)


def _rows(asked: _Reduction) -> str | None:
    """Reduce the last axis."""
    *lead, length = asked.type.shape
    if not lead or not isinstance(length, int):
        return None
    rows = most_entries(lead)
    if length < 2 or rows < 20 * length or length * asked.type.dtype.itemsize > WIDEST:
        return None
    is_sum = asked.ufunc is np.add
    if length <= (4 if is_sum else SHORT):
        return asked.by(entry_by_entry, asked.ufunc)
    return asked.by(sum_rows) if is_sum else None


def _columns(asked: _Reduction) -> str | None:
    """Sum the last axis but one of short rows."""
    width = asked.type.shape[-1]
    if asked.axes != (-2,) or asked.ufunc is not np.add or not isinstance(width, int):
        return None
    return asked.by(sum_columns) if width * asked.type.dtype.itemsize <= SLIM else None


def _first_axes(asked: _Reduction) -> str | None:
    """Reduce the first axes to short rows."""
    shape, ndim, count = asked.type.shape, asked.type.ndim, len(asked.axes)
    width = [n for n in shape[count:] if isinstance(n, int)]
    if asked.axes != tuple(range(-ndim, count - ndim)) or len(width) != ndim - count:
        return None
    if not 1 < prod(width) <= NARROW or most_entries(shape) < FEW or count == ndim:
        return None
    return asked.by(reduce_columns, asked.ufunc, count)


def _apart(asked: _Reduction) -> str | None:
    """Reduce a few entries that lie apart, many times."""
    shape, ndim, axes = asked.type.shape, asked.type.ndim, asked.axes
    kept = [shape[a] for a in range(-ndim, 0) if a not in axes]
    entries = prod([n if isinstance(n, int) else SHORT + 1 for n in [shape[a] for a in axes]])
    if not 2 <= entries <= SHORT or len(axes) == ndim:
        return None
    if most_entries(kept[len(kept) + axes[-1] + 1 :]) > NARROW or most_entries(kept) < 20 * entries:
        return None
    return asked.by(slice_by_slice, asked.ufunc, axes)


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
