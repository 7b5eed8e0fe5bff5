"""What the rules of decompositions rely on: the phases that LAPACK chooses, stacks, large sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pullback.ir.op import Op, Zero
from pullback.ir.ops.decompose import Qr, Svd
from pullback.ir.ops.eigen import Eig, Eigh
from pullback.ir.ops.least_squares import Pinv
from pullback.ir.samples import numbers
from pullback.ir.types import type_of

SHAPES = [(1, 1), (2, 2), (3, 2), (2, 3), (9, 2), (2, 9), (40, 30), (30, 40), (100, 7), (7, 100)]


def hermitian(n: int) -> np.ndarray:
    x = numbers(n, n, dtype=np.complex128)
    return x + x.conj().T


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("full", [False, True])
def test_one_row_of_singular_vectors_is_real(shape: tuple[int, int], full: bool) -> None:
    u, _, vh = Svd(full).evaluate(numbers(*shape, dtype=np.complex128))
    k = min(shape)
    row = u[0, :k] if shape[0] < shape[1] else vh[:k, 0]
    assert np.max(np.abs(np.imag(row))) < 1e-14


@pytest.mark.parametrize("n", [1, 2, 5, 40, 130])
def test_one_row_of_eigenvectors_is_real(n: int) -> None:
    assert not np.any(np.imag(Eigh().evaluate(hermitian(n))[1][0]))
    assert not np.any(np.imag(Eigh(True).evaluate(hermitian(n))[1][-1]))
    v = Eig().evaluate(numbers(n, n, dtype=np.complex128))[1]
    largest = np.take_along_axis(v, np.argmax(np.abs(v), axis=0)[None], 0)
    assert not np.any(np.imag(largest))
    np.testing.assert_allclose(np.linalg.norm(v, axis=0), 1)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_diagonal_of_r_is_real(shape: tuple[int, int]) -> None:
    r = Qr("r").evaluate(numbers(*shape, dtype=np.complex128))
    assert not np.any(np.imag(np.diagonal(r)))


@pytest.mark.parametrize(
    "op", [Svd(), Svd(True), Qr(), Qr("complete"), Qr("r"), Eigh(), Pinv()], ids=str
)
def test_rules_take_stacks(op: Op) -> None:
    x = numbers(2, 3, 3)
    rest: tuple[Any, ...] = (np.float64(1e-15),) if isinstance(op, Pinv) else ()

    def into(a: np.ndarray) -> np.ndarray:
        results = op.evaluate(a, *rest)
        results = results if isinstance(results, tuple) else (results,)
        cts = tuple(np.cos(3 * r + np.arange(r.shape[-1])) for r in results)
        found: Any = op.vjp((True,), cts, results, a, *rest)[0]
        return np.asarray(found)

    np.testing.assert_allclose(into(x), np.stack([into(one) for one in x]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("op", [Svd(), Svd(True), Qr(), Eigh()], ids=str)
def test_results_without_a_cotangent_are_skipped(op: Op) -> None:
    a = numbers(3, 3)
    results = op.evaluate(a)
    for k, result in enumerate(results):
        ct = np.cos(result)
        zeros = [np.zeros_like(r) for r in results]
        with_zeros = [ct if j == k else z for j, z in enumerate(zeros)]
        symbolic = [ct if j == k else Zero(type_of(z)) for j, z in enumerate(zeros)]
        dense: Any = op.vjp((True,), tuple(with_zeros), results, a)[0]
        sparse: Any = op.vjp((True,), tuple(symbolic), results, a)[0]
        np.testing.assert_allclose(sparse, dense, atol=1e-10)
