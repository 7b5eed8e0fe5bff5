"""Where the results of a `Cond` live: in memory that a branch updates in place, or in their own.

A result takes over the memory of an operand that is read there for the last time, where a branch
returns that operand, unchanged or updated. A branch then writes only what it changes, and one that
returns the operand as it is does nothing. Other results get memory of their own, which each branch
computes its value in where it can.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..ir.core import Atom, Eqn, Function, Value
from ..ir.ops.cond import Cond
from ..ir.ops.control import Loop
from ..ir.ops.recursion import Recur, Recursion
from ..ir.plan import BranchPlan, Cell, CondPlan, Home
from ..ir.types import ArrayType

if TYPE_CHECKING:
    from .memory import _Block


def updated(op: Cond) -> list[list[int]]:
    """Return for each result the operands that a branch returns, as they are or updated.

    Operands count without the predicate; those with the fewest elementwise steps come first.
    """
    ways = [_Ways(branch) for branch in op.branches]
    found: list[list[int]] = []
    for k in range(len(op.branches[0].results)):
        steps: dict[int, int] = {}
        for way, branch in zip(ways, op.branches, strict=True):
            for j, count in way.of(branch.results[k]).items():
                steps[j] = min(count, steps.get(j, count))
        found.append(sorted(steps, key=lambda j: (steps[j], j)))
    return found


class _Ways:
    """From which parameters the values of a region can be computed in place, in how many steps."""

    def __init__(self, region: Function) -> None:
        self.known: dict[Value, dict[int, int]] = {
            p: {k: 0} for k, p in enumerate(region.params) if p.type.shape
        }
        for eqn in region.eqns:
            self.equation(eqn)

    def of(self, atom: Atom) -> dict[int, int]:
        return self.known.get(atom, {}) if isinstance(atom, Value) else {}

    def equation(self, eqn: Eqn) -> None:
        op = eqn.op
        if op.updates is not None:
            self.known[eqn.results[0]] = self.of(eqn.operands[op.updates])
        elif isinstance(op, Loop):
            inits = eqn.operands[op.head : op.head + op.carries]
            self.known.update({r: self.of(a) for r, a in zip(eqn.results, inits, strict=False)})
        elif isinstance(op, Recursion | Recur):
            carried = zip(eqn.results[: op.carries], eqn.operands, strict=False)
            self.known.update({r: self.of(a) for r, a in carried})
        elif isinstance(op, Cond):
            for result, positions in zip(eqn.results, updated(op), strict=True):
                self.known[result] = self.merged([eqn.operands[1 + j] for j in positions], 0)
        elif op.is_elementwise and not op.is_view:
            type = eqn.results[0].type
            self.known[eqn.results[0]] = self.merged([a for a in eqn.operands if a.type == type], 1)

    def merged(self, atoms: Sequence[Atom], step: int) -> dict[int, int]:
        steps: dict[int, int] = {}
        for atom in atoms:
            for j, count in self.of(atom).items():
                steps[j] = min(count + step, steps.get(j, count + step))
        return steps


def place_cond(block: _Block, eqn: Eqn, op: Cond) -> None:
    """Place the results of a cond, then the values of its branches."""
    planner = block.planner
    adopted: dict[int, int] = {}
    made: set[int] = set()
    for k, positions in enumerate(updated(op)):
        result = eqn.results[k]
        if not result.type.shape:
            continue
        free = (j for j in positions if j not in adopted.values() and _adopts(block, eqn, j, k))
        position = next(free, None)
        if position is not None:
            adopted[k] = position
            block.take_over(planner.cells[eqn.operands[1 + position]], result)  # type: ignore[index]
        elif not block.reach(result):
            block.new(result)
            made.add(k)
    plans: dict[int, BranchPlan] = {}
    for branch in op.branches:
        if id(branch) not in plans:
            plans[id(branch)] = _branch(block, eqn, branch, adopted)
    planner.conds[eqn] = CondPlan(frozenset(made), tuple(plans[id(b)] for b in op.branches))
    for result in eqn.results:
        cell = planner.cell_of(result)
        if cell is not None:
            cell.owner = result
            block.ends_at(cell, block.end(result))


def _adopts(block: _Block, eqn: Eqn, position: int, k: int) -> bool:
    """Whether a result may take over the memory of an operand."""
    operand, result = eqn.operands[1 + position], eqn.results[k]
    cell = block.planner.cell_of(operand)
    return (
        cell is not None
        and cell.owner is operand
        and operand.type == result.type
        and operand.layout == result.layout
        and block.can_take(cell, result)
        and all(
            block.planner.cell_of(a) is not cell
            for n, a in enumerate(eqn.operands)
            if n != 1 + position
        )
    )


def _branch(block: _Block, eqn: Eqn, branch: Function, adopted: dict[int, int]) -> BranchPlan:
    planner = block.planner
    for param, operand in zip(branch.params, eqn.operands[1:], strict=True):
        outer = planner.cell_of(operand)
        if outer is not None:
            planner.cells[param] = outer
    cells: list[Cell | None] = []  # of the results, as the branch sees them
    targets: dict[Value, Cell] = {}
    for k, result in enumerate(eqn.results):
        outer = planner.cell_of(result)
        if outer is None:
            cells.append(None)
            continue
        position = adopted.get(k)
        holder = Value(result.type) if position is None else branch.params[position]
        # The row of an outer stack is memory like any other while a branch runs.
        home = Home.FRESH if outer.home is Home.STACK else outer.home
        inner = Cell(home, holder, -1, outer.slot)
        inner.layout, inner.pinned = outer.layout, True
        cells.append(inner)
        if position is not None:
            planner.cells[holder] = inner
        value = branch.results[k]
        fits = isinstance(value, Value) and value not in targets and value not in branch.params
        targets[value if fits else Value(result.type)] = inner  # type: ignore[index]
    planner.block(branch.eqns, branch.results, set(), targets)
    moved: set[int] = set()
    renamed: set[int] = set()
    for k, (cell, value) in enumerate(zip(cells, branch.results, strict=True)):
        if cell is None or (k in adopted and value is branch.params[adopted[k]]):
            continue
        found = planner.cell_of(value)
        if found is cell and cell.owner is value:
            continue
        result = eqn.results[k]
        first = branch.results.index(value) == k
        place = planner.cells[result]
        own = first and k not in adopted and place.home is Home.FRESH and not place.pinned
        if own and _leaves(found, value, result.type, cell):
            renamed.add(k)
        else:
            moved.add(k)
    return BranchPlan(tuple(cells), frozenset(moved), frozenset(renamed))


def _leaves(found: Cell | None, value: Atom, type: ArrayType, cell: Cell) -> bool:
    """Whether a value is in memory that NumPy made in the branch, which can be the result's."""
    return (
        found is not None
        and found.home in (Home.FRESH, Home.NUMPY)
        and found.owner is value
        and not found.pinned
        and value.type == type
        and found.layout == cell.layout
    )


__all__ = ["place_cond", "updated"]
