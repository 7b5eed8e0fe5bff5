"""Adding at positions with repetitions: NumPy's bits, block by block."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from pullback.ir.ops import index
from pullback.ir.ops.index import add_at

RNG = np.random.default_rng(11)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128, np.int64])
@pytest.mark.parametrize("block", [1, 7, 64, 1 << 16])
@pytest.mark.parametrize("spread", [False, True])
def test_blocks_of_rows_add_what_numpy_adds(monkeypatch, dtype, block, spread):
    monkeypatch.setattr(index, "BLOCK", block)
    rows = RNG.integers(-5, 5, 40)
    value = (10 * RNG.standard_normal(3 if spread else (40, 3))).astype(dtype)
    expected, found = np.ones((5, 3), dtype), np.ones((5, 3), dtype)
    np.add.at(expected, rows, value)
    add_at(found, rows, value)
    assert found.tobytes() == expected.tobytes()


def test_a_row_out_of_bounds_raises_before_anything_is_added(monkeypatch):
    monkeypatch.setattr(index, "BLOCK", 4)
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
    assert peak < 40 * index.BLOCK
