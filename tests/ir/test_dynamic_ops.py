"""Dims that equations bind: their text, the verifier, inlining, the passes that see them."""

from __future__ import annotations

import numpy as np
import pytest

from pullback.ir.binding import matched_dims, mentioned, renamed_op, renamed_type, renewed
from pullback.ir.builder import Builder
from pullback.ir.core import Value
from pullback.ir.dims import Dim, Symbol, bounds, clipped, maximum, substitute, typical
from pullback.ir.equality import equal_up_to_renaming
from pullback.ir.errors import ConcretizationError, ShapeError, UnsupportedError, VerificationError
from pullback.ir.evaluate import evaluate
from pullback.ir.ops.dynamic import AsSize, Extent, Iota, Match, Nonzero
from pullback.ir.ops.shape import Full, Reshape
from pullback.ir.ops.unique import Unique
from pullback.ir.parser import parse_function as parse
from pullback.ir.types import ArrayType
from pullback.ir.verify import verify
from pullback.passes.dce import Dce
from pullback.passes.fuse import Fuse
from pullback.passes.loops import Hoist
from pullback.passes.memory import plan_memory
from pullback.passes.simplify import Simplify
from pullback.runtime.program import Program

F8 = np.dtype(np.float64)

POSITIVE = """
def f(x: f64[5]) -> (f64[n], f64[n + 1]):
    m : bool[5]    = x > 0.0
    i : i64[n]     = nonzero(m, size=new(0 <= n <= 5))
    y : f64[n]     = x[i]
    a : f64[n]     = sin(y)
    b : f64[n]     = a * y
    z : f64[n + 1] = full(2.0, shape=(n + 1,))
    return b, z
"""


def test_the_text_reads_back() -> None:
    function = parse(POSITIVE)
    verify(function)
    assert equal_up_to_renaming(parse(str(function)), function)
    x = np.array([1.0, -2.0, 3.0, -4.0, 5.0])
    b, z = evaluate(function, x)
    assert np.allclose(b, np.sin(x[x > 0]) * x[x > 0])
    assert z.tolist() == [2.0] * 4


@pytest.mark.parametrize("steps", [(), (Simplify(),), (Dce(),), (Fuse(),), (Fuse(), Dce())])
def test_programs_bind_sizes_as_the_interpreter_does(steps: tuple[object, ...]) -> None:
    function = parse(POSITIVE)
    for step in steps:
        function = step(function)  # type: ignore[operator]
        verify(function)
        assert equal_up_to_renaming(parse(str(function)), function)
    program = Program(plan_memory(function))
    for x in (np.array([1.0, -2.0, 3.0, -4.0, 5.0]), -np.ones(5), np.ones(5)):
        for found, expected in zip(program(x), evaluate(function, x), strict=True):
            assert np.array_equal(found, expected)


def test_an_unbound_size_is_an_error() -> None:
    builder = Builder()
    n = Symbol("n")
    zero = builder.param(Value(ArrayType(F8, ())))
    results = builder.emit(Full((Dim.of(n),)), (zero,))
    with pytest.raises(VerificationError, match="the dim `n` is not bound"):
        verify(builder.finish("f", results))


def test_what_binds_a_size_that_is_mentioned_stays() -> None:
    text = """
def f(x: f64[4]) -> (f64[n], i64):
    i : i64[n]  = nonzero(x, size=new(0 <= n <= 4))
    j : i64[k]  = nonzero(i, size=new(k))
    z : f64[n]  = full(0.0, shape=(n,))
    s : i64     = extent(dim=2 * n)
    return z, s
"""
    function = Dce()(parse(text))
    assert [e.op.name for e in function.eqns] == ["nonzero", "full", "extent"]
    z, s = Program(plan_memory(function))(np.array([0.0, 1.0, 2.0, 0.0]))
    assert z.tolist() == [0.0, 0.0]
    assert s == 4


def test_a_function_written_twice_binds_two_sizes() -> None:
    half = parse(
        """
def half(v: f64[3]) -> f64[n]:
    i : i64[n] = nonzero(v, size=new(n))
    y : f64[n] = v[i]
    return y
"""
    )
    builder = Builder()
    v, w = (builder.param(Value(ArrayType(F8, (3,)), name)) for name in "vw")
    (a,) = builder.inline(half, [v])
    (b,) = builder.inline(half, [w])
    assert a.type != b.type
    function = builder.finish("f", [a, b])
    verify(function)
    found = evaluate(function, np.array([1.0, 0.0, 2.0]), np.array([0.0, 0.0, 3.0]))
    assert [r.tolist() for r in found] == [[1.0, 2.0], [3.0]]


