"""Relaxation and diffusion on grids: sweeps that overwrite the grid, or swap two of them."""

from typing import Any

import numpy as np

from .program import Arguments, Program


def jacobi(u0: Any, f: Any, sweeps: int) -> Any:
    """Jacobi sweeps for Poisson's equation on two grids that swap roles."""
    u = u0.copy()
    v = u0.copy()
    for _ in range(sweeps):
        v[1:-1, 1:-1] = 0.25 * (
            u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - f[1:-1, 1:-1]
        )
        u, v = v, u
    return u


def gauss_seidel(u0: Any, f: Any, sweeps: int) -> Any:
    """Gauss-Seidel sweeps for Poisson's equation, point by point in place."""
    u = u0.copy()
    n, m = u.shape
    for _ in range(sweeps):
        for i in range(1, n - 1):
            for j in range(1, m - 1):
                u[i, j] = 0.25 * (u[i - 1, j] + u[i + 1, j] + u[i, j - 1] + u[i, j + 1] - f[i, j])
    return u


def red_black(u0: Any, f: Any, omega: float, sweeps: int) -> Any:
    """Successive over-relaxation, red points first and then black ones, in rows of stride two."""
    u = u0.copy()
    n = u.shape[0]
    for _ in range(sweeps):
        for color in range(2):
            for i in range(1, n - 1):
                j = 1 + (i + color) % 2
                around = (
                    u[i - 1, j:-1:2] + u[i + 1, j:-1:2] + u[i, j - 1 : -2 : 2] + u[i, j + 1 :: 2]
                )
                u[i, j:-1:2] += omega * (0.25 * (around - f[i, j:-1:2]) - u[i, j:-1:2])
    return u


def heat_1d(u0: Any, alpha: float, steps: int) -> Any:
    """Explicit Euler steps of the heat equation on a rod."""
    u = u0.copy()
    for _ in range(steps):
        u[1:-1] += alpha * (u[2:] - 2 * u[1:-1] + u[:-2])
    return u


def heat_2d(u0: Any, alpha: float, steps: int) -> Any:
    """Explicit Euler steps of the heat equation on a plate, on two arrays that swap."""
    u = u0.copy()
    v = u0.copy()
    for _ in range(steps):
        v[1:-1, 1:-1] = u[1:-1, 1:-1] + alpha * (
            u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4.0 * u[1:-1, 1:-1]
        )
        u, v = v, u
    return u


def heat_3d(u0: Any, alpha: Any, steps: int) -> Any:
    """Explicit Euler steps of the heat equation in a block of varying conductivity."""
    u = u0.copy()
    for _ in range(steps):
        c = u[1:-1, 1:-1, 1:-1]
        lap = (
            (u[2:, 1:-1, 1:-1] - 2 * c + u[:-2, 1:-1, 1:-1])
            + (u[1:-1, 2:, 1:-1] - 2 * c + u[1:-1, :-2, 1:-1])
            + (u[1:-1, 1:-1, 2:] - 2 * c + u[1:-1, 1:-1, :-2])
        )
        u[1:-1, 1:-1, 1:-1] = c + alpha[1:-1, 1:-1, 1:-1] * lap
    return u


def laplacian(u: Any) -> Any:
    """Five-point Laplacian, zero on the border."""
    out = np.zeros_like(u)
    out[1:-1, 1:-1] = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * u[1:-1, 1:-1]
    return out


def nonlinear_diffusion(u0: Any, dt: float, steps: int) -> Any:
    """Diffusion with a cubic sink."""
    u = u0.copy()
    for _ in range(steps):
        u += dt * (laplacian(u) - u**3)
    return u


def adi(u0: Any, r: float, steps: int) -> Any:
    """Alternating directions: each half step is implicit along one axis (Peaceman-Rachford)."""
    u = u0.copy()
    for _ in range(steps):
        u = half_step(u, r)
        u = half_step(u.T, r).T
    return u


