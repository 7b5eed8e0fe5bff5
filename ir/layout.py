"""The memory order that NumPy gives the results of elementwise ops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .types import ArrayType, Layout, c_strides


def elementwise_layout(
    types: Sequence[ArrayType], layouts: Sequence[Layout], itemsize: int
) -> Layout:
    """Return the strides that a ufunc gives a new result (`order="K"`), None for C order.

    NumPy's own iterator decides, on arrays that own no memory, so that every corner (broadcast
    axes, negative strides, mixed orders) is NumPy's.
    """
    if not any(layouts) or not all(t.is_static for t in types):
        return None
    dummies = [
        np.ndarray(
            t.shape,  # type: ignore[arg-type]
            np.int8,
            np.empty(0, np.int8),
        )
        if 0 in t.shape
        else np.lib.stride_tricks.as_strided(
            np.empty(1, np.int8),
            t.shape,  # type: ignore[arg-type]
            layout or c_strides(t.dtype.itemsize, t.shape),  # type: ignore[arg-type]
        )
        for t, layout in zip(types, layouts, strict=True)
    ]
    flags: Any = [["readonly"]] * len(dummies) + [["writeonly", "allocate"]]
    operands: list[Any] = [*dummies, None]
    iterator = np.nditer(operands, ["zerosize_ok"], flags, order="K")
    result = iterator.operands[-1]
    if result.flags.c_contiguous:
        return None
    return tuple(s * itemsize for s in result.strides)
