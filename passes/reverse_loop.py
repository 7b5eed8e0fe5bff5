"""The adjoint of a loop: the same indices in the opposite order, on residuals that were stacked.

The forward loop gains one stacked output for each value that the adjoint of its body reads (its
residuals); views are taken again instead of being saved, and captured values are read where they
are. The reversed loop carries the cotangents of the carries, and for each captured value that wants
one a running cotangent, updated in place: reading `xs[i]` adds into row i.

Before::

    def f(h0: f64[3], w: f64[3]) -> f64:
        def body(i: i64, h: f64[3], w: f64[3], *, dims=(i,)) -> f64[3]:
            a : f64[3] = h * w
            b : f64[3] = tanh(a)
            return b
        r = loop(body, range(10), carry=(h0,), captured=(w,))
        s : f64 = sum(r, axes=(-1,))
        return s

After, by `reverse` with respect to both parameters::

    def f(h0: f64[3], w: f64[3]) -> (f64, f64[3], f64[3]):
        def body(i: i64, h: f64[3], w: f64[3], *, dims=(i,)) -> (f64[3], f64[3], f64[3]):
            a : f64[3] = h * w
            b : f64[3] = tanh(a)
            return b, b, h
        r, bs, hs = loop(body, range(10), carry=(h0,), captured=(w,))
        s    : f64    = sum(r, axes=(-1,))
        dr   : f64[3] = broadcast_to(array([1.0], f64), shape=(3,), rank=1)
        none : f64[3] = full(0.0, shape=(3,))
        def adjoint(
                i: i64, db: f64[3], dw: f64[3], bs: f64[10, 3], hs: f64[10, 3], w: f64[3], *,
                dims=(i,),
        ) -> (f64[3], f64[3]):
            b   : f64[3] = bs[i]
            h   : f64[3] = hs[i]
            bb  : f64[3] = b * b
            c   : f64[3] = 1.0 - bb
            da  : f64[3] = db * c
            dh  : f64[3] = da * w
            daw : f64[3] = da * h
            dws : f64[3] = dw + daw
            return dh, dws
        dh0, dw = loop(adjoint, range(10), carry=(dr, none), captured=(bs, hs, w), backward=True)
        return s, dh0, dw
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..ir.binding import mentioned, symbols_of
from ..ir.builder import Builder, inherit
from ..ir.closing import close, region_dims
from ..ir.core import Atom, Eqn, Literal, Value
from ..ir.dims import Symbol, symbols
from ..ir.op import Effect
from ..ir.ops.control import INDEX, Loop
from ..ir.ops.elementwise import add, floor_divide, multiply, subtract
from ..ir.ops.index import AT, Index, Item, Span
from ..ir.types import ArrayType, Kind
from ..tracer.array import TracedArray, wrap
from ..tracer.functions.create import zeros
from ..tracer.state import Trace


@dataclass
class _Body:
    """The adjoint of one iteration, before it is cut at its residuals."""

    builder: Builder
    params: list[Value]
    """The primal parameters: index, carries, captured."""
    primal: int
    """How many of the builder's equations are primal."""
    carried: list[Value]
    running: list[Value]
    outputs: dict[int, Value]
    results: list[Atom]
    scope: dict[Atom, Atom]


def loop_vjp(
    trace: Trace,
    eqn: Eqn,
    needs: tuple[bool, ...],
    cts: Sequence[Any],
    results: Sequence[TracedArray],
    operands: Sequence[TracedArray],
    scope: dict[Atom, Atom],
) -> list[Any]:
    """Return the cotangents of a loop's operands; the forward loop in the builder is replaced."""
    op = eqn.op
    assert isinstance(op, Loop)
    carries, captured = _active(op, needs)
    if not carries and not captured:
        return [None] * len(operands)
    body = _adjoint_body(trace, op, carries, captured, cts)
    residuals, recomputed = _residuals(body)
    inside = [a._atom for a in operands]
    forward = _augment(trace.builder, eqn, op, scope, residuals, body)
    stacks = dict(zip(residuals, forward.results[len(op.body.results) :], strict=False))
    return _reversed(trace, op, forward, inside, body, stacks, recomputed, carries, captured, cts)


