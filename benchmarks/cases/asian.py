"""An Asian option by simulation: its price and the slopes by spot, volatility and rate."""

import math
from typing import Any

import numpy as np

from ..case import Arguments, Case, Size

STRIKE = 1.0
YEARS = 1.0


def loss(params: Any, normals: Any) -> Any:
    """Price of a call on the mean of the path, over paths that `normals` drive."""
    spot, volatility, rate = params
    dt = YEARS / normals.shape[1]
    increments = (rate - 0.5 * volatility**2) * dt + volatility * math.sqrt(dt) * normals
    paths = spot * np.exp(np.cumsum(increments, axis=1))
    payoffs = np.maximum(np.mean(paths, axis=1) - STRIKE, 0)
    return np.exp(-rate * YEARS) * np.mean(payoffs)


def make(rng: np.random.Generator, dtype: Any, paths: int, steps: int) -> Arguments:
    """Draw the normal numbers."""
    params = tuple([np.asarray(a, dtype) for a in (1.05, 0.3, 0.02)])
    return params, rng.standard_normal((paths, steps)).astype(dtype)


def by_hand(params: Any, normals: Any) -> tuple[Any, Any]:
    """Value and gradient, as one writes them in NumPy: of the paths that pay alone."""
    spot, volatility, rate = params
    count, steps = normals.shape
    dt = YEARS / steps
    times = (dt * np.arange(1, steps + 1)).astype(normals.dtype)
    walks = math.sqrt(dt) * np.cumsum(normals, axis=1)
    paths = spot * np.exp((rate - 0.5 * volatility**2) * times + volatility * walks)
    means = paths.mean(axis=1)
    paying = means > STRIKE
    discount = np.exp(-rate * YEARS) / count
    value = discount * (means[paying] - STRIKE).sum()

    share = discount / steps
    at_times = paths.T @ paying.astype(normals.dtype)
    weighted = np.einsum("ij,ij->i", paths, walks) @ paying
    by_time = at_times @ times
    dspot = share * at_times.sum() / spot
    dvolatility = share * (weighted - volatility * by_time)
    return value, (dspot, dvolatility, share * by_time - YEARS * value)


def in_torch(torch: Any, params: Any, normals: Any) -> Any:
    """Say `loss` in PyTorch."""
    spot, volatility, rate = params
    dt = YEARS / normals.shape[1]
    increments = (rate - 0.5 * volatility**2) * dt + volatility * math.sqrt(dt) * normals
    paths = spot * torch.exp(torch.cumsum(increments, dim=1))
    payoffs = torch.relu(paths.mean(dim=1) - STRIKE)
    return torch.exp(-rate * YEARS) * payoffs.mean()


CASE = Case(
    name="asian",
    title="Asian option by simulation, price and slopes",
    sizes=(
        Size("1000 paths, 12 steps", {"paths": 1000, "steps": 12}, quick=True, dtype="float64"),
        Size("100000 paths, 12 steps", {"paths": 100000, "steps": 12}, dtype="float64"),
    ),
    family="elementwise and reductions",
    loss=loss,
    make=make,
    by_hand=by_hand,
    torch=in_torch,
)
