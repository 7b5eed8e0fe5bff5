"""Medians, quantiles and percentiles: partition, pick, interpolate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from ...ir.dims import Dim
from ...ir.ops.order import ArgSort, OrderStatistics, Sort
from ...ir.ops.reduce import axes_of
from ...ir.ops.search import SearchSorted
from ...ir.types import Kind
from ..array import emit, implements, is_traced
from .create import where
from .index import read
from .known import array_of, known, require
from .rearrange import take_along_axis
from .reduce import kept
from .shape import (
    as_array,
    as_python,
    as_scalar,
    broadcast_to,
    cast,
    constant,
    emit_reshape,
    moveaxis,
    traced,
    transpose,
)
from .statistics import mean
from .write import same_dtype, with_out


def axes_first(a: Any, axis: Any) -> tuple[Any, list[int]]:
    """Return the array with the given axes as one in front, and these axes."""
    if axis is None:
        axes = list(range(a.ndim))
    elif a.ndim == 0:
        axes = list(np.lib.array_utils.normalize_axis_tuple(axis, 0))
    else:
        axes = sorted(int(k) + a.ndim for k in axes_of(a.ndim, axis))
    rest = [k for k in range(a.ndim) if k not in axes]
    count = prod(a.shape[k] for k in axes)
    return emit_reshape(transpose(a, [*axes, *rest]), [count, *[a.shape[k] for k in rest]]), axes


def restored(result: Any, shape: Sequence[Any], axes: Sequence[int], keepdims: Any) -> Any:
    """Return a result for each of the other axes of `shape`, the reduced ones kept or not."""
    if not kept(keepdims):
        return result if result.shape else as_scalar(result)
    rest = [1 if k in axes else d for k, d in enumerate(shape)]
    lead = result.shape[: result.ndim - (len(shape) - len(axes))]
    return as_array(emit_reshape(result, [*lead, *rest]))


@implements(np.median)
@with_out(same_dtype)
def median(
    a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False
) -> Any:
    """As `np.median`: of the sorted elements the middle one, or the mean of the middle two."""
    a = array_of(a)
    flat, axes = axes_first(a, axis)
    count = flat.shape[0]
    holds_nan = a.dtype.kind in "fc"
    last: Any = None
    if isinstance(count, Dim):
        flat, number = emit(Sort(-flat.ndim), (flat,)), traced(count)
        low, high = (read(flat, k) for k in ((number - 1) // 2, number // 2))
        result = where(number % 2 == 1, low, mean(np.stack([low, high]), 0))
        last = read(flat, -1) if holds_nan else None
    elif count:
        middle = [(count - 1) // 2] if count % 2 else [count // 2 - 1, count // 2]
        kth = (*middle, *([-1] if holds_nan else []))
        flat = emit(OrderStatistics(-flat.ndim, kth, kth), (flat,))
        result = mean(flat[: len(middle)], 0)
        last = read(flat, -1) if holds_nan else None
    else:
        if prod(flat.shape[1:]):
            np.partition(np.zeros(0), [-1, 0, -1])  # raises what NumPy raises
        result = mean(flat, 0)
    if last is not None:
        result = where(np.isnan(last), last, result)
    return restored(result, a.shape, axes, keepdims)


# ---- the virtual index of a quantile among n ordered elements ------------------------------------


def _between(alpha: float, beta: float) -> Callable[[Any, Any], Any]:
    return lambda n, q: n * q + (alpha + q * (1 - alpha - beta)) - 1


def _snapped(index: Any, is_previous: Callable[[Any, Any], Any]) -> Any:
    """Return the element below an index or the one above it, as integers."""
    previous = np.floor(index)
    chosen = np.where(is_previous(index - previous, previous), previous, previous + 1)
    return np.maximum(chosen.astype(np.intp), 0)


INDEX: dict[str, Callable[[Any, Any], Any]] = {
    "inverted_cdf": lambda n, q: _snapped(n * q - 1, lambda gamma, _: gamma == 0),
    "averaged_inverted_cdf": lambda n, q: n * q - 1,
    "closest_observation": lambda n, q: _snapped(
        n * q - 1 - 0.5, lambda gamma, below: (gamma == 0) & (below % 2 == 1)
    ),
    "interpolated_inverted_cdf": _between(0, 1),
    "hazen": _between(0.5, 0.5),
    "weibull": _between(0, 0),
    "linear": lambda n, q: (n - 1) * q,
    "median_unbiased": _between(1 / 3.0, 1 / 3.0),
    "normal_unbiased": _between(3 / 8.0, 3 / 8.0),
    "lower": lambda n, q: np.floor((n - 1) * q).astype(np.intp),
    "higher": lambda n, q: np.ceil((n - 1) * q).astype(np.intp),
    "midpoint": lambda n, q: 0.5 * (np.floor((n - 1) * q) + np.ceil((n - 1) * q)),
    "nearest": lambda n, q: np.around((n - 1) * q).astype(np.intp),
}
"""Hyndman and Fan, Sample quantiles in statistical packages (1996), and NumPy's older names."""

