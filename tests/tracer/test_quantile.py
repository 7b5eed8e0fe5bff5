"""Medians, quantiles and percentiles, with and without nans, against NumPy itself."""

from __future__ import annotations

from typing import Any

import against_numpy
import numpy as np
import pytest

import pullback as pb
from pullback.ir.samples import numbers

Case, close, compare, differentiate = (
    against_numpy.Case, against_numpy.close, against_numpy.compare, against_numpy.differentiate
)  # fmt: skip

HOLES = np.array([[1.5, np.nan, -0.25, 3.0], [np.nan] * 4, [0.5, 0.75, -1.0, np.nan]])
ARRAYS: dict[str, Any] = {
    "0-d": np.asarray(1.25),
    "empty": np.zeros(0),
    "no rows": np.zeros((0, 3)),
    "one": np.array([0.5]),
    "odd": numbers(5),
    "even": numbers(6),
    "cube": numbers(2, 3, 4),
    "strided": numbers(6, 8)[::-2, ::3],
    "fortran": np.asfortranarray(numbers(3, 4)),
    "float32": numbers(7, dtype="f4"),
    "float16": numbers(3, 4, dtype="f2"),
    "ints": numbers(3, 5, dtype="i8", low=-9, high=9),
    "bytes": numbers(6, dtype="u1", low=0, high=200),
    "bools": numbers(5) > 0,
    "complex": numbers(4, dtype="c16"),
    "nans": HOLES,
    "some nan": np.array([2.0, np.nan, 1.0]),
    "infinite": np.array([np.inf, -np.inf, 1.0, 2.0]),
    "ties": np.array([1.0, 0.0, 1.0, 1.0, -0.0]),
}
METHODS = (
    "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf",
    "hazen", "weibull", "linear", "median_unbiased", "normal_unbiased",
    "lower", "higher", "midpoint", "nearest",
)  # fmt: skip
LEVELS = np.array([0.0, 0.1, 0.25, 0.5, 0.8, 1.0])

CASES: dict[str, Case] = {
    "median": lambda x: np.median(x),
    "median axis": lambda x: np.median(x, axis=0),
    "median axes": lambda x: np.median(x, axis=(0, -1)),
    "median keepdims": lambda x: np.median(x, axis=-1, keepdims=True),
    "median all keepdims": lambda x: np.median(x, keepdims=True),
    "nanmedian": lambda x: np.nanmedian(x),
    "nanmedian axis": lambda x: np.nanmedian(x, axis=-1),
    "nanmedian keepdims": lambda x: np.nanmedian(x, axis=0, keepdims=True),
    "quantile": lambda x: np.quantile(x, 0.3),
    "quantile axis": lambda x: np.quantile(x, 0.7, axis=0),
    "quantile axes": lambda x: np.quantile(x, [0.25, 0.5], axis=(0, 1)),
    "quantile end": lambda x: np.quantile(x, 1, axis=-1),
    "quantile ints": lambda x: np.quantile(x, np.array([0, 1]), axis=-1),
    "quantile narrow": lambda x: np.quantile(x, np.float32(0.3), axis=-1),
    "quantile table": lambda x: np.quantile(x, np.array([[0.1, 0.5], [0.9, 1.0]]), axis=-1),
    "quantile keepdims": lambda x: np.quantile(x, [0.25, 0.5], axis=-1, keepdims=True),
    "quantile all keepdims": lambda x: np.quantile(x, 0.25, keepdims=True),
    "quantile weights": lambda x: np.quantile(
        x, 0.4, weights=np.abs(np.real(x)) + 1.0, method="inverted_cdf"
    ),
    "quantile column weights": lambda x: np.quantile(
        x, [0.0, 0.6], axis=0, weights=[1.0, 0.0, 2.5], method="inverted_cdf"
    ),
    "percentile": lambda x: np.percentile(x, 30),
    "percentile axis": lambda x: np.percentile(x, [10, 50.0, 100], axis=-1),
    "percentile weights": lambda x: np.percentile(
        x, [10, 50], axis=-1, weights=np.ones(x.shape), method="inverted_cdf", keepdims=True
    ),
    "nanquantile": lambda x: np.nanquantile(x, 0.3),
    "nanquantile axis": lambda x: np.nanquantile(x, [0.0, 0.3, 0.8], axis=-1),
    "nanquantile narrow": lambda x: np.nanquantile(x, np.float32(0.3), axis=0),
    "nanquantile ints": lambda x: np.nanquantile(x, np.array([0, 1]), axis=-1),
    "nanpercentile": lambda x: np.nanpercentile(x, 60.0, axis=-1, keepdims=True),
    "nanpercentile weights": lambda x: np.nanpercentile(
        x, 40, axis=-1, weights=np.ones(x.shape), method="inverted_cdf"
    ),
    **{
        f"quantile {method}": (
            lambda x, method=method: np.quantile(x, LEVELS, axis=-1, method=method)
        )
        for method in METHODS
    },
    **{
        f"nanquantile {method}": (
            lambda x, method=method: np.nanquantile(x, 0.35, axis=-1, method=method)
        )
        for method in METHODS
    },
    "unknown method": lambda x: np.quantile(x, 0.5, method="best"),
    "outside": lambda x: np.quantile(x, 1.5),
    "percentile outside": lambda x: np.percentile(x, [10, 101]),
    "three axes of levels": lambda x: np.quantile(x, np.zeros((1, 1, 1))),
    "weights of another method": lambda x: np.quantile(x, 0.5, weights=x),
    "axis outside": lambda x: np.quantile(x, 0.5, axis=4),
}


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_numpy(name: str) -> None:
    for label, x in ARRAYS.items():
        try:
            compare(CASES[name], [x])
        except BaseException as error:
            error.add_note(f"on {label}: {x!r}")
            raise


