"""Pseudo-inverses, least squares and condition numbers, by singular values.

The derivative of a pseudo-inverse is that of G. H. Golub and V. Pereyra, "The differentiation of
pseudo-inverses and nonlinear least squares problems whose variables separate", SIAM J. Numer. Anal.
10 (1973), equation 4.12. It holds where the rank does not change, and needs no gaps between
singular values, unlike one by way of the decomposition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..dims import minimum
from ..errors import DTypeError
from ..op import Array, Effect, Op, Scatter, Zero, broadcast
from ..samples import numbers
from ..types import ArrayType
from .decompose import Svd
from .eigen import hermitian_gradient
from .index import apply
from .lapack import (
    Band,
    Lapack,
    MatrixShapeError,
    check_matrix,
    check_square,
    conjugated,
    dual,
    matrix,
    real_dtype,
    slope,
)


def _pinv_slope(a: Array, p: Array, g: Array) -> Array:
    """Return the gradient of a, that of its pseudo-inverse p being g.

    Products are taken in the order that makes no square of the larger size.
    """
    is_tall = a.shape[-2] > a.shape[-1]

    def product(x: Array, y: Array, z: Array) -> Array:
        return x @ (y @ z) if is_tall else (x @ y) @ z

    pd, gd = dual(p), dual(g)
    left, right = product(gd, p, pd), product(pd, p, gd)
    into = left - product(a, p, left) + right - product(right, p, a)
    return into - product(pd, g, pd)


@dataclass(frozen=True)
class Pinv(Lapack):
    """The pseudo-inverse: (m, n), () -> (n, m); the second operand is the relative cutoff.

    With `hermitian` the lower triangle of `a` is read, and has the cotangent.
    """

    name = "pinv"
    effect = Effect.MAY_RAISE
    work = 22.0
    hermitian: bool = False

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        a, cutoff = types
        (check_square if self.hermitian else check_matrix)("pinv", a)
        *lead, m, n = a.shape
        if broadcast([tuple(lead), cutoff.shape]) != tuple(lead):
            raise MatrixShapeError(f"pinv: cutoffs of {cutoff} do not fit matrices of {a}")
        return (a.with_shape((*lead, n, m)),)

    def evaluate(self, *operands: Array) -> Any:
        return np.linalg.pinv(operands[0], operands[1], self.hermitian)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        a, p, g = operands[0], results[0], conjugated(cts[0])
        if not self.hermitian:
            return [conjugated(_pinv_slope(a, p, g)), None]
        whole = apply(Band(None, 0), a)
        whole = whole + dual(apply(Band(None, -1), a))
        return [conjugated(hermitian_gradient(_pinv_slope(whole, p, g), False)), None]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        cut = np.float64(1e-15)
        c = np.dtype(np.complex128)
        return [
            (cls(), (numbers(2, 4, 2), cut)),
            (cls(), (numbers(2, 4), cut)),
            (cls(), (numbers(3, 2, dtype=c), cut)),
            (cls(True), (matrix(3), cut)),
            (cls(), (matrix(2, dtype=np.float32), np.float32(1e-15))),
        ]


@dataclass(frozen=True)
class LstSq(Lapack):
    """The x of least norm that minimises |a @ x - b|, the rank, and the singular values of a.

    (m, n), (m, k), () -> (n, k), (), (min(m, n)); with `right=1` (m, n), (m), () -> (n), ... The
    third operand is the relative cutoff of singular values.
    """

    name = "lstsq"
    effect = Effect.MAY_RAISE
    work = 22.0
    right: int = 2

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        a, b, _ = types
        _check_system(a, b)
        m, n = a.shape
        s = a.with_shape((minimum(m, n),)).with_dtype(real_dtype(a.dtype))
        return b.with_shape((n, *b.shape[1:])), ArrayType(np.dtype(np.int32), ()), s

    def evaluate(self, *operands: Array) -> Any:
        a, b, cutoff = operands
        x, _, rank, s = np.linalg.lstsq(a, b, float(cutoff))
        return x, rank, s

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """Differentiate x = pinv(a) @ b, and the singular values."""
        a, b, cutoff = operands
        into_a: Array = None
        into_b: Array = None
        if not isinstance(cts[0], Zero):
            gx, b_ = conjugated(cts[0]), b
            if self.right == 1:
                gx, b_ = gx[:, None], b[:, None]
            p = apply(Pinv(), a, np.where(cutoff < 0, np.finfo(np.float64).eps, cutoff))
            into_b = conjugated(dual(p) @ gx)
            into_b = into_b[:, 0] if self.right == 1 else into_b
            if needs[0]:
                into_a = conjugated(_pinv_slope(a, p, gx @ dual(b_)))
        if needs[0] and not isinstance(cts[2], Zero):
            u, _, vh = apply(Svd(), a)
            of_s = conjugated((u * slope(cts[2])) @ vh)
            into_a = of_s if into_a is None else into_a + of_s
        return [into_a, into_b, None]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        cut, c = np.float64(1e-15), np.dtype(np.complex128)
        return [
            (cls(), (numbers(4, 2), numbers(4, 3), cut)),
            (cls(1), (numbers(2, 4), numbers(2), cut)),
            (cls(1), (matrix(3), numbers(3), np.float64(-1))),
            (cls(), (numbers(3, 2, dtype=c), numbers(3, 1, dtype=c), cut)),
        ]


@dataclass(frozen=True)
class LstSqResiduals(Lapack):
    """The sums of squares |a @ x - b|² of least squares: (m, n), (m, k), () -> (k), for m > n.

    NumPy returns no residuals where the rank is smaller than n, which the values decide:
    LinAlgError is raised there.
    """

    name = "lstsq_residuals"
    effect = Effect.MAY_RAISE
    work = 22.0
    right: int = 2

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        a, b, _ = types
        _check_system(a, b)
        columns = b.shape[1:] if self.right == 2 else (1,)
        return (a.with_shape(columns).with_dtype(real_dtype(a.dtype)),)

    def evaluate(self, *operands: Array) -> Any:
        a, b, cutoff = operands
        _, residuals, rank, _ = np.linalg.lstsq(a, b, float(cutoff))
        if rank != a.shape[1]:
            raise np.linalg.LinAlgError(
                f"lstsq: the matrix has rank {rank} and {a.shape[1]} columns, so NumPy returns no "
                "residuals; a traced program has one for each right-hand side. Compute them as "
                "np.sum(np.abs(a @ x - b) ** 2, axis=0)"
            )
        return residuals

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """As x minimises them, they change with a and b as if x were constant."""
        a, b, cutoff = operands
        x = apply(LstSq(self.right), a, b, cutoff)[0]
        if self.right == 1:
            x, b = x[:, None], b[:, None]
        g = 2 * cts[0] * (b - a @ x)
        into_b = conjugated(g)
        return [
            -conjugated(g @ dual(x)) if needs[0] else None,
            into_b[:, 0] if self.right == 1 else into_b,
            None,
        ]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        cut, c = np.float64(1e-15), np.dtype(np.complex128)
        return [
            (cls(), (numbers(4, 2), numbers(4, 3), cut)),
            (cls(1), (numbers(4, 2), numbers(4), cut)),
            (cls(), (numbers(3, 2, dtype=c), numbers(3, 1, dtype=c), cut)),
        ]


def _check_system(a: ArrayType, b: ArrayType) -> None:
    check_matrix("lstsq", a)
    if a.dtype != b.dtype:
        raise DTypeError(f"lstsq takes operands of one dtype, not {a.dtype} and {b.dtype}")
    if a.ndim != 2 or b.ndim not in (1, 2):
        raise MatrixShapeError(f"lstsq takes one matrix and right-hand sides, not {a} and {b}")
    if a.shape[0] != b.shape[0]:
        raise MatrixShapeError(
            f"Incompatible dimensions: {a.shape[0]} rows of the matrix, {b.shape[0]} of the "
            "right-hand side"
        )


@dataclass(frozen=True)
class ConditionNumber(Lapack):
    """The ratio of the extreme singular values, (m, n) -> (): largest over smallest, or `inverse`.

    It is inf, and its gradient nan or inf, for a singular matrix.
    """

    name = "condition_number"
    effect = Effect.MAY_RAISE
    work = 8 / 3
    inverse: bool = False

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (a,) = types
        check_matrix("svd", a)
        return (a.with_shape(a.shape[:-2]).with_dtype(real_dtype(a.dtype)),)

    def evaluate(self, *operands: Array) -> Any:
        return np.linalg.cond(operands[0], -2 if self.inverse else 2)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """With r = s / t: dr = (ds - r dt) / t."""
        u, s, vh = apply(Svd(), operands[0])
        top, low = (-1, 0) if self.inverse else (0, -1)
        g = (cts[0] / s[..., low])[..., None]

        def moves(k: int, weight: Array) -> Array:
            return (u[..., :, k] * weight)[..., :, None] * vh[..., k, :][..., None, :]

        return [conjugated(moves(top, g) - moves(low, g * results[0][..., None]))]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(), (numbers(2, 3, 2),)),
            (cls(True), (numbers(2, 3, dtype=np.complex128),)),
            (cls(), (numbers(3, 3, dtype=np.float32),)),
        ]


__all__ = ["ConditionNumber", "LstSq", "LstSqResiduals", "Pinv"]
