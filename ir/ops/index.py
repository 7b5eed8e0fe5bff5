"""Reading and writing parts: `index`, and its two adjoint companions `index_update`, `index_add`.

What an index is, `indices` says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..core import Atom
from ..dims import Size
from ..errors import DTypeError, ShapeError
from ..layout import gathered_layout
from ..op import Array, Emitter, Op, Scatter, broadcast
from ..samples import numbers, positions
from ..types import ArrayType, Layout, Shape, is_dense
from .batched_index import batched_index, written_at
from .indices import AT, At, Index_, Indexing, Item, Span, index_shape
from .scatter_add import add_at
from .shape import view_layouts


@dataclass(frozen=True)
class Index(Indexing):
    """`x[index]`: a view for slices and ints (a copy where no axis is left), a copy for arrays."""

    name = "index"
    index: Index_
    gather: bool = False

    @property
    def is_view(self) -> bool:  # type: ignore[override]
        """Whether the result shares the operand's memory."""
        return not self.gather

    @property
    def reorders(self) -> bool:  # type: ignore[override]
        """Whether the result may be in another order than C though the operands are in C order."""
        return self.gather

    @property
    def has_out(self) -> bool:  # type: ignore[override]
        """Whether it reads elements or rows, which `np.take` writes where it is told."""
        first, *rest = self.index or (None,)
        return (
            self.gather
            and isinstance(first, At)
            and all(isinstance(item, Span) and item[0::2] == (0, 1) for item in rest)
        )

    def takes_all(self, shape: Shape) -> bool:
        """Whether the index adds axes alone."""
        sizes = iter(shape[len(shape) - self.axes :])
        return all(item is None or item == Span(0, next(sizes), 1) for item in self.index)

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        x, *positions = types
        if self.gather != self.is_gather(positions):
            raise ShapeError("an index says `gather` exactly where a position is an array")
        return (x.with_shape(index_shape(self.index, x, positions)),)

    def evaluate(self, *operands: Array) -> Any:
        x = np.asarray(operands[0])
        return x[self.positions(x.ndim - self.axes, operands[1:])]

    def batched(self, mapped: tuple[bool, ...], *operands: Array) -> Any:
        x, *positions = operands
        if not any(mapped[1:]):
            return apply(self, *operands)
        index, at = batched_index(self.index, x, mapped[0], positions, mapped[1:])
        return apply(Index(index, True), x, *at)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        ct, op = cts[0], IndexAdd(self.index)
        if self.takes_all(operands[0].shape):
            return [np.reshape(ct, operands[0].shape)]
        part = Scatter(lambda running: apply(op, running, ct, *operands[1:]))
        return [part, *[None] * (len(operands) - 1)]

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[Layout]
    ) -> tuple[Layout, ...] | None:
        if self.gather:
            return self._gathered(types, layouts)
        # It is the same wherever an axis is left out.
        op = replace(self, index=tuple([0 if i is AT else i for i in self.index]))
        return view_layouts(op, types[:1], layouts[:1])

    def _gathered(
        self, types: Sequence[ArrayType], layouts: Sequence[Layout]
    ) -> tuple[Layout, ...] | None:
        x, *positions = types
        if any(p.dtype.kind == "b" for p in positions):
            return None
        items: list[Any] = [slice(None)] * (x.ndim - self.axes)
        for item in self.index:
            if isinstance(item, Span):
                items.append(slice(1 if item.length == 1 else None))
            else:
                items.append(Ellipsis if isinstance(item, At) else item and 0)
        return (gathered_layout(types, layouts, items, *self.infer(*types)),)

    def cut(
        self, types: Sequence[ArrayType], axes: Sequence[int | None], size: Size
    ) -> tuple[Op, int] | None:
        """Follow an axis that the index leaves alone, or takes whole."""
        axis = axes[0]
        if axis is None or self.gather or any(a is not None for a in axes[1:]):
            return None
        behind, items = 0, [*self.index]
        at = 0  # the axis of the operand that an item stands for, from the right
        for k in range(len(items) - 1, -1, -1):
            item = items[k]
            at -= item is not None
            if item is not None and at == axis:
                if item != Span(0, types[0].shape[axis], 1):
                    return None
                items[k] = Span(0, size, 1)
                return Index(tuple(items)), -behind - 1
            behind += item is None or isinstance(item, Span)
        return self, axis + self.axes - behind

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        text = self.emitted(emitter, operands[0], operands[1:])
        read = f"{operands[0]}[{text}]"
        if not self.has_out:
            return read
        x, at = [emitter.atom(operand) for operand in operands]
        is_taken = x is not None and at is not None and self._takes_rows(x, at)
        if out is None:
            return f"{operands[0]}.take({operands[1]}, 0)" if is_taken else read
        if not is_taken:
            return f"{emitter.bind(np.copyto, 'copyto')}({out}, {read})"
        return f"{emitter.bind(take_into, 'take_into')}({', '.join(operands)}, {out})"

    def _takes_rows(self, x: Atom, at: Atom) -> bool:
        """Whether `np.take` reads the same rows: of the first axis, whole, in C order."""
        spans = [item for item in self.index if isinstance(item, Span)]
        return (
            x.layout is None
            and x.type.ndim == len(self.index)
            and all(s.length == n for s, n in zip(spans, x.type.shape[1:], strict=True))
            and 0 not in x.type.shape
            and at.type.dtype != np.uint64
        )

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        x = numbers(3, 4)
        return [
            (cls(()), (np.asarray(1.5),)),
            *[(cls(index), (x, *at)) for index, at in _parts()],
            *[(cls(index, gather=True), (x, *at)) for index, at in _gathers()],
        ]


