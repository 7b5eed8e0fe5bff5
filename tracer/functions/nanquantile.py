"""Medians, quantiles and percentiles of the elements that are not nan."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ...ir.ops.order import Sort
from ..array import emit, implements
from .create import where
from .quantile import (
    DISCRETE,
    INDEX,
    axes_first,
    check_method,
    fitted_weights,
    interpolated,
    median,
    percent,
    quantile_of,
    real_array,
    restored,
    unit,
    weight,
    weighted_pick,
)
from .rearrange import take_along_axis
from .reduce import kept
from .shape import MISSING, as_array, cast, emit_reshape, traced
from .statistics import mean
from .write import same_dtype, with_out


def _valid_first(a: Any, axis: Any) -> tuple[Any, Any, list[int]]:
    """Return the elements in order, nans last, how many are none, and the reduced axes."""
    flat, axes = axes_first(a, axis)
    count = np.sum(~np.isnan(flat), axis=0, dtype=np.intp)
    return emit(Sort(-flat.ndim), (flat,)), as_array(count), axes


@implements(np.nanmedian)
@with_out(same_dtype)
def nanmedian(
    a: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    keepdims: Any = MISSING,
) -> Any:
    """As `np.nanmedian`."""
    a = as_array(traced(a))
    if a.size == 0:
        return np.nanmean(a, axis, keepdims=keepdims)
    if a.dtype.kind not in "fc":
        return median(a, axis, keepdims=kept(keepdims))
    flat, count, axes = _valid_first(a, axis)
    low = np.maximum((count - 1) // 2, 0)
    pair = take_along_axis(flat, np.stack([low, np.minimum(count // 2, flat.shape[0] - 1)]), 0)
    result = where(count % 2 == 1, pair[0], mean(pair, 0))
    return restored(where(count == 0, np.nan, result), a.shape, axes, keepdims)


def _nanquantile(
    a: Any, q: Any, is_weak: bool, axis: Any, method: str, keepdims: Any, weights: Any
) -> Any:
    if a.size == 0:
        return np.nanmean(a, axis, keepdims=keepdims)
    if a.dtype.kind != "f":
        return quantile_of(a, q, is_weak, axis, method, keepdims, weights)
    if weights is not None:
        return _nan_weighted(a, q, axis, method, keepdims, weights)
    check_method(method, q)
    flat, count, axes = _valid_first(a, axis)
    rest = count.shape
    q = np.reshape(q, (*np.shape(q), *[1] * len(rest)))
    number = cast(count, q.dtype) if q.dtype.kind == "f" else count
    index = as_array(INDEX[method](number, q))
    if method in DISCRETE or (method == "linear" and index.dtype.kind in "iu"):
        result = _in_slices(flat, np.clip(index, 0, np.maximum(count - 1, 0)), rest)
    else:
        last = np.maximum(count - 1, 0)
        floor = np.floor(index)
        previous = np.clip(floor, 0, last).astype(np.intp)
        following = np.clip(floor + 1, 0, last).astype(np.intp)
        following = where(index < 0, 0, following)
        # Beyond the last element NumPy counts from the end, which shows in the weights alone.
        ended = where(index < 0, 0, where(index >= count - 1, -1, floor))
        gamma = cast(weight(method, index, ended), index.dtype)
        low, high = _in_slices(flat, previous, rest), _in_slices(flat, following, rest)
        result = interpolated(low, high, gamma, narrow=is_weak)
    return restored(where(count == 0, np.nan, result), a.shape, axes, keepdims)


def _in_slices(flat: Any, places: Any, rest: Sequence[Any]) -> Any:
    lead = places.shape[: places.ndim - len(rest)]
    found = take_along_axis(flat, emit_reshape(places, [prod(lead), *rest]), 0)
    return emit_reshape(found, [*lead, *rest])


def _nan_weighted(a: Any, q: Any, axis: Any, method: str, keepdims: Any, weights: Any) -> Any:
    if method != "inverted_cdf":
        raise ValueError(f"Only method 'inverted_cdf' supports weights. Got: {method}.")
    weights = fitted_weights(weights, a, axis)
    flat, axes = axes_first(a, axis)
    weights = axes_first(weights, axis)[0]
    missing = np.isnan(flat)
    empty = np.all(missing, axis=0)
    weights = where(missing & ~empty, 0, weights)
    result = where(empty, np.nan, weighted_pick(flat, weights, q))
    result = restored(result, a.shape, axes, keepdims)
    return result if result.shape else as_array(result)


@implements(np.nanquantile)
@with_out(same_dtype)
def nanquantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: Any = MISSING,
    *,
    weights: Any = None,
) -> Any:
    """As `np.nanquantile`."""
    a = real_array(a)
    q, is_weak = unit(q)
    return _nanquantile(a, q, is_weak, axis, method, keepdims, weights)


@implements(np.nanpercentile)
@with_out(same_dtype)
def nanpercentile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: Any = MISSING,
    *,
    weights: Any = None,
) -> Any:
    """As `np.nanpercentile`."""
    a = real_array(a)
    q, is_weak = percent(q)
    return _nanquantile(a, q, is_weak, axis, method, keepdims, weights)
