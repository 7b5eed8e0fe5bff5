"""Values that Python needs while a function is traced: computed for the present call, and guarded.

Where a branch is decided, or a list indexed, by a value of the arguments, the value is computed
from the arguments of the call that is traced. The program gets a guard, "it must be this again",
and is the one path that calls with this value take. A call with another value finds another
program, or is traced for one. Only values of the function itself are decided so, and of functions
traced apart that it calls once: inside of a loop body or branch there are many values, or none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ir.binding import mentioned
from ..ir.builder import Builder
from ..ir.closing import close, duplicate
from ..ir.core import Atom, Eqn, Literal, Value
from ..ir.dims import Symbol
from ..ir.errors import ConcretizationError
from ..ir.evaluate import Partial, Unknown
from ..ir.location import Location
from ..ir.op import ELEMENTWISE, Effect
from ..ir.ops.check import Ensure
from ..ir.ops.guard import Guard
from ..ir.ops.shape import Reshape
from ..ir.types import Kind
from .array import TracedArray, wrap
from .report import expression_here
from .source import current_location
from .state import Trace, locate

LIMIT = 1000
"""Guards of one program; a loop on a value that takes one for each iteration ends there."""
DRAWN = (
    "it depends on a random draw, which cannot be made twice: draw outside of the function and "
    "pass the result"
)
SPECIALISED = "specialised: "
"""How a decision begins that holds for the present value alone."""


class Decision(NamedTuple):
    """What became of a loop or branch of the user's, and why."""

    location: Location
    what: str
    why: str


class Refused(Exception):
    """The value cannot be had."""


class Guards:
    """The present values of one trace, and the guards that it has on them."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.partial = Partial(builder.eqns, builder.producers)
        self.known: dict[tuple[Value, str], Any] = {}
        self.count = 0
        self.fixed = 0
        """How many `try` bodies are under way, of which the equations must stay."""

    def give(self, param: Value, kind: Kind, value: Any) -> None:
        """Say what a parameter is in the present call; a `Spec` says nothing."""
        if isinstance(value, np.ndarray | np.generic | bool | int | float | complex):
            self.partial.give(param, kind, value)

    def value(self, atom: Atom) -> Any:
        """Return what a value is in the present call.

        Raises
        ------
        Refused
            Where nothing says so, or an effect would have to happen for it.
        """
        if isinstance(atom, Literal):
            return atom.value
        try:
            pending = self.partial.pending(atom)
        except Unknown as unknown:
            raise Refused(
                "there are no arguments yet, only their shapes and dtypes"
                if unknown.effect is None
                else DRAWN
            ) from None
        with np.errstate(all="ignore"):  # the program warns, when it runs
            self.partial.compute(pending)
        return self.partial.scope[atom]

    def expect(self, operand: Atom, expected: bool | int, trace: Trace) -> None:
        """Emit a guard, before the first effect of the program.

        Raises
        ------
        ConcretizationError
            Where there are too many.
        """
        if isinstance(operand, Literal):
            return
        builder = self.builder
        first = next((k for k, e in enumerate(builder.eqns) if _acts(e)), None)
        moved: list[Eqn] = [] if first is None else self._moved(operand, builder.eqns[first:])
        self.count += 1
        if self.count > LIMIT:
            raise ConcretizationError(
                f"{expression_here()}: {LIMIT:,} values have decided branches, loops or indices "
                "of this function, and each needs a check at every call.\n"
                "  Write a loop that carries arrays and numbers alone, which is compiled as a "
                "loop, or pb.while_loop."
            )
        builder.provenance = locate(trace)
        builder.emit(Guard(expected), [operand])
        if first is not None:
            guard = builder.eqns.pop()
            rest = [e for e in builder.eqns[first:] if e not in moved]
            builder.eqns[first:] = [*moved, guard, *rest]

    def _moved(self, operand: Value, eqns: Sequence[Eqn]) -> list[Eqn]:
        """Return those of some equations that a value depends on, to be moved before the others.

        Raises
        ------
        Refused
        """
        found = needed_for(operand, eqns)
        if found and self.fixed:
            raise Refused(
                "it is computed in a `try` after something has been printed or drawn; decide "
                "before that"
            )
        return found


def _acts(eqn: Eqn) -> bool:
    return eqn.op.effect is Effect.ORDERED and not isinstance(eqn.op, Guard | Ensure)


def decided(x: TracedArray, form: str) -> Any:
    """Return a traced value as the bool, int or index that it is in the present call, guarded.

    Raises
    ------
    Refused
        With the reason, empty where there is none to tell.
    """
    root = x._trace.root
    guards: Guards | None = getattr(root.inputs, "guards", None)
    atom = x._atom
    if guards is None:
        raise Refused("")
    if isinstance(atom, Literal):
        return bool(atom.value) if form == "bool" else int(atom.value)
    if x._trace is not root:
        return decided(_outside(x, atom), form)
    if atom not in guards.builder.producers and atom not in guards.builder.params:
        raise Refused("")  # what a loop body or branch reads there
    key = (atom, form)
    if key not in guards.known:
        guards.known[key] = _decide(guards, atom, x, form)
    found = guards.known[key]
    location = current_location()
    if location is not None:
        root.inputs.report(location, f"{SPECIALISED}{found!r}")
    return found


def may_decide(trace: Trace) -> bool:
    """Whether all values of a trace can be decided: each is one value of the present call."""
    while trace.given is not None and trace.parent is not None:
        if any(p not in trace.given for p in trace.builder.params):
            return False
        trace = trace.parent
    return trace is trace.root


def _outside(x: TracedArray, atom: Value) -> TracedArray:
    """Compute a value of a function traced apart in the trace around it.

    The equations that it depends on are written there a second time, and merge with those of the
    derivative when that is written in line.

    Raises
    ------
    Refused
    """
    trace = x._trace
    given, builder, outer = trace.given, trace.builder, trace.parent
    if given is None or outer is None:
        raise Refused("")
    if atom not in builder.producers and atom not in builder.params:
        return wrap(atom, x._kind, outer)  # it has been captured, as what examples share is
    eqns = needed_for(atom, builder.eqns)
    if any(_acts(eqn) for eqn in eqns):
        raise Refused(DRAWN)
    read = {atom, *(operand for eqn in eqns for operand in eqn.operands)}
    params = [p for p in builder.params if p in read]
    if any(p not in given for p in params):
        raise Refused("it is another value for each example of vmap")
    function, captured = close("decided", params, eqns, [atom])
    operands = [*(given[p] for p in params), *captured]
    (found,) = outer.builder.inline(duplicate(function), operands)
    return wrap(found, x._kind, outer)


def needed_for(operand: Atom, eqns: Sequence[Eqn]) -> list[Eqn]:
    """Return those of some equations that a value depends on."""
    needed: set[Atom] = {operand}
    sizes: set[Symbol] = set()
    found: list[Eqn] = []
    for eqn in reversed(eqns):
        if any(r in needed for r in eqn.results) or any(s in sizes for s in eqn.op.binds):
            found.append(eqn)
            needed.update(eqn.operands)
            sizes |= mentioned(eqn)
    return found[::-1]


def key_of(owner: Any, key: Any) -> Any:
    """Return a key of a container of Python's: a traced one is what it is in the present call."""
    if not isinstance(key, TracedArray) or not isinstance(owner, _CONTAINERS) or key.shape:
        return key
    if key.dtype.kind == "b" and isinstance(owner, dict):
        return bool(key)
    return key.__index__() if key.dtype.kind in "biu" else key


