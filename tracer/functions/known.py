"""What is known while tracing, and conditions on what is not."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.ops.check import Require
from ..array import TracedArray, emit, is_traced
from ..size import known_value
from .create import asarray
from .shape import as_array, as_scalar, constant, traced


def known(value: Any) -> Any:
    """Return a value that is known while tracing as an ndarray, None for one that is not."""
    if not is_traced(value):
        if isinstance(value, list | tuple) and not all(known(v) is not None for v in value):
            return None
        return np.asarray(value)
    return known_value(value)


def require(x: Any, holds: Any, error: type[Exception], message: str) -> Any:
    """Return x; raise where the condition is false, now or when the program runs."""
    found = known(holds)
    if found is None:
        checked = emit(Require(error.__name__, message), (x, as_scalar(holds)))
        return TracedArray(checked._atom, x._kind, checked._trace)
    if not found:
        raise error(message)
    return x


def array_of(value: Any) -> Any:
    """Return a value, or a list of values, as a traced array."""
    if isinstance(value, list | tuple):
        found = known(value)
        return asarray(value) if found is None else constant(found)
    return as_array(traced(value))
