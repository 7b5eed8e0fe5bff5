"""Ops that only move or repeat elements; axes count from the right."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..binding import attribute_dims, renamed_op
from ..dims import Dim, Size, Symbol, bounds, symbols, typical
from ..errors import DTypeError, ShapeError
from ..op import Array, Emitter, Op, Scatter
from ..samples import numbers
from ..types import ArrayType, Layout, Shape, c_strides


def view_layouts(op: Op, types: Sequence[ArrayType], layouts: Sequence[Layout]) -> tuple[Layout]:
    """Return the layout of a view by making the view of an array that owns one byte."""
    return (_view_layout(op, types[0], layouts[0]),)


@functools.lru_cache(maxsize=4096)
def _view_layout(op: Op, x: ArrayType, layout: Layout) -> Layout:
    """Return the layout of one view, which every pass asks for again."""
    op, shape = _typical(op, x)
    if 0 in shape:
        return None
    strides: Any = layout or c_strides(x.dtype.itemsize, shape)
    dummy = np.lib.stride_tricks.as_strided(np.empty(1, x.dtype), shape, strides)
    dummy.flags.writeable = False
    try:
        result = op.evaluate(dummy)
    except IndexError:
        if x.is_static:
            raise
        return None  # the typical size is smaller than what is read
    if not np.may_share_memory(dummy, result):
        return None
    return None if result.flags.c_contiguous else result.strides


def reshaped_view(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the view of an array that has another shape, None where that takes a copy."""
    try:
        if np.lib.NumpyVersion(np.__version__) >= "2.1.0":
            return x.reshape(shape, copy=False)
        view = x.view()
        view.shape = shape  # pyright: ignore[reportDeprecated]
    except (ValueError, AttributeError):
        return None
    return view


def _typical(op: Op, x: ArrayType) -> tuple[Op, Any]:
    """Return an op and a shape with typical sizes for those known only at run time."""
    dims = {d for d in (*x.shape, *attribute_dims(op)) if isinstance(d, Dim)}
    if not dims:
        return op, x.shape
    sizes: dict[Symbol, Size] = {s: typical(Dim.of(s)) for d in dims for s in symbols(d)}
    return renamed_op(op, sizes), x.typical.shape


def lead_axes(emitter: Emitter, operand: str, rank: int) -> int:
    """Return how many leading batch axes an operand has before `rank` core axes."""
    atom = emitter.atom(operand)
    return 0 if atom is None else atom.type.ndim - rank


class View(Op):
    """Base of ops whose result is a view of operand 0."""

    is_view = True

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[Layout]
    ) -> tuple[Layout, ...] | None:
        return view_layouts(self, types, layouts)


def _shape_text(emitter: Emitter, shape: Shape) -> str:
    sizes = ", ".join(str(d) if isinstance(d, int) else emitter.size(d) for d in shape)
    return f"({sizes},)" if shape else "()"


def _product(shape: Shape) -> Size:
    total: Size = 1
    for size in shape:
        total = total * size
    return total


def _may_equal(left: Size, right: Size) -> bool:
    """Whether two sizes are, or may turn out to be, equal: NumPy raises where they are not."""
    if left == right:
        return True
    if isinstance(left, int) and isinstance(right, int):
        return False
    low, high = bounds(left - right)
    return not ((low is not None and low > 0) or (high is not None and high < 0))


@dataclass(frozen=True)
class Reshape(View):
    """The last `rank` axes get the shape `shape`; a view where NumPy makes one, else a copy."""

    name = "reshape"
    shape: Shape
    rank: int

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        lead = x.shape[: x.ndim - self.rank]
        before, after = _product(x.shape[x.ndim - self.rank :]), _product(self.shape)
        if not _may_equal(before, after):
            raise ShapeError(
                f"cannot reshape {list(x.shape)} ({before} elements) into {list(self.shape)}"
            )
        return (x.with_shape((*lead, *self.shape)),)

    def evaluate(self, *operands: Array) -> Any:
        x = np.asarray(operands[0])
        shape: Any = (*x.shape[: x.ndim - self.rank], *self.shape)
        return x.reshape(shape)

    def cut(
        self, types: Sequence[ArrayType], axes: Sequence[int | None], size: Size
    ) -> tuple[Op, int] | None:
        """Follow an axis that has the same extent and the same sizes behind it afterwards."""
        (x,), (axis,) = types, axes
        if axis is None or -axis > self.rank:
            return None if axis is None else (self, axis + self.rank - len(self.shape))
        behind = _product(x.shape[x.ndim + axis + 1 :])
        for new in range(-len(self.shape), 0):
            after = self.shape[len(self.shape) + new :]
            if after[0] == x.shape[axis] and _product(after[1:]) == behind:
                shape = [*self.shape]
                shape[new] = size
                return Reshape(tuple(shape), self.rank), new
        return None

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [np.reshape(cts[0], operands[0].shape)]

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[Layout]
    ) -> tuple[Layout, ...] | None:
        """Try the view on an array that owns one element: a copy of it would read beyond."""
        (x,), (layout,) = types, layouts
        op, old = _typical(self, x)
        if layout is None or 0 in old:
            return None
        assert isinstance(op, Reshape)
        shape: Any = (*old[: x.ndim - self.rank], *op.shape)
        view = reshaped_view(
            np.lib.stride_tricks.as_strided(np.empty(1, x.dtype), old, layout), shape
        )
        if view is None:
            return None  # a copy, in C order
        return (None if view.flags.c_contiguous else view.strides,)

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        shape = _shape_text(emitter, self.shape)
        lead = lead_axes(emitter, operands[0], self.rank)
        if lead:
            return f"{operands[0]}.reshape({operands[0]}.shape[:{lead}] + {shape})"
        return f"{operands[0]}.reshape({shape})"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls((3, 2), 2), (numbers(2, 3),)),
            (cls((), 1), (numbers(1),)),
            (cls((2, 0), 1), (numbers(0),)),
            (cls((4,), 2), (numbers(2, 2).T,)),
        ]


