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
from ..ir.closing import close_together
from ..ir.core import Atom, Eqn
from ..ir.ops.cond import Cond
from .tangent_flow import Places, Ports

if TYPE_CHECKING:
    from .forward import Forward


def cond_jvp(outer: Forward, eqn: Eqn, op: Cond, ports: Ports, scope: dict[Atom, Atom]) -> None:
    """Emit a branch whose sides return tangents too, of the results in `ports`."""
    count = len(eqn.results)
    params = Places([k - 1 for k in ports.operands], len(eqn.operands) - 1)
    results = Places(ports.results, count)
    opened = [outer.region(instantiated(b, op.dims), params, results) for b in op.branches]
    closed, _, dims = close_together(opened)
    operands = Places(ports.operands, len(eqn.operands))
    outer.emit_both(eqn, Cond(tuple(closed), dims), operands, results, count, scope)


__all__ = ["cond_jvp"]
