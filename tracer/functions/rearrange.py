"""Functions that reorder elements: flips, rolls, diagonals, triangles, windows, sorts."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.dims import Dim
from ...ir.errors import ShapeError
from ...ir.ops.index import AT, Index, IndexUpdate, Span
from ...ir.ops.order import ArgSort, Sort
from ...ir.ops.shape import Reshape
from ...ir.ops.windows import Windows
from ..array import TracedArray, emit, implements, is_traced, method, unsupported
from .create import where, zeros
from .index import read
from .join import concatenate
from .shape import (
    MISSING,
    constant,
    copy,
    emit_reshape,
    iota,
    moveaxis,
    normalize_axis,
    swapaxes,
    traced,
)


@implements(np.flip)
def flip(m: Any, axis: Any = None) -> Any:
    """As `np.flip`."""
    m = traced(m)
    axes = range(m.ndim) if axis is None else np.lib.array_utils.normalize_axis_tuple(axis, m.ndim)
    back = slice(None, None, -1)
    index = tuple(back if k in axes else slice(None) for k in range(m.ndim))
    return read(m, index)


@implements(np.flipud)
def flipud(m: Any) -> Any:
    """As `np.flipud`."""
    if traced(m).ndim < 1:
        raise ShapeError("Input must be >= 1-d.")
    return flip(m, 0)


@implements(np.fliplr)
def fliplr(m: Any) -> Any:
    """As `np.fliplr`."""
    if traced(m).ndim < 2:
        raise ShapeError("Input must be >= 2-d.")
    return flip(m, 1)


@implements(np.rot90)
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    """As `np.rot90`."""
    m = traced(m)
    if len(axes) != 2:
        raise ShapeError("len(axes) must be 2.")
    first, second = (normalize_axis(a, m.ndim) for a in axes)
    if first == second:
        raise ShapeError("Axes must be different.")
    k %= 4
    if k == 0:
        return read(m, ...)
    if k == 2:
        return flip(flip(m, first), second)
    if k == 1:
        return swapaxes(flip(m, second), first, second)
    return flip(swapaxes(m, first, second), second)


@implements(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """As `np.roll`, with shifts known while tracing."""
    a = traced(a)
    if is_traced(shift):
        return _roll_by_traced(a, shift, axis)
    if axis is None:
        return emit_reshape(roll(emit_reshape(a, [a.size]), shift, 0), a.shape)
    axes = np.lib.array_utils.normalize_axis_tuple(axis, a.ndim, allow_duplicate=True)
    pairs = np.broadcast(shift, axes)
    if pairs.ndim > 1:
        raise ShapeError("'shift' and 'axis' should be scalars or 1D sequences")
    shifts = dict.fromkeys(range(a.ndim), 0)
    for by, at in pairs:
        shifts[int(at)] += int(by)
    rolled = a
    for at, by in shifts.items():
        size = a.shape[at]
        if isinstance(size, Dim):
            rolled = _roll_by_traced(rolled, by, at)
            continue
        by = by % size if size else 0
        if by:
            lead = (slice(None),) * at
            parts = [read(rolled, (*lead, slice(-by, None))), read(rolled, (*lead, slice(-by)))]
            rolled = concatenate(parts, at)
    return copy(a) if rolled is a else rolled


def _roll_by_traced(a: TracedArray, shift: Any, axis: Any) -> Any:
    if np.shape(shift):
        raise unsupported("np.roll with an array of traced shifts", "Roll one axis at a time.")
    if axis is None:
        return emit_reshape(_roll_by_traced(emit_reshape(a, [a.size]), shift, 0), a.shape)
    axis = normalize_axis(axis, a.ndim)
    if a.shape[axis] == 0:
        return copy(a)
    places = (iota(a.shape[axis]) - shift) % a.shape[axis]
    return read(a, (*[slice(None)] * axis, places))


@implements(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """As `np.diff`."""
    if n < 0:
        raise ShapeError(f"order must be non-negative but got {n!r}")
    a = traced(a)
    if n == 0:
        return a
    if a.ndim == 0:
        raise ShapeError("diff requires input that is at least one dimensional")
    axis = normalize_axis(axis, a.ndim)
    parts = [a]
    if prepend is not None and prepend is not MISSING:
        parts.insert(0, _edge(prepend, a, axis))
    if append is not None and append is not MISSING:
        parts.append(_edge(append, a, axis))
    a = concatenate(parts, axis) if len(parts) > 1 else a
    lead = (slice(None),) * axis
    subtract = np.not_equal if a.dtype == bool else np.subtract
    for _ in range(n):
        a = subtract(read(a, (*lead, slice(1, None))), read(a, (*lead, slice(None, -1))))
    return a


def _edge(value: Any, a: TracedArray, axis: int) -> Any:
    value = traced(value)
    if value.shape:
        return value
    return np.broadcast_to(value, (*a.shape[:axis], 1, *a.shape[axis + 1 :]))


@implements(np.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """As `np.diagonal`: a strided view of the two axes seen as one."""
    a = traced(a)
    if a.ndim < 2:
        raise ShapeError("diag requires an array of at least two dimensions")
    first, second = normalize_axis(axis1, a.ndim), normalize_axis(axis2, a.ndim)
    if first == second:
        raise ShapeError("axis1 and axis2 cannot be the same")
    a = moveaxis(a, (first, second), (-2, -1))
    if a._layout is not None and abs(a._layout[-1]) > abs(a._layout[-2]):
        a, offset = swapaxes(a, -2, -1), -offset  # which lie in one stretch of memory
    *lead, rows, columns = a.shape
    start, length = _diagonal_span(rows, columns, offset)
    flat = emit(Reshape((*lead, rows * columns), a.ndim), (a,), aliases=True)
    spans = [Span(0, d, 1) for d in lead]
    result = emit(Index((*spans, Span(start, length, columns + 1))), (flat,))
    result.set_read_only()
    return result


def _diagonal_span(rows: int, columns: int, offset: int) -> tuple[int, int]:
    """Return the flat position of the diagonal's first element, and its length."""
    start = offset if offset >= 0 else -offset * columns
    length = min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns)
    return (start, length) if length > 0 else (0, 0)


