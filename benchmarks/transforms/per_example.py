"""The gradient of each example by itself, as differential privacy and influence need them."""

import importlib
from typing import Any

import numpy as np

from ..case import Size, with_namespace
from ..cases import mlp
from .contestants import LOOPED
from .task import Task, by_hand, once


def loss(params: Any, x: Any, target: Any) -> Any:
    """Cross-entropy of a tanh network on one example."""
    h = x
    for w, b in params[:-1]:
        h = np.tanh(h @ w + b)
    w, b = params[-1]
    logits = h @ w + b
    shifted = logits - np.max(logits)
    return np.log(np.sum(np.exp(shifted))) - np.sum(target * shifted)


def gradients(params: Any, x: Any, targets: Any) -> Any:
    """Carry the examples along, and take an outer product for each."""
    hidden = [x]
    for w, b in params[:-1]:
        hidden.append(np.tanh(hidden[-1] @ w + b))
    w, b = params[-1]
    logits = hidden[-1] @ w + b
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    da = exponentials / exponentials.sum(axis=1, keepdims=True) - targets
    grads = []
    for (w, _), h in zip(reversed(params), reversed(hidden), strict=True):
        grads.append((h[:, :, None] * da[:, None, :], da))
        if h is not x:
            da = (da @ w.T) * (1 - h * h)
    return tuple(reversed(grads))


def gradient_of_one(params: Any, x: Any, target: Any) -> Any:
    """Differentiate by hand on one example."""
    hidden = [x]
    for w, b in params[:-1]:
        hidden.append(np.tanh(hidden[-1] @ w + b))
    w, b = params[-1]
    logits = hidden[-1] @ w + b
    exponentials = np.exp(logits - logits.max())
    da = exponentials / exponentials.sum() - target
    grads = []
    for (w, _), h in zip(reversed(params), reversed(hidden), strict=True):
        grads.append((np.outer(h, da), da))
        if h is not x:
            da = (w @ da) * (1 - h * h)
    return tuple(reversed(grads))


def looped(params: Any, x: Any, targets: Any) -> Any:
    """Call what is written for one example on each."""
    found = [gradient_of_one(params, *example) for example in zip(x, targets, strict=True)]
    return _stacked(np, found)


def _stacked(xp: Any, trees: Any) -> Any:
    return tuple(
        tuple(xp.stack(leaf) for leaf in zip(*layer, strict=True))
        for layer in zip(*trees, strict=True)
    )


def in_jax(jax: Any) -> Any:
    """Map the gradient over the examples."""
    return jax.jit(jax.vmap(jax.grad(with_namespace(loss, jax.numpy)), (None, 0, 0)))


def in_torch(torch: Any) -> Any:
    """Map the gradient over the examples."""

    def twin(params: Any, x: Any, target: Any) -> Any:
        h = x
        for w, b in params[:-1]:
            h = torch.tanh(h @ w + b)
        w, b = params[-1]
        return torch.nn.functional.cross_entropy(h @ w + b, target)

    return torch.func.vmap(torch.func.grad(twin), (None, 0, 0))


def in_autograd(autograd: Any) -> Any:
    """Call the gradient on each example: autograd has no map."""
    gradient = autograd.grad(with_namespace(loss, importlib.import_module("autograd.numpy")))

    def each(params: Any, x: Any, targets: Any) -> Any:
        return _stacked(np, [gradient(params, *one) for one in zip(x, targets, strict=True)])

    return each


def _size(batch: int, *widths: int, quick: bool = False) -> Size:
    label = f"{batch} x {'-'.join(map(str, widths))}"
    return Size(label, {"batch": batch, "widths": widths}, quick, "float64")


TASKS = (
    Task(
        name="per_example",
        title="gradients of a multilayer perceptron for each example",
        family="per example",
        sizes=(_size(256, 4, 8, 8, 3, quick=True), _size(256, 64, 32, 32, 10)),
        make=mlp.make,
        by_hand=gradients,
        ways={
            "pullback": once(lambda pb: pb.vmap(pb.grad(loss), in_axes=(None, 0, 0))),
            "by hand": by_hand(gradients),
            LOOPED: by_hand(looped),
            "jax": once(in_jax),
            "torch": once(in_torch),
            "autograd": once(in_autograd),
        },
    ),
)
