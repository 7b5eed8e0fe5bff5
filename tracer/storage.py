"""The memory of arrays while a function is traced: what aliases what, and what a write changes.

A `Storage` is the memory of one array, and holds its content as the value that it has now. Every
array that shares it has a `View`: the storage and the steps (slices, transposes, reshapes) that
lead from the whole to it. A write through any of them makes a new content; the others see that the
version has moved on, and read theirs anew. In the program there are values alone:
`x[1:][0] = v` is `x2 = index_update(x, v, index=(1,))`.

A write composes the steps of its view into one index of the whole where it can. What cannot be
composed (a reshape, an index array within a slice) updates the part, and writes the part back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ir.builder import Builder
from ..ir.core import Atom, Value
from ..ir.dims import Dim, Size, bounds
from ..ir.location import Location
from ..ir.op import Op
from ..ir.ops.dynamic import Extent, Iota
from ..ir.ops.einsum import Einsum
from ..ir.ops.index import AT, At, Index, Index_, IndexUpdate, Item, Span, index_shape
from ..ir.ops.select import Imag, MakeComplex, Real, StopGradient, StopGradientIf
from ..ir.ops.shape import BroadcastTo, Reshape, Transpose, reshapes_in_place
from ..ir.ops.windows import Windows
from ..ir.types import ArrayType, Layout, c_strides
from .regions import size_of_atom
from .state import Trace


class Step(NamedTuple):
    """One view of another: an op, and its operands after the first."""

    op: Op
    operands: tuple[Atom, ...] = ()

    def read(self, builder: Builder, whole: Atom) -> Atom:
        """Emit the view of `whole`."""
        return builder.one(self.op, whole, *self.operands)


class Storage:
    """The memory of one array: its content now, a value of `trace` or of a region inside of it.

    `param` is what it held at first: of an argument, the parameter. `written` is where the first
    write stands, if any, `apart` where a function traced apart writes into what stands for it;
    `layout` the strides of the whole. `unsettled`, where it is set, raises at a read or write: what
    the array holds is not known (see `regions`).
    """

    __slots__ = (
        *("apart", "content", "layout", "param", "trace", "unsettled", "version", "written"),
    )

    def __init__(self, value: Atom, trace: Trace) -> None:
        self.param = self.content = value
        self.trace = trace
        self.layout: Layout = value.layout
        self.version = 0
        self.written: Location | None = None
        self.apart: Location | None = None
        self.unsettled: Callable[[bool], None] | None = None

    @property
    def value(self) -> Atom:
        """What it holds now, as the region under way sees it."""
        if self.unsettled is not None:
            self.unsettled(False)
        region = self.trace.region
        if region is not None:
            region.touch(self)
        return self.content

    @property
    def is_changed(self) -> bool:
        """Whether it holds another content than at first."""
        return self.content is not self.param

    def put(self, value: Atom) -> None:
        """Make `value` the content."""
        before = self.value
        if self.unsettled is not None:
            self.unsettled(True)
        if isinstance(value, Value) and isinstance(before, Value) and value.hint is None:
            value.hint = before.hint
        self.hold(value)

    def hold(self, value: Atom) -> None:
        """Let `value` stand for the content from here on, where a region starts or ends."""
        self.content = value
        self.version += 1


class View(NamedTuple):
    """A part of a storage; `layout` is its strides, None where C-contiguous."""

    storage: Storage
    steps: tuple[Step, ...]
    layout: Layout
    writeable: bool = True

    def read(self, builder: Builder) -> Atom:
        """Emit what the part holds now."""
        atom = self.storage.value
        for step in self.steps:
            atom = step.read(builder, atom)
        return atom

    def then(self, op: Op, operands: Sequence[Atom], whole: Atom, writeable: bool) -> View:
        """Return the view `op` of this one, whose content is `whole`."""
        layout = self.layout
        if isinstance(op, Real | Imag):
            layout = layout or _spread(whole.type)
        elif layout is not None or not isinstance(op, Reshape):
            made = op.layouts(
                [a.type for a in (whole, *operands)], [layout, *[None] * len(operands)]
            )
            layout = made[0] if made else None
        steps = (*self.steps, Step(op, tuple(operands)))
        return View(self.storage, steps, layout, self.writeable and writeable)

    def write(
        self, builder: Builder, index: Index_, positions: Sequence[Atom], value: Atom
    ) -> None:
        """Make `view[index] = value` the content of the storage.

        `value` has the storage's dtype (or that of its real part, for a view of that) and a shape
        that broadcasts to the selection's.
        """
        wholes = [self.storage.value]
        for step in self.steps:
            wholes.append(step.read(builder, wholes[-1]))
        part = _Part.of(builder, wholes[-1], index, positions, value)
        for step in reversed(self.steps):
            whole = wholes.pop()
            part = _through(builder, step, part, whole, wholes[-1])
        storage = self.storage
        content = part.whole(builder, wholes[-1]) or part.update(builder, wholes[-1])
        storage.put(content)


class _Part(NamedTuple):
    """A selection of an array and what is written there.

    `items` has one item for each axis of the array, no new axes; `value` has no axes or one for
    each axis of the selection.
    """

    items: tuple[Item, ...]
    positions: tuple[Atom, ...]
    value: Atom

    @classmethod
    def of(
        cls, builder: Builder, whole: Atom, index: Index_, positions: Sequence[Atom], value: Atom
    ) -> _Part:
        """Return the part of `whole` at an index, without new axes."""
        shape = index_shape(index, whole.type, [p.type for p in positions])
        if value.type.shape:
            extra = value.type.ndim - len(shape)
            sizes = value.type.shape[extra:] if extra > 0 else (1,) * -extra + value.type.shape
            places = _new_axes(index, [p.type.ndim for p in positions])
            sizes = tuple(d for k, d in enumerate(sizes) if k not in places)
            value = _reshaped(builder, value, sizes)
        return cls(tuple([i for i in index if i is not None]), tuple(positions), value)

    @classmethod
    def everything(cls, whole: Atom, value: Atom) -> _Part:
        """Return the part that is all of an array."""
        return cls(tuple([Span(0, d, 1) for d in whole.type.shape]), (), value)

    @property
    def is_gather(self) -> bool:
        return any(p.type.shape for p in self.positions)

    def whole(self, builder: Builder, array: Atom) -> Atom | None:
        """Return the new content where the part is all of `array`, else None."""
        full = tuple([Span(0, d, 1) for d in array.type.shape])
        if self.items != full:
            return None
        if self.value.type == array.type and self.value.layout == array.layout:
            return self.value
        return None

    def update(self, builder: Builder, array: Atom) -> Atom:
        """Emit the array with the part written."""
        return builder.one(IndexUpdate(self.items), array, self.value, *self.positions)

    def permuted(self, builder: Builder, order: Sequence[int]) -> _Part | None:
        """Return the part of the array whose axis `order[k]` is this one's axis `k`."""
        inverse = np.argsort(order).tolist()
        items = tuple([self.items[k] for k in inverse])
        if self.is_gather and not _adjacent(items):
            return None
        ats = iter(self.positions)
        by_axis = [next(ats) if isinstance(i, At) else None for i in self.items]
        positions = tuple([p for k in inverse if (p := by_axis[k]) is not None])
        value = self.value
        if value.type.shape:
            before, after = self._axes(self.items), self._axes(items)
            names = [("axis", inverse[n]) if kind == "axis" else (kind, n) for kind, n in after]
            axes = [before.index(n) for n in names]
            if axes != list(range(len(axes))):
                op = Transpose(tuple([a - len(axes) for a in axes]))
                value = builder.one(op, value)
        return _Part(items, positions, value)

    def _axes(self, items: Sequence[Item]) -> list[tuple[str, int]]:
        """Return what each axis of the selection comes from."""
        block = max((p.type.ndim for p in self.positions), default=0)
        found: list[tuple[str, int]] = []
        placed = False
        for axis, item in enumerate(items):
            if isinstance(item, Span):
                found.append(("axis", axis))
            elif isinstance(item, At) and not placed:
                found.extend(("block", k) for k in range(block))
                placed = True
        return found


