"""Polynomials, against NumPy itself."""

from __future__ import annotations

from typing import Any

import against_numpy
import numpy as np
import pytest

import pullback as pb
from pullback.ir.samples import numbers

Case, close, same_bits = against_numpy.Case, against_numpy.close, against_numpy.same_bits
compare, differentiate = against_numpy.compare, against_numpy.differentiate

ARRAYS: dict[str, Any] = {
    "0-d": np.asarray(1.25),
    "scalar": np.float64(0.75),
    "number": 0.5,
    "empty": np.zeros(0),
    "one": np.array([0.5]),
    "vector": numbers(5),
    "matrix": numbers(3, 4),
    "strided": numbers(10)[::-2],
    "float32": numbers(4, dtype="f4"),
    "ints": numbers(5, dtype="i8", low=1, high=9),
    "bytes": numbers(4, dtype="u1", low=1, high=9),
    "bools": np.array([True, False, True]),
    "complex": numbers(4, dtype="c16"),
}
P = np.array([2.0, -1.0, 0.5])

CASES: dict[str, Case] = {
    "polyval": lambda x: np.polyval([2.0, -1.0, 0.5], x),
    "polyval ints": lambda x: np.polyval([3, 0, 1], x),
    "polyval coefficients": lambda x: np.polyval(x, 0.5),
    "polyval both": lambda x: np.polyval(x, x),
    "polyder": lambda x: np.polyder(x),
    "polyder twice": lambda x: np.polyder(x, 2),
    "polyder none": lambda x: np.polyder(x, 0),
    "polyder negative": lambda x: np.polyder(x, -1),
    "polyint": lambda x: np.polyint(x),
    "polyint twice": lambda x: np.polyint(x, 2, k=[1.0, 2.0]),
    "polyint constant": lambda x: np.polyint(x, 2, k=3),
    "polyint none": lambda x: np.polyint(x, 0),
    "polyint few constants": lambda x: np.polyint(x, 3, k=[1, 2]),
    "polyadd": lambda x: np.polyadd(x, [1.0, 2.0, 3.0]),
    "polysub": lambda x: np.polysub([1, 2], x),
    "polymul": lambda x: np.polymul(x, [0.0, 1.0, 2.0]),
    "polymul itself": lambda x: np.polymul(x, x),
    "polydiv": lambda x: np.polydiv(x, [1.0, 2.0]),
    "polydiv by": lambda x: np.polydiv([3.0, 1.0, 2.0, 5.0, 7.0, 1.5], x),
    "vander": lambda x: np.vander(x),
    "vander increasing": lambda x: np.vander(x, 3, increasing=True),
    "vander one": lambda x: np.vander(x, 1),
    "vander none": lambda x: np.vander(x, 0),
    "poly": lambda x: np.poly(np.real(x)),
}


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_numpy(name: str) -> None:
    for label, x in ARRAYS.items():
        try:
            compare(CASES[name], [x])
        except BaseException as error:
            error.add_note(f"on {label}: {x!r}")
            raise


@pytest.mark.parametrize("name", CASES)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    for label in ("0-d", "vector", "strided", "complex"):
        x = ARRAYS[label]
        try:
            expected = against_numpy.listed(CASES[name](x))
        except against_numpy.ERRORS:
            continue
        if any(np.size(r) for r in expected):
            differentiate(CASES[name], [x])


PAIRS: dict[str, Case] = {
    "polyval": lambda p, x: np.polyval(p, x),
    "polyint": lambda p, x: np.polyint(p, 2, k=x[:2]),
    "polyadd": lambda p, x: np.polyadd(p, x),
    "polysub": lambda p, x: np.polysub(p, x),
    "polymul": lambda p, x: np.polymul(p, x),
    "polydiv": lambda p, x: np.polydiv(x, p),
}


@pytest.mark.parametrize("name", PAIRS)
def test_two_arguments(name: str) -> None:
    p, x = numbers(3), numbers(6, seed=1)
    compare(PAIRS[name], [p, x])
    compare(PAIRS[name], [p.astype("f4"), x])
    compare(PAIRS[name], [p, x + 1j])
    differentiate(PAIRS[name], [p, x])


@pytest.mark.parametrize(
    "arguments",
    [(numbers(4), numbers(5), 1), (numbers(4), numbers(4), -1), (numbers(2, 2), numbers(2), 1),
     (numbers(0), numbers(0), 1), (numbers(2), np.asarray(1.0), 1)],
)  # fmt: skip
def test_points_that_cannot_be_fitted(arguments: Any) -> None:
    compare(lambda x, y: np.polyfit(x, y, arguments[2]), arguments[:2])


@pytest.mark.parametrize(
    ("function", "p", "message"),
    [
        (lambda p: np.roots(p), [0.0, 1.0, 2.0], "Leave them out"),
        (lambda p: np.roots(p), [1.0, 2.0, 0.0], "Leave them out"),
        (lambda p: np.polymul(p, [1.0, 2.0]), [0.0, 1.0], "Leave them out"),
    ],
)
def test_zeros_that_decide_on_the_size_of_the_result(
    function: Case, p: list[float], message: str
) -> None:
    with pytest.raises(pb.UnsupportedError, match=message):
        pb.compile(function)(np.array(p))


def test_a_remainder_may_be_shorter() -> None:
    for u in ([1.0, 3.0, 3.0, 1.0], [1.0, 2.0, 1.0, 0.0], [1.0, 2.0, 1.0, 5.0], [0.0, 0.0]):
        compare(lambda u: np.polydiv(u, [1.0, 1.0, 0.0]), [np.array(u)])


def test_complex_zeros_are_refused() -> None:
    with pytest.raises(pb.UnsupportedError, match="conjugate pairs"):
        pb.compile(lambda z: np.poly(z))(np.array([1j, -1j]))
