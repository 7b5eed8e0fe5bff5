"""The op of branches: types, values, text, effects."""

from __future__ import annotations

import numpy as np
import pytest

from pullback.ir.equality import equal_up_to_renaming
from pullback.ir.errors import ParseError, VerificationError
from pullback.ir.evaluate import evaluate
from pullback.ir.export import to_json
from pullback.ir.op import Effect
from pullback.ir.parser import parse_function
from pullback.ir.printer import print_function
from pullback.ir.verify import verify

TWO = """
def f(p: bool, x: f64[3], y: f64[3]) -> (f64[3], f64):
    def then(x: f64[3], y: f64[3]) -> (f64[3], f64):
        a : f64[3] = x * y
        b : f64    = sum(a, axes=(-1,))
        return a, b
    def otherwise(x: f64[3], y: f64[3]) -> (f64[3], f64):
        return x, 2.0
    r, s = cond(p, then, otherwise, captured=(x, y))
    return r, s
"""

THREE = """
def f(i: i64, x: f64[3]) -> f64[3]:
    def case0(x: f64[3]) -> f64[3]:
        a : f64[3] = x + 1.0
        return a
    def case1(x: f64[3]) -> f64[3]:
        a : f64[3] = x + 2.0
        return a
    def case2(x: f64[3]) -> f64[3]:
        a : f64[3] = x + 3.0
        return a
    r = cond(i, case0, case1, case2, captured=(x,))
    return r
"""

SIZED = """
def f(p: bool, x: f64[n], *, dims=(n,)) -> f64[n]:
    def then(x: f64[m], *, dims=(m,)) -> f64[m]:
        a : f64[m] = -x
        return a
    def otherwise(x: f64[k], *, dims=(k,)) -> f64[k]:
        b : f64[k] = full(1.0, shape=(k,))
        return b
    r = cond(p, then, otherwise, captured=(x,), dims=(n,))
    return r
"""

X, Y = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 0.5])


def test_a_bool_picks_the_first_branch_where_it_is_true() -> None:
    function = parse_function(TWO)
    r, s = evaluate(function, np.bool_(True), X, Y)
    np.testing.assert_array_equal(r, X * Y)
    assert s == 7.5
    r, s = evaluate(function, np.bool_(False), X, Y)
    np.testing.assert_array_equal(r, X)
    assert s == 2.0


@pytest.mark.parametrize(("i", "added"), [(-7, 1), (0, 1), (1, 2), (2, 3), (9, 3)])
def test_a_number_is_clamped(i: int, added: int) -> None:
    (r,) = evaluate(parse_function(THREE), np.int64(i), X)
    np.testing.assert_array_equal(r, X + added)


@pytest.mark.parametrize("p", [True, False])
def test_branches_take_sizes(p: bool) -> None:
    (r,) = evaluate(parse_function(SIZED), np.bool_(p), X)
    np.testing.assert_array_equal(r, -X if p else np.ones(3))


@pytest.mark.parametrize("text", [TWO, THREE, SIZED])
def test_text_reads_back(text: str) -> None:
    function = parse_function(text)
    verify(function)
    again = parse_function(print_function(function))
    assert equal_up_to_renaming(function, again)
    assert print_function(again) == print_function(function)
    assert "case0" in to_json(function) or "then" in to_json(function)


def test_literal_predicates_keep_their_dtype() -> None:
    function = parse_function(THREE.replace("cond(i,", "cond(i64(1),"))
    assert "cond(1, case0" in print_function(function)
    np.testing.assert_array_equal(evaluate(function, np.int64(0), X)[0], X + 2)


def test_branches_of_other_types_are_refused() -> None:
    with pytest.raises(ParseError, match=r"then returns f64\[3\], f64, otherwise returns f64, f64"):
        parse_function(
            TWO.replace("return x, 2.0", "return 1.0, 2.0").replace(
                "def otherwise(x: f64[3], y: f64[3]) -> (f64[3], f64)",
                "def otherwise(x: f64[3], y: f64[3]) -> (f64, f64)",
            )
        )
    with pytest.raises(ParseError, match="predicate is f64"):
        parse_function(TWO.replace("p: bool", "p: f64"))
    with pytest.raises(ParseError, match="not 2"):
        parse_function(THREE.replace("i: i64", "i: bool"))
    with pytest.raises(ParseError, match="that takes"):
        parse_function(TWO.replace("captured=(x, y)", "captured=(x,)"))


def test_equality_looks_into_branches() -> None:
    left = parse_function(TWO)
    assert not equal_up_to_renaming(left, parse_function(TWO.replace("x * y", "x + y")))
    with pytest.raises(VerificationError):
        verify(left.replace(eqns=left.eqns[:0]))


def test_the_effect_is_the_strongest() -> None:
    function = parse_function(TWO)
    op = function.eqns[-1].op
    assert op.effect is Effect.PURE
    assert op.flops([t.type for t in function.params], []) == 6
    raising = parse_function(
        """
def f(p: bool, x: f64[3, 3]) -> f64[3, 3]:
    def then(x: f64[3, 3]) -> f64[3, 3]:
        a : f64[3, 3] = inv(x)
        return a
    def otherwise(x: f64[3, 3]) -> f64[3, 3]:
        return x
    r = cond(p, then, otherwise, captured=(x,))
    return r
"""
    )
    assert raising.eqns[-1].op.effect is Effect.MAY_RAISE
