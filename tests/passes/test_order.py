"""The memory order of what regions are given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.core import Eqn, Function, walk
from pullback.ir.ops.cond import Cond
from pullback.ir.ops.control import Loop
from pullback.ir.parser import parse_function
from pullback.ir.verify import verify
from pullback.passes.memory import plan_memory
from pullback.passes.order import aligned
from pullback.runtime.program import Program

BRANCH = """
def f(p: bool, x: f64[3, 4]) -> f64[12]:
    a = x.T
    def then(a: f64[4, 3]) -> f64[12]:
        b = reshape(a, shape=(12,), rank=2)
        c = sin(b)
        return c
    def otherwise(a: f64[4, 3]) -> f64[12]:
        b = reshape(a, shape=(12,), rank=2)
        return b
    r = cond(p, then, otherwise, captured=(a,))
    return r
"""
LOOP = """
def f(n: f64[12], x: f64[3, 4]) -> f64[12]:
    y = x * 2.0
    a = y.T
    def body(i: i64, r: f64[12], a: f64[4, 3], *, dims=(i,)) -> f64[12]:
        b = reshape(a, shape=(12,), rank=2)
        c = r + b
        return c
    r = loop(body, range(3), carry=(n,), captured=(a,))
    return r
"""


def with_layouts_of_primals(text: str) -> Function:
    """Return a function whose regions say that they capture in C order."""
    function = parse_function(text)
    for eqn in walk(function):
        for region in eqn.op.regions:
            for value in (*region.params, *[r for e in region.eqns for r in e.results]):
                value.layout = None
    return function


def captured(eqn: Eqn) -> list[Any]:
    op = eqn.op
    first = op.head + op.carries if isinstance(op, Loop) else 1
    return list(eqn.operands[first:])


@pytest.mark.parametrize("text", [BRANCH, LOOP])
def test_what_regions_capture_has_the_order_of_what_they_are_given(text: str) -> None:
    function = aligned(with_layouts_of_primals(text))
    verify(function)
    (eqn,) = [e for e in function.eqns if isinstance(e.op, Cond | Loop)]
    for region in eqn.op.regions:
        for param, atom in zip(region.params[::-1], captured(eqn)[::-1], strict=False):
            assert param.layout == atom.layout == (8, 32)
    assert aligned(function) is function


@pytest.mark.parametrize("text", [BRANCH, LOOP])
def test_programs_reshape_what_regions_are_given_in_another_order(text: str) -> None:
    program = Program(plan_memory(with_layouts_of_primals(text)), frozenset([0]))
    first = np.array(False) if text is BRANCH else np.ones(12)
    for x in (np.arange(12.0).reshape(3, 4), np.arange(12.0).reshape(3, 4)[::-1].copy()):
        (found,) = program(first[()] if text is BRANCH else first, x)
        expected = x.T.reshape(-1) if text is BRANCH else 1 + 6 * x.T.reshape(-1)
        np.testing.assert_array_equal(found, expected)


def test_tangents_of_a_branch_may_lie_in_another_order_than_values() -> None:
    def f(x: Any) -> Any:
        y = x[0] @ x
        y = y * np.sum(np.sin(y)) if np.sum(y) > 0 else y * np.sum(np.cos(y))
        return np.sum(y)

    rng = np.random.default_rng(0)
    for sign in (1, -1):
        x, v = rng.uniform(-1, 1, (2, 3, 3, 3)) * sign
        expected = np.sum(pb.grad(f)(x) * v)
        np.testing.assert_allclose(pb.jvp(f, (x,), (v,))[1], expected, rtol=1e-10)
        found = pb.vmap(lambda x, v: pb.jvp(f, (x,), (v,))[1])(np.stack([x, -x]), np.stack([v, v]))
        np.testing.assert_allclose(found[0], expected, rtol=1e-10)
