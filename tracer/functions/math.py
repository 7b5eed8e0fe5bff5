"""Elementwise functions that are compositions of ufuncs."""

from __future__ import annotations

import math as python_math
from typing import Any

import numpy as np

from ...ir.errors import ShapeError
from ...ir.op import Op
from ...ir.ops.select import MakeComplex
from ...ir.types import Kind
from ..array import emit, implements, method
from ..size import refuse_undecided
from .create import where
from .shape import MISSING, as_array, as_python, as_scalar, cast, common_dtype, copy, traced
from .write import deliver, destination, put

_CLIP = Op.REGISTRY["clip"].ufunc


@implements(np.clip)
def clip(
    a: Any,
    a_min: Any = None,
    a_max: Any = None,
    out: Any = None,
    *,
    min: Any = None,
    max: Any = None,
    dtype: Any = None,
    **kwargs: Any,
) -> Any:
    """As `np.clip`."""
    low: Any = min if a_min is None or a_min is MISSING else a_min
    high: Any = max if a_max is None or a_max is MISSING else a_max
    low, high = (None if v is MISSING else v for v in (low, high))
    a = traced(a)
    if a.dtype.kind in "iu":  # bounds that the dtype does not reach bound nothing
        if type(low) is int and low <= np.iinfo(a.dtype).min:
            low = None
        if type(high) is int and high >= np.iinfo(a.dtype).max:
            high = None
    options = kwargs if dtype is None else {"dtype": dtype, **kwargs}
    if out is not None:
        options["out"] = out
    if low is None and high is None:
        return np.positive(a, **options)
    if low is None:
        return np.minimum(a, high, **options)
    if high is None:
        return np.maximum(a, low, **options)
    return _CLIP(a, low, high, **options)


@implements(np.around, np.round)
def around(a: Any, decimals: int = 0, out: Any = None) -> Any:
    """As `np.round`; its derivative is zero."""
    a = traced(a)
    decimals = decimals.__index__()
    if out is not None:
        return _round_into(a, decimals, destination(out))
    if a.dtype.kind == "c":
        return emit(MakeComplex(), (around(np.real(a), decimals), around(np.imag(a), decimals)))
    if a.dtype.kind == "b":
        if decimals:
            raise TypeError("Cannot cast ufunc 'multiply' output from float64 to bool")
        a = cast(a, np.float16)
    if a.dtype.kind in "iu":
        if decimals >= 0:
            return a.copy()
        scale = 10.0**-decimals
        return cast(np.rint(a / scale) * scale, a.dtype)
    if decimals == 0:
        return np.rint(a)
    scale = 10.0 ** abs(decimals)
    return np.rint(a * scale) / scale if decimals > 0 else np.rint(a / scale) * scale


def _round_into(a: Any, decimals: int, out: Any) -> Any:
    """Round into an array: NumPy scales, rounds and scales back in its dtype."""
    scales = decimals < 0 if a.dtype.kind in "iu" else a.dtype.kind in "fb" and decimals
    if out.shape != a.shape:
        raise ShapeError("invalid output shape")
    if a.dtype.kind == "c" and out.dtype.kind != "c":
        raise TypeError("array does not have imaginary part to set")
    if not scales or out.dtype == a.dtype == np.result_type(a.dtype, np.float16):
        return deliver(out, around(a, decimals), "same_kind")
    there, back = (np.multiply, np.divide) if decimals > 0 else (np.divide, np.multiply)
    scale = 10.0 ** abs(decimals)
    there(a, scale, out=out)
    np.rint(out, out=out)
    return back(out, scale, out=out)


def _round(self: Any, ndigits: Any = None) -> Any:
    """As `round(x)` of a NumPy scalar or Python number: an int without `ndigits`."""
    if self.shape or self._kind is Kind.ARRAY:
        raise TypeError("type numpy.ndarray doesn't define __round__ method")
    if ndigits is None:
        return as_python(cast(np.rint(self), np.int64))
    rounded = around(self, ndigits)
    return as_python(rounded) if self._kind is Kind.PYTHON else rounded


@implements(np.fix)
def fix(x: Any, out: Any = None) -> Any:
    """As `np.fix`."""
    return np.trunc(x, out=out)


@implements(np.nan_to_num)
def nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """As `np.nan_to_num`: with `copy=False` the array itself is written into."""
    a = traced(x)
    if a.dtype.kind not in "fc":
        return as_scalar(a.copy() if copy else a)
    if a.dtype.kind == "c":
        parts = [_filled(p, nan, posinf, neginf) for p in (np.real(a), np.imag(a))]
        result = emit(MakeComplex(), parts)
    else:
        result = _filled(a, nan, posinf, neginf)
    if copy or not a.shape or a._kind is not Kind.ARRAY:
        return as_scalar(result)
    put(a, result)
    return a


