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
import itertools
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..core import Atom
from ..dims import bounds
from ..op import Emitter

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
LONG = 256
"""Entries of such a long row."""
BLOCK = 1 << 18
"""Entries that are reduced at a time where that is done axis by axis."""
NARROW = 32
"""Entries behind the last reduced axis beyond which NumPy's inner loop is long enough."""


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
    if atom.type.dtype.char not in "fd":
        return None
    if tuple(axes) != (-1,):
        given = (emitter, ufunc, atom, operand, axes, keepdims, out)
        return _apart(*given) or _first_axes(*given) or _columns(*given)
    *lead, length = atom.type.shape
    if not lead or not isinstance(length, int):
        return None
    greatest = [bounds(size)[1] for size in lead]
    rows = prod([n or 0 for n in greatest])
    if length < 2 or rows < 20 * length or length * atom.type.dtype.itemsize > WIDEST:
        return None
    is_sum = ufunc is np.add
    if length <= (4 if is_sum else SHORT) and ufunc in (np.add, np.maximum, np.minimum):
        function = emitter.bind(functools.partial(entry_by_entry, ufunc), "entry_by_entry")
        return f"{function}({operand}, {keepdims}, {out})"
    if not is_sum:
        return None
    function = emitter.bind(sum_rows, "sum_rows")
    return f"{function}({operand}, {keepdims}, {out})"


def _columns(
    emitter: Emitter,
    ufunc: np.ufunc,
    atom: Atom,
    operand: str,
    axes: Sequence[int],
    keepdims: bool,
    out: str | None,
) -> str | None:
    """Return source for sums of the columns of many short rows, None where NumPy's is as good."""
    width = atom.type.shape[-1]
    if tuple(axes) != (-2,) or ufunc is not np.add or not isinstance(width, int):
        return None
    if width * atom.type.dtype.itemsize > SLIM:
        return None
    function = emitter.bind(sum_columns, "sum_columns")
    return f"{function}({operand}, {keepdims}, {out})"


def _first_axes(
    emitter: Emitter,
    ufunc: np.ufunc,
    atom: Atom,
    operand: str,
    axes: Sequence[int],
    keepdims: bool,
    out: str | None,
) -> str | None:
    """Return source for a reduction of the first axes to short rows."""
    shape, ndim = atom.type.shape, atom.type.ndim
    width = [n for n in shape[len(axes) :] if isinstance(n, int)]
    if tuple(axes) != tuple(range(-ndim, len(axes) - ndim)) or len(width) != ndim - len(axes):
        return None
    greatest = prod([bounds(n)[1] or 0 for n in shape])
    if not 1 < prod(width) <= NARROW or greatest < FEW or len(axes) == ndim:
        return None
    if ufunc not in (np.add, np.maximum, np.minimum):
        return None
    function = emitter.bind(functools.partial(reduce_columns, ufunc, len(axes)), "reduce_columns")
    return f"{function}({operand}, {keepdims}, {out})"


