"""The op of recursion: types, values, text, effects; records."""

from __future__ import annotations

import numpy as np
import pytest

from pullback.ir.equality import equal_up_to_renaming
from pullback.ir.errors import ParseError, VerificationError
from pullback.ir.evaluate import evaluate
from pullback.ir.export import to_json
from pullback.ir.op import Effect
from pullback.ir.ops.recursion import Pack, Unpack
from pullback.ir.parser import parse_function
from pullback.ir.printer import print_function
from pullback.ir.types import RECORD, ArrayType, type_of
from pullback.ir.verify import verify

FIBONACCI = """
def f(n: i64) -> f64:
    def fib(n: i64) -> f64:
        p : bool = n < 2
        def then(n: i64) -> f64:
            x : f64 = convert(n, dtype=f64)
            return x
        def otherwise(n: i64) -> f64:
            a : i64 = n - 1
            b : i64 = n - 2
            x : f64 = recur(fib, a)
            y : f64 = recur(fib, b)
            s : f64 = x + y
            return s
        r = cond(p, then, otherwise, captured=(n,))
        return r
    r = recursion(fib, n)
    return r
"""

HALVES = """
def f(x: f64[4], least: f64) -> (f64[4], f64):
    def halve(x: f64[4], least: f64) -> (f64[4], f64):
        s : f64  = sum(x, axes=(-1,))
        p : bool = s < least
        def then(x: f64[4], s: f64, least: f64) -> (f64[4], f64):
            return x, s
        def otherwise(x: f64[4], s: f64, least: f64) -> (f64[4], f64):
            h : f64[4] = x * 0.5
            a, b = recur(halve, h, least, types=(f64[4], f64[()]))
            c : f64 = b + s
            return a, c
        r, t = cond(p, then, otherwise, captured=(x, s, least))
        return r, t
    r, t = recursion(halve, x, least)
    return r, t
"""


@pytest.mark.parametrize("text", [FIBONACCI, HALVES])
def test_text_is_read_back(text: str) -> None:
    function = parse_function(text)
    verify(function)
    again = parse_function(print_function(function))
    assert equal_up_to_renaming(function, again)
    assert print_function(again) == print_function(function)
    assert to_json(function)


def test_values() -> None:
    assert evaluate(parse_function(FIBONACCI), np.int64(12)) == [144.0]
    x, total = evaluate(parse_function(HALVES), np.ones(4), np.float64(0.1))
    assert np.array_equal(x, np.full(4, 2.0**-6))
    assert total == sum(4 * 2.0**-k for k in range(7))


def test_another_label_is_another_name() -> None:
    function = parse_function(FIBONACCI)
    assert equal_up_to_renaming(function, parse_function(FIBONACCI.replace("fib", "g")))
    other = FIBONACCI.replace("recur(fib, b)", "recur(fib, a)")
    assert not equal_up_to_renaming(function, parse_function(other))


def test_it_is_never_speculated() -> None:
    (eqn,) = parse_function(FIBONACCI).eqns
    assert eqn.op.effect is Effect.MAY_RAISE


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("recur(fib, a)", "recur(fob, a)", "no recursion `fob` is around it"),
        ("recur(fib, a)", "recur(fib, a, b)", "recur passes i64, i64, but fib has i64"),
        ("x : f64 = recur(fib, a)", "x : f64[3] = recur(fib, a)", "recur takes f64\\[3\\]"),
    ],
)
def test_calls_that_do_not_fit(old: str, new: str, message: str) -> None:
    text = FIBONACCI.replace(old, new).replace("s : f64 = x + y", "s : f64 = y + y")
    with pytest.raises(VerificationError, match=message):
        verify(parse_function(text))


def test_operands_that_do_not_fit() -> None:
    text = FIBONACCI.replace("recursion(fib, n)", "recursion(fib, 2.0)")
    with pytest.raises(ParseError, match="recursion passes f64 to a region that takes i64"):
        parse_function(text)


def test_records_hold_values() -> None:
    x, n = np.arange(3.0), np.float64(2.0)
    record = Pack().evaluate(x, n)
    types = (type_of(x), type_of(n))
    assert Pack().infer(*types) == (ArrayType(RECORD, ()),)
    assert Unpack(types).infer(ArrayType(RECORD, ())) == types
    found = Unpack(types).evaluate(record)
    assert found[0] is x
    assert found[1] == 2.0


def test_an_empty_record_holds_zeros() -> None:
    types = (ArrayType(np.dtype(np.float64), (2,)), ArrayType(RECORD, ()))
    zeros, inner = Unpack(types).evaluate(())
    assert np.array_equal(zeros, [0.0, 0.0])
    assert inner == ()
