"""Functions of sampled curves: interpolation, differences, sums of areas, sliding products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...ir.errors import ShapeError
from ...ir.ops.check import Graft
from ...ir.ops.correlate import Correlate
from ...ir.ops.search import Interp
from ..array import TracedArray, emit, implements, is_traced, unsupported
from .create import full, laid_as, where
from .index import read
from .join import concatenate
from .known import array_of, known
from .rearrange import flip
from .shape import (
    as_array,
    as_scalar,
    cast,
    common_dtype,
    emit_reshape,
    normalize_axis,
    traced,
)


@implements(np.interp)
def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    """As `np.interp`; at a sample point the derivative is that on its right."""
    x, xp, fp = array_of(x), array_of(xp), array_of(fp)
    if period is None and "c" in (x.dtype.kind, xp.dtype.kind):
        raise TypeError(
            "Cannot cast array data from dtype('complex128') to dtype('float64') according to the "
            "rule 'safe'"
        )
    wide = np.complex128 if fp.dtype.kind == "c" else np.float64
    x, xp, fp = cast(x, float), cast(xp, float), cast(fp, wide)
    if period is not None:
        if known(period) is not None and period == 0:
            raise ValueError("period must be a non-zero value")
        if xp.ndim != 1 or fp.ndim != 1:
            raise ValueError("Data points must be 1-D sequences")
        if xp.shape != fp.shape:
            raise ValueError("fp and xp are not of the same length")
        period = abs(period)
        left = right = None
        x, xp = x % period, xp % period
        order = np.argsort(xp)
        xp, fp = xp[order], fp[order]
        xp = concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = concatenate([fp[-1:], fp, fp[:1]])
    if xp.ndim != 1 or fp.ndim != 1:
        raise ShapeError("object too deep for desired array")
    if xp.shape[0] == 0:
        raise ShapeError("array of sample points is empty")
    before = fp[0] if left is None else cast(left, wide)
    after = fp[-1] if right is None else cast(right, wide)
    result = emit(Interp(), (x, xp, fp, as_scalar(before), as_scalar(after)))
    return result if result.shape else as_scalar(result)


# ---- differences and areas -----------------------------------------------------------------------


@implements(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """As `np.ediff1d`."""
    a = array_of(ary)
    a = emit_reshape(a, [a.size])
    parts = [np.subtract(a[1:], a[:-1])]
    for name, value in (("to_begin", to_begin), ("to_end", to_end)):
        if value is None:
            continue
        edge = array_of(value)
        if not np.can_cast(edge.dtype, a.dtype, "same_kind"):
            raise TypeError(
                f"dtype of `{name}` must be compatible with input `ary` under the `same_kind` rule."
            )
        edge = cast(emit_reshape(edge, [edge.size]), a.dtype)
        parts.insert(0 if name == "to_begin" else len(parts), edge)
    return parts[0] if len(parts) == 1 else concatenate(parts)


@implements(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: Any = -1) -> Any:
    """As `np.trapezoid`."""
    y = array_of(y)
    if x is None:
        width = dx if is_traced(dx) or np.ndim(dx) == 0 else np.asarray(dx)
    else:
        x = array_of(x)
        width = np.diff(x) if x.ndim == 1 else np.diff(x, axis=axis)
        if x.ndim == 1:
            shape = [1] * y.ndim
            shape[axis] = width.shape[0]
            width = emit_reshape(width, shape)
    if not y.ndim:
        raise IndexError("too many indices for array: array is 0-dimensional, but 1 were indexed")
    axis = normalize_axis(axis, y.ndim)
    lead = (slice(None),) * axis
    pairs = read(y, (*lead, slice(1, None))) + read(y, (*lead, slice(None, -1)))
    return np.sum(width * pairs / 2.0, axis=axis)


@implements(np.unwrap)
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * np.pi) -> Any:
    """As `np.unwrap`; the jumps that are taken out are locally constant."""
    p = array_of(p)
    steps = np.diff(p, axis=axis)
    discont = period / 2 if discont is None else discont
    dtype = common_dtype([steps, period])
    if dtype.kind in "iu":
        high, rest = divmod(period, 2)
        is_ambiguous = rest == 0
    else:
        high, is_ambiguous = period / 2, True
    inside = np.remainder(steps - -high, period) + -high
    if is_ambiguous:
        inside = where((inside == -high) & (steps > 0), cast(high, inside.dtype), inside)
    change = inside - steps
    change = where(abs(steps) < discont, np.zeros(1, change.dtype)[0], change)
    lead = (slice(None),) * normalize_axis(axis, p.ndim)
    rest = read(p, (*lead, slice(1, None))) + np.cumsum(change, axis=axis)
    return concatenate([cast(read(p, (*lead, slice(0, 1))), dtype), cast(rest, dtype)], axis)


def _running(
    function: Any, identity: int, x: Any, axis: Any, dtype: Any, out: Any, include_initial: bool
) -> Any:
    if include_initial and out is not None:
        raise unsupported("out= with include_initial=", "Assign the result instead.")
    x = array_of(x)
    x = x if x.ndim else emit_reshape(x, [1])
    if axis is None and x.ndim > 1:
        raise ValueError(
            "For arrays which have more than one dimension ``axis`` argument is required."
        )
    axis = normalize_axis(0 if axis is None else axis, x.ndim)
    result = function(x, axis=axis, dtype=dtype, out=out)
    if not include_initial:
        return result
    shape = [1 if k == axis else d for k, d in enumerate(x.shape)]
    return concatenate([full(shape, identity, result.dtype), result], axis)


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
    return _running(np.cumsum, 0, x, axis, dtype, out, include_initial)


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
    return _running(np.cumprod, 1, x, axis, dtype, out, include_initial)


# ---- derivatives of samples ----------------------------------------------------------------------


def _spacing(distances: Any, size: Any) -> tuple[Any, Any, Any]:
    """Return a uniform spacing, the single spacings, and whether the uniform one holds.

    What is not there is None. Coordinates known only when the program runs give both.
    """
    distances = array_of(distances) if isinstance(distances, list | tuple) else distances
    if np.ndim(distances) == 0:
        return distances, None, None
    if np.ndim(distances) != 1:
        raise ValueError("distances must be either scalars or 1d")
    if np.shape(distances)[0] != size:
        raise ValueError("when 1d, distances must match the length of the corresponding dimension")
    values = known(distances)
    distances = traced(distances) if values is None else values
    if distances.dtype.kind in "iu":
        distances = distances.astype(np.float64)
    steps = np.diff(distances)
    uniform = np.all(steps == steps[0])
    if values is None:
        return steps[0], steps, uniform
    return (steps[0], None, None) if uniform else (None, steps, None)


def _part(f: TracedArray, axis: int, place: Any) -> Any:
    """Return f at a place of an axis; at a single point the axis is gone, as in NumPy's sums."""
    return read(f, (*[slice(None)] * axis, place))


