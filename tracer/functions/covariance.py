"""Covariances and correlations."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.dims import Dim
from ...ir.ops.select import MakeComplex
from ..array import emit, implements, is_traced
from .create import where, zeros
from .join import concatenate
from .known import array_of, require
from .shape import as_array, cast, emit_reshape, traced, transpose


def _rows(a: Any, dtype: np.dtype, in_columns: bool) -> Any:
    """Return variables in rows."""
    rows = cast(a, dtype)
    if a.ndim < 2:
        rows = emit_reshape(rows, [1, a.size])
    return transpose(rows) if in_columns else rows


def _weights(values: Any, name: str, count: int) -> Any:
    """Return weights of observations as floats, which must not be negative."""
    weights = cast(array_of(values), float)
    if name == "fweights":
        whole = np.all(weights == np.around(weights))
        weights = require(weights, whole, TypeError, "fweights must be integer")
    if weights.ndim > 1:
        raise RuntimeError(f"cannot handle multidimensional {name}")
    if weights.shape[0] != count:
        raise RuntimeError(f"incompatible numbers of samples and {name}")
    return require(weights, ~np.any(weights < 0), ValueError, f"{name} cannot be negative")


@implements(np.cov)
def cov(
    m: Any,
    y: Any = None,
    rowvar: Any = True,
    bias: Any = False,
    ddof: Any = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    """As `np.cov`."""
    if ddof is not None and ddof != int(ddof):
        raise ValueError("ddof must be integer")
    given = [array_of(v) for v in (m, y) if v is not None]
    for name, a in zip("my", given, strict=False):
        if a.ndim > 2:
            raise ValueError(f"{name} has more than 2 dimensions")
    dtype = np.dtype(dtype or np.result_type(*[a.dtype for a in given], np.float64))
    rows = _rows(given[0], dtype, not rowvar and given[0].ndim != 1)
    if rows.shape[0] == 0:
        return zeros((0, 0))
    if len(given) == 2:
        more = _rows(given[1], dtype, False)
        more = transpose(more) if not rowvar and more.shape[0] != 1 else more
        rows = concatenate([rows, more], 0)
    ddof = ddof if ddof is not None else 1 if bias == 0 else 0
    weights: Any = None
    for name, values in (("fweights", fweights), ("aweights", aweights)):
        if values is not None:
            found = _weights(values, name, rows.shape[1])
            weights = found if weights is None else weights * found
    average, total = np.average(rows, axis=1, weights=weights, returned=True)
    total = total[0]
    factor: Any
    if weights is None:
        factor = rows.shape[1] - ddof
    elif ddof == 0:
        factor = total
    elif aweights is None:
        factor = total - ddof
    else:
        factor = total - ddof * np.sum(weights * cast(array_of(aweights), float)) / total
    factor = traced(factor) if isinstance(factor, Dim) else factor
    if is_traced(factor):
        factor = where(factor <= 0, 0.0, factor)[()]
    else:
        factor = max(factor, 0.0)
    rows = cast(rows - average[:, None], dtype)
    other = transpose(rows if weights is None else rows * weights)
    with np.errstate(divide="ignore"):
        scale = np.true_divide(1, factor)
    product = np.dot(rows, other.conj())
    return as_array(np.squeeze(cast(product * scale, product.dtype)))


@implements(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: Any = True, *, dtype: Any = None) -> Any:
    """As `np.corrcoef`."""
    c = cov(x, y, rowvar, dtype=dtype)
    if not c.ndim:
        return c / c
    deviation = np.sqrt(np.real(np.diag(c)))
    c = cast(c / deviation[:, None], c.dtype)
    c = cast(c / deviation[None, :], c.dtype)
    if c.dtype.kind != "c":
        return np.clip(c, -1, 1)
    return emit(MakeComplex(), (np.clip(np.real(c), -1, 1), np.clip(np.imag(c), -1, 1)))
