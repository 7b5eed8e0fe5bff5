"""The Hessian of a logistic regression, as Newton's method and standard errors need it."""

import importlib
from typing import Any

import numpy as np

from ..case import Arguments, Size, with_namespace
from .task import Task, by_hand, once


def loss(w: Any, x: Any, y: Any) -> Any:
    """Mean negative log-likelihood of labels 0 and 1."""
    scores = x @ w
    return np.mean(np.logaddexp(0.0, scores) - y * scores)


def make(rng: np.random.Generator, dtype: Any, rows: int, variables: int) -> Arguments:
    """Draw weights, a design matrix and labels."""
    x = rng.standard_normal((rows, variables)).astype(dtype)
    w = (rng.standard_normal(variables) / np.sqrt(variables)).astype(dtype)
    return w, x, (rng.random(rows) < 0.5).astype(dtype)


def hessian(w: Any, x: Any, y: Any) -> Any:
    """Weight each row by the variance of its label."""
    chances = 1 / (1 + np.exp(-(x @ w)))
    return x.T @ ((chances * (1 - chances) / len(x))[:, None] * x)


def in_autograd(autograd: Any) -> Any:
    """Differentiate the gradient row by row."""
    return autograd.hessian(with_namespace(loss, importlib.import_module("autograd.numpy")))


def in_torch(torch: Any) -> Any:
    """Say `loss` in PyTorch."""

    def twin(w: Any, x: Any, y: Any) -> Any:
        scores = x @ w
        return torch.mean(torch.nn.functional.softplus(scores) - y * scores)

    return torch.func.hessian(twin)


def in_jax(jax: Any) -> Any:
    """Differentiate forward over reverse."""
    return jax.jit(jax.hessian(with_namespace(loss, jax.numpy)))


def in_jax_by_reverse(jax: Any) -> Any:
    """Differentiate reverse over reverse."""
    return jax.jit(jax.jacrev(jax.grad(with_namespace(loss, jax.numpy))))


TASKS = (
    Task(
        name="logistic_hessian",
        title="Hessian of a logistic log-likelihood",
        family="second order",
        sizes=(
            Size("1000 x 20", {"rows": 1000, "variables": 20}, quick=True, dtype="float64"),
            Size("1000 x 100", {"rows": 1000, "variables": 100}, dtype="float64"),
        ),
        make=make,
        by_hand=hessian,
        ways={
            "pullback": once(lambda pb: pb.hessian(loss)),
            "by hand": by_hand(hessian),
            "jax": {
                "forward over reverse": once(in_jax),
                "reverse over reverse": once(in_jax_by_reverse),
            },
            "torch": once(in_torch),
            "autograd": once(in_autograd),
        },
    ),
)
