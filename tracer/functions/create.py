"""Fresh arrays: filled, like another, from values, selected by a condition."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.core import Literal
from ...ir.ops.select import Where
from ...ir.ops.shape import Copy, Full
from ..array import PYTHON_TYPES, Kind, TracedArray, emit, implements
from ..state import require
from .shape import broadcast_to, cast, common_dtype, emit_reshape, stack, traced


def literal(value: Any, dtype: Any) -> TracedArray:
    """Return a scalar constant of a dtype as a traced array."""
    trace = require("a constant")
    return TracedArray(Literal(np.asarray(value, np.dtype(dtype))[()]), Kind.SCALAR, trace)


def _shape(shape: Any) -> tuple[Any, ...]:
    if isinstance(shape, tuple | list):
        return tuple(d.__index__() if hasattr(d, "__index__") else d for d in shape)
    return (shape.__index__(),)


@implements(np.full)
def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C", **_: Any) -> Any:
    """As `np.full`."""
    value = traced(fill_value)
    value = cast(value, dtype) if dtype is not None else value
    if value.shape:
        return emit(Copy("C"), (broadcast_to(value, _shape(shape)),))
    return emit(Full(_shape(shape)), (value,))


@implements(np.zeros)
def zeros(shape: Any, dtype: Any = float, order: str = "C", **_: Any) -> Any:
    """As `np.zeros`."""
    return emit(Full(_shape(shape)), (literal(0, dtype or float),))


@implements(np.ones)
def ones(shape: Any, dtype: Any = None, order: str = "C", **_: Any) -> Any:
    """As `np.ones`."""
    return emit(Full(_shape(shape)), (literal(1, dtype or float),))


@implements(np.full_like)
def full_like(
    a: Any, fill_value: Any, dtype: Any = None, order: str = "K", subok: bool = True,
    shape: Any = None, **_: Any,
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
def array(object: Any, dtype: Any = None, **_: Any) -> Any:
    """As `np.array`: a copy of an array, or nested sequences of values stacked."""
    if isinstance(object, list | tuple):
        result = _stacked(object)
        result = result if dtype is None else cast(result, dtype)
    else:
        result = traced(object)
        same = dtype is None or result.dtype == np.dtype(dtype)
        result = emit(Copy("K"), (result,)) if same else cast(result, dtype)
    return TracedArray(result._atom, Kind.ARRAY, result._trace)


@implements(np.asarray, np.asanyarray, np.ascontiguousarray)
def asarray(a: Any, dtype: Any = None, order: Any = None, **_: Any) -> Any:
    """As `np.asarray`: the array itself where it has the dtype."""
    if isinstance(a, list | tuple):
        return array(a, dtype)
    result = traced(a)
    result = result if dtype is None else cast(result, dtype)
    return TracedArray(result._atom, Kind.ARRAY, result._trace)


def _stacked(values: Any) -> TracedArray:
    parts = [_stacked(v) if isinstance(v, list | tuple) else traced(v) for v in values]
    if not parts:
        return traced(np.array([]))
    dtype = common_dtype(parts)
    if all(p._kind is Kind.PYTHON for p in parts):
        dtype = np.result_type(*[PYTHON_TYPES[p.dtype.kind] for p in parts])
    return stack([cast(p, dtype) for p in parts])


@implements(np.where)
def where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    """As `np.where` with three arguments."""
    from ..array import unsupported

    if x is None or y is None:
        raise unsupported("np.where with one argument", "Write np.where(condition, a, b).")
    condition = cast(condition, bool)
    dtype = common_dtype([x, y])
    result = emit(Where(), (condition, cast(x, dtype), cast(y, dtype)))
    return TracedArray(result._atom, Kind.ARRAY, result._trace)


__all__ = ["emit_reshape", "literal"]
