"""Reductions of many short rows, at the run: NumPy's own call their inner loop once for each row.

All take the array, whether reduced axes stay with one entry, and an array for the result or None.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

LONG = 256
"""Entries of a long row, which short ones make behind each other."""
BLOCK = 1 << 18
"""Entries that are reduced at a time where that is done axis by axis."""


def rows_in_long(count: int, width: int) -> int:
    """Return how many of `count` rows make a long one: a divisor of `count` if there is one."""
    most = LONG // width
    return next((k for k in range(most, most // 2, -1) if count % k == 0), most)


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
    rows = x.size // width
    times = rows_in_long(rows, width)
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


def slice_by_slice(
    ufunc: np.ufunc, axes: Sequence[int], x: np.ndarray, keepdims: bool, out: np.ndarray | None
) -> np.ndarray:
    """Reduce negative `axes` of `x`, all results at a time.

    Of several axes the first one, which has the longest runs behind it, is reduced before the rest:
    of squares of 2 x 2 in (64, 24, 24, 6) that takes 156 µs, 220 otherwise. A block at a time, so
    that what lies between takes little memory.
    """
    if out is None:
        sizes = dict(zip(range(-x.ndim, 0), x.shape, strict=True))
        shape = [1 if a in axes else n for a, n in sizes.items() if keepdims or a not in axes]
        out = np.empty(tuple(shape), x.dtype)
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
