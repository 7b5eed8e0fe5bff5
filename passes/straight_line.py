"""A joint function without loops to speak of: its forward part, what its backward part reads of it.

The backward part starts at the first adjoint equation. Of the values made before, those that it
reads are kept until then, unless they are computed again: `Line.drop` writes that. What can be
computed again is pure, binds no size and has no regions. Views are always computed again, from what
they are views of; what they cost is nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable
from functools import cached_property
from itertools import accumulate

from ..ir.core import Atom, Eqn, Function, Value
from ..ir.op import Effect
from .recompute import LINE, Again, can_run_again, closure, recompute

# Measured on two cores, in seconds: rough, since only the order of the choices hangs on them.
CALL = 1e-6
ELEMENT = 0.5e-9
"""One unit of `Op.cost` for one element, in ufuncs and reductions."""
FLOP = 0.05e-9
"""One operation of a matrix product or decomposition."""
BYTE = 0.1e-9
"""One byte read or written."""


def marked(function: Function) -> Function:
    """Mark a function before reverse mode, so that its backward part is found after the passes."""
    eqns = [
        Eqn(e.op, e.operands, e.results, e.provenance.with_marks(((LINE, 0), *e.provenance.marks)))
        for e in function.eqns
    ]
    return function.replace(eqns=eqns)


def unmarked(function: Function) -> tuple[Function, int]:
    """Return a joint function without that mark, and the number of its forward equations."""
    eqns: list[Eqn] = []
    forward = len(function.eqns)
    for k, eqn in enumerate(function.eqns):
        provenance = eqn.provenance
        if provenance.marks[:1] and provenance.marks[0][0] == LINE:
            if provenance.marks[0][1]:
                forward = min(forward, k)
            provenance = provenance.with_marks(provenance.marks[1:])
            eqn = Eqn(eqn.op, eqn.operands, eqn.results, provenance)
        eqns.append(eqn)
    return function.replace(eqns=eqns), forward


def seconds(eqn: Eqn) -> float:
    """Return about how long an equation takes."""
    op = eqn.op
    if op.is_view:
        return 0.0
    operands, results = [a.type for a in eqn.operands], [r.type for r in eqn.results]
    work = op.flops(operands, results)
    moved = sum(t.nbytes for t in (*operands, *results))
    each = ELEMENT if op.is_elementwise or op.is_reduction else FLOP
    return CALL + each * work + BYTE * moved


class Line:
    """A joint function whose first `forward` equations are the forward part."""

    def __init__(self, function: Function, forward: int) -> None:
        self.function = function
        self.forward = function.eqns[:forward]
        self.backward = function.eqns[forward:]
        self.makers = {r: e for e in self.forward for r in e.results}
        self.place = {r: k for k, e in enumerate(self.forward) for r in e.results}
        self.results = {r for r in function.results if isinstance(r, Value)}
        self.is_backward = set(self.backward)

    @cached_property
    def read(self) -> dict[Value, None]:
        """The values of the forward part that the backward part reads, views followed."""
        found: dict[Value, None] = {}
        for eqn in self.backward:
            for a in eqn.operands:
                base = self.base(a)
                if base in self.makers:
                    found[base] = None  # type: ignore[index]
        return found

    def base(self, atom: Atom) -> Atom:
        """Return the value in whose memory another lies."""
        while isinstance(atom, Value) and atom in self.makers and self.makers[atom].op.is_view:
            atom = self.makers[atom].operands[0]
        return atom

    @cached_property
    def _last(self) -> dict[Value, int]:
        """The last equation of the forward part that reads each value, or a view of it."""
        last: dict[Value, int] = {}
        for k, eqn in enumerate(self.forward):
            for a in eqn.operands:
                base = self.base(a)
                if isinstance(base, Value) and base in self.makers:
                    last[base] = k
        return last

    def last_read(self, value: Value) -> int:
        """Return the last equation of the forward part that reads a value, or makes it."""
        return self._last.get(value, self.place[value])

    def crossing_at(self, place: int) -> list[Value]:
        """Return the values made before an equation and read by it or by later forward ones."""
        return [v for v, last in self._last.items() if self.place[v] < place <= last]

    @cached_property
    def crossing(self) -> list[int]:
        """The bytes of these for each place; one more than there are forward equations."""
        steps = [0] * (len(self.forward) + 2)
        for value, last in self._last.items():
            steps[self.place[value] + 1] += value.type.nbytes
            steps[last + 1] -= value.type.nbytes
        return list(accumulate(steps))[: len(self.forward) + 1]

    @cached_property
    def filled(self) -> list[int]:
        """The bytes that the backward part reads of what is made before each place."""
        steps = [0] * (len(self.forward) + 1)
        for value in self.read:
            steps[self.place[value] + 1] += value.type.nbytes
        return list(accumulate(steps))

    def between(self, low: float, high: float) -> range:
        """Return the places before which between so many bytes have been made."""
        return range(bisect_left(self.filled, low), bisect_right(self.filled, high))

    def may_drop(self, value: Value) -> bool:
        """Whether a value can be computed again, and is not there anyway."""
        eqn = self.makers.get(value)
        if eqn is None or value in self.results:
            return False
        return eqn.op.effect is Effect.PURE and not eqn.op.regions and can_run_again(eqn)

    @cached_property
    def droppable(self) -> frozenset[Value]:
        """What can be computed again."""
        return frozenset(v for v in self.makers if self.may_drop(v))

    @property
    def droppable_bytes(self) -> int:
        """The bytes of what the backward part reads and that can be computed again."""
        return sum(v.type.nbytes for v in self.read if v in self.droppable)

    def drop(self, dropped: Container[Value]) -> Function:
        """Return the function whose backward part computes values again."""
        again = Again(0, dropped)
        return recompute(self.function, lambda e: again if e in self.is_backward else None)

    def again(self, dropped: Container[Value]) -> list[Eqn]:
        """Return the equations that run again, by their originals."""
        read = [a for e in self.backward for a in e.operands]
        found = closure(read, dropped, self.makers)
        return sorted(found, key=lambda e: self.place[e.results[0]])

    def saved(self, dropped: Container[Value]) -> list[Value]:
        """Return the values that are kept from the forward part for the backward part."""
        found: dict[Value, None] = {}
        for eqn in (*self.again(dropped), *self.backward):
            for a in eqn.operands:
                base = self.base(a)
                if isinstance(base, Value) and base in self.makers and base not in dropped:
                    found[base] = None
        return sorted(found, key=self.place.__getitem__)


def total_seconds(eqns: Iterable[Eqn]) -> float:
    """Return about how long equations take together."""
    return sum(map(seconds, eqns))


__all__ = ["Line", "marked", "seconds", "total_seconds", "unmarked"]
