"""Tangents of loops, branches, recursions and tapes: what is carried, and that it is right."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from differences import inexact
from pairings import check_pairing

import pullback as pb
from pullback.ir.core import Eqn, Function, walk
from pullback.ir.evaluate import evaluate
from pullback.ir.ops.cond import Cond
from pullback.ir.ops.control import Loop
from pullback.ir.ops.recursion import Recur, Recursion
from pullback.ir.parser import parse_function
from pullback.ir.verify import verify
from pullback.passes.dce import Dce
from pullback.passes.forward import forward
from pullback.passes.pipeline import STABLE, run
from pullback.passes.reverse import reverse

_spec = importlib.util.spec_from_file_location(
    "inputs_of_the_corpus", Path(__file__).parents[1] / "corpus" / "inputs.py"
)
assert _spec is not None
assert _spec.loader is not None
corpus = sys.modules[_spec.name] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(corpus)

X = np.array([0.4, -1.2, 2.0])


def only(function: Function, op: type) -> Eqn:
    (found,) = [e for e in walk(function) if isinstance(e.op, op)]
    return found


def check_orders(function: Function, arguments: list[Any], tolerance: float = 1e-8) -> Function:
    """Check the tangents, those of the gradient, and the gradient and tangents of tangents."""
    joint, given = check_pairing(function, arguments, tolerance)
    check_pairing(joint, given, tolerance)
    wrt = inexact([p.type for p in function.params])
    seeds = inexact([r.type for r in function.results])
    gradient = reverse(function, wrt, seeds=seeds)
    with np.errstate(all="ignore"):  # only the types are read
        cts = [np.ones_like(evaluate(function, *arguments)[k])[()] for k in seeds]
    check_pairing(gradient, [*arguments, *cts], tolerance)
    return joint


# ---- loops ---------------------------------------------------------------------------------------

LOOP = """
def f(x: f64[3], w: f64[3], k: f64[3]) -> (f64[3], f64[3], i64, f64[5, 3], f64[5, 3], f64[3]):
    def body(
        i: i64, h: f64[3], g: f64[3], n: i64, q: f64[3], w: f64[3], k: f64[3], *, dims=(i,)
    ) -> (f64[3], f64[3], i64, f64[3], f64[3], f64[3]):
        a : f64[3] = h * w
        b : f64[3] = g + h
        c : f64[3] = tanh(b)
        m : i64 = n + i
        d : f64[3] = q * k
        e : f64[3] = cos(d)
        return a, c, m, d, a, e
    h, g, n, q, hs, es = loop(body, range(5), carry=(x, k, 0, k), captured=(w, k))
    return h, g, n, hs, es, q
"""


def test_a_loop_carries_the_tangents_of_what_moves() -> None:
    function = parse_function(LOOP)
    check_orders(function, [X, X + 1.0, X - 0.5])
    joint = forward(function, (0, 1))
    op = only(joint, Loop).op
    assert isinstance(op, Loop)
    # Those of `h`, of `g` after an iteration, and none of `n` and `q`.
    assert op.carries == 4 + 2
    assert op.outputs == 2 + 1
    hints = [p.hint for p in op.body.params]
    assert hints == ["i", "h", "g", "n", "q", "h_dot", "g_dot", "w", "k", "w_dot"]


def test_trips_and_tests_are_those_of_the_loop() -> None:
    function = parse_function(
        """
def f(x: f64, w: f64) -> (f64, i64):
    def body(h: f64, w: f64) -> f64:
        a : f64 = h * w
        return a
    def test(h: f64, w: f64) -> bool:
        p : bool = h < 40.0
        return p
    h, n = loop(body, carry=(x,), captured=(w,), test=test, trips=new(n), counts=True)
    return h, n
"""
    )
    joint = check_orders(function, [np.float64(1.5), np.float64(2.0)])
    op = only(joint, Loop).op
    assert isinstance(op, Loop)
    assert op.test is not None
    assert len(op.test.params) == len(op.body.params) == 4
    h, n, h_dot, n_dot = evaluate(joint, *map(np.float64, (1.5, 2.0, 1.0, 0.5)))
    assert (h, n, n_dot) == (48.0, 5, 0)
    assert h_dot == pytest.approx(2.0**5 + 1.5 * 5 * 2.0**4 * 0.5)


def test_a_loop_with_sizes_of_its_index() -> None:
    function = parse_function(
        """
