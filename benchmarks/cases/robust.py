"""Robust regression: Huber's loss with a scale, over many points."""

from typing import Any

import numpy as np

from ..case import Arguments, Case, Size

KNEE = 1.35
PENALTY = 1e-4


def loss(params: Any, x: Any, y: Any) -> Any:
    """Huber's loss of the residuals in units of a scale, which is fitted too, with a penalty."""
    w, b, scale = params
    z = (x @ w + b - y) / scale
    size = np.abs(z)
    terms = np.where(size < KNEE, z**2, 2 * KNEE * size - KNEE**2)
    return scale * (1 + np.mean(terms)) + PENALTY * np.sum(w**2)


def make(rng: np.random.Generator, dtype: Any, points: int, features: int) -> Arguments:
    """Draw weights, points, and values of which some are far out."""
    w = (rng.standard_normal(features) / np.sqrt(features)).astype(dtype)
    x = rng.standard_normal((points, features)).astype(dtype)
    y = (x @ w + 0.5 * rng.standard_t(2, points)).astype(dtype)
    start = (w + 0.1 * rng.standard_normal(features)).astype(dtype)
    return (start, np.asarray(0.1, dtype), np.asarray(0.7, dtype)), x, y


def by_hand(params: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Value and gradient, as one writes them in NumPy."""
    w, b, scale = params
    z = (x @ w + (b - y)) / scale
    clipped = np.clip(z, -KNEE, KNEE)
    mean = clipped @ (2 * z - clipped) / len(z)
    value = scale * (1 + mean) + PENALTY * (w @ w)
    dz = (2 / len(z)) * clipped
    return value, (dz @ x + 2 * PENALTY * w, dz.sum(), 1 + mean - dz @ z)


def in_torch(torch: Any, params: Any, x: Any, y: Any) -> Any:
    """Say `loss` in PyTorch, with its own Huber loss."""
    w, b, scale = params
    fitted = torch.addmv(b, x, w) / scale
    mean = 2 * torch.nn.functional.huber_loss(fitted, y / scale, delta=KNEE)
    return scale * (1 + mean) + PENALTY * (w @ w)


CASE = Case(
    name="robust",
    title="robust regression, Huber's loss",
    sizes=(
        Size("1000 x 20", {"points": 1000, "features": 20}, quick=True),
        Size("500000 x 10", {"points": 500000, "features": 10}),
    ),
    family="statistics and linear algebra",
    loss=loss,
    make=make,
    by_hand=by_hand,
    torch=in_torch,
)
