"""The adjoint of a branch: a branch on the same predicate, on residuals that the forward returned.

The forward cond gains results for what the adjoint of its branches reads (its residuals). Branches
share them where the types agree; one that has fewer fills up with zeros. Operands are read where
they are, views are taken again, and what a branch returns anyway is not returned twice. A running
cotangent of an operand goes through the adjoint cond, so that a branch adds into it in place.

Before::

    def f(p: bool, x: f64[3]) -> f64:
        def then(x: f64[3]) -> f64[3]:
            a : f64[3] = sin(x)
            b : f64[3] = a * a
            return b
        def otherwise(x: f64[3]) -> f64[3]:
            return x
        r = cond(p, then, otherwise, captured=(x,))
        s : f64 = sum(r, axes=(-1,))
        return s

After, by `reverse` with respect to `x`::

    def f(p: bool, x: f64[3]) -> (f64, f64[3]):
        def then(x: f64[3]) -> (f64[3], f64[3]):
            a : f64[3] = sin(x)
            b : f64[3] = a * a
            return b, a
        def otherwise(x: f64[3]) -> (f64[3], f64[3]):
            none : f64[3] = full(0.0, shape=(3,))
            return x, none
        r, a = cond(p, then, otherwise, captured=(x,))
        s  : f64    = sum(r, axes=(-1,))
        dr : f64[3] = broadcast_to(array([1.0], f64), shape=(3,), rank=1)
        def then_2(dr: f64[3:0], a: f64[3], x: f64[3]) -> f64[3]:
            t1 : f64[3] = dr * a
            t2 : f64[3] = t1 + t1
            t3 : f64[3] = cos(x)
            t4 : f64[3] = t2 * t3
            return t4
        def otherwise_2(dr: f64[3:0], a: f64[3], x: f64[3]) -> f64[3]:
            return dr
        dx = cond(p, then_2, otherwise_2, captured=(dr, a, x))
        return s, dx
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..ir.binding import instantiated, mentioned, symbols_of
from ..ir.builder import Builder, inherit
from ..ir.closing import Open, close_together, free_dims
from ..ir.core import Atom, Eqn, Function, Provenance, Value
from ..ir.op import Effect
from ..ir.ops.cond import Cond
from ..ir.types import ArrayType, Kind
from ..tracer.array import TracedArray, wrap
from ..tracer.state import Trace
from .reverse_loop import nothing

if TYPE_CHECKING:
    from .reverse import Adjoint


@dataclass
class _Branch:
    """A branch and its adjoint in one builder, before they are cut apart."""

    primal: Function
    builder: Builder
    count: int
    """How many of the builder's equations are primal."""
    scope: dict[Atom, Atom]
    seeds: dict[int, Value]
    """The cotangents of results that it reads, by the result's number."""
    running: dict[int, Value]
    """The running cotangents of parameters, by the parameter's number."""
    found: dict[int, Atom]
    """The cotangents of parameters; absent where none flows."""

    @property
    def params(self) -> list[Value]:
        return self.builder.params

    def result(self, k: int) -> Atom:
        """Return a primal result among the builder's values."""
        return self.scope.get(self.primal.results[k], self.primal.results[k])