def _active(op: Loop, needs: Sequence[bool]) -> tuple[list[int], list[int]]:
    """Return the carries and captured values through which derivatives flow, by a fixpoint."""
    from .reverse import active_values

    index = 1 if op.ranged else 0
    params = op.body.params[index:]
    wanted = [need and p.type.is_inexact for need, p in zip(needs[op.head :], params, strict=True)]
    while True:
        active = active_values(op.body, [p for p, w in zip(params, wanted, strict=True) if w])
        grown = [
            w or (k < op.carries and _in(op.body.results[k], active)) for k, w in enumerate(wanted)
        ]
        if grown == wanted:
            break
        wanted = grown
    carries = [k for k in range(op.carries) if wanted[k]]
    captured = [k for k in range(op.carries, len(params)) if wanted[k]]
    return carries, captured


def _in(atom: Atom, values: set[Value]) -> bool:
    return isinstance(atom, Value) and atom in values


def _adjoint_body(
    outer: Trace, op: Loop, carries: list[int], captured: list[int], cts: Sequence[Any]
) -> _Body:
    from .reverse import Adjoint, active_values, inline_into

    builder = Builder()
    index = 1 if op.ranged else 0
    scope: dict[Atom, Atom] = {}
    body = op.body
    with Trace(builder, outer) as trace:
        for p in body.params:
            scope[p] = builder.param(Value(p.type, p.hint, p.cotangent_of, p.layout))
        inline_into(builder, body, scope)
        primal = len(builder.eqns)
        wanted = [body.params[index + k] for k in (*carries, *captured)]
        adjoint = Adjoint(trace, active_values(body, wanted))
        running = []
        for k in captured:
            param = body.params[index + k]
            value = Value(param.type, None, scope[param])  # type: ignore[arg-type]
            running.append(value)
            adjoint.cotangents[param] = wrap(value, Kind.ARRAY, trace)
        carried = []
        outputs: dict[int, Value] = {}
        seeds: list[tuple[Atom, Value]] = []
        for k in carries:
            after = body.results[k]
            of = scope.get(after, after)
            value = Value(after.type, None, of if isinstance(of, Value) else None)
            carried.append(value)
            seeds.append((after, value))
        for k in range(op.carries, len(body.results)):
            after = body.results[k]
            if cts[k] is not None and _in(after, adjoint.active):
                outputs[k] = Value(after.type)
                seeds.append((after, outputs[k]))
        for after, value in seeds:
            if _in(after, adjoint.active):
                adjoint.accumulate(after, wrap(value, Kind.ARRAY, trace))  # type: ignore[arg-type]
        adjoint.sweep(body.eqns, scope)
        results: list[Atom] = []
        for p in wanted:
            ct = adjoint.cotangents.get(p)
            ct = zeros(p.type.shape, p.type.dtype) if ct is None else ct
            adjoint._name(ct, scope[p])
            results.append(ct._atom)
    params = [scope[p] for p in body.params]
    return _Body(builder, params, primal, carried, running, outputs, results, scope)  # type: ignore[arg-type]


def _residuals(body: _Body) -> tuple[list[Value], list[Eqn]]:
    """Return the primal values that the adjoint equations read, and what is computed again.

    Views are taken again, and so is what has a size that only the iteration knows: no stack holds
    it.
    """
    primal = body.builder.eqns[: body.primal]
    producers = {r: e for e in primal for r in e.results}
    binders = {s: e for e in primal for s in e.op.binds}
    index_and_captured = set(body.params)
    residuals: dict[Value, None] = {}
    recomputed: dict[int, Eqn] = {}

    def again(eqn: Eqn) -> None:
        if id(eqn) in recomputed:
            return
        recomputed[id(eqn)] = eqn
        for operand in eqn.operands:
            need(operand)
        sizes(eqn)

    def sizes(eqn: Eqn) -> None:
        for symbol in mentioned(eqn):
            binder = binders.get(symbol)
            if binder is not None and binder.op.effect is not Effect.ORDERED:
                again(binder)

    def is_ragged(atom: Value, eqn: Eqn) -> bool:
        """Whether a value has a size of its own; an inner loop runs again for what it stacks."""
        return eqn.op.effect is not Effect.ORDERED and any(
            s in binders for s in symbols_of(atom.type)
        )

    def need(atom: Atom) -> None:
        if not isinstance(atom, Value):
            return
        eqn = producers.get(atom)
        if eqn is None:
            if atom in index_and_captured:
                residuals.setdefault(atom)
            return
        is_view = eqn.op.is_view and len(eqn.results) == 1 and eqn.results[0].type.shape
        if is_view or is_ragged(atom, eqn):
            again(eqn)
            return
        residuals.setdefault(atom)

    for eqn in body.builder.eqns[body.primal :]:
        for operand in eqn.operands:
            need(operand)
        sizes(eqn)
    for result in body.results:
        need(result)
    order = {id(e): k for k, e in enumerate(body.builder.eqns)}
    views = sorted(recomputed.values(), key=lambda e: order[id(e)])
    return list(residuals), views


