"""An independent check of memory plans: runs a plan on tokens in place of numbers.

Each piece of memory holds the value written there last. A read of a value whose memory holds
another one is an error. Bodies of loops run twice: an iteration sees what the last one left.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeGuard

from pullback.ir.core import Atom, Eqn, Function, Value
from pullback.ir.ops.cond import Cond
from pullback.ir.ops.control import Fused, Loop
from pullback.ir.plan import BranchPlan, Cell, Home, Plan


class BrokenPlan(AssertionError):
    """A plan that loses a value."""


class Checker:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.content: dict[Hashable, Value] = {}
        self.root: dict[Value, Value] = {}
        self.constants: set[Value] = set()
        self.same: dict[Cell, Cell] = {}
        """The cell inside of a loop to that outside which is the same memory."""

    def run(self) -> None:
        function = self.plan.function
        for param in function.params:
            if param.type.shape:
                self.write(param)
        self.block(function.eqns)
        for result in function.results:
            self.read(result, "the results")
            if self.lives(result):
                home = self.plan.cells[self.root[result]].home
                if home not in (Home.CALLER, Home.FRESH, Home.NUMPY):
                    raise BrokenPlan(f"the result {result!r} is in the workspace: {home}")

    # -- memory ---------------------------------------------------------------------------------

    def key(self, value: Value) -> Hashable:
        cell = self.plan.cells[value]
        while cell in self.same:
            cell = self.same[cell]
        return ("slot", cell.slot) if cell.home is Home.SLOT else cell

    def write(self, value: Value) -> None:
        self.root[value] = value
        key = self.key(value)
        cell = self.plan.cells[value]
        if cell.home is Home.SLOT and value.type.nbytes > self.plan.slots[cell.slot]:
            raise BrokenPlan(f"{value!r} does not fit into slot {cell.slot}")
        self.content[key] = value

    def lives(self, atom: Atom) -> TypeGuard[Value]:
        """Whether an atom is in memory that the plan speaks of."""
        return isinstance(atom, Value) and bool(atom.type.shape) and atom not in self.constants

    def read(self, atom: Atom, by: str) -> None:
        if not self.lives(atom):
            return
        root = self.root[atom]
        held = self.content.get(self.key(root))
        if held is not root:
            raise BrokenPlan(f"{by} reads {atom!r}, but its memory holds {held!r}")

    # -- equations ------------------------------------------------------------------------------

    def block(self, eqns: Sequence[Eqn]) -> None:
        for eqn in eqns:
            if isinstance(eqn.op, Loop):
                self.loop(eqn, eqn.op)
            elif isinstance(eqn.op, Cond):
                self.cond(eqn, eqn.op)
            elif isinstance(eqn.op, Fused):
                self.equation(eqn)
                self.tile(eqn)
            else:
                self.equation(eqn)

    def equation(self, eqn: Eqn) -> None:
        for operand in eqn.operands:
            self.read(operand, eqn.op.name)
        if eqn.op.is_view:
            base = eqn.operands[0]
            for result in eqn.results:
                if self.lives(base):
                    self.root[result] = self.root[base]
                else:  # of a scalar or a constant, which no plan places
                    self.constants.add(result)
            return
        for result in eqn.results:
            if result.type.shape:
                self.overlap(eqn, result)
                self.write(result)

    def overlap(self, eqn: Eqn, result: Value) -> None:
        """A result may stand over an operand only where the op computes it in place."""
        op, key = eqn.op, self.key(result)
        for position, operand in enumerate(eqn.operands):
            if not self.lives(operand):
                continue
            if self.key(self.root[operand]) != key or position == op.updates:
                continue
            if isinstance(op, Fused):
                ok = self.part_by_part(eqn, op, position, result)
            else:
                ok = op.is_elementwise
            ok = (
                ok
                and operand is self.root[operand]
                and operand.type == result.type
                and operand.layout == result.layout
                and (op.takes_over is None or position in op.takes_over)
            )
            if not ok:
                raise BrokenPlan(f"{op.name} writes over operand {position} while it reads it")

    # -- tiles ----------------------------------------------------------------------------------

    def part_by_part(self, eqn: Eqn, op: Fused, position: int, result: Value) -> bool:
        """Whether each part of an operand has been read when that part of a result is written."""
        place = eqn.results.index(result)
        param, inner = op.body.params[position], op.body.results[place]
        (made,) = [k for k, e in enumerate(op.body.eqns) if inner in e.results]
        aliases = {param}
        for k, e in enumerate(op.body.eqns):
            if aliases.isdisjoint(a for a in e.operands if isinstance(a, Value)):
                continue
            if k > made or (k == made and not e.op.is_elementwise):
                return False
            if e.op.is_view:
                aliases.update(e.results)
        return op.cuts[position] == self.plan.tiles[eqn].results[place].axis

    def tile(self, eqn: Eqn) -> None:
        """The values of a part, in registers."""
        plan = self.plan.tiles[eqn]
        for param in plan.body.params:
            if param.type.shape:
                self.write(param)
        self.block(plan.body.eqns)
        for result in plan.body.results:
            self.read(result, "the end of a part")

    # -- loops ----------------------------------------------------------------------------------

    def loop(self, eqn: Eqn, op: Loop) -> None:
        plan = self.plan.loops[eqn.results[0]]
        head = 1 if op.ranged else 0
        inits = eqn.operands[op.head : op.head + op.carries]
        captured = eqn.operands[op.head + op.carries :]
        for atom in (*inits, *captured):
            self.read(atom, "loop")
        for k, init in enumerate(inits):
            if not eqn.results[k].type.shape:
                continue
            if k in plan.adopted:
                if not isinstance(init, Value) or self.key(init) != self.key(eqn.results[k]):
                    raise BrokenPlan(f"carry {k} adopts memory that is not its initial value's")
            else:
                for other in (*inits[k + 1 :], *captured):
                    self.apart(other, eqn.results[k])
            self.write(eqn.results[k])
        for result in eqn.results[op.carries :]:
            if result.type.shape:
                self.write(result)
        for _ in range(2):
            for region in op.regions[::-1]:
                self.enter(eqn, op, region.params[head:], captured)
                self.block(region.eqns if region is not op.body else ())
            self.body(eqn, op, plan.moves)
        for k in range(op.carries):
            if eqn.results[k].type.shape:
                self.write(eqn.results[k])

    def apart(self, atom: Atom, result: Value) -> None:
        if self.lives(atom) and self.key(self.root[atom]) == self.key(result):
            raise BrokenPlan(f"a carry is copied over {atom!r}, which is read afterwards")

    def enter(self, eqn: Eqn, op: Loop, params: Sequence[Value], captured: Sequence[Atom]) -> None:
        for k, param in enumerate(params[: op.carries]):
            if param.type.shape:
                self.same[self.plan.cells[param]] = self.plan.cells[eqn.results[k]]
                self.write(param)
        for param, outer in zip(params[op.carries :], captured, strict=True):
            if self.lives(outer):
                self.root[param] = self.root[outer]
            else:
                self.constants.add(param)

    def body(self, eqn: Eqn, op: Loop, moves: frozenset[int]) -> None:
        head = 1 if op.ranged else 0
        params = op.body.params[head : head + op.carries]
        after = op.body.results
        for value in after[op.carries :]:
            if value in params:  # stored before anything is computed
                self.read(value, "the stack")
        self.block(op.body.eqns)
        for value in after[op.carries :]:
            if value not in params:
                self.read(value, "the stack")
        for value in after[: op.carries]:
            self.read(value, "the next iteration")
        carried = {self.plan.cells[p] for p in params if p.type.shape}
        for k in range(op.carries):
            value = after[k]
            if not params[k].type.shape or value is params[k]:
                continue
            if k not in moves:
                if not isinstance(value, Value) or self.key(self.root[value]) != self.key(
                    params[k]
                ):
                    raise BrokenPlan(f"carry {k} is neither moved nor computed in its memory")
                if self.root[value] is not value:
                    raise BrokenPlan(f"carry {k} is a view of its memory and is not moved")
                continue
            if self.lives(value) and self.plan.cells[value] not in carried:
                self.read(value, "a move")
            self.content[self.key(params[k])] = params[k]

    # -- branches -------------------------------------------------------------------------------

    def cond(self, eqn: Eqn, op: Cond) -> None:
        plan = self.plan.conds[eqn]
        for operand in eqn.operands:
            self.read(operand, "cond")
        for k in plan.made:
            for operand in eqn.operands:
                self.apart(operand, eqn.results[k])
        before = dict(self.content)
        after: dict[Hashable, Value] = dict(before)
        for branch, part in zip(op.branches, plan.branches, strict=True):
            self.content = dict(before)
            self.branch(eqn, branch, part)
            # What a branch leaves elsewhere is not known after it.
            after.update((k, v) for k, v in self.content.items() if before.get(k) is not v)
        self.content = after
        for result in eqn.results:
            if result.type.shape:
                self.write(result)

    def branch(self, eqn: Eqn, branch: Function, plan: BranchPlan) -> None:
        for result, cell in zip(eqn.results, plan.cells, strict=True):
            if cell is not None:
                self.same[cell] = self.plan.cells[result]

        for param, operand in zip(branch.params, eqn.operands[1:], strict=True):
            if not self.lives(operand):
                self.constants.add(param)
            elif self.plan.cells[param] in plan.cells:
                if self.key(param) != self.key(operand):
                    raise BrokenPlan(f"{operand!r} is taken over from other memory")
                self.write(param)
            else:
                self.root[param] = self.root[operand]
        self.block(branch.eqns)
        for value in branch.results:
            self.read(value, "the end of a branch")
        for k, result in enumerate(eqn.results):
            value = branch.results[k]
            if not result.type.shape or k in plan.moved or k in plan.renamed:
                continue
            if not isinstance(value, Value) or self.key(self.root[value]) != self.key(result):
                raise BrokenPlan(f"result {k} is neither moved nor computed in its memory")
            if self.root[value] is not value:
                raise BrokenPlan(f"result {k} is a view of its memory and is not moved")


def check(plan: Plan) -> None:
    """Raise BrokenPlan where a plan loses a value or lets a result out of the workspace."""
    Checker(plan).run()
