"""The adjoint of branches: what the forward returns for it, and what goes through it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pullback.ir.core import Eqn, Function, Value
from pullback.ir.evaluate import evaluate
from pullback.ir.ops.cond import Cond
from pullback.ir.parser import parse_function
from pullback.ir.verify import verify
from pullback.passes.dce import Dce
from pullback.passes.reverse import reverse
from pullback.passes.simplify import Simplify

X = np.array([0.4, -1.2, 2.0])

BRANCHES = """
def f(p: bool, x: f64[3], y: f64[3]) -> f64:
    def then(x: f64[3], y: f64[3]) -> f64[3]:
        a : f64[3] = sin(x)
        b : f64[3] = sin(a)
        c : f64[3] = b * y
        return c
    def otherwise(x: f64[3], y: f64[3]) -> f64[3]:
        d : f64[3] = exp(x)
        return d
    r = cond(p, then, otherwise, captured=(x, y))
    s : f64 = sum(r, axes=(-1,))
    return s
"""


def conds(function: Function) -> list[tuple[Eqn, Cond]]:
    return [(e, e.op) for e in function.eqns if isinstance(e.op, Cond)]


def gradient(text: str | Function, wrt: tuple[int, ...]) -> Function:
    function = text if isinstance(text, Function) else parse_function(text)
    made = Dce()(Simplify()(reverse(function, wrt)))
    verify(made)
    return made


def against_differences(function: Function, made: Function, args: list[Any], wrt: int) -> None:
    slopes = []
    for k in range(3):
        shift = np.zeros(3)
        shift[k] = 1e-6
        up, down = [
            evaluate(function, *[a + s if n == wrt else a for n, a in enumerate(args)])[0]
            for s in (shift, -shift)
        ]
        slopes.append((up - down) / 2e-6)
    np.testing.assert_allclose(evaluate(made, *args)[1], slopes, rtol=1e-7, atol=1e-8)


def test_branches_share_residuals_of_one_type() -> None:
    made = gradient(BRANCHES, (1, 2))
    (forward, _), (_, backward) = conds(made)
    # `a` and `b` of one branch; the other reads `d`, which it returns anyway.
    assert len(forward.results) == 3
    assert all(len(b.results) == 2 for b in backward.branches)
    function = parse_function(BRANCHES)
    for p in (True, False):
        against_differences(function, made, [np.bool_(p), X, X + 1.0], 1)


def test_a_branch_without_a_cotangent_returns_zeros() -> None:
    made = gradient(BRANCHES, (2,))
    p, x, y = np.bool_(False), X, X
    np.testing.assert_array_equal(evaluate(made, p, x, y)[1], np.zeros(3))
    np.testing.assert_allclose(evaluate(made, np.bool_(True), x, y)[1], np.sin(np.sin(X)))


def test_views_and_positions_are_taken_again() -> None:
    made = gradient(
        """
def f(p: bool, x: f64[4, 3], i: i64) -> f64:
    def then(x: f64[4, 3], i: i64) -> f64:
        t : f64[3, 4] = x.T
        j : i64 = i + 1
        a : f64[4] = t[j]
        b : f64[4] = a * a
        s : f64 = sum(b, axes=(-1,))
        return s
    def otherwise(x: f64[4, 3], i: i64) -> f64:
        s : f64 = sum(x, axes=(-2, -1))
        return s
    r : f64 = cond(p, then, otherwise, captured=(x, i))
    return r
""",
        (1,),
    )
    (forward, _), (_, backward) = conds(made)
    assert len(forward.results) == 1
    assert {"transpose", "add", "index"} <= {e.op.name for e in backward.branches[0].eqns}
    x = np.arange(12.0).reshape(4, 3)
    expected = np.zeros((4, 3))
    expected[:, 2] = 2 * x[:, 2]
    np.testing.assert_array_equal(evaluate(made, np.bool_(True), x, np.int64(1))[1], expected)
    np.testing.assert_array_equal(
        evaluate(made, np.bool_(False), x, np.int64(1))[1], np.ones((4, 3))
    )


def test_the_running_cotangent_goes_through() -> None:
    made = gradient(
        """
def f(p: bool, x: f64[3]) -> f64:
    def then(x: f64[3]) -> f64:
        a : f64 = x[1]
        b : f64 = a * a
        return b
    def otherwise(x: f64[3]) -> f64:
        return 0.0
    r : f64 = cond(p, then, otherwise, captured=(x,))
    y : f64[3] = tanh(x)
    s : f64 = sum(y, axes=(-1,))
    t : f64 = r + s
    return t
""",
        (1,),
    )
    _, (_, backward) = conds(made)
    taken, other = backward.branches
    assert [e.op.name for e in taken.eqns if e.op.updates is not None] == ["index_add"]
    assert not other.eqns
    assert other.results[0] in other.params
    slope = 1 - np.tanh(X) ** 2
    np.testing.assert_allclose(evaluate(made, np.bool_(False), X)[1], slope)
    slope[1] += 2 * X[1]
    np.testing.assert_allclose(evaluate(made, np.bool_(True), X)[1], slope)


def test_an_operand_that_is_passed_twice_has_the_sum() -> None:
    text = BRANCHES.replace("captured=(x, y)", "captured=(x, x)").replace(
        "s : f64 = sum(r,", "t : f64[3] = r * x\n    s : f64 = sum(t,"
    )
    function = parse_function(text)
    made = gradient(text, (1,))
    for p in (True, False):
        against_differences(function, made, [np.bool_(p), X, X], 1)


def test_equal_branches_are_swept_once_each() -> None:
    function = parse_function(BRANCHES)
    cond, total = function.eqns
    again = Eqn(cond.op, cond.operands, tuple(Value(r.type) for r in cond.results))
    product = parse_function("""
def g(a: f64[3], b: f64[3]) -> f64[3]:
    c = a * b
    return c
""").eqns[0]
    result = Value(product.result.type)
    both = Eqn(product.op, (cond.results[0], again.results[0]), (result,))
    last = Eqn(total.op, (result,), total.results)
    twice = function.replace(eqns=[cond, again, both, last])
    verify(twice)
    made = gradient(twice, (1,))
    for p in (True, False):
        against_differences(twice, made, [np.bool_(p), X, X + 1.0], 1)


@pytest.mark.parametrize("i", [-1, 0, 1, 5])
def test_a_choice_by_number(i: int) -> None:
    text = BRANCHES.replace("p: bool", "p: i64").replace(
        "    r = cond(p, then, otherwise,",
        """    def third(x: f64[3], y: f64[3]) -> f64[3]:
        e : f64[3] = x / y
        return e
    r = cond(p, then, otherwise, third,""",
    )
    function = parse_function(text)
    made = gradient(text, (1, 2))
    args = [np.int64(i), X, X + 3.0]
    against_differences(function, made, args, 1)
    expected = [np.sin(np.sin(X)), np.zeros(3), -X / (X + 3.0) ** 2][min(max(i, 0), 2)]
    np.testing.assert_allclose(evaluate(made, *args)[2], expected, rtol=1e-12)


def test_a_literal_predicate_leaves_its_branch() -> None:
    text = BRANCHES.replace("cond(p,", "cond(False,")
    made = Simplify()(parse_function(text))
    assert [e.op.name for e in made.eqns] == ["exp", "sum"]
