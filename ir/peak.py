"""How much memory a planned function takes at its peak, beyond arguments and workspace.

Memory that the run allocates lives from the equation that makes it to the last one that reads it,
or a view of it; what leaves with a result lives on. Where sizes are known only at the run, their
bounds count, or nothing. What a recursion allocates counts for one activation, and tapes not at
all.
"""

from __future__ import annotations

from collections.abc import Sequence

from .core import Atom, Eqn, Function, Literal, Value, reads
from .ops.cond import Cond
from .ops.control import Loop
from .ops.effects import WriteBack
from .ops.recursion import Recursion
from .ops.shape import BroadcastTo, Reshape, reshapes_in_place
from .plan import Cell, Home, Plan


def transient_peak(plan: Plan) -> int:
    """Return the bytes that a run allocates and holds at once, its results with them."""
    return _Peak(plan).whole(plan.function)


class _Memory:
    """A piece of memory that the run allocates."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self.last = -1


class _Peak:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.read = reads(plan.function)
        self.known: dict[Cell, _Memory] = {}
        self.copies: dict[Value, _Memory] = {}
        """By value the memory of a reshape that takes a copy, and of views of that."""

    def whole(self, function: Function) -> int:
        inside = self.block(function.eqns, function.results)
        made = {r: e for e in function.eqns for r in e.results}
        copied = {r: r.type.nbytes for r in function.results if self.is_copied(r, made)}
        held = {self.memory(r) for r in function.results} - {None}
        results = sum(m.nbytes for m in held if m is not None)
        return max(inside, results + sum(copied.values()))

    def is_copied(self, result: Atom, made: dict[Value, Eqn]) -> bool:
        """Whether a result is a copy, of a constant or of what is spread out."""
        if not result.type.shape or self.memory(result) is not None:
            return False
        value = result
        while isinstance(value, Value) and value in made and made[value].op.is_view:
            if isinstance(made[value].op, BroadcastTo):
                return True
            value = made[value].operands[0]
        if isinstance(value, Literal):
            return True
        # A derivative never lies in an argument's memory.
        return isinstance(result, Value) and result.cotangent_of is not None

    def memory(self, atom: Atom) -> _Memory | None:
        """Return the memory that the run allocated for a value, None if it lies elsewhere."""
        if not isinstance(atom, Value):
            return None
        cell = self.plan.cells.get(atom)
        return self.copies.get(atom) or (self.known.get(cell) if cell is not None else None)

    def block(self, eqns: Sequence[Eqn], results: Sequence[Atom]) -> int:
        """Return the greatest number of bytes that a block holds at once."""
        made = [self.made(eqn) for eqn in eqns]
        for at, eqn in enumerate(eqns):
            for atom in (*eqn.operands, *eqn.results):
                memory = self.memory(atom)
                if memory is not None:
                    memory.last = max(memory.last, at)
        for result in results:
            memory = self.memory(result)
            if memory is not None:
                memory.last = len(eqns)
        live = peak = 0
        ending: dict[int, int] = {}
        for at, (eqn, new) in enumerate(zip(eqns, made, strict=True)):
            live += sum(memory.nbytes for memory in new)
            for memory in new:
                ending[memory.last] = ending.get(memory.last, 0) + memory.nbytes
            peak = max(peak, live + self.during(eqn))
            live -= ending.pop(at, 0)
        return peak

    def made(self, eqn: Eqn) -> list[_Memory]:
        """Return the memory that an equation allocates for its results."""
        found: list[_Memory] = []
        op = eqn.op
        if op.is_view:
            self.view(eqn, found)
            return found
        for result in eqn.results:
            cell = self.plan.cells.get(result)
            if cell is None or cell.pinned or cell in self.known or not result.type.shape:
                continue
            if cell.home in (Home.FRESH, Home.NUMPY):
                self.known[cell] = _Memory(result.type.nbytes)
                found.append(self.known[cell])
        return found

    def view(self, eqn: Eqn, found: list[_Memory]) -> None:
        base, result = eqn.operands[0], eqn.results[0]
        op = eqn.op
        if not isinstance(base, Value) or not result.type.shape:
            return
        if isinstance(op, Reshape) and not reshapes_in_place(op, base.type, base.layout):
            self.copies[result] = _Memory(result.type.nbytes)
            found.append(self.copies[result])
        elif base in self.copies:
            self.copies[result] = self.copies[base]

    def during(self, eqn: Eqn) -> int:
        """Return the bytes that an equation needs while it runs, and gives back."""
        op = eqn.op
        if isinstance(op, Loop):
            regions = [op.body] if op.test is None else [op.test, op.body]
            inside = max(self.block(r.eqns, r.results) for r in regions)
            return max(inside, self.moved(eqn, op))
        if isinstance(op, Cond):
            renamed = self.renamed(eqn)
            inside = max((self.block(b.eqns, b.results) for b in op.branches), default=0)
            return max(inside - renamed, 0)
        if isinstance(op, Recursion):
            return self.block(op.body.eqns, op.body.results)
        if eqn in self.plan.tiles:
            return max(map(self.during, self.plan.tiles[eqn].body.eqns), default=0)
        if op.regions or op.is_view or isinstance(op, WriteBack):
            return 0
        types, results = [a.type for a in eqn.operands], [r.type for r in eqn.results]
        extra = op.extra_bytes(types, results)
        return extra if op.has_out else max(extra - sum(t.nbytes for t in results), 0)

    def renamed(self, eqn: Eqn) -> int:
        """Return the bytes of results whose memory the branches allocate, counted already."""
        plan = self.plan.conds.get(eqn)
        if plan is None:
            return 0
        everywhere = frozenset.intersection(*[b.renamed for b in plan.branches])
        return sum(eqn.results[k].type.nbytes for k in everywhere)

    def moved(self, eqn: Eqn, op: Loop) -> int:
        """Return the bytes of copies that are taken because carries change places."""
        plan = self.plan.loops.get(eqn.results[0]) if eqn.results else None
        if plan is None:
            return 0
        head = 1 if op.ranged else 0
        cells = self.plan.cells
        carried = {cells.get(p) for p in op.body.params[head : head + op.carries]}
        copies = exchanges = 0
        for k in plan.moves:
            value = op.body.results[k]
            cell = cells.get(value) if isinstance(value, Value) else None
            if cell is None or cell not in carried:
                continue
            if cell.owner is not value:
                copies += value.type.nbytes
            elif eqn.results[k] in self.read:  # by name, but once after the loop
                exchanges += value.type.nbytes
        largest = max((op.body.results[k].type.nbytes for k in plan.moves), default=0)
        return max(copies, exchanges - largest)


__all__ = ["transient_peak"]
