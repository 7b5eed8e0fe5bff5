"""What is added at positions into zeros: summed without the zeros, added without them.

The gradient of picked elements, such as the labels' in a cross-entropy, is an array of zeros but
for a few.

Before::

    def f(d: f64[4, 9], v: f64[4], i: i64[4], j: i64[4]) -> (f64[4, 9], f64[4]):
        z : f64[4, 9] = full(0.0, shape=(4, 9))
        a : f64[4, 9] = index_add(z[i, j], v)
        e : f64[4, 9] = exp(d)
        b : f64[4, 9] = e + a
        s : f64[4] = sum(a, axes=(-1,))
        return b, s

After, with two equations that only `dce` removes::

    def f(d: f64[4, 9], v: f64[4], i: i64[4], j: i64[4]) -> (f64[4, 9], f64[4]):
        z : f64[4, 9] = full(0.0, shape=(4, 9))
        a : f64[4, 9] = index_add(z[i, j], v)
        e : f64[4, 9] = exp(d)
        b : f64[4, 9] = index_add(e[i, j], v)
        y : f64[4] = full(0.0, shape=(4,))
        s : f64[4] = index_add(y[i], v)
        return b, s
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..ir.builder import Builder
from ..ir.core import Atom, Eqn, Literal
from ..ir.dims import Size
from ..ir.op import Op
from ..ir.ops.elementwise import add, negative, subtract
from ..ir.ops.index import At, IndexAdd, Span
from ..ir.ops.reduce import Sum
from ..ir.ops.shape import Full, Reshape
from ..ir.types import ArrayType
from ..tracer.state import constant
from .facts import made, makes_zeros


def _scattered(builder: Builder, atom: Atom) -> Eqn | None:
    """Return the equation that adds into zeros, of a value that is made so."""
    eqn = made(builder, atom)
    if eqn is None or not isinstance(eqn.op, IndexAdd):
        return None
    return eqn if makes_zeros(made(builder, eqn.operands[0])) else None


def added(builder: Builder, op: Op, operands: tuple[Atom, ...]) -> tuple[Atom, ...] | None:
    """Return d + a with the elements of `a` added into d, where the rest of `a` is zero."""
    if op is not add and op is not subtract:
        return None
    for dense, part in (operands, operands[::-1]) if op is add else (operands,):
        eqn = _scattered(builder, part)
        if eqn is None or dense.type != part.type:
            continue
        if made(builder, dense) is None or dense.layout is not None:
            continue  # a parameter would be copied
        _, value, *positions = eqn.operands
        if op is subtract:
            value = builder.one(negative, value)
        return builder.emit(eqn.op, (dense, value, *positions))
    return None


def covered(builder: Builder, op: Op, operands: tuple[Atom, ...]) -> tuple[Atom, ...] | None:
    """Return x[:, 0] + v in place of adding v to x[:, 0], where that is all of x."""
    if not isinstance(op, IndexAdd) or len(operands) != 2:
        return None
    x, value = operands
    if not (x.type.is_static and value.type.is_static) or value.type.dtype != x.type.dtype:
        return None
    if value.type.size != x.type.size:
        return None
    if any(isinstance(item, Span) and item.step != 1 for item in op.index):
        return None
    shaped = builder.one(Reshape(x.type.shape, value.type.ndim), value)
    return builder.emit(add, (x, shaped))


def sum_of_scattered(builder: Builder, x: Atom, axes: Sequence[int]) -> Atom | None:
    """Return the sum of an array of zeros with elements added, from these alone."""
    eqn = _scattered(builder, x)
    if eqn is None or not isinstance(eqn.op, IndexAdd):
        return None
    return scattered_sum(builder, eqn.op, eqn.operands[1:], axes, x.type)


def scattered_sum(
    builder: Builder, op: IndexAdd, operands: Sequence[Atom], axes: Sequence[int], whole: ArrayType
) -> Atom | None:
    """Return the sum along some axes of zeros with a value added where arrays point.

    Only where each axis is indexed by an array of its own, one element for each of the value's.
    """
    value, *positions = operands
    ndim = whole.ndim
    if len(op.index) != ndim or len(positions) != ndim or value.type.ndim != 1:
        return None
    if not all(isinstance(item, At) for item in op.index):
        return None
    if any(p.type.shape != value.type.shape or p.type.dtype.kind not in "iu" for p in positions):
        return None
    left = [k for k in range(ndim) if k - ndim not in axes]
    if not left:
        return builder.one(Sum((-1,), False), value)
    sizes = tuple([whole.shape[k] for k in left])
    if len(left) == 1 and _counts(positions[left[0]], sizes[0]):
        return value
    zeros = builder.one(Full(sizes), constant(0, whole.dtype))
    index = tuple([op.index[k] for k in left])
    return builder.one(IndexAdd(index), zeros, value, *[positions[k] for k in left])


def _counts(positions: Atom, size: Size) -> bool:
    """Whether positions are 0, 1, ..., size - 1."""
    if not isinstance(positions, Literal) or positions.type.shape != (size,):
        return False
    return bool(np.array_equal(positions.value, np.arange(positions.type.size)))


__all__ = ["added", "covered", "scattered_sum", "sum_of_scattered"]
