"""Windows added up: whatever way is taken, each window reaches its place."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import pullback as pb
from pullback.ir.ops import windows
from pullback.ir.ops.windows import AddWindows, Windows

RNG = np.random.default_rng(9)

CASES = [
    ((3, 20), (-1,), (4,)),
    ((3, 4), (-1,), (9,)),
    ((2, 6, 5, 3), (-3, -2), (2, 4)),
    ((2, 3, 3, 2), (-3, -2), (5, 5)),
    ((2, 3, 3, 2), (-2, -3), (5, 2)),
    ((4, 3), (-1, -1), (2, 3)),
    ((4, 3), (), ()),
]


def one_by_one(w, axes, sizes):
    count = len(sizes)
    lead = w.shape[: w.ndim - count]
    shape = list(lead)
    for axis, size in zip(axes, sizes, strict=True):
        shape[axis] += size - 1
    total = np.zeros(shape, w.dtype)
    for at in itertools.product(*map(range, lead)):
        for offset in itertools.product(*map(range, sizes)):
            place = list(at)
            for axis, start in zip(axes, offset, strict=True):
                place[axis] += start
            total[tuple(place)] += w[at + offset]
    return total


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("slice_", [1, 1 << 30])
@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.complex128])
def test_every_order_of_memory_adds_up(monkeypatch, case, slice_, dtype):
    monkeypatch.setattr(windows, "SLICE", slice_)
    lead, axes, sizes = case
    op, ndim = AddWindows(axes, sizes), len(lead) + len(sizes)
    values = RNG.integers(-9, 9, (*lead, *sizes)).astype(dtype)
    expected = one_by_one(values, axes, sizes)
    for order in itertools.permutations(range(ndim)):
        memory = np.ascontiguousarray(values.transpose(order))
        w = memory.transpose(np.argsort(order))
        np.testing.assert_array_equal(op.evaluate(w), expected)
        found = op.add_into(w, np.full(expected.shape, 7, dtype))
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("case", CASES)
def test_adding_is_the_transpose_of_reading(case):
    lead, axes, sizes = case
    w = RNG.standard_normal((*lead, *sizes))
    added = AddWindows(axes, sizes).evaluate(w)
    x = RNG.standard_normal(added.shape)
    read = Windows(axes, sizes).evaluate(x)
    np.testing.assert_allclose(np.sum(read * w), np.sum(x * added))


def test_a_convolution_of_images_to_the_second_order():
    x, w = RNG.standard_normal((2, 5, 6, 2)), RNG.standard_normal((2, 3, 2, 2))

    def loss(x, w):
        read = np.lib.stride_tricks.sliding_window_view(x, (2, 3), axis=(1, 2))
        return np.sum(np.tensordot(read, w, axes=([4, 5, 3], [0, 1, 2])) ** 2)

    pb.check_grads(loss, (x, w))
    pb.check_grads(lambda x, w: np.sum(pb.grad(loss)(x, w) ** 2), (x, w))