TAKEN = 2**14
"""Bytes from which a look at all positions costs less than the copy that `np.take` makes."""


def take_into(x: np.ndarray, at: np.ndarray, out: np.ndarray) -> None:
    """Write `x[at]` into `out`.

    100,000 rows of 16 float32 take 0.3 ms so, 1.2 ms by an index. Where it checks the positions
    itself, `np.take` writes into memory of its own first: 0.7 ms.
    """
    if out.nbytes < TAKEN or at.min() < -len(x) or at.max() >= len(x):
        x.take(at, 0, out)
    else:
        x.take(at, 0, out, "wrap")


def apply(op: Op, *operands: Array) -> Array:
    """Apply an op to arrays: evaluated on ndarrays, emitted for traced arrays."""
    for operand in operands:
        tracer = getattr(operand, "__pullback_apply__", None)
        if tracer is not None:
            return tracer(op, operands)
    return op.evaluate(*operands)


class _Writing(Indexing):
    updates = 0
    is_linear = True

    def batched(self, mapped: tuple[bool, ...], *operands: Array) -> Any:
        x, value, *positions = operands
        index, examples = written_at(self.index, mapped, x, [value], positions)
        writes: Any = type(self)
        return apply(writes(index), *examples)

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[Layout]
    ) -> tuple[Layout, ...] | None:
        """Return the base's; one that is broadcast or has gaps is copied, in C order."""
        return (layouts[0] if is_dense(layouts[0], types[0]) else None,)

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        x, value, *positions = types
        shape = index_shape(self.index, x, positions)
        if value.dtype != x.dtype:
            raise DTypeError(f"{self.name} writes {value} into {x}")
        if broadcast([shape, value.shape]) != shape:
            raise ShapeError(f"could not write {list(value.shape)} into {list(shape)}")
        return (x,)


@dataclass(frozen=True)
class IndexUpdate(_Writing):
    """`x` with `x[index] = value`; the last of repeated positions wins."""

    name = "index_update"
    index: Index_

    def evaluate(self, *operands: Array) -> Any:
        x = np.array(operands[0])
        x[self.positions(x.ndim - self.axes, operands[2:])] = operands[1]
        return x

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        (ct,), value, positions = cts, operands[1], operands[2:]
        gather = self.is_gather([_type(p) for p in positions])
        into_x: Array | None = None
        into_value: Array | None = None
        if needs[1]:  # first: what follows writes into the memory of `ct`
            into_value = apply(Index(self.index, gather), ct, *positions)
            if gather:
                lost: Array = 0
                into_value = np.where(self._wins(ct, positions), into_value, lost)
        if needs[0]:
            zero = np.zeros((), value.dtype)
            into_x = apply(IndexUpdate(self.index), ct, zero, *positions)
        return [into_x, into_value, *[None] * len(positions)]

    def _wins(self, x: Array, positions: Sequence[Array]) -> Array:
        """Return where a written value stays: each one's number is written, then read back."""
        shape = index_shape(self.index, _type(x), [_type(p) for p in positions])
        if all(isinstance(d, int) for d in shape):
            numbers: Array = np.arange(math.prod(shape)).reshape(shape)  # type: ignore[arg-type]
        else:
            read = apply(Index(self.index, True), x, *positions)
            ones = np.ones_like(np.reshape(read, (-1,)), dtype=np.int64)
            numbers = np.reshape(np.cumsum(ones), shape)
        blank = np.zeros_like(x, dtype=numbers.dtype)
        written = apply(IndexUpdate(self.index), blank, numbers, *positions)
        return apply(Index(self.index, True), written, *positions) == numbers

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        x, value, *positions = operands
        text = self.emitted(emitter, x, positions)
        return f"{x}[{text}] = {value}"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return _writing_samples(cls)


