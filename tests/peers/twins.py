"""What JAX runs for the programs that branch, loop on a condition or write, where it needs that."""

from __future__ import annotations

import importlib
from typing import Any

jax: Any = importlib.import_module("jax")
jnp: Any = jax.numpy


def branch(w, x):
    y = jax.lax.cond(
        w[0] + x[0] > 0.0,
        lambda w, x: jnp.exp(w[1]) * x[1],
        lambda w, x: jnp.sin(w[1] * x[0]) + w[0] ** 2,
        *(w, x),
    )
    return y * y


def newton_root(a, x):
    y = x
    for _ in range(8):
        going = jnp.abs(y * y - a) > 1e-13
        y = jnp.where(going, 0.5 * (y + a / y), y)
    return y**3


def first_passage(w, level):
    total, is_over = 0.0, False
    for k in range(5):
        new = total + w[k] ** 2
        now = new > 2.0 * level
        total = jnp.where(is_over, total, jnp.where(now, new, new * 1.1))
        is_over = is_over | now
    return total * level


def scatter(w, x):
    out = jnp.zeros(8).at[jnp.array([1, 3, 0, 6, 2, 5])].set(w * x)
    out = out.at[2:5].set(out[2:5] ** 2 + w[:3])
    return jnp.sum(jnp.arange(8.0) * out**2)


def scatter_add(w, x):
    return jnp.sum(jnp.zeros(3).at[jnp.array([0, 2, 2, 1, 0, 2])].add(w * x) ** 3)


def cholesky_by_loops(B, x):
    L = jnp.linalg.cholesky(B @ B.T + jnp.eye(3))
    return jnp.sum((L @ x) ** 2) + jnp.sum(jnp.log(jnp.diagonal(L)))


def gauss_seidel(params, u):
    v = u
    for _ in range(2):
        for i in range(1, 4):
            new = params[0, i] * v[i - 1] + params[1, i] * v[i + 1] + jnp.tanh(u[i])
            v = v.at[i].set(new)
    return jnp.sum(v**2)


TWINS = {
    f.__name__: f
    for f in (
        branch,
        newton_root,
        first_passage,
        scatter,
        scatter_add,
        cholesky_by_loops,
        gauss_seidel,
    )
}
