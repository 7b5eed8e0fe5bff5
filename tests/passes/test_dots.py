"""Sums of products as dot products: values, what is left alone, and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.core import walk
from pullback.ir.evaluate import evaluate
from pullback.ir.ops.matmul import MatMul
from pullback.ir.parser import parse_function
from pullback.ir.verify import verify
from pullback.passes.dots import Dots

TAKEN = {
    "vectors": "(x: f64[7], y: f64[7]) -> f64: a = x * y; s = sum(a, axes=(-1,))",
    "squares": "(x: f64[7]) -> f64: a = x * x; s = sum(a, axes=(-1,))",
    "square": "(x: f64[7]) -> f64: a = square(x); s = sum(a, axes=(-1,))",
    "square of a matrix": "(x: f32[3, 4]) -> f32: a = square(x); s = sum(a, axes=(-2, -1))",
    "matrices": "(x: f32[3, 4], y: f32[3, 4]) -> f32: a = x * y; s = sum(a, axes=(-2, -1))",
    "rows": "(x: f64[3, 4], y: f64[4]) -> f64[3]: a = x * y; s = sum(a, axes=(-1,))",
    "rows of one": "(x: f64[3, 4], y: f64[1, 4]) -> f64[3]: a = y * x; s = sum(a, axes=(-1,))",
    "columns": "(x: f64[3, 4], y: f64[3, 1]) -> f64[4]: a = y * x; s = sum(a, axes=(-2,))",
    "one": "(x: f64[1], y: f64[1]) -> f64: a = x * y; s = sum(a, axes=(-1,))",
}
LEFT = {
    "broadcast": "(x: f64[3, 4], y: f64[3, 1]) -> f64: a = x * y; s = sum(a, axes=(-2, -1))",
    "rows of pairs": "(x: f64[3, 4], y: f64[3, 4]) -> f64[3]: a = x * y; s = sum(a, axes=(-1,))",
    "integers": "(x: i64[7], y: i64[7]) -> i64: a = x * y; s = sum(a, axes=(-1,))",
    "rows of squares": "(x: f64[3, 4]) -> f64[3]: a = square(x); s = sum(a, axes=(-1,))",
    "complex": "(x: c128[7], y: c128[7]) -> c128: a = x * y; s = sum(a, axes=(-1,))",
    "empty": "(x: f64[0], y: f64[0]) -> f64: a = x * y; s = sum(a, axes=(-1,))",
    "kept": "(x: f64[7], y: f64[7]) -> f64[1]: a = x * y; s = sum(a, axes=(-1,), keepdims=True)",
    "scaled": "(x: f64[7], y: f64) -> f64: a = x * y; s = sum(a, axes=(-1,))",
}


def function_of(text: str) -> Any:
    head, body = text.split(": a = ")
    first, second = f"a = {body}".split("; ")
    return parse_function(f"def f{head}:\n    {first}\n    {second}\n    return s\n")


def arguments(function: Any) -> list[Any]:
    rng = np.random.default_rng(1)
    return [(rng.standard_normal(p.type.shape) * 3).astype(p.type.dtype) for p in function.params]


@pytest.mark.parametrize("text", TAKEN.values(), ids=TAKEN)
def test_a_sum_of_products_is_one_product(text: str) -> None:
    function = function_of(text)
    changed = Dots()(function)
    verify(changed)
    assert [type(e.op) for e in changed.eqns if not e.op.is_view] == [MatMul]
    arrays = arguments(function)
    (found,), (expected,) = evaluate(changed, *arrays), evaluate(function, *arrays)
    assert np.shape(found) == np.shape(expected)
    assert np.asarray(found).dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(found, expected, rtol=1e-6 if "f32" in text else 1e-14)


@pytest.mark.parametrize("text", LEFT.values(), ids=LEFT)
def test_what_has_no_such_form_is_left_alone(text: str) -> None:
    function = function_of(text)
    assert Dots()(function) is function


def test_a_product_that_is_read_elsewhere_stays() -> None:
    function = parse_function(
        "def f(x: f64[7], y: f64[7]) -> (f64, f64[7]):\n"
        "    a = x * y\n    s = sum(a, axes=(-1,))\n    return s, a\n"
    )
    assert Dots()(function) is function


def test_matrices_of_a_size_that_changes_are_left_alone() -> None:
    def triangle(x: Any) -> Any:
        total, n = 0.0, len(x)
        for k in range(1, n):
            total = total + np.sum(x[:k] * x[n - k :]) * np.sum(x[:k, 0] * x[n - k :, 1])
        return total

    x = np.random.default_rng(3).standard_normal((5, 3))
    np.testing.assert_allclose(
        pb.grad(triangle)(x), pb.grad(triangle, exact=True)(x), rtol=1e-11, atol=1e-12
    )


def inner(x: Any, y: Any) -> Any:
    return np.sum(x * y)


def weighted_rows(x: Any, y: Any) -> Any:
    return np.sum(np.tanh(np.sum(x * y[0], axis=1)))


def in_a_loop(x: Any, y: Any) -> Any:
    total = 0.0
    for k in range(len(x)):
        total = total + np.sum(x[k] * y[k]) * np.sum(x * y[k])
    return total


@pytest.mark.parametrize("function", [inner, weighted_rows, in_a_loop])
@pytest.mark.parametrize("order", ["C", "F"])
def test_gradients_agree_with_exact_mode(function: Callable[..., Any], order: Any) -> None:
    rng = np.random.default_rng(2)
    x, y = (np.asarray(rng.standard_normal((60, 5)), order=order) for _ in range(2))
    found = pb.value_and_grad(function, argnums=(0, 1))(x, y)
    exact = pb.value_and_grad(function, argnums=(0, 1), exact=True)
    expected = exact(x, y)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12)
    for a, b in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)
    assert not any(isinstance(e.op, MatMul) for e in walk(exact.inspect(x, y).optimized))
    pb.check_grads(function, (x, y), order=2)
