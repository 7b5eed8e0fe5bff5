"""The adjoint of a loop: the same indices in the opposite order, on what the forward loop kept.

What the adjoint of the body reads of the body is made again or kept (`residuals`). What is kept is
a stacked output of the forward loop, or, where only the loop knows how much there is, on a tape
that it carries (`ir.ops.tape`). Arrays that the loop writes in place are restored (`restore`). The
reversed loop carries the cotangents of the carries, and for each captured value that wants one a
running cotangent, updated in place: reading `xs[i]` adds into row i. In a loop of a loop these are
the running cotangents of the loop around it.

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
            return b, h, b
        r, hs, bs = loop(body, range(10), carry=(h0,), captured=(w,))
        s    : f64    = sum(r, axes=(-1,))
        dr   : f64[3] = broadcast_to(array([1.0], f64), shape=(3,), rank=1)
        none : f64[3] = full(0.0, shape=(3,))
        def adjoint(
                i: i64, db: f64[3], dw: f64[3], bs: f64[10, 3], w: f64[3], hs: f64[10, 3], *,
                dims=(i,),
        ) -> (f64[3], f64[3]):
            b   : f64[3] = bs[i]
            bb  : f64[3] = b * b
            c   : f64[3] = 1.0 - bb
            da  : f64[3] = db * c
            dh  : f64[3] = da * w
            h   : f64[3] = hs[i]
            daw : f64[3] = da * h
            dws : f64[3] = dw + daw
            return dh, dws
        dh0, dw = loop(adjoint, range(10), carry=(dr, none), captured=(bs, w, hs), backward=True)
        return s, dh0, dw
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.binding import instantiated, symbols_of
from ..ir.builder import Builder
from ..ir.closing import close, region_dims
from ..ir.core import Atom, Eqn, Function, Literal, Value
from ..ir.dims import Dim, Symbol, symbols
from ..ir.ops.control import INDEX, Loop
from ..ir.ops.elementwise import add, floor_divide, multiply, subtract
from ..ir.ops.shape import Copy
from ..ir.ops.tape import TapeNew, TapePush
from ..ir.types import ArrayType, Kind, is_tape, tape_of
from ..tracer.array import TracedArray, wrap
from ..tracer.functions.create import zeros
from ..tracer.state import Trace
from .footprints import level_of
from .residuals import Body, Residuals, find_chains
from .restore import nested_links
from .undoing import Undoing, row

if TYPE_CHECKING:
    from .reverse import Adjoint


def loop_vjp(
    adjoint: Adjoint,
    eqn: Eqn,
    needs: Sequence[bool],
    cts: Sequence[Any],
    operands: Sequence[TracedArray],
    scope: dict[Atom, Atom],
) -> list[Any]:
    """Return the cotangents of a loop's operands; the forward loop in the builder is replaced.

    Running cotangents of captured arrays go through the reversed loop and are taken from `adjoint`.
    """
    op = eqn.op
    assert isinstance(op, Loop)
    op = _with_outer_dims(op)
    carries, captured = _active(op, needs, cts)
    if not carries and not captured and eqn not in adjoint.links:
        return [None] * len(operands)
    body = _adjoint_body(adjoint.trace, op, carries, captured, cts)
    residuals = Residuals(body, eqn in adjoint.links, level_of(eqn, op))
    forward = _Forward(adjoint.trace.builder, eqn, op, scope, residuals)
    adjoint.inserted += forward.inserted
    return _Reversed(adjoint, eqn, op, forward, operands, residuals, carries, captured).run(cts)


def _with_outer_dims(op: Loop) -> Loop:
    """Return a loop whose regions name the sizes of outside as the function around it does."""
    head = 1 if op.ranged else 0
    binding = {s: d for s, d in zip(op.body.dims[head:], op.dims, strict=True) if d != Dim.of(s)}
    if not binding:
        return op
    return replace(
        op,
        body=_renamed(op.body, binding, head),
        test=None if op.test is None else _renamed(op.test, binding, head),
        dims=tuple(map(Dim.of, _outer_symbols(op.dims))),
    )


def _renamed(region: Function, binding: dict[Symbol, Any], head: int) -> Function:
    """Return a region with sizes of outside replaced; it binds the symbols of these."""
    own = region.dims[:head]
    outer = [binding.get(s, Dim.of(s)) for s in region.dims[head:]]
    made = instantiated(region, [*map(Dim.of, own), *outer])
    return made.replace(dims=(*own, *_outer_symbols(outer)))


def _outer_symbols(dims: Sequence[Any]) -> list[Symbol]:
    return sorted({s for d in dims for s in symbols(d)}, key=lambda s: s.number)


def _active(op: Loop, needs: Sequence[bool], cts: Sequence[Any]) -> tuple[list[int], list[int]]:
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
    carries = [
        k for k in range(op.carries) if wanted[k] and not (cts[k] is None and _is_pushed(op, k))
    ]
    captured = [k for k in range(op.carries, len(params)) if wanted[k]]
    return carries, captured


def active_operands(op: Loop, needs: Sequence[bool]) -> tuple[list[int], list[int]]:
    """Return the carries and captured values that have cotangents if all results have."""
    return _active(op, needs, [True] * len(op.body.results))


def _is_pushed(op: Loop, k: int) -> bool:
    """Whether a carry is a tape that the loop adds to; without a cotangent nobody has read it."""
    param = op.body.params[(1 if op.ranged else 0) + k]
    return is_tape(param.type) and any(
        isinstance(e.op, TapePush) and e.operands[0] is param for e in op.body.eqns
    )


def _in(atom: Atom, values: set[Value]) -> bool:
    return isinstance(atom, Value) and atom in values


def _adjoint_body(
    outer: Trace, op: Loop, carries: list[int], captured: list[int], cts: Sequence[Any]
) -> Body:
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
        adjoint = Adjoint(trace, active_values(body, wanted), links=nested_links(op))
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
        primal += adjoint.inserted
        results: list[Atom] = []
        for p in wanted:
            ct = adjoint.cotangents.get(p)
            results.append(nothing(p.type, trace) if ct is None else ct._atom)
            if ct is not None:
                adjoint._name(ct, scope[p])
    found = Body(
        op,
        builder,
        [scope[p] for p in body.params],  # type: ignore[misc]
        primal,
        carried,
        running,
        outputs,
        results,
        [scope.get(r, r) for r in body.results],
        adjoint.undone,
    )
    chains = find_chains(found, {r: e for e in builder.eqns[:primal] for r in e.results})
    adjoint.settle(
        primal, {found.undone[v] for c in chains.values() for v in c.versions if v in found.undone}
    )
    found.undone = adjoint.undone
    return found


def nothing(type: ArrayType, trace: Trace) -> Atom:
    """Return the cotangent of what nothing depends on: zeros, or an empty tape."""
    if is_tape(type):
        return trace.builder.one(TapeNew(type.dtype))
    return zeros(type.shape, type.dtype)._atom  # type: ignore[no-any-return]


# ---- the forward loop ----------------------------------------------------------------------------


class _Forward:
    """The forward loop, replaced in the builder by one that stacks or pushes the residuals.

    Its body is the primal part of the adjoint body, where the sweep has made inner loops keep
    theirs. `stacks` and `tapes` hold what keeps each residual, as values outside of the loop.
    """

    def __init__(
        self, builder: Builder, eqn: Eqn, op: Loop, scope: dict[Atom, Atom], residuals: Residuals
    ) -> None:
        self.op = op
        self.provenance = eqn.provenance
        body = residuals.body
        stacked = [v for v in residuals.saved if self._is_stacked(v)]
        pushed = [v for v in residuals.saved if v not in set(stacked)]
        first = scope[eqn.results[0]]
        self.position = next(k for k, e in enumerate(builder.eqns) if first in e.results)
        current = builder.eqns[self.position]
        old = current.op
        assert isinstance(old, Loop)
        is_first = old.body in eqn.op.regions
        old = op if is_first else _with_outer_dims(old)
        head = body.head
        renamed: dict[Atom, Atom] = {}
        if not is_first:  # it keeps residuals for an equal loop already
            params = [*old.body.params[: head + op.carries], *old.body.params[head + old.carries :]]
            renamed = dict(zip(body.params, params, strict=True))
        eqns, results = self._primal(residuals, stacked, pushed, renamed)
        if is_first:
            base, before = op.body, []
            carried, captured = body.params[: head + op.carries], body.params[head + op.carries :]
            plain = [*body.after]
        else:
            base, before = old.body, list(old.body.eqns)
            carried = list(old.body.params[: head + old.carries])
            captured = list(old.body.params[head + old.carries :])
            plain = list(old.body.results)
        params = [*carried, *self.tape_params, *captured]
        function = Function(
            base.name,
            params,
            [*before, *eqns],
            [
                *plain[: old.carries],
                *self.tape_results,
                *plain[old.carries :],
                *results,
            ],
            dims=base.dims,
        )
        made = self._loop(builder, old, current, function, stacked, pushed)
        self.eqn = made

    def _is_stacked(self, value: Value) -> bool:
        """Whether it is known before the loop how much is kept of a residual."""
        op = self.op
        if (
            is_tape(value.type)
            or op.test is not None
            or not (op.ranged or isinstance(op.trips, int))
        ):
            return False
        known = set(op.body.dims[1:] if op.ranged else op.body.dims)
        return symbols_of(value.type) <= known

    def _primal(
        self,
        residuals: Residuals,
        stacked: Sequence[Value],
        pushed: Sequence[Value],
        renamed: dict[Atom, Atom],
    ) -> tuple[list[Eqn], list[Atom]]:
        """Return the equations of the body with the residuals kept, and the stacked outputs."""
        self.tape_params = [Value(tape_of(v.type)) for v in pushed]
        self.tape_results: list[Value] = []
        pushes: dict[Value, Eqn] = {}
        for value, param in zip(pushed, self.tape_params, strict=True):
            result = Value(param.type)
            self.tape_results.append(result)
            at = residuals.producers.get(value)
            pushes[value] = Eqn(
                TapePush(), (param, value), (result,), at.provenance if at else self.provenance
            )
        copies: dict[Value, Eqn] = {}
        for value in stacked:
            made = residuals.producers.get(value)
            if made is not None and made.op.is_view and value.type.shape:
                layouts = Copy().layouts([value.type], [value.layout])
                kept = Value(value.type, value.hint, None, layouts[0] if layouts else None)
                copies[value] = Eqn(Copy(), (value,), (kept,), made.provenance)
        order: list[Eqn] = []
        added = sorted(residuals.added, key=lambda pair: pair[0])
        for place, primal in enumerate([*residuals.primal, None]):
            while added and added[0][0] == place:
                order.append(added.pop(0)[1])
            if primal is not None:
                order.append(primal)
        eqns = [pushes[v] for v in pushed if v not in residuals.producers]
        for one in order:
            eqns.append(one)
            for result in one.results:
                eqns += [d[result] for d in (pushes, copies) if result in d]
        if renamed:
            eqns = [
                Eqn(e.op, tuple([renamed.get(a, a) for a in e.operands]), e.results, e.provenance)
                for e in eqns
            ]
        outputs = [copies[v].results[0] if v in copies else renamed.get(v, v) for v in stacked]
        return eqns, outputs

    def _loop(
        self,
        builder: Builder,
        old: Loop,
        current: Eqn,
        function: Function,
        stacked: Sequence[Value],
        pushed: Sequence[Value],
    ) -> Eqn:
        """Put the new loop in the place of the old one."""
        starts = [Value(p.type) for p in self.tape_params]
        new = replace(
            old,
            body=function,
            test=None if old.test is None else _with_tapes(old.test, old, self.tape_params),
            carries=old.carries + len(starts),
            counts=old.counts or old.test is not None,
        )
        cut = old.head + old.carries
        operands = (*current.operands[:cut], *starts, *current.operands[cut:])
        types = new.infer(*[a.type for a in operands])
        last = len(current.results) - (1 if old.counts else 0)
        tapes = [Value(p.type) for p in self.tape_params]
        stacks = [Value(t) for t in types[last + len(tapes) : last + len(tapes) + len(stacked)]]
        for value, residual in zip(stacks, stacked, strict=True):
            value.hint = f"{residual.hint}s" if residual.hint else None
        count = [current.results[-1]] if old.counts else [Value(types[-1])] if new.counts else []
        results = (
            *current.results[: old.carries],
            *tapes,
            *current.results[old.carries : last],
            *stacks,
            *count,
        )
        made = Eqn(new, operands, results, current.provenance)
        empty = [Eqn(TapeNew(v.type.dtype), (), (v,), current.provenance) for v in starts]
        builder.eqns[self.position : self.position + 1] = [*empty, made]
        self.inserted = len(empty)
        for value in results:
            builder.producers[value] = made
        self.stacks = dict(zip(stacked, stacks, strict=True))
        self.tapes = dict(zip(pushed, tapes, strict=True))
        return made


def _with_tapes(test: Function, old: Loop, tapes: Sequence[Value]) -> Function:
    """Return the test of a loop that carries tapes too."""
    cut = (1 if old.ranged else 0) + old.carries
    params = [*test.params[:cut], *[Value(t.type) for t in tapes], *test.params[cut:]]
    return test.replace(params=params)


# ---- the reversed loop ---------------------------------------------------------------------------


class _Reversed:
    """Builds the reversed loop and emits it; its results become the cotangents."""

    def __init__(
        self,
        adjoint: Adjoint,
        eqn: Eqn,
        op: Loop,
        forward: _Forward,
        operands: Sequence[TracedArray],
        residuals: Residuals,
        carries: list[int],
        captured: list[int],
    ) -> None:
        self.adjoint = adjoint
        self.primal = eqn
        self.op = op
        self.forward = forward
        self.outside = [a._atom for a in operands]
        self.residuals = residuals
        self.carries = carries
        self.captured = captured

    def run(self, cts: Sequence[Any]) -> list[Any]:
        """Return the cotangents of the loop's operands."""
        op, trace, body = self.op, self.adjoint.trace, self.residuals.body
        provenance = trace.fixed or self.forward.eqn.provenance
        lo, hi, step = self._range()
        builder = Builder()
        builder.provenance = provenance
        symbol = op.body.dims[0] if op.ranged else Symbol("i")
        index = builder.param(Value(ArrayType(INDEX, ()), "i"))
        chains = self.residuals.chains
        with Trace(builder, trace) as inner:
            inner.fixed = provenance
            scope: dict[Atom, Atom] = {}
            if op.ranged:
                scope[body.params[0]] = index
            for k in range(op.carries, len(body.params) - body.head):
                scope[body.params[body.head + k]] = self.outside[op.head + k]
            for value in (*body.carried, *body.running):
                scope[value] = builder.param(Value(value.type, value.hint, value.cotangent_of))
            last = {
                k: builder.param(Value(c.versions[-1].type, c.versions[0].hint))
                for k, c in chains.items()
            }
            tapes = {v: builder.param(Value(t.type)) for v, t in self.forward.tapes.items()}
            position = _position(builder, index, lo, step)
            for k, value in body.outputs.items():
                scope[value] = row(builder, cts[k]._atom, position)
            rows = {v: (s, position) for v, s in self.forward.stacks.items()}
            undoing = Undoing(builder, self.residuals, scope, last, rows, tapes)
            undoing.run()
            results = [
                *[undoing.value(r) for r in body.results],
                *[undoing.first(k) for k in chains],
                *[undoing.tapes[v] for v in tapes],
            ]
        function, outside = close(
            f"{op.body.name}_vjp",
            builder.params,
            builder.eqns,
            results,
            # The same symbol, which sizes and positions of the body mention.
            dims=(symbol,),
        )
        inits = self._inits(cts)
        # It stacks nothing, so a count that the forward loop finds is not a size of it.
        trips = Symbol("n") if isinstance(op.trips, Symbol) else op.trips
        reversed = Loop(
            function,
            len(inits),
            trips,
            backward=not op.backward,
            recompute=op.recompute,
            dims=region_dims(function),
        )
        trace.builder.provenance = provenance
        made = trace.builder.emit(reversed, [lo, hi, step, *inits, *outside])
        return self._answer(made)

    def _inits(self, cts: Sequence[Any]) -> list[Atom]:
        trace, op = self.adjoint.trace, self.op
        inits = [
            cts[k]._atom if cts[k] is not None else nothing(op.body.results[k].type, trace)
            for k in self.carries
        ]
        self.taken = self._running()
        for k in self.captured:
            known = self.taken.get(k)
            inits.append(
                nothing(self.outside[op.head + k].type, trace) if known is None else known._atom
            )
        inits += [self.forward.eqn.results[k] for k in self.residuals.chains]
        inits += self.forward.tapes.values()
        return inits

    def _running(self) -> dict[int, TracedArray]:
        """Return the running cotangents of captured arrays, each once."""
        found: dict[int, TracedArray] = {}
        seen: set[Atom] = set(self.primal.operands[: self.op.head + self.op.carries])
        for k in self.captured:
            operand = self.primal.operands[self.op.head + k]
            if not isinstance(operand, Value):
                continue
            known = self.adjoint.cotangents.get(operand)
            if known is not None and operand.type.shape and operand not in seen:
                found[k] = known
            seen.add(operand)
        return found

    def _answer(self, made: Sequence[Atom]) -> list[Any]:
        answer: list[Any] = [None] * len(self.outside)
        op, trace = self.op, self.adjoint.trace
        for k, ct in zip((*self.carries, *self.captured), made, strict=False):
            kind = Kind.ARRAY if ct.type.shape else Kind.SCALAR
            answer[op.head + k] = wrap(ct, kind, trace)
        for k in self.taken:  # what was found so far is in it
            del self.adjoint.cotangents[self.primal.operands[op.head + k]]  # type: ignore[arg-type]
        older = made[len(self.carries) + len(self.captured) :]
        for k, value in zip(self.residuals.chains, older, strict=False):
            self.adjoint.undone[self.forward.eqn.results[k]] = value  # type: ignore[assignment]
        return answer

    def _range(self) -> tuple[Atom, Atom, Atom]:
        """Return the range of the reversed loop: that of the forward, cut at its trip count."""
        op, forward = self.op, self.forward.eqn
        zero, one = Literal(np.int64(0)), Literal(np.int64(1))
        if not op.ranged:
            if op.test is None:
                assert isinstance(op.trips, int)
                return zero, Literal(np.int64(op.trips)), one
            return zero, forward.results[-1], one
        lo, hi, step = self.outside[:3]
        if op.test is None:
            return lo, hi, step
        builder = self.adjoint.trace.builder
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


__all__ = ["active_operands", "loop_vjp", "nothing"]
