"""Distributions of scipy.stats inside traced functions: values, edges, gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats as st

import pullback as pb

POINTS = np.array([-3.0, -0.5, 0.0, 0.3, 0.75, 1.0, 2.5, 40.0, np.inf, -np.inf, np.nan])
INSIDE = np.array([0.2, 0.55, 0.9])

CONTINUOUS: dict[str, tuple[float, ...]] = {
    "norm": (),
    "uniform": (),
    "expon": (),
    "gamma": (2.5,),
    "beta": (1.5, 2.5),
    "t": (4.0,),
    "cauchy": (),
    "laplace": (),
    "logistic": (),
    "lognorm": (0.7,),
    "chi2": (3.0,),
    "pareto": (1.5,),
    "weibull_min": (1.5,),
    "halfnorm": (),
    "truncnorm": (-1.0, 2.0),
}
"""Distributions with values of their shape parameters."""

METHODS = ("pdf", "logpdf", "cdf", "sf", "logcdf", "logsf", "ppf", "isf")
BY_X_ALONE = {("gamma", "cdf"), ("beta", "cdf"), ("t", "cdf"), ("chi2", "cdf")}
"""SciPy has no derivative of these by their shape parameters, nor of what is computed from them."""

CASES = [(n, m) for n in CONTINUOUS for m in METHODS if (n, m) not in
         {("truncnorm", "ppf"), ("truncnorm", "isf")}]  # fmt: skip


def same(found: Any, expected: Any, rtol: float = 1e-12) -> None:
    assert type(found) is type(expected)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-300, strict=True)


@pytest.mark.parametrize(("name", "method"), CASES)
def test_values_are_those_of_scipy(name: str, method: str) -> None:
    dist, shapes = getattr(st, name), CONTINUOUS[name]
    function = getattr(dist, method)
    probabilities = np.array([0.0, 0.1, 0.5, 0.99, 1.0, -0.5, 1.5, np.nan])
    x = probabilities if method in ("ppf", "isf") else POINTS
    calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
        (lambda x: function(x, *shapes), (x,)),
        (lambda x, loc, scale: function(x, *shapes, loc, scale), (x, 0.25, 1.5)),
        (lambda x, scale: function(x, *shapes, scale=scale), (x[:, None], np.array([2.0, -1.0]))),
        (lambda x: function(x, *shapes, loc=np.array([0.5])), (np.float64(0.75),)),
        (lambda x: function(x, *shapes), (np.float32(0.75),)),
        (lambda x: function(x, *shapes), (np.array([1, 2]),)),
    ]
    if shapes:
        bad = np.array([shapes[0], np.nan, -shapes[0] if name != "truncnorm" else 3.0])
        calls.append((lambda x, a: function(x, a, *shapes[1:]), (np.float64(0.5), bad)))
    for call, args in calls:
        with np.errstate(all="ignore"):
            expected, found = call(*args), pb.compile(call, exact=True)(*args)
        # scipy's truncated normal goes through complex numbers
        same(found, expected, 1e-11 if name == "truncnorm" else 1e-12)


@pytest.mark.parametrize(("name", "method"), CASES)
def test_gradients_agree_with_finite_differences(name: str, method: str) -> None:
    dist, shapes = getattr(st, name), CONTINUOUS[name]
    function = getattr(dist, method)
    loc, scale = (-1.5, 1.2) if name == "pareto" else (0.05, 1.5)
    args: tuple[Any, ...] = (INSIDE, np.float64(loc), np.float64(scale))
    order = 2 if method in ("pdf", "logpdf", "cdf") else 1
    pb.check_grads(
        lambda x, loc, scale: function(x, *shapes, loc=loc, scale=scale), args, order, rtol=1e-4
    )
    of_shapes = method.removeprefix("log") == "pdf" or (name, "cdf") not in BY_X_ALONE
    if shapes and of_shapes:
        pb.check_grads(
            lambda *shapes: function(INSIDE, *shapes, loc=loc, scale=scale),
            tuple(map(np.float64, shapes)),
            order,
            rtol=1e-4,
        )
    elif shapes:
        with pytest.raises(pb.DifferentiationError, match="is not known"):
            pb.grad(lambda a: np.sum(function(INSIDE, a, *shapes[1:])))(np.float64(shapes[0]))


@pytest.mark.parametrize("name", CONTINUOUS)
def test_gradients_are_zero_outside_of_the_support(name: str) -> None:
    dist, shapes = getattr(st, name), CONTINUOUS[name]
    low, high = dist.support(*shapes)
    outside = [v for v in (low - 1.0, high + 1.0) if np.isfinite(v)]
    arrays = tuple(np.array(v) for v in (0.0, 1.0, *shapes))
    for x in outside:
        for method in ("pdf", "logpdf", "cdf", "sf", "logcdf", "logsf"):
            function = getattr(dist, method)
            found = pb.grad(
                lambda x, loc, scale, *shapes, function=function: function(x, *shapes, loc, scale),
                argnums=tuple(range(3)),
            )(np.float64(x), *arrays)
            np.testing.assert_array_equal(np.array(found), np.zeros(3))
    good = np.array([0.4, 0.7]) if name != "pareto" else np.array([1.4, 1.7])
    mixed = np.concatenate([good, np.array(outside)])
    total = pb.grad(lambda x: np.sum(np.where(x < 2.0, dist.logpdf(x, *shapes), 0.0)))(mixed)
    assert np.all(np.isfinite(total))


DISCRETE: dict[str, tuple[tuple[Any, ...], int]] = {
    "bernoulli": ((0.3,), 0),
    "binom": ((5, 0.3), 1),
    "poisson": ((1.7,), 0),
    "geom": ((0.4,), 0),
}
"""Distributions with their parameters and the position of the one that is differentiated."""


@pytest.mark.parametrize("method", ["pmf", "logpmf", "cdf", "sf", "logcdf", "logsf"])
@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_distributions(name: str, method: str) -> None:
    function = getattr(getattr(st, name), method)
    shapes, position = DISCRETE[name]
    k = np.array([-1.0, 0.0, 1.0, 2.0, 0.5, 5.0, 9.0, np.inf, -np.inf, np.nan])

    def call(k: Any, p: Any, loc: Any = 0) -> Any:
        return function(k, *shapes[:position], p, *shapes[position + 1 :], loc=loc)

    p = np.float64(shapes[position])
    for args in ((k, p), (np.arange(4), p, 1), (2, np.array([0.2, 1.5, -0.5, np.nan]))):
        with np.errstate(all="ignore"):
            expected, found = call(*args), pb.compile(call, exact=True)(*args)
        same(found, expected)
    inner = np.array([1.0]) if name == "bernoulli" else np.array([1.0, 2.0, 3.0])
    if name == "bernoulli" and method in ("cdf", "sf", "logcdf", "logsf"):
        inner = np.array([0.0])
    pb.check_grads(lambda p: call(inner, p), (p,), rtol=1e-4)
    outside = pb.grad(lambda p: np.sum(call(np.array([-1.0, -2.0]), p)))(p)
    assert outside == 0
    assert pb.grad(lambda k, p: np.sum(call(k, p)))(inner, p).tolist() == [0.0] * len(inner)


def test_parameters_given_before() -> None:
    def continuous(x: Any, mu: Any, sigma: Any) -> Any:
        dist = st.norm(loc=mu, scale=sigma)
        return dist.logpdf(x) + dist.pdf(x) + dist.cdf(x) + dist.ppf(dist.sf(x))

    def discrete(mu: Any) -> Any:
        dist = st.poisson(mu)
        return dist.logpmf(np.arange(3)) + dist.pmf(2) + dist.cdf(1)

    args = (INSIDE, np.float64(0.3), np.float64(1.2))
    same(pb.compile(continuous, exact=True)(*args), continuous(*args))
    pb.check_grads(continuous, args, rtol=1e-4)
    same(pb.compile(discrete, exact=True)(np.float64(1.5)), discrete(np.float64(1.5)))
    pb.check_grads(discrete, (np.float64(1.5),), rtol=1e-4)
    outer = st.gamma(2.0, scale=np.array([1.0, 2.0, 3.0]))
    same(pb.compile(lambda x: outer.logpdf(x))(INSIDE), outer.logpdf(INSIDE))
    pb.check_grads(lambda x: outer.logpdf(x), (INSIDE,), rtol=1e-4)


def test_calls_without_traced_arguments_are_constants() -> None:
    def function(x: Any) -> Any:
        return x * st.norm.pdf(np.array([0.5, 1.0])) + st.gamma(2.0).cdf(1.0)

    x = np.array([1.0, 2.0])
    same(pb.compile(function)(x), function(x))


COVARIANCES: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "full": (
        lambda x, m, r: st.multivariate_normal.logpdf(x, m, r @ r.T + np.eye(3)),
        (np.ones((4, 3)), np.array([0.1, 0.2, 0.3]), np.arange(9.0).reshape(3, 3) / 7),
    ),
    "one point": (
        lambda x, c: st.multivariate_normal.logpdf(x, cov=np.diag(np.exp(c))),
        (np.array([0.5, -1.0]), np.array([0.1, 0.4])),
    ),
    "diagonal": (
        lambda x, c: st.multivariate_normal.logpdf(x, np.zeros(2), np.exp(c)),
        (np.array([[0.5, -1.0]]), np.array([0.1, 0.4])),
    ),
    "scalar": (
        lambda x, m: st.multivariate_normal.logpdf(x, mean=m, cov=2.0),
        (np.array([0.5, -1.0]), np.array([0.1, 0.4])),
    ),
    "one axis": (
        lambda x, c: st.multivariate_normal.logpdf(x, 0.5, np.exp(c)),
        (np.array([0.5, -1.0]), np.float64(0.3)),
    ),
    "density": (
        lambda x, m: st.multivariate_normal.pdf(x, m, np.array([[2.0, 0.5], [0.5, 1.0]])),
        (np.array([[0.5, -1.0], [0.0, 0.2]]), np.array([0.1, 0.4])),
    ),
}


@pytest.mark.parametrize("name", COVARIANCES)
def test_multivariate_normal(name: str) -> None:
    function, args = COVARIANCES[name]
    same(pb.compile(function, exact=True)(*args), function(*args))
    pb.check_grads(function, args, rtol=1e-4)


def test_what_has_no_formula_is_refused() -> None:
    x = np.float64(0.5)
    with pytest.raises(pb.UnsupportedError, match=r"truncnorm\.ppf"):
        pb.compile(lambda q: st.truncnorm.ppf(q, -1.0, 1.0))(x)
    with pytest.raises(pb.UnsupportedError, match=r"gausshyper\.cdf cannot be traced"):
        pb.compile(lambda x: st.gausshyper.cdf(x, 1.0, 2.0, 1.0, 0.5))(x)
    with pytest.raises(pb.UnsupportedError, match="singular or factored"):
        pb.compile(lambda x: st.multivariate_normal.logpdf(x, allow_singular=True))(x)


def test_a_distribution_of_the_users_own() -> None:
    class Triangle(st.rv_continuous):
        def _pdf(self, x: Any) -> Any:
            return 2 * x

        def _cdf(self, x: Any) -> Any:
            return x * x

    triangle = Triangle(a=0.0, b=1.0, name="triangle")
    for method in ("pdf", "logpdf", "cdf", "sf", "logsf"):
        function = getattr(triangle, method)
        same(pb.compile(lambda x: function(x))(INSIDE), function(INSIDE))  # noqa: B023
        pb.check_grads(lambda x: function(x), (INSIDE,), rtol=1e-4)  # noqa: B023
