"""Softmax cross-entropy at up to 10^5 classes: logits that fill the caches, integer labels."""

from typing import Any

import numpy as np

from ..case import Arguments, Case, Size


def loss(params: Any, x: Any, labels: Any) -> Any:
    """Mean cross-entropy of a linear classifier."""
    w, b = params
    logits = x @ w + b
    top = np.max(logits, axis=1)
    log_partition = top + np.log(np.sum(np.exp(logits - top[:, None]), axis=1))
    return np.mean(log_partition - logits[np.arange(len(x)), labels])


def make(rng: np.random.Generator, dtype: Any, batch: int, features: int, count: int) -> Arguments:
    """Draw weights, inputs and the indices of their classes."""
    w = (rng.standard_normal((features, count), np.float32) / np.sqrt(features)).astype(dtype)
    b = (0.1 * rng.standard_normal(count)).astype(dtype)
    x = rng.standard_normal((batch, features)).astype(dtype)
    return (w, b), x, rng.integers(count, size=batch)


def by_hand(params: Any, x: Any, labels: Any) -> tuple[Any, Any]:
    """Value and gradient, as one writes them in NumPy."""
    w, b = params
    logits = x @ w + b
    rows = np.arange(len(x))
    top = logits.max(axis=1, keepdims=True)
    exponentials = np.exp(logits - top)
    partition = exponentials.sum(axis=1, keepdims=True)
    value = np.mean(top[:, 0] + np.log(partition[:, 0]) - logits[rows, labels])

    dlogits = exponentials * (1 / (len(x) * partition))
    dlogits[rows, labels] -= 1 / len(x)
    return value, (x.T @ dlogits, dlogits.sum(axis=0))


def in_torch(torch: Any, params: Any, x: Any, labels: Any) -> Any:
    """Say `loss` in PyTorch, with its own fused cross-entropy."""
    w, b = params
    return torch.nn.functional.cross_entropy(torch.addmm(b, x, w), labels)


def in_jax(jax: Any, params: Any, x: Any, labels: Any) -> Any:
    """Say `loss` in JAX, with its own log-softmax."""
    w, b = params
    log_probabilities = jax.nn.log_softmax(x @ w + b)
    picked = jax.numpy.take_along_axis(log_probabilities, labels[:, None], axis=1)
    return -jax.numpy.mean(picked)


CASE = Case(
    name="classes",
    title="softmax cross-entropy with many classes",
    family="elementwise and reductions",
    sizes=(
        Size("64 x 32, 1,000 classes", {"batch": 64, "features": 32, "count": 1000}, quick=True),
        Size("32 x 64, 100,000 classes", {"batch": 32, "features": 64, "count": 100_000}),
    ),
    loss=loss,
    make=make,
    by_hand=by_hand,
    torch=in_torch,
    jax={"jax.nn": in_jax},
)
