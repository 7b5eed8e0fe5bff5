"""Functions that move, join and repeat elements."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ...ir.core import Literal
from ...ir.dims import Dim, bounds
from ...ir.errors import DTypeError, ShapeError
from ...ir.op import broadcast
from ...ir.ops.dynamic import Iota
from ...ir.ops.select import Convert, Imag, Real
from ...ir.ops.shape import BroadcastTo, Copy, Full, Reshape, Transpose
from ...ir.types import Kind, c_strides
from ..array import TracedArray, emit, implements, lift, method, unsupported
from ..promotion import PYTHON_TYPES, check_dtype
from ..size import match, shape_of
from ..state import require

MISSING: Any = vars(np)["_NoValue"]
"""What NumPy's signatures have where an argument is not given."""


def traced(value: Any) -> Any:
    """Return a value as a traced array of the innermost trace."""
    if isinstance(value, TracedArray):
        return value
    if hasattr(type(value), "__pullback_elements__"):
        return value.__pullback_elements__()
    trace = require("an array")
    atom, kind = lift(value, trace)
    return TracedArray(atom, kind, trace)


def constant(value: Any) -> Any:
    """Return an array that the traced function itself makes, as a literal."""
    return TracedArray(Literal(np.asarray(value)), Kind.ARRAY, require("a constant"))


def iota(size: Any) -> Any:
    """Return the integers below a size."""
    return emit(Iota(size), ()) if isinstance(size, Dim) else constant(np.arange(size))


def as_array(a: Any) -> Any:
    """Return the value as an ndarray of no axes where it is a scalar."""
    return a if a._kind is Kind.ARRAY else TracedArray(a._atom, Kind.ARRAY, a._trace)


def as_scalar(a: Any) -> Any:
    """Return the value as a NumPy scalar where it is an ndarray of no axes or a Python number."""
    if a.shape or a._kind is Kind.SCALAR:
        return a
    return TracedArray(a._atom, Kind.SCALAR, a._trace)


def as_python(a: Any) -> Any:
    """Return a scalar as the Python number that NumPy returns in a few places."""
    return TracedArray(a._atom, Kind.PYTHON, a._trace)


def normalize_axis(axis: Any, ndim: int) -> int:
    """Return a non-negative axis; raise AxisError as NumPy does."""
    return int(np.lib.array_utils.normalize_axis_index(axis.__index__(), ndim))


@implements(np.reshape)
def reshape(a: Any, /, shape: Any = None, order: str = "C", *, copy: bool | None = None) -> Any:
    """As `np.reshape`."""
    a = traced(a)
    if copy:
        a = as_array(emit(Copy("K"), (a,)))
    sizes = list(shape_of(shape))
    shape = tuple(sizes)
    if -1 in sizes:
        known: Any = prod(d for d in sizes if d != -1)
        rest = 0 if isinstance(a.size, Dim) or isinstance(known, Dim) else known and a.size % known
        if sizes.count(-1) > 1 or known == 0 or rest:
            raise ShapeError(f"cannot reshape array of size {a.size} into shape {tuple(shape)}")
        sizes[sizes.index(-1)] = a.size // known
    if order not in ("C", "F", "A"):
        raise ShapeError(f"order must be one of 'C', 'F', 'A' (got {order!r})")
    if order == "F" or (order == "A" and _is_fortran(a)):
        result = transpose(emit_reshape(transpose(a), sizes[::-1]))
    else:
        result = emit_reshape(a, sizes)
    if copy is False and not (a._kind is Kind.ARRAY and shares(result, a)):
        raise ShapeError("Unable to avoid creating a copy while reshaping.")
    return result


def shares(a: Any, b: Any) -> bool:
    """Whether a value is of the memory of another array."""
    if a is b or not isinstance(b, TracedArray):
        return a is b
    return a._view is not None and a._view.storage is b._as_view().storage


def _is_fortran(a: Any) -> bool:
    """Whether the array is Fortran- and not C-contiguous."""
    layout = a._atom.layout
    return layout is not None and layout == c_strides(a.itemsize, a.shape[::-1])[::-1]


def emit_reshape(a: Any, sizes: Sequence[Any]) -> Any:
    """Reshape to exactly `sizes`; nothing where that is the shape already."""
    if tuple(sizes) == a.shape:
        return as_array(a)
    return emit(Reshape(tuple(sizes), a.ndim), (a,))


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
        raise ShapeError(
            "`source` and `destination` arguments must have the same number of elements"
        )
    order = [n for n in range(a.ndim) if n not in sources]
    for target, origin in sorted(zip(targets, sources, strict=True)):
        order.insert(target, origin)
    return transpose(a, order)


