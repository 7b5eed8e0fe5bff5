"""Turns writes of what was read and changed, `x[s] = x[s] + v`, into additions in place.

The cotangent of an addition passes through it as it is, where that of a write has to be cut out and
set to zero. This comes before reverse mode, and keeps every bit: `a - v` is `a + (-v)`. Elements
are left alone, since cutting one out costs nothing.

Before::

    def f(x: f64[9], v: f64[4]) -> f64[9]:
        part : f64[4] = x[:4]
        new  : f64[4] = part - v
        x2   : f64[9] = index_update(x[:4], new)
        return x2

After::

    def f(x: f64[9], v: f64[4]) -> f64[9]:
        change : f64[4] = -v
        x2     : f64[9] = index_add(x[:4], change)
        return x2
"""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.core import Atom, Eqn, Function, Value, uses
from ..ir.ops.elementwise import add, negative, subtract
from ..ir.ops.index import Index, IndexAdd, IndexUpdate
from .dce import Dce


@dataclass(frozen=True)
class Accumulate:
    """Turn writes into additions, in regions too."""

    name = "accumulate"

    def __call__(self, function: Function) -> Function:
        changed = self.changed(function)
        return function if changed is function else Dce(keep_raising=True)(changed)

    def changed(self, function: Function) -> Function:
        """Return the function with additions, itself where there are none."""
        producers: dict[Atom, Eqn] = {}
        counts = uses(function)
        eqns: list[Eqn] = []
        is_new = False
        for eqn in function.eqns:
            if eqn.op.regions:
                regions = [self.changed(r) for r in eqn.op.regions]
                if any(a is not b for a, b in zip(regions, eqn.op.regions, strict=True)):
                    op = eqn.op.with_regions(regions)
                    eqn = Eqn(op, eqn.operands, eqn.results, eqn.provenance)
                    is_new = True
            made = _addition(eqn, producers, counts)
            is_new |= made is not None
            eqns += [eqn] if made is None else made
            producers.update((r, eqn) for r in eqn.results)
        return function.replace(eqns=eqns) if is_new else function


def _addition(eqn: Eqn, producers: dict[Atom, Eqn], counts: dict[Value, int]) -> list[Eqn] | None:
    """Return the equations of an addition in the place of a write, None for another equation."""
    op = eqn.op
    if not isinstance(op, IndexUpdate) or any(a.type.shape for a in eqn.operands[2:]):
        return None
    value = eqn.operands[1]
    made = producers.get(value)
    if made is None or not isinstance(value, Value) or not value.type.shape:
        return None
    if counts.get(value) != 1 or made.op not in (add, subtract):
        return None
    first, second = made.operands
    if _is_read(first, eqn, producers):
        change = second
    elif made.op is add and _is_read(second, eqn, producers):
        change = first
    else:
        return None
    if change.type.dtype.kind not in "fc":
        return None
    found: list[Eqn] = []
    if made.op is subtract:
        opposite = Value(change.type, layout=change.layout)
        found.append(Eqn(negative, (change,), (opposite,), made.provenance))
        change = opposite
    operands = (eqn.operands[0], change, *eqn.operands[2:])
    return [*found, Eqn(IndexAdd(op.index), operands, eqn.results, eqn.provenance)]


def _is_read(atom: Atom, write: Eqn, producers: dict[Atom, Eqn]) -> bool:
    """Whether a value is what stands at the place that an equation writes."""
    eqn = producers.get(atom)
    if eqn is None or not isinstance(eqn.op, Index):
        return False
    assert isinstance(write.op, IndexUpdate)
    return eqn.op.index == write.op.index and eqn.operands == (
        write.operands[0],
        *write.operands[2:],
    )


__all__ = ["Accumulate"]
