"""What rewrites ask of the values before them."""

from __future__ import annotations

import numpy as np

from ..ir.builder import Builder
from ..ir.core import Atom, Eqn, Literal, Value
from ..ir.ops.shape import BroadcastTo
from ..ir.types import ArrayType


def made(builder: Builder, atom: Atom) -> Eqn | None:
    """Return the equation that makes a value."""
    return builder.producers.get(atom) if isinstance(atom, Value) else None


def number(builder: Builder, atom: Atom) -> float | None:
    """Return the real number that a value is everywhere, None where it is not known to be one."""
    eqn = made(builder, atom)
    if eqn is not None and isinstance(eqn.op, BroadcastTo):
        atom = eqn.operands[0]
    if isinstance(atom, Literal) and atom.type.size == 1 and atom.type.dtype.kind == "f":
        return float(np.asarray(atom.value).reshape(()))
    return None


def filled(builder: Builder, value: float, type: ArrayType) -> Atom:
    """Return a number as a value of a type."""
    scalar = Literal(type.dtype.type(value))
    if not type.shape:
        return scalar
    return builder.one(BroadcastTo(type.shape, 0), scalar)


__all__ = ["filled", "made", "number"]
