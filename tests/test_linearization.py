"""`linearize`: a linear map that is called again and again, what it keeps, and errors."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import pullback as pb
from pullback.transforms import linearization

pytestmark = pytest.mark.usefixtures("checked")

Call = Callable[..., Any]
X = np.array([0.4, -1.2, 2.0])
V = np.array([1.0, 0.5, -2.0])


class Point(NamedTuple):
    x: Any
    y: Any


def test_a_linear_map_is_called_again_and_again() -> None:
    y, push = pb.linearize(lambda x, w: np.tanh(x) * w, X, 2.0)
    np.testing.assert_allclose(y, np.tanh(X) * 2.0)
    slope = 2.0 * (1 - np.tanh(X) ** 2)
    np.testing.assert_allclose(push(V, None), slope * V)
    np.testing.assert_allclose(push(V, 1.0), slope * V + np.tanh(X))
    np.testing.assert_allclose(push(None, 1.0), np.tanh(X))
    first = push(V, 0)
    first[:] = 7.0
    np.testing.assert_allclose(push(V, 0), slope * V)


def programs_of(function: Call, *primals: Any) -> tuple[str, str]:
    """Return the sources of the two programs of a linearization."""
    linear = linearization._Linear(False)
    linear(function, *primals)[1](*[np.ones_like(p) for p in primals])
    ((entry,),) = linear.programs.entries.values()
    texts = [entry.forward.source.text, entry.backward.source.text]
    first, second = [re.sub(r"#.*", "", text) for text in texts]  # the user's lines are comments
    return first, second


def test_a_linear_map_that_was_made_outside() -> None:
    def f(x):
        return np.tanh(x) * x[::-1]

    x = np.array([0.3, -0.5, 1.2])
    applied = pb.compile(lambda push, t: push(t))
    for point in (x, 2 * x, -x):
        _, push = pb.linearize(f, point)
        matrix = pb.jacobian(f)(point)
        np.testing.assert_allclose(pb.vmap(push)(np.eye(3)), matrix.T, atol=1e-12)
        np.testing.assert_allclose(pb.jacobian(push)(x), matrix, atol=1e-12)
        np.testing.assert_allclose(applied(push, x), matrix @ x, atol=1e-12)
        slope = pb.grad(lambda t: np.sum(push(t) ** 2))(x)  # noqa: B023 - it is called at once
        np.testing.assert_allclose(slope, 2 * matrix.T @ matrix @ x, atol=1e-12)
    assert applied.cache_info().misses == 1  # what it holds is read at each call


def test_what_is_not_linear_is_computed_once() -> None:
    def in_line(x: Any) -> Any:
        return np.sum(np.tanh(x) * np.exp(x))

    def looped(x: Any) -> Any:
        h = x
        for _ in range(50):
            h = np.tanh(h * x)
        return h

    for function in (in_line, looped):
        first, second = programs_of(function, X)
        assert "tanh(" in first
        assert "tanh(" not in second
        _, push = pb.linearize(function, X)
        np.testing.assert_allclose(push(V), pb.jvp(function, (X,), (V,))[1], rtol=1e-10)


def test_effects_happen_when_it_is_linearized() -> None:
    def f(x: Any, rng: Any) -> Any:
        print("once")
        return x * rng.standard_normal(3)

    rng = np.random.default_rng(0)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        _, push = pb.linearize(f, X, rng)
        moved = [push(V, None), push(V, None)]
    assert printed.getvalue() == "once\n"
    np.testing.assert_array_equal(*moved)
    np.testing.assert_allclose(moved[0], V * np.random.default_rng(0).standard_normal(3))


def test_a_linear_map_has_the_structure_of_the_output() -> None:
    def f(p: Any) -> Any:
        return Point(p["a"] * X, 2), p["a"]

    ((out, moved),) = [pb.linearize(f, {"a": 3.0})]
    found = moved({"a": 2.0})
    assert type(found[0]) is type(out[0]) is Point
    np.testing.assert_allclose(found[0].x, 2.0 * X)
    assert found[0].y == 0
    assert found[1] == 2.0
    _, moved, aux = pb.linearize(lambda x: (x * x, x), X, has_aux=True)
    np.testing.assert_allclose(moved(V), 2 * X * V)
    np.testing.assert_array_equal(aux, X)


def test_solvers_with_rules_are_linearized_by_their_rules() -> None:
    def solved(x: Any) -> Any:
        return pb.fixed_point(lambda y: 0.1 * np.cos(y) * x + 0.1 * x, np.zeros(3))

    _, moved = pb.jvp(solved, (X,), (V,))
    ends = [solved(X + step * V) for step in (1e-6, -1e-6)]
    np.testing.assert_allclose(moved, (ends[0] - ends[1]) / 2e-6, rtol=1e-6)
    _, push = pb.linearize(solved, X)
    np.testing.assert_allclose(push(V), moved, rtol=1e-9)


def test_tangents_of_a_linear_map_that_do_not_fit() -> None:
    _, push = pb.linearize(lambda x, n: x * n, X, 3)
    with pytest.raises(pb.ShapeError, match=r"`tangents\[0\]` has shape \[2\]"):
        push(V[:2], None)
    with pytest.raises(pb.StructureError, match="there are 2 primals, and the tangents are 1"):
        push(V)
    with pytest.raises(pb.StructureError, match="which is static"):
        push(V, 2)
    _, push = pb.linearize(lambda x, k: x * k, X, np.arange(3))
    np.testing.assert_allclose(push(V, np.zeros(3, int)), V * np.arange(3))
    with pytest.raises(pb.StructureError, match="it must be zero"):
        push(V, np.ones(3, int))
