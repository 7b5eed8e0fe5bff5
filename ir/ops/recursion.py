"""Recursion: a region that calls itself, and records of what an activation keeps for its adjoint.

The type of a record is a scalar of a dtype of its own, `record`: a record may hold records, of the
activations that the recorded one has called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core import Function
from ..dims import Size
from ..errors import DTypeError, VerificationError
from ..op import Array, Effect, Emitter, Op, Zero
from ..types import RECORD, ArrayType, is_tape
from .control import Enclosing, function_effect
from .index import apply
from .tape import TapeNew

_RECORD = ArrayType(RECORD, ())


@dataclass(frozen=True)
class Recursion(Enclosing):
    """Run `body`, in which a `recur` of the same label runs it again.

    Operands are what the body takes, results what it returns. Of the first `carries` operands the
    first results are later versions, arrays of the same types: they may be computed in the memory
    of the operands. `dims` are passed to the body's own dims, in each activation the same.
    """

    name = "recursion"
    body: Function
    label: str
    carries: int = 0
    dims: tuple[Size, ...] = ()

    @property
    def effect(self) -> Effect:  # type: ignore[override]
        """It may recurse without end, so it is never speculated."""
        effect = super().effect
        return Effect.MAY_RAISE if effect is Effect.PURE else effect


@dataclass(frozen=True)
class Recur(Op):
    """Run the body of the `recursion` around that has a label; the types make inference local.

    `ordered` says that the body has ordered effects.
    """

    name = "recur"
    label: str
    types: tuple[ArrayType, ...]
    carries: int = 0
    ordered: bool = False

    @property
    def effect(self) -> Effect:  # type: ignore[override]
        """It may recurse without end, so it is never speculated."""
        return Effect.ORDERED if self.ordered else Effect.MAY_RAISE

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return self.types

    def check(self, body: Function, operands: Sequence[ArrayType]) -> None:
        """Raise where the call does not fit the body that it runs.

        Raises
        ------
        VerificationError
        """
        for what, given, expected in (
            ("passes", operands, [p.type for p in body.params]),
            ("takes", self.types, [r.type for r in body.results]),
        ):
            if list(given) != list(expected):
                raise VerificationError(
                    f"recur {what} {_texts(given)}, but {self.label} has {_texts(expected)}"
                )
        if not self.ordered and function_effect(body) is Effect.ORDERED:
            raise VerificationError(f"recur has no order, but {self.label} has ordered effects")


def _texts(types: Sequence[ArrayType]) -> str:
    return ", ".join(map(str, types)) or "nothing"


@dataclass(frozen=True)
class Pack(Op):
    """`pack(*values)`: the values in one."""

    name = "pack"

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return (_RECORD,)

    def evaluate(self, *operands: Array) -> Any:
        return tuple(operands)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | None]:
        (ct,) = cts
        kept = [k for k, o in enumerate(operands) if o.type.is_inexact]
        answer: list[Array | None] = [None] * len(operands)
        if isinstance(ct, Zero) or not kept:
            return answer
        parts = apply(Unpack(tuple([operands[k].type for k in kept])), ct)
        for k, part in zip(kept, parts if isinstance(parts, tuple) else (parts,), strict=True):
            answer[k] = part if needs[k] else None
        return answer


@dataclass(frozen=True)
class Unpack(Op):
    """`unpack(record)`: what a record holds; zeros where it is empty, a cotangent of nothing."""

    name = "unpack"
    types: tuple[ArrayType, ...]

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        if types != (_RECORD,):
            raise DTypeError(f"unpack takes a record, not {', '.join(map(str, types))}")
        return self.types

    def evaluate(self, *operands: Array) -> Any:
        (record,) = operands
        return record or self.zeros()

    def zeros(self) -> tuple[Any, ...]:
        """Return what an empty record holds."""
        return tuple([_zero(t) for t in self.types])

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | None]:
        parts = [
            _instantiated(ct, operands[0])
            for ct, type in zip(cts, self.types, strict=True)
            if type.is_inexact
        ]
        return [operands[0].__pullback_apply__(Pack(), tuple(parts)) if parts else None]

    def emit(self, emitter: Emitter, operands: Sequence[str], out: str | None) -> str:
        text = operands[0]
        if all(t.is_static for t in self.types):
            text = f"({text} or {emitter.bind(self.zeros, 'nothing')}())"
        return f"{text}[0]" if len(self.types) == 1 else text


def _instantiated(ct: Any, record: Array) -> Any:
    if not isinstance(ct, Zero):
        return ct
    if is_tape(ct.type):
        return record.__pullback_apply__(TapeNew(ct.type.dtype), ())
    return ct.instantiate()


def _zero(type: ArrayType) -> Any:
    if type.dtype == RECORD:
        return ()
    if is_tape(type):
        from .tape import new_tape

        return new_tape(type.dtype)
    shape: Any = type.shape
    return np.zeros(shape, type.dtype)[()]


__all__ = ["Pack", "Recur", "Recursion", "Unpack"]
