"""Algebra and clean-up, equation by equation: rules, composed views, needless broadcasts.

Equal equations are merged and constants folded by the builder on the way.

Before::

    def f(x: f64[3]) -> f64[3]:
        a : f64[3] = broadcast_to(2.0, shape=(3,), rank=0)
        b : f64[3] = x * 1.0
        c : f64[3] = a * b
        d : f64[3] = -c
        e : f64[3] = -d
        return e

After, with two equations that only `dce` removes::

    def f(x: f64[3]) -> f64[3]:
        a : f64[3] = broadcast_to(2.0, shape=(3,), rank=0)
        c : f64[3] = 2.0 * x
        d : f64[3] = -c
        return c
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.binding import instantiated
from ..ir.builder import Builder, inherit
from ..ir.core import Atom, Eqn, Function, Literal, Value
from ..ir.errors import DTypeError
from ..ir.op import Effect, Elementwise, Op
from ..ir.ops.cond import Cond
from ..ir.ops.dynamic import Match
from ..ir.ops.elementwise import add, divide, multiply, subtract
from ..ir.ops.index import Index, IndexAdd
from ..ir.ops.reduce import Sum
from ..ir.ops.select import Convert
from ..ir.ops.shape import BroadcastTo, Copy, Reshape, Transpose
from ..tracer.array import TracedArray, computed
from ..tracer.state import Trace
from .facts import made
from .rewrite import Class, Rule, candidates, rule
from .scalars import before_broadcast, combined, merged, untangled
from .scatter import added, covered
from .stable import RULES as STABLE_RULES
from .stable import stable
from .sums import summed
from .views import part_of_view


def _softplus(x: Any) -> Any:
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


RULES: tuple[Rule, ...] = (
    rule(lambda x: -(-x), lambda x: x),  # noqa: B002 - negated twice
    rule(lambda x: x * 1.0, lambda x: x, real=True),
    rule(lambda x: x / 1.0, lambda x: x, real=True),
    rule(lambda x: x - 0.0, lambda x: x),
    rule(lambda x, y: x - (-y), lambda x, y: x + y),
    rule(lambda x, y: x + (-y), lambda x, y: x - y),
    rule(lambda x, y: (-x) * (-y), lambda x, y: x * y),
    rule(lambda x: np.conjugate(np.conjugate(x)), lambda x: x),
    rule(lambda x: x * x, np.square),
    rule(lambda x: np.power(x, 3.0), lambda x: x * x * x, Class.REASSOCIATE),
    rule(lambda x, c, c2: c * (c2 * x), lambda x, c, c2: (c * c2) * x, Class.REASSOCIATE),
    rule(lambda x, c, c2: (c2 * x) / c, lambda x, c, c2: (c2 / c) * x, Class.REASSOCIATE),
    rule(lambda x, c, c2: (c2 / x) / c, lambda x, c, c2: (c2 / c) / x, Class.REASSOCIATE),
    # A call of pow takes up to 150 ns an element, a product a quarter of one.
    rule(lambda x: np.power(x, 2.0), np.square, Class.REASSOCIATE),
    rule(lambda x: np.power(x, 4.0), lambda x: np.square(np.square(x)), Class.REASSOCIATE),
    rule(lambda x: np.power(x, 5.0), lambda x: np.square(np.square(x)) * x, Class.REASSOCIATE),
    rule(lambda x: np.power(x, 6.0), lambda x: np.square(np.square(x) * x), Class.REASSOCIATE),
    rule(lambda x: np.power(x, -1.0), lambda x: 1.0 / x, Class.REASSOCIATE, real=True),
    rule(lambda x: np.power(x, -2.0), lambda x: 1.0 / np.square(x), Class.REASSOCIATE, real=True),
    rule(
        lambda x: np.power(x, -3.0),
        lambda x: 1.0 / (np.square(x) * x),
        Class.REASSOCIATE,
        real=True,
    ),
    rule(lambda x: np.power(x, 1.0), lambda x: x, real=True),
    # Seven times as fast: NumPy's own computes one entry at a time.
    rule(lambda x: np.logaddexp(0.0, x), _softplus, Class.REASSOCIATE, real=True),
    rule(lambda x: np.logaddexp(x, 0.0), _softplus, Class.REASSOCIATE, real=True),
    rule(lambda x: x + x, lambda x: 2.0 * x, real=True),
    rule(lambda x, c: c * -x, lambda x, c: (-c) * x),
    rule(lambda x, y, c: (c * x) * -y, lambda x, y, c: ((-c) * x) * y, real=True),
)

_SHAPES = (Transpose, Reshape, BroadcastTo)
_MERGED = frozenset({add, subtract, multiply, divide})
"""What `merged`, `combined` and `added` are about."""


@functools.cache
def _by_root() -> Mapping[Op, Sequence[Rule]]:
    """Return all rules by the op at their root; to find it traces them."""
    found: dict[Op, list[Rule]] = {}
    for known in (*RULES, *STABLE_RULES):
        found.setdefault(known.root, []).append(known)
    return found


@functools.cache
def _rules(op: Op, allow: int, is_cotangent: bool) -> Sequence[Rule]:
    """Return the rules for equations of an op, of at most a class: stable ones for cotangents."""
    return [
        known
        for known in _by_root().get(op, ())
        if known.kind <= allow and (is_cotangent or known.kind is not Class.STABLE)
    ]


@dataclass(frozen=True)
class Simplify:
    """Apply the rules of at most the given class."""

    allow: Class = Class.REASSOCIATE
    name = "simplify"

    def __call__(self, function: Function) -> Function:
        return self._simplified(function, is_whole=True)

    def _simplified(self, function: Function, is_whole: bool = False) -> Function:
        """Return a function simplified; the values of a region are new, those of a whole may stay.

        A region may stand in several equations, each of which has values of its own then.
        """
        builder = Builder(self.peephole)
        scope: dict[Atom, Atom] = {}
        for p in function.params:
            scope[p] = builder.param(p)
        with Trace(builder, None) as trace:
            for eqn in function.eqns:
                trace.fixed = builder.provenance = eqn.provenance
                op = eqn.op
                if op.regions:
                    op = op.with_regions([self._simplified(r) for r in op.regions])
                operands = tuple([scope.get(a, a) for a in eqn.operands])
                made = self._emit(builder, eqn, op, operands, is_whole)
                if made is eqn.results:
                    continue
                for old, new in zip(eqn.results, made, strict=True):
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
        self, builder: Builder, eqn: Eqn, op: Op, operands: tuple[Atom, ...], is_whole: bool
    ) -> tuple[Atom, ...]:
        if op is eqn.op and operands == eqn.operands and op.effect is Effect.ORDERED:
            return builder.add(eqn)
        if isinstance(op, Cond) and isinstance(operands[0], Literal):
            branch = op.branches[op.chosen(operands[0].value)]
            return builder.inline(instantiated(branch, op.dims), operands[1:])
        if op.regions:
            return builder.add(Eqn(op, operands, eqn.results, eqn.provenance))
        return builder.emit(op, operands, eqn if is_whole else None)

    def peephole(
        self, builder: Builder, op: Op, operands: tuple[Atom, ...]
    ) -> tuple[Atom, ...] | None:
        """Return the replacement of one equation, None to keep it."""
        if op.is_elementwise and not op.is_view:
            trimmed = untangled(builder, op, operands)
            if trimmed is not None:
                return trimmed
            if isinstance(op, Convert) and operands[0].type.dtype == op.dtype:
                return operands[:1]
        elif isinstance(op, Match):
            return operands if op.infer(operands[0].type)[0] == operands[0].type else None
        elif isinstance(op, _SHAPES):
            return _compose(builder, op, operands[0])
        elif isinstance(op, Index):
            view = made(builder, operands[0])
            return None if view is None else part_of_view(builder, op, operands, view)
        elif isinstance(op, Copy):
            return _needless_copy(builder, operands[0])
        elif isinstance(op, IndexAdd) and builder.provenance.is_adjoint:
            return covered(builder, op, operands)
        elif isinstance(op, Sum):
            return summed(builder, op, operands[0], self.allow)
        if Value not in [a.__class__ for a in operands]:
            return None  # the builder folds them, or they are not to be folded
        is_cotangent = self.allow >= Class.STABLE and builder.provenance.is_adjoint
        if is_cotangent:
            steadied = stable(builder, op, operands)
            if steadied is not None:
                return steadied
        if not isinstance(op, Elementwise):
            return None
        if op in _MERGED:
            equal = merged(builder, op, operands)
            if equal is not None:
                return equal
            if self.allow >= Class.REASSOCIATE:
                smaller = combined(builder, op, operands) or added(builder, op, operands)
                if smaller is not None:
                    return smaller
        rules = _rules(op, int(self.allow), is_cotangent)
        for known in candidates(rules, operands, builder.producers):
            binding = known.match(op, operands, builder.producers)
            if binding is not None:
                replaced = _apply(known, binding, builder)
                if replaced is None:
                    continue
                if known.kind is not Class.EXACT and _is_unfolded(replaced, builder):
                    continue
                (type,) = op.infer(*[a.type for a in operands])
                if known.kind is Class.STABLE and replaced.type.dtype == type.dtype:
                    rank = replaced.type.ndim
                    return builder.emit(BroadcastTo(type.shape, rank), (replaced,))
                if replaced.type == type:
                    return (replaced,)
        return None


def _apply(known: Rule, binding: Sequence[Atom], builder: Builder) -> Atom | None:
    trace = Trace(builder, None)
    trace.fixed = builder.provenance
    with trace:
        operands = [computed(a, trace) for a in binding]
        try:
            result = known.replacement(*operands)
        except DTypeError:
            return None  # the replacement is not defined for these dtypes
    assert isinstance(result, TracedArray)
    return result._atom


def _is_unfolded(replaced: Atom, builder: Builder) -> bool:
    """Whether constants were not folded, as they over- or underflow: then the order matters."""
    producer = made(builder, replaced)
    makers = [] if producer is None else [made(builder, a) for a in producer.operands]
    return any(e is not None and not any(isinstance(a, Value) for a in e.operands) for e in makers)


def _needless_copy(builder: Builder, x: Atom) -> tuple[Atom, ...] | None:
    """Drop the copy of a value that owns its memory: values never change, results never alias."""
    producer = made(builder, x)
    if producer is None or producer.op.is_view or producer.op.regions or x.layout is not None:
        return None
    return (x,)


def _compose(builder: Builder, op: Op, x: Atom) -> tuple[Atom, ...] | None:
    """Merge a view with the view below it; drop views that change nothing."""
    producer = made(builder, x)
    if producer is not None and not producer.operands:
        producer = None
    if isinstance(op, Reshape | Transpose) and producer is not None:
        source = producer.operands[0]
        if isinstance(producer.op, BroadcastTo) and source.type.size == 1:
            (type,) = op.infer(x.type)
            scalar = before_broadcast(builder, x)
            if not scalar.type.shape and type.shape:
                return builder.emit(BroadcastTo(type.shape, 0), (scalar,))
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
