"""Writes what a program returns: kinds of scalars, and copies where memory must not be shared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.core import Atom, Function, Literal, Value
from ..ir.ops.effects import WriteBack
from ..ir.ops.shape import BroadcastTo, Reshape, reshapes_in_place
from ..ir.plan import Home
from ..ir.types import Kind

if TYPE_CHECKING:
    from .emit import Writer


class Results:
    """The results of a function that a writer has written."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    def text(self, function: Function) -> str:
        """Return the source of the tuple that the program returns."""
        parts: list[str] = []
        seen: dict[Any, int | None] = {}
        for k, (result, kind) in enumerate(
            zip(function.results, function.result_kinds, strict=True)
        ):
            parts.append(self._result(k, result, kind, seen))
        return f"({', '.join(parts)},)" if parts else "()"

    def _result(self, k: int, result: Atom, kind: Kind, seen: dict[Any, int | None]) -> str:
        text = self.writer.operand(result)
        if result.type.dtype.kind in "OV":
            return text
        if not result.type.shape:
            if kind is Kind.PYTHON:
                return f"{text}.item()"
            if kind is Kind.ARRAY:
                is_made = k in self.writer.owned or k in self.writer.fresh_results
                if self._is_argument(result) and not is_made:
                    return text
                return f"{self.writer.bind(np.array, 'array')}({text})"
            return f"{text}[()]"
        if isinstance(result, Literal):
            return f"{text}.copy()"
        cell = self.writer.plan.cells.get(result)
        fresh = self.writer.fresh_results.get(k)
        owner = None if fresh is None else fresh.owner
        base = self.base(result)
        memory = base if self.is_copied(base) else result if cell is None else cell
        # Memory belongs to the first result that leaves with it; equal expressions are one value.
        if (memory in seen and (k in self.writer.owned or (fresh and seen[memory] != owner))) or (
            fresh and seen.get(result, owner) != owner
        ):
            return f"{text}.copy('K')"
        seen.setdefault(memory, owner)
        seen.setdefault(result, owner)
        if k in self.writer.owned and (
            cell is None or cell.home in (Home.CALLER, Home.SLOT) or self._is_broadcast(result)
        ):
            return self._copy(result, text)
        if fresh is not None and not fresh.spread and self._is_broadcast(result):
            return self._copy(result, text)
        if fresh is not None and self._is_of_caller(result):
            if result.type.dtype.kind == "b":
                return f"{text}.copy('K')"
            # With the strides that a ufunc's result has.
            return f"{self.writer.bind(np.positive, 'positive')}({text})"
        return text

    def _copy(self, result: Atom, text: str) -> str:
        """Return source for a copy in C order."""
        memory = self.writer.lent(result, None)
        if memory is None:
            return f"{text}.copy()"
        name = self.writer.fresh("result")
        self.writer.line(f"{name} = {memory}")
        self.writer.line(f"copyto({name}, {text})")
        return name

    def _is_argument(self, value: Atom) -> bool:
        """Whether a value is an array of the caller's, or what it is after it was written into."""
        if not isinstance(value, Value):
            return False
        eqn = self.writer.producers.get(value)
        if eqn is not None:
            return isinstance(eqn.op, WriteBack)
        function = self.writer.plan.function
        return any(
            p is value and kind is Kind.ARRAY
            for p, kind in zip(function.params, function.param_kinds, strict=True)
        )

    def _is_of_caller(self, value: Atom) -> bool:
        """Whether a value is a parameter or a view of one, or is computed in such memory."""
        base = self.base(value)
        if not isinstance(base, Value) or self.is_copied(base):
            return False
        cell = self.writer.plan.cells.get(base)
        return base not in self.writer.producers or (cell is not None and cell.home is Home.CALLER)

    def base(self, value: Atom) -> Atom:
        """Return the value in whose memory another lies."""
        while isinstance(value, Value) and not self.is_copied(value):
            eqn = self.writer.producers.get(value)
            if eqn is None or not eqn.op.is_view:
                break
            value = eqn.operands[0]
        return value

    def is_copied(self, value: Atom) -> bool:
        """Whether a value is a reshape that takes a copy."""
        eqn = self.writer.producers.get(value) if isinstance(value, Value) else None
        if eqn is None or not isinstance(eqn.op, Reshape):
            return False
        whole = eqn.operands[0]
        return not reshapes_in_place(eqn.op, whole.type, whole.layout)

    def _is_broadcast(self, value: Atom) -> bool:
        while isinstance(value, Value):
            eqn = self.writer.producers.get(value)
            if eqn is None or not eqn.op.is_view or self.is_copied(value):
                return False
            if isinstance(eqn.op, BroadcastTo):
                return True
            value = eqn.operands[0]
        return True


__all__ = ["Results"]
