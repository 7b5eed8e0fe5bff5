"""Chains of products: never more operations, equal values, and what is read elsewhere stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pullback as pb
from pullback.ir.core import Function, Value, walk
from pullback.ir.equality import equal_up_to_renaming
from pullback.ir.evaluate import evaluate
from pullback.ir.ops.control import function_flops
from pullback.ir.parser import parse_function
from pullback.ir.verify import verify
from pullback.passes.chain import Chain
from pullback.passes.dce import Dce


def reordered(function: Function) -> Function:
    found = Dce()(Chain()(function))
    verify(found)
    return found


def largest(function: Function) -> int:
    return max(v.type.size for e in walk(function) for v in e.results)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_never_more_operations_and_equal_values(data: st.DataObject) -> None:
    """A random program of products, transposes, outer products and sums."""
    sizes = st.integers(1, 7)
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    n = data.draw(sizes)
    args = [rng.standard_normal((n, data.draw(sizes))) for _ in range(2)]
    args.append(rng.standard_normal(n))
    plan = data.draw(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), max_size=9))
    dims = [data.draw(sizes) for _ in plan]
    more = [rng.standard_normal((8, 8)) for _ in plan]

    def f(*args: Any) -> Any:
        known = list(args[:3])
        for (kind, which), size, extra in zip(plan, dims, args[3:], strict=True):
            x = known[which % len(known)]
            if x.ndim == 0:
                continue
            rows = x.shape[-1]
            if kind <= 1:
                made = x @ extra[:rows, :size]
            elif kind == 2:
                made = extra[:size, : x.shape[0]] @ x
            elif kind == 3:
                made = x.T if x.ndim == 2 else x[:, None] * extra[0, :size]
            elif kind == 4:
                made = x @ extra[:rows, 0]
            elif kind == 5:
                made = x.T @ x
            else:
                made = x + x
            known.append(made)
        return known[-1], known[len(known) // 2]

    function = pb.compile(f).inspect(*args, *more).stages[1].function
    found = reordered(function)
    assert function_flops(found) <= function_flops(Dce()(function))
    expected = evaluate(function, *args, *more)
    for a, b in zip(evaluate(found, *args, *more), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    for a, b in zip(found.results, function.results, strict=True):
        assert a.layout == b.layout


@pytest.mark.parametrize("dtype", ["f4", "f8", "c16"])
def test_a_vector_is_multiplied_first_whichever_end_it_is_at(dtype: str) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((40, 40)).astype(dtype) for _ in range(2))
    v = rng.standard_normal(40).astype(dtype)
    programs: list[Any] = [
        lambda a, b, v: a @ b @ v,
        lambda a, b, v: v @ (a @ b),
        lambda a, b, v: (a @ b).T @ v,
        lambda a, b, v: v @ (a @ b.T).T @ v,
        lambda a, b, v: (v[:, None] * v) @ a @ b,
    ]
    for f in programs[:4]:
        g = pb.compile(f)
        eqns = g.inspect(a, b, v).optimized.eqns
        assert {e.op.name for e in eqns if e.result.type.ndim == 2} <= {"transpose"}
    for f in programs:
        found, expected = pb.compile(f)(a, b, v), f(a, b, v)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(found, expected, rtol=2e-3 if dtype == "f4" else 1e-10)
        np.testing.assert_array_equal(pb.compile(f, exact=True)(a, b, v), expected)


@pytest.mark.parametrize("dtype", ["i8", "f2"])
def test_other_dtypes_keep_their_bits(dtype: str) -> None:
    rng = np.random.default_rng(0)
    a, b = ((4 * rng.standard_normal((6, 6))).astype(dtype) for _ in range(2))
    v = (4 * rng.standard_normal(6)).astype(dtype)
    np.testing.assert_array_equal(pb.compile(lambda a, b, v: a @ b @ v)(a, b, v), a @ b @ v)


def test_what_is_read_elsewhere_is_not_taken_apart() -> None:
    text = """
def f(a: f64[20, 20], b: f64[20, 20], v: f64[20]) -> (f64[20], f64[20, 20]):
    p = a @ b
    y = p @ v
    return y, p
"""
    function = parse_function(text)
    assert equal_up_to_renaming(reordered(function), function)


def test_a_transposed_product_is_made_in_c_order() -> None:
    text = """
def f(a: f64[20, 30], b: f64[20, 40], c: f64[40, 30]) -> f64[40, 30]:
    t = a.T
    p = t @ b
    q = p.T
    s = q + c
    return s
"""
    found = reordered(parse_function(text))
    assert [e.op.name for e in found.eqns] == ["transpose", "matmul", "add"]
    assert all(isinstance(a, Value) and a.layout is None for a in found.eqns[-1].operands)


def test_long_chains_and_empty_matrices() -> None:
    def f(ms: Any, v: Any) -> Any:
        product = ms[0]
        for k in range(1, 70):
            product = product @ ms[k]
        return product @ v

    rng = np.random.default_rng(0)
    ms = 0.4 * rng.standard_normal((70, 5, 5))
    v = rng.standard_normal(5)
    found = pb.compile(f)(ms, v)
    np.testing.assert_allclose(found, f(ms, v), rtol=1e-9)
    empty = np.ones((3, 0)), np.ones((0, 4)), np.ones(4)
    np.testing.assert_array_equal(pb.compile(lambda a, b, v: a @ b @ v)(*empty), np.zeros(3))


def test_gradients_to_the_second_order() -> None:
    rng = np.random.default_rng(0)
    args = (rng.standard_normal((3, 4)), rng.standard_normal((4, 5)), rng.standard_normal(5))
    pb.check_grads(lambda a, b, v: np.sum(np.sin(a @ b @ v)), args, order=2)
    pb.check_grads(lambda a, b, v: np.sin(v @ (a @ b).T @ a @ b @ v), args, order=2)


def test_chains_in_loops_and_branches() -> None:
    def f(a: Any, b: Any, v: Any) -> Any:
        for _ in range(4):
            v = np.tanh(a @ b @ v)
            if v[0] > 0.0:
                v = (b @ a).T @ v
        return np.sum(v)

    rng = np.random.default_rng(0)
    args = (rng.standard_normal((6, 6)), rng.standard_normal((6, 6)), rng.standard_normal(6))
    assert largest(pb.compile(f).inspect(*args).optimized) <= 36
    np.testing.assert_allclose(pb.compile(f)(*args), f(*args), rtol=1e-9)
    pb.check_grads(f, args, order=1)
