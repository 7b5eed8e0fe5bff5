"""Sorting and partitioning along one axis (negative)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..layout import copied_layout
from ..op import Array, Cost, Emitter, Op, Scatter
from ..samples import numbers
from ..types import ArrayType, Layout
from .batched_index import iota
from .index import AT, IndexAdd, apply


@dataclass(frozen=True)
class ArgSort(Op):
    """The positions that sort an axis; `kind` is NumPy's, None for its default."""

    name = "argsort"
    cost = Cost.TRANSCENDENTAL
    axis: int
    kind: Any = None

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return (types[0].with_dtype(np.dtype(np.intp)),)

    def evaluate(self, *operands: Array) -> Any:
        return np.argsort(operands[0], axis=self.axis, kind=self.kind)

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        function = emitter.bind(np.argsort, "argsort")
        return f"{function}({operands[0]}, {self.axis}, {self.kind!r})"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [(cls(-1), (numbers(2, 4),)), (cls(-2, "stable"), (numbers(3, 2, dtype="i4"),))]


@dataclass(frozen=True)
class Sort(Op):
    """The elements of an axis in ascending order."""

    name = "sort"
    cost = Cost.TRANSCENDENTAL
    axis: int
    kind: Any = None

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return (types[0],)

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[Layout]
    ) -> tuple[Layout, ...] | None:
        """Return the layout of a copy, which NumPy sorts."""
        return (copied_layout(types[0], layouts[0]),)

    def evaluate(self, *operands: Array) -> Any:
        return np.sort(operands[0], axis=self.axis, kind=self.kind)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        order = apply(ArgSort(self.axis, self.kind), operands[0])
        back = apply(ArgSort(self.axis), order)
        return [np.take_along_axis(cts[0], back, self.axis)]

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        function = emitter.bind(np.sort, "sort")
        return f"{function}({operands[0]}, {self.axis}, {self.kind!r})"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(-1), (numbers(2, 4),)),
            (cls(-2, "stable"), (numbers(3, 2),)),
            (cls(-1), (numbers(0),)),
        ]


@dataclass(frozen=True)
class ArgPartition(Op):
    """The positions that partition an axis at the places `kth`, as `np.argpartition`."""

    name = "argpartition"
    cost = Cost.TRANSCENDENTAL
    axis: int
    kth: tuple[int, ...]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return (types[0].with_dtype(np.dtype(np.intp)),)

    def evaluate(self, *operands: Array) -> Any:
        return np.argpartition(operands[0], self.kth, axis=self.axis)

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        function = emitter.bind(np.argpartition, "argpartition")
        return f"{function}({operands[0]}, {self.kth!r}, {self.axis})"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(-1, (1, -1)), (numbers(2, 4),)),
            (cls(-2, (0,)), (numbers(3, 2, dtype="i4"),)),
        ]


@dataclass(frozen=True)
class Partition(Op):
    """The elements of an axis, those at the places `kth` where sorting would put them."""

    name = "partition"
    cost = Cost.TRANSCENDENTAL
    axis: int
    kth: tuple[int, ...]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return (types[0],)

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[Layout]
    ) -> tuple[Layout, ...] | None:
        """Return the layout of a copy, which NumPy partitions."""
        return (copied_layout(types[0], layouts[0]),)

    def evaluate(self, *operands: Array) -> Any:
        return np.partition(operands[0], self.kth, axis=self.axis)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """Match the elements by rank: an argpartition may take another way than the partition."""
        axis = self.axis
        ranked = np.take_along_axis(cts[0], apply(ArgSort(axis, "stable"), results[0]), axis)
        ranks = apply(ArgSort(axis), apply(ArgSort(axis, "stable"), operands[0]))
        return [np.take_along_axis(ranked, ranks, axis)]

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        function = emitter.bind(np.partition, "partition")
        return f"{function}({operands[0]}, {self.kth!r}, {self.axis})"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(-1, (2,)), (numbers(2, 5),)),
            (cls(-2, (0, -1)), (numbers(4, 2),)),
            (cls(-1, (1,)), (np.array([1, 1, 0, 1]),)),
        ]


@dataclass(frozen=True)
class OrderStatistics(Op):
    """What sorting would put at `places` of an axis: `x : T[..., n] -> T[..., len(places)]`.

    `kth` are the places at which the axis is partitioned, `places` among them.
    """

    name = "order_statistics"
    cost = Cost.TRANSCENDENTAL
    axis: int
    kth: tuple[int, ...]
    places: tuple[int, ...]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        shape = list(types[0].shape)
        shape[self.axis] = len(self.places)
        return (types[0].with_shape(shape),)

    def evaluate(self, *operands: Array) -> Any:
        return np.take(np.partition(operands[0], self.kth, self.axis), self.places, self.axis)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        (x,), axis = operands, self.axis
        order = apply(ArgPartition(axis, self.kth), x)
        index = []
        for k, size in enumerate(x.shape, -len(x.shape)):
            if k == axis:
                index.append(np.take(order, self.places, axis))
            else:  # along its own axis
                index.append(np.reshape(iota(size, x), (size, *[1] * (-1 - k))))
        op = IndexAdd((AT,) * len(index))
        return [Scatter(lambda running: apply(op, running, cts[0], *index))]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(-1, (2, 0), (2,)), (numbers(2, 5),)),
            (cls(-2, (1, -1), (1, -1, 1)), (numbers(4, 2),)),
            (cls(-1, (1,), (1,)), (np.array([1, 1, 0, 1]),)),
        ]
