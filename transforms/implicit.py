"""`custom_root` and `custom_linear_solve`: solutions of equations, differentiated as such."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..compiled import check_callable, name_of
from ..ir.errors import DifferentiationError
from ..ir.ops.custom import Rule
from ..passes.implicit_rules import LinearSolve, Root
from ..passes.rule_pairs import transposed
from ..tracer.array import TracedArray
from ..tracer.nested import inline_call, is_differentiated
from ..tracer.state import current, require
from ..tracer.tree import unflatten
from .rule_regions import Given, Open, Returned, RuleParts, Scope, call_with_rule, opened
from .rule_results import taken
from .unknowns import TracedMap, given_for, like, pair, split_aux


def custom_linear_solve(
    matvec: Callable[[Any], Any],
    b: Any,
    solve: Callable[[Callable[[Any], Any], Any], Any],
    transpose_solve: Callable[[Callable[[Any], Any], Any], Any] | None = None,
    symmetric: bool = False,
    has_aux: bool = False,
) -> Any:
    """Return `solve(matvec, b)`, differentiated as the solution of `matvec(x) = b`.

    No derivative looks into `solve`: each derivative is another linear solve. `matvec` may read
    traced values from outside, and derivatives flow to these.

    Parameters
    ----------
    matvec
        A linear function from what is like `b` to what is like `b`.
    b
        The right side, a container of arrays.
    solve
        `solve(matvec, b) -> x`; it may be iterative.
    transpose_solve
        `transpose_solve(vecmat, b) -> x`, which solves with the transpose; reverse mode needs it.
    symmetric
        The map is its own transpose, and `solve` serves for both.
    has_aux
        The solves return `(x, aux)`, and so does this; no derivative flows through `aux`.

    Raises
    ------
    DifferentiationError
        Where reverse mode needs a `transpose_solve` that was not given.
    ArgumentError
        Where a derivative is taken and `matvec` is not linear.
    StructureError, ShapeError
        Where `matvec` or a solve returns something that is not like `b`.

    Notes
    -----
    For A x = b the tangent of x is the solution of `A t = db - dA x`, and the cotangent of b that
    of `Aᵀ c = ct`; that of A is `-c xᵀ`.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> def solution(a):
    ...     def by_elimination(matvec, b):
    ...         return np.linalg.solve(np.diag(a), b)
    ...     x = pb.custom_linear_solve(
    ...         lambda x: a * x, np.ones(2), by_elimination, symmetric=True)
    ...     return np.sum(x)
    >>> pb.grad(solution)(np.array([2.0, 4.0]))
    array([-0.25  , -0.0625])
    """
    for function in (matvec, solve, *([] if transpose_solve is None else [transpose_solve])):
        check_callable("custom_linear_solve", function)
    trace = current()
    if trace is None:
        return solve(matvec, b)
    if not is_differentiated(trace):
        return inline_call(solve, (matvec, b), {})
    label = "custom_linear_solve"
    given = given_for(label, "b", b, trace)
    backward = transpose_solve or (solve if symmetric else None)

    def regions(body: Open) -> RuleParts:
        forth = TracedMap(label, given, matvec, f"the matvec `{name_of(matvec)}`")
        found = [forth.region]
        if backward is None or symmetric:
            # It only has to be linear, which this finds out; one without a rule can do without.
            with contextlib.suppress(DifferentiationError):
                forth.transpose(label)
        if backward is not None:
            vecmat = matvec if symmetric else forth.transpose(label)
            back = opened(
                f"{label}_transposed",
                given.params(),
                given.kinds,
                partial(_solved, given, backward, vecmat, has_aux),
            )
            found.append(back)

        def make(scope: Scope) -> Rule:
            return _linear_rule(label, given, scope, body, found, symmetric)

        return found, make

    called = partial(_solved, given, solve, matvec, has_aux)
    return call_with_rule(object(), None, label, given, called, regions, is_solved=True)


def _solved(
    given: Given,
    solve: Callable[..., Any],
    function: Callable[[Any], Any],
    has_aux: bool,
    arrays: Sequence[TracedArray],
) -> Returned:
    """Call `solve(function, b)`, or with a guess; return its leaves and their structure."""
    who = f"`{name_of(solve)}`"
    trace = require(who)
    start = unflatten(given.structure, iter(arrays))
    x, aux = split_aux(inline_call(solve, (function, start), {}), has_aux, who)
    leaves = like(given, x, f"the solve {who}", trace)
    structure, more = taken(aux, trace)
    return [*leaves, *more], pair(given.structure, structure) if has_aux else given.structure


def _linear_rule(
    label: str, given: Given, scope: Scope, body: Open, found: Sequence[Open], symmetric: bool
) -> Rule:
    count = len(given.types)
    apply = scope.enclosed(found[0])
    rule = LinearSolve(label, count, apply, scope.enclosed(body))
    if len(found) > 1:
        back = apply
        if not symmetric:
            back = transposed(apply, range(count), range(count))
            # The transpose takes what the map reads first.
            split = len(back.params) - count
            order = [*range(split, len(back.params)), *range(split)]
            back = back.replace(
                params=[back.params[k] for k in order],
                param_kinds=[back.param_kinds[k] for k in order],
            )
        rule.other = LinearSolve(label, count, back, scope.enclosed(found[1]))
        rule.other.other = rule
    return rule


def custom_root(
    f: Callable[[Any], Any],
    initial_guess: Any,
    solve: Callable[[Callable[[Any], Any], Any], Any],
    tangent_solve: Callable[[Callable[[Any], Any], Any], Any],
    has_aux: bool = False,
) -> Any:
    """Return `solve(f, initial_guess)`, differentiated as the root x of `f(x) = 0`.

    No derivative looks into `solve`. `f` may read traced values from outside, and derivatives flow
    to these; none flows to the initial guess.

    Parameters
    ----------
    f
        A function from what is like the guess to what is like the guess.
    solve
        `solve(f, initial_guess) -> x`.
    tangent_solve
        `tangent_solve(g, y) -> x` solves the linear equation `g(x) = y`, where g is the derivative
        of f at the root: `y / g(1.0)` for a number. Reverse mode transposes it.
    has_aux
        `solve` returns `(x, aux)`, and so does this; no derivative flows through `aux`.

    Raises
    ------
    DifferentiationError
        Where reverse mode cannot transpose `tangent_solve`.
    StructureError, ShapeError
        Where a derivative is taken, and a function returns what is not like the guess.

    Notes
    -----
    By the implicit function theorem, the tangent of x is the solution of `g(t) = -df`, df being
    what f moves by through the values that it reads from outside.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> def bisect(f, x):
    ...     low, high = 0.0 * x, x
    ...     for _ in range(60):
    ...         mid = (low + high) / 2
    ...         low, high = np.where(f(mid) < 0, mid, low), np.where(f(mid) < 0, high, mid)
    ...     return (low + high) / 2
    >>> def root(a):
    ...     return pb.custom_root(lambda x: x ** 3 - a, a, bisect, lambda g, y: y / g(1.0))
    >>> round(float(pb.grad(root)(8.0)), 6)
    0.083333
    """
    for function in (f, solve, tangent_solve):
        check_callable("custom_root", function)
    trace = current()
    if trace is None:
        return solve(f, initial_guess)
    if not is_differentiated(trace):
        return inline_call(solve, (f, initial_guess), {})
    label = "custom_root"
    given = given_for(label, "initial_guess", initial_guess, trace)
    count = len(given.types)

    def regions(body: Open) -> RuleParts:
        residual = TracedMap(label, given, f, f"the function `{name_of(f)}`")

        def solved(arrays: list[TracedArray]) -> Returned:
            inner = require(label)
            g = residual.pushed(arrays[:count])
            y = unflatten(given.structure, iter(arrays[count:]))
            x = inline_call(tangent_solve, (g, y), {})
            return like(given, x, f"the tangent_solve `{name_of(tangent_solve)}`", inner), None

        linear = opened(
            f"{label}_tangents",
            [*given.params(), *given.params()],
            [*given.kinds, *given.kinds],
            solved,
        )

        def make(scope: Scope) -> Rule:
            parts = [scope.enclosed(r) for r in (body, residual.region, linear)]
            return Root(label, count, *parts)

        return [residual.region, linear], make

    called = partial(_solved, given, solve, f, has_aux)
    return call_with_rule(object(), None, label, given, called, regions, is_solved=True)


__all__ = ["custom_linear_solve", "custom_root"]
