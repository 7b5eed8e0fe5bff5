"""`custom_vjp`: a function whose gradient the user writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..compiled import check_callable
from ..ir.core import Value, default_kind
from ..ir.errors import DifferentiationError, StructureError
from ..ir.ops.custom import Pair, Rule
from ..tracer.array import TracedArray
from ..tracer.inputs import Inputs
from ..tracer.nested import inline_call
from ..tracer.state import require
from ..tracer.tree import unflatten
from .rule_regions import Given, Open, Returned, RuleParts, Scope, closed_over, opened
from .rule_results import Expected, check_parameters, same_output, shown, taken
from .ruled import Ruled


class custom_vjp(Ruled):
    """A function whose gradient is given: `@pb.custom_vjp`, then `f.defvjp(fwd, bwd)`.

    Outside of a trace the function runs as it is. Where no derivative is taken of it, it is
    compiled like any other. A derivative runs `fwd` in its place, and `bwd` for the cotangents.
    Higher derivatives differentiate these two as they are written: where `fwd` calls the function
    itself, they take the rule again.

    Parameters
    ----------
    nondiff_argnums, nondiff_argnames
        Arguments that the rules are given as they are, such as functions and sizes: first by `bwd`.
        Python ints need not be named: no derivative flows to them.

    Raises
    ------
    StructureError, ShapeError
        Where a derivative is taken and a rule returns what does not fit.
    DifferentiationError
        Where a derivative would flow to what the function reads from outside: the rule says nothing
        of it.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> @pb.custom_vjp
    ... def clipped(x, limit):
    ...     return x
    >>> def fwd(x, limit):
    ...     return x, limit
    >>> def bwd(limit, ct):
    ...     return np.clip(ct, -limit, limit), None
    >>> clipped.defvjp(fwd, bwd)
    >>> pb.grad(lambda x: np.sum(clipped(x, 1.0) ** 2))(np.array([0.25, 3.0]))
    array([0.5, 1. ])
    """

    KIND = "custom_vjp"

    def __init__(
        self,
        function: Callable[..., Any],
        nondiff_argnums: int | Sequence[int] = (),
        nondiff_argnames: str | Sequence[str] = (),
    ) -> None:
        super().__init__(function, nondiff_argnums, nondiff_argnames)
        self.fwd: Callable[..., Any] | None = None
        self.bwd: Callable[..., Any] | None = None

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Give the rule.

        Parameters
        ----------
        fwd
            Takes the function's arguments; returns `(output, residuals)`.
        bwd
            Takes the residuals and the output's cotangent (after the arguments in
            `nondiff_argnums`); returns a tuple with the cotangent of each other argument, in its
            structure; None is a zero.
        """
        check_callable("defvjp", fwd)
        check_callable("defvjp", bwd)
        self.fwd, self.bwd = fwd, bwd

    def _check(self, inputs: Inputs) -> None:
        if self.fwd is None:
            raise DifferentiationError(
                f"{self.label} is a custom_vjp function without a rule.\n"
                f"  Give it one: {self.label}.defvjp(fwd, bwd)."
            )
        for name in ("fwd", "bwd"):
            inputs.load(f"{inputs.constant(self)}.{name}", getattr(self, name))

    def _rule(self, given: Given, args: tuple[Any, ...], body: Open) -> RuleParts:
        bwd = self.bwd
        assert bwd is not None
        outs, count = len(body.results), len(given.types)
        first = self._forward(given, args, body)
        second, targets = self._backward(given, args, body, first)

        def make(scope: Scope) -> Rule:
            ahead = scope.enclosed(first)
            ahead = ahead.replace(
                results=[*ahead.results, *ahead.params[count:]],
                result_kinds=[*ahead.result_kinds, *ahead.param_kinds[count:]],
            )
            back = scope.enclosed(second, len(first.results) - outs)
            closed = scope.read_by([ahead, scope.enclosed(body)], outs, count)
            refuse = closed_over(self.label, shown(bwd), scope, count)
            return _Traced(Pair(ahead, back, targets, closed), refuse, self._backward_rule())

        return [first, second], make

    def _forward(self, given: Given, args: tuple[Any, ...], body: Open) -> Open:
        """Trace the forward rule: it returns the results, and then residuals."""
        fwd = self.fwd
        assert fwd is not None
        who = f"{shown(fwd)}, the forward rule of {self.label},"
        check_parameters(who, fwd, self.names(range(len(args))))

        def forward(arrays: list[TracedArray]) -> Returned:
            trace = require(self.label)
            returned = inline_call(fwd, self.filled(given, args, arrays), {})
            if not isinstance(returned, tuple) or len(returned) != 2:
                raise StructureError(f"{who} must return a pair (output, residuals).")
            structure, leaves = taken(returned[0], trace)
            types = [r.type for r in body.results]
            same_output(who, body.structure, types, structure, leaves, self.label)
            kept, residuals = taken(returned[1], trace)
            return [*leaves, *residuals], kept

        return opened(f"{self.label}_forward", given.params(), given.kinds, forward, given.atoms)

    def _backward_rule(self) -> str:
        """Return what messages call the backward rule."""
        assert self.bwd is not None
        return f"{shown(self.bwd)}, the backward rule of {self.label}"

    def _backward(
        self, given: Given, args: tuple[Any, ...], body: Open, first: Open
    ) -> tuple[Open, tuple[int, ...]]:
        """Trace the backward rule; also return which leaves it gives cotangents for."""
        bwd, outs = self.bwd, len(body.results)
        assert bwd is not None
        who = f"{self._backward_rule()},"
        statics = self.names(self.static(args))
        check_parameters(who, bwd, [*statics, "what the forward rule kept", "the cotangent"])
        results, residuals = first.results[:outs], first.results[outs:]
        targets: list[int] = []

        def backward(arrays: list[TracedArray]) -> Returned:
            trace = require(self.label)
            kept = unflatten(first.structure, iter(arrays[: len(residuals)]))
            ct = unflatten(body.structure, iter(arrays[len(residuals) :]))
            returned = inline_call(bwd, (*self.statics(args), kept, ct), {})
            expected = Expected(who, "a cotangent")
            leaves = expected.arguments(self.about(given, len(args)), returned)
            found = [
                expected.atom(type, value, path, trace)
                for type, (path, value) in zip(given.types, leaves, strict=True)
            ]
            targets.extend([k for k, a in enumerate(found) if a is not None])
            return [(a, default_kind(a)) for a in found if a is not None], None

        params = [
            *[Value(r.type, r.hint, layout=r.layout) for r in residuals],
            *[Value(r.type) for r in results],
        ]
        kinds = [*first.result_kinds[outs:], *map(default_kind, results)]
        return opened(f"{self.label}_backward", params, kinds, backward), tuple(targets)


class _Traced(Rule):
    """A rule whose regions are traced."""

    def __init__(
        self, pair: Pair, refuse: Callable[[int], DifferentiationError], source: str
    ) -> None:
        self._pair = pair
        self._refuse = refuse
        self.source = source

    def pair(self) -> Pair:
        return self._pair

    def refuse(self, operand: int) -> DifferentiationError:
        return self._refuse(operand)


__all__ = ["custom_vjp"]
