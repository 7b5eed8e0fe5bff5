"""Functions of matrices, by SciPy: exponential, square root, logarithm, and their derivatives.

The k-th Fréchet derivative L(a; e1, ..., ek) of such a function is a block of the function of a
block-triangular matrix: N. J. Higham and S. D. Relton, "Higher order Fréchet derivatives of matrix
functions and the level-2 condition number", SIAM J. Matrix Anal. Appl. 35 (2014), theorem 3.5. It
is symmetric in its directions, and its adjoint is that of the transposed arguments, so that the ops
are closed under differentiation.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DTypeError, ShapeError, UnsupportedError
from ..op import Array, Effect, Op, Scatter
from ..samples import numbers
from ..types import ArrayType
from .index import apply
from .lapack import Lapack, check_square, matrix, transposed


def scipy_linalg() -> Any:
    """Return SciPy's module, imported when an op that needs it runs."""
    return importlib.import_module("scipy.linalg")


@dataclass(frozen=True)
class _MatrixFunction(Lapack):
    """f(a), or with further operands its derivative of that order along them: all (n, n)."""

    effect = Effect.MAY_RAISE
    work = 40.0

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        a = types[0]
        check_square(self.name, a)
        if any(t.dtype != a.dtype for t in types):
            raise DTypeError(f"{self.name} takes operands of one dtype, not {types}")
        if any(t.shape != a.shape for t in types):
            raise ShapeError(f"{self.name} takes operands of one shape, not {types}")
        return (a.with_dtype(self.result_dtype(a.dtype)),)

    def result_dtype(self, dtype: np.dtype) -> np.dtype:
        """Return the dtype of the result."""
        return dtype

    def of(self, a: Array) -> Any:
        """Return the function of a matrix."""
        raise NotImplementedError(self.name)

    def evaluate(self, *operands: Array) -> Any:
        a, *directions = operands
        if not directions:
            return self._checked(a, self.of(a))
        n, x = a.shape[-1], a
        for e in directions:
            size = x.shape[-1]
            corner = np.zeros_like(x)
            for start in range(0, size, n):
                corner[..., start : start + n, start : start + n] = e
            above = np.concatenate([x, corner], axis=-1)
            x = np.concatenate([above, np.concatenate([np.zeros_like(x), x], axis=-1)], axis=-2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole = self.of(x)
        return np.ascontiguousarray(self._checked(a, whole)[..., :n, -n:])

    def _checked(self, a: Array, result: Array) -> Any:
        """Return the result in the dtype that the type says.

        Raises
        ------
        UnsupportedError
            Where it is complex for a real matrix, which only its values tell.
        """
        dtype = self.result_dtype(a.dtype)
        if result.dtype.kind == "c" and dtype.kind != "c":
            raise UnsupportedError(
                f"scipy.linalg.{self.name} of this real matrix is complex, since an eigenvalue is "
                "negative; for other values it is real, and a traced program has one dtype.\n"
                f"  Write scipy.linalg.{self.name}(a.astype(complex))."
            )
        return result.astype(dtype, copy=False)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """With all arguments transposed, the cotangent takes the place of a direction."""
        ct = cts[0].astype(operands[0].dtype)
        turned = [transposed(x) for x in operands]
        found: list[Array | None] = [apply(self, *turned, ct) if needs[0] else None]
        for k in range(1, len(operands)):
            swapped = [*turned[:k], ct, *turned[k + 1 :]]
            found.append(apply(self, *swapped) if needs[k] else None)
        return found

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        a, c = matrix(3, positive=True) / 9, matrix(2, dtype=np.complex128)
        return [
            (cls(), (a,)),
            (cls(), (np.stack([a, 2 * a]),)),
            (cls(), (a, numbers(3, 3))),
            (cls(), (c, numbers(2, 2, dtype=np.complex128))),
            (cls(), (a.astype(np.float32),)),
        ]


class Expm(_MatrixFunction):
    """The exponential of a matrix."""

    name = "expm"

    def of(self, a: Array) -> Any:
        return scipy_linalg().expm(a)


class Sqrtm(_MatrixFunction):
    """The principal square root of a matrix; of a real one where it is real."""

    name = "sqrtm"

    def of(self, a: Array) -> Any:
        return scipy_linalg().sqrtm(a)


class Logm(_MatrixFunction):
    """The principal logarithm of a matrix, in double precision; of a real one where it is real."""

    name = "logm"

    def result_dtype(self, dtype: np.dtype) -> np.dtype:
        return np.result_type(dtype, np.float64)

    def of(self, a: Array) -> Any:
        return scipy_linalg().logm(a)

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [s for s in super().samples() if s[1][0].dtype != np.float32]  # SciPy warns there


__all__ = ["Expm", "Logm", "Sqrtm", "scipy_linalg"]
