"""Reductions and cumulative functions: the methods `reduce` and `accumulate` of ufuncs."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ...ir.errors import DTypeError, ShapeError
from ...ir.op import ELEMENTWISE, broadcast
from ...ir.ops import cumulative
from ...ir.ops import reduce as ops
from ...ir.ops.ufunc import UfuncAccumulate, UfuncReduce, loop_dtype
from ..array import emit, implements, is_traced, method, ufunc_name, unsupported
from .shape import MISSING, as_array, as_scalar, cast, emit_reshape, traced
from .write import cast_back, reduce_into, with_out


def is_given(value: Any) -> bool:
    """Whether an optional argument of a reduction says something."""
    return value is not MISSING and value is not None


def is_masked(where: Any) -> bool:
    """Whether a `where=` argument leaves elements out."""
    return is_given(where) and where is not True


def kept(keepdims: Any) -> bool:
    """Whether a `keepdims` argument is given and true."""
    return is_given(keepdims) and bool(keepdims)


def widened(dtype: np.dtype) -> np.dtype:
    """Return the dtype in which NumPy adds up: at least the platform's integer."""
    if dtype.kind not in "biu":
        return dtype
    return np.add.resolve_dtypes((None, dtype, None), reduction=True)[-1]


def reduce_axes(ndim: int, axis: Any) -> tuple[int, ...]:
    """Return the normalised axes; a value without axes takes 0 and -1 too, as in NumPy."""
    if ndim == 0 and axis in (0, -1, (0,), (-1,)):
        return ()
    if isinstance(axis, list):
        raise TypeError("'list' object cannot be interpreted as an integer")
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
    if not axes and op is not ops.LogAddExp:
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
_ONE_AXIS = (
    np.subtract, np.divide, np.power, np.float_power, np.floor_divide, np.remainder, np.fmod,
    np.arctan2, np.copysign, np.heaviside, np.nextafter, np.left_shift, np.right_shift,
)  # fmt: skip


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
    """As `ufunc.reduce`, from `initial` on and over the elements in `where`."""
    if out is not None:
        options = {"axis": axis, "keepdims": keepdims, "initial": initial, "where": where}
        return reduce_into(out, ufunc_reduce, ufunc, array, dtype, **options)
    function = binary(ufunc, "reduce")
    a = as_array(traced(array))
    loop = loop_dtype(ufunc, a.dtype, None if dtype is None else np.dtype(dtype))
    masked = is_masked(where)
    chunked = ufunc is np.add and loop.kind in "fc"
    if not chunked or loop == a.dtype:  # NumPy casts in chunks, which are summed apart
        a = cast(a, loop)
    axes = reduce_axes(a.ndim, axis)
    if ufunc in _ONE_AXIS and len(axes) > 1:
        raise ShapeError(
            f"reduction operation '{ufunc.__name__}' is not reorderable, so at most one axis may "
            "be specified"
        )
    if ufunc in _REDUCE and not masked and initial is MISSING and a.dtype == loop:
        return reduction(_REDUCE[ufunc], a, axis, keepdims, loop)
    operands = [a]
    start = "identity" if initial is MISSING else "first" if initial is None else "operand"
    if start == "operand":
        operands.append(_initial(initial, loop))
    if masked:
        if start != "operand" and (ufunc.identity is None or start == "first"):
            raise ShapeError(
                f"reduction operation '{ufunc.__name__}' does not have an identity, so to use a "
                "where mask one has to specify 'initial'"
            )
        operands.append(_mask(where, a.shape))
    op = UfuncReduce(function, axes, loop, kept(keepdims), start, masked)
    return as_scalar(emit(op, operands))


def _initial(initial: Any, dtype: np.dtype) -> Any:
    value = traced(initial)
    if value.shape:
        raise ShapeError("setting an array element with a sequence.")
    if value.dtype.kind == "c" and dtype.kind != "c":
        raise TypeError("float() argument must be a string or a real number, not 'complex'")
    return cast(value, dtype)


def _mask(where: Any, shape: Any) -> Any:
    mask = where if is_traced(where) or isinstance(where, np.ndarray) else np.array(where, bool)
    mask = traced(mask)
    if mask.dtype.kind != "b":
        raise DTypeError(
            f"Cannot cast array data from {mask.dtype!r} to dtype('bool') according to the rule "
            "'safe'"
        )
    if broadcast([shape, mask.shape]) != shape:
        raise ShapeError("input operand has more dimensions than allowed by the axis remapping")
    return mask


