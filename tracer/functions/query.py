"""Questions about types and shapes, answered while tracing."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.types import Kind
from ..array import PYTHON_TYPES, TracedArray, implements, is_traced


@implements(np.shape)
def shape(a: Any) -> Any:
    """As `np.shape`."""
    return a.shape if isinstance(a, TracedArray) else np.array(a).shape


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
    return total


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
    return np.common_type(*[np.empty(0, a.dtype) for a in arrays])


@implements(np.min_scalar_type)
def min_scalar_type(a: Any) -> Any:
    """As `np.min_scalar_type` of an array with axes: its dtype."""
    if not a.shape:
        a._concrete("the value of a scalar", "Use x.dtype.")
    return a.dtype
