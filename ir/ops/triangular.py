"""Systems with triangular factors, by SciPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..op import Array, Effect, Op, Scatter
from ..samples import numbers
from ..types import ArrayType, Layout, c_strides
from .index import apply
from .lapack import Band, Lapack, batched_solve, check_square, conjugated, dual, matrix, slope
from .linalg import Cholesky, Solve, products
from .matfun import scipy_linalg


def fortran_layout(type: ArrayType) -> Layout:
    """Return the strides of matrices in Fortran order, stacked in C order."""
    if type.ndim < 2 or not type.is_static or type.size == 0 or 1 in type.shape[-2:]:
        return None
    shape: Any = (*type.shape[:-2], *type.shape[:-3:-1])
    *lead, m, n = c_strides(type.dtype.itemsize, shape)
    return (*lead, n, m)


class InFortranOrder(Op):
    """An op whose results of two axes or more SciPy returns in Fortran order."""

    reorders = True

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[Layout]
    ) -> tuple[Layout, ...] | None:
        return tuple(fortran_layout(r) for r in self.infer(*types))


def triangle(x: Array, lower: bool, *, strict: bool = False) -> Array:
    """Return the lower or the upper triangle, `strict` without the diagonal."""
    edge = -1 if strict else 0
    return apply(Band(None, edge) if lower else Band(edge, None), x)


@dataclass(frozen=True)
class SolveTriangular(InFortranOrder, Solve):
    """The x with `op(a) @ x = b` for a triangle of a: (n, n), (n, k) -> (n, k).

    With `right=1` b and x are vectors. `trans` 0, 1, 2 means a, its transpose, and the conjugate of
    that; the other triangle, and with `unit_diagonal` the diagonal, are not read.
    """

    name = "solve_triangular"
    effect = Effect.MAY_RAISE
    work = 0.0
    trans: int = 0
    lower: bool = False
    unit_diagonal: bool = False
    check_finite: bool = True

    def evaluate(self, *operands: Array) -> Any:
        a, b = (np.asarray(x) for x in operands)
        options: Any = {
            "trans": self.trans,
            "lower": self.lower,
            "unit_diagonal": self.unit_diagonal,
            "check_finite": self.check_finite,
        }
        if self.right == 1 and b.ndim > 1:
            return scipy_linalg().solve_triangular(a, b[..., None], **options)[..., 0]
        return scipy_linalg().solve_triangular(a, b, **options)

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[Layout]
    ) -> tuple[Layout, ...] | None:
        return None if self.right == 1 else super().layouts(types, layouts)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """Giles (2008), section 2.3, with the transposed system."""
        (a, b), (x,), ct = operands, results, cts[0]
        back = SolveTriangular(
            self.right, 0 if self.trans else 1, self.lower, self.unit_diagonal, False
        )
        if self.trans == 2:
            into_b = conjugated(apply(back, a, conjugated(ct)))
        else:
            into_b = apply(back, a, ct)
        if not needs[0]:
            return [None, into_b]
        if self.trans == 0:
            into_a = products(into_b, x, self.right, a, b)
        else:
            into_a = products(x, into_b, self.right, a, b)
        into_a = conjugated(into_a) if self.trans == 2 else into_a
        return [-triangle(into_a, self.lower, strict=self.unit_diagonal), into_b]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        a, c = matrix(3), matrix(2, dtype=np.complex128)
        b = numbers(3, 2)
        sides = numbers(2, 2, dtype=np.complex128)
        return [
            (cls(), (a, b)),
            (cls(lower=True), (a, b)),
            (cls(1, trans=1), (a, numbers(3))),
            (cls(trans=1, lower=True, unit_diagonal=True), (a, b)),
            (cls(), (c, sides)),
            (cls(trans=2), (c, sides)),
            (cls(trans=1, lower=True), (c, sides)),
            (cls(lower=True), (a.astype(np.float32), b.astype(np.float32))),
        ]


@dataclass(frozen=True)
class ChoFactor(InFortranOrder, Cholesky):
    """The Cholesky factor in one triangle; the other one holds what it held in `a`."""

    name = "cho_factor"
    effect = Effect.MAY_RAISE
    check_finite: bool = True

    def evaluate(self, *operands: Array) -> Any:
        options: Any = {"lower": not self.upper, "check_finite": self.check_finite}
        return scipy_linalg().cho_factor(operands[0], **options)[0]

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        lower = not self.upper
        ct, factor = triangle(cts[0], lower), triangle(results[0], lower)
        rest = triangle(cts[0], not lower, strict=True)
        (into,) = super().vjp(needs, (ct,), (factor,), *operands)
        return [into + rest]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        a, c = matrix(3, positive=True), matrix(2, dtype=np.complex128, positive=True)
        return [(cls(), (a,)), (cls(True), (a,)), (cls(), (c,)), (cls(True), (c,))]


@dataclass(frozen=True)
class ChoSolve(InFortranOrder, Lapack):
    """The x with `l @ l^H @ x = b`, l a triangle of the first operand: (n, n), (n, k) -> (n, k).

    With `upper` it is `u^H @ u @ x = b`. With `right=1` b and x are vectors.
    """

    name = "cho_solve"
    effect = Effect.MAY_RAISE
    work = 2.0
    right: int = 2
    upper: bool = False
    check_finite: bool = True

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        check_square("cho_solve", types[0])
        return Solve(self.right).infer(*types)

    def evaluate(self, *operands: Array) -> Any:
        c, b = operands
        options: Any = {"check_finite": self.check_finite}
        return scipy_linalg().cho_solve((c, not self.upper), b, **options)

    def batched(self, mapped: tuple[bool, ...], *operands: Array) -> Any:
        return batched_solve(self, mapped, *operands)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """With g = a^-1 ct, the gradient of a is s = -g x^H, that of l (s + s^H) l."""
        (c, _), x, lower = operands, results[0], not self.upper
        g = apply(ChoSolve(self.right, self.upper, False), c, slope(cts[0]))
        into_b = conjugated(g)
        if not needs[0]:
            return [None, into_b]
        if self.right == 1:
            x, g = x[:, None], g[:, None]
        factor = triangle(c, lower)
        if lower:
            into_c = g @ (dual(x) @ factor) + x @ (dual(g) @ factor)
        else:
            into_c = (factor @ g) @ dual(x) + (factor @ x) @ dual(g)
        return [-conjugated(triangle(into_c, lower)), into_b]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        a, c = matrix(3), matrix(2, dtype=np.complex128)
        b, sides = numbers(3, 2), numbers(2, 2, dtype=np.complex128)
        return [
            (cls(), (a, b)),
            (cls(upper=True), (a, b)),
            (cls(1), (a, numbers(3))),
            (cls(), (c, sides)),
            (cls(upper=True), (c, sides)),
        ]


__all__ = ["ChoFactor", "ChoSolve", "InFortranOrder", "SolveTriangular", "fortran_layout"]
