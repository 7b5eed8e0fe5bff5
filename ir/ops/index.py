"""Reading and writing parts: `index`, and its two adjoint companions `index_update`, `index_add`.

An index is a tuple over the last axes of the operand, one item for each axis or new axis:

* an int, a fixed position;
* a `Span`, a slice with start, stop and step already normalised for the axis;
* `None`, a new axis of size 1;
* `AT`, whose position is the next operand: an integer scalar, or an integer array (the arrays
  broadcast together, stand next to each other in the index, and their axes take that place).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ..core import Atom
from ..dims import Dim, Size
from ..errors import DTypeError, ShapeError
from ..op import Array, Emitter, Op, Scatter, broadcast
from ..samples import numbers, positions
from ..types import ArrayType, Layout, Shape, is_dense
from .shape import lead_axes, view_layouts


class Span(NamedTuple):
    """A normalised slice of `length` elements from `start` in steps of `step`."""

    start: Size
    length: Size
    step: int

    def slice(self) -> slice:
        """Return the Python slice."""
        if isinstance(self.start, Dim) or isinstance(self.length, Dim):
            raise TypeError("a symbolic span has no static slice")
        stop: int = self.start + self.length * self.step
        if self.length == 0:
            return slice(0, 0, self.step)
        return slice(self.start, stop if stop >= 0 else None, self.step)

    def source(self, emitter: Emitter, size: Size) -> str:
        """Return the slice as source text for an axis of `size`."""
        if isinstance(self.start, Dim) or isinstance(self.length, Dim):
            start = str(self.start) if isinstance(self.start, int) else emitter.size(self.start)
            stop = self.start + self.length * self.step
            last = str(stop) if isinstance(stop, int) else emitter.size(stop)
            if self.step > 0:
                start, last = "" if start == "0" else start, "" if stop == size else last
            elif isinstance(stop, int):
                last = last if stop >= 0 else ""
            else:
                last = f"({last} if {last} >= 0 else None)"  # else it would count from the end
            return f"{start}:{last}" + (f":{self.step}" if self.step != 1 else "")
        plain = self.slice()
        start = "" if plain.start == 0 and self.step > 0 else str(plain.start)
        last = "" if plain.stop is None or plain.stop == size else str(plain.stop)
        return f"{start}:{last}" + (f":{self.step}" if self.step != 1 else "")


class At:
    """The type of `AT`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "AT"


AT = At()
Item = int | None | Span | At
Index_ = tuple[Item, ...]


def index_shape(index: Index_, x: ArrayType, positions: Sequence[ArrayType]) -> Shape:
    """Return the shape that reading `x[index]` gives.

    Raises
    ------
    ShapeError, DTypeError, IndexError
        Where the index does not fit.
    """
    consumed = sum(item is not None for item in index)
    if consumed > x.ndim:
        raise IndexError(f"too many indices: {consumed} for an array of {x.ndim} axes")
    lead = x.ndim - consumed
    for p in positions:
        if p.dtype.kind not in "iu":
            raise DTypeError(f"an index must be of integers, not {p}")
    gathered = broadcast([p.shape for p in positions]) if positions else ()
    shape: list[Size] = list(x.shape[:lead])
    axis, placed = lead, not gathered
    for item in index:
        if item is None:
            shape.append(1)
            continue
        size = x.shape[axis]
        if isinstance(item, Span):
            shape.append(item.length)
        elif isinstance(item, At):
            if not placed:
                shape.extend(gathered)
                placed = True
        elif isinstance(size, int) and not -size <= item < size:
            raise IndexError(f"index {item} is out of bounds for axis {axis} with size {size}")
        axis += 1
    return tuple(shape)


class _Indexing(Op):
    index: Index_

    def positions(self, lead: int, operands: Sequence[Array]) -> tuple[Any, ...]:
        """Return the NumPy index, with `lead` leading axes untouched."""
        rest = iter(operands)
        items: list[Any] = [slice(None)] * lead
        for item in self.index:
            if isinstance(item, Span):
                items.append(item.slice())
            else:
                items.append(next(rest) if isinstance(item, At) else item)
        return tuple(items)

    @property
    def axes(self) -> int:
        """How many axes of the operand the index consumes."""
        return sum(item is not None for item in self.index)

    def sizes(self, emitter: Emitter, operand: str) -> Sequence[Size]:
        """Return the sizes of the consumed axes, -1 where they are not known."""
        atom = emitter.atom(operand)
        shape = atom.type.shape if atom is not None else ()
        return shape[len(shape) - self.axes :] if shape else [-1] * self.axes

    def emitted(self, emitter: Emitter, x: str, positions: Sequence[str]) -> str:
        """Return the text between the brackets of generated code; leading batch axes are `:`."""
        text = self.subscript(emitter, positions, self.sizes(emitter, x))
        lead = [":"] * lead_axes(emitter, x, self.axes)
        return ", ".join([*lead, *([text] if text else [])]) or "()"

    def is_gather(self, positions: Sequence[ArrayType]) -> bool:
        """Whether some position is an array."""
        return any(p.shape for p in positions)

    def subscript(
        self, emitter: Emitter | None, operands: Sequence[str], sizes: Sequence[Size]
    ) -> str:
        """Return the text between the brackets; `sizes` are those of the consumed axes."""
        rest, texts = iter(operands), []
        axes = iter(sizes)
        for item in self.index:
            size = next(axes) if item is not None else 1
            if isinstance(item, Span):
                texts.append(item.source(emitter, size) if emitter else _span_text(item, size))
            else:
                texts.append(next(rest) if isinstance(item, At) else str(item))
        while len(texts) > 1 and texts[-1] == ":":
            texts.pop()
        return ", ".join(texts)


