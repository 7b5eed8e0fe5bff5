"""Where the carries and stacks of a loop live, and the values of its body.

A carry adopts the memory of its initial value where nothing else reads that; its next value is
computed in the carry's own memory where the old one is no longer read, and copied there otherwise.
An output that is stacked is computed in its row where it can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..ir.core import Atom, Eqn, Function, Value
from ..ir.ops.control import Loop
from ..ir.plan import Cell, Home, LoopPlan
from .protect import FOREVER

if TYPE_CHECKING:
    from .memory import _Block, _Planner


def place_loop(block: _Block, eqn: Eqn, op: Loop) -> None:
    """Place a loop's carries and stacks, then the values of its body."""
    planner = block.planner
    head = _head(op)
    inits = eqn.operands[op.head : op.head + op.carries]
    captured = eqn.operands[op.head + op.carries :]
    adopted = {
        k
        for k, init in enumerate(inits)
        if eqn.results[k].type.shape
        and _carry(
            block,
            eqn.results[k],
            init,
            [a for j, a in enumerate(eqn.operands[op.head :]) if j != k],
        )
    }
    for result in eqn.results[op.carries :]:
        if result.type.shape:
            block.new(result)
    for region in op.regions:
        for param, value in zip(region.params[head + op.carries :], captured, strict=True):
            cell = planner.cell_of(value)
            if cell is not None:
                planner.cells[param] = cell
    if op.test is not None:
        _enter(planner, op, op.test, eqn)
        planner.block(op.test.eqns, [], set())
    planner.loops[eqn.results[0]] = _body(planner, eqn, op, adopted)
    for result in eqn.results:
        cell = planner.cell_of(result)
        if cell is not None:
            cell.owner = result
            block.ends_at(cell, block.end(result))


def _carry(block: _Block, result: Value, init: Atom, others: Sequence[Atom]) -> bool:
    """Place a carry; say whether it adopts the memory of its initial value."""
    cell = block.planner.cell_of(init)
    if (
        cell is not None
        and cell.owner is init
        and block.can_take(cell, result)
        and init.layout == result.layout
        and all(block.planner.cell_of(a) is not cell for a in others)
    ):
        block.take_over(cell, result)
        cell.end = FOREVER
        return True
    block.new(result)
    return False


def _enter(planner: _Planner, op: Loop, region: Function, eqn: Eqn) -> dict[Value, Cell]:
    """Give the carry parameters of a region cells in the memory of the loop's results."""
    inner: dict[Value, Cell] = {}
    head = _head(op)
    for k in range(op.carries):
        param, outer = region.params[head + k], planner.cell_of(eqn.results[k])
        if outer is not None:
            # The row of an outer stack is memory like any other while this loop runs.
            home = Home.FRESH if outer.home is Home.STACK else outer.home
            cell = Cell(home, param, FOREVER, outer.slot)
            cell.pinned = True
            planner.cells[param] = cell
            inner[param] = cell
    return inner


def _body(planner: _Planner, eqn: Eqn, op: Loop, adopted: set[int]) -> LoopPlan:
    """Place the values of a body."""
    cells = _enter(planner, op, op.body, eqn)
    body, head = op.body, _head(op)
    after = list(body.results)
    targets: dict[Value, Cell] = {}
    for k in range(op.carries):
        param, value = body.params[head + k], after[k]
        if param in cells:
            if isinstance(value, Value) and value is not param and value not in targets:
                targets[value] = cells[param]
            else:
                targets[Value(param.type)] = cells[param]
    rows: dict[Value, Value] = {}
    for k in range(op.carries, len(after)):
        value, stack = after[k], eqn.results[k]
        if not isinstance(value, Value) or value in targets or value in rows:
            continue
        if value.type.shape and stack.type.is_static:
            rows[value] = stack
    # A carry that is stacked as it comes in is stored at the start of the iteration.
    stored = [v for v in after[op.carries :] if v not in cells]
    planner.block(body.eqns, [*after[: op.carries], *stored], set(), targets, rows)
    moves = set()
    for k in range(op.carries):
        param, value = body.params[head + k], after[k]
        if value is param:
            continue
        cell = planner.cell_of(value)
        if cell is None or cell is not cells.get(param) or not planner.holds(cell, value):
            moves.add(k)
    direct = {
        k - op.carries
        for k in range(op.carries, len(after))
        if (cell := planner.cell_of(after[k])) is not None
        and cell.home is Home.STACK
        and cell.stack is eqn.results[k]
        and cell.owner is after[k]
    }
    return LoopPlan(frozenset(moves), frozenset(adopted), frozenset(direct))


def _head(op: Loop) -> int:
    """Return how many parameters of a region stand before the carries."""
    return 1 if op.ranged else 0


__all__ = ["place_loop"]
