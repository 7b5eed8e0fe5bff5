"""What the backward part of a program reads of the forward: kept or computed again, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..ir.core import Eqn, Function, Value
from ..ir.location import Location
from ..ir.op import Effect
from .straight_line import Line, seconds


@dataclass(frozen=True)
class Residual:
    """Values of one place in the source: `count` of them, `nbytes` together.

    `seconds` is about how long they take to compute again, for those that are.
    """

    location: Location | None
    op: str
    is_saved: bool
    why: str
    count: int = 1
    nbytes: int = 0
    seconds: float = 0.0


def residuals(
    function: Function, budget: int | None = None, reasons: Mapping[Value, str] | None = None
) -> list[Residual]:
    """Return what a joint function keeps and computes again, before fusion, in program order.

    `reasons` say of values why they are kept.
    """
    late = [k for k, e in enumerate(function.eqns) if e.provenance.derived in ("vjp", "recompute")]
    if not late:
        return []
    line = Line(function, late[0])
    found: dict[tuple[Location | None, str, bool, str], Residual] = {}

    def add(eqn: Eqn, is_saved: bool, why: str, nbytes: int, time: float) -> None:
        key = eqn.provenance.location, eqn.op.name, is_saved, why
        row = found.setdefault(key, Residual(*key, count=0))
        found[key] = replace(
            row, count=row.count + 1, nbytes=row.nbytes + nbytes, seconds=row.seconds + time
        )

    for value in line.saved(frozenset()):
        eqn = line.makers[value]
        if eqn.op.regions and budget is not None:
            continue  # loops have a table of their own then
        if value.type.shape:
            known = (reasons or {}).get(value)
            add(eqn, True, known or _why_saved(line, value, eqn, budget), value.type.nbytes, 0.0)
    for eqn in line.backward:
        if eqn.provenance.derived == "recompute" and not eqn.op.is_view:
            nbytes = sum(r.type.nbytes for r in eqn.results if r.type.shape)
            if nbytes:
                add(eqn, False, _why_again(eqn, budget), nbytes, seconds(eqn))
    return list(found.values())


def _why_saved(line: Line, value: Value, eqn: Eqn, budget: int | None) -> str:
    if value in line.results:
        return "a result"
    if eqn.op.regions:
        return "a loop or branch makes it"
    if value not in line.droppable:
        once = eqn.op.effect is Effect.ORDERED
        return "what draws or acts happens once" if once else "its computation may raise"
    return "no budget" if budget is None else "cheaper kept than computed again"


def _why_again(eqn: Eqn, budget: int | None) -> str:
    if eqn.provenance.marks:
        return "in a checkpoint"
    if budget is None:
        return "cheap, from what is kept anyway"
    return "for the budget"


__all__ = ["Residual", "residuals"]
