"""The likelihood by a Kalman filter: a loop of products and solutions with small matrices."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..case import Arguments, Case, Size


def loss(params: Any, ys: Any) -> Any:
    """Mean negative log-likelihood of `ys` (up to a constant) under a linear Gaussian system."""
    motion, sensing, log_q, log_r = params
    q = np.diag(np.exp(log_q))
    r = np.diag(np.exp(log_r))
    mean = np.zeros(len(motion), ys.dtype)
    cov = np.eye(len(motion), dtype=ys.dtype)
    total = 0.0
    for y in ys:
        mean = motion @ mean
        cov = motion @ cov @ motion.T + q
        seen = sensing @ cov
        spread = seen @ sensing.T + r
        error = y - sensing @ mean
        gain = np.linalg.solve(spread, seen).T
        _, log_determinant = np.linalg.slogdet(spread)
        total += 0.5 * (error @ np.linalg.solve(spread, error) + log_determinant)
        mean = mean + gain @ error
        cov = cov - gain @ seen
    return total / len(ys)


def make(rng: np.random.Generator, dtype: Any, steps: int, state: int, outputs: int) -> Arguments:
    """Draw a stable system and what is seen of a run of it."""
    motion = rng.standard_normal((state, state))
    motion *= 0.95 / np.abs(np.linalg.eigvals(motion)).max()
    sensing = rng.standard_normal((outputs, state)) / np.sqrt(state)
    log_q, log_r = np.full(state, -2.0), np.full(outputs, -1.0)
    ys = np.empty((steps, outputs))
    now = rng.standard_normal(state)
    for i in range(steps):
        now = motion @ now + np.exp(0.5 * log_q) * rng.standard_normal(state)
        ys[i] = sensing @ now + np.exp(0.5 * log_r) * rng.standard_normal(outputs)
    params = (motion, sensing, log_q, log_r)
    return tuple([a.astype(dtype) for a in params]), ys.astype(dtype)


def by_hand(params: Any, ys: Any) -> tuple[Any, Any]:
    """Value and gradient, as one writes them in NumPy: one inverse a step, forward and back."""
    motion, sensing, log_q, log_r = params
    q = np.diag(np.exp(log_q))
    r = np.diag(np.exp(log_r))
    mean = np.zeros(len(motion), ys.dtype)
    cov = np.eye(len(motion), dtype=ys.dtype)
    total = 0.0
    steps = []
    for y in ys:
        before = mean, cov
        mean = motion @ mean
        cov = motion @ cov @ motion.T + q
        seen = sensing @ cov
        spread = seen @ sensing.T + r
        inverse = np.linalg.inv(spread)
        error = y - sensing @ mean
        scaled = inverse @ error
        gain = seen.T @ inverse
        total += error @ scaled + np.linalg.slogdet(spread)[1]
        steps.append((*before, mean, cov, seen, inverse, error, scaled, gain))
        mean = mean + gain @ error
        cov = cov - gain @ seen
    value = 0.5 * total / len(ys)

    share = 0.5 / len(ys)
    dmotion, dsensing = np.zeros_like(motion), np.zeros_like(sensing)
    dq, dr = np.zeros_like(q), np.zeros_like(r)
    dmean, dcov = np.zeros_like(mean), np.zeros_like(cov)
    # Cotangents of covariances are kept symmetric; only that part of them reaches the gradient.
    for m, p, mean, cov, seen, inverse, error, scaled, gain in reversed(steps):
        dscaled = seen @ dmean + share * error
        dinverse = np.outer(dscaled, error) - seen @ dcov @ seen.T
        dspread = share * inverse - inverse @ dinverse @ inverse
        dseen = np.outer(scaled, dmean) - 2 * gain.T @ dcov + dspread @ sensing
        derror = inverse @ dscaled + share * scaled
        dmean = dmean - derror @ sensing
        dsensing += dspread.T @ seen + dseen @ cov - np.outer(derror, mean)
        back = sensing.T @ dseen
        dcov = dcov + 0.5 * (back + back.T)
        dr += dspread
        dq += dcov
        dmotion += np.outer(dmean, m) + 2 * dcov @ motion @ p
        dmean = dmean @ motion
        dcov = motion.T @ dcov @ motion
    dlog_q = dq.diagonal() * q.diagonal()
    dlog_r = dr.diagonal() * r.diagonal()
    return value, (dmotion, dsensing, dlog_q, dlog_r)


def by_jax_scan(jax: Any, params: Any, ys: Any) -> Any:
    """Say `loss` in JAX with ``lax.scan``."""
    linalg = jax.numpy.linalg

    def update(seen: Any, spread: Any, error: Any) -> tuple[Any, Any, Any]:
        gain = linalg.solve(spread, seen).T
        _, log_determinant = linalg.slogdet(spread)
        term = error @ linalg.solve(spread, error) + log_determinant
        return gain @ error, gain @ seen, term

    return _by_scan(jax, params, ys, update)


def by_jax_cholesky(jax: Any, params: Any, ys: Any) -> Any:
    """Say `loss` in JAX with ``lax.scan`` and one Cholesky factor a step."""
    jnp = jax.numpy

    def update(seen: Any, spread: Any, error: Any) -> tuple[Any, Any, Any]:
        factor = jnp.linalg.cholesky(spread)
        both = jnp.concatenate([seen, error[:, None]], axis=1)
        white = jax.scipy.linalg.solve_triangular(factor, both, lower=True)
        seen, error = white[:, :-1], white[:, -1]
        term = error @ error + 2 * jnp.sum(jnp.log(jnp.diag(factor)))
        return error @ seen, seen.T @ seen, term

    return _by_scan(jax, params, ys, update)


def _by_scan(jax: Any, params: Any, ys: Any, update: Callable[..., tuple[Any, Any, Any]]) -> Any:
    """Filter with `update`, which gives what mean and covariance change by, and a step's term."""
    jnp = jax.numpy
    motion, sensing, log_q, log_r = params
    q = jnp.diag(jnp.exp(log_q))
    r = jnp.diag(jnp.exp(log_r))

    def step(carry: Any, y: Any) -> tuple[Any, Any]:
        mean, cov = carry
        mean = motion @ mean
        cov = motion @ cov @ motion.T + q
        seen = sensing @ cov
        gained, known, term = update(seen, seen @ sensing.T + r, y - sensing @ mean)
        return (mean + gained, cov - known), term

    first = jnp.zeros(len(motion), ys.dtype), jnp.eye(len(motion), dtype=ys.dtype)
    _, terms = jax.lax.scan(step, first, ys)
    return 0.5 * jnp.mean(terms)


