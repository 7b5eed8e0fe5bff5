"""Matrix products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DTypeError, ShapeError
from ..op import Array, Emitter, Op, Scatter, broadcast
from ..types import ArrayType


def _transposed(x: Array) -> Array:
    return np.swapaxes(x, -1, -2)


@dataclass(frozen=True)
class MatMul(Op):
    """`a @ b`, where the last `left` axes of `a` and `right` axes of `b` are the core (1 or 2).

    (m, k) @ (k, n) -> (m, n); (m, k) @ (k) -> (m); (k) @ (k, n) -> (n); (k) @ (k) -> ().
    Leading axes broadcast.
    """

    name = "matmul"
    infix = "@"
    has_out = True
    left: int = 2
    right: int = 2

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        a, b = types
        if a.dtype != b.dtype:
            raise DTypeError(f"matmul takes operands of one dtype, not {a.dtype} and {b.dtype}")
        inner, other = a.shape[-1], b.shape[-self.right]
        if inner != other:
            raise ShapeError(f"the inner sizes differ, {inner} and {other}")
        lead = broadcast([a.shape[: a.ndim - self.left], b.shape[: b.ndim - self.right]])
        rows = a.shape[-2:-1] if self.left == 2 else ()
        columns = b.shape[-1:] if self.right == 2 else ()
        return (a.with_shape((*lead, *rows, *columns)),)

    def _is_plain(self, a: Array, b: Array) -> bool:
        return bool(np.ndim(a) == self.left and np.ndim(b) == self.right)

    def evaluate(self, *operands: Array) -> Any:
        a, b = operands
        if self._is_plain(a, b) or (self.left == 2 and self.right == 2):
            return np.matmul(a, b)
        if self.left == 1:
            a = np.asarray(a)[..., None, :]
        if self.right == 1:
            b = np.asarray(b)[..., None]
        result = np.matmul(a, b)
        if self.left == 1:
            result = result[..., 0, :] if self.right == 2 else result[..., 0]
        return result[..., 0] if self.right == 1 else result

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        (ct,), (a, b) = cts, operands
        into_a = into_b = None
        if needs[0]:
            if self.right == 2 and self.left == 2:
                into_a = np.matmul(ct, _transposed(b))
            elif self.right == 2:
                into_a = apply_matmul(b, ct, 2, 1)
            else:
                into_a = ct[..., None] * (b[..., None, :] if self.left == 2 else b)
        if needs[1]:
            if self.left == 2 and self.right == 2:
                into_b = np.matmul(_transposed(a), ct)
            elif self.left == 2:
                into_b = apply_matmul(_transposed(a), ct, 2, 1)
            elif self.right == 2:
                into_b = a[..., :, None] * ct[..., None, :]
            else:
                into_b = ct[..., None] * a
        return [into_a, into_b]

    def flops(self, operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> int:
        inner = operands[0].shape[-1]
        factor = 8 if results[0].dtype.kind == "c" else 2
        return factor * results[0].size * (inner if isinstance(inner, int) else 1)

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        a, b = operands
        if out is None:
            if self.left == self.right == 2:
                return f"{a} @ {b}"
            return super().emit(emitter, operands, out)
        if self.left == self.right == 2:
            return f"{emitter.bind(np.matmul, 'matmul')}({a}, {b}, {out})"
        return f"{emitter.bind(np.copyto, 'copyto')}({out}, {super().emit(emitter, operands, None)})"


def apply_matmul(a: Array, b: Array, left: int, right: int) -> Array:
    """Multiply with explicit core axes, leading axes broadcasting."""
    from .index import apply

    return apply(MatMul(left, right), a, b)
