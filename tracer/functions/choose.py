"""Choices between arrays, and functions of the user applied to parts of arrays."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...ir.errors import ShapeError, UnsupportedError
from ...ir.types import Kind
from ..array import TracedArray, implements, is_traced, method
from ..report import expression_here
from ..size import known_value
from .create import laid_as, where
from .known import array_of, require
from .lazy import implements_lazily
from .shape import (
    as_array,
    as_python,
    as_scalar,
    broadcast_to,
    cast,
    common_dtype,
    emit_reshape,
    normalize_axis,
    traced,
    transpose,
)
from .write import any_dtype, with_out

UNROLLED = 32
"""Calls of a function that are written out; more of them become one loop of the program."""


def call(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a function of the user's, rewritten, inside the trace under way."""
    from ..hooks import HOOKS

    return HOOKS["__pb_call__"](function, *args, **kwargs)


@implements(np.choose)
@with_out(any_dtype)
def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    """As `np.choose`; positions are checked when the program runs."""
    index = array_of(a)
    if index.dtype.kind not in "biu":
        raise TypeError(
            f"Cannot cast array data from {index.dtype!r} to dtype('int64') according to the rule "
            "'safe'"
        )
    values = [array_of(c) if isinstance(c, list | tuple) else traced(c) for c in choices]
    if not values:
        raise ShapeError("choose requires at least one choice")
    index, count = cast(index, np.intp), len(values)
    if mode == "wrap":
        index = index % count
    elif mode == "clip":
        index = np.clip(index, 0, count - 1)
    elif mode == "raise":
        fits = np.all((index >= 0) & (index < count))
        index = require(index, fits, ValueError, "invalid entry in choice array")
    else:
        raise ShapeError(f"clipmode must be one of 'clip', 'raise', or 'wrap' (got {mode!r})")
    dtype = common_dtype(values)
    shape = np.broadcast_shapes(index.shape, *[v.shape for v in values])
    result = cast(values[-1], dtype)
    for k in range(count - 2, -1, -1):
        result = where(index == k, cast(values[k], dtype), result)
    if result.shape != shape or count == 1:
        result = broadcast_to(result, shape).copy()
    return laid_as(result, [result], "C") if shape else as_scalar(result)


method("choose", choose)


@implements_lazily("numpy.piecewise", always=True)
@implements(np.piecewise)
def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    """As `np.piecewise`: each function sees the elements for which its condition holds."""
    x = as_array(array_of(x))
    if _is_flat(condlist, x.ndim):
        condlist = [condlist]
    conditions = [as_array(cast(array_of(c), bool)) for c in condlist]
    if len(conditions) == len(funclist) - 1:
        rest = conditions[0]
        for condition in conditions[1:]:
            rest = rest | condition
        conditions.append(~as_array(rest))
    elif len(conditions) != len(funclist):
        n = len(conditions)
        raise ShapeError(f"with {n} condition(s), either {n} or {n + 1} functions are expected")
    if not x.shape:
        conditions = [as_array(emit_reshape(c, (1,))) for c in conditions]
    flat = x if x.shape else emit_reshape(x, (1,))
    y = np.zeros_like(flat)
    for condition, function in zip(conditions, funclist, strict=True):
        if not callable(function):
            y[condition] = function
            continue
        chosen = flat[condition]
        result = as_array(array_of(call(function, chosen, *args, **kw)))
        y = _put(y, condition, np.broadcast_to(result, chosen.shape) if result.shape else result)
    return laid_as(y, [x]) if x.shape else emit_reshape(y, ())


def _put(y: Any, condition: Any, values: Any) -> Any:
    """Return y with the values, one after the other, where a condition holds."""
    values = cast(values, y.dtype)
    if values.shape:
        filled = np.concatenate([values, np.zeros((1,), y.dtype)])  # one at least to read from
        places = np.reshape(np.cumsum(np.reshape(condition, -1)), condition.shape) - 1
        values = filled[places]
    return where(condition, values, y)


def _is_flat(condlist: Any, ndim: int) -> bool:
    """Whether it is one condition, which NumPy takes for a list of one."""
    if is_traced(condlist) and not condlist.shape:
        return condlist._kind is not Kind.ARRAY
    if not isinstance(condlist, list | tuple | np.ndarray) and not is_traced(condlist):
        return True
    first = condlist[0]
    is_array = isinstance(first, list | np.ndarray) or (is_traced(first) and bool(first.shape))
    return not is_array and ndim != 0


