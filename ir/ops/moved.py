"""Matrix products whose axes are put in another order as BLAS writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..op import Array, Emitter, Op, Scatter
from ..samples import numbers
from ..types import ArrayType
from .matmul import MatMul
from .shape import Transpose

_PRODUCT = MatMul()


@dataclass(frozen=True)
class MovedMatMul(Op):
    """`transpose(a @ b, axes)` of stacks of matrices, in C order without a copy.

    BLAS writes rows at any distance from each other, and `axes` keep the rows or the columns last.
    """

    name = "moved_matmul"
    has_out = True
    axes: tuple[int, ...]

    @property
    def _transpose(self) -> Transpose:
        return Transpose(self.axes)

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return self._transpose.infer(*_PRODUCT.infer(*types))

    def evaluate(self, *operands: Array) -> Any:
        a, b = (np.asarray(x) for x in operands)
        (type,) = self.infer(ArrayType(a.dtype, a.shape), ArrayType(b.dtype, b.shape))
        shape: Any = type.shape
        result = np.empty(shape, type.dtype)
        np.matmul(a, b, out=self._transpose.inverse.evaluate(result))
        return result

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        from .index import apply

        back = self._transpose.inverse
        return _PRODUCT.vjp(needs, (apply(back, cts[0]),), (apply(back, results[0]),), *operands)

    def flops(self, operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> int:
        return _PRODUCT.flops(operands, _PRODUCT.infer(*operands))

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        atoms = [emitter.atom(text) for text in operands]
        ranks = [atom.type.ndim for atom in atoms if atom is not None]
        if out is None or len(ranks) < 2 or max(ranks) != len(self.axes):
            call = super().emit(emitter, operands, None)
            return call if out is None else f"{emitter.bind(np.copyto, 'copyto')}({out}, {call})"
        axes = [a % len(self.axes) for a in self._transpose.inverse.axes]
        view = f"{out}.transpose({', '.join(map(str, axes))})"
        return f"{emitter.bind(np.matmul, 'matmul')}({', '.join(operands)}, {view})"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls((-3, -1, -2)), (numbers(2, 3, 4), numbers(2, 4, 2))),
            (cls((-2, -3, -1)), (numbers(2, 3, 4), numbers(4, 2))),
            (cls((-1, -2)), (numbers(2, 3), numbers(3, 4, seed=1))),
            (cls((-2, -3, -1)), (numbers(5, 2, 3, 4), numbers(2, 4, 2))),
        ]


def can_move(axes: Sequence[int]) -> bool:
    """Whether BLAS can write a product in this order: its rows or its columns are last."""
    return axes[-1] in (-1, -2)
