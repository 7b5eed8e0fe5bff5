"""Rows read at an array of positions: NumPy's values, memory order and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pullback as pb

RNG = np.random.default_rng(0)
ARRAYS = {
    "elements": RNG.standard_normal(7),
    "rows": RNG.standard_normal((7, 3)).astype("f4"),
    "blocks": RNG.standard_normal((7, 3, 2)),
    "long rows": RNG.standard_normal((7, 300)),
    "in Fortran's order": np.asfortranarray(RNG.standard_normal((7, 3))),
    "complex": RNG.standard_normal((7, 3)) * 1j,
}
POSITIONS = {
    "few": np.array([0, -1, 3, -7]),
    "two axes": np.array([[0, 6], [-7, 2]], "i4"),
    "none": np.array([], int),
    "unsigned": np.array([1, 6], "u8"),
    "many": RNG.integers(-7, 7, 5000),
}


def read(x: Any, at: Any) -> Any:
    return x[at] * 2, x[at]


@pytest.mark.parametrize("at", POSITIONS.values(), ids=POSITIONS)
@pytest.mark.parametrize("x", ARRAYS.values(), ids=ARRAYS)
def test_what_is_read_is_numpy_s(x: Any, at: Any) -> None:
    compiled = pb.compile(read)
    for _ in range(2):
        for found, expected in zip(compiled(x, at), read(x, at), strict=True):
            assert (found.dtype, found.strides) == (expected.dtype, expected.strides)
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("count", [3, 5000])
@pytest.mark.parametrize("position", [7, -8])
@pytest.mark.parametrize("x", ARRAYS.values(), ids=ARRAYS)
def test_a_position_outside_is_an_error(x: Any, position: int, count: int) -> None:
    at = np.zeros(count, int)
    at[-1] = position
    with pytest.raises(IndexError, match=rf"index {position} is out of bounds for axis 0"):
        pb.compile(read)(x, at)


def test_only_some_columns_of_the_rows() -> None:
    def f(x: Any, at: Any) -> Any:
        return x[at, :2] * 2, x[at, 1:3] * 2, x[at, ::2] * 2

    x, at = ARRAYS["long rows"], POSITIONS["many"]
    for found, expected in zip(pb.compile(f)(x, at), f(x, at), strict=True):
        np.testing.assert_array_equal(found, expected)
        assert found.strides == expected.strides


@pytest.mark.parametrize("at", POSITIONS.values(), ids=POSITIONS)
@pytest.mark.parametrize("x", ARRAYS.values(), ids=ARRAYS)
def test_repeated_positions_add_up(x: Any, at: Any) -> None:
    def f(x: Any, at: Any) -> Any:
        return np.sum(np.abs(x[at]) ** 2)

    expected = np.zeros_like(x)
    np.add.at(expected, at, 2 * x[at])
    found = pb.grad(f)(x, at)
    np.testing.assert_allclose(found, expected.conj(), rtol=2e-3 if x.dtype == "f4" else 1e-9)


@pytest.mark.parametrize("position", [7, -8])
def test_nothing_is_added_outside(position: int) -> None:
    def f(x: Any, at: Any) -> Any:
        np.add.at(x, at, 1.0)
        return x

    at = np.array([*range(7), position])
    for function in (f, pb.compile(f)):
        with pytest.raises(IndexError):
            function(ARRAYS["rows"].copy(), at)
