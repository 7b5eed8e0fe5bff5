"""Partitions, sorts by several keys, and places in sorted sequences."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.dims import Dim
from ...ir.errors import ShapeError
from ...ir.ops.order import ArgPartition, ArgSort, Partition, Sort
from ...ir.ops.search import SearchSorted
from ..array import emit, implements, is_traced, method, unsupported
from .create import full
from .index import read
from .known import array_of, known, require
from .rearrange import flip, take_along_axis
from .shape import (
    as_array,
    as_scalar,
    cast,
    common_dtype,
    constant,
    emit_reshape,
    normalize_axis,
    traced,
)


def _places(kth: Any, size: int) -> tuple[int, ...]:
    if known(kth) is None:
        raise unsupported("a partition at traced places", "Sort the array, then index it.")
    places = known(kth)
    np.partition(np.zeros(size), places)  # raises what NumPy raises
    return tuple(places.ravel().tolist())


def _partitioned(op: Any, a: Any, kth: Any, axis: Any, order: Any) -> Any:
    a = traced(a)
    if order is not None:
        raise ShapeError("Cannot specify order when the array has no fields.")
    if axis is None:
        a, axis = emit_reshape(a, [a.size]), -1
    negative = normalize_axis(axis, a.ndim) - a.ndim
    return emit(op(negative, _places(kth, a.shape[negative])), (a,))


@implements(np.partition)
def partition(
    a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None
) -> Any:
    """As `np.partition`, at places known while tracing."""
    return _partitioned(Partition, a, kth, axis, order)


@implements(np.argpartition)
def argpartition(
    a: Any, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None
) -> Any:
    """As `np.argpartition`, at places known while tracing."""
    return _partitioned(ArgPartition, a, kth, axis, order)


@implements(np.sort_complex)
def sort_complex(a: Any) -> Any:
    """As `np.sort_complex`."""
    a = traced(a)
    if not a.shape:
        raise np.exceptions.AxisError(-1, 0)
    ordered = emit(Sort(-1), (a,))
    if a.dtype.kind == "c":
        return ordered
    return cast(ordered, np.complex64 if a.dtype.char in "bhBH" else np.complex128)


@implements(np.lexsort)
def lexsort(keys: Any, axis: Any = -1) -> Any:
    """As `np.lexsort`: one stable sort for each key, the last one the first to decide."""
    columns = [traced(k) for k in keys]
    if not columns:
        raise TypeError("need sequence of keys with len > 0 in lexsort")
    if any(k.shape != columns[0].shape for k in columns):
        raise ShapeError("all keys need to be the same shape")
    ndim = columns[0].ndim
    if not ndim:
        return constant(np.intp(0))[()]
    axis = normalize_axis(axis, ndim) - ndim
    order = emit(ArgSort(axis, "stable"), (columns[0],))
    for key in columns[1:]:
        again = emit(ArgSort(axis, "stable"), (take_along_axis(key, order, axis),))
        order = take_along_axis(order, again, axis)
    return order


@implements(np.searchsorted)
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Any:
    """As `np.searchsorted`."""
    a, v = array_of(a), array_of(v)
    if side not in ("left", "right"):
        raise ShapeError(f"search side must be 'left' or 'right' (got {side!r})")
    if a.ndim != 1:
        raise ShapeError("object too deep for desired array")
    if sorter is not None:
        if np.shape(sorter) != a.shape:
            raise ShapeError("sorter.size must equal input size")
        a = read(a, sorter if is_traced(sorter) else np.asarray(sorter))
    dtype = common_dtype([a, v], weak=False)
    found = emit(SearchSorted(side), (cast(a, dtype), cast(v, dtype)))  # type: ignore[arg-type]
    return found if found.shape else as_scalar(found)


method("searchsorted", searchsorted)


@implements(np.digitize)
def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    """As `np.digitize`; traced bins are searched in both directions."""
    x = array_of(x)
    if x.dtype.kind == "c":
        raise TypeError("x may not be complex")
    side = "left" if right else "right"
    values = known(bins)
    if values is not None:
        np.digitize(np.zeros(0), values)  # raises what NumPy raises
    bins = array_of(bins)
    if bins.ndim != 1:
        raise ShapeError("object too deep or of too small depth for desired array")
    if bins.dtype.kind == "c":
        raise TypeError("Cannot cast array data from dtype('complex128') to dtype('float64')")
    if values is None:
        rises, holds = _direction(bins)
        message = "bins must be monotonically increasing or decreasing"
        bins = require(bins, holds, ValueError, message)
    else:
        rises = _direction(values)[0]
    count = bins.shape[0]
    if known(rises) is not None:
        if rises:
            return searchsorted(bins, x, side)
        return count - searchsorted(flip(bins), x, side)
    found = np.where(rises, searchsorted(bins, x, side), count - searchsorted(flip(bins), x, side))
    return found if x.shape else found[()]


def _direction(bins: Any) -> tuple[Any, Any]:
    """Return whether bins ascend, as their first step shows, and whether all steps agree."""
    if bins.shape[0] < 2:
        return np.True_, np.True_
    before, after = bins[:-1], bins[1:]
    rises = before < after
    differs = ~(before == after)
    ascends = rises[np.argmax(differs)] | ~np.any(differs)
    return ascends, ~np.where(ascends, np.any(before > after), np.any(rises))


@implements(np.isin)
def isin(
    element: Any,
    test_elements: Any,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    kind: Any = None,
) -> Any:
    """As `np.isin`: each element is looked up among the sorted others."""
    element, others = array_of(element), array_of(test_elements)
    if kind not in (None, "sort", "table"):
        raise ShapeError(f"Invalid kind: '{kind}'. Please use None, 'sort' or 'table'.")
    if kind == "table" and {element.dtype.kind, others.dtype.kind} - set("biu"):
        raise ShapeError(
            "The 'table' method is only supported for boolean or integer arrays. Please select "
            "'sort' or None for kind."
        )
    if others.size == 0:
        return full(element.shape, bool(invert))
    dtype = common_dtype([element, others], weak=False)
    element = cast(element, dtype)
    ordered = emit(Sort(-1), (emit_reshape(cast(others, dtype), [others.size]),))
    places = emit(SearchSorted(), (ordered, element))
    if isinstance(others.size, Dim):
        # There may be none: one more is read where an element is beyond all of them.
        more: Any = np.concatenate([ordered, np.zeros(1, dtype)])
        is_found = (read(more, places) == element) & (places < others.size)
        return as_array(~is_found if invert else is_found)
    found = read(ordered, np.minimum(places, others.size - 1))
    return as_array(found != element if invert else found == element)
