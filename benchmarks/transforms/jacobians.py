"""Jacobians that are wide and tall: which of the two modes pays is a matter of the shape."""

import importlib
from typing import Any

import numpy as np

from ..case import Arguments, Size, with_namespace
from .task import Task, by_hand, once


def network(x: Any, inner: Any, outer: Any) -> Any:
    """Map a vector through two layers."""
    return np.tanh(outer @ np.tanh(inner @ x))


def make(rng: np.random.Generator, dtype: Any, inputs: int, hidden: int, outputs: int) -> Arguments:
    """Draw an input and two layers."""
    inner = rng.standard_normal((hidden, inputs)) / np.sqrt(inputs)
    outer = rng.standard_normal((outputs, hidden)) / np.sqrt(hidden)
    return tuple(a.astype(dtype) for a in (rng.standard_normal(inputs), inner, outer))


def jacobian(x: Any, inner: Any, outer: Any) -> Any:
    """Multiply the Jacobians of the layers from the side of the outputs or of the inputs."""
    h = np.tanh(inner @ x)
    y = np.tanh(outer @ h)
    if len(y) <= len(x):
        return ((1 - y * y)[:, None] * outer * (1 - h * h)) @ inner
    return (1 - y * y)[:, None] * (outer @ ((1 - h * h)[:, None] * inner))


def in_jax(jax: Any, transform: str) -> Any:
    """Transform by ``jax.jacrev`` or ``jax.jacfwd``."""
    return jax.jit(getattr(jax, transform)(with_namespace(network, jax.numpy)))


def in_torch(torch: Any, transform: str) -> Any:
    """Transform by ``torch.func``."""

    def twin(x: Any, inner: Any, outer: Any) -> Any:
        return torch.tanh(outer @ torch.tanh(inner @ x))

    return getattr(torch.func, transform)(twin)


def in_autograd(autograd: Any) -> Any:
    """Differentiate each output in turn."""
    return autograd.jacobian(with_namespace(network, importlib.import_module("autograd.numpy")))


def _size(outputs: int, inputs: int, hidden: int, quick: bool = False) -> Size:
    dims = {"inputs": inputs, "hidden": hidden, "outputs": outputs}
    return Size(f"{outputs} x {inputs}", dims, quick, "float64")


TASKS = (
    Task(
        name="jacobian",
        title="Jacobian of a network of two layers",
        family="Jacobians",
        sizes=(_size(10, 60, 20, quick=True), _size(50, 1000, 200), _size(1000, 50, 200)),
        make=make,
        by_hand=jacobian,
        ways={
            "pullback": once(lambda pb: pb.jacobian(network)),
            "by hand": by_hand(jacobian),
            "jax": {
                "jacrev": once(lambda jax: in_jax(jax, "jacrev")),
                "jacfwd": once(lambda jax: in_jax(jax, "jacfwd")),
            },
            "torch": {
                "jacrev": once(lambda torch: in_torch(torch, "jacrev")),
                "jacfwd": once(lambda torch: in_torch(torch, "jacfwd")),
            },
            "autograd": once(in_autograd),
        },
    ),
)