def _filled(a: Any, nan: Any, posinf: Any, neginf: Any) -> Any:
    limits = np.finfo(a.dtype)
    given = (
        nan,
        limits.max if posinf is None else posinf,
        limits.min if neginf is None else neginf,
    )
    if any(traced(v).dtype.kind == "c" for v in given):
        raise TypeError("Cannot cast array data from complex to real according to 'same_kind'")
    nan, top, bottom = (cast(v, a.dtype) for v in given)
    filled = where(np.isnan(a), nan, a)
    filled = where(a == np.inf, top, filled)
    return where(a == -np.inf, bottom, filled)


@implements(np.sinc)
def sinc(x: Any) -> Any:
    """As `np.sinc`; at 0 a Taylor polynomial stands in, so that its derivatives are right there."""
    x = np.pi * as_array(traced(x))
    zero = x == 0
    y = where(zero, 1, x)
    near = x * x
    return as_scalar(where(zero, 1 - near / 6 + near * near / 120, np.sin(y) / y))


@implements(np.angle)
def angle(z: Any, deg: bool = False) -> Any:
    """As `np.angle`."""
    z = traced(z)
    if z.dtype.kind == "c":
        result = np.arctan2(np.imag(z), np.real(z))
    else:
        result = np.arctan2(0, z)
    return result * (180 / python_math.pi) if deg else result


@implements(np.isclose)
def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """As `np.isclose`."""
    x, y = traced(a), traced(b)
    y = cast(y, common_dtype([as_array(y), 1.0]))
    close = np.less_equal(abs(x - y), atol + rtol * abs(y)) & np.isfinite(y) | (x == y)
    if equal_nan:
        close = close | (np.isnan(x) & np.isnan(y))
    return as_scalar(close)


@implements(np.allclose)
def allclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """As `np.allclose`: a traced bool."""
    return as_python(np.all(isclose(a, b, rtol, atol, equal_nan)))


@implements(np.array_equal)
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """As `np.array_equal`: a traced bool, or False where the shapes differ."""
    x, y = traced(a1), traced(a2)
    if x.shape != y.shape:
        refuse_undecided(x.shape, y.shape, "np.array_equal")
        return False
    equal = as_array(x) == as_array(y)
    if equal_nan and x.dtype.kind in "fc" and y.dtype.kind in "fc":
        equal = equal | (np.isnan(x) & np.isnan(y))
    return as_python(np.all(equal))


@implements(np.array_equiv)
def array_equiv(a1: Any, a2: Any) -> Any:
    """As `np.array_equiv`: a traced bool, or False where the shapes do not broadcast."""
    x, y = traced(a1), traced(a2)
    try:
        np.broadcast_shapes(x.shape, y.shape)
    except ValueError:
        return False
    return as_python(np.all(as_array(x) == y))


@implements(np.isposinf)
def isposinf(x: Any, out: Any = None) -> Any:
    """As `np.isposinf`."""
    return np.logical_and(np.isinf(x), ~np.signbit(x), out=out)


@implements(np.isneginf)
def isneginf(x: Any, out: Any = None) -> Any:
    """As `np.isneginf`."""
    return np.logical_and(np.isinf(x), np.signbit(x), out=out)


@implements(np.isreal)
def isreal(x: Any) -> Any:
    """As `np.isreal`."""
    return np.imag(x) == 0


@implements(np.iscomplex)
def iscomplex(x: Any) -> Any:
    """As `np.iscomplex`."""
    return np.imag(x) != 0


@implements(np.select)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """As `np.select`."""
    if len(condlist) != len(choicelist):
        raise ValueError("list of cases must be same length as list of conditions")
    if not len(condlist):
        raise ValueError("select with an empty condition list is not possible")
    conditions = [traced(c) for c in condlist]
    for k, condition in enumerate(conditions):
        if condition.dtype != bool:
            raise TypeError(f"invalid entry {k} in condlist: should be boolean ndarray")
    values = [traced(c) for c in (*choicelist, default)]
    dtype = common_dtype(values)
    result = cast(values[-1], dtype)
    shape = np.broadcast_shapes(*[v.shape for v in (*conditions, *values)])
    for condition, value in zip(conditions[::-1], values[-2::-1], strict=True):
        result = where(condition, cast(value, dtype), result)
    if result.shape != shape:
        result = np.broadcast_to(result, shape)
    elif result._layout is None:
        return result
    return copy(result, order="C")


method(
    "clip", lambda self, min=None, max=None, out=None, **kwargs: clip(self, min, max, out, **kwargs)
)
method("round", around)
method("__round__", _round)
