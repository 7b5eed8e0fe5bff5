"""Where the values of a recursion live: in memory that each activation allocates for itself.

What an activation returns belongs to the caller, and nothing is written into it; a result that is a
parameter, or a view of one, is copied on return. A carry is updated in place: its last value lies
in the operand's memory, or in a copy where the operand is read afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ir.core import Eqn, Value
from ..ir.ops.recursion import Recursion
from ..ir.plan import CallPlan, Cell, Home
from .protect import FOREVER

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
    planner.calls[eqn] = CallPlan(planner.calls[eqn].copied, frozenset(moved))


__all__ = ["place_call", "place_recursion"]
