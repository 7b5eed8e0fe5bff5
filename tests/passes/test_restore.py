"""Arrays written in place in loops: gradients of both orders, and what is kept for them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.core import Atom, Eqn, Function, Value, walk
from pullback.ir.ops.control import Loop
from pullback.ir.ops.tape import TapePush
from pullback.ir.verify import verify

RNG = np.random.default_rng(5)
N = 5
A = RNG.normal(size=(N, N)) + 4.0 * np.eye(N)
SPD = A @ A.T / N
X = RNG.uniform(0.5, 1.0, N)


def symmetric(A: Any) -> Any:
    return 0.5 * (A + A.T)


# ---- programs, in plain NumPy outside of a trace -------------------------------------------------


def cholesky_rows(A: Any, x: Any) -> Any:
    """Cholesky by inner products of slices."""
    n = A.shape[0]

    def row(i: Any, L: Any) -> Any:
        def entry(j: Any, L: Any) -> Any:
            L[i, j] = (A[i, j] - L[i, :j] @ L[j, :j]) / L[j, j]
            return L

        L = pb.fori_loop(0, i, entry, L)
        L[i, i] = np.sqrt(A[i, i] - L[i, :i] @ L[i, :i])
        return L

    return pb.fori_loop(0, n, row, np.zeros_like(A))


def cholesky_loops(A: Any, x: Any) -> Any:
    """Cholesky by three nested loops on numbers."""
    n = A.shape[0]

    def row(i: Any, L: Any) -> Any:
        def entry(j: Any, L: Any) -> Any:
            s = pb.fori_loop(0, j, lambda k, s: s - L[i, k] * L[j, k], A[i, j])
            L[i, j] = s / L[j, j]
            return L

        L = pb.fori_loop(0, i, entry, L)
        L[i, i] = np.sqrt(pb.fori_loop(0, i, lambda k, s: s - L[i, k] ** 2, A[i, i]))
        return L

    return pb.fori_loop(0, n, row, np.zeros_like(A))


def cholesky_in_place(A: Any, x: Any) -> Any:
    """Cholesky that overwrites its argument, column by column."""
    n = A.shape[0]

    def column(k: Any, L: Any) -> Any:
        L[k, k] = np.sqrt(L[k, k])
        L[k + 1 :, k] = L[k + 1 :, k] / L[k, k]

        def update(j: Any, L: Any) -> Any:
            L[j:, j] -= L[j:, k] * L[j, k]
            return L

        return pb.fori_loop(k + 1, n, update, L)

    return np.tril(pb.fori_loop(0, n, column, A))


def lu(A: Any, x: Any) -> Any:
    """LU in place."""
    n = A.shape[0]

    def step(k: Any, U: Any) -> Any:
        def row(i: Any, U: Any) -> Any:
            U[i, k] = U[i, k] / U[k, k]
            U[i, k + 1 :] -= U[i, k] * U[k, k + 1 :]
            return U

        return pb.fori_loop(k + 1, n, row, U)

    return pb.fori_loop(0, n - 1, step, A)


def triangular_solve(A: Any, x: Any) -> Any:
    """Forward and back substitution."""
    n = A.shape[0]

    def down(i: Any, y: Any) -> Any:
        y[i] = (y[i] - A[i, :i] @ y[:i]) / A[i, i]
        return y

    def up(k: Any, y: Any) -> Any:
        i = n - 1 - k
        y[i] = (y[i] - A[i, i + 1 :] @ y[i + 1 :]) / A[i, i]
        return y

    return pb.fori_loop(0, n, up, pb.fori_loop(0, n, down, x))


def gauss_seidel(A: Any, x: Any) -> Any:
    """Sweeps that overwrite the solution."""

    def sweep(t: Any, y: Any) -> Any:
        def entry(i: Any, y: Any) -> Any:
            y[i] = (x[i] - A[i, :i] @ y[:i] - A[i, i + 1 :] @ y[i + 1 :]) / A[i, i]
            return y

        return pb.fori_loop(0, N, entry, y)

    return pb.fori_loop(0, 4, sweep, np.zeros(N))


def jacobi_stencil(A: Any, x: Any) -> Any:
    """Linear sweeps in place: nothing that they write is read by their adjoint."""

    def sweep(t: Any, u: Any) -> Any:
        def row(i: Any, u: Any) -> Any:
            u[i, 1:-1] = 0.25 * (u[i - 1, 1:-1] + u[i + 1, 1:-1] + u[i, :-2] + u[i, 2:])
            return u

        return pb.fori_loop(1, N - 1, row, u)

    return pb.fori_loop(0, 3, sweep, A)


def recurrence(A: Any, x: Any) -> Any:
    """A prefix recurrence, each entry of which is overwritten, then read again."""

    def body(i: Any, y: Any) -> Any:
        y[i] = np.sin(y[i - 1]) * y[i]
        y[i] *= y[i]
        y[i - 1] = y[i] * y[i - 1]
        return y

    return pb.fori_loop(1, N, body, x)


def rows_swapped(A: Any, x: Any) -> Any:
    """Swaps of rows between reads."""

    def body(i: Any, v: Any) -> Any:
        B, s = v
        s = s + np.sum(B[i] * B[i - 1])
        kept = B[i].copy()
        B[i] = B[N - 1 - i]
        B[N - 1 - i] = kept * s
        return B, s

    B, s = pb.fori_loop(0, N, body, (A, np.float64(0.1)))
    return B * s


def steps_and_transposes(A: Any, x: Any) -> Any:
    """Slices with steps, forward and backward, and writes through a transpose."""

    def body(i: Any, B: Any) -> Any:
        B[::2, i] = B[::2, i] * B[0, ::2]
        B.T[i, 1::2] = np.tanh(B[i, -2::-2]) * B[i, i]
        B[i, :i] += B.T[:i, i] ** 2
        return B

    return pb.fori_loop(0, N, body, A)


def added_at_positions(A: Any, x: Any) -> Any:
    """`np.add.at` with repeated positions, and writes at positions."""
    places = np.array([0, 2, 2, 4])

    def body(i: Any, y: Any) -> Any:
        np.add.at(y, places, y[i] * y[places])
        y[places] = np.cos(y[places]) * y[i]
        return y

    return pb.fori_loop(0, 3, body, x)


def chosen(A: Any, x: Any) -> Any:
    """Writes in a branch, of a value that decides and of the index."""

    def body(i: Any, y: Any) -> Any:
        def yes(y: Any) -> Any:
            y[i] = y[i] * y[i - 1]
            return y

        def no(y: Any) -> Any:
            y[:i] = np.sin(y[:i])
            y[0] = y[i]
            return y

        y = pb.cond(y[i] > 0.7, yes, no, y)
        return pb.cond(i > 2, lambda y: y, yes, y)

    return pb.fori_loop(0, N, body, x)


def no_iterations(A: Any, x: Any) -> Any:
    """Loops that do not run."""

    def body(i: Any, y: Any) -> Any:
        y[i] = y[i] ** 2
        return pb.fori_loop(i, i, lambda j, y: y * y, y)

    return pb.fori_loop(3, 3, body, x) + pb.fori_loop(2, 4, body, x)


PROGRAMS: list[Callable[..., Any]] = [
    cholesky_rows,
    cholesky_loops,
    cholesky_in_place,
    lu,
    triangular_solve,
    gauss_seidel,
    jacobi_stencil,
    recurrence,
    rows_swapped,
    steps_and_transposes,
    added_at_positions,
    chosen,
    no_iterations,
]
each = pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)


def loss_of(program: Callable[..., Any]) -> Callable[..., Any]:
    is_symmetric = program.__name__.startswith("cholesky")

    def loss(A: Any, x: Any) -> Any:
        result = program(symmetric(A) if is_symmetric else A * 1.0, x * 1.0)
        weights = np.cos(np.arange(np.size(result))).reshape(result.shape)
        return np.sum(weights * result)

    return loss


def arguments(program: Callable[..., Any]) -> tuple[np.ndarray, np.ndarray]:
    return (SPD if program.__name__.startswith("cholesky") else A), X


def slope_along(function: Callable[..., Any], args: tuple[Any, ...], way: tuple[Any, ...]) -> float:
    step = 1e-6
    up = function(*[a + step * w for a, w in zip(args, way, strict=True)])
    down = function(*[a - step * w for a, w in zip(args, way, strict=True)])
    return float((up - down) / (2 * step))


def along(gradient: Any, way: tuple[Any, ...]) -> float:
    return float(sum(np.sum(g * w) for g, w in zip(gradient, way, strict=True)))


@each
def test_gradients_of_both_orders(program: Callable[..., Any]) -> None:
    loss, args = loss_of(program), arguments(program)
    rng = np.random.default_rng(1)
    ways = [tuple(rng.normal(size=np.shape(a)) for a in args) for _ in range(3)]
    np.testing.assert_allclose(pb.compile(loss)(*args), loss(*args), rtol=1e-12)
    gradient = pb.grad(loss, argnums=(0, 1))
    verify(gradient.inspect(*args).joint)
    for way in ways:
        expected = slope_along(loss, args, way)
        assert np.isclose(along(gradient(*args), way), expected, rtol=1e-6, atol=1e-8)

    def slope(A: Any, x: Any) -> Any:
        into_A, into_x = pb.grad(loss, argnums=(0, 1))(A, x)
        return np.sum(into_A * ways[0][0]) + np.sum(into_x * ways[0][1])

    second = pb.grad(slope, argnums=(0, 1))(*args)
    for way in ways[1:]:
        expected = slope_along(lambda *a: along(gradient(*a), ways[0]), args, way)
        assert np.isclose(along(second, way), expected, rtol=1e-5, atol=1e-6)


@each
def test_single_precision(program: Callable[..., Any]) -> None:
    args = arguments(program)
    double = pb.grad(loss_of(program), argnums=(0, 1))(*args)
    single = pb.grad(loss_of(program), argnums=(0, 1))(*[a.astype(np.float32) for a in args])
    for a, b in zip(single, double, strict=True):
        assert a.dtype in (np.float32, np.float64)
        np.testing.assert_allclose(a, b, rtol=5e-3, atol=5e-4 * (1 + np.max(np.abs(b))))


def test_complex_numbers() -> None:
    def loss(x: Any) -> Any:
        def body(i: Any, y: Any) -> Any:
            y[i] = y[i - 1] * y[i] + 0.5j * y[i]
            y[i - 1] = y[i] ** 2
            return y

        return np.sum(np.real(pb.fori_loop(1, N, body, x * 1.0) * (1.0 + 2.0j)))

    z = X + 1j * X[::-1]
    found = pb.grad(loss)(z)
    step = 1e-6
    for k in range(N):
        e = np.eye(N)[k]
        real = (loss(z + step * e) - loss(z - step * e)) / (2 * step)
        imag = (loss(z + step * 1j * e) - loss(z - step * 1j * e)) / (2 * step)
        assert np.isclose(found[k], real - 1j * imag, rtol=1e-6)


# ---- what is kept --------------------------------------------------------------------------------


def joint_of(program: Callable[..., Any]) -> Function:
    return pb.grad(loss_of(program), argnums=(0, 1)).inspect(*arguments(program)).optimized


def kept(function: Function) -> list[Value]:
    """Return what an iteration of a forward loop stacks or pushes."""
    found: list[Atom] = []
    for eqn in walk(function):
        if isinstance(eqn.op, Loop):
            found += eqn.op.body.results[eqn.op.carries :]
        if isinstance(eqn.op, TapePush):
            found.append(eqn.operands[1])
    return [v for v in found if isinstance(v, Value)]


@pytest.mark.parametrize(
    "program", [cholesky_rows, cholesky_loops, triangular_solve, gauss_seidel, jacobi_stencil]
)
def test_nothing_is_kept_where_the_last_version_serves_or_nothing_is_read(
    program: Callable[..., Any],
) -> None:
    # Only the sweeps of Gauss-Seidel overwrite what their adjoint reads.
    found = kept(joint_of(program))
    assert bool(found) == (program is gauss_seidel)
    assert all(v.type.ndim < 2 for v in found)


@each
def test_parts_are_kept_and_not_arrays(program: Callable[..., Any]) -> None:
    whole = arguments(program)[1 if np.ndim(program(*arguments(program))) == 1 else 0].shape
    found = [v for v in kept(joint_of(program)) if v.type.shape == whole]
    # One computes an array anew; of a sweep of the other, as many numbers are kept as it writes.
    assert bool(found) == (program in (no_iterations, gauss_seidel))


@each
def test_no_array_is_copied_in_a_loop(program: Callable[..., Any]) -> None:
    plan = pb.grad(loss_of(program), argnums=(0, 1)).inspect(*arguments(program)).plan
    inside = [e for loop in walk(plan.function) for r in loop.op.regions for e in walk(r)]
    assert not [e for e in inside if e.op.updates is not None and is_copied(e, plan)]


def is_copied(eqn: Eqn, plan: Any) -> bool:
    base = eqn.operands[eqn.op.updates or 0]
    return plan.cells.get(base) is not plan.cells[eqn.results[0]]


def test_the_memory_of_the_gradient_of_cholesky() -> None:
    n = 200
    M = RNG.normal(size=(n, n))
    M = M @ M.T + n * np.eye(n)

    def loss(A: Any) -> Any:
        return np.sum(cholesky_rows(A, None))

    gradient = pb.grad(loss)
    gradient.inspect(M)
    tracemalloc.start()
    try:
        gradient(M)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= 4 * n * n * 8


def test_memory_grows_with_what_is_overwritten() -> None:
    def loss(x: Any) -> Any:
        def body(i: Any, y: Any) -> Any:
            y[i % 7] = np.sin(y[i % 7]) * y[-1]
            return y

        return np.sum(pb.fori_loop(0, 1000, body, x * 1.0))

    x = np.linspace(0.1, 1.0, 1000)
    pb.check_grads(loss, (x[:20],), order=2)
    gradient = pb.grad(loss)
    assert not any(v.type.shape for v in kept(gradient.inspect(x).optimized))
