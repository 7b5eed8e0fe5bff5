"""`custom_jvp`: tangents of the user's own, in both modes and to any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import pullback as pb

X = np.array([0.3, 0.7, 1.1])
T = np.array([1.0, 2.0, -1.0])
SLOPE = 3.0
"""What the rules multiply the true derivative with, so that one can see them being used."""


@pb.custom_jvp
def bend(x: Any) -> Any:
    return np.tanh(x)


@bend.defjvp
def bend_tangent(primals: Any, tangents: Any) -> Any:
    (x,), (t,) = primals, tangents
    y = bend(x)
    return y, SLOPE * t * (1.0 - y * y)


def bend_slope(x: Any) -> Any:
    return SLOPE * (1 - np.tanh(x) ** 2)


def bend_curve(x: Any) -> Any:
    """What the rule gives for the derivative of its own slope."""
    return SLOPE * -2 * np.tanh(x) * bend_slope(x)


def total(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: np.sum(function(*args))


def test_a_tangent_rule_serves_both_modes() -> None:
    np.testing.assert_allclose(pb.jvp(bend, (X,), (T,))[1], bend_slope(X) * T)
    np.testing.assert_allclose(pb.grad(total(bend))(X), bend_slope(X))


def test_a_tangent_rule_of_second_order() -> None:
    expected = bend_curve(X)
    np.testing.assert_allclose(pb.grad(total(pb.grad(total(bend))))(X), expected)
    np.testing.assert_allclose(pb.jvp(pb.grad(total(bend)), (X,), (T,))[1], expected * T)

    def pushed(x: Any) -> Any:
        return np.sum(pb.jvp(bend, (x,), (T,))[1])

    np.testing.assert_allclose(pb.grad(pushed)(X), expected * T)


def test_a_tangent_rule_with_a_loop() -> None:
    def plain(x: Any) -> Any:
        for _ in range(3):
            x = np.sin(x)
        return x

    def rule(primals: Any, tangents: Any) -> Any:
        (x,), (t,) = primals, tangents
        return pb.fori_loop(0, 3, lambda i, c: (np.sin(c[0]), np.cos(c[0]) * c[1]), (x, t))

    function = pb.custom_jvp(plain)
    function.defjvp(rule)
    np.testing.assert_allclose(pb.grad(total(function))(X), pb.grad(total(plain))(X))
    np.testing.assert_allclose(pb.jvp(function, (X,), (T,)), pb.jvp(plain, (X,), (T,)))
    second = pb.grad(total(pb.grad(total(function))))(X)
    np.testing.assert_allclose(second, pb.grad(total(pb.grad(total(plain))))(X))


def test_a_linear_function_may_apply_itself_to_tangents() -> None:
    function = pb.custom_jvp(lambda x: x[::-1] * 2)
    function.defjvp(lambda p, t: (function(*p), function(*t)))
    np.testing.assert_allclose(pb.grad(lambda x: np.sum(function(x) ** 3))(X), 24 * X**2)
    second = pb.grad(total(pb.grad(lambda x: np.sum(function(x) ** 3))))(X)
    np.testing.assert_allclose(second, 48 * X)


def test_rules_for_each_argument() -> None:
    function = pb.custom_jvp(lambda x, y, n: x * y**n)
    function.defjvps(lambda t, out, x, y, n: t * y**n, lambda t, out, x, y, n: t * x * n * y, None)
    dx, dy = pb.grad(lambda x, y: np.sum(function(x, y, 2)), argnums=(0, 1))(X, T)
    np.testing.assert_allclose(dx, T**2)
    np.testing.assert_allclose(dy, 2 * X * T)


def test_no_rule_for_any_argument_is_a_zero() -> None:
    function = pb.custom_jvp(lambda x: np.floor(x))
    function.defjvps(None)
    np.testing.assert_array_equal(pb.grad(total(function))(X), [0.0, 0.0, 0.0])


def test_tangents_of_integers_are_zeros() -> None:
    function = pb.custom_jvp(lambda x, n, k: x * k**n)

    def rule(primals: Any, tangents: Any) -> Any:
        (x, n, k), (t, dn, dk) = primals, tangents
        assert (dn, dk) == (0, 0)
        return function(x, n, k), SLOPE * t * k**n

    function.defjvp(rule)
    counts = np.array([1, 2, 3])
    found = pb.grad(total(lambda x: function(x, 2, counts)))(X)
    np.testing.assert_allclose(found, SLOPE * counts**2)


def test_tangent_rules_under_vmap() -> None:
    rows = np.arange(12.0).reshape(4, 3) / 5
    expected = bend_slope(rows)
    np.testing.assert_allclose(pb.vmap(pb.grad(total(bend)))(rows), expected)
    found = pb.grad(lambda r: np.sum(pb.vmap(bend)(r)))(rows)
    np.testing.assert_allclose(found, expected)
    pushed = pb.jvp(pb.vmap(bend), (rows,), (rows,))[1]
    np.testing.assert_allclose(pushed, expected * rows)