def reduce_columns(
    ufunc: np.ufunc, count: int, x: np.ndarray, keepdims: bool, out: np.ndarray | None
) -> np.ndarray:
    """Reduce the first `count` axes of `x`, many short rows behind each other at a time.

    Sums over the columns of (36864, 6) float32 take 51 µs so, 548 by `np.add.reduce`.
    """
    bare = x.shape[count:]
    if out is None:
        out = np.empty((*(1,) * count, *bare) if keepdims else bare, x.dtype)
    width = prod(bare)
    rows, times = x.size // width, LONG // width
    times = next((k for k in range(times, times // 2, -1) if rows % k == 0), times)
    flat, target = x.reshape(rows, width), out.reshape(width)
    main = rows - rows % times
    if not main or not out.flags.c_contiguous:
        ufunc.reduce(x, tuple(range(count)), out=out, keepdims=keepdims)
        return out
    long = ufunc.reduce(flat[:main].reshape(-1, times * width), 0).reshape(times, width)
    ufunc.reduce(long, 0, None, target)
    if main < rows:
        ufunc(target, ufunc.reduce(flat[main:], 0), out=target)
    return out


def _apart(
    emitter: Emitter,
    ufunc: np.ufunc,
    atom: Atom,
    operand: str,
    axes: Sequence[int],
    keepdims: bool,
    out: str | None,
) -> str | None:
    """Return source for a reduction of a few entries that lie apart, many times."""
    shape, ndim = atom.type.shape, atom.type.ndim
    counts = [shape[a] for a in axes]
    kept = [shape[a] for a in range(-ndim, 0) if a not in axes]
    greatest = [bounds(size)[1] or 0 for size in kept]
    behind = prod(greatest[len(greatest) + axes[-1] + 1 :])
    entries = prod([n if isinstance(n, int) else SHORT + 1 for n in counts])
    if ufunc not in (np.add, np.maximum, np.minimum) or not 2 <= entries <= SHORT:
        return None
    if behind > NARROW or prod(greatest) < 20 * entries or len(axes) == ndim:
        return None
    function = emitter.bind(functools.partial(slice_by_slice, ufunc, tuple(axes)), "slice_by_slice")
    return f"{function}({operand}, {keepdims}, {out})"


def slice_by_slice(
    ufunc: np.ufunc, axes: Sequence[int], x: np.ndarray, keepdims: bool, out: np.ndarray | None
) -> np.ndarray:
    """Reduce negative `axes` of `x`, all results at a time.

    Of several axes the first one, which has the longest runs behind it, is reduced before the rest:
    of squares of 2 x 2 in (64, 24, 24, 6) that takes 156 µs, 220 otherwise. A block at a time, so
    that what lies between takes little memory.
    """
    kept = tuple([1 if a in axes else n for a, n in zip(range(-x.ndim, 0), x.shape, strict=True)])
    bare = tuple([n for a, n in zip(range(-x.ndim, 0), x.shape, strict=True) if a not in axes])
    if out is None:
        out = np.empty(kept if keepdims else bare, x.dtype)
    block = max(BLOCK * len(x) // max(x.size, 1), 1)
    if len(axes) > 1 and x.shape[axes[0]] > 1 and axes[0] > -x.ndim:
        for lo in range(0, len(x), block):
            between = slice_by_slice(ufunc, axes[:1], x[lo : lo + block], True, None)
            if between.size > out[lo : lo + block].size:
                slice_by_slice(ufunc, axes, between, keepdims, out[lo : lo + block])
            else:
                out[lo : lo + block] = between.reshape(out[lo : lo + block].shape)
        return out
    first: Any = tuple([0 if keepdims and a in axes else slice(None) for a in range(-x.ndim, 0)])
    target = out[first] if keepdims else out
    slices = []
    for at in itertools.product(*[range(x.shape[a]) for a in axes]):
        place = dict(zip(axes, at, strict=True))
        index: Any = tuple([place.get(a, slice(None)) for a in range(-x.ndim, 0)])
        slices.append(x[index])
    ufunc(*slices[:2], out=target)
    for part in slices[2:]:
        ufunc(target, part, out=target)
    return out


def entry_by_entry(
    ufunc: np.ufunc, x: np.ndarray, keepdims: bool, out: np.ndarray | None
) -> np.ndarray:
    """Reduce the last axis of `x`, two entries at a time."""
    if out is None:
        out = np.empty((*x.shape[:-1], 1) if keepdims else x.shape[:-1], x.dtype)
    target = out[..., 0] if keepdims else out
    ufunc(x[..., 0], x[..., 1], out=target)
    for k in range(2, x.shape[-1]):
        ufunc(target, x[..., k], out=target)
    return out


def sum_columns(x: np.ndarray, keepdims: bool, out: np.ndarray | None) -> np.ndarray:
    """Sum the last axis of `x` but one."""
    if out is None:
        shape = (*x.shape[:-2], 1, x.shape[-1]) if keepdims else (*x.shape[:-2], x.shape[-1])
        out = np.empty(shape, x.dtype)
    np.einsum("...ij->...j", x, out=out[..., 0, :] if keepdims else out)
    return out


def sum_rows(x: np.ndarray, keepdims: bool, out: np.ndarray | None) -> np.ndarray:
    """Sum the last axis of `x`."""
    if out is None:
        out = np.empty((*x.shape[:-1], 1) if keepdims else x.shape[:-1], x.dtype)
    np.einsum("...i->...", x, out=out[..., 0] if keepdims else out)
    return out


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
