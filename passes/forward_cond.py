"""The tangents of a branch: each side returns them beside its results.

Before::

    def f(p: bool, x: f64[3]) -> f64[3]:
        def then(x: f64[3]) -> f64[3]:
            a : f64[3] = sin(x)
            return a
        def otherwise(x: f64[3]) -> f64[3]:
            return x
        r = cond(p, then, otherwise, captured=(x,))
        return r

After, by `forward` with respect to `x`::

    def f(p: bool, x: f64[3], x_dot: f64[3]) -> (f64[3], f64[3]):
        def then(x: f64[3], x_dot: f64[3]) -> (f64[3], f64[3]):
            a     : f64[3] = sin(x)
            b     : f64[3] = cos(x)
            a_dot : f64[3] = x_dot * b
            return a, a_dot
        def otherwise(x: f64[3], x_dot: f64[3]) -> (f64[3], f64[3]):
            return x, x_dot
        r, r_dot = cond(p, then, otherwise, captured=(x, x_dot))
        return r, r_dot
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ir.binding import instantiated
from ..ir.builder import Builder
from ..ir.closing import Open, close_together
from ..ir.core import Atom, Eqn, Function, Value
from ..ir.ops.cond import Cond
from ..tracer.state import Trace
from .tangent_flow import Flow, Ports

if TYPE_CHECKING:
    from .forward import Forward


def cond_jvp(outer: Forward, eqn: Eqn, op: Cond, ports: Ports, scope: dict[Atom, Atom]) -> None:
    """Emit a branch whose sides return tangents too, of the results in `ports`."""
    captured = sorted(k - 1 for k in ports.operands)
    moving = sorted(ports.results)
    opened = [_branch(outer, instantiated(b, op.dims), captured, moving) for b in op.branches]
    closed, _, dims = close_together(opened)
    operands = [scope.get(a, a) for a in eqn.operands]
    tangents = [outer.tangent(eqn.operands[1 + k]) for k in captured]
    count = len(eqn.results)
    flows = {k: count + n for n, k in enumerate(moving)}
    made = Cond(tuple(closed), dims)
    outer.emit_both(eqn, made, [*operands, *tangents], range(count), flows, scope)


def _branch(outer: Forward, branch: Function, captured: list[int], moving: list[int]) -> Open:
    from .forward import Forward

    builder = Builder()
    scope: dict[Atom, Atom] = {}
    wrt = [branch.params[k] for k in captured]
    with Trace(builder, outer.trace) as trace:
        sweep = Forward(trace, Flow(outer.labels).active(branch, wrt), outer.labels)
        for p in branch.params:
            scope[p] = builder.param(Value(p.type, p.hint, p.cotangent_of, p.layout))
        for p in wrt:
            builder.param(sweep.start(p, scope[p]))  # type: ignore[arg-type]
        sweep.sweep(branch.eqns, scope)
        results = [scope.get(r, r) for r in branch.results]
        tangents = [sweep.tangent(branch.results[k]) for k in moving]
    return Open(branch.name, builder.params, builder.eqns, [*results, *tangents])


__all__ = ["cond_jvp"]
