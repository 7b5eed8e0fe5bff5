"""Large products that alternate with large elementwise work: threads of BLAS and of others."""

from typing import Any

import numpy as np

from ..case import Arguments, Case, Size


def loss(weights: Any, x: Any, y: Any) -> Any:
    """Mean squared error of layers whose activation costs several passes over memory."""
    h = x
    for w in weights:
        a = h @ w
        h = a / (1 + np.exp(-a)) + 0.5 * np.tanh(a) * np.exp(-(a**2))
    return np.mean((h - y) ** 2)


def make(rng: np.random.Generator, dtype: Any, batch: int, width: int, layers: int) -> Arguments:
    """Draw weights that keep the activations of order one, inputs and targets."""
    weights = tuple(
        (1.5 * rng.standard_normal((width, width)) / np.sqrt(width)).astype(dtype)
        for _ in range(layers)
    )
    x = rng.standard_normal((batch, width)).astype(dtype)
    y = rng.standard_normal((batch, width)).astype(dtype)
    return weights, x, y


def by_hand(weights: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Value and gradient, as one writes them in NumPy."""
    h = x
    kept = []
    for w in weights:
        a = h @ w
        gate = 1 / (1 + np.exp(-a))
        bump = 0.5 * np.exp(-(a * a))
        t = np.tanh(a)
        kept.append((h, a, gate, bump, t))
        h = a * gate + t * bump
    error = h - y
    value = np.mean(error * error)

    dh = 2 * error / error.size
    grads = []
    for w, (h, a, gate, bump, t) in zip(reversed(weights), reversed(kept), strict=True):
        da = dh * (gate * (1 + a * (1 - gate)) + bump * (1 - t * t - 2 * a * t))
        grads.append(h.T @ da)
        if h is not x:
            dh = da @ w.T
    return value, tuple(reversed(grads))


def in_torch(torch: Any, weights: Any, x: Any, y: Any) -> Any:
    """Say `loss` in PyTorch, with its own `silu`."""
    h = x
    for w in weights:
        a = h @ w
        h = torch.nn.functional.silu(a) + 0.5 * torch.tanh(a) * torch.exp(-(a * a))
    return torch.nn.functional.mse_loss(h, y)


CASE = Case(
    name="alternating",
    title="large products alternating with elementwise work",
    sizes=(
        Size("64 x 64, 3 layers", {"batch": 64, "width": 64, "layers": 3}, quick=True),
        Size("1024 x 1024, 3 layers", {"batch": 1024, "width": 1024, "layers": 3}),
        Size("8192 x 128, 4 layers", {"batch": 8192, "width": 128, "layers": 4}),
    ),
    family="networks",
    loss=loss,
    make=make,
    by_hand=by_hand,
    torch=in_torch,
)
