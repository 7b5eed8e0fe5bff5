"""Rules for cotangents: finite where the derivative is, as short as by hand, and for them alone."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.core import Eqn, Function
from pullback.ir.evaluate import evaluate
from pullback.ir.parser import parse_function
from pullback.passes.dce import Dce
from pullback.passes.rewrite import Class, Rule
from pullback.passes.simplify import Simplify
from pullback.passes.stable import RULES

VALUES = np.array([0.3, 1.0, 2.5, 17.0, 1e-3])
EXTREME = np.array([0.0, 1e-308, 1e308, np.inf, np.nan, 1.0])


def as_cotangent(function: Function) -> Function:
    """Mark every equation as one of a cotangent."""
    for eqn in function.eqns:
        eqn.provenance = eqn.provenance.as_derived("vjp")
    return function


def steadied(text: str, *, cotangent: bool = True) -> Function:
    function = parse_function(text)
    return Dce()(Simplify(Class.STABLE)(as_cotangent(function) if cotangent else function))


def names(function: Function) -> list[str]:
    return [eqn.op.name for eqn in function.eqns]


def traced(rule: Rule, constant: float, values: Any) -> tuple[Function, list[Any]]:
    """Return the pattern of a rule as a function, and all combinations of values for it."""
    constants = {"c": constant, "c2": 1.5}
    count = sum(n not in constants for n in rule.names)
    grid = [np.ravel(g) for g in np.meshgrid(*[values + 0.1 * k for k in range(count)])]

    def f(*args: Any) -> Any:
        rest = iter(args)
        return rule.pattern(*[constants[n] if n in constants else next(rest) for n in rule.names])

    return pb.compile(f).inspect(*grid).forward, grid


@pytest.mark.parametrize("rule", RULES, ids=lambda r: inspect.getsource(r.pattern).split("\n")[0])
@pytest.mark.parametrize("constant", [3.0, -0.7])
def test_a_rule_fires_on_cotangents_alone_and_differs_by_rounding(
    rule: Rule, constant: float
) -> None:
    function, grid = traced(rule, constant, VALUES)
    primal = Dce()(Simplify(Class.STABLE)(function))
    simplified = Dce()(Simplify(Class.STABLE)(as_cotangent(function)))
    assert names(simplified) != names(primal)
    (before,) = evaluate(function, *grid)
    (after,) = evaluate(simplified, *grid)
    size = np.max(np.abs(before))  # differences of nearly equal values round
    np.testing.assert_allclose(after, before, rtol=1e-12, atol=1e-13 * float(size))


@pytest.mark.parametrize("rule", RULES, ids=lambda r: inspect.getsource(r.pattern).split("\n")[0])
def test_no_rule_makes_a_nan(rule: Rule) -> None:
    function, grid = traced(rule, 3.0, EXTREME)
    simplified = Dce()(Simplify(Class.STABLE)(as_cotangent(function)))
    with np.errstate(all="ignore"):
        (before,), (after,) = evaluate(function, *grid), evaluate(simplified, *grid)
    given = np.any(np.isnan(grid), axis=0) | np.all(~np.isfinite(grid), axis=0)
    lost = np.isnan(after) & ~np.isnan(before) & ~given
    # A product may be formed before a quotient, which then has inf over inf.
    assert not np.any(lost & np.all(np.abs(np.nan_to_num(grid, posinf=1e999)) < 1e150, axis=0))


def test_exact_mode_and_primals_keep_numpys_way() -> None:
    text = """
def f(x: f64[3]) -> f64[3]:
    a = exp(x)
    b = 1.0 + a
    c = 1.0 / b
    d = c * a
    return d