def reshapes_in_place(op: Reshape, type: ArrayType, layout: Layout) -> bool:
    """Whether a reshape of memory with these strides needs no copy."""
    if not type.is_static or 0 in type.shape or layout is None:
        return True
    shape: Any = type.shape
    dummy = np.lib.stride_tricks.as_strided(np.empty(1, type.dtype), shape, layout)
    new: Any = (*shape[: len(shape) - op.rank], *op.shape)
    return reshaped_view(dummy, new) is not None


@dataclass(frozen=True)
class Transpose(View):
    """The last axes permuted: result axis k (from the right list) is operand axis `axes[k]`."""

    name = "transpose"
    axes: tuple[int, ...]

    def _order(self, ndim: int) -> list[int]:
        lead = ndim - len(self.axes)
        return [*range(lead), *[a + ndim for a in self.axes]]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        return (x.with_shape([x.shape[a] for a in self._order(x.ndim)]),)

    def evaluate(self, *operands: Array) -> Any:
        return np.transpose(operands[0], self._order(np.ndim(operands[0])))

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [np.transpose(cts[0], self.inverse._order(operands[0].ndim))]

    def cut(
        self, types: Sequence[ArrayType], axes: Sequence[int | None], size: Size
    ) -> tuple[Op, int] | None:
        (axis,) = axes
        if axis is None:
            return None
        if -axis > len(self.axes):
            return self, axis
        return self, self.axes.index(axis) - len(self.axes)

    @property
    def inverse(self) -> Transpose:
        """What puts the axes back."""
        count = len(self.axes)
        return Transpose(tuple([self.axes.index(a - count) - count for a in range(count)]))

    @property
    def is_reversal(self) -> bool:
        """Whether it is `.T` of an array of exactly its axes."""
        return self.axes == tuple(range(-1, -len(self.axes) - 1, -1))

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        lead = lead_axes(emitter, operands[0], len(self.axes))
        if self.is_reversal and not lead:
            return f"{operands[0]}.T"
        order = ", ".join(map(str, self._order(lead + len(self.axes))))
        return f"{operands[0]}.transpose({order})"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls((-1, -2)), (numbers(2, 3),)),
            (cls((-2, -1, -3)), (numbers(2, 3, 2),)),
        ]


@dataclass(frozen=True)
class BroadcastTo(View):
    """The last `rank` axes broadcast to `shape`; a read-only view."""

    name = "broadcast_to"
    is_linear = True
    shape: Shape
    rank: int

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        lead, core = x.shape[: x.ndim - self.rank], x.shape[x.ndim - self.rank :]
        target = self.shape[len(self.shape) - len(core) :]
        if len(core) > len(self.shape) or any(
            a not in (1, b) for a, b in zip(core, target, strict=True)
        ):
            raise ShapeError(f"cannot broadcast {list(x.shape)} to {list(self.shape)}")
        return (x.with_shape((*lead, *self.shape)),)

    def evaluate(self, *operands: Array) -> Any:
        x = np.asarray(operands[0])
        lead, core = x.shape[: x.ndim - self.rank], x.shape[x.ndim - self.rank :]
        shape: Any = (*lead, *self.shape)
        padded = (*lead, *(1,) * (len(self.shape) - len(core)), *core)
        return np.broadcast_to(x.reshape(padded), shape)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        lead, new = operands[0].ndim - self.rank, len(self.shape) - self.rank
        ct = cts[0]
        if lead and new:  # behind leading axes, where the driver would not look for them
            ct = np.sum(ct, axis=tuple(range(lead, lead + new)))
        return [ct]  # the driver sums over other broadcast axes

    def cut(
        self, types: Sequence[ArrayType], axes: Sequence[int | None], size: Size
    ) -> tuple[Op, int] | None:
        (axis,) = axes
        if axis is None:
            return None
        if -axis > self.rank:
            return self, axis + self.rank - len(self.shape)
        shape = [*self.shape]
        shape[axis] = size
        return BroadcastTo(tuple(shape), self.rank), axis

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        if lead_axes(emitter, operands[0], self.rank):
            return super().emit(emitter, operands, out)
        function = emitter.bind(np.broadcast_to, "broadcast_to")
        return f"{function}({operands[0]}, {_shape_text(emitter, self.shape)})"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls((2, 3), 1), (numbers(3),)),
            (cls((2, 3), 2), (numbers(2, 1),)),
            (cls((2,), 0), (np.float64(1.5),)),
            (cls((0, 2), 1), (numbers(2),)),
        ]


