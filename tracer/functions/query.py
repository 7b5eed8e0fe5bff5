"""Questions about types and shapes, answered while tracing."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.types import Kind, c_strides
from ..array import TracedArray, implements, is_traced
from ..promotion import PYTHON_TYPES
from ..size import caller, seen
from .shape import as_array


@implements(np.shape)
def shape(a: Any) -> Any:
    """As `np.shape`."""
    found = a.shape if isinstance(a, TracedArray) else np.array(a).shape
    return found if all(type(d) is int for d in found) else seen(found, caller())


@implements(np.ndim)
def ndim(a: Any) -> Any:
    """As `np.ndim`."""
    return len(np.shape(a))


@implements(np.size)
def size(a: Any, axis: Any = None) -> Any:
    """As `np.size`."""
    total: Any = 1
    dims = np.shape(a)
    axes = range(len(dims)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    for k in axes:
        total = total * dims[k]
    return total if type(total) is int else seen(total, caller())


@implements(np.isfortran)
def isfortran(a: Any) -> bool:
    """As `np.isfortran`."""
    layout = a._layout
    return layout is not None and layout == c_strides(a.itemsize, a.shape[::-1])[::-1]


@implements(np.isscalar)
def isscalar(element: Any) -> bool:
    """As `np.isscalar`."""
    return element._kind is not Kind.ARRAY


@implements(np.einsum_path)
def einsum_path(*operands: Any, optimize: Any = "greedy", einsum_call: bool = False) -> Any:
    """As `np.einsum_path`, which looks at shapes alone."""
    plain = [np.broadcast_to(v.dtype.type(0), v.shape) if is_traced(v) else v for v in operands]
    return np.einsum_path(*plain, optimize=optimize)


@implements(np.real_if_close)
def real_if_close(a: Any, tol: float = 100) -> Any:
    """As `np.real_if_close` of real numbers; for complex ones the values decide the dtype."""
    if a.dtype.kind == "c":
        a._concrete("the imaginary parts, which decide the dtype", "Write np.real(x).")
    return as_array(a)


@implements(np.iscomplexobj)
def iscomplexobj(x: Any) -> bool:
    """As `np.iscomplexobj`."""
    return bool(x.dtype.kind == "c")


@implements(np.isrealobj)
def isrealobj(x: Any) -> bool:
    """As `np.isrealobj`."""
    return not iscomplexobj(x)


def _key(value: Any) -> Any:
    if is_traced(value):
        if value._kind is Kind.PYTHON:
            return PYTHON_TYPES[value.dtype.kind](0)
        return value.dtype
    return value


@implements(np.result_type)
def result_type(*arrays_and_dtypes: Any) -> Any:
    """As `np.result_type`."""
    return np.result_type(*map(_key, arrays_and_dtypes))


@implements(np.can_cast)
def can_cast(from_: Any, to: Any, casting: Any = "safe") -> bool:
    """As `np.can_cast`."""
    return np.can_cast(_key(from_), to, casting)


@implements(np.common_type)
def common_type(*arrays: Any) -> Any:
    """As `np.common_type`."""
    return np.common_type(*[np.empty(0, a.dtype) if is_traced(a) else a for a in arrays])


@implements(np.min_scalar_type)
def min_scalar_type(a: Any) -> Any:
    """As `np.min_scalar_type` of an array with axes: its dtype."""
    if not a.shape:
        a._concrete("the value of a scalar", "Use x.dtype.")
    return a.dtype
