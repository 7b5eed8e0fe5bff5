"""Random programs of loops that write in place, which run staged, unrolled or in plain NumPy."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import pullback as pb

N = 4
"""The size of the arrays: `A` is N x N, `x` of N elements, `s` a number."""

ForiLoop = Callable[[Any, Any, Callable[[Any, Any], Any], Any], Any]
State = tuple[Any, Any, Any]


def unrolled(lower: int, upper: int, body: Callable[[Any, Any], Any], init: Any) -> Any:
    """As `pb.fori_loop`, without a loop in the program."""
    start = tuple(np.copy(a) if np.ndim(a) else a for a in init)
    return functools.reduce(lambda v, i: body(i, v), range(lower, upper), start)


def smooth(kind: int, a: Any, b: Any) -> Any:
    """Return one of several smooth functions of two values."""
    match kind % 5:
        case 0:
            return np.sin(a) * b
        case 1:
            return a * b + 0.5 * a
        case 2:
            return 0.3 * a - 0.6 * b  # linear: its adjoint reads nothing
        case 3:
            return np.tanh(a + b)
        case _:
            return a * a * 0.4 + b


def place(kind: int, indices: Sequence[Any]) -> Any:
    """Return a position that is in bounds: an index, the one before or after it, a mirrored one."""
    i = indices[kind % len(indices)]
    match (kind // 7) % 5:
        case 0:
            return i - 1
        case 1:
            return N - 1 - i
        case 2:
            return (kind // 35) % N
        case _:
            return i


class Statement:
    """One statement: writes into `A` or `x`, computes `s`, or is a loop of statements."""

    def __init__(self, rng: np.random.Generator, depth: int) -> None:
        choices = 16 if depth < 3 else 11
        self.kind = int(rng.integers(choices))
        self.numbers = [int(k) for k in rng.integers(0, 10_000, 6)]
        self.bodies = [Block(rng, depth + 1) for _ in range((self.kind >= 11) + (self.kind >= 14))]

    def run(self, state: State, indices: Sequence[Any], fori: ForiLoop) -> State:
        """Return the state after the statement; arrays are written in place."""
        A, x, s = state
        a, b, c, d, e, f = self.numbers
        i, j, k = (place(n, indices) for n in (a, b, c))
        top = indices[d % len(indices)]
        match self.kind:
            case 0:
                x[i] = smooth(e, x[j], x[k])
            case 1:
                A[i, j] = smooth(e, A[j, k], s)
            case 2:
                x[i] += smooth(e, A[i, j], x[k])
            case 3:
                s = smooth(e, 0.5 * s, x[i])
            case 4:
                s = 0.5 * s + A[i, :top] @ x[:top]
            case 5:
                old = x.copy()
                x[:top] = smooth(e, x[:top], A[i, :top])
                x[top:] = smooth(d, x[top:], old[top:]) if f % 2 else old[top:]
                x = old.copy() if f % 5 == 0 else x
            case 6:
                kept = A[i].copy()
                A[i] = A[j]
                A[j] = kept
            case 7:
                A[:, j] = smooth(e, A[:, i], x)
            case 8:
                A.T[i, top:] = smooth(e, x[top:], s)
            case 9:
                x = smooth(e, x, 0.5) if f % 2 else x
                x[::2] = smooth(d, x[::2], A[i, 1::2])
            case 10:
                A[i, j] = smooth(e, A[i, j], x[k])
                A[i, j] *= 0.7
                if f % 2:
                    flat, rows = A.reshape(-1), A.reshape(2, -1)
                    flat[top] = smooth(e, flat[N + top], rows[1, top])
                    rows[0, top:] *= flat[top]
            case 11 | 12 | 13:
                A, x, s = self.loop((A, x, s), indices, fori)
            case _:
                A, x, s = self.branch((A, x, s), i, indices, fori)
        return A, x, s

    def loop(self, state: State, indices: Sequence[Any], fori: ForiLoop) -> State:
        a, b, *_ = self.numbers
        i = indices[a % len(indices)]
        low, high = ((0, i), (i, N), (i + 1, N), (0, N), (1, i + 1), (2, 2))[b % 6]
        (body,) = self.bodies
        return fori(low, high, lambda k, v: body.run(v, (*indices, k), fori), state)  # type: ignore[no-any-return]

    def branch(self, state: State, i: Any, indices: Sequence[Any], fori: ForiLoop) -> State:
        yes, no = self.bodies
        test = (state[1][i] > 0.1, i > 1, i % 2 == 0)[self.numbers[1] % 3]
        return pb.cond(  # type: ignore[no-any-return]
            test,
            lambda *v: yes.run(v, indices, fori),  # type: ignore[arg-type]
            lambda *v: no.run(v, indices, fori) if self.numbers[2] % 3 else v,  # type: ignore[arg-type]
            *state,
        )


class Block:
    """Statements in order."""

    def __init__(self, rng: np.random.Generator, depth: int) -> None:
        self.statements = [Statement(rng, depth) for _ in range(int(rng.integers(1, 4)))]

    def run(self, state: State, indices: Sequence[Any], fori: ForiLoop) -> State:
        """Return the state after the statements."""
        for statement in self.statements:
            state = statement.run(state, indices, fori)
        return state


class Program:
    """A loss of `A` and `x` through a loop of random statements."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.block = Block(rng, 1)
        self.weights = rng.normal(size=(N, N)), rng.normal(size=N)
        self.arguments = 0.5 * rng.normal(size=(N, N)), 0.5 * rng.normal(size=N)

    def loss(self, fori: ForiLoop) -> Callable[..., Any]:
        """Return the loss, its loops run by `fori`."""
        block, (weights, vector) = self.block, self.weights

        def loss(A: Any, x: Any) -> Any:
            start = (A.copy(), x.copy(), np.float64(0.25))
            A, x, s = fori(0, N, lambda i, v: block.run(v, (i,), fori), start)
            return np.sum(weights * A) + np.sum(vector * x) + s

        return loss

    def slope(self, fori: ForiLoop) -> Callable[..., Any]:
        """Return a weighted sum of the gradient, to differentiate again."""
        loss, (weights, vector) = self.loss(fori), self.weights

        def slope(A: Any, x: Any) -> Any:
            into_A, into_x = pb.grad(loss, argnums=(0, 1))(A, x)
            return np.sum(weights * into_A * into_A) + np.sum(vector * into_x)

        return slope