def f(x: f64[6]) -> f64:
    def body(i: i64, s: f64, x: f64[6], *, dims=(0 <= i <= 5,)) -> f64:
        part : f64[i] = x[:i]
        bent : f64[i] = sin(part)
        part2 : f64[i] = bent * part
        add : f64 = sum(part2, axes=(-1,))
        t : f64 = s + add
        return t
    s = loop(body, range(6), carry=(0.0,), captured=(x,))
    return s
"""
    )
    check_orders(function, [np.linspace(0.1, 2.0, 6)])


def test_writes_in_place_stay_in_place() -> None:
    function = parse_function(
        """
def f(x: f64[6], w: f64) -> f64[6]:
    def body(i: i64, x: f64[6], w: f64, *, dims=(0 <= i <= 4,)) -> f64[6]:
        a : f64 = x[i]
        b : f64 = a * w
        j : i64 = i + 1
        y : f64[6] = index_update(x[j], b)
        return y
    y = loop(body, range(5), carry=(x,), captured=(w,))
    return y
"""
    )
    joint = check_orders(function, [np.linspace(0.1, 2.0, 6), np.float64(0.7)])
    op = only(joint, Loop).op
    writes = [e for e in op.regions[0].eqns if e.op.name == "index_update"]
    assert [e.provenance.derived for e in writes] == ["jvp", "primal"]
    assert not any(e.op.name in ("full", "index_add") for e in op.regions[0].eqns)


# ---- branches ------------------------------------------------------------------------------------

COND = """
def f(p: bool, x: f64[3], y: f64[3]) -> (f64[3], f64):
    def then(x: f64[3], y: f64[3]) -> (f64[3], f64):
        a : f64[3] = sin(x)
        b : f64[3] = a * y
        return b, 1.0
    def otherwise(x: f64[3], y: f64[3]) -> (f64[3], f64):
        s : f64 = sum(y, axes=(-1,))
        return y, s
    r, s = cond(p, then, otherwise, captured=(x, y))
    return r, s
"""


@pytest.mark.parametrize("way", [True, False])
def test_branches_return_tangents(way: bool) -> None:
    joint = check_orders(parse_function(COND), [np.bool_(way), X, X + 1.0])
    assert len(only(joint, Cond).results) == 4


def test_a_branch_without_a_tangent_returns_zeros() -> None:
    joint = forward(parse_function(COND), (1,), keep=())
    verify(joint)
    cond = only(joint, Cond)
    assert len(cond.results) == 3
    r_dot, s_dot = evaluate(joint, np.bool_(False), X, X, X)
    np.testing.assert_array_equal(r_dot, np.zeros(3))
    assert s_dot == 0.0


def test_only_the_branch_that_is_taken_runs() -> None:
    function = parse_function(
        """
def f(p: bool, x: f64) -> f64:
    def then(x: f64) -> f64:
        print(x, pieces=("x is ", ";"), forms=("scalar",))
        y : f64 = x * x
        return y
    def otherwise(x: f64) -> f64:
        return x
    r = cond(p, then, otherwise, captured=(x,))
    return r
"""
    )
    joint = forward(function, (1,))
    names = [e.op.name for e in walk(joint)]
    assert names.count("print") == 1


# ---- tapes and records ---------------------------------------------------------------------------

TAPE = """
def f(x: f64[3], n: i64) -> f64:
    t : tape_f64 = tape_new(dtype=tape_f64)
    u : tape_f64 = tape_new(dtype=tape_f64)
    c : f64[3] = full(2.0, shape=(3,))
    def push(i: i64, t: tape_f64, u: tape_f64, x: f64[3], c: f64[3], *, dims=(i,)) -> (
        tape_f64, tape_f64, f64[3]
    ):
        a : tape_f64 = tape_push(t, x)
        b : tape_f64 = tape_push(u, c)
        y : f64[3] = sin(x)
        return a, b, y
    t2, u2, y = loop(push, range(n), carry=(t, u, x), captured=(c,), trips=new(m))
    def pop(i: i64, t: tape_f64, u: tape_f64, s: f64[3], *, dims=(i,)) -> (
        tape_f64, tape_f64, f64[3]
    ):
        a, v = tape_pop(t, shape=(3,))
        b, w = tape_pop(u, shape=(3,))
        p : f64[3] = v * v
        q : f64[3] = p * w
        r : f64[3] = s + q
        return a, b, r
    t3, u3, s = loop(pop, range(n), carry=(t2, u2, y), trips=new(k), backward=True)
    r : f64 = sum(s, axes=(-1,))
    return r
