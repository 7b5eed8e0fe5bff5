"""Carries that nothing changes: which become captured or constants, and what stays."""

from typing import Any

import numpy as np

import pullback as pb
from pullback.ir.core import Function
from pullback.ir.ops.control import Loop
from pullback.ir.parser import parse_function
from pullback.ir.verify import verify
from pullback.passes.settle import Settle

RNG = np.random.default_rng(0)


def loops(function: Function) -> list[Loop]:
    return [e.op for e in function.eqns if isinstance(e.op, Loop)]


def settled(text: str) -> Function:
    found = Settle()(parse_function(text))
    verify(found)
    return found


def test_a_carry_of_an_array_is_captured_and_its_result_is_what_it_began_with() -> None:
    f = settled("""
def f(x: f64[3], c: f64[3]) -> (f64[3], f64[3]):
    def body(i: i64, s: f64[3], d: f64[3], *, dims=(i,)) -> (f64[3], f64[3]):
        a : f64[3] = s * d
        return a, d
    s, d = loop(body, range(4), carry=(x, c))
    return s, d
""")
    assert [op.carries for op in loops(f)] == [1]
    assert f.results[1] is f.params[1]
    x, c = RNG.standard_normal((2, 3))
    s, d = pb.build(f)(x, c)
    np.testing.assert_allclose(s, x * c**4)
    np.testing.assert_array_equal(d, c)


def test_carries_that_change_places_stay() -> None:
    f = settled("""
def f(x: f64[3], c: f64[3]) -> (f64[3], f64[3], f64[3]):
    def body(i: i64, s: f64[3], d: f64[3], e: f64[3], *, dims=(i,)) -> (f64[3], f64[3], f64[3]):
        a : f64[3] = s + e
        return a, e, d
    s, d, e = loop(body, range(3), carry=(x, x, c))
    return s, d, e
""")
    assert [op.carries for op in loops(f)] == [3]


def test_a_carry_of_a_loop_in_a_loop_settles_in_both() -> None:
    f = settled("""
def f(x: f64[3]) -> (f64[3], f64):
    def body(i: i64, s: f64[3], d: f64, *, dims=(i,)) -> (f64[3], f64):
        def inner(j: i64, t: f64[3], d: f64, *, dims=(j,)) -> (f64[3], f64):
            a : f64[3] = t * d
            return a, d
        s_1, d_1 = loop(inner, range(2), carry=(s, d))
        return s_1, d_1
    s, d = loop(body, range(3), carry=(x, 0.5))
    return s, d
""")
    (outer,) = loops(f)
    (inner,) = loops(outer.body)
    assert (outer.carries, inner.carries) == (1, 1)
    s, d = pb.build(f)(np.ones(3))
    np.testing.assert_array_equal(s, np.full(3, 0.5**6))
    assert d == 0.5


def test_a_test_reads_a_settled_carry() -> None:
    f = settled("""
def f(x: f64, c: f64) -> (f64, f64):
    def body(s: f64, d: f64) -> (f64, f64):
        a : f64 = s * 2.0
        return a, d
    def test(s: f64, d: f64) -> bool:
        b : bool = s < d
        return b
    s, d = loop(body, test=test, trips=new(trips), carry=(x, c))
    return s, d
""")
    assert [op.carries for op in loops(f)] == [1]
    s, d = pb.build(f)(np.float64(1.0), np.float64(100.0))
    assert (s, d) == (128.0, 100.0)


def test_the_seed_of_a_sum_is_a_constant_in_the_reversed_loop() -> None:
    def loss(w: Any, xs: Any) -> Any:
        y, total = np.zeros(3), 0.0
        for x in xs:
            y = np.tanh(y * w + x)
            total = total + np.sum(y**2)
        return total / 7

    args = (RNG.standard_normal(3), RNG.standard_normal((40, 3)))
    backward = [op for op in loops(pb.grad(loss).inspect(*args).optimized) if op.backward]
    assert backward
    assert all(p.type.shape for op in backward for p in op.body.params[1:])
    pb.check_grads(loss, args, order=2)
    exact = pb.compile(pb.grad(loss), exact=True)(*args)
    np.testing.assert_allclose(exact, pb.grad(loss)(*args), rtol=1e-11)
