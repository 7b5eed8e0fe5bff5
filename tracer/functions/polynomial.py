"""Polynomials given by their coefficients, the highest power first."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.errors import UnsupportedError
from ..array import implements, unsupported
from .create import full, zeros
from .decompose import complex_eigvals
from .join import concatenate
from .known import array_of, known, require
from .rearrange import flip
from .shape import as_array, cast, constant, copy, emit_reshape


def _coefficients(values: Any) -> Any:
    """Return coefficients as an array of at least one axis."""
    a = array_of(values)
    return a if a.ndim else emit_reshape(a, [1])


def _led(values: Any, function: str) -> Any:
    """Return coefficients without leading zeros; traced ones must have none.

    The zeros would decide on the size of the result.
    """
    found = known(values)
    if found is not None:
        return constant(np.poly1d(found).coeffs)
    p = _coefficients(values)
    if p.ndim > 1:
        raise ValueError("Polynomial must be 1d only.")
    if p.shape[0] < 2:
        return p if p.shape[0] else zeros((1,), p.dtype)
    message = (
        f"{function} drops leading coefficients of zero, which changes the size of its result.\n"
        "  Leave them out of the argument."
    )
    return require(p, p[0] != 0, UnsupportedError, message)


# ---- values, derivatives, integrals --------------------------------------------------------------


@implements(np.polyval)
def polyval(p: Any, x: Any) -> Any:
    """As `np.polyval`, by Horner's rule."""
    p, x = array_of(p), array_of(x)
    result: Any = np.zeros_like(x)
    for coefficient in p:
        result = result * x + coefficient
    return result


def _order(m: Any, message: str) -> int:
    if int(m) < 0:
        raise ValueError(message)
    return int(m)


@implements(np.polyder)
def polyder(p: Any, m: Any = 1) -> Any:
    """As `np.polyder`."""
    derivatives = [array_of(p)]
    # NumPy differentiates once more than it needs, and so meets what cannot be differentiated.
    for _ in range(_order(m, "Order of derivative must be positive (see polyint)") + 1):
        p = derivatives[-1]
        if not p.ndim:
            raise TypeError("len() of unsized object")
        derivatives.append(p[:-1] * constant(np.arange(len(p) - 1, 0, -1)))
    return derivatives[-2]


@implements(np.polyint)
def polyint(p: Any, m: Any = 1, k: Any = None) -> Any:
    """As `np.polyint`."""
    m = _order(m, "Order of integral must be positive (see polyder)")
    constants = zeros((m,)) if k is None else _coefficients(k)
    if constants.shape[0] == 1 and m > 1:
        constants = constants[0] * np.ones(m)
    if constants.shape[0] < m:
        raise ValueError("k must be a scalar or a rank-1 array of length 1 or >m.")
    p = array_of(p)
    for j in range(m):
        powers = constant(np.arange(len(p), 0, -1))
        p = concatenate([p / powers, constants[j : j + 1]])
    return p if p.ndim else copy(p)


# ---- arithmetic ----------------------------------------------------------------------------------


def _aligned(a: Any, b: Any) -> tuple[Any, Any]:
    a, b = _coefficients(a), _coefficients(b)
    short = b.shape[0] - a.shape[0]
    if short > 0:
        a = concatenate([zeros((short,), a.dtype), a])
    elif short < 0:
        b = concatenate([zeros((-short,), b.dtype), b])
    return a, b


@implements(np.polyadd)
def polyadd(a1: Any, a2: Any) -> Any:
    """As `np.polyadd`."""
    a, b = _aligned(a1, a2)
    return a + b


@implements(np.polysub)
def polysub(a1: Any, a2: Any) -> Any:
    """As `np.polysub`."""
    a, b = _aligned(a1, a2)
    return a - b


@implements(np.polymul)
def polymul(a1: Any, a2: Any) -> Any:
    """As `np.polymul`; leading coefficients known only when the program runs must not be zero."""
    return np.convolve(_led(a1, "np.polymul"), _led(a2, "np.polymul"))


@implements(np.polydiv)
def polydiv(u: Any, v: Any) -> Any:
    """As `np.polydiv`; the values decide on the size of the remainder."""
    u, v = _coefficients(u) + 0.0, _coefficients(v) + 0.0
    dtype = (u[0] + v[0]).dtype
    m, n = u.shape[0] - 1, v.shape[0] - 1
    scale = 1.0 / v[0]
    rest = cast(u, dtype)
    quotient = []
    for k in range(m - n + 1):
        digit = scale * rest[k]
        quotient.append(cast(digit, dtype))
        inner = rest[k : k + n + 1] - digit * v
        rest = concatenate([rest[:k], cast(inner, dtype), rest[k + n + 1 :]])
    # What is nearly zero at the front is dropped, but for the last one.
    nearly = np.isclose(rest, 0, rtol=1e-14)[:-1]
    front = np.sum(np.cumprod(nearly, dtype=np.intp))
    whole = [emit_reshape(d, [1]) for d in quotient] or [zeros((1,), dtype)]
    return concatenate(whole), rest[front:]


# ---- roots and fits ------------------------------------------------------------------------------


