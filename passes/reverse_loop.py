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
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.builder import Builder
from ..ir.closing import close, region_dims
from ..ir.core import Atom, Eqn, Literal, Value
from ..ir.dims import Symbol
from ..ir.ops.control import INDEX, Loop
from ..ir.ops.elementwise import add, floor_divide, multiply, subtract
from ..ir.ops.tape import TapeNew, TapePush
from ..ir.types import ArrayType, Kind, is_tape
from ..tracer.array import TracedArray, computed, wrap
from ..tracer.state import Trace
from .footprints import level_of
from .keeping import ForwardLoop, LoopBody, nothing, settle_inside, with_outer_dims
from .residuals import Residuals
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
    op = with_outer_dims(op)
    carries, captured = _active(op, needs, cts)
    if not carries and not captured and eqn not in adjoint.links:
        return [None] * len(operands)
    body = _adjoint_body(adjoint.trace, op, carries, captured, cts)
    residuals = Residuals(body, eqn in adjoint.links, level_of(eqn, op))
    forward = ForwardLoop(adjoint.trace.builder, eqn, op, scope, residuals, body)
    adjoint.inserted += forward.inserted
    reversed = _Reversed(adjoint, eqn, op, forward, operands, residuals, body, carries, captured)
    return reversed.run(cts)


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
) -> LoopBody:
    from .reverse import Adjoint, active_values, inline_into

    builder = Builder()
    index = 1 if op.ranged else 0
    scope: dict[Atom, Atom] = {}
    body = op.body
    with Trace(builder, outer) as trace:
        for p in body.params:
            scope[p] = builder.param(p.fresh())
        inline_into(builder, body, scope)
        primal = len(builder.eqns)
        wanted = [body.params[index + k] for k in (*carries, *captured)]
        arrays = {k: (body.params[index + k], body.results[k]) for k in range(op.carries)}
        adjoint = Adjoint(trace, active_values(body, wanted), nested_links(body, arrays))
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
    params = [scope[p] for p in body.params]
    found = LoopBody(
        builder=builder,
        params=params,  # type: ignore[arg-type]
        primal=primal,
        results=results,
        arrays={k: (scope[p], scope.get(r, r)) for k, (p, r) in arrays.items()},  # type: ignore[misc]
        changing=set(params[index : index + op.carries]),  # type: ignore[arg-type]
        undone=adjoint.undone,
        after=[scope.get(r, r) for r in body.results],
        carried=carried,
        running=running,
        outputs=outputs,
    )
    settle_inside(adjoint, found)
    return found


# ---- the reversed loop ---------------------------------------------------------------------------


class _Reversed:
    """Builds the reversed loop and emits it; its results become the cotangents."""

    def __init__(
        self,
        adjoint: Adjoint,
        eqn: Eqn,
        op: Loop,
        forward: ForwardLoop,
        operands: Sequence[TracedArray],
        residuals: Residuals,
        body: LoopBody,
        carries: list[int],
        captured: list[int],
    ) -> None:
        self.adjoint = adjoint
        self.primal = eqn
        self.op = op
        self.forward = forward
        self.outside = [a._atom for a in operands]
        self.residuals = residuals
        self.body = body
        self.carries = carries
        self.captured = captured

    def run(self, cts: Sequence[Any]) -> list[Any]:
        """Return the cotangents of the loop's operands."""
        op, trace, body = self.op, self.adjoint.trace, self.body
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
            head = 1 if op.ranged else 0
            for k in range(op.carries, len(body.params) - head):
                scope[body.params[head + k]] = self.outside[op.head + k]
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
            cts[k]._atom if cts[k] is not None else _start(op.body.results[k].type, trace)
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
            answer[op.head + k] = computed(ct, trace)
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


def _start(type: ArrayType, trace: Trace) -> Atom:
    """Return what a cotangent starts from: a tape that was popped from is pushed on."""
    return trace.builder.one(TapeNew(type.dtype)) if is_tape(type) else nothing(type, trace)


def _position(builder: Builder, index: Value, lo: Atom, step: Atom) -> Atom:
    """Return the position in a stack that belongs to an index."""
    result: Atom = index
    if not (isinstance(lo, Literal) and lo.value == 0):
        result = builder.one(subtract, result, lo)
    if not (isinstance(step, Literal) and step.value == 1):
        result = builder.one(floor_divide, result, step)
    return result


__all__ = ["active_operands", "loop_vjp", "nothing"]
