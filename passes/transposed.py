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
    return _pushforward(eqn.op, needs, operands, tuple([(r.type, r.layout) for r in eqn.results]))


@functools.lru_cache(maxsize=1024)
def _pushforward(
    op: Op,
    needs: tuple[bool, ...],
    operands: tuple[Operand, ...],
    results: tuple[tuple[ArrayType, Layout], ...],
) -> Pushforward:
    found = [_transposed(op, needs, operands, results)]
    if len(found[0].function.eqns) > 1:
        if op.is_linear:
            found.append(_itself(op, needs, operands, results))
        types = [*[_type(o) for o in operands], *[t for t, _ in results]]
        is_real = all(t.dtype.kind == "f" for t in types if t.is_inexact)
        if op.is_elementwise and is_real and len(results) == 1:
            found.append(_diagonal(op, needs, operands, results))
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


class _Signature:
    """The parameters of a pushforward under construction."""

    def __init__(
        self,
        builder: Builder,
        needs: tuple[bool, ...],
        operands: Sequence[Operand],
        results: Sequence[tuple[ArrayType, Layout]],
    ) -> None:
        self.params = [
            Value(o.type) if isinstance(o, Literal) else Value(o[0], layout=o[1]) for o in operands
        ]
        self.operands: list[Atom] = [
            o if isinstance(o, Literal) else p for o, p in zip(operands, self.params, strict=True)
        ]
        self.results = [Value(t, layout=layout) for t, layout in results]
        self.tangents = {k: Value(self.params[k].type) for k, need in enumerate(needs) if need}
        for p in (*self.params, *self.results, *self.tangents.values()):
            builder.param(p)


def _transposed(
    op: Op,
    needs: tuple[bool, ...],
    operands: Sequence[Operand],
    results: Sequence[tuple[ArrayType, Layout]],
) -> Pushforward:
    """Return the transpose of the gradient rule."""
    builder = Builder()
    signature = _Signature(builder, needs, operands, results)
    seeds = {k: Value(t) for k, (t, _) in enumerate(results) if t.is_inexact}
    with Trace(builder, None) as trace:
        ways = _rule(op, needs, signature, seeds, trace)
        eqns = list(builder.eqns)
        rule = Function("rule", [*builder.params, *seeds.values()], eqns, [])
        adjoint = Adjoint(trace, active_values(rule, list(seeds.values())))
        for k, way in ways.items():
            if isinstance(way, Value) and way in adjoint.active:
                adjoint.accumulate(way, wrap(signature.tangents[k], Kind.ARRAY, trace))
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
    flows = tuple([found.get(k) is not None for k in range(len(results))])
    made = [ct._atom for ct in found.values() if ct is not None]
    return _finished(op, builder, signature, made, flows)


def _rule(
    op: Op,
    needs: tuple[bool, ...],
    signature: _Signature,
    seeds: dict[int, Value],
    trace: Trace,
    fitted: ArrayType | None = None,
) -> dict[int, Atom]:
    """Trace the gradient rule; return the cotangents of the operands, or all as `fitted`."""
    cts: list[Any] = []
    for k, r in enumerate(signature.results):
        if k in seeds:
            cts.append(computed(seeds[k], trace))
        else:
            cts.append(Zero(r.type) if r.type.is_static else zeros(r.type.shape, r.type.dtype))
    made = op.vjp(
        needs,
        tuple(cts),
        tuple([computed(r, trace) for r in signature.results]),
        *[computed(a, trace) for a in signature.operands],
    )
    ways: dict[int, Atom] = {}
    for k, way in enumerate(made):
        if way is None or not needs[k]:
            continue
        type = fitted or signature.params[k].type
        if isinstance(way, Scatter):
            way = way.add(zeros(type.shape, type.dtype))
        ways[k] = fit(way, type)._atom
    return ways


def _itself(
    op: Op,
    needs: tuple[bool, ...],
    operands: Sequence[Operand],
    results: Sequence[tuple[ArrayType, Layout]],
) -> Pushforward:
    """Return a linear op itself, applied to tangents."""
    builder = Builder()
    signature = _Signature(builder, needs, operands, results)
    with Trace(builder, None) as trace:
        given = [
            signature.tangents.get(k) or (nothing(a.type, trace) if a.type.is_inexact else a)
            for k, a in enumerate(signature.operands)
        ]
        made = builder.emit(op, given)
    return _finished(op, builder, signature, made, (True,) * len(results))


def _diagonal(
    op: Op,
    needs: tuple[bool, ...],
    operands: Sequence[Operand],
    results: Sequence[tuple[ArrayType, Layout]],
) -> Pushforward:
    """Return the gradient rule of an elementwise op, applied to tangents.

    Over the reals it multiplies each entry, and so it is its own transpose.
    """
    builder = Builder()
    signature = _Signature(builder, needs, operands, results)
    ((type, _),) = results
    total: Any = None
    with Trace(builder, None) as trace:
        for k, tangent in signature.tangents.items():
            alone = tuple([j == k for j in range(len(needs))])
            seeds: dict[int, Value] = {0: tangent}
            way = _rule(op, alone, signature, seeds, trace, type).get(k)
            if way is not None:
                total = way if total is None else builder.one(add, total, way)
    made = [] if total is None else [total]
    return _finished(op, builder, signature, made, (total is not None,))


def _type(operand: Operand) -> ArrayType:
    return operand.type if isinstance(operand, Literal) else operand[0]


def _finished(
    op: Op, builder: Builder, signature: _Signature, made: Sequence[Atom], flows: tuple[bool, ...]
) -> Pushforward:
    function = Function(f"{op.name}_jvp", builder.params, builder.eqns, made)
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
    return Pushforward(function, flows, not read.isdisjoint(signature.results))


__all__ = ["Pushforward", "pushforward"]
