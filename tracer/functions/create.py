"""Fresh arrays: filled, like another, from values, selected by a condition."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.core import Literal
from ...ir.errors import ShapeError
from ...ir.ops.select import Where
from ...ir.ops.shape import Concatenate, Copy, Full
from ...ir.types import Kind
from ..array import TracedArray, check_dtype, emit, implements
from ..size import shape_of
from ..state import require
from .shape import (
    as_array,
    broadcast_to,
    cast,
    common_dtype,
    constant,
    emit_reshape,
    expand_dims,
    traced,
)


def literal(value: Any, dtype: Any) -> Any:
    """Return a scalar constant of a dtype as a traced array."""
    trace = require("a constant")
    check_dtype(np.dtype(dtype))
    return TracedArray(Literal(np.asarray(value, np.dtype(dtype))[()]), Kind.SCALAR, trace)


@implements(np.full)
def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C", **_: Any) -> Any:
    """As `np.full`."""
    value = traced(fill_value)
    value = cast(value, dtype) if dtype is not None else value
    if value.shape:
        return emit(Copy("C"), (broadcast_to(value, shape_of(shape)),))
    return as_array(emit(Full(shape_of(shape)), (value,)))


@implements(np.zeros)
def zeros(shape: Any, dtype: Any = float, order: str = "C", **_: Any) -> Any:
    """As `np.zeros`."""
    return as_array(emit(Full(shape_of(shape)), (literal(0, dtype or float),)))


@implements(np.ones)
def ones(shape: Any, dtype: Any = None, order: str = "C", **_: Any) -> Any:
    """As `np.ones`."""
    return as_array(emit(Full(shape_of(shape)), (literal(1, dtype or float),)))


@implements(np.full_like)
def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: str = "K",
    subok: bool = True,
    shape: Any = None,
    **_: Any,
) -> Any:
    """As `np.full_like`."""
    a = traced(a)
    return full(a.shape if shape is None else shape, fill_value, dtype or a.dtype)


@implements(np.zeros_like, np.empty_like)
def zeros_like(
    a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **_: Any
) -> Any:
    """As `np.zeros_like`."""
    return full_like(a, 0, dtype, shape=shape)


@implements(np.ones_like)
def ones_like(
    a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **_: Any
) -> Any:
    """As `np.ones_like`."""
    return full_like(a, 1, dtype, shape=shape)


@implements(np.array)
def array(object: Any, dtype: Any = None, *, ndmin: int = 0, **_: Any) -> Any:
    """As `np.array`: a copy of an array, or nested sequences of values stacked."""
    if isinstance(object, list | tuple):
        result = _stacked(object)
        result = result if dtype is None else cast(result, dtype)
    else:
        result = traced(object)
        same = dtype is None or result.dtype == np.dtype(dtype)
        result = emit(Copy("K"), (result,)) if same else cast(result, dtype)
    if result.ndim < ndmin:
        result = emit_reshape(result, (*[1] * (ndmin - result.ndim), *result.shape))
    return as_array(result)


@implements(np.asarray, np.asanyarray, np.ascontiguousarray)
def asarray(a: Any, dtype: Any = None, order: Any = None, **_: Any) -> Any:
    """As `np.asarray`: the array itself where it has the dtype."""
    if isinstance(a, list | tuple):
        return array(a, dtype)
    result = traced(a)
    result = result if dtype is None else cast(result, dtype)
    return as_array(result)


def _stacked(values: Any) -> Any:
    parts = [_stacked(v) if isinstance(v, list | tuple) else traced(v) for v in values]
    if not parts:
        return constant(np.array([]))
    if any(p.shape != parts[0].shape for p in parts):
        raise ShapeError(
            "setting an array element with a sequence. The requested array has an inhomogeneous "
            "shape after 1 dimensions."
        )
    dtype = common_dtype(parts, weak=False)
    return emit(Concatenate(-1 - parts[0].ndim), [cast(expand_dims(p, 0), dtype) for p in parts])


@implements(np.where)
def where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    """As `np.where`; with one argument the positions of what is not zero."""
    if x is None or y is None:
        if x is not y:
            raise ValueError("either both or neither of x and y should be given")
        return np.nonzero(traced(condition))
    condition = cast(condition, bool)
    dtype = common_dtype([x, y])
    result = emit(Where(), (condition, cast(x, dtype), cast(y, dtype)))
    return as_array(result)


@implements(np.linspace)
def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """As `np.linspace`, between traced ends."""
    if num < 0:
        raise ShapeError(f"Number of samples, {num}, must be non-negative.")
    kind = common_dtype([start, stop, 1.0])
    start, stop = cast(start, kind), cast(stop, kind)
    count = num - 1 if endpoint else num
    delta = np.subtract(stop, start)
    counts = constant(np.arange(num, dtype=kind).reshape((num, *[1] * delta.ndim)))
    step = delta / count if count > 0 else delta * np.nan
    points = counts * step + start if count > 0 else counts * delta + start
    if endpoint and num > 1:
        last = broadcast_to(cast(stop, points.dtype), points.shape[1:])
        points = emit(Concatenate(-points.ndim), (points[:-1], expand_dims(last, 0)))
    if axis != 0:
        points = np.moveaxis(points, 0, axis)
    if dtype is not None:
        points = np.floor(points) if np.dtype(dtype).kind in "iu" else points
        points = cast(points, dtype)
    return (points, step) if retstep else points
