"""Functions traced inside a trace: bodies of loops, derivatives of functions in functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..ir.binding import bound_symbols, mentioned, symbols_of
from ..ir.builder import Builder
from ..ir.core import Atom, Eqn, Function, Literal, Value
from ..ir.dims import Dim, Symbol
from ..ir.types import Kind
from .array import TracedArray, lift, wrap
from .hooks import HOOKS
from .state import Trace, require
from .trace import LeafSpec, Traced, collect_output
from .tree import Structure, unflatten


def inline_call(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call a user's function with its operations written into the trace under way."""
    return HOOKS["__pb_call__"](function, *args, **kwargs)


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
            known = scope[atom] = Value(atom.type, atom.hint, atom.cotangent_of, atom.layout)
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
        kinds = [*kinds, *[Kind.ARRAY if v.type.shape else Kind.SCALAR for v in captured]]
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
        trailing = [
            known.get(v) or Value(v.type, v.hint, v.cotangent_of, v.layout) for v in captured
        ]
        kinds = [Kind.ARRAY if v.type.shape else Kind.SCALAR for v in captured]
        head = function.param_kinds[: len(region.params)]
        closed.append(
            function.replace(params=[*region.params, *trailing], param_kinds=[*head, *kinds])
        )
        free.update(dict.fromkeys(free_dims(closed[-1], region.bound)))
    shared = tuple(sorted(free, key=lambda s: s.number))
    for k, region in enumerate(regions):
        closed[k] = closed[k].replace(dims=(*region.bound, *shared))
    return closed, captured, tuple(map(Dim.of, shared))


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


def trace_region(
    params: Sequence[Value], kinds: Sequence[Kind], call: Callable[[list[TracedArray]], Any]
) -> tuple[Builder, Any]:
    """Trace `call(traced params)` inside the present trace; return its builder and output."""
    outer = require("a region")
    builder = Builder()
    with Trace(builder, outer) as inner:
        arrays = [
            TracedArray(builder.param(p), k, inner) for p, k in zip(params, kinds, strict=True)
        ]
        return builder, call(arrays)


def trace_apart(
    function: Callable[..., Any],
    structure: Structure,
    specs: Sequence[LeafSpec],
    leaves: Sequence[Any],
    *,
    name: str,
    has_aux: bool,
) -> tuple[Traced, list[Atom]]:
    """Trace a function into a closed function of its own, within the trace under way.

    Returns
    -------
    traced, operands
        The function, and the atoms of the outer trace to call it with.
    """
    outer = require(name)
    atoms = [lift(leaf, outer)[0] for leaf in leaves]
    builder = Builder()
    with Trace(builder, outer) as inner:
        arrays = [
            TracedArray(builder.param(Value(s.type, s.hint, layout=s.layout)), s.kind, inner)
            for s in specs
        ]
        args, kwargs = unflatten(structure, iter(arrays))
        # These containers are copies: what is stored in them would be lost.
        inner.root.inputs.commits.register_arguments((args, kwargs), None)
        output = inline_call(function, args, kwargs)
        results, count, out, aux = collect_output(output, inner, name, has_aux)
    closed, captured = close(
        name,
        builder.params,
        builder.eqns,
        [a for a, _ in results],
        param_kinds=[s.kind for s in specs],
        result_kinds=[k for _, k in results],
    )
    return Traced(closed, len(specs), None, out, aux, count), [*atoms, *captured]


def inline_function(function: Function, operands: Sequence[Any]) -> tuple[Any, ...]:
    """Write a function into the trace under way; return its results as traced arrays."""
    outer = require(function.name)
    atoms = [o if isinstance(o, Value | Literal) else lift(o, outer)[0] for o in operands]
    flat = outer.builder.inline(function, atoms)
    return tuple([wrap(a, k, outer) for a, k in zip(flat, function.result_kinds, strict=True)])


__all__ = [
    "Open",
    "close",
    "close_together",
    "free_dims",
    "inline_call",
    "inline_function",
    "region_dims",
    "trace_apart",
    "trace_region",
]