"""
    assert names(steadied(text)) == ["exp", "divide", "add", "divide"]
    assert names(steadied(text, cotangent=False)) == ["exp", "add", "divide", "multiply"]
    function = as_cotangent(parse_function(text))
    assert names(Simplify(Class.EXACT)(function)) == ["exp", "add", "divide", "multiply"]

    def loss(x: Any) -> Any:
        return np.sum(np.log(1 + np.exp(x)))

    with np.errstate(all="ignore"):
        assert np.isnan(pb.grad(loss, exact=True)(np.array([1000.0]))[0])
        assert np.isinf(pb.value_and_grad(loss)(np.array([1000.0]))[0])


# -- finite where the derivative is ----------------------------------------------------------------

FAR = np.array([-1000.0, -745.0, -720.0, -40.0, -1.0, 0.0, 1.0, 40.0, 720.0, 745.0, 1000.0])


def sigmoid(x: Any) -> Any:
    with np.errstate(over="ignore"):
        return np.where(x < 0, np.exp(np.minimum(x, 0)), 1) / (1 + np.exp(-np.abs(x)))


def zeros(x: Any) -> Any:
    return np.zeros_like(x)


SCALAR: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], float]] = {
    "softplus": (lambda x: np.log(1 + np.exp(x)), sigmoid, 0),
    "softplus of a sum the other way": (lambda x: np.log(np.exp(x) + 1), sigmoid, 0),
    "softplus of -x": (lambda x: np.log(1 + np.exp(-x)), lambda x: -sigmoid(-x), 0),
    "log1p": (lambda x: np.log1p(np.exp(x)), sigmoid, 0),
    "scaled": (lambda x: 3.0 * np.log1p(np.exp(2 * x)), lambda x: 6 * sigmoid(2 * x), 0),
    "logaddexp": (lambda x: np.logaddexp(0, x), sigmoid, 0),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), lambda x: sigmoid(x) * sigmoid(-x), 1e-15),
    "sigmoid of a sum the other way": (
        lambda x: 1 / (np.exp(-x) + 1),
        lambda x: sigmoid(x) * sigmoid(-x),
        1e-15,
    ),
    "log sigmoid": (lambda x: np.log(1 / (1 + np.exp(-x))), lambda x: sigmoid(-x), 1e-15),
    "silu": (
        lambda x: x * (1 / (1 + np.exp(-x))),
        lambda x: sigmoid(x) * (1 + x * sigmoid(-x)),
        1e-12,
    ),
    "silu as a quotient": (
        lambda x: x / (1 + np.exp(-x)),
        lambda x: sigmoid(x) * (1 + x * sigmoid(-x)),
        0,
    ),
    "a root that is not chosen": (
        lambda x: np.where(x > 0, np.sqrt(x), 0),
        lambda x: np.where(x > 0, 0.5 / np.sqrt(np.where(x > 0, x, 1)), 0),
        0,
    ),
    "a logarithm that is not chosen": (
        lambda x: np.where(x > 0, np.log(x), 0),
        lambda x: np.where(x > 0, 1 / np.where(x > 0, x, 1), 0),
        0,
    ),
    "a quotient that is not chosen": (
        lambda x: np.where(x != 0, np.sin(x) / x, 1),
        lambda x: np.where(
            x != 0, (np.cos(x) - np.sin(x) / np.where(x, x, 1)) / np.where(x, x, 1), 0
        ),
        1e-15,
    ),
    "the other branch": (
        lambda x: np.where(x <= 0, 0, x**1.5),
        lambda x: np.where(x > 0, 1.5 * np.sqrt(np.where(x > 0, x, 0)), 0),
        0,
    ),
    "a weight of nothing": (lambda x: 0.0 * np.sqrt(np.abs(x)), zeros, 0),
}


@pytest.mark.parametrize("name", SCALAR)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_slopes_are_right_far_out(name: str, dtype: Any) -> None:
    function, slope, tolerance = SCALAR[name]
    x = FAR.astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pb.grad(lambda x: np.sum(function(x)))(x)
        expected = slope(x.astype(np.float64))
    eps = float(np.finfo(dtype).eps)
    assert found.dtype == dtype
    np.testing.assert_allclose(
        found, expected, rtol=40 * eps, atol=max(tolerance * eps / 2e-16, np.finfo(dtype).tiny)
    )


LABELS = np.array([1, 2, 0, 3])
ONE_HOT = np.eye(5)[LABELS]
ROWS = np.arange(4)


def shifted(x: Any) -> Any:
    return x - np.max(x, axis=-1, keepdims=True)


def log_softmax(x: Any) -> Any:
    z = shifted(x)
    return z - np.log(np.sum(np.exp(z), axis=-1, keepdims=True))


def softmax(x: Any) -> Any:
    e = np.exp(shifted(x))
    return e / np.sum(e, axis=-1, keepdims=True)


def logsumexp(x: Any) -> Any:
    m = np.max(x, axis=-1)
    return m + np.log(np.sum(np.exp(x - m[:, None]), axis=-1))


WEIGHTS = np.random.default_rng(5).normal(size=(4, 5))
ROWWISE: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], list[str]]] = {
    "cross-entropy of labels": (
        lambda x: -np.mean(log_softmax(x)[ROWS, LABELS]),
        lambda x: (softmax(x) - ONE_HOT) / 4,
        ["multiply", "index_add"],
    ),
    "cross-entropy of labels by logsumexp": (
        lambda x: np.mean(logsumexp(x) - x[ROWS, LABELS]),
        lambda x: (softmax(x) - ONE_HOT) / 4,
        ["multiply", "index_add"],
    ),
    "cross-entropy of rows": (
        lambda x: -np.sum(ONE_HOT * log_softmax(x)),
        lambda x: softmax(x) - ONE_HOT,
        ["sum", "multiply", "multiply", "add"],
    ),
    "logsumexp": (lambda x: np.sum(logsumexp(x)), softmax, ["multiply"]),
    "softmax": (
        lambda x: np.sum(WEIGHTS * softmax(x)),
        lambda x: softmax(x) * (WEIGHTS - np.sum(WEIGHTS * softmax(x), axis=-1, keepdims=True)),
        ["sum", "subtract", "multiply"],
    ),
}


def flat(eqns: Sequence[Eqn]) -> Iterator[Eqn]:
    for eqn in eqns:
        if eqn.op.name == "fused":
            for region in eqn.op.regions:
                yield from flat(region.eqns)
        else:
            yield eqn


def passes(function: Callable[..., Any], *args: Any, argnums: Any = 0) -> list[str]:
    """Return the ops of the cotangents that pass over an array as large as the largest argument."""
    optimized = pb.grad(function, argnums=argnums).inspect(*args).optimized
    size = max(np.size(a) for a in args)
    return [
        eqn.op.name
        for eqn in flat(optimized.eqns)
        if eqn.provenance.is_adjoint
        and not eqn.op.is_view
        and max(a.type.size for a in (*eqn.operands, *eqn.results)) >= size
    ]


@pytest.mark.parametrize("name", ROWWISE)
@pytest.mark.parametrize("scale", [1.0, 300.0, 1e5])
def test_gradients_of_softmaxes_are_as_by_hand(name: str, scale: float) -> None:
    function, by_hand, expected = ROWWISE[name]
    x = scale * np.random.default_rng(4).normal(size=(4, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_allclose(pb.grad(function)(x), by_hand(x), rtol=1e-12, atol=1e-15)
    assert sorted(passes(function, x)) == sorted(expected)


X = np.random.default_rng(6).normal(size=(4, 5))
T = np.random.default_rng(7).normal(size=(4, 5))
BY_HAND: dict[str, tuple[Callable[..., Any], tuple[Any, ...], int]] = {
    "squares": (lambda x, t: np.mean((x - t) ** 2), (X, T), 1),
    "half the squares": (lambda x, t: 0.5 * np.sum((x - t) ** 2) / 4, (X, T), 1),
    "cubes": (lambda x: np.sum(x**3), (X,), 1),
    "fourth powers": (lambda x: np.sum(x**4), (X,), 2),
    "inverse squares": (lambda x: np.sum(x**-2), (X,), 2),
    "a root": (lambda x: np.sum(np.sqrt(x * x + 1e-6)), (X,), 2),
    "a norm": (lambda x: np.sqrt(np.sum(x * x)), (X,), 1),
    "a deviation": (lambda x: np.std(x), (X,), 1),
    "a logarithm": (lambda x: np.sum(np.log(1 + x * x)), (X,), 2),
    "an exponential": (lambda x: np.sum(np.exp(x) - 1), (X,), 0),
    "two exponentials": (lambda x: np.sum(np.exp(x) * np.exp(2 * x)), (X,), 1),
    "a sigmoid": (lambda x: np.sum(1 / (1 + np.exp(-x))), (X,), 2),
    "a sigmoid by tanh": (lambda x: np.sum(0.5 * (1 + np.tanh(0.5 * x))), (X,), 3),
    "its logarithm": (lambda x: np.sum(np.log(1 / (1 + np.exp(-x)))), (X,), 1),
    "silu": (lambda x: np.sum(x * (1 / (1 + np.exp(-x)))), (X,), 3),
    "huber": (
        lambda x: np.sum(np.where(np.abs(x) < 1, 0.5 * x * x, np.abs(x) - 0.5)),
        (X,),
        2,
    ),
    "a leaky ramp": (lambda x: np.sum(np.where(x > 0, x, 0.1 * x)), (X,), 1),
    "cauchy": (lambda x: np.sum(np.log1p((x / 2.0) ** 2)), (X,), 3),
    "a straight line": (lambda x: np.sum(x / 3.0 + 2 * x), (X,), 0),
    "logits and targets": (
        lambda x, t: (
            -np.sum(t * np.log(1 / (1 + np.exp(-x))) + (1 - t) * np.log(1 - 1 / (1 + np.exp(-x))))
        ),
        (X, T),
        5,
    ),
    "layer norm": (
        lambda x, t: np.sum(
            t
            * (
                (x - np.mean(x, axis=-1, keepdims=True))
                / np.sqrt(np.var(x, axis=-1, keepdims=True))
            )
        ),
        (X, T),
        7,
    ),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_cotangents_take_no_more_passes_than_by_hand(name: str) -> None:
    function, args, most = BY_HAND[name]
    assert len(passes(function, *args)) <= most, passes(function, *args)
    exact = pb.grad(function, exact=True)(*args)
    np.testing.assert_allclose(pb.grad(function)(*args), exact, rtol=1e-11, atol=1e-13)


# -- one by one ------------------------------------------------------------------------------------


def test_a_choice_by_the_same_condition_is_made_once() -> None:
    text = """
