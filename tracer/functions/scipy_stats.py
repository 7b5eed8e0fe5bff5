"""Distributions of `scipy.stats`: densities, distribution functions and their logarithms.

A distribution's own formulas (`_logpdf`, `_cdf`, ...) are NumPy and are traced as they stand, but
for those in `distributions.py`; here is what SciPy does around them (location, scale, what holds
outside of the support). Where an argument is invalid or outside of the support a valid one takes
its place before the formula, so that no nan comes back through a branch that was not taken.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ...ir.core import Literal
from ...ir.ops.select import StopGradient
from ..array import emit, is_traced, unsupported
from ..state import current
from .distributions import FORMULAS, LOG_2PI, VALID_SHAPES, WHOLE_SHAPES
from .lazy import implements_lazily
from .shape import as_array, as_scalar, cast, traced

DOUBLE = np.dtype(float)


# ---- what is around them -------------------------------------------------------------------------


def _stopped(a: Any) -> Any:
    return emit(StopGradient(), (a,)) if is_traced(a) else a


def _is_certain(condition: Any) -> bool:
    """Whether a condition is known to hold while tracing."""
    if not is_traced(condition):
        return bool(np.all(condition))
    return isinstance(condition._atom, Literal) and bool(np.all(condition._atom.value))


class _Place:
    """The operands of one call: standardised, valid, inside of the support where they were not."""

    def __init__(self, dist: Any, args: tuple[Any, ...], kwds: dict[str, Any]) -> None:
        shapes, loc, scale = dist._parse_args(*args, **kwds)
        self.dist = dist
        self.shapes = [as_array(traced(s)) for s in shapes]
        self.limits = self.support()
        self.loc, self.scale = as_array(traced(loc)), as_array(traced(scale))
        self.valid = self.scale > 0
        if shapes:
            self.valid = self._argcheck() & self.valid
        if _is_certain(self.valid):
            return
        name = type(dist).__name__
        spare = VALID_SHAPES.get(name, (0.5,) * len(self.shapes))
        self.shapes = [np.where(self.valid, s, d) for s, d in zip(self.shapes, spare, strict=True)]
        self.scale = np.where(self.valid, self.scale, 1)

    def _argcheck(self) -> Any:
        check = self.dist._argcheck
        if check.__func__.__qualname__ == "rv_generic._argcheck":
            return functools.reduce(operator.and_, [shape > 0 for shape in self.shapes])
        return np.logical_and(True, check(*self.shapes))

    def standardise(self, x: Any) -> Any:
        """Return x as an argument of the standard distribution."""
        return cast((as_array(traced(x)) - self.loc) / self.scale, DOUBLE)

    def support(self) -> tuple[Any, Any]:
        """Return the ends of the support of the standard distribution."""
        low, high = self.dist._get_support(*self.shapes)
        return low, high

    def moved(self, end: Any) -> Any:
        """Return an end of the support, moved and scaled where it is finite."""
        is_finite = np.isfinite(end)
        return np.where(is_finite, np.where(is_finite, end, 0) * self.scale + self.loc, end)

    def inner(self) -> Any:
        """Return a point inside of the support."""
        low, high = map(_stopped, self.support())
        is_bounded = np.isfinite(low), np.isfinite(high)
        left = np.where(is_bounded[0], low, 0.0)
        right = np.where(is_bounded[1], high, 0.0)
        middle = (left + right) / 2
        one = np.where(is_bounded[0], left + 1.0, np.where(is_bounded[1], right - 1.0, 0.0))
        return np.where(is_bounded[0] & is_bounded[1], middle, one)

    def formula(self, method: str, x: Any, inside: Any) -> Any:
        """Return a formula's values, at an inner point where x is not inside."""
        whole = WHOLE_SHAPES.get(type(self.dist).__name__, 0)
        shapes = [_stopped(s) if k < whole else s for k, s in enumerate(self.shapes)]
        if inside is not None:
            x = np.where(inside, x, self.inner())
        return _named(self.dist, method, x, *shapes)

    def finished(self, x: Any, value: Any) -> Any:
        """Return the result: nan where the arguments are invalid or x, if given, is nan."""
        good = self.valid if x is None else self.valid & (x == x)
        return as_scalar(cast(as_array(traced(np.where(good, value, np.nan))), DOUBLE))


