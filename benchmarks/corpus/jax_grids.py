"""Programs on grids as they are written for JAX: by `lax.scan`, or over whole arrays.

To be called under `double_precision`, which is NumPy's.
"""

import importlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from .flow import LATTICE_WEIGHTS, VELOCITIES

jax: Any = importlib.import_module("jax")
jnp: Any = jax.numpy
lax: Any = jax.lax


@contextmanager
def double_precision() -> Generator[None, None, None]:
    """Let jax compute in float64 here, and as before after it."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)


def repeat(step: Callable[[Any], Any], state: Any, times: int) -> Any:
    """Apply `step` to a state a number of times."""
    state, _ = lax.scan(lambda s, _: (step(s), None), state, None, length=times)
    return state


# Relaxation and diffusion


def gauss_seidel(u0: Any, f: Any, sweeps: int) -> Any:
    """Scan over the points of a row within a scan over rows."""

    def point(left: Any, around: Any) -> tuple[Any, Any]:
        above, below, right, source = around
        new = 0.25 * (above + below + left + right - source)
        return new, new

    def row(above: Any, rows: Any) -> tuple[Any, Any]:
        here, below, source = rows
        around = (above[1:-1], below[1:-1], here[2:], source[1:-1])
        _, new = lax.scan(point, here[0], around)
        here = here.at[1:-1].set(new)
        return here, here

    def sweep(u: Any) -> Any:
        _, inner = lax.scan(row, u[0], (u[1:-1], u[2:], f[1:-1]))
        return u.at[1:-1].set(inner)

    return repeat(sweep, u0, sweeps)


def heat_2d(u0: Any, alpha: Any, steps: int) -> Any:
    """Replace the inside at each step."""

    def step(u: Any) -> Any:
        lap = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - 4 * u[1:-1, 1:-1]
        return u.at[1:-1, 1:-1].add(alpha * lap)

    return repeat(step, u0, steps)


def heat_3d(u0: Any, alpha: Any, steps: int) -> Any:
    """Replace the inside at each step."""
    inside = (slice(1, -1),) * 3

    def step(u: Any) -> Any:
        lap = (
            u[2:, 1:-1, 1:-1]
            + u[:-2, 1:-1, 1:-1]
            + u[1:-1, 2:, 1:-1]
            + u[1:-1, :-2, 1:-1]
            + u[1:-1, 1:-1, 2:]
            + u[1:-1, 1:-1, :-2]
            - 6 * u[inside]
        )
        return u.at[inside].add(alpha[inside] * lap)

    return repeat(step, u0, steps)


def adi(u0: Any, r: Any, steps: int) -> Any:
    """Scan down the rows and up again, twice a step."""

    def half_step(u: Any) -> Any:
        rhs = (1 - 2 * r) * u[1:-1, 1:-1] + r * (u[1:-1, :-2] + u[1:-1, 2:])

        def down(carry: Any, b: Any) -> tuple[Any, Any]:
            c, d = carry
            m = 1 + 2 * r - r * c
            c, d = r / m, (b + r * d) / m
            return (c, d), (c, d)

        def up(below: Any, cd: Any) -> tuple[Any, Any]:
            c, d = cd
            v = d + c * below
            return v, v

        _, cds = lax.scan(down, (jnp.zeros(()), u[0, 1:-1]), rhs)
        _, v = lax.scan(up, u[-1, 1:-1], cds, reverse=True)
        return u.at[1:-1, 1:-1].set(v)

    return repeat(lambda u: half_step(half_step(u).T).T, u0, steps)


# Waves and flows


def fdtd_2d(ex0: Any, ey0: Any, hz0: Any, source: Any) -> Any:
    """Scan over the source."""

    def step(fields: Any, s: Any) -> tuple[Any, None]:
        ex, ey, hz = fields
        ey = ey.at[0, :].set(s)
        ey = ey.at[1:, :].add(-0.5 * (hz[1:, :] - hz[:-1, :]))
        ex = ex.at[:, 1:].add(-0.5 * (hz[:, 1:] - hz[:, :-1]))
        curl = ex[:-1, 1:] - ex[:-1, :-1] + ey[1:, :-1] - ey[:-1, :-1]
        return (ex, ey, hz.at[:-1, :-1].add(-0.7 * curl)), None

    fields, _ = lax.scan(step, (ex0, ey0, hz0), source)
    return fields


def burgers(u0: Any, v0: Any, nu: Any, dt: Any, steps: int) -> Any:
    """Both components by one function."""

    def change(u: Any, v: Any, w: Any) -> Any:
        c = w[1:-1, 1:-1]
        lap = w[2:, 1:-1] + w[:-2, 1:-1] + w[1:-1, 2:] + w[1:-1, :-2] - 4 * c
        along = u[1:-1, 1:-1] * (c - w[:-2, 1:-1]) + v[1:-1, 1:-1] * (c - w[1:-1, :-2])
        return dt * (nu * lap - along)

    def step(state: Any) -> Any:
        u, v = state
        inside = (slice(1, -1), slice(1, -1))
        return u.at[inside].add(change(u, v, u)), v.at[inside].add(change(u, v, v))

    return repeat(step, (u0, v0), steps)


def shallow_water(h0: Any, dt: Any, g: Any, steps: int) -> Any:
    """All differences by rolls, as in NumPy."""

    def mean(a: Any) -> Any:
        return 0.25 * sum(jnp.roll(a, s, axis=axis) for axis in (0, 1) for s in (1, -1))

    def slope(a: Any, axis: int) -> Any:
        return 0.5 * (jnp.roll(a, -1, axis=axis) - jnp.roll(a, 1, axis=axis))

    def step(state: Any) -> Any:
        h, hu, hv = state
        u, v = hu / h, hv / h
        pressure = 0.5 * g * h**2
        return (
            mean(h) - dt * (slope(hu, 0) + slope(hv, 1)),
            mean(hu) - dt * (slope(hu * u + pressure, 0) + slope(hu * v, 1)),
            mean(hv) - dt * (slope(hv * u, 0) + slope(hv * v + pressure, 1)),
        )

    return repeat(step, (h0, jnp.zeros_like(h0), jnp.zeros_like(h0)), steps)


def cavity(n: int, lid: Any, nu: Any, dt: Any, steps: int, inner: int) -> Any:
    """Scan over the pressure sweeps inside the scan over steps."""
    dx = 1.0 / (n - 1)
    inside = (slice(1, -1), slice(1, -1))

    def ddx(a: Any) -> Any:
        return (a[1:-1, 2:] - a[1:-1, :-2]) / (2 * dx)

    def ddy(a: Any) -> Any:
        return (a[2:, 1:-1] - a[:-2, 1:-1]) / (2 * dx)

    def around(a: Any) -> Any:
        return a[1:-1, 2:] + a[1:-1, :-2] + a[2:, 1:-1] + a[:-2, 1:-1]

    def step(state: Any) -> Any:
        u, v, p = state
        ux, uy, vx, vy = ddx(u), ddy(u), ddx(v), ddy(v)
        b = (ux + vy) / dt - ux**2 - 2 * uy * vx - vy**2

        def sweep(p: Any) -> Any:
            p = p.at[inside].set(0.25 * (around(p) - dx**2 * b))
            p = p.at[:, -1].set(p[:, -2])
            p = p.at[:, 0].set(p[:, 1])
            p = p.at[0, :].set(p[1, :])
            return p.at[-1, :].set(0.0)

        p = repeat(sweep, p, inner)
        uc, vc = u[inside], v[inside]
        lap_u, lap_v = (around(u) - 4 * uc) / dx**2, (around(v) - 4 * vc) / dx**2
        u = u.at[inside].add(dt * (nu * lap_u - uc * ux - vc * uy - ddx(p)))
        v = v.at[inside].add(dt * (nu * lap_v - uc * vx - vc * vy - ddy(p)))
        return u.at[-1, :].set(lid), v, p

    zeros = jnp.zeros((n, n))
    return repeat(step, (zeros, zeros, zeros), steps)


def lattice_boltzmann(f0: Any, omega: Any, steps: int) -> Any:
    """Collide all populations at once, then stream each."""
    cx, cy = (jnp.array(c, float)[:, None, None] for c in zip(*VELOCITIES, strict=True))
    weights = jnp.array(LATTICE_WEIGHTS)[:, None, None]

    def step(f: Any) -> Any:
        rho = f.sum(axis=0)
        ux, uy = (cx * f).sum(axis=0) / rho, (cy * f).sum(axis=0) / rho
        cu = 3 * (cx * ux + cy * uy)
        feq = rho * weights * (1 + cu + 0.5 * cu**2 - 1.5 * (ux**2 + uy**2))
        f = f + omega * (feq - f)
        return jnp.stack([jnp.roll(f[i], c, axis=(0, 1)) for i, c in enumerate(VELOCITIES)])

    return repeat(step, f0, steps)


def horizontal_diffusion(field: Any, coefficient: Any) -> Any:
    """All levels at once."""
    u = field
    lap = 4.0 * u[:, 1:-1, 1:-1] - (
        u[:, 2:, 1:-1] + u[:, :-2, 1:-1] + u[:, 1:-1, 2:] + u[:, 1:-1, :-2]
    )
    flx = lap[:, 1:, 1:-1] - lap[:, :-1, 1:-1]
    flx = jnp.where(flx * (u[:, 2:-1, 2:-2] - u[:, 1:-2, 2:-2]) > 0, 0.0, flx)
    fly = lap[:, 1:-1, 1:] - lap[:, 1:-1, :-1]
    fly = jnp.where(fly * (u[:, 2:-2, 2:-1] - u[:, 2:-2, 1:-2]) > 0, 0.0, fly)
    flux = flx[:, 1:, :] - flx[:, :-1, :] + fly[:, :, 1:] - fly[:, :, :-1]
    return u[:, 2:-2, 2:-2] - coefficient * flux
