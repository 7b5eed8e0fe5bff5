"""Reductions and cumulative functions, and the methods of ufuncs."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.errors import ShapeError
from ...ir.ops import cumulative
from ...ir.ops import reduce as ops
from ..array import UFUNC_METHODS, emit, implements, method, unsupported
from .shape import MISSING, as_array, as_scalar, cast, emit_reshape, traced


def is_given(value: Any) -> bool:
    """Whether an optional argument of a reduction says something."""
    return value is not MISSING and value is not None


def is_masked(where: Any) -> bool:
    """Whether a `where=` argument leaves elements out."""
    return is_given(where) and where is not True


def kept(keepdims: Any) -> bool:
    """Whether a `keepdims` argument is given and true."""
    return is_given(keepdims) and bool(keepdims)


def refuse_out(name: str, out: Any) -> None:
    """Raise where an `out=` argument is given."""
    if out is not None:
        raise unsupported(f"{name} with out=", "Assign the result instead.")


def widened(dtype: np.dtype) -> np.dtype:
    """Return the dtype in which NumPy adds up: at least the platform's integer."""
    if dtype.kind not in "biu":
        return dtype
    return np.add.resolve_dtypes((None, dtype, None), reduction=True)[-1]


def reduce_axes(ndim: int, axis: Any) -> tuple[int, ...]:
    """Return the normalised axes; a value without axes takes 0 and -1 too, as in NumPy."""
    if ndim == 0 and axis in (0, -1, (0,), (-1,)):
        return ()
    return ops.axes_of(ndim, axis)


def reduction(op: type[ops.Reduction], a: Any, axis: Any, keepdims: Any, dtype: Any = None) -> Any:
    """Emit a reduction over NumPy's `axis`; small integers are widened for sums and products."""
    a = traced(a)
    if op in (ops.Sum, ops.Prod):
        a = cast(a, widened(a.dtype) if dtype is None else dtype)
    elif dtype is not None:
        a = cast(a, dtype)
    if op is ops.LogAddExp:
        a = cast(a, np.logaddexp.resolve_dtypes((a.dtype, a.dtype, None))[-1])
    axes = reduce_axes(a.ndim, axis)
    if not axes:
        if op is ops.Sum and a.dtype.kind in "fc":
            return a + 0  # as NumPy starts from 0: -0.0 becomes 0.0
        return a.copy() if a.shape else as_scalar(a)
    return emit(op(axes, kept(keepdims)), (a,))


_REDUCE: dict[np.ufunc, type[ops.Reduction]] = {
    np.add: ops.Sum,
    np.multiply: ops.Prod,
    np.maximum: ops.Max,
    np.minimum: ops.Min,
    np.logical_or: ops.Any_,
    np.logical_and: ops.All,
    np.logaddexp: ops.LogAddExp,
}


def ufunc_reduce(
    ufunc: np.ufunc,
    array: Any,
    axis: Any = 0,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = MISSING,
    where: Any = True,
) -> Any:
    """As `ufunc.reduce`; elements outside of `where` are replaced by what changes nothing."""
    if ufunc not in _REDUCE:
        raise unsupported(f"np.{ufunc.__name__}.reduce")
    op, name = _REDUCE[ufunc], f"np.{ufunc.__name__}.reduce"
    refuse_out(name, out)
    a = as_array(traced(array))
    if ufunc in (np.logical_or, np.logical_and):
        a, dtype = cast(a, bool), None
    if is_masked(where):
        neutral = initial if ufunc.identity is None else ufunc.identity
        if not is_given(neutral):
            raise ShapeError(
                f"reduction operation '{ufunc.__name__}' does not have an identity, so to use a "
                "where mask one has to specify 'initial'"
            )
        a = np.where(where, a, cast(neutral, a.dtype))
    if is_given(initial):
        axes = reduce_axes(a.ndim, axis)
        if ufunc.identity is None and ops.count_of(a.shape, axes) == 0:
            shape: Any = ops.reduced_shape(a.shape, axes, kept(keepdims))
            return as_scalar(np.full_like(a, initial, shape=shape))
    result = reduction(op, a, axis, keepdims, dtype)
    return ufunc(cast(initial, result.dtype), result) if is_given(initial) else result


@implements(np.sum)
def sum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = MISSING,
    initial: Any = MISSING,
    where: Any = MISSING,
) -> Any:
    """As `np.sum`."""
    return ufunc_reduce(np.add, a, axis, dtype, out, keepdims, initial, where)


@implements(np.prod)
def prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = MISSING,
    initial: Any = MISSING,
    where: Any = MISSING,
) -> Any:
    """As `np.prod`."""
    return ufunc_reduce(np.multiply, a, axis, dtype, out, keepdims, initial, where)