def _three(f: TracedArray, places: Sequence[Any], weights: Sequence[Any], axis: int) -> Any:
    """Return the sum of three parts of f, each times its weight along the axis."""
    shape = [-1 if k == axis else 1 for k in range(f.ndim)]
    parts = []
    for place, weight in zip(places, weights, strict=True):
        weight = np.reshape(weight, shape) if np.ndim(weight) else weight
        parts.append(weight * _part(f, axis, place))
    return parts[0] + parts[1] + parts[2]


_BELOW, _MIDDLE, _ABOVE = slice(None, -2), slice(1, -1), slice(2, None)


def _uniform(f: TracedArray, h: Any, axis: int, edge_order: int) -> list[Any]:
    """Return the derivative at the first point, the inner ones, and the last one."""
    inner = (_part(f, axis, _ABOVE) - _part(f, axis, _BELOW)) / (2.0 * h)
    if edge_order == 1:
        return _one_sided(f, h, inner, h, axis)
    first = _three(f, (0, 1, 2), (-1.5 / h, 2.0 / h, -0.5 / h), axis)
    last = _three(f, (-3, -2, -1), (0.5 / h, -2.0 / h, 1.5 / h), axis)
    return [first, inner, last]


def _one_sided(f: TracedArray, before: Any, inner: Any, after: Any, axis: int) -> list[Any]:
    first = (_part(f, axis, 1) - _part(f, axis, 0)) / before
    return [first, inner, (_part(f, axis, -1) - _part(f, axis, -2)) / after]


def _single(f: TracedArray, steps: Any, axis: int, edge_order: int) -> list[Any]:
    """Return the same for a spacing of its own between every two points."""
    before, after = steps[:-1], steps[1:]
    weights = (
        -after / (before * (before + after)),
        (after - before) / (before * after),
        before / (after * (before + after)),
    )
    inner = _three(f, (_BELOW, _MIDDLE, _ABOVE), weights, axis)
    if edge_order == 1:
        return _one_sided(f, steps[0], inner, steps[-1], axis)
    one, two = steps[0], steps[1]
    weights = (
        -(2.0 * one + two) / (one * (one + two)),
        (one + two) / (one * two),
        -one / (two * (one + two)),
    )
    first = _three(f, (0, 1, 2), weights, axis)
    one, two = steps[-2], steps[-1]
    weights = (
        two / (one * (one + two)),
        -(two + one) / (one * two),
        (2.0 * two + one) / (two * (one + two)),
    )
    return [first, inner, _three(f, (-3, -2, -1), weights, axis)]


