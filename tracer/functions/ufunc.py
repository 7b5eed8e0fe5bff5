"""Methods of ufuncs, and ufuncs with several results."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.errors import ShapeError
from ...ir.ops.segments import UfuncReduceAt
from ...ir.ops.select import Frexp, Modf
from ...ir.ops.ufunc import loop_dtype
from ..array import UFUNC_METHODS, UFUNCS, emit, is_traced, unsupported
from .create import in_order
from .reduce import binary, one_axis, ufunc_accumulate, ufunc_reduce
from .shape import cast, emit_reshape, traced
from .write import reduce_into


def ufunc_outer(ufunc: np.ufunc, a: Any, b: Any, /, **kwargs: Any) -> Any:
    """As `ufunc.outer`."""
    if ufunc.nin != 2:
        raise ShapeError("outer product only supported for binary functions")
    if ufunc.signature is not None:
        raise TypeError("method outer is not allowed in ufunc with non-trivial signature")
    a, b = traced(a), traced(b)
    return ufunc(emit_reshape(a, [*a.shape, *[1] * b.ndim]) if b.ndim else a, b, **kwargs)


def ufunc_reduceat(
    ufunc: np.ufunc, array: Any, indices: Any, axis: Any = 0, dtype: Any = None, out: Any = None
) -> Any:
    """As `ufunc.reduceat`; differentiated where the indices are known while tracing."""
    if out is not None:
        options = {"indices": indices, "axis": axis}
        return reduce_into(out, ufunc_reduceat, ufunc, array, dtype, **options)
    function = binary(ufunc, "reduceat")
    a = traced(array)
    axis = one_axis("reduceat", a, axis)
    loop = loop_dtype(ufunc, a.dtype, None if dtype is None else np.dtype(dtype))
    if loop.kind not in "fc" or ufunc is not np.add:
        a = cast(a, loop)
    if is_traced(indices):
        return emit(UfuncReduceAt(function, axis, loop), (a, _positions(indices)))
    starts = np.asarray(indices)
    if starts.ndim != 1:
        raise ShapeError("object of too small depth for desired array")
    positions = tuple(int(i) for i in starts)
    for i in positions:
        if not 0 <= i < a.shape[axis]:
            raise IndexError(
                f"index {i} out-of-bounds in {ufunc.__name__}.reduceat [0, {a.shape[axis]})"
            )
    return emit(UfuncReduceAt(function, axis, loop, positions), (a,))


def _positions(indices: Any) -> Any:
    if indices.ndim != 1:
        raise ShapeError("object of too small depth for desired array")
    if indices.dtype.kind not in "iub":
        raise TypeError("the indices of reduceat are integers")
    return cast(indices, np.intp)


def divmod(a: Any, b: Any, /, **kwargs: Any) -> Any:
    """As `np.divmod`."""
    return np.floor_divide(a, b, **kwargs), np.remainder(a, b, **kwargs)


def _parts(op: Any) -> Any:
    """Return the traced form of a ufunc of one operand and two results."""
    ufunc = op.ufunc

    def function(x: Any, /, dtype: Any = None, **kwargs: Any) -> Any:
        a = traced(x)
        casting, order = kwargs.pop("casting", "same_kind"), kwargs.pop("order", "K")
        signature = None if dtype is None else (None, np.dtype(dtype), np.dtype(dtype))
        loop: Any = {} if signature is None else {"signature": signature}
        if any(kwargs[k] not in (None, True, (None, None)) for k in kwargs):
            raise unsupported(f"np.{ufunc.__name__} with {', '.join(kwargs)}=")
        wanted = ufunc.resolve_dtypes((a.dtype, None, None), casting=casting, **loop)[0]
        results = emit(op, (cast(a, wanted),))
        if order == "K" or not a.shape:
            return results
        return tuple(in_order(r, None, order, None) for r in results)

    return function


def isnat(x: Any, /, **kwargs: Any) -> Any:
    """As `np.isnat`: arrays of dates are not traced."""
    raise TypeError("ufunc 'isnat' is only defined for np.datetime64 and np.timedelta64.")


UFUNCS[np.divmod] = divmod
UFUNCS[np.modf] = _parts(Modf())
UFUNCS[np.frexp] = _parts(Frexp())
UFUNCS[np.isnat] = isnat
UFUNC_METHODS.update(
    reduce=ufunc_reduce, accumulate=ufunc_accumulate, outer=ufunc_outer, reduceat=ufunc_reduceat
)
