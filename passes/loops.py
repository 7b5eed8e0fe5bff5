"""Loop-invariant code motion: what a body computes from captured values alone goes before it.

Only pure equations move, since a loop may run zero times. Elementwise work on arrays moves too; it
costs one array each for as long as the loop runs.

Before::

    def f(h0: f64[3], W: f64[3, 3]) -> f64[3]:
        def body(i: i64, h: f64[3], W: f64[3, 3], *, dims=(i,)) -> f64[3]:
            t : f64[3, 3] = W.T
            a : f64[3]    = t @ h
            return a
        r = loop(body, range(10), carry=(h0,), captured=(W,))
        return r

After, with a captured value that only `dce` removes::

    def f(h0: f64[3], W: f64[3, 3]) -> f64[3]:
        t : f64[3, 3] = W.T
        def body(i: i64, h: f64[3], W: f64[3, 3], t: f64[3:8, 3:24], *, dims=(i,)) -> f64[3]:
            a : f64[3] = t @ h
            return a
        r = loop(body, range(10), carry=(h0,), captured=(W, t))
        return r
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..ir.binding import symbols_in
from ..ir.core import Atom, Eqn, Function, Value
from ..ir.op import Effect
from ..ir.ops.cond import Cond
from ..ir.ops.control import Loop
from ..ir.ops.recursion import Recursion


@dataclass(frozen=True)
class Hoist:
    """Move invariant equations out of loops, innermost loops first."""

    name = "hoist"

    def __call__(self, function: Function) -> Function:
        if not any(eqn.op.regions for eqn in function.eqns):
            return function
        eqns: list[Eqn] = []
        for eqn in function.eqns:
            if isinstance(eqn.op, Loop):
                op = eqn.op.with_regions([self(r) for r in eqn.op.regions])
                assert isinstance(op, Loop)
                moved, loop = self.loop(Eqn(op, eqn.operands, eqn.results, eqn.provenance), op)
                eqns += [*moved, loop]
            elif isinstance(eqn.op, Cond | Recursion):
                branches = eqn.op.with_regions([self(r) for r in eqn.op.regions])
                eqns.append(Eqn(branches, eqn.operands, eqn.results, eqn.provenance))
            else:
                eqns.append(eqn)
        return function.replace(eqns=eqns)

    def loop(self, eqn: Eqn, op: Loop) -> tuple[list[Eqn], Eqn]:
        """Return the equations that move, and the loop without them."""
        if op.test is not None:
            return [], eqn
        first = (1 if op.ranged else 0) + op.carries
        outer: dict[Atom, Atom] = dict(
            zip(op.body.params[first:], eqn.operands[op.head + op.carries :], strict=True)
        )
        moved: list[Eqn] = []
        made: dict[Atom, Atom] = {}
        kept: list[Eqn] = []
        own = {s for e in op.body.eqns for s in e.op.binds} | set(
            op.body.dims[: 1 if op.ranged else 0]
        )
        for inner in op.body.eqns:
            invariant = (
                inner.op.effect is Effect.PURE
                and not (inner.op.regions or inner.op.binds)
                and all(a in outer or a in made for a in inner.operands if isinstance(a, Value))
                and any(isinstance(a, Value) for a in inner.operands)
            )
            if (
                invariant
                and all(r.type.is_static for r in inner.results)
                and own.isdisjoint(symbols_in(inner.op))
            ):
                results = tuple([r.fresh() for r in inner.results])
                operands = tuple([made.get(a, outer.get(a, a)) for a in inner.operands])
                moved.append(Eqn(inner.op, operands, results, inner.provenance))
                made.update(zip(inner.results, results, strict=True))
            else:
                kept.append(inner)
        if not moved:
            return [], eqn
        read = {a for e in kept for a in e.operands} | set(op.body.results)
        extra = [v for v in made if v in read]
        body = op.body.replace(
            params=[*op.body.params, *extra],
            eqns=kept,
        )
        operands = (*eqn.operands, *[made[v] for v in extra])
        return moved, Eqn(replace(op, body=body), operands, eqn.results, eqn.provenance)
