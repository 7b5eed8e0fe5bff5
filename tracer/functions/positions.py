"""Positions of elements, and arrays joined or numbered by an index expression."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...ir.errors import ShapeError
from ...ir.types import Kind
from ..array import FUNCTIONS, TracedArray, implements, is_traced, unsupported
from ..size import known_value
from .join import concatenate
from .known import array_of, require
from .lazy import implements_lazily
from .ranges import linspace
from .shape import (
    as_array,
    as_scalar,
    cast,
    common_dtype,
    constant,
    emit_reshape,
    swapaxes,
    traced,
    transpose,
)


def _shape(a: Any) -> tuple[Any, ...]:
    return a.shape if is_traced(a) else np.shape(a)


@implements(np.ix_)
def ix_(*args: Any) -> Any:
    """As `np.ix_`."""
    results = []
    for k, value in enumerate(args):
        a = as_array(array_of(value))
        if a.size == 0 and not (is_traced(value) or isinstance(value, np.ndarray)):
            a = cast(a, np.intp)
        if a.ndim != 1:
            raise ShapeError("Cross index must be 1 dimensional")
        if a.dtype == bool:
            known = known_value(a)
            a = np.nonzero(a)[0] if known is None else constant(np.flatnonzero(known))
        results.append(np.reshape(a, (*[1] * k, a.size, *[1] * (len(args) - k - 1))))
    return tuple(results)


def _corner(arr: Any) -> tuple[Any, Any]:
    shape = _shape(arr)
    if len(shape) != 2:
        raise ShapeError("input array must be 2-d")
    return shape[0], shape[1]


@implements(np.tril_indices_from)
def tril_indices_from(arr: Any, k: int = 0) -> Any:
    """As `np.tril_indices_from`."""
    n, m = _corner(arr)
    return tuple(constant(i) for i in np.tril_indices(n, k=k, m=m))


@implements(np.triu_indices_from)
def triu_indices_from(arr: Any, k: int = 0) -> Any:
    """As `np.triu_indices_from`."""
    n, m = _corner(arr)
    return tuple(constant(i) for i in np.triu_indices(n, k=k, m=m))


@implements(np.diag_indices_from)
def diag_indices_from(arr: Any) -> Any:
    """As `np.diag_indices_from`."""
    shape = _shape(arr)
    if len(shape) < 2:
        raise ShapeError("input array must be at least 2-d")
    if any(d != shape[0] for d in shape):
        raise ShapeError("All dimensions of input must be of equal length")
    return tuple(constant(i) for i in np.diag_indices(shape[0], len(shape)))


def _integers(value: Any) -> Any:
    a = array_of(value) if isinstance(value, list | tuple) else traced(value)
    if a.dtype.kind not in "iu":
        raise TypeError("only int indices permitted")
    return cast(a, np.intp)


@implements(np.ravel_multi_index)
def ravel_multi_index(multi_index: Any, dims: Any, mode: Any = "raise", order: str = "C") -> Any:
    """As `np.ravel_multi_index`; positions are checked when the program runs."""
    dims = tuple(dims) if np.ndim(dims) else (int(dims),)
    parts = [_integers(p) for p in multi_index]
    if len(parts) != len(dims):
        raise ShapeError(
            f"parameter multi_index must be a sequence of length {len(dims)}, not {len(parts)}"
        )
    modes = mode if isinstance(mode, tuple) else (mode,) * len(dims)
    strides = [math.prod(dims[k + 1 :] if order == "C" else dims[:k]) for k in range(len(dims))]
    total: Any = 0
    for part, size, stride, how in zip(parts, dims, strides, modes, strict=True):
        if how == "raise":
            fits = np.all((part >= 0) & (part < size))
            part = require(part, fits, ValueError, "invalid entry in coordinates array")
        elif how == "wrap":
            part = part % size
        elif how == "clip":
            part = np.clip(part, 0, size - 1)
        else:
            raise ShapeError(f"clipmode must be one of 'clip', 'raise', or 'wrap' (got {how!r})")
        total = total + part * stride
    return total if total.shape else as_scalar(total)


@implements(np.unravel_index)
def unravel_index(indices: Any, shape: Any, order: str = "C") -> Any:
    """As `np.unravel_index`; positions are checked when the program runs."""
    dims = tuple(shape) if np.ndim(shape) else (int(shape),)
    if order not in ("C", "F"):
        raise ShapeError("only 'C' or 'F' order is permitted")
    flat = _integers(indices)
    size = math.prod(dims)
    fits = np.all((flat >= 0) & (flat < size))
    message = f"an index is out of bounds for array with size {size}"
    rest = require(flat, fits, ValueError, message)
    found = []
    for dim in dims[::-1] if order == "C" else dims:
        dim = max(dim, 1)  # nothing is read of an axis without elements
        found.append(rest % dim)
        rest = rest // dim
    found = found if order == "F" else found[::-1]
    return tuple(f if f.shape else as_scalar(f) for f in found)


@implements_lazily("numpy.ndenumerate")
def ndenumerate(arr: Any) -> Any:
    """As `np.ndenumerate`: pairs of a static index and a traced element."""
    a = as_array(traced(arr))
    return iter([(index, a[index]) for index in np.ndindex(*a.shape)])


# ---- r_, c_, mgrid, ogrid ------------------------------------------------------------------------


def _is_traced_key(key: Any) -> bool:
    if isinstance(key, tuple | list):
        return any(map(_is_traced_key, key))
    if isinstance(key, slice):
        return any(map(is_traced, (key.start, key.stop, key.step)))
    return is_traced(key)


def _joined(owner: Any, key: Any) -> Any:
    """As `np.r_[key]` and `np.c_[key]`."""
    items = list(key) if isinstance(key, tuple) else [key]
    axis, ndmin, place = owner.axis, owner.ndmin, owner.trans1d
    parts: list[Any] = []
    kinds: list[Any] = []
    for k, item in enumerate(items):
        if isinstance(item, str):
            if k or item in ("r", "c"):
                raise unsupported("np.r_ with a matrix directive", "Write np.concatenate.")
            numbers = [int(n) for n in item.split(",")]
            given: Any = [*numbers, *[axis, ndmin, place][len(numbers) :]]
            axis, ndmin, place = given
            continue
        if isinstance(item, slice):
            part = _at_least(_range(item), ndmin)
            part = swapaxes(part, -1, place) if ndmin > 1 and place != -1 else part
        else:
            part = array_of(item) if isinstance(item, list | tuple) else traced(item)
            if part._kind is Kind.ARRAY:
                part = _placed(part, ndmin, place)
            else:
                kinds.append(part)
                parts.append(_at_least(part, ndmin))
                continue
        kinds.append(part)
        parts.append(part)
    dtype = common_dtype(kinds)
    return concatenate([cast(p, dtype) for p in parts], axis)


def _at_least(a: Any, ndmin: int) -> Any:
    return as_array(emit_reshape(a, (*[1] * (ndmin - a.ndim), *a.shape)))


def _placed(a: Any, ndmin: int, place: int) -> Any:
    """Return an array of `ndmin` axes, its own ones from the axis `place` on."""
    new = ndmin - a.ndim
    if place == -1 or new <= 0:
        return _at_least(a, ndmin)
    start = place if place >= 0 else place + new + 1
    order = list(range(ndmin))
    return transpose(_at_least(a, ndmin), order[:start] + order[new:] + order[start:new])


def _counts(step: Any) -> bool:
    """Whether the step of a slice is the number of points, as an imaginary number."""
    return isinstance(step, complex | np.complexfloating)


def _range(item: Any) -> Any:
    start = 0 if item.start is None else item.start
    if _counts(item.step):
        return linspace(start, item.stop, int(abs(item.step)))
    ends = (start, item.stop, 1 if item.step is None else item.step)
    if any(map(is_traced, ends)):
        return FUNCTIONS[np.arange](*ends)
    return constant(np.arange(*ends))


def _grid(owner: Any, key: Any) -> Any:
    """As `np.mgrid[key]` and `np.ogrid[key]` with traced ends and a static number of points."""
    slices = key if isinstance(key, tuple) else (key,)
    if not all(_counts(s.step) for s in slices):
        raise unsupported(
            "a grid whose number of points is known only when the program runs",
            "Give the number of points, as in np.mgrid[0:x:5j].",
        )
    sizes = [int(abs(s.step)) for s in slices]
    starts = [0 if s.start is None else s.start for s in slices]
    ends = [v for s, start in zip(slices, starts, strict=True) for v in (start, s.stop)]
    dtype = common_dtype([0, 1.0, *ends])
    axes = []
    for s, start, size in zip(slices, starts, sizes, strict=True):
        step: Any = 1 if size == 1 else (s.stop - start) / float(size - 1)
        axes.append(cast(constant(np.arange(size, dtype=dtype)) * step + start, dtype))
    if not isinstance(key, tuple):
        return axes[0]
    count = len(axes)
    open_ = [
        np.reshape(a, [a.size if j == k else 1 for j in range(count)]) for k, a in enumerate(axes)
    ]
    return tuple(open_) if owner.sparse else np.stack(np.broadcast_arrays(*open_))


_ITEMS: dict[type, Callable[[Any, Any], Any]] = {
    type(np.r_): _joined,
    type(np.c_): _joined,
    type(np.mgrid): _grid,
    type(np.ogrid): _grid,
}


def item_of(owner: Any, key: Any) -> TracedArray | Any:
    """Return `owner[key]` for an index expression of NumPy's with traced values, else None."""
    special = _ITEMS.get(type(owner))
    return special(owner, key) if special is not None and _is_traced_key(key) else None
