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

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from ..ir.builder import Builder
from ..ir.core import Atom, Eqn, Function, Value
from ..ir.ops.cond import Cond
from ..ir.ops.control import Loop
from ..ir.ops.recursion import Pack, Recur, Recursion, Unpack
from ..ir.types import is_tape
from .expansion import Expander
from .reverse import no_rule
from .series import Given, Series
from .tangent_flow import Flow, Ports

if TYPE_CHECKING:
    from .taylor import Propagation

T = TypeVar("T")


def like(value: Value) -> Value:
    """Return another value of the same type, layout and name."""
    return Value(value.type, value.hint, value.cotangent_of, value.layout)


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


class _Order:
    """Where coefficients stand: after the first `cut` values those of these, the others last."""

    def __init__(self, order: int, moving: Iterable[int], cut: int) -> None:
        self.order = order
        self.moving = frozenset(moving)
        self.cut = cut

    @property
    def early(self) -> int:
        """The number of the first values and of their coefficients."""
        return self.cut + self.order * sum(k < self.cut for k in self.moving)

    def joined(self, values: Sequence[T], more: Callable[[int], Sequence[T]]) -> list[T]:
        """Return values with their coefficients, which `more` gives by the number of the value."""
        rest = [(k, list(more(k))) for k in sorted(self.moving)]
        return [
            *values[: self.cut],
            *[x for k, part in rest if k < self.cut for x in part],
            *values[self.cut :],
            *[x for k, part in rest if k >= self.cut for x in part],
        ]

    def series(self, flat: Sequence[Atom], count: int) -> list[Series]:
        """Return `count` values with their coefficients: the inverse of `joined`."""
        numbers = self.joined(range(count), lambda k: [k] * self.order)
        groups: list[list[Atom | None]] = [[] for _ in range(count)]
        for number, atom in zip(numbers, flat, strict=True):
            groups[number].append(atom)
        return [Given(g) for g in groups]

    def passed(self, to: Propagation, operands: Sequence[Series], builder: Builder) -> list[Atom]:
        """Return series as values."""
        firsts = [s.first(builder) for s in operands]
        return self.joined(firsts, lambda k: to.filled(builder, operands[k]))


def _body(to: Propagation, function: Function, params: _Order, results: _Order) -> Function:
    """Return a region that takes and returns coefficients."""
    builder = Builder()
    heads = [like(p) for p in function.params]
    more = {k: [like(function.params[k]) for _ in range(to.order)] for k in params.moving}
    scope: dict[Atom, Series] = {
        p: Given([heads[k], *more.get(k, [])]) for k, p in enumerate(function.params)
    }
    active = Flow(to.labels).active(function, _moved(function, params, results))
    found = to.write(function, Expander(builder), scope, active)
    return Function(
        function.name,
        params.joined(heads, lambda k: more[k]),
        builder.eqns,
        results.passed(to, found, builder),
        dims=function.dims,
    )


def _moved(function: Function, params: _Order, results: _Order) -> list[Value]:
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
    params = _Order(to.order, inside, op.carries + shift)
    results = _Order(to.order, ports.results, op.carries)
    test = op.test
    if test is not None:
        unread = test.params
        test = Function(
            test.name,
            params.joined(unread, lambda k: [like(unread[k]) for _ in range(to.order)]),
            test.eqns,
            test.results,
            dims=test.dims,
        )
    body = _body(to, op.body, params, results)
    made = replace(op, body=body, test=test, carries=results.early)
    given = _Order(to.order, ports.operands, op.head + op.carries).passed(to, operands, builder)
    flat = builder.emit(made, given)
    found = results.series(flat[: len(body.results)], len(op.body.results))
    return [*found, *[Given([count]) for count in flat[len(body.results) :]]]


def _cond(
    to: Propagation, op: Cond, ports: Ports, operands: Sequence[Series], builder: Builder
) -> list[Series]:
    count = len(op.branches[0].results)
    params = _Order(to.order, [k - 1 for k in ports.operands], len(operands) - 1)
    results = _Order(to.order, ports.results, count)
    branches = tuple([_body(to, branch, params, results) for branch in op.branches])
    given = _Order(to.order, ports.operands, len(operands)).passed(to, operands, builder)
    return results.series(builder.emit(replace(op, branches=branches), given), count)


def _recursion(
    to: Propagation, op: Recursion, ports: Ports, operands: Sequence[Series], builder: Builder
) -> list[Series]:
    params = _Order(to.order, ports.operands, op.carries)
    results = _Order(to.order, ports.results, op.carries)
    outside, to.labels = to.labels, {**to.labels, op.label: ports}
    body = _body(to, op.body, params, results)
    to.labels = outside
    made = replace(op, body=body, carries=params.early)
    flat = builder.emit(made, params.passed(to, operands, builder))
    return results.series(flat, len(op.body.results))


def _recur(
    to: Propagation, op: Recur, ports: Ports, operands: Sequence[Series], builder: Builder
) -> list[Series]:
    params = _Order(to.order, ports.operands, op.carries)
    results = _Order(to.order, ports.results, op.carries)
    types = tuple(results.joined(op.types, lambda k: [op.types[k]] * to.order))
    made = replace(op, types=types, carries=params.early)
    flat = builder.emit(made, params.passed(to, operands, builder))
    return results.series(flat, len(op.types))


__all__ = ["kept_apart", "like", "region_series"]