def cond_vjp(
    adjoint: Adjoint,
    eqn: Eqn,
    needs: Sequence[bool],
    cts: Sequence[Any],
    operands: Sequence[TracedArray],
    scope: dict[Atom, Atom],
) -> list[Any]:
    """Return the cotangents of a cond's operands; the forward cond in the builder is replaced."""
    op, trace = eqn.op, adjoint.trace
    assert isinstance(op, Cond)
    wanted = [j for j, a in enumerate(eqn.operands[1:]) if needs[1 + j] and a.type.is_inexact]
    running = _running(adjoint, eqn, wanted)
    branches = [
        _with_adjoint(trace, instantiated(b, op.dims), wanted, [*running], cts) for b in op.branches
    ]
    flowing = [j for j in wanted if any(j in b.found for b in branches)]
    if not flowing:
        return [None] * len(operands)
    read = [_Residuals(b) for b in branches]
    forward, places = _augment(trace.builder, eqn, op, scope, branches, read)
    outer = [a._atom for a in operands]
    opened: list[Open] = []
    for branch, residuals, place in zip(branches, read, places, strict=True):
        inside: dict[Atom, Atom] = dict(zip(branch.params, outer[1:], strict=True))
        inside.update({v: cts[k]._atom for k, v in branch.seeds.items()})
        inside.update({v: running[j]._atom for j, v in branch.running.items()})
        inside.update({v: forward.results[n] for v, n in place.items()})
        opened.append(_reversed(trace, branch, residuals, inside, flowing, running))
    closed, captured, dims = close_together(opened)
    trace.builder.provenance = trace.fixed or eqn.provenance
    made = trace.builder.emit(Cond(tuple(closed), dims), [outer[0], *captured])
    answer: list[Any] = [None] * len(operands)
    for j, ct in zip(flowing, made, strict=True):
        answer[1 + j] = wrap(ct, Kind.ARRAY if ct.type.shape else Kind.SCALAR, trace)
        if j in running:
            del adjoint.cotangents[eqn.operands[1 + j]]  # type: ignore[arg-type]
    return answer


def _running(adjoint: Adjoint, eqn: Eqn, wanted: Sequence[int]) -> dict[int, TracedArray]:
    """Return the running cotangents of the arrays among the operands, each once."""
    found: dict[int, TracedArray] = {}
    seen: set[Value] = set()
    for j in wanted:
        operand = eqn.operands[1 + j]
        assert isinstance(operand, Value)
        known = adjoint.cotangents.get(operand)
        if known is not None and operand.type.shape and operand not in seen:
            found[j] = known
        seen.add(operand)
    return found


def _with_adjoint(
    outer: Trace,
    primal: Function,
    wanted: Sequence[int],
    running: Sequence[int],
    cts: Sequence[Any],
) -> _Branch:
    """Trace a branch and its adjoint."""
    from .reverse import Adjoint, active_values, inline_into

    builder = Builder()
    scope: dict[Atom, Atom] = {}
    seeds: dict[int, Value] = {}
    sums: dict[int, Value] = {}
    found: dict[int, Atom] = {}
    with Trace(builder, outer) as trace:
        for p in primal.params:
            scope[p] = builder.param(Value(p.type, p.hint, p.cotangent_of, p.layout))
        inline_into(builder, primal, scope)
        count = len(builder.eqns)
        adjoint = Adjoint(trace, active_values(primal, [primal.params[j] for j in wanted]))
        for j in running:
            param = primal.params[j]
            sums[j] = Value(param.type, None, scope[param])  # type: ignore[arg-type]
            adjoint.cotangents[param] = wrap(sums[j], Kind.ARRAY, trace)
        for k, after in enumerate(primal.results):
            if cts[k] is None or not isinstance(after, Value) or after not in adjoint.active:
                continue
            of = scope.get(after, after)
            seeds[k] = Value(after.type, None, of if isinstance(of, Value) else None)
            adjoint.accumulate(after, wrap(seeds[k], Kind.ARRAY, trace))
        adjoint.sweep(primal.eqns, scope)
        count += adjoint.inserted
        adjoint.settle(count)
        for j in wanted:
            param = primal.params[j]
            ct = adjoint.cotangents.get(param)
            if ct is not None and ct._atom is not sums.get(j):
                adjoint._name(ct, scope[param])
                found[j] = ct._atom
    return _Branch(primal, builder, count, scope, seeds, sums, found)


