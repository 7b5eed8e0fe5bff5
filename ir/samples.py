"""Small arrays on which ops are tested: the same numbers every time."""

from __future__ import annotations

from typing import Any

import numpy as np


def numbers(
    *shape: int, dtype: Any = np.float64, low: float = -2.0, high: float = 2.0, seed: int = 0
) -> np.ndarray:
    """Return numbers of the interval in any order, no two of them equal (for real dtypes)."""
    count = int(np.prod(shape))
    generator = np.random.default_rng(count + 31 * seed)
    spread = (generator.permutation(count) + 0.3 + 0.4 * generator.random(count)) / max(count, 1)
    values: Any = low + (high - low) * spread.reshape(shape)
    if np.dtype(dtype).kind == "c":
        values = values + 1j * generator.permutation(values.ravel()).reshape(shape)
    result: np.ndarray = values.astype(dtype)
    return result


def positions(*shape: int, size: int, seed: int = 0) -> np.ndarray:
    """Return positions on an axis of `size`, negative ones and repeated ones among them."""
    generator = np.random.default_rng(seed + size)
    return generator.integers(-size, size, shape)
