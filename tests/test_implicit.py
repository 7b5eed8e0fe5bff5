"""Roots, fixed points and linear solves against explicit derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from error_messages import error_message

import pullback as pb

A = np.array([[4.0, 1.0, 0.0], [2.0, 5.0, 1.0], [0.0, 1.0, 3.0]])
B = np.array([1.0, 2.0, 3.0])
WAY = (2 * A - 1, np.array([1.0, -1.0, 2.0]))


def bisected(f: Callable[[Any], Any], x: Any) -> Any:
    """Find a root between 0 and `x` without being differentiable: by comparisons alone."""
    low, high = 0.0 * x, x
    for _ in range(60):
        middle = (low + high) / 2
        is_below = f(middle) < 0
        low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
    return (low + high) / 2


def cube_root(a: Any) -> Any:
    return pb.custom_root(lambda x: x**3 - a, a, bisected, lambda g, y: y / g(1.0))


# ---- custom_root ---------------------------------------------------------------------------------


def test_a_root_and_its_derivatives() -> None:
    assert cube_root(8.0) == pytest.approx(2.0)
    assert pb.compile(cube_root)(8.0) == cube_root(8.0)
    derivative = cube_root
    for expected in (1 / 12, -2 / 9 * 8 ** (-5 / 3), 10 / 27 * 8 ** (-8 / 3)):
        derivative = pb.grad(derivative)
        assert derivative(8.0) == pytest.approx(expected, rel=1e-12)


def test_a_root_in_forward_mode() -> None:
    value, moved = pb.jvp(cube_root, (8.0,), (2.0,))
    assert (value, moved) == (pytest.approx(2.0), pytest.approx(1 / 6))
    second = -2 / 9 * 8 ** (-5 / 3)
    assert pb.jvp(pb.grad(cube_root), (8.0,), (1.0,))[1] == pytest.approx(second)
    assert pb.grad(lambda a: pb.jvp(cube_root, (a,), (1.0,))[1])(8.0) == pytest.approx(second)


def test_a_root_in_a_loop_and_under_vmap() -> None:
    def explicit(a: Any) -> Any:
        return pb.fori_loop(0, 3, lambda i, x: np.cbrt(x) + a, 8.0)

    def implicit(a: Any) -> Any:
        return pb.fori_loop(0, 3, lambda i, x: cube_root(x) + a, 8.0)

    assert pb.grad(implicit)(8.0) == pytest.approx(pb.grad(explicit)(8.0))
    many = np.array([1.0, 8.0, 27.0])
    np.testing.assert_allclose(pb.vmap(cube_root)(many), np.cbrt(many))
    slopes = 1 / (3 * np.cbrt(many) ** 2)
    np.testing.assert_allclose(pb.vmap(pb.grad(cube_root))(many), slopes)
    found = pb.grad(lambda a: np.sum(pb.vmap(cube_root)(a)))(many)
    np.testing.assert_allclose(found, slopes)


def newton(f: Callable[[Any], Any], x: Any) -> Any:
    for _ in range(8):
        x = x - np.linalg.solve(pb.jacfwd(f)(x), f(x))
    return x


def by_elimination(g: Callable[[Any], Any], y: Any) -> Any:
    return np.linalg.solve(pb.jacfwd(g)(y), y)


def test_a_system_of_equations() -> None:
    def residual(x: Any, w: Any, b: Any) -> Any:
        return w @ x + np.sin(x) - b

    @pb.compile
    def explicit(w: Any, b: Any) -> Any:
        return newton(lambda x: residual(x, w, b), np.zeros(3))

    def implicit(w: Any, b: Any) -> Any:
        return pb.custom_root(lambda x: residual(x, w, b), np.zeros(3), newton, by_elimination)

    np.testing.assert_allclose(pb.compile(implicit)(A, B), explicit(A, B))
    found = pb.grad(lambda w, b: np.sum(implicit(w, b) ** 2), argnums=(0, 1))(A, B)
    wanted = pb.grad(lambda w, b: np.sum(explicit(w, b) ** 2), argnums=(0, 1))(A, B)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


def test_a_root_of_containers_with_aux() -> None:
    def solve(f: Any, guess: Any) -> Any:
        return {"u": guess["u"] * 0 + 2.0, "v": guess["v"] * 0 + 3.0}, {"steps": 7, "last": B}

    def root(p: Any) -> Any:
        def residual(x: Any) -> Any:
            return {"u": x["u"] * x["v"] - 6 * p, "v": x["v"] - 3.0}

        def linear(g: Any, y: Any) -> Any:
            # The Jacobian is [[v, u], [0, 1]], at (2, 3).
            v = y["v"]
            return {"u": (y["u"] - 2.0 * v) / 3.0, "v": v}

        return pb.custom_root(residual, {"u": B, "v": B}, solve, linear, has_aux=True)

    def loss(p: Any) -> Any:
        x, aux = root(p)
        assert aux["steps"] == 7
        return np.sum(x["u"]) + np.sum(aux["last"])

    value, slope = pb.value_and_grad(loss)(1.0)
    assert value == 12.0
    assert slope == pytest.approx(6.0)  # u = 6 p / 3, three times
    assert pb.jvp(loss, (1.0,), (1.0,))[1] == pytest.approx(6.0)


def test_no_derivative_flows_to_the_guess() -> None:
    def root(a: Any, guess: Any) -> Any:
        return pb.custom_root(lambda x: x**3 - a, guess, bisected, lambda g, y: y / g(1.0))

    assert pb.grad(root, argnums=1)(8.0, 20.0) == 0.0


# ---- custom_linear_solve -------------------------------------------------------------------------


def implicit_solve(a: Any, b: Any) -> Any:
    def solve(matvec: Any, b: Any) -> Any:
        return pb.stop_gradient(np.linalg.solve(a, b))

    def transpose_solve(vecmat: Any, b: Any) -> Any:
        return pb.stop_gradient(np.linalg.solve(a.T, b))

    return pb.custom_linear_solve(lambda x: a @ x, b, solve, transpose_solve)


def loss_of(solve: Callable[..., Any]) -> Callable[..., Any]:
    return lambda a, b: np.sum(np.sin(solve(a, b)))


def test_a_solve_is_the_function_outside() -> None:
    np.testing.assert_allclose(implicit_solve(A, B), np.linalg.solve(A, B))


def test_the_gradient_of_a_solve() -> None:
    found = pb.grad(loss_of(implicit_solve), argnums=(0, 1))(A, B)
    wanted = pb.grad(loss_of(np.linalg.solve), argnums=(0, 1))(A, B)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_a_solve_of_second_order() -> None:
    def squared(loss: Any) -> Any:
        slope = pb.grad(loss)
        return lambda a, b: np.sum(slope(a, b) ** 2)

    found = pb.grad(squared(loss_of(implicit_solve)), argnums=(0, 1))(A, B)
    wanted = pb.grad(squared(loss_of(np.linalg.solve)), argnums=(0, 1))(A, B)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


def test_a_solve_in_forward_mode() -> None:
    np.testing.assert_allclose(
        pb.jvp(implicit_solve, (A, B), WAY), pb.jvp(np.linalg.solve, (A, B), WAY)
    )
    found = pb.jvp(pb.grad(loss_of(implicit_solve)), (A, B), WAY)
    wanted = pb.jvp(pb.grad(loss_of(np.linalg.solve)), (A, B), WAY)
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def conjugate_gradients(matvec: Callable[[Any], Any], b: Any) -> Any:
    def step(state: Any) -> Any:
        x, r, p, count = state
        q = matvec(p)
        size = r @ r / (p @ q)
        after = r - size * q
        return x + size * p, after, after + p * (after @ after) / (r @ r), count + 1

    def goes_on(state: Any) -> Any:
        return (state[3] < 20) & (state[1] @ state[1] > 1e-26)

    return pb.while_loop(goes_on, step, (0 * b, b, b, 0))[0]


def test_an_iterative_solver_of_a_symmetric_map() -> None:
    def implicit(a: Any, b: Any) -> Any:
        gram = a @ a.T
        return pb.custom_linear_solve(lambda x: gram @ x, b, conjugate_gradients, symmetric=True)

    def explicit(a: Any, b: Any) -> Any:
        return np.linalg.solve(a @ a.T, b)

    found = pb.grad(loss_of(implicit), argnums=(0, 1))(A, B)
    wanted = pb.grad(loss_of(explicit), argnums=(0, 1))(A, B)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)
    rows = np.stack([B, 2 * B, B[::-1]])
    many = pb.vmap(lambda b: implicit(A, b))(rows)
    np.testing.assert_allclose(many, np.linalg.solve(A @ A.T, rows.T).T, rtol=1e-9)
    shared = pb.grad(lambda a: np.sum(pb.vmap(lambda b: implicit(a, b))(rows) ** 2))(A)
    direct = pb.grad(lambda a: np.sum(np.linalg.solve(a @ a.T, rows.T) ** 2))(A)
    np.testing.assert_allclose(shared, direct, rtol=1e-9)


def test_the_transpose_of_the_map_is_made_for_its_solve() -> None:
    def solve(matvec: Any, b: Any) -> Any:
        return np.linalg.solve(pb.jacfwd(matvec)(b), b)

    def implicit(a: Any, b: Any) -> Any:
        return pb.custom_linear_solve(lambda x: a @ x, b, solve, solve)

    found = pb.grad(loss_of(implicit), argnums=(0, 1))(A, B)
    wanted = pb.grad(loss_of(np.linalg.solve), argnums=(0, 1))(A, B)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_a_solve_with_aux() -> None:
    def solve(matvec: Any, b: Any) -> Any:
        return np.linalg.solve(A, b), {"size": np.sum(b), "name": "lu"}

    def loss(b: Any) -> Any:
        x, aux = pb.custom_linear_solve(
            lambda x: A @ x,
            b,
            solve,
            lambda vecmat, b: (np.linalg.solve(A.T, b), None),
            has_aux=True,
        )
        assert aux["name"] == "lu"
        return np.sum(x) + aux["size"]

    np.testing.assert_allclose(pb.grad(loss)(B), np.linalg.solve(A.T, np.ones(3)))
    moved = pb.jvp(loss, (B,), (B,))[1]
    np.testing.assert_allclose(moved, np.sum(np.linalg.solve(A, B)))


# ---- fixed_point ---------------------------------------------------------------------------------


def babylonian(x: Any, a: Any) -> Any:
    return (x + a / x) / 2


def square_root(a: Any) -> Any:
    return pb.fixed_point(babylonian, 1.0, a)


def test_a_fixed_point_and_its_derivatives() -> None:
    assert square_root(2.0) == pytest.approx(2**0.5, rel=1e-14)
    assert pb.compile(square_root)(2.0) == square_root(2.0)
    assert pb.grad(square_root)(2.0) == pytest.approx(0.5 * 2**-0.5)
    assert pb.grad(pb.grad(square_root))(2.0) == pytest.approx(-0.25 * 2**-1.5)
    assert pb.jvp(square_root, (2.0,), (3.0,))[1] == pytest.approx(1.5 * 2**-0.5)


def coupled(w: Any, b: Any) -> Callable[[Any], Any]:
    return lambda x: {"u": np.tanh(w @ x["v"] * 0.3 + b), "v": np.cos(x["u"]) * 0.5}


def implicit_loss(w: Any, b: Any) -> Any:
    found = pb.fixed_point(coupled(w, b), {"u": b * 0, "v": b * 0})
    return np.sum(found["u"] ** 2)


def explicit_loss(w: Any, b: Any) -> Any:
    x = {"u": b * 0, "v": b * 0}
    for _ in range(80):
        x = coupled(w, b)(x)
    return np.sum(x["u"] ** 2)


def test_a_fixed_point_of_containers_that_reads_from_outside() -> None:
    assert implicit_loss(A, B) == pytest.approx(explicit_loss(A, B))
    found = pb.grad(implicit_loss, argnums=(0, 1))(A, B)
    wanted = pb.grad(explicit_loss, argnums=(0, 1))(A, B)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    found = pb.jvp(pb.grad(implicit_loss, argnums=(0, 1)), (A, B), WAY)[1]
    wanted = pb.jvp(pb.grad(explicit_loss, argnums=(0, 1)), (A, B), WAY)[1]
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-11)


def test_nothing_of_the_iterations_is_kept() -> None:
    def iterated(a: Any) -> Any:
        def step(x: Any) -> Any:
            return babylonian(x, a)

        return pb.while_loop(lambda x: np.abs(step(x) - x) > 1e-12, step, 1.0)

    assert pb.grad(iterated)(2.0) == pytest.approx(pb.grad(square_root)(2.0))
    assert "tape" in str(pb.grad(iterated).inspect(2.0))
    assert "tape" not in str(pb.grad(square_root).inspect(2.0))


def test_the_tolerance_is_of_the_dtype_and_may_be_given() -> None:
    slow = pb.compile(lambda a, **more: pb.fixed_point(lambda x: 0.5 * x + a, 0.0 * a, **more))
    assert slow(np.float32(1.0)) == pytest.approx(2.0, rel=1e-4)
    assert slow(np.float32(1.0)).dtype == np.float32
    rough = pb.fixed_point(lambda x: 0.5 * x + 1.0, 0.0, tolerance=0.1)
    assert 1e-3 < abs(rough - 2.0) < 0.2


def test_what_does_not_converge_raises() -> None:
    def doubled(a: Any) -> Any:
        return pb.fixed_point(lambda x: 2 * x + a, a, iterations=50)

    for function in (doubled, pb.compile(doubled), pb.grad(doubled)):
        with pytest.raises(pb.ConvergenceError, match="does not converge in 50 iterations"):
            function(1.0)
    with np.errstate(all="ignore"), pytest.raises(pb.ConvergenceError):
        pb.fixed_point(lambda x: 2 * x + 1.0, 1.0)  # through infinity


def test_complex_fixed_points() -> None:
    def point(a: Any) -> Any:
        return pb.fixed_point(lambda x: 0.3j * x + a, 0 * a)

    a = np.array([1.0 + 2.0j, -0.5j])
    np.testing.assert_allclose(point(a), a / (1 - 0.3j))
    found = pb.grad(lambda a: np.sum(np.real(point(a))))(a)
    np.testing.assert_allclose(found, np.full(2, 1 / (1 - 0.3j)))


# ---- errors --------------------------------------------------------------------------------------


def test_messages(golden: Callable[[str, str], None]) -> None:
    def without_transpose(b: Any) -> Any:
        solve = conjugate_gradients
        return np.sum(pb.custom_linear_solve(lambda x: A @ x, b, solve))

    def not_linear(b: Any) -> Any:
        solved = pb.custom_linear_solve(lambda x: x * x, b, conjugate_gradients, symmetric=True)
        return np.sum(solved)

    def not_transposable(a: Any) -> Any:
        def linear(g: Any, y: Any) -> Any:
            return conjugate_gradients(g, y)

        root = pb.custom_root(lambda x: A @ x - a, a, lambda f, x: x, linear)
        return np.sum(root)

    def integers(b: Any) -> Any:
        return pb.custom_linear_solve(lambda x: x, np.arange(3), lambda m, b: b)

    def other_type(b: Any) -> Any:
        return pb.custom_root(lambda x: np.sum(x), b, lambda f, x: x, lambda g, y: y)

    def other_structure(b: Any) -> Any:
        return pb.custom_root(lambda x: x, b, lambda f, x: (x,), lambda g, y: y)

    def no_aux(b: Any) -> Any:
        return pb.custom_root(lambda x: x, b, lambda f, x: x, lambda g, y: y, has_aux=True)

    def point(b: Any) -> Any:
        return pb.fixed_point(lambda x: (x, x), b)

    texts = [
        error_message(pb.grad(f), B) for f in (without_transpose, not_linear, not_transposable)
    ]
    others = (other_type, integers, other_structure, no_aux, point)
    texts += [error_message(pb.grad(lambda b, f=f: np.sum(f(b))), B) for f in others]
    golden("messages/implicit.txt", "\n".join(texts))
    with pytest.raises(pb.ArgumentError, match="iterations=0 is no positive int"):
        pb.fixed_point(babylonian, 1.0, 2.0, iterations=0)
