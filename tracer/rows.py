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
            self.made = self._trace.builder.one(Index((self.position, *rest)), self.stack._atom)
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


def rows_of(values: Sequence[Any]) -> TracedArray | None:
    """Return the stack whose rows are the values, one after the other; None for other values."""
    if not values or type(values[0]) is not Row:
        return None
    stack = values[0].stack
    if len(values) != stack._value.type.shape[0]:
        return None
    for k, value in enumerate(values):
        if type(value) is not Row or value.stack is not stack or value.position != k:
            return None
        if not value.is_untouched:
            return None
    return TracedArray(stack._atom, Kind.ARRAY, stack._trace)


__all__ = ["Row", "rows_of"]
