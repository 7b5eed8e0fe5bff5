"""Counts and histograms, against NumPy itself."""

from __future__ import annotations

from typing import Any

import against_numpy
import numpy as np
import pytest

import pullback as pb
from pullback.ir.samples import numbers

Case, compare, differentiate = (
    against_numpy.Case, against_numpy.compare, against_numpy.differentiate
)  # fmt: skip

ARRAYS: dict[str, Any] = {
    "0-d": np.asarray(1.25),
    "empty": np.zeros(0),
    "one": np.array([0.5]),
    "vector": numbers(9),
    "matrix": numbers(4, 3),
    "strided": numbers(6, 8)[::-2, ::3],
    "float32": numbers(7, dtype="f4"),
    "float16": numbers(3, 4, dtype="f2"),
    "ints": numbers(3, 5, dtype="i8", low=-9, high=9),
    "int32": numbers(6, dtype="i4", low=-9, high=9),
    "bytes": numbers(6, dtype="u1", low=0, high=200),
    "bools": numbers(5) > 0,
    "equal": np.full(4, 0.5),
    "on edges": np.array([0.0, 0.1, 0.2, 0.30000000000000004, 0.3, 0.5, 0.7, 1.0, -0.0]),
    "special": np.array([2.0, np.nan, 1.0, np.inf]),
}
EDGES = np.array([-1.5, -0.25, 0.0, 0.5, 0.5, 3.0])

CASES: dict[str, Case] = {
    "histogram": lambda x: np.histogram(x),
    "histogram range": lambda x: np.histogram(x, bins=10, range=(0, 1)),
    "histogram float range": lambda x: np.histogram(x, bins=7, range=(-1.0, 1.5)),
    "histogram density": lambda x: np.histogram(x, bins=4, range=(-2, 2), density=True),
    "histogram edges": lambda x: np.histogram(x, EDGES),
    "histogram list": lambda x: np.histogram(x, [-2, 0, 1, 2], density=True),
    "histogram weights": lambda x: np.histogram(x, 5, (-1, 1), weights=x * 0.5),
    "histogram edges weights": lambda x: np.histogram(x, EDGES, weights=x),
    "histogram complex weights": lambda x: np.histogram(x, 3, (-1, 1), weights=x * 1j),
    "histogram of an unordered list": lambda x: np.histogram(x, [1, 0]),
    "histogram of no bins": lambda x: np.histogram(x, 0),
    "histogram of half a bin": lambda x: np.histogram(x, 1.5),
    "histogram of a falling range": lambda x: np.histogram(x, range=(1, 0)),
    "histogram of a table": lambda x: np.histogram(x, [[1, 2]]),
    "histogram of other weights": lambda x: np.histogram(x, weights=[1.0, 2.0]),
    "histogram of estimated weights": lambda x: np.histogram(x, "auto", weights=x),
    "histogram of too many bins": lambda x: np.histogram(x, 3, range=(1, np.nextafter(1, 2))),
    "edges": lambda x: np.histogram_bin_edges(x, 4),
    "edges range": lambda x: np.histogram_bin_edges(x, 4, range=(0, 3)),
    "histogramdd": lambda x: np.histogramdd(x, 3, range=[(-1, 1)] * 3),
    "histogramdd vector": lambda x: np.histogramdd(x, [4]),
    "histogramdd ranges": lambda x: np.histogramdd(x, 3, range=[(-1, 1)]),
    "histogramdd bins": lambda x: np.histogramdd(x, [1, 2]),
    "histogram2d": lambda x: np.histogram2d(x, x * 0.5),
    "histogram2d edges": lambda x: np.histogram2d(x, x, bins=EDGES),
    "histogram2d bins": lambda x: np.histogram2d(x, x, [[-1, 0, 1], 4], [None, (-1, 1)]),
    "histogram2d density": lambda x: np.histogram2d(x, x, 2, weights=x, density=True),
    "histogram2d lengths": lambda x: np.histogram2d(x, [1.0, 2.0]),
    "bincount": lambda x: np.bincount([0, 2, 2, 5], minlength=4, weights=x[:4]),
    "bincount weights": lambda x: np.bincount([1, 0], x),
    "bincount negative": lambda x: np.bincount([0, -2], x[:2]),
    "bincount floats": lambda x: np.bincount([0.5, 1.0], x[:2]),
}


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_numpy(name: str) -> None:
    for label, x in ARRAYS.items():
        try:
            compare(CASES[name], [x])
        except BaseException as error:
            error.add_note(f"on {label}: {x!r}")
            raise


