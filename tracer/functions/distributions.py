"""Formulas of distributions of `scipy.stats` that cannot be traced as SciPy has them.

They select by masks in place; here by `np.where`, with operands that are harmless where another
branch is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ...ir.ops.special_slopes import sp

LOG_PI, LOG_2PI = math.log(math.pi), math.log(2 * math.pi)

Formula = Callable[..., Any]


def _t_logpdf(dist: Any, x: Any, df: Any) -> Any:
    is_normal = df == np.inf
    n = np.where(is_normal, 1.0, df)
    value = np.log(sp.poch(0.5 * n, 0.5)) - 0.5 * (np.log(n) + np.log(np.pi))
    value = value - (n + 1) / 2 * np.log1p(x * x / n)
    return np.where(is_normal, -(x**2) / 2.0 - LOG_2PI / 2, value)


def _cauchy_logpdf(dist: Any, x: Any) -> Any:
    size = np.abs(x)
    is_near = size < 1
    near, far = np.where(is_near, x, 0.0), np.where(is_near, 1.0, size)
    value = -LOG_PI - (2 * np.log(far) + np.log1p((1 / far) ** 2))
    return np.where(is_near, -LOG_PI - np.log1p(near**2), value)


def _lognorm_logpdf(dist: Any, x: Any, s: Any) -> Any:
    inside = x != 0
    x = np.where(inside, x, 1.0)
    value = -(np.log(x) ** 2) / (2 * s**2) - np.log(s * x * np.sqrt(2 * np.pi))
    return np.where(inside, value, -np.inf)


def _left_mass(a: Any, b: Any) -> Any:
    """Return the logarithm of the normal probability of an interval left of 0."""
    upper = sp.log_ndtr(b)
    return upper + np.log1p(-np.exp(sp.log_ndtr(a) - upper))


def _log_mass(a: Any, b: Any) -> Any:
    """Return the logarithm of the normal probability of an interval."""
    left, right = b <= 0, a > 0
    outer = left | right
    low, high = np.where(right, -b, a), np.where(right, -a, b)
    low, high = np.where(outer, low, -2.0), np.where(outer, high, -1.0)
    a, b = np.where(outer, -1.0, a), np.where(outer, 1.0, b)
    return np.where(outer, _left_mass(low, high), sp.log1p(-sp.ndtr(a) - sp.ndtr(-b)))


def _truncnorm_logpdf(dist: Any, x: Any, a: Any, b: Any) -> Any:
    return -(x**2) / 2.0 - LOG_2PI / 2 - _log_mass(a, b)


def _without_cancellation(value: Any, other: Any) -> Any:
    """Return a log-probability, from that of the complement where it is close to 0."""
    is_close = value > -0.1
    return np.where(is_close, np.log1p(-np.exp(np.where(is_close, other, -1.0))), value)


def _truncnorm_logcdf(dist: Any, x: Any, a: Any, b: Any) -> Any:
    whole = _log_mass(a, b)
    return _without_cancellation(_log_mass(a, x) - whole, _log_mass(x, b) - whole)


def _truncnorm_logsf(dist: Any, x: Any, a: Any, b: Any) -> Any:
    whole = _log_mass(a, b)
    return _without_cancellation(_log_mass(x, b) - whole, _log_mass(a, x) - whole)


def _exponential(log: Formula) -> Formula:
    return lambda *args: np.exp(log(*args))


FORMULAS: dict[tuple[str, str], Formula] = {
    ("t_gen", "_logpdf"): _t_logpdf,
    ("t_gen", "_pdf"): _exponential(_t_logpdf),
    ("cauchy_gen", "_logpdf"): _cauchy_logpdf,
    ("lognorm_gen", "_logpdf"): _lognorm_logpdf,
    ("lognorm_gen", "_pdf"): _exponential(_lognorm_logpdf),
    ("truncnorm_gen", "_logpdf"): _truncnorm_logpdf,
    ("truncnorm_gen", "_pdf"): _exponential(_truncnorm_logpdf),
    ("truncnorm_gen", "_logcdf"): _truncnorm_logcdf,
    ("truncnorm_gen", "_cdf"): _exponential(_truncnorm_logcdf),
    ("truncnorm_gen", "_logsf"): _truncnorm_logsf,
    ("truncnorm_gen", "_sf"): _exponential(_truncnorm_logsf),
}
"""(class of the distribution, method) -> the formula, called with the distribution first."""

VALID_SHAPES = {"truncnorm_gen": (-1.0, 1.0), "binom_gen": (1.0, 0.5)}
"""Shape parameters that are valid; 1/2 each for other distributions."""

WHOLE_SHAPES = {"binom_gen": 1}
"""How many of the first shape parameters are integers."""
