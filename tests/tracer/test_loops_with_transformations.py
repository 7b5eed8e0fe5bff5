"""Python loops around and inside of derivatives, `scan` and `fori_loop`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb


def descent(w: Any, rate: Any) -> Any:
    def loss(w: Any) -> Any:
        return np.sum((w - 1.0) ** 4)

    for _ in range(50):
        w = w - rate * pb.grad(loss)(w)
    return np.sum(w)


def descent_by_rate(rate: Any) -> Any:
    return descent(np.zeros(3) + 0.1 * rate, rate)


def scan_in_a_loop(x: Any) -> Any:
    def step(carry: Any, row: Any) -> Any:
        return carry * 0.9 + row, carry

    total = 0.0
    for i in range(20):
        carry, rows = pb.scan(step, x[i], x)
        total = total + carry + np.sum(rows * rows)
    return total


def loop_in_a_scan(x: Any) -> Any:
    def step(carry: Any, row: Any) -> Any:
        for k in range(30):
            carry = np.sin(carry) * 0.9 + row * k * 0.01
        return carry, carry

    carry, rows = pb.scan(step, x[0], x)
    return carry + np.sum(rows)


def loop_in_a_fori_loop(x: Any) -> Any:
    def body(i: Any, carry: Any) -> Any:
        for k in range(30):
            carry[i] = np.sin(carry[i]) + 0.1 * carry[k]
        return carry

    return np.sum(pb.fori_loop(0, 25, body, x))


def zip_that_is_used_up(x: Any) -> Any:
    pairs = zip(x, range(100), strict=False)
    total = 0.0
    for value, k in pairs:
        total += value * k
    for _ in pairs:
        total += 1000.0
    return total


CASES = [
    descent_by_rate,
    scan_in_a_loop,
    loop_in_a_scan,
    loop_in_a_fori_loop,
    zip_that_is_used_up,
]


@pytest.mark.parametrize("function", CASES, ids=lambda f: f.__name__)
def test_values_and_two_orders(function: Callable[[Any], Any]) -> None:
    x: Any = 0.01 if function is descent_by_rate else np.linspace(0.1, 1.0, 40)
    np.testing.assert_allclose(pb.compile(function)(x), function(x), rtol=1e-12)
    pb.check_grads(function, (x,), order=2)


def test_a_derivative_in_a_loop_is_staged() -> None:
    forward = pb.compile(descent).inspect(np.zeros(4), 0.01).forward
    assert [e.op.name for e in forward.eqns].count("loop") == 1
    assert len(forward.eqns) < 5