def _span_text(span: Span, size: Size) -> str:
    if isinstance(span.start, int) and isinstance(span.length, int):
        return span.source(None, size)  # type: ignore[arg-type]
    return f"{span.start}:{span.start + span.length * span.step}:{span.step}"


@dataclass(frozen=True)
class Index(_Indexing):
    """`x[index]`: a view for slices and ints (a copy where no axis is left), a copy for arrays."""

    name = "index"
    index: Index_
    gather: bool = False

    @property
    def is_view(self) -> bool:  # type: ignore[override]
        """Whether the result shares the operand's memory."""
        return not self.gather

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
        if self.gather or any(p.shape for p in types[1:]):
            return None
        # It is the same wherever an axis is left out.
        op = replace(self, index=tuple([0 if i is AT else i for i in self.index]))
        return view_layouts(op, types[:1], layouts[:1])

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


class _Writing(_Indexing):
    updates = 0

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


BLOCK = 1 << 16
"""Elements that are added at once at positions that an array of rows gives."""


def add_at(x: np.ndarray, index: Any, value: Array) -> None:
    """Add `value` to `x` at an index with integer arrays, repeated positions included.

    `np.add.at` is fast with one flat index only: 1000 rows of 64 float32 take 0.12 ms so, against
    0.55 ms; making the index is included. Of many whole rows, the index is read from a table of
    that of each row: 100,000 of 16 take 2.7 ms, 4.1 where it is computed, 15 by `np.add.at`. Rows
    of more than a block are added block by block, so that the index takes little memory.
    """
    index = index if isinstance(index, tuple) else (index,)
    if x.ndim > 1 and x.flags.c_contiguous:
        rows, width = index[0], math.prod(x.shape[1:])
        step = max(BLOCK // max(width, 1), 1)
        if (
            len(index) == 1
            and isinstance(rows, np.ndarray)
            and rows.ndim == 1
            and rows.dtype.kind in "iu"
            and len(rows) > step
            and -len(x) <= rows.min()
            and rows.max() < len(x)
        ):
            whole = np.broadcast_to(value, (len(rows), *x.shape[1:]))
            for lo in range(0, len(rows), step):
                add_at(x, rows[lo : lo + step], whole[lo : lo + step])
            return
        if _are_many_rows(x.shape, index):
            flat: Any = np.arange(x.size).reshape(x.shape).take(index[0], 0)
        else:
            flat = _flat_positions(x.shape, index)
        if flat is not None:
            np.add.at(x.reshape(-1), flat.ravel(), np.broadcast_to(value, flat.shape).ravel())
            return
    np.add.at(x, index, value)


def _are_many_rows(shape: tuple[int, ...], index: tuple[Any, ...]) -> bool:
    """Whether an index reads whole rows, and no fewer than there are."""
    at, *rest = index
    return (
        isinstance(at, np.ndarray)
        and at.dtype.kind == "i"
        and at.size >= shape[0]
        and 0 not in shape
        and all(
            isinstance(item, slice) and item.indices(size) == (0, size, 1)
            for item, size in zip(rest, shape[1:], strict=False)
        )
    )


def _flat_positions(shape: tuple[int, ...], index: tuple[Any, ...]) -> np.ndarray | None:
    """Return the flat positions that an index reads, None where NumPy must see the index itself."""
    if any(item is None for item in index):
        return None
    whole = (*index, *[slice(None)] * (len(shape) - len(index)))
    block = np.broadcast_shapes(*[np.shape(i) for i in whole if not isinstance(i, slice)])
    right = len(block) + sum(isinstance(i, slice) for i in whole)
    total: Any = np.zeros((), np.intp)
    is_placed = False
    for axis, (size, item) in enumerate(zip(shape, whole, strict=True)):
        if isinstance(item, slice):
            right -= 1
            part = np.arange(size)[item]
        else:
            right -= 0 if is_placed else len(block)
            is_placed = True
            part = np.asarray(item)
            if part.size and not (-size <= part.min() and part.max() < size):
                return None
            part = part.astype(np.intp)  # uint64 and int64 would make float64
            part = np.where(part < 0, part + size, part)
        stride = math.prod(shape[axis + 1 :])
        total = total + part.reshape((*part.shape, *[1] * right)) * stride
    result: np.ndarray = total
    return result


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
