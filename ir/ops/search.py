"""Places in sorted sequences, counts of integers, and interpolation between sample points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..dims import Size
from ..errors import DTypeError, ShapeError
from ..op import Array, Cost, Emitter, Op, Scatter
from ..samples import numbers
from ..types import ArrayType
from .batched_index import iota
from .index import AT, Index, IndexAdd, apply

PLACES = np.dtype(np.intp)


def check_lead(name: str, whole: ArrayType, lead: tuple[Any, ...]) -> None:
    """Raise where an operand does not begin with the batch axes of another."""
    if whole.shape[: len(lead)] != lead:
        raise ShapeError(f"{name} takes operands with the leading axes {list(lead)}, not {whole}")


@dataclass(frozen=True)
class SearchSorted(Op):
    """Where values go in an ascending sequence: `a : T[*b, n], v : T[*b, *s] -> i64[*b, *s]`."""

    name = "searchsorted"
    cost = Cost.TRANSCENDENTAL
    side: Literal["left", "right"] = "left"

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        a, v = types
        if a.dtype != v.dtype:
            raise DTypeError(f"{self.name} takes two operands of one dtype, not {types}")
        check_lead(self.name, v, a.shape[:-1])
        return (v.with_dtype(PLACES),)

    def evaluate(self, *operands: Array) -> Any:
        a, v = operands
        if a.ndim == 1:
            return np.searchsorted(a, v, self.side)
        result = np.empty(v.shape, PLACES)
        for k in np.ndindex(a.shape[:-1]):
            result[k] = np.searchsorted(a[k], v[k], self.side)
        return result

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        a = np.sort(numbers(4))
        return [
            (cls(), (a, numbers(2, 3, seed=1))),
            (cls("right"), (a, np.float64(a[2]))),
            (cls("right"), (np.array([1, 2, 2, 5]), np.array([2, 0, 9]))),
            (cls(), (np.sort(numbers(2, 3)), numbers(2, 4))),
        ]


def counts(length: int, block: int, x: Array, weights: Array | None = None) -> Array:
    """Return how often each of 0 .. length - 1 occurs along the last axis, or sums of weights."""
    if x.ndim == 1 and 0 < x.size <= (block or x.size):
        return np.bincount(x, weights, length)
    result = np.zeros((*x.shape[:-1], length), PLACES if weights is None else np.float64)
    if x.size:
        for k in np.ndindex(x.shape[:-1]):
            for start in range(0, x.shape[-1], block or x.shape[-1]):
                part = slice(start, start + block if block else None)
                pieces = None if weights is None else weights[k][part]
                result[k] += np.bincount(x[k][part], pieces, length)
    return result


@dataclass(frozen=True)
class BinCount(Op):
    """How often each of 0 .. length - 1 occurs: `x : i64[*b, n] -> i64[*b, length]`.

    With a second operand, weights of float64, their sums; where `block` is given the sums of so
    many at a time, added up.
    """

    name = "bincount"
    is_linear = True
    cost = Cost.CHEAP
    length: Size
    block: int = 0

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        x, *weights = types
        if x.dtype.kind not in "iu" or any(w.dtype != np.float64 for w in weights):
            raise DTypeError(f"{self.name} takes integers, and weights of float64, not {types}")
        if any(w.shape != x.shape for w in weights):
            raise ShapeError("The weights and list don't have the same length.")
        dtype = np.dtype(np.float64) if weights else PLACES
        return (ArrayType(dtype, (*x.shape[:-1], self.length)),)

    def evaluate(self, *operands: Array) -> Any:
        length: Any = self.length
        return counts(length, self.block, *operands)

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        length = emitter.size(self.length)
        arguments = ", ".join([length, str(self.block), *operands])
        return f"{emitter.bind(counts, 'bincount')}({arguments})"

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [None, np.take_along_axis(cts[0], operands[0], -1)]

    @property
    def has_gradient(self) -> bool:
        """With respect to the weights."""
        return True

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        x = np.array([2, 0, 2, 1])
        return [
            (cls(3), (x,)),
            (cls(5), (x, numbers(4))),
            (cls(4, block=3), (x, numbers(4))),
            (cls(3), (np.array([[0, 2], [1, 1]]), numbers(2, 2))),
            (cls(2), (np.zeros(0, np.int64), np.zeros(0))),
        ]


@dataclass(frozen=True)
class Interp(Op):
    """Piecewise linear interpolation, `np.interp(x, xp, fp, left, right)`.

    x : f64[*b, *s], xp : f64[*b, n], fp : T[*b, n], left : T[*b], right : T[*b] -> T[*b, *s]
    """

    name = "interp"
    cost = Cost.TRANSCENDENTAL

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        x, xp, fp, left, right = types
        if x.dtype != np.float64 or xp.dtype != np.float64:
            raise DTypeError(f"{self.name} takes points of float64, not {x} and {xp}")
        if fp.dtype.char not in "dD" or {left.dtype, right.dtype} != {fp.dtype}:
            raise DTypeError(f"{self.name} takes values of one wide dtype, not {fp}")
        if xp.shape != fp.shape:
            raise ShapeError("fp and xp are not of the same length.")
        if xp.shape[-1] == 0:
            raise ShapeError("array of sample points is empty")
        check_lead(self.name, x, xp.shape[:-1])
        return (x.with_dtype(fp.dtype),)

    def evaluate(self, *operands: Array) -> Any:
        x, xp, fp, left, right = operands
        if xp.ndim == 1:
            return np.interp(x, xp, fp, left, right)
        result = np.empty(x.shape, fp.dtype)
        for k in np.ndindex(xp.shape[:-1]):
            result[k] = np.interp(x[k], xp[k], fp[k], left[k], right[k])
        return result

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        xp = emitter.atom(operands[1])
        if xp is None or xp.type.ndim != 1:
            return super().emit(emitter, operands, out)
        return f"{emitter.bind(np.interp, 'interp')}({', '.join(operands)})"

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """Take the slope on the right of a sample point, on the left of the last one."""
        _, xp, fp, *_ = operands
        lead = xp.shape[:-1]
        flat = (*lead, math.prod(operands[0].shape[len(lead) :]))
        x, ct = np.reshape(operands[0], flat), np.reshape(cts[0], flat)
        below, above = x < xp[..., :1], x > xp[..., -1:]
        inner = np.where(below | above | np.isnan(x), 0, ct)
        outer = [np.sum(np.where(m, ct, 0), axis=-1) for m in (below, above)]
        if xp.shape[-1] == 1:
            return [None, None, np.sum(inner, axis=-1, keepdims=True), *outer]
        last = xp.shape[-1] - 2
        j = np.clip(apply(SearchSorted("right"), xp, x) - 1, 0, last)
        x0, x1, f0, f1 = (_along(v, p) for v in (xp, fp) for p in (j, j + 1))
        step = x1 - x0
        twice = step == 0
        step = np.where(twice, 1, step)
        slope = np.where(twice, 0, (f1 - f0) / step)
        part = np.where(twice, 1, (x - x0) / step)
        into_x = inner * slope
        into_xp = into_fp = None
        if needs[1]:
            real = np.real(into_x)
            into_xp = _spread(xp, (j, real * (part - 1)), (j + 1, -real * part))
        if needs[2]:
            into_fp = _spread(fp, (j, inner * (1 - part)), (j + 1, inner * part))
        return [np.reshape(into_x, operands[0].shape), into_xp, into_fp, *outer]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        xp = np.sort(numbers(5, low=-1.5, high=1.5))
        ends = (np.float64(0.25), np.float64(-0.75))
        return [
            (cls(), (numbers(2, 3), xp, numbers(5, seed=1), *ends)),
            (cls(), (np.float64(0.1), xp, numbers(5, seed=1), *ends)),
            (cls(), (numbers(3), xp[:1], numbers(1, seed=1), *ends)),
            (cls(), (numbers(0), xp, numbers(5, seed=1), *ends)),
            (
                cls(),
                (numbers(6), xp, numbers(5, dtype="c16"), np.complex128(1j), np.complex128(2)),
            ),
            (
                cls(),
                (numbers(2, 4), np.sort(numbers(2, 3)), numbers(2, 3), numbers(2), numbers(2)),
            ),
        ]


def _places(x: Array, j: Array) -> tuple[Any, ...]:
    """Return the index that reads along the last axis at j."""
    grids = []
    for axis, size in enumerate(x.shape[:-1]):
        grids.append(np.reshape(iota(size, x), (size, *[1] * (x.ndim - axis - 1))))
    return (*grids, j)


def _along(x: Array, j: Array) -> Array:
    return apply(Index((AT,) * len(x.shape), gather=True), x, *_places(x, j))


def _spread(like: Array, *parts: tuple[Array, Array]) -> Array:
    """Return zeros to which values are added along the last axis, at their places."""
    total = np.zeros_like(like)
    op = IndexAdd((AT,) * len(like.shape))
    for j, value in parts:
        total = apply(op, total, value.astype(like.dtype), *_places(like, j))
    return total
