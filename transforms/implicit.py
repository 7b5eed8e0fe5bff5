"""`custom_root` and `custom_linear_solve`: solutions of equations, differentiated as such."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from ..compiled import check_callable, name_of
from ..ir.errors import DifferentiationError
from ..ir.ops.custom import Rule
from ..passes.implicit_rules import LinearSolve, Root, Solver
from ..passes.rule_pairs import transposed
from ..tracer.array import TracedArray
from ..tracer.nested import inline_call, is_differentiated
from ..tracer.state import current, require
from ..tracer.tree import unflatten
from .rule_regions import Given, Open, Returned, Scope, call_with_rule, opened
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

    def run(arrays: list[TracedArray], by: Any, mapped: Any) -> Returned:
        inner = require(label)
        right = unflatten(given.structure, iter(arrays))
        x, aux = split_aux(inline_call(by, (mapped, right), {}), has_aux, f"`{name_of(by)}`")
        leaves = like(given, x, f"the solve `{name_of(by)}`", inner)
        structure, more = taken(aux, inner)
        return [*leaves, *more], structure

    def regions(body: Open) -> tuple[list[Open], Callable[[Scope], Rule]]:
        forth = TracedMap(label, given, matvec, f"the matvec `{name_of(matvec)}`")
        found = [forth.region]
        if backward is None or symmetric:
            with contextlib.suppress(DifferentiationError):  # it can do without
                forth.transpose(label)  # a map that is not linear has none
        if backward is not None:
            vecmat = matvec if symmetric else forth.transpose(label)
            back = opened(
                f"{label}_transposed",
                given.params(),
                given.kinds,
                lambda arrays: run(arrays, backward, vecmat),
            )
            found.append(back)

        def make(scope: Scope) -> Rule:
            return _linear_rule(label, given, scope, body, found, symmetric)

        return found, make

    def called(arrays: list[TracedArray]) -> Returned:
        leaves, aux = run(arrays, solve, matvec)
        return leaves, pair(given.structure, aux) if has_aux else given.structure

    return call_with_rule(object(), None, label, given, called, regions)


def _linear_rule(
    label: str, given: Given, scope: Scope, body: Open, found: Sequence[Open], symmetric: bool
) -> Rule:
    count = len(given.types)
    apply = scope.enclosed(found[0])
    rule = LinearSolve(Solver(label, count, apply, scope.enclosed(body)))
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
        rule.other = LinearSolve(Solver(label, count, back, scope.enclosed(found[1])))
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

    def called(arrays: list[TracedArray]) -> Returned:
        inner = require(label)
        guess = unflatten(given.structure, iter(arrays))
        x, aux = split_aux(inline_call(solve, (f, guess), {}), has_aux, f"`{name_of(solve)}`")
        leaves = like(given, x, f"the solve `{name_of(solve)}`", inner)
        structure, more = taken(aux, inner)
        after = pair(given.structure, structure) if has_aux else given.structure
        return [*leaves, *more], after

    def regions(body: Open) -> tuple[list[Open], Callable[[Scope], Rule]]:
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

    return call_with_rule(object(), None, label, given, called, regions)


__all__ = ["custom_linear_solve", "custom_root"]