def _through(builder: Builder, step: Step, part: _Part, whole: Atom, parent: Atom) -> _Part:
    """Return the part of `parent` that a part of its view `whole` is."""
    op = step.op
    order: list[int] = []
    if isinstance(op, Transpose):
        lead = whole.type.ndim - len(op.axes)
        order = [*range(lead), *[a + whole.type.ndim for a in op.axes]]
        moved = part.permuted(builder, order)
        if moved is not None:
            return moved
    elif isinstance(op, Index) and not op.gather:
        composed = _composed(op.index, step.operands, part, parent)
        if composed is not None:
            return composed
    elif isinstance(op, Reshape):
        element = _element(builder, part, whole, parent)
        if element is not None:
            return element
    content = part.whole(builder, whole) or part.update(builder, whole)
    everything = _Part.everything(parent, content)
    if isinstance(op, Transpose):
        moved = _Part.everything(whole, content).permuted(builder, order)
        assert moved is not None
        return moved
    if isinstance(op, Index) and op.gather:
        return _Part(op.index, step.operands, content)
    if isinstance(op, Index):
        composed = _composed(op.index, step.operands, _Part.everything(whole, content), parent)
        if composed is not None:
            return composed
        return _Part.of(builder, parent, _full(op.index, parent), step.operands, content)
    if isinstance(op, Reshape):
        return everything._replace(value=_reshaped(builder, content, parent.type.shape))
    if isinstance(op, Real):
        other = builder.one(Imag(), parent)
        return everything._replace(value=builder.one(MakeComplex(), content, other))
    if isinstance(op, Imag):
        other = builder.one(Real(), parent)
        return everything._replace(value=builder.one(MakeComplex(), other, content))
    if isinstance(op, Einsum):
        return _labelled(builder, op, parent, content)
    raise AssertionError(f"a view through {op.name} is read-only")


