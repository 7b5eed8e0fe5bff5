"""Elementwise work on arrays whose last axis is short, entry by entry of that axis.

NumPy's inner loop runs along the last axis unless it can be merged with the one before, which a
broadcast operand prevents. With 3 entries nearly all the time is spent between the loops: for
arrays of shape (100, 100, 3) a product with one of (100, 100, 1) takes 74 µs, and 19 as three
products of planes; the difference of (1, 100, 3) and (100, 1, 3) takes 315 and 55. The bits are the
same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..ir.core import Eqn
from ..ir.layout import splits_last_axis
from ..ir.op import Elementwise
from ..ir.types import ArrayType, most_entries

if TYPE_CHECKING:
    from .emit import Writer

WIDEST = 4
"""Entries of the last axis up to which planes are faster; with 8 they are slower."""
LEAST = 2000
"""Entries of a plane from which they are."""


def in_planes(writer: Writer, eqn: Eqn, operands: Sequence[str], out: str) -> bool:
    """Write an elementwise equation plane by plane, where that is faster."""
    op, type = eqn.op, eqn.results[0].type
    if not isinstance(op, Elementwise) or not _is_worth_it(type, eqn):
        return False
    length = type.shape[-1]
    assert isinstance(length, int)
    for k in range(length):
        parts = [_plane(a.type, text, k) for a, text in zip(eqn.operands, operands, strict=True)]
        writer.line(op.emit(writer, parts, f"{out}[..., {k}]"), eqn.provenance, op.name)
    return True


def _is_worth_it(type: ArrayType, eqn: Eqn) -> bool:
    if type.ndim < 2 or not isinstance(type.shape[-1], int) or not 1 < type.shape[-1] <= WIDEST:
        return False
    if not any(splits_last_axis(a.type, type) for a in eqn.operands):
        return False
    if any(v.layout is not None for v in (*eqn.operands, *eqn.results)):
        return False
    return most_entries(type.shape[:-1]) >= LEAST


def _plane(type: ArrayType, text: str, k: int) -> str:
    if not type.shape:
        return text
    return f"{text}[..., {k if type.shape[-1] != 1 else 0}]"


__all__ = ["in_planes"]
