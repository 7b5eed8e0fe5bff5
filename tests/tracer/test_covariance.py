"""Covariances and correlations, against NumPy itself."""

from __future__ import annotations

from typing import Any

import against_numpy
import numpy as np
import pytest

from pullback.ir.samples import numbers

Case, compare, differentiate = (
    against_numpy.Case, against_numpy.compare, against_numpy.differentiate
)  # fmt: skip

ARRAYS: dict[str, Any] = {
    "0-d": np.asarray(1.25),
    "empty": np.zeros(0),
    "no rows": np.zeros((0, 3)),
    "one": np.array([0.5]),
    "vector": numbers(5),
    "matrix": numbers(3, 5),
    "tall": numbers(5, 3),
    "cube": numbers(2, 3, 2),
    "strided": numbers(6, 10)[::-2, ::2],
    "fortran": np.asfortranarray(numbers(3, 5)),
    "float32": numbers(3, 5, dtype="f4"),
    "ints": numbers(3, 5, dtype="i8", low=-9, high=9),
    "bools": numbers(5) > 0,
    "complex": numbers(3, 5, dtype="c16"),
}
FREQUENCIES = np.array([1, 2, 1, 3, 1])

CASES: dict[str, Case] = {
    "cov": lambda x: np.cov(x),
    "cov columns": lambda x: np.cov(x, rowvar=False),
    "cov bias": lambda x: np.cov(x, bias=True),
    "cov ddof": lambda x: np.cov(x, ddof=2),
    "cov many ddof": lambda x: np.cov(x, ddof=9),
    "cov half ddof": lambda x: np.cov(x, ddof=0.5),
    "cov two": lambda x: np.cov(x, x[::-1]),
    "cov two columns": lambda x: np.cov(x, x * 2, rowvar=False),
    "cov fweights": lambda x: np.cov(x, fweights=FREQUENCIES),
    "cov aweights": lambda x: np.cov(x, aweights=[0.5, 1.0, 0.25, 2.0, 1.5]),
    "cov weights": lambda x: np.cov(
        x, fweights=[1, 2, 1, 3, 1], aweights=np.array([0.5, 1.0, 0.25, 2.0, 1.5])
    ),
    "cov biased weights": lambda x: np.cov(x, aweights=[0.5, 1.0, 0.25, 2.0, 1.5], bias=True),
    "cov few weights": lambda x: np.cov(x, aweights=[1.0, 2.0]),
    "cov half weights": lambda x: np.cov(x, fweights=[1, 2, 1, 3, 0.5]),
    "cov negative weights": lambda x: np.cov(x, aweights=[1, 2, 1, 3, -1]),
    "cov table of weights": lambda x: np.cov(x, aweights=[[1.0, 2.0]]),
    "cov dtype": lambda x: np.cov(x, dtype=np.float32),
    "corrcoef": lambda x: np.corrcoef(x),
    "corrcoef columns": lambda x: np.corrcoef(x, rowvar=False),
    "corrcoef two": lambda x: np.corrcoef(x, x * x),
}
NARROWED = {"cov dtype", "cov many ddof"}
"""Rounded to float32, or infinite."""


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_numpy(name: str) -> None:
    for label, x in ARRAYS.items():
        try:
            compare(CASES[name], [x])
        except BaseException as error:
            error.add_note(f"on {label}: {x!r}")
            raise


@pytest.mark.parametrize("name", sorted(set(CASES) - NARROWED))
def test_gradients_agree_with_finite_differences(name: str) -> None:
    for label in ("vector", "matrix", "complex"):
        x = ARRAYS[label]
        try:
            expected = CASES[name](x)
        except against_numpy.ERRORS:
            continue
        if np.all(np.isfinite(expected)):
            differentiate(CASES[name], [x])


PAIRS: dict[str, Case] = {
    "cov": lambda x, w: np.cov(x, w),
    "cov aweights": lambda x, w: np.cov(x, aweights=w * w),
    "cov weights": lambda x, w: np.cov(x, fweights=FREQUENCIES, aweights=w * w, ddof=1),
    "cov negative weights": lambda x, w: np.cov(x, aweights=w),
    "corrcoef": lambda x, w: np.corrcoef(x, w),
}


@pytest.mark.parametrize("name", PAIRS)
def test_two_arguments(name: str) -> None:
    x, w = numbers(3, 5), numbers(5, seed=1)
    compare(PAIRS[name], [x, w])
    compare(PAIRS[name], [numbers(5, dtype="f4"), w])
    if name != "cov negative weights":
        differentiate(PAIRS[name], [x, w])
