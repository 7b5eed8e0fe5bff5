"""Shares of cotangents: half to each operand of an extreme at a tie."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
from pullback.ir.ops.share import share_into

RNG = np.random.default_rng(3)
NASTY = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 5e-324])


def expected(left, right):
    return np.where(left > right, 1.0, np.where(left == right, 0.5, 0.0))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex128])
@pytest.mark.parametrize("size", [0, 7, 20_000])
@pytest.mark.parametrize("ties", [False, True])
def test_shares_at_every_size(dtype, size, ties):
    left = RNG.standard_normal((2, size)).astype(dtype)
    right = (left.round() if ties else left + 1).astype(dtype)
    if ties:
        left = left.round()
        left[:, ::3] += 1
    found = share_into(left, right, np.empty_like(left))
    np.testing.assert_array_equal(found, expected(left, right))
    assert found.dtype == dtype


def test_shares_of_what_is_special():
    left, right = NASTY[:, None], NASTY
    found = share_into(left, right, np.empty((8, 8)))
    np.testing.assert_array_equal(found, expected(left, right))


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_memory_of_an_operand_may_take_the_shares(order):
    left, right = [np.array(RNG.integers(0, 3, (30, 40)), float, order=order) for _ in range(2)]
    for which in (0, 1):
        operands = [left.copy("K"), right.copy("K")]
        found = share_into(*operands, operands[which])
        np.testing.assert_array_equal(found, expected(left, right))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [5, 60_000])
@pytest.mark.parametrize("exact", [False, True])
def test_ties_of_extremes_are_shared(dtype, size, exact):
    x = RNG.integers(-2, 3, size).astype(dtype)
    y = RNG.integers(-2, 3, size).astype(dtype)
    w = RNG.standard_normal(size).astype(dtype)
    for function, sign in ((np.maximum, 1), (np.minimum, -1)):
        loss = lambda x, y, f=function: np.sum(w * f(x, y))  # noqa: E731
        gradient = pb.grad(loss, argnums=(0, 1), exact=exact)
        dx, dy = gradient(x, y)
        np.testing.assert_array_equal(dx, w * expected(sign * x, sign * y).astype(dtype))
        np.testing.assert_array_equal(dx + dy, w)
        assert dx.dtype == dtype


def test_ties_with_bounds_are_shared():
    x = np.array([-3.0, -2.0, 0.0, 2.0, 3.0, np.nan])
    gradient = pb.grad(lambda x: np.sum(np.clip(x, -2, 2)))
    np.testing.assert_array_equal(gradient(x), [0, 0.5, 1, 0.5, 0, 0])
    relu = pb.grad(lambda x: np.sum(np.maximum(x, 0)))
    np.testing.assert_array_equal(relu(x - 2), [0, 0, 0, 0.5, 1, 0])


def test_bounds_that_cross_give_the_upper_one_all():
    gradient = pb.grad(lambda x, a, b: np.sum(np.clip(x, a, b)), argnums=(0, 1, 2))
    found = gradient(np.array([0.0, 3.0]), np.array([2.0, 2.0]), np.array([1.0, 1.0]))
    np.testing.assert_array_equal(found, [[0, 0], [0, 0], [1, 1]])


def test_ties_of_numbers_in_a_loop_are_shared():
    def loss(x, n):
        total = x * 0.0
        for _ in range(n):
            total = total + np.maximum(x, 2.0) * np.minimum(x, 2.0)
        return total

    assert pb.grad(loss)(2.0, 3) == 6.0
    assert pb.grad(loss)(3.0, 3) == 6.0
    assert pb.grad(loss)(np.float64(1.0), 3) == 6.0


def test_shares_reach_the_second_order():
    x = np.array([0.7, -0.3, 1.4])
    loss = lambda x: np.sum(np.maximum(x, 0.1) ** 3 * np.clip(x, -1, 1))  # noqa: E731
    pb.check_grads(loss, (x,))
    pb.check_grads(lambda x: np.sum(pb.grad(loss)(x) ** 2), (x,))


def test_what_is_clipped_away_has_no_part_in_an_infinite_slope():
    gradient = pb.grad(lambda x: np.sum(np.sqrt(np.clip(x, 0, 1))))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(gradient(np.array([-1.0, 0.25, 2.0])), [0, 1, 0])
