"""The memory plan: which values share memory, are written in place, or leave with a result.

Each value with axes lives in a cell. A view lives in its operand's cell. An elementwise result
takes over the cell of an operand that is read there for the last time; `index_update` and
`index_add` write into theirs. Other results get a slot that is free while they live (see
`slots.py`), or a new one; what leaves with a result is allocated afresh. Temporaries of a loop body
use slots that are free around the whole loop, and the next value of a carry is computed in the
carry's own cell where the old value is no longer read.

Before::

    def f(x: f64[1000]) -> (f64, f64[1000]):
        y : f64[1000] = x + 1.0
        z : f64[1000] = tanh(y)
        s : f64       = sum(z, axes=(-1,))
        w : f64[1000] = x * s
        return s, w

After: `y` and `z` share one slot of 8,000 bytes, `w` is the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from ..ir.binding import instantiated
from ..ir.core import Atom, Eqn, Function, Value
from ..ir.ops.cond import Cond
from ..ir.ops.control import Fused, Loop
from ..ir.ops.effects import WriteBack
from ..ir.ops.recursion import Pack, Recur, Recursion, Unpack
from ..ir.ops.shape import Reshape
from ..ir.ops.tape import TapePop
from ..ir.plan import CallPlan, Cell, CondPlan, Home, LoopPlan, Plan, TilePlan
from .donation import assigns_safely, in_place
from .memory_cond import place_cond, updated
from .memory_loop import place_loop
from .memory_recursion import early_targets, place_call, place_pack, place_recursion, release
from .memory_tiles import place_tiles, preferred
from .order import aligned
from .protect import FOREVER, protect, shares_memory
from .slots import Slots


def flatten(function: Function) -> Function:
    """Return the function with the bodies of regions that run whole in line, inside loops too."""
    if not any(eqn.op.regions for eqn in function.eqns):
        return function
    scope: dict[Atom, Atom] = {}
    eqns: list[Eqn] = []

    def visit(eqn: Eqn) -> None:
        operands = tuple([scope.get(a, a) for a in eqn.operands])
        if isinstance(eqn.op, Fused) and not eqn.op.tile:
            body = instantiated(eqn.op.body, eqn.op.dims)
            scope.update(zip(body.params, operands, strict=True))
            for inner in body.eqns:
                visit(inner)
            for outer, result in zip(eqn.results, body.results, strict=True):
                inside = scope.get(result, result)
                scope[outer] = inside
                if isinstance(inside, Value) and inside.hint is None:
                    inside.hint = outer.hint
            return
        op = eqn.op
        if op.regions and not isinstance(op, Fused):
            op = op.with_regions([flatten(r) for r in op.regions])
        eqns.append(Eqn(op, operands, eqn.results, eqn.provenance))

    for eqn in function.eqns:
        visit(eqn)
    results = [scope.get(r, r) for r in function.results]
    return function.replace(eqns=eqns, results=results, result_kinds=function.result_kinds)


def plan_memory(function: Function) -> Plan:
    """Return the plan of a function, its fused regions flattened."""
    function = protect(aligned(flatten(function)))
    planner = _Planner()
    for p in function.params:
        planner.cells[p] = Cell(Home.CALLER, p, FOREVER)
    ends = _ends(function.eqns, function.results)
    planner.donated = in_place(function, ends)
    leaving = _leaving(function.eqns, function.results)
    block = _Block(planner, ends, leaving, {}, {})
    block.lend({p for params in planner.donated.values() for p in params})
    block.run(function.eqns)
    return Plan(
        function,
        planner.cells,
        planner.assign_slots(),
        planner.loops,
        planner.copied,
        planner.fresh_bytes,
        planner.numpy_bytes,
        planner.conds,
        planner.calls,
        planner.tiles,
    )


def _ends(eqns: Sequence[Eqn], results: Sequence[Atom]) -> dict[Value, int]:
    """Return the index of the last read of each value or of a view of it."""
    ends: dict[Value, int] = {r: FOREVER for r in results if isinstance(r, Value)}
    for index in range(len(eqns) - 1, -1, -1):
        eqn = eqns[index]
        if isinstance(eqn.op, WriteBack):  # its argument is overwritten, not read
            content = eqn.operands[1]
            if isinstance(content, Value):
                ends.setdefault(content, index)
            continue
        last = FOREVER if isinstance(eqn.op, Pack) else index  # what it holds stays as it is
        for operand in eqn.operands:
            if isinstance(operand, Value) and ends.get(operand, -1) < last:
                ends[operand] = last
        if shares_memory(eqn) and isinstance(eqn.operands[0], Value):
            base, view = eqn.operands[0], eqn.results[0]
            ends[base] = max(ends[base], ends.get(view, -1))
    return ends


def _leaving(eqns: Sequence[Eqn], results: Sequence[Atom]) -> set[Value]:
    """Return the values whose memory leaves with a result, through views, updates and carries."""
    leaving = {r for r in results if isinstance(r, Value)}
    for eqn in reversed(eqns):
        op = eqn.op
        if isinstance(op, Loop):
            inits = eqn.operands[op.head : op.head + op.carries]
            pairs = list(zip(eqn.results, inits, strict=False))
        elif isinstance(op, Cond):
            found = zip(eqn.results, updated(op), strict=True)
            pairs = [(r, eqn.operands[1 + j]) for r, positions in found for j in positions]
        elif isinstance(op, Recursion | Recur):
            pairs = list(zip(eqn.results[: op.carries], eqn.operands, strict=False))
        elif op.is_view:
            pairs = [(eqn.results[0], eqn.operands[0])]
        elif op.updates is not None:
            pairs = [(eqn.results[0], eqn.operands[op.updates])]
        else:
            continue
        leaving.update(a for r, a in pairs if r in leaving and isinstance(a, Value))
    return leaving


class _Planner:
    def __init__(self) -> None:
        self.cells: dict[Value, Cell] = {}
        self.slots = Slots()
        self.loops: dict[Value, LoopPlan] = {}
        self.conds: dict[Eqn, CondPlan] = {}
        self.calls: dict[Eqn, CallPlan] = {}
        self.tiles: dict[Eqn, TilePlan] = {}
        self.depth = 0
        """How many recursions are around: each activation has memory of its own."""
        self.donated: dict[Value, set[Value]] = {}
        self.reshaped: dict[Value, Value] = {}
        """Whole arrays in another shape, in C order, and what they share their memory with."""
        self.copied = 0
        self.fresh_bytes = 0
        self.numpy_bytes = 0

    def block(
        self,
        eqns: Sequence[Eqn],
        results: Sequence[Atom],
        leaving: set[Value],
        targets: Mapping[Value, Cell] = MappingProxyType({}),
        rows: Mapping[Value, Value] = MappingProxyType({}),
    ) -> None:
        """Place the results of a block.

        `leaving` holds the values that leave with a result of the function, `targets` maps the next
        values of carries to the carries' cells, `rows` the outputs of a body to the stacks whose
        rows they may be computed in.
        """
        if self.depth and targets:
            targets = early_targets(eqns, targets)
        _Block(self, _ends(eqns, results), leaving, targets, rows).run(eqns)

    def holds(self, cell: Cell, atom: Atom) -> bool:
        """Whether a cell holds a value now, maybe in another shape."""
        while isinstance(atom, Value) and atom is not cell.owner and atom in self.reshaped:
            atom = self.reshaped[atom]
        return atom is cell.owner

    def cell_of(self, atom: Atom) -> Cell | None:
        return self.cells.get(atom) if isinstance(atom, Value) else None

    def give_back(self, cell: Cell) -> None:
        if cell.home is Home.SLOT:
            self.slots.give_back(cell.slot)

    def assign_slots(self) -> tuple[int, ...]:
        """Give cells slots in place of requests, and return the bytes of each slot."""
        slots, sizes = self.slots.assigned()
        cells = {*self.cells.values()}
        for cond in self.conds.values():
            cells.update([c for branch in cond.branches for c in branch.cells if c is not None])
        for cell in cells:
            if cell.home is Home.SLOT:
                cell.slot = slots[cell.slot]
        return tuple(sizes)


class _Block:
    """One pass over the equations of a function or loop body."""

    def __init__(
        self,
        planner: _Planner,
        ends: dict[Value, int],
        leaving: set[Value],
        targets: Mapping[Value, Cell],
        rows: Mapping[Value, Value],
    ) -> None:
        self.planner = planner
        self.ends = ends
        self.leaving = leaving
        self.targets = targets
        self.rows = rows
        self.live: set[Cell] = set(targets.values())
        for cell in self.live:
            cell.end = ends.get(cell.owner, -1)
        self.ending: dict[int, list[Cell]] = {}
        self.ended: set[Cell] = set()
        """What nothing reads any more, since the last call within a recursion."""
        self.at = 0

    def lend(self, params: set[Value]) -> None:
        """Let values be computed in the memory of parameters that are written back."""
        for param in params:
            cell = self.planner.cells[param]
            self.live.add(cell)
            self.ends_at(cell, self.ends.get(param, -1))

    def ends_at(self, cell: Cell, end: int) -> None:
        """Note when a cell is read for the last time."""
        cell.end = end
        self.ending.setdefault(end, []).append(cell)

    def run(self, eqns: Sequence[Eqn]) -> None:
        for self.at, eqn in enumerate(eqns):
            self.planner.slots.now += 1
            if isinstance(eqn.op, Loop):
                place_loop(self, eqn, eqn.op)
            elif isinstance(eqn.op, Fused):
                place_tiles(self, eqn, eqn.op)
            elif isinstance(eqn.op, Cond):
                place_cond(self, eqn, eqn.op)
            elif isinstance(eqn.op, Recursion):
                place_recursion(self, eqn, eqn.op)
            elif isinstance(eqn.op, Recur):
                place_call(self, eqn, eqn.op.carries)
                release(self, eqn, eqns[: self.at])
            elif isinstance(eqn.op, Pack):
                place_pack(self, eqn, eqns)
            else:
                for result in eqn.results:
                    if eqn.op.is_view:
                        if shares_memory(eqn):
                            self.view(eqn, result)
                    elif result.type.shape:
                        self.place(eqn, result)
            for cell in self.ending.pop(self.at, ()):
                if cell.end == self.at and cell in self.live and not cell.pinned:
                    self.live.discard(cell)
                    self.ended.add(cell)
                    self.planner.give_back(cell)
        for cell in self.live:
            if not cell.pinned and cell.home is Home.SLOT:
                self.planner.give_back(cell)

    # -- one result --------------------------------------------------------------------------------

    def view(self, eqn: Eqn, result: Value) -> None:
        cell = self.planner.cell_of(eqn.operands[0])
        if cell is None:  # a view of a literal or a scalar
            cell = Cell(Home.NUMPY, result, FOREVER)
        self.planner.cells[result] = cell
        whole = eqn.operands[0]
        if isinstance(eqn.op, Reshape) and isinstance(whole, Value) and whole.layout is None:
            self.planner.reshaped[result] = whole

    def place(self, eqn: Eqn, result: Value) -> None:
        op = eqn.op
        if op.updates is not None:
            cell = self.planner.cell_of(eqn.operands[op.updates])
            others = [
                a
                for k, a in enumerate(eqn.operands)
                if k != op.updates and not (k == 1 and assigns_safely(eqn))
            ]
            if (
                cell is not None
                and self.planner.holds(cell, eqn.operands[op.updates])
                and self.can_take(cell, result)
                and all(self.planner.cell_of(a) is not cell for a in others)
            ):
                self.take_over(cell, result)
                return
            self.planner.copied += 1
            if not self.reach(result):
                self.new(result)
        elif isinstance(op, TapePop | Unpack):
            # The tape's memory: what is popped is not written into, for a pullback runs again.
            self.planner.cells[result] = Cell(Home.CALLER, result, FOREVER)
        elif not op.has_out:
            self.planner.numpy_bytes += result.type.nbytes
            self.add(Cell(Home.NUMPY, result, self.end(result)), result)
        elif result in self.rows or not self.reuse(eqn, result):
            self.new(result)

    def reuse(self, eqn: Eqn, result: Value) -> bool:
        """Put the result where its target is free, or over an operand that dies here."""
        if self.reach(result):
            return True
        target = self.targets.get(result)
        if not eqn.op.is_elementwise:
            return False
        cells = [self.planner.cell_of(a) for a in eqn.operands]
        for k in preferred(cells, target):
            cell = cells[k]
            if cell is None or (cell.pinned and cell is not target):
                continue
            if self.can_take(cell, result) and self.may_overwrite(eqn, cell, result):
                self.take_over(cell, result)
                return True
        return False

    def reach(self, result: Value) -> bool:
        """Put the result where its target is, if that is free."""
        target = self.targets.get(result)
        if target is None or target.end >= self.at or target.layout != result.layout:
            return False
        self.take_over(target, result)
        return True

    def may_overwrite(self, eqn: Eqn, cell: Cell, result: Value) -> bool:
        """Whether an elementwise result may stand over the operand in `cell`."""
        places = [p for p, a in enumerate(eqn.operands) if self.planner.cell_of(a) is cell]
        for operand in [eqn.operands[p] for p in places]:
            if operand is not cell.owner or operand.type != result.type:
                return False
            if operand.layout != result.layout:
                return False
        return eqn.op.may_stand_over(places)

    def can_take(self, cell: Cell, result: Value) -> bool:
        if cell not in self.live or cell.end != self.at or cell.layout != result.layout:
            return False
        if cell.home is Home.CALLER:
            params = self.planner.donated.get(result, ())
            return any(self.planner.cells[p] is cell for p in params)
        if result in self.leaving:
            return cell.home in (Home.FRESH, Home.NUMPY)
        return cell.home in (Home.SLOT, Home.FRESH, Home.NUMPY)

    def take_over(self, cell: Cell, result: Value) -> None:
        cell.owner = result
        self.ends_at(cell, self.end(result))
        self.planner.cells[result] = cell

    def new(self, result: Value) -> None:
        type = result.type
        if result in self.rows and type.is_static:
            self.add(Cell(Home.STACK, result, FOREVER, stack=self.rows[result]), result)
        elif self.planner.depth or result in self.leaving or not type.is_static:
            self.planner.fresh_bytes += type.nbytes
            self.add(Cell(Home.FRESH, result, self.end(result)), result)
        else:
            slot = self.planner.slots.take(type.nbytes)
            self.add(Cell(Home.SLOT, result, self.end(result), slot), result)

    def add(self, cell: Cell, value: Value) -> None:
        self.planner.cells[value] = cell
        self.live.add(cell)
        self.ends_at(cell, cell.end)

    def end(self, value: Value) -> int:
        return self.ends.get(value, self.at)
