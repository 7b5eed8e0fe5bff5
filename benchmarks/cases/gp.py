"""A Gaussian process: a kernel matrix, its Cholesky factor and a solution with it."""

import math
from typing import Any

import numpy as np

from ..case import Arguments, Case, Size

LOG_TWO_PI = math.log(2 * math.pi)


def loss(params: Any, x: Any, y: Any) -> Any:
    """Negative log marginal likelihood of `y`, by a squared-exponential kernel with noise."""
    log_lengths, log_variance, log_noise = params
    scaled = x / np.exp(log_lengths)
    norms = np.sum(scaled**2, axis=1)
    distances = norms[:, None] + norms[None, :] - 2 * scaled @ scaled.T
    kernel = np.exp(log_variance) * np.exp(-0.5 * distances)
    factor = np.linalg.cholesky(kernel + np.exp(log_noise) * np.eye(len(x), dtype=x.dtype))
    white = np.linalg.solve(factor, y)
    log_determinant = 2 * np.sum(np.log(np.diag(factor)))
    return 0.5 * (np.sum(white**2) + log_determinant + len(x) * LOG_TWO_PI)


def make(rng: np.random.Generator, dtype: Any, points: int, dim: int) -> Arguments:
    """Draw hyperparameters, points and noisy values of a smooth function at them."""
    log_lengths = (0.1 * rng.standard_normal(dim)).astype(dtype)
    x = rng.standard_normal((points, dim)).astype(dtype)
    y = (np.sin(2 * x).sum(axis=1) + 0.3 * rng.standard_normal(points)).astype(dtype)
    return (log_lengths, np.asarray(0.2, dtype), np.asarray(-2.0, dtype)), x, y


def by_hand(params: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Value and gradient, as one writes them in NumPy: from the inverse of the kernel matrix."""
    log_lengths, log_variance, log_noise = params
    noise = np.exp(log_noise)
    scaled = x * np.exp(-log_lengths)
    squares = scaled * scaled
    norms = squares.sum(axis=1)
    kernel = np.exp(log_variance - 0.5 * (norms[:, None] + norms) + scaled @ scaled.T)
    noisy = kernel.copy()
    noisy.flat[:: len(x) + 1] += noise
    factor = np.linalg.cholesky(noisy)
    half = np.linalg.inv(factor)
    inverse = half.T @ half
    alpha = inverse @ y
    value = 0.5 * (y @ alpha + len(x) * LOG_TWO_PI) + np.log(factor.diagonal()).sum()

    dnoisy = 0.5 * (inverse - np.outer(alpha, alpha))
    dkernel = dnoisy * kernel
    rows = dkernel.sum(axis=1)
    dlog_lengths = 2 * (rows @ squares - (scaled * (dkernel @ scaled)).sum(axis=0))
    return value, (dlog_lengths, rows.sum(), noise * dnoisy.trace())


def by_jax(jax: Any, params: Any, x: Any, y: Any) -> Any:
    """Say `loss` in JAX, with its triangular solve."""
    jnp = jax.numpy
    log_lengths, log_variance, log_noise = params
    scaled = x * jnp.exp(-log_lengths)
    norms = jnp.sum(scaled * scaled, axis=1)
    kernel = jnp.exp(log_variance - 0.5 * (norms[:, None] + norms) + scaled @ scaled.T)
    factor = jnp.linalg.cholesky(kernel + jnp.exp(log_noise) * jnp.eye(len(x), dtype=x.dtype))
    white = jax.scipy.linalg.solve_triangular(factor, y, lower=True)
    log_determinant = 2 * jnp.sum(jnp.log(jnp.diag(factor)))
    return 0.5 * (white @ white + log_determinant + len(x) * LOG_TWO_PI)


def in_torch(torch: Any, params: Any, x: Any, y: Any) -> Any:
    """Say `loss` in PyTorch, with its triangular solve."""
    log_lengths, log_variance, log_noise = params
    scaled = x * torch.exp(-log_lengths)
    norms = (scaled * scaled).sum(dim=1)
    kernel = torch.exp(log_variance - 0.5 * (norms[:, None] + norms) + scaled @ scaled.T)
    factor = torch.linalg.cholesky(kernel + torch.exp(log_noise) * torch.eye(len(x), dtype=x.dtype))
    white = torch.linalg.solve_triangular(factor, y[:, None], upper=False)
    log_determinant = 2 * factor.diagonal().log().sum()
    return 0.5 * ((white * white).sum() + log_determinant + len(x) * LOG_TWO_PI)


CASE = Case(
    name="gp",
    title="Gaussian process, marginal likelihood by Cholesky",
    sizes=(
        Size("200 points", {"points": 200, "dim": 3}, quick=True, dtype="float64"),
        Size("500 points", {"points": 500, "dim": 3}, dtype="float64"),
    ),
    family="statistics and linear algebra",
    loss=loss,
    make=make,
    by_hand=by_hand,
    torch=in_torch,
    jax={"triangular solve": by_jax},
)