def _augment(
    builder: Builder,
    eqn: Eqn,
    op: Loop,
    scope: dict[Atom, Atom],
    residuals: list[Value],
    body: _Body,
) -> Eqn:
    """Replace the forward loop in the builder by one that stacks the residuals.

    Its body is the primal part of `body`, where the sweep has made inner loops stack theirs.
    """
    index = 1 if op.ranged else 0
    skipped = {body.params[0]} if op.ranged else set()
    skipped |= set(body.params[index + op.carries :])
    saved = [r for r in residuals if r not in skipped]
    residuals[:] = saved
    _check_sizes(op, eqn, saved)
    first_result = scope[eqn.results[0]]
    position = next(
        k for k, e in enumerate(builder.eqns) if e.results and e.results[0] is first_result
    )
    current = builder.eqns[position]
    old = current.op
    assert isinstance(old, Loop)
    eqns = body.builder.eqns[: body.primal]
    if old.body is op.body:
        results = [body.scope.get(r, r) for r in op.body.results]
        first = old.body.replace(params=body.params, eqns=eqns, results=[*results, *saved])
    else:  # it stacks residuals for an equal loop already
        renamed: dict[Atom, Atom] = dict(zip(body.params, old.body.params, strict=True))
        eqns = [
            Eqn(e.op, tuple([renamed.get(a, a) for a in e.operands]), e.results, e.provenance)
            for e in eqns
        ]
        first = old.body.replace(
            eqns=[*old.body.eqns, *eqns],
            results=[*old.body.results, *[renamed.get(r, r) for r in saved]],
        )
    new = replace(old, body=first, counts=old.counts or old.test is not None)
    types = new.infer(*[a.type for a in current.operands])
    plain = len(old.body.results)
    fresh = [Value(t) for t in types[plain : plain + len(saved)]]
    for value, residual in zip(fresh, saved, strict=True):
        value.hint = f"{residual.hint}s" if residual.hint else None
    kept = list(current.results[:plain])
    count = [current.results[-1]] if old.counts else ([Value(types[-1])] if new.counts else [])
    replaced = Eqn(new, current.operands, (*kept, *fresh, *count), current.provenance)
    builder.eqns[position] = replaced
    return replaced


def _check_sizes(op: Loop, eqn: Eqn, saved: Sequence[Value]) -> None:
    """Raise where a residual has a size that only an iteration knows: no stack can hold it.

    Raises
    ------
    DifferentiationError
    """
    from .reverse import no_rule

    known = set(op.body.dims[1:] if op.ranged else op.body.dims)
    for value in saved:
        if any(s not in known for d in value.type.shape for s in symbols(d)):
            raise no_rule(
                op,
                eqn.provenance,
                "a loop inside it runs as often as only the iteration knows, so what its "
                "derivative needs has no fixed size",
            )


