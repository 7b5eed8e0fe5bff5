"""Memory that a function with a rule shares with its arguments: it is not written into.

A function that returns its argument, or a view of it, returns the argument's memory in plain NumPy.
The values of its equation are its own, so that a write would be seen on one side alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..ir.errors import UnsupportedError
from ..ir.types import Kind
from ..tracer.array import TracedArray
from ..tracer.report import expression_here
from ..tracer.storage import Storage
from ..tracer.tree import Structure


class Sharing(NamedTuple):
    """The structure of what a function returned, and which leaves lie in which parameters."""

    structure: Structure
    shared: Sequence[tuple[int, int]]


def shared_memory(arrays: Sequence[TracedArray], leaves: Sequence[Any]) -> list[tuple[int, int]]:
    """Return which leaves of what a region returns lie in the memory of which parameters."""
    places = {id(_memory(a)): k for k, a in enumerate(arrays) if a._kind is Kind.ARRAY}
    return [
        (n, places[id(_memory(leaf))])
        for n, leaf in enumerate(leaves)
        if isinstance(leaf, TracedArray) and id(_memory(leaf)) in places
    ]


def _memory(array: TracedArray) -> Storage:
    return array._as_view().storage


def write_protected(label: str, array: Any) -> None:
    """Refuse writes into the memory of an array: its values have become those of a function."""
    if not isinstance(array, TracedArray) or array._kind is not Kind.ARRAY:
        return

    def refuse(is_write: bool) -> None:
        if is_write:
            raise UnsupportedError(
                f"{expression_here()} writes into an array that {label} returned or was given: it "
                f"returns its argument or a view of it, and has a derivative rule.\n"
                f"  Let {label} return a copy."
            )

    storage = _memory(array)
    if storage.unsettled is None:
        storage.unsettled = refuse


__all__ = ["Sharing", "shared_memory", "write_protected"]
