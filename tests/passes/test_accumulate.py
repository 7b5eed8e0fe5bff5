"""Writes of what was read and changed, as additions, before reverse mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.core import walk
from pullback.ir.ops.index import IndexAdd, IndexUpdate

A = np.linspace(-1.0, 2.0, 30).reshape(5, 6)


def added(x: Any) -> Any:
    x = x.copy()
    x[1:] += np.sin(x[:-1])
    return np.sum(x * x)


def subtracted(x: Any) -> Any:
    x = x.copy()
    x[:, 2:4] -= x[:, :2] * x[:, 4:]
    return np.sum(x**3)


def on_the_right(x: Any) -> Any:
    x = x.copy()
    x[0] = x[1] * 2.0 + x[0]
    return np.sum(x * x)


def in_a_loop(x: Any) -> Any:
    x = x.copy()
    for k in range(len(x) - 1):
        x[k + 1 :] -= np.outer(x[k + 1 :, 0], x[k]) / (2.0 + x[k, 0] ** 2)
    return np.sum(x * np.cos(x))


def broadcast(x: Any) -> Any:
    x = x.copy()
    x[:3] += x[4]
    return np.sum(x * x)


def multiplied(x: Any) -> Any:
    x = x.copy()
    x[1:3] *= x[3:5]
    return np.sum(x * x)


def another_place(x: Any) -> Any:
    x = x.copy()
    x[1:3] = x[0:2] + x[3:5]
    return np.sum(x * x)


def after_another_write(x: Any) -> Any:
    x = x.copy()
    old = x[1:3] * 1.0
    x[1] = x[2]
    x[1:3] = old + x[3:5]
    return np.sum(x * x)


def read_twice(x: Any) -> Any:
    x = x.copy()
    new = x[1:3] + x[3:5]
    x[1:3] = new
    return np.sum(x * x) + np.sum(new)


ADDED = [added, subtracted, on_the_right, in_a_loop, broadcast]
KEPT = [multiplied, another_place, after_another_write, read_twice]


@pytest.mark.parametrize("function", [*ADDED, *KEPT], ids=lambda f: f.__name__)
def test_values_and_derivatives(function: Callable[[Any], Any]) -> None:
    value, gradient = pb.value_and_grad(function, exact=True)(A)
    assert value == function(A)
    np.testing.assert_allclose(gradient, pb.grad(function)(A), rtol=1e-12, atol=1e-12)
    pb.check_grads(function, (A,), order=2)


@pytest.mark.parametrize("function", ADDED, ids=lambda f: f.__name__)
def test_the_forward_half_adds(function: Callable[[Any], Any]) -> None:
    eqns = [e for e in walk(pb.grad(function).inspect(A).joint) if not e.provenance.is_adjoint]
    assert any(isinstance(e.op, IndexAdd) for e in eqns)
    assert not any(isinstance(e.op, IndexUpdate) for e in eqns)


@pytest.mark.parametrize("function", KEPT, ids=lambda f: f.__name__)
def test_other_writes_stay(function: Callable[[Any], Any]) -> None:
    eqns = [e for e in walk(pb.grad(function).inspect(A).joint) if not e.provenance.is_adjoint]
    assert not any(isinstance(e.op, IndexAdd) for e in eqns)