@dataclass(frozen=True)
class Full(Op):
    """A fresh array of `shape` filled with a scalar operand."""

    name = "full"
    is_linear = True
    has_out = True
    shape: Shape

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return (types[0].with_shape(self.shape),)

    def evaluate(self, *operands: Array) -> Any:
        value = np.asarray(operands[0])
        shape: Any = self.shape
        return np.full(shape, value, value.dtype)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [cts[0]]

    def batched(self, mapped: tuple[bool, ...], *operands: Array) -> Any:
        from .index import apply

        return apply(BroadcastTo(self.shape, 0), *operands)

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        if out is not None:
            return f"{out}.fill({operands[0]})"
        function = emitter.bind(np.full, "full")
        return f"{function}({_shape_text(emitter, self.shape)}, {operands[0]})"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls((2, 3)), (np.float64(1.5),)),
            (cls((0,)), (np.float32(1.5),)),
        ]


@dataclass(frozen=True)
class Concatenate(Op):
    """The operands joined along one axis (negative)."""

    name = "concatenate"
    is_linear = True
    has_out = True
    axis: int = -1

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        first = types[0]
        axis = self.axis + first.ndim
        total: Size = 0
        for t in types:
            rest = (*t.shape[:axis], *t.shape[axis + 1 :])
            if t.dtype != first.dtype:
                raise DTypeError("concatenate takes operands of one dtype")
            if t.ndim != first.ndim or rest != (*first.shape[:axis], *first.shape[axis + 1 :]):
                shapes = " and ".join(str(list(t.shape)) for t in types)
                raise ShapeError(f"the shapes {shapes} do not fit along axis {axis}")
            total = total + t.shape[axis]
        return (first.with_shape((*first.shape[:axis], total, *first.shape[axis + 1 :])),)

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[Layout]
    ) -> tuple[Layout, ...] | None:
        from ..layout import concatenated_layout

        return (concatenated_layout(types, layouts, self.axis, self.infer(*types)[0]),)

    def evaluate(self, *operands: Array) -> Any:
        return np.concatenate(operands, axis=self.axis)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        (ct,), start = cts, 0
        parts: list[Array | Scatter | None] = []
        tail = (slice(None),) * (-1 - self.axis)
        for operand, need in zip(operands, needs, strict=True):
            stop = start + operand.shape[self.axis]
            parts.append(ct[(..., slice(start, stop), *tail)] if need else None)
            start = stop
        return parts

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        function = emitter.bind(np.concatenate, "concatenate")
        return f"{function}(({', '.join(operands)},), {self.axis}, {out})"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(-1), (numbers(2, 1), numbers(2, 2), numbers(2, 0))),
            (cls(-2), (numbers(1, 2), numbers(2, 2))),
            (cls(-1), (numbers(2),)),
        ]


@dataclass(frozen=True)
class Copy(Op):
    """A copy in C order (`order="C"`) or in the operand's own (`"K"`)."""

    name = "copy"
    has_out = True
    order: str = "K"

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return types

    def evaluate(self, *operands: Array) -> Any:
        return np.array(operands[0], order=self.order)  # type: ignore[call-overload]

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [cts[0]]

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[Layout]
    ) -> tuple[Layout, ...] | None:
        from ..layout import copied_layout

        return (copied_layout(types[0], layouts[0]),) if self.order == "K" else None

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        if out is not None:
            return f"{emitter.bind(np.copyto, 'copyto')}({out}, {operands[0]})"
        return f"{operands[0]}.copy({self.order!r})"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(), (numbers(2, 3).T,)),
            (cls("C"), (numbers(2, 3).T,)),
            (cls(), (np.asarray(1.5),)),
        ]
