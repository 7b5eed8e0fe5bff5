"""Fresh arrays: filled, like another, from values, selected by a condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...ir.core import Literal
from ...ir.errors import ShapeError
from ...ir.layout import elementwise_layout
from ...ir.ops.select import Where
from ...ir.ops.shape import Concatenate, Copy, Full
from ...ir.types import Kind, c_strides
from ..array import TracedArray, emit, implements, unsupported
from ..promotion import check_dtype
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
    read_only,
    shares,
    traced,
    transpose,
)


def literal(value: Any, dtype: Any) -> Any:
    """Return a scalar constant of a dtype as a traced array."""
    trace = require("a constant")
    check_dtype(np.dtype(dtype))
    return TracedArray(Literal(np.asarray(value, np.dtype(dtype))[()]), Kind.SCALAR, trace)


def ordered(a: Any, axes: list[int]) -> Any:
    """Return a copy whose axes lie in memory as in `axes`, the outermost first.

    It is made transposed and then viewed, so that its strides are NumPy's.
    """
    copied = as_array(emit(Copy("C"), (transpose(a, axes),)))
    return transpose(copied, np.argsort(axes).tolist())


def memory_axes(ndim: int, order: Any, layout: Any, shape: Any) -> list[int]:
    """Return the axes from the outermost in memory to the innermost."""
    if order not in ("C", "F", "A", "K", None):
        raise ShapeError(f"order must be one of 'C', 'F', 'A', or 'K' (got {order!r})")
    axes = list(range(ndim))
    if order == "F":
        return axes[::-1]
    if layout is None or order == "C":
        return axes
    if order == "A":
        is_fortran = layout == c_strides(abs(layout[0]), shape[::-1])[::-1]
        return axes[::-1] if is_fortran else axes
    return sorted(axes, key=lambda k: -abs(layout[k]))


def _spread(shape: tuple[Any, ...], value: Any, order: Any, layout: Any = None) -> Any:
    """Return a fresh array filled with a scalar."""
    axes = memory_axes(len(shape), order, layout, shape)
    filled = as_array(emit(Full(tuple(shape[k] for k in axes)), (value,)))
    return (
        filled if axes == list(range(len(shape))) else transpose(filled, np.argsort(axes).tolist())
    )


@implements(np.full)
def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C", **_: Any) -> Any:
    """As `np.full`."""
    value = traced(fill_value)
    value = cast(value, dtype) if dtype is not None else value
    if value.shape:
        value = broadcast_to(value, shape_of(shape))
        return ordered(value, memory_axes(value.ndim, order, None, value.shape))
    return _spread(shape_of(shape), value, order)


@implements(np.zeros, np.empty)
def zeros(shape: Any, dtype: Any = float, order: str = "C", **_: Any) -> Any:
    """As `np.zeros`."""
    return _spread(shape_of(shape), literal(0, dtype or float), order)


@implements(np.ones)
def ones(shape: Any, dtype: Any = None, order: str = "C", **_: Any) -> Any:
    """As `np.ones`."""
    return _spread(shape_of(shape), literal(1, dtype or float), order)


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
    """As `np.full_like`: in the memory order of `a`, where that is not another shape's."""
    a = traced(a)
    value = cast(fill_value, a.dtype if dtype is None else dtype)
    sizes = a.shape if shape is None else shape_of(shape)
    layout = a._layout if len(sizes) == a.ndim else None
    if value.shape:
        return ordered(broadcast_to(value, sizes), memory_axes(len(sizes), order, layout, sizes))
    return _spread(sizes, value, order, layout)


@implements(np.zeros_like, np.empty_like)
def zeros_like(
    a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **_: Any
) -> Any:
    """As `np.zeros_like`."""
    return full_like(a, 0, dtype, order, shape=shape)


@implements(np.ones_like)
def ones_like(
    a: Any, dtype: Any = None, order: str = "K", subok: bool = True, shape: Any = None, **_: Any
) -> Any:
    """As `np.ones_like`."""
    return full_like(a, 1, dtype, order, shape=shape)


@implements(np.array)
def array(
    object: Any,
    dtype: Any = None,
    *,
    copy: bool | None = True,
    order: Any = "K",
    subok: bool = False,
    ndmin: int = 0,
    **_: Any,
) -> Any:
    """As `np.array`: a copy of an array, or nested sequences of values stacked."""
    if isinstance(object, list | tuple):
        if copy is False:
            raise ShapeError("Unable to avoid copy while creating an array as requested.")
        from .join import joined_rows

        rows = joined_rows(object)
        result = _stacked(object) if rows is None else rows
        result = result if dtype is None else cast(result, dtype)
        result = in_order(result, None, order, None)
    else:
        result = traced(object)
        result = in_order(result, dtype, order, copy)
    if result.ndim < ndmin:
        result = emit_reshape(result, (*[1] * (ndmin - result.ndim), *result.shape))
    return as_array(result)