DISCRETE = {"inverted_cdf", "closest_observation", "lower", "higher", "nearest"}


def weight(method: str, index: Any, previous: Any) -> Any:
    """Return how far an index lies behind the element before it, as the method has it."""
    gamma = index - previous
    if method == "averaged_inverted_cdf":
        return np.where(gamma == 0, 0.5, 1.0)
    if method == "midpoint":
        return np.where(index % 1 == 0, 0.0, 0.5)
    return gamma


def interpolated(low: Any, high: Any, gamma: Any, narrow: bool = False) -> Any:
    """Return the value between two, taken from the nearer end as NumPy does.

    With `narrow` the weights are rounded to the dtype of the values, as Python numbers are.
    """
    difference = high - low
    back = 1 - gamma
    is_nearer = gamma >= 0.5
    if narrow:
        gamma, back = cast(gamma, low.dtype), cast(back, low.dtype)
    left = low + difference * gamma
    ends = known(is_nearer)
    if ends is not None and not ends.any():
        return left
    right = high - difference * back
    right = right if right.dtype == left.dtype else cast(right, left.dtype)
    return right if ends is not None and ends.all() else where(is_nearer, right, left)


# ---- quantiles -----------------------------------------------------------------------------------


def real_array(a: Any) -> Any:
    """Return a value as a traced array, which must not be complex."""
    a = array_of(a)
    if a.dtype.kind == "c":
        raise TypeError("a must be an array of real numbers")
    return a


def level(q: Any, scale: int, range_text: str) -> tuple[Any, bool]:
    """Return the level of a quantile in [0, 1], and whether it is a weak Python number."""
    values = known(q)
    if values is not None:
        is_weak = type(q) in (int, float)
        values = np.asanyarray(values if scale == 1 else np.true_divide(values, scale))
        if values.size and not (values.min() >= 0 and values.max() <= 1):
            raise ValueError(range_text)
        return values, is_weak
    is_weak = is_traced(q) and q._kind is Kind.PYTHON
    q = array_of(q)
    q = q if scale == 1 else as_array(np.true_divide(q, scale))
    inside = np.all((q >= 0) & (q <= 1))
    return require(q, inside, ValueError, range_text), is_weak


def percent(q: Any) -> tuple[Any, bool]:
    """Return the level of a percentile in [0, 1], and whether it is a weak Python number."""
    return level(q, 100, "Percentiles must be in the range [0, 100]")


def unit(q: Any) -> tuple[Any, bool]:
    """Return the level of a quantile in [0, 1], and whether it is a weak Python number."""
    return level(q, 1, "Quantiles must be in the range [0, 1]")


def check_method(method: str, q: Any) -> None:
    """Raise what NumPy raises for an unknown method or too many axes of levels."""
    if np.ndim(q) > 2:
        raise ValueError("q must be a scalar or 1d")
    if method not in INDEX:
        raise ValueError(f"{method!r} is not a valid method. Use one of: {INDEX.keys()}")


def quantile_of(
    a: Any, q: Any, is_weak: bool, axis: Any, method: str, keepdims: Any, weights: Any
) -> Any:
    """Return the quantiles of a level that has been checked."""
    if weights is not None:
        return _weighted(a, q, axis, method, keepdims, weights)
    flat, axes = axes_first(a, axis)
    check_method(method, q)
    count = flat.shape[0]
    if isinstance(count, Dim):
        count = cast(count, q.dtype if q.dtype.kind == "f" else np.intp)
    index = INDEX[method](count, q)
    index = as_array(index) if is_traced(index) else np.asanyarray(index)
    holds_nan = a.dtype.kind == "f"
    if method in DISCRETE or (method == "linear" and index.dtype.kind in "iu"):
        result, last = _picked(flat, [index], [], holds_nan)
    else:
        previous, following = _neighbours(index, count)
        gamma = weight(method, index, previous)
        gamma = gamma if gamma.dtype == index.dtype else gamma.astype(index.dtype)
        if is_weak:
            gamma = as_python(gamma) if is_traced(gamma) else float(gamma)
        else:
            gamma = np.reshape(gamma, (*index.shape, *[1] * (flat.ndim - 1)))
        low, high, last = _picked(flat, [previous, following], [0, -1], holds_nan)
        result = interpolated(low, high, gamma)
    if holds_nan:
        result = where(np.isnan(last), cast(last, result.dtype), result)
    return restored(result, a.shape, axes, keepdims)


