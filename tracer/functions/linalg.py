"""Matrix products and linear algebra."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.errors import ShapeError
from ...ir.ops.matmul import MatMul
from ..array import UFUNCS, emit, implements, method
from .shape import cast, common_dtype, traced


def matmul(a: Any, b: Any, /, **kwargs: Any) -> Any:
    """As `np.matmul`."""
    a, b = traced(a), traced(b)
    if not a.shape or not b.shape:
        raise ShapeError("matmul: an operand has no axes; write a * b for a product with a scalar")
    dtype = common_dtype([a, b])
    op = MatMul(min(a.ndim, 2), min(b.ndim, 2))
    return emit(op, (cast(a, dtype), cast(b, dtype)))


@implements(np.dot)
def dot(a: Any, b: Any, out: Any = None) -> Any:
    """As `np.dot`: for more than two axes of `b`, over its last axis but one."""
    a, b = traced(a), traced(b)
    if not a.shape or not b.shape:
        return a * b
    if b.ndim <= 2:
        return matmul(a, b)
    return np.tensordot(a, b, axes=(a.ndim - 1, b.ndim - 2))


UFUNCS[np.matmul] = matmul
implements(np.matmul)(matmul)
method("dot", dot)
