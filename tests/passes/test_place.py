"""Products that write their transposes: no copies, equal values, and the same memory order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.core import walk
from pullback.ir.ops.moved import MovedMatMul


def joined_heads(p: Any, v: Any) -> Any:
    o = np.tanh(p) @ v
    return o.transpose(0, 2, 1, 3).reshape(o.shape[0], o.shape[2], -1) + 1.0


def by_einsum(p: Any, v: Any) -> Any:
    o = np.einsum("bhqs,bhsk->bqhk", p, v)
    return o.reshape(*o.shape[:2], -1) * 2.0


def in_a_loop(p: Any, v: Any) -> Any:
    total = np.zeros((v.shape[0], p.shape[2], v.shape[1] * v.shape[3]))
    for _ in range(3):
        total = np.sin(total + (p @ v).transpose(0, 2, 1, 3).reshape(total.shape))
    return total


def moved(function: Any) -> int:
    return sum(isinstance(e.op, MovedMatMul) for e in walk(function))


@pytest.mark.parametrize("dtype", ["f4", "f8", "c16"])
@pytest.mark.parametrize("program", [joined_heads, by_einsum])
def test_heads_are_joined_without_a_copy(program: Any, dtype: str) -> None:
    rng = np.random.default_rng(0)
    p, v = (rng.standard_normal(s).astype(dtype) for s in ((2, 4, 5, 6), (2, 4, 6, 3)))
    f = pb.compile(program)
    assert moved(f.inspect(p, v).optimized) == 1
    found, expected = f(p, v), program(p, v)
    assert (found.dtype, found.strides) == (expected.dtype, expected.strides)
    np.testing.assert_allclose(found, expected, rtol=1e-4 if dtype == "f4" else 1e-12, atol=1e-5)
    exact = pb.compile(program, exact=True)
    assert moved(exact.inspect(p, v).optimized) == 0
    np.testing.assert_array_equal(exact(p, v), expected)


@pytest.mark.parametrize("program", [joined_heads, by_einsum, in_a_loop])
def test_gradients_to_the_second_order(program: Any) -> None:
    rng = np.random.default_rng(0)
    p, v = rng.standard_normal((2, 2, 3, 4)), rng.standard_normal((2, 2, 4, 2))
    np.testing.assert_allclose(pb.compile(program)(p, v), program(p, v), rtol=1e-12)
    pb.check_grads(lambda p, v: np.sum(np.sin(program(p, v))), (p, v), order=2)


def test_what_is_returned_or_read_twice_stays() -> None:
    def f(p: Any, v: Any) -> Any:
        o = p @ v
        t = o.transpose(0, 2, 1, 3)
        return t.reshape(2, 5, -1), t, (2.0 * o @ v.transpose(0, 1, 3, 2))

    rng = np.random.default_rng(0)
    p, v = rng.standard_normal((2, 4, 5, 6)), rng.standard_normal((2, 4, 6, 3))
    g = pb.compile(f)
    assert moved(g.inspect(p, v).optimized) == 0
    for found, expected in zip(g(p, v), f(p, v), strict=True):
        assert found.strides == expected.strides
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_integers_stay() -> None:
    p, v = np.arange(24).reshape(1, 2, 3, 4), np.arange(16).reshape(1, 2, 4, 2)
    np.testing.assert_array_equal(pb.compile(joined_heads)(p, v), joined_heads(p, v))
