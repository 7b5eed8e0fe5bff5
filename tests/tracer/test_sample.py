"""Sampled functions, partitions and searches, against NumPy itself."""

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
    "empty": np.zeros(0),
    "no columns": np.zeros((3, 0)),
    "one": np.array([0.5]),
    "vector": numbers(5),
    "matrix": numbers(4, 3),
    "cube": numbers(3, 3, 4),
    "strided": numbers(6, 8)[::-2, ::3],
    "fortran": np.asfortranarray(numbers(3, 4)),
    "float32": numbers(7, dtype="f4"),
    "float16": numbers(3, 4, dtype="f2"),
    "ints": numbers(3, 5, dtype="i8", low=-9, high=9),
    "int32": numbers(6, dtype="i4", low=-9, high=9),
    "bytes": numbers(6, dtype="u1", low=0, high=200),
    "bools": numbers(5) > 0,
    "complex": numbers(4, dtype="c16"),
    "complex64": numbers(3, 3, dtype="c8"),
    "special": np.array([2.0, np.nan, 1.0, -0.0, 0.0, np.inf, -np.inf, 1e300]),
    "phases": np.cumsum(np.array([1.0, 2.5, -3.5, 4.0, 7.0, -9.0, np.pi, -np.pi])),
}
POINTS = np.array([-1.5, -0.5, -0.5, 0.25, 1.0, 2.0])
HEIGHTS = np.array([0.5, -1.0, 2.0, -0.0, 3.0, 1.0])

