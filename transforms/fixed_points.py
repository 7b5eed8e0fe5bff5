"""`fixed_point`: iterated to a tolerance, differentiated as the solution of an equation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..compiled import check_callable
from ..ir.errors import ArgumentError, ConvergenceError, StructureError
from ..ir.ops.check import Require
from ..ir.ops.index import apply
from ..tracer.array import TracedArray
from ..tracer.nested import inline_call
from ..tracer.report import expression_here
from ..tracer.state import current
from ..tracer.tree import flatten, unflatten
from ..tracer.while_loops import while_loop
from .implicit import custom_linear_solve, custom_root


def fixed_point(
    f: Callable[..., Any],
    initial_guess: Any,
    *args: Any,
    tolerance: float | None = None,
    iterations: int = 10_000,
) -> Any:
    """Return the x with `x = f(x, *args)`, found by iteration and differentiated as such.

    It iterates `x = f(x, *args)` from the initial guess until no entry changes by more than
    `tolerance * max(|x|, 1)`. Derivatives iterate the linear equation of the tangents or cotangents
    at the fixed point, to the same tolerance: nothing of the iterations is kept, and higher
    derivatives follow. `f` may read traced values from outside, too.

    Parameters
    ----------
    f
        A contraction near the fixed point; it returns what is like `initial_guess`.
    tolerance
        By default the machine's epsilon to the power 3/4: about 2e-12 in float64, 6e-6 in float32.
        Where the iteration converges by a factor q each time, the error is about
        `tolerance * q / (1 - q)`.
    iterations
        The largest number of iterations.

    Raises
    ------
    ConvergenceError
        Where the tolerance is not met within so many iterations, here or in a derivative.
    StructureError, ShapeError
        Where `f` returns what is not like the initial guess.

    Notes
    -----
    At the fixed point the tangent solves `t = J t + s`, J being the derivative of f by x and s what
    f moves by through its other arguments, and the cotangent `c = Jᵀ c + ct`; both converge by the
    factor by which x does [1]_.

    .. [1] B. Christianson, "Reverse accumulation and attractive fixed points", Optimization Methods
       and Software 3 (1994) 311-326.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> def babylonian(x, a):
    ...     return (x + a / x) / 2
    >>> root = lambda a: pb.fixed_point(babylonian, 1.0, a)
    >>> round(float(root(2.0)), 6), round(float(pb.grad(root)(2.0)), 6)
    (1.414214, 0.353553)
    """
    check_callable("fixed_point", f)
    if type(iterations) is not int or iterations < 1:
        raise ArgumentError(f"fixed_point: iterations={iterations!r} is no positive int")

    def stepped(x: Any) -> Any:
        return inline_call(f, (x, *args), {}) if current() is not None else f(x, *args)

    def find(function: Any, guess: Any) -> Any:
        return _iterated(stepped, guess, tolerance, iterations, "fixed_point")

    if current() is None:
        return find(None, initial_guess)

    def residual(x: Any) -> Any:
        return _zipped(lambda a, b: a - b, x, stepped(x))

    def linear(g: Callable[[Any], Any], y: Any) -> Any:
        return custom_linear_solve(g, y, neumann, neumann)

    def neumann(g: Callable[[Any], Any], y: Any) -> Any:
        """Solve `g(v) = y` where g(v) is v - J v: by `v = J v + y`."""
        return _iterated(
            lambda v: _zipped(lambda a, b, c: a - b + c, v, g(v), y),
            y,
            tolerance,
            iterations,
            "the derivative of fixed_point",
        )

    return custom_root(residual, initial_guess, find, linear)


def _zipped(function: Callable[..., Any], first: Any, *others: Any) -> Any:
    """Apply a function to corresponding leaves of containers."""
    parts: list[list[Any]] = [[]]
    structure = flatten(first, parts[0])
    for other in others:
        parts.append([])
        if flatten(other, parts[-1]) != structure:
            raise StructureError(
                f"{expression_here()}: the function of fixed_point must return the structure that "
                f"it takes.\n  it takes   {structure}\n  it returns {flatten(other, [])}"
            )
    return unflatten(structure, iter([function(*p) for p in zip(*parts, strict=True)]))


def _iterated(
    step: Callable[[Any], Any], guess: Any, tolerance: float | None, iterations: int, who: str
) -> Any:
    """Iterate until nothing changes by more than the tolerance.

    Raises
    ------
    ConvergenceError
    """

    def is_same(old: Any, new: Any) -> Any:
        limit = tolerance
        if limit is None:
            limit = float(np.finfo(np.result_type(new)).eps) ** 0.75
        return np.all(np.abs(new - old) <= limit * np.maximum(np.abs(old), 1.0))

    def again(state: Any) -> Any:
        _, is_done, count = state
        return np.logical_and(np.logical_not(is_done), count < iterations)

    def iteration(state: Any) -> Any:
        x, _, count = state
        new = step(x)
        flags: list[Any] = []
        flatten(_zipped(is_same, x, new), flags)
        is_done = flags[0]
        for flag in flags[1:]:
            is_done = np.logical_and(is_done, flag)
        return new, is_done, count + 1

    x, is_done, _ = while_loop(again, iteration, (guess, np.bool_(False), np.int64(0)))
    message = (
        f"{who} does not converge in {iterations} iterations.\n"
        "  Begin closer to the fixed point, allow more iterations=, or a larger tolerance=."
    )
    if current() is None:
        if not is_done:
            raise ConvergenceError(message)
        return x
    leaves: list[Any] = []
    structure = flatten(x, leaves)
    checked = apply(Require("ConvergenceError", message), leaves[0], is_done)
    leaves[0] = TracedArray(checked._atom, leaves[0]._kind, checked._trace)
    return unflatten(structure, iter(leaves))


__all__ = ["fixed_point"]
