"""Elementwise work on many short rows and one row, such as a bias, by rows put behind each other.

NumPy's inner loop runs along the last axis, which the row keeps from being merged with the one
before. As rows of some hundred entries, beside the one row as often (float32, one thread, µs):

=============  =====  =========
shape          rows   long rows
=============  =====  =========
100000, 3      481    63
36864, 6       186    48
4096, 16       29     13
100000, 32     1162   813
20000, 64      309    260
=============  =====  =========

The same holds for (64, 12, 2, 12, 2, 6) and (64, 12, 1, 12, 1, 6), the squares of a pool and what
is taken of each: 212 µs, and 109 where the latter is repeated along the axis before the last.
The bits are the same.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.core import Atom, Eqn
from ..ir.op import Cost, Elementwise
from ..ir.ops.reducing import rows_in_long
from ..ir.types import ArrayType, most_entries

if TYPE_CHECKING:
    from .emit import Writer

WIDEST = 32
"""Entries of a row up to which they are put behind each other."""
LEAST = 1 << 12
"""Entries of a result from which it pays."""


def in_long_rows(
    ufunc: np.ufunc, side: int, left: np.ndarray, right: np.ndarray, out: np.ndarray
) -> None:
    """Write `ufunc(left, right)` into `out`; operand `side` is one row."""
    rows, row = (right, left) if side == 0 else (left, right)
    width = out.shape[-1]
    count = out.size // width
    times = rows_in_long(count, width)
    main = count - count % times
    if not (rows.flags.c_contiguous and out.flags.c_contiguous) or not main:
        ufunc(left, right, out=out)
        return
    long: Any = np.empty((times, width), row.dtype)
    long[...] = row.reshape(width)
    flat, target = rows.reshape(count, width), out.reshape(count, width)
    parts: Any = flat[:main].reshape(-1, times * width), long.reshape(-1)
    ufunc(*(parts if side else parts[::-1]), out=target[:main].reshape(-1, times * width))
    if main < count:
        parts = flat[main:], long[0]
        ufunc(*(parts if side else parts[::-1]), out=target[main:])


def repeated(
    ufunc: np.ufunc, side: int, left: np.ndarray, right: np.ndarray, out: np.ndarray
) -> None:
    """Write `ufunc(left, right)`; operand `side` is repeated along the axis before the last."""
    few = left if side == 0 else right
    many: Any = np.empty((*few.shape[:-2], *out.shape[-2:]), few.dtype)
    many[...] = few
    ufunc(many if side == 0 else left, many if side else right, out=out)


def as_long_rows(writer: Writer, eqn: Eqn, operands: Sequence[str], out: str) -> bool:
    """Write an elementwise equation by long rows, where that is faster."""
    op, type = eqn.op, eqn.results[0].type
    if not isinstance(op, Elementwise) or op.ufunc.nin != 2 or op.cost > Cost.DIVISION:
        return False
    if not _is_short(type) or any(v.layout is not None for v in (*eqn.operands, *eqn.results)):
        return False
    for side in (0, 1):
        row, rows = eqn.operands[side], eqn.operands[1 - side]
        if rows.type.shape != type.shape:
            continue
        function = _way(row, type)
        if function is not None:
            call = writer.bind(functools.partial(function, op.ufunc, side), function.__name__)
            text = f"{call}({', '.join(operands)}, {out})"
            writer.line(text, eqn.provenance, op.name)
            return True
    return False


def _is_short(type: ArrayType) -> bool:
    if type.ndim < 2 or not isinstance(type.shape[-1], int) or not 1 < type.shape[-1] <= WIDEST:
        return False
    return most_entries(type.shape) >= LEAST


def _way(row: Atom, type: ArrayType) -> Any:
    """Return how to compute with an operand that has the last axis, but not the one before."""
    shape = (*[1] * (type.ndim - row.type.ndim), *row.type.shape)
    if shape[-1] != type.shape[-1] or shape[-2] != 1 or type.shape[-2] == 1:
        return None
    if all(n == 1 for n in shape[:-1]):
        return in_long_rows
    length = type.shape[-1]
    if not isinstance(length, int) or length > WIDEST // 2:
        return None
    times = [n for n, m in zip(type.shape[:-2], shape[:-2], strict=True) if n != m]
    return repeated if prod([n for n in times if isinstance(n, int)]) >= 2 else None


__all__ = ["as_long_rows"]
