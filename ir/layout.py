"""The memory order that NumPy gives the results of elementwise ops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .types import ArrayType, Layout, c_strides


def elementwise_layout(
    types: Sequence[ArrayType], layouts: Sequence[Layout], itemsize: int
) -> Layout:
    """Return the strides that a ufunc gives a new result (`order="K"`), None for C order.

    NumPy's own iterator decides, on arrays that own no memory, so that every corner (broadcast
    axes, negative strides, mixed orders) is NumPy's.
    """
    if not any(layouts):
        return None
    dummies = [_dummy(t, layout) for t, layout in zip(types, layouts, strict=True)]
    flags: Any = [["readonly"]] * len(dummies) + [["writeonly", "allocate"]]
    operands: list[Any] = [*dummies, None]
    iterator = np.nditer(operands, ["zerosize_ok"], flags, order="K")
    result = iterator.operands[-1]
    if result.flags.c_contiguous:
        return None
    return tuple(s * itemsize for s in result.strides)


def copied_layout(type: ArrayType, layout: Layout) -> Layout:
    """Return the strides of a copy in `order="K"`, None for C order.

    They are not a ufunc's where an axis is broadcast.
    """
    if layout is None:
        return None
    result = np.empty_like(_dummy(type, layout), order="K")
    if result.flags.c_contiguous:
        return None
    return tuple(s * type.dtype.itemsize for s in result.strides)


def reduced_layout(
    type: ArrayType, layout: Layout, axes: Sequence[int], keepdims: bool, itemsize: int
) -> Layout:
    """Return the strides that a ufunc's `reduce` gives its result, None for C order.

    NumPy's own iterator decides, as for elementwise ops; `axes` are negative.
    """
    if layout is None:
        return None
    dummy = _dummy(type, layout)
    dropped = {axis + dummy.ndim for axis in axes}
    kept = [k for k in range(dummy.ndim) if k not in dropped]
    places = [kept.index(k) if k in kept else -1 for k in range(dummy.ndim)]
    operands: list[Any] = [dummy, None]
    flags: Any = [["readonly"], ["readwrite", "allocate"]]
    op_axes: Any = [list(range(dummy.ndim)), places]
    iterator = np.nditer(operands, ["reduce_ok", "zerosize_ok"], flags, op_axes=op_axes, order="K")
    result = iterator.operands[-1]
    if result.flags.c_contiguous:
        return None
    strides = [s * itemsize for s in result.strides]
    if keepdims:
        for axis in sorted(dropped):
            strides.insert(axis, itemsize)
    return tuple(strides)


def splits_last_axis(operand: ArrayType, whole: ArrayType) -> bool:
    """Whether a broadcast operand keeps the last axis from being merged with the one before.

    NumPy's inner loop runs along the last axis then, however short. `whole` has two axes or more.
    """
    last, before = (
        operand.ndim >= -axis and operand.shape[axis] == whole.shape[axis] for axis in (-1, -2)
    )
    return last != before


def _dummy(type: ArrayType, layout: Layout) -> np.ndarray:
    """Return an array of bytes that has the shape and the strides of a value, and no memory."""
    type = type.typical
    if 0 in type.shape:
        return np.ndarray(type.shape, np.int8, np.empty(0, np.int8))
    return np.lib.stride_tricks.as_strided(
        np.empty(1, np.int8),
        type.shape,  # type: ignore[arg-type]
        layout or c_strides(type.dtype.itemsize, type.shape),
    )


def concatenated_layout(
    types: Sequence[ArrayType], layouts: Sequence[Layout], axis: int, result: ArrayType
) -> Layout:
    """Return the strides that `np.concatenate` gives its result, None for C order.

    NumPy decides, on arrays of at most two elements along each axis that have the strides of the
    operands.
    """
    types, result = [t.typical for t in types], result.typical
    if not any(layouts) or result.size == 0:
        return None
    itemsize = result.dtype.itemsize
    dummies: list[Any] = []
    for type, layout in zip(types, layouts, strict=True):
        strides: Any = [abs(s) for s in layout or c_strides(itemsize, type.shape)]
        memory = np.empty(sum(strides) + 1, np.int8)
        shape: Any = [min(d, 2) for d in type.shape]
        dummies.append(np.lib.stride_tricks.as_strided(memory, shape, strides))
    return _ordered(np.concatenate(dummies, axis).strides, result)


def gathered_layout(
    types: Sequence[ArrayType], layouts: Sequence[Layout], items: Sequence[Any], result: ArrayType
) -> Layout:
    """Return the strides that NumPy gives what is read at arrays of positions, None for C order.

    `items` are the index, an Ellipsis in the place of each array of `types[1:]`. NumPy decides, on
    arrays of at most two elements along each axis: `x[:, i]` has the axis of `i` outermost in
    memory.
    """
    types, result = [t.typical for t in types], result.typical
    if result.size == 0 or any(0 in t.shape for t in types):
        return None
    x, *positions = [_small(t, layout) for t, layout in zip(types, layouts, strict=True)]
    rest = iter(positions)
    index = tuple([next(rest) if item is Ellipsis else item for item in items])
    return _ordered(x[index].strides, result)


def _small(type: ArrayType, layout: Layout) -> np.ndarray:
    """Return zeros, at most two along each axis, that have the strides of a value."""
    shape: Any = type.shape
    strides = [abs(s) for s in layout or c_strides(type.dtype.itemsize, shape)]
    # Their order is all that matters.
    ranks = sorted({0, *strides})
    near = [ranks.index(s) and 8 << ranks.index(s) for s in strides]
    memory = np.zeros(sum(near) // 8 + 1, np.int64)
    return np.lib.stride_tricks.as_strided(memory, [min(d, 2) for d in shape], near)


def _ordered(found: Sequence[int], result: ArrayType) -> Layout:
    """Return dense strides of a type, its axes in the order of these strides, None for C order."""
    itemsize = result.dtype.itemsize
    order = sorted(range(result.ndim), key=lambda k: -found[k])
    sizes: Any = [result.shape[k] for k in order]
    dense = dict(zip(order, c_strides(itemsize, sizes), strict=True))
    layout = tuple([dense[k] for k in range(result.ndim)])
    plain: Any = result.shape
    same = c_strides(itemsize, plain)
    if all(a == b for a, b, n in zip(layout, same, plain, strict=True) if n != 1):
        return None
    return layout
