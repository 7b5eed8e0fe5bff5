"""Derivatives of the functions of `scipy.special`, written with its own functions.

A slope is `(y, *operands) -> derivative`, y being the result, as the tables in `special_rules.py`
hold them. Where a formula divides by zero although the derivative exists, a series or another form
stands in near the place, so that derivatives of higher order are right there too. Formulas: NIST
Digital Library of Mathematical Functions, chapters 5 to 11, 15, 18, 19 and 25.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..op import Array

SQRT_PI, SQRT_2PI = math.sqrt(math.pi), math.sqrt(2 * math.pi)
LN2, LN10 = math.log(2.0), math.log(10.0)
DEGREE = math.pi / 180


class _Special:
    """The functions of `scipy.special`, which is imported, and its ops declared, at first use."""

    def __getattr__(self, name: str) -> Any:
        from .special import declare

        declare()
        home = "scipy.special._ufuncs" if name.startswith("_") else "scipy.special"
        return getattr(importlib.import_module(home), name)


sp: Any = _Special()


def is_complex(x: Array) -> bool:
    """Whether an operand is complex."""
    return bool(x.dtype.kind == "c")


def require_real(name: str, x: Array) -> None:
    """Raise NotImplementedError for a complex operand."""
    if is_complex(x):
        raise NotImplementedError(f"the derivative of {name} of a complex number is not known")


def power_series(x: Array, coefficients: Sequence[float]) -> Array:
    """Return a polynomial of x by Horner's rule."""
    total: Array = coefficients[-1] + 0 * x
    for c in coefficients[-2::-1]:
        total = total * x + c
    return total


def series_near(
    x: Array, limit: float, series: Sequence[float], far: Callable[[Array], Array]
) -> Array:
    """Return a power series of x where |x| < limit, elsewhere `far(x)`."""
    small = np.abs(x) < limit
    return np.where(small, power_series(np.where(small, x, 0), series), far(np.where(small, 1, x)))


# ---- the gamma function and its kin --------------------------------------------------------------


def rgamma(y: Array, x: Array) -> Array:
    """Return the derivative of 1 / gamma(x), also at its zeros."""
    if is_complex(x):
        return -y * sp.psi(x)
    # By reflection left of 1/2: no pole of psi stands in the way.
    left = x < 0.5
    right, z = np.where(left, 1, x), 1 - np.where(left, x, 0)
    angle = math.pi * z
    reflected = -sp.gamma(z) * (np.cos(angle) + sp.psi(z) * np.sin(angle) / math.pi)
    return np.where(left, reflected, -sp.psi(right) * sp.rgamma(right))


def trigamma(y: Array, x: Array) -> Array:
    """Return psi'(x) as a Hurwitz zeta function, which also takes negative x."""
    require_real("psi", x)
    return sp._zeta(np.full_like(x, 2), x)


def beta_density(a: Array, b: Array, x: Array) -> Array:
    """Return the density of the beta distribution."""
    return np.exp(sp.xlogy(a - 1, x) + sp.xlog1py(b - 1, -x) - sp.betaln(a, b))


def gamma_density(a: Array, x: Array) -> Array:
    """Return the density of the gamma distribution."""
    return np.exp(sp.xlogy(a - 1, x) - x - sp.gammaln(a))


def t_density(df: Array, t: Array) -> Array:
    """Return the density of Student's distribution."""
    half = df / 2
    log = sp.gammaln(half + 0.5) - sp.gammaln(half) - 0.5 * np.log(math.pi * df)
    return np.exp(log - (half + 0.5) * np.log1p(t * t / df))


def f_density(n: Array, d: Array, x: Array) -> Array:
    """Return the density of Fisher's distribution."""
    total = d + n * x
    return beta_density(n / 2, d / 2, n * x / total) * n * d / (total * total)


def poisson(k: Array, m: Array) -> Array:
    """Return the probability of k events where m are expected."""
    return np.exp(sp.xlogy(k, m) - m - sp.gammaln(k + 1))


def binom_slope(k: Array, n: Array, p: Array) -> Array:
    """Return minus the derivative of the binomial distribution function by p."""
    k = np.floor(k)
    inner = (k >= 0) & (k < n)
    k = np.where(inner, k, 0)
    return np.where(inner, beta_density(k + 1, np.where(inner, n - k, 1), p), 0)


def binom_pmf(y: Array, k: Array, n: Array, p: Array) -> Array:
    """Return the derivative of the binomial probability by p."""
    # k/p - (n-k)/(1-p) by two neighbours, which are finite at p = 0 and p = 1.
    one = n - 1
    low, high = (k >= 1) & (n >= 1), (k <= one) & (n >= 1)
    some = np.where(n >= 1, one, 0)
    before = np.where(low, sp._binom_pmf(np.where(low, k - 1, 0), some, p), 0)
    after = np.where(high, sp._binom_pmf(np.where(high, k, 0), some, p), 0)
    return n * (before - after)