LABELS = np.array([3, 0, 1, 1, 3, 2, 0])
PAIRS: dict[str, Case] = {
    "bincount": lambda x, w: np.bincount([3, 0, 1, 1, 3, 2, 0], weights=w),
    "traced bincount": lambda x, w: np.bincount(LABELS, weights=w, minlength=5),
    "histogram": lambda x, w: np.histogram(x, 4, weights=w),
    "histogram range": lambda x, w: np.histogram(x, 4, (-1.0, 1.0), weights=w)[0],
    "histogram edges": lambda x, w: np.histogram(x, EDGES, weights=w)[0],
    "histogram density": lambda x, w: np.histogram(x, 3, weights=w * w, density=True),
    "edges": lambda x, w: np.histogram_bin_edges(x, 3, (w[0], 5.0)),
    "traced edges": lambda x, w: np.histogram(x, np.sort(w), weights=x)[0],
    "histogram2d": lambda x, w: np.histogram2d(x, w, 3, weights=x * w)[0],
    "histogramdd": lambda x, w: np.histogramdd(
        np.stack([x, w, x]).T, 2, density=True, weights=w * w
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_values_and_gradients_of_weights(name: str) -> None:
    x, w = numbers(7), numbers(7, seed=3)
    compare(PAIRS[name], [x, w])
    compare(PAIRS[name], [x.astype("f4"), w.astype("f4")])
    differentiate(PAIRS[name], [x, w])


def test_many_weights_are_added_up_in_numpys_blocks() -> None:
    generator = np.random.default_rng(0)
    x, w = generator.random(140_000), generator.standard_normal(140_000)
    compare(lambda x, w: np.histogram(x, 10, (0.1, 0.9), weights=w)[0], [x, w])
    compare(lambda x, w: np.histogram(x, np.linspace(0, 1, 11), weights=w)[0], [x, w])


def test_sizes_may_be_known_to_the_run_alone() -> None:
    for x in (numbers(9), np.full(3, 0.5), np.array([np.nan, -3.0])):
        compare(lambda x: np.histogram(x[x > -1], 3, (-1, 1)), [x])
        compare(lambda x: np.histogram(x[x > -1], EDGES, weights=x[x > -1]), [x])
        compare(lambda x: np.histogram(x[x > -1], EDGES), [x])
    x = numbers(9)
    compare(lambda x: np.bincount((x[x > 0] * 4).astype(int), x[x > 0]), [x])


def test_traced_integers_set_the_size_of_their_counts() -> None:
    for x in (np.array([1, 3, 1]), np.array([5, 0], np.uint8), np.zeros(0, int), np.array([1, -1])):
        for least in (0, 4):
            compare(lambda x, least=least: np.bincount(x, minlength=least), [x])
        compare(lambda x: np.bincount(x, weights=x * 0.5), [x])
    target = numbers(5)

    def loss(w: Any) -> Any:
        return np.sum((np.bincount(LABELS, w, minlength=5) - target) ** 2)

    differentiate(loss, [numbers(7)])


def test_edges_that_are_given_are_returned_themselves() -> None:
    def written(x: Any, e: Any) -> Any:
        _, edges = np.histogram(x, e)
        edges[0] = -5
        _, more = np.histogramdd(x, [e])
        more[0][1] = -4
        return edges, e

    x, e = numbers(5), np.array([0.0, 0.5, 2.0])
    expected, found = e.copy(), e.copy()
    written(x, expected)
    pb.compile(written, exact=True)(x, found)
    assert found.tolist() == expected.tolist() == [-5, -4, 2]


def test_ranges_may_be_traced() -> None:
    def count(x: Any, low: Any, high: Any) -> Any:
        return np.histogram(x, 4, (low, high))

    for x in (numbers(9), numbers(9, dtype="f4"), numbers(9, dtype="i8", low=-3, high=3)):
        for ends in ((-1.0, 0.7), (np.float32(-1), np.float32(0.7)), (np.float64(0), 1.0)):
            compare(count, [x, *ends])
        compare(count, [x, 1.0, 1.0])
        compare(count, [x, 1.0, -1.0])
        compare(count, [x, 1.0, np.inf])


def test_the_number_of_bins_must_be_known() -> None:
    with pytest.raises(pb.UnsupportedError, match="Give the number of bins"):
        pb.compile(lambda x: np.histogram(x, "auto"))(numbers(5))
