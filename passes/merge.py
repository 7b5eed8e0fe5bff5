"""Merges neighbouring loops over equal ranges that do not depend on each other into one.

The iterations of both run side by side, so that the range is walked once and what both read is in
the cache. Loops that may be left, that print or draw, or of which one writes into what the other
reads stay apart; so do loops of which both may raise, since the first error must stay the first.

Before::

    def f(x: f64[100], y: f64[100]) -> (f64, f64):
        def body(i: i64, s: f64, x: f64[100], *, dims=(i,)) -> f64:
            a : f64 = x[i]
            b : f64 = s + a
            return b
        s = loop(body, range(100), carry=(0.0,), captured=(x,))
        def body_1(i: i64, p: f64, y: f64[100], *, dims=(i,)) -> f64:
            a : f64 = y[i]
            b : f64 = p * a
            return b
        p = loop(body_1, range(100), carry=(1.0,), captured=(y,))
        return s, p

After::

    def f(x: f64[100], y: f64[100]) -> (f64, f64):
        def body(i: i64, s: f64, p: f64, x: f64[100], y: f64[100], *, dims=(i,)) -> (f64, f64):
            a : f64 = x[i]
            b : f64 = s + a
            c : f64 = y[i]
            d : f64 = p * c
            return b, d
        s, p = loop(body, range(100), carry=(0.0, 1.0), captured=(x, y))
        return s, p
"""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.binding import instantiated, mentioned
from ..ir.builder import Builder, inherit
from ..ir.closing import close, region_dims
from ..ir.core import Atom, Eqn, Function, Value
from ..ir.dims import Dim, Symbol
from ..ir.op import Effect
from ..ir.ops.control import Loop


@dataclass(frozen=True)
class Merge:
    """Merge loops, innermost first."""

    name = "merge"

    def __call__(self, function: Function) -> Function:
        if not any(eqn.op.regions for eqn in function.eqns):
            return function
        eqns: list[Eqn] = []
        for eqn in function.eqns:
            if eqn.op.regions:
                op = eqn.op.with_regions([self(r) for r in eqn.op.regions])
                eqn = Eqn(op, eqn.operands, eqn.results, eqn.provenance)
            eqns.append(eqn)
        position = 0
        while position < len(eqns):
            merged = _merged_at(eqns, position)
            if merged is None:
                position += 1
            else:
                eqns = merged
                position = 0
        return function.replace(eqns=eqns)


def _merged_at(eqns: list[Eqn], position: int) -> list[Eqn] | None:
    """Return equations with the loop at a position merged into one before it, None if into none."""
    second = eqns[position]
    if not isinstance(second.op, Loop) or not _may_merge(second.op):
        return None
    for start in range(position - 1, -1, -1):
        first = eqns[start]
        if first.op.effect is not Effect.PURE and not isinstance(first.op, Loop):
            return None
        if not isinstance(first.op, Loop):
            continue
        if not _may_merge(first.op):
            return None
        if not _fit(first, first.op, second, second.op):
            continue
        between = eqns[start + 1 : position]
        after = _depending(first, between)
        if after is None or any(a in after for a in second.operands):
            continue
        kept = [e for e in between if not any(r in after for r in e.results)]
        moved = [e for e in between if any(r in after for r in e.results)]
        needed = {s for e in moved for s in e.op.binds} & mentioned(second)
        if needed:
            continue
        whole = _merge(first, first.op, second, second.op)
        return [*eqns[:start], *kept, whole, *moved, *eqns[position + 1 :]]
    return None


def _may_merge(op: Loop) -> bool:
    is_plain = op.ranged and op.test is None and not op.counts
    return is_plain and not isinstance(op.trips, Symbol) and op.effect is not Effect.ORDERED


def _fit(first: Eqn, left: Loop, second: Eqn, right: Loop) -> bool:
    """Whether two loops run over one range, and neither writes into what the other reads."""
    if left.backward != right.backward or left.trips != right.trips:
        return False
    if first.operands[:3] != second.operands[:3]:
        return False
    if left.effect is not Effect.PURE and right.effect is not Effect.PURE:
        return False

    def arrays(eqn: Eqn, start: int, stop: int | None) -> set[Atom]:
        return {a for a in eqn.operands[start:stop] if isinstance(a, Value) and a.type.shape}

    inits = [arrays(e, 3, 3 + op.carries) for e, op in ((first, left), (second, right))]
    read = [arrays(e, 3 + op.carries, None) for e, op in ((first, left), (second, right))]
    return not (inits[0] & read[1] or inits[1] & read[0])


def _depending(first: Eqn, between: list[Eqn]) -> set[Atom] | None:
    """Return what depends on a loop, None where equations may not be moved past each other."""
    found: set[Atom] = set(first.results)
    for eqn in between:
        if eqn.op.effect is not Effect.PURE:
            return None
        if any(a in found for a in eqn.operands):
            found.update(eqn.results)
    return found


def _merge(first: Eqn, left: Loop, second: Eqn, right: Loop) -> Eqn:
    symbol = left.body.dims[0]
    builder = Builder()  # what both compute is computed once
    carried: list[list[Value]] = []
    after: list[list[Atom]] = []
    index: Value | None = None
    for eqn, op in ((first, left), (second, right)):
        body = instantiated(op.body, (Dim.of(symbol), *op.dims))
        index = index or body.params[0]
        scope: dict[Atom, Atom] = {body.params[0]: index}
        captured = body.params[1 + op.carries :]
        scope.update(zip(captured, eqn.operands[3 + op.carries :], strict=True))
        for inner in body.eqns:
            builder.provenance = inner.provenance
            made = builder.emit(inner.op, [scope.get(a, a) for a in inner.operands])
            for old, new in zip(inner.results, made, strict=True):
                scope[old] = new
                inherit(old, new)
        carried.append(list(body.params[1 : 1 + op.carries]))
        after.append([scope.get(r, r) for r in body.results])
    assert index is not None
    counts = (left.carries, right.carries)
    results = [*after[0][: counts[0]], *after[1][: counts[1]]]
    results += [*after[0][counts[0] :], *after[1][counts[1] :]]
    params = [index, *carried[0], *carried[1]]
    body, outside = close(left.body.name, params, builder.eqns, results, dims=(symbol,))
    dims = region_dims(body)
    op = Loop(body, sum(counts), left.trips, backward=left.backward, dims=dims)
    inits = [*first.operands[3 : 3 + counts[0]], *second.operands[3 : 3 + counts[1]]]
    whole = [*first.results[: counts[0]], *second.results[: counts[1]]]
    whole += [*first.results[counts[0] :], *second.results[counts[1] :]]
    provenance = first.provenance.merge(second.provenance)
    return Eqn(op, (*first.operands[:3], *inits, *outside), tuple(whole), provenance)


__all__ = ["Merge"]
