"""Waves and flows on grids: advection, Maxwell's and the Navier-Stokes equations."""

from typing import Any

import numpy as np

from .program import Arguments, Program

VELOCITIES = ((0, 0), (1, 0), (0, 1), (-1, 0), (0, -1), (1, 1), (-1, 1), (-1, -1), (1, -1))
LATTICE_WEIGHTS = (4 / 9, 1 / 9, 1 / 9, 1 / 9, 1 / 9, 1 / 36, 1 / 36, 1 / 36, 1 / 36)


def fdtd_2d(ex0: Any, ey0: Any, hz0: Any, source: Any) -> Any:
    """Yee's scheme for Maxwell's equations, driven at the first row by `source`."""
    ex, ey, hz = ex0.copy(), ey0.copy(), hz0.copy()
    for t in range(len(source)):
        ey[0, :] = source[t]
        ey[1:, :] -= 0.5 * (hz[1:, :] - hz[:-1, :])
        ex[:, 1:] -= 0.5 * (hz[:, 1:] - hz[:, :-1])
        hz[:-1, :-1] -= 0.7 * (ex[:-1, 1:] - ex[:-1, :-1] + ey[1:, :-1] - ey[:-1, :-1])
    return ex, ey, hz


def lax_wendroff(u0: Any, c: float, steps: int) -> Any:
    """Linear advection around a ring, of second order."""
    u = u0.copy()
    for _ in range(steps):
        right = np.roll(u, -1)
        left = np.roll(u, 1)
        u = u - 0.5 * c * (right - left) + 0.5 * c**2 * (right - 2 * u + left)
    return u


def upwind(u0: Any, speed: Any, dt: float, steps: int) -> Any:
    """Advection by a speed that changes sign, each difference taken from where it blows."""
    u = u0.copy()
    plus = np.maximum(speed, 0)[1:-1]
    minus = np.minimum(speed, 0)[1:-1]
    for _ in range(steps):
        back = u[1:-1] - u[:-2]
        ahead = u[2:] - u[1:-1]
        u[1:-1] -= dt * (plus * back + minus * ahead)
    return u


def burgers(u0: Any, v0: Any, nu: float, dt: float, steps: int) -> Any:
    """Burgers' equations in the plane: advection by itself and viscosity, borders held."""
    u = u0.copy()
    v = v0.copy()
    for _ in range(steps):
        un = u.copy()
        vn = v.copy()
        u[1:-1, 1:-1] = (
            un[1:-1, 1:-1]
            - dt * un[1:-1, 1:-1] * (un[1:-1, 1:-1] - un[:-2, 1:-1])
            - dt * vn[1:-1, 1:-1] * (un[1:-1, 1:-1] - un[1:-1, :-2])
            + nu * dt * (un[2:, 1:-1] + un[:-2, 1:-1] + un[1:-1, 2:] + un[1:-1, :-2])
            - nu * dt * 4 * un[1:-1, 1:-1]
        )
        v[1:-1, 1:-1] = (
            vn[1:-1, 1:-1]
            - dt * un[1:-1, 1:-1] * (vn[1:-1, 1:-1] - vn[:-2, 1:-1])
            - dt * vn[1:-1, 1:-1] * (vn[1:-1, 1:-1] - vn[1:-1, :-2])
            + nu * dt * (vn[2:, 1:-1] + vn[:-2, 1:-1] + vn[1:-1, 2:] + vn[1:-1, :-2])
            - nu * dt * 4 * vn[1:-1, 1:-1]
        )
    return u, v


def shallow_water(h0: Any, dt: float, g: float, steps: int) -> Any:
    """Shallow water at rest that a hump sets in motion, on a torus (Lax-Friedrichs)."""

    def mean(a: Any) -> Any:
        return 0.25 * (
            np.roll(a, 1, axis=0) + np.roll(a, -1, axis=0) + np.roll(a, 1, axis=1)
            + np.roll(a, -1, axis=1)
        )  # fmt: skip

    def ddx(a: Any) -> Any:
        return 0.5 * (np.roll(a, -1, axis=0) - np.roll(a, 1, axis=0))

    def ddy(a: Any) -> Any:
        return 0.5 * (np.roll(a, -1, axis=1) - np.roll(a, 1, axis=1))

    h = h0.copy()
    hu = np.zeros_like(h)
    hv = np.zeros_like(h)
    for _ in range(steps):
        u = hu / h
        v = hv / h
        pressure = 0.5 * g * h**2
        h_new = mean(h) - dt * (ddx(hu) + ddy(hv))
        hu_new = mean(hu) - dt * (ddx(hu * u + pressure) + ddy(hu * v))
        hv_new = mean(hv) - dt * (ddx(hv * u) + ddy(hv * v + pressure))
        h, hu, hv = h_new, hu_new, hv_new
    return h, hu, hv


