"""Programs of the corpus as they are written for JAX: by `lax.scan`, or over whole arrays.

Each takes the arguments of its NumPy program and gives the same results, under
`double_precision`. Importing this module imports jax.
"""

# pyright: reportConstantRedefinition=false

from collections.abc import Callable
from typing import Any

from .jax_grids import (
    adi,
    burgers,
    cavity,
    double_precision,
    fdtd_2d,
    gauss_seidel,
    heat_2d,
    heat_3d,
    horizontal_diffusion,
    jax,
    jnp,
    lattice_boltzmann,
    lax,
    repeat,
    shallow_water,
)

# Linear algebra


def cholesky(A: Any) -> Any:
    """Subtract the outer product of each column: for the gradient only columns are kept."""
    n = A.shape[0]
    later = jnp.arange(n)

    def step(rest: Any, k: Any) -> tuple[Any, Any]:
        # A row of the transpose, as its entries lie side by side.
        column = jnp.where(later >= k, rest[k] / jnp.sqrt(rest[k, k]), 0.0)
        return rest - column[:, None] * column[None, :], column

    _, columns = lax.scan(step, A.T, jnp.arange(n))
    return columns.T


def cholesky_forward(A: Any) -> Any:
    """Take each column from those before it: fast, but a gradient would keep all of L n times."""
    n = A.shape[0]

    def step(L: Any, inputs: Any) -> tuple[Any, None]:
        j, entries = inputs
        column = entries - L @ L[j]
        column = jnp.where(jnp.arange(n) >= j, column / jnp.sqrt(column[j]), 0.0)
        return L.at[:, j].set(column), None

    L, _ = lax.scan(step, jnp.zeros_like(A), (jnp.arange(n), A.T))
    return L


def gram_schmidt(A: Any) -> Any:
    """Orthogonalise all later columns at once."""
    n = A.shape[1]

    def step(V: Any, k: Any) -> tuple[Any, Any]:
        norm = jnp.sqrt(V[:, k] @ V[:, k])
        q = V[:, k] / norm
        r = jnp.where(jnp.arange(n) > k, q @ V, 0.0)
        return V - jnp.outer(q, r), (q, r.at[k].set(norm))

    _, (Q, R) = lax.scan(step, A, jnp.arange(n))
    return Q.T, R


# Dynamics


def rk4(x0: Any, force: Any, dt: Any, steps: int) -> Any:
    """Scan over the steps."""

    def slopes(x: Any) -> Any:
        return (jnp.roll(x, -1) - jnp.roll(x, 2)) * jnp.roll(x, 1) - x + force

    return repeat(lambda x: runge_kutta(slopes, x, dt), x0, steps)


def runge_kutta(slopes: Callable[[Any], Any], x: Any, dt: Any) -> Any:
    """Take one classical step."""
    k1 = slopes(x)
    k2 = slopes(x + 0.5 * dt * k1)
    k3 = slopes(x + 0.5 * dt * k2)
    k4 = slopes(x + dt * k3)
    return x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def rk4_lorenz(y0: Any, sigma: Any, rho: Any, beta: Any, dt: Any, steps: int) -> Any:
    """Scan over the steps, the states stacked."""

    def slopes(s: Any) -> Any:
        return jnp.stack(
            [sigma * (s[1] - s[0]), s[0] * (rho - s[2]) - s[1], s[0] * s[1] - beta * s[2]]
        )

    def step(y: Any, _: Any) -> tuple[Any, Any]:
        y = runge_kutta(slopes, y, dt)
        return y, y

    _, ys = lax.scan(step, y0, None, length=steps)
    return jnp.concatenate([y0[None], ys])


def nbody(pos0: Any, vel0: Any, mass: Any, dt: Any, steps: int) -> Any:
    """Scan over the steps."""

    def step(state: Any) -> Any:
        pos, vel = state
        d = pos[None, :, :] - pos[:, None, :]
        inv_r3 = (jnp.sum(d**2, axis=2) + 0.1) ** -1.5
        vel = vel + dt * jnp.einsum("ijk,ij->ik", d, inv_r3 * mass)
        return pos + dt * vel, vel

    return repeat(step, (pos0, vel0), steps)


def logistic_map(r: Any, x: Any, steps: int) -> Any:
    """Scan over the steps."""

    def step(state: Any) -> Any:
        x, s = state
        x = r * x * (1 - x)
        return x, s + jnp.log(jnp.abs(r - 2 * r * x))

    x, s = repeat(step, (jnp.asarray(x), jnp.zeros(())), steps)
    return x, s / steps


# Sequences


def thomas(a: Any, b: Any, c: Any, d: Any) -> Any:
    """Scan down, then up."""

    def down(carry: Any, row: Any) -> tuple[Any, Any]:
        cp, dp = carry
        ai, bi, ci, di = row
        m = bi - ai * cp
        carry = (ci / m, (di - ai * dp) / m)
        return carry, carry

    def up(x: Any, row: Any) -> tuple[Any, Any]:
        x = row[1] - row[0] * x
        return x, x

    zero = jnp.zeros(())
    _, rows = lax.scan(down, (zero, zero), (a, b, c, d))
    _, x = lax.scan(up, zero, rows, reverse=True)
    return x


