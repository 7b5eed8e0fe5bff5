"""Option prices, on a tree and by simulation."""

from typing import Any

import numpy as np

from .program import Arguments, Program


def binomial_option(spot: float, strike: float, rate: float, sigma: float, steps: int) -> Any:
    """Price an American put with a year to go on a binomial tree (Cox, Ross and Rubinstein)."""
    dt = 1.0 / steps
    up = np.exp(sigma * np.sqrt(dt))
    down = 1 / up
    p = (np.exp(rate * dt) - down) / (up - down)
    discount = np.exp(-rate * dt)
    prices = spot * up ** np.arange(steps, -steps - 1, -2)
    values = np.maximum(strike - prices, 0)
    for i in range(steps - 1, -1, -1):
        prices[: i + 1] = prices[: i + 1] * down
        held = discount * (p * values[: i + 1] + (1 - p) * values[1 : i + 2])
        values[: i + 1] = np.maximum(held, strike - prices[: i + 1])
    return values[0]


def monte_carlo_option(
    spot: float, strike: float, rate: float, sigma: float, normals: Any, level: float
) -> Any:
    """Price an Asian call that is knocked out below a level, by simulated paths."""
    steps, paths = normals.shape
    dt = 1.0 / steps
    price = np.full(paths, spot)
    total = np.zeros(paths)
    alive = np.ones(paths, dtype=bool)
    for z in normals:
        price = price * np.exp((rate - 0.5 * sigma**2) * dt + sigma * np.sqrt(dt) * z)
        alive &= price > level
        total += price
    payoff = np.where(alive, np.maximum(total / steps - strike, 0), 0)
    return np.exp(-rate) * payoff.mean()


def make_tree(steps: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw spot, strike, rate, volatility, and the depth of the tree."""
    return 100.0 + rng.random(), 105.0, 0.05, 0.3, steps


def make_paths(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw spot, strike, rate, volatility, draws for each step and path, and the level."""
    return 100.0, 100.0, 0.05, 0.3, rng.standard_normal(size).astype(dtype), 80.0


PROGRAMS = (
    Program(
        "binomial_option",
        "American put on a binomial tree",
        binomial_option,
        make_tree,
        (0, 1, 2, 3),
        17,
        (19, 1000),
        "array",
    ),
    Program(
        "monte_carlo_option",
        "Asian option by Monte Carlo",
        monte_carlo_option,
        make_paths,
        (0, 1, 2, 3),
        (12, 30),
        ((16, 40), (50, 20_000)),
        "array",
    ),
)