@implements_lazily("numpy.apply_along_axis", always=True)
@implements(np.apply_along_axis)
def apply_along_axis(func1d: Any, axis: Any, arr: Any, *args: Any, **kwargs: Any) -> Any:
    """As `np.apply_along_axis`: of many slices, a loop of the program."""
    a = as_array(array_of(arr))
    axis = normalize_axis(axis, a.ndim)
    rest = [k for k in range(a.ndim) if k != axis]
    lead = tuple(a.shape[k] for k in rest)
    if 0 in lead:
        raise ShapeError("Cannot apply_along_axis when any iteration dimensions are 0")
    rows = np.reshape(transpose(a, [*rest, axis]), (-1, a.shape[axis]))

    def apply(row: Any) -> Any:
        return as_array(array_of(call(func1d, row, *args, **kwargs)))

    result = _stacked(apply, [rows])
    shape = result.shape[1:]
    result = np.reshape(result, (*lead, *shape))
    order = list(range(result.ndim))
    n = len(lead)
    return transpose(result, [*order[:axis], *order[n:], *order[axis:n]])


def _stacked(apply: Callable[..., Any], rows: Sequence[Any]) -> Any:
    """Return the results of a function for the rows of arrays, in the dtype of the first."""
    count = rows[0].shape[0]
    if count > UNROLLED:
        from ..loops import scan

        _, results = scan(lambda carry, row: (carry, apply(*row)), (), tuple(rows))
        return results
    results = [apply(*[r[k] for r in rows]) for k in range(count)]
    first = results[0]
    parts = [first, *[_like(r, first) for r in results[1:]]]
    return np.stack(parts) if count else first


def _like(value: Any, first: Any) -> Any:
    if value.dtype.kind == "c" and first.dtype.kind != "c":
        return broadcast_to(cast(np.real(value), first.dtype), first.shape)
    return broadcast_to(cast(value, first.dtype), first.shape)


@implements_lazily("numpy.apply_over_axes", always=True)
@implements(np.apply_over_axes)
def apply_over_axes(func: Any, a: Any, axes: Any) -> Any:
    """As `np.apply_over_axes`."""
    value = as_array(array_of(a))
    ndim = value.ndim
    for axis in axes if np.ndim(axes) else (axes,):
        axis = axis + ndim if axis < 0 else axis
        result = call(func, value, axis)
        if result.ndim != value.ndim:
            result = np.expand_dims(result, axis)
            if result.ndim != value.ndim:
                raise ShapeError("function is not returning an array of the correct shape")
        value = result
    return value


@implements_lazily("numpy.fromfunction", always=True)
def fromfunction(
    function: Any, shape: Any, *, dtype: Any = float, like: Any = None, **kwargs: Any
) -> Any:
    """As `np.fromfunction`; the function may read traced values."""
    return call(function, *[array_of(p) for p in np.indices(shape, dtype=dtype)], **kwargs)


# ---- vectorize -----------------------------------------------------------------------------------


@implements_lazily("numpy.vectorize.__call__", always=True)
def vectorize(self: Any, *args: Any, **kwargs: Any) -> Any:
    """As a call of an `np.vectorize`: the function is called with each element."""
    if self.pyfunc is vars(np)["_NoValue"]:
        return self(*args, **kwargs)
    excluded = self.excluded
    names = [n for n in kwargs if n not in excluded]
    places = [i for i in range(len(args)) if i not in excluded]

    def function(*values: Any) -> Any:
        given, named = list(args), dict(kwargs)
        for i, value in zip(places, values, strict=False):
            given[i] = value
        named.update(zip(names, values[len(places) :], strict=True))
        return call(self.pyfunc, *given, **named)

    values = [*[args[i] for i in places], *map(kwargs.get, names)]
    given = [array_of(v) if isinstance(v, list | tuple) else traced(v) for v in values]
    arrays = [as_array(v) for v in given]
    if self.signature is not None:
        return _with_signature(self, function, arrays)
    scalars = {k for k, v in enumerate(given) if v._kind is Kind.SCALAR}

    def elementwise(*values: Any) -> Any:
        # NumPy makes Python numbers of an array's elements, and leaves its own scalars alone.
        kept = (
            cast(as_scalar(traced(v)), arrays[k].dtype) if k in scalars else v
            for k, v in enumerate(values)
        )
        return function(*kept)

    return _elementwise(self, elementwise, arrays) if arrays else function()


