"""Ops whose results have a size known only at run time.

Such an op binds a symbol, one of its attributes: `i : i64[n] = nonzero(mask, size=new(n))`. What
comes after it mentions the symbol in its types; two sizes are the same where the symbols are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..dims import Dim, Size, Symbol
from ..errors import ShapeError, UnsupportedError
from ..op import Array, Effect, Emitter, Op, Scatter
from ..samples import numbers
from ..types import ArrayType, Shape, may_equal
from .index import apply

INDEX = np.dtype(np.int64)
SIZE = Symbol("n")
"""The size in samples."""


class Binding(Op):
    """Base of ops that bind a dim, their attribute `size`."""

    size: Symbol

    @property
    def binds(self) -> tuple[Symbol, ...]:  # type: ignore[override]
        return (self.size,)


@dataclass(frozen=True)
class Nonzero(Binding):
    """The positions of the elements that are not zero, one array of integers for each axis."""

    name = "nonzero"
    size: Symbol

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        if not types[0].shape:
            raise ShapeError("nonzero takes an array with axes")
        return (ArrayType(INDEX, (Dim.of(self.size),)),) * types[0].ndim

    def evaluate(self, *operands: Array) -> Any:
        return np.nonzero(operands[0])

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        atom = emitter.atom(operands[0])
        only = "[0]" if atom is not None and atom.type.ndim == 1 else ""
        return f"{operands[0]}.nonzero(){only}"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(SIZE), (np.array([True, False, True, True]),)),
            (cls(SIZE), (numbers(2, 3) > 0,)),
            (cls(SIZE), (np.array([0.0, 1.5, -0.0]),)),
        ]


@dataclass(frozen=True)
class AsSize(Binding):
    """An integer whose value becomes the dim `size`, which must not be negative.

    With `is_place` it is where a slice starts or stops.
    """

    name = "as_size"
    effect = Effect.MAY_RAISE
    size: Symbol
    is_place: bool = False

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        if types[0] != ArrayType(INDEX, ()):
            raise ShapeError(f"a size is an int64 scalar, not {types[0]}")
        return types

    def evaluate(self, *operands: Array) -> Any:
        return as_size(operands[0], self.is_place)

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        return f"{emitter.bind(as_size, 'as_size')}({operands[0]}, {self.is_place})"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [(cls(SIZE), (np.int64(3),)), (cls(SIZE, True), (np.int64(0),))]


def as_size(value: Any, is_place: bool = False) -> np.int64:
    """Return an integer that can be a size.

    Raises
    ------
    ShapeError
        For a negative one, as NumPy; UnsupportedError for a place, which counts from the end then.
    """
    if value < 0 and is_place:
        raise UnsupportedError(
            f"a slice starts or stops at a place that was computed, and is {value}: counting from "
            "the end is not supported there.\n  Add the size of the axis to it."
        )
    if value < 0:
        raise ShapeError("negative dimensions are not allowed")
    return np.int64(value)


@dataclass(frozen=True)
class Extent(Op):
    """The value of a dim, as an int64 scalar."""

    name = "extent"
    dim: Size

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return (ArrayType(INDEX, ()),)

    def evaluate(self, *operands: Array) -> Any:
        return np.int64(self.dim)

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        return f"{emitter.bind(np.int64, 'int64')}({emitter.size(self.dim)})"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [(cls(3), ())]


@dataclass(frozen=True)
class Iota(Op):
    """The integers from 0, `length` of them."""

    name = "iota"
    length: Size

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return (ArrayType(INDEX, (self.length,)),)

    def evaluate(self, *operands: Array) -> Any:
        return np.arange(self.length)  # type: ignore[arg-type]

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        return f"{emitter.bind(np.arange, 'arange')}({emitter.size(self.length)})"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [(cls(3), ()), (cls(0), ())]


@dataclass(frozen=True)
class Match(Op):
    """The operand, whose shape turns out to be `shape` when the program runs; else an error.

    With `reads` it stands for a mask, whose error is an IndexError.
    """

    name = "match"
    effect = Effect.MAY_RAISE
    is_view = True
    shape: Shape
    reads: bool = False

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        if not may_equal(x.shape, self.shape):
            raise ShapeError(f"{list(x.shape)} can never be {list(self.shape)}")
        return (x.with_shape(self.shape),)

    def evaluate(self, *operands: Array) -> Any:
        return matched(np.asarray(operands[0]), self.shape, self.reads)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [apply(Match(operands[0].shape), cts[0])]

    def batched(self, mapped: tuple[bool, ...], *operands: Array) -> Any:
        (x,) = operands
        return apply(Match((x.shape[0], *self.shape), self.reads), x)

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[tuple[int, ...] | None]
    ) -> tuple[tuple[int, ...] | None, ...] | None:
        return (layouts[0],)

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        sizes = ", ".join(emitter.size(d) for d in self.shape)
        function = emitter.bind(matched, "matched")
        return f"{function}({operands[0]}, ({sizes},), {self.reads})"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [(cls((2, 3)), (numbers(2, 3),))]


def matched(x: np.ndarray, shape: tuple[Any, ...], reads: bool = False) -> np.ndarray:
    """Return an array that has a shape.

    Raises
    ------
    ShapeError
        Where it has another; IndexError for a mask.
    """
    if x.shape == shape:
        return x
    if reads:
        axis = next(k for k, d in enumerate(shape) if d != x.shape[k])
        raise IndexError(
            f"boolean index did not match indexed array along axis {axis}; size of axis is "
            f"{shape[axis]} but size of corresponding boolean axis is {x.shape[axis]}"
        )
    text = f"operands could not be broadcast together with shapes {x.shape} {shape}"
    if all(1 in (a, b) or a == b for a, b in zip(x.shape, shape, strict=True)):
        text += (
            ": sizes that only the run knows are taken to be equal, so that one of them is never "
            "broadcast; use np.broadcast_to, or a scalar"
        )
    raise ShapeError(text)


__all__ = ["SIZE", "AsSize", "Binding", "Extent", "Iota", "Match", "Nonzero", "as_size", "matched"]