@implements(np.diag)
def diag(v: Any, k: int = 0) -> Any:
    """As `np.diag`."""
    v = traced(v)
    if v.ndim == 2:
        return diagonal(v, k)
    if v.ndim != 1:
        raise ShapeError("Input must be 1- or 2-d.")
    size = v.shape[0] + abs(k)
    start, length = _diagonal_span(size, size, k)
    blank = zeros((size * size,), v.dtype)
    flat = emit(IndexUpdate((Span(start, length, size + 1),)), (blank, v))
    return emit_reshape(flat, [size, size])


@implements(np.diagflat)
def diagflat(v: Any, k: int = 0) -> Any:
    """As `np.diagflat`."""
    v = traced(v)
    return diag(emit_reshape(v, [v.size]), k)


@implements(np.trace)
def trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None
) -> Any:
    """As `np.trace`."""
    return np.sum(diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype, out=out)


def _triangle(shape: Any, k: int) -> np.ndarray:
    """Return where the lower triangle of a matrix is, up to diagonal `k`."""
    if not shape:
        raise TypeError("a triangle is asked of a value without axes")
    return np.tri(shape[0], shape[1], k, dtype=np.bool_)


@implements(np.tril)
def tril(m: Any, k: int = 0) -> Any:
    """As `np.tril`."""
    m = traced(m)
    shape = m.shape[-2:] if m.ndim > 1 else m.shape * 2
    return where(constant(_triangle(shape, k)), m, np.zeros(1, m.dtype)[0])


@implements(np.triu)
def triu(m: Any, k: int = 0) -> Any:
    """As `np.triu`."""
    m = traced(m)
    shape = m.shape[-2:] if m.ndim > 1 else m.shape * 2
    return where(constant(_triangle(shape, k - 1)), np.zeros(1, m.dtype)[0], m)


@implements(np.lib.stride_tricks.sliding_window_view)
def sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Any:
    """As `np.lib.stride_tricks.sliding_window_view`."""
    if writeable:
        raise unsupported(
            "sliding_window_view with writeable=True", "Write into the array itself by an index."
        )
    x = traced(x)
    sizes = tuple(window_shape) if np.iterable(window_shape) else (window_shape,)
    sizes = tuple(int(s) for s in sizes)
    if any(s < 0 for s in sizes):
        raise ShapeError("`window_shape` cannot contain negative values")
    if axis is None:
        axes = tuple(range(x.ndim))
        if len(sizes) != x.ndim:
            raise ShapeError(
                "Since axis is None, must provide window_shape for all dimensions of `x`; got "
                f"{len(sizes)} window_shape elements and `x.ndim` is {x.ndim}."
            )
    else:
        axes = np.lib.array_utils.normalize_axis_tuple(axis, x.ndim, allow_duplicate=True)
        if len(sizes) != len(axes):
            raise ShapeError(
                "Must provide matching length window_shape and axis; got "
                f"{len(sizes)} window_shape elements and {len(axes)} axes elements."
            )
    return emit(Windows(tuple(int(a) - x.ndim for a in axes), sizes), (x,))


def _sorted_axis(a: Any, axis: Any) -> tuple[TracedArray, int]:
    a = traced(a)
    if axis is None:
        a, axis = emit_reshape(a, [a.size]), 0
    if not a.shape:
        if axis not in (-1, 0):
            raise np.exceptions.AxisError(axis, 0)
        return emit_reshape(a, [1]), -1
    return a, normalize_axis(axis, a.ndim) - a.ndim


def _kind(kind: Any, stable: Any, order: Any) -> Any:
    if order is not None:
        raise ShapeError("Cannot specify order when the array has no fields.")
    return "stable" if stable else kind


@implements(np.sort)
def sort(a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    """As `np.sort`."""
    a = traced(a)
    if axis is not None and not a.shape:
        raise np.exceptions.AxisError(axis, 0)
    a, negative = _sorted_axis(a, axis)
    return emit(Sort(negative, _kind(kind, stable, order)), (a,))


@implements(np.argsort)
def argsort(
    a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> Any:
    """As `np.argsort`."""
    a, negative = _sorted_axis(a, axis)
    return emit(ArgSort(negative, _kind(kind, stable, order)), (a,))


@implements(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    """As `np.take_along_axis`."""
    a, at = traced(arr), traced(indices)
    if at.dtype.kind not in "iu":
        raise IndexError("`indices` must be an integer array")
    if axis is None:
        if at.ndim != 1:
            raise ShapeError("when axis=None, `indices` must have a single dimension.")
        a, axis = emit_reshape(a, [a.size]), 0
    axis = normalize_axis(axis, a.ndim)
    if at.ndim != a.ndim:
        raise ShapeError("`indices` and `arr` must have the same number of dimensions")
    index = []
    for k, size in enumerate(a.shape):
        shape = [1] * a.ndim
        shape[k] = size
        index.append(at if k == axis else emit_reshape(iota(size), shape))
    return emit(Index((AT,) * a.ndim, gather=True), (a, *index))


method("diagonal", diagonal)
method("trace", trace)
method("argsort", argsort)