"""


def test_a_tape_of_tangents_runs_beside_a_tape() -> None:
    function = parse_function(TAPE)
    joint, _ = check_pairing(function, [X, np.int64(4)])
    made = [e for e in joint.eqns if e.op.name == "tape_new"]
    # What does not move has no tape of zeros beside it.
    assert [e.provenance.derived for e in made] == ["primal", "jvp", "primal"]


def test_a_record_of_tangents() -> None:
    function = parse_function(
        """
def f(x: f64[3], n: i64) -> f64[3]:
    y : f64[3] = x * x
    r : record = pack(x, n, y)
    a, m, b = unpack(r, types=(f64[3], i64[()], f64[3]))
    c : f64[3] = a * b
    return c
"""
    )
    joint = forward(function, (0,), keep=())
    verify(joint)
    (found,) = evaluate(joint, X, np.int64(1), np.ones(3))
    np.testing.assert_allclose(found, 3 * X**2)


# ---- recursion -----------------------------------------------------------------------------------

RECURSION = """
def f(x: f64[3], s: f64, w: f64[3]) -> (f64[3], f64):
    def g(x: f64[3], s: f64, w: f64[3]) -> (f64[3], f64):
        p : bool = s < 1.0
        def then(x: f64[3], s: f64, w: f64[3]) -> (f64[3], f64):
            return x, s
        def otherwise(x: f64[3], s: f64, w: f64[3]) -> (f64[3], f64):
            a : f64[3] = x * w
            b : f64 = s * 0.5
            c, d = recur(g, a, b, w, types=(f64[3], f64[()]))
            e : f64[3] = c * d
            return e, d
        r, t = cond(p, then, otherwise, captured=(x, s, w))
        return r, t
    y, t = recursion(g, x, s, w)
    return y, t
"""


def test_a_recursion_takes_and_returns_tangents() -> None:
    function = parse_function(RECURSION)
    arguments = [X, np.float64(9.0), np.array([0.5, 1.5, -0.7])]
    check_orders(function, arguments)
    joint = forward(function, (2,))
    outer, inner = only(joint, Recursion), only(joint, Recur)
    # `x` moves in the calls within, though not in the first.
    assert [p.hint for p in outer.op.regions[0].params] == ["x", "s", "w", "x_dot", "w_dot"]
    assert len(inner.operands) == 5
    assert len(inner.results) == 3


def test_carries_of_a_recursion_stand_first_with_their_tangents() -> None:
    function = parse_function(
        """
def f(a: f64[3], x: f64) -> f64[3]:
    def g(a: f64[3], x: f64) -> f64[3]:
        p : bool = x < 1.0
        def then(a: f64[3], x: f64) -> f64[3]:
            return a
        def otherwise(a: f64[3], x: f64) -> f64[3]:
            v : f64 = sin(x)
            b : f64[3] = index_add(a[1], v)
            y : f64 = x * 0.5
            c : f64[3] = recur(g, b, y, carries=1)
            return c
        r = cond(p, then, otherwise, captured=(a, x))
        return r
    y = recursion(g, a, x, carries=1)
    return y
"""
    )
    check_pairing(function, [X, np.float64(6.0)])
    op = only(forward(function, (1,)), Recursion).op
    assert isinstance(op, Recursion)
    assert op.carries == 2
    assert [p.hint for p in op.body.params] == ["a", "a_dot", "x", "x_dot"]


# ---- whole programs ------------------------------------------------------------------------------


@pytest.mark.parametrize("program", corpus.CORPUS, ids=lambda p: p.name)
def test_programs_of_the_corpus(program: Any) -> None:
    arguments = program.arguments(corpus.SMALL)
    gradient = pb.value_and_grad(program.function, argnums=program.argnums)
    traced = gradient.inspect(*arguments).stages[0].function
    function = run(traced, STABLE.before, [])
    joint = check_orders(function, list(gradient.arguments.scan(arguments, {})[0]))
    assert not any(e.op.effect.name == "ORDERED" for e in Dce()(joint).eqns)
