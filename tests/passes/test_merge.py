"""Loops over equal ranges that run as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.ops.control import Loop

X = np.linspace(0.1, 1.0, 40)
Y = np.linspace(1.1, 0.9, 40)


def loops(function: Callable[..., Any], *args: Any) -> int:
    """Count the loops at the top of the optimised program."""
    eqns = pb.compile(function).inspect(*args).optimized.eqns
    return sum(isinstance(e.op, Loop) for e in eqns)


def sum_and_product(x: Any, y: Any) -> Any:
    total = 0.0
    for i in range(len(x)):
        total += x[i] * y[i]
    half = total * 0.5
    product = 1.0
    for k in range(len(x)):
        product *= y[k]
    return half * product


def triangles(x: Any, y: Any) -> Any:
    total, other = 0.0, 0.0
    for i in range(len(x)):
        for j in range(i):
            total += x[j] * 0.01
    for k in range(len(x)):
        for j in range(k):
            other += y[j] * x[k]
    return total * other


def backward_too(x: Any, y: Any) -> Any:
    u, v = np.zeros_like(x), np.zeros_like(y)
    for i in range(len(x) - 1, 0, -1):
        u[i - 1] = u[i] * 0.5 + x[i]
    for i in range(len(x) - 1, 0, -1):
        v[i - 1] = v[i] * 0.25 + y[i]
    return np.sum(u * v)


def reads_what_the_first_makes(x: Any, y: Any) -> Any:
    u, total = np.zeros_like(x), 0.0
    for i in range(len(x)):
        u[i] = x[i] * 2.0 + y[0]
    for i in range(len(x)):
        total += u[i]
    return total


def writes_what_the_first_reads(x: Any, y: Any) -> Any:
    u, total = x.copy(), 0.0
    for i in range(1, len(x)):
        total += u[i - 1] * u[i]
    for i in range(1, len(x)):
        u[i] = u[i - 1] + y[i]
    return total + np.sum(u)


def depends_between(x: Any, y: Any) -> Any:
    total, other = 0.0, 0.0
    for i in range(len(x)):
        total += x[i] * 0.5
    scaled = y * total
    for i in range(len(x)):
        other += scaled[i]
    return total + other


def other_range(x: Any, y: Any) -> Any:
    total, other = 0.0, 0.0
    for i in range(len(x)):
        total += x[i] * 0.5
    for i in range(1, len(x)):
        other += y[i] * 0.5
    return total + other


MERGED = [sum_and_product, triangles, backward_too]
APART = [reads_what_the_first_makes, writes_what_the_first_reads, depends_between, other_range]


@pytest.mark.parametrize("function", [*MERGED, *APART], ids=lambda f: f.__name__)
def test_values_and_derivatives(function: Callable[..., Any]) -> None:
    assert pb.compile(function, exact=True)(X, Y) == function(X, Y)
    np.testing.assert_allclose(pb.compile(function)(X, Y), function(X, Y), rtol=1e-12)
    pb.check_grads(function, (X, Y), order=2)


@pytest.mark.parametrize("function", MERGED, ids=lambda f: f.__name__)
def test_independent_loops_are_one(function: Callable[..., Any]) -> None:
    assert loops(function, X, Y) == 1


@pytest.mark.parametrize("function", APART, ids=lambda f: f.__name__)
def test_dependent_loops_stay_two(function: Callable[..., Any]) -> None:
    assert loops(function, X, Y) == 2


def test_what_prints_stays_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    def f(x: Any) -> Any:
        total, other = 0.0, 0.0
        for i in range(12):
            total += x[i] * x[i] + np.sin(x[i])
            print(f"first {total:.3f}")
        for i in range(12):
            other += x[i] * x[i] + np.cos(x[i])
            print(f"second {other:.3f}")
        return total * other

    f(X)
    plain = capsys.readouterr().out
    pb.compile(f)(X)
    assert capsys.readouterr().out == plain