_CONTAINERS = (dict, list, tuple, str, bytes, range, deque)


def _decide(guards: Guards, atom: Value, x: TracedArray, form: str) -> Any:
    builder, trace, kind = guards.builder, x._trace.root, x.dtype.kind
    outside = builder.provenance
    builder.provenance = locate(trace)
    try:
        if form == "bool":
            operand = _truth(builder, atom)
            result: Any = bool(guards.value(operand))
            guards.expect(operand, result, trace)
            return result
        if x.type.shape or kind not in ("biuf" if form == "int" else "biu"):
            raise Refused("")
        if form == "index" and kind == "b" and x._kind is not Kind.PYTHON:
            raise Refused("")  # a NumPy bool is no index
        value = guards.value(atom)
        if kind == "f":
            return _truncated(guards, atom, value, trace)
        result = bool(value) if kind == "b" else int(value)
        guards.expect(atom, result, trace)
        return int(result)
    finally:
        builder.provenance = outside


def _truth(builder: Builder, atom: Atom) -> Atom:
    """Return the truth of a value of one element.

    Raises
    ------
    ValueError
        As NumPy, for another size.
    """
    if not atom.type.is_static:
        raise Refused("")
    if atom.type.size != 1:
        raise ValueError(
            "The truth value of an array with more than one element is ambiguous. Use a.any() or "
            "a.all()"
            if atom.type.size
            else "The truth value of an empty array is ambiguous. Use `array.size > 0` to check "
            "that an array is not empty."
        )
    if atom.type.shape:
        atom = builder.one(Reshape((), atom.type.ndim), atom)
    if atom.type.dtype.kind == "b":
        return atom
    return builder.one(ELEMENTWISE[np.not_equal], atom, Literal(atom.type.dtype.type(0)))


def _truncated(guards: Guards, atom: Value, value: Any, trace: Trace) -> int:
    """Return `int(value)` of a float, guarded by its integral part: nan and inf are no integers."""
    result = int(value)
    whole = guards.builder.one(ELEMENTWISE[np.trunc], atom)
    same = guards.builder.one(
        ELEMENTWISE[np.equal], whole, Literal(np.trunc(atom.type.dtype.type(value)))
    )
    guards.expect(same, True, trace)
    return result


__all__ = ["Decision", "Guards", "Refused", "decided", "key_of", "may_decide"]
