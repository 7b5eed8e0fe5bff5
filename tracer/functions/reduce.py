"""Reductions and cumulative functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.ops import reduce as ops
from ..array import UFUNC_METHODS, emit, implements, method, unsupported
from .shape import cast, emit_reshape, traced

_MISSING: Any = np._NoValue  # type: ignore[attr-defined]


def _keep(keepdims: Any) -> bool:
    return keepdims is not _MISSING and bool(keepdims)


def reduction(
    op: type[ops.Reduction], a: Any, axis: Any, keepdims: Any, dtype: Any = None
) -> Any:
    """Emit a reduction over NumPy's `axis`; small integers are widened for sums and products."""
    a = traced(a)
    if op in (ops.Sum, ops.Prod):
        if dtype is None and a.dtype.kind in "biu":
            widened = np.add.resolve_dtypes((None, a.dtype, None), reduction=True)
            dtype = widened[-1]
        a = cast(a, a.dtype if dtype is None else dtype)
    axes = ops.axes_of(a.ndim, axis)
    if not axes:
        return a.copy() if a.shape else a
    return emit(op(axes, _keep(keepdims)), (a,))


def _refuse(name: str, **options: Any) -> None:
    for key, value in options.items():
        if value is not None and value is not _MISSING and value is not True:
            raise unsupported(f"{name} with {key}=")


@implements(np.sum)
def sum(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = _MISSING,
    initial: Any = _MISSING, where: Any = _MISSING,
) -> Any:
    """As `np.sum`."""
    _refuse("np.sum", out=out, where=where)
    result = reduction(ops.Sum, a, axis, keepdims, dtype)
    return result if initial is _MISSING else result + initial


@implements(np.prod)
def prod(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = _MISSING,
    initial: Any = _MISSING, where: Any = _MISSING,
) -> Any:
    """As `np.prod`."""
    _refuse("np.prod", out=out, where=where)
    result = reduction(ops.Prod, a, axis, keepdims, dtype)
    return result if initial is _MISSING else result * initial


@implements(np.max, np.amax)
def max(
    a: Any, axis: Any = None, out: Any = None, keepdims: Any = _MISSING, initial: Any = _MISSING,
    where: Any = _MISSING,
) -> Any:
    """As `np.max`."""
    _refuse("np.max", out=out, where=where)
    result = reduction(ops.Max, a, axis, keepdims)
    return result if initial is _MISSING else np.maximum(result, initial)


@implements(np.min, np.amin)
def min(
    a: Any, axis: Any = None, out: Any = None, keepdims: Any = _MISSING, initial: Any = _MISSING,
    where: Any = _MISSING,
) -> Any:
    """As `np.min`."""
    _refuse("np.min", out=out, where=where)
    result = reduction(ops.Min, a, axis, keepdims)
    return result if initial is _MISSING else np.minimum(result, initial)


@implements(np.any)
def any(a: Any, axis: Any = None, out: Any = None, keepdims: Any = _MISSING, **_: Any) -> Any:
    """As `np.any`."""
    return reduction(ops.Any_, cast(a, bool), axis, keepdims)


@implements(np.all)
def all(a: Any, axis: Any = None, out: Any = None, keepdims: Any = _MISSING, **_: Any) -> Any:
    """As `np.all`."""
    return reduction(ops.All, cast(a, bool), axis, keepdims)


@implements(np.mean)
def mean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: Any = _MISSING,
    *, where: Any = _MISSING,
) -> Any:
    """As `np.mean`: integers in float64, float16 summed in float32."""
    _refuse("np.mean", out=out, where=where)
    a = traced(a)
    result_dtype = np.dtype(dtype) if dtype is not None else a.dtype
    if dtype is None and a.dtype.kind in "biu":
        result_dtype = np.dtype(float)
    summed_in = np.dtype(np.float32) if result_dtype == np.float16 else result_dtype
    total = reduction(ops.Sum, cast(a, summed_in), axis, keepdims)
    count = ops.count_of(a.shape, ops.axes_of(a.ndim, axis))
    return cast(total / count, result_dtype)


@implements(np.var)
def var(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0,
    keepdims: Any = _MISSING, *, where: Any = _MISSING, mean: Any = _MISSING,
    correction: Any = _MISSING,
) -> Any:
    """As `np.var`."""
    _refuse("np.var", out=out, where=where, mean=mean)
    ddof = ddof if correction is _MISSING else correction
    a = traced(a)
    if a.dtype.kind in "biu":
        a = cast(a, float if dtype is None else dtype)
    result_dtype = np.zeros((), a.dtype if dtype is None else dtype).real.dtype
    a = cast(a, np.float32) if a.dtype == np.float16 else a
    axes = ops.axes_of(a.ndim, axis)
    count = ops.count_of(a.shape, axes)
    deviation = a - reduction(ops.Sum, a, axes, True) / count
    squared = (
        np.real(deviation * np.conjugate(deviation)) if a.dtype.kind == "c" else deviation * deviation
    )
    left = count - ddof
    divisor = left if not isinstance(left, int | float) or left > 0 else 0
    return cast(reduction(ops.Sum, squared, axes, keepdims) / divisor, result_dtype)