_THROUGH: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "_logpdf": ("_pdf", np.log),
    "_logpmf": ("_pmf", np.log),
    "_logcdf": ("_cdf", np.log),
    "_logsf": ("_sf", np.log),
    "_sf": ("_cdf", lambda value: 1.0 - value),
}
"""What SciPy computes by another formula, where a distribution has none of its own."""


def _logarithm(value: Any, complement: Any) -> Any:
    """Return the logarithm of a probability, which is exact where the complement is small."""
    is_small = value < 0.5
    far = np.log1p(-np.where(is_small, 0.5, complement))
    return np.where(is_small, np.log(np.where(is_small, value, 0.5)), far)


_COMPLEMENT = {"_logcdf": ("_cdf", "_sf"), "_logsf": ("_sf", "_cdf")}

_BASES = ("rv_generic", "rv_continuous", "rv_discrete")


def _named(dist: Any, method: str, x: Any, *shapes: Any) -> Any:
    """Return the value of a distribution's formula, or of another that gives it."""
    found = FORMULAS.get((type(dist).__name__, method))
    if found is not None:
        return found(dist, x, *shapes)
    function = getattr(dist, method)
    owner = function.__func__.__qualname__.partition(".")[0]
    if owner not in _BASES:
        return function(x, *shapes)
    if method in _COMPLEMENT and owner == "rv_continuous":
        return _logarithm(*[_named(dist, m, x, *shapes) for m in _COMPLEMENT[method]])
    if method in _THROUGH:
        other, finish = _THROUGH[method]
        return finish(_named(dist, other, x, *shapes))
    if method == "_isf":
        return _named(dist, "_ppf", 1.0 - x, *shapes)
    raise unsupported(
        f"{dist.name}.{method.removeprefix('_')}",
        "SciPy has no formula for it and integrates or searches for it by numbers.",
    )


def _density(dist: Any, x: Any, args: Any, kwds: Any, method: str) -> Any:
    place = _Place(dist, args, kwds)
    x = place.standardise(x)
    low, high = place.support()
    is_log = method == "_logpdf"
    inside = None
    if not (_is_certain(np.isneginf(low)) and _is_certain(np.isposinf(high))):
        inside = (low <= x) & (x <= high)
    value = place.formula(method, x, inside)
    value = value - np.log(place.scale) if is_log else value / place.scale
    if inside is not None:
        value = np.where(inside, value, -np.inf if is_log else 0.0)
    # Without ends nan goes through the formula.
    return place.finished(None if inside is None else x, value)


_OUTSIDE = {
    "_cdf": (0.0, 1.0),
    "_sf": (1.0, 0.0),
    "_logcdf": (-np.inf, 0.0),
    "_logsf": (0.0, -np.inf),
}
"""What holds left and right of the support."""


def _distribution(dist: Any, x: Any, args: Any, kwds: Any, method: str) -> Any:
    place = _Place(dist, args, kwds)
    x = place.standardise(x)
    low, high = place.support()
    inside = (low < x) & (x < high)
    value = place.formula(method, x, inside)
    left, right = _OUTSIDE[method]
    value = np.where(inside, value, np.where(x >= high, right, left))
    return place.finished(x, value)


