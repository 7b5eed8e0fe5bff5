"""A multilayer perceptron under softmax cross-entropy, from overhead-bound to BLAS-bound."""

from itertools import pairwise
from typing import Any

import numpy as np

from ..case import Arguments, Case, Size


def loss(params: Any, x: Any, targets: Any) -> Any:
    """Mean cross-entropy of a tanh network against one-hot `targets`."""
    h = x
    for w, b in params[:-1]:
        h = np.tanh(h @ w + b)
    w, b = params[-1]
    logits = h @ w + b
    shifted = logits - np.max(logits, axis=1, keepdims=True)
    log_partition = np.log(np.sum(np.exp(shifted), axis=1))
    return np.mean(log_partition - np.sum(targets * shifted, axis=1))


def make(rng: np.random.Generator, dtype: Any, batch: int, widths: tuple[int, ...]) -> Arguments:
    """Draw weights, inputs and one-hot targets."""
    params = tuple(
        (
            (rng.standard_normal((m, n)) / np.sqrt(m)).astype(dtype),
            (0.1 * rng.standard_normal(n)).astype(dtype),
        )
        for m, n in pairwise(widths)
    )
    x = rng.standard_normal((batch, widths[0])).astype(dtype)
    targets = np.eye(widths[-1], dtype=dtype)[rng.integers(widths[-1], size=batch)]
    return params, x, targets


def by_hand(params: Any, x: Any, targets: Any) -> tuple[Any, Any]:
    """Value and gradient, as one writes them in NumPy."""
    hidden = [x]
    for w, b in params[:-1]:
        hidden.append(np.tanh(hidden[-1] @ w + b))
    w, b = params[-1]
    logits = hidden[-1] @ w + b
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    partition = exponentials.sum(axis=1, keepdims=True)
    value = np.mean(np.log(partition[:, 0]) - np.sum(targets * shifted, axis=1))

    da = (exponentials / partition - targets) / len(x)
    grads = []
    for (w, _), h in zip(reversed(params), reversed(hidden), strict=True):
        grads.append((h.T @ da, da.sum(axis=0)))
        if h is not x:
            da = (da @ w.T) * (1 - h * h)
    return value, tuple(reversed(grads))


def in_torch(torch: Any, params: Any, x: Any, targets: Any) -> Any:
    """Say `loss` in PyTorch, with its own fused cross-entropy."""
    h = x
    for w, b in params[:-1]:
        h = torch.tanh(torch.addmm(b, h, w))
    w, b = params[-1]
    return torch.nn.functional.cross_entropy(torch.addmm(b, h, w), targets)


CASE = Case(
    name="mlp",
    title="multilayer perceptron, softmax cross-entropy",
    family="networks",
    sizes=(
        Size("1 x 4-8-8-3", {"batch": 1, "widths": (4, 8, 8, 3)}),
        Size("32 x 64-32-32-10", {"batch": 32, "widths": (64, 32, 32, 10)}, quick=True),
        Size("128 x 256-128-128-10", {"batch": 128, "widths": (256, 128, 128, 10)}),
        Size("256 x 784-256-256-10", {"batch": 256, "widths": (784, 256, 256, 10)}),
        Size("256 x 784-1024-10", {"batch": 256, "widths": (784, 1024, 10)}),
    ),
    loss=loss,
    make=make,
    by_hand=by_hand,
    torch=in_torch,
)
