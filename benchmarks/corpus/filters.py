"""Recursions along a signal: Kalman, digital filters, smoothing, volatility."""

# As people write it: names change their types, and matrices have capital letters.
# pyright: reportConstantRedefinition=false

from typing import Any

import numpy as np

from .program import Arguments, Program


def kalman_filter(ys: Any, F: Any, H: Any, Q: Any, R: Any) -> Any:
    """Give filtered means and the log likelihood of observations of a linear Gaussian system."""
    n = F.shape[0]
    x = np.zeros(n)
    P = np.eye(n)
    means = []
    loglik = 0.0
    for y in ys:
        x = F @ x
        P = F @ P @ F.T + Q
        S = H @ P @ H.T + R
        K = P @ H.T @ np.linalg.inv(S)
        e = y - H @ x
        x = x + K @ e
        P = P - K @ H @ P
        _, logdet = np.linalg.slogdet(S)
        loglik -= 0.5 * (e @ np.linalg.solve(S, e) + logdet + len(e) * np.log(2 * np.pi))
        means.append(x)
    return np.stack(means), loglik


def kalman_smoother(ys: Any, F: Any, H: Any, Q: Any, R: Any) -> Any:
    """Smoothed means and covariances: the filter forward, then Rauch, Tung and Striebel back."""
    T, n = len(ys), len(F)
    xf, Pf = np.zeros((T, n)), np.zeros((T, n, n))
    xp, Pp = np.zeros((T, n)), np.zeros((T, n, n))
    x, P = np.zeros(n), np.eye(n)
    for t in range(T):
        xp[t] = F @ x
        Pp[t] = F @ P @ F.T + Q
        K = np.linalg.solve(H @ Pp[t] @ H.T + R, H @ Pp[t]).T
        x = xp[t] + K @ (ys[t] - H @ xp[t])
        P = Pp[t] - K @ H @ Pp[t]
        xf[t], Pf[t] = x, P
    xs, Ps = xf.copy(), Pf.copy()
    for t in range(T - 2, -1, -1):
        G = np.linalg.solve(Pp[t + 1], F @ Pf[t]).T
        xs[t] = xf[t] + G @ (xs[t + 1] - xp[t + 1])
        Ps[t] = Pf[t] + G @ (Ps[t + 1] - Pp[t + 1]) @ G.T
    return xs, Ps


def iir_filter(b: Any, a: Any, x: Any) -> Any:
    """Filter a signal by a rational transfer function (direct form II transposed)."""
    order = len(a) - 1
    z = np.zeros(order + 1)
    y = np.zeros_like(x)
    for n in range(len(x)):
        y[n] = b[0] * x[n] + z[0]
        for k in range(order):
            z[k] = b[k + 1] * x[n] + z[k + 1] - a[k + 1] * y[n]
    return y


def edge_filter(image: Any, alpha: float) -> Any:
    """Deriche's recursive smoothing of the rows of an image: one pass each way."""
    e = np.exp(-alpha)
    k = (1 - e) ** 2 / (1 + 2 * alpha * e - e**2)
    a1, a2 = k, k * e * (alpha - 1)
    a3, a4 = k * e * (alpha + 1), -k * e**2
    b1, b2 = 2 * e, -(e**2)
    w = image.shape[1]
    y1 = np.zeros_like(image)
    y2 = np.zeros_like(image)
    y1[:, 0] = a1 * image[:, 0]
    y1[:, 1] = a1 * image[:, 1] + a2 * image[:, 0] + b1 * y1[:, 0]
    for j in range(2, w):
        y1[:, j] = a1 * image[:, j] + a2 * image[:, j - 1] + b1 * y1[:, j - 1] + b2 * y1[:, j - 2]
    y2[:, w - 2] = a3 * image[:, w - 1]
    for j in range(w - 3, -1, -1):
        y2[:, j] = (
            a3 * image[:, j + 1] + a4 * image[:, j + 2] + b1 * y2[:, j + 1] + b2 * y2[:, j + 2]
        )
    return y1 + y2


def exponential_smoothing(y: Any, alpha: float, beta: float) -> Any:
    """Holt's smoothing of level and trend: one-step forecasts and their squared error."""
    level, trend = y[0], y[1] - y[0]
    forecasts = np.empty(len(y))
    forecasts[0] = y[0]
    sse = 0.0
    for t in range(1, len(y)):
        forecasts[t] = level + trend
        error = y[t] - forecasts[t]
        sse += error**2
        last = level
        level = alpha * y[t] + (1 - alpha) * (level + trend)
        trend = beta * (level - last) + (1 - beta) * trend
    return forecasts, sse


def garch(params: Any, returns: Any) -> Any:
    """Negative log likelihood of returns whose variance follows a GARCH(1, 1) process."""
    omega, alpha, beta = params
    variance = np.var(returns)
    nll = 0.0
    for r in returns:
        nll += 0.5 * (np.log(2 * np.pi * variance) + r**2 / variance)
        variance = omega + alpha * r**2 + beta * variance
    return nll


def make_system(size: tuple[int, int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw observations, transition, observation matrix and covariances of a stable system."""
    steps, n, m = size
    F = rng.standard_normal((n, n)) / (2 * np.sqrt(n)) + 0.5 * np.eye(n)
    H = rng.standard_normal((m, n)) / np.sqrt(n)
    Q, R = 0.1 * np.eye(n), 0.5 * np.eye(m)
    ys = rng.standard_normal((steps, m))
    return tuple(a.astype(dtype) for a in (ys, F, H, Q, R))


def make_signal(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw a stable filter of some order and a signal."""
    n, order = size
    a = np.poly(0.6 * np.cos(np.arange(order)))
    b = 0.5 * rng.standard_normal(order + 1)
    return b.astype(dtype), a.astype(dtype), rng.standard_normal(n).astype(dtype)


def make_image(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw an image and a width of the smoothing."""
    return rng.random(size).astype(dtype), 0.5


def make_series(n: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw a noisy trend and two smoothing constants."""
    return (0.1 * np.arange(n) + rng.standard_normal(n)).astype(dtype), 0.3, 0.1


def make_returns(n: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw parameters of the process and returns of a unit variance."""
    return np.array([0.1, 0.1, 0.8], dtype), rng.standard_normal(n).astype(dtype)


PROGRAMS = (
    Program(
        "kalman_filter",
        "Kalman filter",
        kalman_filter,
        make_system,
        (0, 1, 2, 3, 4),
        (12, 4, 3),
        ((16, 5, 2), (100, 48, 16)),
        "array",
    ),
    Program(
        "kalman_smoother",
        "Kalman smoother",
        kalman_smoother,
        make_system,
        (0, 1, 2, 3, 4),
        (12, 4, 3),
        ((16, 5, 2), (100, 48, 16)),
        "array",
    ),
    Program(
        "iir_filter",
        "IIR filter",
        iir_filter,
        make_signal,
        (0, 1, 2),
        (12, 9),
        ((17, 10), (500, 12)),
        "scalar",
    ),
    Program(
        "edge_filter",
        "edge detection, recursive",
        edge_filter,
        make_image,
        (0, 1),
        (9, 14),
        ((10, 18), (1000, 500)),
        "array",
    ),
    Program(
        "exponential_smoothing",
        "Holt's exponential smoothing",
        exponential_smoothing,
        make_series,
        (0, 1, 2),
        12,
        (20, 2000),
        "scalar",
    ),
    Program("garch", "GARCH likelihood", garch, make_returns, (0, 1), 12, (20, 2000), "scalar"),
)
