"""Loops on sets: iteration by iteration where that is known, else until no set grows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.core import walk
from ..ir.errors import VerificationError
from ..ir.evaluate import Sizes, concrete_shape
from ..ir.ops.control import Loop
from ..ir.types import is_tape
from .dependence import Rows

if TYPE_CHECKING:
    from .sparsity import Interpreter

ITERATED = 20_000
"""Equations that one loop runs on sets, iteration by iteration: some seconds."""
ROUNDS = 4
"""Iterations after which sets that still grow are taken to hold all that enters the loop."""


@dataclasses.dataclass(frozen=True, eq=False)
class Abstract:
    """What is known of an array: its rows (None: it depends on nothing) and perhaps its value.

    A single row is that of every entry. A tape with known content is its `rest` and its `last`.
    """

    rows: Rows | None = None
    value: Any = None
    rest: Abstract | None = None
    last: Abstract | None = None


NOTHING = Abstract()


class LoopRun:
    """One loop, run on sets."""

    def __init__(
        self, interpreter: Interpreter, op: Loop, operands: list[Abstract], sizes: Sizes
    ) -> None:
        self.interpreter = interpreter
        self.op = op
        self.head = [o.value for o in operands[: op.head]]
        self.carried = operands[op.head : op.head + op.carries]
        self.captured = operands[op.head + op.carries :]
        inner = op.body.dims[1:] if op.ranged else op.body.dims
        self.sizes = interpreter.inside(op.dims, inner, sizes)

    def results(self) -> list[Abstract]:
        """Return the results of the loop's equation."""
        found = self._iterated()
        return self._fixpoint() if found is None else found

    def _indices(self) -> Sequence[int] | None:
        """Return the indices in the order of iteration; None where they are not known."""
        if any(v is None for v in self.head):
            return None
        indices = range(*(int(v) for v in self.head))
        return indices[::-1] if self.op.backward else indices

    def _iterated(self) -> list[Abstract] | None:
        """Run iteration by iteration; None where it is not known how many, or these are many."""
        op, run = self.op, self.interpreter.run
        indices = self._indices() if op.ranged else None
        size = 1 + sum(1 for region in op.regions for _ in walk(region))
        most = ITERATED // size
        if (op.ranged and indices is None) or (indices is not None and len(indices) > most):
            return None
        carried, outputs, count = self.carried, [], 0
        while indices is None or count < len(indices):
            if count > most:
                return None
            sizes, start = dict(self.sizes), []
            if indices is not None:
                sizes[op.body.dims[0]] = indices[count]
                start = [Abstract(value=np.int64(indices[count]))]
            if op.test is not None:
                goes_on = run(op.test, [*start, *carried, *self.captured], sizes)[0].value
                if goes_on is None:
                    return None
                if not goes_on:
                    break
            results = run(op.body, [*start, *carried, *self.captured], sizes)
            carried = results[: op.carries]
            outputs.append(results[op.carries :])
            count += 1
        if op.backward:
            outputs.reverse()
        stacks = [self._stack([o[k] for o in outputs], k) for k in range(op.outputs)]
        trips = [Abstract(value=np.int64(count))] if op.counts else []
        return [*carried, *stacks, *trips]

    def _stack(self, parts: Sequence[Abstract], k: int) -> Abstract:
        """Return a stack of the values that one output has."""
        if parts and all(p.value is not None for p in parts):
            return Abstract(value=np.stack([p.value for p in parts]))
        if all(p.rows is None for p in parts):
            return NOTHING
        type = self.op.body.results[self.op.carries + k].type
        try:
            size = prod(concrete_shape(type, self.sizes))
        except VerificationError:
            return self.interpreter.whole(parts)
        return Abstract(self.interpreter.dependence.stacked([(p.rows, size) for p in parts]))

    def _fixpoint(self) -> list[Abstract]:
        """Run until no set grows, with an index that may be any."""
        op, interpreter = self.op, self.interpreter
        start = [NOTHING] if op.ranged else []
        carried = [dataclasses.replace(c, value=None) for c in self.carried]
        tapes = any(is_tape(r.type) for r in op.body.results)
        outputs: list[Abstract] = []
        for _ in range(0 if tapes else ROUNDS):
            found = interpreter.run(op.body, [*start, *carried, *self.captured], self.sizes)
            outputs = [interpreter.whole([o]) for o in found[op.carries :]]
            grown = [interpreter.union(pair) for pair in zip(carried, found, strict=False)]
            is_stable = all(g.rows is c.rows for g, c in zip(grown, carried, strict=True))
            carried = grown
            if is_stable:
                break
        else:
            everything = interpreter.whole([*self.carried, *self.captured])
            carried = [everything] * op.carries
            outputs = [everything] * op.outputs
        return [*carried, *outputs, *([NOTHING] if op.counts else [])]


__all__ = ["NOTHING", "Abstract", "LoopRun"]
