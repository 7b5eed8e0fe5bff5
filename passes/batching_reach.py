"""Which values differ from one example to the next, found before anything is batched.

A carry of a loop that starts as the same for all examples may become another for each, so loops
need a fixpoint; it is taken here, where an iteration costs nothing, and not by batching bodies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..ir.core import Atom, Eqn, Function
from ..ir.op import Effect, Op
from ..ir.ops.cond import Cond
from ..ir.ops.control import Loop


def acts_for_each(op: Op) -> bool:
    """Whether an op has an effect that each example has for itself, such as a random draw.

    Ops that only check have a rule for all examples.
    """
    if op.regions:
        return any(acts_for_each(e.op) for r in op.regions for e in r.eqns)
    if op.effect is not Effect.ORDERED or type(op).batched is not Op.batched:
        return False
    return op.in_turn(1) is not op


def reached(function: Function, mapped: Sequence[bool]) -> list[bool]:
    """Return which results of a function differ between examples if these parameters do."""
    marked: set[Atom] = {p for p, m in zip(function.params, mapped, strict=True) if m}
    for eqn in function.eqns:
        flags = [a in marked for a in eqn.operands]
        results = _reached_results(eqn, flags)
        marked.update(r for r, m in zip(eqn.results, results, strict=True) if m)
    return [r in marked for r in function.results]


def _reached_results(eqn: Eqn, flags: Sequence[bool]) -> list[bool]:
    count = len(eqn.results)
    if acts_for_each(eqn.op):
        return [True] * count
    if not any(flags):
        return [False] * count
    if isinstance(eqn.op, Loop):
        return reached_loop(eqn.op, flags).results
    if isinstance(eqn.op, Cond) and not flags[0]:
        return reached_cond(eqn.op, flags[1:])
    return [True] * count


def reached_cond(op: Cond, flags: Sequence[bool]) -> list[bool]:
    """Return which results of a branch on what all examples share differ between them."""
    return [any(of) for of in zip(*[reached(b, flags) for b in op.branches], strict=True)]


class LoopReach(NamedTuple):
    """What of a loop differs between examples: carries, results, and whether its length does."""

    carries: list[bool]
    results: list[bool]
    ends: bool


def reached_loop(op: Loop, flags: Sequence[bool]) -> LoopReach:
    """Return what differs between examples in a loop whose operands do where `flags` say."""
    index = [any(flags[: op.head])] if op.ranged else []
    carries = list(flags[op.head : op.head + op.carries])
    captured = list(flags[op.head + op.carries :])
    ends = any(index)
    while True:
        inside = [*index, *carries, *captured]
        if op.test is not None:
            ends = ends or reached(op.test, inside)[0]
        results = reached(op.body, inside)
        grown = [
            m or r or (ends and not _is_kept(op, k))
            for k, (m, r) in enumerate(zip(carries, results, strict=False))
        ]
        if grown == carries:
            break
        carries = grown
    outputs = [m or ends for m in results[op.carries :]]
    return LoopReach(carries, [*carries, *outputs, *([ends] if op.counts else [])], ends)


def _is_kept(op: Loop, k: int) -> bool:
    """Whether no iteration changes a carry."""
    return op.body.results[k] is op.body.params[k + (1 if op.ranged else 0)]


__all__ = ["LoopReach", "acts_for_each", "reached", "reached_cond", "reached_loop"]
