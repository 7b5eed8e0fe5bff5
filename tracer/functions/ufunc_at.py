"""`ufunc.at`: a ufunc applied in place at positions that may repeat."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.op import ELEMENTWISE
from ...ir.ops.index import IndexAdd
from ...ir.ops.ufunc_at import UfuncAt
from ..array import UFUNC_METHODS, TracedArray, emit, ufunc_name, unsupported
from .index import Place, locate, read
from .linalg import strong
from .shape import as_array, cast
from .write import check_writeable, destination, fitted, put, store

MISSING: Any = object()


def ufunc_at(ufunc: np.ufunc, a: Any, indices: Any, b: Any = MISSING, /) -> None:
    """As `ufunc.at`: the steps follow each other, so that each repeat of a position counts.

    Raises
    ------
    TypeError, ValueError, IndexError
        As NumPy.
    UnsupportedError
        For a ufunc that is not traced.
    """
    if ufunc.nin > 2:
        raise ValueError("Only unary and binary ufuncs supported at this time")
    if ufunc.nout != 1:
        raise ValueError("Only single output ufuncs supported at this time")
    if ufunc.signature is not None:
        raise TypeError("method at is not allowed in ufunc with non-trivial signature")
    if (b is MISSING) != (ufunc.nin == 1):
        raise ValueError(
            "second operand needed for ufunc"
            if b is MISSING
            else "second operand provided when ufunc is unary"
        )
    if not isinstance(a, TracedArray | np.ndarray):
        raise TypeError("first operand must be array")
    target = destination(a)
    function = ELEMENTWISE.get(ufunc)
    if function is None:
        raise unsupported(f"{ufunc_name(ufunc)}.at")
    values = [] if b is MISSING else [strong(b)]
    ufunc.resolve_dtypes((target.dtype, *[v.dtype for v in values], target.dtype), casting="unsafe")
    place = locate(target, indices)
    if not place.gather:
        held = as_array(read(target, indices))
        store(target, indices, cast(as_array(ufunc(held, *values)), target.dtype))
        return
    trace = check_writeable(target)
    values = [fitted(place, as_array(v), trace) for v in values]
    put(place.array, _stepped(ufunc, place, values))


def _stepped(ufunc: np.ufunc, place: Place, values: list[Any]) -> Any:
    """Return what the array holds after all steps."""
    operands = (place.array, *values, *place.operands)
    is_sum = ufunc in (np.add, np.subtract) and values[0].dtype == place.array.dtype
    if is_sum and place.array.dtype.kind in "fc":
        value = values[0] if ufunc is np.add else np.negative(values[0])
        return emit(IndexAdd(place.spec), (place.array, value, *place.operands))
    return emit(UfuncAt(place.spec, ELEMENTWISE[ufunc]), operands)


UFUNC_METHODS["at"] = ufunc_at

__all__ = ["ufunc_at"]
