"""Products written where their transpose lies in C order, which saves the copy of it.

Heads of attention are put behind each other by a transpose and a reshape that has to copy. BLAS can
write the rows of the product there at once.

Before::

    def f(p: f64[2, 4, 30, 30], v: f64[2, 4, 30, 16]) -> f64[2, 30, 64]:
        o : f64[2, 4, 30, 16] = p @ v
        t : f64[2, 30, 4, 16] = transpose(o, axes=(-4, -2, -3, -1))
        r : f64[2, 30, 64]    = reshape(t, shape=(2, 30, 64), rank=4)
        return r

After::

    def f(p: f64[2, 4, 30, 30], v: f64[2, 4, 30, 16]) -> f64[2, 30, 64]:
        t : f64[2, 30, 4, 16] = moved_matmul(p, v, axes=(-4, -2, -3, -1))
        r : f64[2, 30, 64]    = reshape(t, shape=(2, 30, 64), rank=4)
        return r
"""

from __future__ import annotations

from dataclasses import dataclass

from ..ir.builder import Builder
from ..ir.core import Atom, Eqn, Function, uses, walk
from ..ir.ops.matmul import MatMul
from ..ir.ops.moved import MovedMatMul, can_move
from ..ir.ops.shape import Copy, Reshape, Transpose, reshapes_in_place
from .order import leaving, rebuilt

_PRODUCT = MatMul()


@dataclass(frozen=True)
class Place:
    """Let products write their transposes."""

    name = "place"

    def __call__(self, function: Function) -> Function:
        if not any(isinstance(e.op, Reshape | Copy) for e in walk(function)):
            return function
        moved = _moved(function)
        regions = any(e.op.regions for e in function.eqns)
        if not moved and not regions:
            return function

        def replace(builder: Builder, eqn: Eqn, scope: dict[Atom, Atom]) -> tuple[Atom, ...] | None:
            product = moved.get(eqn)
            if product is None or not isinstance(eqn.op, Transpose):
                return None
            builder.provenance = product.provenance
            operands = [scope.get(a, a) for a in product.operands]
            return builder.emit(MovedMatMul(eqn.op.axes), operands)

        gone = set(moved.values())
        kept = [e for e in function.eqns if e not in gone]
        return rebuilt(function.replace(eqns=kept), self, replace)


def _moved(function: Function) -> dict[Eqn, Eqn]:
    """Return transposes that are copied, each with the product that can write it."""
    producers: dict[Atom, Eqn] = {r: e for e in function.eqns for r in e.results}
    counts = uses(function)
    kept = leaving(function)
    found: dict[Eqn, Eqn] = {}
    for eqn in function.eqns:
        if not _copies(eqn):
            continue
        view = producers.get(eqn.operands[0])
        if view is None or not isinstance(view.op, Transpose) or view.result in kept:
            continue
        product = producers.get(view.operands[0])
        if product is None or product.op != _PRODUCT or counts[product.result] != 1:
            continue
        type = product.result.type
        axes = view.op.axes
        is_plain = type.is_static and type.dtype.char in "fdFD"
        if is_plain and len(axes) == type.ndim and can_move(axes):
            found[view] = product
    return found


def _copies(eqn: Eqn) -> bool:
    op = eqn.op
    if isinstance(op, Copy):
        return op.order == "C"
    source = eqn.operands[0] if eqn.operands else None
    return (
        isinstance(op, Reshape)
        and source is not None
        and not reshapes_in_place(op, source.type, source.layout)
    )
