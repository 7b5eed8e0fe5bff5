"""The traces under way in this thread, innermost last, and how operations are written into them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from types import CodeType, MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.builder import Builder
from ..ir.core import Atom, Literal, Mark, Provenance, Value
from ..ir.errors import EscapedError
from ..ir.location import Location, excerpt
from .foreign import read
from .report import located, restated
from .source import current_location, current_stack

if TYPE_CHECKING:
    from .array import TracedArray
    from .regions import Region


ENTRY: list[CodeType] = []
"""The code that starts a trace: frames outside of it are the caller's, not the program's."""


class LiteralInputs:
    """The inputs of a trace of library code: an array met there is a constant."""

    errors: Mapping[str, str] = MappingProxyType({})
    is_differentiated = True

    def array(self, value: np.ndarray) -> Atom:
        """Return a constant."""
        return Literal(value)

    def foreign(self, value: Any) -> np.ndarray:
        """Return an array of another library as an ndarray."""
        return read(value, type(value).__name__)

    def lift(self, value: Any) -> Any:
        """Return the value as it is."""
        return value

    def holds(self, value: Any) -> bool:
        """Whether an array has been met: none has."""
        return False


_LITERALS = LiteralInputs()


class Trace:
    """One function being built.

    `fixed`, when set, is the provenance of everything emitted (a gradient rule belongs to the
    primal equation it came from). `region` is the innermost loop body or branch under way inside
    of it, if any. `marks` are the checkpoints under way that were entered in this very trace.
    `given` says what parameters are in the trace around it, for a function that is called there
    once: not what is one of many examples. `is_plain` where no derivative is taken of it, since it
    has a rule.
    """

    __slots__ = (
        *("_outermost", "active", "builder", "fixed", "given", "inputs", "is_plain", "marks"),
        *("parent", "region"),
    )

    def __init__(self, builder: Builder, parent: Trace | None, inputs: Any = None) -> None:
        self.builder = builder
        self.parent = parent
        # None for itself: what holds itself waits for the garbage collector, and all that it holds.
        self._outermost: Trace | None = None if parent is None else parent.root
        self.inputs: Any = (inputs or _LITERALS) if parent is None else parent.root.inputs
        self.fixed: Provenance | None = None
        self.active = True
        self.region: Region | None = None
        self.given: Mapping[Value, Atom] | None = None
        self.is_plain = False
        self.marks: tuple[Mark, ...] = ()

    @property
    def root(self) -> Trace:
        """The outermost trace, which owns the hidden inputs."""
        return self if self._outermost is None else self._outermost

    def __enter__(self) -> Trace:
        _threads.stack.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        stack = _threads.stack
        while self in stack and stack[-1] is not self:  # an interrupt came before they had ended
            stack[-1].abandon()
        self.active = False
        stack.remove(self)

    def abandon(self) -> None:
        """End it before its time."""
        Trace.__exit__(self)


class _Threads(threading.local):
    def __init__(self) -> None:
        self.stack: list[Trace] = []


_threads = _Threads()


def current() -> Trace | None:
    """Return the innermost trace of this thread, or None outside of tracing."""
    stack = _threads.stack
    return stack[-1] if stack else None


def require(where: str, operands: Sequence[Any] = ()) -> Trace:
    """Return the innermost trace.

    Raises
    ------
    EscapedError
        Outside of tracing: `where` met a traced value, among the operands, that outlived its call.
    """
    stack = _threads.stack
    if not stack:
        raise escaped(next((o for o in operands if hasattr(type(o), "__pullback_leaf__")), None))
    return stack[-1]


def escaped(value: TracedArray | None = None) -> EscapedError:
    """Return the error for a traced value used after the call that made it."""
    made = _maker(value) if value is not None else None
    where = f"  It was made here:\n{excerpt(made)}\n" if made is not None else ""
    error = EscapedError(
        "a traced value is used after the call that made it has ended.\n"
        f"{where}"
        "  It was kept in a global, an attribute or a container while the function was traced.\n"
        "  Return the value from the function instead."
    )
    location = current_location()
    return error if location is None else restated(error, located(str(error), location))


def _maker(value: TracedArray) -> Location | None:
    """Return where a traced value was made, if by an operation."""
    for eqn in value._trace.builder.eqns:
        if value._atom in eqn.results:
            return eqn.provenance.location
    return None


def locate(trace: Trace) -> Provenance:
    """Return the provenance of what the user's code does now."""
    if trace.fixed is not None:
        return trace.fixed
    errors = trace.root.inputs.errors
    frames = current_stack(ENTRY[0] if ENTRY else None)
    return Provenance(frames, errors=errors or None, marks=trace.marks)


def constant(value: Any, dtype: np.dtype) -> Literal:
    """Return a scalar literal of a dtype."""
    return Literal(dtype.type(value))


def named(atom: Atom, hint: str) -> None:
    """Give a value the user's name, if it has none yet."""
    if isinstance(atom, Value) and atom.hint is None:
        atom.hint = hint


__all__ = [
    "Trace",
    "constant",
    "current",
    "escaped",
    "locate",
    "named",
    "require",
]
