"""A branch that does nothing but raise becomes a check, made when the program runs.

`if x < 0: raise ValueError(f"{x} is negative")` is one `ensure`: what follows the branch goes on
under the condition that it has not raised. `assert` is the same. So neither needs to know which way
the present arguments go.
"""

from __future__ import annotations

import builtins
import dis
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.core import Atom, Eqn, Literal, Provenance
from ..ir.location import Location
from ..ir.ops.check import Ensure, Filled
from .array import TracedArray, lift
from .guards import Guards, Refused
from .plain import plain_assert
from .regions import Region, Unstageable
from .state import Trace, locate
from .text import TracedText

_PREFIX = "__pb_"
_RAISE = frozenset({dis.opmap["RAISE_VARARGS"]})


def is_raised_by_user(error: BaseException) -> bool:
    """Whether a `raise` or `assert` of a rewritten function has raised an exception."""
    traceback = error.__traceback__
    if traceback is None or not isinstance(error, Exception):
        return False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    code = traceback.tb_frame.f_code
    is_ours = any(name.startswith(_PREFIX) for name in code.co_freevars)
    return code is plain_assert.__code__ or (is_ours and code.co_code[traceback.tb_lasti] in _RAISE)


def may_be_caught(error: BaseException, trace: Trace) -> bool:
    """Whether a `try` of the user's, around what is traced now, may catch an exception."""
    caught: Sequence[frozenset[str]] = getattr(trace.root.inputs, "catching", ())
    names = {c.__name__ for c in type(error).__mro__}
    return any(not c or c & names for c in caught)


def raised(error: BaseException, region: Region) -> Eqn:
    """Write into a region the check that always raises an exception; return it.

    Raises
    ------
    Unstageable
        Where the exception holds what no program can make.
    """
    kind = type(error)
    operands: list[Atom] = []
    parts = [("", v) for v in error.args]
    parts += [(n, v) for n, v in vars(error).items() if n != "__notes__"]
    holds = tuple([_filled(name, value, operands, region) for name, value in parts])
    is_builtin = getattr(builtins, kind.__name__, None) is kind
    op = Ensure(True, kind.__name__ if is_builtin else kind, holds)
    here = locate(region)
    inner = _stack(error)
    frames = (*inner, *here.frames[1:]) if inner else here.frames
    region.builder.provenance = Provenance(frames, errors=here.errors)
    region.builder.emit(op, [Literal(np.False_), *operands])
    return region.builder.eqns[-1]


def _stack(error: BaseException) -> tuple[Location, ...]:
    found: list[Location] = []
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if any(name.startswith(_PREFIX) for name in code.co_freevars):
            found.append(Location.at(code, traceback.tb_lasti))
        traceback = traceback.tb_next
    return tuple(reversed(found))


def _filled(name: str, value: Any, operands: list[Atom], region: Region) -> Filled:
    if isinstance(value, TracedText):
        operands += [v.atom for v in value.values]
        forms = tuple([v.form for v in value.values])
        options = tuple([v.options for v in value.values])
        given = options if any(options) else ()
        return Filled(name, pieces=value.pieces, forms=forms, options=given)
    if isinstance(value, TracedArray):
        atom, kind = lift(value, region)
        operands.append(atom)
        return Filled(name, forms=(kind.value,))
    if _is_constant(value):
        return Filled(name, value)
    if type(value) is tuple:
        return Filled(name, parts=tuple([_filled("", v, operands, region) for v in value]))
    raise Unstageable(f"it raises an exception that holds a {type(value).__name__}")


def _is_constant(value: Any) -> bool:
    if type(value) is tuple:
        return all(map(_is_constant, value))
    return value is None or type(value) in (str, bytes, bool, int, float, complex)


class Checks:
    """The checks of a function, outside of its loops and branches, while it is traced.

    What comes after a check relies on it. Where tracing fails for that reason, the check's own
    exception is what plain Python raises.
    """

    def __init__(self) -> None:
        self._eqns: list[Eqn] = []

    def add(self, eqn: Eqn) -> None:
        """Remember a check, or the branch that has it."""
        self._eqns.append(eqn)

    def verify(self, guards: Guards) -> None:
        """Raise what the first check raises that does not hold for the present arguments."""
        for eqn in self._eqns:
            try:
                for atom in eqn.operands:
                    guards.value(atom)
            except Refused:
                return
            guards.partial.compute([eqn])


__all__ = ["Checks", "is_raised_by_user", "may_be_caught", "raised"]
