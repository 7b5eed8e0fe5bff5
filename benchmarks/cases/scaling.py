"""Rosenbrock's function from 10^2 to 10^7 unknowns: what a gradient costs as they grow."""

from typing import Any

import numpy as np

from ..case import Arguments, Case, Size


def loss(x: Any) -> Any:
    """Mean of Rosenbrock's terms over neighbours."""
    return np.mean(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def make(rng: np.random.Generator, dtype: Any, count: int) -> Arguments:
    """Draw a point near the minimum, which is at ones."""
    return ((1 + 0.1 * rng.standard_normal(count, np.float32)).astype(dtype),)


def by_hand(x: Any) -> tuple[Any, Any]:
    """Value and gradient, as one writes them in NumPy."""
    left = x[:-1]
    valley = x[1:] - left * left
    slope = 1 - left
    value = np.mean(100 * (valley * valley) + slope * slope)

    dvalley = (200 / len(left)) * valley
    grad = np.empty_like(x)
    grad[:-1] = -2 * dvalley * left - (2 / len(left)) * slope
    grad[-1] = 0
    grad[1:] += dvalley
    return value, grad


def in_torch(torch: Any, x: Any) -> Any:
    """Say `loss` in PyTorch."""
    return torch.mean(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


CASE = Case(
    name="scaling",
    title="Rosenbrock's function, by the number of unknowns",
    family="elementwise and reductions",
    sizes=tuple(
        Size(f"10^{power}", {"count": 10**power}, quick=power == 4) for power in range(2, 8)
    ),
    loss=loss,
    make=make,
    by_hand=by_hand,
    torch=in_torch,
)
