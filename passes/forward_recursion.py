"""The tangents of a recursion: each activation takes and returns them beside its values.

Before::

    def f(x: f64) -> f64:
        def g(x: f64) -> f64:
            p : bool = x < 1.0
            def then(x: f64) -> f64:
                return x
            def otherwise(x: f64) -> f64:
                a : f64 = x * x
                b : f64 = recur(g, a)
                return b
            r = cond(p, then, otherwise, captured=(x,))
            return r
        y = recursion(g, x)
        return y

After, by `forward` with respect to `x`::

    def f(x: f64, x_dot: f64) -> (f64, f64):
        def g(x: f64, x_dot: f64) -> (f64, f64):
            p : bool = x < 1.0
            def then(x: f64, x_dot: f64) -> (f64, f64):
                return x, x_dot
            def otherwise(x: f64, x_dot: f64) -> (f64, f64):
                a     : f64 = x * x
                xx    : f64 = x_dot * x
                a_dot : f64 = xx + xx
                b, b_dot = recur(g, a, a_dot, types=(f64[()], f64[()]))
                return b, b_dot
            r, r_dot = cond(p, then, otherwise, captured=(x, x_dot))
            return r, r_dot
        y, y_dot = recursion(g, x, x_dot)
        return y, y_dot
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ..ir.binding import instantiated
from ..ir.builder import Builder
from ..ir.closing import Open, close_together
from ..ir.core import Atom, Eqn, Function, Value
from ..ir.ops.recursion import Recur, Recursion
from ..tracer.state import Trace
from .tangent_flow import Flow, Ports

if TYPE_CHECKING:
    from .forward import Forward

T = TypeVar("T")


@dataclass(frozen=True)
class _Order:
    """Where tangents stand: those of carries right after the carries, the others last."""

    carries: int
    numbers: tuple[int, ...]

    @classmethod
    def of(cls, carries: int, numbers: Iterable[int]) -> _Order:
        return cls(carries, tuple(sorted(numbers)))

    @property
    def early(self) -> int:
        """The number of carries that have a tangent."""
        return sum(k < self.carries for k in self.numbers)

    def joined(self, own: Sequence[T], tangents: Sequence[T]) -> list[T]:
        """Return values with their tangents."""
        cut, early = self.carries, self.early
        return [*own[:cut], *tangents[:early], *own[cut:], *tangents[early:]]

    def places(self, count: int) -> list[int]:
        """Return where each of `count` values stands."""
        return [k if k < self.carries else k + self.early for k in range(count)]

    def tangents(self, count: int) -> dict[int, int]:
        """Return where the tangent of each of `count` values stands, if it has one."""
        joined = self.joined([None] * count, self.numbers)
        return {k: n for n, k in enumerate(joined) if k is not None}


def recursion_jvp(
    outer: Forward, eqn: Eqn, op: Recursion, ports: Ports, scope: dict[Atom, Atom]
) -> None:
    """Emit a recursion whose activations take and return tangents too."""
    labels = {**outer.labels, op.label: ports}
    body = _body(outer, instantiated(op.body, op.dims), op, ports, labels)
    (closed,), _, dims = close_together([body])
    carries = op.carries + _Order.of(op.carries, ports.operands).early
    _call(outer, eqn, op, ports, scope, Recursion(closed, op.label, carries, dims))


def recur_jvp(outer: Forward, eqn: Eqn, op: Recur, ports: Ports, scope: dict[Atom, Atom]) -> None:
    """Emit a call within a recursion, with tangents."""
    order = _Order.of(op.carries, ports.results)
    types = tuple(order.joined(op.types, [op.types[k] for k in order.numbers]))
    carries = op.carries + order.early
    _call(outer, eqn, op, ports, scope, Recur(op.label, types, carries, op.ordered))


def _call(
    outer: Forward,
    eqn: Eqn,
    op: Recursion | Recur,
    ports: Ports,
    scope: dict[Atom, Atom],
    made: Recursion | Recur,
) -> None:
    operands = _Order.of(op.carries, ports.operands)
    results = _Order.of(op.carries, ports.results)
    own = [scope.get(a, a) for a in eqn.operands]
    tangents = [outer.tangent(eqn.operands[k]) for k in operands.numbers]
    count = len(eqn.results)
    outer.emit_both(
        eqn,
        made,
        operands.joined(own, tangents),
        results.places(count),
        results.tangents(count),
        scope,
    )


def _body(
    outer: Forward, body: Function, op: Recursion, ports: Ports, labels: dict[str, Ports]
) -> Open:
    from .forward import Forward

    operands = _Order.of(op.carries, ports.operands)
    results = _Order.of(op.carries, ports.results)
    builder = Builder()
    scope: dict[Atom, Atom] = {}
    wrt = [body.params[k] for k in operands.numbers]
    with Trace(builder, outer.trace) as trace:
        sweep = Forward(trace, Flow(labels).active(body, wrt), labels)
        own = [Value(p.type, p.hint, p.cotangent_of, p.layout) for p in body.params]
        scope.update(zip(body.params, own, strict=True))
        tangents = [sweep.start(p, own[k]) for k, p in zip(operands.numbers, wrt, strict=True)]
        for p in operands.joined(own, tangents):
            builder.param(p)
        sweep.sweep(body.eqns, scope)
        after: list[Atom] = [scope.get(r, r) for r in body.results]
        moved = [sweep.tangent(body.results[k]) for k in results.numbers]
    return Open(body.name, builder.params, builder.eqns, results.joined(after, moved))


__all__ = ["recur_jvp", "recursion_jvp"]
