"""Reading parts of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.errors import UnsupportedError
from ...ir.ops.index import AT, Index, Item, Span
from ..array import Kind, TracedArray, emit, implements, method
from ..report import expression_here
from .shape import moveaxis, normalize_axis, traced


def span(item: slice, size: Any) -> Span:
    """Return a slice normalised for an axis of `size`."""
    if not isinstance(size, int):
        if item == slice(None):
            return Span(0, size, 1)
        raise UnsupportedError(f"{expression_here()} slices an axis whose size is not yet known.")
    start, stop, step = item.indices(size)
    return Span(start, len(range(start, stop, step)), step)


def _items(index: Any, ndim: int) -> list[Any]:
    """Return the index as one item for each axis or new axis, without Ellipsis and masks."""
    items: list[Any] = []
    for item in index if isinstance(index, tuple) else (index,):
        if isinstance(item, list):
            item = np.asarray(item) if not _holds_traced(item) else np.array(item)
        if isinstance(item, np.ndarray) and item.dtype == bool:
            items.extend(np.nonzero(item))
        elif isinstance(item, TracedArray) and item.dtype.kind == "b":
            raise UnsupportedError(
                f"{expression_here()} reads by a mask whose number of true elements is known only when "
                "the program runs.\n  Write np.where(mask, x, 0) and reduce over all elements instead."
            )
        elif isinstance(item, bool | np.bool_):
            raise UnsupportedError(f"{expression_here()}: a bool as an index is not supported yet.")
        else:
            items.append(item)
    used = sum(i is not None and i is not Ellipsis for i in items)
    if used > ndim:
        raise IndexError(
            f"too many indices for array: array is {ndim}-dimensional, but {used} were indexed"
        )
    where = next((k for k, i in enumerate(items) if i is Ellipsis), None)
    fill = [slice(None)] * (ndim - used)
    return [*items, *fill] if where is None else [*items[:where], *fill, *items[where + 1 :]]


def _holds_traced(values: list[Any]) -> bool:
    return any(
        isinstance(v, TracedArray) or (isinstance(v, list) and _holds_traced(v)) for v in values
    )


def read(a: TracedArray, index: Any) -> Any:
    """Return `a[index]` as NumPy would; int, slice, None, Ellipsis, integer arrays."""
    items = _items(index, a.ndim)
    arrays = [k for k, i in enumerate(items) if _is_array(i)]
    if arrays:
        return _gather(a, items, arrays)
    spec: list[Item] = []
    operands: list[Any] = []
    axis = 0
    for item in items:
        spec.append(_item(item, a.shape[axis] if item is not None else 1, operands, axis))
        axis += item is not None
    if all(isinstance(s, Span) and s == Span(0, d, 1) for s, d in zip(spec, a.shape, strict=False)):
        if len(spec) == a.ndim and any(i is Ellipsis for i in _as_tuple(index)):
            return TracedArray(a._atom, Kind.ARRAY, a._trace)
        if len(spec) == a.ndim and spec:
            return a
    result = emit(Index(tuple(spec)), (a, *operands))
    kind = Kind.ARRAY if result.shape or Ellipsis in _as_tuple(index) else Kind.SCALAR
    return TracedArray(result._atom, kind, result._trace)


def _as_tuple(index: Any) -> list[Any]:
    items = index if isinstance(index, tuple) else (index,)
    return [i for i in items if i is Ellipsis or isinstance(i, int)]


def _is_array(item: Any) -> bool:
    if isinstance(item, TracedArray):
        return bool(item.shape)
    return isinstance(item, np.ndarray) and item.ndim > 0


def _item(item: Any, size: Any, operands: list[Any], axis: int) -> Item:
    if item is None:
        return None
    if isinstance(item, slice):
        return span(item, size)
    if isinstance(item, TracedArray):
        if item.dtype.kind not in "iu":
            raise IndexError(
                "only integers, slices (`:`), ellipsis (`...`), numpy.newaxis (`None`) and integer or "
                "boolean arrays are valid indices"
            )
        operands.append(item)
        return AT
    if not hasattr(item, "__index__"):
        raise IndexError(
            "only integers, slices (`:`), ellipsis (`...`), numpy.newaxis (`None`) and integer or "
            "boolean arrays are valid indices"
        )
    position = int(item.__index__())
    if isinstance(size, int) and not -size <= position < size:
        raise IndexError(f"index {position} is out of bounds for axis {axis} with size {size}")
    return position


def _gather(a: TracedArray, items: list[Any], arrays: list[int]) -> Any:
    """Read at integer arrays; ints beside them are arrays too, as in NumPy."""
    if any(i is None for i in items):
        plain = [None if i is None else slice(None) for i in items]
        return read(read(a, tuple(plain)), tuple(slice(None) if i is None else i for i in items))
    advanced = [k for k, i in enumerate(items) if not isinstance(i, slice)]
    adjacent = advanced == list(range(advanced[0], advanced[-1] + 1))
    operands = [_position(items[k], a.shape[k], k) for k in advanced]
    spec: list[Item] = [
        AT if k in advanced else span(item, a.shape[k]) for k, item in enumerate(items)
    ]
    if not adjacent:
        rest = [k for k in range(a.ndim) if k not in advanced]
        a = np.transpose(a, [*advanced, *rest])
        spec = [*[AT] * len(advanced), *[spec[k] for k in rest]]
    return emit(Index(tuple(spec), gather=True), (a, *operands))


def _position(item: Any, size: Any, axis: int) -> Any:
    if isinstance(item, TracedArray):
        return item
    values = np.asarray(item)
    if values.size == 0 and values.dtype.kind == "f":
        values = values.astype(np.intp)
    if values.dtype.kind not in "iu":
        raise IndexError("arrays used as indices must be of integer (or boolean) type")
    if isinstance(size, int) and values.size:
        low, high = int(values.min()), int(values.max())
        if low < -size or high >= size:
            wrong = low if low < -size else high
            raise IndexError(f"index {wrong} is out of bounds for axis {axis} with size {size}")
    return traced(values if values.ndim else values[()])


@implements(np.take)
def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
    """As `np.take`; `mode` wrap and clip adjust the indices first."""
    a = traced(a)
    if axis is None:
        a, axis = np.reshape(a, -1), 0
    axis = normalize_axis(axis, a.ndim)
    if mode in ("wrap", "clip") and isinstance(a.shape[axis], int):
        size = a.shape[axis]
        indices = traced(np.asarray(indices)) if not isinstance(indices, TracedArray) else indices
        indices = indices % size if mode == "wrap" else np.clip(indices, 0, size - 1)
    elif not isinstance(indices, TracedArray):
        indices = np.asarray(indices)
    return read(a, (*[slice(None)] * axis, indices))


@implements(np.flip)
def flip(m: Any, axis: Any = None) -> Any:
    """As `np.flip`."""
    m = traced(m)
    axes = range(m.ndim) if axis is None else np.lib.array_utils.normalize_axis_tuple(axis, m.ndim)
    return read(m, tuple(slice(None, None, -1) if k in axes else slice(None) for k in range(m.ndim)))


method("take", take)
__all__ = ["moveaxis"]
