"""Closes equations that read values from around them into a function of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .binding import bound_symbols, mentioned, symbols_of
from .core import Atom, Eqn, Function, Value, default_kind
from .dims import Dim, Symbol
from .types import Kind


def close(
    name: str, params: Sequence[Value], eqns: Sequence[Eqn], results: Sequence[Atom], **fields: Any
) -> tuple[Function, list[Value]]:
    """Return a closed function: what it reads from outside becomes trailing parameters.

    Returns
    -------
    function, captured
        The function, and the outer values that its trailing parameters stand for.
    """
    defined: set[Value] = set(params)
    scope: dict[Atom, Atom] = {}
    captured: list[Value] = []

    def inside(atom: Atom) -> Atom:
        if not isinstance(atom, Value) or atom in defined:
            return atom
        known = scope.get(atom)
        if known is None:
            known = scope[atom] = atom.fresh()
            captured.append(atom)
        return known

    closed: list[Eqn] = []
    for eqn in eqns:
        operands = tuple([inside(a) for a in eqn.operands])
        closed.append(Eqn(eqn.op, operands, eqn.results, eqn.provenance))
        defined.update(eqn.results)
    outs = [inside(a) for a in results]
    trailing = [scope[v] for v in captured]
    kinds = fields.pop("param_kinds", None)
    if kinds is not None:
        kinds = [*kinds, *map(default_kind, captured)]
    inner: list[Value] = [*params, *[v for v in trailing if isinstance(v, Value)]]
    bound = tuple(fields.pop("dims", ()))
    function = Function(name, inner, closed, outs, param_kinds=kinds, **fields)
    dims = (*bound, *sorted(free_dims(function, bound), key=lambda s: s.number))
    return function.replace(dims=dims), captured


class Open(NamedTuple):
    """A region under construction: what it computes may still read values of outside.

    `bound` are the dims that it binds itself, such as a loop's index.
    """

    name: str
    params: Sequence[Value]
    eqns: Sequence[Eqn]
    results: Sequence[Atom]
    param_kinds: Sequence[Kind] | None = None
    bound: tuple[Symbol, ...] = ()


def close_together(regions: Sequence[Open]) -> tuple[list[Function], list[Value], tuple[Dim, ...]]:
    """Return regions of one op as closed functions, with what they capture and the dims to pass.

    The functions have the same trailing parameters, one for each value that a region captures, and
    bind the same dims after their own.
    """
    parts = [
        close(r.name, r.params, r.eqns, r.results, dims=r.bound, param_kinds=r.param_kinds)
        for r in regions
    ]
    captured = list(dict.fromkeys(v for _, own in parts for v in own))
    closed: list[Function] = []
    free: dict[Symbol, None] = {}
    for region, (function, own) in zip(regions, parts, strict=True):
        known = dict(zip(own, function.params[len(region.params) :], strict=True))
        trailing = [known.get(v) or v.fresh() for v in captured]
        kinds = list(map(default_kind, captured))
        head = function.param_kinds[: len(region.params)]
        closed.append(
            function.replace(params=[*region.params, *trailing], param_kinds=[*head, *kinds])
        )
        free.update(dict.fromkeys(free_dims(closed[-1], region.bound)))
    shared = tuple(sorted(free, key=lambda s: s.number))
    for k, region in enumerate(regions):
        closed[k] = closed[k].replace(dims=(*region.bound, *shared))
    return closed, captured, tuple(map(Dim.of, shared))


def duplicate(function: Function) -> Function:
    """Return a copy of a function with values of its own: a value belongs to one function."""
    scope: dict[Atom, Atom] = {}

    def made(value: Value) -> Value:
        of = scope.get(value.cotangent_of) if value.cotangent_of else None
        of = of if isinstance(of, Value) else value.cotangent_of
        scope[value] = new = Value(value.type, value.hint, of, value.layout)
        return new

    params = [made(p) for p in function.params]
    eqns: list[Eqn] = []
    for eqn in function.eqns:
        op = eqn.op
        if op.regions:
            op = op.with_regions([duplicate(r) for r in op.regions])
        operands = tuple([scope.get(a, a) for a in eqn.operands])
        eqns.append(Eqn(op, operands, tuple([made(r) for r in eqn.results]), eqn.provenance))
    return function.replace(
        params=params,
        eqns=eqns,
        results=[scope.get(r, r) for r in function.results],
        param_kinds=function.param_kinds,
        result_kinds=function.result_kinds,
    )


def free_dims(function: Function, bound: Sequence[Symbol]) -> set[Symbol]:
    """Return the symbols that a function mentions and does not bind itself."""
    found = {s for p in function.params for s in symbols_of(p.type)}
    own = set(bound)
    for eqn in function.eqns:
        found |= mentioned(eqn)
        own |= bound_symbols(eqn)
    return found - own


def region_dims(function: Function) -> tuple[Dim, ...]:
    """Return the dims that a ranged loop passes to its body, which binds outer symbols again."""
    return tuple([Dim.of(s) for s in function.dims[1:]])


__all__ = ["Open", "close", "close_together", "duplicate", "free_dims", "region_dims"]
