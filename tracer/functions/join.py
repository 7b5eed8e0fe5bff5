"""Functions that join, split, repeat and pad arrays."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...ir.errors import ShapeError
from ...ir.op import broadcast
from ...ir.ops.index import IndexUpdate, Span
from ...ir.ops.shape import Concatenate
from ..array import TracedArray, emit, implements, is_traced, method, unsupported
from ..rows import runs_of
from ..size import known_value
from .create import full, laid_as
from .index import read
from .sets import repeated_places
from .shape import (
    as_array,
    atleast_1d,
    atleast_2d,
    atleast_3d,
    broadcast_to,
    cast,
    common_dtype,
    constant,
    copy,
    emit_reshape,
    expand_dims,
    normalize_axis,
    traced,
)
from .write import check_cast, deliver, destination, put


def _listed(arrays: Any) -> list[TracedArray]:
    return [traced(a) for a in arrays]


@implements(np.concatenate)
def concatenate(
    arrays: Any,
    /,
    axis: Any = 0,
    out: Any = None,
    *,
    dtype: Any = None,
    casting: str = "same_kind",
) -> Any:
    """As `np.concatenate`."""
    values = _listed(arrays)
    if out is not None:
        return _concatenate_into(destination(out), values, axis, dtype, casting)
    if not values:
        raise ShapeError("need at least one array to concatenate")
    if axis is None:
        values = [emit_reshape(v, [v.size]) for v in values]
        axis = 0
    if any(not v.shape for v in values):
        raise ShapeError("zero-dimensional arrays cannot be concatenated")
    dtype = common_dtype(values, weak=False) if dtype is None else dtype
    axis = normalize_axis(axis, values[0].ndim)
    return emit(Concatenate(axis - values[0].ndim), [cast(v, dtype) for v in values])


def _concatenate_into(out: Any, values: Sequence[Any], axis: Any, dtype: Any, casting: Any) -> Any:
    """Write arrays one after the other into `out`, which some may share memory with."""
    if dtype is not None:
        raise TypeError("concatenate() only takes `out` or `dtype` as an argument, not both")
    total = concatenate(values, axis, dtype=out.dtype)
    if total.shape != out.shape:
        raise ShapeError("Output array is the wrong shape")
    for value in values:
        check_cast(value.dtype, out.dtype, casting)
    if not any(v._view is not None and v._view.storage is out._view.storage for v in values):
        return deliver(out, total)
    start, axis = 0, 0 if axis is None else normalize_axis(axis, out.ndim)
    for value in values:
        size = value.size if out.ndim != value.ndim else value.shape[axis]
        lead = (slice(None),) * axis
        put(read(out, (*lead, slice(start, start + size))), value)
        start = start + size
    return out


def joined_rows(values: Any) -> Any:
    """Return a list stacked, with the rows that a loop has appended as the stack that they are.

    None where there are none. Tuples of rows become columns.
    """
    if type(values) not in (list, tuple) or not values:
        return None
    if type(values[0]) in (list, tuple):
        count = len(values[0])
        if not count or any(type(v) not in (list, tuple) or len(v) != count for v in values):
            return None
        columns = [joined_rows([v[k] for v in values]) for k in range(count)]
        if any(c is None for c in columns):
            return None
        dtype = np.result_type(*[c.dtype for c in columns])
        return stack([cast(c, dtype) for c in columns], axis=1)
    runs = runs_of(values)
    if runs is None:
        return None
    parts = [v if is_stack else expand_dims(traced(v), 0) for is_stack, v in runs]
    if any(p.shape[1:] != parts[0].shape[1:] for p in parts):
        return None
    dtype = common_dtype(parts, weak=False)
    parts = [as_array(cast(p, dtype)) for p in parts]
    return parts[0] if len(parts) == 1 else concatenate(parts, 0)


@implements(np.stack)
def stack(
    arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: str = "same_kind"
) -> Any:
    """As `np.stack`."""
    if axis == 0 and out is None and dtype is None:
        rows = joined_rows(arrays)
        if rows is not None:
            return rows
    values = _listed(arrays)
    if not values:
        raise ShapeError("need at least one array to stack")
    if any(v.shape != values[0].shape for v in values):
        raise ShapeError("all input arrays must have the same shape")
    axis = normalize_axis(axis, values[0].ndim + 1)
    return concatenate(
        [expand_dims(v, axis) for v in values], axis, out, dtype=dtype, casting=casting
    )


def _tuple(arrays: Any) -> tuple[Any, ...]:
    return arrays if isinstance(arrays, tuple) else (arrays,)


@implements(np.vstack)
def vstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """As `np.vstack`."""
    return concatenate(_tuple(atleast_2d(*tup)), 0, dtype=dtype)


@implements(np.hstack)
def hstack(tup: Any, *, dtype: Any = None, casting: str = "same_kind") -> Any:
    """As `np.hstack`."""
    arrays = _tuple(atleast_1d(*tup))
    return concatenate(arrays, 0 if arrays and arrays[0].ndim == 1 else 1, dtype=dtype)


@implements(np.dstack)
def dstack(tup: Any) -> Any:
    """As `np.dstack`."""
    return concatenate(_tuple(atleast_3d(*tup)), 2)


@implements(np.column_stack)
def column_stack(tup: Any) -> Any:
    """As `np.column_stack`."""
    values = _listed(tup)
    return concatenate([v if v.ndim >= 2 else emit_reshape(v, [v.size, 1]) for v in values], 1)


@implements(np.append)
def append(arr: Any, values: Any, axis: Any = None) -> Any:
    """As `np.append`."""
    return concatenate([arr, values], axis)


@implements(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """As `np.array_split`: views."""
    a = traced(ary)
    axis = normalize_axis(axis, a.ndim)
    size = a.shape[axis]
    if isinstance(indices_or_sections, tuple | list | np.ndarray):
        borders = [None, *[int(i) for i in indices_or_sections], None]
    else:
        sections = int(indices_or_sections)
        if sections <= 0:
            raise ShapeError("number sections must be larger than 0.")
        each, extra = divmod(size, sections)
        borders = [0]
        for k in range(sections):
            borders.append(borders[-1] + each + (k < extra))
    lead = (slice(None),) * axis
    return [read(a, (*lead, slice(i, j))) for i, j in itertools.pairwise(borders)]


@implements(np.split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """As `np.split`: views."""
    a = traced(ary)
    size = a.shape[normalize_axis(axis, a.ndim)]
    is_count = not isinstance(indices_or_sections, tuple | list | np.ndarray)
    if is_count and size % indices_or_sections:
        raise ShapeError("array split does not result in an equal division")
    return array_split(a, indices_or_sections, axis)


@implements(np.hsplit)
def hsplit(ary: Any, indices_or_sections: Any) -> Any:
    """As `np.hsplit`."""
    a = traced(ary)
    if not a.shape:
        raise ShapeError("hsplit only works on arrays of 1 or more dimensions")
    return split(a, indices_or_sections, 1 if a.ndim > 1 else 0)


@implements(np.vsplit)
def vsplit(ary: Any, indices_or_sections: Any) -> Any:
    """As `np.vsplit`."""
    a = traced(ary)
    if a.ndim < 2:
        raise ShapeError("vsplit only works on arrays of 2 or more dimensions")
    return split(a, indices_or_sections, 0)


@implements(np.dsplit)
def dsplit(ary: Any, indices_or_sections: Any) -> Any:
    """As `np.dsplit`."""
    a = traced(ary)
    if a.ndim < 3:
        raise ShapeError("dsplit only works on arrays of 3 or more dimensions")
    return split(a, indices_or_sections, 2)


@implements(np.unstack)
def unstack(x: Any, /, *, axis: int = 0) -> Any:
    """As `np.unstack`: views."""
    x = traced(x)
    if not x.shape:
        raise ShapeError("Input array must be at least 1-d.")
    lead = (slice(None),) * normalize_axis(axis, x.ndim)
    return tuple(read(x, (*lead, k)) for k in range(x.shape[len(lead)]))


@implements(np.tile)
def tile(A: Any, reps: Any) -> Any:
    """As `np.tile`: the array broadcast over new axes, which are then merged."""
    a = traced(A)
    counts = tuple(
        int(r) for r in (reps if isinstance(reps, tuple | list | np.ndarray) else [reps])
    )
    ndim = max(a.ndim, len(counts))
    counts = (1,) * (ndim - len(counts)) + counts
    shape = (1,) * (ndim - a.ndim) + a.shape
    if all(r == 1 for r in counts):
        return copy(emit_reshape(a, shape), order="C")
    narrow: list[Any] = []
    wide: list[Any] = []
    for count, size in zip(counts, shape, strict=True):
        narrow += [size] if count == 1 else [1, size]
        wide += [size] if count == 1 else [count, size]
    spread = broadcast_to(emit_reshape(a, narrow), tuple(wide))
    return _merged(spread, [r * d for r, d in zip(counts, shape, strict=True)])


def _merged(spread: Any, shape: Sequence[Any]) -> Any:
    """Reshape a broadcast view into an array of its own, as that of axes of size 1 is a view."""
    merged = emit_reshape(spread, shape)
    layout = merged._atom.layout
    return copy(merged, order="C") if layout is not None and 0 in layout else merged


@implements(np.repeat)
def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    """As `np.repeat`."""
    a = traced(a)
    if axis is None or (not a.shape and axis in (0, -1)):
        a, axis = emit_reshape(a, [a.size]), 0
    axis = normalize_axis(axis, a.ndim)
    known = known_value(repeats) if is_traced(repeats) else None
    repeats = repeats if known is None else known
    if is_traced(repeats):
        return read(a, (*[slice(None)] * axis, repeated_places(repeats, a.shape[axis])))
    counts = np.asarray(repeats)
    if counts.size != 1:
        places = np.repeat(np.arange(a.shape[axis]), counts)
        return read(a, (*[slice(None)] * axis, constant(places)))
    count = int(counts.reshape(()))
    if count < 0:
        raise ShapeError("repeats may not contain negative values.")
    if count == 1:
        return copy(a, order="C")
    spread = expand_dims(a, axis + 1)
    wide = (*a.shape[: axis + 1], count, *a.shape[axis + 1 :])
    merged = (*a.shape[:axis], a.shape[axis] * count, *a.shape[axis + 1 :])
    return _merged(broadcast_to(spread, wide), merged)


_GATHERED = ("edge", "reflect", "symmetric", "wrap")


@implements(np.pad)
def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Any:
    """As `np.pad` in the modes constant, edge, reflect, symmetric and wrap."""
    a = as_array(traced(array))
    if isinstance(pad_width, dict):
        widths = [(0, 0)] * a.ndim
        for axis, width in pad_width.items():
            widths[axis] = (width, width) if isinstance(width, int) else tuple(width)
    else:
        given = np.asarray(pad_width)
        if given.dtype.kind not in "iu":
            raise TypeError("`pad_width` must be of integral type.")
        widths = [(int(i), int(j)) for i, j in np.broadcast_to(given, (a.ndim, 2))]
    if any(w < 0 for pair in widths for w in pair):
        raise ShapeError("index can't contain negative values")
    if not a.shape:
        return a.copy()
    if mode == "constant":
        return laid_as(_pad_constant(a, widths, kwargs.pop("constant_values", 0)), [a], "A")
    if mode not in _GATHERED or kwargs.get("reflect_type", "even") != "even":
        raise unsupported(
            f"np.pad with mode={mode!r}", f"Traced modes: constant, {', '.join(_GATHERED)}."
        )
    result = a
    for axis, pair in enumerate(widths):
        if pair != (0, 0):
            places = np.pad(np.arange(a.shape[axis]), pair, mode=mode)
            result = read(result, (*[slice(None)] * axis, constant(places)))
    return laid_as(result, [a], "A")


def _pad_constant(a: TracedArray, widths: Sequence[tuple[int, int]], values: Any) -> Any:
    shape = tuple(before + d + after for d, (before, after) in zip(a.shape, widths, strict=True))
    if is_traced(values) or np.ndim(values) == 0:
        values = cast(values, a.dtype) if is_traced(values) else traced(a.dtype.type(values))
        if values.shape:
            raise unsupported("np.pad with an array of traced constant_values")
        middle = tuple(Span(i, d, 1) for d, (i, _) in zip(a.shape, widths, strict=True))
        return as_array(emit(IndexUpdate(middle), (full(shape, values), a)))
    pairs = np.broadcast_to(np.asarray(values, a.dtype), (a.ndim, 2))
    for axis, (before, after) in enumerate(widths):
        parts = [
            full((*a.shape[:axis], width, *a.shape[axis + 1 :]), value)
            for width, value in zip((before, after), pairs[axis], strict=True)
        ]
        a = concatenate([parts[0], a, parts[1]], axis)
    return a


@implements(np.block)
def block(arrays: Any) -> Any:
    """As `np.block`: nested lists joined along the last axes."""

    def depth(part: Any) -> int:
        if not isinstance(part, list):
            return 0
        if not part:
            raise ShapeError("List depths are mismatched. Element was empty")
        return 1 + max(map(depth, part))

    levels = depth(arrays)

    def leaves(part: Any) -> list[Any]:
        return [leaf for p in part for leaf in leaves(p)] if isinstance(part, list) else [part]

    ndim = max(levels, *[traced(leaf).ndim for leaf in leaves(arrays)])

    def joined(part: Any, level: int) -> Any:
        if isinstance(part, list):
            return concatenate([joined(p, level + 1) for p in part], level - levels)
        a = traced(part)
        return emit_reshape(a, (*[1] * (ndim - a.ndim), *a.shape))

    result = joined(arrays, 0)
    return result if isinstance(arrays, list) else copy(result)


@implements(np.meshgrid)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    """As `np.meshgrid`."""
    if indexing not in ("xy", "ij"):
        raise ShapeError("Valid values for `indexing` are 'xy' and 'ij'.")
    count = len(xi)
    grids = [
        emit_reshape(a, [a.size if j == k else 1 for j in range(count)])
        for k, a in enumerate(map(traced, xi))
    ]
    if indexing == "xy" and count > 1:
        swapped = (1, 0, *range(2, count))
        grids = [emit_reshape(g, [g.shape[k] for k in swapped]) for g in grids]
    if not sparse:
        shape = broadcast([g.shape for g in grids]) if grids else ()
        grids = [as_array(g) if g.shape == shape else broadcast_to(g, shape) for g in grids]
    return tuple(g.copy() for g in grids) if copy else tuple(grids)


method("repeat", repeat)
