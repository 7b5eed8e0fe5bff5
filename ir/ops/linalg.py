"""Linear algebra: factorisations, solves and determinants of the last two axes, by LAPACK.

NumPy computes all of them in double precision, also for float32, and takes no `out`. What it raises
(`numpy.linalg.LinAlgError`) surfaces as it is.

The adjoints follow M. B. Giles, "Collected matrix derivative results for forward and reverse mode
algorithmic differentiation", Advances in Automatic Differentiation (2008), sections 2.2 and 2.3.
With complex cotangents as in `elementwise`, d f = Re(sum(ct * dx)), they hold as they stand, with
plain transposes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..dims import Size
from ..errors import DTypeError, ShapeError
from ..op import Array, Effect, Op, Scatter, Zero, broadcast
from ..samples import numbers
from ..types import ArrayType
from .contract import adjoint, batch_labels
from .index import apply
from .lapack import (
    Band,
    Lapack,
    MatrixShapeError,
    batched_solve,
    check_square,
    conjugated,
    dual,
    half_lower,
    matrix,
    order,
    real_dtype,
    transposed,
)
from .lower_inverse import LOWER_INVERSE


@dataclass(frozen=True)
class Cholesky(Lapack):
    """The factor l with `a = l @ l.conj().T`, or with `upper` u with `a = u.conj().T @ u`.

    NumPy reads the lower triangle of `a` only (with `upper` the upper one), so the cotangent is
    zero in the other one. Where `a` is symmetric by construction, the gradient with respect to
    what it is made of is the same as with any symmetric convention.
    """

    name = "cholesky"
    effect = Effect.MAY_RAISE
    work = 1 / 3
    upper: bool = False

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        check_square("cholesky", types[0])
        return types

    def evaluate(self, *operands: Array) -> Any:
        if self.upper:
            return np.linalg.cholesky(operands[0], upper=True)
        return np.linalg.cholesky(operands[0])

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """Multiply by the inverse factor from both sides.

        I. Murray, "Differentiation of the Cholesky decomposition" (2016), equation 8: with P the
        lower triangle of l^H ct, its diagonal halved, s = l^-H P l^-1.
        """
        factor, ct = results[0], conjugated(cts[0])
        if self.upper:
            factor, ct = dual(factor), dual(ct)
        inverse = apply(LOWER_INVERSE, factor)
        half = half_lower(np.matmul(dual(factor), ct))
        s = np.matmul(np.matmul(dual(inverse), half), inverse)
        into = half_lower(s + dual(s))
        return [conjugated(dual(into) if self.upper else into)]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        a = matrix(3, 2, positive=True)
        hermitian = matrix(3, dtype=np.complex128, positive=True)
        return [(Cholesky(), (a,)), (Cholesky(True), (a,)), (Cholesky(), (hermitian,))]


@dataclass(frozen=True)
class Solve(Lapack):
    """The x with `a @ x = b`: (n, n), (n, k) -> (n, k), or with `right=1` (n, n), (n) -> (n)."""

    name = "solve"
    effect = Effect.MAY_RAISE
    work = 2 / 3
    right: int = 2

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        a, b = types
        check_square("solve", a)
        if a.dtype != b.dtype:
            raise DTypeError(f"solve takes operands of one dtype, not {a.dtype} and {b.dtype}")
        if b.ndim < self.right:
            raise ShapeError(f"solve takes a right-hand side of vectors or matrices, not {b}")
        if b.shape[-self.right] != a.shape[-1]:
            raise ShapeError(
                f"the matrices are of order {a.shape[-1]}, the right-hand side has "
                f"{b.shape[-self.right]} rows"
            )
        lead = broadcast([a.shape[:-2], b.shape[: b.ndim - self.right]])
        return (b.with_shape((*lead, *b.shape[b.ndim - self.right :])),)

    def evaluate(self, *operands: Array) -> Any:
        a, b = (np.asarray(x) for x in operands)
        if self.right == 1 and b.ndim > 1:
            return np.linalg.solve(a, b[..., None])[..., 0]
        return np.linalg.solve(a, b)

    def batched(self, mapped: tuple[bool, ...], *operands: Array) -> Any:
        return batched_solve(self, mapped, *operands)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        a, b = operands
        into_b = apply(self, transposed(a), cts[0])
        if not needs[0]:
            return [None, into_b]
        return [-products(into_b, results[0], self.right, a, b), into_b]

    def flops(self, operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> int:
        a, x = operands[0], results[0]
        factor = 4 if a.dtype.kind == "c" else 1
        matrices = x.size // max(1, _columns(x.shape, self.right) * order(a))
        factorised = int(self.work * matrices * order(a) ** 3)
        return factor * (factorised + 2 * x.size * order(a))

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        a = matrix(3)
        return [
            (Solve(), (a, numbers(3, 2))),
            (Solve(), (matrix(3, 2), numbers(3, 2))),
            (Solve(), (a, numbers(2, 3, 2))),
            (Solve(1), (a, numbers(3))),
            (Solve(1), (matrix(3, 2), numbers(3))),
            (Solve(), (matrix(2, dtype=np.complex128), numbers(2, 2, dtype=np.complex128))),
        ]


def products(y: Array, x: Array, right: int, a: Array, b: Array) -> Array:
    """Return `y @ x.T` summed to the shape of the matrices `a`, of the sides `b` of a system."""
    lead = batch_labels(max(a.ndim - 2, b.ndim - right))
    column = "n" * (right - 1)
    terms = (y, f"{lead}m{column}"), [(x, f"{lead}k{column}")]
    return adjoint(*terms, a.shape, f"{batch_labels(a.ndim - 2)}mk")


def _columns(shape: Sequence[Size], right: int) -> int:
    size = shape[-1] if right == 2 else 1
    return size if isinstance(size, int) else 1


SOLVE = Solve()


@dataclass(frozen=True)
class Inv(Lapack):
    """The inverse: (n, n) -> (n, n); with `quiet` nan for a singular matrix, not an error."""

    name = "inv"
    effect = Effect.MAY_RAISE
    work = 2.0
    quiet: bool = False

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        check_square("inv", types[0])
        return types

    def evaluate(self, *operands: Array) -> Any:
        (a,) = operands
        try:
            return np.linalg.inv(a)
        except np.linalg.LinAlgError:
            if not self.quiet:
                raise
        if a.ndim > 2:
            return np.stack([self.evaluate(one) for one in a])
        return np.full_like(a, np.nan)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        dual = transposed(results[0])
        return [-np.matmul(np.matmul(dual, cts[0]), dual)]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (Inv(), (matrix(3, 2),)),
            (Inv(), (matrix(2, dtype=np.complex128),)),
            (Inv(True), (matrix(2),)),
        ]


@dataclass(frozen=True)
class Det(Lapack):
    """The determinant: (n, n) -> ().

    Its gradient exists at singular matrices too; the second derivative there is refused by NumPy.
    """

    name = "det"
    work = 2 / 3

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        check_square("det", types[0])
        return (types[0].with_shape(types[0].shape[:-2]),)

    def evaluate(self, *operands: Array) -> Any:
        return np.linalg.det(operands[0])

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [cts[0][..., None, None] * apply(Cofactor(), operands[0])]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [(Det(), (matrix(3, 2),)), (Det(), (matrix(2, dtype=np.complex128),))]


@dataclass(frozen=True)
class Cofactor(Lapack):
    """The cofactors, d det(a) / d a: (n, n) -> (n, n).

    They are det(a) inv(a).T where `a` is well conditioned. Elsewhere they come from the singular
    value decomposition, with the products of all singular values but one, and need no inverse.
    """

    name = "cofactor"
    work = 8 / 3

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        check_square("cofactor", types[0])
        return types

    def evaluate(self, *operands: Array) -> Any:
        a = operands[0]
        with np.errstate(all="ignore"):
            try:
                inverse = np.linalg.inv(a)
            except np.linalg.LinAlgError:
                return _cofactor_by_svd(a)
            sizes = [np.sqrt(np.sum(np.abs(x) ** 2, axis=(-1, -2))) for x in (a, inverse)]
            if np.all(sizes[0] * sizes[1] < 1 / np.sqrt(np.finfo(a.dtype).eps)):
                return np.linalg.det(a)[..., None, None] * transposed(inverse)
            return _cofactor_by_svd(a)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """With y = inv(a).T and c the cofactors: c sum(ct y) - c ct.T y; raises where singular."""
        (ct,), (c,) = cts, results
        dual = transposed(apply(Inv(), operands[0]))
        trace = np.sum(ct * dual, axis=(-1, -2))[..., None, None]
        return [c * trace - np.matmul(np.matmul(c, transposed(ct)), dual)]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [(Cofactor(), (matrix(3, 2),)), (Cofactor(), (matrix(2, dtype=np.complex128),))]


def _cofactor_by_svd(a: Array) -> Array:
    u, s, v = np.linalg.svd(a)
    one = np.ones_like(s[..., :1])
    before = np.cumprod(np.concatenate([one, s[..., :-1]], axis=-1), axis=-1)
    after = np.cumprod(np.concatenate([one, s[..., :0:-1]], axis=-1), axis=-1)[..., ::-1]
    sign = np.linalg.det(u) * np.linalg.det(v)
    scaled = (sign[..., None] * (before * after))[..., None, :]
    result: np.ndarray = np.conj(u) * scaled @ np.conj(v)
    return result.astype(a.dtype, copy=False)


@dataclass(frozen=True)
class SLogDet(Lapack):
    """The sign (or phase) and the logarithm of the absolute value of the determinant."""

    name = "slogdet"
    work = 2 / 3

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (a,) = types
        check_square("slogdet", a)
        sign = a.with_shape(a.shape[:-2])
        return sign, sign.with_dtype(real_dtype(a.dtype))

    def evaluate(self, *operands: Array) -> Any:
        return tuple(np.linalg.slogdet(operands[0]))

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """Follow d log det(a) = tr(inv(a) da), whose imaginary part turns the phase."""
        a, sign = operands[0], results[0]
        into_sign, into_log = cts
        ct: Array = None if isinstance(into_log, Zero) else into_log
        if a.dtype.kind == "c" and not isinstance(into_sign, Zero):
            turned = 1j * np.imag(into_sign * sign)
            ct = turned if ct is None else ct + turned
        if ct is None:
            return [None]
        return [ct[..., None, None] * transposed(apply(Inv(), a))]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [(SLogDet(), (matrix(3, 2),)), (SLogDet(), (matrix(2, dtype=np.complex128),))]


__all__ = [
    "SOLVE",
    "Band",
    "Cholesky",
    "Cofactor",
    "Det",
    "Inv",
    "MatrixShapeError",
    "SLogDet",
    "Solve",
    "products",
]
