"""Ordinary differential equations and maps, step by step."""

import math
from typing import Any

import numpy as np

from .program import Arguments, Program


def euler(y0: Any, params: Any, dt: float, steps: int) -> Any:
    """Explicit Euler steps of a damped, driven oscillator; the whole trajectory."""
    omega, damping, force = params
    ys = np.zeros((steps + 1, 2), dtype=y0.dtype)
    ys[0] = y0
    for i in range(steps):
        x, v = ys[i]
        ys[i + 1, 0] = x + dt * v
        ys[i + 1, 1] = v + dt * (force * np.cos(i * dt) - omega**2 * x - 2 * damping * v)
    return ys


def adams_bashforth(y0: Any, rates: Any, dt: float, steps: int) -> Any:
    """Two-step Adams-Bashforth for coupled logistic growth, started by one Euler step."""
    y = y0
    previous = None
    for _ in range(steps):
        slope = y * (rates - y - 0.1 * np.mean(y))
        if previous is None:
            y = y + dt * slope
        else:
            y = y + dt * (1.5 * slope - 0.5 * previous)
        previous = slope
    return y


def lorenz96(x: Any, force: Any) -> Any:
    """Give the slopes of Lorenz's model of 1996, on a ring."""
    return (np.roll(x, -1) - np.roll(x, 2)) * np.roll(x, 1) - x + force


def rk4(x0: Any, force: Any, dt: float, steps: int) -> Any:
    """Classical Runge-Kutta steps of a large system."""
    x = x0.copy()
    for _ in range(steps):
        k1 = lorenz96(x, force)
        k2 = lorenz96(x + 0.5 * dt * k1, force)
        k3 = lorenz96(x + 0.5 * dt * k2, force)
        k4 = lorenz96(x + dt * k3, force)
        x += dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x


def lorenz63(state: Any, sigma: float, rho: float, beta: float) -> Any:
    """Give the slopes of Lorenz's model of 1963."""
    x, y, z = state
    return np.array([sigma * (y - x), x * (rho - z) - y, x * y - beta * z])


def rk4_lorenz(y0: Any, sigma: float, rho: float, beta: float, dt: float, steps: int) -> Any:
    """Classical Runge-Kutta steps of three states; the whole trajectory."""
    ys = [y0]
    y = y0
    for _ in range(steps):
        k1 = lorenz63(y, sigma, rho, beta)
        k2 = lorenz63(y + dt / 2 * k1, sigma, rho, beta)
        k3 = lorenz63(y + dt / 2 * k2, sigma, rho, beta)
        k4 = lorenz63(y + dt * k3, sigma, rho, beta)
        y = y + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        ys.append(y)
    return np.array(ys)


def verlet(x0: Any, v0: Any, k: float, dt: float, steps: int) -> Any:
    """Velocity Verlet on a chain of springs with a cubic term (Fermi-Pasta-Ulam)."""

    def force(x: Any) -> Any:
        stretch = np.diff(x)
        tension = k * stretch + stretch**3
        f = np.zeros_like(x)
        f[:-1] += tension
        f[1:] -= tension
        return f

    x, v = x0.copy(), v0.copy()
    f = force(x)
    energies = []
    for _ in range(steps):
        v += 0.5 * dt * f
        x += dt * v
        f = force(x)
        v += 0.5 * dt * f
        energies.append(0.5 * np.sum(v**2))
    return x, v, np.array(energies)


def nbody(pos0: Any, vel0: Any, mass: Any, dt: float, steps: int) -> Any:
    """Symplectic Euler steps of softened gravity between all pairs."""
    pos, vel = pos0.copy(), vel0.copy()
    for _ in range(steps):
        d = pos[None, :, :] - pos[:, None, :]
        inv_r3 = (np.sum(d**2, axis=2) + 0.1) ** -1.5
        acc = np.sum(d * (inv_r3 * mass)[:, :, None], axis=1)
        vel += dt * acc
        pos += dt * vel
    return pos, vel


def double_pendulum(angles: Any, lengths: Any, dt: float, steps: int) -> Any:
    """Symplectic Euler steps of a double pendulum of unit masses; where its end goes."""
    th1, th2 = angles[0], angles[1]
    l1, l2 = lengths[0], lengths[1]
    w1 = w2 = 0.0
    path = np.empty((steps, 2))
    for t in range(steps):
        d = th1 - th2
        den = 3 - np.cos(2 * d)
        a1 = (
            -9.81 * (3 * np.sin(th1) + np.sin(th1 - 2 * th2))
            - 2 * np.sin(d) * (w2**2 * l2 + w1**2 * l1 * np.cos(d))
        ) / (l1 * den)
        a2 = (
            2 * np.sin(d) * (2 * w1**2 * l1 + 2 * 9.81 * np.cos(th1) + w2**2 * l2 * np.cos(d))
        ) / (l2 * den)
        w1 += dt * a1
        w2 += dt * a2
        th1 += dt * w1
        th2 += dt * w2
        path[t, 0] = l1 * np.sin(th1) + l2 * np.sin(th2)
        path[t, 1] = -l1 * np.cos(th1) - l2 * np.cos(th2)
    return path


def predator_prey_fit(rates: Any, start: Any, data: Any, dt: float) -> Any:
    """Squared misfit of a predator-prey model to counts, four Heun steps between two counts."""
    a, b, c, d = rates
    x, y = start
    s = 0.0
    for row in data:
        for _ in range(4):
            fx, fy = a * x - b * x * y, c * x * y - d * y
            xp, yp = x + dt * fx, y + dt * fy
            x = x + 0.5 * dt * (fx + a * xp - b * xp * yp)
            y = y + 0.5 * dt * (fy + c * xp * yp - d * yp)
        s += (x - row[0]) ** 2 + (y - row[1]) ** 2
    return s / len(data)


