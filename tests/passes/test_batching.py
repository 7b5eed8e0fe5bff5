"""A function for many examples at once, against a Python loop over the examples."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from single_ops import has_rule

from pullback.built import build
from pullback.ir.builder import Builder
from pullback.ir.core import Function, Value
from pullback.ir.errors import DifferentiationError, UnsupportedError
from pullback.ir.evaluate import evaluate
from pullback.ir.op import Op
from pullback.ir.ops.random import OBJECT, Draw
from pullback.ir.parser import parse_function
from pullback.ir.types import type_of
from pullback.ir.verify import verify
from pullback.passes.batching import batched
from pullback.passes.forward import forward
from pullback.passes.reverse import reverse

sys.path.insert(0, str(Path(__file__).parents[1] / "ir"))
from test_ops import NAMES, as_tuple, function_of, samples_of

# As NumPy does, a conversion from complex to real warns.
pytestmark = pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")

SIZE = 3
SIDE_EFFECTS = {"write_back", "print", "observe"}
"""Ops that show or store what they are given: their order has tests of its own."""
WITH_RULES = {"custom", "with_rule"}
OF_ANY_SIZE = {"nonzero", "unique", "repeats", "intersect"}


def parsed(text: str) -> Function:
    return parse_function(textwrap.dedent(text).strip())


def examples_of(value: Any) -> np.ndarray:
    """Return a few values like one, in the domain where that is."""
    value = np.asarray(value)
    if value.dtype.kind in "fc":
        scaled = [value * (1 + 0.1 * k) for k in range(SIZE)]
        return np.stack(scaled).astype(value.dtype)
    return np.stack([value] * SIZE)


def masks(count: int) -> Iterator[tuple[bool, ...]]:
    for k in range(count):
        yield tuple(j == k for j in range(count))
    if count > 1:
        yield (True,) * count


def looped(function: Function, mapped: Sequence[bool], given: Sequence[Any]) -> list[np.ndarray]:
    each = [
        evaluate(function, *[v[k] if m else v for v, m in zip(given, mapped, strict=True)])
        for k in range(SIZE)
    ]
    return [np.stack(results) for results in zip(*each, strict=True)]


def check(
    function: Function, mapped: Sequence[bool], given: Sequence[Any], exact: bool
) -> Function:
    expected = looped(function, mapped, given)
    made, found = batched(function, mapped, SIZE)
    verify(made)
    for value, whole, is_mapped in zip(evaluate(made, *given), expected, found, strict=True):
        value = value if is_mapped else np.stack([value] * SIZE)
        assert (value.dtype, value.shape) == (whole.dtype, whole.shape)
        if exact and whole.dtype.kind != "c":
            assert value.tobytes() == whole.tobytes()
        else:
            tolerance = 1e-4 if whole.dtype.char in "fFe" else 1e-9
            np.testing.assert_allclose(value, whole, rtol=tolerance, atol=tolerance)
    return made


@pytest.mark.parametrize(
    "name", [n for n in NAMES if n not in SIDE_EFFECTS | OF_ANY_SIZE | WITH_RULES]
)
def test_every_op_on_examples_of_each_operand_and_of_all(name: str) -> None:
    for number, (op, operands) in enumerate(samples_of(name)):
        if any(type_of(v).dtype.kind == "O" for v in operands):
            continue
        function = function_of(op, operands)
        for mapped in masks(len(operands)):
            given = [
                examples_of(v) if m else np.asarray(v)
                for v, m in zip(operands, mapped, strict=True)
            ]
            made = check(function, mapped, given, op.is_elementwise)
            if number < 3:  # the generated source knows the leading axes too
                found = build(made)(*given)
                for value, wanted in zip(as_tuple(found), evaluate(made, *given), strict=True):
                    assert np.shape(value) == np.shape(wanted)
                    np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-12)


def differentiable(name: str) -> Iterator[tuple[Op, tuple[Any, ...]]]:
    """Yield a few samples of an op that have derivatives, in double precision."""
    found = 0
    for op, operands in samples_of(name):
        types = [type_of(v) for v in operands]
        wide = all(t.dtype.char in "dD?lqbi" for t in types)
        if op.has_gradient and wide and any(t.is_inexact for t in types) and found < 2:
            found += 1
            yield op, operands


def forwarded(function: Function, wrt: Sequence[int], of: Sequence[int]) -> Function | None:
    """Return the tangents of a function, None where its op serves reverse mode alone."""
    try:
        return forward(function, wrt, keep=[], of=of)
    except DifferentiationError:
        return None


@pytest.mark.parametrize(
    "name",
    [n for n in filter(has_rule, NAMES) if n not in SIDE_EFFECTS | OF_ANY_SIZE | WITH_RULES],
)
def test_derivatives_of_examples_on_both_sides(name: str) -> None:
    """The reversed batched function, the batched reversed one, and so with forward mode."""
    noise = np.random.default_rng(0)
    for op, operands in differentiable(name):
        function = function_of(op, operands)
        wrt = [k for k, v in enumerate(operands) if type_of(v).is_inexact]
        of = [k for k, r in enumerate(function.results) if r.type.is_inexact]
        backward = reverse(function, wrt, seeds=of, keep=[])
        pushed = forwarded(function, wrt, of)
        for mapped in masks(len(operands)):
            given = [
                examples_of(v) if m else np.asarray(v)
                for v, m in zip(operands, mapped, strict=True)
            ]
            many, _ = batched(function, mapped, SIZE)
            seeds = [
                noise.standard_normal((SIZE, *function.results[k].type.shape)).astype(
                    function.results[k].type.dtype
                )
                for k in of
            ]
            each = looped(backward, (*mapped, *[True] * len(of)), [*given, *seeds])
            found = evaluate(reverse(many, wrt, seeds=of, keep=[]), *given, *seeds)
            for k, value, expected in zip(wrt, found, each, strict=True):
                expected = expected if mapped[k] else expected.sum(axis=0)
                np.testing.assert_allclose(value, expected, rtol=1e-8, atol=1e-8)
            check(backward, (*mapped, *[True] * len(of)), [*given, *seeds], False)
            if pushed is None:
                continue
            tangents = [noise.standard_normal(given[k].shape).astype(given[k].dtype) for k in wrt]
            moved = (*mapped, *[mapped[k] for k in wrt])
            each = looped(pushed, moved, [*given, *tangents])
            found = evaluate(forward(many, wrt, keep=[], of=of), *given, *tangents)
            for value, expected in zip(found, each, strict=True):
                np.testing.assert_allclose(value, expected, rtol=1e-8, atol=1e-8)
            check(pushed, moved, [*given, *tangents], False)


@pytest.mark.parametrize("name", sorted(OF_ANY_SIZE))
def test_a_size_of_its_own_for_each_example_cannot_be_returned(name: str) -> None:
    op, operands = samples_of(name)[0]
    with pytest.raises(UnsupportedError, match="of another size for each example"):
        batched(function_of(op, operands), [True] * len(operands), SIZE)


def test_a_size_of_its_own_may_stay_inside() -> None:
    f = parsed("""
        def f(x: f64[4], y: f64[4]) -> (f64, f64[4]):
            p : bool[4] = x > 0.0
            i : i64[n]  = nonzero(p, size=new(n))
            z : f64[4]  = exp(y)
            a : f64[n]  = z[i]
            s : f64     = sum(a, axes=(-1,))
            return s, z
    """)
    x, y = np.random.default_rng(0).standard_normal((2, SIZE, 4))
    made = check(f, [True, True], [x, y], False)
    assert [e.op.name for e in made.eqns] == ["greater", "exp", "loop"]


def test_what_no_mapped_parameter_reaches_is_done_once() -> None:
    f = parsed("""
        def f(x: f64[3], W: f64[3, 3]) -> (f64[3], f64[3, 3]):
            A : f64[3, 3] = W @ W
            y : f64[3]    = matmul(A, x, right=1)
            return y, A
    """)
    made, found = batched(f, [True, False], 5)
    assert found == [True, False]
    assert made.eqns[0].result.type.shape == (3, 3)
    assert batched(f, [False, False], 5)[1] == [False, False]


@pytest.mark.parametrize(
    ("op", "types", "mapped"),
    [
        ("matmul(x, y, left=1)", ("f64[3]", "f64[3, 4]", "f64[4]"), (True, False)),
        ("matmul(x, y, right=1)", ("f64[4, 3]", "f64[3]", "f64[4]"), (False, True)),
        ("x @ y", ("f64[2, 3]", "f64[3, 4]", "f64[2, 4]"), (True, False)),
        ("matmul(x, y, left=1, right=1)", ("f64[3]", "f64[3]", "f64"), (True, False)),
    ],
)
def test_a_product_with_one_matrix_is_one_product(
    op: str, types: tuple[str, str, str], mapped: tuple[bool, bool]
) -> None:
    x, y, z = types
    made, _ = batched(
        parse_function(f"def f(x: {x}, y: {y}) -> {z}:\n    z : {z} = {op}\n    return z\n"),
        mapped,
        5,
    )
    (product,) = [e for e in made.eqns if e.op.name == "matmul"]
    assert all(a.type.ndim <= 2 for a in product.operands)


def drawing(count: int) -> Function:
    """Return `exp(x) * normal() + normal()`, with draws of so many numbers."""
    builder = Builder()
    rng, x = builder.param(Value(OBJECT, "rng")), builder.param(Value(type_of(np.ones(())), "x"))
    shape = (count,) if count else ()
    draw = Draw("standard_normal", type_of(np.ones(shape)), (), (("size", shape),))
    first = builder.one(draw, rng)
    scaled = builder.one(Op.REGISTRY["multiply"], builder.one(Op.REGISTRY["exp"], x), first)
    return builder.finish("f", [builder.one(Op.REGISTRY["add"], scaled, builder.one(draw, rng))])


def test_draws_are_those_of_a_loop_over_the_examples() -> None:
    f = drawing(2)
    made, _ = batched(f, [False, True], SIZE)
    verify(made)
    assert sorted(e.op.name for e in made.eqns) == ["add", "exp", "loop", "multiply", "reshape"]
    x = np.array([0.5, 1.0, -2.0])
    one, many = (np.random.default_rng(7) for _ in range(2))
    expected = np.stack([evaluate(f, one, v)[0] for v in x])
    assert np.array_equal(evaluate(made, many, x)[0], expected)


def test_an_unmapped_draw_is_made_for_each_example() -> None:
    made, found = batched(drawing(0), [False, False], 4)
    assert found == [True]
    (result,) = evaluate(made, np.random.default_rng(0), np.float64(0.0))
    numbers = np.random.default_rng(0).standard_normal((4, 2))
    assert np.array_equal(result, numbers.sum(axis=1))


@pytest.mark.parametrize(
    ("method", "static", "shape", "ops"),
    [
        ("standard_normal", (), (), ["draw"]),
        ("standard_normal", (("size", 2),), (2,), ["draw"]),
        ("uniform", (("low", 1.0), ("size", (2,))), (2,), ["draw"]),
        ("exponential", (("scale", 2.0),), (), ["draw"]),
        ("gamma", (("shape", 2.0),), (), ["loop"]),
    ],
)
def test_one_draw_for_each_example_is_one_draw(
    method: str, static: tuple[Any, ...], shape: tuple[int, ...], ops: list[str]
) -> None:
    builder = Builder()
    draw = Draw(method, type_of(np.ones(shape)), (), static)
    rng = builder.param(Value(OBJECT, "rng"))
    made, found = batched(builder.finish("f", builder.emit(draw, [rng])), [False], 4)
    assert found == [True]
    assert [e.op.name for e in made.eqns] == ops
    one, many = np.random.default_rng(1), np.random.default_rng(1)
    (result,) = evaluate(made, many)
    assert np.array_equal(result, [draw.evaluate(one) for _ in range(4)])
    assert one.bit_generator.state == many.bit_generator.state


def test_batched_twice() -> None:
    for name in ("matmul", "index", "index_add", "index_update", "sum", "reshape", "where"):
        for op, operands in samples_of(name):
            function = function_of(op, operands)
            mapped = (True,) * len(operands)
            once, _ = batched(function, mapped, SIZE)
            given = [np.stack([examples_of(v)] * 2) for v in operands]
            twice, _ = batched(once, mapped, 2)
            verify(twice)
            (found,) = evaluate(twice, *given)
            expected = np.stack([evaluate(once, *[v[k] for v in given])[0] for k in range(2)])
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_no_examples() -> None:
    builder = Builder()
    x = builder.param(Value(type_of(np.ones(3)), "x"))
    op: Op = Op.REGISTRY["exp"]
    f = builder.finish("f", builder.emit(op, [x]))
    made, _ = batched(f, [True], 0)
    assert evaluate(made, np.ones((0, 3)))[0].shape == (0, 3)
