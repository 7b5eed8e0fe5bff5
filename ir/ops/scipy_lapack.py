"""SciPy's forms of the decompositions of NumPy: its bits and its memory order, the same rules.

SciPy computes float32 in single precision, and with LAPACK routines of its own choice. They choose
the phases of vectors as NumPy's do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..op import Array, Cost, Effect, Op, Scatter
from ..samples import numbers
from ..types import ArrayType, Layout
from .decompose import Qr, Svd, SvdVals
from .eigen import Eigh, EigVals, EigValsH
from .index import apply
from .lapack import Band, conjugated, dual, half_lower, matrix, real_dtype
from .linalg import Cholesky, Det, Inv, Solve, products
from .matfun import scipy_linalg
from .triangular import InFortranOrder, fortran_layout, triangle


@dataclass(frozen=True)
class ScipyCholesky(InFortranOrder, Cholesky):
    """The Cholesky factor by `scipy.linalg.cholesky`."""

    name = "scipy_cholesky"
    check_finite: bool = True

    def evaluate(self, *operands: Array) -> Any:
        options: Any = {"lower": not self.upper, "check_finite": self.check_finite}
        return scipy_linalg().cholesky(operands[0], **options)

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        a, c = matrix(3, positive=True), matrix(2, dtype=np.complex128, positive=True)
        return [(cls(), (a,)), (cls(True), (a,)), (cls(True), (c,))]


_HERMITIAN = ("her", "hermitian", "pos", "positive definite")
_SYMMETRIC = ("sym", "symmetric")
_BANDS: dict[str, tuple[int | None, int | None]] = {
    "diagonal": (0, 0),
    "tridiagonal": (1, 1),
    "upper triangular": (0, None),
    "lower triangular": (None, 0),
}


@dataclass(frozen=True)
class ScipySolve(Solve):
    """The x with `a @ x = b` by `scipy.linalg.solve`, which reads what `assume_a` says of a."""

    name = "scipy_solve"
    lower: bool = False
    assume_a: Any = None
    is_transposed: bool = False
    check_finite: bool = True

    def evaluate(self, *operands: Array) -> Any:
        a, b = (np.asarray(x) for x in operands)
        options: Any = {
            "lower": self.lower,
            "check_finite": self.check_finite,
            "transposed": self.is_transposed,
        }
        if self.assume_a is not None:
            options["assume_a"] = self.assume_a
        if self.right == 1 and b.ndim > 1:
            return scipy_linalg().solve(a, b[..., None], **options)[..., 0]
        return scipy_linalg().solve(a, b, **options)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """Only what is read of a has a cotangent."""
        a, b = operands
        whole = self._whole(a)
        system = whole if self.is_transposed else np.swapaxes(whole, -1, -2)
        into_b = apply(Solve(self.right), system, cts[0])
        if not needs[0]:
            return [None, into_b]
        pair = (results[0], into_b) if self.is_transposed else (into_b, results[0])
        return [self._read(-products(*pair, self.right, a, b)), into_b]

    def _whole(self, a: Array) -> Array:
        if self.assume_a in (*_HERMITIAN, *_SYMMETRIC):
            rest = triangle(a, self.lower, strict=True)
            part = triangle(a, self.lower)
            if self.assume_a in _SYMMETRIC:
                return part + np.swapaxes(rest, -1, -2)
            if a.dtype.kind == "c":
                part = rest + apply(Band(0, 0), np.real(a))
            return part + dual(rest)
        return a if self.assume_a not in _BANDS else apply(Band(*_BANDS[self.assume_a]), a)

    def _read(self, into: Array) -> Array:
        """Return the cotangent of what is read, that of the whole matrix given."""
        if self.assume_a in _SYMMETRIC:
            both = into + np.swapaxes(into, -1, -2) - apply(Band(0, 0), into)
            return triangle(both, self.lower)
        if self.assume_a in _HERMITIAN:
            part = half_lower(into + dual(into) if self.lower else dual(into) + into)
            return part if self.lower else dual(part)
        return into if self.assume_a not in _BANDS else apply(Band(*_BANDS[self.assume_a]), into)

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        a, c = matrix(3, positive=True), matrix(2, dtype=np.complex128, positive=True)
        b, sides = numbers(3, 2), numbers(2, 2, dtype=np.complex128)
        return [
            (cls(), (matrix(3), b)),
            (cls(1), (matrix(3), numbers(3))),
            (cls(is_transposed=True), (matrix(3), b)),
            (cls(assume_a="pos"), (a, b)),
            (cls(lower=True, assume_a="sym"), (a, b)),
            (cls(assume_a="her"), (c, sides)),
            (cls(lower=True, assume_a="pos"), (c, sides)),
            (cls(assume_a="sym"), (matrix(2, dtype=np.complex128), sides)),
            (cls(assume_a="upper triangular"), (matrix(3), b)),
            (cls(assume_a="tridiagonal"), (matrix(3), b)),
        ]


@dataclass(frozen=True)
class ScipyInv(Inv):
    """The inverse by `scipy.linalg.inv`."""

    name = "scipy_inv"
    check_finite: bool = True

    def evaluate(self, *operands: Array) -> Any:
        return scipy_linalg().inv(operands[0], check_finite=self.check_finite)

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [(cls(), (matrix(3, 2),)), (cls(), (matrix(2, dtype=np.complex128),))]


@dataclass(frozen=True)
class ScipyDet(Det):
    """The determinant by `scipy.linalg.det`, always in double precision."""

    name = "scipy_det"
    check_finite: bool = True

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (result,) = super().infer(*types)
        return (result.with_dtype(np.result_type(result.dtype, np.float64)),)

    def evaluate(self, *operands: Array) -> Any:
        return scipy_linalg().det(operands[0], check_finite=self.check_finite)

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        a = matrix(3, 2)
        return [(cls(), (a,)), (cls(), (a.astype(np.float32),)), (cls(), (a[0] + 1j,))]


class _OneMatrix(Op):
    """SciPy returns lists for stacks of matrices, so one matrix is taken."""

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        if types[0].ndim != 2:
            raise ShapeError(f"{self.name} takes one matrix, not {types[0]}")
        return super().infer(*types)


@dataclass(frozen=True)
class ScipyQr(_OneMatrix, Qr):
    """The factors by `scipy.linalg.qr`."""

    name = "scipy_qr"
    reorders = True
    check_finite: bool = True

    def evaluate(self, *operands: Array) -> Any:
        mode = {"complete": "full", "reduced": "economic", "r": "r"}[self.mode]
        result = scipy_linalg().qr(operands[0], mode=mode, check_finite=self.check_finite)
        return result[0] if self.mode == "r" else result

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[Layout]
    ) -> tuple[Layout, ...] | None:
        return None if self.mode == "r" else (fortran_layout(self.infer(*types)[0]), None)

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(), (numbers(3, 2),)),
            (cls("complete"), (numbers(3, 2),)),
            (cls("complete"), (numbers(2, 3, dtype=np.complex128),)),
            (cls("r"), (numbers(2, 3),)),
        ]


@dataclass(frozen=True)
class ScipySvd(_OneMatrix, Svd):
    """Singular values and vectors by `scipy.linalg.svd`."""

    name = "scipy_svd"
    reorders = True
    driver: str = "gesdd"
    check_finite: bool = True

    def evaluate(self, *operands: Array) -> Any:
        options: Any = {"lapack_driver": self.driver, "check_finite": self.check_finite}
        return scipy_linalg().svd(operands[0], self.full, **options)

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[Layout]
    ) -> tuple[Layout, ...] | None:
        u, _, vh = self.infer(*types)
        return fortran_layout(u), None, fortran_layout(vh)

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(), (numbers(3, 2),)),
            (cls(True), (numbers(2, 3),)),
            (cls(), (numbers(3, 2, dtype=np.complex128),)),
            (cls(driver="gesvd"), (numbers(2, 3, dtype=np.complex128),)),
        ]


@dataclass(frozen=True)
class ScipySvdVals(_OneMatrix, SvdVals):
    """Singular values by `scipy.linalg.svdvals`."""

    name = "scipy_svdvals"
    driver: str = "gesdd"
    check_finite: bool = True

    def evaluate(self, *operands: Array) -> Any:
        options: Any = {"lapack_driver": self.driver, "check_finite": self.check_finite}
        return scipy_linalg().svd(operands[0], compute_uv=False, **options)

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [(cls(), (numbers(3, 2),)), (cls(), (numbers(2, 3, dtype=np.complex128),))]


@dataclass(frozen=True)
class ScipyEigh(_OneMatrix, Eigh):
    """Eigenvalues and eigenvectors by `scipy.linalg.eigh`."""

    name = "scipy_eigh"
    reorders = True
    driver: str | None = None
    check_finite: bool = True

    def evaluate(self, *operands: Array) -> Any:
        options: Any = {"lower": not self.upper, "driver": self.driver}
        return scipy_linalg().eigh(operands[0], check_finite=self.check_finite, **options)

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[Layout]
    ) -> tuple[Layout, ...] | None:
        return None, fortran_layout(types[0])

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        c = matrix(3, dtype=np.complex128)
        # The default driver may change signs with the last bits of the operand.
        return [(cls(), (matrix(3),)), (cls(False, "evd"), (c,)), (cls(True, "evd"), (c,))]


@dataclass(frozen=True)
class ScipyEigValsH(_OneMatrix, EigValsH):
    """Eigenvalues by `scipy.linalg.eigvalsh`."""

    name = "scipy_eigvalsh"
    driver: str | None = None
    check_finite: bool = True

    def evaluate(self, *operands: Array) -> Any:
        options: Any = {"lower": not self.upper, "driver": self.driver}
        return scipy_linalg().eigvalsh(operands[0], check_finite=self.check_finite, **options)

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [(cls(), (matrix(3),)), (cls(True), (matrix(3, dtype=np.complex128),))]


@dataclass(frozen=True)
class ScipyEigVals(_OneMatrix, EigVals):
    """Eigenvalues by `scipy.linalg.eigvals`, complex always."""

    name = "scipy_eigvals"
    check_finite: bool = True

    def evaluate(self, *operands: Array) -> Any:
        return scipy_linalg().eigvals(operands[0], check_finite=self.check_finite)

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [(cls(), (matrix(3),)), (cls(), (matrix(3, dtype=np.complex128),))]


@dataclass(frozen=True)
class EuclideanNorm(Op):
    """The root of the sum of squares of all elements, by BLAS: (...) -> ().

    That of a vector is float64, for SciPy returns a Python float.
    """

    name = "euclidean_norm"
    effect = Effect.MAY_RAISE
    cost = Cost.CHEAP
    check_finite: bool = True

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        return (ArrayType(np.dtype(np.float64) if x.ndim == 1 else real_dtype(x.dtype), ()),)

    def evaluate(self, *operands: Array) -> Any:
        result = scipy_linalg().norm(operands[0], check_finite=self.check_finite)
        return np.float64(result) if np.ndim(operands[0]) == 1 else result

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [cts[0] / results[0] * conjugated(operands[0])]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [(cls(), (numbers(3),)), (cls(), (numbers(2, 3, dtype=np.complex128),))]


__all__ = [
    "EuclideanNorm",
    "ScipyCholesky",
    "ScipyDet",
    "ScipyEigVals",
    "ScipyEigValsH",
    "ScipyEigh",
    "ScipyInv",
    "ScipyQr",
    "ScipySolve",
    "ScipySvd",
    "ScipySvdVals",
]
