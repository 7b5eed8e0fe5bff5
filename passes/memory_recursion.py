"""Where the values of a recursion live: in memory that each activation allocates for itself.

What an activation returns belongs to the caller, and nothing is written into it; a result that is a
parameter, or a view of one, is copied on return. A carry is updated in place: its last value lies
in the operand's memory, or in a copy where the operand is read afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..ir.core import Atom, Eqn, Value
from ..ir.ops.recursion import Recur, Recursion
from ..ir.plan import CallPlan, Cell, Home
from .protect import FOREVER, shares_memory

if TYPE_CHECKING:
    from .memory import _Block


def place_call(block: _Block, eqn: Eqn, carries: int) -> None:
    """Place the results of a recursion, or of a call within one."""
    planner = block.planner
    copied: set[int] = set()
    for k in range(carries):
        operand, result = eqn.operands[k], eqn.results[k]
        cell = planner.cell_of(operand)
        others = [a for j, a in enumerate(eqn.operands) if j != k]
        if (
            cell is not None
            and cell.owner is operand
            and operand.layout == result.layout
            and block.can_take(cell, result)
            and all(planner.cell_of(a) is not cell for a in others)
        ):
            block.take_over(cell, result)
            continue
        if not block.reach(result):
            block.new(result)
        copied.add(k)
    for result in eqn.results[carries:]:
        if result.type.shape:
            planner.cells[result] = Cell(Home.CALLER, result, FOREVER)
    planner.calls[eqn] = CallPlan(frozenset(copied))


def place_recursion(block: _Block, eqn: Eqn, op: Recursion) -> None:
    """Place the results of a recursion, then the values of its body."""
    place_call(block, eqn, op.carries)
    planner, body = block.planner, op.body
    cells: list[Cell] = []
    targets: dict[Value, Cell] = {}
    for k, param in enumerate(body.params):
        if not param.type.shape:
            continue
        cell = Cell(Home.FRESH if k < op.carries else Home.CALLER, param, FOREVER)
        planner.cells[param] = cell
        if k < op.carries:
            cell.pinned = True
            cells.append(cell)
            value = body.results[k]
            fits = isinstance(value, Value) and value not in targets and value is not param
            targets[value if fits else Value(param.type)] = cell  # type: ignore[index]
    planner.depth += 1
    planner.block(body.eqns, body.results, set(), targets)
    planner.depth -= 1
    moved = {
        k
        for k, cell in enumerate(cells)
        if body.results[k] is not body.params[k]
        and not (planner.cell_of(body.results[k]) is cell and cell.owner is body.results[k])
    }
    producers = {r: e for e in body.eqns for r in e.results}
    shared = {
        k
        for k, result in enumerate(body.results)
        if k >= op.carries and result.type.shape and not _is_own(block, result, producers)
    }
    copied = planner.calls[eqn].copied
    planner.calls[eqn] = CallPlan(copied, frozenset(moved), frozenset(shared))


def release(block: _Block, eqn: Eqn, before: Sequence[Eqn]) -> None:
    """Say which arrays made before a call are not read any more: they are not kept during it.

    Else each activation under way would keep its own, and the memory that they take would go back
    to the system and come again.
    """
    ended = {c for c in block.ended if c.home in (Home.FRESH, Home.NUMPY)}
    block.ended.clear()
    made = [r for e in before for r in e.results if block.planner.cell_of(r) in ended]
    plan = block.planner.calls[eqn]
    block.planner.calls[eqn] = replace(plan, released=tuple(made))


def early_targets(eqns: Sequence[Eqn], targets: Mapping[Value, Cell]) -> Mapping[Value, Cell]:
    """Return targets for the values of which those with a target are later versions, too."""
    found = dict(targets)
    made = {r for e in eqns for r in e.results}
    for eqn in reversed(eqns):
        op = eqn.op
        pairs: list[tuple[Value, Atom]] = []
        if isinstance(op, Recur | Recursion):
            pairs = list(zip(eqn.results[: op.carries], eqn.operands, strict=False))
        elif op.updates is not None:
            pairs = [(eqn.results[0], eqn.operands[op.updates])]
        for result, operand in pairs:
            if result in found and operand in made:
                found.setdefault(operand, found[result])  # type: ignore[arg-type]
    return found


def place_pack(block: _Block, eqn: Eqn, eqns: Sequence[Eqn]) -> None:
    """Say what a record holds copies of: all but arrays that the equations around it have made."""
    producers = {r: e for e in eqns for r in e.results}
    copied: set[int] = set()
    for k, operand in enumerate(eqn.operands):
        if operand.type.shape and not _is_own(block, operand, producers):
            copied.add(k)
    block.planner.calls[eqn] = CallPlan(frozenset(copied))


def _is_own(block: _Block, atom: Atom, producers: Mapping[Value, Eqn]) -> bool:
    """Whether an array was made by equations of a block, in memory that nothing else is put in."""
    while isinstance(atom, Value) and atom in producers and shares_memory(producers[atom]):
        atom = producers[atom].operands[0]
    eqn = producers.get(atom) if isinstance(atom, Value) else None
    if eqn is None:
        return False
    cell = block.planner.cell_of(atom)
    if isinstance(eqn.op, Recur | Recursion) and atom not in eqn.results[: eqn.op.carries]:
        return True
    return cell is not None and cell.home in (Home.FRESH, Home.NUMPY) and not cell.pinned


__all__ = ["early_targets", "place_call", "place_pack", "place_recursion", "release"]
