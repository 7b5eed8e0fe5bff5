"""What transformations share: a user's function traced apart, and their form outside of a trace.

A transformation is written once, as a Python function that runs inside a trace: it traces the
user's function apart, transforms that `Function`, and writes the outcome into the trace under
way. Outside of a trace this very function is compiled, which makes its programs, guards and hidden
inputs those of `compile`.
"""

from __future__ import annotations

import functools
import types
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from ..arguments import Argnums, Arguments, Wanted
from ..compiled import Compiled, Options, check_callable, name_of, traced_nested
from ..ir.core import Atom, Function, Value
from ..ir.types import Kind
from ..tracer.array import TracedArray
from ..tracer.functions.shape import copy
from ..tracer.nested import inline_function
from ..tracer.state import current
from ..tracer.trace import Traced


class Apart(NamedTuple):
    """A user's function traced apart from the trace under way.

    `traced` has the function (one parameter for each leaf of the arguments, then one for each
    captured value of the outer trace), its result structure and the number of results that belong
    to the output (the others are aux). `operands` are what to call the function with. `wanted` says
    which parameters `argnums` names, and their structures.
    """

    traced: Traced
    operands: list[Atom]
    wanted: Wanted

    def inline(self, function: Function, more: Sequence[Any] = ()) -> tuple[Any, ...]:
        """Write a function into the trace, called with the operands and `more` trailing values."""
        return inline_function(function, [*self.operands, *more])


def traced_apart(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
    *,
    argnums: Argnums | None = None,
    has_aux: bool = False,
    allow_int: bool = False,
    arguments: Arguments | None = None,
) -> Apart:
    """Trace a function apart, within the trace under way.

    Parameters
    ----------
    argnums
        What to differentiate, as for `grad`; None: every positional argument that has a tangent.
    arguments
        How the function's arguments are taken; made from its signature where it is left out.

    Raises
    ------
    DifferentiationError
        Where an argument to differentiate is not floating point.
    """
    kwargs = kwargs or {}
    arguments = arguments or Arguments(function, (), ())
    chosen = tuple(range(len(args))) if argnums is None else argnums
    wanted = arguments.wanted(args, kwargs, chosen, allow_int, argnums is None)
    traced, operands = traced_nested(function, arguments, args, kwargs, has_aux)
    return Apart(traced, operands, wanted)


def owned(value: TracedArray) -> Any:
    """Return an array in memory of its own: a copy of what is the caller's, or a view of that."""
    return copy(value) if value._kind is Kind.ARRAY and _is_given(value) else value


def _is_given(value: TracedArray) -> bool:
    atom, producers = value._atom, value._trace.builder.producers
    if not value.shape:  # what passes make of it may be the caller's
        return isinstance(atom, Value)
    while isinstance(atom, Value) and atom in producers and producers[atom].op.is_view:
        atom = producers[atom].operands[0]
    return isinstance(atom, Value) and atom not in producers


class Transformation:
    """A transformation that is called with a function and its arguments: `jvp(f, primals, ...)`.

    `apply(function, *args, **kwargs)` runs inside a trace. Programs are kept for each code object:
    a lambda that is made anew at each call is not compiled anew.
    """

    def __init__(self, name: str, apply: Callable[..., Any]) -> None:
        self.name = name
        self.apply = apply
        self._known: weakref.WeakKeyDictionary[Any, Compiled] = weakref.WeakKeyDictionary()

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if current() is not None:
            return self.apply(function, *args, **kwargs)
        return self.compiled(function)(function, *args, **kwargs)

    def compiled(self, function: Callable[..., Any]) -> Compiled:
        """Return the compiled form that a function's calls share."""
        check_callable(self.name, function)
        return by_code(self._known, function, lambda: Compiled(self.apply, Options("compile")))


K = TypeVar("K")


def by_code(
    known: weakref.WeakKeyDictionary[Any, K], function: Callable[..., Any], make: Callable[[], K]
) -> K:
    """Return what is kept for the code object of a function, made where there is none."""
    key: Any = function
    while isinstance(key, types.MethodType | functools.partial):
        key = key.__func__ if isinstance(key, types.MethodType) else key.func
    key = getattr(key, "__code__", key)
    try:
        found = known.get(key)
        if found is None:
            found = known[key] = make()
    except TypeError:  # what cannot be referenced weakly
        found = make()
    return found


def transformed(
    function: Callable[..., Any],
    apply: Callable[..., Any],
    name: str,
    static_argnums: int | Sequence[int] = (),
    static_argnames: str | Sequence[str] = (),
    exact: bool = False,
) -> Compiled:
    """Return the callable of a transformation that gives a function: `jacobian(f)`.

    `apply(*args, **kwargs)` runs inside a trace, with the arguments of the function.
    """
    check_callable(name, function)
    apply.__name__ = name_of(function)  # where the function has no name to be taken over
    wrapped = functools.update_wrapper(apply, function)
    return Compiled(wrapped, Options("compile", exact=exact), static_argnums, static_argnames)


__all__ = ["Apart", "Transformation", "by_code", "owned", "traced_apart", "transformed"]
