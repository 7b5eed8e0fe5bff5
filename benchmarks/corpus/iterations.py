"""Iterations that stop at a tolerance: how often they run, only the run knows."""

# As people write it: names change their types, and matrices have capital letters.
# mypy: disable-error-code="assignment,attr-defined"
# pyright: reportConstantRedefinition=false

import math
from typing import Any

import numpy as np

from .program import Arguments, Program


def conjugate_gradient(A: Any, b: Any, tol: float) -> Any:
    """Solve A x = b for a symmetric positive definite A, until the residual is below `tol`."""
    x = np.zeros_like(b)
    r = b - A @ x
    p = r.copy()
    rs = r @ r
    while np.sqrt(rs) > tol:
        Ap = A @ p
        alpha = rs / (p @ Ap)
        x += alpha * p
        r -= alpha * Ap
        rs_new = r @ r
        p = r + (rs_new / rs) * p
        rs = rs_new
    return x


def power_iteration(A: Any, tol: float) -> Any:
    """Find the dominant eigenvalue and its eigenvector."""
    n = A.shape[0]
    v = np.ones(n) / np.sqrt(n)
    err = 1.0
    while err > tol:
        w = A @ v
        w /= np.linalg.norm(w)
        err = np.linalg.norm(w - v)
        v = w
    return v @ A @ v, v


def newton(M: Any, e: Any, tol: float) -> Any:
    """Solve Kepler's equation E - e sin(E) = M for every mean anomaly."""
    E = np.zeros_like(M)
    for i in range(len(M)):
        x = M[i]
        while True:
            step = (x - e * np.sin(x) - M[i]) / (1 - e * np.cos(x))
            x -= step
            if abs(step) < tol:
                break
        E[i] = x
    return E


def newton_system(x: Any, c: Any, tol: float) -> Any:
    """Solve x + tanh(C x) = 1 by Newton's method on the whole vector."""
    x = x.copy()
    n = x.size
    err = np.inf
    while err > tol:
        t = np.tanh(c @ x)
        F = x + t - 1.0
        J = np.eye(n) + (1 - t**2)[:, None] * c
        dx = np.linalg.solve(J, F)
        x -= dx
        err = np.max(np.abs(dx))
    return x


def bisection(p: Any, q: Any, lo: float, hi: float, tol: float) -> Any:
    """Find the roots of x³ + p x - q: halve the bracket, then draw the secant across it."""

    def f(x: Any, k: int) -> Any:
        return x**3 + p[k] * x - q[k]

    roots = []
    for k in range(len(p)):
        a, b = lo, hi
        fa = f(a, k)
        while b - a > tol:
            mid = 0.5 * (a + b)
            fmid = f(mid, k)
            if fa * fmid <= 0:
                b = mid
            else:
                a, fa = mid, fmid
        fb = f(b, k)
        roots.append(a - fa * (b - a) / (fb - fa))
    return np.array(roots)


def adaptive_quadrature(a: float, b: float, width: float, tol: float) -> Any:
    """Integrate a peak of some width at 1 over [a, b] by Simpson's rule on halves, recursively."""
    mid = 0.5 * (a + b)
    return refine(a, mid, b, peak(a, width), peak(mid, width), peak(b, width), width, tol)


def refine(
    a: float, mid: float, b: float, fa: float, fm: float, fb: float, width: float, tol: float
) -> float:
    """Integrate over [a, b], given the values at both ends and in the middle."""
    left, right = 0.5 * (a + mid), 0.5 * (mid + b)
    fl, fr = peak(left, width), peak(right, width)
    h = b - a
    whole = h / 6 * (fa + 4 * fm + fb)
    halves = h / 12 * (fa + 4 * fl + 2 * fm + 4 * fr + fb)
    if abs(halves - whole) < 15 * tol:
        return halves + (halves - whole) / 15
    return refine(a, left, mid, fa, fl, fm, width, tol / 2) + refine(
        mid, right, b, fm, fr, fb, width, tol / 2
    )


def peak(x: float, width: float) -> float:
    """Give a Gaussian at 1, on a slope."""
    return math.exp(-(((x - 1.0) / width) ** 2)) + 0.1 * x


def make_definite_system(n: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw a definite matrix, a right-hand side, a tolerance that the dtype can reach."""
    B = rng.standard_normal((n, n))
    A = B @ B.T / n + np.eye(n)
    tol = 1e-4 if dtype == np.float32 else 1e-13
    return A.astype(dtype), rng.standard_normal(n).astype(dtype), tol


def make_dominated(n: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw a symmetric matrix whose first eigenvalue is three times the second."""
    Q, _ = np.linalg.qr(rng.standard_normal((n, n)))
    Q[:, 0] += 2.0 / np.sqrt(n)
    Q, _ = np.linalg.qr(Q)
    A = (Q * np.append(3.0, rng.uniform(0.1, 1.0, n - 1))) @ Q.T
    return A.astype(dtype), 1e-4 if dtype == np.float32 else 1e-13


def make_anomalies(n: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw mean anomalies within one turn, an eccentricity, a tolerance."""
    M = rng.uniform(0.1, 6.0, n).astype(dtype)
    return M, 0.6, 1e-4 if dtype == np.float32 else 1e-12


def make_network(n: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw a first guess, a coupling, a tolerance."""
    c = rng.standard_normal((n, n)) / (2 * np.sqrt(n))
    x = np.full(n, 0.5).astype(dtype)
    return x, c.astype(dtype), 1e-4 if dtype == np.float32 else 1e-12


def make_cubics(n: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw coefficients of cubics with one root between 0 and 3."""
    p, q = rng.uniform(1.0, 3.0, n), rng.uniform(1.0, 9.0, n)
    return p.astype(dtype), q.astype(dtype), 0.0, 3.0, 1e-2


def make_interval(n: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw an interval around the peak, and a tolerance of n digits."""
    return -1.0 + 0.1 * rng.random(), 3.0 + 0.1 * rng.random(), 0.3, 10.0**-n


PROGRAMS = (
    Program(
        "conjugate_gradient",
        "conjugate gradient to a tolerance",
        conjugate_gradient,
        make_definite_system,
        (0, 1),
        12,
        (17, 500),
        "array",
        symmetric=(0,),
    ),
    Program(
        "power_iteration",
        "power iteration to a tolerance",
        power_iteration,
        make_dominated,
        (0,),
        12,
        (17, 500),
        "array",
    ),
    Program(
        "newton",
        "Newton on Kepler's equation",
        newton,
        make_anomalies,
        (0, 1),
        12,
        (17, 2000),
        "scalar",
    ),
    Program(
        "newton_system",
        "Newton on a system",
        newton_system,
        make_network,
        (1,),
        12,
        (17, 100),
        "array",
    ),
    Program("bisection", "bisection", bisection, make_cubics, (0, 1), 12, (17, 1000), "scalar"),
    Program(
        "adaptive_quadrature",
        "adaptive quadrature by recursion",
        adaptive_quadrature,
        make_interval,
        (0, 1, 2),
        5,
        (7, 12),
        "scalar",
    ),
)
