"""Errors in the user's terms: the expression at fault, its place, and the types involved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ir.core import Value
from ..ir.errors import PullbackError
from ..ir.location import excerpt
from .source import current_location


def expression_here() -> str:
    """Return the user's expression that runs now, in backquotes, or a neutral phrase."""
    location = current_location()
    expression = location.expression if location is not None else ""
    return f"`{' '.join(expression.split())}`" if expression else "this expression"


def annotated(error: PullbackError, operands: Sequence[Any] = ()) -> PullbackError:
    """Return the error of the same class with the user's expression, place and operand types."""
    location = current_location()
    if location is None:
        return error
    lines = [f"{expression_here()[1:-1]}: {error}", "", excerpt(location)]
    for number, operand in enumerate(operands):
        atom = getattr(operand, "_atom", None)
        if atom is not None:
            name = atom.hint if isinstance(atom, Value) and atom.hint else f"operand {number}"
            lines.append(f"  {name} : {atom.type}")
    return type(error)("\n".join(lines))
