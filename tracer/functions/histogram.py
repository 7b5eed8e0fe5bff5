"""Counts of integers and of values in bins."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...ir.dims import Size
from ...ir.ops.order import ArgSort, Sort
from ...ir.ops.search import PLACES, BinCount
from ...ir.ops.select import MakeComplex
from ...ir.types import Kind
from ..array import emit, implements, is_traced, unsupported
from .create import where, zeros
from .index import read
from .join import concatenate
from .known import array_of, known, require
from .order import searchsorted
from .sets import counted_size
from .shape import as_python, as_scalar, cast, constant, emit_reshape, traced

_BLOCK = 65536
"""NumPy counts so many values at a time, which shows in how weights are rounded."""
_MOST = 16
"""Beyond so many blocks between edges of any kind, running sums of weights are one block."""


@implements(np.bincount)
def bincount(x: Any, /, weights: Any = None, minlength: Any = 0) -> Any:
    """As `np.bincount`; the largest of traced integers sets the size of the result."""
    values = known(x)
    length: Any = 0
    if values is not None:
        given = values if is_traced(x) else x
        length = np.bincount(given, minlength=minlength).shape[0]  # raises what NumPy raises
        integers: Any = constant(values.astype(PLACES))
    else:
        integers = array_of(x)
        np.bincount(np.zeros([0] * integers.ndim, integers.dtype), minlength=minlength)
        integers = cast(integers, PLACES)
        message = "'list' argument must have no negative elements"
        integers = require(integers, ~np.any(integers < 0), ValueError, message)
    if integers.size == 0:
        return zeros((length or minlength,), PLACES)
    if weights is not None:
        weights = array_of(weights)
        if weights.dtype.kind == "c":
            raise TypeError("Cannot cast array data from dtype('complex128') to dtype('float64')")
        if weights.shape != integers.shape:
            raise ValueError("The weights and list don't have the same length.")
    if values is None:
        length = counted_size(integers, minlength)
    return _counted(integers, weights, length)


def _counted(places: Any, weights: Any, length: Size, block: int = 0) -> Any:
    """Return how often each place occurs, or the sums of its weights in float64."""
    block = 0 if weights is None else block
    operands = (places,) if weights is None else (places, cast(weights, np.float64))
    return emit(BinCount(length, block), operands)


# ---- edges ---------------------------------------------------------------------------------------


def _raveled(a: Any, weights: Any) -> tuple[Any, Any]:
    a = array_of(a)
    a = cast(a, np.uint8) if a.dtype.kind == "b" else a
    if weights is not None:
        weights = array_of(weights)
        if weights.shape != a.shape:
            raise ValueError("weights should have the same shape as a.")
        weights = emit_reshape(weights, [weights.size])
    return emit_reshape(a, [a.size]), weights


def _outer_edges(a: Any, range: Any) -> tuple[Any, Any]:
    """Return the first and the last edge; values known while tracing stay plain numbers."""
    if range is not None:
        first, last = range
        text = "supplied range is not finite"
    elif a.size == 0:
        first, last = 0, 1
        text = ""
    else:
        first, last = np.min(a), np.max(a)
        text = "autodetected range is not finite"
    if not is_traced(first) and not is_traced(last):
        text = f"supplied range of [{first}, {last}] is not finite"
        if first > last:
            raise ValueError("max must be larger than min in range parameter.")
        if not (np.isfinite(first) and np.isfinite(last)):
            raise ValueError(text)
        return (first - 0.5, last + 0.5) if first == last else (first, last)
    is_weak = all(traced(v)._kind is Kind.PYTHON for v in (first, last))
    dtype = np.result_type(first, last)
    dtype = np.dtype(float) if dtype.kind in "biu" else dtype
    first, last = cast(first, dtype), cast(last, dtype)
    finite = np.isfinite(first) & np.isfinite(last)
    first = require(first, finite, ValueError, text)
    if range is not None:
        message = "max must be larger than min in range parameter."
        first = require(first, first <= last, ValueError, message)
    single = first == last
    kind = as_python if is_weak else as_scalar
    return kind(where(single, first - 0.5, first)), kind(where(single, last + 0.5, last))


def _depth(bins: Any) -> int:
    """Return the number of axes of bins, which may be a ragged or traced list."""
    if isinstance(bins, list | tuple):
        return 1 + max(map(_depth, bins), default=0)
    return int(np.ndim(bins))


def _given_edges(bins: Any, message: str) -> tuple[Any, Any]:
    """Return edges given as an array, and the same once they are known to ascend."""
    edges = known(bins)
    if edges is not None:
        if np.any(edges[:-1] > edges[1:]):
            raise ValueError(message)
        return (constant(edges),) * 2
    edges = array_of(bins)
    return edges, require(edges, ~np.any(edges[:-1] > edges[1:]), ValueError, message)


def _edges(
    a: Any, bins: Any, range: Any, weights: Any
) -> tuple[Any, Any, tuple[Any, Any, int] | None]:
    """Return the edges to return and those to count with, which are the same values.

    For bins of one width the outer edges and the number of bins come third.
    """
    if isinstance(bins, str):
        if weights is not None:
            raise TypeError(
                "Automated estimation of the number of bins is not supported for weighted data"
            )
        np.histogram_bin_edges(np.zeros(1), bins)  # raises what NumPy raises
        raise unsupported(
            "a histogram whose number of bins depends on the values", "Give the number of bins."
        )
    if _depth(bins) > 1:
        raise ValueError("`bins` must be 1d, when an array")
    if _depth(bins) == 1:
        return *_given_edges(bins, "`bins` must increase monotonically, when an array"), None
    try:
        count = operator.index(bins)
    except TypeError as error:
        raise TypeError("`bins` must be an integer, a string, or an array") from error
    if count < 1:
        raise ValueError("`bins` must be positive, when an integer")
    first, last = _outer_edges(a, range)
    dtype = np.result_type(first, last, a)
    if dtype.kind in "iu":
        dtype = np.result_type(dtype, float)
    edges = np.linspace(first, last, count + 1, endpoint=True, dtype=dtype)
    message = f"Too many bins for data range. Cannot create {count} finite-sized bins."
    edges = require(array_of(edges), ~np.any(edges[:-1] >= edges[1:]), ValueError, message)
    return edges, edges, (first, last, count)


@implements(np.histogram_bin_edges)
def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """As `np.histogram_bin_edges`; the number of bins must be known while tracing."""
    a, weights = _raveled(a, weights)
    return _edges(a, bins, range, weights)[0]


# ---- counts --------------------------------------------------------------------------------------


def _difference(a: Any, b: Any) -> Any:
    """Return a - b; integers, of which a is the larger, without overflow."""
    dtype = np.result_type(a, b)
    if dtype.kind != "i":
        return np.subtract(a, b, dtype=dtype)
    if is_traced(a) or is_traced(b):
        unsigned = np.dtype(f"u{dtype.itemsize}")
        return cast(cast(a, dtype) - cast(b, dtype), unsigned)
    return np.subtract(np.asarray(a, dtype), np.asarray(b, dtype)).astype(f"u{dtype.itemsize}")


def _uniform(a: Any, weights: Any, edges: Any, outer: tuple[Any, Any, int], dtype: Any) -> Any:
    """Count in bins of one width: the place is computed, then put right by the edges next to it."""
    first, last, count = outer
    width = _difference(last, first)
    inside = (a >= first) & (a <= last)
    a = where(inside, cast(a, edges.dtype), cast(first, edges.dtype))
    place = (_difference(a, first) / width * count).astype(np.intp)
    place = place - (place == count)
    place = place - (a < read(edges, place))
    up = (a >= read(edges, place + 1)) & (place != count - 1)
    # One more bin takes what lies outside.
    return _summed(where(inside, place + up, count), weights, count + 1, dtype)[:-1]


def _summed(place: Any, weights: Any, length: int, dtype: np.dtype) -> Any:
    if weights is not None and dtype.kind == "c":
        parts = [_counted(place, p, length, _BLOCK) for p in (np.real(weights), np.imag(weights))]
        return cast(emit(MakeComplex(), parts), dtype)
    return cast(_counted(place, weights, length, _BLOCK), dtype)


def _ordered(a: Any, weights: Any, edges: Any, dtype: Any) -> Any:
    """Count between any edges: running sums of the ordered values, read at the edges."""
    total = zeros(edges.shape, dtype)
    size = a.shape[0]
    parts = [slice(None)]
    if weights is not None and isinstance(size, int) and size <= _MOST * _BLOCK:
        parts = [slice(k, k + _BLOCK) for k in range(0, size, _BLOCK)]
    for taken in parts:
        part = a[taken]
        pieces: Any = None
        if weights is None:
            part = emit(Sort(-1), (part,))
        else:
            order = emit(ArgSort(-1), (part,))
            part, pieces = part[order], weights[taken][order]
        place = concatenate(
            [searchsorted(part, edges[:-1], "left"), searchsorted(part, edges[-1:], "right")]
        )
        if pieces is not None:
            sums = concatenate([zeros((1,), dtype), np.cumsum(pieces)])
            place = sums[place]
            if not np.can_cast(place.dtype, dtype, "same_kind"):
                raise TypeError(
                    f"Cannot cast ufunc 'add' output from {place.dtype!r} to {dtype!r} with "
                    "casting rule 'same_kind'"
                )
        total = cast(total + place, dtype)
    return np.diff(total)


@implements(np.histogram)
def histogram(
    a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> Any:
    """As `np.histogram`; the number of bins must be known while tracing."""
    a, weights = _raveled(a, weights)
    shown, edges, outer = _edges(a, bins, range, weights)
    dtype = np.dtype(PLACES) if weights is None else weights.dtype
    if outer is not None:
        count = _uniform(a, weights, edges, outer, dtype)
    else:
        count = _ordered(a, weights, edges, dtype)
    if density:
        count = count / cast(np.diff(edges), float) / np.sum(count)
    return count, shown


# ---- several dimensions --------------------------------------------------------------------------


def _columns(sample: Any) -> Any:
    """Return the coordinates of each dimension."""
    if isinstance(sample, list | tuple):
        return array_of(sample) if np.ndim(sample[0]) else emit_reshape(array_of(sample), [1, -1])
    sample = array_of(sample)
    return sample.T if sample.ndim == 2 else np.atleast_2d(sample)


def _dimension(values: Any, bins: Any, range: Any, k: int) -> tuple[Any, Any]:
    """Return the edges of one dimension, to return and to count with."""
    if _depth(bins) == 1:
        message = f"`bins[{k}]` must be monotonically increasing, when an array"
        return _given_edges(bins, message)
    if _depth(bins):
        raise ValueError(f"`bins[{k}]` must be a scalar or 1d array")
    if bins < 1:
        raise ValueError(f"`bins[{k}]` must be positive, when an integer")
    first, last = _outer_edges(values, range)
    try:
        count = operator.index(bins)
    except TypeError as error:
        raise TypeError(f"`bins[{k}]` must be an integer, when a scalar") from error
    return (array_of(np.linspace(first, last, count + 1)),) * 2


@implements(np.histogramdd)
def histogramdd(
    sample: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> Any:
    """As `np.histogramdd`; the numbers of bins must be known while tracing."""
    columns = list(_columns(sample))
    dims = len(columns)
    if _depth(bins) == 0:
        bins = [bins] * dims
    if len(bins) != dims:
        raise ValueError("The dimension of bins must be equal to the dimension of the sample x.")
    ranges: Sequence[Any] = [None] * dims if range is None else range
    if len(ranges) != dims:
        raise ValueError("range argument must have one entry per dimension")
    pairs = [
        _dimension(x, b, r, k)
        for k, (x, b, r) in enumerate(zip(columns, bins, ranges, strict=True))
    ]
    shown, edges = [p[0] for p in pairs], [p[1] for p in pairs]
    sizes = [e.shape[0] + 1 for e in edges]
    flat: Any = 0
    for x, e, size in zip(columns, edges, sizes, strict=True):
        flat = flat * size + (searchsorted(e, x, "right") - (x == e[-1]))
    if weights is not None:
        weights = array_of(weights)
    length = int(np.prod(sizes))
    counts = _counted(flat, weights, length) if columns[0].size else zeros((length,), PLACES)
    counts = cast(emit_reshape(counts, sizes), float)[(slice(1, -1),) * dims]
    if density:
        total = np.sum(counts)
        for k, e in enumerate(edges):
            shape = [sizes[k] - 2 if j == k else 1 for j in np.arange(dims)]
            counts = counts / np.reshape(np.diff(e), shape)
        counts = counts / total
    return counts, shown


@implements(np.histogram2d)
def histogram2d(
    x: Any,
    y: Any,
    bins: Any = 10,
    range: Any = None,
    density: Any = None,
    weights: Any = None,
) -> Any:
    """As `np.histogram2d`; the numbers of bins must be known while tracing."""
    if len(x) != len(y):
        raise ValueError("x and y must have the same length.")
    if _depth(bins) and len(bins) not in (1, 2):
        bins = [bins, bins]
    counts, edges = histogramdd([x, y], bins, range, density, weights)
    return counts, edges[0], edges[1]
