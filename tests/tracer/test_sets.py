"""Functions whose results have a size known only at run time, against plain NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import against_numpy
import numpy as np
import pytest

import pullback as pb
from pullback.ir.core import walk
from pullback.ir.errors import DifferentiationError, UnsupportedError

compare, close = against_numpy.compare, against_numpy.close

Case = Callable[..., Any]

VECTORS: dict[str, Any] = {
    "f64": np.array([0.5, -1.2, 2.3, 0.0, -0.4, 1.1, 2.3]),
    "f32": np.array([0.5, -1.2, 2.3, 0.0, -0.4, 1.1, 2.3], "f4"),
    "i64": np.array([0, 3, -1, 3, 2, 0, 5]),
    "c128": np.array([1 + 2j, 0, -1j, 0, 1 + 2j]),
    "bool": np.array([False, True, True, False]),
    "nan and zeros": np.array([np.nan, -0.0, 1.0, 0.0, np.nan]),
    "strided": np.arange(-6.0, 6.0)[::3],
    "nothing true": np.zeros(4),
    "empty": np.zeros(0),
}
MATRICES: dict[str, Any] = {
    "C": np.array([[0.5, -1.2, 2.3], [-0.7, 0.4, 1.1], [1.5, 0.2, -0.3], [0.5, -1.2, 2.3]]),
    "F": np.asfortranarray(np.array([[0.5, -1.2, 0.0], [0.5, -1.2, 0.0], [0.0, 1.0, 2.0]])),
    "zeros": np.zeros((2, 3)),
    "no rows": np.zeros((0, 3)),
}

OF_VECTORS: dict[str, Case] = {
    "mask": lambda x: x[x != 0],
    "mask of a view": lambda x: x[::-1][(x != 0)[::-1]],
    "mask and its negation": lambda x: (x[x != 0], x[~(x != 0)]),
    "0-d mask": lambda x: x[np.any(x)],
    "where": lambda x: np.where(x != 0),
    "where of numbers": lambda x: np.where(x),
    "where read": lambda x: x[np.where(x != 0)],
    "nonzero": lambda x: np.nonzero(x),
    "nonzero method": lambda x: x.nonzero(),
    "flatnonzero": lambda x: np.flatnonzero(x),
    "argwhere": lambda x: np.argwhere(x),
    "argwhere of a scalar": lambda x: np.argwhere(np.sum(x)),
    "compress": lambda x: np.compress(x != 0, x),
    "compress method": lambda x: x.compress(x != 0),
    "compress of a short condition": lambda x: np.compress((x != 0)[:2], x),
    "extract": lambda x: np.extract(x != 0, x),
    "unique": lambda x: np.unique(x),
    "unique with all": lambda x: np.unique(x, True, True, True),
    "unique with counts": lambda x: np.unique(x, return_counts=True, equal_nan=False),
    "unique_values": lambda x: np.unique_values(x),
    "unique_counts": lambda x: np.unique_counts(x),
    "unique_inverse": lambda x: np.unique_inverse(x),
    "unique_all": lambda x: np.unique_all(x),
    "union1d": lambda x: np.union1d(x, x[:2] + 1),
    "union1d of lists": lambda x: np.union1d(x, [1.0, 7.0]),
    "intersect1d": lambda x: np.intersect1d(x, x[1:] * 1),
    "intersect1d with places": lambda x: np.intersect1d(x, x[1:] * 1, return_indices=True),
    "setdiff1d": lambda x: np.setdiff1d(x, x[:2]),
    "setdiff1d of unique": lambda x: np.setdiff1d(np.unique(x), x[:1], assume_unique=True),
    "setxor1d": lambda x: np.setxor1d(x, x[:3] + 1),
    "trim_zeros": lambda x: np.trim_zeros(x),
    "trim_zeros in front": lambda x: np.trim_zeros(x, "f"),
    "trim_zeros behind": lambda x: np.trim_zeros(x, "b"),
    "bincount": lambda x: np.bincount(np.abs(np.real(x)).astype(int)),
    "bincount of weights": lambda x: np.bincount(
        np.abs(np.real(x)).astype(int), np.real(x), minlength=3
    ),
    "bincount of known places": lambda x: np.bincount(np.arange(len(x)) % 2, np.real(x)),
    "bincount of negative numbers": lambda x: np.bincount(-(np.abs(np.real(x)) + 1).astype(int)),
    "bincount of floats": lambda x: np.bincount(x * 1.5),
    "repeat": lambda x: np.repeat(x, (x != 0) * 2),
    "repeat of one count": lambda x: np.repeat(x, np.count_nonzero(x)),
    "repeat of negative counts": lambda x: np.repeat(x, -np.ones_like(x, int) * (x == x)),
    "repeat of wrong counts": lambda x: np.repeat(x, np.ones(3, int) * np.any(x == x)),
    "zeros of a traced count": lambda x: np.zeros(np.count_nonzero(x)),
    "arange to a traced count": lambda x: np.arange(np.count_nonzero(x)),
    "arange between": lambda x: np.arange(1, np.count_nonzero(x) + 4, 2),
    "arange down": lambda x: np.arange(np.count_nonzero(x), -2, -3, dtype=float),
    "arange of a size": lambda x: np.arange(x[x != 0].size) * 0.5,
    "slice to a traced count": lambda x: x[: np.count_nonzero(x)],
    "slice from a traced count": lambda x: x[np.count_nonzero(x) :],
    "slice between": lambda x: x[np.count_nonzero(x > 1) : np.count_nonzero(x)],
    "mask of another size": lambda x: x[np.ones(3, bool)],
    "nonzero of no axes": lambda x: np.nonzero(np.sum(x)),
    "compress by a matrix": lambda x: np.compress(x[None] != 0, x),
    "where of two": lambda x: np.where(x != 0, x),  # type: ignore[call-overload]
}
OF_MATRICES: dict[str, Case] = {
    "elements": lambda x: x[x != 0],
    "rows": lambda x: x[x[:, 0] > 0],
    "columns": lambda x: x[:, x[0] > 0] if len(x) else x,
    "rows at a column": lambda x: x[x[:, 0] > 0, 1],
    "rows at columns": lambda x: x[x[:, 0] > 9, np.array([1])],
    "rows and a new axis": lambda x: x[x[:, 0] > 0, None],
    "rows after an ellipsis": lambda x: x.T[..., x[:, 0] > 0],
    "nonzero": lambda x: np.nonzero(x),
    "nonzero read": lambda x: x[np.nonzero(x)],
    "argwhere": lambda x: np.argwhere(x),
    "flatnonzero": lambda x: np.flatnonzero(x),
    "extract": lambda x: np.extract(x > 0, x),
    "compress rows": lambda x: np.compress(x[:, 0] > 0, x, axis=0),
    "compress the whole": lambda x: np.compress((x > 0).ravel(), x),
    "unique": lambda x: np.unique(x, return_inverse=True),
    "unique rows": lambda x: np.unique(x, True, True, True, axis=0),
    "unique columns": lambda x: np.unique(x, axis=-1),
    "unique of no axis": lambda x: np.unique(x, axis=2),
    "trim_zeros": lambda x: np.trim_zeros(x),
    "trim_zeros of an axis": lambda x: np.trim_zeros(x, "b", axis=1),
    "repeat": lambda x: np.repeat(x, (x[:, 0] > 0) * 2, axis=0),
    "mask of another size": lambda x: x[np.ones(2, bool) & np.any(x == x)],
    "mask of too many axes": lambda x: x[(x > 0)[None]],
}


@pytest.mark.parametrize("name", OF_VECTORS)
@pytest.mark.parametrize("kind", VECTORS)
def test_vectors_are_numpys(name: str, kind: str) -> None:
    if kind == "c128" and name in ("slice between", "bincount of floats"):
        return  # complex numbers have no order, and NumPy discards a part with a warning
    compare(OF_VECTORS[name], [VECTORS[kind]])
    compare(OF_VECTORS[name], [VECTORS[kind]], close, exact=False)


@pytest.mark.parametrize("name", OF_MATRICES)
@pytest.mark.parametrize("kind", MATRICES)
def test_matrices_are_numpys(name: str, kind: str) -> None:
    compare(OF_MATRICES[name], [MATRICES[kind]])
    compare(OF_MATRICES[name], [MATRICES[kind]], close, exact=False)


DIFFERENTIABLE = [
    "mask", "mask and its negation", "0-d mask", "where read", "compress", "extract", "unique",
    "unique with all", "union1d", "setdiff1d", "setxor1d", "trim_zeros",
    "bincount of weights", "bincount of known places", "repeat", "repeat of one count",
    "slice to a traced count", "slice between",
]  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_of_vectors(name: str) -> None:
    x = np.array([0.0, 0.5, -1.2, 2.3, -0.4, 1.1, 0.0])
    inside = OF_VECTORS[name]
    # The zeros stay what they are where the argument is perturbed.
    pb.check_grads(lambda v: inside(np.where(x == 0, 0.0, np.sin(v))), (x,))


@pytest.mark.parametrize(
    "name", ["elements", "rows", "columns", "rows at a column", "unique", "unique rows", "repeat"]
)
def test_gradients_of_matrices(name: str) -> None:
    pb.check_grads(OF_MATRICES[name], (MATRICES["C"][:3],))


def test_gradients_of_complex_numbers() -> None:
    z = np.array([1 + 2j, -0.5j, 0.3 - 1j, -1.0 + 0j])
    pb.check_grads(lambda z: z[np.real(z) > 0.2] ** 2, (z,))
    pb.check_grads(lambda z: np.unique(z) ** 2, (z,))


def test_repeated_elements_give_their_cotangent_to_the_first() -> None:
    x = np.array([2.0, 1.0, 2.0, 3.0])
    gradient = pb.grad(lambda x: np.sum(np.unique(x) * np.array([1.0, 10.0, 100.0])))(x)
    assert gradient.tolist() == [10.0, 1.0, 0.0, 100.0]


def test_elements_that_must_be_equal_have_no_derivative() -> None:
    x = np.array([1.0, 2.0, 3.0])
    with pytest.raises(DifferentiationError, match="equal are so at single points"):
        pb.grad(lambda x: np.sum(np.intersect1d(x, x[1:] * 1.0)))(x)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[np.array([True, False, True])],
        lambda x: x[np.arange(3) > 0],
        lambda x: np.where(np.arange(3) > 0)[0] + x[0],
        lambda x: x[np.nonzero(np.arange(3) % 2)],
        lambda x: np.repeat(x, np.array([2, 0, 1])),
        lambda x: np.bincount(np.array([0, 1, 0]), weights=x),
        lambda x: x[np.flatnonzero(np.ones_like(x, bool) & True)],
    ],
)
def test_sizes_that_constants_decide_are_known(function: Case) -> None:
    x = np.array([0.5, 1.5, 2.5])
    traced = pb.compile(function).inspect(x).forward
    assert all(r.type.is_static for e in walk(traced) for r in e.results)
    assert np.array_equal(pb.compile(function)(x), function(x))


def test_one_mask_is_one_size() -> None:
    x, w = np.array([0.5, -1.5, 2.5]), np.array([1.0, 2.0, 3.0])
    program = pb.compile(lambda x, w: np.sum(x[x > 0] * w[x > 0]) / (x > 0).nonzero()[0].size)
    text = str(program.inspect(x, w))
    assert text.count("= nonzero(") == 1
    assert "match" not in text


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: np.arange(np.sum(x)), "np.linspace"),
        (lambda x: np.arange(0, 5, np.count_nonzero(x)), "np.linspace"),
        (lambda x: x[:: np.count_nonzero(x)], "slices in steps"),
        (lambda x: x[: np.argmax(x > 9) - 1], "counting from the end"),
        (lambda x: x[: x[x > 0].size - 1], "count from either end"),
        (lambda x: x[x > 0][3::-1], "slices backward"),
    ],
)
def test_refusals_say_what_to_write(function: Case, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        pb.compile(function)(np.array([0.5, 1.5, -2.5]))
