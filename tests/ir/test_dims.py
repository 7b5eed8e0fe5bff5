"""Dims are integers in disguise: every operation and bound against Python's integers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pullback.ir.dims import (
    Dim,
    Size,
    Symbol,
    bounds,
    maximum,
    minimum,
    substitute,
    symbols,
)

SYMBOLS = [Symbol("a", 0, 5), Symbol("b", -3, 4), Symbol("c", 1)]
SMALL = st.integers(-6, 6)


@st.composite
def expressions(draw: Any, depth: int = 3) -> Size:
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return draw(st.one_of(SMALL, st.sampled_from(SYMBOLS).map(Dim.of)))
    left, right = draw(expressions(depth - 1)), draw(expressions(depth - 1))
    operator = draw(st.sampled_from(["+", "-", "*", "//", "%", "min", "max", "neg"]))
    if operator in ("//", "%"):
        right = draw(st.integers(1, 4))
    return apply(operator, left, right)


def apply(operator: str, left: Any, right: Any) -> Any:
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "//":
            return left // right
        case "%":
            return left % right
        case "min":
            return minimum(left, right)
        case "max":
            return maximum(left, right)
        case _:
            return -left


@st.composite
def bindings(draw: Any) -> dict[Symbol, Size]:
    return {
        s: draw(st.integers(s.lower, s.upper if s.upper is not None else s.lower + 7))
        for s in SYMBOLS
    }


def value(dim: Size, binding: dict[Symbol, Size]) -> int:
    result = substitute(dim, binding)
    assert isinstance(result, int)
    return result


@given(expressions(), bindings())
def test_values_keep_their_bounds(dim: Size, binding: dict[Symbol, Size]) -> None:
    low, high = bounds(dim)
    number = value(dim, binding)
    assert low is None or low <= number
    assert high is None or number <= high


@given(
    expressions(2),
    expressions(2),
    st.sampled_from(["+", "-", "*", "//", "%", "min", "max", "neg"]),
    bindings(),
)
def test_operations_are_those_of_integers(
    left: Size, right: Size, operator: str, binding: dict[Symbol, Size]
) -> None:
    a, b = value(left, binding), value(right, binding)
    if operator in ("//", "%"):
        assume(b != 0 and right != 0)
    assert value(apply(operator, left, right), binding) == apply(operator, a, b)


@given(expressions(), bindings())
def test_the_text_is_the_expression(dim: Size, binding: dict[Symbol, Size]) -> None:
    names: dict[str, Any] = {s.name: binding[s] for s in SYMBOLS}
    assert eval(str(dim), {"min": min, "max": max}, names) == value(dim, binding)


@given(expressions(), bindings())
def test_substitution_in_steps(dim: Size, binding: dict[Symbol, Size]) -> None:
    first, *rest = SYMBOLS
    try:
        partial = substitute(dim, {first: binding[first]})
    except ZeroDivisionError:
        pytest.fail("divisors are at least 1")
    assert symbols(partial) <= set(rest)
    assert value(partial, binding) == value(dim, binding)


@given(expressions(2), expressions(2), expressions(2))
def test_canonical_form_decides_equality(a: Size, b: Size, c: Size) -> None:
    assert (a + b) + c == c + (b + a)
    assert a + b - b == a
    assert a - a == 0
    assert isinstance(a - a, int)
    assert 2 * a - a == a
    assert hash(a + b) == hash(b + a)


def test_exact_division_is_no_compound() -> None:
    n = Dim.of(Symbol("n"))
    assert (4 * n + 8) // 4 == n + 2
    assert str((4 * n + 6) // 4) == "((4 * n + 6) // 4)"


def test_remainder_of_an_integer_by_a_dim() -> None:
    n, m = Symbol("n", 1), Symbol("m")
    dim = Dim.of(m) % Dim.of(n)
    partial = substitute(dim, {m: 7})
    assert str(partial) == "(7 % (n))"
    assert substitute(partial, {n: 4}) == 3


def test_extremes_are_decided_by_bounds() -> None:
    i = Dim.of(Symbol("i", 0, 9))
    assert minimum(i, 10) == i
    assert maximum(i, 10) == 10
    assert str(minimum(i, 5)) == "min(i, 5)"


def test_symbols_are_objects_not_names() -> None:
    one, two = Symbol("n"), Symbol("n")
    assert Dim.of(one) != Dim.of(two)
    assert Dim.of(one) != Dim.of(one) + 1
    assert symbols(Dim.of(one) * Dim.of(two)) == {one, two}


def test_bounds_of_a_sum() -> None:
    i, n = Symbol("i", 0, 9), Symbol("n", 1)
    assert bounds(2 * Dim.of(i) - 3) == (-3, 15)
    assert bounds(Dim.of(n) - Dim.of(i)) == (-8, None)
    assert bounds(Dim.of(i) % 4) == (0, 3)
    assert bounds(7) == (7, 7)
