"""Functions of pullback's own that act on traced values."""

from __future__ import annotations

from typing import Any

from ...ir.ops.select import StopGradient
from ..array import TracedArray, emit
from ..tree import map_leaves


def stop_gradient(x: Any) -> Any:
    """Return `x` unchanged, a container of arrays, through which no derivative flows."""
    return map_leaves(_stopped, x)


def _stopped(leaf: Any) -> Any:
    if not isinstance(leaf, TracedArray):
        return leaf
    result = emit(StopGradient(), (leaf,))
    return TracedArray(result._atom, leaf._kind, leaf._trace)
