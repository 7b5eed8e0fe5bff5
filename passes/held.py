"""How many bytes the loops of a joint function keep for the adjoint: stacks and tapes.

What is counted is what grows with trip counts. A stack inside of a loop is counted once, since the
next iteration uses its memory again, unless it is a row of a stack of the outer loop or is pushed
on a tape there. Sizes that only the run knows count with their upper limit, and as infinite
without one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from ..ir.core import Atom, Eqn, Function, Value
from ..ir.dims import bounds
from ..ir.ops.cond import Cond
from ..ir.ops.control import ENDLESS, Loop
from ..ir.ops.tape import TapePush
from ..ir.printer import static_range
from ..ir.types import ArrayType, is_tape

Bytes = float
"""A number of bytes; infinite where there is no limit."""
_TAPE_SLACK = 1.25
"""A tape grows by blocks of a quarter of what it holds."""


@dataclass
class Held:
    """What an equation keeps: the bytes of each result, and those of what it keeps for itself."""

    results: dict[Atom, Bytes] = field(default_factory=dict)
    inside: Bytes = 0

    @property
    def total(self) -> Bytes:
        return sum(self.results.values()) + self.inside


def held(function: Function) -> Bytes:
    """Return the bytes that the loops of a function keep."""
    return sum(held_by(eqn).total for eqn in function.eqns)


def held_by(eqn: Eqn) -> Held:
    """Return the bytes that an equation keeps; none, if it is no loop and no branch."""
    if isinstance(eqn.op, Loop):
        return _loop(eqn, eqn.op, most_trips(eqn, eqn.op))
    if isinstance(eqn.op, Cond):
        return _cond(eqn, eqn.op)
    return Held()


def most_trips(eqn: Eqn, op: Loop) -> float:
    """Return the greatest number of iterations of a loop."""
    _, most = bounds(op.length)
    if most is None and op.ranged:
        most = static_range(eqn.operands)
    return inf if most is None or most >= ENDLESS else most


def nbytes(type: ArrayType) -> Bytes:
    """Return the greatest number of bytes of a value."""
    total: Bytes = int(type.dtype.itemsize)
    for dim in type.shape:
        _, most = bounds(dim)
        total = 0 if most == 0 else inf if most is None else total * most
    return total


def _inside(eqns: Sequence[Eqn]) -> tuple[dict[Atom, Bytes], Bytes]:
    known: dict[Atom, Bytes] = {}
    inside: Bytes = 0
    for eqn in eqns:
        found = held_by(eqn)
        known.update(found.results)
        inside += found.inside
    return known, inside


def per_iteration(eqn: Eqn) -> Held:
    """Return the bytes that one iteration of a loop keeps."""
    assert isinstance(eqn.op, Loop)
    return _loop(eqn, eqn.op, 1)


def _loop(eqn: Eqn, op: Loop, trips: float) -> Held:
    body = op.body
    known, inside = _inside(body.eqns)
    made = {r: e for e in body.eqns for r in e.results}
    found = Held()
    kept: set[Atom] = set(body.results[op.carries :])
    for result, value in zip(eqn.results, body.results, strict=False):
        if is_tape(value.type):
            pushed = _pushed(value, made)
            kept.update(e.operands[1] for e in pushed)
            each = sum(_weight(e.operands[1], known) for e in pushed)
            found.results[result] = _TAPE_SLACK * _times(trips, each)
    for result, value in zip(eqn.results[op.carries :], body.results[op.carries :], strict=False):
        found.results[result] = _times(trips, nbytes(value.type))
    found.inside = inside + sum(n for v, n in known.items() if v not in kept)
    return found


def _pushed(tape: Atom, made: Mapping[Value, Eqn]) -> list[Eqn]:
    """Return what an iteration pushes on a tape."""
    found: list[Eqn] = []
    while isinstance(tape, Value) and tape in made and isinstance(made[tape].op, TapePush):
        found.append(made[tape])
        tape = made[tape].operands[0]
    return found


def _weight(value: Atom, known: Mapping[Atom, Bytes]) -> Bytes:
    return known.get(value, 0) if is_tape(value.type) else nbytes(value.type)


def _times(trips: float, each: Bytes) -> Bytes:
    return trips * each if each else 0


def _cond(eqn: Eqn, op: Cond) -> Held:
    found = Held()
    for branch in op.branches:
        known, inside = _inside(branch.eqns)
        for result, value in zip(eqn.results, branch.results, strict=True):
            if value in known:
                found.results[result] = max(found.results.get(result, 0), known[value])
        returned = set(branch.results)
        found.inside += inside + sum(n for v, n in known.items() if v not in returned)
    return found


__all__ = ["Bytes", "Held", "held", "held_by", "most_trips", "nbytes", "per_iteration"]
