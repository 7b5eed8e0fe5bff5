"""A deep residual ReLU network: a long chain of small layers, unrolled by a Python loop."""

from typing import Any

import numpy as np

from ..case import Arguments, Case, Size


def loss(params: Any, x: Any, y: Any) -> Any:
    """Mean squared error of residual layers and a linear readout."""
    blocks, readout = params
    h = x
    for w, b in blocks:
        h = h + np.maximum(h @ w + b, 0)
    return np.mean((h @ readout - y) ** 2)


def make(
    rng: np.random.Generator, dtype: Any, batch: int, depth: int, width: int, outputs: int = 8
) -> Arguments:
    """Draw weights scaled so that fifty layers keep the activations of order one."""
    blocks = tuple(
        (
            (rng.standard_normal((width, width)) / (np.sqrt(width) * depth)).astype(dtype),
            (0.1 * rng.standard_normal(width) / depth).astype(dtype),
        )
        for _ in range(depth)
    )
    readout = (rng.standard_normal((width, outputs)) / np.sqrt(width)).astype(dtype)
    x = rng.standard_normal((batch, width)).astype(dtype)
    y = rng.standard_normal((batch, outputs)).astype(dtype)
    return (blocks, readout), x, y


def by_hand(params: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Value and gradient, as one writes them in NumPy."""
    blocks, readout = params
    inputs = []
    active = []
    h = x
    for w, b in blocks:
        a = h @ w + b
        inputs.append(h)
        active.append(a > 0)
        h = h + np.maximum(a, 0)
    error = h @ readout - y
    value = np.mean(error**2)

    derror = 2 * error / error.size
    dreadout = h.T @ derror
    dh = derror @ readout.T
    grads = []
    for (w, _), h, on in zip(reversed(blocks), reversed(inputs), reversed(active), strict=True):
        da = dh * on
        grads.append((h.T @ da, da.sum(axis=0)))
        dh = dh + da @ w.T
    return value, (tuple(reversed(grads)), dreadout)


def in_torch(torch: Any, params: Any, x: Any, y: Any) -> Any:
    """Say `loss` in PyTorch."""
    blocks, readout = params
    h = x
    for w, b in blocks:
        h = h + torch.relu(torch.addmm(b, h, w))
    return torch.nn.functional.mse_loss(h @ readout, y)


CASE = Case(
    name="resnet",
    title="deep residual ReLU network, squared error",
    family="networks",
    sizes=(
        Size("32 x 64, 10 layers", {"batch": 32, "depth": 10, "width": 64}, quick=True),
        Size("32 x 64, 50 layers", {"batch": 32, "depth": 50, "width": 64}),
    ),
    loss=loss,
    make=make,
    by_hand=by_hand,
    torch=in_torch,
)
