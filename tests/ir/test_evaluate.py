"""The reference interpreter against NumPy written by hand."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from pullback.ir.core import Eqn, Function, Module, Provenance, Value
from pullback.ir.dims import Dim, Symbol
from pullback.ir.errors import ArgumentError, DTypeError, ShapeError, VerificationError
from pullback.ir.evaluate import evaluate
from pullback.ir.op import Op
from pullback.ir.ops import elementwise as ew
from pullback.ir.parser import parse_function, parse_module
from pullback.ir.types import ArrayType

F64 = np.dtype("f8")


def run(text: str, *arrays: Any) -> list[Any]:
    return evaluate(parse_function(text), *arrays)


def test_result_kinds() -> None:
    text = "def f(x: f64, k: {0}) -> ({1}, {0}):\n    y = x + 1.0\n    return y, k\n"
    scalar, array = run(text.format("f64[()]", "f64"), np.float64(2), np.array(3.0))
    assert type(scalar) is np.float64
    assert isinstance(array, np.ndarray)
    assert array.shape == ()
    number, same = run(text.format("float", "f64[()]"), np.float64(2), 3)
    assert isinstance(number, np.ndarray)
    assert type(same) is float
    assert same == 3.0


def test_python_numbers_of_every_dtype() -> None:
    text = "def f(a: float, b: int, c: complex, d: bool) -> (float, int, complex, bool):\n"
    results = run(f"{text}    return a, b, c, d\n", 1.5, 2, 3j, True)
    assert results == [1.5, 2, 3j, True]
    assert [type(r) for r in results] == [float, int, complex, bool]


def test_for_loop() -> None:
    text = """
def f(h: f64[3], xs: f64[4, 3]) -> (f64[3], f64[4, 3]):
    def body(i: i64, h: f64[3], xs: f64[4, 3], *, dims=(i,)) -> (f64[3], f64[3]):
        s = h * 0.5 + xs[i]
        return s, s
    last, all = loop(body, range(4), carry=(h,), captured=(xs,){0})
    return last, all
"""
    xs = np.arange(12.0).reshape(4, 3)
    for backward in (False, True):
        last, stack = run(text.format(", backward=True" if backward else ""), np.ones(3), xs)
        h, rows = np.ones(3), np.zeros((4, 3))
        for i in reversed(range(4)) if backward else range(4):
            h = h * 0.5 + xs[i]
            rows[i] = h
        assert np.array_equal(last, h)
        assert np.array_equal(stack, rows)


def test_while_loop_binds_its_trip_count() -> None:
    text = """
def f(x: f64) -> (float, int):
    def body(x: f64) -> (f64, f64):
        y = x * 0.5
        return y, x
    def test(x: f64) -> bool_:
        more = x > 1.0
        return more
    last, seen, count = loop(body, carry=(x,), test=test, trips=new(trips), counts=True)
    twice : f64[trips] = seen + seen
    total = sum(twice, axes=(-1,))
    both = total + last
    return both, count
"""
    assert run(text, np.float64(6.0)) == [2 * (6.0 + 3.0 + 1.5) + 0.75, 3]
    assert run(text, np.float64(0.5)) == [0.5, 0]


def test_sizes_of_a_triangle() -> None:
    text = """
def f(A: f64[n, n], n: i64, *, dims=(n,)) -> f64[n]:
    def body(i: i64, A: f64[n, n], *, dims=(i, n)) -> f64:
        row = A[i, :i]
        s = sum(row, axes=(-1,))
        return s
    sums = loop(body, range(n), captured=(A,), trips=n, dims=(n,))
    return sums
"""
    a = np.arange(16.0).reshape(4, 4)
    (sums,) = run(text, a, np.int64(4))
    assert np.array_equal(sums, [a[i, :i].sum() for i in range(4)])


def test_dims_come_from_the_arguments() -> None:
    text = "def f(x: f64[n], y: f64[2 * n + m, m], *, dims=(n, m)) -> f64[n, m]:\n"
    text += "    z = full(1.5, shape=(n, m))\n    return z\n"
    (z,) = run(text, np.zeros(3), np.zeros((8, 2)))
    assert np.array_equal(z, np.full((3, 2), 1.5))
    with pytest.raises(ShapeError, match=r"y has shape \(9, 2\), not \(8, 2\)"):
        run(text, np.zeros(3), np.zeros((9, 2)))


def test_a_dim_that_no_argument_tells() -> None:
    n = Symbol("n")
    with pytest.raises(ArgumentError, match="no argument of f tells the dim `n`"):
        evaluate(Function("f", [], [], [], dims=(n,)))


def test_fused_regions_and_recursion() -> None:
    text = """
