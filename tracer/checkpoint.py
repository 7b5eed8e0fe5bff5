"""`checkpoint`: the user's own mark that a function keeps its inputs alone for the derivative."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

from .nested import inline_call
from .state import current

_numbers = itertools.count()
_SHOWN = ("__name__", "__qualname__", "__doc__")


def checkpoint(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function marked: a derivative keeps its inputs and computes its inside again.

    What is kept of a call are its arguments and what it reads from outside; the rest is computed
    again, with the same bits, when the derivative comes to it. What the function draws, prints or
    stores happens once, and draws are kept. Checkpoints may lie in each other, in loops and in
    functions that are compiled or differentiated any number of times. Called outside of these, the
    function runs as it is.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> layer = pb.checkpoint(lambda x, w: np.tanh(x @ w))
    >>> pb.grad(lambda w: np.sum(layer(np.ones(2), w)))(np.zeros((2, 2)))
    array([[1., 1.],
           [1., 1.]])
    """
    if not callable(function):
        raise TypeError(f"checkpoint takes a function, not {type(function).__name__}")

    # It keeps our module, which says that it is not to be rewritten.
    @functools.wraps(function, assigned=_SHOWN)
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        trace = current()
        if trace is None:
            return function(*args, **kwargs)
        outside = trace.marks
        trace.marks = (*outside, (next(_numbers), 0))
        try:
            return inline_call(function, args, kwargs)
        finally:
            trace.marks = outside

    return checkpointed


__all__ = ["checkpoint"]
