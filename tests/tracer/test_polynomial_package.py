"""`numpy.polynomial` against NumPy: values bit for bit, derivatives, and what depends on values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import against_numpy as against
import numpy as np
import pytest

import pullback as pb
from pullback.tracer.functions.polynomial_package import FAMILIES

Case = Callable[..., Any]
X, Y = np.array([0.31, 0.72, -0.23, 0.64]), np.array([0.5, -0.25, 0.75])

CASES: dict[str, Case] = {
    "val": lambda f, x, y: f("val")(x, y),
    "val of a number": lambda f, x, y: f("val")(x[0], y),
    "val of many": lambda f, x, y: f("val")(y, np.stack([x, 2 * x], axis=1)),
    "val of each": lambda f, x, y: f("val")(y, np.stack([x[:3], y]), tensor=False),
    "val of static coefficients": lambda f, x, y: f("val")(x, [1.0, 2.0, 3.0]),
    "val2d": lambda f, x, y: f("val2d")(y, x[:3], np.outer(x, y)),
    "grid2d": lambda f, x, y: f("grid2d")(y, x, np.outer(x, y)),
    "der": lambda f, x, y: f("der")(x, 2),
    "der scaled": lambda f, x, y: f("der")(np.outer(x, y), scl=2.0, axis=1),
    "int": lambda f, x, y: f("int")(x, 2, k=[1.0, 2.0], lbnd=0.5),
    "vander": lambda f, x, y: f("vander")(x, 4),
    "vander2d": lambda f, x, y: f("vander2d")(y, y, [1, 2]),
    "add": lambda f, x, y: f("add")(x, y),
    "sub": lambda f, x, y: f("sub")(y, x),
    "mul": lambda f, x, y: f("mul")(x, y),
    "mulx": lambda f, x, y: f("mulx")(x),
    "pow": lambda f, x, y: f("pow")(y, 3),
    "fromroots": lambda f, x, y: f("fromroots")(x),
    "companion": lambda f, x, y: f("companion")(x),
}


def family(name: str) -> Callable[[str], Any]:
    module = getattr(np.polynomial, name)
    return lambda ending: getattr(module, FAMILIES[name] + ending)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("case", CASES)
def test_functions_are_those_of_numpy(name: str, case: str) -> None:
    found = family(name)
    against.compare(lambda x, y: CASES[case](found, x, y), [X, Y])
    against.compare(lambda x, y: CASES[case](found, x, y), [X.astype("f4"), Y.astype("f4")])
    against.compare(lambda x, y: CASES[case](found, x, y), [X + 1j * X[::-1], Y + 0.5j])


@pytest.mark.parametrize("name", ["polynomial", "hermite", "laguerre"])
@pytest.mark.parametrize("case", CASES)
def test_functions_differentiate(name: str, case: str) -> None:
    found = family(name)
    against.differentiate(lambda x, y: CASES[case](found, x, y), [X, Y])


@pytest.mark.parametrize("name", FAMILIES)
def test_roots_differentiate(name: str) -> None:
    found = family(name)("roots")
    against.compare(found, [np.array([5.0, 0.5, 1.0])], against.close)
    against.differentiate(found, [np.array([5.0, 0.5, 1.0])])


@pytest.mark.parametrize("name", ["Polynomial", "Chebyshev", "Legendre", "Laguerre", "HermiteE"])
def test_series_of_static_coefficients_are_called(name: str) -> None:
    series = getattr(np.polynomial, name)([1.0, -2.0, 0.5], domain=[0, 2])
    against.compare(lambda x: series(x), [X])
    against.differentiate(lambda x: series(x), [X])


def test_last_coefficients_of_zero_raise() -> None:
    add = pb.compile(np.polynomial.polynomial.polyadd)
    with pytest.raises(pb.UnsupportedError, match="last coefficients of zero"):
        add(np.array([1.0, 2.0]), np.array([1.0, -2.0]))


def test_coefficients_of_a_wrong_shape_raise_as_in_numpy() -> None:
    against.compare(np.polynomial.polynomial.polymul, [np.zeros(0), Y])
    against.compare(np.polynomial.chebyshev.chebadd, [np.ones((2, 2)), Y])
    against.compare(lambda x: np.polynomial.polynomial.polyder(x, -1), [X])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: np.polynomial.polynomial.polyfit(x, x, 1), "np.polyfit"),
        (lambda x: np.polynomial.legendre.legtrim(x), "Leave small coefficients out"),
        (lambda x: np.polynomial.chebyshev.cheb2poly(x), "matrix that converts"),
        (lambda x: np.polynomial.polynomial.polydiv(x, x), "np.polydiv"),
        (lambda x: np.polynomial.laguerre.lagline(1.0, x[0]), r"np.array\(\[off, scl\]\)"),
    ],
)
def test_what_depends_on_values_is_refused(function: Case, message: str) -> None:
    with pytest.raises(pb.UnsupportedError, match=message):
        pb.compile(function)(X)
