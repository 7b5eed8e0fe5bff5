"""Sliding products of two sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DTypeError, ShapeError
from ..op import Array, Cost, Op, Scatter
from ..samples import numbers
from ..types import ArrayType
from .index import apply


@dataclass(frozen=True)
class Correlate(Op):
    """`z[k] = sum(a[n + k - left] * v[n] for n)`, a being zero outside of itself.

    a : T[*b, n], v : T[*b, m] -> T[*b, length]. Complex values are not conjugated. NumPy's modes:
    valid (left 0, length n - m + 1), same (m // 2, n) and full (m - 1, n + m - 1), where m <= n.
    """

    name = "correlate"
    cost = Cost.CHEAP
    left: int
    length: int

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        a, v = types
        if a.dtype != v.dtype:
            raise DTypeError(f"{self.name} takes two operands of one dtype, not {types}")
        if a.shape[:-1] != v.shape[:-1] or a.shape[-1] == 0 or v.shape[-1] == 0:
            raise ShapeError(f"{self.name} takes two sequences that are not empty, not {types}")
        return (a.with_shape((*a.shape[:-1], self.length)),)

    def evaluate(self, *operands: Array) -> Any:
        a, v = operands
        if a.ndim == 1:
            return self._evaluate(a, v)
        result = np.empty((*a.shape[:-1], self.length), a.dtype)
        for k in np.ndindex(a.shape[:-1]):
            result[k] = self._evaluate(a[k], v[k])
        return result

    def _evaluate(self, a: np.ndarray, v: np.ndarray) -> np.ndarray:
        mode = _mode(len(a), len(v), self.left, self.length)
        if mode is None:
            stop = self.length + len(v) - 1 - self.left
            inner = a[max(0, -self.left) : max(0, stop)]
            before = max(0, self.left)
            a = np.zeros(self.length + len(v) - 1, a.dtype)
            a[before : before + len(inner)] = inner
            mode = "valid"
        # NumPy's convolve reverses v once more, and conjugates nothing.
        result: np.ndarray = np.convolve(a, v[::-1], mode)  # type: ignore[call-overload]
        return result

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        (ct,), (a, v) = cts, operands
        n, m = a.shape[-1], v.shape[-1]
        into_a = apply(Correlate(m - 1 - self.left, n), ct, np.flip(v, -1)) if needs[0] else None
        into_v = apply(Correlate(self.left, m), a, ct) if needs[1] else None
        return [into_a, into_v]

    def flops(self, operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> int:
        return 2 * min(t.size for t in operands) * results[0].size

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        a, v = numbers(5), numbers(3, seed=1)
        return [
            (cls(0, 3), (a, v)),
            (cls(1, 5), (a, v)),
            (cls(2, 7), (a, v)),
            (cls(2, 4), (a, v)),
            (cls(-1, 3), (v, a)),
            (cls(1, 2), (numbers(2, 3), numbers(2, 2))),
            (cls(1, 4), (numbers(4, dtype="c16"), numbers(3, dtype="c16"))),
            (cls(1, 4), (numbers(4, dtype="i4", high=9), numbers(3, dtype="i4", high=9))),
        ]


def _mode(n: int, m: int, left: int, length: int) -> str | None:
    """Return NumPy's name for a part of the whole correlation."""
    if m > n:
        return None
    modes = {(0, n - m + 1): "valid", (m - 1, n + m - 1): "full", (m // 2, n): "same"}
    return modes.get((left, length))
