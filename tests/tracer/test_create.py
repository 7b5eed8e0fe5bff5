"""Arrays made anew, memory orders, ranges between traced ends, elements put in and left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import against_numpy as against
import numpy as np
import pytest

import pullback as pb
from pullback.ir.errors import UnsupportedError
from pullback.ir.samples import numbers

Case = Callable[..., Any]

ARRAYS: dict[str, Any] = {
    **{d: numbers(3, 4, dtype=d, low=-4, high=5) for d in ("f8", "f4", "c16", "i4")},
    "fortran": np.asfortranarray(numbers(3, 4)),
    "transposed": numbers(2, 3, 4).transpose(2, 0, 1),
    "reversed": numbers(6, 8)[::-2, ::2],
    "vector": numbers(5),
    "0-d": np.asarray(1.5),
    "scalar": np.float64(2.5),
}

ORDERS: dict[str, Case] = {
    "zeros_like": lambda x: np.zeros_like(x).strides,
    "full_like F": lambda x: np.full_like(x, 1.5, order="F").strides,
    "ones_like A": lambda x: np.ones_like(x, order="A").strides,
    "array": lambda x: np.array(x).strides,
    "array F": lambda x: np.array(x, order="F").strides,
    "array C": lambda x: np.array(x, order="C").strides,
    "array A": lambda x: np.array(x, order="A", dtype=complex).strides,
    "asarray F": lambda x: np.asarray(x, order="F").strides,
    "ascontiguousarray": lambda x: np.ascontiguousarray(x).strides,
    "asfortranarray": lambda x: np.asfortranarray(x).strides,
    "require C": lambda x: np.require(x, requirements=["C"]).strides,
    "insert": lambda x: np.insert(x, [0, 2], x[:2], axis=0).strides,
    "delete": lambda x: np.delete(x, 1, axis=0).strides,
    "zeros F": lambda x: (x + np.zeros((2, 3), order="F")[0, 0], np.zeros((2, 3), order="F")),
    "isfortran": lambda x: (np.isfortran(x), np.isfortran(x.T)),
    "bad order": lambda x: np.full((2, 2), 1.0, order="Z") + x,
}

MADE: dict[str, Case] = {
    "like": lambda x: (np.zeros_like(x), np.ones_like(x), np.full_like(x, 2)),
    "full_like shape": lambda x: np.full_like(x, 2, shape=(2, 3)),
    "full_like row": lambda x: np.full_like(x, x[..., :1] if x.ndim else x),
    "array no copy": lambda x: np.array(x, copy=False),
    "array copy needed": lambda x: np.array(x, copy=False, dtype="c8"),
    "array ndmin": lambda x: np.array(x, ndmin=4),
    "asarray": lambda x: (np.asarray(x, order="F"), np.asanyarray(x)),
    "contiguous": lambda x: (np.ascontiguousarray(x), np.asfortranarray(x)),
    "require": lambda x: np.require(x, np.complex128, "F"),
    "require both": lambda x: np.require(x, requirements=["C", "F"]),
    "asarray_chkfinite": lambda x: np.asarray_chkfinite(x),
    "astype": lambda x: np.astype(x, np.complex64),
    "insert": lambda x: np.insert(x, 1, 5),
    "insert some": lambda x: np.insert(x, [1, 0, -1], [7, 8, 9]),
    "insert column": lambda x: np.insert(x, 1, x[..., 0], axis=-1),
    "insert columns": lambda x: np.insert(x, [1], x[..., :1], axis=-1),
    "insert slice": lambda x: np.insert(x, slice(0, 3, 2), 1, axis=0),
    "insert none": lambda x: np.insert(x, [], 1),
    "insert far": lambda x: np.insert(x, 9, 1, axis=0),
    "insert one far": lambda x: np.insert(x, [0, 9], 1, axis=0),
    "insert mask": lambda x: np.insert(x, np.array([True, False, True]), 3),
    "insert itself": lambda x: np.insert(x, 2, x),
    "insert float": lambda x: np.insert(x, 1.5, x),
    "delete": lambda x: np.delete(x, 1),
    "delete two": lambda x: np.delete(x, [0, -1], axis=-1),
    "delete slice": lambda x: np.delete(x, slice(None, None, 2), axis=0),
    "delete back": lambda x: np.delete(x, slice(None, None, -2)),
    "delete none": lambda x: np.delete(x, []),
    "delete far": lambda x: np.delete(x, 99),
    "delete mask": lambda x: np.delete(x, np.array([True, False, True]), axis=0),
    "delete float": lambda x: np.delete(x, 1.5),
    "resize": lambda x: (np.resize(x, (3, 7)), np.resize(x, 2), np.resize(x, (0, 2))),
    "resize negative": lambda x: np.resize(x, -1),
    "append": lambda x: np.append(x, x, axis=0),
    "packbits": lambda x: np.packbits(x > 0),
    "packbits axis": lambda x: np.packbits(x > 0, axis=-1),
    "packbits little": lambda x: np.packbits(x > 0, axis=0, bitorder="little"),
    "packbits any": lambda x: np.packbits(x),
    "unpackbits": lambda x: np.unpackbits(np.abs(x).astype(np.uint8)),
    "unpackbits 5": lambda x: np.unpackbits(np.abs(x).astype("u1"), 0, 5, "little"),
    "unpackbits -3": lambda x: np.unpackbits(np.abs(x).astype("u1"), axis=0, count=-3),
    "unpackbits 29": lambda x: np.unpackbits(np.abs(x).astype("u1"), axis=-1, count=29),
    "unpackbits any": lambda x: np.unpackbits(x),
    "linspace": lambda x: np.linspace(x, 2, 5),
    "linspace one": lambda x: np.linspace(x, x + 1, 1, retstep=True),
    "linspace open": lambda x: np.linspace(0, x, 4, endpoint=False, axis=-1),
    "linspace int": lambda x: np.linspace(x, 9, 4, dtype=int),
    "linspace negative": lambda x: np.linspace(x, 9, -4),
    "linspace none": lambda x: np.linspace(x, 9, 0),
    "logspace": lambda x: np.logspace(x, 2, 5),
    "logspace 2": lambda x: np.logspace(0, x, 5, base=2.0, axis=-1),
    "logspace bases": lambda x: np.logspace(0, x, 5, base=abs(x) + 1),
    "logspace dtype": lambda x: np.logspace(x, 1, 3, dtype="f4"),
    "geomspace": lambda x: np.geomspace(x, 2, 5),
    "geomspace open": lambda x: np.geomspace(x, x * 4, 5, endpoint=False, axis=-1),
    "geomspace zero": lambda x: np.geomspace(x, 0, 5),
    "geomspace dtype": lambda x: np.geomspace(1, abs(x) + 1, 4, dtype="f4"),
    "geomspace few": lambda x: (np.geomspace(x, x * 2, 1), np.geomspace(x, x * 2, 0)),
    "windows": lambda x: x[..., None] * (np.hanning(5) + np.bartlett(5) + np.kaiser(5, 3.0)),
    "fixed": lambda x: (x.ravel()[:3] @ np.eye(3), x.ravel()[0] * np.tri(2), np.identity(2)),
}


@pytest.mark.parametrize("name", [*ORDERS, *MADE])
def test_arrays_are_those_of_numpy(name: str) -> None:
    for label, x in ARRAYS.items():
        try:
            against.compare({**ORDERS, **MADE}[name], [x])
        except BaseException as error:
            error.add_note(f"on {label}")
            raise


DIFFERENTIABLE: dict[str, Case] = {
    "linspace": lambda x: np.linspace(x, x * x, 5),
    "logspace": lambda x: np.logspace(x, x * x, 5, base=x + 1),
    "geomspace": lambda x: np.geomspace(x, x * x + 1, 4),
    "insert": lambda x: np.insert(x, [0, 2], x[0, :2]),
    "delete": lambda x: np.delete(x, 1, 0),
    "resize": lambda x: np.resize(x, (4, 4)),
    "full F": lambda x: np.full((2, 3), x[0] * 2, order="F"),
    "asfortranarray": lambda x: np.asfortranarray(x) * x,
    "asarray_chkfinite": lambda x: np.asarray_chkfinite(x) * x,
    "kaiser": lambda x: np.kaiser(5, x[0, 0]),
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    against.differentiate(DIFFERENTIABLE[name], [numbers(2, 3, low=0.5, high=2)])


def test_values_are_checked_when_the_program_runs() -> None:
    against.compare(lambda x: np.asarray_chkfinite(x) * 2, [np.array([1.0, np.nan])])
    against.compare(lambda x: np.geomspace(x, 4.0), [np.array([1.0, 0.0])])


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: np.insert(x, x.astype(int), 1.0), UnsupportedError, "traced positions"),
        (lambda x: np.delete(x, x.astype(int)), UnsupportedError, "traced positions"),
        (lambda x: np.require(x, requirements="W"), UnsupportedError, "copy"),
        (lambda x: np.array_repr(x), UnsupportedError, "known only when"),
    ],
)
def test_refusals_say_what_to_write(function: Case, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        pb.compile(function)(np.ones(3))
