"""Adding at positions with repetitions: NumPy's bits, block by block."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import pullback as pb
from pullback.ir.ops import scatter_add
from pullback.ir.ops.scatter_add import add_at

RNG = np.random.default_rng(11)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128, np.int64])
@pytest.mark.parametrize("block", [1, 7, 64, 1 << 16])
@pytest.mark.parametrize("spread", [False, True])
def test_blocks_of_rows_add_what_numpy_adds(monkeypatch, dtype, block, spread):
    monkeypatch.setattr(scatter_add, "BLOCK", block)
    rows = RNG.integers(-5, 5, 40)
    value = (10 * RNG.standard_normal(3 if spread else (40, 3))).astype(dtype)
    expected, found = np.ones((5, 3), dtype), np.ones((5, 3), dtype)
    np.add.at(expected, rows, value)
    add_at(found, rows, value)
    assert found.tobytes() == expected.tobytes()


def test_a_row_out_of_bounds_raises_before_anything_is_added(monkeypatch):
    monkeypatch.setattr(scatter_add, "BLOCK", 4)
    x = np.zeros((5, 2))
    with pytest.raises(IndexError, match="out of bounds"):
        add_at(x, np.array([0, 1, 2, 3, 4, 5]), np.ones((6, 2)))
    assert not x.any()


def test_the_positions_of_many_rows_need_little_memory():
    x = np.zeros((100, 16))
    rows, value = RNG.integers(0, 100, 50_000), RNG.standard_normal((50_000, 16))
    tracemalloc.start()
    try:
        add_at(x, rows, value)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40 * scatter_add.BLOCK


FULL = slice(None)
ROWS = RNG.integers(-6, 6, 50)
CASES = [
    ((6, 4), (ROWS,)),
    ((6, 4), (ROWS, FULL)),
    ((6, 4), (ROWS[:3],)),
    ((6, 4), (ROWS.reshape(5, 10),)),
    ((6, 4), (FULL, ROWS % 4)),
    ((6, 4), (ROWS, slice(0, 4, 2))),
    ((6, 4), (ROWS, slice(None, None, -1))),
    ((6, 4), (ROWS, None)),
    ((6, 4), (ROWS, FULL, None)),
    ((6, 4), (ROWS, ROWS % 4)),
    ((6, 5), (ROWS,)),
    ((6, 4), (ROWS[:0],)),
    ((6, 0), (ROWS,)),
    ((12,), (ROWS,)),
    ((12,), (ROWS.reshape(10, 5),)),
    ((6, 3, 4), (ROWS,)),
    ((2, 6, 4), (FULL, ROWS)),
    ((6, 3, 4), (ROWS, ROWS % 3)),
    ((6, 3, 4), (ROWS, FULL, ROWS[:1] % 4)),
    ((6, 4), (ROWS.astype(np.int32),)),
    ((6, 4), ((ROWS % 6).astype(np.uint64),)),
]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex64, np.int32])
@pytest.mark.parametrize(("shape", "index"), CASES)
@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_every_index_adds_what_numpy_adds(dtype, shape, index, order):
    room = np.ones([2 * n for n in shape], dtype, order="F" if order == "F" else "C")
    part = tuple([slice(None, None, 2) if order == "strided" else slice(0, n) for n in shape])
    found = room[part] if order == "strided" else np.ones(shape, dtype, order=order)
    expected = np.ones(shape, dtype)
    value = (10 * RNG.standard_normal(expected[index].shape)).astype(dtype)
    for given in (value, np.asfortranarray(value), np.repeat(value, 2, axis=-1)[..., ::2]):
        np.add.at(expected, index, given)
        add_at(found, index, given)
        assert found.tobytes() == expected.tobytes()
    for given in (value[:1], value[..., :1], dtype(3)):
        np.add.at(expected, index, given)
        add_at(found, index, given)
        assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pairs_add_what_is_special_as_it_is(dtype):
    rows = np.array([0, 1, 1, 2, 2, 0])
    value = np.array(
        [[np.inf, -0.0], [np.nan, 1], [2, -np.inf], [-0.0, -0.0], [-0.0, 0.0], [-np.inf, np.nan]],
        dtype,
    )
    expected, found = np.full((3, 2), -0.0, dtype), np.full((3, 2), -0.0, dtype)
    with np.errstate(invalid="ignore"):
        np.add.at(expected, rows, value)
        add_at(found, rows, value)
    np.testing.assert_array_equal(found, expected)
    assert np.signbit(found[2, 0])
    assert not np.signbit(found[2, 1])


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_positions_out_of_bounds_raise_for_every_order(dtype):
    for order in ("C", "F"):
        x = np.zeros((5, 2), dtype, order=order)
        for rows in ([5], [-6], [0, 1, 2, 3, 4, 5]):
            with pytest.raises(IndexError, match="out of bounds"):
                add_at(x, np.array(rows), np.ones((len(rows), 2), dtype))


def test_gradients_of_repeated_rows_reach_the_second_order():
    rows = np.array([[0, 2, 2], [-1, 0, 2]])
    x = RNG.standard_normal((4, 6))

    def loss(x):
        read = x[rows]
        return np.sum(np.sin(read) * read[..., :1])

    pb.check_grads(loss, (x,))
    pb.check_grads(lambda x: np.sum(pb.grad(loss)(x) ** 2), (x,))


def test_a_new_axis_behind_rows_that_are_read_often():
    rows = np.array([0, 2, 2, 1, 0])
    gradient = pb.grad(lambda x: np.sum(x[rows, :, None] ** 2))(np.ones((3, 2)))
    np.testing.assert_array_equal(gradient, [[4, 4], [2, 2], [4, 4]])
