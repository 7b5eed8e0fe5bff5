"""Reading parts of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ...ir.dims import Dim, Size, bounds, clipped, maximum
from ...ir.errors import ShapeError, UnsupportedError
from ...ir.op import broadcast
from ...ir.ops.dynamic import Nonzero
from ...ir.ops.index import AT, Index, Item, Span
from ...ir.types import Kind
from ..array import FUNCTIONS, TracedArray, emit, implements, lift, method
from ..report import expression_here
from ..size import agreed, emit_sized, known_value, match, named_size, size_of
from ..state import require
from .shape import as_array, constant, copy, emit_reshape, normalize_axis, traced, transpose


def span(item: slice, size: Any) -> Span:
    """Return a slice normalised for an axis of `size`."""
    ends = [item.start, item.stop, item.step]
    if isinstance(size, Dim) or any(isinstance(e, TracedArray | Dim) for e in ends):
        return _symbolic_span(item, size)
    start, stop, step = item.indices(size)
    return Span(start, len(range(start, stop, step)), step)


def _symbolic_span(item: slice, size: Size) -> Span:
    """Return a slice of which an end, or the size of the axis, is known only at run time."""
    step = 1 if item.step is None else size_of(item.step)
    if not isinstance(step, int):
        raise UnsupportedError(
            f"{expression_here()} slices in steps that are known only when the program runs."
        )
    if step == 0:
        raise ValueError("slice step cannot be zero")
    if step < 0:
        if item.start is not None:
            raise UnsupportedError(
                f"{expression_here()} slices backward from a place, on an axis whose size is known "
                "only when the program runs.\n  Slice forward first, then write [::-1]."
            )
        skipped = 0 if item.stop is None else _end(item.stop, 0, size) + 1
        length = maximum(size - skipped, 0)
        return Span(size - 1, (length + (-step - 1)) // -step, step)
    start, stop = _end(item.start, 0, size), _end(item.stop, size, size)
    length = (maximum(stop - start, 0) + (step - 1)) // step
    if isinstance(length, Dim) and len(length.terms) > 2:
        length = named_size(length)  # by a name of its own: the expression is unreadable
    if isinstance(item.start, int) and item.start >= 0:
        start = item.start  # Python clips it
    return Span(start, length, step)


def _end(value: Any, default: Size, size: Size) -> Size:
    """Return where a slice starts or stops, between 0 and the size."""
    if value is None:
        return default
    place = size_of(value, is_place=True)
    low, high = bounds(place)
    if high is not None and high < 0:
        return maximum(size + place, 0)
    if low is None or low < 0:
        raise UnsupportedError(
            f"{expression_here()} slices up to a place that may count from either end.\n  Write "
            "np.maximum(i, 0) where it is never negative."
        )
    return clipped(place, size)


class _Flag:
    """A bool in an index: a new axis of size 1, read at as many positions as it is true."""

    def __init__(self, value: Any) -> None:
        self.places: Any
        if isinstance(value, TracedArray):
            (self.places,) = nonzero(emit_reshape(value, [1]))
        else:
            self.places = np.zeros(int(bool(value)), np.intp)


def _items(index: Any, shape: Sequence[Any]) -> list[Any]:
    """Return the index as one item for each axis or new axis, without Ellipsis and masks."""
    items: list[Any] = []
    for item in index if isinstance(index, tuple) else (index,):
        if isinstance(item, list | tuple):
            item = np.asarray(item) if not _holds_traced(item) else FUNCTIONS[np.array](item)
            item = item.astype(np.intp) if item.size == 0 else item
        if isinstance(item, TracedArray) and item.dtype.kind == "b":
            value = known_value(item)
            item = item if value is None else value
        if isinstance(item, TracedArray) and item.dtype.kind == "b":
            items.append(_Mask(item) if item.shape else _Flag(item))
        elif isinstance(item, bool | np.bool_) or _is_mask(item):
            mask = np.asarray(item)
            items.append(_Mask(mask) if mask.ndim else _Flag(item))
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
        return int(item.mask.ndim)
    axisless = item is None or item is Ellipsis or item is _GAP or isinstance(item, _Flag)
    return 0 if axisless else 1


def _is_mask(item: Any) -> bool:
    return isinstance(item, np.ndarray) and item.dtype == bool


_GAP: Any = object()
"""An Ellipsis that stands for no axis; it still keeps the arrays on its sides apart."""


class _Mask(NamedTuple):
    """A boolean array with axes, known while tracing or traced."""

    mask: Any


def _without_masks(items: Sequence[Any], shape: Sequence[Any]) -> list[Any]:
    result: list[Any] = []
    axis = 0
    for item in items:
        if isinstance(item, _Mask):
            mask = _fitted(item.mask, tuple(shape[axis : axis + item.mask.ndim]), axis)
            result.extend(np.nonzero(mask))
        else:
            result.append(item)
        axis += _axes(item)
    return result


def _fitted(mask: Any, part: tuple[Any, ...], axis: int) -> Any:
    """Return a mask that has the sizes of the axes that it reads, checked at run time if need be.

    Raises
    ------
    IndexError
        Where the sizes differ.
    """
    if mask.shape == part:
        return mask
    for k, (size, found) in enumerate(zip(part, mask.shape, strict=True)):
        if isinstance(size, int) and isinstance(found, int) and size != found:
            raise IndexError(
                f"boolean index did not match indexed array along axis {axis + k}; size of axis "
                f"is {size} but size of corresponding boolean axis is {found}"
            )
    return match(traced(mask), part, reads=True)


def _holds_traced(values: Sequence[Any]) -> bool:
    return any(
        isinstance(v, TracedArray) or (isinstance(v, list | tuple) and _holds_traced(v))
        for v in values
    )


class Place(NamedTuple):
    """What an index selects: `array[spec]`, of an array that is `a` or a view of it.

    `operands` are the positions of the index, `keeps_array` says that a selection without axes is
    an array still (there is an Ellipsis), `is_whole` that nothing is selected but `a` itself.
    """

    array: Any
    spec: tuple[Item, ...]
    operands: Sequence[Any]
    gather: bool = False
    keeps_array: bool = False
    is_whole: bool = False


def locate(a: TracedArray, index: Any) -> Place:
    """Return what `a[index]` selects: int, slice, None, Ellipsis, integer arrays and masks.

    Raises
    ------
    IndexError
        As NumPy, where the index does not fit the array.
    """
    items = _items(index, a.shape)
    gap = next((k for k, i in enumerate(items) if i is _GAP), None)
    if gap is not None:
        del items[gap]
    if any(isinstance(i, _Flag) for i in items):
        a = read(
            a, tuple(None if i is None or isinstance(i, _Flag) else slice(None) for i in items)
        )
        places = [i.places if isinstance(i, _Flag) else i for i in items]
        return _gathered(a, [slice(None) if i is None else i for i in places], gap)
    if any(_is_array(i) for i in items):
        if any(i is None for i in items):
            a = read(a, tuple(None if i is None else slice(None) for i in items))
            items = [slice(None) if i is None else i for i in items]
        return _gathered(a, items, gap)
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
    return Place(a, tuple(spec), operands, False, kept, whole and (bool(spec) or kept))


def read(a: TracedArray, index: Any) -> Any:
    """Return `a[index]` as NumPy would."""
    flat = _flattened(a, index)
    place = locate(*flat) if flat is not None else locate(a, index)
    if place.is_whole:
        return as_array(a)
    result = emit(Index(place.spec, place.gather), (place.array, *place.operands))
    if result.shape or place.keeps_array or place.gather:
        if not place.gather and any(map(_is_0d, index if isinstance(index, tuple) else (index,))):
            return as_array(result.copy())  # as NumPy
        return result
    return TracedArray(result._atom, Kind.SCALAR, result._trace)


def _flattened(a: TracedArray, index: Any) -> tuple[TracedArray, Any] | None:
    """Return an array and a mask whose axes are one axis, where a mask of several is the index.

    A million elements take 1 ms so, with one array of positions, and 8 ms with two.
    """
    (mask,) = index if isinstance(index, tuple) and len(index) == 1 else (index,)
    if not (isinstance(mask, TracedArray) and mask.dtype.kind == "b" and 1 < mask.ndim <= a.ndim):
        return None
    if known_value(mask) is not None:
        return None
    axes = mask.ndim
    mask = _fitted(mask, a.shape[:axes], 0)
    many = prod(a.shape[:axes])
    return emit_reshape(a, [many, *a.shape[axes:]]), emit_reshape(mask, [many])


def _is_0d(item: Any) -> bool:
    """Whether an item of an index is an array of no axes."""
    if isinstance(item, TracedArray):
        return item._kind is Kind.ARRAY and not item.shape
    return isinstance(item, np.ndarray) and not item.ndim


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


def _gathered(a: TracedArray, items: list[Any], gap: int | None) -> Place:
    """Return what integer arrays select; ints beside them are arrays too, as in NumPy.

    The arrays' axes take their place where they stand side by side, else they come first; `gap` is
    where an Ellipsis of no axis stood.
    """
    advanced = [k for k, i in enumerate(items) if not isinstance(i, slice)]
    adjacent = advanced == list(range(advanced[0], advanced[-1] + 1))
    adjacent = adjacent and not (gap is not None and advanced[0] < gap <= advanced[-1])
    operands = _together([_position(items[k], a.shape[k], k) for k in advanced])
    spec: list[Item] = [
        AT if k in advanced else span(item, a.shape[k]) for k, item in enumerate(items)
    ]
    if not adjacent:
        rest = [k for k in range(a.ndim) if k not in advanced]
        a = transpose(a, [*advanced, *rest])
        spec = [*[AT] * len(advanced), *[spec[k] for k in rest]]
    return Place(a, tuple(spec), operands, gather=True)


def _together(positions: Sequence[TracedArray]) -> Sequence[TracedArray]:
    """Return positions that broadcast together, unknown sizes checked when the program runs."""
    try:
        broadcast([p.shape for p in positions])
        return positions
    except ShapeError:
        trace = require("an index", positions)
        matched = agreed([lift(p, trace)[0] for p in positions], trace)
        if matched is not None:
            return [TracedArray(a, Kind.ARRAY, trace) for a in matched]
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


@implements(np.nonzero)
def nonzero(a: Any) -> Any:
    """As `np.nonzero`: a tuple of positions, one array for each axis."""
    a = traced(a)
    if not a.shape:
        raise ValueError(
            "Calling nonzero on 0d arrays is not allowed. Use np.atleast_1d(scalar).nonzero() "
            "instead."
        )
    value = known_value(a)
    if value is not None:
        return tuple([constant(p) for p in np.nonzero(value)])
    if a.size.__class__ is int and a.size == 0:
        return (constant(np.zeros(0, np.intp)),) * a.ndim
    return emit_sized(Nonzero, (a,), a.size)


@implements(np.flatnonzero)
def flatnonzero(a: Any) -> Any:
    """As `np.flatnonzero`."""
    return nonzero(np.ravel(traced(a)))[0]


@implements(np.argwhere)
def argwhere(a: Any) -> Any:
    """As `np.argwhere`."""
    a = traced(a)
    if not a.shape:
        # NumPy drops the axis that it adds for a value without axes.
        return np.transpose(np.stack(nonzero(np.atleast_1d(a))))[:, :0]
    return np.transpose(np.stack(nonzero(a)))


@implements(np.compress)
def compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    """As `np.compress`."""
    condition, a = traced(condition), traced(a)
    if condition.ndim != 1:
        raise ValueError("condition must be a 1-d array")
    if axis is None:
        a, axis = np.ravel(a), 0
    return np.take(a, nonzero(condition)[0], axis=axis)


@implements(np.extract)
def extract(condition: Any, arr: Any) -> Any:
    """As `np.extract`."""
    return np.take(np.ravel(traced(arr)), nonzero(np.ravel(traced(condition)))[0])


@implements(np.take)
def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str = "raise") -> Any:
    """As `np.take`; `mode` wrap and clip adjust the indices first."""
    a = traced(a)
    if axis is None or (not a.shape and axis in (0, -1)):
        a, axis = np.reshape(a, -1), 0
    axis = normalize_axis(axis, a.ndim)
    count: Any = np.size(indices)
    if a.shape[axis] == 0 and isinstance(count, int) and count:
        raise IndexError("cannot do a non-empty take from an empty axes.")
    if mode in ("wrap", "clip") and isinstance(a.shape[axis], int):
        size = a.shape[axis]
        indices = traced(np.asarray(indices)) if not isinstance(indices, TracedArray) else indices
        indices = indices % size if mode == "wrap" else np.clip(indices, 0, size - 1)
    elif not isinstance(indices, TracedArray):
        indices = np.asarray(indices)
    result = read(a, (*[slice(None)] * axis, indices))
    if np.ndim(indices):
        return result if result._layout is None else copy(result, order="C")
    if not result.shape or not isinstance(indices, TracedArray):
        return result
    return result.copy()


method("take", take)
method("nonzero", nonzero)
method("compress", lambda self, condition, *rest, **kw: compress(condition, self, *rest, **kw))
