"""What the ops that run LAPACK share: checks, costs, triangles, conjugate transposes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..batching import by_leading_axes
from ..dims import minimum
from ..errors import DTypeError, ShapeError
from ..op import Array, Cost, Op, Scatter, Zero
from ..samples import numbers
from ..types import ArrayType
from .index import apply


class MatrixShapeError(ShapeError, np.linalg.LinAlgError):
    """Operands that are no (stacks of) square matrices."""


def transposed(x: Array) -> Array:
    """Return the last two axes swapped."""
    return np.swapaxes(x, -1, -2)


def dual(x: Array) -> Array:
    """Return the conjugate transpose of the last two axes."""
    return transposed(conjugated(x))


def conjugated(x: Array) -> Array:
    """Return the conjugate; a real array is its own."""
    return np.conjugate(x) if x.dtype.kind == "c" else x


def slope(ct: Array | Zero) -> Array:
    """Return the gradient g of a cotangent, with d f = Re(sum(conj(g) dx)); None for zero.

    Published rules for complex matrices are written for it.
    """
    return None if isinstance(ct, Zero) else conjugated(ct)


def identity(like: Array) -> Array:
    """Return identity matrices of the shape of square matrices."""
    return apply(Band(0, 0), np.ones_like(like))


def without_diagonal(x: Array) -> Array:
    """Return square matrices with exact zeros on the diagonal."""
    return x - apply(Band(0, 0), x)


def batched_solve(op: Any, mapped: tuple[bool, ...], a: Array, b: Array) -> Array:
    """Return the solutions of many systems; those of one matrix are the columns of one solve.

    `op` solves for vectors where its `right` is 1, else for the columns of a matrix.
    """
    columns = replace(op, right=2)
    if mapped[0] or a.ndim != 2 or b.ndim != 1 + op.right:
        if op.right == 2:
            return by_leading_axes(op, mapped, (a, b))
        return by_leading_axes(columns, mapped, (a, b[..., None]))[..., 0]
    if op.right == 1:
        return transposed(apply(columns, a, transposed(b)))
    size, order, count = b.shape
    sides = np.reshape(np.swapaxes(b, 0, 1), (order, size * count))
    solved = apply(columns, a, sides)
    return np.swapaxes(np.reshape(solved, (order, size, count)), 0, 1)


def real_dtype(dtype: np.dtype) -> np.dtype:
    """Return the dtype of the real part."""
    return np.real(np.zeros((), dtype)).dtype


def complex_dtype(dtype: np.dtype) -> np.dtype:
    """Return the complex dtype of a precision."""
    return np.result_type(dtype, np.complex64)


def check_matrix(name: str, a: ArrayType) -> None:
    """Raise where a type is not of (stacks of) matrices that LAPACK takes."""
    if a.dtype.char not in "fdFD":
        raise DTypeError(f"array type {a.dtype} is unsupported in linalg: {name}")
    if a.ndim < 2:
        raise MatrixShapeError(f"{name} takes matrices, not an array of {a.ndim} axes")


def check_square(name: str, a: ArrayType) -> None:
    """Raise where a type is not of (stacks of) square matrices that LAPACK takes."""
    check_matrix(name, a)
    if a.shape[-1] != a.shape[-2]:
        raise MatrixShapeError(f"{name} takes square matrices, not {list(a.shape[-2:])}")


def order(a: ArrayType) -> int:
    """Return the smaller size of a matrix; 1 where it is not known."""
    size = minimum(a.shape[-2], a.shape[-1])
    return size if isinstance(size, int) else 1


class Lapack(Op):
    """An op that runs LAPACK on each matrix of its first operand; `work` times n³ operations."""

    work: float = 0.0

    def flops(self, operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> int:
        a, factor = operands[0], 4 if operands[0].dtype.kind == "c" else 1
        return int(factor * self.work * a.size * order(a))

    def extra_bytes(self, operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> int:
        """Count the results, LAPACK's copy of one matrix, and double copies of floats."""
        made = sum(r.nbytes for r in results)
        single = operands[0].dtype.char in "fF"
        n = order(operands[0])
        total = made + n * n * operands[0].dtype.itemsize * (2 if single else 1)
        return total + 2 * (sum(t.nbytes for t in operands) + made) if single else total


def matrix(
    n: int, *lead: int, dtype: Any = np.float64, seed: int = 0, positive: bool = False
) -> np.ndarray:
    """Return well-conditioned matrices, symmetric positive definite ones on demand."""
    x = numbers(*lead, n, n, dtype=dtype, seed=seed)
    a = x @ transposed(x).conj() if positive else x
    shifted: np.ndarray = a + (n * np.eye(n)).astype(dtype)
    return shifted


@dataclass(frozen=True)
class Band(Op):
    """Zero outside the diagonals from `-lower` to `upper` (None: all): (m, n) -> (m, n)."""

    name = "band"
    cost = Cost.CHEAP
    lower: int | None = None
    upper: int | None = None

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return types

    def evaluate(self, *operands: Array) -> Any:
        x = operands[0]
        x = x if self.upper is None else np.tril(x, self.upper)
        return x if self.lower is None else np.triu(x, -self.lower)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [apply(self, cts[0])]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        x = numbers(2, 3, 4)
        return [(Band(0, 0), (x,)), (Band(None, -1), (x,)), (Band(1, None), (x,))]


def half_lower(x: Array) -> Array:
    """Return the lower triangle with half of the diagonal."""
    return apply(Band(None, -1), x) + apply(Band(0, 0), x) * 0.5
