"""Some of the examples: those that take a branch, or whose loop goes on.

Their numbers are the positions where a mask is true, so that how many they are is known when the
program runs. A region runs on their rows alone: nothing is computed for an example that did not ask
for it, and its derivative is exactly zero.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.builder import Builder
from ..ir.core import Atom, Function
from ..ir.dims import Dim, Size, Symbol
from ..ir.ops.dynamic import Nonzero
from ..ir.ops.index import Index, IndexUpdate
from .stacks import row_index


class Rows:
    """The examples at which a mask is true; `size` is their number."""

    def __init__(self, builder: Builder, mask: Atom) -> None:
        self.builder = builder
        symbol = Symbol.between("n", 0, mask.type.shape[0])
        self.size: Size = Dim.of(symbol)
        self.numbers = builder.one(Nonzero(symbol), mask)

    def of(self, whole: Atom) -> Atom:
        """Return their rows of a value of all examples."""
        return self.builder.one(Index(row_index(whole.type.shape), True), whole, self.numbers)

    def put(self, whole: Atom, rows: Atom) -> Atom:
        """Return all examples of a value with these rows, or with one value for all of them."""
        update = IndexUpdate(row_index(whole.type.shape))
        return self.builder.one(update, whole, rows, self.numbers)

    def all_of(self, atoms: Sequence[Atom], mapped: Sequence[bool]) -> list[Atom]:
        """Return the rows of the values that are mapped, and the others as they are."""
        return [self.of(a) if m else a for a, m in zip(atoms, mapped, strict=True)]

    def run(
        self,
        region: Function,
        mapped: Sequence[bool],
        operands: Sequence[Atom],
        results: Sequence[bool] | None = None,
    ) -> list[Atom]:
        """Write a region for them, with their rows as operands; return its results.

        The `results` that must be mapped will be.
        """
        from .batching import batched_region

        layouts = [a.layout for a in operands]
        made, _ = batched_region(region, mapped, self.size, results, layouts)
        return list(self.builder.inline(made, operands))


__all__ = ["Rows"]
