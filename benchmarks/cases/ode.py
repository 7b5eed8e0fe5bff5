"""A neural differential equation, integrated by Runge and Kutta's method and fitted to data."""

from typing import Any

import numpy as np

from ..case import Arguments, Case, Size

STEP = 0.05


def slope(params: Any, y: Any) -> Any:
    """Right-hand side of the equation: a network of one hidden layer."""
    w1, b1, w2, b2 = params
    return np.tanh(y @ w1 + b1) @ w2 + b2


def loss(params: Any, y0: Any, data: Any) -> Any:
    """Mean squared error of the solutions from `y0` to `data` after each step."""
    y = y0
    total = 0.0
    for target in data:
        k1 = slope(params, y)
        k2 = slope(params, y + 0.5 * STEP * k1)
        k3 = slope(params, y + 0.5 * STEP * k2)
        k4 = slope(params, y + STEP * k3)
        y = y + STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        total += np.sum((y - target) ** 2)
    return total / data.size


def make(
    rng: np.random.Generator, dtype: Any, steps: int, batch: int, state: int, hidden: int
) -> Arguments:
    """Draw a network, first states and data."""
    params = (
        (rng.standard_normal((state, hidden)) / np.sqrt(state)).astype(dtype),
        (0.1 * rng.standard_normal(hidden)).astype(dtype),
        (rng.standard_normal((hidden, state)) / np.sqrt(hidden)).astype(dtype),
        (0.1 * rng.standard_normal(state)).astype(dtype),
    )
    y0 = rng.standard_normal((batch, state)).astype(dtype)
    data = (y0 + 0.5 * rng.standard_normal((steps, batch, state))).astype(dtype)
    return params, y0, data


def by_hand(params: Any, y0: Any, data: Any) -> tuple[Any, Any]:
    """Value and gradient in NumPy, the weights' gradients by one product each at the end."""
    w1, b1, w2, b2 = params
    steps, batch, state = data.shape
    points = np.empty((steps, 4, batch, state), y0.dtype)
    hidden = np.empty((steps, 4, batch, len(b1)), y0.dtype)
    ends = np.empty_like(data)
    y = y0
    for i in range(steps):
        ks: list[Any] = []
        for j, reach in enumerate((0, 0.5 * STEP, 0.5 * STEP, STEP)):
            points[i, j] = y + reach * ks[-1] if ks else y
            hidden[i, j] = np.tanh(points[i, j] @ w1 + b1)
            ks.append(hidden[i, j] @ w2 + b2)
        k1, k2, k3, k4 = ks
        y = y + STEP / 6 * (k1 + 2 * (k2 + k3) + k4)
        ends[i] = y
    error = ends - data
    value = np.mean(error * error)

    dends = 2 * error / error.size
    slopes = 1 - hidden * hidden
    dks = np.empty_like(points)
    das = np.empty_like(hidden)
    dy = np.zeros_like(y0)
    for i in reversed(range(steps)):
        dy = dy + dends[i]
        total = dy
        dk = np.zeros_like(dy)
        for j, weight, reach in ((3, 1, 1), (2, 2, 0.5), (1, 2, 0.5), (0, 1, 0)):
            dks[i, j] = weight * STEP / 6 * dy + dk
            das[i, j] = (dks[i, j] @ w2.T) * slopes[i, j]
            dpoint = das[i, j] @ w1.T
            total = total + dpoint
            dk = reach * STEP * dpoint
        dy = total
    flat_dks, flat_das = dks.reshape(-1, state), das.reshape(-1, len(b1))
    dw1 = points.reshape(-1, state).T @ flat_das
    dw2 = hidden.reshape(-1, len(b1)).T @ flat_dks
    return value, (dw1, flat_das.sum(axis=0), dw2, flat_dks.sum(axis=0))


def by_jax_scan(jax: Any, params: Any, y0: Any, data: Any) -> Any:
    """Say `loss` in JAX with ``lax.scan``."""
    jnp = jax.numpy
    w1, b1, w2, b2 = params

    def slope(y: Any) -> Any:
        return jnp.tanh(y @ w1 + b1) @ w2 + b2

    def step(y: Any, _: None) -> tuple[Any, Any]:
        k1 = slope(y)
        k2 = slope(y + 0.5 * STEP * k1)
        k3 = slope(y + 0.5 * STEP * k2)
        k4 = slope(y + STEP * k3)
        y = y + STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return y, y

    _, ends = jax.lax.scan(step, y0, None, length=len(data))
    return jnp.mean((ends - data) ** 2)


def in_torch(torch: Any, params: Any, y0: Any, data: Any) -> Any:
    """Say `loss` in PyTorch."""
    w1, b1, w2, b2 = params

    def slope(y: Any) -> Any:
        return torch.addmm(b2, torch.tanh(torch.addmm(b1, y, w1)), w2)

    y = y0
    ends = []
    for _ in data:
        k1 = slope(y)
        k2 = slope(torch.add(y, k1, alpha=0.5 * STEP))
        k3 = slope(torch.add(y, k2, alpha=0.5 * STEP))
        k4 = slope(torch.add(y, k3, alpha=STEP))
        y = torch.add(y, torch.add(k1 + k4, k2 + k3, alpha=2), alpha=STEP / 6)
        ends.append(y)
    return torch.nn.functional.mse_loss(torch.stack(ends), data)


CASE = Case(
    name="ode",
    title="neural differential equation by Runge-Kutta, squared error",
    sizes=(
        Size(
            "10 steps, 16 x 2-32",
            {"steps": 10, "batch": 16, "state": 2, "hidden": 32},
            quick=True,
        ),
        Size("100 steps, 64 x 4-64", {"steps": 100, "batch": 64, "state": 4, "hidden": 64}),
    ),
    family="sequences and dynamics",
    loss=loss,
    make=make,
    by_hand=by_hand,
    torch=in_torch,
    jax={"scan": by_jax_scan},
)
