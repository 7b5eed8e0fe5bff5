"""Sums: factors that are constant along the axes come out, and what is known of the rest is used.

The sum of a broadcast value is a multiple of it, that of a product with a constant factor is a
product. In cotangents a sum along axes of size 1 is a reshape, elements added into zeros are summed
alone, and what cancels is zero.

Before::

    def f(x: f64[100, 3], s: f64) -> (f64[3], f64[3]):
        a : f64[100, 3] = s * x
        b : f64[3] = sum(a, axes=(-2,))
        c : f64[100, 3] = broadcast_to(s, shape=(100, 3), rank=0)
        d : f64[3] = sum(c, axes=(-2,))
        return b, d

After::

    def f(x: f64[100, 3], s: f64) -> (f64[3], f64[3]):
        a : f64[3] = sum(x, axes=(-2,))
        b : f64[3] = s * a
        c : f64 = 100.0 * s
        d : f64[3] = broadcast_to(c, shape=(3,), rank=0)
        return b, d
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.builder import Builder
from ..ir.core import Atom, Value
from ..ir.ops.contract import BATCH_LABELS, MOST_OPERANDS, adjoint, batch_labels
from ..ir.ops.einsum import Einsum
from ..ir.ops.elementwise import divide, multiply, negative
from ..ir.ops.reduce import Sum, reduced_shape
from ..ir.ops.shape import BroadcastTo, Reshape
from ..tracer.array import computed
from ..tracer.state import Trace, constant
from .cancel import cancels, remaining
from .facts import filled, made, unspread
from .rewrite import Class
from .scatter import sum_of_scattered


def summed(builder: Builder, op: Sum, x: Atom, allow: Class) -> tuple[Atom, ...] | None:
    """Return what a sum is replaced by, None to keep it."""
    (type,) = op.infer(x.type)
    other = builder.find((Sum(op.axes, not op.keepdims), (x,)))
    if other is not None and type.shape:  # the same sum with its axes kept, or without them
        return builder.emit(Reshape(type.shape, other.result.type.ndim), other.results)
    if allow < Class.REASSOCIATE:
        return None
    multiple = _sum_of_constant(builder, op, x)
    if multiple is not None:
        return multiple
    if allow < Class.STABLE or not builder.provenance.is_adjoint:
        return _sum_of_product(builder, op, x) or _sum_of_outer(builder, op, x)
    return (
        _sum_of_cotangent(builder, op, x)
        or _sum_of_product(builder, op, x)
        or _sum_of_quotient(builder, op, x)
        or _sum_of_outer(builder, op, x)
    )


def _sum_of_constant(builder: Builder, op: Sum, x: Atom) -> tuple[Atom, ...] | None:
    """Return n * v for the sum of a value that was broadcast along all n elements of the axes."""
    source = unspread(made(builder, x))
    if source is None or x.type.dtype.kind != "f":
        return None
    sizes = [x.type.shape[a] for a in op.axes]
    if not all(isinstance(n, int) for n in sizes) or x.type.dtype.itemsize == 2:
        return None
    if not _is_constant_along(source, op.axes):
        return None
    (type,) = op.infer(x.type)
    count = constant(math.prod(sizes), x.type.dtype)
    scaled = _reduced(builder, op, builder.one(multiply, count, source))
    if scaled.type != type:
        scaled = builder.one(BroadcastTo(type.shape, scaled.type.ndim), scaled)
    return (scaled,)


def _sum_of_product(builder: Builder, op: Sum, x: Atom) -> tuple[Atom, ...] | None:
    """Return -sum(x) for sum(-x), and c * sum(x) for sum(c * x), c constant along the axes."""
    producer = made(builder, x)
    if producer is None:
        return None
    if producer.op is negative:
        return builder.emit(negative, builder.emit(op, producer.operands))
    # In half precision a sum without its factor soon overflows.
    if producer.op is multiply and x.type.dtype != np.float16:
        for k in (0, 1):
            factor, other = producer.operands[k], producer.operands[1 - k]
            if other.type == x.type and _is_constant_along(factor, op.axes):
                (inner,) = builder.emit(op, (other,))
                return builder.emit(multiply, (_reduced(builder, op, factor), inner))
    return None


def _sum_of_outer(builder: Builder, op: Sum, x: Atom) -> tuple[Atom, ...] | None:
    """Return a matrix product for the sum of a product that is larger than each of its factors.

    The gradient of a weight is one, as the sum of the outer products of all examples.
    """
    if x.type.dtype.char not in "fdFD" or not x.type.is_static:
        return None
    if x.type.ndim > len(BATCH_LABELS):
        return None
    factors = _factors(builder, x, x.type.size, MOST_OPERANDS)
    if factors is None or len(factors) < 2:
        return None
    if not any(sum(_extends(f, a) for f in factors) > 1 for a in op.axes):
        return None
    names = batch_labels(x.type.ndim)
    kept = "".join(c for k, c in enumerate(names, -len(names)) if k not in op.axes)
    (type,) = op.infer(x.type)
    apart = Builder()
    with Trace(apart, None) as trace:
        trace.fixed = builder.provenance
        params = [apart.param(Value(f.type, layout=f.layout)) for f in factors]
        terms = [(computed(p, trace), batch_labels(p.type.ndim)) for p in params]
        sizes = [x.type.shape[names.index(c)] for c in kept]
        found: Any = np.reshape(adjoint(terms[0], terms[1:], sizes, kept), type.shape)
    if any(isinstance(e.op, Einsum) for e in apart.eqns):
        return None  # no order of products is without a larger one
    return builder.inline(apart.finish("products", [found._atom]), factors)


def _factors(builder: Builder, x: Atom, size: int, most: int) -> list[Atom] | None:
    """Return the factors of a product of `size` elements.

    None where one has as many, or there are more than `most`.
    """
    if 0 < x.type.size < size:
        return [x]
    producer = made(builder, x)
    if most < 2 or producer is None or producer.op is not multiply:
        return None
    left, right = producer.operands
    found = _factors(builder, left, size, most - 1)
    others = None if found is None else _factors(builder, right, size, most - len(found))
    return None if found is None or others is None else found + others


def _extends(factor: Atom, axis: int) -> bool:
    """Whether a factor has more than one entry along an axis."""
    return -axis <= factor.type.ndim and factor.type.shape[axis] != 1


def _sum_of_quotient(builder: Builder, op: Sum, x: Atom) -> tuple[Atom, ...] | None:
    """Return sum(x) / c for sum(x / c), and sum(x * y) / c for sum((x / c) * y)."""
    producer = made(builder, x)
    if producer is None or x.type.dtype == np.float16:
        return None
    quotient, rest = producer, list[Atom]()
    if producer.op is multiply:
        for k in (0, 1):
            inside = made(builder, producer.operands[k])
            if inside is not None and inside.op is divide and inside.provenance.is_adjoint:
                quotient, rest = inside, [producer.operands[1 - k]]
    if quotient.op is divide:
        above, below = quotient.operands
        if above.type == x.type == quotient.result.type and _is_constant_along(below, op.axes):
            for factor in rest:
                (above,) = builder.emit(multiply, (above, factor))
            (inner,) = builder.emit(op, (above,))
            return builder.emit(divide, (inner, _reduced(builder, op, below)))
    return None


def _sum_of_cotangent(builder: Builder, op: Sum, x: Atom) -> tuple[Atom, ...] | None:
    """Return the sum of elements added into zeros, and zero for a sum that cancels.

    One along axes of size 1 is a reshape, but for NumPy's 0.0 as the sum of -0.0.
    """
    (type,) = op.infer(x.type)
    is_one = all(x.type.shape[a] == 1 for a in op.axes)
    if type.dtype == x.type.dtype and is_one and type.shape:  # one without axes would be a view
        return builder.emit(Reshape(type.shape, x.type.ndim), (x,))
    elements = sum_of_scattered(builder, x, op.axes)
    if elements is not None:
        return builder.emit(Reshape(type.shape, elements.type.ndim), (elements,))
    if cancels(builder, op, x):
        return (filled(builder, 0.0, type),)
    rest = remaining(builder, op, x)
    return None if rest is None else builder.emit(op, (rest,))


def _reduced(builder: Builder, op: Sum, factor: Atom) -> Atom:
    """Return a factor that is constant along the axes of a sum in the shape of the sum."""
    own = [a for a in op.axes if -a <= factor.type.ndim]
    shape = reduced_shape(factor.type.shape, own, op.keepdims)
    if shape != factor.type.shape:
        (factor,) = builder.emit(Reshape(shape, factor.type.ndim), (factor,))
    return factor


def _is_constant_along(factor: Atom, axes: Sequence[int]) -> bool:
    """Whether a factor has size 1, or no axis at all, along each of some negative axes."""
    shape = factor.type.shape
    # Where an inner axis is summed and an outer one kept, the factor must keep its alignment.
    return all(-a > len(shape) or shape[a] == 1 for a in axes)


__all__ = ["summed"]