def _labelled(builder: Builder, op: Einsum, parent: Atom, content: Atom) -> _Part:
    """Return the part of `parent` that `np.einsum("ijj->ji", parent)` sees, by positions."""
    (labels,), output = op.labels([parent.type])
    positions: dict[str, Atom] = {}
    for axis, label in enumerate(output):
        size = parent.type.shape[labels.index(label)]
        shape = [size if k == axis else 1 for k in range(len(output))]
        positions[label] = _reshaped(builder, builder.one(Iota(size)), shape)
    return _Part((AT,) * len(labels), tuple([positions[n] for n in labels]), content)


def _element(builder: Builder, part: _Part, whole: Atom, parent: Atom) -> _Part | None:
    """Return one element of a reshaped array as an element of the array, None for other parts.

    Its positions are ints, or sizes such as the index of a loop, which are known to be in bounds.
    """
    shapes: Any = whole.type.shape, parent.type.shape
    if not part.items or not all(isinstance(n, int) for n in (*shapes[0], *shapes[1])):
        return None
    ats = iter(part.positions)
    position: Size = 0
    for item, size in zip(part.items, shapes[0], strict=True):
        place: Size | None = None
        if isinstance(item, int):
            place = item % size
        elif isinstance(item, At):
            place = _within_axis(size_of_atom(next(ats)), size)
        if place is None:
            return None
        position = position * size + place
    items: list[Item] = []
    positions: list[Atom] = []
    for axis in range(len(shapes[1])):
        below = math.prod(shapes[1][axis + 1 :])
        place = position // below if axis == 0 else position // below % shapes[1][axis]
        if isinstance(place, Dim):
            positions.append(builder.one(Extent(place)))
        items.append(AT if isinstance(place, Dim) else place)
    return _Part(tuple(items), tuple(positions), part.value)


def _within_axis(place: Size | None, size: int) -> Size | None:
    """Return a place on an axis, counted from its start, None where it may be out of bounds."""
    if place is None:
        return None
    low, high = bounds(place)
    if low is None or high is None or low < -size or high >= size:
        return None
    if high < 0:
        return place + size
    return place if low >= 0 else None


