"""Sums of cotangents that cancel, and such as nearly do."""

from typing import Any

import numpy as np
import pytest

import pullback as pb


@pytest.mark.parametrize(
    ("weight", "dtype", "size"),
    [(1e-3, np.float32, 1000), (1e-14, np.float64, 1000), (1e-5, np.float32, 10)],
)
def test_a_small_term_beside_larger_ones_that_cancel_is_kept(
    weight: float, dtype: Any, size: int
) -> None:
    """The larger one measured the rounding of the small one, whose gradient was dropped."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, size)).astype(dtype)
    y = (rng.normal(size=(2, size)) / weight + 1 / weight).astype(dtype)

    def loss(x: Any, y: Any) -> Any:
        z = x - np.mean(x, axis=-1, keepdims=True)
        return np.sum(z * z) + weight * np.sum(y * z)

    found = pb.grad(loss)(x, y)
    wide, tall = x.astype(np.float64), weight * y.astype(np.float64)
    expected = 2 * (wide - np.mean(wide, axis=-1, keepdims=True))
    expected += tall - np.mean(tall, axis=-1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_sum_that_cancels_is_still_left_out() -> None:
    def loss(x: Any) -> Any:
        z = x - np.mean(x, axis=-1, keepdims=True)
        return np.sum(z * z)

    x = np.random.default_rng(0).normal(size=(3, 7)).astype(np.float32)
    program = pb.grad(loss)
    np.testing.assert_allclose(program(x), 2 * (x - np.mean(x, axis=-1, keepdims=True)), rtol=1e-5)
    assert str(program.inspect(x)).count("= sum(") == 1
