"""Functions that move, join and repeat elements."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ...ir.errors import ShapeError
from ...ir.op import broadcast
from ...ir.ops.select import Convert, Imag, Real
from ...ir.ops.shape import BroadcastTo, Concatenate, Copy, Reshape, Transpose
from ..array import TracedArray, apply_elementwise, emit, implements, lift, method
from ..state import require

Traced = Any


def traced(value: Any) -> TracedArray:
    """Return a value as a traced array of the innermost trace."""
    if isinstance(value, TracedArray):
        return value
    trace = require("an array")
    atom, kind = lift(value, trace)
    return TracedArray(atom, kind, trace)


def normalize_axis(axis: Any, ndim: int) -> int:
    """Return a non-negative axis; raise AxisError as NumPy does."""
    return int(np.lib.array_utils.normalize_axis_index(axis.__index__(), ndim))


@implements(np.reshape)
def reshape(a: Any, /, shape: Any = None, order: str = "C", *, copy: bool | None = None) -> Any:
    """As `np.reshape`."""
    a = traced(a)
    shape = tuple(shape) if isinstance(shape, tuple | list | np.ndarray) else (shape,)
    sizes = [d if not hasattr(d, "__index__") else d.__index__() for d in shape]
    if -1 in sizes:
        known = prod(d for d in sizes if d != -1)
        if sizes.count(-1) > 1 or known == 0 or a.size % known:
            raise ShapeError(f"cannot reshape array of size {a.size} into shape {tuple(shape)}")
        sizes[sizes.index(-1)] = a.size // known
    if order == "F" or (order == "A" and _is_fortran(a)):
        return transpose(emit_reshape(transpose(a), sizes[::-1]))
    return emit_reshape(a, sizes)


def _is_fortran(a: TracedArray) -> bool:
    layout = a._atom.layout
    return layout is not None and tuple(sorted(layout)) == layout


def emit_reshape(a: TracedArray, sizes: Sequence[Any]) -> TracedArray:
    """Reshape to exactly `sizes`; nothing where that is the shape already."""
    if tuple(sizes) == a.shape:
        return a
    result: TracedArray = emit(Reshape(tuple(sizes), a.ndim), (a,))
    return result


@implements(np.transpose)
def transpose(a: Any, axes: Any = None) -> Any:
    """As `np.transpose`."""
    a = traced(a)
    if axes is None:
        order = list(range(a.ndim))[::-1]
    else:
        order = [normalize_axis(x, a.ndim) for x in axes]
        if sorted(order) != list(range(a.ndim)):
            raise ShapeError("axes don't match array")
    if order == list(range(a.ndim)):
        return a
    return emit(Transpose(tuple(x - a.ndim for x in order)), (a,))


@implements(np.swapaxes)
def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """As `np.swapaxes`."""
    a = traced(a)
    order = list(range(a.ndim))
    i, j = normalize_axis(axis1, a.ndim), normalize_axis(axis2, a.ndim)
    order[i], order[j] = order[j], order[i]
    return transpose(a, order)


@implements(np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """As `np.moveaxis`."""
    a = traced(a)
    normalize = np.lib.array_utils.normalize_axis_tuple
    sources, targets = normalize(source, a.ndim), normalize(destination, a.ndim)
    if len(sources) != len(targets):
        raise ShapeError("`source` and `destination` arguments must have the same number of elements")
    order = [n for n in range(a.ndim) if n not in sources]
    for target, origin in sorted(zip(targets, sources, strict=True)):
        order.insert(target, origin)
    return transpose(a, order)


@implements(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Any:
    """As `np.expand_dims`."""
    a = traced(a)
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    ndim = a.ndim + len(axes)
    places = set(np.lib.array_utils.normalize_axis_tuple(axes, ndim))
    rest = iter(a.shape)
    return emit_reshape(a, [1 if i in places else next(rest) for i in range(ndim)])


@implements(np.squeeze)
def squeeze(a: Any, axis: Any = None) -> Any:
    """As `np.squeeze`."""
    a = traced(a)
    if axis is None:
        axes = {i for i, d in enumerate(a.shape) if d == 1}
    else:
        axes = set(np.lib.array_utils.normalize_axis_tuple(axis, a.ndim))
        if any(a.shape[i] != 1 for i in axes):
            raise ShapeError("cannot select an axis to squeeze out which has size not equal to one")
    return emit_reshape(a, [d for i, d in enumerate(a.shape) if i not in axes])


@implements(np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    """As `np.broadcast_to`."""
    a = traced(array)
    shape = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    if shape == a.shape:
        return a
    return emit(BroadcastTo(shape, a.ndim), (a,))


@implements(np.broadcast_arrays)
def broadcast_arrays(*args: Any, subok: bool = False) -> Any:
    """As `np.broadcast_arrays`."""
    arrays = [traced(a) for a in args]
    shape = broadcast([a.shape for a in arrays])
    return tuple(broadcast_to(a, shape) for a in arrays)


def common_dtype(arrays: Sequence[Any]) -> np.dtype:
    """Return the dtype that NumPy joins arrays in; Python numbers are weak."""
    values = [traced(a) for a in arrays]
    from ..array import PYTHON_TYPES, Kind

    keys = [PYTHON_TYPES[v.dtype.kind](0) if v._kind is Kind.PYTHON else v.dtype for v in values]
    return np.result_type(*keys)


def cast(a: Any, dtype: Any) -> TracedArray:
    """Return a value in a dtype, unchanged where it has it."""
    a = traced(a)
    dtype = np.dtype(dtype)
    if a.dtype == dtype:
        return a
    result: TracedArray = emit(Convert(dtype), (a,))
    return result


@implements(np.concatenate)
def concatenate(arrays: Any, /, axis: Any = 0, out: Any = None, *, dtype: Any = None) -> Any:
    """As `np.concatenate`."""
    values = [traced(a) for a in arrays]
    if not values:
        raise ShapeError("need at least one array to concatenate")
    if axis is None:
        values = [emit_reshape(v, [v.size]) for v in values]
        axis = 0
    if any(not v.shape for v in values):
        raise ShapeError("zero-dimensional arrays cannot be concatenated")
    dtype = common_dtype(values) if dtype is None else dtype
    axis = normalize_axis(axis, values[0].ndim)
    return emit(Concatenate(axis - values[0].ndim), [cast(v, dtype) for v in values])


@implements(np.stack)
def stack(arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None) -> Any:
    """As `np.stack`."""
    values = [traced(a) for a in arrays]
    if not values:
        raise ShapeError("need at least one array to stack")
    if any(v.shape != values[0].shape for v in values):
        raise ShapeError("all input arrays must have the same shape")
    axis = normalize_axis(axis, values[0].ndim + 1)
    return concatenate([expand_dims(v, axis) for v in values], axis, dtype=dtype)


@implements(np.copy)
def copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    """As `np.copy`."""
    return emit(Copy("C" if order == "C" else "K"), (traced(a),))


@implements(np.real)
def real(val: Any) -> Any:
    """As `np.real`."""
    a = traced(val)
    return emit(Real(), (a,)) if a.dtype.kind == "c" else a


@implements(np.imag)
def imag(val: Any) -> Any:
    """As `np.imag`."""
    a = traced(val)
    return emit(Imag(), (a,)) if a.dtype.kind == "c" else a * 0


def _astype(
    self: Any, dtype: Any, order: str = "K", casting: str = "unsafe", subok: bool = True,
    copy: bool = True,
) -> Any:
    dtype = np.dtype(dtype)
    if self.dtype == dtype:
        return emit(Copy(), (self,)) if copy else self
    return cast(self, dtype)


def _reshape(self: Any, *shape: Any, order: str = "C", copy: bool | None = None) -> Any:
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
    return reshape(self, sizes, order)


def _transpose(self: Any, *axes: Any) -> Any:
    if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], tuple | list)):
        (axes,) = axes
    return transpose(self, axes or None)


def _flatten(self: Any, order: str = "C") -> Any:
    flat = reshape(self, -1, order)
    return emit(Copy("C"), (flat,))


method("astype", _astype)
method("reshape", _reshape)
method("transpose", _transpose)
method("T", property(transpose))
method("mT", property(lambda self: swapaxes(self, -1, -2)))
method("swapaxes", swapaxes)
method("squeeze", squeeze)
method("ravel", lambda self, order="C": reshape(self, -1, order))
method("flatten", _flatten)
method("copy", lambda self, order="C": copy(self, order))
method("real", property(real))
method("imag", property(imag))
method("conj", lambda self: np.conjugate(self))
method("conjugate", lambda self: np.conjugate(self))

apply_ufunc = apply_elementwise