def _full(index: Index_, parent: Atom) -> Index_:
    """Return an index with an item for each axis of `parent`: leading axes stay whole."""
    lead = parent.type.ndim - sum(i is not None for i in index)
    return (*[Span(0, d, 1) for d in parent.type.shape[:lead]], *index)


def _composed(index: Index_, operands: Sequence[Atom], part: _Part, parent: Atom) -> _Part | None:
    """Return a part of a view `parent[index]` as one of `parent`, None where no index says it."""
    outer, inner = iter(operands), iter(part.positions)
    rest = iter(part.items)
    items: list[Item] = []
    positions: list[Atom] = []
    dropped: list[int] = []
    axis = selected = 0
    for item in _full(index, parent):
        if item is None:
            if next(rest) != Span(0, 1, 1):
                return None
            dropped.append(selected)
            selected += 1
            continue
        size = parent.type.shape[axis]
        axis += 1
        if isinstance(item, At):
            items.append(item)
            positions.append(next(outer))
        elif isinstance(item, Span):
            within = next(rest)
            joined = _within(item, within, size)
            if joined is None:
                return None
            items.append(joined)
            if isinstance(within, At):
                positions.append(next(inner))
            selected += isinstance(within, Span)
        else:
            items.append(item)
    composed = tuple(items)
    # Ints beside index arrays would be arrays too, and an axis dropped may be any.
    if part.is_gather and (dropped or not _adjacent(composed)):
        return None
    if dropped and part.value.type.shape:
        return None
    return _Part(composed, tuple(positions), part.value)


def _within(span: Span, item: Item, size: object) -> Item | None:
    """Return the position in the whole of `item`, a position within `span`."""
    if isinstance(item, At):
        return item if span == Span(0, size, 1) else None  # type: ignore[arg-type]
    if isinstance(item, Span):
        return Span(span.start + item.start * span.step, item.length, span.step * item.step)
    assert item is not None
    if not isinstance(span.length, int) or not isinstance(span.start, int):
        return item if span == Span(0, size, 1) else None  # type: ignore[arg-type]
    position = item + span.length if item < 0 else item
    return span.start + position * span.step


def _adjacent(items: Sequence[Item]) -> bool:
    """Whether the array positions stand side by side and no int is among them."""
    places = [k for k, i in enumerate(items) if isinstance(i, At)]
    if any(isinstance(i, int) for i in items):
        return False
    return not places or places[-1] - places[0] == len(places) - 1


def _new_axes(index: Index_, ndims: Sequence[int]) -> set[int]:
    """Return which axes of the selection are new ones."""
    block = max(ndims, default=0)
    found: set[int] = set()
    axis, placed = 0, False
    for item in index:
        if item is None:
            found.add(axis)
            axis += 1
        elif isinstance(item, Span):
            axis += 1
        elif item is AT and not placed:
            axis += block
            placed = True
    return found


def _reshaped(builder: Builder, atom: Atom, shape: Sequence[Size]) -> Atom:
    if atom.type.shape == tuple(shape):
        return atom
    return builder.one(Reshape(tuple(shape), atom.type.ndim), atom)


def _spread(type: ArrayType) -> Layout:
    """Return the strides of the parts of complex numbers in C order."""
    is_strided = type.is_static and type.size > 1
    return c_strides(type.dtype.itemsize, type.shape) if is_strided else None


def is_alias(op: Op, whole: Atom, layout: Layout) -> bool:
    """Whether NumPy gives a view of operand 0 for an op, where that has the strides `layout`."""
    if isinstance(op, Real | Imag):
        return whole.type.dtype.kind == "c"
    if isinstance(op, Reshape):
        return layout is None or reshapes_in_place(op, whole.type, layout)
    return op.is_view and not isinstance(op, StopGradient | StopGradientIf)


READ_ONLY = (BroadcastTo, Windows)
"""Ops whose views NumPy does not let be written."""

__all__ = ["READ_ONLY", "Step", "Storage", "View", "is_alias"]
