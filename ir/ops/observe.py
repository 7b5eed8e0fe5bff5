"""Observation: whoever evaluates a program is told of a value, and in reverse of its cotangent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..op import Array, Effect, Op, Scatter
from ..samples import numbers
from ..types import ArrayType, Layout
from .index import apply


@dataclass(frozen=True)
class Observe(Op):
    """The operand itself, of which the interpreter's observer is told each time it is computed.

    `site` is the number under which the observer knows the value; with `cotangent` it is told of
    the value's cotangent, by the equation that the rule makes. It is ordered, so that no loop
    computes it again on the way back.
    """

    name = "observe"
    effect = Effect.ORDERED
    is_view = True
    site: int
    cotangent: bool = False

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        (x,) = types
        return (x,)

    def evaluate(self, *operands: Array) -> Any:
        return operands[0]

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[Layout]
    ) -> tuple[Layout, ...] | None:
        return (layouts[0],)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | Scatter | None]:
        return [cts[0] if self.cotangent else apply(Observe(self.site, True), cts[0])]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(0), (numbers(2, 3),)),
            (cls(1, True), (numbers(2, 3, dtype=np.float32),)),
            (cls(2), (np.float64(1.5),)),
        ]