def _elementwise(self: Any, function: Callable[..., Any], arrays: Sequence[Any]) -> Any:
    shape: Any = np.broadcast_shapes(*[a.shape for a in arrays])
    dtypes = None if self.otypes is None else [np.dtype(t) for t in self.otypes]
    if dtypes is None:
        if any(a.size == 0 for a in arrays):
            raise ShapeError("cannot call `vectorize` on size 0 inputs unless `otypes` is set")
        first = function(*[_first(a) for a in arrays])
        dtypes = [array_of(v).dtype for v in (first if isinstance(first, tuple) else (first,))]
    flat: list[Any] = [np.reshape(broadcast_to(a, shape), -1) for a in arrays]
    if not flat[0].size:
        made = [np.zeros_like(flat[0], shape=shape, dtype=d) for d in dtypes]
        return made[0] if len(made) == 1 else tuple(made)

    def apply(*elements: Any) -> tuple[Any, ...]:
        found = function(*elements)
        found = found if len(dtypes) > 1 else (found,)
        return tuple(_as_type(array_of(v), d) for v, d in zip(found, dtypes, strict=True))

    known: list[Any] = [known_value(f) for f in flat]
    if flat[0].size > UNROLLED and all(k is None for k in known):
        from ..loops import scan

        xs = tuple(flat)
        _, columns = scan(lambda carry, row: (carry, apply(*map(_python, row))), (), xs)
    else:
        lists = [
            [_python(f[i]) for i in range(f.size)] if k is None else k.tolist()
            for f, k in zip(flat, known, strict=True)
        ]
        rows = [apply(*row) for row in zip(*lists, strict=True)]
        columns = [np.stack(column) for column in zip(*rows, strict=True)]
    results = [laid_as(emit_reshape(c, shape), arrays) for c in columns]
    return results[0] if len(results) == 1 else tuple(results)


def _first(a: Any) -> Any:
    """Return the first element, known where the array is."""
    known = known_value(a)
    return np.reshape(a, -1)[0] if known is None else known.flat[0]


def _python(element: TracedArray) -> Any:
    """Return an element as the Python number that NumPy makes of it; long ones stay its own."""
    kind = element.dtype.kind
    if element.dtype.char in "gG":
        return as_scalar(element)
    return as_python(cast(element, {"b": bool, "f": float, "c": complex}.get(kind, np.int64)))


def _as_type(value: Any, dtype: np.dtype) -> Any:
    if value.shape:
        raise ShapeError("setting an array element with a sequence.")
    if value.dtype.kind == "c" and dtype.kind != "c":
        raise TypeError("float() argument must be a string or a real number, not 'complex'")
    return as_array(cast(value, dtype))


def _with_signature(self: Any, function: Callable[..., Any], arrays: Sequence[Any]) -> Any:
    inputs, outputs = vars(self)["_in_and_out_core_dims"]
    if len(arrays) != len(inputs):
        raise TypeError(
            f"wrong number of positional arguments: expected {len(inputs)}, got {len(arrays)}"
        )
    sizes: dict[str, int] = {}
    loops = []
    for a, dims in zip(arrays, inputs, strict=True):
        _bind(sizes, a.shape, dims)
        loops.append(a.shape[: a.ndim - len(dims)])
    shape: Any = np.broadcast_shapes(*loops)
    spread = [
        broadcast_to(a, (*shape, *[sizes[d] for d in dims]))
        for a, dims in zip(arrays, inputs, strict=True)
    ]
    rows: list[Sequence[Any]] = []
    for index in itertools.product(*map(range, shape)):
        found = function(*[a[index] for a in spread])
        found = found if isinstance(found, tuple) else (found,)
        if len(found) != len(outputs):
            raise ShapeError(
                f"wrong number of outputs from pyfunc: expected {len(outputs)}, got {len(found)}"
            )
        rows.append([as_array(array_of(v)) for v in found])
    if not rows:
        raise UnsupportedError(
            f"{expression_here()}: a np.vectorize with signature= is not traced for no elements."
        )
    for value, dims in zip(rows[0], outputs, strict=True):
        _bind(sizes, value.shape, dims)
    types = [v.dtype for v in rows[0]] if self.otypes is None else map(np.dtype, self.otypes)
    results = []
    for column, dims, dtype in zip(zip(*rows, strict=True), outputs, types, strict=True):
        core = tuple(sizes[d] for d in dims)
        parts = [broadcast_to(cast(v, dtype), core) for v in column]
        results.append(np.reshape(np.stack(parts), (*shape, *core)))
    return results[0] if len(results) == 1 else tuple(results)


def _bind(sizes: dict[str, int], shape: Any, dims: Sequence[str]) -> None:
    if not dims:
        return
    if len(shape) < len(dims):
        raise ShapeError(
            f"{len(shape)}-dimensional argument does not have enough dimensions for all core "
            f"dimensions {tuple(dims)}"
        )
    for dim, size in zip(dims, shape[-len(dims) :], strict=True):
        if sizes.setdefault(dim, size) != size:
            raise ShapeError(
                f"inconsistent size for core dimension {dim!r}: {size} vs {sizes[dim]}"
            )
