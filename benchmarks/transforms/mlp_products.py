"""The Hessian of a multilayer perceptron times a direction, and all of a small one, compiled anew.

By hand it is Pearlmutter's R-operator ("Fast exact multiplication by the Hessian", 1994): what
computes the gradient, differentiated along the direction.
"""

import importlib
from itertools import pairwise
from typing import Any

import numpy as np

from ..case import Arguments, Size, leaves, map_leaves, with_namespace
from ..cases import mlp
from .task import Task, anew, by_hand, once


def make(rng: np.random.Generator, dtype: Any, batch: int, widths: tuple[int, ...]) -> Arguments:
    """Draw parameters, a direction, inputs and targets."""
    params, x, targets = mlp.make(rng, dtype, batch, widths)
    direction = map_leaves(lambda a: rng.standard_normal(a.shape).astype(dtype), params)
    return params, direction, x, targets


def product(params: Any, direction: Any, x: Any, targets: Any) -> Any:
    """Differentiate the gradient by hand along a direction; what begins with `r` is along it."""
    hidden, r_hidden = [x], [np.zeros_like(x)]
    a, ra = x, r_hidden[0]
    for (w, b), (rw, rb) in zip(params, direction, strict=True):
        a = hidden[-1] @ w + b
        ra = r_hidden[-1] @ w + hidden[-1] @ rw + rb
        hidden.append(np.tanh(a))
        r_hidden.append((1 - hidden[-1] ** 2) * ra)
    exponentials = np.exp(a - a.max(axis=1, keepdims=True))
    chances = exponentials / exponentials.sum(axis=1, keepdims=True)
    r_chances = chances * (ra - np.sum(chances * ra, axis=1, keepdims=True))

    da, rda = (chances - targets) / len(x), r_chances / len(x)
    products = []
    for depth in reversed(range(len(params))):
        (w, _), (rw, _), h, rh = params[depth], direction[depth], hidden[depth], r_hidden[depth]
        products.append((rh.T @ da + h.T @ rda, rda.sum(axis=0)))
        if depth:
            dh, rdh = da @ w.T, rda @ w.T + da @ rw.T
            da, rda = dh * (1 - h * h), rdh * (1 - h * h) - 2 * h * rh * dh
    return tuple(reversed(products))


def in_jax(jax: Any) -> Any:
    """Push the direction through the gradient."""
    loss = with_namespace(mlp.loss, jax.numpy)

    def twin(params: Any, direction: Any, x: Any, targets: Any) -> Any:
        slope = jax.grad(lambda p: loss(p, x, targets))
        return jax.jvp(slope, (params,), (direction,))[1]

    return jax.jit(twin)


def in_jax_by_reverse(jax: Any) -> Any:
    """Differentiate the slope along the direction."""
    loss = with_namespace(mlp.loss, jax.numpy)

    def slope(params: Any, direction: Any, x: Any, targets: Any) -> Any:
        return _dot(jax.numpy, jax.grad(loss)(params, x, targets), direction)

    return jax.jit(jax.grad(slope))


def _dot(xp: Any, left: Any, right: Any) -> Any:
    # Autograd's sequences are no tuples, so the layers are walked by hand.
    return sum(
        xp.sum(a * b)
        for layers_of_both in zip(left, right, strict=True)
        for a, b in zip(*layers_of_both, strict=True)
    )


def in_torch(torch: Any) -> Any:
    """Push the direction through the gradient."""

    def twin(params: Any, direction: Any, x: Any, targets: Any) -> Any:
        slope = torch.func.grad(lambda p: mlp.in_torch(torch, p, x, targets))
        return torch.func.jvp(slope, (params,), (direction,))[1]

    return twin


def in_autograd(autograd: Any) -> Any:
    """Differentiate the slope along the direction."""
    xp: Any = importlib.import_module("autograd.numpy")
    gradient = autograd.grad(with_namespace(mlp.loss, xp))

    def slope(params: Any, direction: Any, x: Any, targets: Any) -> Any:
        return _dot(xp, gradient(params, x, targets), direction)

    return autograd.grad(slope)


def in_pullback(pb: Any) -> Any:
    """Transform the loss of the race of gradients."""

    def along(params: Any, direction: Any, x: Any, targets: Any) -> Any:
        (found,) = pb.hvp(lambda p: mlp.loss(p, x, targets), (params,), (direction,))
        return found

    return pb.compile(along)


# The first Hessian


def make_flat(
    rng: np.random.Generator, dtype: Any, batch: int, widths: tuple[int, ...]
) -> Arguments:
    """Draw all parameters as one vector, inputs and targets."""
    params, x, targets = mlp.make(rng, dtype, batch, widths)
    return np.concatenate([leaf.ravel() for leaf in leaves(params)]), x, targets


def layers(flat: Any, widths: tuple[int, ...]) -> Any:
    """Cut the parameters out of their vector."""
    found, start = [], 0
    for m, n in pairwise(widths):
        end = start + m * n
        found.append((flat[start:end].reshape(m, n), flat[end : end + n]))
        start = end + n
    return tuple(found)


WIDTHS = (4, 8, 8, 3)


def flat_loss(flat: Any, x: Any, targets: Any) -> Any:
    """Loss of the small network over its vector of 139 parameters."""
    return mlp.loss(layers(flat, WIDTHS), x, targets)


def flat_hessian(flat: Any, x: Any, targets: Any) -> Any:
    """Multiply by one unit vector after the other."""
    columns = [
        product(layers(flat, WIDTHS), layers(unit, WIDTHS), x, targets)
        for unit in np.eye(flat.size, dtype=flat.dtype)
    ]
    return np.stack([np.concatenate([leaf.ravel() for leaf in leaves(c)]) for c in columns], axis=1)


def first_in_jax(jax: Any) -> Any:
    """Make a function that was never compiled."""
    loss = with_namespace(mlp.loss, jax.numpy)
    return jax.jit(jax.hessian(lambda flat, x, t: loss(layers(flat, WIDTHS), x, t)))


TASKS = (
    Task(
        name="mlp_hvp",
        title="Hessian of a multilayer perceptron times a direction",
        family="second order",
        sizes=(
            Size(
                "32 x 16-32-32-10",
                {"batch": 32, "widths": (16, 32, 32, 10)},
                quick=True,
                dtype="float64",
            ),
            Size(
                "128 x 64-128-128-10", {"batch": 128, "widths": (64, 128, 128, 10)}, dtype="float64"
            ),
        ),
        make=make,
        by_hand=product,
        ways={
            "pullback": once(in_pullback),
            "by hand": by_hand(product),
            "jax": {
                "forward over reverse": once(in_jax),
                "reverse over reverse": once(in_jax_by_reverse),
            },
            "torch": once(in_torch),
            "autograd": once(in_autograd),
        },
    ),
    Task(
        name="first_hessian",
        title="Hessian of a perceptron of 139 parameters, compiled at each call",
        family="compiling",
        sizes=(Size("16 x 4-8-8-3", {"batch": 16, "widths": WIDTHS}, quick=True, dtype="float64"),),
        make=make_flat,
        by_hand=flat_hessian,
        ways={
            "pullback": anew(lambda pb: pb.hessian(flat_loss)),
            "jax": anew(first_in_jax),
        },
        is_steady=False,
    ),
)
