"""What cannot be done for all examples at once: a loop over the examples, within the program.

The examples come in order, so that random numbers are drawn and texts printed as by a Python loop.
All equations with such an effect are in one loop, and what lies between them. So is what reads a
value that cannot be stacked, such as an array of another size for each example, or a tape.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..ir.binding import mentioned, symbols_of
from ..ir.builder import Builder, inherit
from ..ir.closing import close, region_dims
from ..ir.core import Atom, Eqn, Literal, Value
from ..ir.dims import Dim, Size, Symbol
from ..ir.ops.control import INDEX, Loop
from ..ir.ops.dynamic import Extent
from ..ir.ops.index import Index
from ..ir.types import ArrayType, Kind, is_tape
from .stacks import row_index


def can_be_stacked(type: ArrayType, own: Iterable[Symbol] = ()) -> bool:
    """Whether values of a type have a place side by side; `own` are sizes that differ."""
    return not (is_tape(type) or type.dtype.kind == "O" or symbols_of(type) & set(own))


@dataclass(frozen=True)
class Serial:
    """Equations that run for one example after the other.

    `before` are equations in front of the last of them that do not depend on any of them, `after`
    are all others.
    """

    before: list[Eqn]
    eqns: list[Eqn]
    after: list[Eqn]

    def write(
        self,
        builder: Builder,
        size: Size,
        scope: dict[Atom, Atom],
        mapped: set[Atom],
        results: Sequence[Atom],
    ) -> dict[Value, Atom]:
        """Write the loop; return, for what is read after it, all examples of it."""
        symbol = Symbol.between("i", 0, size - 1)
        index = Value(ArrayType(INDEX, ()), "i")
        inner = Builder()
        inside: dict[Atom, Atom] = {}

        def read(atom: Atom) -> Atom:
            if atom not in inside:
                whole = scope.get(atom, atom)
                if atom in mapped:
                    row = Index(row_index(whole.type.shape))
                    inside[atom] = inner.one(row, whole, index)
                else:
                    inside[atom] = whole
            return inside[atom]

        for eqn in self.eqns:
            inner.provenance = eqn.provenance
            made = inner.emit(eqn.op, [read(a) for a in eqn.operands])
            for old, new in zip(eqn.results, made, strict=True):
                inside[old] = new
                inherit(old, new)
        wanted = {a for e in self.after for a in e.operands} | set(results)
        left = [r for e in self.eqns for r in e.results if r in wanted]
        own = {s for e in self.eqns for s in e.op.binds}
        left = [r for r in left if can_be_stacked(r.type, own)]
        body, captured = close(
            "example",
            [index],
            inner.eqns,
            [inside[r] for r in left],
            dims=(symbol,),
            param_kinds=[Kind.SCALAR],
        )
        # A loop for its effects alone has its trip count as a result: it needs one.
        loop = Loop(body, 0, size, counts=not left, dims=region_dims(body))
        bounds = (_literal(0), _number(builder, size), _literal(1))
        return dict(zip(left, builder.emit(loop, (*bounds, *captured)), strict=bool(left)))


def serial_group(
    rest: Sequence[Eqn], first: Sequence[Eqn], acting: Sequence[Eqn], made: Sequence[Eqn]
) -> Serial:
    """Return the group of equations that `first` belong to, of the `rest` that is still to be done.

    `acting` are all equations with an effect for each example: if one is in the group, all are. So
    are those of `made`, done before, whose objects the group reads.
    """
    eqns = [*made, *rest]
    seeds = set(first)
    while True:
        group = _between(eqns, seeds)
        group |= _around_unstacked(eqns, group)
        if not group.isdisjoint(acting):
            group |= set(acting)
        if group == seeds:
            break
        seeds = group
    last = max(k for k, e in enumerate(rest) if e in seeds)
    depending = {r for e in seeds for r in e.results}
    sizes = {s for e in seeds for s in e.op.binds}
    before: list[Eqn] = []
    after: list[Eqn] = []
    for k, eqn in enumerate(rest):
        if eqn in seeds:
            continue
        if k > last or not depending.isdisjoint(eqn.operands) or sizes & mentioned(eqn):
            depending.update(eqn.results)
            after.append(eqn)
        else:
            before.append(eqn)
    return Serial(before, list(dict.fromkeys(e for e in eqns if e in seeds)), after)


def _between(eqns: Sequence[Eqn], seeds: set[Eqn]) -> set[Eqn]:
    """Return the seeds and all equations on a way from one to another."""
    depending: set[Atom] = set()
    following: set[Eqn] = set()
    for eqn in eqns:
        if eqn in seeds or not depending.isdisjoint(eqn.operands):
            following.add(eqn)
            depending.update(eqn.results)
    needed: set[Atom] = set()
    found = set(seeds)
    for eqn in reversed(eqns):
        if eqn in seeds or (eqn in following and not needed.isdisjoint(eqn.results)):
            found.add(eqn)
            needed.update(eqn.operands)
    return found


def _around_unstacked(eqns: Sequence[Eqn], group: set[Eqn]) -> set[Eqn]:
    """Return the equations that share values with a group that have no place side by side."""
    binders = {s: e for e in eqns for s in e.op.binds}
    sizes = {s for e in group for s in (*e.op.binds, *mentioned(e)) if s in binders}
    values: set[Atom] = {
        a
        for e in group
        for a in (*e.results, *e.operands)
        if isinstance(a, Value) and not can_be_stacked(a.type, sizes)
    }
    values -= {a for a in values if a.type.dtype.kind == "O" and not _is_made(a, eqns)}
    around = {
        e
        for e in eqns
        if not values.isdisjoint(e.operands)
        or not values.isdisjoint(e.results)
        or sizes & mentioned(e)
    }
    return around | {binders[s] for s in sizes}


def _is_made(value: Atom, eqns: Sequence[Eqn]) -> bool:
    return any(value in e.results for e in eqns)


def _literal(number: int) -> Literal:
    return Literal(np.int64(number))


def _number(builder: Builder, size: Size) -> Atom:
    return builder.one(Extent(size)) if isinstance(size, Dim) else _literal(size)


__all__ = ["Serial", "can_be_stacked", "serial_group"]
