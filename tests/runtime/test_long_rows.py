"""Short rows and one row, by rows put behind each other: NumPy's bits."""

from __future__ import annotations

import numpy as np
import pytest

import pullback as pb
from pullback.runtime.long_rows import in_long_rows, repeated

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("ufunc", [np.add, np.subtract, np.divide, np.maximum, np.less])
@pytest.mark.parametrize(
    "shape", [(4099, 3), (40, 30, 6), (1000, 32), (5, 7), (0, 4), (300, 1, 16)]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64])
def test_one_row_beside_many(ufunc, shape, dtype):
    rows = RNG.standard_normal(shape).astype(dtype)
    row = (RNG.standard_normal(shape[-1]) + 3).astype(dtype)
    for side, given in ((0, row), (1, row), (1, row.reshape((1,) * (len(shape) - 1) + (-1,)))):
        operands = (given, rows) if side == 0 else (rows, given)
        expected = ufunc(*operands)
        out = np.empty_like(expected)
        in_long_rows(ufunc, side, *operands, out)
        assert out.tobytes() == expected.tobytes()
        if out.dtype == dtype:
            taken = rows.copy()
            in_long_rows(ufunc, side, *[taken if a is rows else a for a in operands], taken)
            assert taken.tobytes() == expected.tobytes()


def test_rows_with_gaps():
    rows = RNG.standard_normal((900, 12))[:, ::2]
    row, out = RNG.standard_normal(6), np.empty((6, 900)).T
    in_long_rows(np.multiply, 1, rows, row, out)
    np.testing.assert_array_equal(out, rows * row)


@pytest.mark.parametrize("side", [0, 1])
def test_entries_of_squares_beside_one_of_each(side):
    squares = RNG.standard_normal((5, 4, 2, 3, 2, 6))
    ones = RNG.standard_normal((5, 4, 1, 3, 1, 6))
    operands = (ones, squares) if side == 0 else (squares, ones)
    out = np.empty_like(squares)
    repeated(np.subtract, side, *operands, out)
    np.testing.assert_array_equal(out, np.subtract(*operands))


@pytest.mark.parametrize("shape", [(2000, 3), (4111, 5), (30, 20, 16), (10, 12, 2, 12, 2, 6)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_programs_have_the_bits_of_numpy(shape, dtype):
    x = RNG.standard_normal(shape).astype(dtype)
    b = RNG.standard_normal(shape[-1]).astype(dtype)
    c = RNG.standard_normal((*shape[:-2], 1, shape[-1])).astype(dtype)

    def f(x, b, c):
        return (x - b) / (b + 4) + (c > x), b * x, np.maximum(c, x)

    program = pb.compile(f, exact=True)
    for found, expected in zip(program(x, b, c), f(x, b, c), strict=True):
        assert found.tobytes() == expected.tobytes()


def test_the_gradient_of_a_bias():
    x, b = RNG.standard_normal((1500, 6)), RNG.standard_normal(6)
    w = RNG.standard_normal((1500, 6))
    dx, db = pb.grad(lambda x, b: np.sum(w * (x * b - b / 2)), argnums=(0, 1))(x, b)
    np.testing.assert_allclose(dx, w * b)
    np.testing.assert_allclose(db, np.sum(w * (x - 0.5), axis=0))
    source = pb.compile(lambda x, b: np.sort(x * b, axis=0)).inspect(x, b).source
    assert "in_long_rows(" in source
