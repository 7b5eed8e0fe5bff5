"""Forward loops and branches that keep what their adjoint reads, in stacks and on tapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..ir.binding import instantiated, symbols_of
from ..ir.builder import Builder
from ..ir.core import Atom, Eqn, Function, Provenance, Value
from ..ir.dims import Dim, Symbol, symbols
from ..ir.ops.control import Loop
from ..ir.ops.shape import Copy
from ..ir.ops.tape import TapeNew, TapePush
from ..ir.types import ArrayType, is_tape, tape_of
from ..tracer.functions.create import zeros
from ..tracer.state import Trace
from .residuals import Body, Residuals, find_chains

if TYPE_CHECKING:
    from .reverse import Adjoint


def nothing(type: ArrayType, trace: Trace) -> Atom:
    """Return the cotangent of what nothing depends on: zeros, or a tape of zeros."""
    if is_tape(type):
        return trace.builder.one(TapeNew(type.dtype, zeros=True))
    return zeros(type.shape, type.dtype)._atom  # type: ignore[no-any-return]


def settle_inside(adjoint: Adjoint, body: Body) -> None:
    """Let adjoints in a body read last versions, where the body itself restores nothing."""
    producers = {r: e for e in body.builder.eqns[: body.primal] for r in e.results}
    chains = find_chains(body, producers)
    open = {body.undone[v] for c in chains.values() for v in c.versions if v in body.undone}
    adjoint.settle(body.primal, open)
    body.undone = adjoint.undone


def kept(
    residuals: Residuals,
    stacked: Sequence[Value],
    pushed: Mapping[Value, Value],
    provenance: Provenance,
) -> tuple[list[Eqn], list[Value], list[Value]]:
    """Return the primal equations with the residuals kept.

    What is pushed is pushed where it is made, on the given tape, and a view that is stacked is
    copied there: what it is a view of may be written into.

    Returns
    -------
    eqns, tapes, outputs
        The equations, the tapes after them, and the values to be stacked.
    """
    tapes: list[Value] = []
    pushes: dict[Value, Eqn] = {}
    for value, tape in pushed.items():
        at = residuals.producers.get(value)
        tapes.append(Value(tape.type))
        origin = at.provenance if at else provenance
        pushes[value] = Eqn(TapePush(), (tape, value), (tapes[-1],), origin)
    copies: dict[Value, Eqn] = {}
    for value in stacked:
        made = residuals.producers.get(value)
        if made is not None and made.op.is_view and value.type.shape:
            layouts = Copy().layouts([value.type], [value.layout])
            own = Value(value.type, value.hint, None, layouts[0] if layouts else None)
            copies[value] = Eqn(Copy(), (value,), (own,), made.provenance)
    order: list[Eqn] = []
    added = sorted(residuals.added, key=lambda pair: pair[0])
    for place, primal in enumerate([*residuals.primal, None]):
        while added and added[0][0] == place:
            order.append(added.pop(0)[1])
        if primal is not None:
            order.append(primal)
    eqns = [pushes[v] for v in pushed if v not in residuals.producers]
    for one in order:
        eqns.append(one)
        for result in one.results:
            eqns += [d[result] for d in (pushes, copies) if result in d]
    outputs = [copies[v].results[0] if v in copies else v for v in stacked]
    return eqns, tapes, outputs


# ---- loops ---------------------------------------------------------------------------------------


@dataclass
class LoopBody(Body):
    """The body of a loop and its adjoint."""

    after: list[Atom]
    """The primal results."""
    carried: list[Value]
    """The cotangents of the carries, after the iteration."""
    running: list[Value]
    """The running cotangents of captured values."""
    outputs: dict[int, Value]
    """The cotangents of stacked outputs, by the number of the result."""


def with_outer_dims(op: Loop) -> Loop:
    """Return a loop whose regions name the sizes of outside as the function around it does."""
    head = 1 if op.ranged else 0
    binding = {s: d for s, d in zip(op.body.dims[head:], op.dims, strict=True) if d != Dim.of(s)}
    if not binding:
        return op
    return replace(
        op,
        body=_renamed(op.body, binding, head),
        test=None if op.test is None else _renamed(op.test, binding, head),
        dims=tuple(map(Dim.of, _outer_symbols(op.dims))),
    )


def _renamed(region: Function, binding: dict[Symbol, Any], head: int) -> Function:
    """Return a region with sizes of outside replaced; it binds the symbols of these."""
    own = region.dims[:head]
    outer = [binding.get(s, Dim.of(s)) for s in region.dims[head:]]
    made = instantiated(region, [*map(Dim.of, own), *outer])
    return made.replace(dims=(*own, *_outer_symbols(outer)))


def _outer_symbols(dims: Sequence[Any]) -> list[Symbol]:
    return sorted({s for d in dims for s in symbols(d)}, key=lambda s: s.number)


class ForwardLoop:
    """The forward loop, replaced in the builder by one that stacks or pushes the residuals.

    Its body is the primal part of the adjoint body, where the sweep has made inner loops keep
    theirs. `stacks` and `tapes` hold what keeps each residual, as values outside of the loop;
    `inserted` counts the equations put before it.
    """

    def __init__(
        self,
        builder: Builder,
        eqn: Eqn,
        op: Loop,
        scope: Mapping[Atom, Atom],
        residuals: Residuals,
        body: LoopBody,
    ) -> None:
        self.op = op
        stacked = [v for v in residuals.saved if self._is_stacked(v)]
        pushed = [v for v in residuals.saved if v not in set(stacked)]
        first = scope[eqn.results[0]]
        self.position = next(k for k, e in enumerate(builder.eqns) if first in e.results)
        current = builder.eqns[self.position]
        assert isinstance(current.op, Loop)
        is_first = current.op.body in eqn.op.regions
        old = op if is_first else with_outer_dims(current.op)
        head = 1 if op.ranged else 0
        self.tapes_inside = [Value(tape_of(v.type)) for v in pushed]
        places = dict(zip(pushed, self.tapes_inside, strict=True))
        eqns, tapes, outputs = kept(residuals, stacked, places, eqn.provenance)
        results: list[Atom] = [*outputs]
        plain: list[Atom] = list(body.after)
        params = body.params
        if not is_first:  # it keeps residuals for an equal loop already
            carries = head + old.carries
            own = [*old.body.params[: head + op.carries], *old.body.params[carries:]]
            renamed: dict[Atom, Atom] = dict(zip(params, own, strict=True))
            eqns = [*old.body.eqns, *replaced(eqns, renamed)]
            results = [renamed.get(r, r) for r in results]
            params, plain = list(old.body.params), list(old.body.results)
        cut = head + old.carries
        function = Function(
            op.body.name,
            [*params[:cut], *self.tapes_inside, *params[cut:]],
            eqns,
            [*plain[: old.carries], *tapes, *plain[old.carries :], *results],
            dims=old.body.dims,
        )
        self.eqn = self._replace(builder, old, current, function, stacked, pushed)

    def _is_stacked(self, value: Value) -> bool:
        """Whether it is known before the loop how much is kept of a residual."""
        op = self.op
        is_counted = op.test is None and (op.ranged or isinstance(op.trips, int))
        if is_tape(value.type) or not is_counted:
            return False
        known = set(op.body.dims[1:] if op.ranged else op.body.dims)
        return symbols_of(value.type) <= known

    def _replace(
        self,
        builder: Builder,
        old: Loop,
        current: Eqn,
        function: Function,
        stacked: Sequence[Value],
        pushed: Sequence[Value],
    ) -> Eqn:
        """Put the new loop in the place of the old one."""
        starts = [Value(p.type) for p in self.tapes_inside]
        new = replace(
            old,
            body=function,
            test=None if old.test is None else _with_tapes(old.test, old, self.tapes_inside),
            carries=old.carries + len(starts),
            counts=old.counts or old.test is not None,
        )
        cut = old.head + old.carries
        operands = (*current.operands[:cut], *starts, *current.operands[cut:])
        types = new.infer(*[a.type for a in operands])
        last = len(current.results) - (1 if old.counts else 0)
        tapes = [Value(p.type) for p in self.tapes_inside]
        stacks = [Value(t) for t in types[last + len(tapes) : last + len(tapes) + len(stacked)]]
        for value, residual in zip(stacks, stacked, strict=True):
            value.hint = f"{residual.hint}s" if residual.hint else None
        count = [current.results[-1]] if old.counts else [Value(types[-1])] if new.counts else []
        results = (
            *current.results[: old.carries],
            *tapes,
            *current.results[old.carries : last],
            *stacks,
            *count,
        )
        made = Eqn(new, operands, results, current.provenance)
        empty = [Eqn(TapeNew(v.type.dtype), (), (v,), current.provenance) for v in starts]
        builder.eqns[self.position : self.position + 1] = [*empty, made]
        self.inserted = len(empty)
        for value in results:
            builder.producers[value] = made
        self.stacks = dict(zip(stacked, stacks, strict=True))
        self.tapes = dict(zip(pushed, tapes, strict=True))
        return made


def replaced(eqns: Sequence[Eqn], scope: Mapping[Atom, Atom]) -> list[Eqn]:
    """Return equations with operands replaced."""
    return [
        Eqn(e.op, tuple([scope.get(a, a) for a in e.operands]), e.results, e.provenance)
        for e in eqns
    ]


def _with_tapes(test: Function, old: Loop, tapes: Sequence[Value]) -> Function:
    """Return the test of a loop that carries tapes too."""
    cut = (1 if old.ranged else 0) + old.carries
    params = [*test.params[:cut], *[Value(t.type) for t in tapes], *test.params[cut:]]
    return test.replace(params=params)


__all__ = [
    "ForwardLoop",
    "LoopBody",
    "kept",
    "nothing",
    "replaced",
    "settle_inside",
    "with_outer_dims",
]
