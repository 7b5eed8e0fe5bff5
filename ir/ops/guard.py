"""Guards: what a program took for granted of a value when it was traced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DTypeError
from ..op import Array, Effect, Emitter, Op
from ..types import ArrayType


class Missed(Exception):
    """A guard does not hold: the program is not for this call."""


def _miss() -> None:
    raise Missed


@dataclass(frozen=True)
class Guard(Op):
    """`guard(x, expected)` computes nothing; it ends the run where x is not what is expected.

    The program is the one path through the user's function that calls with this value take. No
    effect stands before a guard, so that a run that ends there has done nothing.
    """

    name = "guard"
    effect = Effect.ORDERED
    expected: bool | int

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        kinds = "b" if isinstance(self.expected, bool) else "iu"
        if x.shape or x.dtype.kind not in kinds:
            raise DTypeError(f"{self.name} compares {x} with {self.expected}")
        return ()

    def evaluate(self, *operands: Array) -> Any:
        if operands[0] != self.expected:
            raise Missed
        return ()

    def batched(self, mapped: tuple[bool, ...], *operands: Array) -> Any:
        from .index import apply

        (x,) = operands
        if mapped[0]:
            return apply(Guard(True), np.all(x == self.expected))
        return apply(self, x)

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        (x,) = operands
        ends = f"{emitter.bind(_miss, 'miss')}()"
        if isinstance(self.expected, bool):
            return f"() if {x} else {ends}" if self.expected else f"{ends} if {x} else ()"
        return f"() if {x} == {self.expected} else {ends}"

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(True), (np.True_,)),
            (cls(False), (np.False_,)),
            (cls(-3), (np.int32(-3),)),
            (cls(2), (np.uint64(2),)),
        ]


__all__ = ["Guard", "Missed"]
