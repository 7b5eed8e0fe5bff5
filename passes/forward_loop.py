"""The tangents of a loop: it carries them beside its carries, and stacks those of its outputs.

No memory grows with the number of iterations, and the range and the test are the loop's own.

Before::

    def f(h0: f64[3], w: f64[3]) -> f64[3]:
        def body(i: i64, h: f64[3], w: f64[3], *, dims=(i,)) -> f64[3]:
            a : f64[3] = h * w
            return a
        r = loop(body, range(10), carry=(h0,), captured=(w,))
        return r

After, by `forward` with respect to both parameters::

    def f(h0: f64[3], w: f64[3], h0_dot: f64[3], w_dot: f64[3]) -> (f64[3], f64[3]):
        def body(
                i: i64, h: f64[3], h_dot: f64[3], w: f64[3], w_dot: f64[3], *, dims=(i,),
        ) -> (f64[3], f64[3]):
            a     : f64[3] = h * w
            b     : f64[3] = w_dot * h
            c     : f64[3] = h_dot * w
            a_dot : f64[3] = b + c
            return a, a_dot
        r, r_dot = loop(body, range(10), carry=(h0, h0_dot), captured=(w, w_dot))
        return r, r_dot
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..ir.closing import Open, close_together
from ..ir.core import Atom, Eqn, Function, Value
from ..ir.ops.control import Loop
from .keeping import with_outer_dims
from .tangent_flow import Places, Ports

if TYPE_CHECKING:
    from .forward import Forward


def loop_jvp(outer: Forward, eqn: Eqn, op: Loop, ports: Ports, scope: dict[Atom, Atom]) -> None:
    """Emit a loop that carries tangents too, of the operands and results in `ports`."""
    op = with_outer_dims(op)
    index = 1 if op.ranged else 0
    bound = op.body.dims[:index]
    params = Places([k - op.head + index for k in ports.operands], index + op.carries)
    results = Places(ports.results, op.carries)
    regions = [outer.region(op.body, params, results, bound)]
    if op.test is not None:
        regions.append(_test(op.test, params, index))
    closed, _, dims = close_together(regions)
    made = replace(
        op,
        body=closed[0],
        test=closed[1] if op.test is not None else None,
        carries=results.early,
        dims=dims,
    )
    operands = Places(ports.operands, op.head + op.carries)
    outer.emit_both(eqn, made, operands, results, len(op.body.results), scope)


def _test(test: Function, params: Places, index: int) -> Open:
    """Return the test of a loop that carries tangents, of which it reads none."""
    own = params.joined(test.params, lambda k: [Value(test.params[k].type)])
    return Open(test.name, own, test.eqns, test.results, None, test.dims[:index])


__all__ = ["loop_jvp"]