def logistic_map(r: float, x: float, steps: int) -> Any:
    """Give the last value and the Lyapunov exponent of x → r x (1 - x)."""
    s = 0.0
    for _ in range(steps):
        x = r * x * (1 - x)
        s += math.log(abs(r - 2 * r * x))
    return x, s / steps


def mandelbrot(re: Any, im: Any, limit: int) -> Any:
    """How many steps of z → z² + c it takes to leave the disk of radius two."""
    counts = np.zeros((len(im), len(re)), dtype=int)
    for i in range(len(im)):
        for j in range(len(re)):
            c = re[j] + 1j * im[i]
            z = 0j
            n = 0
            while abs(z) <= 2 and n < limit:
                z = z * z + c
                n += 1
            counts[i, j] = n
    return counts


def make_oscillator(steps: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw a start, a frequency with damping and force, a step."""
    start = np.array([1.0, 0.0]) + 0.1 * rng.standard_normal(2)
    return start.astype(dtype), np.array([2.0, 0.1, 0.5], dtype), 0.01, steps


def make_growth(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw sizes of n populations and their rates, a step."""
    n, steps = size
    y, rates = rng.uniform(0.2, 0.8, n), rng.uniform(0.5, 1.5, n)
    return y.astype(dtype), rates.astype(dtype), 0.05, steps


def make_ring_of_states(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw states on a ring, a force for each, a step."""
    n, steps = size
    x = rng.standard_normal(n)
    return x.astype(dtype), (8 + 0.1 * rng.standard_normal(n)).astype(dtype), 0.01, steps


def make_lorenz(steps: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw a start, Lorenz's own parameters, a step that keeps short runs predictable."""
    return (1 + rng.random(3)).astype(dtype), 10.0, 28.0, 8 / 3, 0.5 / steps, steps


def make_chain(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw places and speeds of a chain, a spring constant, a step."""
    n, steps = size
    x, v = 0.5 * rng.standard_normal((2, n)).astype(dtype)
    return x, v, 1.0, 0.05, steps


def make_bodies(size: tuple[int, int], dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw places, speeds and masses of n bodies, a step."""
    n, steps = size
    pos, vel = rng.standard_normal((2, n, 3)).astype(dtype)
    return pos, 0.1 * vel, (rng.uniform(0.5, 1.5, n) / n).astype(dtype), 0.01, steps


def make_pendulum(steps: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw two angles, two lengths, a step."""
    angles = np.array([1.0, 0.5]) + 0.1 * rng.standard_normal(2)
    return angles.astype(dtype), np.array([1.0, 0.8], dtype), 1.0 / max(steps, 100), steps


def make_counts(n: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw rates, first numbers, counts to fit, a step."""
    rates = np.array([1.0, 0.5, 0.3, 0.8], dtype)
    data = np.array([2.5, 2.0]) + 0.3 * rng.standard_normal((n, 2))
    return rates, np.array([2.0, 1.5], dtype), data.astype(dtype), 0.02


def make_map(steps: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw a rate at which the map has a cycle of two, and a start."""
    return 3.2 + 0.05 * rng.random(), 0.3 + 0.1 * rng.random(), steps


def make_window(n: int, dtype: Any, rng: np.random.Generator) -> Arguments:
    """Draw a window of the plane, and a limit to the steps."""
    re, im = np.linspace(-2, 0.6, n), np.linspace(-1.1, 1.2, n)
    return re.astype(dtype), im.astype(dtype), 30


PROGRAMS = (
    Program(
        "euler", "Euler on an oscillator", euler, make_oscillator, (0, 1), 12, (20, 2000), "scalar"
    ),
    Program(
        "adams_bashforth",
        "Adams-Bashforth, started by Euler",
        adams_bashforth,
        make_growth,
        (0, 1),
        (10, 12),
        ((14, 20), (4096, 200)),
        "array",
    ),
    Program(
        "rk4",
        "Runge-Kutta on 4,096 states",
        rk4,
        make_ring_of_states,
        (0, 1),
        (10, 12),
        ((14, 20), (4096, 100)),
        "array",
    ),
    Program(
        "rk4_lorenz",
        "Runge-Kutta on three states",
        rk4_lorenz,
        make_lorenz,
        (0, 1, 2, 3),
        12,
        (20, 500),
        "scalar",
    ),
    Program(
        "verlet",
        "velocity Verlet on a chain",
        verlet,
        make_chain,
        (0, 1, 2),
        (10, 12),
        ((14, 20), (2000, 200)),
        "array",
    ),
    Program(
        "nbody",
        "symplectic n-body",
        nbody,
        make_bodies,
        (0, 1, 2),
        (5, 12),
        ((6, 20), (100, 50)),
        "array",
    ),
    Program(
        "double_pendulum",
        "double pendulum",
        double_pendulum,
        make_pendulum,
        (0, 1),
        12,
        (20, 1000),
        "scalar",
    ),
    Program(
        "predator_prey_fit",
        "predator-prey fit",
        predator_prey_fit,
        make_counts,
        (0, 1),
        12,
        (20, 300),
        "scalar",
    ),
    Program(
        "logistic_map", "logistic map", logistic_map, make_map, (0, 1), 12, (20, 5000), "scalar"
    ),
    Program("mandelbrot", "Mandelbrot escape", mandelbrot, make_window, (), 9, (12, 60), "scalar"),
)
