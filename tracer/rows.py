"""Elements of a list that a staged loop has appended to: rows of one stack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..ir.core import Atom
from ..ir.ops.index import Index, Item, Span
from ..ir.types import Kind
from .array import TracedArray
from .storage import Storage, View


class Row(TracedArray):
    """An element of a list that a loop has appended to: a row of a stack, read when it is used."""

    __slots__ = ("made", "position", "refusal", "stack")

    def __init__(
        self,
        stack: TracedArray,
        position: int,
        kind: Kind,
        refusal: Callable[[Storage], None] | None = None,
    ) -> None:
        self.refusal = refusal
        self.stack = stack
        self.position = position
        self.made: Atom | None = None
        self._kind = kind
        self._trace = stack._trace
        self._view = None

    @property
    def _value(self) -> Atom:
        if self.made is None:
            shape = self.stack.type.shape[1:]
            rest: list[Item] = [Span(0, d, 1) for d in shape]
            self.made = self._trace.builder.one(Index((self.position, *rest)), self.stack._value)
        return self.made

    @_value.setter
    def _value(self, value: Atom) -> None:
        self.made = value

    def _as_view(self) -> View:
        is_new = self._view is None
        view = super()._as_view()
        if is_new and self.refusal is not None:
            self.refusal(view.storage)
        return view

    @property
    def is_untouched(self) -> bool:
        """Whether it is the row of the stack still: nothing was written into it."""
        return self._view is None or not self._view.storage.is_changed


def runs_of(values: Sequence[Any]) -> list[tuple[bool, Any]] | None:
    """Return values with the rows of a whole stack as that stack, which is marked by True.

    None where no stack is among them.
    """
    if not any(type(v) is Row for v in values):
        return None
    found: list[tuple[bool, Any]] = []
    k = 0
    while k < len(values):
        count = _run(values, k)
        if count:
            stack = values[k].stack
            found.append((True, TracedArray(stack._atom, Kind.ARRAY, stack._trace)))
        else:
            found.append((False, values[k]))
        k += count or 1
    return found if any(is_stack for is_stack, _ in found) else None


def _run(values: Sequence[Any], start: int) -> int:
    """Return how many rows of a whole stack stand from a place on, 0 where they do not."""
    first = values[start]
    if type(first) is not Row or first.position != 0:
        return 0
    count: Any = first.stack._value.type.shape[0]
    if start + count > len(values):
        return 0
    for k, value in enumerate(values[start : start + count]):
        if type(value) is not Row or value.stack is not first.stack or value.position != k:
            return 0
        if not value.is_untouched:
            return 0
    return int(count)


__all__ = ["Row", "runs_of"]