def kalman_filter(ys: Any, F: Any, H: Any, Q: Any, R: Any) -> Any:
    """Scan over the observations."""
    n = F.shape[0]

    def step(state: Any, y: Any) -> tuple[Any, Any]:
        x, P = state
        x = F @ x
        P = F @ P @ F.T + Q
        S = H @ P @ H.T + R
        K = jnp.linalg.solve(S, H @ P).T
        e = y - H @ x
        x, P = x + K @ e, P - K @ H @ P
        _, logdet = jnp.linalg.slogdet(S)
        gain = -0.5 * (e @ jnp.linalg.solve(S, e) + logdet + len(e) * jnp.log(2 * jnp.pi))
        return (x, P), (x, gain)

    _, (means, gains) = lax.scan(step, (jnp.zeros(n), jnp.eye(n)), ys)
    return means, gains.sum()


def hmm_forward(pi: Any, A: Any, B: Any, obs: Any) -> Any:
    """Scan over the observations; the emissions are gathered at once."""
    emissions = B.T[obs]
    first = pi * emissions[0]

    def step(alpha: Any, emission: Any) -> tuple[Any, Any]:
        alpha = (alpha @ A) * emission
        scale = alpha.sum()
        return alpha / scale, jnp.log(scale)

    _, logs = lax.scan(step, first / first.sum(), emissions[1:])
    return jnp.log(first.sum()) + logs.sum()


def soft_alignment(cost: Any, gap: Any, gamma: Any) -> Any:
    """Scan over the entries of a row within a scan over rows."""
    m = cost.shape[1]

    def entry(left: Any, around: Any) -> tuple[Any, Any]:
        diagonal, above, c = around
        options = jnp.stack([diagonal + c, above + gap, left + gap])
        new = -gamma * jax.nn.logsumexp(-options / gamma)
        return new, new

    def row(above: Any, costs: Any) -> tuple[Any, None]:
        first = above[0] + gap
        _, rest = lax.scan(entry, first, (above[:-1], above[1:], costs))
        return jnp.concatenate([first[None], rest]), None

    last, _ = lax.scan(row, gap * jnp.arange(m + 1.0), cost)
    return last[-1]


def garch(params: Any, returns: Any) -> Any:
    """Scan over the returns."""
    omega, alpha, beta = params

    def step(variance: Any, r: Any) -> tuple[Any, Any]:
        nll = 0.5 * (jnp.log(2 * jnp.pi * variance) + r**2 / variance)
        return omega + alpha * r**2 + beta * variance, nll

    _, nlls = lax.scan(step, jnp.var(returns), returns)
    return nlls.sum()


# Learning


def rnn(xs: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    """Scan over the inputs, whose product is taken before."""

    def step(h: Any, drive: Any) -> tuple[Any, Any]:
        h = jnp.tanh(drive + h @ Wh)
        return h, h

    _, hs = lax.scan(step, jnp.zeros((xs.shape[1], Wh.shape[0])), xs @ Wx + b)
    return hs


def lstm(xs: Any, W: Any, b: Any) -> Any:
    """Scan over the inputs, whose product is taken before."""
    n, inputs = W.shape[1] // 4, xs.shape[2]

    def step(state: Any, drive: Any) -> tuple[Any, Any]:
        h, c = state
        z = drive + h @ W[inputs:]
        i, f, o = (jax.nn.sigmoid(z[:, k * n : (k + 1) * n]) for k in range(3))
        c = f * c + i * jnp.tanh(z[:, 3 * n :])
        h = o * jnp.tanh(c)
        return (h, c), h

    zeros = jnp.zeros((xs.shape[1], n))
    (_, c), hs = lax.scan(step, (zeros, zeros), xs @ W[:inputs] + b)
    return hs, c


__all__ = ["FORWARD_TWINS", "TWINS", "double_precision", "jax"]

TWINS: dict[str, Callable[..., Any]] = {
    "cholesky": cholesky,
    "cholesky_columns": cholesky,
    "gram_schmidt": gram_schmidt,
    "gauss_seidel": gauss_seidel,
    "heat_2d": heat_2d,
    "heat_3d": heat_3d,
    "adi": adi,
    "fdtd_2d": fdtd_2d,
    "burgers": burgers,
    "shallow_water": shallow_water,
    "cavity": cavity,
    "lattice_boltzmann": lattice_boltzmann,
    "horizontal_diffusion": horizontal_diffusion,
    "rk4": rk4,
    "rk4_lorenz": rk4_lorenz,
    "nbody": nbody,
    "logistic_map": logistic_map,
    "thomas": thomas,
    "kalman_filter": kalman_filter,
    "hmm_forward": hmm_forward,
    "soft_alignment": soft_alignment,
    "garch": garch,
    "rnn": rnn,
    "lstm": lstm,
}
"""The twin of each program that has one, by its name."""

FORWARD_TWINS: dict[str, Callable[..., Any]] = {
    "cholesky": cholesky_forward,
    "cholesky_columns": cholesky_forward,
}
"""What runs faster than the twin where no gradient is asked for."""