def binary(ufunc: np.ufunc, name: str) -> Any:
    """Return the op of a ufunc that has the method `name`.

    Raises
    ------
    ValueError, RuntimeError, UnsupportedError
        As NumPy for a ufunc without such a method; for one that is not traced.
    """
    if ufunc.nin != 2:
        raise ShapeError(f"{name} only supported for binary functions")
    if ufunc.nout != 1:
        raise ShapeError(f"{name} only supported for functions returning a single value")
    if ufunc.signature is not None:
        raise RuntimeError(f"Reduction not defined on ufunc with signature {ufunc.signature}")
    function = ELEMENTWISE.get(ufunc)
    if function is None:
        raise unsupported(f"{ufunc_name(ufunc)}.{name}")
    return function


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


@with_out(cast_back)
def _arg(op: type[ops.ArgReduction], a: Any, axis: Any, out: Any, keepdims: Any) -> Any:
    a = traced(a)
    ndim = a.ndim
    if axis is None:
        result = emit(op(-1), (emit_reshape(a, [a.size]),))
        return emit_reshape(result, [1] * ndim) if kept(keepdims) and ndim else result
    axis = operator.index(axis)
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
    if out is not None:
        return reduce_into(out, ufunc_accumulate, ufunc, array, dtype, axis=axis)
    function = binary(ufunc, "accumulate")
    a = traced(array)
    axis = one_axis("accumulate", a, axis)
    loop = loop_dtype(ufunc, a.dtype, None if dtype is None else np.dtype(dtype))
    a = cast(a, loop)
    op = _ACCUMULATE.get(ufunc)
    return emit(UfuncAccumulate(function, axis, loop) if op is None else op(axis), (a,))


def one_axis(name: str, a: Any, axis: Any) -> int:
    """Return the negative axis along which a method of a ufunc runs.

    Raises
    ------
    ValueError, TypeError
        As NumPy.
    """
    if isinstance(axis, tuple) and len(axis) == 1:
        (axis,) = ops.axes_of(a.ndim, axis)
    if not a.shape:
        raise TypeError(f"cannot {name} on a scalar")
    if axis is None and a.ndim == 1:
        return -1
    if axis is None or isinstance(axis, tuple):
        raise ShapeError(f"{name} does not allow multiple axes")
    (negative,) = ops.axes_of(a.ndim, axis)
    return negative


def _cumulative(ufunc: np.ufunc, a: Any, axis: Any, dtype: Any, out: Any) -> Any:
    a = traced(a)
    axis = None if axis is None else operator.index(axis)
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


@implements(np.cumulative_sum)
def cumulative_sum(
    x: Any,
    /,
    *,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    include_initial: bool = False,
) -> Any:
    """As `np.cumulative_sum`."""
    return _standard(np.add, x, axis, dtype, out, include_initial)


@implements(np.cumulative_prod)
def cumulative_prod(
    x: Any,
    /,
    *,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    include_initial: bool = False,
) -> Any:
    """As `np.cumulative_prod`."""
    return _standard(np.multiply, x, axis, dtype, out, include_initial)


def _standard(
    ufunc: np.ufunc, x: Any, axis: Any, dtype: Any, out: Any, include_initial: bool
) -> Any:
    a = traced(x)
    if a.ndim == 0:
        a = emit_reshape(a, (1,))
    if axis is None and a.ndim >= 2:
        raise ShapeError("For arrays which have more than one dimension ``axis`` is required.")
    axis = 0 if axis is None else axis
    if include_initial and out is not None:
        raise unsupported("out= with include_initial=", "Assign the result instead.")
    result = ufunc_accumulate(ufunc, a, axis, dtype, out)
    if not include_initial:
        return result
    (negative,) = ops.axes_of(a.ndim, axis)
    shape = [1 if k == negative else d for k, d in enumerate(a.shape, -a.ndim)]
    start = np.full_like(result, ufunc.identity, shape=tuple(shape))
    return np.concatenate([start, result], axis=negative)


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
