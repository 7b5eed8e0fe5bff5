"""The adjoint of a branch: a branch on the same predicate, on residuals that the forward returned.

The forward cond gains results for what the adjoint of its branches reads (`residuals`). Branches
share them where the types agree; one that has fewer fills up with zeros. What has a size that only
the branch knows is returned on a tape. Operands are read where they are, and what a branch returns
anyway is not returned twice. A running cotangent of an operand goes through the adjoint cond, so
that a branch adds into it in place. An array that branches write into, in a loop that restores it,
is restored by them: the adjoint cond takes the last version and returns the one from before.

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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..ir.binding import instantiated, symbols_of
from ..ir.builder import Builder
from ..ir.closing import Open, close_together, free_dims
from ..ir.core import Atom, Eqn, Function, Provenance, Value
from ..ir.ops.cond import Cond
from ..ir.ops.tape import TapeNew
from ..ir.types import ArrayType, Kind, is_tape, tape_of
from ..tracer.array import TracedArray, computed, wrap
from ..tracer.state import Trace
from .keeping import kept, nothing, replaced, settle_inside
from .residuals import Body, Residuals
from .restore import nested_links, origin_of
from .undoing import Undoing

if TYPE_CHECKING:
    from .reverse import Adjoint


@dataclass
class Branch(Body):
    """A branch and its adjoint."""

    primal_function: Function
    scope: dict[Atom, Atom]
    seeds: dict[int, Value]
    """The cotangents of results that it reads, by the result's number."""
    running: dict[int, Value]
    """The running cotangents of parameters, by the parameter's number."""
    found: dict[int, Atom]
    """The cotangents of parameters; absent where none flows."""

    def result(self, k: int) -> Atom:
        """Return a primal result among the builder's values."""
        result = self.primal_function.results[k]
        return self.scope.get(result, result)


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
    is_linked = eqn in adjoint.links
    wanted = [j for j, a in enumerate(eqn.operands[1:]) if needs[1 + j] and a.type.is_inexact]
    running = _running(adjoint, eqn, wanted)
    primal = [instantiated(b, op.dims) for b in op.branches]
    origins = _origins(primal) if is_linked else {}
    branches = [with_adjoint(trace, b, wanted, [*running], cts, origins) for b in primal]
    flowing = [j for j in wanted if any(j in b.found for b in branches)]
    read = _residuals(branches, is_linked)
    restored = list(read[0].body.arrays)
    if not flowing and not restored:
        return [None] * len(operands)
    forward, places = _augment(trace.builder, eqn, op, scope, branches, read)
    outer = [a._atom for a in operands]
    opened: list[Open] = []
    for branch, residuals, place in zip(branches, read, places, strict=True):
        inside: dict[Atom, Atom] = dict(zip(branch.params, outer[1:], strict=True))
        inside.update({v: cts[k]._atom for k, v in branch.seeds.items()})
        inside.update({v: running[j]._atom for j, v in branch.running.items()})
        kept_values = {v: forward.results[n] for v, n in place.items()}
        last = {k: forward.results[k] for k in restored}
        opened.append(
            _reversed(trace, branch, residuals, inside, kept_values, last, flowing, running)
        )
    closed, captured, dims = close_together(opened)
    trace.builder.provenance = trace.fixed or eqn.provenance
    made = trace.builder.emit(Cond(tuple(closed), dims), [outer[0], *captured])
    answer: list[Any] = [None] * len(operands)
    for j, ct in zip(flowing, made, strict=False):
        answer[1 + j] = computed(ct, trace)
        if j in running:
            del adjoint.cotangents[eqn.operands[1 + j]]  # type: ignore[arg-type]
    for k, older in zip(restored, made[len(flowing) :], strict=True):
        adjoint.undone[forward.results[k]] = older  # type: ignore[assignment]
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


def _origins(branches: Sequence[Function]) -> dict[int, int]:
    """Return the results that are an operand, written in place or as it is: result and operand."""
    found: dict[int, int] = {}
    for k, result in enumerate(branches[0].results):
        origins = {origin_of(b, b.results[k]) for b in branches}
        only = origins.pop()
        if result.type.shape and only is not None and not origins and only not in found.values():
            found[k] = only
    return found


def with_adjoint(
    outer: Trace,
    primal: Function,
    wanted: Sequence[int],
    running: Sequence[int],
    cts: Sequence[Any],
    origins: Mapping[int, int],
) -> Branch:
    """Trace a branch and its adjoint."""
    from .reverse import Adjoint, active_values, inline_into

    builder = Builder()
    scope: dict[Atom, Atom] = {}
    seeds: dict[int, Value] = {}
    sums: dict[int, Value] = {}
    found: dict[int, Atom] = {}
    arrays = {k: (primal.params[j], primal.results[k]) for k, j in origins.items()}
    with Trace(builder, outer) as trace:
        for p in primal.params:
            scope[p] = builder.param(p.fresh())
        inline_into(builder, primal, scope)
        count = len(builder.eqns)
        active = active_values(primal, [primal.params[j] for j in wanted])
        adjoint = Adjoint(trace, active, nested_links(primal, arrays))
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
        for j in wanted:
            param = primal.params[j]
            ct = adjoint.cotangents.get(param)
            if ct is not None and ct._atom is not sums.get(j):
                adjoint._name(ct, scope[param])
                found[j] = ct._atom
    branch = Branch(
        builder=builder,
        params=builder.params,
        primal=count,
        results=list(found.values()),
        arrays={k: (scope[p], scope.get(r, r)) for k, (p, r) in arrays.items()},  # type: ignore[misc]
        changing=set(),
        undone=adjoint.undone,
        primal_function=primal,
        scope=scope,
        seeds=seeds,
        running=sums,
        found=found,
    )
    settle_inside(adjoint, branch)
    return branch


