"""An op for many examples at once, by its leading axes.

An operand that is mapped has a new leading axis with one entry for each example. Elementwise ops
broadcast, and structured ops count their axes from the right, so most ops take such operands as
they are. What is left to do is to put axes of size 1 behind the new one where an operand has fewer
axes than another, and to repeat operands that are not mapped where the op does not broadcast them.
Whether an op takes what it is then given, its types say.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .dims import Dim, Symbol
from .errors import PullbackError
from .op import Array, Effect, Op
from .types import ArrayType, Shape

_EXAMPLES = Dim.of(Symbol("b", 2))
"""A size of the leading axis that is equal to no other, so that no axes fit by chance."""

_MISFITS = (PullbackError, TypeError, ValueError, IndexError)
Lead = tuple[int | None, ...]
"""For each operand, how many axes of size 1 follow the leading one; None: it has no such axis."""


def by_leading_axes(op: Op, mapped: Sequence[bool], operands: Sequence[Array]) -> Any:
    """Return the results of an op for all examples, None where it takes no leading axes."""
    types = [
        ArrayType(x.dtype, x.shape[1:] if m else x.shape)
        for x, m in zip(operands, mapped, strict=True)
    ]
    lead = leading(op, mapped, types)
    if lead is None:
        return None
    (size, *_) = [x.shape[0] for x, m in zip(operands, mapped, strict=True) if m]
    from .ops.index import apply

    return apply(
        op,
        *[
            x if k is None else with_lead(repeated(x, m, size), k)
            for x, m, k in zip(operands, mapped, lead, strict=True)
        ],
    )


def repeated(x: Array, is_mapped: bool, size: Any) -> Array:
    """Return an operand with the leading axis, along which it is repeated if it is not mapped."""
    return x if is_mapped else np.broadcast_to(x, (size, *x.shape))


def with_lead(x: Array, count: int) -> Array:
    """Return an array with so many axes of size 1 behind its first."""
    if not count:
        return x
    from .ops.index import apply
    from .ops.shape import Reshape

    return apply(Reshape((*[1] * count, *x.shape[1:]), x.ndim - 1), x)


def leading(op: Op, mapped: Sequence[bool], types: Sequence[ArrayType]) -> Lead | None:
    """Return how an op is given operands of these types for one example, None if it cannot be."""
    if op.effect is Effect.ORDERED or op.regions or op.binds or True not in mapped:
        return None
    most = max([t.ndim for t in types])
    if op.is_elementwise:
        return tuple([most - t.ndim if m else None for t, m in zip(types, mapped, strict=True)])
    try:
        wanted = [(_EXAMPLES, *t.shape) for t in op.infer(*types)]
    except _MISFITS:
        return None
    for lead in _choices(mapped, types, most):
        if _shapes(op, types, lead) == wanted:
            return lead
    return None


def _choices(mapped: Sequence[bool], types: Sequence[ArrayType], most: int) -> Iterator[Lead]:
    """Yield what an op may take, first without repeating operands that are not mapped."""
    for repeats in (False, True):
        if repeats and all(mapped):
            return
        yield from itertools.product(
            *[
                range(most - t.ndim + 1) if m or repeats else (None,)
                for t, m in zip(types, mapped, strict=True)
            ]
        )


def _shapes(op: Op, types: Sequence[ArrayType], lead: Lead) -> list[Shape] | None:
    """Return the shapes of the results for operands with leading axes, None if they do not fit."""
    given = [
        t if k is None else t.with_shape((_EXAMPLES, *[1] * k, *t.shape))
        for t, k in zip(types, lead, strict=True)
    ]
    try:
        return [t.shape for t in op.infer(*given)]
    except _MISFITS:
        return None


__all__ = ["by_leading_axes", "leading", "repeated", "with_lead"]
