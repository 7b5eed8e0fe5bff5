"""Means, variances and their like, computed step for step as NumPy does."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.dims import Dim, maximum
from ...ir.ops import reduce as ops
from ..array import TracedArray, implements, method
from .create import where as choose
from .known import require
from .reduce import is_given, is_masked, kept, reduction, ufunc_reduce
from .shape import MISSING, as_array, broadcast_to, cast, copy, emit_reshape, traced, transpose
from .write import destination, same_dtype, with_out


def _total(a: Any, axis: Any, keepdims: Any, where: Any) -> tuple[Any, Any]:
    """Return the sum and the count of elements over `axis`."""
    if is_masked(where):
        mask = broadcast_to(cast(where, bool), a.shape)
        total = np.sum(a, axis=axis, keepdims=kept(keepdims), where=mask)
        return total, np.sum(mask, axis=axis, keepdims=kept(keepdims), dtype=np.intp)
    return reduction(ops.Sum, a, axis, keepdims), ops.count_of(a.shape, ops.axes_of(a.ndim, axis))


def _divided(total: Any, count: Any) -> Any:
    """Return total / count in the total's dtype; float16 cannot hold every count."""
    if total.dtype == np.float16:
        return cast(cast(total, np.float32) / count, np.float16)
    return cast(total / count, total.dtype)


@implements(np.mean)
def mean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = MISSING,
    *,
    where: Any = MISSING,
) -> Any:
    """As `np.mean`: integers in float64, float16 summed in float32."""
    a = as_array(traced(a))
    result_dtype = np.dtype(dtype) if dtype is not None else a.dtype
    if dtype is None and a.dtype.kind in "biu":
        result_dtype = np.dtype(float)
    half = dtype is None and result_dtype == np.float16
    summed = np.dtype(np.float32) if half else result_dtype
    if out is not None:
        out = destination(out)
        # As NumPy, which sums in a dtype that also `out` has a say in, and divides in `out`.
        given = summed if dtype is not None or half or a.dtype.kind in "biu" else None
        total = ufunc_reduce(np.add, a, axis, given, out, keepdims, where=where)
        count = _total(a, axis, keepdims, where)[1]
        return np.true_divide(total, count, out=total, casting="unsafe")
    total, count = _total(cast(a, summed), axis, keepdims, where)
    return cast(total / count, result_dtype)


@implements(np.var)
@with_out(same_dtype)
def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = MISSING,
    *,
    where: Any = MISSING,
    mean: Any = MISSING,
    correction: Any = MISSING,
) -> Any:
    """As `np.var`."""
    ddof = correction if is_given(correction) else ddof
    a = as_array(traced(a))
    if dtype is None and a.dtype.kind in "biu":
        dtype = np.dtype(float)
    summed = a if dtype is None else cast(a, dtype)
    axes = ops.axes_of(a.ndim, axis)
    if is_given(mean):
        deviation = a - mean
    else:
        total, count = _total(summed, axes, True, where)
        deviation = a - _divided(total, count)
    if deviation.dtype.kind == "c":
        squared = np.square(np.real(deviation)) + np.square(np.imag(deviation))
    else:
        squared = np.square(deviation)
    if dtype is not None:
        squared = cast(squared, np.zeros((), dtype).real.dtype)
    total, count = _total(squared, axes, keepdims, where)
    left = count - ddof
    if isinstance(left, TracedArray):
        left = np.maximum(left, 0)
    else:
        left = maximum(left, 0) if isinstance(left, Dim) else max(0, left)
    return _divided(total, left)


@implements(np.std)
@with_out(same_dtype)
def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = MISSING,
    *,
    where: Any = MISSING,
    mean: Any = MISSING,
    correction: Any = MISSING,
) -> Any:
    """As `np.std`."""
    variance = var(
        a, axis, dtype, out, ddof, keepdims, where=where, mean=mean, correction=correction
    )
    return np.sqrt(variance)


@implements(np.ptp)
@with_out(same_dtype)
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = MISSING) -> Any:
    """As `np.ptp`."""
    a = as_array(traced(a))
    return reduction(ops.Max, a, axis, keepdims) - reduction(ops.Min, a, axis, keepdims)


@implements(np.average)
def average(
    a: Any,
    axis: Any = None,
    weights: Any = None,
    returned: bool = False,
    *,
    keepdims: Any = MISSING,
) -> Any:
    """As `np.average`."""
    a = as_array(traced(a))
    if weights is None:
        result = mean(a, axis, keepdims=keepdims)
        count = ops.count_of(a.shape, ops.axes_of(a.ndim, axis))
        scale: Any = np.full_like(result, count)
    else:
        weights = _fitted_weights(as_array(traced(weights)), a, axis)
        dtype = np.result_type(a.dtype, weights.dtype, *(["f8"] if a.dtype.kind in "biu" else []))
        scale = np.sum(weights, axis=axis, dtype=dtype, keepdims=kept(keepdims))
        message = "Weights sum to zero, can't be normalized"
        scale = require(scale, ~np.any(scale == 0), ZeroDivisionError, message)
        result = np.sum(cast(a, dtype) * cast(weights, dtype), axis=axis, keepdims=kept(keepdims))
        result = result / scale
    if not returned:
        return result
    if scale.shape != result.shape:
        scale = copy(broadcast_to(scale, result.shape))
    return result, scale


def _fitted_weights(weights: TracedArray, a: TracedArray, axis: Any) -> Any:
    if weights.shape == a.shape:
        return weights
    if axis is None:
        raise TypeError("Axis must be specified when shapes of a and weights differ.")
    axes = np.lib.array_utils.normalize_axis_tuple(axis, a.ndim)
    if weights.shape != tuple(a.shape[k] for k in axes):
        raise ValueError(
            "Shape of weights must be consistent with shape of a along specified axis."
        )
    weights = transpose(weights, np.argsort(axes).tolist())
    return emit_reshape(weights, [d if k in axes else 1 for k, d in enumerate(a.shape)])


