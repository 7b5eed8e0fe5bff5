"""Evenly spaced numbers between traced ends, and grids of positions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.errors import ShapeError
from ...ir.ops.shape import Concatenate
from ..array import emit, implements
from .known import require
from .shape import as_array, broadcast_to, cast, common_dtype, constant, expand_dims, traced


@implements(np.linspace)
def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """As `np.linspace`, between traced ends."""
    num = num.__index__()
    if num < 0:
        raise ShapeError(f"Number of samples, {num}, must be non-negative.")
    kind = common_dtype([start, stop, 1.0])
    start, stop = cast(start, kind), cast(stop, kind)
    count = num - 1 if endpoint else num
    delta = np.subtract(stop, start)
    counts = constant(np.arange(num, dtype=kind).reshape((num, *[1] * delta.ndim)))
    step = delta / count if count > 0 else np.nan
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


@implements(np.logspace)
def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """As `np.logspace`, between traced ends."""
    base = base if isinstance(base, int | float) else traced(base)
    if not isinstance(base, int | float) and base.ndim:
        start, stop, base = (as_array(traced(a)) for a in (start, stop, base))
        ndim = max(a.ndim for a in (start, stop, base))
        start, stop, base = (
            np.reshape(a, (*[1] * (ndim - a.ndim), *a.shape)) for a in (start, stop, base)
        )
        base = np.expand_dims(base, axis=axis)
    result = np.power(base, linspace(start, stop, num, endpoint, axis=axis))
    return result if dtype is None else cast(result, dtype)


@implements(np.geomspace)
def geomspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """As `np.geomspace`, between traced ends, which are checked when the program runs."""
    kind = common_dtype([as_array(traced(start)), as_array(traced(stop)), 1.0])
    kind = np.result_type(kind, np.dtype(dtype))  # None is float64 here, as in NumPy
    start, stop = (as_array(cast(traced(a), kind)) for a in (start, stop))
    message = "Geometric sequence cannot include zero"
    start = require(start, np.all(start != 0) & np.all(stop != 0), ValueError, message)
    sign = np.sign(start)
    start, stop = start / sign, stop / sign
    result = cast(logspace(np.log10(start), np.log10(stop), num, endpoint, 10.0, kind), kind)
    if num > 0:
        parts = [_row(start, result), result[1:]]
        if num > 1 and endpoint:
            parts = [parts[0], result[1:-1], _row(stop, result)]
        result = emit(Concatenate(-result.ndim), parts)
    result = result * sign
    if axis != 0:
        result = np.moveaxis(result, 0, axis)
    return as_array(result if dtype is None else cast(result, dtype))


def _row(end: Any, result: Any) -> Any:
    return expand_dims(broadcast_to(cast(end, result.dtype), result.shape[1:]), 0)


@implements(np.kaiser)
def kaiser(M: Any, beta: Any) -> Any:
    """As `np.kaiser`, with a traced `beta`."""
    dtype = common_dtype([0.0, M, as_array(traced(beta))])
    size, beta = dtype.type(M), cast(beta, dtype)
    if M == 1:
        return as_array(np.ones_like(beta, shape=(1,)))
    places = np.arange(0, size)
    alpha = (size - 1) / 2.0
    inner = np.sqrt(1 - ((places - alpha) / alpha) ** 2.0)
    return np.i0(beta * constant(inner)) / np.i0(beta)