LEVEL_CASES: dict[str, Case] = {
    "quantile": lambda x, q: np.quantile(x, q, axis=0),
    "percentile": lambda x, q: np.percentile(x, 100 * q, axis=-1),
    "nanquantile": lambda x, q: np.nanquantile(x, q, axis=-1),
    "averaged": lambda x, q: np.quantile(x, q, method="averaged_inverted_cdf"),
    "nearest": lambda x, q: np.quantile(x, q, method="nearest"),
    "weights": lambda x, q: np.quantile(x, q, weights=np.abs(x), method="inverted_cdf"),
}


@pytest.mark.parametrize("name", LEVEL_CASES)
def test_levels_may_be_traced(name: str) -> None:
    for x in (numbers(3, 4), numbers(3, 4, dtype="f4")):
        for q in (0.3, np.float64(0.75), np.array([0.0, 0.35, 1.0]), np.float32(0.4), 2.0):
            compare(LEVEL_CASES[name], [x, q])
        differentiate(LEVEL_CASES[name], [x, np.array([0.1, 0.62])])


GRADIENTS = ["odd", "even", "cube", "fortran", "complex", "some nan"]


@pytest.mark.parametrize(
    "name",
    ["median", "median axis", "nanmedian", "quantile", "quantile axis", "quantile weights",
     "percentile axis", "nanquantile axis", "nanpercentile weights", "quantile midpoint"],
)  # fmt: skip
def test_gradients_agree_with_finite_differences(name: str) -> None:
    for x in (numbers(5), numbers(3, 4), numbers(6)):
        try:
            CASES[name](x)
        except against_numpy.ERRORS:
            continue
        differentiate(CASES[name], [x])


SIZED: dict[str, Case] = {
    "median": lambda x: np.median(x[x > -1]),
    "median rows": lambda x: np.median(x[np.any(x > 1, axis=-1)], axis=0),
    "quantile": lambda x: np.quantile(x[x > -1], [0.1, 0.75]),
    "percentile": lambda x: np.percentile(x[x > -1], 40, method="hazen"),
    "nanmedian": lambda x: np.nanmedian(x[~(x < 0)]),
}


@pytest.mark.parametrize("name", SIZED)
def test_sizes_may_be_known_to_the_run_alone(name: str) -> None:
    for x in (numbers(4, 3), numbers(3, 5), numbers(4, 3, dtype="f4"), HOLES):
        compare(SIZED[name], [x])
    differentiate(SIZED[name], [numbers(4, 3)])


def test_elements_that_are_nan_have_no_gradient() -> None:
    x = np.array([1.0, np.nan, 3.0, 2.0, np.nan])
    assert pb.grad(lambda x: np.nanmedian(x))(x).tolist() == [0, 0, 0, 1, 0]
    assert pb.grad(lambda x: np.nanquantile(x, 0.75))(x).tolist() == [0, 0, 0.5, 0.5, 0]
