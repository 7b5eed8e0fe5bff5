"""Copies of small parts that are read after a write to the whole.

A write goes into the memory of its array where no older content is read any more. Where a view of
that content is, the whole would have to be copied at every write; this pass copies the view instead
where it is made, if it is smaller. What is read after an argument has got its new content is copied
just before, whatever its size.

Before::

    def f(x: f64[1000]) -> (f64[1000], f64):
        y  : f64[1000] = tanh(x)
        t1 : f64[3]    = y[0:3]
        y2 : f64[1000] = index_update(y, 1.0, index=(5,))
        t2 : f64       = sum(t1, axes=(-1,))
        return y2, t2

After::

    def f(x: f64[1000]) -> (f64[1000], f64):
        y  : f64[1000] = tanh(x)
        t1 : f64[3]    = y[0:3]
        t3 : f64[3]    = copy(t1)
        y2 : f64[1000] = index_update(y, 1.0, index=(5,))
        t2 : f64       = sum(t3, axes=(-1,))
        return y2, t2
"""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.core import Atom, Eqn, Function, Value
from ..ir.ops.effects import WriteBack
from ..ir.ops.index import Index
from ..ir.ops.shape import Copy
from .donation import assigns_safely

FOREVER = 1 << 60


def shares_memory(eqn: Eqn) -> bool:
    """Whether the result lies in the memory of operand 0; an element without axes is a copy."""
    if not eqn.op.is_view:
        return False
    return bool(eqn.results[0].type.shape) or not isinstance(eqn.op, Index)


def protect(function: Function, is_region: bool = False) -> Function:
    """Return the function with copies of the parts that outlive a write to the whole.

    The parameters of a region may be arrays that a loop carries, written in place like any other.
    """
    if not any(e.op.updates is not None or e.op.regions or isinstance(e.op, WriteBack)
               for e in function.eqns):  # fmt: skip
        return function
    eqns = [
        Eqn(
            e.op.with_regions([protect(r, True) for r in e.op.regions]),
            e.operands,
            e.results,
            e.provenance,
        )
        if e.op.regions
        else e
        for e in function.eqns
    ]
    params = () if is_region else function.params
    copied, before = _Survey(params, eqns, function.results).run()
    if not copied and not before:
        return function.replace(eqns=eqns, result_kinds=function.result_kinds)
    scope: dict[Atom, Atom] = {}
    made: list[Eqn] = []

    def copy(value: Value, near: Eqn) -> None:
        source = scope.get(value, value)
        layouts = Copy().layouts([value.type], [value.layout])
        fresh = Value(value.type, None, value.cotangent_of, layouts[0] if layouts else None)
        fresh.hint = value.hint
        made.append(Eqn(Copy(), (source,), (fresh,), near.provenance))
        scope[value] = fresh

    for index, eqn in enumerate(eqns):
        for value in before.get(index, ()):
            copy(value, eqn)
        operands = tuple([scope.get(a, a) for a in eqn.operands])
        if isinstance(eqn.op, WriteBack):
            operands = (eqn.operands[0], operands[1])
        made.append(Eqn(eqn.op, operands, eqn.results, eqn.provenance))
        for result in eqn.results:
            if result in copied:
                copy(result, eqn)
    results = [scope.get(r, r) for r in function.results]
    return function.replace(eqns=made, results=results, result_kinds=function.result_kinds)


class _Survey:
    """Finds what to copy: `copied` where it is made, `before` an equation by number."""

    def __init__(
        self, params: Sequence[Value], eqns: Sequence[Eqn], results: Sequence[Atom]
    ) -> None:
        self.eqns = eqns
        self.params = frozenset(params)
        self.last: dict[Value, int] = {}
        for index, eqn in enumerate(eqns):
            for operand in eqn.operands:
                if isinstance(operand, Value):
                    self.last[operand] = index
        for result in results:
            if isinstance(result, Value):
                self.last[result] = FOREVER
        self.base: dict[Value, Value] = {}
        self.views: dict[Value, list[Value]] = {}
        self.copied: set[Value] = set()
        self.before: dict[int, list[Value]] = {}

    def run(self) -> tuple[set[Value], dict[int, list[Value]]]:
        for index, eqn in enumerate(self.eqns):
            op = eqn.op
            if isinstance(op, WriteBack):
                self.written_back(index, eqn)
            elif op.updates is not None:
                target = eqn.operands[op.updates]
                if isinstance(target, Value):
                    self.overlapping(eqn, target)
                    self.updated(index, target)
            elif shares_memory(eqn) and isinstance(eqn.operands[0], Value):
                view, whole = eqn.results[0], eqn.operands[0]
                if whole not in self.copied:
                    self.base[view] = whole
                    self.views.setdefault(self.root(whole), []).append(view)
        return self.copied, self.before

    def root(self, value: Value) -> Value:
        while value in self.base:
            value = self.base[value]
        return value

    def surviving(self, root: Value, index: int) -> list[Value]:
        """Return the views that are read after an equation, and forget the others."""
        left = [v for v in self.views.pop(root, ()) if self.last.get(v, -1) > index]
        return [v for v in left if v not in self.copied]

    def overlapping(self, eqn: Eqn, target: Value) -> None:
        """Copy a part of an array that NumPy would not assign well to another part of it."""
        value = eqn.operands[1]
        if not isinstance(value, Value) or value not in self.base or value in self.copied:
            return
        root = self.root(target)
        smaller = value.type.nbytes < root.type.nbytes
        if self.root(value) is root and smaller and not assigns_safely(eqn):
            self.copied.add(value)

    def updated(self, index: int, target: Value) -> None:
        root = self.root(target)
        alive = self.surviving(root, index)
        if not alive:
            return
        keeps_whole = self.last[root] > index or root in self.params
        if keeps_whole or sum(v.type.nbytes for v in alive) >= root.type.nbytes:
            self.views[root] = alive
            return
        for view in alive:
            if self.base[view] not in self.copied:
                self.copied.add(view)

    def written_back(self, index: int, eqn: Eqn) -> None:
        param = eqn.operands[0]
        assert isinstance(param, Value)
        stale = self.surviving(param, index)
        if self.last[param] > index:
            stale.append(param)
        if stale:
            self.before.setdefault(index, []).extend(stale)


__all__ = ["protect", "shares_memory"]
