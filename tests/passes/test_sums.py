"""Sums of products that are larger than their factors become matrix products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb

rng = np.random.default_rng(0)
A = rng.standard_normal((6, 4))
B = rng.standard_normal((5, 4))


def outer(a: Any, b: Any) -> Any:
    return np.sum(a[:, None] * b[None], axis=-1)


def over_two_axes(a: Any, b: Any) -> Any:
    return np.sum(a[:, None] * b[None], axis=(0, 2))


def with_axes_kept(a: Any, b: Any) -> Any:
    return np.sum(a[:5, :, None] * b[:, None], axis=0, keepdims=True)


def of_three_factors(a: Any, b: Any) -> Any:
    return np.sum(a[:5, :, None] * b[:, None] * b[:, :1, None], axis=0)


def of_everything(a: Any, b: Any) -> Any:
    return np.sum(a[:, None] * b[None])


def with_axes_of_size_one(a: Any, b: Any) -> Any:
    return np.sum(a[:, None, None] * b[None, :, None], axis=(-1, 1))


PROGRAMS = [
    *(outer, over_two_axes, with_axes_kept, of_three_factors, of_everything),
    with_axes_of_size_one,
]


def ops_of(compiled: Any, *arguments: Any) -> list[str]:
    return [e.op.name for e in compiled.inspect(*arguments).optimized.eqns]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("dtype", ["f4", "f8", "c16"])
def test_a_sum_of_outer_products_is_a_product(program: Callable[..., Any], dtype: str) -> None:
    a, b = A.astype(dtype), B.astype(dtype)
    compiled = pb.compile(program)
    found, expected = compiled(a, b), program(a, b)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-4 if dtype == "f4" else 1e-12)
    assert "multiply" not in ops_of(compiled, a, b) or program is of_three_factors
    assert "matmul" in ops_of(compiled, a, b)


def test_bits_are_kept_where_they_are_asked_for() -> None:
    compiled = pb.compile(outer, exact=True)
    assert np.array_equal(compiled(A, B), outer(A, B))
    assert "matmul" not in ops_of(compiled, A, B)


@pytest.mark.parametrize(
    ("program", "dtype"),
    [
        (lambda a, b: np.sum(a * b[:1], axis=0), "f8"),  # no factor is smaller than the product
        (lambda a, b: np.sum(a[:, None] * b[None], axis=0), "i8"),
        (lambda a, b: np.sum(a[:, None] * b[None], axis=0), "f2"),
        (lambda a, b: np.sum(a[:, :1] * b[0], axis=0), "f8"),  # nothing is summed in both
    ],
)
def test_other_sums_stay(program: Callable[..., Any], dtype: str) -> None:
    a, b = (10 * A).astype(dtype), (10 * B).astype(dtype)
    compiled = pb.compile(program)
    np.testing.assert_allclose(compiled(a, b), program(a, b), rtol=1e-2 if dtype == "f2" else 1e-12)
    assert "matmul" not in ops_of(compiled, a, b)


def test_a_product_of_many_factors_stays() -> None:
    def program(a: Any, b: Any) -> Any:
        product = a[:, None] * b[None]
        for k in range(1, 1000):
            product = product * (np.cos(a[:, None] / k) if k % 2 else np.cos(b[None] / k))
        return np.sum(product)

    np.testing.assert_allclose(pb.compile(program)(A[0], B[0]), program(A[0], B[0]))


def test_a_product_of_more_axes_than_there_are_labels_stays() -> None:
    def program(a: Any, b: Any) -> Any:
        ones = (1,) * 25
        return np.sum(a.reshape(6, 1, *ones, 4) * b.reshape(5, *ones, 4), axis=-1)

    compiled = pb.compile(program)
    np.testing.assert_allclose(compiled(A, B), program(A, B))
    assert "matmul" not in ops_of(compiled, A, B)


def test_the_mean_of_gradients_is_one_product_for_each_weight() -> None:
    def loss(w, x, y):
        return np.sum((np.tanh(x @ w[0]) @ w[1] - y) ** 2)

    w = [rng.standard_normal((4, 3)), rng.standard_normal((3, 2))]
    y = rng.standard_normal((6, 2))
    each = pb.vmap(pb.grad(loss), in_axes=(None, 0, 0))
    mean = pb.compile(lambda w, x, y: [np.mean(g, axis=0) for g in each(w, x, y)])
    expected = pb.grad(lambda w, x, y: loss(w, x, y) / 6)(w, A, y)
    for found, wanted in zip(mean(w, A, y), expected, strict=True):
        np.testing.assert_allclose(found, wanted)
    largest = max(r.type.size for e in mean.inspect(w, A, y).optimized.eqns for r in e.results)
    assert largest <= A.size
