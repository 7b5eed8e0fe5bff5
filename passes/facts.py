"""What rewrites ask of the values before them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..ir.builder import Builder
from ..ir.core import Atom, Eqn, Literal, Value
from ..ir.ops.elementwise import multiply
from ..ir.ops.shape import BroadcastTo, Full, Reshape
from ..ir.types import ArrayType
from ..tracer.state import constant


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


def unspread(eqn: Eqn | None) -> Atom | None:
    """Return what NumPy would broadcast by itself to what an equation broadcasts, if it does.

    It aligns shapes from the right, and so it does not put new axes behind leading ones.
    """
    if eqn is None or not isinstance(eqn.op, BroadcastTo):
        return None
    (source,) = eqn.operands
    is_aligned = source.type.ndim <= eqn.op.rank or len(eqn.op.shape) == eqn.op.rank
    return source if is_aligned else None


def filled(builder: Builder, value: float, type: ArrayType) -> Atom:
    """Return a number as a value of a type."""
    scalar = constant(value, type.dtype)
    if not type.shape:
        return scalar
    return builder.one(BroadcastTo(type.shape, 0), scalar)


def makes_zeros(eqn: Eqn | None) -> bool:
    """Whether an equation, if there is one, fills an array with zeros."""
    if eqn is None or not isinstance(eqn.op, Full | BroadcastTo):
        return False
    (zero,) = eqn.operands
    return isinstance(zero, Literal) and zero.type.size == 1 and not np.any(zero.value)


def outer_vectors(eqn: Eqn, producers: Mapping[Atom, Eqn]) -> tuple[Atom, Atom] | None:
    """Return the vectors of an outer product `u.reshape(n, 1) * v`, None for anything else."""
    if eqn.op is not multiply or eqn.result.type.ndim != 2:
        return None
    m, n = eqn.result.type.shape
    vectors: list[Atom | None] = [None, None]
    for operand in eqn.operands:
        maker = producers.get(operand)
        source = operand
        if operand.type.ndim == 2 and maker is not None and isinstance(maker.op, Reshape):
            source = maker.operands[0]
        if source.type.ndim != 1:
            return None
        vectors[0 if operand.type.shape == (m, 1) else 1] = source
    u, v = vectors
    if u is None or v is None or u.type.shape != (m,) or v.type.shape != (n,):
        return None
    return u, v


__all__ = ["filled", "made", "makes_zeros", "number", "outer_vectors", "unspread"]
