"""What loops do with memory: no array is copied that need not be, and values stay NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.benchmarks.corpus import PROGRAMS

pytestmark = pytest.mark.usefixtures("checked")

RNG = np.random.default_rng(5)
U = RNG.standard_normal((12, 13))


def loop_lines(function: Callable[..., Any], *args: Any) -> list[str]:
    """Return the generated lines inside of loops."""
    text = function.inspect(*args).source.partition("def run")[2]  # type: ignore[attr-defined]
    lines, depth = [], None
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        if depth is not None and indent <= depth:
            depth = None
        if depth is not None:
            lines.append(line.strip())
        elif line.lstrip().startswith(("for ", "while ")):
            depth = indent
    return lines


def check(function: Callable[..., Any], *args: Any) -> None:
    expected = function(*args)
    for exact in (True, False):
        compiled = pb.compile(function, exact=exact)
        for _ in range(2):  # the second call has a workspace that was used before
            found = compiled(*args)
            for a, b in zip(np.atleast_1d(found), np.atleast_1d(expected), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13)


def check_slope(function: Callable[..., Any], *args: Any) -> None:
    pb.check_grads(function, args)


# -- carries that change places --------------------------------------------------------------------


def swapped(u, steps):
    u, v = u.copy(), u * 2.0
    for _ in range(steps):
        v[1:-1, 1:-1] = 0.25 * (u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:])
        u, v = v, u
    return u - 3.0 * v


def swapped_and_both_returned(u, steps):
    u, v = u.copy(), u * 2.0
    for _ in range(steps):
        v[1:-1] += 0.25 * u[:-2]
        u, v = v, u
    return np.stack([u, v])


def rotated(u, steps):
    a, b, c = u.copy(), u + 1.0, u * 2.0
    for _ in range(steps):
        c[1:] = a[:-1] * 0.5 + b[1:]
        a, b, c = b, c, a
    return np.stack([a, b, c])


def swapped_in_a_loop(u, steps):
    u, v = u.copy(), u * 2.0
    for _ in range(9):
        for _ in range(steps):
            v[1:] = 0.5 * u[:-1]
            u, v = v, u
        u[0] += v[1]
    return np.stack([u, v])


@pytest.mark.parametrize("steps", [9, 10, 11, 12])
@pytest.mark.parametrize(
    "function", [swapped, swapped_and_both_returned, rotated, swapped_in_a_loop]
)
def test_carries_change_places(function: Callable[..., Any], steps: int) -> None:
    check(lambda u: function(u, steps), U)


@pytest.mark.parametrize("steps", [9, 10])
@pytest.mark.parametrize("function", [swapped, rotated])
def test_gradients_of_carries_that_change_places(function: Callable[..., Any], steps: int) -> None:
    check_slope(lambda u: np.sum(function(u, steps) ** 2), U)


def test_a_swap_copies_nothing_in_the_loop() -> None:
    lines = loop_lines(pb.compile(lambda u: swapped(u, 11)), U)
    assert not any("copy" in line for line in lines)


# -- parts -----------------------------------------------------------------------------------------


def added_in_place(u):
    u = u.copy()
    for _ in range(9):
        u[1:-1] += 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2])
    return u


def shifted_onto_itself(u):
    u = u.copy()
    for _ in range(9):
        u[1:] = u[:-1] * 0.5 + 1.0
        u[:, 1:] = u[:, :-1] - u[:, 1:]
    return u


def parts_by_index(u):
    u = u.copy()
    for i in range(1, u.shape[0]):
        u[i, :i] = u[i - 1, :i] * 2.0
        u[i, i:] -= u[i - 1, i:] * 0.5
    return u


def part_read_between(u):
    u = u.copy()
    s = 0.0
    for i in range(1, u.shape[0]):
        t = u[i] * 0.5
        s += u[i, 0]
        u[i] = t
        s += u[i, 0]
    return u * s


def broadcast_into_a_part(u):
    u = u.copy()
    for i in range(1, u.shape[0]):
        u[i:] = u[i - 1] * 0.5
    return u


@pytest.mark.parametrize(
    "function",
    [added_in_place, shifted_onto_itself, parts_by_index, part_read_between, broadcast_into_a_part],
)
def test_parts_are_computed_where_they_belong(function: Callable[..., Any]) -> None:
    check(function, U)
    check(function, np.asfortranarray(U))
    check_slope(lambda u: np.sum(function(u) ** 2), U)


def test_nothing_is_computed_beside_its_place() -> None:
    lines = loop_lines(pb.compile(added_in_place), U)
    assert lines[-1].startswith("add(v, ")
    assert not any("] =" in line for line in lines)


def test_an_array_of_numbers() -> None:
    def function(y):
        for _ in range(9):
            a, b, c = y
            y = y + 0.1 * np.array([b * c, a - c, 0.5])
        return y

    check(function, U[0, :3].copy())
    check_slope(lambda y: np.sum(function(y) ** 2), U[0, :3].copy())
    assert "concatenate" not in pb.compile(function).inspect(U[0, :3].copy()).source


# -- the corpus ------------------------------------------------------------------------------------

IN_PLACE = [
    *("thomas", "gauss_seidel", "beam", "iir_filter", "cholesky", "levinson_durbin", "jacobi"),
    *("heat_1d", "heat_2d", "dynamic_time_warping", "soft_alignment", "upwind", "cubic_spline"),
]


@pytest.mark.parametrize("name", IN_PLACE)
def test_programs_copy_no_array_in_their_loops(name: str) -> None:
    program = PROGRAMS[name]
    args = program.arguments(program.sizes[0])
    compiled = pb.compile(program.function)
    assert not any("copyto(" in line for line in loop_lines(compiled, *args))
    gradient = pb.grad(program.loss(), argnums=program.loss_argnums)
    lines = loop_lines(gradient, program.weights(args), *args)
    assert not any(line.startswith("copyto(") for line in lines)
