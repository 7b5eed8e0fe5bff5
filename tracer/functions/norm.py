"""Norms of vectors and matrices, by the same operations as NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.ops.decompose import SvdVals
from ...ir.ops.shape import Copy
from ..array import TracedArray, emit, implements
from .linalg import dot, strong
from .shape import cast, emit_reshape, normalize_axis, real, transpose


@implements(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: Any = False) -> Any:
    """As `np.linalg.norm`.

    As in JAX the gradient of the 2-norm at 0 is nan: the norm has no derivative there.
    """
    x = strong(x)
    if x.dtype.kind not in "fc":
        x = cast(x, float)
    ndim = x.ndim
    if axis is None:
        if ord is None or (ord in ("f", "fro") and ndim == 2) or (ord == 2 and ndim == 1):
            result = _flat_norm(x)
            return emit_reshape(result, [1] * ndim) if keepdims else result
        axes = tuple(range(ndim))
    elif isinstance(axis, tuple):
        axes = axis
    else:
        axes = (_as_int(axis),)
    if len(axes) == 1:
        return _vector_norm(x, ord, axes, bool(keepdims))
    if len(axes) != 2:
        raise ValueError("Improper number of dimensions to norm.")
    row, column = (normalize_axis(a, ndim) for a in axes)
    if row == column:
        raise ValueError("Duplicate axes given.")
    result = _matrix_norm(x, ord, row, column)
    if not keepdims:
        return result
    return emit_reshape(result, [1 if k in (row, column) else d for k, d in enumerate(x.shape)])


def _as_int(axis: Any) -> int:
    try:
        return int(axis.__index__())
    except AttributeError as error:
        raise TypeError("'axis' must be None, an integer or a tuple of integers") from error


def _flat_norm(x: TracedArray) -> Any:
    x = _flattened(x)
    if x.dtype.kind != "c":
        return np.sqrt(dot(x, x))
    a, b = np.real(x), np.imag(x)
    return np.sqrt(dot(a, a) + dot(b, b))


def _flattened(x: TracedArray) -> Any:
    """Return the elements in the order of memory, as `ravel(order="K")`."""
    layout = x._atom.layout
    if layout is not None:
        x = transpose(x, sorted(range(x.ndim), key=lambda k: -abs(layout[k])))
    flat = emit_reshape(x, [x.size])
    if flat._atom.layout is not None:
        flat = emit(Copy("C"), (flat,))
    return flat


def _vector_norm(x: TracedArray, ord: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    if isinstance(ord, str):
        raise ValueError(f"Invalid norm order '{ord}' for vectors")
    if ord is None or ord == 2:
        return np.sqrt(np.sum(_squared(x), axis=axis, keepdims=keepdims))
    if ord == 0:
        real_dtype = np.real(np.zeros((), x.dtype)).dtype
        return np.sum(cast(x != 0, real_dtype), axis=axis, keepdims=keepdims)
    size = np.abs(x)
    if ord == np.inf:
        return _largest(size, axis, keepdims)
    if ord == -np.inf:
        return np.min(size, axis=axis, keepdims=keepdims)
    if ord == 1:
        return np.sum(size, axis=axis, keepdims=keepdims)
    total = np.sum(size**ord, axis=axis, keepdims=keepdims)
    return total ** np.reciprocal(ord, dtype=total.dtype)


def _matrix_norm(x: TracedArray, ord: Any, row: int, column: int) -> Any:
    if ord in (2, -2, "nuc"):
        s = emit(SvdVals(), (transpose(x, _last(x.ndim, row, column)),))
        if ord == -2:
            return np.min(s, axis=-1)
        return np.max(s, axis=-1, initial=0) if ord == 2 else np.sum(s, axis=-1, initial=0)
    if ord in (None, "fro", "f"):
        return np.sqrt(np.sum(_squared(x), axis=(row, column)))
    if ord not in (1, -1, np.inf, -np.inf):
        raise ValueError("Invalid norm order for matrices.")
    summed, rest = (row, column) if abs(ord) == 1 else (column, row)
    rest -= rest > summed
    sums = np.sum(np.abs(x), axis=summed)
    return _largest(sums, (rest,), False) if ord > 0 else np.min(sums, axis=rest)


def _last(ndim: int, row: int, column: int) -> list[int]:
    return [*[k for k in range(ndim) if k not in (row, column)], row, column]


def _squared(x: TracedArray) -> Any:
    return np.multiply(x, x) if x.dtype.kind != "c" else real(np.multiply(np.conjugate(x), x))


def _largest(x: Any, axis: tuple[int, ...], keepdims: bool) -> Any:
    """Return the maximum of numbers that are not negative: 0 where there are none."""
    if any(x.shape[a] == 0 for a in axis):
        return np.sum(x, axis=axis, keepdims=keepdims)
    return np.max(x, axis=axis, keepdims=keepdims)


@implements(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """As `np.linalg.vector_norm`: over any number of axes, by default all."""
    x = strong(x)
    if axis is not None and not isinstance(axis, tuple):
        return norm(x, ord, (normalize_axis(axis, x.ndim),), keepdims)
    if axis is None:
        axes = tuple(range(x.ndim))
    else:
        axes = tuple(normalize_axis(a, x.ndim) for a in axis)
    rest = [k for k in range(x.ndim) if k not in axes]
    count = 1
    for a in axes:
        count = count * x.shape[a]
    moved = x if axis is None else transpose(x, [*axes, *rest])
    result = norm(emit_reshape(moved, [count, *[x.shape[k] for k in rest]]), ord, 0)
    if not keepdims:
        return result
    return emit_reshape(result, [1 if k in axes else d for k, d in enumerate(x.shape)])


@implements(np.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """As `np.linalg.matrix_norm`: of the last two axes."""
    return norm(x, ord, (-2, -1), keepdims)
