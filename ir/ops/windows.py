"""Sliding windows: a strided view, and its transpose, which adds overlapping windows up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from ..dims import Size
from ..errors import ShapeError
from ..op import Array, Cost, Op, Scatter
from ..samples import numbers
from ..types import ArrayType
from .index import apply
from .shape import View


@dataclass(frozen=True)
class Windows(View):
    """Windows of `sizes` along `axes` (negative; one may stand there twice), as new last axes.

    `x : T[..., n] -> T[..., n - size + 1, size]`, a read-only view.
    """

    name = "windows"
    axes: tuple[int, ...]
    sizes: tuple[int, ...]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        shape: list[Size] = list(x.shape)
        for axis, size in zip(self.axes, self.sizes, strict=True):
            left = shape[axis] - size + 1
            if isinstance(left, int) and left < 1:
                raise ShapeError(
                    "window shape cannot be larger than input array shape: "
                    f"{size} and {shape[axis]}"
                )
            shape[axis] = left
        return (x.with_shape((*shape, *self.sizes)),)

    def evaluate(self, *operands: Array) -> Any:
        return np.lib.stride_tricks.sliding_window_view(operands[0], self.sizes, self.axes)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [apply(AddWindows(self.axes, self.sizes), cts[0])]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls((-1,), (3,)), (numbers(2, 5),)),
            (cls((-2, -1), (2, 3)), (numbers(4, 4),)),
            (cls((-1, -1), (2, 2)), (numbers(5),)),
        ]


@dataclass(frozen=True)
class AddWindows(Op):
    """The transpose of `Windows`: `w : T[..., m, size] -> T[..., m + size - 1]`, overlaps added."""

    name = "add_windows"
    cost = Cost.CHEAP
    axes: tuple[int, ...]
    sizes: tuple[int, ...]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (w,) = types
        shape: list[Size] = list(w.shape[: w.ndim - len(self.sizes)])
        for axis, size in zip(self.axes, self.sizes, strict=True):
            shape[axis] = shape[axis] + size - 1
        return (w.with_shape(shape),)

    def evaluate(self, *operands: Array) -> Any:
        w = np.asarray(operands[0])
        count = len(self.sizes)
        shape = list(w.shape[: w.ndim - count])
        lengths = list(shape)
        for axis, size in zip(self.axes, self.sizes, strict=True):
            shape[axis] += size - 1
        total = np.zeros(shape, w.dtype)
        for offset in product(*map(range, self.sizes)):
            starts = [0] * len(shape)
            for axis, start in zip(self.axes, offset, strict=True):
                starts[axis] += start
            part = tuple(slice(s, s + n) for s, n in zip(starts, lengths, strict=True))
            ending: Any = (..., *offset)
            total[part] += w[ending]
        return total

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [apply(Windows(self.axes, self.sizes), cts[0])]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls((-1,), (3,)), (numbers(2, 3, 3),)),
            (cls((-2, -1), (2, 2)), (numbers(2, 3, 2, 2),)),
            (cls((-1, -1), (2, 2)), (numbers(3, 2, 2),)),
        ]
