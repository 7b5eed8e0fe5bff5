"""Tapes: the op, its text, both interpreters, derivatives of both orders, and pullbacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.builder import Builder
from pullback.ir.core import Value, walk
from pullback.ir.dims import Dim, Symbol
from pullback.ir.errors import DTypeError
from pullback.ir.evaluate import evaluate
from pullback.ir.ops.tape import Tape, TapeNew, TapePop, TapePush, Zeros, fork, new_tape
from pullback.ir.parser import parse_function
from pullback.ir.types import ArrayType, tape_of
from pullback.ir.verify import verify
from pullback.passes.memory import plan_memory
from pullback.runtime.emit import emit

F64 = np.dtype(np.float64)


def type_of(*shape: Any, dtype: Any = F64) -> ArrayType:
    return ArrayType(np.dtype(dtype), shape)


# ---- the object ----------------------------------------------------------------------------------


def test_what_is_pushed_last_is_popped_first() -> None:
    tape = Tape(F64)
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=rng.integers(0, 40, 2)) for _ in range(200)]
    arrays[50] = np.asfortranarray(rng.normal(size=(90, 70)))
    for array in arrays:
        tape.push(array)
    for array in reversed(arrays):
        np.testing.assert_array_equal(tape.pop(array.shape), array)


def test_memory_is_at_most_a_quarter_more_than_what_is_kept() -> None:
    tape = Tape(F64)
    for _ in range(3000):
        tape.push(np.ones(100))
    held = sum(block.nbytes for block, _ in tape.blocks) + tape.block.nbytes
    assert held <= 1.3 * 3000 * 800


def test_a_forked_tape_leaves_the_other_as_it_is() -> None:
    tape, outer, numbers = Tape(F64), new_tape(tape_of(tape_of(type_of(3))).dtype), [1j]
    for k in range(2000):
        tape.push(np.full(3, float(k)))
    outer.append(tape)
    typed = new_tape(tape_of(type_of()).dtype)
    typed.append(1.5)
    for _ in range(2):
        inner = fork(outer).pop()
        for k in reversed(range(2000)):
            assert inner.pop((3,))[0] == k
        assert fork(numbers).pop() == 1j
        assert fork(typed).pop() == 1.5
    assert fork(Zeros(F64)).pop((2,)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("dtype", ["f8", "f4", "c16", "c8", "i8", "?", "i4", "f2"])
def test_numbers_keep_their_dtype(dtype: str) -> None:
    builder = Builder()
    value = np.array(1, dtype)[()]
    x = builder.param(Value(type_of(dtype=dtype), "x"))
    start = builder.one(TapeNew(tape_of(x.type).dtype))
    full = builder.one(TapePush(), start, x)
    _, result = builder.emit(TapePop(()), [full])
    function = builder.finish("f", [result])
    for found in (evaluate(function, value)[0], run(function, value)[0]):
        assert np.asarray(found).dtype == np.dtype(dtype)
        assert found == value


# ---- the ops -------------------------------------------------------------------------------------


def run(function: Any, *args: Any) -> Any:
    source = emit(plan_memory(function))
    scope = dict(source.constants)
    exec(source.text, scope)
    return scope["run"](scope["workspace"](), *args)


TEXT = """
def f(x: f64[3], n: i64) -> (f64[3], f64):
    t : tape_f64 = tape_new(dtype=tape_f64)
    k : scalars_tape_f64 = tape_new(dtype=scalars_tape_f64)
    a : tape_f64 = tape_push(t, x)
    b : scalars_tape_f64 = tape_push(k, a)
    c, d = tape_pop(b, shape=())  # (scalars_tape_f64, tape_f64)
    e, y = tape_pop(d, shape=(3,))  # (tape_f64, f64[3])
    z : tape_f64 = tape_new(dtype=tape_f64, zeros=True)
    g, h = tape_pop(z, shape=(3,))  # (tape_f64, f64[3])
    s : f64 = sum(h, axes=(-1,))
    return y, s
