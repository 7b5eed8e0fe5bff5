"""Polynomials fitted to points, and their roots, against NumPy itself."""

from __future__ import annotations

import against_numpy
import numpy as np
import pytest

import pullback as pb
from pullback.ir.samples import numbers

Case, close, same_bits = against_numpy.Case, against_numpy.close, against_numpy.same_bits
compare, differentiate = against_numpy.compare, against_numpy.differentiate

FITS: dict[str, Case] = {
    "polyfit": lambda x, y: np.polyfit(x, y, 2),
    "polyfit line": lambda x, y: np.polyfit(x, y, 1, w=[1.0, 2.0, 0.5, 1.0, 3.0, 1.0, 2.0]),
    "polyfit columns": lambda x, y: np.polyfit(x, np.stack([y, y * y], axis=1), 2, w=x + 3),
    "polyfit covariance": lambda x, y: np.polyfit(x, y, 2, cov=True),
    "polyfit unscaled": lambda x, y: np.polyfit(x, y, 1, cov="unscaled"),
    "polyfit constant": lambda x, y: np.polyfit(x, y, 0),
}


@pytest.mark.parametrize("name", FITS)
def test_fits(name: str) -> None:
    x, y = numbers(7), numbers(7, seed=2)
    compare(FITS[name], [x, y])
    compare(FITS[name], [x, y], close, exact=False)
    differentiate(FITS[name], [x, y])


def test_roots() -> None:
    for p in (np.array([1.0, -6.0, 11.0, -7.0]), np.array([2.0, 1.0, 3.0])):
        compare(lambda p: np.sort_complex(np.roots(p)), [p], close)
        differentiate(lambda p: np.roots(p) ** 2, [p])
    for p in (np.array([1.0, -6.0, 11.0, -6.0]), np.array([2.0, 4.0])):
        compare(lambda p: np.sort_complex(np.roots(p.astype(complex))), [p], close)
        with pytest.raises(pb.UnsupportedError, match="all eigenvalues"):
            pb.compile(np.roots)(p)
    compare(lambda p: np.roots(p), [np.array([3.0])])
    compare(lambda p: np.roots(p), [np.zeros((2, 2))])


def test_the_characteristic_polynomial_of_a_matrix() -> None:
    a = numbers(3, 3)
    compare(lambda a: np.poly(a), [a], close)
    differentiate(lambda a: np.poly(a), [a])
