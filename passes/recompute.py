"""Values of a forward part that are computed again just before a backward part reads them.

A function that the user has marked with `checkpoint` keeps its inputs alone: of the values made
inside, what its adjoint reads is computed again. While tracing, each call of such a function gets a
number, and its equations a mark in their provenance: that number, and how many derivatives were
taken since. Reverse mode and the rewrites carry marks along. This pass comes after them all, so
that nothing merges the copies with what they are copies of.

An equation reads a copy where it has the mark of the value's maker, at a higher derivative. What a
copy reads is copied too if it lies in the same checkpoint, in the order of the originals and as
late as can be: with a chain of checkpoints, one is computed again at a time. Draws and effects,
memory that is new at each evaluation, and sizes that an equation binds are kept.

Before, where the first three equations lie in a checkpoint, and the others are their adjoint::

    def f(x: f64[3]) -> (f64, f64[3]):
        a  : f64[3] = sin(x)
        b  : f64[3] = exp(a)
        s  : f64    = sum(b, axes=(-1,))
        c  : f64[3] = cos(x)
        dx : f64[3] = b * c
        return s, dx

After::

    def f(x: f64[3]) -> (f64, f64[3]):
        a  : f64[3] = sin(x)
        b  : f64[3] = exp(a)
        s  : f64    = sum(b, axes=(-1,))
        c  : f64[3] = cos(x)
        a2 : f64[3] = sin(x)
        b2 : f64[3] = exp(a2)
        dx : f64[3] = b2 * c
        return s, dx
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ..ir.closing import duplicate
from ..ir.core import Atom, Eqn, Function, Mark, Value, walk
from ..ir.op import Effect
from .dce import Dce

LINE = -1
"""The number of a whole function under a budget, which is no checkpoint (`straight_line`)."""


class Again(NamedTuple):
    """What an equation reads copies of; they are shared by the equations of equal `key`."""

    key: int
    values: Container[Value]


def is_in_checkpoint(eqn: Eqn) -> bool:
    """Whether the user has marked an equation as one to compute again."""
    marks = eqn.provenance.marks
    return bool(marks) and marks[-1][0] != LINE and can_run_again(eqn)


def can_run_again(eqn: Eqn) -> bool:
    """Whether an equation can be computed twice: no effect, no new object, no size bound."""
    op = eqn.op
    return op.effect is not Effect.ORDERED and not op.makes_new and not op.binds


def recompute(function: Function, again: Callable[[Eqn], Again | None]) -> Function:
    """Return the function in which some equations read copies of values.

    `again(eqn)` says which, None for an equation that reads the values themselves. Copies are made
    just before the first equation that reads them, in the order of the originals.
    """
    makers = {r: e for e in function.eqns for r in e.results}
    place = {e: k for k, e in enumerate(function.eqns)}
    copies: dict[int, dict[Atom, Atom]] = {}
    out: list[Eqn] = []
    for eqn in function.eqns:
        chosen = again(eqn)
        if chosen is None:
            out.append(eqn)
            continue
        known = copies.setdefault(chosen.key, {})
        wanted = closure(eqn.operands, chosen.values, makers, known)
        out += [_copy(maker, known) for maker in sorted(wanted, key=place.__getitem__)]
        operands = tuple([known.get(a, a) for a in eqn.operands])
        out.append(Eqn(eqn.op, operands, eqn.results, eqn.provenance))
    return function.replace(eqns=out)


def closure(
    atoms: Iterable[Atom],
    values: Container[Value],
    makers: Mapping[Value, Eqn],
    known: Container[Atom] = (),
) -> set[Eqn]:
    """Return the equations to copy for what reads atoms, where some copies are known."""
    found: set[Eqn] = set()
    stack = list(atoms)
    while stack:
        atom = stack.pop()
        if not isinstance(atom, Value) or atom in known or atom not in values:
            continue
        maker = makers[atom]
        if maker not in found:
            found.add(maker)
            stack += maker.operands
    return found


def _copy(eqn: Eqn, known: dict[Atom, Atom]) -> Eqn:
    """Return an equation with results of its own, which `known` gets."""
    operands = tuple([known.get(a, a) for a in eqn.operands])
    results = tuple([r.fresh() for r in eqn.results])
    known.update(zip(eqn.results, results, strict=True))
    op = eqn.op
    if op.regions:
        regions = [duplicate(r) for r in op.regions]
        for inner in (e for r in regions for e in walk(r)):
            inner.provenance = inner.provenance.as_derived("recompute")
        op = op.with_regions(regions)
    return Eqn(op, operands, results, eqn.provenance.as_derived("recompute"))


@dataclass(frozen=True)
class Recompute:
    """Compute again what the user's checkpoints do not keep, in regions too."""

    keep_raising: bool = False
    name = "recompute"

    def __call__(self, function: Function) -> Function:
        if not _is_marked(function):
            return function
        return Dce(self.keep_raising)(self._within(function))

    def _within(self, function: Function) -> Function:
        eqns = [
            Eqn(
                e.op.with_regions([self._within(r) for r in e.op.regions]),
                e.operands,
                e.results,
                e.provenance,
            )
            if any(_is_marked(r) for r in e.op.regions)
            else e
            for e in function.eqns
        ]
        function = function.replace(eqns=eqns)
        # Of checkpoints in checkpoints the outermost go first: what they compute again is in turn
        # the forward part of the inner ones.
        for depth in range(max((len(e.provenance.marks) for e in function.eqns), default=0)):
            function = _at_depth(function, depth)
        return function


def _at_depth(function: Function, depth: int) -> Function:
    """Compute again what checkpoints within so many others do not keep."""

    def mark_of(eqn: Eqn) -> tuple[Mark, ...]:
        return eqn.provenance.marks[depth : depth + 1]

    inside: dict[tuple[int, int], set[Value]] = {}
    """What may be copied in a checkpoint for an equation at some derivative: all made below."""
    orders: dict[int, int] = {}
    for eqn in function.eqns:
        for number, order in mark_of(eqn):
            orders[number] = max(orders.get(number, 0), order)
    for eqn in function.eqns:
        for number, order in mark_of(eqn):
            if can_run_again(eqn):
                for higher in range(order + 1, orders[number] + 1):
                    inside.setdefault((number, higher), set()).update(eqn.results)
    keys = {mark: k for k, mark in enumerate(inside)}

    def again(eqn: Eqn) -> Again | None:
        found = [Again(keys[m], inside[m]) for m in mark_of(eqn) if m in keys]
        return found[0] if found else None

    return recompute(function, again)


def _is_marked(function: Function) -> bool:
    return any(
        e.provenance.marks or any(_is_marked(r) for r in e.op.regions) for e in function.eqns
    )


__all__ = [
    "LINE",
    "Again",
    "Recompute",
    "can_run_again",
    "closure",
    "is_in_checkpoint",
    "recompute",
]