def _quantile(dist: Any, q: Any, args: Any, kwds: Any, method: str) -> Any:
    place = _Place(dist, args, kwds)
    q = as_array(traced(q))
    low, high = place.support()
    first, last = (low, high) if method == "_ppf" else (high, low)
    inside = (q > 0) & (q < 1)
    value = _formula_of_probability(place, method, np.where(inside, q, 0.5))
    value = value * place.scale + place.loc
    ends = np.where(q == 0, place.moved(first), place.moved(last))
    value = np.where(inside, value, np.where((q == 0) | (q == 1), ends, np.nan))
    good = place.valid & (place.loc == place.loc)
    return as_scalar(cast(as_array(traced(np.where(good, value, np.nan))), DOUBLE))


def _formula_of_probability(place: _Place, method: str, q: Any) -> Any:
    if type(place.dist).__name__ == "truncnorm_gen":
        raise unsupported(f"truncnorm.{method[1:]}", "Use the quantiles of norm and its cdf.")
    return place.formula(method, q, None)


def _between(value: Any) -> Any:
    """Return a probability clipped to what probabilities are."""
    return np.where(value > 1, 1.0, np.where(value < 0, 0.0, value))


def _mass(dist: Any, k: Any, args: Any, kwds: Any, method: str) -> Any:
    place = _Place(dist, args, kwds)
    k = cast(_stopped(as_array(traced(k)) - place.loc), DOUBLE)
    low, high = place.support()
    inside = (k >= low) & (k <= high) & (np.floor(k) == k) & place.valid
    k_inside = np.where(inside, k, np.ceil(_stopped(traced(low)) + 0.0))
    value = place.formula(method, k_inside, None)
    if method == "_pmf":
        value = np.where(inside, _between(value), 0.0)
    else:
        value = np.where(inside, value, -np.inf)
    return place.finished(k, value)


def _steps(dist: Any, k: Any, args: Any, kwds: Any, method: str) -> Any:
    place = _Place(dist, args, kwds)
    k = cast(_stopped(as_array(traced(k)) - place.loc), DOUBLE)
    low, high = place.support()
    inside = (k >= low) & (k < high) & place.valid
    value = place.formula(method, np.where(inside, k, _stopped(traced(low)) + 0.0), None)
    if method in ("_cdf", "_sf"):
        value = _between(value)
    left, right = _OUTSIDE[method]
    result = place.finished(k, np.where(inside, value, np.where(k >= high, right, left)))
    # Here alone SciPy does not look whether the parameters are valid.
    return np.where(k >= place.limits[1], 0.0, result) if method == "_logcdf" else result


# ---- the methods ---------------------------------------------------------------------------------

Driver = Callable[..., Any]


def _holds_traced(values: Any) -> bool:
    if isinstance(values, dict):
        values = values.values()
    return any(
        is_traced(v) or (isinstance(v, list | tuple | dict) and _holds_traced(v)) for v in values
    )


def _method(owner: str, method: str, driver: Driver) -> None:
    """Register a method of all distributions of a class."""

    @implements_lazily(f"scipy.stats.{owner}.{method}")
    def implementation(dist: Any, *args: Any, **kwds: Any) -> Any:
        if not _holds_traced(args) and not _holds_traced(kwds):
            from ..hooks import constant

            return constant(getattr(dist, method)(*args, **kwds), current())
        if not args:
            name = "k" if owner == "rv_discrete" else "q" if method in ("ppf", "isf") else "x"
            args = (kwds.pop(name),)
        return driver(dist, args[0], args[1:], kwds, f"_{method}")


def _frozen(owner: str, method: str, driver: Driver) -> None:
    """Register a method of distributions whose parameters are given already."""

    @implements_lazily(f"scipy.stats._distn_infrastructure.{owner}.{method}")
    def implementation(frozen: Any, x: Any) -> Any:
        from ..hooks import constant
        from ..loads import attribute, iterate

        args = tuple(iterate(attribute(frozen, "args")))
        kwds = {k: attribute(frozen, "kwds")[k] for k in frozen.kwds}
        if not _holds_traced([x, *args, *kwds.values()]):
            return constant(getattr(frozen, method)(x), current())
        is_discrete = hasattr(frozen.dist, "pmf")
        found = _DISCRETE.get(method, driver) if is_discrete else driver
        return found(frozen.dist, x, args, kwds, f"_{method}")


