"""Loop-invariant code motion: what moves, what may not, and that results stay."""

from __future__ import annotations

import numpy as np
import pytest

from pullback.ir.core import Function
from pullback.ir.evaluate import evaluate
from pullback.ir.ops.control import Loop
from pullback.ir.parser import parse_function
from pullback.ir.verify import verify
from pullback.passes.dce import Dce
from pullback.passes.loops import Hoist

NESTED = """
def f(h: f64[3], w: f64[3], n: i64) -> f64[3]:
    def body(i: i64, h: f64[3], w: f64[3], *, dims=(i,)) -> f64[3]:
        a = tanh(w)
        def inner(j: i64, h: f64[3], w: f64[3], g: f64[3], *, dims=(j,)) -> f64[3]:
            b = exp(w)
            c = g * 2.0
            d = h * b
            e = d + c
            return e
        r = loop(inner, range(2), carry=(h,), captured=(w, h))
        s = r * a
        return s
    r = loop(body, range({count}), carry=(h,), captured=(w,))
    return r
"""
RAISING = """
def f(h: f64[2], A: f64[2, 2]) -> f64[2]:
    def body(i: i64, h: f64[2], A: f64[2, 2], *, dims=(i,)) -> f64[2]:
        L = cholesky(A)
        r = L @ h
        return r
    r = loop(body, range(0), carry=(h,), captured=(A,))
    return r
"""


def hoisted(text: str) -> tuple[Function, Function]:
    function = parse_function(text)
    after = Dce()(Hoist()(function))
    verify(after)
    return function, after


@pytest.mark.parametrize("count", [0, 3])
def test_invariants_leave_nested_loops_as_far_as_they_can(count: int) -> None:
    function, after = hoisted(NESTED.format(count=count))
    arrays = [np.linspace(0, 1, 3), np.linspace(-1, 1, 3), np.int64(count)]
    for a, b in zip(evaluate(function, *arrays), evaluate(after, *arrays), strict=True):
        assert a.tobytes() == b.tobytes()
    names = [eqn.op.name for eqn in after.eqns]
    assert sorted(names[:-1]) == ["exp", "tanh"]
    (outer,) = [eqn.op for eqn in after.eqns if isinstance(eqn.op, Loop)]
    assert [e.op.name for e in outer.body.eqns] == ["multiply", "loop", "multiply"]
    inner = outer.body.eqns[1].op
    assert isinstance(inner, Loop)
    assert [e.op.name for e in inner.body.eqns] == ["multiply", "add"]


def test_what_may_raise_stays_in_a_loop_that_may_run_zero_times() -> None:
    function, after = hoisted(RAISING)
    assert [eqn.op.name for eqn in after.eqns] == ["loop"]
    h, singular = np.ones(2), -np.eye(2)
    np.testing.assert_array_equal(
        evaluate(after, h, singular)[0], evaluate(function, h, singular)[0]
    )


def test_a_function_without_loops_is_returned_as_it_is() -> None:
    function = parse_function("""
def f(x: f64[3]) -> f64[3]:
    a = tanh(x)
    return a
""")
    assert Hoist()(function) is function
