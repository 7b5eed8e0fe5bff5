"""A whole step of training: the gradient, clipped by its norm, and an update by Adam in place.

Adam is Algorithm 1 of Kingma and Ba (2015). Every contestant carries its own state from call to
call; what is compared is the parameters after the first one.
"""

from typing import Any

import numpy as np

from ..case import Size, leaves, map_leaves, with_namespace
from ..cases import mlp
from ..timing import Run
from .task import Task, carrying

RATE, DECAY, DECAY_OF_SQUARES, EPSILON, LARGEST = 1e-3, 0.9, 0.999, 1e-8, 1.0


def first_step(params: Any, x: Any, targets: Any) -> Any:
    """Give the parameters after one step from zero moments, in allocating NumPy."""
    _, grads = mlp.by_hand(params, x, targets)
    norm = np.sqrt(sum(np.sum(g * g) for g in leaves(grads)))
    # At first the corrected moments are the gradient and its square.
    moved = (
        p - RATE * (clipped := g * min(1.0, LARGEST / float(norm))) / (np.abs(clipped) + EPSILON)
        for p, g in zip(leaves(params), leaves(grads), strict=True)
    )
    return map_leaves(lambda _: next(moved), params)


def in_numpy(_: Any, params: Any, x: Any, targets: Any) -> Run:
    """Write the step by hand, in place."""
    params = map_leaves(np.copy, params)
    moments, squares = ([np.zeros_like(p) for p in leaves(params)] for _ in range(2))
    count = 0

    def step() -> Any:
        nonlocal count
        count += 1
        _, grads = mlp.by_hand(params, x, targets)
        flat = list(leaves(grads))
        norm = float(np.sqrt(sum(np.vdot(g, g) for g in flat)))
        rate = RATE / (1 - DECAY**count)
        rest = float(np.sqrt(1 - DECAY_OF_SQUARES**count))
        for p, g, m, s in zip(leaves(params), flat, moments, squares, strict=True):
            if norm > LARGEST:
                g *= LARGEST / norm
            m *= DECAY
            m += (1 - DECAY) * g
            s *= DECAY_OF_SQUARES
            s += (1 - DECAY_OF_SQUARES) * (g * g)
            p -= rate * m / (np.sqrt(s) / rest + EPSILON)
        return params, ()

    return step


def in_jax(jax: Any, params: Any, x: Any, targets: Any) -> Run:
    """Jit the step, which may reuse the memory of its state."""
    jnp: Any = jax.numpy
    loss = with_namespace(mlp.loss, jnp)
    over = jax.tree.map

    def step(params: Any, state: Any, x: Any, targets: Any) -> Any:
        moments, squares, count = state
        grads = jax.grad(loss)(params, x, targets)
        norm = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(grads)))
        grads = over(lambda g: g * jnp.minimum(1.0, LARGEST / norm), grads)
        count = count + 1
        moments = over(lambda m, g: DECAY * m + (1 - DECAY) * g, moments, grads)
        squares = over(
            lambda s, g: DECAY_OF_SQUARES * s + (1 - DECAY_OF_SQUARES) * g * g, squares, grads
        )
        rest, rest_of_squares = 1 - DECAY**count, 1 - DECAY_OF_SQUARES**count
        params = over(
            lambda p, m, s: p - RATE * (m / rest) / (jnp.sqrt(s / rest_of_squares) + EPSILON),
            params,
            moments,
            squares,
        )
        return params, (moments, squares, count)

    zeros = over(jnp.zeros_like, params), over(jnp.zeros_like, params), jnp.zeros((), jnp.int32)
    compiled = jax.jit(step, donate_argnums=(0, 1))
    return carrying(compiled, (over(jnp.copy, params), zeros), (x, targets))


def in_torch(torch: Any, params: Any, x: Any, targets: Any) -> Run:
    """Let PyTorch's own optimizer take the step."""
    params = map_leaves(lambda p: p.clone().requires_grad_(), params)
    flat = list(leaves(params))
    adam = torch.optim.Adam(flat, lr=RATE, betas=(DECAY, DECAY_OF_SQUARES), eps=EPSILON)

    def step() -> Any:
        adam.zero_grad()
        mlp.in_torch(torch, params, x, targets).backward()
        torch.nn.utils.clip_grad_norm_(flat, LARGEST)
        adam.step()
        return map_leaves(lambda p: p.detach(), params), ()

    return step


def in_pullback(pb: Any, params: Any, x: Any, targets: Any) -> Run:
    """Compile the step, which may reuse the memory of its state."""
    adam = pb.optim.adam(RATE, b1=DECAY, b2=DECAY_OF_SQUARES, eps=EPSILON)

    def step(params: Any, state: Any, x: Any, targets: Any) -> Any:
        grads = pb.clip_by_global_norm(pb.grad(mlp.loss)(params, x, targets), LARGEST)
        updates, state = adam.update(grads, state, params)
        return pb.optim.apply_updates(params, updates), state

    params = map_leaves(np.copy, params)
    compiled = pb.compile(step, donate_argnums=(0, 1))
    return carrying(compiled, (params, adam.init(params)), (x, targets))


TASKS = (
    Task(
        name="training_step",
        title="gradient, clipping and Adam on a multilayer perceptron",
        family="training",
        sizes=(
            Size("64 x 64-64-10", {"batch": 64, "widths": (64, 64, 10)}, quick=True),
            Size("256 x 784-256-256-10", {"batch": 256, "widths": (784, 256, 256, 10)}),
        ),
        make=mlp.make,
        by_hand=first_step,
        ways={
            "pullback": in_pullback,
            "by hand": in_numpy,
            "jax": in_jax,
            "torch": in_torch,
        },
        read=lambda result: result[0],
    ),
)