_CONTINUOUS: dict[str, Driver] = {
    "pdf": _density,
    "logpdf": _density,
    **dict.fromkeys(("cdf", "sf", "logcdf", "logsf"), _distribution),
    **dict.fromkeys(("ppf", "isf"), _quantile),
}
_DISCRETE: dict[str, Driver] = {
    "pmf": _mass,
    "logpmf": _mass,
    **dict.fromkeys(("cdf", "sf", "logcdf", "logsf"), _steps),
}

for _name, _driver in _CONTINUOUS.items():
    _method("rv_continuous", _name, _driver)
    _frozen("rv_continuous_frozen" if "pdf" in _name else "rv_frozen", _name, _driver)
for _name, _driver in _DISCRETE.items():
    _method("rv_discrete", _name, _driver)
    if "pmf" in _name:
        _frozen("rv_discrete_frozen", _name, _driver)


@implements_lazily("scipy.stats._multivariate.multivariate_normal_gen.logpdf")
def multivariate_normal_logpdf(
    dist: Any, x: Any, mean: Any = None, cov: Any = 1, allow_singular: bool = False
) -> Any:
    """As `scipy.stats.multivariate_normal.logpdf`, by the Cholesky factor of the covariance."""
    if not _holds_traced([x, mean, cov]):
        from ..hooks import constant

        return constant(dist.logpdf(x, mean, cov, allow_singular), current())
    if allow_singular or (hasattr(cov, "whiten") and not is_traced(cov)):
        raise unsupported(
            "multivariate_normal.logpdf of a singular or factored covariance",
            "Give a covariance matrix that is positive definite.",
        )
    mean, cov = _parameters(mean, cov)
    size = mean.shape[0]
    x = cast(as_array(traced(x)), DOUBLE)
    if x.ndim < 2:
        x = x.reshape((-1, 1)) if size == 1 else x.reshape((1, -1))
    factor = np.linalg.cholesky(cov)
    white = np.linalg.solve(factor, np.swapaxes(x - mean, -1, -2))
    log_det = 2 * np.sum(np.log(np.diagonal(factor)))
    value = -0.5 * (size * LOG_2PI + log_det + np.sum(np.square(white), axis=-2))
    return as_scalar(np.squeeze(value))


@implements_lazily("scipy.stats._multivariate.multivariate_normal_gen.pdf")
def multivariate_normal_pdf(dist: Any, *args: Any, **kwds: Any) -> Any:
    """As `scipy.stats.multivariate_normal.pdf`."""
    if not _holds_traced(args) and not _holds_traced(kwds):
        from ..hooks import constant

        return constant(dist.pdf(*args, **kwds), current())
    return np.exp(multivariate_normal_logpdf(dist, *args, **kwds))


def _parameters(mean: Any, cov: Any) -> tuple[Any, Any]:
    """Return the mean and covariance as a vector and a matrix, as SciPy reads them."""
    cov = cast(as_array(traced(1.0 if cov is None else cov)), DOUBLE)
    if mean is None:
        mean = np.zeros(cov.shape[0] if cov.ndim > 1 else 1)
    mean = cast(as_array(traced(mean)), DOUBLE)
    size = mean.size
    if size == 1:
        mean, cov = mean.reshape(1), cov.reshape((1, 1))
    if mean.ndim != 1:
        raise ValueError(f"Array 'mean' must be a vector of length {size}.")
    if cov.ndim == 0:
        cov = cov * np.eye(size)
    elif cov.ndim == 1:
        cov = np.diag(cov)
    if cov.shape != (size, size):
        raise ValueError(f"Array 'cov' of shape {cov.shape} does not fit a mean of length {size}.")
    return mean, cov
