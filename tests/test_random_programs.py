"""Random programs: compiled against plain NumPy, bit for bit in exact mode, and their gradients.

The programs mix broadcasting, views, reductions, indexing, products and scans, and read every value
again and again, so that in-place writes and shared memory are put to the test.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb

Step = tuple[str, tuple[int, ...]]
KINDS = ["bin"] * 3 + ["un"] * 2 + [
    "reduce", "T", "index", "where", "concatenate", "matmul", "reshape", "scan", "broadcast",
]  # fmt: skip
UNARY: list[Callable[[Any], Any]] = [
    np.tanh,
    np.sin,
    np.exp,
    lambda x: -x,
    lambda x: x * x,
    lambda x: x * 1.0,
    lambda x: 2.0 * x,
    lambda x: x - 0.5,
    np.abs,
    lambda x: np.maximum(x, 0.1),
    lambda x: x**2,
    lambda x: 1 / (1 + x * x),
]
BINARY: list[Callable[[Any, Any], Any]] = [
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a * b,
    np.maximum,
    np.minimum,
    lambda a, b: a * np.tanh(b),
    np.hypot,
    lambda a, b: a / (2 + np.abs(b)),
]
INDEX: list[Callable[[Any], Any]] = [
    lambda a: a[0],
    lambda a: a[::-1],
    lambda a: a[..., -1:],
    lambda a: a[None],
    lambda a: a[[0, -1, 0]],
    lambda a: a[..., ::2],
]
REDUCE: list[Callable[..., Any]] = [np.sum, np.mean, np.max, np.min, np.var]
LARGEST = 400


def draw(rng: np.random.Generator) -> list[Step]:
    """Draw a program of up to 15 steps."""
    return [
        (KINDS[rng.integers(len(KINDS))], tuple(int(q) for q in rng.integers(0, 1 << 30, size=6)))
        for _ in range(rng.integers(3, 16))
    ]


def fits(a: Any, b: Any) -> bool:
    try:
        np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        return False
    return True


def scanned(a: Any, b: Any, r: tuple[int, ...]) -> tuple[Any, Any]:
    start = a[0] * 0.5
    weight = b if b.shape == start.shape else a[-1]

    def step(carry: Any, x: Any) -> Any:
        after = np.tanh(carry * 0.5 + x * weight)
        return after, [after, carry, after * x, np.sum(carry)][r[3] % 4]

    return pb.scan(step, start, a, reverse=bool(r[2] % 2))


def apply(kind: str, r: tuple[int, ...], a: Any, b: Any) -> list[Any]:
    """Return the values of one step; none where it does not fit."""
    if kind == "un":
        return [UNARY[r[2] % len(UNARY)](a)]
    if kind == "bin":
        return [BINARY[r[2] % len(BINARY)](a, b)] if fits(a, b) else []
    if kind == "where":
        return [np.where(a > b, a, b * 0.5)] if fits(a, b) else []
    if kind == "T":
        return [a.T]
    if kind == "reshape":
        return [a.reshape(-1)]
    if kind == "broadcast":
        return [np.broadcast_to(a, (2, *a.shape))]
    if a.ndim == 0:
        return []
    if kind == "reduce":
        axis = [r[2] % a.ndim, None, -1][r[4] % 3]
        return [REDUCE[r[3] % 5](a, axis=axis, keepdims=bool(r[5] % 2))]
    if kind == "index":
        return [INDEX[r[2] % 6](a)]
    if kind == "concatenate":
        return [np.concatenate([a, a * 2], axis=r[2] % a.ndim)]
    if kind == "matmul":
        return [a @ b] if a.ndim == b.ndim == 2 and a.shape[1] == b.shape[0] else []
    return list(scanned(a, b, r)) if a.shape[0] <= 6 else []


def run(program: list[Step], args: Any) -> list[Any]:
    """Run a program; return the values it made."""
    values = list(args)
    for kind, r in program:
        made = apply(kind, r, values[r[0] % len(values)], values[r[1] % len(values)])
        values += [v for v in made if v.size <= LARGEST]
    return values[len(args) :]


def loss_of(program: list[Step]) -> Callable[..., Any]:
    def loss(*args: Any) -> Any:
        total = 0.0
        for k, value in enumerate(run(program, args)):
            total = total + np.mean(np.tanh(value) * (k + 1))
        return total

    return loss


def case(seed: int) -> tuple[list[Step], list[Any], np.random.Generator]:
    rng = np.random.default_rng(seed)
    program = draw(rng)
    args = [
        rng.normal(size=(3, 4)),
        rng.normal(size=4),
        np.asfortranarray(rng.normal(size=(4, 3))),
        np.float64(rng.normal()),
        rng.normal(size=(6, 3))[::2],
    ]
    return program, args, rng


@pytest.mark.parametrize("seed", range(40))
def test_values_are_numpys(seed: int) -> None:
    program, args, _ = case(seed)
    with np.errstate(all="ignore"):
        plain = run(program, args)
        exact = pb.compile(lambda *a: run(program, a), exact=True)(*args)
        default = pb.compile(lambda *a: run(program, a))(*args)
    for one, two, three in zip(plain, exact, default, strict=True):
        assert two.shape == three.shape == one.shape
        assert two.dtype == three.dtype == one.dtype
        np.testing.assert_array_equal(two, one)
        np.testing.assert_allclose(three, one, rtol=1e-9, atol=1e-12)


def slope(f: Callable[..., Any], args: list[Any], k: int, direction: Any, step: float) -> float:
    ahead, behind = list(args), list(args)
    ahead[k] = args[k] + step * direction
    behind[k] = args[k] - step * direction
    return float((f(*ahead) - f(*behind)) / (2 * step))


@pytest.mark.parametrize("seed", range(40))
def test_gradients_are_those_of_finite_differences(seed: int) -> None:
    program, args, rng = case(seed)
    loss = loss_of(program)
    with np.errstate(all="ignore"):
        gradient = pb.grad(loss, argnums=tuple(range(5)))
        first, second = gradient(*args), gradient(*args)
        for k, (one, two) in enumerate(zip(first, second, strict=True)):
            np.testing.assert_array_equal(one, two)
            assert not np.shares_memory(one, two)
            assert not any(np.shares_memory(one, a) for a in args)
            direction = rng.normal(size=np.shape(args[k]))
            found = float(np.sum(direction * one))
            slopes = [slope(loss, args, k, direction, s) for s in (1e-6, 1e-7)]
            if np.isclose(*slopes, rtol=1e-4, atol=1e-6):  # no kink nearby
                np.testing.assert_allclose(found, slopes[0], rtol=1e-3, atol=1e-5)


def test_a_row_added_to_the_cotangent_of_a_fortran_array() -> None:
    """The update took over memory of another order than its own."""
    x = np.asfortranarray(np.arange(12.0).reshape(4, 3))

    def f(x: Any) -> Any:
        return np.sum(np.tanh(x / 2.0)) + np.sum(np.tanh(x[:, 2:])) + np.sum(np.tanh(x.T))

    pb.check_grads(f, (x,), order=1)
