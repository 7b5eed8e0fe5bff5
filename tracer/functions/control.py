"""Functions of pullback's own that act on traced values."""

from __future__ import annotations

from typing import Any

from ...ir.ops.select import StopGradient, StopGradientIf
from ..array import TracedArray, emit
from ..tree import map_leaves


def stop_gradient(x: Any) -> Any:
    """Return `x` unchanged, a container of arrays, through which no derivative flows.

    Examples
    --------
    >>> import pullback as pb
    >>> pb.grad(lambda x: x * pb.stop_gradient(x))(3.0)
    3.0
    """
    return map_leaves(_stopped, x)


def stop_gradient_if(x: Any, stops: Any) -> Any:
    """Return `x` unchanged, a container, through which no derivative flows where `stops` holds."""
    return map_leaves(lambda leaf: _stopped(leaf, stops), x)


def _stopped(leaf: Any, stops: Any = None) -> Any:
    if not isinstance(leaf, TracedArray) or leaf.dtype.kind not in "fc":
        return leaf
    operands = (leaf,) if stops is None else (leaf, stops)
    result = emit(StopGradient() if stops is None else StopGradientIf(), operands)
    return TracedArray(result._atom, leaf._kind, leaf._trace)
