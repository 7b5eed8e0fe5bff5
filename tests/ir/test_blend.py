"""Choices made on the bits: what `np.where` gives, whatever the bits are."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
from pullback.ir.ops.blend import MASKED_COPY_LIMIT, or_zero_into, where_into, zero_or_into

RNG = np.random.default_rng(13)
DTYPES = ["f2", "f4", "f8", "i1", "i4", "u8", "?", "c8", "c16"]
SHAPES = [(3, 4), (40, 30)]
assert MASKED_COPY_LIMIT // 2 > 3 * 4
assert MASKED_COPY_LIMIT < 40 * 30


def drawn(shape, dtype):
    found = (20 * RNG.standard_normal(shape)).astype(dtype)
    if found.dtype.kind == "f" and found.size:
        found.flat[::5] = np.nan
        found.flat[1::5] = -np.inf
        found.flat[2::5] = -0.0
    return found


def same(found, expected):
    assert found.dtype == expected.dtype
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_bits_of_both_sides(dtype, shape):
    zero = np.zeros((), dtype)
    for form in (shape, shape[1:], (shape[0], 1), ()):
        condition = RNG.random(form) < 0.5
        for left in (drawn(shape, dtype), drawn(shape[1:], dtype), drawn((), dtype)):
            for right in (drawn(shape, dtype), drawn((shape[0], 1), dtype), drawn((), dtype)):
                expected = np.broadcast_to(np.where(condition, left, right), shape)
                same(where_into(condition, left, right, np.empty(shape, dtype)), expected)
                if right.shape == shape:
                    same(where_into(condition, left, right, right), expected)
            expected = np.broadcast_to(np.where(condition, left, zero), shape)
            same(or_zero_into(condition, left, np.empty(shape, dtype)), expected)
            expected = np.broadcast_to(np.where(condition, zero, left), shape)
            same(zero_or_into(condition, left, np.empty(shape, dtype)), expected)
            if left.shape == shape:
                same(zero_or_into(condition, left, left), expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_memory_that_overlaps(shape):
    side = max(shape)
    for form in ((side, side), (side,)):
        condition = RNG.random(form) < 0.5
        x = RNG.standard_normal((side, side))
        expected = np.where(condition, x.T.copy(), x)
        same(where_into(condition, x.T, x[:], x), expected)
        x = RNG.standard_normal((side, side))
        expected = np.where(condition, 0, x)
        same(zero_or_into(condition, x[:], x), expected)


@pytest.mark.parametrize("form", [(30,), (1, 30), (40, 1), ()])
@pytest.mark.parametrize("turned", [False, True])
def test_conditions_that_hold_for_runs(form, turned):
    condition = RNG.random(form) < 0.5
    left = RNG.standard_normal(form)
    x, y = (RNG.standard_normal((30, 40)).T if turned else drawn((40, 30), "f8") for _ in "xy")
    expected = np.where(condition, left, x), np.where(condition, 0, y)
    same(where_into(condition, left, x, x), expected[0])
    same(zero_or_into(condition, y, y), expected[1])


@pytest.mark.parametrize("order", ["F", "strided"])
def test_arrays_with_gaps(order):
    condition = RNG.random((40, 30)) < 0.5
    left, right = RNG.standard_normal((40, 60))[:, ::2], RNG.standard_normal((30, 40)).T
    out = np.empty((30, 40)).T if order == "F" else np.empty((40, 60))[:, ::2]
    same(where_into(condition, left, right, out), np.where(condition, left, right))
    same(or_zero_into(condition, left, out), np.where(condition, left, 0))
    same(zero_or_into(condition, right, out), np.where(condition, 0, right))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_programs_choose_as_numpy_does(dtype, exact, shape):
    x, mask = drawn(shape, dtype), RNG.random(shape[-1]) < 0.5

    def f(x, mask):
        kept = np.where(mask, x, 0) * 2
        dropped = np.where(mask, 0, x) + 1
        signed = np.where(mask, x, -0.0) * 2
        both = np.where(x > 0, x * 2, x / 2) + 1
        return kept, dropped, signed, both

    with np.errstate(all="ignore"):
        found, expected = pb.compile(f, exact=exact)(x, mask), f(x, mask)
    for a, b in zip(found, expected, strict=True):
        same(a, b)


def test_gradients_of_choices_to_the_second_order():
    x, mask = RNG.uniform(0.2, 1, (30, 20)), RNG.random(20) < 0.5
    x[:, ::3] *= -1  # away from the kink

    def loss(x):
        return np.sum(np.where(mask, np.sin(x), 0) * np.where(x > 0, x, x * x))

    pb.check_grads(loss, (x,))
    pb.check_grads(lambda x: np.sum(pb.grad(loss)(x) ** 2), (x,))
