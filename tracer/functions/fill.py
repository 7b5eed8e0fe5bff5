"""NumPy's functions and methods that write into their first argument."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ...ir.errors import UnsupportedError
from ...ir.ops.shape import Reshape
from ...ir.types import Kind
from ..array import TracedArray, emit, implements, is_traced, method
from ..report import expression_here
from .create import where, zeros
from .lazy import implements_lazily
from .linalg import strong
from .order import partition
from .rearrange import sort
from .shape import as_array, broadcast_to, cast, imag, normalize_axis, real, shares, traced
from .write import check_cast, destination, put, shorter, store


def elements(a: TracedArray) -> TracedArray:
    """Return the elements in C order, as an array that shares the memory of `a`."""
    if a.ndim == 1:
        return a
    result: TracedArray = emit(Reshape((a.size,), a.ndim), (a,), aliases=True)
    return result


def _target(a: Any, name: str) -> TracedArray:
    if not isinstance(a, TracedArray | np.ndarray):
        raise TypeError(f"argument 1 must be numpy.ndarray, not {type(a).__name__} ({name})")
    return destination(a)


def _values(value: Any) -> Any:
    """Return values as an array, its Python numbers with a dtype of their own."""
    if isinstance(value, list | tuple) and not _any_traced(value):
        value = np.asarray(value)
    return as_array(strong(value))


def _any_traced(values: Any) -> bool:
    return any(is_traced(v) or (isinstance(v, list | tuple) and _any_traced(v)) for v in values)


def _cycled(values: Any, places: Any) -> Any:
    """Return the values, taken again from the start where there are not enough, at places."""
    flat = values.reshape(-1)
    if flat.shape[0] == 1:
        return flat
    return np.take(flat, places % flat.shape[0])


@implements(np.put)
def put_at(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    """As `np.put`: the values repeat where there are fewer than positions."""
    flat = elements(_target(a, "put"))
    if is_traced(ind) or isinstance(ind, np.ndarray):
        check_cast(ind.dtype, np.dtype(np.intp), "safe")
    else:
        ind = np.asarray(ind, None if _any_traced([ind]) else np.intp)
    places = as_array(traced(ind)).reshape(-1)
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError(f"clipmode must be one of 'clip', 'raise', or 'wrap' (got {mode!r})")
    values = _values(v)
    if 0 in places.shape:
        return
    if 0 in flat.shape:
        raise IndexError("cannot replace elements of an empty array")
    if 0 in values.shape:
        return
    places = cast(places, np.intp)
    if mode == "wrap":
        places = places % flat.shape[0]
    elif mode == "clip":
        places = np.clip(places, 0, flat.shape[0] - 1)
    known = mode == "raise" and not is_traced(ind)
    at = np.asarray(ind).reshape(-1).astype(np.intp) if known else places  # checked while tracing
    store(flat, at, cast(_cycled(values, np.arange(places.shape[0])), flat.dtype))


@implements(np.place)
def place(arr: Any, mask: Any, vals: Any) -> None:
    """As `np.place`: the first values go to the first places where the mask is true."""
    if is_traced(vals) and is_traced(arr) and shares(vals, arr):
        raise UnsupportedError(
            f"{expression_here()}: np.place with values of the same array reads what it has just "
            "written.\n  Write vals.copy()."
        )
    flat, chosen, values = _masked("place", arr, mask, vals)
    if 0 in values.shape:
        if 0 in chosen.shape:
            return
        raise ValueError("Cannot insert from an empty array!")
    counted = np.cumsum(chosen) - 1
    put(flat, where(chosen, _cycled(values, np.where(chosen, counted, 0)), flat))


@implements(np.putmask)
def putmask(a: Any, mask: Any, values: Any) -> None:
    """As `np.putmask`: the value with the number of the place, counted round."""
    flat, chosen, values = _masked("putmask", a, mask, values)
    if 0 in values.shape or 0 in chosen.shape:
        return
    put(flat, where(chosen, _cycled(values, np.arange(chosen.shape[0])), flat))


def _masked(name: str, a: Any, mask: Any, values: Any) -> tuple[Any, Any, Any]:
    target = _target(a, name)
    chosen = cast(_values(mask), bool).reshape(-1)
    if isinstance(chosen.size, int) and isinstance(target.size, int) and chosen.size != target.size:
        raise ValueError(f"{name}: mask and data must be the same size")
    if is_traced(values) or isinstance(values, np.ndarray):
        given = traced(values)
        if given._kind is Kind.ARRAY:
            check_cast(given.dtype, target.dtype, "safe")
    else:
        given = _values(values if _any_traced([values]) else np.asarray(values, target.dtype))
    return elements(target), chosen, cast(as_array(given), target.dtype)


@implements(np.copyto)
def copyto(dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    """As `np.copyto`."""
    target = _target(dst, "copyto")
    if type(src) in (bool, int, float, complex):
        np.copyto(
            np.zeros((), target.dtype), src, casting
        )  # weak: its kind counts, and that it fits
        value = traced(src)
    else:
        value = as_array(traced(src if is_traced(src) else np.asarray(src)))
        check_cast(value.dtype, target.dtype, casting)
    value = cast(value, target.dtype)
    if where is True:
        put(target, value)
        return
    mask = as_array(traced(where if is_traced(where) else np.asarray(where)))
    check_cast(mask.dtype, np.dtype(bool), "safe")
    mask = broadcast_to(mask, target.shape)
    put(target, np.where(mask, broadcast_to(shorter(value, target.ndim), target.shape), target))


@implements(np.fill_diagonal)
def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    """As `np.fill_diagonal`: of all axes at once; of a tall matrix anew after its last column."""
    if traced(a).ndim < 2:
        raise ValueError("array must be at least 2-d")
    target = _target(a, "fill_diagonal")
    end = None
    if target.ndim == 2:
        step = target.shape[1] + 1
        if not wrap:
            end = target.shape[1] * target.shape[1]
    else:
        if any(d != target.shape[0] for d in target.shape[1:]):
            raise ValueError("All dimensions of input must be of equal length")
        step = 1 + sum(target.shape[0] ** k for k in range(1, target.ndim))
    places = np.arange(target.size)[:end:step]
    values = _values(val)
    if not places.size:
        return
    if 0 in values.shape:
        raise ValueError("Error setting single item of array.")
    store(elements(target), places, cast(_cycled(values, np.arange(places.size)), target.dtype))


@implements(np.put_along_axis)
def put_along_axis(arr: Any, indices: Any, values: Any, axis: Any) -> None:
    """As `np.put_along_axis`."""
    target = _target(arr, "put_along_axis")
    places = as_array(traced(indices if is_traced(indices) else np.asarray(indices)))
    if axis is None:
        if places.ndim != 1:
            raise ValueError("when axis=None, `indices` must have a single dimension.")
        if target._layout is not None:
            raise ValueError("when axis=None, `arr` must be C-contiguous")
        target, axis = elements(target), 0
    axis = normalize_axis(axis, target.ndim)
    if places.dtype.kind not in "iu":
        raise IndexError("`indices` must be an integer array")
    if places.ndim != target.ndim:
        raise ValueError("`indices` and `arr` must have the same number of dimensions")
    index: list[Any] = []
    for k, size in enumerate(target.shape):
        shape = [1] * target.ndim
        shape[k] = -1
        index.append(places if k == axis else np.arange(size).reshape(shape))
    store(target, tuple(index), values)


# ---- methods -------------------------------------------------------------------------------------


def _fill(self: TracedArray, value: Any) -> None:
    if np.ndim(value):
        raise ValueError("setting an array element with a sequence.")
    put(destination(self), value)


def _sort(
    self: TracedArray, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> None:
    normalize_axis(operator.index(axis), self.ndim)
    target = destination(self)
    put(target, sort(target, axis, kind, order, stable=stable))


def _partition(
    self: TracedArray, kth: Any, axis: Any = -1, kind: str = "introselect", order: Any = None
) -> None:
    normalize_axis(operator.index(axis), self.ndim)
    target = destination(self)
    put(target, partition(target, kth, axis, kind, order))


def _set_real(self: TracedArray, value: Any) -> None:
    put(real(destination(self)), value)


def _set_imag(self: TracedArray, value: Any) -> None:
    if self.dtype.kind != "c":
        raise TypeError("array does not have imaginary part to set")
    put(imag(destination(self)), value)


def _refused(name: str, instead: str) -> Any:
    def function(self: TracedArray, *args: Any, **kwargs: Any) -> Any:
        raise UnsupportedError(
            f"{expression_here()}: {name} changes what an array is, which is not traced.\n"
            f"  {instead}"
        )

    return function


def _set_flags(self: TracedArray, write: Any = None, align: Any = None, uic: Any = None) -> None:
    if write is not None and not write:
        self.set_read_only()
    elif write and not self._as_view().writeable:
        raise UnsupportedError(
            f"{expression_here()}: an array that is read-only stays so while it is traced.\n"
            "  Write x.copy()."
        )


def _delete(self: TracedArray, index: Any) -> None:
    raise ValueError("cannot delete array elements")


def _property(name: str, setter: Any) -> None:
    method(name, property(getattr(TracedArray, name).fget, setter))


def _copied(self: TracedArray, memo: Any = None) -> Any:
    if self._kind is not Kind.ARRAY:
        return self
    return np.copy(self)


def _view(self: TracedArray, dtype: Any = None, type: Any = None) -> TracedArray:
    if type is not None or (dtype is not None and np.dtype(dtype) != self.dtype):
        raise UnsupportedError(
            f"{expression_here()}: a view of the bytes as another type is not traced.\n"
            "  Write x.astype(dtype) where a conversion is meant."
        )
    if self._kind is not Kind.ARRAY:
        return self
    return TracedArray(self._atom, Kind.ARRAY, self._trace, self._as_view())


method("__copy__", _copied)
method("__deepcopy__", _copied)
method("view", _view)
method("fill", _fill)
method("put", put_at)
method("sort", _sort)
method("partition", _partition)
method("setflags", _set_flags)
method("__delitem__", _delete)
_property("real", _set_real)
_property("imag", _set_imag)
_property("shape", _refused("setting .shape", "Write x = x.reshape(shape)."))
_property("dtype", _refused("setting .dtype", "Write x = x.astype(dtype)."))
_property("strides", _refused("setting .strides", "Write x = x.reshape(shape) or x = x.T."))


@implements_lazily("numpy.ndarray", always=True)
def ndarray(
    shape: Any,
    dtype: Any = float,
    buffer: Any = None,
    offset: int = 0,
    strides: Any = None,
    order: Any = None,
) -> Any:
    """As `np.ndarray`, without a buffer: uninitialised memory, as of `np.empty`."""
    if buffer is not None or strides is not None or offset:
        raise UnsupportedError(
            f"{expression_here()}: np.ndarray over a buffer is not traced.\n"
            "  Write np.asarray, or an index of the array."
        )
    return zeros(shape, dtype, order or "C")


__all__ = ["elements"]