@implements(np.max, np.amax)
def max(
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = MISSING,
    initial: Any = MISSING,
    where: Any = MISSING,
) -> Any:
    """As `np.max`."""
    return ufunc_reduce(np.maximum, a, axis, None, out, keepdims, initial, where)


@implements(np.min, np.amin)
def min(
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = MISSING,
    initial: Any = MISSING,
    where: Any = MISSING,
) -> Any:
    """As `np.min`."""
    return ufunc_reduce(np.minimum, a, axis, None, out, keepdims, initial, where)


@implements(np.any)
def any(
    a: Any, axis: Any = None, out: Any = None, keepdims: Any = MISSING, *, where: Any = MISSING
) -> Any:
    """As `np.any`."""
    return ufunc_reduce(np.logical_or, a, axis, None, out, keepdims, where=where)


@implements(np.all)
def all(
    a: Any, axis: Any = None, out: Any = None, keepdims: Any = MISSING, *, where: Any = MISSING
) -> Any:
    """As `np.all`."""
    return ufunc_reduce(np.logical_and, a, axis, None, out, keepdims, where=where)


@implements(np.count_nonzero)
def count_nonzero(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """As `np.count_nonzero`."""
    return reduction(ops.Sum, cast(a, bool), axis, keepdims, np.intp)


def _arg(op: type[ops.ArgReduction], a: Any, axis: Any, out: Any, keepdims: Any) -> Any:
    refuse_out("an argmax or argmin", out)
    a = traced(a)
    ndim = a.ndim
    if axis is None:
        result = emit(op(-1), (emit_reshape(a, [a.size]),))
        return emit_reshape(result, [1] * ndim) if kept(keepdims) and ndim else result
    if not ndim:
        ops.axes_of(1, axis)
        return emit(op(-1), (emit_reshape(a, [1]),))
    (negative,) = ops.axes_of(ndim, axis)
    result = emit(op(negative), (a,))
    return np.expand_dims(result, negative) if kept(keepdims) else result


@implements(np.argmax)
def argmax(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = MISSING) -> Any:
    """As `np.argmax`."""
    return _arg(ops.ArgMax, a, axis, out, keepdims)


@implements(np.argmin)
def argmin(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = MISSING) -> Any:
    """As `np.argmin`."""
    return _arg(ops.ArgMin, a, axis, out, keepdims)


_ACCUMULATE: dict[np.ufunc, type[cumulative.Cumulative]] = {
    np.add: cumulative.CumSum,
    np.multiply: cumulative.CumProd,
    np.maximum: cumulative.CumMax,
    np.minimum: cumulative.CumMin,
    np.logaddexp: cumulative.CumLogAddExp,
}


def ufunc_accumulate(
    ufunc: np.ufunc, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None
) -> Any:
    """As `ufunc.accumulate`."""
    if ufunc not in _ACCUMULATE:
        raise unsupported(f"np.{ufunc.__name__}.accumulate")
    refuse_out(f"np.{ufunc.__name__}.accumulate", out)
    a = traced(array)
    if dtype is None and ufunc in (np.add, np.multiply):
        dtype = widened(a.dtype)
    if ufunc is np.logaddexp and dtype is None:
        dtype = np.logaddexp.resolve_dtypes((a.dtype, a.dtype, None))[-1]
    a = a if dtype is None else cast(a, dtype)
    if not a.shape:
        raise TypeError("cannot accumulate on a scalar")
    (negative,) = ops.axes_of(a.ndim, axis)
    return emit(_ACCUMULATE[ufunc](negative), (a,))


def _cumulative(ufunc: np.ufunc, a: Any, axis: Any, dtype: Any, out: Any) -> Any:
    a = traced(a)
    if axis is None or not a.shape:
        ops.axes_of(1, axis)
        a, axis = emit_reshape(a, [a.size]), 0
    return ufunc_accumulate(ufunc, a, axis, dtype, out)


@implements(np.cumsum)
def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """As `np.cumsum`."""
    return _cumulative(np.add, a, axis, dtype, out)


@implements(np.cumprod)
def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Any:
    """As `np.cumprod`."""
    return _cumulative(np.multiply, a, axis, dtype, out)


def ufunc_outer(ufunc: np.ufunc, a: Any, b: Any, /, **kwargs: Any) -> Any:
    """As `ufunc.outer`."""
    a, b = traced(a), traced(b)
    return ufunc(emit_reshape(a, [*a.shape, *[1] * b.ndim]), b, **kwargs)


UFUNC_METHODS.update(reduce=ufunc_reduce, accumulate=ufunc_accumulate, outer=ufunc_outer)
for _name, _function in {
    "sum": sum,
    "prod": prod,
    "max": max,
    "min": min,
    "any": any,
    "all": all,
    "argmax": argmax,
    "argmin": argmin,
    "cumsum": cumsum,
    "cumprod": cumprod,
}.items():
    method(_name, _function)
