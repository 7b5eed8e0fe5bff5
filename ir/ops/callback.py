"""Calls of Python functions that the program knows nothing about."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..op import Array, Effect, Op, Zero
from ..samples import numbers
from ..types import ArrayType
from .index import apply

OPERATIONS = 10**9
"""What a call is taken to cost: nobody computes it again to save memory."""


class Callee(ABC):
    """What is called: it takes arrays and returns as many as there are results.

    `backward` is called for the cotangents of the inexact operands, with the operands, the results
    and the cotangents of the results; None where there is no such function, and `refusal` says so.
    """

    name = "callback"
    backward: Callee | None = None
    refusal = "it has no vjp"

    @abstractmethod
    def __call__(self, types: Sequence[ArrayType], *operands: Any) -> tuple[Any, ...]:
        """Return arrays of these types, which belong to the caller."""


@dataclass(frozen=True)
class Callback(Op):
    """The results of an opaque Python function, which has no effects but may raise."""

    name = "callback"
    effect = Effect.MAY_RAISE
    callee: Callee
    types: tuple[ArrayType, ...]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return self.types

    def evaluate(self, *operands: Array) -> Any:
        found = self.callee(self.types, *operands)
        return found[0] if len(found) == 1 else found

    @property
    def has_gradient(self) -> bool:
        """Whether a derivative may flow: without a rule it is refused, never taken to be zero."""
        return True

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | None]:
        backward = self.callee.backward
        if backward is None:
            raise NotImplementedError(self.callee.refusal)
        wanted = [k for k, o in enumerate(operands) if o.dtype.kind in "fc"]
        types = tuple([ArrayType(operands[k].dtype, operands[k].shape) for k in wanted])
        given = [ct.instantiate() if isinstance(ct, Zero) else ct for ct in cts]
        made = apply(Callback(backward, types), *operands, *results, *given)
        parts = made if isinstance(made, tuple) else (made,)
        answer: list[Array | None] = [None] * len(operands)
        for k, part in zip(wanted, parts, strict=True):
            answer[k] = part if needs[k] else None
        return answer

    def batched(self, mapped: tuple[bool, ...], *operands: Array) -> Any:
        """Return None: the function is called for each example."""
        return None

    def flops(self, operands: Sequence[ArrayType], results: Sequence[ArrayType]) -> int:
        return OPERATIONS

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        x = numbers(2, 3)
        return [(cls(_Cube(), (ArrayType(x.dtype, x.shape),)), (x,))]


class _Cube(Callee):
    """The cube, its derivative, and the derivative of that, for samples."""

    name = "cube"

    def __init__(self, order: int = 0) -> None:
        self.order = order
        if order < 2:
            self.backward = _Cube(order + 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Cube) and other.order == self.order

    def __hash__(self) -> int:
        return self.order

    def __call__(self, types: Sequence[ArrayType], *operands: Any) -> tuple[Any, ...]:
        x, *others = map(np.asarray, operands)
        if self.order == 0:
            return (x**3,)
        if self.order == 1:
            _, ct = others
            return (3 * x**2 * ct,)
        result, ct, _, outer = others
        return 6 * x * ct * outer, np.zeros_like(result), 3 * x**2 * outer


__all__ = ["Callback", "Callee"]
