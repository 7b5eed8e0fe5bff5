"""Functions whose results have a size known only at run time: sets, counts, repetitions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.dims import Dim, Size, maximum
from ...ir.ops.index import Index, Span
from ...ir.ops.unique import Intersect, Lone, Repeats, Unique
from ..array import TracedArray, emit, implements, unsupported
from ..size import TracedSize, emit_sized, match, size_of
from .create import literal
from .shape import as_array, cast, common_dtype, emit_reshape, iota, normalize_axis, traced


@implements(np.unique)
def unique(
    ar: Any,
    return_index: Any = False,
    return_inverse: Any = False,
    return_counts: Any = False,
    axis: Any = None,
    *,
    equal_nan: Any = True,
    sorted: Any = True,
) -> Any:
    """As `np.unique`."""
    a = as_array(traced(ar))
    if axis is not None:
        axis = normalize_axis(axis, a.ndim)
        axis = None if a.ndim == 1 else axis
    upper = a.size if axis is None else a.shape[axis]
    found = emit_sized(
        Unique,
        (a,),
        upper,
        index=bool(return_index),
        inverse=bool(return_inverse),
        counts=bool(return_counts),
        axis=axis,
        equal_nan=bool(equal_nan),
        ordered=bool(sorted),
    )
    return found[0] if len(found) == 1 else found


def _result(name: str) -> Any:
    """Return the class of what NumPy's `unique_...` returns."""
    return getattr(np.lib._arraysetops_impl, name)


@implements(np.unique_values)
def unique_values(x: Any) -> Any:
    """As `np.unique_values`, in the order of the NumPy that is installed."""
    return unique(x, equal_nan=False, sorted=np.lib.NumpyVersion(np.__version__) < "2.3.0")


@implements(np.unique_counts)
def unique_counts(x: Any) -> Any:
    """As `np.unique_counts`."""
    return _result("UniqueCountsResult")(*unique(x, return_counts=True, equal_nan=False))


@implements(np.unique_inverse)
def unique_inverse(x: Any) -> Any:
    """As `np.unique_inverse`."""
    return _result("UniqueInverseResult")(*unique(x, return_inverse=True, equal_nan=False))


@implements(np.unique_all)
def unique_all(x: Any) -> Any:
    """As `np.unique_all`."""
    return _result("UniqueAllResult")(*unique(x, True, True, True, equal_nan=False))


def _joined(ar1: Any, ar2: Any) -> Any:
    return np.concatenate((as_array(traced(ar1)), as_array(traced(ar2))), axis=None)


@implements(np.union1d)
def union1d(ar1: Any, ar2: Any) -> Any:
    """As `np.union1d`."""
    return unique(_joined(ar1, ar2))


@implements(np.intersect1d)
def intersect1d(ar1: Any, ar2: Any, assume_unique: Any = False, return_indices: Any = False) -> Any:
    """As `np.intersect1d`; differentiating it is refused, as equal elements stay so nowhere."""
    a, b = as_array(traced(ar1)), as_array(traced(ar2))
    upper = a.size if isinstance(b.size, Dim) else b.size
    found = emit_sized(
        Intersect, (a, b), upper, assume_unique=bool(assume_unique), indices=bool(return_indices)
    )
    return found[0] if len(found) == 1 else found


@implements(np.setdiff1d)
def setdiff1d(ar1: Any, ar2: Any, assume_unique: Any = False) -> Any:
    """As `np.setdiff1d`."""
    a, b = as_array(traced(ar1)), as_array(traced(ar2))
    if assume_unique:
        a = np.ravel(a)
    else:
        a, b = unique(a), unique(b)
    return a[np.isin(a, b, assume_unique=True, invert=True)]


@implements(np.setxor1d)
def setxor1d(ar1: Any, ar2: Any, assume_unique: Any = False) -> Any:
    """As `np.setxor1d`."""
    a, b = as_array(traced(ar1)), as_array(traced(ar2))
    if not assume_unique:
        a, b = unique(a), unique(b)
    joined = np.sort(_joined(a, b))
    return joined[emit(Lone(), (joined,))]