def test_a_callee_takes_the_sizes_of_its_operands() -> None:
    callee = parse(
        """
def double(v: f64[n], *, dims=(n,)) -> f64[n]:
    z : f64[n] = full(2.0, shape=(n,))
    y : f64[n] = v * z
    return y
"""
    )
    builder = Builder()
    x = builder.param(Value(ArrayType(F8, (3,)), "x"))
    (y,) = builder.inline(callee, [x])
    assert y.type == x.type
    m = Symbol("m")
    known = matched_dims(callee, [Value(ArrayType(F8, (Dim.of(m) + 1,)))])
    assert known == {callee.dims[0]: Dim.of(m) + 1}


def test_programs_read_sizes_off_their_arguments() -> None:
    function = parse(
        """
def f(v: f64[n, 2], k: i64, *, dims=(n,)) -> (f64[2 * n], i64[m]):
    s : i64      = as_size(k, size=new(m))
    i : i64[m]   = iota(length=m)
    y : f64[2 * n] = reshape(v, shape=(2 * n,), rank=2)
    return y, i
"""
    )
    verify(function)
    arguments = np.arange(6.0).reshape(3, 2), np.int64(4)
    for run in (Program(plan_memory(function)), lambda *a: evaluate(function, *a)):
        y, i = run(*arguments)
        assert y.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
        assert i.tolist() == [0, 1, 2, 3]


def test_sizes_that_must_agree() -> None:
    x = np.zeros((2, 3))
    assert Match((2, 3)).evaluate(x) is x
    with pytest.raises(ShapeError, match=r"could not be broadcast together with shapes \(2, 3\)"):
        Match((2, 4)).evaluate(x)
    with pytest.raises(ShapeError, match="never broadcast"):
        Match((2, 1)).evaluate(x)
    with pytest.raises(IndexError, match="axis 1; size of axis is 5"):
        Match((2, 5), reads=True).evaluate(x)
    with pytest.raises(ShapeError, match="can never be"):
        Match((4,)).infer(ArrayType(F8, (3,)))
    n = Dim.of(Symbol("n"))
    assert Match((4,)).infer(ArrayType(F8, (n,))) == (ArrayType(F8, (4,)),)


def test_values_that_are_no_size() -> None:
    with pytest.raises(ShapeError, match="negative dimensions"):
        AsSize(Symbol("n")).evaluate(np.int64(-1))
    with pytest.raises(UnsupportedError, match="counting from the end"):
        AsSize(Symbol("n"), is_place=True).evaluate(np.int64(-1))
    with pytest.raises(ShapeError, match="int64 scalar"):
        AsSize(Symbol("n")).infer(ArrayType(F8, ()))
    with pytest.raises(ShapeError, match="with axes"):
        Nonzero(Symbol("n")).infer(ArrayType(F8, ()))