# ---- exponentials, errors, entropies -------------------------------------------------------------


def log_ndtr(y: Array, x: Array) -> Array:
    """Return the derivative of log_ndtr, which does not underflow on the left."""
    if is_complex(x):
        return np.exp(-x * x / 2 - y) / SQRT_2PI
    left = x < 0
    z, right = np.where(left, x, 0), np.where(left, 0, x)
    upper = np.exp(-right * right / 2 - sp.log_ndtr(right)) / SQRT_2PI
    return np.where(left, math.sqrt(2 / math.pi) / sp.erfcx(-z / math.sqrt(2)), upper)


def entr(y: Array, x: Array) -> Array:
    """Return -log(x) - 1, zero where entr is -inf."""
    outside = x < 0
    return np.where(outside, 0, -np.log(np.where(outside, 1, x)) - 1)


def inner_ratio(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Return where x log(x / y) is no constant, and there the operands."""
    inside = (x >= 0) & (y > 0)
    return inside, np.where(inside, x, 1), np.where(inside, y, 1)


def rel_entr_x(r: Array, x: Array, y: Array) -> Array:
    """Return the derivative of x log(x / y) by x."""
    inside, x, y = inner_ratio(x, y)
    return np.where(inside, np.log(x / y) + 1, 0)


def rel_entr_y(r: Array, x: Array, y: Array) -> Array:
    """Return the derivative of x log(x / y) by y."""
    inside, x, y = inner_ratio(x, y)
    return np.where(inside, -x / y, 0)


def kl_div_x(r: Array, x: Array, y: Array) -> Array:
    """Return the derivative of x log(x / y) - x + y by x."""
    inside, x, y = inner_ratio(x, y)
    return np.where(inside, np.log(x / y), 0)


def kl_div_y(r: Array, x: Array, y: Array) -> Array:
    """Return the derivative of x log(x / y) - x + y by y."""
    inside, u, v = inner_ratio(x, y)
    return np.where(inside, 1 - u / v, np.where((x == 0) & (y == 0), 1, 0).astype(x.dtype))


def xlogy_y(x: Array, y: Array) -> Array:
    """Return x / y, zero at 0 / 0."""
    return x / np.where((x == 0) & (y == 0), 1, y)


def huber_delta(y: Array, delta: Array, r: Array) -> Array:
    """Return the derivative of huber by delta."""
    return np.where((delta >= 0) & (np.abs(r) > delta), np.abs(r) - delta, 0)


def huber(y: Array, delta: Array, r: Array) -> Array:
    """Return the derivative of huber by the residual."""
    return np.where(delta >= 0, np.minimum(np.maximum(r, -delta), delta), 0)


def pseudo_huber_delta(y: Array, delta: Array, r: Array) -> Array:
    """Return the derivative of pseudo_huber by delta, without cancellation."""
    inside = (delta > 0) & (r != 0)
    d, r = np.where(inside, delta, 1), np.where(inside, r, 1)
    size = np.sqrt(d * d + r * r)
    return np.where(inside, r * r * (size - d) / (size * (size + d)), 0)


def pseudo_huber(y: Array, delta: Array, r: Array) -> Array:
    """Return the derivative of pseudo_huber by the residual."""
    inside = delta > 0
    d = np.where(inside, delta, 1)
    return np.where(inside, r * d / np.sqrt(d * d + r * r), 0)


_EXPREL = [(k + 1) / math.factorial(k + 2) for k in range(10)]
_BOX = [(-1) ** (k + 1) * (k + 1) / (k + 2) for k in range(12)]
_DILOG = [-((-1) ** k) / (k + 1) for k in range(14)]


def exprel(x: Array) -> Array:
    """Return (x e^x - e^x + 1) / x^2, the derivative of (e^x - 1) / x."""
    return series_near(x, 0.1, _EXPREL, lambda t: ((t - 1) * np.exp(t) + 1) / (t * t))


def boxcox_lambda(log: Array, power: Array) -> Array:
    """Return the derivative of (exp(power * log) - 1) / power by power."""
    return log * log * exprel(power * log)


def inv_boxcox_lambda(r: Array, y: Array, power: Array) -> Array:
    """Return the derivative of r = (1 + power y) ** (1 / power) by power."""
    curve = series_near(power * y, 0.03, _BOX, lambda t: (t / (1 + t) - np.log1p(t)) / (t * t))
    return r * y * y * curve


def spence(y: Array, z: Array) -> Array:
    """Return log(z) / (1 - z)."""
    return series_near(z - 1, 0.05, _DILOG, lambda u: -np.log1p(u) / u)


def expn(y: Array, n: Array, x: Array) -> Array:
    """Return the derivative of expn by x."""
    lower = np.where(n == 0, 0, n - 1).astype(n.dtype)
    return -np.where(n == 0, np.exp(-x) * (1 + x) / (x * x), sp.expn(lower, x))


# ---- Bessel functions ----------------------------------------------------------------------------


def order_of(n: Array, x: Array) -> Array:
    """Return an order in the precision of the argument."""
    return n if n.dtype.kind == "f" else n.astype(x.real.dtype)


def half_difference(name: str) -> Callable[..., Array]:
    """Return the slope f' = (f[v-1] - f[v+1]) / 2 of a Bessel function."""

    def slope(y: Array, v: Array, x: Array) -> Array:
        f, v = getattr(sp, name), order_of(v, x)
        return (f(v - 1, x) - f(v + 1, x)) / 2

    return slope


def half_sum(name: str, sign: int) -> Callable[..., Array]:
    """Return the slope f' = sign (f[v-1] + f[v+1]) / 2 of a modified Bessel function."""

    def slope(y: Array, v: Array, x: Array) -> Array:
        f, v = getattr(sp, name), order_of(v, x)
        return (f(v - 1, x) + f(v + 1, x)) * (sign / 2)

    return slope


def real_difference(name: str) -> Callable[..., Array]:
    """Return the slope of a scaled Bessel function of real numbers."""

    def slope(y: Array, v: Array, x: Array) -> Array:
        require_real(name, x)
        return half_difference(name)(y, v, x)

    return slope


def ive(y: Array, v: Array, x: Array) -> Array:
    """Return the derivative of ive by x."""
    require_real("ive", x)
    return half_sum("ive", 1)(y, v, x) - np.sign(x) * y


def second_order(name: str, x: Array) -> Array:
    """Return a Bessel function of order 2."""
    return getattr(sp, name)(np.full_like(x, 2), x)


def spherical(name: str) -> Callable[..., Array]:
    """Return the slope of a spherical Bessel function."""
    return lambda y, n, x: getattr(sp, f"{name}_d")(n, x)


def spherical_slope(name: str, sign: int) -> Callable[..., Array]:
    """Return y'' of x^2 y'' + 2 x y' + (sign x^2 - n(n+1)) y = 0."""

    def slope(y: Array, n: Array, x: Array) -> Array:
        n_ = order_of(n, x)
        return -2 * y / x - (sign - n_ * (n_ + 1) / (x * x)) * getattr(sp, name)(n, x)

    return slope


def struve(name: str) -> Callable[..., Array]:
    """Return the slope f' = f[v-1] - v / x f of a Struve function."""
    return lambda y, v, x: getattr(sp, name)(v - 1, x) - v / x * y


# ---- elliptic integrals, orthogonal polynomials --------------------------------------------------


def ellipk_slope(k: Array, e: Array, m: Array, other: Array) -> Array:
    """Return dK/dm, with `other` = 1 - m; a hypergeometric function near 0."""
    small = np.abs(m) < 0.05
    half = np.full_like(m, 1.5)
    near = sp.hyp2f1(half, half, np.full_like(m, 2), np.where(small, m, 0)) * (math.pi / 8)
    m, other = np.where(small, 0.5, m), np.where(small, 0.5, other)
    return np.where(small, near, (e - other * k) / (2 * m * other))


def ellipe_slope(e: Array, m: Array) -> Array:
    """Return dE/dm; a hypergeometric function near 0."""
    small = np.abs(m) < 0.05
    half = np.full_like(m, 0.5)
    near = sp.hyp2f1(half, half + 1, half + 1.5, np.where(small, m, 0)) * (-math.pi / 8)
    z = np.where(small, 0.5, m)
    return np.where(small, near, (e - sp.ellipk(z)) / (2 * z))


def above_degree_zero(slope: Callable[..., Array]) -> Callable[..., Array]:
    """Return a slope that is `slope(n, ...)` of degrees above 0, and 0 of degree 0."""

    def lowered(y: Array, n: Array, *rest: Array) -> Array:
        degree = np.where(n == 0, 1, n).astype(n.dtype)
        return np.where(n == 0, 0, slope(degree, *rest))

    return lowered


def jacobi(n: Array, a: Array, b: Array, x: Array) -> Array:
    """Return the derivative of a Jacobi polynomial."""
    return sp.eval_jacobi(n - 1, a + 1, b + 1, x) * ((n + a + b + 1) / 2)


def legendre(n: Array, x: Array) -> Array:
    """Return the derivative of a Legendre polynomial as a Jacobi polynomial."""
    one = np.ones_like(x.real)
    return sp.eval_jacobi(n - 1, one, one, x) * ((order_of(n, x) + 1) / 2)


def gegenbauer(n: Array, a: Array, x: Array) -> Array:
    """Return the derivative of a Gegenbauer polynomial."""
    return 2 * a * sp.eval_gegenbauer(n - 1, a + 1, x)


def chebyu(n: Array, x: Array) -> Array:
    """Return the derivative of a Chebyshev polynomial of the second kind."""
    return 2 * sp.eval_gegenbauer(n - 1, np.full_like(x.real, 2), x)
