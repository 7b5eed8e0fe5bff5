"""Objects of libraries among the arguments: another one is not taken for that of the trace."""

from __future__ import annotations

import datetime
import decimal
import fractions
import functools
import itertools
import operator
import pathlib
import random
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.interpolate import CubicSpline
from scipy.sparse import csr_matrix

import pullback as pb

X = np.array([1.0, 2.0])


class Scale:
    """A class with an operator and slots."""

    __slots__ = ("k",)
    __array_ufunc__ = None

    def __init__(self, k: int) -> None:
        self.k = k

    def __mul__(self, other: Any) -> Any:
        return other * self.k


class Attributes(dict):
    __getattr__ = dict.__getitem__


class Steps:
    """An iterator."""

    def __init__(self) -> None:
        self.k = 0

    def __iter__(self) -> Steps:
        return self

    def __next__(self) -> int:
        self.k += 1
        return self.k


CASES: list[tuple[Callable[[int], Any], Callable[[Any], Any]]] = [
    (fractions.Fraction, float),
    (decimal.Decimal, float),
    (lambda k: datetime.timedelta(seconds=k), lambda o: o.total_seconds()),
    (lambda k: pathlib.PurePath("a" * k), lambda o: len(str(o))),
    (lambda k: re.compile("a" * k), lambda o: o.match("aa").end()),
    (lambda k: {k}, sum),
    (lambda k: {"names": {k}}, lambda o: sum(o["names"])),
    (operator.itemgetter, lambda o: o([0, 1, 2])),
    (lambda k: functools.lru_cache(lambda t: t * k), lambda o: o(1)),
    (lambda k: csr_matrix(np.eye(2) * k), lambda o: o.toarray()[0, 0]),
    (lambda k: CubicSpline([0.0, 1.0, 2.0], [k, k, k]), lambda o: o(0.5)),
    (lambda k: pb.compile(lambda t: t * k), lambda o: o(1.0)),
    (Scale, lambda o: o * 1.0),
    (lambda k: Attributes(k=k), lambda o: o.k),
]


@pytest.mark.parametrize(("make", "number"), CASES)
def test_each_object_has_its_own_value(
    make: Callable[[int], Any], number: Callable[[Any], Any]
) -> None:
    value = pb.compile(lambda x, o: np.sum(x) * number(o))
    slope = pb.grad(lambda x, o: np.sum(x) * number(o))
    each = pb.vmap(lambda x, o: x * number(o), in_axes=(0, None))
    for k in (1, 2, 1):
        assert value(X, make(k)) == 3 * k
        np.testing.assert_array_equal(slope(X, make(k)), [k, k])
        np.testing.assert_array_equal(each(X, make(k)), X * k)


def test_equal_values_share_a_program() -> None:
    found = pb.compile(lambda x, o, names: x * float(o) * len(names))
    for _ in range(3):
        found(X, fractions.Fraction(1, 2), {"a", "b"})
    assert found.cache_info().misses == 1


@pytest.mark.parametrize(
    "make", [lambda: iter([1, 2]), lambda: (k for k in (1, 2)), itertools.count, Steps]
)
@pytest.mark.parametrize(
    "read",
    [
        next,
        lambda it: sum(k for k, _ in zip(it, range(1), strict=False)),
        lambda it: first(it),
    ],
)
def test_iterators_of_outside_do_not_go_on(
    make: Callable[[], Any], read: Callable[[Any], Any]
) -> None:
    it = make()
    for call in (
        lambda: pb.compile(lambda x: x * read(it))(X),
        lambda: pb.grad(lambda x, o: np.sum(x) * read(o))(X, it),
    ):
        with pytest.raises(pb.UnsupportedError, match="was made outside of the function"):
            call()
    assert next(it) == next(make())  # it has not been advanced
    inside = pb.compile(lambda x: x * read(make()))
    for _ in range(2):
        np.testing.assert_array_equal(inside(X), X * read(make()))


def first(values: Any) -> Any:
    found = []
    for value in values:
        found.append(value)
        break
    return found[0]


def test_a_generator_of_python_does_not_draw() -> None:
    own = random.Random(1)
    with pytest.raises(pb.UnsupportedError, match="Python's own generator"):
        pb.compile(lambda x: x * own.random())(X)
