"""The derivative of an equation along tangents: the transpose of its own gradient rule.

A gradient rule is linear in the cotangents of the results. It is traced on symbolic ones, and
reverse mode of what was traced, with respect to these and seeded with tangents of the operands,
gives the tangents of the results. So forward mode needs no rules of its own, and agrees with
reverse mode by construction: <ct, J t> = <ct J, t>, with the pairing Re(sum(u * v)).

For `y : f64[3] = tanh(x)` the rule and what is made of it are::

    def rule(y: f64[3], dy: f64[3]) -> f64[3]:
        a  : f64[3] = y * y
        b  : f64[3] = 1.0 - a
        dx : f64[3] = dy * b
        return dx

    def tanh_jvp(x: f64[3], y: f64[3], x_dot: f64[3]) -> f64[3]:
        a     : f64[3] = square(y)
        b     : f64[3] = 1.0 - a
        y_dot : f64[3] = x_dot * b
        return y_dot

Where that is shorter, an op that is linear is applied to the tangents itself, and the rule of an
elementwise op, which multiplies each entry, is applied to them in place of cotangents.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..ir.builder import Builder
from ..ir.core import Atom, Eqn, Function, Literal, Value
from ..ir.op import Op, Scatter, Zero
from ..ir.ops.custom import WithRule
from ..ir.ops.elementwise import add
from ..ir.types import ArrayType, Kind, Layout
from ..tracer.array import computed, wrap
from ..tracer.functions.create import zeros
from ..tracer.state import Trace
from .dce import Dce
from .keeping import nothing
from .reverse import Adjoint, active_values, fit
from .rewrite import Class
from .rule_pairs import pushed
from .simplify import Simplify

Operand = Literal | tuple[ArrayType, Layout]
"""A constant, of which a rule may make less, or what is known of a value."""


class Pushforward(NamedTuple):
    """How an equation's tangents are made.

    `function` takes the operands, the results and the tangents of the operands that have one. It
    returns the tangents of those results that `flows` marks. `reads_results` says whether it has
    to come after the equation itself.
    """

    function: Function
    flows: tuple[bool, ...]
    reads_results: bool


LARGEST = 16
"""Elements of the largest constant that a rule is traced with: for one, it is made anew."""


def pushforward(eqn: Eqn, needs: tuple[bool, ...]) -> Pushforward:
    """Return how the tangents of an equation's results are made.

    Parameters
    ----------
    needs
        Which operands have a tangent.

    Raises
    ------
    NotImplementedError
        Where the op has no gradient rule, or one that cannot be transposed.
    """
    if isinstance(eqn.op, WithRule):
        return Pushforward(*pushed(eqn, needs), reads_results=True)
    operands = tuple(
        [
            a if isinstance(a, Literal) and a.type.size <= LARGEST else (a.type, a.layout)
            for a in eqn.operands
        ]
    )
    results = tuple([(r.type, r.layout) for r in eqn.results])
    return _pushforward(_Case(eqn.op, needs, operands, results))


class _Case(NamedTuple):
    """What is known of equations that have the same pushforward."""

    op: Op
    needs: tuple[bool, ...]
    operands: tuple[Operand, ...]
    results: tuple[tuple[ArrayType, Layout], ...]

    @property
    def is_real(self) -> bool:
        """Whether no complex numbers are in it."""
        types = [o.type if isinstance(o, Literal) else o[0] for o in self.operands]
        types += [t for t, _ in self.results]
        return all(t.dtype.kind == "f" for t in types if t.is_inexact)


@functools.lru_cache(maxsize=1024)
def _pushforward(case: _Case) -> Pushforward:
    op, found = case.op, [_transposed(case)]
    if len(found[0].function.eqns) > 1:
        if op.is_linear:
            found.append(_itself(case))
        if op.is_elementwise and case.is_real and len(case.results) == 1:
            found.append(_diagonal(case))
    return min(found, key=_cost)


def _cost(found: Pushforward) -> tuple[int, int]:
    """Return the work of an application, in operations and entries written, and its equations."""
    eqns = found.function.eqns
    work = sum(
        eqn.op.flops([a.type for a in eqn.operands], [r.type for r in eqn.results])
        + sum(r.type.size for r in eqn.results)
        for eqn in eqns
        if not eqn.op.is_view
    )
    return work, len(eqns)


class _Making:
    """A pushforward under construction, with its parameters."""

    def __init__(self, case: _Case) -> None:
        self.case = case
        self.builder = Builder()
        self.params = [
            Value(o.type) if isinstance(o, Literal) else Value(o[0], layout=o[1])
            for o in case.operands
        ]
        pairs = zip(case.operands, self.params, strict=True)
        self.operands: list[Atom] = [o if isinstance(o, Literal) else p for o, p in pairs]
        self.results = [Value(t, layout=layout) for t, layout in case.results]
        self.tangents = {k: Value(self.params[k].type) for k, need in enumerate(case.needs) if need}
        for p in (*self.params, *self.results, *self.tangents.values()):
            self.builder.param(p)

    def rule(
        self,
        needs: tuple[bool, ...],
        seeds: dict[int, Value],
        trace: Trace,
        fitted: ArrayType | None = None,
    ) -> dict[int, Atom]:
        """Trace the gradient rule; return the cotangents of the operands, or all as `fitted`."""
        cts: list[Any] = []
        for k, r in enumerate(self.results):
            if k in seeds:
                cts.append(computed(seeds[k], trace))
            else:
                cts.append(Zero(r.type) if r.type.is_static else zeros(r.type.shape, r.type.dtype))
        made = self.case.op.vjp(
            needs,
            tuple(cts),
            tuple([computed(r, trace) for r in self.results]),
            *[computed(a, trace) for a in self.operands],
        )
        ways: dict[int, Atom] = {}
        for k, way in enumerate(made):
            if way is None or not needs[k]:
                continue
            type = fitted or self.params[k].type
            if isinstance(way, Scatter):
                way = way.add(zeros(type.shape, type.dtype))
            ways[k] = fit(way, type)._atom
        return ways

    def finished(self, made: Sequence[Atom], flows: tuple[bool, ...]) -> Pushforward:
        """Return the pushforward that returns `made`."""
        builder = self.builder
        function = Function(f"{self.case.op.name}_jvp", builder.params, builder.eqns, made)
        function = Dce()(Simplify(Class.REASSOCIATE)(Dce()(function)))
        known = set(function.params)
        read: set[Atom] = set(function.results)
        for eqn in function.eqns:
            known.update(eqn.results)
            read.update(eqn.operands)
        if any(isinstance(a, Value) and a not in known for a in read):
            raise NotImplementedError(
                "its gradient rule is not seen to be linear in the cotangents, so that it serves "
                "reverse mode alone"
            )
        return Pushforward(function, flows, not read.isdisjoint(self.results))


def _transposed(case: _Case) -> Pushforward:
    """Return the transpose of the gradient rule."""
    making = _Making(case)
    builder = making.builder
    seeds = {k: Value(t) for k, (t, _) in enumerate(case.results) if t.is_inexact}
    with Trace(builder, None) as trace:
        ways = making.rule(case.needs, seeds, trace)
        eqns = list(builder.eqns)
        rule = Function("rule", [*builder.params, *seeds.values()], eqns, [])
        adjoint = Adjoint(trace, active_values(rule, list(seeds.values())))
        for k, way in ways.items():
            if isinstance(way, Value) and way in adjoint.active:
                adjoint.accumulate(way, wrap(making.tangents[k], Kind.ARRAY, trace))
        adjoint.sweep(eqns, {})
        found = {k: adjoint.cotangents.get(seed) for k, seed in seeds.items()}
    # The rule itself is not run, whatever it would do with cotangents.
    late: set[Atom] = set(seeds.values())
    left: list[Eqn] = []
    for eqn in builder.eqns:
        if late.isdisjoint(eqn.operands):
            left.append(eqn)
        else:
            late.update(eqn.results)
    builder.eqns[:] = left
    flows = tuple([found.get(k) is not None for k in range(len(case.results))])
    made = [ct._atom for ct in found.values() if ct is not None]
    return making.finished(made, flows)


def _itself(case: _Case) -> Pushforward:
    """Return a linear op itself, applied to tangents."""
    making = _Making(case)
    with Trace(making.builder, None) as trace:
        given = [
            making.tangents.get(k) or (nothing(a.type, trace) if a.type.is_inexact else a)
            for k, a in enumerate(making.operands)
        ]
        made = making.builder.emit(case.op, given)
    return making.finished(made, (True,) * len(made))


def _diagonal(case: _Case) -> Pushforward:
    """Return the gradient rule of an elementwise op, applied to tangents.

    Over the reals it multiplies each entry, and so it is its own transpose.
    """
    making = _Making(case)
    ((type, _),) = case.results
    total: Any = None
    with Trace(making.builder, None) as trace:
        for k, tangent in making.tangents.items():
            alone = tuple([j == k for j in range(len(case.needs))])
            way = making.rule(alone, {0: tangent}, trace, type).get(k)
            if way is not None:
                total = way if total is None else making.builder.one(add, total, way)
    made = [] if total is None else [total]
    return making.finished(made, (total is not None,))


__all__ = ["Pushforward", "pushforward"]