@implements(np.nansum)
def nansum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = MISSING,
    initial: Any = MISSING,
    where: Any = MISSING,
) -> Any:
    """As `np.nansum`."""
    return np.sum(_filled(a, 0), axis, dtype, out, keepdims, initial, where)


@implements(np.nanprod)
def nanprod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = MISSING,
    initial: Any = MISSING,
    where: Any = MISSING,
) -> Any:
    """As `np.nanprod`."""
    return np.prod(_filled(a, 1), axis, dtype, out, keepdims, initial, where)


def _filled(a: Any, value: Any) -> Any:
    a = as_array(traced(a))
    if a.dtype.kind not in "fc":
        return a
    return as_array(choose(np.isnan(a), value, a))


@implements(np.nanmean)
@with_out(same_dtype)
def nanmean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = MISSING,
    *,
    where: Any = MISSING,
) -> Any:
    """As `np.nanmean`."""
    a = as_array(traced(a))
    if a.dtype.kind not in "fc":
        return mean(a, axis, dtype, out, keepdims, where=where)
    if dtype is not None and np.dtype(dtype).kind not in "fc":
        raise TypeError("If a is inexact, then dtype must be inexact")
    valid = ~np.isnan(a)
    if is_masked(where):
        valid = valid & where
    total = np.sum(_filled(a, 0), axis, dtype, None, kept(keepdims), where=where)
    count = np.sum(valid, axis, np.intp, None, kept(keepdims))
    return _divided(total, count)


@implements(np.nanmax)
def nanmax(
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = MISSING,
    initial: Any = MISSING,
    where: Any = MISSING,
) -> Any:
    """As `np.nanmax`."""
    where = where if is_given(where) else True
    return ufunc_reduce(
        np.fmax, as_array(traced(a)), axis, None, out, kept(keepdims), initial, where
    )


@implements(np.nanmin)
def nanmin(
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = MISSING,
    initial: Any = MISSING,
    where: Any = MISSING,
) -> Any:
    """As `np.nanmin`."""
    where = where if is_given(where) else True
    return ufunc_reduce(
        np.fmin, as_array(traced(a)), axis, None, out, kept(keepdims), initial, where
    )


@implements(np.nanvar)
@with_out(same_dtype)
def nanvar(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = MISSING,
    *,
    where: Any = MISSING,
    mean: Any = MISSING,
    correction: Any = MISSING,
) -> Any:
    """As `np.nanvar`; without enough elements the variance is nan."""
    a = as_array(traced(a))
    if a.dtype.kind not in "fc":
        return var(
            a, axis, dtype, None, ddof, keepdims, where=where, mean=mean, correction=correction
        )
    if dtype is not None and np.dtype(dtype).kind not in "fc":
        raise TypeError("If a is inexact, then dtype must be inexact")
    if is_given(correction):
        if ddof != 0:
            raise ValueError("ddof and correction can't be provided simultaneously.")
        ddof = correction
    missing = np.isnan(a)
    count = np.sum(~missing, axis, np.intp, keepdims=True, where=where)
    if is_given(mean):
        average = mean
    else:
        average = _divided(np.sum(_filled(a, 0), axis, dtype, keepdims=True, where=where), count)
    deviation = a - average
    deviation = choose(missing, 0, cast(deviation, a.dtype))
    squared = np.real(deviation * np.conj(deviation)) if a.dtype.kind == "c" else deviation**2
    total = np.sum(squared, axis, dtype, keepdims=kept(keepdims), where=where)
    left = emit_reshape(count, total.shape) - ddof
    result = choose(left <= 0, np.nan, _divided(total, left))
    return result if result.shape else result[()]


@implements(np.nanstd)
@with_out(same_dtype)
def nanstd(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = MISSING,
    *,
    where: Any = MISSING,
    mean: Any = MISSING,
    correction: Any = MISSING,
) -> Any:
    """As `np.nanstd`."""
    variance = nanvar(
        a, axis, dtype, out, ddof, keepdims, where=where, mean=mean, correction=correction
    )
    return np.sqrt(variance)


def _place(function: Any, a: Any, axis: Any, out: Any, keepdims: Any, least: float) -> Any:
    a = as_array(traced(a))
    if a.dtype.kind in "fc" and a.size:
        empty = np.any(np.all(np.isnan(a), axis=axis))
        a = require(_filled(a, least), ~empty, ValueError, "All-NaN slice encountered")
    return function(a, axis=axis, out=out, keepdims=keepdims)


@implements(np.nanargmax)
def nanargmax(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = MISSING) -> Any:
    """As `np.nanargmax`; a slice of nans alone raises when the program runs."""
    return _place(np.argmax, a, axis, out, keepdims, -np.inf)


@implements(np.nanargmin)
def nanargmin(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = MISSING) -> Any:
    """As `np.nanargmin`; a slice of nans alone raises when the program runs."""
    return _place(np.argmin, a, axis, out, keepdims, np.inf)


@implements(np.nancumsum)
def nancumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """As `np.nancumsum`."""
    return np.cumsum(_filled(a, 0), axis=axis, dtype=dtype, out=out)


@implements(np.nancumprod)
def nancumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """As `np.nancumprod`."""
    return np.cumprod(_filled(a, 1), axis=axis, dtype=dtype, out=out)


for _name, _function in {"mean": mean, "var": var, "std": std}.items():
    method(_name, _function)
