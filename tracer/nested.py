"""Functions traced inside a trace: bodies of loops, derivatives of functions in functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..ir.builder import Builder
from ..ir.closing import close, duplicate
from ..ir.core import Atom, Function, Literal, Value
from ..ir.errors import DifferentiationError
from ..ir.op import Zero
from ..ir.types import Kind
from .array import TracedArray, lift, wrap
from .functions.create import zeros
from .hooks import HOOKS
from .report import definition, located
from .source import current_stack
from .state import ENTRY, Trace, require
from .trace import LeafSpec, Traced, collect_output
from .tree import Structure, unflatten


def inline_call(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call a user's function with its operations written into the trace under way."""
    return HOOKS["__pb_call__"](function, *args, **kwargs)


def trace_region(
    params: Sequence[Value],
    kinds: Sequence[Kind],
    call: Callable[[list[TracedArray]], Any],
    given: Sequence[Atom] = (),
    is_plain: bool = False,
) -> tuple[Builder, Any]:
    """Trace `call(traced params)` inside the present trace; return its builder and output.

    `given` are what the parameters are, where the region is run once, there where it stands. No
    derivative is taken of what `is_plain`.
    """
    outer = require("a region")
    builder = Builder()
    with Trace(builder, outer) as inner:
        inner.is_plain = is_plain
        if given:
            inner.given = dict(zip(params, given, strict=True))
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
        # One of many examples has an axis less than they have.
        inner.given = {p: a for p, a in zip(builder.params, atoms, strict=True) if p.type == a.type}
        args, kwargs = unflatten(structure, iter(arrays))
        # These containers are copies: what is stored in them would be lost.
        inner.root.inputs.commits.register_arguments((args, kwargs), None)
        output = inline_call(function, args, kwargs)
        # Where the user's code asks for it, `explain` shows the expression that does.
        where = None if current_stack(ENTRY[0]) else definition(function)
        results, count, out, aux = collect_output(output, inner, name, has_aux, where)
    _note_writes(arrays, leaves, outer)
    closed, captured = close(
        name,
        builder.params,
        builder.eqns,
        [a for a, _ in results],
        param_kinds=[s.kind for s in specs],
        result_kinds=[k for _, k in results],
    )
    traced = Traced(closed, len(specs), None, out, aux, count, where=where)
    return traced, [*atoms, *captured]


def _note_writes(arrays: Sequence[TracedArray], leaves: Sequence[Any], outer: Trace) -> None:
    """Note which arguments a function traced apart writes into, though only a copy is written.

    Raises
    ------
    DifferentiationError
        Where such an argument overlaps with another, which plain NumPy would change too.
    """
    for k, (array, leaf) in enumerate(zip(arrays, leaves, strict=True)):
        inside = None if array._view is None else array._view.storage
        place = None if inside is None else inside.written or inside.apart
        if place is None or not isinstance(leaf, TracedArray) or leaf._kind is not Kind.ARRAY:
            continue
        view = leaf._as_view()
        for other in (*leaves[:k], *leaves[k + 1 :]):
            if isinstance(other, TracedArray) and other._view is not None:
                theirs = other._view
                is_shared = theirs.storage is view.storage and (
                    theirs == view or view.storage in outer.root.inputs.buffers
                )
                if is_shared:
                    raise DifferentiationError(located(_OVERLAP, place))
        view.storage.apart = view.storage.apart or place


_OVERLAP = (
    "the derivative of a function that writes into an argument is not defined where that overlaps "
    "with another argument.\n  Pass a copy of one of them."
)


def is_differentiated(trace: Trace) -> bool:
    """Whether a derivative may be taken of what is written into a trace."""
    around: Trace | None = trace
    while around is not None:
        if around.is_plain:
            return False
        if around.given is not None:  # a function traced apart, to be transformed
            return True
        around = around.parent
    return bool(trace.root.inputs.is_differentiated)


def inline_function(function: Function, operands: Sequence[Any]) -> tuple[Any, ...]:
    """Write a function into the trace under way; return its results as traced arrays."""
    outer = require(function.name)
    atoms = [o if isinstance(o, Value | Literal) else lift(o, outer)[0] for o in operands]
    start = len(outer.builder.eqns)
    flat = outer.builder.inline(function, atoms)
    if outer.marks:
        for eqn in outer.builder.eqns[start:]:
            inner = eqn.provenance
            eqn.provenance = inner.with_marks((*outer.marks, *inner.marks))
    return tuple([wrap(a, k, outer) for a, k in zip(flat, function.result_kinds, strict=True)])


def inline_derived(function: Function, operands: Sequence[Any]) -> tuple[Any, ...]:
    """Write a function of a derivative rule into the trace of the derivative.

    Its equations keep their places in the source, and are derived as the rule's equation is.
    """
    outer = require(function.name)
    atoms = [lift(_filled(o), outer)[0] for o in operands]
    start = len(outer.builder.eqns)
    flat = outer.builder.inline(duplicate(function), atoms)
    fixed = outer.fixed
    for eqn in outer.builder.eqns[start:] if fixed is not None else ():
        assert fixed is not None
        derived = eqn.provenance.as_derived(fixed.derived)
        eqn.provenance = derived.with_marks((*fixed.marks, *derived.marks))
    return tuple([wrap(a, k, outer) for a, k in zip(flat, function.result_kinds, strict=True)])


def _filled(operand: Any) -> Any:
    if isinstance(operand, Zero):
        return zeros(operand.type.shape, operand.type.dtype)
    return operand


__all__ = [
    "inline_call",
    "inline_derived",
    "inline_function",
    "is_differentiated",
    "trace_apart",
    "trace_region",
]