def cavity(n: int, lid: Any, nu: Any, dt: float, steps: int, inner: int) -> Any:
    """Flow in a box under a moving lid: a projection step with some pressure sweeps in each."""
    dx = 1.0 / (n - 1)
    u = np.zeros((n, n))
    v = np.zeros((n, n))
    p = np.zeros((n, n))
    b = np.zeros((n, n))
    for _ in range(steps):
        ux = (u[1:-1, 2:] - u[1:-1, :-2]) / (2 * dx)
        uy = (u[2:, 1:-1] - u[:-2, 1:-1]) / (2 * dx)
        vx = (v[1:-1, 2:] - v[1:-1, :-2]) / (2 * dx)
        vy = (v[2:, 1:-1] - v[:-2, 1:-1]) / (2 * dx)
        b[1:-1, 1:-1] = (ux + vy) / dt - ux**2 - 2 * uy * vx - vy**2
        for _ in range(inner):
            pn = p.copy()
            p[1:-1, 1:-1] = 0.25 * (
                pn[1:-1, 2:] + pn[1:-1, :-2] + pn[2:, 1:-1] + pn[:-2, 1:-1] - dx**2 * b[1:-1, 1:-1]
            )
            p[:, -1] = p[:, -2]
            p[:, 0] = p[:, 1]
            p[0, :] = p[1, :]
            p[-1, :] = 0
        un = u.copy()
        vn = v.copy()
        uc, vc = un[1:-1, 1:-1], vn[1:-1, 1:-1]
        lap_u = un[1:-1, 2:] + un[1:-1, :-2] + un[2:, 1:-1] + un[:-2, 1:-1] - 4 * uc
        lap_v = vn[1:-1, 2:] + vn[1:-1, :-2] + vn[2:, 1:-1] + vn[:-2, 1:-1] - 4 * vc
        u[1:-1, 1:-1] = uc + dt * (
            nu * lap_u / dx**2 - uc * ux - vc * uy - (p[1:-1, 2:] - p[1:-1, :-2]) / (2 * dx)
        )
        v[1:-1, 1:-1] = vc + dt * (
            nu * lap_v / dx**2 - uc * vx - vc * vy - (p[2:, 1:-1] - p[:-2, 1:-1]) / (2 * dx)
        )
        u[-1, :] = lid
    return u, v, p


def lattice_boltzmann(f0: Any, omega: float, steps: int) -> Any:
    """D2Q9 lattice Boltzmann: collide towards the equilibrium, then stream, on a torus."""
    f = f0.copy()
    for _ in range(steps):
        rho = f.sum(axis=0)
        ux = (f[1] - f[3] + f[5] - f[6] - f[7] + f[8]) / rho
        uy = (f[2] - f[4] + f[5] + f[6] - f[7] - f[8]) / rho
        usqr = 1.5 * (ux**2 + uy**2)
        for i, (cx, cy) in enumerate(VELOCITIES):
            cu = 3 * (cx * ux + cy * uy)
            feq = rho * LATTICE_WEIGHTS[i] * (1 + cu + 0.5 * cu**2 - usqr)
            f[i] += omega * (feq - f[i])
            f[i] = np.roll(np.roll(f[i], cx, axis=0), cy, axis=1)
    return f


def horizontal_diffusion(field: Any, coefficient: Any) -> Any:
    """Fourth-order diffusion of each level of a weather model, its fluxes limited."""
    out = np.zeros_like(coefficient)
    for k in range(field.shape[0]):
        u = field[k]
        lap = 4.0 * u[1:-1, 1:-1] - (u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2])
        flx = lap[1:, 1:-1] - lap[:-1, 1:-1]
        flx = np.where(flx * (u[2:-1, 2:-2] - u[1:-2, 2:-2]) > 0, 0.0, flx)
        fly = lap[1:-1, 1:] - lap[1:-1, :-1]
        fly = np.where(fly * (u[2:-2, 2:-1] - u[2:-2, 1:-2]) > 0, 0.0, fly)
        out[k] = u[2:-2, 2:-2] - coefficient[k] * (
            flx[1:, :] - flx[:-1, :] + fly[:, 1:] - fly[:, :-1]
        )
    return out


