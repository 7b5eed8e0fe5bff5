"""Arrays that share memory among the arguments and hidden inputs of one call.

A program that writes into an array is right only for calls whose arrays overlap as those did that
it was traced for. Where they do, the arrays of a group are views of one buffer, an input of its
own: the memory from the first byte of the group to the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ir.core import Literal
from ..ir.errors import UnsupportedError
from ..ir.ops.index import AT, Index, Span
from ..ir.ops.shape import Reshape
from .array import TracedArray, emit


class Group(NamedTuple):
    """Arrays that share memory: their positions, and the byte of the buffer where each begins.

    `nbytes` is the size of the buffer.
    """

    positions: tuple[int, ...]
    offsets: tuple[int, ...]
    nbytes: int


def overlaps(arrays: Sequence[Any], among: Iterable[int] | None = None) -> tuple[Group, ...]:
    """Return the groups of arrays whose memory may overlap, by the bounds of each.

    With `among` only the groups that one of these positions is in.
    """
    spans = []
    for position, array in enumerate(arrays):
        if isinstance(array, np.ndarray) and array.size:
            low, high = np.lib.array_utils.byte_bounds(array)
            spans.append((low, high, position))
    if len(spans) < 2:
        return ()
    spans.sort()
    wanted = None if among is None else set(among)
    groups: list[Group] = []
    start = 0
    reach = spans[0][1]
    for k in range(1, len(spans) + 1):
        if k < len(spans) and spans[k][0] < reach:
            reach = max(reach, spans[k][1])
            continue
        members = spans[start:k]
        positions = [p for _, _, p in members]
        if len(members) > 1 and (wanted is None or not wanted.isdisjoint(positions)):
            low = members[0][0]
            begins = [arrays[p].__array_interface__["data"][0] - low for p in positions]
            groups.append(Group(tuple(positions), tuple(begins), reach - low))
        if k < len(spans):
            start, reach = k, spans[k][1]
    return tuple(groups)


def buffer(arrays: Sequence[Any], group: Group) -> np.ndarray:
    """Return the memory of a group as one array of one axis."""
    first: np.ndarray = arrays[group.positions[0]]
    steps: Any = [slice(None, None, -1 if s < 0 else 1) for s in first.strides]
    forward = first[(*steps, ...)]  # of an array without axes too a view
    size = group.nbytes // first.itemsize
    return np.lib.stride_tricks.as_strided(forward, (size,), (first.itemsize,))


def check_group(arrays: Sequence[Any], group: Group) -> None:
    """Raise unless the arrays of a group are made of the same elements.

    Raises
    ------
    UnsupportedError
    """
    first = arrays[group.positions[0]]
    for position, offset in zip(group.positions, group.offsets, strict=True):
        array = arrays[position]
        steps = [offset, *[s for s, d in zip(array.strides, array.shape, strict=True) if d > 1]]
        if array.dtype != first.dtype or any(s % first.itemsize for s in steps):
            raise UnsupportedError(
                "the function writes into an array that overlaps with another, whose elements are "
                f"of another dtype or begin elsewhere ({first.dtype} and {array.dtype}).\n"
                "  Pass a copy of one of the two."
            )


def member(memory: TracedArray, array: np.ndarray, offset: int) -> TracedArray:
    """Return an array of a group as a view of the group's buffer."""
    start = offset // array.itemsize
    if array.flags.c_contiguous:
        flat = emit(Index((Span(start, array.size, 1),)), (memory,))
        made = emit(Reshape(array.shape, 1), (flat,))
    elif array.ndim == 1:
        step = array.strides[0] // array.itemsize
        made = emit(Index((Span(start, array.size, step),)), (memory,))
    else:
        places: Any = np.full(array.shape, start, np.intp)
        for axis, (size, stride) in enumerate(zip(array.shape, array.strides, strict=True)):
            steps = np.arange(size) * (stride // array.itemsize)
            places = places + steps.reshape((size, *[1] * (array.ndim - axis - 1)))
        made = emit(Index((AT,), gather=True), (memory, _constant(places, memory)), aliases=True)
        made._view = made._as_view()._replace(layout=array.strides)
    if not array.flags.writeable:
        made.set_read_only()
    result: TracedArray = made
    return result


def _constant(values: np.ndarray, like: TracedArray) -> TracedArray:
    return TracedArray(Literal(values), like._kind, like._trace)


__all__ = ["Group", "buffer", "check_group", "member", "overlaps"]
