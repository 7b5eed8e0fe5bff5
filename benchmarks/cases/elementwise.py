"""A chain of elementwise functions and a sum: nothing but memory traffic and transcendentals."""

from typing import Any

import numpy as np

from ..case import Arguments, Case, Size


def sigmoid(a: Any) -> Any:
    """Return the logistic function."""
    return 1 / (1 + np.exp(-a))


def loss(params: Any) -> Any:
    """Sum of products of tanh, a Gaussian and a sigmoid."""
    x, y = params
    return np.sum(np.tanh(x) * np.exp(-y * y) + x * sigmoid(y))


def make(rng: np.random.Generator, dtype: Any, count: int) -> Arguments:
    """Draw two vectors."""
    x, y = rng.standard_normal((2, count), np.float32).astype(dtype)
    return ((x, y),)


def by_hand(params: Any) -> tuple[Any, Any]:
    """Value and gradient, as one writes them in NumPy."""
    x, y = params
    t = np.tanh(x)
    e = np.exp(-y * y)
    s = 1 / (1 + np.exp(-y))
    te, xs = t * e, x * s
    value = np.sum(te + xs)
    return value, ((1 - t * t) * e + s, xs * (1 - s) - 2 * y * te)


def in_torch(torch: Any, params: Any) -> Any:
    """Say `loss` in PyTorch, with its own sigmoid."""
    x, y = params
    return (torch.tanh(x) * torch.exp(-y * y) + x * torch.sigmoid(y)).sum()


def in_jax(jax: Any, params: Any) -> Any:
    """Say `loss` in JAX, with its own sigmoid."""
    x, y = params
    return jax.numpy.sum(jax.numpy.tanh(x) * jax.numpy.exp(-y * y) + x * jax.nn.sigmoid(y))


CASE = Case(
    name="elementwise",
    title="tanh, exp, sigmoid, products and a sum",
    family="elementwise and reductions",
    sizes=(
        Size("2^16", {"count": 2**16}, quick=True),
        Size("2^20", {"count": 2**20}),
        Size("2^23", {"count": 2**23}),
        Size("2^16, float64", {"count": 2**16}, dtype="float64"),
        Size("2^20, float64", {"count": 2**20}, dtype="float64"),
        Size("2^23, float64", {"count": 2**23}, dtype="float64"),
    ),
    loss=loss,
    make=make,
    by_hand=by_hand,
    torch=in_torch,
    jax={"jax.nn": in_jax},
)
