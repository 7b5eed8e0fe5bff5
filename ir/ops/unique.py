"""Ops on arrays as sets, and repetitions: their results have as many elements as turn up."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..dims import Dim, Size, Symbol
from ..errors import ShapeError
from ..op import Array, Cost, Emitter, Op, Scatter
from ..samples import numbers
from ..types import ArrayType
from .dynamic import INDEX, SIZE, Binding
from .index import AT, IndexAdd, Item, Span, apply


@dataclass(frozen=True)
class Unique(Binding):
    """What `np.unique` returns: the values, then those of positions, inverse and counts asked for.

    `axis` counts from the left, as NumPy's; None for the elements of the whole array.
    """

    name = "unique"
    cost = Cost.TRANSCENDENTAL
    size: Symbol
    index: bool = False
    inverse: bool = False
    counts: bool = False
    axis: int | None = None
    equal_nan: bool = True
    ordered: bool = True

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        many = Dim.of(self.size)
        if self.axis is None:
            shape: tuple[Size, ...] = (many,)
            inverse = x.shape
        else:
            shape = (*x.shape[: self.axis], many, *x.shape[self.axis + 1 :])
            inverse = x.shape[self.axis : self.axis + 1]
        of_each = ArrayType(INDEX, (many,))
        return (
            x.with_shape(shape),
            *([of_each] if self.index else []),
            *([ArrayType(INDEX, inverse)] if self.inverse else []),
            *([of_each] if self.counts else []),
        )

    def evaluate(self, *operands: Array) -> Any:
        order = {} if self.ordered else {"sorted": False}
        unique: Any = np.unique
        found = unique(
            operands[0],
            self.index,
            self.inverse,
            self.counts,
            self.axis,
            equal_nan=self.equal_nan,
            **order,
        )
        return tuple(found) if isinstance(found, tuple) else (found,)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        (x,), ct, values = operands, cts[0], results[0]
        axis = 0 if self.axis is None else self.axis
        flat = np.reshape(x, (-1,)) if self.axis is None else x
        places = apply(Places(axis), flat, values)

        def add(running: Array) -> Array:
            into = np.reshape(running, (-1,)) if self.axis is None else running
            tail: list[Item] = [Span(0, d, 1) for d in into.shape[axis + 1 :]]
            head: list[Item] = [Span(0, d, 1) for d in into.shape[:axis]]
            added = apply(IndexAdd((*head, AT, *tail)), into, ct, places)
            return np.reshape(added, running.shape)

        return [Scatter(add)]

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        only = "" if len(self.infer(_ANY)) > 1 else "[0]"
        return super().emit(emitter, operands, out) + only

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        n, repeated = SIZE, np.array([2.5, 1.0, 2.5, -1.0])
        return [
            (cls(n), (numbers(4),)),
            (cls(n, index=True, inverse=True, counts=True), (repeated.astype(int),)),
            (cls(n, counts=True, equal_nan=False), (numbers(2, 2),)),
            (cls(n, inverse=True, axis=1), (numbers(2, 3),)),
            (cls(n, axis=0), (numbers(0),)),
        ]


_ANY = ArrayType(INDEX, (1,))


@dataclass(frozen=True)
class Places(Op):
    """For each value along an axis the first position in `x` where it stands; it stands there."""

    name = "places"
    cost = Cost.TRANSCENDENTAL
    axis: int

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return (ArrayType(INDEX, (types[1].shape[self.axis],)),)

    def evaluate(self, *operands: Array) -> Any:
        x, values = (np.moveaxis(np.asarray(a), self.axis, 0) for a in operands)
        if not len(values):
            return np.zeros(0, np.int64)
        rows = [a.reshape(len(a), -1) for a in (x, values)]
        joined = np.concatenate(rows)
        ids = functools.reduce(_refined, joined.T, np.zeros(len(joined), np.int64))
        of_x, of_values = ids[: len(x)], ids[len(x) :]
        order = np.argsort(of_x, kind="stable")
        return order[np.searchsorted(of_x[order], of_values)]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        x = np.array([2.5, 1.0, 2.5, np.nan])
        rows = np.array([[1, 2], [0, 2], [1, 2]])
        return [(cls(0), (x, np.array([np.nan, 2.5, 1.0]))), (cls(0), (rows, rows[1:]))]


def _refined(ids: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Return a number for each pair of an id and an element, equal where the pairs are."""
    _, found = np.unique(column, return_inverse=True)
    _, pairs = np.unique(ids * (len(column) + 1) + found, return_inverse=True)
    result: np.ndarray = pairs
    return result


@dataclass(frozen=True)
class Intersect(Binding):
    """What `np.intersect1d` returns; elements that must be equal have no derivative."""

    name = "intersect"
    cost = Cost.TRANSCENDENTAL
    size: Symbol
    assume_unique: bool = False
    indices: bool = False

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        shape = (Dim.of(self.size),)
        dtype = np.result_type(*[t.dtype for t in types])
        places = [ArrayType(INDEX, shape)] * 2 if self.indices else []
        return (ArrayType(dtype, shape), *places)

    def evaluate(self, *operands: Array) -> Any:
        intersect: Any = np.intersect1d
        found = intersect(*operands, self.assume_unique, self.indices)
        return found if isinstance(found, tuple) else (found,)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        raise NotImplementedError("elements that are equal are so at single points only")

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        return super().emit(emitter, operands, out) + ("" if self.indices else "[0]")

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        a, b = np.array([3, 1, 3, 2]), np.array([2, 5, 3])
        return [(cls(SIZE), (a, b)), (cls(SIZE, True, True), (a[1:], b))]


@dataclass(frozen=True)
class Lone(Op):
    """Whether an element of a sorted array differs from both of its neighbours."""

    name = "lone"

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        if types[0].ndim != 1:
            raise ShapeError(f"{self.name} takes one axis, not {types[0]}")
        return (types[0].with_dtype(np.dtype(bool)),)

    def evaluate(self, *operands: Array) -> Any:
        x = np.asarray(operands[0])
        edge = np.ones(min(len(x), 1), bool)
        differs = np.concatenate([edge, x[1:] != x[:-1], edge])
        return differs[1:] & differs[:-1] if len(x) else edge

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [(cls(), (np.array([1.0, 1.0, 2.0, 3.0, 3.0]),)), (cls(), (np.zeros(0),))]


@dataclass(frozen=True)
class Repeats(Binding):
    """The positions of an axis, each as often as its count says."""

    name = "repeats"
    size: Symbol

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return (ArrayType(INDEX, (Dim.of(self.size),)),)

    def evaluate(self, *operands: Array) -> Any:
        return np.repeat(np.arange(len(operands[0])), operands[0])

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [(cls(SIZE), (np.array([2, 0, 3]),))]


__all__ = ["Intersect", "Lone", "Places", "Repeats", "Unique"]