def half_step(u: Any, r: float) -> Any:
    """Explicit along the second axis, implicit along the first by the Thomas algorithm."""
    n = u.shape[0]
    v = u.copy()
    c = np.zeros(n)
    d = np.zeros_like(u)
    d[0] = u[0]
    for i in range(1, n - 1):
        rhs = (1 - 2 * r) * u[i, 1:-1] + r * (u[i, :-2] + u[i, 2:])
        m = 1 + 2 * r - r * c[i - 1]
        c[i] = r / m
        d[i, 1:-1] = (rhs + r * d[i - 1, 1:-1]) / m
    for i in range(n - 2, 0, -1):
        v[i, 1:-1] = d[i, 1:-1] + c[i] * v[i + 1, 1:-1]
    return v


def make_poisson(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw a grid of n² points, its sources, and a number of sweeps."""
    n, sweeps = size
    f = rng.standard_normal((n, n)) / n
    return rng.standard_normal((n, n)).astype(dtype), f.astype(dtype), sweeps


def make_over_relaxed(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw as for the Poisson equation, with a factor of over-relaxation."""
    u, f, sweeps = make_poisson(size, dtype, rng)
    return u, f, 1.5, sweeps


def make_rod(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw temperatures of n points, a diffusion number, and a number of steps."""
    n, steps = size
    return rng.standard_normal(n).astype(dtype), 0.2, steps


def make_plate(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw temperatures of n² points, a diffusion number, and a number of steps."""
    n, steps = size
    return rng.standard_normal((n, n)).astype(dtype), 0.1, steps


def make_concentrations(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw concentrations of n² points, a step, and a number of steps."""
    n, steps = size
    return rng.uniform(-1.0, 1.0, (n, n)).astype(dtype), 0.1, steps


def make_block(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw temperatures and diffusion numbers of n³ points, and a number of steps."""
    n, steps = size
    u = rng.standard_normal((n, n, n))
    alpha = rng.uniform(0.05, 0.12, (n, n, n))
    return u.astype(dtype), alpha.astype(dtype), steps


PROGRAMS = (
    Program(
        "jacobi",
        "Jacobi sweeps, swapped arrays",
        jacobi,
        make_poisson,
        (0, 1),
        (11, 12),
        ((14, 15), (250, 100)),
        "array",
    ),
    Program(
        "gauss_seidel",
        "Gauss-Seidel sweeps",
        gauss_seidel,
        make_poisson,
        (0, 1),
        (11, 12),
        ((13, 14), (40, 10)),
        "scalar",
    ),
    Program(
        "red_black",
        "red-black over-relaxation",
        red_black,
        make_over_relaxed,
        (0, 1, 2),
        (12, 10),
        ((16, 12), (250, 10)),
        "array",
    ),
    Program(
        "heat_1d",
        "heat equation in 1-D",
        heat_1d,
        make_rod,
        (0, 1),
        (20, 12),
        ((30, 20), (20_000, 200)),
        "array",
    ),
    Program(
        "heat_2d",
        "heat equation in 2-D, swapped arrays",
        heat_2d,
        make_plate,
        (0, 1),
        (11, 12),
        ((14, 15), (250, 100)),
        "array",
    ),
    Program(
        "heat_3d",
        "heat equation in 3-D",
        heat_3d,
        make_block,
        (0, 1),
        (7, 12),
        ((8, 15), (40, 50)),
        "array",
    ),
    Program(
        "nonlinear_diffusion",
        "diffusion with a cubic sink",
        nonlinear_diffusion,
        make_concentrations,
        (0, 1),
        (11, 12),
        ((14, 15), (256, 50)),
        "array",
    ),
    Program(
        "adi",
        "alternating-direction implicit diffusion",
        adi,
        make_plate,
        (0, 1),
        (13, 10),
        ((15, 12), (1024, 2)),
        "array",
    ),
)