def f(c: bool[3], x: f64[3], y: f64[3]) -> f64[3]:
    a = where(c, x, 2.0)
    b = a * y
    d = where(c, b, y)
    return d
"""
    assert names(steadied(text)) == ["multiply", "where"]
    other = text.replace("d = where(c, b, y)", "d = where(c, y, b)")
    c = np.array([True, False, True])
    x, y = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    for t in (text, other):
        expected = evaluate(parse_function(t), c, x, y)[0]
        np.testing.assert_array_equal(evaluate(steadied(t), c, x, y)[0], expected)


def test_complementary_choices_are_one() -> None:
    text = """
def f(c: bool[3], x: f64[3], y: f64[3]) -> f64[3]:
    a = where(c, x, 0.0)
    b = where(c, 0.0, y)
    d = a + b
    return d
"""
    assert names(steadied(text)) == ["where"]
    unlike = text.replace("b = where(c, 0.0, y)", "b = where(c, y, 0.5)")
    assert names(steadied(unlike)) == ["where", "where", "add"]


def test_two_softmaxes_do_not_trade_numerators_for_ever() -> None:
    def f(x: Any, y: Any) -> Any:
        a, b = np.exp(x), np.exp(y)
        s = np.sum(a, axis=-1, keepdims=True)
        return np.sum((a / s) * (b / s) * (a / s))

    x, y = X, T
    found = pb.grad(f, argnums=(0, 1))(x, y)
    expected = pb.grad(f, argnums=(0, 1), exact=True)(x, y)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_second_derivatives_are_right_too() -> None:
    def hessian_vector(function: Any, x: Any) -> Any:
        return pb.grad(lambda x: np.sum(pb.grad(function)(x) * T))(x)

    for function in (
        lambda x: -np.mean(log_softmax(x)[ROWS, LABELS]),
        lambda x: np.sum(WEIGHTS * softmax(x)),
        lambda x: np.sum(1 / (1 + np.exp(-x))),
        lambda x: np.sum(np.exp(x) / (1 + np.exp(x))),  # (e / d) e became itself, without end
        lambda x: np.sum(np.log(1 + np.exp(x))),
        lambda x: np.std(x) ** 3,
    ):
        step = 1e-5
        slope = pb.grad(function, exact=True)
        expected = np.array(
            [
                np.sum((slope(X + step * e) - slope(X - step * e)) * T) / (2 * step)
                for e in np.eye(20).reshape(20, 4, 5)
            ]
        ).reshape(4, 5)
        np.testing.assert_allclose(hessian_vector(function, X), expected, rtol=1e-5, atol=1e-8)