@implements(np.std)
def std(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, ddof: float = 0,
    keepdims: Any = _MISSING, *, where: Any = _MISSING, mean: Any = _MISSING,
    correction: Any = _MISSING,
) -> Any:
    """As `np.std`."""
    return np.sqrt(
        var(a, axis, dtype, out, ddof, keepdims, where=where, mean=mean, correction=correction)
    )


def _arg(op: type[ops.ArgReduction], a: Any, axis: Any, keepdims: Any) -> Any:
    a = traced(a)
    ndim = a.ndim
    if axis is None:
        result = emit(op(-1), (emit_reshape(a, [a.size]),))
        return emit_reshape(result, [1] * ndim) if _keep(keepdims) else result
    (negative,) = ops.axes_of(ndim, axis)
    result = emit(op(negative), (a,))
    return np.expand_dims(result, negative) if _keep(keepdims) else result


@implements(np.argmax)
def argmax(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = _MISSING) -> Any:
    """As `np.argmax`."""
    return _arg(ops.ArgMax, a, axis, keepdims)


@implements(np.argmin)
def argmin(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = _MISSING) -> Any:
    """As `np.argmin`."""
    return _arg(ops.ArgMin, a, axis, keepdims)


def _cumulative(op: type[ops.Cumulative], a: Any, axis: Any, dtype: Any) -> Any:
    a = traced(a)
    if dtype is None and a.dtype.kind in "biu":
        dtype = np.add.resolve_dtypes((None, a.dtype, None), reduction=True)[-1]
    a = a if dtype is None else cast(a, dtype)
    if axis is None:
        a, axis = emit_reshape(a, [a.size]), 0
    (negative,) = ops.axes_of(a.ndim, axis)
    return emit(op(negative), (a,))


@implements(np.cumsum)
def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """As `np.cumsum`."""
    return _cumulative(ops.CumSum, a, axis, dtype)


@implements(np.cumprod)
def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """As `np.cumprod`."""
    return _cumulative(ops.CumProd, a, axis, dtype)


_REDUCE: dict[np.ufunc, type[ops.Reduction]] = {
    np.add: ops.Sum,
    np.multiply: ops.Prod,
    np.maximum: ops.Max,
    np.minimum: ops.Min,
    np.logical_or: ops.Any_,
    np.logical_and: ops.All,
    np.logaddexp: ops.LogAddExp,
}
_ACCUMULATE: dict[np.ufunc, type[ops.Cumulative]] = {np.add: ops.CumSum, np.multiply: ops.CumProd}


def ufunc_reduce(
    ufunc: np.ufunc, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None,
    keepdims: bool = False, initial: Any = _MISSING, where: Any = True,
) -> Any:
    """As `ufunc.reduce`."""
    if ufunc not in _REDUCE:
        raise unsupported(f"np.{ufunc.__name__}.reduce")
    _refuse(f"np.{ufunc.__name__}.reduce", out=out, where=where)
    if ufunc in (np.logical_or, np.logical_and):
        array = cast(array, bool)
    result = reduction(_REDUCE[ufunc], array, axis, keepdims, dtype)
    return result if initial is _MISSING else ufunc(result, initial)


def ufunc_accumulate(
    ufunc: np.ufunc, array: Any, axis: int = 0, dtype: Any = None, out: Any = None
) -> Any:
    """As `ufunc.accumulate`."""
    if ufunc not in _ACCUMULATE:
        raise unsupported(f"np.{ufunc.__name__}.accumulate")
    return _cumulative(_ACCUMULATE[ufunc], array, axis, dtype)


def ufunc_outer(ufunc: np.ufunc, a: Any, b: Any, /, **kwargs: Any) -> Any:
    """As `ufunc.outer`."""
    a, b = traced(a), traced(b)
    return ufunc(emit_reshape(a, [*a.shape, *[1] * b.ndim]), b, **kwargs)


UFUNC_METHODS.update(reduce=ufunc_reduce, accumulate=ufunc_accumulate, outer=ufunc_outer)
for _name, _function in {
    "sum": sum, "prod": prod, "max": max, "min": min, "any": any, "all": all, "mean": mean,
    "var": var, "std": std, "argmax": argmax, "argmin": argmin, "cumsum": cumsum,
    "cumprod": cumprod,
}.items():
    method(_name, _function)