def _reversed(
    trace: Trace,
    op: Loop,
    forward: Eqn,
    inside: list[Atom],
    body: _Body,
    stacks: dict[Value, Value],
    recomputed: list[Eqn],
    carries: list[int],
    captured: list[int],
    cts: Sequence[Any],
) -> list[Any]:
    provenance = trace.fixed or forward.provenance
    lo, hi, step = _range(trace, op, forward, inside)
    builder = Builder()
    builder.provenance = provenance
    index = builder.param(Value(ArrayType(INDEX, ()), "i"))
    with Trace(builder, trace) as inner:
        inner.fixed = provenance
        position = _position(builder, index, lo, step)
        scope: dict[Atom, Atom] = {}
        if op.ranged:
            scope[body.params[0]] = index
        head = 1 if op.ranged else 0
        for k in range(op.carries, len(body.params) - head):
            scope[body.params[head + k]] = inside[op.head + k]
        for value in (*body.carried, *body.running):
            scope[value] = builder.param(Value(value.type, value.hint, value.cotangent_of))
        for k, value in body.outputs.items():
            scope[value] = _row(builder, cts[k]._atom, position)
        for residual, stack in stacks.items():
            scope[residual] = _row(builder, stack, position)
            inherit(residual, scope[residual])
        for eqn in (*recomputed, *body.builder.eqns[body.primal :]):
            builder.provenance = eqn.provenance.as_derived("vjp")
            operands = tuple([scope.get(a, a) for a in eqn.operands])
            if eqn.op.regions:
                # Its results keep their identity: a nested loop's may be named by others.
                made: tuple[Atom, ...] = builder.add(
                    Eqn(
                        eqn.op,
                        operands,
                        tuple([Value(r.type, r.hint) for r in eqn.results]),
                        builder.provenance,
                    )
                )
            else:
                made = builder.emit(eqn.op, operands)
            for old, new in zip(eqn.results, made, strict=True):
                scope[old] = new
                inherit(old, new)
        results = [scope.get(r, r) for r in body.results]
    function, outside = close(
        f"{op.body.name}_vjp",
        builder.params,
        builder.eqns,
        results,
        # The same symbol, which sizes and positions of the body mention.
        dims=(op.body.dims[0] if op.ranged else Symbol("i"),),
    )
    inits = [
        cts[k]._atom if cts[k] is not None else _zeros(trace, op.body.results[k].type)
        for k in carries
    ]
    inits += [_zeros(trace, inside[op.head + k].type) for k in captured]
    # It stacks nothing, so a count that the forward loop finds is not a size of it.
    trips = Symbol("n") if isinstance(op.trips, Symbol) else op.trips
    adjoint = Loop(
        function, len(inits), trips, backward=not op.backward, dims=region_dims(function)
    )
    trace.builder.provenance = provenance
    stacked = trace.builder.emit(adjoint, [lo, hi, step, *inits, *outside])
    answer: list[Any] = [None] * len(inside)
    for k, ct in zip((*carries, *captured), stacked, strict=False):
        answer[op.head + k] = wrap(ct, Kind.ARRAY if ct.type.shape else Kind.SCALAR, trace)
    return answer


def _zeros(trace: Trace, type: ArrayType) -> Atom:
    return zeros(type.shape, type.dtype)._atom  # type: ignore[no-any-return]


def _range(trace: Trace, op: Loop, forward: Eqn, inside: list[Atom]) -> tuple[Atom, Atom, Atom]:
    """Return the range of the reversed loop: that of the forward, cut at its trip count."""
    zero, one = Literal(np.int64(0)), Literal(np.int64(1))
    if not op.ranged:
        if op.test is None:
            assert isinstance(op.trips, int)
            return zero, Literal(np.int64(op.trips)), one
        return zero, forward.results[-1], one
    lo, hi, step = inside[:3]
    if op.test is None:
        return lo, hi, step
    builder = trace.builder
    done = builder.one(multiply, forward.results[-1], step)
    return lo, builder.one(add, lo, done), step


def _position(builder: Builder, index: Value, lo: Atom, step: Atom) -> Atom:
    """Return the position in a stack that belongs to an index."""
    result: Atom = index
    if not (isinstance(lo, Literal) and lo.value == 0):
        result = builder.one(subtract, result, lo)
    if not (isinstance(step, Literal) and step.value == 1):
        result = builder.one(floor_divide, result, step)
    return result


def _row(builder: Builder, stack: Atom, position: Atom) -> Atom:
    rest: list[Item] = [Span(0, d, 1) for d in stack.type.shape[1:]]
    return builder.one(Index((AT, *rest)), stack, position)


__all__ = ["loop_vjp"]
