"""Eigenvalues and eigenvectors, by LAPACK.

The rules are those of M. B. Giles, "Collected matrix derivative results for forward and reverse
mode algorithmic differentiation" (2008), section 3.1, for complex matrices as in C. Boeddeker et
al., "On the computation of complex-valued gradients with application to statistically optimum
beamforming", arXiv:1701.00392 (2017).

Eigenvectors are determined up to a factor. LAPACK makes them of unit length and one component of
each real; the rules differentiate with that choice, so that they agree with differences of what
NumPy computes. Where a function does not depend on the choice, neither does its gradient.

At a repeated eigenvalue no derivative of its vectors exists, and theirs is nan or inf. The gradient
of the eigenvalues alone is finite there: with the vectors that LAPACK chose, each eigenvalue moves
by `v.conj() @ da @ v`. That is the derivative of every symmetric function of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UnsupportedError
from ..op import Array, Effect, Op, Scatter, Zero
from ..types import ArrayType
from .index import apply
from .lapack import (
    Lapack,
    check_square,
    complex_dtype,
    conjugated,
    dual,
    half_lower,
    identity,
    matrix,
    real_dtype,
    slope,
    transposed,
    without_diagonal,
)
from .linalg import SOLVE


def over_gaps(x: Array, w: Array) -> Array:
    """Return x[i, j] / (w[j] - w[i]), and zeros on the diagonal."""
    gaps = w[..., None, :] - w[..., :, None]
    return without_diagonal(x) / (gaps + identity(gaps))


def turned(g: Array, angle: Array, pivot: Array, row: int) -> Array:
    """Return the gradient of vectors, changed for a pivot component (`row` 0 or -1) kept real.

    With its pivot v real, a vector turns by -Im(dv) / v; `angle` is minus the slope along that. A
    pivot near zero fixes no phase: it is left out, or rounding would be all that remains.
    """
    limit = float(np.sqrt(np.finfo(g.dtype).eps))
    is_small = np.absolute(pivot) < limit
    part = 1j * np.where(is_small, 0, angle) / np.where(is_small, 1, pivot)
    part = part[..., None, :]
    if row == 0:
        return np.concatenate([g[..., :1, :] + part, g[..., 1:, :]], axis=-2)
    return np.concatenate([g[..., :-1, :], g[..., -1:, :] + part], axis=-2)


def turn(g: Array, v: Array) -> Array:
    """Return the slope of a gradient of vectors along a common phase of each."""
    return np.imag(np.sum(conjugated(g) * v, axis=-2))


def hermitian_gradient(s: Array, upper: bool) -> Array:
    """Return what a Hermitian gradient of a Hermitian matrix is for the triangle that is read."""
    part = half_lower(s + dual(s))
    return dual(part) if upper else part


@dataclass(frozen=True)
class Eigh(Lapack):
    """Eigenvalues, ascending, and eigenvectors of a Hermitian matrix: (n, n) -> (n), (n, n).

    NumPy reads the lower triangle of `a` only (with `upper` the upper one), so the cotangent is
    zero in the other one.
    """

    name = "eigh"
    effect = Effect.MAY_RAISE
    work = 9.0
    upper: bool = False

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (a,) = types
        check_square("eigh", a)
        return a.with_shape(a.shape[:-1]).with_dtype(real_dtype(a.dtype)), a

    def evaluate(self, *operands: Array) -> Any:
        return tuple(np.linalg.eigh(operands[0], "U" if self.upper else "L"))

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """With s = v (diag(gw) + f * (v^H gv)) v^H, where f = 1 / (w[j] - w[i])."""
        (w, v), gw, gv = results, slope(cts[0]), slope(cts[1])
        if gv is None:
            return [conjugated(hermitian_gradient((v * gw[..., None, :]) @ dual(v), self.upper))]
        if v.dtype.kind == "c":
            row = -1 if self.upper else 0
            gv = turned(gv, turn(gv, v), np.real(v[..., row, :]), row)
        x = dual(v) @ gv
        inner = 0.5 * over_gaps(x - dual(x), w)
        s = v @ inner @ dual(v)
        if gw is not None:
            s = s + (v * gw[..., None, :]) @ dual(v)
        return [conjugated(hermitian_gradient(s, self.upper))]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(), (matrix(3, 2),)),
            (cls(True), (matrix(3),)),
            (cls(), (matrix(3, dtype=np.complex128),)),
            (cls(True), (matrix(3, dtype=np.complex128),)),
            (cls(), (matrix(2, dtype=np.float32),)),
        ]


@dataclass(frozen=True)
class EigValsH(Lapack):
    """Eigenvalues of a Hermitian matrix, ascending: (n, n) -> (n)."""

    name = "eigvalsh"
    effect = Effect.MAY_RAISE
    work = 4 / 3
    upper: bool = False

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (a,) = types
        check_square("eigvalsh", a)
        return (a.with_shape(a.shape[:-1]).with_dtype(real_dtype(a.dtype)),)

    def evaluate(self, *operands: Array) -> Any:
        return np.linalg.eigvalsh(operands[0], "U" if self.upper else "L")

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        _, v = apply(Eigh(self.upper), operands[0])
        s = (v * cts[0][..., None, :]) @ dual(v)
        return [conjugated(hermitian_gradient(s, self.upper))]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(), (matrix(3, 2),)),
            (cls(True), (matrix(3, dtype=np.complex128),)),
            (cls(), (matrix(2, dtype=np.float32),)),
        ]


@dataclass(frozen=True)
class Eig(Lapack):
    """Eigenvalues and right eigenvectors, complex: (n, n) -> (n), (n, n).

    Of a real matrix NumPy returns real results where all eigenvalues are real, which the values
    decide. An error is raised then, or with `always_complex` they are converted.
    """

    name = "eig"
    effect = Effect.MAY_RAISE
    work = 25.0
    always_complex: bool = False

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (a,) = types
        check_square("eig", a)
        v = a.with_dtype(complex_dtype(a.dtype))
        return v.with_shape(a.shape[:-1]), v

    def evaluate(self, *operands: Array) -> Any:
        w, v = np.linalg.eig(operands[0])
        dtype = complex_dtype(w.dtype)
        if w.dtype != dtype and not self.always_complex:
            raise _all_real("eig")
        return w.astype(dtype, copy=False), v.astype(dtype, copy=False)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """With p = diag(ctw) + f * (v.T ctv), where f = 1 / (w[j] - w[i]): v.-T p v.T.

        The vectors have unit length, and their largest components are real: what the plain rule
        adds along a vector itself is taken out of `ctv`. A matrix without a basis of eigenvectors
        has no derivative, and LinAlgError is raised.
        """
        (w, v), (ctw, ctv) = results, cts
        p: Array = None
        if not isinstance(ctv, Zero):
            along = np.sum(ctv * v, axis=-2)
            ctv = ctv - np.real(along)[..., None, :] * np.conjugate(v)
            is_real = np.where(np.imag(v) == 0, np.absolute(np.real(v)), -1)
            pivot = np.argmax(is_real, axis=-2)[..., None, :]
            rows = np.arange(v.shape[-1])[:, None]
            size = np.real(np.take_along_axis(v, pivot, -2))
            ctv = ctv + np.where(rows == pivot, -1j * np.imag(along)[..., None, :] / size, 0)
            p = over_gaps(transposed(v) @ ctv, w)
        if not isinstance(ctw, Zero):
            values = ctw[..., None, :] * identity(v)
            p = values if p is None else p + values
        return [apply(SOLVE, transposed(v), p @ transposed(v))]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        a = matrix(3, 2, dtype=np.complex128, seed=3)
        return [
            (cls(), (a,)),
            (cls(), (a[0].astype(np.complex64),)),
            (cls(), (np.array([[0.5, -1.0, 0.2], [1.5, 0.4, 0.1], [0.3, -0.2, 2.0]]),)),
            (cls(True), (np.array([[0.5, 1.0], [0.4, 1.5]]),)),
        ]


@dataclass(frozen=True)
class EigVals(Lapack):
    """Eigenvalues, complex as those of `Eig`: (n, n) -> (n)."""

    name = "eigvals"
    effect = Effect.MAY_RAISE
    work = 10.0
    always_complex: bool = False

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (a,) = types
        check_square("eigvals", a)
        return (a.with_shape(a.shape[:-1]).with_dtype(complex_dtype(a.dtype)),)

    def evaluate(self, *operands: Array) -> Any:
        w = np.linalg.eigvals(operands[0])
        dtype = complex_dtype(w.dtype)
        if w.dtype != dtype and not self.always_complex:
            raise _all_real("eigvals")
        return w.astype(dtype, copy=False)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        _, v = apply(Eig(always_complex=True), operands[0])
        return [apply(SOLVE, transposed(v), cts[0][..., :, None] * transposed(v))]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        a = matrix(3, 2, dtype=np.complex128, seed=3)
        return [
            (cls(), (a,)),
            (cls(), (a[0].astype(np.complex64),)),
            (cls(), (np.array([[0.5, -1.0, 0.2], [1.5, 0.4, 0.1], [0.3, -0.2, 2.0]]),)),
            (cls(True), (np.array([[0.5, 1.0], [0.4, 1.5]]),)),
        ]


def _all_real(name: str) -> UnsupportedError:
    return UnsupportedError(
        f"np.linalg.{name}: all eigenvalues of this real matrix are real, so that NumPy returns "
        "real arrays; for other values it returns complex ones, and a traced program has one "
        f"dtype.\n  Write np.linalg.{name}(a.astype(complex)), which is complex always (so is "
        "np.roots of complex coefficients), or use eigh and eigvalsh for symmetric matrices."
    )


__all__ = ["Eig", "EigVals", "EigValsH", "Eigh", "hermitian_gradient", "turn", "turned"]