@implements(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """As `np.gradient`.

    Coordinates known only when the program runs give NumPy's value of either formula, and the
    derivative of the general one.
    """
    f = array_of(f)
    ndim = f.ndim
    axes = range(ndim) if axis is None else np.lib.array_utils.normalize_axis_tuple(axis, ndim)
    if len(varargs) == 0:
        given: list[Any] = [1.0] * len(axes)
    elif len(varargs) == 1 and np.ndim(varargs[0]) == 0:
        given = [varargs[0]] * len(axes)
    elif len(varargs) == len(axes):
        given = list(varargs)
    else:
        raise TypeError("invalid number of arguments")
    spacings = [_spacing(d, f.shape[k]) for d, k in zip(given, axes, strict=True)]
    if edge_order > 2:
        raise ValueError("'edge_order' greater than 2 not supported")
    dtype = f.dtype if f.dtype.kind in "fc" else np.dtype(float)
    f = f.astype(float) if f.dtype.kind in "iu" else f
    results = []
    for k, (h, steps, uniform) in zip(axes, spacings, strict=True):
        if f.shape[k] < edge_order + 1:
            raise ValueError(
                "Shape of array too small to calculate a numerical gradient, at least "
                "(edge_order + 1) elements are required."
            )
        parts = [] if h is None else _uniform(f, h, k, edge_order)
        if steps is not None:
            general = _single(f, steps, k, edge_order)
            pairs = zip(parts or general, general, strict=True)
            parts = [g if uniform is None else _either(uniform, p, g) for p, g in pairs]
        first, inner, last = (cast(p, dtype) for p in parts)
        ends = [emit_reshape(e, (*f.shape[:k], 1, *f.shape[k + 1 :])) for e in (first, last)]
        results.append(laid_as(concatenate([ends[0], inner, ends[1]], k), [f]))
    return results[0] if len(results) == 1 else tuple(results)


def _either(uniform: Any, value: Any, general: Any) -> Any:
    """Return one of two formulas of the same thing, with the derivative of the second."""
    chosen = emit(Graft(), (where(uniform, value, general), as_array(general)))
    return chosen if chosen.shape else as_scalar(chosen)


# ---- sliding products ----------------------------------------------------------------------------


def _sliding(a: Any, v: Any, mode: str) -> Any:
    """Return `sum(a[n + k] * v[n])` for a at least as long as v."""
    n, m = a.shape[0], v.shape[0]
    ranges = {"valid": (0, n - m + 1), "same": (m // 2, n), "full": (m - 1, n + m - 1)}
    left, length = ranges[_mode(mode)]
    return emit(Correlate(left, length), (a, v))


def _mode(mode: Any) -> str:
    np.convolve([1.0], [1.0], mode)  # raises what NumPy raises
    if isinstance(mode, str):
        return mode
    return ("valid", "same", "full")[mode]


def _pair(a: Any, v: Any) -> tuple[Any, Any]:
    a, v = array_of(a), array_of(v)
    dtype = np.result_type(a.dtype, v.dtype)
    return cast(a, dtype), cast(v, dtype)


@implements(np.convolve)
def convolve(a: Any, v: Any, mode: Any = "full") -> Any:
    """As `np.convolve`."""
    a, v = (emit_reshape(x, [1]) if not x.ndim else x for x in _pair(a, v))
    for name, x in (("a", a), ("v", v)):
        if x.shape[0] == 0:
            raise ValueError(f"{name} cannot be empty")
    if v.shape[0] > a.shape[0]:
        a, v = v, a
    if a.ndim != 1 or v.ndim != 1:
        raise ShapeError("object too deep for desired array")
    return _sliding(a, flip(v), mode)


@implements(np.correlate)
def correlate(a: Any, v: Any, mode: Any = "valid") -> Any:
    """As `np.correlate`, which conjugates the second sequence."""
    a, v = _pair(a, v)
    if a.ndim != 1 or v.ndim != 1:
        depth = "too small depth" if 0 in (a.ndim, v.ndim) else "too deep"
        raise ShapeError(f"object {depth} for desired array")
    for k, x in enumerate((a, v)):
        if x.shape[0] == 0:
            raise ValueError(f"{('first', 'second')[k]} array argument cannot be empty")
    v = v.conj()
    if v.shape[0] > a.shape[0]:
        return flip(_sliding(v, a, mode))
    return _sliding(a, v, mode)


# ---- a Bessel function ---------------------------------------------------------------------------


def _chebyshev(x: Any, coefficients: Sequence[float]) -> Any:
    """Return a Chebyshev series by Clenshaw's recurrence."""
    now: Any = coefficients[0]
    last: Any = 0.0
    before = last
    for c in coefficients[1:]:
        before, last = last, now
        now = x * last - before + c
    return 0.5 * (now - before)


@implements(np.i0)
def i0(x: Any) -> Any:
    """As `np.i0`, the modified Bessel function of the first kind and order 0."""
    x = array_of(x)
    if x.dtype.kind == "c":
        raise TypeError("i0 not supported for complex values")
    x = x if x.dtype.kind == "f" else cast(x, float)
    # By a choice and not by abs, whose derivative at 0 would hide the curvature there.
    x = where(x < 0, -x, x) + 0.0
    is_near = x <= 8.0
    near = where(is_near, x, np.ones(1, x.dtype)[0])
    far = where(is_near, np.full(1, 9, x.dtype)[0], x)
    # NumPy's own tables, which are not public: Chebyshev coefficients of exp(-x) I0(x) on [0, 8],
    # and of exp(-x) sqrt(x) I0(x) beyond.
    tables = vars(vars(np.lib)["_function_base_impl"])
    left = np.exp(near) * _chebyshev(near / 2.0 - 2, tables["_i0A"])
    right = np.exp(far) * _chebyshev(32.0 / far - 2.0, tables["_i0B"]) / np.sqrt(far)
    return where(is_near, left, right)
