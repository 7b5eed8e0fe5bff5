"""Functions of `scipy.special`: its ufuncs by one table, its Python functions as compositions."""

from __future__ import annotations

import functools
import types
from typing import Any

import numpy as np

from ...ir.ops.select import StopGradient
from ...ir.ops.special import LogSumExp, SpecialResults, declare
from ...ir.ops.special_slopes import sp
from ...ir.types import Kind
from ..array import UFUNCS, emit, is_traced, unsupported
from .known import require
from .lazy import implements_lazily, when_imported
from .reduce import reduce_axes
from .shape import as_array, as_scalar, broadcast_to, cast, common_dtype, traced


@when_imported("scipy.special")
def _declare(module: types.ModuleType) -> None:
    for ufunc in declare():
        UFUNCS[ufunc] = functools.partial(_several, ufunc)


def _several(ufunc: np.ufunc, *inputs: Any, **kwargs: Any) -> Any:
    """Trace a ufunc with several results."""
    if any(v is not None for v in kwargs.values()):
        raise unsupported(f"{ufunc.__name__} with {', '.join(kwargs)}=", "Assign the results.")
    operands = [traced(v) for v in inputs[: ufunc.nin]]
    keys = tuple([v.dtype for v in operands])
    dtypes = ufunc.resolve_dtypes((*keys, *[None] * ufunc.nout))
    return emit(
        SpecialResults(ufunc.__name__),
        [cast(v, d) for v, d in zip(operands, dtypes, strict=False)],
    )


def _stopped(a: Any) -> Any:
    """Return the value, through which no derivative flows."""
    return emit(StopGradient(), (a,))


def _floating(*values: Any) -> list[Any]:
    """Return values as arrays of one floating-point dtype."""
    dtype = common_dtype([as_array(v) if v._kind is Kind.ARRAY else v for v in values])
    dtype = dtype if dtype.kind in "fc" else np.dtype(float)
    return [as_array(cast(v, dtype)) for v in values]


@implements_lazily("scipy.special.logsumexp")
def logsumexp(
    a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False
) -> Any:
    """As `scipy.special.logsumexp`."""
    operands = _floating(*[traced(v) for v in (a, b) if v is not None])
    shape = np.broadcast_shapes(*[v.shape for v in operands]) or (1,)
    operands = [broadcast_to(v, shape) if v.shape != shape else v for v in operands]
    axes = reduce_axes(len(shape), axis)
    op = LogSumExp(axes, bool(keepdims), b is not None, bool(return_sign))
    return emit(op, operands)


@implements_lazily("scipy.special.softmax")
def softmax(x: Any, axis: Any = None) -> Any:
    """As `scipy.special.softmax`; the shift by the maximum has no derivative."""
    x = as_array(traced(x))
    shifted = np.exp(x - _stopped(np.max(x, axis=axis, keepdims=True)))
    return shifted / np.sum(shifted, axis=axis, keepdims=True)


@implements_lazily("scipy.special.log_softmax")
def log_softmax(x: Any, axis: Any = None) -> Any:
    """As `scipy.special.log_softmax`; the shift by the maximum has no derivative."""
    x = as_array(traced(x))
    top = _stopped(np.max(x, axis=axis, keepdims=True))
    shifted = x - np.where(np.isfinite(top), top, np.zeros_like(top))
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


@implements_lazily("scipy.special.polygamma")
def polygamma(n: Any, x: Any) -> Any:
    """As `scipy.special.polygamma`."""
    order = n if is_traced(n) else np.asarray(n)
    if not is_traced(n) and np.all(order == 0):
        return np.where(order == 0, sp.psi(x), 0.0)
    factor = (-1.0) ** (order + 1) * sp.gamma(order + 1.0)
    values = factor * sp._zeta(order + 1, x)
    return np.where(order == 0, sp.psi(x), values)