@implements(np.rollaxis)
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """As `np.rollaxis`."""
    a = traced(a)
    axis = normalize_axis(axis, a.ndim)
    if not -a.ndim <= start <= a.ndim:
        raise np.exceptions.AxisError(start, a.ndim + 1, "start")
    start = start + a.ndim if start < 0 else start
    return moveaxis(a, axis, start - (axis < start))


@implements(np.ravel)
def ravel(a: Any, order: str = "C") -> Any:
    """As `np.ravel`; `order="K"` follows the strides that NumPy's array would have."""
    a = traced(a)
    layout = a._layout
    if order == "K" and layout is not None and 0 not in layout:
        a = transpose(a, sorted(range(a.ndim), key=lambda k: -abs(layout[k])))
    elif order == "F" or (order == "A" and _is_fortran(a)):
        a = transpose(a)
    elif order not in ("C", "A", "K"):
        return reshape(a, -1, order)  # which says what is wrong
    if a._layout is not None and a.ndim:
        a = emit(Copy("C"), (a,))  # as NumPy, also where the shape alone could change
    return reshape(a, -1)


def _at_least(ndim: int, arrays: Sequence[Any]) -> Any:
    results = []
    for value in arrays:
        a = as_array(traced(value))
        if a.ndim == 0:
            a = emit_reshape(a, (1,) * ndim)
        elif a.ndim == 1 and ndim > 1:
            a = emit_reshape(a, (1, *a.shape, *[1] * (ndim - 2)))
        elif a.ndim == 2 and ndim == 3:
            a = emit_reshape(a, (*a.shape, 1))
        results.append(a)
    return results[0] if len(results) == 1 else tuple(results)


@implements(np.atleast_1d)
def atleast_1d(*arys: Any) -> Any:
    """As `np.atleast_1d`."""
    return _at_least(1, arys)


@implements(np.atleast_2d)
def atleast_2d(*arys: Any) -> Any:
    """As `np.atleast_2d`."""
    return _at_least(2, arys)


@implements(np.atleast_3d)
def atleast_3d(*arys: Any) -> Any:
    """As `np.atleast_3d`."""
    return _at_least(3, arys)


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
        refuse_unknown_axes(a, "np.squeeze")
        axes = {i for i, d in enumerate(a.shape) if d == 1}
    elif not a.shape and axis in (0, -1):
        return a
    else:
        axes = set(np.lib.array_utils.normalize_axis_tuple(axis, a.ndim))
        if any(a.shape[i] != 1 for i in axes):
            raise ShapeError("cannot select an axis to squeeze out which has size not equal to one")
    return emit_reshape(a, [d for i, d in enumerate(a.shape) if i not in axes])


