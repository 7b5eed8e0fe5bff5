"""Ufuncs reduced over segments of an axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..op import ELEMENTWISE, Array, Cost, Elementwise, Emitter, Op, Scatter
from ..samples import numbers
from ..types import ArrayType
from .cumulative import LinearRecurrence, but_first, but_last, first
from .index import AT, IndexAdd, Span, apply
from .ufunc import EXTREMES, LOGICAL, SYMMETRIC, is_differentiable


@dataclass(frozen=True)
class UfuncReduceAt(Op):
    """`function.reduceat` along one axis (negative), in `dtype`.

    Segments start at `positions`, or, where that is None, at those of a second operand.
    """

    name = "ufunc_reduceat"
    has_out = True
    cost = Cost.CHEAP
    function: Elementwise
    axis: int
    dtype: np.dtype
    positions: tuple[int, ...] | None = None

    @property
    def has_gradient(self) -> bool:
        """As the ufunc."""
        return is_differentiable(self.function, self.dtype)

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        shape = list(types[0].shape)
        shape[self.axis] = types[1].shape[0] if self.positions is None else len(self.positions)
        return (ArrayType(self.dtype, shape),)

    def _starts(self, operands: Sequence[Array]) -> Array:
        return operands[1] if self.positions is None else np.array(self.positions, np.intp)

    def evaluate(self, *operands: Array) -> Any:
        x, starts = np.asarray(operands[0]), self._starts(operands)
        dtype = None if self.function.ufunc in LOGICAL or x.dtype == self.dtype else self.dtype
        return self.function.ufunc.reduceat(x, starts, axis=self.axis, dtype=dtype)

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        function = self.function
        call = emitter.bind(function.ufunc.reduceat, f"{function.name}_reduceat")
        starts = operands[1] if self.positions is None else emitter.bind(self._starts(()), "starts")
        dtype = emitter.bind(self.dtype, str(self.dtype))
        dtype = "None" if function.ufunc in LOGICAL else dtype
        return f"{call}({operands[0]}, {starts}, {self.axis}, {dtype}, {out})"

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        x, axis, name = operands[0], self.axis, self.function.name
        if self.positions is None:
            raise NotImplementedError(
                f"{name}.reduceat with positions known only at run time has no gradient rule"
            )
        if x.dtype != self.dtype:
            x = x.astype(self.dtype)
        into = [
            (places, self._parts(segments, places, cts[0], results[0], x))
            for places, segments in self._groups(x.shape[axis])
        ]
        if len(into) == 1 and len(into[0][0]) == x.shape[axis]:
            return [into[0][1]]
        add = IndexAdd((AT, *[Span(0, d, 1) for d in x.shape[x.ndim + axis + 1 :]]))

        def added(running: Array) -> Array:
            for places, part in into:
                running = apply(add, running, part.astype(running.dtype), places)
            return running

        return [Scatter(added)]

    def _groups(self, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return elements and the segment of each, in groups of segments that do not overlap."""
        starts = np.array(self.positions, np.intp)
        stops = np.append(starts[1:], size)[: len(starts)]
        stops = np.where(stops > starts, stops, starts + 1)
        borders = np.flatnonzero(starts[1:] < stops[:-1]) + 1
        groups = []
        for chosen in np.split(np.arange(len(starts)), borders):
            each = [np.arange(int(starts[k]), int(stops[k])) for k in chosen]
            segments = np.repeat(chosen, [len(e) for e in each])
            groups.append((np.concatenate([starts[:0], *each]), segments))
        return groups

    def _parts(
        self, segments: np.ndarray, places: np.ndarray, ct: Array, y: Array, x: Array
    ) -> Array:
        """Return the cotangents of the elements at `places`."""
        axis = self.axis
        is_start = np.append(True, np.diff(segments) > 0)[: len(segments)]
        ct, y = [np.take(v, segments, axis=axis) for v in (ct, y)]
        parts = np.take(x, places, axis=axis)
        shape = (-1, *[1] * (-1 - axis))
        return self._into(ct, y, parts, is_start.reshape(shape), np.flatnonzero(is_start))

    def _into(
        self, ct: Array, y: Array, x: Array, is_start: np.ndarray, starts: np.ndarray
    ) -> Array:
        """Return the cotangent of the segments' elements; ct and y are those of their results."""
        ufunc, axis = self.function.ufunc, self.axis
        if ufunc in SYMMETRIC:
            return SYMMETRIC[ufunc](ct, y, x)
        if ufunc in EXTREMES:
            chosen = (x == y).astype(x.dtype)
            count = np.add.reduceat(chosen, starts, axis=axis)
            sizes = np.diff(np.append(starts, is_start.size))
            return chosen * (ct / np.take(count, np.repeat(np.arange(len(starts)), sizes), axis))
        if ufunc is np.subtract:
            return np.where(is_start, ct, -ct)
        if ufunc is np.multiply:
            return ct * self._others(x, is_start)
        if ufunc is np.divide:
            rest = self._others(np.where(is_start, 1, x), is_start)
            return np.where(is_start, ct / rest, -(ct / x) * y)
        raise NotImplementedError(f"{self.function.name}.reduceat has no gradient rule")

    def _others(self, x: Array, is_start: np.ndarray) -> Array:
        """Return, for each element, the product of the other ones of its segment."""
        axis = self.axis
        one = np.ones_like(first(x, axis))
        is_end = np.roll(is_start, -1, axis)
        before = np.where(is_start, 0, np.concatenate([one, but_last(x, axis)], axis))
        after = np.where(is_end, 0, np.concatenate([but_first(x, axis), one], axis))
        unit = np.ones_like(x)
        left = apply(LinearRecurrence(axis), before, np.where(is_start, unit, 0))
        right = apply(LinearRecurrence(axis, backward=True), after, np.where(is_end, unit, 0))
        return left * right

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        double, x = np.dtype(float), numbers(2, 5, low=0.5, high=1.5)
        ufuncs = (np.add, np.multiply, np.maximum, np.logaddexp, np.subtract, np.divide, np.hypot)
        found: list[tuple[Op, tuple[Array, ...]]] = [
            (cls(ELEMENTWISE[u], -1, double, (0, 2, 3)), (x,)) for u in ufuncs
        ]
        add = ELEMENTWISE[np.add]
        return [
            *found,
            (cls(add, -2, double, (1, 3)), (numbers(4, 2),)),
            (cls(add, -1, double, (0, 3, 1)), (numbers(2, 5),)),
            (cls(ELEMENTWISE[np.multiply], -2, double, (2, 0)), (numbers(3, 2),)),
            (cls(add, -1, double, ()), (numbers(2, 3),)),
            (cls(add, -1, np.dtype(np.intp)), (np.arange(4), np.array([0, 2]))),
            (cls(add, -1, np.dtype("f4"), (0, 1)), (numbers(3, dtype="f4"),)),
        ]