class _Residuals:
    """The primal values that the adjoint equations of a branch read, and what is computed again."""

    def __init__(self, branch: _Branch) -> None:
        self.primal = branch.builder.eqns[: branch.count]
        self.adjoint = branch.builder.eqns[branch.count :]
        self.producers = {r: e for e in self.primal for r in e.results}
        self.binders = {s: e for e in self.primal for s in e.op.binds}
        self.saved: dict[Value, None] = {}
        self._again: dict[Eqn, None] = {}
        for eqn in self.adjoint:
            for operand in eqn.operands:
                self.need(operand)
            self.sizes(eqn)
        for result in branch.found.values():
            self.need(result)

    @property
    def recomputed(self) -> list[Eqn]:
        """What is computed again, in order."""
        return [e for e in self.primal if e in self._again]

    def need(self, atom: Atom) -> None:
        eqn = self.producers.get(atom) if isinstance(atom, Value) else None
        if eqn is None:
            return
        ragged = not symbols_of(atom.type).isdisjoint(self.binders)
        if eqn.op.effect is not Effect.ORDERED and (ragged or self.is_cheap(eqn)):
            self.again(eqn)
        else:
            self.saved.setdefault(atom)  # type: ignore[arg-type]

    def is_cheap(self, eqn: Eqn) -> bool:
        """Whether a value is computed again whatever its size: a view, a constant, a position."""
        op = eqn.op
        if op.regions:
            return False
        if op.is_view and len(eqn.results) == 1 and eqn.results[0].type.shape:
            return True
        return not any(isinstance(a, Value) for a in eqn.operands) or self.is_position(eqn)

    def is_position(self, eqn: Eqn) -> bool:
        """Whether a value is integer arithmetic on operands, such as `i - 1`."""
        if not eqn.op.is_elementwise or any(
            a.type.shape or a.type.dtype.kind not in "iu" for a in (*eqn.operands, *eqn.results)
        ):
            return False
        made = [self.producers.get(a) for a in eqn.operands if isinstance(a, Value)]
        return all(e is None or self.is_position(e) for e in made)

    def again(self, eqn: Eqn) -> None:
        if eqn in self._again:
            return
        self._again[eqn] = None
        for operand in eqn.operands:
            self.need(operand)
        self.sizes(eqn)

    def sizes(self, eqn: Eqn) -> None:
        """Compute again what binds the sizes that an equation mentions."""
        for symbol in mentioned(eqn):
            binder = self.binders.get(symbol)
            if binder is not None and binder.op.effect is not Effect.ORDERED:
                self.again(binder)


def _augment(
    builder: Builder,
    eqn: Eqn,
    op: Cond,
    scope: dict[Atom, Atom],
    branches: Sequence[_Branch],
    read: Sequence[_Residuals],
) -> tuple[Eqn, list[dict[Value, int]]]:
    """Replace the forward cond in the builder by one that returns the residuals too.

    Returns
    -------
    forward, places
        The cond, and for each branch its residuals with the numbers of their results.
    """
    first = scope[eqn.results[0]]
    position = next(k for k, e in enumerate(builder.eqns) if e.results and e.results[0] is first)
    current = builder.eqns[position]
    old = current.op
    assert isinstance(old, Cond)
    plain = len(current.results)
    places: list[dict[Value, int]] = []
    types: list[ArrayType] = []
    hints: list[str | None] = []
    for branch, residuals in zip(branches, read, strict=True):
        _check_sizes(eqn, branch, residuals)
        returned = {branch.result(k): k for k in range(len(eqn.results))}
        place: dict[Value, int] = {}
        used: Counter[ArrayType] = Counter()
        for value in residuals.saved:
            if value in returned:
                place[value] = returned[value]
                continue
            known = [n for n, t in enumerate(types) if t == value.type]
            if used[value.type] == len(known):
                known.append(len(types))
                types.append(value.type)
                hints.append(value.hint)
            place[value] = plain + known[used[value.type]]
            used[value.type] += 1
        places.append(place)
    is_first = old is op  # else it returns residuals for an equal cond already
    opened = [
        _with_residuals(old, b, branch, place, types, is_first, current.provenance)
        for b, (branch, place) in enumerate(zip(branches, places, strict=True))
    ]
    closed, captured, dims = close_together(opened)
    assert not captured
    fresh = [Value(t, h) for t, h in zip(types, hints, strict=True)]
    new = replace(old, branches=tuple(closed), dims=dims)
    forward = Eqn(new, current.operands, (*current.results, *fresh), current.provenance)
    builder.eqns[position] = forward
    for value in forward.results:
        builder.producers[value] = forward
    return forward, places


