"""Reading parts of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...ir.errors import ShapeError, UnsupportedError
from ...ir.op import broadcast
from ...ir.ops.index import AT, Index, Item, Span
from ...ir.types import Kind
from ..array import TracedArray, emit, implements, method
from ..report import expression_here
from .shape import as_array, constant, normalize_axis, traced, transpose


def span(item: slice, size: Any) -> Span:
    """Return a slice normalised for an axis of `size`."""
    if not isinstance(size, int):
        if item == slice(None):
            return Span(0, size, 1)
        raise UnsupportedError(f"{expression_here()} slices an axis whose size is not yet known.")
    start, stop, step = item.indices(size)
    return Span(start, len(range(start, stop, step)), step)


class _Flag:
    """A bool in an index: a new axis of size 1, read at as many positions as it is true."""

    def __init__(self, value: Any) -> None:
        self.places = np.zeros(int(bool(value)), np.intp)


def _items(index: Any, shape: Sequence[Any]) -> list[Any]:
    """Return the index as one item for each axis or new axis, without Ellipsis and masks."""
    items: list[Any] = []
    for item in index if isinstance(index, tuple) else (index,):
        if isinstance(item, list):
            item = np.asarray(item) if not _holds_traced(item) else np.array(item)
            item = item.astype(np.intp) if item.size == 0 else item
        if isinstance(item, bool | np.bool_) or _is_mask(item):
            mask = np.asarray(item)
            items.append(_Mask(mask) if mask.ndim else _Flag(item))
        elif isinstance(item, TracedArray) and item.dtype.kind == "b":
            raise UnsupportedError(
                f"{expression_here()} reads by a mask whose number of true elements is known only "
                "when the program runs.\n  Write np.where(mask, x, 0) and reduce over all elements "
                "instead."
            )
        else:
            items.append(item)
    used = sum(_axes(i) for i in items)
    if used > len(shape):
        raise IndexError(
            f"too many indices for array: array is {len(shape)}-dimensional, but {used} were "
            "indexed"
        )
    places = [k for k, i in enumerate(items) if i is Ellipsis]
    if len(places) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    fill: list[Any] = [slice(None)] * (len(shape) - used)
    if places:
        fill = fill or [_GAP]
        items[places[0] : places[0] + 1] = fill
    else:
        items += fill
    return _without_masks(items, shape)


def _axes(item: Any) -> int:
    """Return how many axes an item of an index consumes."""
    if isinstance(item, _Mask):
        return item.mask.ndim
    axisless = item is None or item is Ellipsis or item is _GAP or isinstance(item, _Flag)
    return 0 if axisless else 1


def _is_mask(item: Any) -> bool:
    return isinstance(item, np.ndarray) and item.dtype == bool


_GAP: Any = object()
"""An Ellipsis that stands for no axis; it still keeps the arrays on its sides apart."""


class _Mask(NamedTuple):
    """A boolean array known while tracing."""

    mask: np.ndarray


def _without_masks(items: Sequence[Any], shape: Sequence[Any]) -> list[Any]:
    result: list[Any] = []
    axis = 0
    for item in items:
        if isinstance(item, _Mask):
            part = tuple(shape[axis : axis + item.mask.ndim])
            if item.mask.shape != part:
                wrong = next(k for k, d in enumerate(part) if d != item.mask.shape[k])
                raise IndexError(
                    "boolean index did not match indexed array along axis "
                    f"{axis + wrong}; size of axis is {part[wrong]} but size of corresponding "
                    f"boolean axis is {item.mask.shape[wrong]}"
                )
            result.extend(np.nonzero(item.mask))
        else:
            result.append(item)
        axis += _axes(item)
    return result


def _holds_traced(values: list[Any]) -> bool:
    return any(
        isinstance(v, TracedArray) or (isinstance(v, list) and _holds_traced(v)) for v in values
    )


def read(a: TracedArray, index: Any) -> Any:
    """Return `a[index]` as NumPy would; int, slice, None, Ellipsis, integer arrays and masks."""
    items = _items(index, a.shape)
    gap = next((k for k, i in enumerate(items) if i is _GAP), None)
    if gap is not None:
        del items[gap]
    if any(isinstance(i, _Flag) for i in items):
        a = read(
            a, tuple(None if i is None or isinstance(i, _Flag) else slice(None) for i in items)
        )
        places = [i.places if isinstance(i, _Flag) else i for i in items]
        return _gather(a, [slice(None) if i is None else i for i in places], gap)
    if any(_is_array(i) for i in items):
        if any(i is None for i in items):
            a = read(a, tuple(None if i is None else slice(None) for i in items))
            items = [slice(None) if i is None else i for i in items]
        return _gather(a, items, gap)
    spec: list[Item] = []
    operands: list[Any] = []
    axis = 0
    for item in items:
        spec.append(_item(item, a.shape[axis] if item is not None else 1, operands, axis))
        axis += item is not None
    parts = index if isinstance(index, tuple) else (index,)
    kept = any(i is Ellipsis for i in parts)
    whole = len(spec) == a.ndim and all(
        isinstance(s, Span) and s == Span(0, d, 1) for s, d in zip(spec, a.shape, strict=True)
    )
    if whole and (spec or kept):
        return as_array(a)
    result = emit(Index(tuple(spec)), (a, *operands))
    kind = Kind.ARRAY if result.shape or kept else Kind.SCALAR
    return TracedArray(result._atom, kind, result._trace)


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
                "only integers, slices (`:`), ellipsis (`...`), numpy.newaxis (`None`) and integer "
                "or boolean arrays are valid indices"
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


def _gather(a: TracedArray, items: list[Any], gap: int | None) -> Any:
    """Read at integer arrays; ints beside them are arrays too, as in NumPy.

    The arrays' axes take their place where they stand side by side, else they come first; `gap` is
    where an Ellipsis of no axis stood.
    """
    advanced = [k for k, i in enumerate(items) if not isinstance(i, slice)]
    adjacent = advanced == list(range(advanced[0], advanced[-1] + 1))
    adjacent = adjacent and not (gap is not None and advanced[0] < gap <= advanced[-1])
    operands = [_position(items[k], a.shape[k], k) for k in advanced]
    _check_together(operands)
    spec: list[Item] = [
        AT if k in advanced else span(item, a.shape[k]) for k, item in enumerate(items)
    ]
    if not adjacent:
        rest = [k for k in range(a.ndim) if k not in advanced]
        a = transpose(a, [*advanced, *rest])
        spec = [*[AT] * len(advanced), *[spec[k] for k in rest]]
    return emit(Index(tuple(spec), gather=True), (a, *operands))


def _check_together(positions: Sequence[TracedArray]) -> None:
    try:
        broadcast([p.shape for p in positions])
    except ShapeError:
        shapes = " ".join(str(p.shape) for p in positions)
        raise IndexError(
            "shape mismatch: indexing arrays could not be broadcast together with shapes " + shapes
        ) from None


def _position(item: Any, size: Any, axis: int) -> Any:
    if isinstance(item, TracedArray):
        if item.dtype.kind not in "iu":
            raise IndexError("arrays used as indices must be of integer (or boolean) type")
        return item
    values: Any = np.asarray(item)
    if values.dtype.kind not in "iu":
        raise IndexError("arrays used as indices must be of integer (or boolean) type")
    if isinstance(size, int) and values.size:
        low, high = int(values.min()), int(values.max())
        if low < -size or high >= size:
            wrong = low if low < -size else high
            raise IndexError(f"index {wrong} is out of bounds for axis {axis} with size {size}")
    return traced(values) if isinstance(item, np.ndarray) and values.ndim else constant(values)


@implements(np.take)
def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
    """As `np.take`; `mode` wrap and clip adjust the indices first."""
    a = traced(a)
    if axis is None or (not a.shape and axis in (0, -1)):
        a, axis = np.reshape(a, -1), 0
    axis = normalize_axis(axis, a.ndim)
    if a.shape[axis] == 0 and np.size(indices):
        raise IndexError("cannot do a non-empty take from an empty axes.")
    if mode in ("wrap", "clip") and isinstance(a.shape[axis], int):
        size = a.shape[axis]
        indices = traced(np.asarray(indices)) if not isinstance(indices, TracedArray) else indices
        indices = indices % size if mode == "wrap" else np.clip(indices, 0, size - 1)
    elif not isinstance(indices, TracedArray):
        indices = np.asarray(indices)
    return read(a, (*[slice(None)] * axis, indices))


method("take", take)