CASES: dict[str, Case] = {
    "interp": lambda x: np.interp(x, [-1.5, -0.5, 0.25, 1.0], [0.5, -1.0, 2.0, 0.25]),
    "interp twice": lambda x: np.interp(x, POINTS, HEIGHTS),
    "interp ends": lambda x: np.interp(x, POINTS, HEIGHTS, left=7, right=np.nan),
    "interp period": lambda x: np.interp(x, POINTS, HEIGHTS, period=2.5),
    "interp zero period": lambda x: np.interp(x, POINTS, HEIGHTS, period=0),
    "interp one": lambda x: np.interp(x, [0.5], [2.0], left=-1.0),
    "interp complex": lambda x: np.interp(x, POINTS, HEIGHTS + 1j, left=1j),
    "interp none": lambda x: np.interp(x, [], []),
    "interp lengths": lambda x: np.interp(x, [1.0, 2.0], [1.0]),
    "interp heights": lambda x: np.interp([0.5, -1.0, 9.0], np.arange(len(x)), x),
    "ediff1d": lambda x: np.ediff1d(x),
    "ediff1d ends": lambda x: np.ediff1d(x, to_begin=0, to_end=[7, 8]),
    "ediff1d floats": lambda x: np.ediff1d(x, to_begin=0.5),
    "diff": lambda x: np.diff(x, 2, axis=0, prepend=0, append=1),
    "trapezoid": lambda x: np.trapezoid(x),
    "trapezoid dx": lambda x: np.trapezoid(x, dx=0.25, axis=0),
    "trapezoid x": lambda x: np.trapezoid(x, np.array([0.0, 0.5, 2.0]), axis=0),
    "trapezoid all x": lambda x: np.trapezoid(x, np.square(x), axis=-1),
    "gradient": lambda x: np.gradient(x),
    "gradient spacing": lambda x: np.gradient(x, 0.5, axis=0),
    "gradient second order": lambda x: np.gradient(x, edge_order=2),
    "gradient spacings": lambda x: np.gradient(x, 2, 0.25, axis=(0, 1)),
    "gradient coordinates": lambda x: np.gradient(x, [0.0, 0.5, 2.0], axis=0),
    "gradient coordinates second": lambda x: np.gradient(x, [0, 1, 3, 4], axis=-1, edge_order=2),
    "gradient even coordinates": lambda x: np.gradient(x, [0, 1, 2, 3], axis=-1, edge_order=2),
    "gradient too many": lambda x: np.gradient(x, 1.0, 2.0, 3.0, 4.0),
    "gradient third order": lambda x: np.gradient(x, edge_order=3),
    "unwrap": lambda x: np.unwrap(x),
    "unwrap axis": lambda x: np.unwrap(x, axis=0, discont=1.0),
    "unwrap period": lambda x: np.unwrap(x, period=4),
    "unwrap odd period": lambda x: np.unwrap(x, period=5),
    "convolve": lambda x: np.convolve(x, [1.0, -2.0, 0.5]),
    "convolve same": lambda x: np.convolve([1, 2], x, "same"),
    "convolve valid": lambda x: np.convolve(x, x[:2], mode="valid"),
    "convolve itself": lambda x: np.convolve(x, x),
    "convolve mode": lambda x: np.convolve(x, x, "all"),
    "correlate": lambda x: np.correlate(x, np.array([1.0, -2.0, 0.5])),
    "correlate same": lambda x: np.correlate(x, x, "same"),
    "correlate full": lambda x: np.correlate(x[:2], x, "full"),
    "correlate complex": lambda x: np.correlate(x, [1j, 2.0], "full"),
    "i0": lambda x: np.i0(x),
    "i0 far": lambda x: np.i0(9 * x),
    "sinc": lambda x: np.sinc(x),
    "partition": lambda x: np.partition(x, 2),
    "partition axis": lambda x: np.partition(x, (0, -1), axis=0),
    "partition all": lambda x: np.partition(x, 1, axis=None),
    "argpartition": lambda x: np.argpartition(x, 2, axis=-1),
    "sort_complex": lambda x: np.sort_complex(x),
    "lexsort": lambda x: np.lexsort((x, x > 0)),
    "lexsort rows": lambda x: np.lexsort(x, axis=0),
    "searchsorted": lambda x: np.searchsorted(np.sort(x), [0.25, 1.0, np.nan]),
    "searchsorted right": lambda x: np.sort(x).searchsorted(1, side="right"),
    "searchsorted values": lambda x: np.searchsorted([-1, 0, 1], x),
    "searchsorted sorter": lambda x: np.searchsorted(x, x, sorter=np.argsort(x)),
    "searchsorted side": lambda x: np.searchsorted([1], x, side="middle"),
    "digitize": lambda x: np.digitize(x, [-1.0, 0.0, 0.5]),
    "digitize falling": lambda x: np.digitize(x, [1.0, 0.5, 0.0], right=True),
    "digitize unordered": lambda x: np.digitize(x, [1.0, 2.5, 0.0]),
    "digitize traced": lambda x: np.digitize([0.5, -1.0, 1.0], np.sort(x)[::-1]),
    "digitize traced unordered": lambda x: np.digitize(0.5, x),
    "isin": lambda x: np.isin(x, [1.25, 0, 2]),
    "isin invert": lambda x: np.isin([0.5, 1.0, 2.0], x, invert=True),
    "isin none": lambda x: np.isin(x, []),
    "isin kind": lambda x: np.isin(x, [1, 2], kind="table"),
    "isin wrong kind": lambda x: np.isin(x, [1, 2], kind="tree"),
    "cumulative_sum": lambda x: np.cumulative_sum(x, axis=-1),
    "cumulative_sum all": lambda x: np.cumulative_sum(x),
    "cumulative_prod": lambda x: np.cumulative_prod(x, axis=0, include_initial=True),
    "cumulative_sum dtype": lambda x: np.cumulative_sum(x, axis=0, dtype=np.float32),
    "average": lambda x: np.average(x, axis=0, weights=x * x - x[:1] * x[:1]),
    "average returned": lambda x: np.average(x, weights=np.abs(x), returned=True),
    "nansum": lambda x: np.nansum(x, axis=-1, initial=0.5),
    "nanprod": lambda x: np.nanprod(x, axis=0),
    "nanmean": lambda x: np.nanmean(x, axis=0, keepdims=True),
    "nanmean ints": lambda x: np.nanmean(x, dtype=int),
    "nanmax": lambda x: np.nanmax(x),
    "nanmax axis": lambda x: np.nanmax(x, axis=-1, keepdims=True),
    "nanmin initial": lambda x: np.nanmin(x, axis=0, initial=0.5, where=np.real(x) > 0.25),
    "nanmin without initial": lambda x: np.nanmin(x, axis=0, where=np.real(x) > 0.25),
    "nanvar": lambda x: np.nanvar(x),
    "nanvar axis": lambda x: np.nanvar(x, axis=0, ddof=1, keepdims=True),
    "nanvar dtype": lambda x: np.nanvar(x, axis=-1, dtype=np.float64),
    "nanvar ints": lambda x: np.nanvar(x, axis=-1, dtype=np.int64),
    "nanvar where": lambda x: np.nanvar(x, axis=0, where=np.real(x) < 1),
    "nanstd": lambda x: np.nanstd(x, axis=-1),
    "nanstd correction": lambda x: np.nanstd(x, correction=1),
    "nanargmax": lambda x: np.nanargmax(x),
    "nanargmax axis": lambda x: np.nanargmax(x, axis=0, keepdims=True),
    "nanargmin": lambda x: np.nanargmin(x, axis=-1),
    "nancumsum": lambda x: np.nancumsum(x),
    "nancumprod": lambda x: np.nancumprod(x, axis=0),
}


