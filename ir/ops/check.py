"""Conditions on values that a program checks when it runs, and values with another's derivative."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import errors
from ..errors import DTypeError
from ..op import Array, Effect, Op, Scatter
from ..samples import numbers
from ..types import ArrayType


@dataclass(frozen=True)
class Require(Op):
    """`require(x, holds)` is x itself; it raises `error(message)` where `holds` is false.

    `error` names an exception of Python or of pullback. The value goes through the check, so that
    what is computed from it never runs without it.
    """

    name = "require"
    is_view = True
    effect = Effect.MAY_RAISE
    error: str
    message: str

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        x, holds = types
        if holds.dtype.kind != "b" or holds.shape:
            raise DTypeError(f"{self.name} takes one bool, not {holds}")
        return (x,)

    def evaluate(self, *operands: Array) -> Array:
        if not operands[1]:
            found = getattr(builtins, self.error, None) or getattr(errors, self.error)
            raise found(self.message)
        return operands[0]

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[tuple[int, ...] | None]
    ) -> tuple[tuple[int, ...] | None, ...] | None:
        return (layouts[0],)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [cts[0], None]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        op = cls("ValueError", "x must be positive")
        return [(op, (numbers(2, 3), np.True_)), (op, (np.float32(1.5), np.True_))]


@dataclass(frozen=True)
class Graft(Op):
    """`graft(value, like)` is the value, with the derivative of `like`.

    For two formulas of one function: the value has the bits of the first, the derivative is that
    of the second, which is the better behaved.
    """

    name = "graft"
    is_view = True

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        if types[0] != types[1]:
            raise DTypeError(f"{self.name} takes two operands of one type, not {types}")
        return (types[0],)

    def evaluate(self, *operands: Array) -> Array:
        return operands[0]

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[tuple[int, ...] | None]
    ) -> tuple[tuple[int, ...] | None, ...] | None:
        return (layouts[0],)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [None, cts[0]]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        # Integers: differences of the value would not be the derivative, which is the other's.
        return [(cls(), (np.arange(3), np.arange(3)))]
