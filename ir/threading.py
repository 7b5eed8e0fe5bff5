"""Passes values through the regions of a recursion's body to the calls that need them."""

from __future__ import annotations

from collections.abc import Sequence

from .core import Eqn, Function, Value
from .ops.cond import Cond
from .ops.control import Loop
from .ops.recursion import Recur, Recursion


def threaded(body: Function, label: str, values: Sequence[Value]) -> Function:
    """Return a body with trailing parameters passed on in each call of `label` within.

    `values` are parameters of the body; regions that hold a call capture them.
    """
    if not values or not _calls(body, label):
        return body
    eqns: list[Eqn] = []
    for eqn in body.eqns:
        if isinstance(eqn.op, Recur) and eqn.op.label == label:
            eqn = Eqn(eqn.op, (*eqn.operands, *values), eqn.results, eqn.provenance)
        elif any(_calls(r, label) for r in eqn.op.regions):
            eqn = _through(eqn, label, values)
        eqns.append(eqn)
    return body.replace(eqns=eqns, param_kinds=body.param_kinds, result_kinds=body.result_kinds)


def _through(eqn: Eqn, label: str, values: Sequence[Value]) -> Eqn:
    """Let the regions of an equation capture values, where they do not capture them already."""
    op = eqn.op
    assert isinstance(op, Cond | Loop)
    if isinstance(op, Cond):
        first, head = 1, 0
    else:
        first, head = op.head + op.carries, (1 if op.ranged else 0) + op.carries
    captured = list(eqn.operands[first:])
    places = [next((k for k, a in enumerate(captured) if a is v), None) for v in values]
    missing = [v for v, k in zip(values, places, strict=True) if k is None]
    regions: list[Function] = []
    for region in op.regions:
        added = [v.fresh() for v in missing]
        params = [*region.params, *added]
        fresh = iter(added)
        own = [next(fresh) if k is None else params[head + k] for k in places]
        kinds = [*region.param_kinds, *Function("", added, (), ()).param_kinds]
        region = region.replace(params=params, param_kinds=kinds)
        regions.append(threaded(region, label, own))
    return Eqn(op.with_regions(regions), (*eqn.operands, *missing), eqn.results, eqn.provenance)


def _calls(function: Function, label: str) -> bool:
    """Whether a function calls a recursion around it, itself or in a region."""
    return any(
        (isinstance(e.op, Recur) and e.op.label == label)
        or (
            not (isinstance(e.op, Recursion) and e.op.label == label)
            and any(_calls(r, label) for r in e.op.regions)
        )
        for e in function.eqns
    )


__all__ = ["threaded"]