@implements(np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Any:
    """As `np.broadcast_to`."""
    a = traced(array)
    shape = shape_of(shape)
    if shape == a.shape:
        return read_only(a)
    a = broadcastable(a, shape)
    return emit(BroadcastTo(shape, a.ndim), (a,))


def read_only(a: Any) -> Any:
    """Return a view of an array that may not be written into."""
    a = as_array(a)
    return TracedArray(a._atom, Kind.ARRAY, a._trace, a._as_view()._replace(writeable=False))


def broadcastable(a: Any, shape: Sequence[Any]) -> Any:
    """Return an array whose sizes are 1 or those of `shape`; unknown ones are checked."""
    tail = shape[len(shape) - a.ndim :]
    if len(tail) != a.ndim or all(d in (1, t) for d, t in zip(a.shape, tail, strict=True)):
        return a
    wanted = [d if d == 1 else t for d, t in zip(a.shape, tail, strict=True)]
    if any(
        isinstance(d, int) and isinstance(t, int) and d != t
        for d, t in zip(a.shape, wanted, strict=True)
    ):
        return a
    return match(a, wanted)


def refuse_unknown_axes(a: Any, name: str) -> None:
    """Raise where NumPy drops the axes of size 1, and only the run knows which.

    Raises
    ------
    UnsupportedError
    """
    if any(isinstance(d, Dim) and (bounds(d)[0] or 0) <= 1 for d in a.shape):
        raise unsupported(
            f"{name} of an array with a size known only when the program runs",
            "Name the axes, or write np.reshape.",
        )


@implements(np.broadcast_arrays)
def broadcast_arrays(*args: Any, subok: bool = False) -> Any:
    """As `np.broadcast_arrays`."""
    arrays = [traced(a) for a in args]
    shape = broadcast([a.shape for a in arrays])
    return tuple(as_array(a) if a.shape == shape else broadcast_to(a, shape) for a in arrays)


def common_dtype(arrays: Sequence[Any], weak: bool = True) -> np.dtype:
    """Return the dtype that NumPy joins arrays in; Python numbers are weak unless `weak=False`."""
    values = [traced(a) for a in arrays]
    keys = [
        PYTHON_TYPES[v.dtype.kind](0) if weak and v._kind is Kind.PYTHON else v.dtype
        for v in values
    ]
    return np.result_type(*keys)


def cast(a: Any, dtype: Any) -> Any:
    """Return a value in a dtype, unchanged where it has it."""
    a = traced(a)
    dtype = np.dtype(dtype)
    if a.dtype == dtype:
        return a
    check_dtype(dtype)
    return emit(Convert(dtype), (a,))


def copy(a: Any, order: str = "K", subok: bool = False) -> Any:
    """As `np.copy`."""
    return as_array(emit(Copy("C" if order == "C" else "K"), (traced(a),)))


@implements(np.real)
def real(val: Any) -> Any:
    """As `np.real`."""
    a = traced(val)
    return _part(a, emit(Real(), (a,))) if a.dtype.kind == "c" else a


@implements(np.imag)
def imag(val: Any) -> Any:
    """As `np.imag`."""
    a = traced(val)
    if a.dtype.kind == "c":
        return _part(a, emit(Imag(), (a,)))
    zero = emit(Full(a.shape), (TracedArray(Literal(a.dtype.type(0)), Kind.SCALAR, a._trace),))
    return read_only(zero) if a._kind is Kind.ARRAY else _part(a, zero)


def _part(whole: Any, part: Any) -> Any:
    """Return a part of a number as what the number is: parts of Python numbers are such."""
    return as_python(part) if whole._kind is Kind.PYTHON else part


def _astype(
    self: Any,
    dtype: Any,
    order: str = "K",
    casting: str = "unsafe",
    subok: bool = True,
    copy: bool = True,
) -> Any:
    dtype = np.dtype(dtype)
    if not np.can_cast(self.dtype, dtype, casting):  # type: ignore[arg-type]
        raise DTypeError(
            f"Cannot cast array data from {self.dtype!r} to {dtype!r} according to the rule "
            f"{casting!r}"
        )
    if order != "K" and self.shape:
        from .create import in_order

        return in_order(self, dtype, order, copy or None)
    if self.dtype == dtype:
        result = emit(Copy(), (self,)) if copy else self
    else:
        result = cast(self, dtype)
    return as_array(result) if self._kind is Kind.ARRAY else result


def _reshape(self: Any, *shape: Any, order: str = "C", copy: bool | None = None) -> Any:
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
    return reshape(self, sizes, order, copy=copy)


def _transpose(self: Any, *axes: Any) -> Any:
    if len(axes) == 1 and (axes[0] is None or isinstance(axes[0], tuple | list)):
        (axes,) = axes
    return transpose(self, axes or None)


def _flatten(self: Any, order: str = "C") -> Any:
    return emit(Copy("C"), (ravel(self, order),))


@implements(np.matrix_transpose)
def _matrix_transpose(self: Any, /) -> Any:
    if self.ndim < 2:
        raise ShapeError("matrix transpose with ndim < 2 is undefined")
    return swapaxes(self, -1, -2)


def _conjugate(self: Any) -> Any:
    return _part(self, np.conjugate(self)) if self.dtype.kind == "c" else self


def _item(self: Any, *args: Any) -> Any:
    if len(args) == 1 and isinstance(args[0], tuple):
        (args,) = args
    if not args and self.size != 1:
        raise ValueError("can only convert an array of size 1 to a Python scalar")
    if len(args) == 1 and self.ndim != 1:
        return _item(ravel(self)[args[0]])
    if args:
        if len(args) != self.ndim:
            raise ValueError("incorrect number of indices for array")
        return _item(self[args])
    kind = "i" if self.dtype.kind == "u" else self.dtype.kind
    if self.dtype == np.uint64 or self.dtype.itemsize > 16 or self.dtype in _LONG:
        return self._concrete("a Python number", "Use the array itself, or x[()] for a scalar.")
    scalar = self if not self.shape else emit(Reshape((), self.ndim), (self,))
    made = cast(scalar, np.dtype(PYTHON_TYPES[kind]))
    return TracedArray(made._atom, Kind.PYTHON, made._trace)


_LONG = (np.dtype(np.longdouble), np.dtype(np.clongdouble))


def _tolist(self: Any) -> Any:
    return [_tolist(row) for row in self] if self.shape else _item(self)


def _strides(self: Any) -> tuple[int, ...]:
    return self._atom.layout or c_strides(self.itemsize, self.shape)


method("item", _item)
method("tolist", _tolist)
method("strides", property(_strides))
method("astype", _astype)
method("reshape", _reshape)
method("transpose", _transpose)
method("T", property(transpose))
method("mT", property(_matrix_transpose))
method("swapaxes", swapaxes)
method("squeeze", squeeze)
method("ravel", ravel)
method("flatten", _flatten)
method("real", property(real))
method("imag", property(imag))
method("conj", _conjugate)
method("conjugate", _conjugate)