def _counted(values: Any, total: Any, k: Any) -> Any:
    """Return numbers of choices: none where k is not among 0, 1, ..., total."""
    return as_scalar(np.where((k <= total) & (total >= 0) & (k >= 0), values, 0.0))


@implements_lazily("scipy.special.comb")
def comb(N: Any, k: Any, *, exact: bool = False, repetition: bool = False) -> Any:
    """As `scipy.special.comb`."""
    if exact:
        raise unsupported("scipy.special.comb with exact=True", "Leave exact=True out.")
    total, k = as_array(traced(N)), as_array(traced(k))
    if repetition:
        values = sp.binom(total + k - 1, k)
        return as_scalar(np.where((k == 0) & (total >= 0), 1.0, values))
    return _counted(sp.binom(total, k), total, k)


@implements_lazily("scipy.special.perm")
def perm(N: Any, k: Any, exact: bool = False) -> Any:
    """As `scipy.special.perm`."""
    if exact:
        raise unsupported("scipy.special.perm with exact=True", "Leave exact=True out.")
    total, k = as_array(traced(N)), as_array(traced(k))
    return _counted(sp.poch(total - k + 1, k), total, k)


@implements_lazily("scipy.special.factorial")
def factorial(n: Any, exact: bool = False, extend: str = "zero") -> Any:
    """As `scipy.special.factorial`, of integers; SciPy takes no others unless extended."""
    n = traced(n)
    if exact or extend != "zero" or n.dtype.kind not in "iu":
        raise unsupported(
            "scipy.special.factorial of floats, exact or extended",
            "Write scipy.special.gamma(n + 1.0).",
        )
    return as_scalar(np.where(n < 0, 0.0, sp._factorial(cast(n, np.float64))))


@implements_lazily("scipy.special.multigammaln")
def multigammaln(a: Any, d: Any) -> Any:
    """As `scipy.special.multigammaln`."""
    if is_traced(d):
        raise unsupported("scipy.special.multigammaln with a traced d", "Make d a static int.")
    given = np.asarray(d)
    if given.ndim or np.floor(given) != given:
        raise ValueError("d should be a positive integer (dimension)")
    size = int(given)
    message = f"condition a > 0.5 * (d-1) ({0.5 * (size - 1)}) not met"
    a = require(as_array(traced(a)), np.all(a > 0.5 * (size - 1)), ValueError, message)
    parts = [a - (j - 1.0) / 2 for j in range(1, size + 1)]
    constant = (size * (size - 1) * 0.25) * np.log(np.pi)
    return constant + np.sum(sp.loggamma(np.stack(parts)), axis=0)


def _spherical(name: str, sign: int | None) -> None:
    """Register a spherical Bessel function; `sign` is that of f(-z) / f(z) for even orders."""

    @implements_lazily(f"scipy.special.{name}")
    def spherical(n: Any, z: Any, derivative: bool = False) -> Any:
        function = getattr(sp, f"_{name}_d" if derivative else f"_{name}")
        n = n if is_traced(n) else np.asarray(n, np.dtype("long"))
        z = traced(z)
        if z.dtype.kind == "c":
            return function(n, z)
        inside = z >= 0
        if sign is None:
            right = function(n, np.where(inside, z, 1))
            return as_scalar(np.where(inside, right, function(n, z + 0j).real))
        reflected = np.where(n % 2 == 0, sign, -sign)
        factor = np.where(inside, 1, -reflected if derivative else reflected)
        return as_scalar(function(n, np.where(inside, z, -z)) * factor)


_spherical("spherical_jn", 1)
_spherical("spherical_yn", -1)
_spherical("spherical_in", 1)
_spherical("spherical_kn", None)


@implements_lazily("scipy.special.diric")
def diric(x: Any, n: Any) -> Any:
    """As `scipy.special.diric`, refused: its exact test of the multiples of pi has no gradient."""
    raise unsupported("scipy.special.diric", "Write np.sin(n * x / 2) / (n * np.sin(x / 2)).")
