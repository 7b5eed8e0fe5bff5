"""Indices that are others for each example: one index of NumPy's for all of them.

`x[i]` with an `i` for each example reads row `i[k]` of `x[k]`, which is `x[iota, i]`. So the axis
of the examples has the positions 0, 1, 2, ..., and an axis that a slice takes in front of an array
of positions gets an array of its own, since NumPy would put the axes of arrays with a slice between
them elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..batching import repeated, with_lead
from ..dims import Dim, Size
from ..op import Array, Op
from ..types import ArrayType
from .indices import AT, At, Index_, Item, Span, index_shape


def batched_index(
    index: Index_, x: Array, mapped: bool, positions: Sequence[Array], varying: Sequence[bool]
) -> tuple[Index_, list[Array]]:
    """Return an index of all examples of `x`, and its positions.

    Parameters
    ----------
    mapped, varying
        Whether x, and each of the positions, has an entry for each example.
    """
    size: Size = next(p.shape[0] for p, v in zip(positions, varying, strict=True) if v)
    axes = sum(item is not None for item in index)
    sizes = x.shape[1:] if mapped else x.shape
    whole = [Span(0, d, 1) for d in sizes[: len(sizes) - axes]]
    items: list[Item] = [*whole, *index]
    stop = 1 + max(k for k, item in enumerate(items) if not isinstance(item, Span | None))
    taken = [p.shape[1:] if v else p.shape for p, v in zip(positions, varying, strict=True)]
    gathered = max(map(len, taken))
    rank = gathered + sum(isinstance(item, Span | None) for item in items[:stop])
    like = positions[0]
    found: list[Array] = []
    made: list[Item] = []
    if mapped:
        made.append(AT)
        found.append(_spread(iota(size, like), 0, rank))
    rest = iter(zip(positions, varying, taken, strict=True))
    place, end = 0, None
    for item in items[:stop]:
        if item is None:
            place += 1
        elif isinstance(item, Span):
            made.append(AT)
            found.append(_spread(_progression(item, like), 1 + place, rank))
            place += 1
        elif isinstance(item, At):
            if end is None:
                place += gathered
                end = place
            made.append(AT)
            found.append(_position(*next(rest), rank, end))
        else:
            made.append(item)
    return (*made, *items[stop:]), found


def _position(at: Array, varies: bool, shape: Sequence[Any], rank: int, end: int) -> Array:
    """Return positions whose own axes end at an axis of the result for one example."""
    lead = (at.shape[0], *[1] * (end - len(shape))) if varies else ()
    target: Any = (*lead, *shape, *[1] * (rank - end))
    return at if target == at.shape else np.reshape(at, target)


def _spread(numbers: Array, axis: int, rank: int) -> Array:
    """Return numbers along an axis of an array of so many axes behind the examples'."""
    shape: Any = (numbers.shape[0], *[1] * (rank - axis))
    return np.reshape(numbers, shape)


def _progression(span: Span, like: Array) -> Array:
    numbers = iota(span.length, like)
    if span.step != 1:
        numbers = numbers * np.int64(span.step)
    if isinstance(span.start, Dim):
        from .dynamic import Extent

        return numbers + _applied(Extent(span.start), like)
    return numbers + np.int64(span.start) if span.start else numbers


def iota(size: Size, like: Array) -> Array:
    """Return the integers from 0, as many as `size`; `like` says whether a trace is under way."""
    if isinstance(size, int):
        return np.arange(size)
    from .dynamic import Iota

    return _applied(Iota(size), like)


def _applied(op: Op, like: Array) -> Array:
    """Apply an op without operands where `like` is from."""
    traced = getattr(like, "__pullback_apply__", None)
    return op.evaluate() if traced is None else traced(op, ())


def written_at(
    index: Index_,
    mapped: Sequence[bool],
    x: Array,
    values: Sequence[Array],
    positions: Sequence[Array],
) -> tuple[Index_, list[Array]]:
    """Return the index and the operands of a write for all examples: array, values, positions."""
    count = 1 + len(values)
    size = next(v.shape[0] for v, m in zip((x, *values, *positions), mapped, strict=True) if m)
    one, *at = [
        ArrayType(v.dtype, v.shape[1:] if m else v.shape)
        for v, m in zip((x, *positions), (mapped[0], *mapped[count:]), strict=True)
    ]
    rank = len(index_shape(index, one, at))
    x = repeated(x, mapped[0], size)
    aligned = [
        with_lead(v, rank + 1 - v.ndim) if m else v
        for v, m in zip(values, mapped[1:count], strict=True)
    ]
    if any(mapped[count:]):
        index, positions = batched_index(index, x, True, positions, mapped[count:])
    return index, [x, *aligned, *positions]


__all__ = ["batched_index", "iota", "written_at"]
