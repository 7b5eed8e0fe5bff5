"""Taylor mode of loops, branches and recursions, and of tapes: coefficients stand beside values.

A region takes the coefficients of what moves as parameters of their own and returns those of its
results, so that a loop carries them. What an iteration keeps on a tape has its coefficients on
tapes of their own, pushed and popped together.

Before::

    def f(x: f64, w: f64) -> f64:
        def body(i: i64, x: f64, w: f64, *, dims=(i,)) -> f64:
            y : f64 = x * w
            return y
        y = loop(body, range(10), carry=(x,), captured=(w,))
        return y

After, to order 1, where both move::

    def f(x: f64, w: f64, x1: f64, w1: f64) -> (f64, f64):
        def body(i: i64, x: f64, x1: f64, w: f64, w1: f64, *, dims=(i,)) -> (f64, f64):
            y  : f64 = x * w
            a  : f64 = x * w1
            b  : f64 = x1 * w
            y1 : f64 = a + b
            return y, y1
        y, y1 = loop(body, range(10), carry=(x, x1), captured=(w, w1))
        return y, y1
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..ir.builder import Builder
from ..ir.core import Atom, Eqn, Function, Value
from ..ir.ops.cond import Cond
from ..ir.ops.control import Loop
from ..ir.ops.recursion import Pack, Recur, Recursion, Unpack
from ..ir.types import is_tape
from .expansion import Expander
from .reverse import no_rule
from .series import Given, Series
from .tangent_flow import Flow, Places, Ports

if TYPE_CHECKING:
    from .taylor import Propagation


def kept_apart(
    to: Propagation, eqn: Eqn, operands: Sequence[Series], builder: Builder
) -> list[Series]:
    """Return the series of what a tape or record gives: there is one for each order."""
    op = eqn.op
    found: list[list[Atom | None]] = [
        [a] for a in builder.emit(op, [s.first(builder) for s in operands])
    ]
    moving = [k for k, r in enumerate(eqn.results) if r.type.is_inexact]
    if isinstance(op, Unpack):
        op = Unpack(tuple([op.types[k] for k in moving]))
    if isinstance(op, Pack):
        operands = [s for s in operands if s.type.is_inexact]
    parts = [to.filled(builder, s) for s in operands]
    for k in range(to.order):
        made = builder.emit(op, [part[k] for part in parts])
        for place, atom in zip(moving, made, strict=True):
            found[place].append(atom)
    return [Given(f) for f in found]


def region_series(
    to: Propagation, eqn: Eqn, ports: Ports, operands: Sequence[Series], builder: Builder
) -> list[Series]:
    """Return the series of the results of an equation that holds regions, or calls one.

    Raises
    ------
    DifferentiationError
        For a call of another function of the module.
    """
    op = eqn.op
    if isinstance(op, Loop):
        return _loop(to, op, ports, operands, builder)
    if isinstance(op, Cond):
        return _cond(to, op, ports, operands, builder)
    if isinstance(op, Recursion):
        return _recursion(to, op, ports, operands, builder)
    if isinstance(op, Recur):
        return _recur(to, op, ports, operands, builder)
    raise no_rule(op, eqn.provenance)


def _series(places: Places, flat: Sequence[Atom], count: int) -> list[Series]:
    """Return `count` values with their coefficients, and what stands after them."""
    return [Given(part) for part in places.separated(flat, count)]


def _passed(
    to: Propagation, places: Places, operands: Sequence[Series], builder: Builder
) -> list[Atom]:
    """Return series as values."""
    firsts = [s.first(builder) for s in operands]
    return places.joined(firsts, lambda k: to.filled(builder, operands[k]))


def _body(to: Propagation, function: Function, params: Places, results: Places) -> Function:
    """Return a region that takes and returns coefficients."""
    builder = Builder()
    heads = [p.fresh() for p in function.params]
    more = {k: [function.params[k].fresh() for _ in range(to.order)] for k in params.moving}
    scope: dict[Atom, Series] = {
        p: Given([heads[k], *more.get(k, [])]) for k, p in enumerate(function.params)
    }
    active = Flow(to.labels).active(function, _moved(function, params, results))
    found = to.write(function, Expander(builder), scope, active)
    return Function(
        function.name,
        params.joined(heads, lambda k: more[k]),
        builder.eqns,
        _passed(to, results, found, builder),
        dims=function.dims,
    )


def _moved(function: Function, params: Places, results: Places) -> list[Value]:
    """Return the parameters that have coefficients, and the tapes among the results."""
    tapes = [r for k in results.moving if is_tape((r := function.results[k]).type)]
    return [
        *[function.params[k] for k in params.moving],
        *[t for t in tapes if isinstance(t, Value)],
    ]


def _loop(
    to: Propagation, op: Loop, ports: Ports, operands: Sequence[Series], builder: Builder
) -> list[Series]:
    shift = 1 if op.ranged else 0
    inside = [k - op.head + shift for k in ports.operands]
    params = Places(inside, op.carries + shift, to.order)
    results = Places(ports.results, op.carries, to.order)
    test = op.test
    if test is not None:
        unread = test.params
        more = params.joined(unread, lambda k: [unread[k].fresh() for _ in range(to.order)])
        test = test.replace(params=more)
    body = _body(to, op.body, params, results)
    made = replace(op, body=body, test=test, carries=results.early)
    given = Places(ports.operands, op.head + op.carries, to.order)
    flat = builder.emit(made, _passed(to, given, operands, builder))
    return _series(results, flat, len(op.body.results))


def _cond(
    to: Propagation, op: Cond, ports: Ports, operands: Sequence[Series], builder: Builder
) -> list[Series]:
    count = len(op.branches[0].results)
    params = Places([k - 1 for k in ports.operands], len(operands) - 1, to.order)
    results = Places(ports.results, count, to.order)
    branches = tuple([_body(to, branch, params, results) for branch in op.branches])
    given = Places(ports.operands, len(operands), to.order)
    made = replace(op, branches=branches)
    return _series(results, builder.emit(made, _passed(to, given, operands, builder)), count)


def _recursion(
    to: Propagation, op: Recursion, ports: Ports, operands: Sequence[Series], builder: Builder
) -> list[Series]:
    params = Places(ports.operands, op.carries, to.order)
    results = Places(ports.results, op.carries, to.order)
    outside, to.labels = to.labels, {**to.labels, op.label: ports}
    body = _body(to, op.body, params, results)
    to.labels = outside
    made = replace(op, body=body, carries=params.early)
    flat = builder.emit(made, _passed(to, params, operands, builder))
    return _series(results, flat, len(op.body.results))


def _recur(
    to: Propagation, op: Recur, ports: Ports, operands: Sequence[Series], builder: Builder
) -> list[Series]:
    params = Places(ports.operands, op.carries, to.order)
    results = Places(ports.results, op.carries, to.order)
    types = tuple(results.joined(op.types, lambda k: [op.types[k]] * to.order))
    made = replace(op, types=types, carries=params.early)
    flat = builder.emit(made, _passed(to, params, operands, builder))
    return _series(results, flat, len(op.types))


__all__ = ["kept_apart", "region_series"]
