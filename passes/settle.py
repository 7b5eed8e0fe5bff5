"""Carries that no iteration changes become captured values, or constants where they are known.

Reverse mode carries the cotangent of each carry, and that of a sum is the same in all iterations.
What is computed from it alone can then be folded, or moved out of the loop.

Before::

    def f(x: f64[9, 3], c: f64[3]) -> (f64[3], f64):
        def body(i: i64, s: f64[3], d: f64, x: f64[9, 3], *, dims=(i,)) -> (f64[3], f64):
            t : f64    = 2.0 * d
            r : f64[3] = x[i]
            p : f64[3] = t * r
            a : f64[3] = s + p
            return a, d
        s, d = loop(body, range(9), carry=(c, 0.5), captured=(x,))
        return s, d

After::

    def f(x: f64[9, 3], c: f64[3]) -> (f64[3], f64):
        def body(i: i64, s: f64[3], x: f64[9, 3], *, dims=(i,)) -> f64[3]:
            t : f64    = 2.0 * 0.5
            r : f64[3] = x[i]
            p : f64[3] = t * r
            a : f64[3] = s + p
            return a
        s = loop(body, range(9), carry=(c,), captured=(x,))
        return s, 0.5
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..ir.core import Atom, Eqn, Function, Literal
from ..ir.ops.control import Loop


@dataclass(frozen=True)
class Settle:
    """Capture the carries that stay as they are, innermost loops first."""

    name = "settle"

    def __call__(self, function: Function) -> Function:
        if not any(eqn.op.regions for eqn in function.eqns):
            return function
        scope: dict[Atom, Atom] = {}
        eqns: list[Eqn] = []
        for eqn in function.eqns:
            op = eqn.op
            if op.regions:
                op = op.with_regions([self(r) for r in op.regions])
            eqn = Eqn(op, _read(scope, eqn.operands), eqn.results, eqn.provenance)
            eqns.append(_settled(eqn, op, scope) if isinstance(op, Loop) else eqn)
        return function.replace(
            eqns=eqns,
            results=_read(scope, function.results),
            result_kinds=function.result_kinds,
        )


def _read(scope: Mapping[Atom, Atom], atoms: Sequence[Atom]) -> tuple[Atom, ...]:
    return tuple([scope.get(a, a) for a in atoms])


def _settled(eqn: Eqn, op: Loop, scope: dict[Atom, Atom]) -> Eqn:
    """Return a loop without the carries that it leaves alone; `scope` gains what they are."""
    first = 1 if op.ranged else 0
    body = op.body
    still = [
        k
        for k in range(op.carries)
        if (body.results[k] is body.params[first + k] and body.results.count(body.results[k]) == 1)
        or (isinstance(body.results[k], Literal) and body.results[k] == eqn.operands[op.head + k])
    ]
    if not still or len(still) == len(body.results):  # the memory plan knows a loop by its results
        return eqn
    values = {k: eqn.operands[op.head + k] for k in still}
    captured = [k for k in still if not isinstance(values[k], Literal)]
    moving = [k for k in range(op.carries) if k not in values]
    regions: list[Function] = []
    for region in op.regions:
        params = region.params
        inside: dict[Atom, Atom] = {
            params[first + k]: a for k, a in values.items() if isinstance(a, Literal)
        }
        results = list(region.results)
        if region is body:
            results = [r for k, r in enumerate(results) if k not in values]
        regions.append(
            region.replace(
                params=[
                    *params[:first],
                    *[params[first + k] for k in moving],
                    *params[first + op.carries :],
                    *[params[first + k] for k in captured],
                ],
                eqns=[
                    Eqn(e.op, _read(inside, e.operands), e.results, e.provenance)
                    if any(a in inside for a in e.operands)
                    else e
                    for e in region.eqns
                ],
                results=_read(inside, results),
            )
        )
    for k, atom in values.items():
        scope[eqn.results[k]] = atom
    new = op.with_regions(regions)
    assert isinstance(new, Loop)
    operands = [
        *eqn.operands[: op.head],
        *[eqn.operands[op.head + k] for k in moving],
        *eqn.operands[op.head + op.carries :],
        *[values[k] for k in captured],
    ]
    kept = tuple([r for k, r in enumerate(eqn.results) if k not in values])
    return Eqn(replace(new, carries=len(moving)), tuple(operands), kept, eqn.provenance)
