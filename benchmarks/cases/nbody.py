"""Bodies under gravity, all pairs by broadcasting, fitted to where they were seen."""

from typing import Any

import numpy as np

from ..case import Arguments, Case, Size, with_namespace

STEP = 0.01
SOFTENING = 0.1


def accelerations(positions: Any, masses: Any) -> Any:
    """Pull of all bodies on each, softened where two are close."""
    apart = positions[None, :, :] - positions[:, None, :]
    squares = np.sum(apart**2, axis=2) + SOFTENING**2
    weights = masses / (squares * np.sqrt(squares))
    return np.sum(weights[:, :, None] * apart, axis=1)


def loss(params: Any, seen: Any) -> Any:
    """Mean squared distance of a leapfrog orbit to the positions `seen` after each step."""
    positions, velocities, masses = params
    pull = accelerations(positions, masses)
    total = 0.0
    for target in seen:
        velocities = velocities + 0.5 * STEP * pull
        positions = positions + STEP * velocities
        pull = accelerations(positions, masses)
        velocities = velocities + 0.5 * STEP * pull
        total += np.sum((positions - target) ** 2)
    return total / seen.size


def make(rng: np.random.Generator, dtype: Any, steps: int, bodies: int) -> Arguments:
    """Draw bodies, and where they were seen."""
    positions = rng.standard_normal((bodies, 3)).astype(dtype)
    velocities = (0.5 * rng.standard_normal((bodies, 3))).astype(dtype)
    masses = (rng.uniform(0.5, 1.5, bodies) / bodies).astype(dtype)
    moved = positions + STEP * np.arange(1, steps + 1)[:, None, None] * velocities
    seen = (moved + 0.1 * rng.standard_normal(moved.shape)).astype(dtype)
    return (positions, velocities, masses), seen


def by_hand(params: Any, seen: Any) -> tuple[Any, Any]:
    """Value and gradient, as one writes them in NumPy."""
    positions, velocities, masses = params
    pull, record = pull_and_record(positions, masses)
    records = [record]
    errors = []
    for target in seen:
        velocities = velocities + 0.5 * STEP * pull
        positions = positions + STEP * velocities
        pull, record = pull_and_record(positions, masses)
        records.append(record)
        velocities = velocities + 0.5 * STEP * pull
        errors.append(positions - target)
    value = sum([np.vdot(error, error) for error in errors]) / seen.size

    dpositions, dvelocities = np.zeros_like(positions), np.zeros_like(velocities)
    dmasses = np.zeros_like(masses)
    dpull = np.zeros_like(positions)
    for error, record in zip(reversed(errors), reversed(records[1:]), strict=True):
        dpull = dpull + 0.5 * STEP * dvelocities
        moved, weighed = pull_adjoint(dpull, *record)
        dmasses += weighed
        dpositions = dpositions + moved + (2 / seen.size) * error
        dvelocities = dvelocities + STEP * dpositions
        dpull = 0.5 * STEP * dvelocities
    moved, weighed = pull_adjoint(dpull, *records[0])
    return value, (dpositions + moved, dvelocities, dmasses + weighed)


def pull_and_record(positions: Any, masses: Any) -> tuple[Any, Any]:
    """Give `accelerations`, and what its adjoint reads."""
    apart = positions[None, :, :] - positions[:, None, :]
    squares = np.einsum("ijk,ijk->ij", apart, apart) + SOFTENING**2
    cubes = 1 / (squares * np.sqrt(squares))
    weights = masses * cubes
    return np.einsum("ij,ijk->ik", weights, apart), (apart, squares, cubes, weights)


def pull_adjoint(dpull: Any, apart: Any, squares: Any, cubes: Any, weights: Any) -> Any:
    """Give the cotangents of the positions and of the masses."""
    dweights = np.einsum("ijk,ik->ij", apart, dpull)
    dmasses = np.einsum("ij,ij->j", dweights, cubes)
    dsquares = -3 * dweights * weights / squares
    moved = weights.T @ dpull - weights.sum(axis=1)[:, None] * dpull
    moved += np.einsum("ij,ijk->jk", dsquares, apart) - np.einsum("ij,ijk->ik", dsquares, apart)
    return moved, dmasses


def by_jax_scan(jax: Any, params: Any, seen: Any) -> Any:
    """Say `loss` in JAX with ``lax.scan``."""
    jnp = jax.numpy
    positions, velocities, masses = params
    pull_on = with_namespace(accelerations, jnp)

    def step(carry: Any, target: Any) -> tuple[Any, Any]:
        positions, velocities, pull = carry
        velocities = velocities + 0.5 * STEP * pull
        positions = positions + STEP * velocities
        pull = pull_on(positions, masses)
        velocities = velocities + 0.5 * STEP * pull
        return (positions, velocities, pull), jnp.sum((positions - target) ** 2)

    first = positions, velocities, pull_on(positions, masses)
    _, terms = jax.lax.scan(step, first, seen)
    return jnp.sum(terms) / seen.size


def in_torch(torch: Any, params: Any, seen: Any) -> Any:
    """Say `loss` in PyTorch."""
    positions, velocities, masses = params

    def pull_on(positions: Any) -> Any:
        apart = positions[None, :, :] - positions[:, None, :]
        squares = (apart**2).sum(dim=2) + SOFTENING**2
        weights = masses / (squares * torch.sqrt(squares))
        return (weights[:, :, None] * apart).sum(dim=1)

    pull = pull_on(positions)
    orbit = []
    for _ in seen:
        velocities = torch.add(velocities, pull, alpha=0.5 * STEP)
        positions = torch.add(positions, velocities, alpha=STEP)
        pull = pull_on(positions)
        velocities = torch.add(velocities, pull, alpha=0.5 * STEP)
        orbit.append(positions)
    return torch.nn.functional.mse_loss(torch.stack(orbit), seen)


CASE = Case(
    name="nbody",
    title="n bodies by leapfrog, fit of an orbit",
    sizes=(
        Size("5 steps, 30 bodies", {"steps": 5, "bodies": 30}, quick=True),
        Size("10 steps, 200 bodies", {"steps": 10, "bodies": 200}),
        Size("2 steps, 1000 bodies", {"steps": 2, "bodies": 1000}),
    ),
    family="sequences and dynamics",
    loss=loss,
    make=make,
    by_hand=by_hand,
    torch=in_torch,
    jax={"scan": by_jax_scan},
)
