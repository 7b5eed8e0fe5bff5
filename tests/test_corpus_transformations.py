"""Scientific programs of loops and branches, transformed in all ways: each against another way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import pullback as pb
from pullback.benchmarks.corpus import PROGRAMS

NAMES = [name for name, program in PROGRAMS.items() if program.differentiable]

each_program = pytest.mark.parametrize("name", NAMES)


class Loss(NamedTuple):
    """A scalar of the differentiated arguments of a program, a point, and a direction there."""

    function: Callable[..., Any]
    point: tuple[Any, ...]
    along: tuple[Any, ...]

    @property
    def argnums(self) -> tuple[int, ...]:
        return tuple(range(len(self.point)))

    def gradient(self) -> Any:
        return pb.grad(self.function, argnums=self.argnums)


def loss_of(name: str) -> Loss:
    program = PROGRAMS[name]
    args = program.arguments(program.tiny)
    weights, loss = program.weights(args), program.loss()

    def function(*moving: Any) -> Any:
        given = dict(zip(program.argnums, moving, strict=True))
        return loss(weights, *[given.get(k, arg) for k, arg in enumerate(args)])

    point = tuple(args[k] for k in program.argnums)
    (along,) = program.directions(args, count=1)
    return Loss(function, point, along)


def product(left: tuple[Any, ...], right: tuple[Any, ...]) -> Any:
    return sum(np.sum(a * b) for a, b in zip(left, right, strict=True))


def assert_close(found: tuple[Any, ...], expected: tuple[Any, ...], tolerance: float) -> None:
    for got, want in zip(found, expected, strict=True):
        assert np.shape(got) == np.shape(want)
        scale = 1.0 + np.max(np.abs(want), initial=0.0)
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * scale)


@each_program
def test_the_tangent_is_the_product_with_the_gradient(name: str) -> None:
    loss = loss_of(name)
    expected = product(loss.gradient()(*loss.point), loss.along)
    assert_close((pb.jvp(loss.function, loss.point, loss.along)[1],), (expected,), 1e-9)
    _, push = pb.linearize(loss.function, *loss.point)
    assert_close((push(*loss.along),), (expected,), 1e-9)


@each_program
def test_forward_over_reverse_is_reverse_over_reverse(name: str) -> None:
    loss = loss_of(name)
    found = pb.hvp(loss.function, loss.point, loss.along)

    def slope(*point: Any) -> Any:
        return product(loss.gradient()(*point), loss.along)

    assert_close(found, pb.grad(slope, argnums=loss.argnums)(*loss.point), 1e-8)


@each_program
def test_gradients_of_two_examples_are_those_of_each(name: str) -> None:
    loss = loss_of(name)
    other = tuple(x + 1e-3 * d for x, d in zip(loss.point, loss.along, strict=True))
    gradient = loss.gradient()
    examples = tuple(np.stack(pair) for pair in zip(loss.point, other, strict=True))
    found = pb.vmap(gradient)(*examples)
    for k, point in enumerate((loss.point, other)):
        assert_close(tuple(many[k] for many in found), gradient(*point), 1e-9)
