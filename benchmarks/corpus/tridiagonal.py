"""Tridiagonal systems and what is built on them."""

from typing import Any

import numpy as np

from .program import Arguments, Program


def thomas(a: Any, b: Any, c: Any, d: Any) -> Any:
    """Solve a tridiagonal system: a below the diagonal b, c above it, right-hand side d."""
    n = len(d)
    cp = np.zeros(n)
    dp = np.zeros(n)
    cp[0] = c[0] / b[0]
    dp[0] = d[0] / b[0]
    for i in range(1, n):
        m = b[i] - a[i] * cp[i - 1]
        cp[i] = c[i] / m
        dp[i] = (d[i] - a[i] * dp[i - 1]) / m
    x = np.zeros(n)
    x[-1] = dp[-1]
    for i in range(n - 2, -1, -1):
        x[i] = dp[i] - cp[i] * x[i + 1]
    return x


def cubic_spline(x: Any, y: Any, xq: Any) -> Any:
    """Evaluate the natural cubic spline through (x, y) at every xq."""
    n = len(x) - 1
    h = np.diff(x)
    alpha = np.zeros(n)
    for i in range(1, n):
        alpha[i] = 3 / h[i] * (y[i + 1] - y[i]) - 3 / h[i - 1] * (y[i] - y[i - 1])
    mu = np.zeros(n + 1)
    z = np.zeros(n + 1)
    for i in range(1, n):
        diag = 2 * (x[i + 1] - x[i - 1]) - h[i - 1] * mu[i - 1]
        mu[i] = h[i] / diag
        z[i] = (alpha[i] - h[i - 1] * z[i - 1]) / diag
    b, c, d = np.zeros(n), np.zeros(n + 1), np.zeros(n)
    for j in range(n - 1, -1, -1):
        c[j] = z[j] - mu[j] * c[j + 1]
        b[j] = (y[j + 1] - y[j]) / h[j] - h[j] * (c[j + 1] + 2 * c[j]) / 3
        d[j] = (c[j + 1] - c[j]) / (3 * h[j])
    out = np.empty(len(xq))
    for q in range(len(xq)):
        k = np.searchsorted(x, xq[q]) - 1
        t = xq[q] - x[k]
        out[q] = y[k] + t * (b[k] + t * (c[k] + t * d[k]))
    return out


def beam(load: Any, stiffness: Any, dx: float) -> Any:
    """Deflection of a cantilever: integrate shear and moment inwards, slope and sag outwards."""
    n = len(load)
    shear = np.zeros(n)
    moment = np.zeros(n)
    for i in range(n - 2, -1, -1):
        shear[i] = shear[i + 1] + 0.5 * (load[i] + load[i + 1]) * dx
        moment[i] = moment[i + 1] + 0.5 * (shear[i] + shear[i + 1]) * dx
    slope = 0.0
    w = np.zeros(n)
    for i in range(1, n):
        before = slope
        slope += 0.5 * (moment[i - 1] / stiffness[i - 1] + moment[i] / stiffness[i]) * dx
        w[i] = w[i - 1] + 0.5 * (before + slope) * dx
    return w


def make_bands(n: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw three diagonals, the middle one dominant, and a right-hand side."""
    a, c, d = rng.standard_normal((3, n)).astype(dtype)
    return a, (4 + rng.random(n)).astype(dtype), c, d


def make_knots(n: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw knots, values, and three times as many points between the knots."""
    x = np.arange(n) + rng.uniform(-0.2, 0.2, n)
    # Off the knots, where the third derivative jumps.
    xq = rng.integers(0, n - 1, 3 * n) + rng.uniform(0.3, 0.7, 3 * n)
    return x.astype(dtype), rng.standard_normal(n).astype(dtype), xq.astype(dtype)


def make_beam(n: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw a load and a stiffness along a beam, and the spacing."""
    load = rng.uniform(0.5, 1.0, n)
    return load.astype(dtype), np.linspace(2.0, 1.0, n).astype(dtype), 1.0 / (n - 1)


PROGRAMS = (
    Program(
        "thomas", "Thomas algorithm", thomas, make_bands, (0, 1, 2, 3), 12, (17, 2000), "scalar"
    ),
    Program(
        "cubic_spline",
        "natural cubic spline",
        cubic_spline,
        make_knots,
        (0, 1, 2),
        12,
        (17, 500),
        "scalar",
    ),
    Program("beam", "beam deflection", beam, make_beam, (0, 1, 2), 12, (17, 2000), "scalar"),
)
