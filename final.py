"""Functions of what another function leaves in its arguments."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from .ir.errors import ArgumentError, DifferentiationError
from .tracer.array import TracedArray
from .tracer.nested import inline_call
from .tracer.tree import flatten


def final(function: Callable[..., Any], of: str) -> Callable[..., Any]:
    """Return the function that gives the last content of an argument, in place of its result.

    Parameters
    ----------
    function
        A function that writes into its arguments.
    of
        The name of the argument: an array, or a container of arrays.

    Returns
    -------
    callable
        With the parameters of `function`. It writes into its arguments as `function` does; a
        derivative of it leaves them untouched.

    Raises
    ------
    ArgumentError
        Where the function has no parameter of that name.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> def squares(x, out):
    ...     out[:] = x * x
    >>> output, pull = pb.vjp(pb.final(squares, "out"), np.array([1.0, 2.0]), np.zeros(2))
    >>> output, pull(np.array([1.0, 1.0]))[0]
    (array([1., 4.]), array([2., 4.]))
    """
    signature = inspect.signature(function)
    if of not in signature.parameters:
        names = ", ".join(signature.parameters)
        raise ArgumentError(f"of={of!r}: {_name(function)} has no such parameter, only {names}")

    @functools.wraps(function, assigned=("__name__", "__qualname__", "__doc__"))
    def content(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        inline_call(function, args, kwargs)
        return bound.arguments[of]

    return content


def final_sum(function: Callable[..., Any], of: str) -> Callable[..., Any]:
    """Return the function that adds up the last content of an argument, for `grad`.

    Raises
    ------
    DifferentiationError
        While tracing, where the function does not write into the argument.
    """
    content = final(function, of)

    @functools.wraps(content)
    def total(*args: Any, **kwargs: Any) -> Any:
        leaves: list[Any] = []
        flatten(content(*args, **kwargs), leaves)
        written = [a for a in leaves if not isinstance(a, TracedArray) or _is_written(a)]
        if not written:
            raise DifferentiationError(
                f"of={of!r}: {_name(function)} does not write into it.\n"
                "  Return the value to differentiate, or name an argument that is changed."
            )
        return functools.reduce(lambda a, b: a + b, [np.sum(a) for a in written])

    return total


def _is_written(array: TracedArray) -> bool:
    return array._view is not None and array._view.storage.written is not None


def _name(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


__all__ = ["final", "final_sum"]
