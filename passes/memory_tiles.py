"""The part of the memory plan that is about tiled regions.

A result lives where any result does, or in the memory of an operand that the region reads for the
last time, if each part of the operand has been read before that part of the result is written. What
is only needed inside lives in registers: arrays of the size of a part, one set for each thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..ir.core import Eqn, Value
from ..ir.ops.control import Fused
from ..ir.plan import Cell, Home, Parts, TilePlan
from ..ir.types import ArrayType
from .protect import shares_memory
from .tiling import parts_of

if TYPE_CHECKING:
    from .memory import _Block


def place_tiles(block: _Block, eqn: Eqn, op: Fused) -> None:
    """Place the results of a tiled region, and the values of its parts."""
    parts = parts_of(op)
    reads = _last_reads(op.body.eqns)
    made = {r: k for k, e in enumerate(op.body.eqns) for r in e.results}
    cells = [block.planner.cell_of(a) for a in eqn.operands]
    counts = Counter(cells)
    for k, result in enumerate(eqn.results):
        if not result.type.shape:
            continue
        if parts.results[k].reduction is None:
            inner = op.body.results[k]
            assert isinstance(inner, Value)
            if block.reach(result) or _take(
                block, eqn, op, parts, k, reads, made[inner], cells, counts
            ):
                continue
        block.new(result)
    block.planner.tiles[eqn] = _Registers(block, parts, op.threads).plan()


def _last_reads(eqns: Sequence[Eqn]) -> dict[Value, int]:
    """Return the index of the last equation that reads each value of a region, or a view of it."""
    reads: dict[Value, int] = {}
    for k in range(len(eqns) - 1, -1, -1):
        eqn = eqns[k]
        for a in eqn.operands:
            if isinstance(a, Value):
                reads.setdefault(a, k)
        if shares_memory(eqn) and isinstance(eqn.operands[0], Value):
            base = eqn.operands[0]
            reads[base] = max(reads[base], reads.get(eqn.results[0], -1))
    return reads


def _take(
    block: _Block,
    eqn: Eqn,
    op: Fused,
    parts: Parts,
    k: int,
    reads: dict[Value, int],
    made: int,
    cells: Sequence[Cell | None],
    counts: Mapping[Cell | None, int],
) -> bool:
    """Let a result stand over an operand that the region reads for the last time."""
    result, target = eqn.results[k], block.targets.get(eqn.results[k])
    maker = op.body.eqns[made]
    for j in preferred(cells, target):
        cell, operand, param = cells[j], eqn.operands[j], op.body.params[j]
        if cell is None or counts[cell] > 1 or (cell.pinned and cell is not target):
            continue
        if not block.can_take(cell, result) or operand is not cell.owner:
            continue
        if operand.type != result.type or operand.layout != result.layout:
            continue
        if op.cuts[j] != parts.results[k].axis or reads.get(param, -1) > made:
            continue
        if reads.get(param, -1) == made:
            at = [p for p, a in enumerate(maker.operands) if a is param]
            if not (maker.op.is_elementwise and at and maker.op.may_stand_over(at)):
                continue
        block.take_over(cell, result)
        return True
    return False


def preferred(cells: Sequence[Cell | None], target: Cell | None) -> list[int]:
    """Return the order in which to try the memory of operands: where the result has to be first."""
    return sorted(
        range(len(cells)),
        key=lambda k: (cells[k] is not target, (c := cells[k]) is None or c.home != Home.CALLER),
    )


def _pinned(value: Value) -> Cell:
    """Return memory that is there when the part begins."""
    cell = Cell(Home.FRESH, value, 0)
    cell.pinned = True
    return cell


class _Registers:
    """Places the values of a part."""

    def __init__(self, block: _Block, parts: Parts, threads: bool) -> None:
        self.cells = block.planner.cells
        self.parts = parts
        self.threads = threads
        self.types: list[ArrayType] = []
        self.registers: list[Cell] = []
        """For each array of a part the cell of all values that it holds in turn."""
        self.free: dict[ArrayType, list[int]] = {}
        self.number: dict[Cell, int] = {}

    def plan(self) -> TilePlan:
        body = self.parts.body
        ends = _last_reads(body.eqns)
        for value in (*body.params, *body.results):
            if isinstance(value, Value) and value.type.shape:
                self.cells[value] = _pinned(value)
        for k, eqn in enumerate(body.eqns):
            result = eqn.results[0]
            if shares_memory(eqn):
                base = eqn.operands[0]
                self.cells[result] = self.cells[base]  # type: ignore[index]
            elif result.type.shape and result not in self.cells:
                self._place(eqn, k, ends)
            for a in dict.fromkeys((*eqn.operands, result)):
                cell = self.cells.get(a) if isinstance(a, Value) else None
                if cell in self.number and ends.get(cell.owner, k) <= k:
                    self.free.setdefault(self.types[self.number[cell]], []).append(
                        self.number.pop(cell)
                    )
        return TilePlan(
            body,
            self.parts.size,
            self.parts.extent,
            self.parts.tile,
            self.parts.results,
            self.threads,
            tuple(zip(self.registers, self.types, strict=True)),
        )

    def _place(self, eqn: Eqn, k: int, ends: dict[Value, int]) -> None:
        result = eqn.results[0]
        if not eqn.op.has_out:
            self.cells[result] = Cell(Home.NUMPY, result, 0)
            return
        if eqn.op.is_elementwise:
            for a in eqn.operands:
                if not isinstance(a, Value):
                    continue
                cell = self.cells.get(a)
                if cell is None or cell not in self.number or cell.owner is not a:
                    continue
                if a.type != result.type or ends.get(a, -1) != k:
                    continue
                if not eqn.op.may_stand_over(p for p, b in enumerate(eqn.operands) if b is a):
                    continue
                cell.owner = result
                self.cells[result] = cell
                return
        free = self.free.get(result.type)
        number = free.pop() if free else len(self.types)
        if number == len(self.types):
            self.types.append(result.type)
            self.registers.append(_pinned(result))
        cell = self.registers[number]
        cell.owner = result
        self.number[cell] = number
        self.cells[result] = cell
