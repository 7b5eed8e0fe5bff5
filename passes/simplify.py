"""Algebra and clean-up, equation by equation: rules, composed views, operands broadcast for nothing.

Equal equations are merged and constants folded by the builder on the way.

Before::

    def f(x: f64[3]) -> f64[3]:
        a : f64[3] = broadcast_to(2.0, shape=(3,), rank=0)
        b : f64[3] = x * 1.0
        c : f64[3] = a * b
        d : f64[3] = -c
        e : f64[3] = -d
        return e

After::

    def f(x: f64[3]) -> f64[3]:
        c : f64[3] = 2.0 * x
        return c
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..ir.builder import Builder, inherit
from ..ir.core import Atom, Eqn, Function, Value
from ..ir.errors import ShapeError
from ..ir.op import Effect, Elementwise, Op, broadcast
from ..ir.ops.select import Convert
from ..ir.ops.shape import BroadcastTo, Reshape, Transpose
from ..ir.types import Kind
from ..tracer.array import TracedArray, wrap
from ..tracer.state import Trace
from .rewrite import Class, Rule, rule

RULES: tuple[Rule, ...] = (
    rule(lambda x: -(-x), lambda x: x),
    rule(lambda x: x * 1.0, lambda x: x),
    rule(lambda x: x / 1.0, lambda x: x),
    rule(lambda x: x - 0.0, lambda x: x),
    rule(lambda x, y: x - (-y), lambda x, y: x + y),
    rule(lambda x, y: x + (-y), lambda x, y: x - y),
    rule(lambda x, y: (-x) * (-y), lambda x, y: x * y),
    rule(lambda x: np.conjugate(np.conjugate(x)), lambda x: x),
    rule(lambda x, c, c2: c * (c2 * x), lambda x, c, c2: (c * c2) * x, Class.REASSOCIATE),
    rule(lambda x, c, c2: (c2 * x) / c, lambda x, c, c2: (c2 / c) * x, Class.REASSOCIATE),
    rule(lambda x, c: c * -x, lambda x, c: (-c) * x),
    rule(lambda x, y, c: (c * x) * -y, lambda x, y, c: ((-c) * x) * y),
)

_index: dict[Op, list[Rule]] = {}


def rules_for(op: Op) -> list[Rule]:
    """Return the rules with `op` at their root."""
    if not _index:
        for known in RULES:
            _index.setdefault(known.root, []).append(known)
    return _index.get(op, [])


@dataclass(frozen=True)
class Simplify:
    """Apply the rules of at most the given class."""

    allow: Class = Class.REASSOCIATE
    name = "simplify"

    def __call__(self, function: Function) -> Function:
        builder = Builder(self.peephole)
        scope: dict[Atom, Atom] = {}
        for p in function.params:
            scope[p] = builder.param(p)
        with Trace(builder, None) as trace:
            for eqn in function.eqns:
                trace.fixed = builder.provenance = eqn.provenance
                op = eqn.op
                if op.regions:
                    op = op.with_regions([self(r) for r in op.regions])
                operands = tuple([scope.get(a, a) for a in eqn.operands])
                results = self._emit(builder, eqn, op, operands)
                for old, new in zip(eqn.results, results, strict=True):
                    scope[old] = new
                    inherit(old, new)
        results = [scope.get(r, r) for r in function.results]
        return function.replace(
            params=builder.params,
            eqns=builder.eqns,
            results=results,
            param_kinds=function.param_kinds,
            result_kinds=function.result_kinds,
        )

    def _emit(
        self, builder: Builder, eqn: Eqn, op: Op, operands: tuple[Atom, ...]
    ) -> tuple[Atom, ...]:
        if op is eqn.op and operands == eqn.operands and op.effect is Effect.ORDERED:
            return builder.add(eqn)
        if op.regions:
            return builder.add(Eqn(op, operands, eqn.results, eqn.provenance))
        return builder.emit(op, operands)

    def peephole(
        self, builder: Builder, op: Op, operands: tuple[Atom, ...]
    ) -> tuple[Atom, ...] | None:
        """Return the replacement of one equation, None to keep it."""
        if op.is_elementwise:
            trimmed = _untangle_broadcasts(builder, op, operands)
            if trimmed is not None:
                return builder.emit(op, trimmed)
            if isinstance(op, Convert) and operands[0].type.dtype == op.dtype:
                return operands[:1]
        elif isinstance(op, Transpose | Reshape | BroadcastTo):
            return _compose(builder, op, operands[0])
        if not isinstance(op, Elementwise):
            return None
        for known in rules_for(op):
            if known.kind > self.allow:
                continue
            binding = known.match(op, operands, builder.producers)
            if binding is not None:
                replaced = _apply(known, binding, builder)
                if replaced.type == op.infer(*[a.type for a in operands])[0]:
                    return (replaced,)
        return None


def _apply(known: Rule, binding: Sequence[Atom], builder: Builder) -> Atom:
    trace = Trace(builder, None)
    trace.fixed = builder.provenance
    with trace:
        result = known.replacement(
            *[wrap(a, Kind.ARRAY if a.type.shape else Kind.SCALAR, trace) for a in binding]
        )
    assert isinstance(result, TracedArray)
    return result._atom


def _untangle_broadcasts(
    builder: Builder, op: Op, operands: tuple[Atom, ...]
) -> tuple[Atom, ...] | None:
    """Return operands without broadcasts that NumPy does by itself, None where there are none."""
    producers = [builder.producers.get(a) if isinstance(a, Value) else None for a in operands]
    if not any(p is not None and isinstance(p.op, BroadcastTo) for p in producers):
        return None
    shape = broadcast([a.type.shape for a in operands])
    kept = list(operands)
    for k, producer in enumerate(producers):
        if producer is None or not isinstance(producer.op, BroadcastTo):
            continue
        trial = [producer.operands[0] if j == k else a for j, a in enumerate(kept)]
        try:
            same = broadcast([a.type.shape for a in trial]) == shape
        except ShapeError:
            continue
        if same:
            kept = trial
    return tuple(kept) if any(a is not b for a, b in zip(kept, operands, strict=True)) else None


def _compose(builder: Builder, op: Op, x: Atom) -> tuple[Atom, ...] | None:
    """Merge a view with the view below it; drop views that change nothing."""
    producer = builder.producers.get(x) if isinstance(x, Value) else None
    if isinstance(op, Transpose):
        count = len(op.axes)
        if op.axes == tuple(range(-count, 0)):
            return (x,)
        if producer is not None and isinstance(producer.op, Transpose):
            inner = producer.op.axes
            if len(inner) == count:
                merged = Transpose(tuple(inner[a + count] for a in op.axes))
                return builder.emit(merged, producer.operands)
    if isinstance(op, Reshape):
        if op.infer(x.type)[0] == x.type:
            return (x,)
        if producer is not None and isinstance(producer.op, Reshape):
            source = producer.operands[0]
            whole = op.infer(x.type)[0]
            if source.layout is None:
                return builder.emit(Reshape(whole.shape, source.type.ndim), (source,))
    if isinstance(op, BroadcastTo) and op.infer(x.type)[0] == x.type:
        return (x,)
    return None
