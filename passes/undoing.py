"""The body of a reversed loop: adjoint equations on values that are saved, restored, or made again.

The adjoint equations are written in their order. What they read of the primal body is made just
before it is first read; a write is undone where an older version of the array is first wanted, and
what is still to be read of the newer one is read before that, so that the array is changed in
place.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..ir.binding import mentioned, symbols_of
from ..ir.builder import Builder, inherit
from ..ir.closing import duplicate
from ..ir.core import Atom, Eqn, Value
from ..ir.dims import Symbol
from ..ir.errors import VerificationError
from ..ir.ops.dynamic import AsSize
from ..ir.ops.index import AT, Index, IndexUpdate, Item, Span
from ..ir.ops.shape import Copy, Reshape
from ..ir.ops.tape import TapePop
from .residuals import Residuals


class Undoing:
    """Writes the body of a reversed loop.

    `scope` maps the body's values to those of the builder, `last` are the last versions of the
    restored arrays by carry, `rows` the stack of a residual and the position in it, `tapes` the
    tape of a residual.
    """

    def __init__(
        self,
        builder: Builder,
        residuals: Residuals,
        scope: dict[Atom, Atom],
        last: Mapping[int, Value],
        rows: Mapping[Value, tuple[Atom, Atom]],
        tapes: Mapping[Value, Value],
    ) -> None:
        self.builder = builder
        self.residuals = residuals
        self.scope = scope
        self.rows = rows
        self.tapes: dict[Value, Atom] = dict(tapes)
        self.popped: set[Value] = set()
        self.bound: set[Symbol] = set()
        self.versions: dict[int, dict[int, Atom]] = {
            k: {len(residuals.chains[k].links): v} for k, v in last.items()
        }
        self.pending: dict[tuple[int, int], list[Value]] = {}
        self.turns = {v: r for r, v in residuals.body.undone.items()}
        self._list_reads()

    def _list_reads(self) -> None:
        """List by version of a restored array the values that are made from it."""
        found = self.residuals
        for eqn in found.primal:
            if eqn in found.again:
                for operand in eqn.operands:
                    if operand in found.version:
                        key = found.version[operand]  # type: ignore[index]
                        self.pending.setdefault(key, []).append(eqn.results[0])
        for value, key in found.read_back.items():
            self.pending.setdefault(key, []).append(value)

    def run(self) -> None:
        """Write everything."""
        for eqn in self.residuals.adjoint:
            self.write(eqn)
        for k in self.versions:
            self.first(k)
        for value in self.tapes:
            self.value(value)

    def write(self, eqn: Eqn) -> None:
        """Write an equation of the adjoint; a reversed loop may undo a link of a chain."""
        turned = [self.turns[r] for r in eqn.results if r in self.turns]
        keys = [self.residuals.version[v] for v in turned if v in self.residuals.version]
        for key in keys:
            if key[0] in self.versions:
                self.version(*key)
                self.flush(*key)
        self.emit(eqn)
        for (k, number), value in zip(keys, [v for v in turned if v in self.residuals.version],
                                      strict=True):  # fmt: skip
            if k in self.versions:
                older = self.residuals.body.undone[value]
                self.versions[k][number - 1] = self.scope[older]

    def emit(self, eqn: Eqn) -> None:
        """Write an equation of the body or its adjoint on the values of the reversed loop."""
        operands = tuple([self.value(a) for a in eqn.operands])
        if isinstance(eqn.op, Copy):
            self.scope[eqn.results[0]] = operands[0]
            return
        self.sizes(mentioned(eqn) - set(eqn.op.binds))
        self.builder.provenance = eqn.provenance.as_derived("vjp")
        made: tuple[Atom, ...]
        if eqn.op.regions:
            # Its results keep their identity: a nested loop's may be named by others.
            fresh = tuple([Value(r.type, r.hint) for r in eqn.results])
            op = eqn.op
            if eqn in self.residuals.again:  # the forward loop keeps the regions themselves
                op = op.with_regions([duplicate(r) for r in op.regions])
            made = self.builder.add(Eqn(op, operands, fresh, self.builder.provenance))
        else:
            made = self.builder.emit(eqn.op, operands)
        for old, new in zip(eqn.results, made, strict=True):
            self.scope[old] = new
            inherit(old, new)
        self.bound.update(eqn.op.binds)

    def sizes(self, wanted: set[Symbol]) -> None:
        """Bind the sizes that were made known in the primal body."""
        found = self.residuals
        for symbol in sorted(wanted - self.bound, key=lambda s: s.number):
            binder = found.binders.get(symbol)
            if binder in found.again:
                self.value(binder.results[0])
            elif symbol in found.extents:
                self.bound.add(symbol)
                self.builder.one(AsSize(symbol), self.value(found.extents[symbol]))

    # -- values ------------------------------------------------------------------------------------

    def value(self, atom: Atom) -> Atom:
        """Return what stands for a value of the body, made now if it is not there."""
        if not isinstance(atom, Value) or (atom in self.scope and atom not in self.tapes):
            return self.scope.get(atom, atom)
        found = self.residuals
        if atom in self.rows:
            self.scope[atom] = row(self.builder, *self.rows[atom])
        elif atom in self.tapes:
            if atom not in self.popped:
                self.popped.add(atom)
                self.sizes(symbols_of(atom.type))
                pop = TapePop(atom.type.shape)
                self.tapes[atom], self.scope[atom] = self.builder.emit(pop, [self.tapes[atom]])
            return self.scope[atom]
        elif atom in found.version and found.version[atom][0] in self.versions:
            return self.version(*found.version[atom])
        elif atom in found.read_back:
            k, number = found.read_back[atom]
            link = found.chains[k].links[number - 1]
            whole = self.version(k, number)
            places = [self.value(p) for p in link.operands[2:]]
            assert isinstance(link.op, IndexUpdate)
            self.sizes(mentioned(link) | symbols_of(atom.type))
            self.builder.provenance = link.provenance.as_derived("vjp")
            self.scope[atom] = self.builder.one(Index(link.op.index), whole, *places)
        else:
            eqn = found.producers.get(atom)
            if eqn is None or eqn not in found.again:
                return atom
            self.emit(eqn)
            return self.scope[atom]
        inherit(atom, self.scope[atom])
        return self.scope[atom]

    # -- restored arrays ---------------------------------------------------------------------------

    def first(self, k: int) -> Atom:
        """Return an array as it was before the iteration."""
        return self.version(k, 0)

    def version(self, k: int, number: int) -> Atom:
        """Return a version of a restored array, with the writes after it undone.

        Raises
        ------
        VerificationError
            Where a loop or branch has not been undone yet: what reads it should have been saved.
        """
        versions = self.versions[k]
        while number not in versions:
            oldest = min(versions)
            link = self.residuals.chains[k].links[oldest - 1]
            if link.op.regions:
                raise VerificationError("internal error: an array is read before it is restored")
            self.flush(k, oldest)
            if oldest - 1 in versions:  # what was read has done it
                continue
            if isinstance(link.op, Copy):
                versions[oldest - 1] = versions[oldest]
                continue
            if isinstance(link.op, Reshape):
                shape = link.operands[0].type.shape
                back = Reshape(shape, link.results[0].type.ndim)
                versions[oldest - 1] = self.builder.one(back, versions[oldest])
                continue
            part = self.value(self.residuals.parts[k, oldest])
            places = [self.value(p) for p in link.operands[2:]]
            self.sizes(mentioned(link))
            self.builder.provenance = link.provenance.as_derived("vjp")
            op = IndexUpdate(link.op.index)  # type: ignore[attr-defined]
            versions[oldest - 1] = self.builder.one(op, versions[oldest], part, *places)
        return versions[number]

    def flush(self, k: int, number: int) -> None:
        """Read what is still to be read of a version before the write that made it is undone."""
        for value in self.pending.pop((k, number), ()):
            self.value(value)


def row(builder: Builder, stack: Atom, position: Atom) -> Atom:
    """Return a row of a stack."""
    rest: list[Item] = [Span(0, d, 1) for d in stack.type.shape[1:]]
    return builder.one(Index((AT, *rest)), stack, position)


__all__ = ["Undoing", "row"]