def test_a_reshape_that_may_fit_is_checked_when_it_runs() -> None:
    n = Dim.of(Symbol("n", 2, 9))
    x = ArrayType(F8, (n,))
    assert Reshape((n // 2, 2), 1).infer(x) == (ArrayType(F8, (n // 2, 2)),)
    with pytest.raises(ShapeError, match="cannot reshape"):
        Reshape((10,), 1).infer(x)


def test_symbols_of_ops_are_renamed() -> None:
    n, m = Symbol("n"), Symbol("m")
    to = {n: Dim.of(m)}
    assert renamed_op(Full((Dim.of(n) + 1, 2)), to) == Full((Dim.of(m) + 1, 2))
    assert renamed_op(Unique(n, index=True), to) == Unique(m, index=True)
    assert renamed_op(Iota(3), to) == Iota(3)
    assert renamed_type(ArrayType(F8, (Dim.of(n), 2)), {n: 4}) == ArrayType(F8, (4, 2))
    type, made = renewed(ArrayType(F8, (Dim.of(n), Dim.of(m) + 1, 3)), keep={n})
    assert type == ArrayType(F8, (Dim.of(n), Dim.of(made[0]), 3))
    eqn = parse(POSITIVE).eqns[-1]
    assert {s.name for s in mentioned(eqn)} == {"n"}


def test_slices_of_unknown_sizes_have_one_form() -> None:
    n = Dim.of(Symbol("n", 0, 9))
    assert maximum(1 - n, 0) == maximum(n - 1, 0) - n + 1
    assert clipped(1, n) + maximum(n - 1, 0) == n  # x[:1] and x[1:]
    assert bounds(clipped(1, n)) == (0, 1)
    assert bounds(clipped(4, n)) == (0, 4)
    m = Dim.of(Symbol("n", 0, 9))
    assert n * m == m * n
    assert (n + 1) * m == m + n * m
    assert n * 4 % 2 == 0
    (symbol,) = (a for a, _ in n.terms)
    for size in range(10):
        assert substitute(clipped(4, n), {symbol: size}) == min(4, size)  # type: ignore[dict-item]


def test_typical_sizes() -> None:
    assert typical(7) == 7
    assert typical(Dim.of(Symbol("n"))) == 5
    assert typical(Dim.of(Symbol("n", 0, 2)) * 2) == 4
    assert typical(Dim.of(Symbol("n")) - 9) == 0


def test_a_size_is_no_python_int() -> None:
    n = Dim.of(Symbol("n", 0, 9))
    for use in (bool, int, range, lambda d: d < 5, lambda d: d / 2, lambda d: d * 0.5):
        with pytest.raises(ConcretizationError, match="needs the size n"):
            use(n)
    assert n < 10
    assert n >= 0
    assert not n > 9
    assert bool(n + 1)


def test_the_extent_is_a_number() -> None:
    n = Symbol("n")
    assert Extent(Dim.of(n)).infer() == (ArrayType(np.dtype(np.int64), ()),)


def test_regions_take_the_sizes_that_are_passed_to_them() -> None:
    text = """
def f(x: f64[4], w: f64[4]) -> (f64[n], f64[k]):
    i : i64[n] = nonzero(x, size=new(n))
    j : i64[k] = nonzero(w, size=new(k))
    a : f64[n] = x[i]
    b : f64[k] = w[j]
    def body(t: i64, c: f64[m], *, dims=(t0, m)) -> f64[m]:
        z : f64[m] = full(2.0, shape=(m,))
        d : f64[m] = c * z
        return d
    def other(t: i64, c: f64[n], *, dims=(t0, n)) -> f64[n]:
        z : f64[n] = full(3.0, shape=(n,))
        d : f64[n] = c * z
        return d
    r : f64[n] = loop(body, range(2), carry=(a,), dims=(n,))
    s : f64[k] = loop(other, range(2), carry=(b,), dims=(k,))
    return r, s
"""
    function = parse(text)
    verify(function)
    x, w = np.array([1.0, 0.0, 2.0, 3.0]), np.array([0.0, 5.0, 0.0, 0.0])
    for run in (Program(plan_memory(function)), lambda *a: evaluate(function, *a)):
        r, s = run(x, w)
        assert r.tolist() == [4.0, 8.0, 12.0]
        assert s.tolist() == [45.0]


def test_fused_regions_take_other_sizes() -> None:
    text = """
def half(v: f64[4]) -> f64[n]:
    i : i64[n] = nonzero(v, size=new(n))
    y : f64[n] = v[i]
    with fused(reads=(y,), writes="b", dims=(n,)):
        a = y * 2.0
        b = a + 1.0
    return b
"""
    half = parse(text)
    builder = Builder()
    v, w = (builder.param(Value(ArrayType(F8, (4,)), name)) for name in "vw")
    results = [builder.inline(half, [p])[0] for p in (v, w)]
    function = builder.finish("f", results)
    verify(function)
    x, w_ = np.array([1.0, 0.0, 2.0, 3.0]), np.array([0.0, 5.0, 0.0, 0.0])
    for run in (Program(plan_memory(function)), lambda *a: evaluate(function, *a)):
        assert [r.tolist() for r in run(x, w_)] == [[3.0, 5.0, 7.0], [11.0]]


def test_what_reads_at_a_place_of_the_iteration_stays_in_the_loop() -> None:
    function = parse(
        """
def f(x: f64[9]) -> f64[3]:
    z : f64[3] = full(0.0, shape=(3,))
    def body(t: i64, c: f64[3], x: f64[9], *, dims=(t0,)) -> f64[3]:
        s : i64    = as_size(t, size=new(p))
        y : f64[3] = x[p:p + 3]
        d : f64[3] = c + y
        return d
    r : f64[3] = loop(body, range(4), carry=(z,), captured=(x,))
    return r
"""
    )
    verify(function)
    hoisted = Hoist()(function)
    verify(hoisted)
    x = np.arange(9.0)
    expected = sum(x[t : t + 3] for t in range(4))
    assert np.array_equal(evaluate(hoisted, x)[0], expected)
    assert np.array_equal(Program(plan_memory(hoisted))(x)[0], expected)