def _with_residuals(
    op: Cond,
    number: int,
    branch: _Branch,
    place: dict[Value, int],
    types: Sequence[ArrayType],
    is_first: bool,
    provenance: Provenance,
) -> Open:
    """Return a forward branch that also returns its residuals, and zeros for those of others."""
    builder = Builder()
    old = instantiated(op.branches[number], op.dims)
    eqns = branch.builder.eqns[: branch.count]
    renamed: dict[Atom, Atom] = {}
    if is_first:
        params = branch.params
        results = [branch.result(k) for k in range(len(branch.primal.results))]
    else:
        params, results = list(old.params), list(old.results)
        renamed.update(zip(branch.params, params, strict=True))
        builder.eqns.extend(old.eqns)
    for eqn in eqns:
        operands = tuple([renamed.get(a, a) for a in eqn.operands])
        builder.eqns.append(Eqn(eqn.op, operands, eqn.results, eqn.provenance))
    saved: dict[int, Atom] = {n: renamed.get(v, v) for v, n in place.items()}
    with Trace(builder, None) as trace:
        trace.fixed = provenance
        for k, type in enumerate(types, len(old.results)):
            results.append(saved[k] if k in saved else nothing(type, trace))
    return Open(old.name, params, builder.eqns, results, old.param_kinds)


def _check_sizes(eqn: Eqn, branch: _Branch, residuals: _Residuals) -> None:
    """Raise where a residual has a size that only the branch knows.

    Raises
    ------
    DifferentiationError
    """
    from .reverse import no_rule

    known = free_dims(branch.primal, ())
    for value in residuals.saved:
        if symbols_of(value.type) - known:
            raise no_rule(
                eqn.op,
                eqn.provenance,
                "a loop inside a branch runs as often as only the branch knows, and as it prints "
                "it is not run again for its derivative",
            )


def _reversed(
    outer: Trace,
    branch: _Branch,
    residuals: _Residuals,
    inside: dict[Atom, Atom],
    flowing: Sequence[int],
    running: dict[int, TracedArray],
) -> Open:
    """Return a branch of the adjoint cond, on values of outside."""
    builder = Builder()
    with Trace(builder, outer) as trace:
        trace.fixed = outer.fixed
        for eqn in (*residuals.recomputed, *residuals.adjoint):
            builder.provenance = eqn.provenance.as_derived("vjp")
            operands = tuple([inside.get(a, a) for a in eqn.operands])
            made: tuple[Atom, ...]
            if eqn.op.regions:
                # Its results keep their identity: a nested loop's may be named by others.
                fresh = tuple([Value(r.type, r.hint) for r in eqn.results])
                made = builder.add(Eqn(eqn.op, operands, fresh, builder.provenance))
            else:
                made = builder.emit(eqn.op, operands)
            for old, new in zip(eqn.results, made, strict=True):
                inside[old] = new
                inherit(old, new)
        results: list[Atom] = []
        for j in flowing:
            if j in branch.found:
                results.append(inside.get(branch.found[j], branch.found[j]))
            elif j in running:
                results.append(running[j]._atom)
            else:
                type = branch.primal.params[j].type
                results.append(nothing(type, trace))
    return Open(branch.primal.name, [], builder.eqns, results)


__all__ = ["cond_vjp"]
