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

from ..ir.builder import Builder
from ..ir.closing import Open, close_together
from ..ir.core import Atom, Eqn, Function, Value
from ..ir.ops.control import Loop
from ..tracer.state import Trace
from .keeping import with_outer_dims
from .tangent_flow import Flow, Ports

if TYPE_CHECKING:
    from .forward import Forward


def loop_jvp(outer: Forward, eqn: Eqn, op: Loop, ports: Ports, scope: dict[Atom, Atom]) -> None:
    """Emit a loop that carries tangents too, of the operands and results in `ports`."""
    op = with_outer_dims(op)
    inside = sorted(k - op.head for k in ports.operands)
    carries = [k for k in inside if k < op.carries]
    captured = [k for k in inside if k >= op.carries]
    outputs = sorted(k for k in ports.results if k >= op.carries)
    regions = [_body(outer, op, carries, captured, outputs)]
    if op.test is not None:
        regions.append(_test(op.test, op, carries, captured))
    closed, _, dims = close_together(regions)
    made = replace(
        op,
        body=closed[0],
        test=closed[1] if op.test is not None else None,
        carries=op.carries + len(carries),
        dims=dims,
    )
    own, head = eqn.operands, op.head
    cut = head + op.carries
    operands = [scope.get(a, a) for a in own]
    tangents = [outer.tangent(own[head + k]) for k in (*carries, *captured)]
    first, rest = tangents[: len(carries)], tangents[len(carries) :]
    shift = len(carries)
    total = len(op.body.results)
    places = [k if k < op.carries else k + shift for k in range(total)]
    if op.counts:
        places.append(total + shift + len(outputs))
    flows = {k: op.carries + n for n, k in enumerate(carries)}
    flows |= {k: total + shift + n for n, k in enumerate(outputs)}
    outer.emit_both(
        eqn, made, [*operands[:cut], *first, *operands[cut:], *rest], places, flows, scope
    )


def _body(
    outer: Forward, op: Loop, carries: list[int], captured: list[int], outputs: list[int]
) -> Open:
    from .forward import Forward

    body, builder = op.body, Builder()
    head = 1 if op.ranged else 0
    inner = body.params[head:]
    wrt = [inner[k] for k in (*carries, *captured)]
    scope: dict[Atom, Atom] = {}
    with Trace(builder, outer.trace) as trace:
        sweep = Forward(trace, Flow(outer.labels).active(body, wrt), outer.labels)

        def begin(values: tuple[Value, ...], moving: list[Value]) -> None:
            for v in values:
                new = builder.param(Value(v.type, v.hint, v.cotangent_of, v.layout))
                scope[v] = new
            for v in moving:
                builder.param(sweep.start(v, scope[v]))  # type: ignore[arg-type]

        begin(body.params[:head], [])
        begin(inner[: op.carries], [inner[k] for k in carries])
        begin(inner[op.carries :], [inner[k] for k in captured])
        sweep.sweep(body.eqns, scope)
        results = [scope.get(r, r) for r in body.results]
        tangents = [sweep.tangent(body.results[k]) for k in (*carries, *outputs)]
    count = len(carries)
    ordered = [*results[: op.carries], *tangents[:count], *results[op.carries :], *tangents[count:]]
    return Open(body.name, builder.params, builder.eqns, ordered, None, body.dims[:head])


def _test(test: Function, op: Loop, carries: list[int], captured: list[int]) -> Open:
    """Return the test of a loop that carries tangents, of which it reads none."""
    head = 1 if op.ranged else 0
    cut = head + op.carries
    first = [Value(test.params[head + k].type) for k in carries]
    rest = [Value(test.params[head + k].type) for k in captured]
    params = [*test.params[:cut], *first, *test.params[cut:], *rest]
    return Open(test.name, params, test.eqns, test.results, None, test.dims[:head])


__all__ = ["loop_jvp"]
