"""What values of a loop's body are over all iterations: stacks, outside of the loop."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.builder import Builder
from ..ir.core import Atom, Eqn, Literal, Value, uses
from ..ir.dims import Dim, Size
from ..ir.ops.control import Loop
from ..ir.ops.dynamic import Extent
from ..ir.ops.elementwise import subtract
from ..ir.ops.index import AT, Index, Index_, Item, Span
from ..ir.ops.shape import Reshape


def row_index(shape: Sequence[Size]) -> Index_:
    """Return the index of a row of a stack of this shape, its position being an operand."""
    rest: list[Item] = [Span(0, d, 1) for d in shape[1:]]
    return (AT, *rest)


def flat(builder: Builder, stack: Atom) -> Atom:
    """Return a stack of matrices as one matrix, its first two axes joined."""
    n, rows, columns = stack.type.shape
    return builder.one(Reshape((n * rows, columns), 3), stack)


class Stacks:
    """The stacks of a loop in steps of 1 whose number of iterations is known before it starts.

    `captured` are the outer atoms of captured parameters, `made` the equations of the body by their
    results, `counts` how often its values are read, `outputs` the values that become outputs, with
    their stacks.
    """

    def __init__(self, eqn: Eqn, op: Loop) -> None:
        body = op.body
        self.eqn = eqn
        self.op = op
        self.trips = op.length
        self.numbers = _numbers(op, eqn.operands[0])
        self.captured: dict[Atom, Atom] = dict(
            zip(body.params[1 + op.carries :], eqn.operands[op.head + op.carries :], strict=True)
        )
        self.made: dict[Atom, Eqn] = {r: e for e in body.eqns for r in e.results}
        self.counts: dict[Atom, int] = dict[Atom, int](uses(body).items())
        self.outputs: dict[Value, Value] = {}

    def is_row(self, index: Index_, positions: Sequence[Atom], shape: Sequence[Size]) -> bool:
        """Whether an index is that of row i of a stack in iteration i."""
        return (
            len(positions) == 1
            and positions[0] in self.numbers
            and shape[0] == self.trips
            and index == row_index(shape)
        )

    def captured_stack(self, atom: Atom) -> Atom | None:
        """Return the captured stack whose row i a value is, as an outer atom; None otherwise."""
        eqn = self.made.get(atom)
        if eqn is None or not isinstance(eqn.op, Index) or eqn.op.gather:
            return None
        base, *positions = eqn.operands
        shape = base.type.shape
        if base not in self.captured or not self.is_row(eqn.op.index, positions, shape):
            return None
        return self.captured[base] if all(isinstance(d, int) for d in shape[1:]) else None

    def stack(self, atom: Atom) -> Atom | None:
        """Return the stack of a value over the iterations, making it an output where need be."""
        found = self.captured_stack(atom)
        if found is not None:
            return found
        if not isinstance(atom, Value) or atom not in self.made or not atom.type.is_static:
            return None
        for k in range(self.op.carries, len(self.op.body.results)):
            if self.op.body.results[k] is atom:
                return self.eqn.results[k]
        if atom not in self.outputs:
            self.outputs[atom] = Value(atom.type.with_shape((self.trips, *atom.type.shape)))
        return self.outputs[atom]


def _numbers(op: Loop, lo: Atom) -> set[Atom]:
    """Return the values of the body that are the number of the iteration."""
    assert isinstance(lo, Literal)
    index, symbol = op.body.params[0], op.body.dims[0]
    if lo.value == 0:
        return {index}
    found: set[Atom] = set()
    for eqn in op.body.eqns:
        if isinstance(eqn.op, Extent) and eqn.op.dim == Dim.of(symbol) - int(lo.value):
            found.add(eqn.result)
        if eqn.op is subtract and eqn.operands == (index, lo):
            found.add(eqn.result)
    return found
