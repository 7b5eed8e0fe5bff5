"""Adding at positions that arrays of integers give, where `np.add.at` is slow.

`np.add.at` has a fast loop for an array of one axis and one flat index, and takes some 9 ns for an
element otherwise. So arrays are seen flat, and two neighbours as one complex number, whose sum is
that of its parts: half as many positions. 100,000 rows of 16 float32 (one thread, ms):

=============================================  ====
`np.add.at` with the rows                      15
flat positions                                 2.9
flat positions of pairs                        1.4
sorting, and `np.add.reduceat` of pairs        1.5
`np.bincount` for each column                  3.2
=============================================  ====

Each sum is made in the order of the positions, with the bits of `np.add.at`. Sorting would change
them; taking the first of each position, then the second, and so on, keeps them but is faster only
for rows of more than a kilobyte that repeat little (1,000 of 512: 0.31 for 0.52).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..op import Array

BLOCK = 1 << 16
"""Elements that are added at once at positions that an array of rows gives."""
_PAIRS: dict[str, np.dtype] = {"f": np.dtype(np.complex64), "d": np.dtype(np.complex128)}


def add_at(x: np.ndarray, index: Any, value: Array) -> None:
    """Add `value` to `x` at an index with integer arrays, repeated positions included.

    Rows of more than a block are added block by block, so that the positions take little memory.
    """
    index = index if isinstance(index, tuple) else (index,)
    if not x.flags.c_contiguous:
        if x.ndim < 2 or np.size(value) < x.size:
            np.add.at(x, index, value)
            return
        whole = np.ascontiguousarray(x)  # two passes over memory
        add_at(whole, index, value)
        x[...] = whole
        return
    if isinstance(value, np.ndarray) and _are_pairs(x, index, value):
        x, value = _as_pairs(x), _as_pairs(value)
    rows, step = index[0], max(BLOCK // max(math.prod(x.shape[1:]), 1), 1)
    if len(index) == 1 and _are_many(rows, step) and _are_within(rows, len(x)):
        values = np.broadcast_to(value, (len(rows), *x.shape[1:]))
        for lo in range(0, len(rows), step):
            _add_flat(x, (rows[lo : lo + step],), values[lo : lo + step])
    else:
        _add_flat(x, index, value)


def _are_many(rows: Any, step: int) -> bool:
    """Whether an item of an index is an array of more rows than are added at once."""
    return (
        isinstance(rows, np.ndarray)
        and rows.ndim == 1
        and rows.dtype.kind in "iu"
        and len(rows) > step
    )


def _are_within(rows: np.ndarray, size: int) -> bool:
    return bool(-size <= rows.min() and rows.max() < size)


def _are_pairs(x: np.ndarray, index: tuple[Any, ...], value: np.ndarray) -> bool:
    """Whether whole rows of evenly many real numbers are added to whole rows."""
    if x.dtype.char not in _PAIRS or not x.dtype.isnative or value.dtype != x.dtype:
        return False
    size = x.shape[-1]
    if size % 2 or not x.size or not value.size or value.shape[-1:] != (size,):
        return False
    last = index[-1] if sum(item is not None for item in index) == x.ndim else slice(None)
    return _is_whole(last, size)


def _is_whole(item: Any, size: int) -> bool:
    """Whether an item of an index is a slice of all of an axis."""
    return isinstance(item, slice) and item.indices(size) == (0, size, 1)


def _as_pairs(x: np.ndarray) -> np.ndarray:
    rows = x if x.strides[-1] == x.itemsize else np.ascontiguousarray(x)
    return rows.view(_PAIRS[x.dtype.char])


def _add_flat(x: np.ndarray, index: tuple[Any, ...], value: Array) -> None:
    if x.ndim == 1 and np.ndim(index[0]) == 1:
        np.add.at(x, index, value)  # it is flat
        return
    flat: np.ndarray | None
    if _are_many_rows(x.shape, index):
        flat = np.arange(x.size).reshape(x.shape).take(index[0], 0)
    else:
        flat = _flat_positions(x.shape, index)
    if flat is None:
        np.add.at(x, index, value)
    else:
        np.add.at(x.reshape(-1), flat.ravel(), np.broadcast_to(value, flat.shape).ravel())


def _are_many_rows(shape: tuple[int, ...], index: tuple[Any, ...]) -> bool:
    """Whether an index reads whole rows, and no fewer than there are."""
    at, *rest = index
    return (
        isinstance(at, np.ndarray)
        and len(index) <= len(shape)
        and at.dtype.kind == "i"
        and at.size >= shape[0]
        and 0 not in shape
        and all(_is_whole(item, size) for item, size in zip(rest, shape[1:], strict=False))
    )


def _flat_positions(shape: tuple[int, ...], index: tuple[Any, ...]) -> np.ndarray | None:
    """Return the flat positions that an index reads, None where NumPy must see the index itself."""
    if any(item is None for item in index):
        return None
    whole = (*index, *[slice(None)] * (len(shape) - len(index)))
    block = np.broadcast_shapes(*[np.shape(i) for i in whole if not isinstance(i, slice)])
    right = len(block) + sum(isinstance(i, slice) for i in whole)
    total: Any = np.zeros((), np.intp)
    is_placed = False
    for axis, (size, item) in enumerate(zip(shape, whole, strict=True)):
        if isinstance(item, slice):
            right -= 1
            part = np.arange(size)[item]
        else:
            right -= 0 if is_placed else len(block)
            is_placed = True
            part = np.asarray(item)
            if part.size and not (-size <= part.min() and part.max() < size):
                return None
            part = part.astype(np.intp)  # uint64 and int64 would make float64
            part = np.where(part < 0, part + size, part)
        stride = math.prod(shape[axis + 1 :])
        total = total + part.reshape((*part.shape, *[1] * right)) * stride
    result: np.ndarray = total
    return result