def down(x: f64[n], k: i64, *, dims=(n,)) -> f64[n]:
    with fused(reads=(x, k), writes="y"):
        z = convert(k, dtype=f64)
        y = x * z
    return y

def main(x: f64[3]) -> f64[3]:
    y : f64[3] = call(down, x, 2)
    return y
"""
    module = parse_module(text)
    (y,) = evaluate(module.main, np.arange(3.0), module=module)
    assert np.array_equal(y, np.arange(3.0) * 2)
    with pytest.raises(ArgumentError, match="pass its module"):
        evaluate(module.main, np.arange(3.0))


def test_arguments_are_checked() -> None:
    text = "def f(x: f64[3]) -> f64[3]:\n    return x\n"
    with pytest.raises(ArgumentError, match="takes 1 arguments, not 0"):
        run(text)
    with pytest.raises(DTypeError, match="x is float32, not float64"):
        run(text, np.zeros(3, "f4"))
    with pytest.raises(ShapeError, match=r"x has shape \(4,\), not \(3,\)"):
        run(text, np.zeros(4))


def test_adjoint_equations_do_not_warn() -> None:
    x = Value(ArrayType(F64, (1,)), "x")
    y = Value(x.type, "y")
    for derived, expected in (("primal", 1), ("vjp", 0)):
        f = Function("f", [x], [Eqn(ew.log, (x,), (y,), Provenance((), derived))], [y])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            evaluate(f, np.zeros(1))
        assert len(caught) == expected


class Liar(Op):
    """An op that computes another dtype than it infers."""

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return types

    def evaluate(self, *operands: Any) -> Any:
        return operands[0].astype("f4")


def test_an_op_that_computes_something_else_is_caught() -> None:
    x = Value(ArrayType(F64, (3,)), "x")
    y = Value(x.type, "y")
    with pytest.raises(VerificationError, match="computed float32"):
        evaluate(Function("f", [x], [Eqn(Liar(), (x,), (y,))], [y]), np.zeros(3))


def test_an_unknown_dim_is_named() -> None:
    n = Symbol("n")
    x = Value(ArrayType(F64, ()), "x")
    y = Value(ArrayType(F64, (Dim.of(n) // 2,)), "y")
    f = Function("f", [x], [Eqn(ew.tanh, (x,), (y,))], [y])
    with pytest.raises(VerificationError, match="is not known: n"):
        evaluate(f, np.float64(0.0))


def test_module_of_one_function_that_calls_itself() -> None:
    text = "def f(x: f64) -> f64:\n    y : f64 = call(f, x)\n    return y\n"
    module = parse_module(text)
    assert isinstance(module, Module)
    with pytest.raises(RecursionError):
        evaluate(module.main, np.float64(1.0), module=module)


def test_an_observer_is_told_of_what_is_observed_in_order() -> None:
    text = """
def f(h: f64[2], w: f64[2]) -> f64[2]:
    def body(i: i64, h: f64[2], w: f64[2], *, dims=(i,)) -> f64[2]:
        a = h * w
        b : f64[2] = observe(a, site=7)
        return b
    r = loop(body, range(3), carry=(h,), captured=(w,))
    c : f64[2] = observe(r, site=1, cotangent=True)
    return c
"""
    told: list[tuple[int, bool, list[float]]] = []
    function = parse_function(text)
    w = np.array([2.0, 3.0])
    (result,) = evaluate(
        function,
        np.ones(2),
        w,
        observer=lambda op, value: told.append((op.site, op.cotangent, value.tolist())),
    )
    assert told == [*[(7, False, (w**k).tolist()) for k in (1, 2, 3)], (1, True, result.tolist())]