def make_fields(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw three fields on n² points, and a source in time."""
    n, steps = size
    fields = rng.standard_normal((3, n, n)).astype(dtype)
    return *fields, np.sin(0.3 * np.arange(steps)).astype(dtype)


def make_ring(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw values on a ring, a Courant number, and a number of steps."""
    n, steps = size
    return rng.standard_normal(n).astype(dtype), 0.6, steps


def make_wind(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw values on a line, a wind that changes sign, a step, and a number of steps."""
    n, steps = size
    wind = np.sin(np.linspace(0.1, 6.0, n)) + 0.01 * rng.standard_normal(n)
    return rng.standard_normal(n).astype(dtype), wind.astype(dtype), 0.4, steps


def make_burgers(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw two components on n² points, a viscosity, a step, and a number of steps."""
    n, steps = size
    u, v = rng.uniform(0.5, 1.0, (2, n, n)).astype(dtype)
    return u, v, 0.2, 0.1, steps


def make_hump(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw depths on n² points, a step, gravity, and a number of steps."""
    n, steps = size
    x = np.linspace(-1, 1, n)
    hump = np.exp(-8 * (x[:, None] ** 2 + x**2)) + 0.01 * rng.standard_normal((n, n))
    return (1 + 0.2 * hump).astype(dtype), 0.1, 1.0, steps


def make_lid(size: tuple[int, int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw a box of n² points, the speed along its lid, a viscosity, a stable step."""
    n, steps, inner = size
    lid = 1.0 + 0.1 * rng.standard_normal(n)
    nu = dtype.type(0.1)
    return n, lid.astype(dtype), nu, 0.2 / (n - 1) ** 2 / 0.1, steps, inner


def make_populations(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw populations near rest on n² points, a relaxation rate, and a number of steps."""
    n, steps = size
    f = np.array(LATTICE_WEIGHTS)[:, None, None] * (1 + 0.05 * rng.standard_normal((9, n, n)))
    return f.astype(dtype), 1.2, steps


def make_levels(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw levels of n² points with a halo of two, and a coefficient for each point."""
    n, levels = size
    field = rng.standard_normal((levels, n + 4, n + 4))
    return field.astype(dtype), rng.uniform(0.01, 0.05, (levels, n, n)).astype(dtype)


PROGRAMS = (
    Program(
        "fdtd_2d",
        "Maxwell's equations by FDTD in 2-D",
        fdtd_2d,
        make_fields,
        (0, 1, 2, 3),
        (11, 12),
        ((14, 15), (250, 100)),
        "array",
    ),
    Program(
        "lax_wendroff",
        "advection by Lax-Wendroff",
        lax_wendroff,
        make_ring,
        (0, 1),
        (20, 12),
        ((30, 20), (20_000, 200)),
        "array",
    ),
    Program(
        "upwind",
        "upwind advection",
        upwind,
        make_wind,
        (0, 1, 2),
        (20, 12),
        ((30, 20), (20_000, 200)),
        "array",
    ),
    Program(
        "burgers",
        "Burgers' equations in 2-D",
        burgers,
        make_burgers,
        (0, 1, 2),
        (11, 12),
        ((14, 15), (200, 100)),
        "array",
    ),
    Program(
        "shallow_water",
        "shallow water",
        shallow_water,
        make_hump,
        (0, 1, 2),
        (11, 12),
        ((14, 15), (150, 50)),
        "array",
    ),
    Program(
        "cavity",
        "lid-driven cavity",
        cavity,
        make_lid,
        (1, 2),
        (11, 12, 10),
        ((13, 14, 12), (101, 20, 20)),
        "array",
    ),
    Program(
        "lattice_boltzmann",
        "lattice Boltzmann, D2Q9",
        lattice_boltzmann,
        make_populations,
        (0, 1),
        (8, 12),
        ((10, 14), (100, 30)),
        "array",
    ),
    Program(
        "horizontal_diffusion",
        "horizontal diffusion with a limiter",
        horizontal_diffusion,
        make_levels,
        (0, 1),
        (5, 12),
        ((6, 14), (128, 60)),
        "array",
    ),
)
