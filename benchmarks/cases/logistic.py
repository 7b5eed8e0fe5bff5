"""Regularised logistic regression: two products with one tall matrix."""

from typing import Any

import numpy as np

from ..case import Arguments, Case, Size

PENALTY = 1e-3


def loss(params: Any, x: Any, y: Any) -> Any:
    """Mean log-loss of labels `y` of -1 and 1, with an L2 penalty."""
    w, b = params
    margin = y * (x @ w + b)
    return np.mean(np.logaddexp(0, -margin)) + PENALTY * np.sum(w * w)


def make(rng: np.random.Generator, dtype: Any, points: int, features: int) -> Arguments:
    """Draw weights, points and noisy labels."""
    w = (rng.standard_normal(features) / np.sqrt(features)).astype(dtype)
    b = np.asarray(0.1, dtype)
    x = rng.standard_normal((points, features)).astype(dtype)
    y = np.sign(x @ w + rng.standard_normal(points)).astype(dtype)
    return (w, b), x, y


def by_hand(params: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Value and gradient, as one writes them in NumPy."""
    w, b = params
    margin = y * (x @ w + b)
    value = np.mean(np.logaddexp(0, -margin)) + PENALTY * np.sum(w * w)
    dscore = -y / (1 + np.exp(margin)) / len(x)
    return value, (dscore @ x + 2 * PENALTY * w, dscore.sum())


def in_torch(torch: Any, params: Any, x: Any, y: Any) -> Any:
    """Say `loss` in PyTorch, with its own softplus."""
    w, b = params
    margin = y * (x @ w + b)
    return torch.nn.functional.softplus(-margin).mean() + PENALTY * (w * w).sum()


CASE = Case(
    name="logistic",
    title="logistic regression, L2 penalty",
    family="statistics and linear algebra",
    sizes=(
        Size("1000 x 20", {"points": 1000, "features": 20}, quick=True),
        Size("20000 x 100", {"points": 20000, "features": 100}),
    ),
    loss=loss,
    make=make,
    by_hand=by_hand,
    torch=in_torch,
)
