"""Functions run plainly and compiled with NumPy's bits; shared by the tests of families."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import pullback as pb
from pullback.ir.errors import UnsupportedError

Case = Callable[..., Any]

ERRORS = (
    IndexError, ZeroDivisionError, OverflowError, ValueError, TypeError, AttributeError,
    RuntimeError,
)  # fmt: skip


def family(error: Exception) -> tuple[type[Exception], ...]:
    """Return the builtin classes that an error is of."""
    return tuple(k for k in ERRORS if isinstance(error, k))


def listed(result: Any) -> list[Any]:
    """Return the results of a function of one result or several."""
    if isinstance(result, tuple | list):
        return [leaf for part in result for leaf in listed(part)]
    return [result]


def same_bits(found: Any, expected: Any) -> bool:
    """Whether two values agree in dtype, shape and bits; one nan is as good as another."""
    found, expected = np.asarray(found), np.asarray(expected)
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return False
    if expected.dtype.kind == "c":
        return same_bits(found.real, expected.real) and same_bits(found.imag, expected.imag)
    if expected.dtype.kind != "f":
        return found.tobytes() == expected.tobytes()
    both = np.isnan(found) & np.isnan(expected)
    equal = (found == expected) & (np.signbit(found) == np.signbit(expected))
    return bool(np.all(both | equal))


def close(found: Any, expected: Any) -> bool:
    """Whether two values agree in dtype and shape, and up to rounding."""
    found, expected = np.asarray(found), np.asarray(expected)
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return False
    precision = 64 * np.finfo(found.dtype).eps if found.dtype.kind in "fc" else 0
    return np.allclose(found, expected, precision, precision, equal_nan=True)


def compare(
    function: Case,
    arguments: Sequence[Any],
    same: Callable[[Any, Any], bool] = same_bits,
    exact: bool = True,
) -> None:
    """Run a function plainly and compiled: the results are the same, or the class of the error."""
    compiled = pb.compile(function, exact=exact)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            expected = function(*arguments)
        except ERRORS as error:
            with pytest.raises(family(error)) as caught:
                compiled(*arguments)
            assert type(caught.value) is not UnsupportedError, caught.value
            return
        found = compiled(*arguments)
    for got, want in zip(listed(found), listed(expected), strict=True):
        assert same(got, want), f"{got!r} is not {want!r}"
        assert isinstance(got, np.ndarray) == isinstance(want, np.ndarray), (
            f"{type(got)} is not {type(want)}"
        )


def differentiate(function: Case, arguments: Sequence[Any]) -> None:
    """Check the first two derivatives of all results against finite differences."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        pb.check_grads(function, tuple(arguments), order=2)
