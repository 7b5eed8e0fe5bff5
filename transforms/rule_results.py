"""What derivative rules return, checked against what they are rules of."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..ir.core import Atom
from ..ir.errors import PullbackError, ShapeError, StructureError, with_article
from ..ir.location import place_of
from ..ir.types import ArrayType, Kind
from ..tracer.array import TracedArray, lift
from ..tracer.functions.shape import cast
from ..tracer.state import Trace
from ..tracer.tree import (
    LEAF,
    Node,
    Static,
    Structure,
    children_of,
    flatten,
    is_leaf,
    step,
    unflatten,
)

_WEAK = {"b": "", "i": "iu", "u": "iu", "f": "iuf", "c": "iufc"}
"""By the kind of a dtype, of which Python numbers may stand for a value of it."""


def shown(rule: Callable[..., Any]) -> str:
    """Return what errors call a rule: its name, file and line."""
    code = getattr(rule, "__code__", None)
    name = str(getattr(rule, "__name__", type(rule).__name__))
    if code is None:
        return f"`{name}`"
    return f"`{name}` ({place_of(code.co_filename, code.co_firstlineno)})"


def check_parameters(who: str, rule: Callable[..., Any], given: Sequence[str]) -> None:
    """Raise unless a rule can be called with what it is given, by position.

    Parameters
    ----------
    given
        What messages call the arguments.

    Raises
    ------
    StructureError
    """
    try:
        signature = inspect.signature(rule)
    except (TypeError, ValueError):  # a callable without a signature
        return
    try:
        signature.bind(*given)
    except TypeError:
        names = ", ".join(given[:-1]) + (" and " if given[1:] else "") + given[-1] if given else ""
        count = "1 argument" if len(given) == 1 else f"{len(given)} arguments"
        parameters = ", ".join(signature.parameters)
        raise StructureError(
            f"{who} is called with {count}, and takes ({parameters}).\n"
            f"  Let it take {names or 'none'}."
        ) from None


def taken(value: Any, trace: Trace) -> tuple[Structure, list[tuple[Atom, Kind]]]:
    """Return the structure of what a function returned, and its leaves as atoms."""
    leaves: list[Any] = []
    structure = flatten(value, leaves)
    return structure, [lift(leaf, trace) for leaf in leaves]


class Expected:
    """What a rule has to return: something like a structure, with leaves of certain types.

    `who` names the rule and `what` says what it returns: both stand in errors. With `has_zeros` a
    None is a zero.
    """

    def __init__(self, who: str, what: str, has_zeros: bool = True) -> None:
        self.who = who
        self.what = what
        self.has_zeros = has_zeros

    def values(self, structure: Structure, value: Any, path: str) -> Iterator[tuple[str, Any]]:
        """Yield for each leaf of a structure its path and value; None for what is left out.

        Raises
        ------
        StructureError
            Where the value has another structure.
        """
        if value is None and not self.has_zeros and not isinstance(structure, Static):
            raise self._structure(path, structure, value)
        if isinstance(structure, Node):
            parts: Sequence[Any] = [None] * len(structure.children)
            if value is not None:
                found = None if is_leaf(value) else children_of(value)
                if (
                    found is None
                    or type(value) is not structure.type
                    or found[0] != structure.static
                ):
                    raise self._structure(path, structure, value)
                parts = found[1]
            for k, (child, part) in enumerate(zip(structure.children, parts, strict=True)):
                way = step(structure.type, structure.static, k)
                yield from self.values(child, part, f"{path}{way}")
        elif structure is LEAF:
            if value is not None and not is_leaf(value) and not _is_python_number(value):
                raise self._structure(path, LEAF, value)
            yield path, value

    def arguments(
        self, arguments: Sequence[tuple[str, Structure]], returned: Any
    ) -> Iterator[tuple[str, Any]]:
        """Yield the path and value for each leaf of arguments, for which a tuple was returned.

        Raises
        ------
        StructureError
        """
        if not isinstance(returned, tuple) or len(returned) != len(arguments):
            names = ", ".join(f"`{name}`" for name, _ in arguments)
            what = f"{len(returned)}" if isinstance(returned, tuple) else _described(returned)
            raise StructureError(
                f"{self.who} must return a tuple with {self.what} for each argument, and returned "
                f"{what}.\n  expected {len(arguments)}: of {names}"
            )
        for (name, structure), value in zip(arguments, returned, strict=True):
            yield from self.values(structure, value, name)

    def atom(self, type: ArrayType, value: Any, path: str, trace: Trace) -> Atom | None:
        """Return a leaf as an atom of the type, None for a zero.

        Raises
        ------
        ShapeError
        """
        if value is None or not type.is_inexact:
            return None  # of integers there is no derivative, whatever stands here
        atom, kind = lift(value, trace)
        self.check(type, atom.type, value, path)
        if atom.type.dtype != type.dtype:
            made: TracedArray = cast(TracedArray(atom, kind, trace), type.dtype)
            return made._atom
        return atom

    def array(self, type: ArrayType, value: Any, path: str) -> Any:
        """Return a leaf as an array of the type and of its own; zeros for None.

        Raises
        ------
        ShapeError
        """
        shape: Any = type.shape
        if value is None:
            return np.zeros(shape, type.dtype)[()]
        array = np.asarray(value)
        known = array.dtype.kind in "biufc"
        self.check(type, ArrayType(array.dtype, array.shape) if known else None, value, path)
        made = np.array(array, type.dtype, order="C")
        return made if shape else made[()]

    def check(self, type: ArrayType, found: ArrayType | None, value: Any, path: str) -> None:
        """Raise where a leaf has another type; Python numbers take any dtype that holds them.

        Raises
        ------
        ShapeError
        """
        if (
            found is None
            or found.shape != type.shape
            or (
                found.dtype.kind not in _WEAK[type.dtype.kind]
                if _is_python_number(value)
                else found.dtype != type.dtype
            )
        ):
            raise ShapeError(
                f"{self.who} returns {self.what} of the wrong type for `{path}`.\n"
                f"  expected {type}\n  returned {found or np.asarray(value).dtype}"
            )

    def _structure(self, path: str, structure: Structure, value: Any) -> PullbackError:
        found = "an array or a number" if is_leaf(value) else str(flatten(value, []))
        wanted = "an array or a number" if structure is LEAF else str(structure)
        return StructureError(
            f"{self.who} returns {self.what} of the wrong structure for `{path}`.\n"
            f"  expected {wanted}\n  returned {found}"
        )


def _is_python_number(value: Any) -> bool:
    """Whether a value is a Python number, which stands for a value of any precision."""
    if isinstance(value, TracedArray):
        return value._kind is Kind.PYTHON
    is_number = isinstance(value, int | float | complex) and not isinstance(value, np.generic)
    return is_number and not isinstance(value, bool)


def _described(value: Any) -> str:
    if is_leaf(value):
        return "an array"
    return "None" if value is None else f"{with_article(type(value).__name__)}, which is no tuple"


def same_output(
    who: str,
    structure: Structure,
    types: Sequence[ArrayType],
    found: Structure,
    leaves: Sequence[tuple[Atom, Kind]],
    of: str,
) -> None:
    """Raise where a rule returns another output than the function.

    Raises
    ------
    StructureError, ShapeError
    """
    if structure != found:
        raise StructureError(
            f"{who} must return the output that `{of}` returns, and it has another structure.\n"
            f"  expected {structure}\n  returned {found}"
        )
    for type, (atom, _) in zip(types, leaves, strict=True):
        if type != atom.type:
            raise ShapeError(
                f"{who} must return the output that `{of}` returns, and it has another type.\n"
                f"  expected {type}\n  returned {atom.type}"
            )


def tangents_of(structure: Structure, tangents: Iterator[Any], inexact: Iterator[bool]) -> Any:
    """Return tangents in the structure of primals: zeros for integers, None for other statics."""

    def zero(part: Structure) -> Structure:
        if isinstance(part, Node):
            return Node(part.type, part.static, tuple(map(zero, part.children)))
        if isinstance(part, Static):
            is_number = isinstance(part.value, int) and not isinstance(part.value, bool)
            return Static(0 if is_number else None)
        return part

    def leaves() -> Iterator[Any]:
        for is_inexact in inexact:
            yield next(tangents) if is_inexact else 0

    return unflatten(zero(structure), leaves())


__all__ = ["Expected", "check_parameters", "same_output", "shown", "taken", "tangents_of"]