# Sums over a part of the elements add zeros for the others, in another order than NumPy.
ROUNDED = {"nanvar where"}


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_numpy(name: str) -> None:
    for label, x in ARRAYS.items():
        try:
            compare(CASES[name], [x], close if name in ROUNDED else same_bits)
        except BaseException as error:
            error.add_note(f"on {label}: {x!r}")
            raise


PAIRS: dict[str, Case] = {
    "interp": lambda x, y: np.interp(x, np.sort(y), y),
    "interp ends": lambda x, y: np.interp(x, np.sort(y), y, left=y[0] * 2, right=x[0]),
    "interp period": lambda x, y: np.interp(x, y, y * y, period=3.5),
    "trapezoid": lambda x, y: np.trapezoid(x[: len(y)], y[: len(x)]),
    "gradient": lambda x, y: np.gradient(x[:4], y[:4]),
    "gradient second order": lambda x, y: np.gradient(x[:4], y[:4], edge_order=2),
    "gradient spacing": lambda x, y: np.gradient(x, y[0], edge_order=2),
    "ediff1d": lambda x, y: np.ediff1d(x, y, y[:1]),
    "convolve": lambda x, y: np.convolve(x, y),
    "convolve same": lambda x, y: np.convolve(x, y, "same"),
    "convolve valid": lambda x, y: np.convolve(x, y, "valid"),
    "correlate": lambda x, y: np.correlate(x, y),
    "correlate same": lambda x, y: np.correlate(x, y, "same"),
    "correlate full": lambda x, y: np.correlate(x, y, mode=2),
    "searchsorted": lambda x, y: np.searchsorted(np.sort(x), y) * 1.0,
    "isin": lambda x, y: np.isin(x, y),
    "digitize": lambda x, y: np.digitize(x, y),
    "digitize sorted": lambda x, y: np.digitize(x, np.sort(y), right=True),
    "lexsort": lambda x, y: np.lexsort((x[: len(y)], y[: len(x)] > 0)),
    "nanvar mean": lambda x, y: np.nanvar(x, mean=y[:1]),
}
TWO: dict[str, tuple[Any, Any]] = {
    "long and short": (numbers(7), numbers(5, seed=2)),
    "short and long": (numbers(4, seed=1), numbers(8, seed=2)),
    "even steps": (numbers(5, seed=4), np.array([0.0, 0.5, 1.0, 1.5, 2.0])),
    "float32": (numbers(6, dtype="f4"), numbers(4, dtype="f4", seed=1)),
    "two dtypes": (numbers(6, dtype="f4"), numbers(5, seed=1)),
    "ints": (numbers(6, dtype="i8", low=-9, high=9), numbers(5, dtype="i4", low=-5, high=5)),
    "int and float": (numbers(6, dtype="i8", low=-9, high=9), numbers(5)),
    "complex": (numbers(6, dtype="c16"), numbers(4, dtype="c16", seed=1)),
    "complex and real": (numbers(5, dtype="c16"), numbers(6, seed=3)),
    "strided": (numbers(12)[::-2], numbers(9, seed=1)[::2]),
    "ties": (np.array([1.0, 0.5, 0.5, 2.0, 1.0]), np.array([0.5, 1.0, 1.0, 2.0, 2.0])),
}