@dataclass(frozen=True)
class IndexAdd(_Writing):
    """`x` with `value` added at `index`; repeated positions add up."""

    name = "index_add"
    index: Index_

    def evaluate(self, *operands: Array) -> Any:
        x = np.array(operands[0])
        index = self.positions(x.ndim - self.axes, operands[2:])
        if self.is_gather([_type(p) for p in operands[2:]]):
            add_at(x, index, operands[1])
        else:
            x[index] += operands[1]
        return x

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        (ct,), positions = cts, operands[2:]
        gather = self.is_gather([_type(p) for p in positions])
        value = apply(Index(self.index, gather), ct, *positions) if needs[1] else None
        return [ct, value, *[None] * len(positions)]

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        x, value, *positions = operands
        text = self.emitted(emitter, x, positions)
        arrays = [emitter.atom(p) for p in positions]
        if any(a is None or a.type.shape for a in arrays):
            at = emitter.bind(add_at, "add_at")
            key = emitter.bind(np.s_, "s_")
            return f"{at}({x}, {key}[{text}], {value})"
        return f"{x}[{text}] += {value}"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return _writing_samples(cls)


def _parts() -> list[tuple[Index_, tuple[Array, ...]]]:
    """Return indices without arrays, for an operand of shape (3, 4)."""
    return [
        ((1, Span(0, 4, 1)), ()),
        ((-1, Span(1, 2, 2)), ()),
        ((Span(2, 3, -1), None, Span(0, 4, 1)), ()),
        ((Span(1, 0, 1), 0), ()),
        ((0, -1), ()),
        ((Span(0, 3, 1), Span(0, 4, 1)), ()),
        ((AT, Span(0, 2, 3)), (np.int64(-2),)),
        ((AT, AT), (np.int32(1), np.int64(2))),
    ]


def _gathers() -> list[tuple[Index_, tuple[Array, ...]]]:
    """Return indices with arrays, for an operand of shape (3, 4)."""
    full = Span(0, 3, 1)
    return [
        ((AT, Span(0, 4, 1)), (positions(5, size=3),)),
        ((full, AT), (positions(2, 3, size=4),)),
        ((AT, AT), (positions(2, 1, size=3), positions(4, size=4))),
        ((AT, AT), (positions(2, size=3), np.int64(1))),
        ((AT, Span(3, 2, -2)), (np.zeros((0,), np.int64),)),
    ]


def _writing_samples(
    op: type[IndexUpdate] | type[IndexAdd],
) -> Sequence[tuple[Op, tuple[Array, ...]]]:
    x, found = numbers(3, 4), []
    for index, at in [*_parts(), *_gathers()]:
        shape: Any = index_shape(index, _type(x), [_type(p) for p in at])
        found.append((op(index), (x, numbers(*shape, seed=1), *at)))
        if not op(index).is_gather([_type(p) for p in at]):
            found.append((op(index), (x, numbers(*shape[-1:], seed=1), *at)))
    return found


def _type(value: Array) -> ArrayType:
    return ArrayType(value.dtype, value.shape)


__all__ = [
    "AT",
    "At",
    "Index",
    "IndexAdd",
    "IndexUpdate",
    "Index_",
    "Item",
    "Span",
    "add_at",
    "apply",
    "index_shape",
    "take_into",
]
