"""Functions with rules of the user's own: written in line, or with their rules exposed.

Before, where `double` has a rule that halves cotangents::

    def f(x: f64[3]) -> f64[3]:
        def body(x: f64[3]) -> f64[3]:
            y : f64[3] = x + x
            return y
        y : f64[3] = custom(x, body=body, label='double', rule=rule)
        return y

Exposed, for a derivative with respect to `x`; the rule's forward function keeps nothing::

    def f(x: f64[3]) -> f64[3]:
        a : f64[3] = x + x
        y : f64[3] = with_rule(a, x, outs=1, kept=(), label='double', rule=rule)
        return y
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..ir.builder import Builder, inherit
from ..ir.closing import close, duplicate
from ..ir.core import Atom, Eqn, Function, Mark, Value, walk
from ..ir.errors import DifferentiationError
from ..ir.ops.cond import Cond
from ..ir.ops.control import Call, Loop
from ..ir.ops.custom import Custom, Pair, Rule, WithRule, bound
from ..ir.ops.recursion import Recur
from ..ir.types import Kind
from .dce import Dce

Replace = Callable[[Builder, Eqn, tuple[Atom, ...]], "Sequence[Atom] | None"]
Within = Callable[[Eqn], "list[Function]"]


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
        param_kinds=function.param_kinds,
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


def holds(function: Function, ops: type[Custom | WithRule] | object) -> bool:
    """Whether an equation of a function, or of regions in it, has an op of a class."""
    return any(isinstance(eqn.op, ops) for eqn in walk(function))  # type: ignore[arg-type]


def exposed(function: Function, wrt: Sequence[Value]) -> Function:
    """Return a function whose rules are exposed where derivatives with respect to `wrt` flow."""
    return _exposed(function, wrt) if holds(function, Custom) else function


def _exposed(function: Function, wrt: Sequence[Value]) -> Function:
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
                    exposed(r, p)
                    for r, p in zip(eqn.op.regions, _active_params(eqn, flows), strict=True)
                ]

    def replace(builder: Builder, eqn: Eqn, operands: tuple[Atom, ...]) -> Sequence[Atom] | None:
        op = eqn.op
        if not isinstance(op, Custom) or op.rule is None:
            return None
        return _expose(builder, eqn, op, op.rule, operands) if _reaches(eqn, active) else None

    return replaced(function, replace, lambda eqn: regions.get(eqn) or list(eqn.op.regions))


def _reaches(eqn: Eqn, active: set[Value]) -> bool:
    return any(isinstance(a, Value) and a in active for a in eqn.operands)


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
    builder: Builder, eqn: Eqn, op: Custom, rule: Rule, operands: tuple[Atom, ...]
) -> Sequence[Atom]:
    marks = eqn.provenance.marks
    if rule.is_busy:  # a rule that applies its own function to tangents, in which it is linear
        return written(builder, bound(op.body, op.dims), operands, marks)
    pair = rule.pair()
    made = written(builder, bound(pair.forward, op.dims), operands, marks)
    outs = made[: len(eqn.results)]
    places: dict[Atom, int] = {a: -1 - k for k, a in enumerate(outs)}
    more: list[Atom] = []
    for residual in made[len(outs) :]:
        if residual not in places:
            places[residual] = len(outs) + len(more)
            more.append(residual)
    kept = tuple([places[r] for r in made[len(outs) :]])
    ruled = WithRule(len(outs), kept, op.label, rule, op.dims)
    builder.provenance = eqn.provenance
    return builder.append(ruled, (*outs, *more, *operands), [a.type for a in outs])


def transposed(
    function: Function, linear: Sequence[int], of: Sequence[int], keep: Sequence[int] = ()
) -> Function:
    """Return the transpose of a function that is linear in some of its parameters.

    It takes the other parameters and a cotangent for each of the results `of`; it returns the
    results in `keep`, and cotangents of the parameters `linear`.

    Raises
    ------
    NotLinear
        Where the transpose would read the linear parameters themselves.
    """
    from .reverse import reverse

    joint = Dce()(reverse(function, linear, seeds=of, keep=keep))
    gone = [joint.params[k] for k in linear]
    read = {a for e in joint.eqns for a in e.operands} | set(joint.results)
    if not read.isdisjoint(gone):
        raise NotLinear
    return without_params(joint, linear)


class NotLinear(Exception):
    """What should be linear in some parameters is not."""


def without_params(function: Function, positions: Sequence[int]) -> Function:
    """Return a function without parameters that nothing reads."""
    left = [k for k in range(len(function.params)) if k not in positions]
    return function.replace(
        params=[function.params[k] for k in left],
        param_kinds=[function.param_kinds[k] for k in left],
    )


class TangentRule(Rule):
    """A rule given for tangents: its transpose serves the other modes.

    `function` takes the operands and tangents of those at the positions `inexact`, and returns the
    results and tangents of those at the positions `flows`.
    """

    def __init__(
        self,
        function: Function,
        inexact: Sequence[int],
        flows: Sequence[int],
        results: int,
        failure: DifferentiationError,
    ) -> None:
        self.function = function
        self.inexact = tuple(inexact)
        self.flows = tuple(flows)
        self.results = results
        self.failure = failure
        self._pair: Pair | None = None

    def pair(self) -> Pair:
        if self._pair is None:
            self.is_busy = True
            try:
                self._pair = self._derived()
            except NotLinear:
                raise self.failure from None
            finally:
                self.is_busy = False
        return self._pair

    def _derived(self) -> Pair:
        function, count = self.function, self.results
        operands = len(function.params) - len(self.inexact)
        joint = transposed(
            function,
            range(operands, len(function.params)),
            range(count, count + len(self.flows)),
            range(count),
        )
        return cut(joint, operands, count, self.flows, self.inexact)


def cut(
    joint: Function, operands: int, results: int, flows: Sequence[int], targets: Sequence[int]
) -> Pair:
    """Cut a function of operands and cotangents where the cotangents come in.

    Parameters
    ----------
    operands, results
        How many parameters are no cotangents, and how many results no cotangents.
    flows
        The results that the cotangents belong to.
    targets
        The operands whose cotangents are returned.
    """
    seeds = joint.params[operands:]
    late: set[Atom] = set(seeds)
    parts: tuple[list[Eqn], list[Eqn]] = ([], [])
    for eqn in joint.eqns:
        is_late = not late.isdisjoint(eqn.operands)
        parts[is_late].append(eqn)
        if is_late:
            late.update(eqn.results)
    outs = joint.results[:results]
    given = dict(zip(flows, seeds, strict=True))
    cts = [given.get(k) or Value(r.type) for k, r in enumerate(outs)]
    kinds = [Kind.ARRAY if c.type.shape else Kind.SCALAR for c in cts]
    backward, residuals = close(
        f"{joint.name}_backward",
        cts,
        parts[1],
        joint.results[results:],
        dims=joint.dims,
        param_kinds=kinds,
    )
    count = len(cts)
    backward = backward.replace(
        params=[*backward.params[count:], *backward.params[:count]],
        param_kinds=[*backward.param_kinds[count:], *backward.param_kinds[:count]],
    )
    forward = Function(
        joint.name,
        joint.params[:operands],
        parts[0],
        [*outs, *residuals],
        dims=joint.dims,
        param_kinds=joint.param_kinds[:operands],
    )
    return Pair(forward, backward, tuple(targets))


__all__ = [
    "Inline",
    "NotLinear",
    "TangentRule",
    "cut",
    "exposed",
    "transposed",
    "without_params",
    "without_rules",
    "written",
]
