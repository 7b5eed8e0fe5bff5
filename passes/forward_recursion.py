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

from typing import TYPE_CHECKING

from ..ir.binding import instantiated
from ..ir.closing import close_together
from ..ir.core import Atom, Eqn
from ..ir.ops.recursion import Recur, Recursion
from .tangent_flow import Places, Ports

if TYPE_CHECKING:
    from .forward import Forward


def recursion_jvp(
    outer: Forward, eqn: Eqn, op: Recursion, ports: Ports, scope: dict[Atom, Atom]
) -> None:
    """Emit a recursion whose activations take and return tangents too."""
    params, results = _places(op, ports)
    labels = {**outer.labels, op.label: ports}
    body = outer.region(instantiated(op.body, op.dims), params, results, labels=labels)
    (closed,), _, dims = close_together([body])
    made = Recursion(closed, op.label, params.early, dims)
    outer.emit_both(eqn, made, params, results, len(eqn.results), scope)


def recur_jvp(outer: Forward, eqn: Eqn, op: Recur, ports: Ports, scope: dict[Atom, Atom]) -> None:
    """Emit a call within a recursion, with tangents."""
    params, results = _places(op, ports)
    types = tuple(results.joined(op.types, lambda k: [op.types[k]]))
    made = Recur(op.label, types, params.early, op.ordered)
    outer.emit_both(eqn, made, params, results, len(eqn.results), scope)


def _places(op: Recursion | Recur, ports: Ports) -> tuple[Places, Places]:
    """Return where the tangents of arguments and of results stand."""
    return Places(ports.operands, op.carries), Places(ports.results, op.carries)


__all__ = ["recur_jvp", "recursion_jvp"]
