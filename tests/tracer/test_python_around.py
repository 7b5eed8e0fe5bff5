"""Python around arrays: comprehensions, classes, `try`, context managers, builtins, errstate."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import around_cases as around
import numpy as np
import pytest

import pullback as pb

HERE = Path(__file__).parent

X = np.array([0.75, -1.5, 2.25])

STEPPED = {"rounding", "maxima_of_ties", "python_numbers"}
"""Those that round, or have a kink here: finite differences say nothing of them."""


@pytest.mark.parametrize("function", around.CASES, ids=lambda f: f.__name__)
def test_values_are_those_of_plain_python(function: Any) -> None:
    program = pb.compile(function, exact=True)
    for x in (X, X * 2, -X):
        expected, found = function(x), program(x)
        assert type(found) is type(expected)
        np.testing.assert_array_equal(found, expected)
    assert program.cache_info().misses == 1


@pytest.mark.parametrize("function", around.CASES, ids=lambda f: f.__name__)
def test_gradients_agree(function: Any) -> None:
    if function.__name__ in STEPPED:
        assert pb.grad(lambda x: np.sum(function(x)))(X).shape == X.shape
    else:
        pb.check_grads(lambda x: np.sum(function(x)), (X,), order=2)


# ---- errors of floating point --------------------------------------------------------------------


def quiet(x: Any) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return x / 0.0


def loud(x: Any) -> Any:
    with np.errstate(all="raise"):
        return np.exp(x * 1000)


def half(x: Any) -> Any:
    with np.errstate(divide="ignore"):
        y = 1.0 / (x * 0.0)
    return y + np.log(x * 0.0)


def nested(x: Any) -> Any:
    with np.errstate(all="ignore"):
        y = np.log(x)
        with np.errstate(invalid="warn"):
            y = y + np.sqrt(x)
    return y


def under(x: Any) -> Any:
    with np.errstate(under="warn"):
        return np.exp(-x * 1000) * 1e-300 * 1e-300


@pytest.mark.parametrize("function", [quiet, loud, half, nested, under])
@pytest.mark.parametrize("mode", ["warn", "ignore", "raise"])
def test_errstate_acts_when_the_program_runs(function: Any, mode: Any) -> None:
    x = np.array([1.0, -1.0])

    def run(f: Any) -> Any:
        with warnings.catch_warnings(record=True) as found, np.errstate(all=mode, under="ignore"):
            warnings.simplefilter("always")
            try:
                result = np.asarray(f(x)).tolist()
            except FloatingPointError as error:
                result = str(error)
        return str(result), sorted((str(w.message), w.lineno) for w in found)

    program = pb.compile(function, exact=True)
    for _ in range(2):
        assert run(program) == run(function)


def test_adjoints_stay_silent_in_a_block() -> None:
    def f(x: Any) -> Any:
        with np.errstate(all="raise"):
            return np.sum(np.sqrt(x))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(pb.grad(f)(np.zeros(2)), [np.inf, np.inf])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (np.seterr(all="ignore"), x)[1],
        lambda x: (np.set_printoptions(precision=3), x)[1],
        lambda x: np.errstate(call=print).__enter__(),
        lambda x: np.printoptions(formatter={"float": str}).__enter__(),
    ],
)
def test_settings_of_outside_are_refused(function: Any) -> None:
    before = (np.geterr(), np.get_printoptions())
    with pytest.raises(pb.UnsupportedError):
        pb.compile(function)(X)
    assert (np.geterr(), np.get_printoptions()) == before


# ---- try -----------------------------------------------------------------------------------------


def test_what_raises_at_the_run_alone_is_not_caught() -> None:
    def f(a: Any) -> Any:
        try:
            return np.linalg.inv(a)
        except np.linalg.LinAlgError:
            return np.linalg.pinv(a)

    with pytest.raises(pb.UnsupportedError, match="inv in a `try` may raise when the program runs"):
        pb.compile(f)(np.eye(2))


def test_handlers_do_not_swallow_what_tracing_refuses() -> None:
    def bare(x: Any) -> Any:
        try:
            return x * 2 if x[0] > 0 else x
        except:  # noqa: E722
            return x * 0

    def of_exceptions(x: Any) -> Any:
        try:
            return np.zeros(len(str(x[0]))) + x
        except Exception:
            return x * 0

    def of_type_errors(x: Any) -> Any:
        try:
            return len(str(x)) * x
        except (KeyError, TypeError):
            return x * 0

    for function in (of_exceptions, of_type_errors):
        with pytest.raises(pb.ConcretizationError):
            pb.compile(function)(X)
    with pytest.raises(pb.UnsupportedError):
        pb.compile(lambda x: bare(np.random.default_rng(0).bit_generator + x))(X)


def test_max_of_what_differs_in_type_is_the_one_that_is_largest() -> None:
    for function in (
        lambda x: max(x[0], np.float32(0.1)),
        lambda x: max(x[0], x[1].astype("f4")),
        lambda x: max(x.astype("f4")[0], 0.1),
        lambda x: max(x[0], x[1], key=lambda v: -v),
    ):
        compiled = pb.compile(function)
        for x in (X, -X, X[::-1].copy(), np.zeros_like(X)):
            found, expected = compiled(x), function(x)
            assert (type(found), found) == (type(expected), expected)


def test_max_keeps_pythons_order_with_nan() -> None:
    def f(x: Any) -> Any:
        return max(x[0], x[1]), max(x[1], x[0]), min(x[0], x[1]), min(x[1], x[0])

    x = np.array([np.nan, 1.0])
    np.testing.assert_array_equal(pb.compile(f)(x), f(x))


def test_the_first_of_equal_values_gets_the_gradient() -> None:
    gradient = pb.grad(lambda a, b: max(a, b), argnums=(0, 1))
    assert gradient(2.0, 2.0) == (1.0, 0.0)


@pytest.mark.parametrize("parts", [(0.5, -1.5), (np.float64(0.5), 2), (-0.0, np.float32(1.5))])
def test_complex_of_two_parts(parts: tuple[Any, Any]) -> None:
    def f(a: Any, b: Any) -> Any:
        return complex(a, b)

    found, plain = pb.compile(f)(*parts), f(*parts)
    assert type(found) is complex
    assert str(found) == str(plain)

    def modulus(x: Any) -> Any:
        total = 0.0
        for i in range(20):
            z = complex(x[i], x[i] * i)
            total += abs(z) ** 2
        return total

    pb.check_grads(modulus, (np.linspace(0.1, 1.0, 20),), order=2)
