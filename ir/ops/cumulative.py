"""Running reductions along one axis, and the linear recurrence that differentiates them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..errors import DTypeError
from ..op import ELEMENTWISE, Array, Cost, Emitter, Op, Scatter
from ..samples import numbers
from ..types import ArrayType, Layout
from .index import apply


def along(axis: int, part: slice) -> tuple[Any, ...]:
    """Return an index that takes `part` of a negative axis."""
    return (..., part, *[slice(None)] * (-1 - axis))


def first(x: Array, axis: int) -> Array:
    """Return the first element along an axis, which stays."""
    return x[along(axis, slice(0, 1))]


def but_first(x: Array, axis: int) -> Array:
    """Return all elements along an axis but the first."""
    return x[along(axis, slice(1, None))]


def but_last(x: Array, axis: int) -> Array:
    """Return all elements along an axis but the last."""
    return x[along(axis, slice(0, -1))]


@dataclass(frozen=True)
class LinearRecurrence(Op):
    """`s[j] = c[j] + a[j] * s[j - 1]` along one axis (negative); `backward`: `s[j + 1]` instead.

    Operands are a and c, of one type; `a` at the end where the recurrence starts is not read.
    """

    name = "linear_recurrence"
    cost = Cost.CHEAP
    axis: int
    backward: bool = False

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        if types[0] != types[1]:
            raise DTypeError(f"{self.name} takes two operands of one type, not {types}")
        return (types[0],)

    def evaluate(self, *operands: Array) -> Any:
        a = np.moveaxis(np.asarray(operands[0]), self.axis, 0)
        result = np.array(operands[1])
        s = np.moveaxis(result, self.axis, 0)
        steps = range(len(s))[::-1] if self.backward else range(len(s))
        for before, now in itertools.pairwise(steps):
            s[now] += a[now] * s[before]
        return result

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """Run the other way: `t[j] = ct[j] + a[j + 1] t[j + 1]`; dc = t, da[j] = t[j] s[j - 1]."""
        (a, _), (s,), axis = operands, results, self.axis
        none = np.zeros_like(first(a, axis))
        if self.backward:
            shifted = np.concatenate([none, but_last(a, axis)], axis)
            neighbour = np.concatenate([but_first(s, axis), none], axis)
        else:
            shifted = np.concatenate([but_first(a, axis), none], axis)
            neighbour = np.concatenate([none, but_last(s, axis)], axis)
        into_c = apply(LinearRecurrence(axis, not self.backward), shifted, cts[0])
        return [into_c * neighbour if needs[0] else None, into_c]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(-1), (numbers(2, 4), numbers(2, 4, seed=1))),
            (cls(-2, backward=True), (numbers(3, 2), numbers(3, 2, seed=1))),
            (cls(-1), (numbers(0), numbers(0))),
            (cls(-1, backward=True), (numbers(1), numbers(1))),
            (cls(-1), (numbers(3, dtype="c16"), numbers(3, dtype="c16", seed=1))),
        ]


class Running(Op):
    """Base of ops that a ufunc's `accumulate` computes: they keep the memory order."""

    axis: int

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[Layout]
    ) -> tuple[Layout, ...] | None:
        from ..layout import elementwise_layout

        itemsize = self.infer(*types)[0].dtype.itemsize
        return (elementwise_layout(types[:1], layouts[:1], itemsize),)


@dataclass(frozen=True)
class Cumulative(Running):
    """The running reduction along one axis (negative): `x : T[..., n] -> T[..., n]`."""

    cost = Cost.CHEAP
    has_out = True
    ufunc: ClassVar[np.ufunc]
    axis: int

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return types

    def evaluate(self, *operands: Array) -> Any:
        x = np.asarray(operands[0])
        return self.ufunc.accumulate(x, axis=self.axis, dtype=x.dtype)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        """Run back over `y[j] = f(y[j - 1], x[j])` with the rules of the ufunc f."""
        (x,), (y,), axis = operands, results, self.axis
        rules = ELEMENTWISE[self.ufunc].rules
        assert rules is not None
        assert rules[0] is not None
        assert rules[1] is not None
        step = (but_first(y, axis), but_last(y, axis), but_first(x, axis))
        slopes = rules[0](np.ones_like(step[0]), *step)
        none = np.zeros_like(first(x, axis))
        shifted = np.concatenate([slopes, none], axis)
        total = apply(LinearRecurrence(axis, backward=True), shifted, cts[0])
        rest = rules[1](but_first(total, axis), *step)
        return [np.concatenate([first(total, axis), rest], axis)]

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        function = emitter.bind(self.ufunc.accumulate, f"{self.ufunc.__name__}_accumulate")
        return f"{function}({operands[0]}, {self.axis}, {operands[0]}.dtype, {out})"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(-1), (numbers(2, 4),)),
            (cls(-2), (numbers(3, 2, 2),)),
            (cls(-1), (numbers(0),)),
            (cls(-1), (numbers(1),)),
            (cls(-1), (numbers(3, dtype="f4"),)),
        ]


@dataclass(frozen=True)
class CumSum(Cumulative):
    """The running sum."""

    name = "cumsum"
    is_linear = True
    ufunc = np.add

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [np.flip(np.cumsum(np.flip(cts[0], self.axis), axis=self.axis), self.axis)]


@dataclass(frozen=True)
class CumProd(Cumulative):
    """The running product; its gradient divides by nothing, so it is right at zeros."""

    name = "cumprod"
    ufunc = np.multiply

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [*super().samples(), (cls(-1), (np.array([2.0, 0.0, 3.0, 0.0, -1.0]),))]


@dataclass(frozen=True)
class CumMax(Cumulative):
    """The running maximum."""

    name = "cummax"
    ufunc = np.maximum


@dataclass(frozen=True)
class CumMin(Cumulative):
    """The running minimum."""

    name = "cummin"
    ufunc = np.minimum


@dataclass(frozen=True)
class CumLogAddExp(Cumulative):
    """The running `log(sum(exp(x)))`."""

    name = "cumlogaddexp"
    cost = Cost.TRANSCENDENTAL
    ufunc = np.logaddexp