def in_order(a: Any, dtype: Any, order: Any, copy: bool | None) -> Any:
    """Return an array in a dtype and memory order, itself where it is so and no copy is asked.

    Raises
    ------
    ValueError
        Where `copy` is False and a copy is needed.
    """
    if copy is False and a._kind is not Kind.ARRAY:
        raise ShapeError("Unable to avoid copy while creating an array as requested.")
    copy = copy if a._kind is Kind.ARRAY else True
    a, dtype = as_array(a), a.dtype if dtype is None else np.dtype(dtype)
    if order == "A" and dtype != a.dtype:
        order = "K"  # as NumPy, which casts into the order of the source
    axes = memory_axes(a.ndim, order, a._layout, a.shape)
    there = order in (None, "K") or _is_order(a, axes)
    if dtype == a.dtype and (there or order == "A") and not copy:
        return a
    if copy is False:
        raise ShapeError("Unable to avoid copy while creating an array as requested.")
    if dtype != a.dtype:
        a = as_array(cast(a, dtype))
        return a if order in (None, "K") or _is_order(a, axes) else ordered(a, axes)
    return as_array(emit(Copy("K"), (a,))) if there else ordered(a, axes)


def laid_as(a: Any, like: Sequence[Any], order: str = "K") -> Any:
    """Return an array in the memory order in which NumPy makes a result of some operands.

    `order="C"` and the like are said of one operand as by `np.empty_like`.
    """
    if len(like) == 1:
        layout, shape = like[0]._layout, like[0].shape
    else:
        layout = elementwise_layout([b._atom.type for b in like], [b._layout for b in like], 1)
        shape = a.shape
    axes = memory_axes(a.ndim, order, layout, shape)
    return a if not a.ndim or _is_order(a, axes) else ordered(a, axes)


def _is_order(a: Any, axes: list[int]) -> bool:
    if a._layout is None and axes == list(range(a.ndim)):
        return True
    strides = c_strides(a.itemsize, [a.shape[k] for k in axes])
    found = a._layout or c_strides(a.itemsize, a.shape)
    return all(
        found[axis] == stride or a.shape[axis] == 1
        for axis, stride in zip(axes, strides, strict=True)
    )


@implements(np.asarray, np.asanyarray)
def asarray(
    a: Any, dtype: Any = None, order: Any = None, *, copy: bool | None = None, **_: Any
) -> Any:
    """As `np.asarray`: the array itself where it has the dtype and the order."""
    if isinstance(a, list | tuple):
        return array(a, dtype, copy=copy, order=order)
    return in_order(traced(a), dtype, order, copy)


@implements(np.ascontiguousarray)
def ascontiguousarray(a: Any, dtype: Any = None, **_: Any) -> Any:
    """As `np.ascontiguousarray`: of at least one axis."""
    result = asarray(a, dtype, "C")
    return result if result.shape else emit_reshape(result, (1,))


@implements(np.asfortranarray)
def asfortranarray(a: Any, dtype: Any = None, **_: Any) -> Any:
    """As `np.asfortranarray`: of at least one axis."""
    result = asarray(a, dtype, "F")
    return result if result.shape else emit_reshape(result, (1,))


@implements(np.require)
def require_array(a: Any, dtype: Any = None, requirements: Any = None, **_: Any) -> Any:
    """As `np.require`: an array in an order; who owns its memory is not known while tracing."""
    names = {"C": "C", "C_CONTIGUOUS": "C", "CONTIGUOUS": "C", "F": "F", "F_CONTIGUOUS": "F"}
    names |= {"FORTRAN": "F", "A": "A", "ALIGNED": "A", "E": "E", "ENSUREARRAY": "E"}
    names |= {"W": "W", "WRITEABLE": "W", "O": "O", "OWNDATA": "O"}
    wanted = {names[str(r).upper()] for r in requirements or ()}
    if wanted >= {"C", "F"}:
        raise ShapeError('Cannot specify both "C" and "F" order')
    if wanted & {"O", "W"}:
        raise unsupported("np.require of owned or writeable memory", "Write x.copy() instead.")
    order = "F" if "F" in wanted else "C" if "C" in wanted else "A" if wanted else None
    return in_order(traced(a), dtype, order, None)


@implements(np.asarray_chkfinite)
def asarray_chkfinite(a: Any, dtype: Any = None, order: Any = None) -> Any:
    """As `np.asarray_chkfinite`: raises when the program runs."""
    from .known import require as checked

    result = asarray(a, dtype, order)
    if result.dtype.kind not in "fc":
        return result
    message = "array must not contain infs or NaNs"
    found = checked(result, np.all(np.isfinite(result)), ValueError, message)
    # A write into what is checked would not reach the array that it is of.
    return found if found is result or not shares(result, a) else read_only(found)


@implements(np.astype)
def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """As `np.astype`."""
    return traced(x).astype(dtype, copy=copy)


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