@implements(np.vander)
def vander(x: Any, N: Any = None, increasing: bool = False) -> Any:
    """As `np.vander`: each power is the product of x and the one before."""
    x = array_of(x)
    if x.ndim != 1:
        raise ValueError("x must be a one-dimensional array or sequence.")
    count = x.shape[0] if N is None else N
    dtype = np.promote_types(x.dtype, int)
    if count < 0:
        raise ValueError("negative dimensions are not allowed")
    columns = [full((x.shape[0], min(count, 1)), 1, dtype)]
    if count > 1:
        repeated = np.broadcast_to(cast(x, dtype)[:, None], (x.shape[0], count - 1))
        columns.append(np.cumprod(repeated, axis=1, dtype=dtype))
    powers = concatenate(columns, 1) if len(columns) > 1 else columns[0]
    return powers if increasing else copy(flip(powers, 1))


@implements(np.poly)
def poly(seq_of_zeros: Any) -> Any:
    """As `np.poly`; of complex zeros only where they are a matrix's, whose pairs are known."""
    roots = array_of(seq_of_zeros)
    if not roots.ndim:
        raise TypeError("np.poly takes a sequence of zeros or a matrix")
    is_real = roots.dtype.kind != "c"
    if roots.ndim == 2 and roots.shape[0] == roots.shape[1] != 0:
        roots = complex_eigvals(roots) if is_real else np.linalg.eigvals(roots)
    elif roots.ndim != 1:
        raise ValueError("input must be 1d or non-empty square 2d array.")
    else:
        roots = cast(roots, np.dtype(np.mintypecode(roots.dtype.char)))
    if not is_real:
        raise unsupported(
            "np.poly of complex zeros, which is real where they come in conjugate pairs,",
            "Multiply the factors with np.convolve.",
        )
    if roots.shape[0] == 0:
        return 1.0
    one = np.ones(1, roots.dtype)
    result = constant(one)
    for root in roots:
        factor = concatenate([constant(one), emit_reshape(-root, [1])])
        result = np.convolve(result, factor, mode="full")
    return np.real(result).copy() if result.dtype.kind == "c" else result


@implements(np.roots)
def roots(p: Any) -> Any:
    """As `np.roots`; the first and the last coefficient must not be zero."""
    p = _coefficients(p)
    if p.ndim != 1:
        raise ValueError("Input must be a rank-1 array.")
    p = p if p.dtype.kind in "fc" else cast(p, float)
    message = (
        "np.roots drops coefficients of zero at the front and at the end, which changes its "
        "result's size and dtype.\n  Leave them out of the argument."
    )
    if p.shape[0] == 0:
        return constant(np.array([]))
    p = require(p, (p[0] != 0) & (p[-1] != 0), UnsupportedError, message)
    count = p.shape[0]
    if count == 1:
        return constant(np.array([]))
    first = emit_reshape(-p[1:] / p[0], [1, count - 1])
    below = constant(np.eye(count - 2, count - 1, dtype=p.dtype))
    companion = concatenate([first, below], 0) if count > 2 else first
    return np.linalg.eigvals(companion)


@implements(np.polyfit)
def polyfit(
    x: Any,
    y: Any,
    deg: Any,
    rcond: Any = None,
    full: bool = False,
    w: Any = None,
    cov: Any = False,
) -> Any:
    """As `np.polyfit`; a matrix that is not of full rank is not warned of."""
    order = int(deg) + 1
    x, y = array_of(x) + 0.0, array_of(y) + 0.0
    x, y = as_array(x), as_array(y)
    _check_points(x, y, deg)
    if rcond is None:
        rcond = x.shape[0] * np.finfo(x.dtype).eps
    left, right = vander(x, order), y
    if w is not None:
        w = as_array(array_of(w) + 0.0)
        if w.ndim != 1:
            raise TypeError("expected a 1-d array for weights")
        if w.shape[0] != y.shape[0]:
            raise TypeError("expected w and y to have the same length")
        left = cast(left * w[:, None], left.dtype)
        right = cast(right * (w[:, None] if right.ndim == 2 else w), right.dtype)
    scale = np.sqrt(np.sum(left * left, axis=0))
    left = left / scale
    c, residuals, rank, s = np.linalg.lstsq(left, right, rcond)
    c = (c.T / scale).T
    if full:
        return c, residuals, rank, s, rcond
    if not cov:
        return c
    base = np.linalg.inv(np.dot(left.T, left)) / np.outer(scale, scale)
    factor: Any = 1
    if not (isinstance(cov, str) and cov == "unscaled"):
        if x.shape[0] <= order:
            raise ValueError(
                "the number of data points must exceed order to scale the covariance matrix"
            )
        factor = residuals / (x.shape[0] - order)
    return c, (base if y.ndim == 1 else base[:, :, None]) * factor


def _check_points(x: Any, y: Any, deg: Any) -> None:
    if deg < 0:
        raise ValueError("expected deg >= 0")
    if x.ndim != 1:
        raise TypeError("expected 1D vector for x")
    if x.size == 0:
        raise TypeError("expected non-empty vector for x")
    if y.ndim < 1 or y.ndim > 2:
        raise TypeError("expected 1D or 2D array for y")
    if x.shape[0] != y.shape[0]:
        raise TypeError("expected x and y to have same length")
