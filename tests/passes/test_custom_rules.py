"""Functions with rules as equations: exposed, in line, transposed, built from text."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
from pullback.ir.core import Function, walk
from pullback.ir.evaluate import evaluate
from pullback.ir.ops.custom import Custom, Pair, Rule, WithRule
from pullback.ir.parser import parse_function
from pullback.ir.verify import verify
from pullback.passes.custom_rules import Inline, exposed
from pullback.passes.forward import forward
from pullback.passes.reverse import reverse
from pullback.passes.rule_pairs import NotLinear, cut, tangent_pair, transposed

X = np.array([0.3, 0.7, 1.1])

TWICE = """
def f(x: f64[3], y: f64[3]) -> f64[3]:
    def body(x: f64[3]) -> f64[3]:
        y : f64[3] = x + x
        return y
    a : f64[3] = custom(x, body=body, label='twice', rule=rule)
    b : f64[3] = a * y
    return b
"""

LOOP = """
def f(x: f64[3], y: f64[3]) -> (f64[3], f64[3]):
    def body(i: i64, a: f64[3], b: f64[3], *, dims=(0 <= k <= 4,)) -> (f64[3], f64[3]):
        def first(x: f64[3]) -> f64[3]:
            y : f64[3] = x + x
            return y
        c : f64[3] = custom(a, body=first, label='twice', rule=rule)
        d : f64[3] = custom(b, body=first, label='twice', rule=rule)
        return c, d
    a, b = loop(body, range(5), carry=(x, y))
    return a, b
"""


class Known(Rule):
    """A rule whose two functions are at hand."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    def pair(self) -> Pair:
        return self._pair


def tripled() -> Known:
    """Return a rule that says 3 where 2 is right, and keeps the operand."""
    first = parse_function("""
def forward(x: f64[3]) -> (f64[3], f64[3]):
    y : f64[3] = x + x
    return y, x
""")
    second = parse_function("""
def backward(x: f64[3], ct: f64[3]) -> f64[3]:
    y : f64[3] = ct * 3.0
    return y
""")
    return Known(Pair(first, second, (0,)))


def read(text: str) -> Function:
    parsed = pb.parse(text, {"rule": tripled()})
    assert isinstance(parsed, Function)
    verify(parsed)
    return parsed


def names(function: Function) -> list[str]:
    return [str(e.op.name) for e in walk(function)]


def test_a_rule_is_exposed_where_a_derivative_flows() -> None:
    function = read(TWICE)
    assert names(exposed(function, [function.params[1]])) == ["custom", "add", "multiply"]
    found = exposed(function, [function.params[0]])
    verify(found)
    assert names(found) == ["add", "with_rule", "multiply"]
    (ruled,) = [e.op for e in found.eqns if isinstance(e.op, WithRule)]
    assert ruled.kept == (1,)
    np.testing.assert_array_equal(evaluate(found, X, X)[0], 2 * X * X)


def test_in_a_loop_the_carries_say_where_it_flows() -> None:
    function = read(LOOP)
    found = exposed(function, [function.params[1]])
    verify(found)
    assert names(found) == ["loop", "custom", "add", "add", "with_rule"]


def test_both_modes_take_the_rule_and_leave_none_of_it() -> None:
    function = read(TWICE)
    back = reverse(function, (0,), seeds=(0,), keep=())
    assert "with_rule" not in names(back)
    np.testing.assert_allclose(evaluate(back, X, X, np.ones(3))[0], 3 * X)
    push = forward(function, (0,), keep=())
    assert "with_rule" not in names(push)
    np.testing.assert_allclose(evaluate(push, X, X, np.ones(3))[0], 3 * X)
    np.testing.assert_allclose(evaluate(reverse(read(LOOP), (0,), seeds=(0,)), X, X, X)[2], 243 * X)


def test_in_line_it_is_the_body() -> None:
    function = Inline()(read(LOOP))
    verify(function)
    assert set(names(function)) == {"loop", "add"}
    np.testing.assert_array_equal(evaluate(function, X, X)[0], 32 * X)


def test_text_builds_and_has_no_derivative() -> None:
    text = TWICE.replace(", rule=rule", "")
    parsed = pb.parse(text)
    (found,) = pb.build(parsed)(X, X)
    np.testing.assert_array_equal(found, 2 * X * X)
    assert isinstance(parsed, Function)
    with pytest.raises(pb.DifferentiationError, match="custom has no gradient rule"):
        reverse(parsed, (0,), seeds=(0,))


def test_types_of_operands_are_checked() -> None:
    body = tripled().pair().backward
    with pytest.raises(pb.VerificationError, match="custom passes f64"):
        Custom(body, "f").infer(body.params[0].type)


LINEAR = """
def f(x: f64[3], t: f64[3]) -> (f64[3], f64[3]):
    y : f64[3] = sin(x)
    c : f64[3] = cos(x)
    z : f64[3] = c * t
    return y, z
"""


def test_the_transpose_of_a_linear_function() -> None:
    back = transposed(parse_function(LINEAR), (1,), (1,), keep=(0,))
    verify(back)
    assert len(back.params) == 2
    value, ct = evaluate(back, X, np.ones(3))
    np.testing.assert_allclose(value, np.sin(X))
    np.testing.assert_allclose(ct, np.cos(X))


def test_what_is_not_linear_has_no_transpose() -> None:
    with pytest.raises(NotLinear):
        transposed(parse_function(LINEAR.replace("c * t", "t * t")), (1,), (1,))


def test_a_function_is_cut_where_tangents_come_in() -> None:
    function = parse_function(LINEAR)
    pair = cut(function, 1, 1, function.params[1:], (0,))
    verify(pair.forward)
    verify(pair.backward)
    assert names(pair.forward) == ["sin", "cos"]
    assert names(pair.backward) == ["multiply"]
    with pytest.raises(NotLinear):
        cut(function, 1, 2, function.params[1:], (0,))


def test_a_rule_for_tangents_follows_from_one_for_cotangents() -> None:
    pair = tangent_pair(tripled(), "twice", 1)
    verify(pair.backward)
    np.testing.assert_allclose(evaluate(pair.backward, X, np.ones(3))[0], [3.0, 3.0, 3.0])
