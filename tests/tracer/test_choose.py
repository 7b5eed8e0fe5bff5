"""Choices between arrays, and functions of the user applied to slices and elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import against_numpy as against
import numpy as np
import pytest

import pullback as pb
from pullback.ir.errors import ConcretizationError, UnsupportedError
from pullback.ir.samples import numbers

Case = Callable[..., Any]

HIDDEN = numbers(3)
INDEX = np.array([[0, 1, 2, 1], [2, 1, 0, 0], [1, 1, 1, 0]])
DTYPES = ("f8", "f4", "i4", "c16")

product = np.vectorize(lambda a, b: a * b + 1)


@np.vectorize
def doubled(a: Any) -> Any:
    return a * 2.5


CASES: dict[str, Case] = {
    "along": lambda x, i: np.apply_along_axis(np.sum, 0, x),
    "along last": lambda x, i: np.apply_along_axis(lambda v: v * v.sum(), -1, x),
    "along to matrices": lambda x, i: np.apply_along_axis(lambda v: np.outer(v, v), 1, x),
    "along constant": lambda x, i: np.apply_along_axis(lambda v: 2, 1, x),
    "along arguments": lambda x, i: np.apply_along_axis(lambda v, k, s=1: v[k] * s, 0, x, 1, s=3),
    "along hidden": lambda x, i: np.apply_along_axis(lambda v: v + HIDDEN, 0, x),
    "along many": lambda x, i: np.apply_along_axis(np.cumsum, 0, np.repeat(x, 20, axis=1)),
    "along far": lambda x, i: np.apply_along_axis(np.sum, 2, x),
    "along none": lambda x, i: np.apply_along_axis(np.sum, 0, x[:, :0]),
    "over": lambda x, i: np.apply_over_axes(np.sum, x[None], (0, 2)),
    "over one": lambda x, i: np.apply_over_axes(np.cumsum, x, -1),
    "over wrong": lambda x, i: np.apply_over_axes(lambda v, a: v.sum(a).sum(0), x, -1),
    "fromfunction": lambda x, i: np.fromfunction(lambda k, j: k * x[0, 0] + j, (2, 3)),
    "fromfunction hidden": lambda x, i: np.fromfunction(
        lambda k, j: HIDDEN[k] * x[0, 0] + j, (2, 3), dtype=int
    ),
    "vectorize": lambda x, i: (product(x, 2), product(x, x[0]), product(x, b=x)),
    "vectorize scalar": lambda x, i: product(x[0, 0], 2.5),
    "vectorize decorator": lambda x, i: doubled(x),
    "vectorize two": lambda x, i: np.vectorize(lambda a: (a, a * 2.5))(x),
    "vectorize constant": lambda x, i: np.vectorize(lambda a: 1)(x),
    "vectorize otypes": lambda x, i: np.vectorize(lambda a: a / 2, otypes=[float])(x),
    "vectorize otypes int": lambda x, i: np.vectorize(lambda a: a / 2, otypes="i")(x),
    "vectorize none": lambda x, i: np.vectorize(lambda a: a / 2)(x[:0]),
    "vectorize none otypes": lambda x, i: np.vectorize(lambda a: a / 2, otypes="f")(x[:0]),
    "vectorize excluded": lambda x, i: np.vectorize(lambda a, p: a * p[1], excluded=[1])(
        x, [1, 2, 3]
    ),
    "vectorize excluded name": lambda x, i: np.vectorize(lambda a, p: a * p[1], excluded=["p"])(
        x, p=[1, 2, 3]
    ),
    "vectorize static branch": lambda x, i: np.vectorize(lambda a, k: a * 2 if k == 0 else a * 3)(
        x, np.arange(4)
    ),
    "vectorize positions": lambda x, i: np.vectorize(lambda k: x[k].sum())(np.arange(3)),
    "vectorize many": lambda x, i: doubled(np.tile(x, 4)),
    "signature": lambda x, i: np.vectorize(np.dot, signature="(n),(n)->()")(x, x[0]),
    "signature vector": lambda x, i: np.vectorize(lambda a: a[::-1], signature="(n)->(n)")(x),
    "signature new": lambda x, i: np.vectorize(lambda a: np.outer(a, a), signature="(n)->(n,m)")(x),
    "signature two": lambda x, i: np.vectorize(
        lambda a: (a.sum(), a * 2), signature="(n)->(),(n)", otypes=[complex, complex]
    )(x),
    "signature wrong": lambda x, i: np.vectorize(np.dot, signature="(n),(n)->()")(x, x[0, :2]),
    "choose": lambda x, i: np.choose(i, [x, x * 2, x * 3]),
    "choose mixed": lambda x, i: np.choose(i, [x[0], 2.5, x[:, :1]]),
    "choose rows": lambda x, i: np.choose(i, x),
    "choose far": lambda x, i: np.choose(i + 1, [x, x * 2, x * 3]),
    "choose wrap": lambda x, i: np.choose(i + 1, [x, x * 2, x * 3], mode="wrap"),
    "choose clip": lambda x, i: np.choose(i - 1, [x, x * 2, x * 3], mode="clip"),
    "choose method": lambda x, i: i.choose([x, x * 2, 0]),
    "choose by values": lambda x, i: np.choose(x, [x, x * 2, 0]),
    "choose one": lambda x, i: np.choose(i[0, 0], [x, x * 2, 0]),
    "choose scalars": lambda x, i: np.choose(i[0, 0], [x[0, 0], x[1, 0], 0]),
    "choose static": lambda x, i: np.choose([0, 1, 1, 0], [x[0], x[1]]),
    "piecewise": lambda x, i: np.piecewise(
        x, [x.real < 0, x.real >= 1], [lambda v: -v, np.sqrt, 7]
    ),
    "piecewise one": lambda x, i: np.piecewise(x[0], x[0].real > 0, [lambda v: v * 2]),
    "piecewise rows": lambda x, i: np.piecewise(x, x.real > 0, [lambda v: v * 2]),
    "piecewise of a part": lambda x, i: np.piecewise(
        x, [x.real > 0], [lambda v: v.sum(), lambda v, k=1: v * k]
    ),
    "piecewise arguments": lambda x, i: np.piecewise(
        x, [x.real > 0], [lambda v, k: v * k, lambda v, k: v - k], 3
    ),
    "piecewise wrong": lambda x, i: np.piecewise(x, [x.real > 0, x.real < 0, i > 0], [1]),
    "piecewise 0-d": lambda x, i: np.piecewise(x[0, 0], [x[0, 0].real > 0], [lambda v: v * 2, 1]),
    "piecewise lists": lambda x, i: np.piecewise(
        x[0], [[True, False, True, False], x[0].real < 1], [3, lambda v: v * 2, 1]
    ),
    "select": lambda x, i: np.select([x.real > 1, x.real < -1], [x * 2, x[0]], 7),
    "select ints": lambda x, i: np.select([x.real > 1, i > 1], [1, 2]),
    "select scalar": lambda x, i: np.select([x[0, 0].real > 1], [x]),
    "select none": lambda x, i: np.select([], []) + x,
    "select uneven": lambda x, i: np.select([x.real > 1], [x, x]),
    "lists": lambda x, i: (np.sum([x[0], x[1]]), np.add.reduce([x[0], 2 * x[1]])),
    "lists of scalars": lambda x, i: (np.sin([x[0, 0], 1.5]), np.mean([x[0, 0], x[1, 1]])),
}


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_numpy(name: str) -> None:
    for dtype in DTYPES:
        x = numbers(3, 4, dtype=dtype, low=-4, high=5)
        against.compare(CASES[name], [x, INDEX])


DIFFERENTIABLE: dict[str, Case] = {
    "along": lambda x: np.apply_along_axis(lambda v: np.sin(v) * v.sum(), -1, x),
    "along many": lambda x: np.apply_along_axis(lambda v: v * v.sum(), 0, np.tile(x, 10)),
    "over": lambda x: np.apply_over_axes(np.prod, x, (0, 1)),
    "vectorize": lambda x: np.vectorize(lambda a, b: np.sin(a) * b)(x, x[0]),
    "vectorize many": lambda x: np.vectorize(lambda a: np.sin(a) * a)(np.tile(x, 4)),
    "signature": lambda x: np.vectorize(lambda a, b: (a * b, a.sum()), signature="(n),(n)->(n),()")(
        x, x[0]
    ),
    "choose": lambda x: np.choose(INDEX, [x, np.sin(x), x * x]),
    "piecewise": lambda x: np.piecewise(x, [x < 0, x >= 1], [lambda v: v * v, np.log, 7]),
    "select": lambda x: np.select([x > 1, x < -1], [x * x, np.sin(x[0])], x),
    "lists": lambda x: np.max([x[0, 0] * x[0, 1], x[1, 1]]),
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    against.differentiate(DIFFERENTIABLE[name], [numbers(3, 4)])


def test_functions_that_are_applied_read_hidden_arrays_at_every_call() -> None:
    weights = np.ones(4)
    compiled = pb.compile(lambda x: np.apply_along_axis(lambda v: v * weights, 1, x))
    x = np.ones((2, 4))
    assert compiled(x).sum() == 8
    weights[:] = 3
    assert compiled(x).sum() == 24


def test_refusals_say_what_to_write() -> None:
    with pytest.raises(UnsupportedError, match="no elements"):
        pb.compile(lambda x: np.vectorize(np.sum, signature="(n)->()")(x[:0]))(np.ones((2, 2)))
    with pytest.raises(ConcretizationError, match=r"np\.where"):
        pb.compile(lambda x: np.apply_along_axis(lambda v: bool(v[0]), 0, x)).inspect(
            pb.Spec((2, 2))
        )