def _neighbours(index: Any, count: Any) -> tuple[Any, Any]:
    """Return the elements below and above an index, -1 for the last one."""
    previous = np.floor(index)
    following = previous + 1
    for outside, place in ((index >= count - 1, -1), (index < 0, 0)):
        previous = np.where(outside, place, previous)
        following = np.where(outside, place, following)
    return previous.astype(np.intp), following.astype(np.intp)


def _picked(flat: Any, places: list[Any], ends: list[int], with_last: bool) -> list[Any]:
    """Return what stands at places along axis 0 when it is in order, and at its end.

    Places known while tracing are partitioned as NumPy does, which also partitions at `ends`.
    """
    rest = flat.shape[1:]
    if any(is_traced(p) for p in places):
        flat = emit(Sort(-flat.ndim), (flat,))
        return [*[read(flat, p) for p in places], read(flat, -1)]
    wanted = [int(k) for p in places for k in p.ravel()]
    kth = sorted({*wanted, *ends}) if ends else [*wanted, *([-1] if with_last else [])]
    np.partition(np.zeros(flat.shape[0]), kth)  # raises what NumPy raises
    wanted += [-1] if with_last else []
    flat = emit(OrderStatistics(-flat.ndim, tuple(kth), tuple(wanted)), (flat,))
    found, start = [], 0
    for p in places:
        part = flat[start : start + p.size]
        found.append(emit_reshape(part, [*p.shape, *rest]) if p.shape else read(part, 0))
        start += p.size
    return [*found, read(flat, -1) if with_last else None]


def _weighted(a: Any, q: Any, axis: Any, method: str, keepdims: Any, weights: Any) -> Any:
    """Return the smallest element up to which the weights reach the share q of their total."""
    if method != "inverted_cdf":
        raise ValueError(f"Only method 'inverted_cdf' supports weights. Got: {method}.")
    weights = fitted_weights(weights, a, axis)
    flat, axes = axes_first(a, axis)
    result = weighted_pick(flat, axes_first(weights, axis)[0], q)
    if a.dtype.kind == "f":
        last = read(emit(Sort(-flat.ndim), (flat,)), -1)
        result = where(np.isnan(last), last, result)
    result = restored(result, a.shape, axes, keepdims)
    return result if result.shape else as_array(result)


def fitted_weights(weights: Any, a: Any, axis: Any) -> Any:
    """Return weights, which must not be negative, in the shape of the array."""
    weights = array_of(weights)
    if weights.shape != a.shape:
        if axis is None:
            raise TypeError("Axis must be specified when shapes of a and weights differ.")
        axes = np.lib.array_utils.normalize_axis_tuple(axis, a.ndim)
        if weights.shape != tuple(a.shape[k] for k in axes):
            raise ValueError(
                "Shape of weights must be consistent with shape of a along specified axis."
            )
        weights = transpose(weights, np.argsort(axes).tolist())
        shape = [d if k in axes else 1 for k, d in enumerate(a.shape)]
        weights = broadcast_to(emit_reshape(weights, shape), a.shape)
    return require(weights, np.all(weights >= 0), ValueError, "Weights must be non-negative.")


def weighted_pick(flat: Any, weights: Any, q: Any) -> Any:
    """Return for each level, and each slice of axis 0, the element that the weights pick."""
    order = emit(ArgSort(-flat.ndim), (flat,))
    flat, weights = take_along_axis(flat, order, 0), take_along_axis(weights, order, 0)
    total = np.cumsum(weights, axis=0, dtype=np.float64)
    share = total / total[-1]
    message = "Weights included NaN, inf or were all zero."
    share = require(share, ~np.any(np.isnan(share[-1])), ValueError, message)
    dtype = q.dtype if q.dtype.kind == "f" else share.dtype
    # An element of no weight at the beginning is never picked, not even at the level 0.
    share = cast(share, dtype)
    share = where(share == 0, -1, share)
    levels = cast(q if is_traced(q) else constant(q), dtype)
    levels = emit_reshape(levels, [levels.size])
    rest = flat.shape[1:]
    places = emit(
        SearchSorted(), (moveaxis(share, 0, -1), broadcast_to(levels, (*rest, levels.shape[0])))
    )
    places = moveaxis(np.minimum(places, flat.shape[0] - 1), -1, 0)
    return emit_reshape(take_along_axis(flat, places, 0), [*np.shape(q), *rest])


@implements(np.quantile)
@with_out(same_dtype)
def quantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: Any = False,
    *,
    weights: Any = None,
) -> Any:
    """As `np.quantile`."""
    a = real_array(a)
    q, is_weak = unit(q)
    return quantile_of(a, q, is_weak, axis, method, keepdims, weights)


@implements(np.percentile)
@with_out(same_dtype)
def percentile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: Any = False,
    *,
    weights: Any = None,
) -> Any:
    """As `np.percentile`."""
    a = real_array(a)
    q, is_weak = percent(q)
    return quantile_of(a, q, is_weak, axis, method, keepdims, weights)
