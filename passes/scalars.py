"""Work on small operands before large ones, and only once.

Products of scalars, or of a scalar and a row, are formed before they meet the matrix; `b * a` is
`a * b`.

Before::

    def f(x: f64[100, 3], r: f64[3], s: f64) -> f64[100, 3]:
        a : f64[100, 3] = r * x
        b : f64[100, 3] = s * a
        return b

After::

    def f(x: f64[100, 3], r: f64[3], s: f64) -> f64[100, 3]:
        a : f64[3] = s * r
        b : f64[100, 3] = a * x
        return b
"""

from __future__ import annotations

import math
import operator

import numpy as np

from ..ir.builder import Builder
from ..ir.core import Atom, Literal
from ..ir.errors import ShapeError
from ..ir.op import Effect, Op, broadcast
from ..ir.ops.elementwise import add, divide, multiply
from ..ir.ops.shape import BroadcastTo, Reshape
from .facts import made, unspread

_VIEWS: frozenset[type[Op]] = frozenset({Reshape, BroadcastTo})


def untangled(builder: Builder, op: Op, operands: tuple[Atom, ...]) -> tuple[Atom, ...] | None:
    """Compute with what was broadcast: NumPy broadcasts by itself, and the result can be, after.

    Returns the results of the cheaper equation, None where no operand was broadcast.
    """
    producers = builder.producers
    for a in operands:
        if a.__class__ is Literal:
            if a.type.shape:
                break
        elif a in producers and producers[a].op.__class__ in _VIEWS:  # type: ignore[index]
            break
    else:
        return None
    sources = [before_broadcast(builder, a) for a in operands]
    if all(map(operator.is_, sources, operands)):
        return None
    shape = broadcast([a.type.shape for a in operands])
    kept = list(operands)
    for k, source in enumerate(sources):
        trial = [source if j == k else a for j, a in enumerate(kept)]
        try:
            fits = len(shape) == len(broadcast([a.type.shape for a in trial]))
        except ShapeError:
            continue
        # Axes of size 1 may stand for broadcast ones only if they stay aligned from the right.
        if fits or not source.type.shape:
            kept = trial
    if all(a is b for a, b in zip(kept, operands, strict=True)):
        return None
    smaller = broadcast([a.type.shape for a in kept])
    if smaller == shape:
        return builder.emit(op, kept)
    if op.effect is not Effect.PURE:
        return None
    (result,) = builder.emit(op, kept)
    return builder.emit(BroadcastTo(shape, result.type.ndim), (result,))


def before_broadcast(builder: Builder, atom: Atom) -> Atom:
    """Return what a value was broadcast from; a literal of one element as a scalar literal."""
    producer = made(builder, atom)
    source = unspread(producer)
    if source is not None:
        atom = source
    elif producer is not None and isinstance(producer.op, Reshape):
        (source,) = producer.operands
        atom = atom if source.type.shape else source
    if isinstance(atom, Literal) and atom.type.size == 1 and atom.type.shape:
        return Literal(np.asarray(atom.value).reshape(())[()])
    return atom


def merged(builder: Builder, op: Op, operands: tuple[Atom, ...]) -> tuple[Atom, ...] | None:
    """Return the results of the same sum or product with its operands swapped, if it is there."""
    if (op is add or op is multiply) and operands[0] is not operands[1]:
        known = builder.find((op, operands[::-1]))
        if known is not None:
            return known.results
    return None


def combined(builder: Builder, op: Op, operands: tuple[Atom, ...]) -> tuple[Atom, ...] | None:
    """Return s * (r * x) as (s * r) * x, and (r * x) / s as (r / s) * x, s and r being small."""
    if op is multiply:
        for small, large in (operands, operands[::-1]):
            found = _into(builder, op, small, large)
            if found is not None:
                return found
    elif op is divide:
        return _into(builder, op, operands[1], operands[0])
    return None


def _into(builder: Builder, op: Op, small: Atom, large: Atom) -> tuple[Atom, ...] | None:
    producer = made(builder, large)
    if producer is None or producer.op is not multiply or isinstance(small, Literal):
        return None
    for factor, rest in (producer.operands, producer.operands[::-1]):
        if rest.type != large.type or not _is_smaller(small, factor, large):
            continue
        pair = (small, factor) if op is multiply else (factor, small)
        return builder.emit(multiply, (builder.one(op, *pair), rest))
    return None


def _is_smaller(a: Atom, b: Atom, whole: Atom) -> bool:
    """Whether a and b broadcast to at most half of an array."""
    shapes = (a.type.shape, b.type.shape, whole.type.shape)
    if not all(isinstance(d, int) for shape in shapes for d in shape):
        return not a.type.shape and not b.type.shape and bool(whole.type.shape)
    together: int = math.prod(broadcast(shapes[:2]))  # type: ignore[arg-type]
    return 0 < 2 * together <= math.prod(shapes[2])


__all__ = ["before_broadcast", "combined", "merged", "untangled"]
