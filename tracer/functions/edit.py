"""Elements put in, left out, repeated or packed together."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ...ir.errors import DTypeError, ShapeError
from ..array import implements, is_traced, unsupported
from ..size import known_value
from .create import in_order
from .index import read
from .join import concatenate
from .known import array_of
from .query import isfortran
from .shape import as_array, cast, constant, emit_reshape, normalize_axis, traced


def _flat(a: Any, axis: Any) -> tuple[Any, int]:
    """Return the array and the axis; flat where none is given."""
    if axis is None:
        return np.ravel(a), 0
    return a, normalize_axis(axis, a.ndim)


def _static(name: str, obj: Any) -> Any:
    """Return positions that are known while tracing."""
    if isinstance(obj, slice):
        return obj
    found = known_value(obj) if is_traced(obj) else np.asarray(obj)
    if found is None:
        raise unsupported(
            f"{name} at traced positions",
            "Make the positions static, or choose the elements with np.where.",
        )
    return found if is_traced(obj) else obj


def _ordered(a: Any, like: Any) -> Any:
    """Return a fresh array in Fortran order where `like` has that and not C order."""
    return in_order(a, None, "F" if isfortran(like) else "C", None)


@implements(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    """As `np.insert`, at static positions."""
    obj = _static("np.insert", obj)
    a = as_array(traced(arr))
    a, axis = _flat(a, axis)
    size = a.shape[axis]
    given = np.arange(*obj.indices(size)) if isinstance(obj, slice) else np.array(obj)
    if given.dtype == bool:
        if given.ndim != 1:
            raise ShapeError("boolean array argument obj to insert must be one dimensional")
        given = np.flatnonzero(given)
    elif given.ndim > 1:
        raise ShapeError("index array argument obj to insert must be one dimensional or scalar")
    if given.size == 0 and not isinstance(obj, np.ndarray):
        given = given.astype(np.intp)
    if given.dtype.kind not in "iu" and given.size != 1:
        raise IndexError("arrays used as indices must be of integer (or boolean) type")
    values = cast(array_of(values), a.dtype)
    if given.size == 1:
        index = given.item()
        if not -size <= index <= size:
            raise IndexError(f"index {obj} is out of bounds for axis {axis} with size {size}")
        index = operator.index(index)
        values = emit_reshape(values, [*[1] * (a.ndim - values.ndim), *values.shape])
        if given.ndim == 0:
            values = np.moveaxis(values, 0, axis)
        count = values.shape[axis]
        given = np.full(count, index)
    given = np.where(given < 0, given + size, given).astype(np.intp)
    if np.any((given < 0) | (given > size)):
        raise IndexError(f"index {obj} is out of bounds for axis {axis} with size {size}")
    shape = (*a.shape[:axis], len(given), *a.shape[axis + 1 :])
    return _ordered(_merged(a, np.broadcast_to(values, shape), given, axis), a)


def _merged(a: Any, values: Any, places: np.ndarray, axis: int) -> Any:
    """Return `a` with each value before the element at its place."""
    size = a.shape[axis]
    order = places.argsort(kind="stable")
    after = places.copy()
    after[order] += np.arange(len(places))
    source = np.empty(size + len(places), np.intp)
    is_old = np.ones(len(source), bool)
    is_old[after] = False
    source[is_old] = np.arange(size)
    source[after] = size + np.arange(len(places))
    both = concatenate([a, values], axis)
    return read(both, (*[slice(None)] * axis, constant(source)))


@implements(np.delete)
def delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    """As `np.delete`, at static positions."""
    obj = _static("np.delete", obj)
    a = as_array(traced(arr))
    a, axis = _flat(a, axis)
    size = a.shape[axis]
    keep = np.ones(size, bool)
    if isinstance(obj, slice):
        keep[obj] = False
    else:
        given = np.asarray(obj)
        if given.size == 0 and not isinstance(obj, np.ndarray):
            given = given.astype(np.intp)
        if given.dtype == bool:
            if given.shape != (size,):
                raise ShapeError(
                    "boolean array argument obj to delete must be one dimensional and match the "
                    f"axis length of {size}"
                )
            keep = ~given
        else:
            keep[given,] = False
    kept = np.flatnonzero(keep)
    return _ordered(read(a, (*[slice(None)] * axis, constant(kept))), a)


@implements(np.resize)
def resize(a: Any, new_shape: Any) -> Any:
    """As `np.resize`: the elements repeated as often as they are needed."""
    sizes = new_shape if isinstance(new_shape, tuple | list) else (new_shape,)
    shape = tuple(d.__index__() for d in sizes)
    if any(d < 0 for d in shape):
        raise ShapeError("all elements of `new_shape` must be non-negative")
    flat = np.ravel(as_array(traced(a)))
    total = int(np.prod(shape))
    if flat.size == 0 or total == 0:
        return np.zeros_like(flat, shape=shape)
    repeated = concatenate([flat] * (-(-total // flat.size)))
    return np.reshape(repeated[:total], shape)


def _bits(order: str) -> np.ndarray:
    if order not in ("big", "little"):
        raise ShapeError("'order' must be either 'little' or 'big'")
    places = np.arange(8)
    return places[::-1] if order == "big" else places


@implements(np.packbits)
def packbits(a: Any, /, axis: Any = None, bitorder: str = "big") -> Any:
    """As `np.packbits`."""
    shifts = _bits(bitorder)
    x = as_array(traced(a))
    if x.dtype.kind not in "biu":
        raise DTypeError("Expected an input array of integer or boolean data type")
    x, axis = _flat(x if x.shape else emit_reshape(x, (1,)), axis)
    widths = [(0, 0)] * x.ndim
    widths[axis] = (0, -x.shape[axis] % 8)
    bits = np.pad(cast(x != 0, np.uint8), widths)
    shape = (*x.shape[:axis], bits.shape[axis] // 8, 8, *x.shape[axis + 1 :])
    weights = (1 << shifts).astype(np.uint8).reshape(8, *[1] * (x.ndim - axis - 1))
    return np.sum(np.reshape(bits, shape) * constant(weights), axis=axis + 1, dtype=np.uint8)


@implements(np.unpackbits)
def unpackbits(a: Any, /, axis: Any = None, count: Any = None, bitorder: str = "big") -> Any:
    """As `np.unpackbits`."""
    shifts = _bits(bitorder)
    x = as_array(traced(a))
    if x.dtype != np.uint8:
        raise DTypeError("Expected an input array of unsigned byte data type")
    x, axis = _flat(x if x.shape else emit_reshape(x, (1,)), axis)
    rest = x.ndim - axis - 1
    spread = constant(shifts.astype(np.uint8).reshape(8, *[1] * rest))
    bits = (np.expand_dims(x, axis + 1) >> spread) & np.uint8(1)
    bits = np.reshape(bits, (*x.shape[:axis], x.shape[axis] * 8, *x.shape[axis + 1 :]))
    if count is None:
        return bits
    size = bits.shape[axis]
    if count < 0:
        if -count > size:
            raise ShapeError(f"-count={-count} exceeds the {size} bits along axis {axis}")
        count += size
    if count <= size:
        return bits[(*[slice(None)] * axis, slice(0, count))].copy()
    widths = [(0, 0)] * bits.ndim
    widths[axis] = (0, count - size)
    return np.pad(bits, widths)