def _residuals(branches: Sequence[Branch], is_linked: bool) -> list[Residuals]:
    """Return what the branches' adjoints read; they restore what all of them can restore."""
    while True:
        found = [Residuals(b, is_linked) for b in branches]
        common = {
            k
            for k in branches[0].arrays
            if all(
                k in r.chains or b.arrays[k][0] is b.arrays[k][1]
                for b, r in zip(branches, found, strict=True)
            )
        }
        if len(common) == len(branches[0].arrays):
            return found
        for branch in branches:
            branch.arrays = {k: a for k, a in branch.arrays.items() if k in common}


def _augment(
    builder: Builder,
    eqn: Eqn,
    op: Cond,
    scope: dict[Atom, Atom],
    branches: Sequence[Branch],
    read: Sequence[Residuals],
) -> tuple[Eqn, list[dict[Value, int]]]:
    """Replace the forward cond in the builder by one that returns the residuals too.

    Returns
    -------
    forward, places
        The cond, and for each branch its residuals with the numbers of their results.
    """
    first = scope[eqn.results[0]]
    position = next(k for k, e in enumerate(builder.eqns) if first in e.results)
    current = builder.eqns[position]
    old = current.op
    assert isinstance(old, Cond)
    plain = len(current.results)
    places: list[dict[Value, int]] = []
    types: list[ArrayType] = []
    hints: list[str | None] = []
    for branch, residuals in zip(branches, read, strict=True):
        returned = {branch.result(k): k for k in range(len(eqn.results))}
        place: dict[Value, int] = {}
        used: Counter[ArrayType] = Counter()
        for value in residuals.saved:
            if value in returned:
                place[value] = returned[value]
                continue
            type = tape_of(value.type) if is_pushed(branch, value) else value.type
            known = [n for n, t in enumerate(types) if t == type]
            if used[type] == len(known):
                known.append(len(types))
                types.append(type)
                hints.append(value.hint)
            place[value] = plain + known[used[type]]
            used[type] += 1
        places.append(place)
    is_first = old is op  # else it returns residuals for an equal cond already
    opened = [
        _with_residuals(old, b, branch, residuals, place, types, is_first, current.provenance)
        for b, (branch, residuals, place) in enumerate(zip(branches, read, places, strict=True))
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


def is_pushed(branch: Branch, value: Value) -> bool:
    """Whether only the branch knows the size of a residual, which is returned on a tape then."""
    return bool(symbols_of(value.type) - free_dims(branch.primal_function, ()))


def _with_residuals(
    op: Cond,
    number: int,
    branch: Branch,
    residuals: Residuals,
    place: Mapping[Value, int],
    types: Sequence[ArrayType],
    is_first: bool,
    provenance: Provenance,
) -> Open:
    """Return a forward branch that also returns its residuals, and zeros for those of others."""
    old = instantiated(op.branches[number], op.dims)
    plain = len(old.results)
    own = [v for v in residuals.saved if place[v] >= plain]
    starts = {v: Value(tape_of(v.type)) for v in own if is_pushed(branch, v)}
    empty = [Eqn(TapeNew(t.type.dtype), (), (t,), provenance) for t in starts.values()]
    stacked = [v for v in own if v not in starts]
    eqns, tapes, _ = kept(residuals, [], starts, provenance)
    saved: dict[int, Atom] = {place[v]: v for v in stacked}
    saved.update({place[v]: t for v, t in zip(starts, tapes, strict=True)})
    params: list[Value]
    results: list[Atom]
    before: list[Eqn] = []
    if is_first:
        params, results = branch.params, [branch.result(k) for k in range(plain)]
    else:
        renamed: dict[Atom, Atom] = dict(zip(branch.params, old.params, strict=True))
        eqns = replaced(eqns, renamed)
        saved = {n: renamed.get(v, v) for n, v in saved.items()}
        params, results, before = list(old.params), list(old.results), list(old.eqns)
    builder = Builder()
    builder.eqns.extend([*empty, *before, *eqns])
    with Trace(builder, None) as trace:
        trace.fixed = provenance
        for k, type in enumerate(types, plain):
            results.append(saved[k] if k in saved else nothing(type, trace))
    return Open(old.name, params, builder.eqns, results, old.param_kinds)


def _reversed(
    outer: Trace,
    branch: Branch,
    residuals: Residuals,
    inside: dict[Atom, Atom],
    kept_values: Mapping[Value, Value],
    last: Mapping[int, Value],
    flowing: Sequence[int],
    running: Mapping[int, TracedArray],
) -> Open:
    """Return a branch of the adjoint cond, on values of outside."""
    builder = Builder()
    tapes = {v: t for v, t in kept_values.items() if is_tape(t.type) and t.type != v.type}
    inside.update({v: a for v, a in kept_values.items() if v not in tapes})
    for k, value in last.items():
        param, _ = branch.arrays[k]
        if k in residuals.chains:
            inside.pop(param)
        else:
            inside[param] = value  # the branch has left it as it was
    with Trace(builder, outer) as trace:
        trace.fixed = outer.fixed
        mine = {k: v for k, v in last.items() if k in residuals.chains}
        undoing = Undoing(builder, residuals, inside, mine, {}, tapes)
        undoing.run()
        results: list[Atom] = []
        for j in flowing:
            if j in branch.found:
                results.append(undoing.value(branch.found[j]))
            elif j in running:
                results.append(running[j]._atom)
            else:
                results.append(nothing(branch.params[j].type, trace))
        results += [undoing.value(branch.arrays[k][0]) for k in last]
    return Open(branch.primal_function.name, [], builder.eqns, results)


__all__ = ["Branch", "cond_vjp", "is_pushed", "with_adjoint"]
