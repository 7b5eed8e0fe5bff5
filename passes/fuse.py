"""Fusion: neighbouring elementwise equations and the reductions of their results become a region.

A region works on one shape: its elementwise results have it, its reductions read it, and nothing in
it reads a reduction of its own, so that one pass over memory can compute it all. Views and scalar
work that a region does not feed are moved in front of it.

Before::

    def f(x: f64[1000], y: f64[1000]) -> f64:
        a : f64[1000] = x * y
        b : f64[1000] = tanh(a)
        s : f64       = sum(b, axes=(-1,))
        return s

After::

    def f(x: f64[1000], y: f64[1000]) -> f64:
        with fused(reads=(x, y), writes="s"):
            a : f64[1000] = x * y
            b : f64[1000] = tanh(a)
            s : f64       = sum(b, axes=(-1,))
        return s
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..ir.binding import mentioned, symbols_of
from ..ir.core import Atom, Eqn, Function, Value, uses
from ..ir.dims import Dim
from ..ir.op import Effect
from ..ir.ops.cond import Cond
from ..ir.ops.control import Fused, Loop
from ..ir.ops.recursion import Recursion
from ..ir.types import Shape


@dataclass(frozen=True)
class Fuse:
    """Group at least `smallest` equations."""

    smallest: int = 2
    name = "fuse"

    def __call__(self, function: Function) -> Function:
        counts = uses(function)
        out: list[Eqn] = []
        region = _Region()
        for eqn in function.eqns:
            if isinstance(eqn.op, Loop | Cond | Recursion):
                eqn = Eqn(
                    eqn.op.with_regions([self(r) for r in eqn.op.regions]),
                    eqn.operands,
                    eqn.results,
                    eqn.provenance,
                )
            if region.takes(eqn):
                region.add(eqn)
                continue
            if _is_cheap(eqn) and not region.feeds(eqn):
                out.append(eqn)
                continue
            out.extend(region.close(self.smallest, counts))
            region = _Region()
            if region.takes(eqn):
                region.add(eqn)
            else:
                out.append(eqn)
        out.extend(region.close(self.smallest, counts))
        return function.replace(eqns=out)


def _is_cheap(eqn: Eqn) -> bool:
    if eqn.op.effect is not Effect.PURE or eqn.op.regions:
        return False
    return eqn.op.is_view or not any(r.type.shape for r in eqn.results)


class _Region:
    """A region that grows."""

    def __init__(self) -> None:
        self.eqns: list[Eqn] = []
        self.shape: Shape | None = None
        self.made: set[Value] = set()
        self.reduced: set[Value] = set()

    def feeds(self, eqn: Eqn) -> bool:
        return any(isinstance(a, Value) and a in self.made for a in eqn.operands)

    def takes(self, eqn: Eqn) -> bool:
        op = eqn.op
        if op.effect is not Effect.PURE or len(eqn.results) != 1:
            return False
        if any(isinstance(a, Value) and a in self.reduced for a in eqn.operands):
            return False
        shape = eqn.result.type.shape
        if op.is_elementwise and not op.is_view:
            return bool(shape) and (self.shape is None or shape == self.shape)
        if op.is_reduction:
            return self.feeds(eqn) and eqn.operands[0].type.shape == self.shape
        return False

    def add(self, eqn: Eqn) -> None:
        self.eqns.append(eqn)
        self.made.add(eqn.result)
        if eqn.op.is_reduction:
            self.reduced.add(eqn.result)
        elif self.shape is None:
            self.shape = eqn.result.type.shape

    def close(self, smallest: int, counts: dict[Value, int]) -> Sequence[Eqn]:
        """Return the region as one equation, or its equations where they are too few."""
        if len(self.eqns) < smallest:
            return self.eqns
        reads: dict[Value, Value] = {}
        scope: dict[Atom, Atom] = {}
        used_inside: dict[Value, int] = {}
        for eqn in self.eqns:
            for a in eqn.operands:
                if isinstance(a, Value):
                    if a not in self.made and a not in reads:
                        reads[a] = Value(a.type, a.hint, a.cotangent_of, a.layout)
                        scope[a] = reads[a]
                    used_inside[a] = used_inside.get(a, 0) + 1
        body: list[Eqn] = []
        for eqn in self.eqns:
            result = Value(
                eqn.result.type, eqn.result.hint, eqn.result.cotangent_of, eqn.result.layout
            )
            scope[eqn.result] = result
            operands = tuple([scope.get(a, a) for a in eqn.operands])
            body.append(Eqn(eqn.op, operands, (result,), eqn.provenance))
        outs = [
            e.result for e in self.eqns if counts.get(e.result, 0) > used_inside.get(e.result, 0)
        ]
        if not outs:
            return self.eqns
        free = {s for e in body for s in mentioned(e)}
        free |= {s for p in reads.values() for s in symbols_of(p.type)}
        dims = sorted(free, key=lambda s: s.number)
        results = [scope[o] for o in outs]
        region = Function("region", list(reads.values()), body, results, dims=dims)
        fused = Fused(region, tuple(map(Dim.of, dims)))
        return [Eqn(fused, tuple(reads), tuple(outs), self.eqns[0].provenance)]
