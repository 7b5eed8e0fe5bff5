"""Transformations of transformations: each composition against what it means, to depth three.

Every program, and every transformation of one, is a function of three numbers that gives three, so
that all compose. What the outermost transformation gives is held to an oracle of its own over the
function inside, which is a shorter composition: differences for derivatives, a loop for `vmap`, the
function itself for `compile` and `checkpoint`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import pullback as pb

Vector = Any
Program = Callable[[Vector], Vector]

WEIGHTS = np.array([0.7, -1.1, 0.4])
ALONG = np.array([0.5, 0.9, -0.6])
POINT = np.array([0.8, 0.3, -0.4])


# Programs


def arithmetic(x: Vector) -> Vector:
    return np.sin(x) * x[::-1] + np.exp(0.3 * x) / (2.0 + np.sum(x * x))


def products(x: Vector) -> Vector:
    A = np.outer(x, np.tanh(x)) + 2.0 * np.eye(3)
    return np.linalg.solve(A, x) + A @ A @ x


def rows(x: Vector) -> Vector:
    e = np.exp(np.outer(x, x) - np.max(x))
    return np.sum(e / np.sum(e, axis=1, keepdims=True) * x, axis=1) + np.cumsum(x * x)


def loop(x: Vector) -> Vector:
    h = x
    for k in range(12):
        h = np.tanh(0.5 * h + x * (0.1 * k - 0.3))
    return h


def scanned(x: Vector) -> Vector:
    def step(h: Any, w: Any) -> Any:
        h = 0.8 * h + np.sin(w * x)
        return h, h * w

    h, ys = pb.scan(step, x, np.linspace(0.2, 1.0, 11))
    return h + np.mean(ys, axis=0)


def while_running(x: Vector) -> Vector:
    h, steps = x * 1.0, 0
    while np.sum(h * h) < 9.0:
        h = 1.3 * h + 0.1 * np.sin(x)
        steps += 1
    return h / (steps + 1.0)


def branching(x: Vector) -> Vector:
    if np.sum(x) > 0.5:
        y = np.exp(x) * x
    else:
        y = np.cos(x) + x[::-1] ** 2
    return y * x[0]


def branches_in_a_loop(x: Vector) -> Vector:
    h = x
    for k in range(10):
        if np.sum(h) > 0.1 * k:
            h = h - 0.3 * np.sin(h)
        else:
            h = h + 0.2 * x * x
    return h


def writing(x: Vector) -> Vector:
    out = np.zeros(12)
    out[:3] = x
    for k in range(3, 12):
        out[k] = np.sin(out[k - 1]) + 0.5 * out[k - 3] * out[k - 2]
    return out[9:] * out[:3]


def triangular(x: Vector) -> Vector:
    A = np.outer(x, x) + 3.0 * np.eye(3)
    L = np.zeros((3, 3))
    for j in range(3):
        L[j, j] = np.sqrt(A[j, j] - np.sum(L[j, :j] ** 2))
        for i in range(j + 1, 3):
            L[i, j] = (A[i, j] - np.sum(L[i, :j] * L[j, :j])) / L[j, j]
    return L @ x


def leaving(x: Vector) -> Vector:
    total = x * 0.5
    for _ in range(15):
        total = total + 0.3 * np.cos(total) * x
        if total[0] > 1.31:
            break
        total = total * 1.05
    return total


def halved(x: Vector, level: Any) -> Vector:
    if level < 0.2:
        return np.sin(x)
    return x * halved(0.9 * x, 0.5 * level) + 0.1 * x


def recursing(x: Vector) -> Vector:
    return halved(x, 1.0 + x[0] * x[0])


def indexed(x: Vector) -> Vector:
    k = np.argsort(x)
    return np.sort(x * 1.5) * x[k] + np.where(x > 0.0, x, x * x)[np.array([2, 0, 0])]


def complex_inside(x: Vector) -> Vector:
    z = np.fft.fft(x) * np.exp(1j * x)
    return np.real(np.fft.ifft(z * np.conj(z) + z)) + np.abs(z)


PROGRAMS: dict[str, Program] = {
    f.__name__: f
    for f in (
        arithmetic,
        products,
        rows,
        loop,
        scanned,
        while_running,
        branching,
        branches_in_a_loop,
        writing,
        triangular,
        leaving,
        recursing,
        indexed,
        complex_inside,
    )
}


# Transformations, and their oracles


def weighed(f: Program) -> Callable[[Vector], Any]:
    return lambda x: np.sum(WEIGHTS * f(x))


def differences(f: Program, x: Vector, along: Vector) -> Vector:
    """The derivative along a direction: differences of fourth order."""
    step = 2e-4

    def apart(distance: float) -> Vector:
        return f(x + distance * along) - f(x - distance * along)

    return (8 * apart(step) - apart(2 * step)) / (12 * step)


def each_slope(f: Program, x: Vector) -> Vector:
    return np.array([differences(weighed(f), x, e) for e in np.eye(3)])


def examples(x: Vector) -> Vector:
    return np.stack([x, 0.9 * x, x + 0.05])


def with_rule(f: Program) -> Program:
    """A function with a rule of its own, which is its gradient times a cotangent."""
    wrapped = pb.custom_vjp(f)

    def forward(x: Vector) -> Any:
        return f(x), x

    def backward(x: Vector, ct: Vector) -> Any:
        return pb.vjp(f, x)[1](ct)

    wrapped.defvjp(forward, backward)
    return wrapped


class Transformation(NamedTuple):
    """`of(f)` is a function of three numbers; `oracle(f, x)` what it gives."""

    of: Callable[[Program], Program]
    oracle: Callable[[Program, Vector], Vector]


TRANSFORMATIONS = {
    "grad": Transformation(lambda f: pb.grad(weighed(f)), each_slope),
    "vjp": Transformation(lambda f: lambda x: pb.vjp(f, x)[1](WEIGHTS)[0], each_slope),
    "jvp": Transformation(
        lambda f: lambda x: pb.jvp(f, (x,), (ALONG,))[1], lambda f, x: differences(f, x, ALONG)
    ),
    "linearize": Transformation(
        lambda f: lambda x: pb.linearize(f, x)[1](ALONG), lambda f, x: differences(f, x, ALONG)
    ),
    "jacobian": Transformation(
        lambda f: lambda x: pb.jacobian(f)(x) @ ALONG, lambda f, x: differences(f, x, ALONG)
    ),
    "hessian": Transformation(
        lambda f: lambda x: pb.hessian(weighed(f))(x) @ ALONG,
        lambda f, x: differences(pb.grad(weighed(f)), x, ALONG),
    ),
    "vmap": Transformation(
        lambda f: lambda x: np.sum(WEIGHTS[:, None] * pb.vmap(f)(examples(x)), axis=0),
        lambda f, x: sum(w * f(one) for w, one in zip(WEIGHTS, examples(x), strict=True)),
    ),
    "checkpoint": Transformation(pb.checkpoint, lambda f, x: f(x)),
    "compile": Transformation(pb.compile, lambda f, x: f(x)),
    "with a rule": Transformation(with_rule, lambda f, x: f(x)),
}


def transformed(names: tuple[str, ...], program: str) -> Program:
    """Apply transformations by name, the last one first."""
    f = PROGRAMS[program]
    for name in reversed(names):
        f = TRANSFORMATIONS[name].of(f)
    return f


def check(names: tuple[str, ...], program: str) -> None:
    """Hold a composition to the oracle of its outermost transformation."""
    found = pb.compile(transformed(names, program))(POINT)
    inside = pb.compile(transformed(names[1:], program)) if names[1:] else PROGRAMS[program]
    expected = TRANSFORMATIONS[names[0]].oracle(inside, POINT)
    scale = 1.0 + float(np.max(np.abs(expected)))
    assert np.shape(found) == (3,)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-7 * scale)


# Which are tried


FORWARD = ("jvp", "linearize", "jacobian")

NAMED = (
    ("grad", "grad"),
    ("grad", "vmap"),
    ("vmap", "grad"),
    ("jvp", "grad"),
    ("vmap", "jvp"),
    ("vmap", "hessian"),
    ("grad", "hessian"),
    ("checkpoint", "grad", "grad"),
    ("grad", "checkpoint", "grad"),
    ("vmap", "vmap", "grad"),
)


def is_transposed(names: tuple[str, ...], program: str) -> bool:
    """Whether forward mode would have to transpose a rule that branches or recurs in a loop."""
    if program not in ("branches_in_a_loop", "recursing"):
        return False
    rules = [k for k, name in enumerate(names) if name == "with a rule"]
    # A Hessian is forward over reverse: it meets the rule of a rule.
    own = {*FORWARD, "hessian"} if len(rules) > 1 else FORWARD
    return any(name in own for k in rules for name in names[:k])


def cases(depth: int) -> list[tuple[tuple[str, ...], str]]:
    """Depth one on every program, pairs on some each, and two triples of seven on one."""
    programs = list(PROGRAMS)
    found: dict[tuple[tuple[str, ...], str], None] = {}
    for places in itertools.product(range(len(TRANSFORMATIONS)), repeat=depth):
        names = tuple(list(TRANSFORMATIONS)[k] for k in places)
        mixed = sum((2 * n + 3) * k for n, k in enumerate(places))
        if depth == 1:
            chosen = programs
        elif depth == 2:
            chosen = [programs[(mixed + 4 * n) % len(programs)] for n in range(4)]
        else:
            chosen = [programs[mixed % len(programs)]] if mixed % 7 < 2 else []
        for program in chosen:
            if not is_transposed(names, program):
                found[names, program] = None
    return list(found)


def titled(cases: list[tuple[tuple[str, ...], str]]) -> pytest.MarkDecorator:
    ids = [f"{' of '.join(names)} of {program}" for names, program in cases]
    return pytest.mark.parametrize(("names", "program"), cases, ids=ids)


@titled(cases(1))
def test_a_transformation(names: tuple[str, ...], program: str) -> None:
    check(names, program)


@titled(cases(2))
def test_a_transformation_of_a_transformation(names: tuple[str, ...], program: str) -> None:
    check(names, program)


@titled(cases(3))
def test_three_transformations(names: tuple[str, ...], program: str) -> None:
    check(names, program)


@titled([(names, program) for names in NAMED for program in PROGRAMS])
def test_a_composition_that_users_write(names: tuple[str, ...], program: str) -> None:
    check(names, program)


@titled(
    [
        # A tape was kept for its content, which had been popped by then.
        (("linearize", "checkpoint"), "leaving"),
        # An array was made outside of the loop that finds its size.
        (("hessian", "linearize"), "leaving"),
        # What the examples share was made for each, as it shares a tape with what they do not.
        (("jacobian", "hessian", "checkpoint"), "triangular"),
    ]
)
def test_a_composition_that_went_wrong(names: tuple[str, ...], program: str) -> None:
    check(names, program)


@pytest.mark.parametrize("program", ["branches_in_a_loop", "recursing"])
def test_forward_mode_refuses_what_it_cannot_transpose(program: str) -> None:
    with pytest.raises(pb.DifferentiationError, match="not linear in the"):
        check(("jvp", "with a rule"), program)
    check(("grad", "with a rule"), program)


# Two routes to the same


each_program = pytest.mark.parametrize("program", PROGRAMS)


def assert_same(found: Any, expected: Any) -> None:
    scale = 1.0 + float(np.max(np.abs(expected)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * scale)


@each_program
def test_both_modes_give_one_jacobian(program: str) -> None:
    f = PROGRAMS[program]
    forward = pb.jacobian(f, mode="forward")(POINT)
    assert_same(pb.jacobian(f, mode="reverse")(POINT), forward)
    assert_same(pb.jvp(f, (POINT,), (ALONG,))[1], forward @ ALONG)
    assert_same(pb.vjp(f, POINT)[1](WEIGHTS)[0], WEIGHTS @ forward)
    _, push = pb.linearize(f, POINT)
    assert_same(np.stack([push(e) for e in np.eye(3)], axis=1), forward)
    rows = pb.vmap(lambda u: pb.vjp(f, POINT)[1](u)[0])(np.eye(3))
    assert_same(rows, forward)


@each_program
def test_second_derivatives_by_every_order_of_modes(program: str) -> None:
    loss = weighed(PROGRAMS[program])
    product = pb.hvp(loss, (POINT,), (ALONG,))[0]
    assert_same(pb.jvp(pb.grad(loss), (POINT,), (ALONG,))[1], product)
    assert_same(pb.grad(lambda x: np.sum(pb.grad(loss)(x) * ALONG))(POINT), product)
    assert_same(pb.grad(lambda x: pb.jvp(loss, (x,), (ALONG,))[1])(POINT), product)
    hessian = pb.hessian(loss)(POINT)
    assert_same(hessian, hessian.T)
    assert_same(hessian @ ALONG, product)
    twice = pb.jvp(lambda x: pb.jvp(loss, (x,), (ALONG,))[1], (POINT,), (ALONG,))[1]
    assert_same(twice, ALONG @ product)


@each_program
def test_third_derivatives_by_two_routes(program: str) -> None:
    loss = weighed(PROGRAMS[program])
    moved = pb.jvp(pb.hessian(loss), (POINT,), (ALONG,))[1]
    assert_same(
        pb.grad(lambda x: WEIGHTS @ pb.hvp(loss, (x,), (ALONG,))[0])(POINT), moved @ WEIGHTS
    )


@each_program
def test_gradients_of_many_examples_are_those_of_each(program: str) -> None:
    loss = weighed(PROGRAMS[program])
    points = np.stack([POINT * s for s in (1.0, 0.9, 1.1, 0.97)])
    each = pb.vmap(pb.value_and_grad(loss), out_axes=(0, 1))
    values, slopes = each(points)
    for k, point in enumerate(points):
        value, slope = pb.value_and_grad(loss)(point)
        assert_same(values[k], value)
        assert_same(slopes[:, k], slope)
    hessians = pb.vmap(pb.vmap(pb.hessian(loss)))(points.reshape(2, 2, 3))
    assert_same(hessians[1, 0], pb.hessian(loss)(points[2]))


@each_program
def test_a_sum_over_examples_has_the_gradient_of_the_loop(program: str) -> None:
    f = PROGRAMS[program]

    def many(x: Vector) -> Any:
        return np.sum(pb.vmap(f)(examples(x)) ** 2)

    def loop(x: Vector) -> Any:
        return sum(np.sum(f(one) ** 2) for one in examples(x))

    assert_same(pb.grad(many)(POINT), pb.grad(loop)(POINT))
    assert_same(pb.hessian(many)(POINT), pb.hessian(loop)(POINT))
