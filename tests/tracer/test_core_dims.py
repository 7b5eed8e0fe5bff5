"""Ufuncs with core dims, called with every keyword, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import against_numpy as against
import numpy as np
import pytest

import pullback as pb
from pullback.ir.samples import numbers

Case = Callable[..., Any]

PRODUCTS: dict[str, Case] = {
    "plain": lambda a, b: np.matmul(a, b, axes=[(-2, -1), (-2, -1), (-2, -1)]),
    "first axes": lambda a, b: np.matmul(a, b, axes=[(1, 2), (1, 2), (0, 1)]),
    "swapped": lambda a, b: np.matmul(a, a, axes=[(1, 2), (2, 1), (2, 0)]),
    "outer": lambda a, b: np.matmul(a, b[:1], axes=[(0, 2), (1, 2), (0, 2)]),
    "vector": lambda a, b: np.matmul(a, b[0, :, 0], axes=[(1, 2), (0,), (0,)]),
    "list": lambda a, b: np.matmul(a, [1.0, 2.0, 3.0, 4.0], axes=[(1, 2), 0, 1]),
    "order": lambda a, b: np.matmul(a, b, order="F"),
    "signature": lambda a, b: np.matmul(a, b, signature="dd->d"),
    "signature of a dtype": lambda a, b: np.matmul(a, b, signature=(None, None, np.float64)),
    "narrow": lambda a, b: np.matmul(a, b, dtype=np.float32),
    "unsafe": lambda a, b: np.matmul(a, b, dtype=np.int64, casting="unsafe"),
    "not allowed": lambda a, b: np.matmul(a, b, dtype=np.int64),
    "no casting": lambda a, b: np.matmul(a, b.astype(np.float32), casting="no"),
    "keepdims": lambda a, b: np.matmul(a, b, keepdims=True),
    "axis": lambda a, b: np.matmul(a, b, axis=0),
    "too few axes": lambda a, b: np.matmul(a, b, axes=[(0, 1), (0, 1)]),
    "no such axis": lambda a, b: np.matmul(a, b, axes=[(0, 5), (0, 1), (0, 1)]),
    "sizes that differ": lambda a, b: np.matmul(a, a, axes=[(1, 2), (1, 2), (1, 2)]),
    "subok": lambda a, b: np.matmul(a, b, subok=False),
    "unknown": lambda a, b: np.matmul(a, b, colour=True),
    "out": lambda a, b: np.matmul(a, b, axes=[(1, 2), (1, 2), (0, 1)], out=np.zeros((3, 5, 2))),
    "vecdot axis": lambda a, b: np.vecdot(a, a, axis=1),
    "vecdot axes": lambda a, b: np.vecdot(a, np.swapaxes(a, 1, 2), axes=[1, 2]),
    "vecdot axes of all": lambda a, b: np.vecdot(a, a, axes=[0, 0, ()]),
    "vecdot keepdims": lambda a, b: np.vecdot(a, a, keepdims=True),
    "vecdot axis keepdims": lambda a, b: np.vecdot(a, a, axis=1, keepdims=True),
    "vecdot axes keepdims": lambda a, b: np.vecdot(a, a, axes=[1, 1, 0], keepdims=True),
    "vecdot axes keepdims last": lambda a, b: np.vecdot(a, a, axes=[1, 1], keepdims=True),
    "vecdot axis and axes": lambda a, b: np.vecdot(a, a, axes=[1, 1], axis=1),
    "vecdot of vectors": lambda a, b: np.vecdot(a[0, 0], a[0, 1], axes=[0, 0]),
    "vecdot where": lambda a, b: np.vecdot(a, a, where=True),
}
if hasattr(np, "matvec"):  # since NumPy 2.2
    PRODUCTS |= {
        "matvec": lambda a, b: np.matvec(a, b[:, :, 0], axes=[(1, 2), 1, 0]),
        "vecmat": lambda a, b: np.vecmat(a[:, 0], b, axes=[1, (1, 2), 0]),
    }

PARTS: dict[str, Case] = {
    "modf unsafe": lambda a, b: np.modf(a, dtype=np.float32, casting="unsafe"),
    "modf no": lambda a, b: np.modf(a, dtype=np.float32, casting="no"),
    "modf order": lambda a, b: np.modf(a, order="F"),
    "frexp casting": lambda a, b: np.frexp(a, casting="safe"),
}
CASES = PRODUCTS | PARTS
OPERANDS = numbers(2, 3, 4), numbers(2, 4, 5)
REFUSED = {"not allowed", "no casting", "keepdims", "axis", "too few axes", "no such axis"}
REFUSED |= {"sizes that differ", "unknown", "vecdot axis and axes", "vecdot where", "modf no"}
NARROW = {"narrow", "unsafe", "modf unsafe", "frexp casting"}


@pytest.mark.parametrize("name", CASES)
def test_keywords_mean_what_they_do_in_numpy(name: str) -> None:
    against.compare(CASES[name], OPERANDS)


@pytest.mark.parametrize("name", sorted(set(CASES) - REFUSED - NARROW))
def test_derivatives_flow_through(name: str) -> None:
    against.differentiate(CASES[name], OPERANDS)


@pytest.mark.parametrize("name", sorted(set(PRODUCTS) - REFUSED))
def test_the_memory_order_is_that_of_numpy(name: str) -> None:
    strides: list[tuple[int, ...]] = []
    pb.compile(lambda a, b: [strides.append(CASES[name](a, b).strides), a][1])(*OPERANDS)
    expected = CASES[name](*OPERANDS)
    for found, stride, size in zip(strides[0], expected.strides, expected.shape, strict=True):
        assert size == 1 or found == stride
