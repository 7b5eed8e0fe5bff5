"""Loops that go on for some of the examples: operations on as many rows as only the run counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pullback as pb

XS = np.array([[0.31, 0.22, -0.43], [0.2, -0.53, 0.11], [1.31, 0.92, 0.83], [-0.52, 0.93, 0.1]])
TIMES = np.arange(3.0)


def middle(v):
    return np.median(v)


def quantiles(v):
    return np.sum(np.quantile(v, [0.3, 0.8]))


def at_moving_times(v):
    return np.sum(np.interp(v, TIMES, np.array([1.0, 3.0, 2.0])))


def of_moving_values(v):
    return np.interp(0.4, TIMES, v)


def between_moving_points(v):
    return np.sum(np.interp(v[1:], np.cumsum(np.abs(v) + 0.1), v))


def row_of_a_product(v):
    return np.sum((v[[1, 2, 2]][:, None] * v)[1] ** 2)


def diagonal_written(v):
    square = np.outer(v, v * v)
    np.fill_diagonal(square, v)
    return np.sum(np.sin(square) * TIMES)


def written_as_a_row(v):
    table = np.cumsum(np.outer(v, v), axis=1)
    flat = table.reshape(-1)
    flat[1] = v[0]
    return np.tanh(flat)[1:5] @ flat[:4]


STEPS = [
    middle,
    quantiles,
    at_moving_times,
    of_moving_values,
    between_moving_points,
    row_of_a_product,
    diagonal_written,
    written_as_a_row,
]


@pytest.mark.parametrize("step", STEPS)
def test_derivatives_are_those_of_one_example(step: Callable[..., Any]) -> None:
    def looped(x):
        v, total = x * 1.0, np.sum(x)
        while total < 1.5:
            total = total + 0.9 + 0.1 * step(v)
            v = v * 0.9
        return total + np.sum(v)

    def branched(x):
        return step(x) if np.sum(x) > 0.2 else np.sum(x * x)

    for f in (looped, branched):
        many = pb.vmap(f)
        np.testing.assert_allclose(many(XS), [f(x) for x in XS], rtol=1e-12)
        expected = np.stack([pb.grad(f)(x) for x in XS])
        (pulled,) = pb.vjp(many, XS)[1](np.ones(len(XS)))
        np.testing.assert_allclose(pulled, expected, rtol=1e-10)
        moved = pb.jvp(many, (XS,), (np.cos(XS),))[1]
        np.testing.assert_allclose(moved, np.sum(expected * np.cos(XS), 1), rtol=1e-10)


def test_parts_done_for_one_example_after_the_other_may_each_need_the_other_first() -> None:
    def f(x):
        masked, waved = np.tanh(x), np.sin(x)
        masked[masked > 0.1] *= 0.5
        total = 0.1
        while total < 2.0:
            total = total + 0.31 + x[0] ** 2
            waved = np.tanh(waved)
        return np.sum(np.sin(waved) * total) + np.sum(masked * waved) * (masked @ x)

    slopes = pb.vmap(pb.grad(f))(XS)
    np.testing.assert_allclose(slopes, np.stack([pb.grad(f)(x) for x in XS]), rtol=1e-12)
