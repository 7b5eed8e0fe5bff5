"""Parts of views as parts of the array itself.

`x.T[i, a:b]` is `x[a:b, i]`, and `x[1:][2:5]` is `x[3:6]`. So the cotangent of a part is added into
that of the array, and not into one of the view, which would be as large as the array.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..ir.builder import Builder
from ..ir.core import Atom, Eqn
from ..ir.ops.index import At, Index, Item, Span
from ..ir.ops.shape import Transpose


def part_of_view(
    builder: Builder, op: Index, operands: Sequence[Atom], view: Eqn
) -> tuple[Atom, ...] | None:
    """Return `op` of the result of `view` as a part of what that is a view of, None to keep it."""
    if op.gather or any(item is None for item in op.index):
        return None
    whole = view.results[0].type
    lead = whole.ndim - len(op.index)
    items = [*[Span(0, d, 1) for d in whole.shape[:lead]], *op.index]
    if isinstance(view.op, Transpose):
        return _of_transposed(builder, items, operands[1:], view.operands[0], view.op)
    if isinstance(view.op, Index) and not view.op.gather:
        return _of_part(builder, items, operands[1:], view.operands, view.op)
    return None


def _of_transposed(
    builder: Builder,
    items: Sequence[Item],
    positions: Sequence[Atom],
    source: Atom,
    view: Transpose,
) -> tuple[Atom, ...]:
    lead = len(items) - len(view.axes)
    order = [*range(lead), *[a + len(items) for a in view.axes]]
    inverse = [int(k) for k in np.argsort(order)]
    rest = iter(positions)
    by_axis = [next(rest) if isinstance(i, At) else None for i in items]
    moved = tuple([items[k] for k in inverse])
    places = [p for k in inverse if (p := by_axis[k]) is not None]
    result = builder.one(Index(moved), source, *places)
    # The axes that are left, in the order of the source and in that of the view.
    kept = [k for k in inverse if isinstance(items[k], Span)]
    axes = [kept.index(k) for k in sorted(kept)]
    if axes != list(range(len(axes))):
        result = builder.one(Transpose(tuple([a - len(axes) for a in axes])), result)
    return (result,)


def _of_part(
    builder: Builder,
    items: Sequence[Item],
    positions: Sequence[Atom],
    outer: Sequence[Atom],
    view: Index,
) -> tuple[Atom, ...] | None:
    source, *places = outer
    lead = source.type.ndim - sum(item is not None for item in view.index)
    sizes = iter(source.type.shape[lead:])
    rest, own, mine = iter(items[lead:]), iter(places), iter(positions)
    joined: list[Item] = list(items[:lead])
    found: list[Atom] = [next(mine) for item in items[:lead] if isinstance(item, At)]
    for item in view.index:
        if item is None:
            return None
        size = next(sizes)
        if isinstance(item, Span):
            within = _within(item, next(rest), size)
            if within is None:
                return None
            joined.append(within)
            if isinstance(within, At):
                found.append(next(mine))
        else:
            joined.append(item)
            if isinstance(item, At):
                found.append(next(own))
    return builder.emit(Index(tuple(joined)), (source, *found))


def _within(span: Span, item: Item, size: object) -> Item | None:
    """Return the position in the whole of `item`, a position within `span`."""
    if span.start == 0 and span.step == 1 and span.length == size:
        return item
    if isinstance(item, Span):
        return Span(span.start + item.start * span.step, item.length, span.step * item.step)
    if not isinstance(item, int) or not isinstance(span.length, int):
        return None
    if not isinstance(span.start, int):
        return None
    return span.start + (item + span.length if item < 0 else item) * span.step


__all__ = ["part_of_view"]