def in_torch(torch: Any, params: Any, ys: Any) -> Any:
    """Say `loss` in PyTorch, with one Cholesky factor a step."""
    motion, sensing, log_q, log_r = params
    q = torch.diag(torch.exp(log_q))
    r = torch.diag(torch.exp(log_r))
    mean = torch.zeros(len(motion), 1, dtype=ys.dtype)
    cov = torch.eye(len(motion), dtype=ys.dtype)
    factors = []
    errors = []
    for y in ys[:, :, None]:
        mean = motion @ mean
        cov = torch.addmm(q, motion @ cov, motion.T)
        seen = sensing @ cov
        factor = torch.linalg.cholesky(torch.addmm(r, seen, sensing.T))
        both = torch.cat([seen, y - sensing @ mean], dim=1)
        white = torch.linalg.solve_triangular(factor, both, upper=False)
        seen, error = white[:, :-1], white[:, -1:]
        mean = torch.addmm(mean, seen.T, error)
        cov = torch.addmm(cov, seen.T, seen, alpha=-1)
        factors.append(factor)
        errors.append(error)
    diagonals = torch.stack(factors).diagonal(dim1=1, dim2=2)
    return (0.5 * (torch.stack(errors) ** 2).sum() + diagonals.log().sum()) / len(ys)


CASE = Case(
    name="kalman",
    title="Kalman filter, likelihood",
    sizes=(
        Size(
            "20 steps, 2 of 4",
            {"steps": 20, "state": 4, "outputs": 2},
            quick=True,
            dtype="float64",
        ),
        Size("200 steps, 4 of 8", {"steps": 200, "state": 8, "outputs": 4}, dtype="float64"),
    ),
    family="sequences and dynamics",
    loss=loss,
    make=make,
    by_hand=by_hand,
    torch=in_torch,
    jax={"scan": by_jax_scan, "scan, Cholesky": by_jax_cholesky},
)
