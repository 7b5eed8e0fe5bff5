"""Sums of products as dot products, which BLAS computes without storing the product.

A product of two vectors that is read by its sum alone is a dot product; one of a matrix and a row
or column of factors that is summed along it is a product of a matrix and a vector. It is done last,
to what no tiled region has taken. The two differ by rounding.

Before::

    def f(x: f64[1000, 20], w: f64[20], y: f64[1000, 20]) -> (f64[1000], f64):
        a : f64[1000, 20] = x * w
        r : f64[1000]     = sum(a, axes=(-1,))
        b : f64[1000, 20] = x * y
        s : f64           = sum(b, axes=(-2, -1))
        return r, s

After::

    def f(x: f64[1000, 20], w: f64[20], y: f64[1000, 20]) -> (f64[1000], f64):
        r  : f64[1000]  = x @ w
        t1 : f64[20000] = reshape(x, shape=(20000,), rank=2)
        t2 : f64[20000] = reshape(y, shape=(20000,), rank=2)
        s  : f64        = t1 @ t2
        return r, s
"""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.core import Atom, Eqn, Function, Literal, Value, uses
from ..ir.dims import Size
from ..ir.ops.control import Fused
from ..ir.ops.elementwise import multiply, square
from ..ir.ops.matmul import MatMul
from ..ir.ops.reduce import Sum
from ..ir.ops.shape import Reshape
from ..ir.types import ArrayType


@dataclass(frozen=True)
class Dots:
    """Replace sums of products."""

    name = "dots"

    def __call__(self, function: Function) -> Function:
        counts = uses(function)
        makers: dict[Atom, tuple[int, Eqn]] = {}
        out: list[Eqn | None] = []
        changed = False
        for eqn in function.eqns:
            op = eqn.op
            if op.regions and not isinstance(op, Fused):
                inner = [self(r) for r in op.regions]
                if any(new is not old for new, old in zip(inner, op.regions, strict=True)):
                    eqn = Eqn(op.with_regions(inner), eqn.operands, eqn.results, eqn.provenance)
                    changed = True
            elif (op is multiply or op is square) and counts.get(eqn.result) == 1:
                makers[eqn.result] = len(out), eqn
            elif isinstance(op, Sum) and eqn.operands[0] in makers:
                place, product = makers[eqn.operands[0]]
                made = _dot(eqn, op, product)
                if made is not None:
                    out[place] = None
                    out += made
                    changed = True
                    continue
            out.append(eqn)
        return function.replace(eqns=[e for e in out if e is not None]) if changed else function


def _dot(eqn: Eqn, op: Sum, product: Eqn) -> list[Eqn] | None:
    """Return the equations of a dot product, None where there is no such form."""
    a, b = product.operands[0], product.operands[-1]  # a square has one
    whole = eqn.operands[0].type
    if op.keepdims or whole.dtype.char not in "fd" or 0 in whole.shape:
        return None
    if a.layout is not None or b.layout is not None:
        return None
    if isinstance(a, Literal) and isinstance(b, Literal):
        return None
    if whole.ndim > 1 and not whole.is_static:
        return None
    if len(op.axes) == whole.ndim and a.type.shape == b.type.shape:
        made: list[Eqn] = []
        if whole.ndim > 1:
            a, b = (_shaped(made, x, (whole.size,), eqn) for x in (a, b))
        return [*made, Eqn(MatMul(1, 1), (a, b), eqn.results, eqn.provenance)]
    if whole.ndim != 2 or len(op.axes) != 1:
        return None
    for matrix, factor in ((a, b), (b, a)):
        if matrix.type.shape != whole.shape:
            continue
        made = []
        if op.axes == (-1,) and _is_row(factor.type, whole):
            factor = _shaped(made, factor, whole.shape[-1:], eqn)
            return [*made, Eqn(MatMul(2, 1), (matrix, factor), eqn.results, eqn.provenance)]
        if op.axes == (-2,) and factor.type.shape == (whole.shape[0], 1):
            factor = _shaped(made, factor, whole.shape[:1], eqn)
            return [*made, Eqn(MatMul(1, 2), (factor, matrix), eqn.results, eqn.provenance)]
    return None


def _is_row(type: ArrayType, whole: ArrayType) -> bool:
    return type.shape in (whole.shape[-1:], (1, *whole.shape[-1:])) and whole.shape[-2] != 1


def _shaped(made: list[Eqn], x: Atom, shape: tuple[Size, ...], eqn: Eqn) -> Atom:
    """Return a value in another shape, by an equation that is added to `made`."""
    if x.type.shape == shape:
        return x
    for known in made:
        if known.operands == (x,):
            return known.result
    view = Value(x.type.with_shape(shape))
    made.append(Eqn(Reshape(shape, x.type.ndim), (x,), (view,), eqn.provenance))
    return view
