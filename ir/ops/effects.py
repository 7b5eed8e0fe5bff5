"""Effects on what is outside of the program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..op import Array, Effect, Op
from ..samples import numbers
from ..types import ArrayType, Layout


@dataclass(frozen=True)
class WriteBack(Op):
    """`x` itself, after its memory has got a new content: the writes into an argument.

    It comes last in a program, when nothing more can raise.
    """

    name = "write_back"
    effect = Effect.ORDERED
    is_view = True

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        x, content = types
        if x != content:
            raise ShapeError(f"{self.name} writes {content} into {x}")
        return (x,)

    def evaluate(self, *operands: Array) -> Any:
        x, content = operands
        if content is not x:
            np.copyto(x, content)
        return x

    def layouts(
        self, types: Sequence[ArrayType], layouts: Sequence[Layout]
    ) -> tuple[Layout, ...] | None:
        return (layouts[0],)

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [(cls(), (numbers(2, 3), numbers(2, 3, seed=1)))]
