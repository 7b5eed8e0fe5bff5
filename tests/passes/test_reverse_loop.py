"""Reversed loops: random nests against the unrolled programs, sums of cotangents, dead parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from loop_programs import Program, unrolled

import pullback as pb
from pullback.ir.core import walk
from pullback.ir.ops.control import Loop
from pullback.ir.ops.shape import Full


def assert_near(found: Any, wanted: Any, tolerance: float) -> None:
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * (1 + np.max(np.abs(b))))


@pytest.mark.parametrize("seed", range(50))
def test_random_nests_have_the_gradients_of_the_unrolled_programs(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULLBACK_CHECK", "1")
    program = Program(seed)
    found = pb.grad(program.loss(pb.fori_loop), argnums=(0, 1))(*program.arguments)
    wanted = pb.grad(program.loss(unrolled), argnums=(0, 1))(*program.arguments)
    assert_near(found, wanted, 1e-10)


@pytest.mark.parametrize("seed", range(100, 115))
def test_random_nests_to_second_order(seed: int) -> None:
    program = Program(seed)
    found = pb.grad(program.slope(pb.fori_loop), argnums=(0, 1))(*program.arguments)
    wanted = pb.grad(program.slope(unrolled), argnums=(0, 1))(*program.arguments)
    assert_near(found, wanted, 1e-9)


X = np.linspace(0.2, 1.1, 6)


def test_what_is_carried_and_captured_gets_both_cotangents() -> None:
    def loss(x: Any) -> Any:
        return np.sum(pb.fori_loop(0, 3, lambda i, v: v * x + x[i], x))

    pb.check_grads(loss, (X,), order=2)


def test_what_is_captured_twice_and_under_two_names() -> None:
    def loss(x: Any) -> Any:
        def outer(i: Any, v: Any) -> Any:
            return pb.fori_loop(0, i, lambda j, u: u + x[j] * x[i] * np.sum(x[:j]), v)

        return pb.fori_loop(0, 6, outer, x[0])

    pb.check_grads(loss, (X,), order=2)


def test_running_cotangents_go_through_nested_loops() -> None:
    """A read of a part in an inner loop adds into the one array: none is made in the outer loop."""

    def loss(A: Any) -> Any:
        def row(i: Any, s: Any) -> Any:
            return pb.fori_loop(0, i, lambda j, s: s + np.sum(A[i, :j] * A[j, :j]) * s, s)

        return pb.fori_loop(0, 6, row, np.float64(0.1))

    A = np.random.default_rng(0).normal(size=(6, 6))
    pb.check_grads(loss, (A,), order=2)
    joint = pb.grad(loss).inspect(A).optimized
    inside = [e for loop in walk(joint) for r in loop.op.regions for e in walk(r)]
    assert not [e for e in inside if isinstance(e.op, Full) and e.results[0].type.shape]


def test_a_restored_array_that_nobody_reads_is_dropped_at_all_depths() -> None:
    def loss(x: Any) -> Any:
        def outer(i: Any, y: Any) -> Any:
            def inner(j: Any, y: Any) -> Any:
                y[j] = 2.0 * y[j] - 0.5 * y[i]
                return y

            return pb.fori_loop(0, i, inner, y)

        return np.sum(pb.fori_loop(0, 6, outer, x * 1.0))

    joint = pb.grad(loss).inspect(X).optimized
    loops = [e.op for e in walk(joint) if isinstance(e.op, Loop)]
    assert len(loops) == 2  # the forward is not needed at all
    assert all(op.carries == 1 for op in loops)
    assert all(op.outputs == 0 for op in loops)


def test_an_array_of_integers_that_is_written_is_restored() -> None:
    def loss(x: Any) -> Any:
        def body(i: Any, v: Any) -> Any:
            y, places = v
            y[i] = np.sin(y[places[i]]) * y[i]
            places[i] = places[i - 1] + 1
            return y, places

        start = (x * 1.0, np.array([5, 4, 3, 2, 1, 0]))
        return np.sum(pb.fori_loop(0, 5, body, start)[0])

    def unstaged(x: Any) -> Any:
        y, places = x * 1.0, [5, 4, 3, 2, 1, 0]
        for i in range(5):
            y[i] = np.sin(y[places[i]]) * y[i]
            places[i] = places[i - 1] + 1
        return np.sum(y)

    step = 1e-6
    slopes = [
        (unstaged(X + step * e) - unstaged(X - step * e)) / (2 * step) for e in np.eye(len(X))
    ]
    np.testing.assert_allclose(pb.grad(loss)(X), slopes, rtol=1e-7)


def test_cheap_work_is_done_again_and_dear_work_is_kept() -> None:
    def loss(x: Any, w: Any) -> Any:
        def body(i: Any, v: Any) -> Any:
            cheap = (w * 2.0 + w[i]) * 0.5
            dear = np.exp(w * x[i])
            return v + np.sum(cheap * dear * dear)

        return pb.fori_loop(0, 6, body, x[0])

    pb.check_grads(loss, (X, X[::-1].copy()), order=2)
    joint = pb.grad(loss, argnums=(0, 1)).inspect(X, X).optimized
    (forward,) = [e.op for e in joint.eqns if isinstance(e.op, Loop) and not e.op.backward]
    assert forward.outputs == 1


def test_equal_loops_that_write_in_place() -> None:
    def loss(x: Any) -> Any:
        def body(i: Any, y: Any) -> Any:
            y[i] = np.sin(y[i - 1]) * y[i] * y[i]
            return y

        def run() -> Any:
            return pb.fori_loop(0, 6, body, x * 1.0)

        return np.sum(run() * np.cos(run()))

    pb.check_grads(loss, (X,), order=2)