"""


def test_tapes_of_tapes_in_text_and_both_interpreters() -> None:
    function = parse_function(TEXT)
    verify(function)
    assert str(parse_function(str(function))) == str(function)
    x = np.arange(3.0)
    for found, total in (evaluate(function, x, np.int64(0)), run(function, x, np.int64(0))):
        np.testing.assert_array_equal(found, x)
        assert total == 0.0


def test_types_are_checked() -> None:
    tape = tape_of(type_of(3))
    with pytest.raises(DTypeError, match="tape_push"):
        TapePush().infer(tape, type_of())
    with pytest.raises(DTypeError, match="tape_push"):
        TapePush().infer(type_of(), type_of())
    with pytest.raises(DTypeError, match="tape_pop"):
        TapePop(()).infer(tape)
    with pytest.raises(DTypeError, match="tape_pop"):
        TapePop(()).infer(type_of())
    n = Dim.of(Symbol("n"))
    assert TapePop((n, 2)).infer(tape)[1] == type_of(n, 2)


def test_each_new_tape_is_one_of_its_own() -> None:
    builder = Builder()
    dtype = tape_of(type_of(3)).dtype
    assert builder.one(TapeNew(dtype)) is not builder.one(TapeNew(dtype))


def test_an_empty_tape_has_nothing_to_pop() -> None:
    function = parse_function(TEXT.replace(", zeros=True", ""))
    with pytest.raises(IndexError):
        evaluate(function, np.ones(3), np.int64(0))
    with pytest.raises(IndexError):
        run(function, np.ones(3), np.int64(0))


# ---- loops that keep on tapes --------------------------------------------------------------------

X = np.linspace(0.3, 0.9, 5)


def ragged_rows(x: Any, n: Any) -> Any:
    """Keep a row of another length in each iteration."""

    def body(i: Any, v: Any) -> Any:
        y, s = v
        part = np.sin(y[:i] * s)
        y[:i] = part * y[i]
        return y, s + np.sum(part)

    y, s = pb.fori_loop(0, 5, body, (x * 1.0, np.float64(0.5)))
    return np.sum(y) * s


def traced_count(x: Any, n: Any) -> Any:
    """Loops of which only the run knows how often they run, in one another."""

    def inner(j: Any, v: Any) -> Any:
        return np.sin(v * x) + 0.1 * v

    def outer(i: Any, v: Any) -> Any:
        return pb.fori_loop(0, n + i, inner, v) * 1.1

    return np.sum(pb.fori_loop(0, n, outer, x))


def whiles(x: Any, n: Any) -> Any:
    """A `while` in a `while`, on numbers and arrays."""

    def inner(v: Any) -> Any:
        y, s = v
        return np.tanh(y) + s * x, s * 1.5

    def outer(v: Any) -> Any:
        y, k = v
        y, s = pb.while_loop(lambda v: v[1] < 3.0 * k, inner, (y, k * y[0] ** 2 + 0.1))
        return y * s, k + 1.0

    y, _ = pb.while_loop(lambda v: v[1] < n, outer, (x * 0.5, np.float64(1.0)))
    return np.sum(y)


def triangle(x: Any, n: Any) -> Any:
    """Three loops, each as long as the index of the one around it."""

    def third(k: Any, v: Any) -> Any:
        return np.sin(v) + x[k] * v * v

    def second(j: Any, v: Any) -> Any:
        y, s = v
        s = pb.fori_loop(0, j, third, s)
        y[j] = s * y[j - 1]
        return y, s

    def first(i: Any, v: Any) -> Any:
        return pb.fori_loop(0, i, second, v)

    y, s = pb.fori_loop(0, 5, first, (x * 1.0, np.float64(0.2)))
    return np.sum(y) + s


def branches(x: Any, n: Any) -> Any:
    """A loop of a run-time length in a branch in a loop."""

    def body(i: Any, v: Any) -> Any:
        def yes(v: Any) -> Any:
            return pb.while_loop(lambda s: s < 2.0 + v, lambda s: s * s * 0.5 + x[i] + s, v)

        return pb.cond(v < 1.5, yes, lambda v: np.sin(v), v)

    return pb.fori_loop(0, 5, body, x[0])


CASES: list[Callable[..., Any]] = [ragged_rows, traced_count, whiles, triangle, branches]
each = pytest.mark.parametrize("function", CASES, ids=lambda f: f.__name__)


def differences(function: Callable[..., Any], x: np.ndarray, step: float = 1e-6) -> np.ndarray:
    return np.array(
        [(function(x + step * e) - function(x - step * e)) / (2 * step) for e in np.eye(len(x))]
    )


@each
def test_gradients_of_both_orders(function: Callable[..., Any]) -> None:
    n = np.int64(3)
    np.testing.assert_allclose(pb.compile(function)(X, n), function(X, 3), rtol=1e-12)
    slope = pb.grad(function)
    np.testing.assert_allclose(
        slope(X, n), differences(lambda x: function(x, 3), X), rtol=1e-6, atol=1e-8
    )
    weights = np.linspace(-1.0, 1.0, 5)

    def weighted(x: Any, n: Any) -> Any:
        return np.sum(weights * pb.grad(function)(x, n))

    np.testing.assert_allclose(
        pb.grad(weighted)(X, n),
        differences(lambda x: np.sum(weights * slope(x, n)), X),
        rtol=2e-6,
        atol=1e-7,
    )


@each
def test_they_do_keep_on_tapes(function: Callable[..., Any]) -> None:
    joint = pb.grad(function).inspect(X, np.int64(3)).joint
    assert any(isinstance(e.op, TapePush) for e in walk(joint))
    verify(joint)


@each
def test_the_interpreter_agrees(function: Callable[..., Any]) -> None:
    gradient = pb.grad(function)
    inspection = gradient.inspect(X, np.int64(3))
    found = evaluate(inspection.optimized, X, np.int64(3))
    np.testing.assert_allclose(found[-1], gradient(X, np.int64(3)), rtol=1e-12)


@each
def test_a_pullback_can_be_called_twice(function: Callable[..., Any]) -> None:
    n = np.int64(3)
    _, pull = pb.vjp(lambda x: function(x, n), X)
    expected = pb.grad(function)(X, n)
    for seed in (1.0, -2.0, 1.0):
        np.testing.assert_allclose(pull(np.float64(seed))[0], seed * expected, rtol=1e-12)


def test_single_precision_and_complex_numbers() -> None:
    def function(x: Any, n: Any) -> Any:
        def body(v: Any) -> Any:
            y, s = v
            return np.sin(y) * y[0] + s, s * y[1]

        y, s = pb.while_loop(lambda v: np.abs(v[1]) > 1e-3, body, (x, x[2]))
        return np.sum(np.real(y)) + np.real(s)

    single = pb.grad(function)(X.astype(np.float32), 0)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, pb.grad(function)(X, 0), rtol=1e-4)
    z = X + 0.1j * X[::-1]
    found = pb.grad(function)(z, 0)
    real = differences(lambda x: function(x + 1j * z.imag, 0), z.real)
    imag = differences(lambda x: function(z.real + 1j * x, 0), z.imag)
    np.testing.assert_allclose(found, real - 1j * imag, rtol=1e-6)


def test_no_iterations_keep_nothing() -> None:
    gradient = pb.grad(traced_count)
    np.testing.assert_array_equal(gradient(X, np.int64(0)), np.ones(5))
    np.testing.assert_array_equal(gradient(X, np.int64(-4)), np.ones(5))
