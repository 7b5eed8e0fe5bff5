"""Factors of a matrix are joined: the same values, and one product with the matrix."""

import numpy as np
import pytest

import pullback as pb
from pullback.ir.evaluate import evaluate
from pullback.ir.parser import parse_function as parse
from pullback.ir.verify import verify
from pullback.passes.factors import joined

HEAD = "def f(x: f64[6, 8], u: f64[8], v: f64[8], c: bool[8], w: f64[6, 1]) -> f64[6, 8]:\n"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 8))
U, V = RNG.normal(size=(2, 8))
C = np.arange(8) % 3 == 0
W = RNG.normal(size=(6, 1))


def made(*lines):
    *_, last = lines
    text = HEAD + "".join(f"    {line}\n" for line in lines)
    return parse(text + f"    return {last.split()[0]}\n")


def large(function):
    """Count the equations whose result is as large as the matrix."""
    return sum(e.result.type.size == X.size for e in function.eqns)


CASES = {
    "scaled twice": (1, ["a : f64[6, 8] = x * u", "b : f64[6, 8] = v * a"]),
    "divided": (1, ["a : f64[6, 8] = x * u", "b : f64[6, 8] = a / v"]),
    "negative": (1, ["a : f64[6, 8] = x * u", "b : f64[6, 8] = -a"]),
    "difference": (1, ["a : f64[6, 8] = x * u", "b : f64[6, 8] = x - a"]),
    "turned difference": (1, ["a : f64[6, 8] = x * u", "b : f64[6, 8] = a - x"]),
    "sum": (1, ["a : f64[6, 8] = x * u", "b : f64[6, 8] = v * x", "d : f64[6, 8] = a + b"]),
    "selected": (
        2,
        ["a : f64[6, 8] = x * u", "b : f64[6, 8] = where(c, 0.0, a)", "d : f64[6, 8] = b * v"],
    ),
    "selected first": (
        2,
        ["a : f64[6, 8] = x * u", "b : f64[6, 8] = where(c, a, v)", "d : f64[6, 8] = b / v"],
    ),
    "selected twice": (
        4,
        [
            "a : f64[6, 8] = x * u",
            "b : f64[6, 8] = where(c, a, v)",
            "d : f64[6, 8] = where(c, u, b)",
            "e : f64[6, 8] = d * u",
            "g : f64[6, 8] = -e",
        ],
    ),
    "selected, then a sum": (
        3,
        ["a : f64[6, 8] = x * u", "b : f64[6, 8] = where(c, a, 0.0)", "d : f64[6, 8] = b + a"],
    ),
    "other axes": (2, ["a : f64[6, 8] = x * u", "b : f64[6, 8] = a * w"]),
    "read elsewhere": (
        3,
        ["a : f64[6, 8] = x * u", "b : f64[6, 8] = a * v", "d : f64[6, 8] = a * b"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_values_are_the_same(name):
    products, lines = CASES[name]
    function = made(*lines)
    short = joined(function)
    verify(short)
    (expected,), (found,) = (evaluate(f, X, U, V, C, W) for f in (function, short))
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)
    assert large(short) == products


@pytest.mark.parametrize("factor", [np.inf, np.nan])
def test_what_is_not_finite_stays_where_it_was(factor):
    lines = CASES["selected"][1]
    x, v = X.copy(), V.copy()
    x[:, 3] = factor  # left out
    x[2, 4] = factor
    v[6] = factor  # scales the zeros that were selected
    function = made(*lines)
    with np.errstate(invalid="ignore"):  # zero times infinity is meant
        (expected,), (found,) = (evaluate(f, x, U, v, C, W) for f in (function, joined(function)))
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))
    assert np.all(np.isfinite(found[:, 3]))


def test_other_bits_than_those_asked_for_are_not_made():
    def loss(w):
        return np.sum(np.exp(np.sin(np.tanh(X.T @ w))))

    w = RNG.normal(size=6)
    default, exact = (pb.hessian(loss, exact=e).inspect(w).optimized for e in (False, True))
    products = [
        sum(e.op.name == "multiply" and e.result.type.shape == (6, 8) for e in f.eqns)
        for f in (default, exact)
    ]
    assert products[0] == 1 < products[1]
    np.testing.assert_allclose(pb.hessian(loss)(w), pb.hessian(loss, exact=True)(w), rtol=1e-12)
