"""Equations that are written together with the one that reads them: one pass over memory less.

`t = a + b; x[1:-1] = t` becomes `add(a, b, x[1:-1])`, and an array made of single numbers is
written number by number (0.07 µs for three, 0.33 by `x[:] = a, b, c`, 2 by `concatenate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..ir.core import Atom, Eqn, Literal, Value
from ..ir.op import Elementwise
from ..ir.ops.dynamic import Extent
from ..ir.ops.index import IndexUpdate, index_shape
from ..ir.ops.shape import Concatenate, Reshape
from .arithmetic import VIEWED
from .numbers import is_number

if TYPE_CHECKING:
    from .emit import Writer

MOST = 16
"""Numbers in an array that are written one by one."""


def merge(writer: Writer, eqns: Sequence[Eqn], results: Sequence[Atom]) -> None:
    """Find the equations of a block that wait for their reader."""
    if not any(isinstance(e.op, IndexUpdate | Concatenate) for e in eqns):
        return
    made: dict[Atom, int] = {e.results[0]: k for k, e in enumerate(eqns) if len(e.results) == 1}
    counts: dict[Atom, int] = dict.fromkeys(results, 2)
    for eqn in eqns:
        for operand in eqn.operands:
            counts[operand] = counts.get(operand, 0) + (2 if eqn.op.regions else 1)
    for k, eqn in enumerate(eqns):
        if isinstance(eqn.op, IndexUpdate):
            value = eqn.operands[1]
            j = made.get(value)
            if j is not None and counts[value] == 1 and _fits(writer, eqns, j, k, made):
                writer.waiting[eqns[j].results[0]] = eqns[j]
        elif isinstance(eqn.op, Concatenate) and writer.frames.depth:
            makers = [eqns[made[a]] if a in made else None for a in eqn.operands]
            _numbers(writer, eqn, makers, counts)


def _fits(writer: Writer, eqns: Sequence[Eqn], j: int, k: int, made: dict[Atom, int]) -> bool:
    """Whether equation j may compute into the part that equation k writes."""
    maker, update = eqns[j], eqns[k]
    op, (base, value, *positions) = update.op, update.operands
    assert isinstance(op, IndexUpdate)
    if not isinstance(maker.op, Elementwise) or not value.type.shape:
        return False
    types = [p.type for p in positions]
    if op.is_gather(types) or index_shape(op.index, base.type, types) != value.type.shape:
        return False
    cells = writer.plan.cells
    if not isinstance(base, Value) or cells.get(base) is not cells.get(update.results[0]):
        return False
    if any(made.get(a, -1) >= j for a in (base,)):
        return False
    # Nothing in between reads memory.
    return all(_is_quiet(e) for e in eqns[j + 1 : k])


def _is_quiet(eqn: Eqn) -> bool:
    return isinstance(eqn.op, Extent) or (eqn.op.is_view and bool(eqn.results[0].type.shape))


def _numbers(
    writer: Writer, eqn: Eqn, makers: Sequence[Eqn | None], counts: dict[Atom, int]
) -> None:
    """Let an array of single numbers be written from these."""
    if (
        len(makers) > MOST
        or eqn.results[0].type.ndim != 1
        or eqn.results[0].type.dtype not in VIEWED
    ):
        return
    found: list[Eqn] = []
    for maker, operand in zip(makers, eqn.operands, strict=True):
        if operand.type.shape != (1,):
            return
        if isinstance(operand, Literal):
            continue
        if maker is None or not isinstance(maker.op, Reshape) or counts[operand] > 1:
            return
        if not is_number(maker.operands[0]):
            return
        found.append(maker)
    writer.waiting.update((m.results[0], m) for m in found)


def numbers_of(writer: Writer, eqn: Eqn) -> list[Atom] | None:
    """Return the numbers that an array is made of, if they wait for it."""
    if not isinstance(eqn.op, Concatenate) or not any(a in writer.waiting for a in eqn.operands):
        return None
    found: list[Atom] = []
    for operand in eqn.operands:
        if isinstance(operand, Literal):
            found.append(Literal(operand.value.reshape(-1)[0]))
        else:
            found.append(writer.waiting[operand].operands[0])
    return found


__all__ = ["merge", "numbers_of"]