@pytest.mark.parametrize("name", PAIRS)
def test_values_of_two_arguments_are_those_of_numpy(name: str) -> None:
    for label, pair in TWO.items():
        try:
            compare(PAIRS[name], pair)
        except BaseException as error:
            error.add_note(f"on {label}: {pair!r}")
            raise


CONSTANT = {"searchsorted", "isin", "digitize", "digitize sorted", "lexsort"}
"""Results of integers: nothing is differentiated."""


@pytest.mark.parametrize("name", sorted(set(PAIRS) - CONSTANT))
def test_gradients_of_two_arguments_agree_with_finite_differences(name: str) -> None:
    for label in ("long and short", "short and long", "complex", "strided"):
        pair = TWO[label]
        if name == "interp period" and label == "complex":
            continue  # NumPy drops the imaginary part
        try:
            PAIRS[name](*pair)
        except against_numpy.ERRORS:
            continue
        differentiate(PAIRS[name], pair)


SMOOTH = (
    "interp", "interp period", "interp heights", "ediff1d ends", "trapezoid dx",
    "trapezoid all x", "gradient", "gradient second order", "gradient coordinates",
    "gradient coordinates second", "gradient even coordinates", "unwrap", "convolve",
    "convolve itself", "correlate same", "correlate complex", "i0", "i0 far", "partition",
    "partition axis", "sort_complex", "cumulative_sum", "cumulative_prod", "nanvar axis",
    "nanstd", "nancumsum", "nancumprod", "average returned", "nansum", "nanprod", "nanmean",
    "nanmax axis", "nanmin initial",
)  # fmt: skip


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    for label in ("vector", "matrix", "cube", "complex"):
        x = ARRAYS[label]
        if name == "interp period" and label == "complex":
            continue  # NumPy drops the imaginary part
        try:
            CASES[name](x)
        except against_numpy.ERRORS:
            continue
        differentiate(CASES[name], [x])


def test_even_coordinates_give_the_derivative_of_the_general_formula() -> None:
    f, x = numbers(5), np.arange(5) * 0.5
    for order in (1, 2):
        differentiate(lambda f, x, order=order: np.gradient(f, x, edge_order=order), [f, x])


def test_nans_have_no_part_in_the_gradients_of_nan_functions() -> None:
    x = np.array([1.0, np.nan, 3.0, 2.0])
    assert pb.grad(lambda x: np.nanvar(x))(x).tolist() == [-2 / 3, 0, 2 / 3, 0]
    assert pb.grad(lambda x: np.nancumsum(x)[-1])(x).tolist() == [1, 0, 1, 1]


def test_the_bessel_function_has_its_curvature_at_zero() -> None:
    second = pb.grad(lambda x: np.sum(pb.grad(lambda x: np.sum(np.i0(x)))(x)))
    assert np.allclose(second(np.zeros(2)), 0.5)


def test_interpolation_at_a_sample_point_has_the_slope_on_its_right() -> None:
    xp, fp = np.array([0.0, 1.0, 3.0]), np.array([0.0, 2.0, 0.0])
    slope = pb.grad(lambda x: np.sum(np.interp(x, xp, fp)))
    x = np.array([-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0])
    assert slope(x).tolist() == [0, 2, 2, -1, -1, -1, 0]


def test_partitions_need_known_places() -> None:
    with pytest.raises(pb.UnsupportedError, match="Sort the array, then index it"):
        pb.compile(lambda x, k: np.partition(x, k))(numbers(4), np.array([1]))