@implements(np.trim_zeros)
def trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    """As `np.trim_zeros`."""
    a = as_array(traced(filt))
    trim = trim.lower()
    if trim not in ("fb", "bf", "f", "b"):
        raise ValueError(f"unexpected character(s) in `trim`: {trim!r}")
    axes = range(a.ndim) if axis is None else np.lib.array_utils.normalize_axis_tuple(axis, a.ndim)
    if not axes:
        return filt
    places = np.nonzero(a)
    spans = [Span(0, d, 1) for d in a.shape]
    for k in axes:
        # Nothing but zeros: the first place is beyond the last, and both ends are 0.
        last: Any = np.max(places[k], initial=-1) + 1
        first: Any = np.minimum(np.min(places[k], initial=np.iinfo(np.intp).max), last)
        if "b" not in trim:
            last = np.where(last > 0, a.shape[k], 0)[()]
        if "f" not in trim:
            first = literal(0, np.int64)
        spans[k] = Span(size_of(first), size_of(last - first), 1)
    return emit(Index(tuple(spans)), (a,))


def counted_size(integers: Any, minlength: Any) -> Size:
    """Return the size of `np.bincount` of traced integers."""
    return size_of(np.maximum(np.max(cast(integers, np.int64), initial=-1) + 1, minlength))


def repeated_places(counts: Any, size: Any) -> Any:
    """Return the positions of an axis of `size`, each as often as its traced count says."""
    counts = as_array(traced(counts))
    if counts.ndim > 1:
        raise ValueError("object too deep for desired array")
    if not np.can_cast(counts.dtype, np.intp, "safe"):
        raise TypeError(
            f"Cannot cast array data from {counts.dtype!r} to {np.dtype(np.intp)!r} according to "
            "the rule 'safe'"
        )
    counts = cast(counts, np.intp)
    if counts.ndim == 0 or counts.shape == (1,):
        counts = np.broadcast_to(emit_reshape(counts, ()), (size,))
    elif isinstance(size, Dim) or isinstance(counts.shape[0], Dim):
        counts = match(counts, (size,))
    elif counts.shape != (size,):
        raise ValueError(
            f"operands could not be broadcast together with shape ({size},) {counts.shape}"
        )
    return emit_sized(Repeats, (counts,), None)[0]


@implements(np.arange)
def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None, **_: Any) -> Any:
    """As `np.arange`, between integers that may be known only at run time."""
    if stop is None:
        start, stop = 0, start
    step = 1 if step is None else step
    if type(step) is int and step == 0:
        raise ZeroDivisionError("division by zero")
    for end in (start, stop, step):
        if isinstance(end, TracedArray) and end.dtype.kind not in "iu":
            raise unsupported("np.arange between traced floats", "Write np.linspace.")
    if isinstance(step, TracedArray) or not all(
        isinstance(e, TracedArray | Dim | int | np.integer) for e in (start, stop, step)
    ):
        raise unsupported("np.arange in traced steps or between floats", "Write np.linspace.")
    span = _length(start, stop) if step > 0 else _length(stop, start)
    count = (span + (abs(step) - 1)) // abs(step)
    values = iota(count) * int(step) + start
    kind = common_dtype([start, stop, step]) if dtype is None else np.dtype(dtype)
    return cast(values, kind)


def _length(low: Any, high: Any) -> Any:
    """Return how many integers there are from `low` up to `high`."""
    if all(isinstance(e, TracedSize | Dim | int | np.integer) for e in (low, high)):
        return maximum(size_of(high) - size_of(low), 0)
    difference = np.maximum(cast(high, np.int64) - low, 0)
    return size_of(difference)


__all__ = ["arange", "counted_size", "repeated_places", "trim_zeros", "unique"]
