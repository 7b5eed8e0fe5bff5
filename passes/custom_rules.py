"""Functions with rules of the user's own: written in line, or with their rules exposed.

Where nobody has asked for a derivative, the function is written in line.

Before::

    def f(x: f64[3]) -> f64[3]:
        def body(x: f64[3]) -> f64[3]:
            s : f64[3] = sin(x)
            y : f64[3] = s + s
            return y
        y : f64[3] = custom(x, body=body, label='twice')
        return y

After::

    def f(x: f64[3]) -> f64[3]:
        s : f64[3] = sin(x)
        y : f64[3] = s + s
        return y

A derivative exposes the rule: its forward function stands in the place of the body, and its results
go through a `with_rule`, whose gradient is the rule's backward function. Here that keeps a cosine::

    def f(x: f64[3]) -> f64[3]:
        s : f64[3] = sin(x)
        c : f64[3] = cos(x)
        a : f64[3] = s + s
        y : f64[3] = with_rule(a, c, x, outs=1, kept=(1,), label='twice', rule=rule)
        return y

Once the derivative is there, `y` is `a`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import UnionType

from ..ir.builder import Builder, inherit
from ..ir.closing import duplicate
from ..ir.core import Atom, Eqn, Function, Mark, Value, walk
from ..ir.errors import DifferentiationError
from ..ir.op import Op
from ..ir.ops.cond import Cond
from ..ir.ops.control import Call, Loop
from ..ir.ops.custom import Custom, Rule, WithRule, bound
from ..ir.ops.recursion import Recur
from ..tracer.report import located, restated
from .rule_pairs import tangent_pair

Replace = Callable[[Builder, Eqn, tuple[Atom, ...]], Sequence[Atom] | None]
Within = Callable[[Eqn], list[Function]]


def replaced(function: Function, replace: Replace, within: Within) -> Function:
    """Return a function with some equations replaced; `within(eqn)` are the new regions of one.

    `replace` writes into a builder, and returns what the results have become; None: no change.
    """
    builder = Builder()
    scope: dict[Atom, Atom] = {}
    for eqn in function.eqns:
        operands = tuple([scope.get(a, a) for a in eqn.operands])
        made = replace(builder, eqn, operands)
        if made is not None:
            for old, new in zip(eqn.results, made, strict=True):
                scope[old] = new
                inherit(old, new)
            continue
        op = eqn.op.with_regions(within(eqn)) if eqn.op.regions else eqn.op
        builder.add(Eqn(op, operands, eqn.results, eqn.provenance))
    return function.replace(
        eqns=builder.eqns,
        results=[scope.get(r, r) for r in function.results],
        result_kinds=function.result_kinds,
    )


def written(
    builder: Builder, function: Function, operands: Sequence[Atom], marks: tuple[Mark, ...]
) -> tuple[Atom, ...]:
    """Write a function into a builder, within checkpoints; return its results."""
    start = len(builder.eqns)
    made = builder.inline(duplicate(function), operands)
    for eqn in builder.eqns[start:] if marks else ():
        eqn.provenance = eqn.provenance.with_marks((*marks, *eqn.provenance.marks))
    return made


@dataclass(frozen=True)
class Inline:
    """Write functions with rules in line: nobody has asked for a derivative of them."""

    name = "inline"

    def __call__(self, function: Function) -> Function:
        if not holds(function, Custom | WithRule):
            return function
        return replaced(function, _plain, lambda eqn: [self(r) for r in eqn.op.regions])


def _plain(builder: Builder, eqn: Eqn, operands: tuple[Atom, ...]) -> Sequence[Atom] | None:
    op = eqn.op
    if isinstance(op, Custom):
        body = Inline()(bound(op.body, op.dims))
        return written(builder, body, operands, eqn.provenance.marks)
    return _without_rule(builder, eqn, operands)


def without_rules(function: Function) -> Function:
    """Return a derivative without the `with_rule`s in it: they have been asked for their rules."""
    if not holds(function, WithRule):
        return function
    return replaced(function, _without_rule, lambda eqn: [without_rules(r) for r in eqn.op.regions])


def _without_rule(builder: Builder, eqn: Eqn, operands: tuple[Atom, ...]) -> Sequence[Atom] | None:
    return operands[: eqn.op.outs] if isinstance(eqn.op, WithRule) else None


def holds(function: Function, ops: type[Op] | UnionType) -> bool:
    """Whether an equation of a function, or of regions in it, has an op of a class."""
    return any(isinstance(eqn.op, ops) for eqn in walk(function))


def exposed(function: Function, wrt: Sequence[Value], is_forward: bool = False) -> Function:
    """Return a function whose rules are exposed where derivatives with respect to `wrt` flow.

    With `is_forward` these are tangents.
    """
    return _exposed(function, wrt, is_forward) if holds(function, Custom) else function


def _exposed(function: Function, wrt: Sequence[Value], is_forward: bool) -> Function:
    active = {v for v in wrt if v.type.is_inexact}
    regions: dict[Eqn, list[Function]] = {}
    for eqn in function.eqns:
        flows = [a in active for a in eqn.operands]
        if True in flows and (
            eqn.op.has_gradient or eqn.op.regions or isinstance(eqn.op, Call | Recur)
        ):
            active.update([r for r in eqn.results if r.type.is_inexact])
            if not isinstance(eqn.op, Custom):
                regions[eqn] = [
                    exposed(r, p, is_forward)
                    for r, p in zip(eqn.op.regions, _active_params(eqn, flows), strict=True)
                ]

    def replace(builder: Builder, eqn: Eqn, operands: tuple[Atom, ...]) -> Sequence[Atom] | None:
        op = eqn.op
        if not isinstance(op, Custom) or op.rule is None:
            return None
        flows = [a in active for a in eqn.operands]
        if True not in flows:
            return None
        if op.rule.is_busy:  # it applies its own function to tangents, in which that is linear
            body = bound(op.body, op.dims)
            wrt = [p for p, f in zip(body.params, flows, strict=True) if f]
            body = exposed(body, wrt, is_forward)
            return written(builder, body, operands, eqn.provenance.marks)
        return _expose(builder, eqn, op, op.rule, operands, is_forward)

    return replaced(function, replace, lambda eqn: regions.get(eqn) or list(eqn.op.regions))


def _active_params(eqn: Eqn, flows: Sequence[bool]) -> list[list[Value]]:
    """Return for each region of an equation the parameters through which derivatives flow."""
    from .reverse_loop import active_operands

    op = eqn.op
    if isinstance(op, Loop):
        carries, captured = active_operands(op, flows)
        head = 1 if op.ranged else 0
        return [[r.params[head + k] for k in (*carries, *captured)] for r in op.regions]
    if isinstance(op, Cond):
        return [[p for p, f in zip(r.params, flows[1:], strict=True) if f] for r in op.regions]
    return [list(r.params) for r in op.regions]


def _expose(
    builder: Builder,
    eqn: Eqn,
    op: Custom,
    rule: Rule,
    operands: tuple[Atom, ...],
    is_forward: bool,
) -> Sequence[Atom]:
    marks = eqn.provenance.marks
    try:
        pair = tangent_pair(rule, op.label, len(eqn.results)) if is_forward else rule.pair()
    except DifferentiationError as error:
        location = eqn.provenance.location
        if location is None or error.is_explained:
            raise
        raise restated(error, located(str(error), location)) from None
    given = operands
    if is_forward:
        # The rule's forward function has no tangents of its own.
        builder.provenance = eqn.provenance
        stop = WithRule(len(operands), (), op.label)
        given = builder.append(stop, operands, [a.type for a in operands])
    made = written(builder, bound(pair.forward, op.dims), given, marks)
    outs = made[: len(eqn.results)]
    places: dict[Atom, int] = {a: -1 - k for k, a in enumerate(outs)}
    more: list[Atom] = []
    for residual in made[len(outs) :]:
        if residual not in places:
            places[residual] = len(outs) + len(more)
            more.append(residual)
    kept = tuple([places[r] for r in made[len(outs) :]])
    ruled = WithRule(len(outs), kept, op.label, rule, op.dims, is_forward)
    builder.provenance = eqn.provenance
    return builder.append(ruled, (*outs, *more, *operands), [a.type for a in outs])


__all__ = ["Inline", "exposed", "holds", "without_rules"]
