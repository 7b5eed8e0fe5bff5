"""Why the adjoint of a body cannot have a value from a restored array, as was decided.

`Residuals` decides where each value comes from as if arrays could be restored at any time. Then it
asks here what stands in the way: a value that is wanted when the version that it is read from is
not there, or a write that is undone at a place which only the overwritten version tells. What is
found is saved, and all is decided anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..ir.binding import mentioned
from ..ir.core import Atom, Value
from ..ir.ops.index import IndexAdd, IndexUpdate

if TYPE_CHECKING:
    from .residuals import Residuals


class Obstacle(NamedTuple):
    """What cannot be had: the array `chain`, which is not to be restored, or values to be saved."""

    chain: int | None
    values: list[Value]


def read_too_late(residuals: Residuals) -> Obstacle | None:
    """Return what is read when the version that it is read from is not there.

    Where the adjoint of a loop stands, the version after it is there until then, and the one
    before it from then on. A write is undone wherever that is wanted.
    """
    when = _first_reads(residuals)
    made = {r: t for t, e in enumerate(residuals.adjoint) for r in e.results}
    for k, chain in residuals.chains.items():
        times = [
            made[residuals.body.undone[after]] if link.op.regions else None
            for link, after in zip(chain.links, chain.versions[1:], strict=True)
        ]
        for value, time in when.items():
            for number, is_direct in _versions_read(residuals, value, k):
                if any(t is not None and t >= time for t in times[number:]):
                    return Obstacle(k, []) if is_direct else Obstacle(None, [value])
    return None


def _versions_read(residuals: Residuals, value: Value, chain: int) -> list[tuple[int, bool]]:
    """Return the versions of a chain that are read where a value is made or used."""
    version = residuals.version
    if value in residuals.saved:
        return []
    if value in residuals.read_back:
        own, number = residuals.read_back[value]
        return [(number, False)] if own == chain else []
    if value in version:
        own, number = version[value]
        return [(number, True)] if own == chain else []
    eqn = residuals.producers.get(value)
    if eqn is None:
        return []
    found = [version[a] for a in eqn.operands if isinstance(a, Value) and a in version]
    return [(number, False) for own, number in found if own == chain]


def _first_reads(residuals: Residuals) -> dict[Value, int]:
    """Return when each value that is not saved is first wanted, as a place in the adjoint."""
    first: dict[Value, int] = {}

    def want(atom: Atom, time: int, is_inner: bool) -> None:
        if not isinstance(atom, Value) or atom in first:
            return
        if is_inner and atom in residuals.version:
            return  # its reader says when
        first[atom] = time
        if atom in residuals.read_back:
            for position in residuals.link(*residuals.read_back[atom]).operands[2:]:
                want(position, time, True)
            return
        eqn = residuals.producers.get(atom)
        if eqn is not None and eqn in residuals.again:
            for operand in eqn.operands:
                want(operand, time, True)

    for time, eqn in enumerate(residuals.adjoint):
        for operand in eqn.operands:
            want(operand, time, False)
    for result in residuals.body.results:
        want(result, len(residuals.adjoint), False)
    return first


def place_overwritten(residuals: Residuals) -> Obstacle | None:
    """Return what tells where a write is undone, if that is made of what it has overwritten.

    `i = nonzero(x > 0); x[i] = ...`: the older `x` cannot say which rows of it to restore.
    """
    for k in sorted(residuals.needed_chains & set(residuals.chains)):
        for number, link in enumerate(residuals.chains[k].links, 1):
            if not isinstance(link.op, IndexUpdate | IndexAdd):
                continue
            for position in link.operands[2:]:
                residuals.need(position)
                if _reads_before(residuals, position, k, number):
                    return Obstacle(None, _sources(residuals, position))
    return None


def _reads_before(residuals: Residuals, atom: Atom, chain: int, number: int) -> bool:
    """Whether a value is made of a version of an array that is older than one of its writes."""
    if not isinstance(atom, Value) or atom in residuals.saved:
        return False
    key = residuals.read_back.get(atom) or residuals.version.get(atom)
    if key is not None and key[0] == chain:
        return key[1] < number
    eqn = residuals.producers.get(atom)
    if eqn is None or eqn not in residuals.again:
        return False
    binders = [residuals.binders.get(s) for s in mentioned(eqn) - set(eqn.op.binds)]
    read = [*eqn.operands, *[b.results[0] for b in binders if b is not None]]
    return any(_reads_before(residuals, a, chain, number) for a in read)


def _sources(residuals: Residuals, position: Atom) -> list[Value]:
    """Return what to save for a position: what its size is told by, where that is unknown."""
    eqn = residuals.producers.get(position) if isinstance(position, Value) else None
    found = eqn.operands if eqn is not None and eqn.op.binds else (position,)
    return [a for a in found if isinstance(a, Value)]


__all__ = ["Obstacle", "place_overwritten", "read_too_late"]
