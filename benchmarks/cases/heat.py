"""Heat on a plate, in place on slices, step by step: its conductivity fitted to a last state."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..case import Arguments, Case, Size


def loss(params: Any, powers: Any, source: Any, seen: Any) -> Any:
    """Mean squared error of a heated plate to the one `seen` after all steps."""
    first, conductivity = params
    u = first.copy()
    for power in powers:
        around = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
        u[1:-1, 1:-1] += conductivity * (around - 4 * u[1:-1, 1:-1]) + power * source
    return np.mean((u - seen) ** 2)


def make(rng: np.random.Generator, dtype: Any, steps: int, size: int) -> Arguments:
    """Draw a plate, its conductivity, a heater and what was seen."""
    first = rng.standard_normal((size, size)).astype(dtype)
    conductivity = rng.uniform(0.1, 0.2, (size - 2, size - 2)).astype(dtype)
    powers = rng.uniform(0, 1, steps).astype(dtype)
    source = (0.1 * rng.standard_normal((size - 2, size - 2))).astype(dtype)
    seen = rng.standard_normal((size, size)).astype(dtype)
    return (first, conductivity), powers, source, seen


def by_hand(params: Any, powers: Any, source: Any, seen: Any) -> tuple[Any, Any]:
    """Value and gradient, as one writes them in NumPy."""
    first, conductivity = params
    u = first.copy()
    flows = []
    for power in powers:
        around = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
        flow = around - 4 * u[1:-1, 1:-1]
        flows.append(flow)
        u[1:-1, 1:-1] += conductivity * flow + power * source
    error = u - seen
    value = np.mean(error * error)

    du = 2 * error / error.size
    dconductivity = np.zeros_like(conductivity)
    for flow in reversed(flows):
        inner = du[1:-1, 1:-1].copy()
        dconductivity += inner * flow
        dflow = inner * conductivity
        du[:-2, 1:-1] += dflow
        du[2:, 1:-1] += dflow
        du[1:-1, :-2] += dflow
        du[1:-1, 2:] += dflow
        du[1:-1, 1:-1] -= 4 * dflow
    return value, (du, dconductivity)


def portable(xp: Any, params: Any, powers: Any, source: Any, seen: Any) -> Any:
    """Say `loss` over the namespace `xp`, without writes."""
    u, conductivity = params
    for power in powers:
        around = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
        u = u + xp.pad(conductivity * (around - 4 * u[1:-1, 1:-1]) + power * source, 1, "constant")
    return xp.mean((u - seen) ** 2)


def by_jax_scan(jax: Any, params: Any, powers: Any, source: Any, seen: Any) -> Any:
    """Say `loss` in JAX with ``lax.scan``."""

    def added(u: Any, change: Any) -> Any:
        return u.at[1:-1, 1:-1].add(change)

    return _by_scan(jax, params, powers, source, seen, added)


def by_jax_scan_padded(jax: Any, params: Any, powers: Any, source: Any, seen: Any) -> Any:
    """Say `loss` in JAX with ``lax.scan``, with padding in the place of a write."""

    def added(u: Any, change: Any) -> Any:
        return u + jax.numpy.pad(change, 1)

    return _by_scan(jax, params, powers, source, seen, added)


def _by_scan(
    jax: Any, params: Any, powers: Any, source: Any, seen: Any, added: Callable[[Any, Any], Any]
) -> Any:
    first, conductivity = params

    def step(u: Any, power: Any) -> tuple[Any, None]:
        around = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
        change = conductivity * (around - 4 * u[1:-1, 1:-1]) + power * source
        return added(u, change), None

    u, _ = jax.lax.scan(step, first, powers)
    return jax.numpy.mean((u - seen) ** 2)


def in_torch(torch: Any, params: Any, powers: Any, source: Any, seen: Any) -> Any:
    """Say `loss` in PyTorch; by slices it is faster than by ``conv2d``, backward above all."""
    u, conductivity = params
    for power in powers:
        around = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
        change = conductivity * (around - 4 * u[1:-1, 1:-1]) + power * source
        u = u + torch.nn.functional.pad(change, (1, 1, 1, 1))
    return torch.nn.functional.mse_loss(u, seen)


CASE = Case(
    name="heat",
    title="heat on a plate over time, in place",
    sizes=(
        Size("10 steps, 32 x 32", {"steps": 10, "size": 32}, quick=True),
        Size("100 steps, 256 x 256", {"steps": 100, "size": 256}),
    ),
    family="sequences and dynamics",
    loss=loss,
    make=make,
    by_hand=by_hand,
    portable=portable,
    torch=in_torch,
    jax={"scan": by_jax_scan, "scan, padded": by_jax_scan_padded},
)
