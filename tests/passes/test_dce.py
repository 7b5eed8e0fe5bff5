"""What dead code elimination drops and keeps, of loops above all."""

from __future__ import annotations

from typing import Any

import numpy as np

from pullback.ir.core import Function
from pullback.ir.evaluate import evaluate
from pullback.ir.ops.control import Loop
from pullback.ir.parser import parse_function
from pullback.ir.verify import verify
from pullback.passes.dce import Dce

LOOP = """
def f(h: f64[3], g: f64[3], w: f64[3], v: f64[3]) -> {types}:
    def body(
        i: i64, h: f64[3], g: f64[3], k: f64[3], w: f64[3], v: f64[3], *, dims=(i,)
    ) -> (f64[3], f64[3], f64[3], f64[3], f64[3]):
        a : f64[3] = h * w
        b : f64[3] = g + h
        c : f64[3] = k * v
        d : f64[3] = tanh(c)
        return a, b, c, d, b
    hn, gn, kn, ds, bs = loop(body, range(4), carry=(h, g, v), captured=(w, v))
    return {results}
"""


def cleaned(results: str, types: str = "f64[3]") -> tuple[Function, Loop]:
    function = parse_function(LOOP.format(results=results, types=types))
    after = Dce()(function)
    verify(after)
    arrays = [np.linspace(k, k + 1.0, 3) for k in range(4)]
    for a, b in zip(evaluate(function, *arrays), evaluate(after, *arrays), strict=True):
        np.testing.assert_array_equal(a, b)
    assert Dce()(after) is after
    (op,) = [eqn.op for eqn in after.eqns if isinstance(eqn.op, Loop)]
    return after, op


def hints(values: Any) -> list[str]:
    return [v.hint for v in values]


def test_carries_that_only_feed_themselves_go_with_what_they_captured() -> None:
    after, op = cleaned("hn")
    assert op.carries == 1
    assert op.outputs == 0
    assert hints(op.body.params) == ["i", "h", "w"]
    assert len(op.body.eqns) == 1
    assert hints(after.eqns[0].operands[3:]) == ["h", "w"]


def test_a_carry_that_another_needs_stays() -> None:
    _, op = cleaned("gn")
    assert op.carries == 2
    assert hints(op.body.params) == ["i", "h", "g", "w"]


def test_a_dead_output_goes_and_leaves_the_carry() -> None:
    _, op = cleaned("kn")
    assert (op.carries, op.outputs) == (1, 0)
    assert [e.op.name for e in op.body.eqns] == ["multiply"]


def test_a_live_output_keeps_the_carry_it_reads() -> None:
    _, op = cleaned("ds", "f64[4, 3]")
    assert (op.carries, op.outputs) == (1, 1)
    assert hints(op.body.params) == ["i", "k", "v"]


def test_a_loop_of_which_the_size_alone_is_read_keeps_what_its_carry_needs() -> None:
    f = parse_function(
        """
def f(x: f64[3], n: i64) -> i64:
    def outer(i: i64, x: f64[3], n: i64, *, dims=(i,)) -> (f64[3], i64):
        def inner(j: i64, a: f64[3], b: f64[3], *, dims=(j,)) -> (f64[3], f64[3]):
            c : f64[3] = b * 0.5
            return b, c
        y, z = loop(inner, range(n), carry=(x, x), trips=new(m))
        s : i64 = extent(dim=m)
        return y, s
    y, s = loop(outer, range(4), carry=(x,), captured=(n,))
    t : i64 = sum(s, axes=(-1,))
    return t
"""
    )
    found = Dce()(f)
    verify(found)
    (outer,) = [e for e in found.eqns if isinstance(e.op, Loop)]
    (inner,) = [e for e in outer.op.regions[0].eqns if isinstance(e.op, Loop)]
    assert len(inner.results) == 2
    (total,) = evaluate(found, np.ones(3), np.int64(5))
    assert total == 20


def test_a_loop_that_nothing_reads_goes() -> None:
    function = parse_function(LOOP.format(results="w", types="f64[3]"))
    assert Dce()(function).eqns == ()


def test_everything_stays_where_everything_is_read() -> None:
    function = parse_function(
        LOOP.format(
            results="hn, gn, kn, ds, bs",
            types="(f64[3], f64[3], f64[3], f64[4, 3], f64[4, 3])",
        )
    )
    assert Dce()(function) is function


def test_what_a_test_reads_stays() -> None:
    function = parse_function("""
def f(x: f64, n: f64) -> f64:
    def test(x: f64, n: f64, m: f64) -> bool:
        c : bool = n < m
        return c
    def body(x: f64, n: f64, m: f64) -> (f64, f64):
        a : f64 = x * 2.0
        b : f64 = n + 1.0
        return a, b
    xn, nn = loop(body, carry=(x, 0.0), captured=(n,), test=test, trips=new(trips))
    return xn
""")
    after = Dce()(function)
    (op,) = [eqn.op for eqn in after.eqns if isinstance(eqn.op, Loop)]
    assert op.carries == 2
    assert evaluate(after, np.float64(1.5), np.float64(3.0)) == [12.0]


def test_equations_that_may_raise_stay_in_exact_mode() -> None:
    function = parse_function("""
def f(x: f64[2, 2]) -> f64[2, 2]:
    L : f64[2, 2] = cholesky(x)
    return x
""")
    assert Dce()(function).eqns == ()
    assert len(Dce(keep_raising=True)(function).eqns) == 1


def test_a_loop_that_may_not_end_keeps_what_it_reads_in_exact_mode() -> None:
    f = parse_function(
        """
def f(x: f64[3], n: i64) -> f64[3]:
    def outer(i: i64, x: f64[3], n: i64, *, dims=(i,)) -> (f64[3], i64):
        def inner(k: i64, h: i64) -> (i64, i64):
            m : i64 = k + 1
            return m, m
        def test(k: i64, h: i64) -> bool:
            p : bool = k < 9
            return p
        m, h, c = loop(inner, carry=(7, n), test=test, trips=new(t), counts=True)
        y : f64[3] = x * 0.5
        return y, h
    y, m = loop(outer, range(4), carry=(x, n))
    return y
"""
    )
    for keep_raising in (True, False):
        found = Dce(keep_raising)(f)
        verify(found)
        (outer,) = [e for e in found.eqns if isinstance(e.op, Loop)]
        assert len(outer.results) == 1 + keep_raising
        np.testing.assert_array_equal(evaluate(found, np.ones(3), np.int64(5))[0], 1 / 16)


def test_unread_results_of_a_fused_region_go() -> None:
    function = parse_function("""
def f(x: f64[3], y: f64[3], z: f64[3]) -> f64[3]:
    with fused(reads=(x, y, z), writes="b c"):
        a = x * y
        b = tanh(a)
        c = a + z
    return b
""")
    after = Dce()(function)
    verify(after)
    (eqn,) = after.eqns
    assert hints(eqn.results) == ["b"]
    assert len(eqn.operands) == 2
    assert len(eqn.op.regions[0].eqns) == 2
