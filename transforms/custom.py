"""`custom_vjp` and `custom_jvp`: functions whose derivatives the user writes."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Sequence
from typing import Any

from ..arguments import Arguments
from ..compiled import check_callable
from ..ir.core import Atom, Value
from ..ir.errors import ArgumentError, DifferentiationError, StructureError
from ..ir.ops.custom import Pair, Rule
from ..ir.types import Kind
from ..passes.rule_pairs import TangentRule
from ..tracer.array import TracedArray
from ..tracer.functions.create import zeros
from ..tracer.nested import inline_call
from ..tracer.report import expression_here
from ..tracer.state import current, require
from ..tracer.tree import Node, flatten, unflatten
from .apart import name_of
from .rule_regions import (
    Given,
    Open,
    Returned,
    Scope,
    call_with_rule,
    closed_over,
    depends,
    opened,
)
from .rule_results import Expected, cotangents, same_output, shown, taken, tangents_of


class _Same:
    """An argument that is passed on as it is, equal to itself alone."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


class _Ruled:
    """A function with a derivative rule; see the subclasses."""

    KIND = ""

    def __init__(self, function: Callable[..., Any], nondiff_argnums: Sequence[int] = ()) -> None:
        check_callable(self.KIND, function)
        functools.update_wrapper(self, function)
        self.function = function
        self.label = name_of(function)
        self.nondiff = tuple(nondiff_argnums)
        self.arguments = Arguments(function, self.nondiff, ())
        self.nondiff = tuple(sorted(self.arguments.static_positions))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        trace = current()
        if trace is None:
            return self.function(*args, **kwargs)
        args = self._positional(args, kwargs)
        self._check(trace.root.inputs)
        given = Given.of(self.arguments, args, trace)
        statics = tuple([_Same(args[k]) for k in self.nondiff if k < len(args)])
        return call_with_rule(
            self,
            statics,
            self.label,
            given,
            lambda arrays: self._run(given, args, arrays),
            lambda body: self._rule(given, args, body),
        )

    def _check(self, inputs: Any) -> None:
        """Raise where there is no rule; guard against another one."""
        raise NotImplementedError

    def _rule(self, given: Given, args: tuple[Any, ...], body: Open) -> Any:
        raise NotImplementedError

    def _positional(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """Return the arguments by position, defaults filled in."""
        try:
            bound = inspect.signature(self.function).bind(*args, **kwargs)
        except ValueError:  # a callable without a signature
            return args
        bound.apply_defaults()
        if bound.kwargs:
            names = ", ".join(f"`{n}`" for n in bound.kwargs)
            raise ArgumentError(
                f"{expression_here()}: {self.label} has a derivative rule and takes {names} by "
                "keyword alone; rules are given arguments by position.\n"
                "  Let it be positional, or bind it with functools.partial."
            )
        return bound.args

    def _run(self, given: Given, args: tuple[Any, ...], arrays: Sequence[Any]) -> Returned:
        """Run the function on leaves."""
        output = inline_call(self.function, self._filled(given, args, arrays), {})
        structure, leaves = taken(output, require(self.label))
        return leaves, structure

    def _filled(self, given: Given, args: tuple[Any, ...], arrays: Sequence[Any]) -> Any:
        """Return the arguments with other leaves."""
        found = unflatten(given.structure, iter(arrays))
        require(self.label).root.inputs.commits.register_arguments(found, None)
        return tuple([args[k] if k in self.nondiff else part for k, part in enumerate(found)])

    def _static(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple([args[k] for k in self.nondiff if k < len(args)])

    def _open(self, given: Given, count: int) -> list[tuple[str, Any]]:
        """Return the name and structure of each argument that the rule is about."""
        assert isinstance(given.structure, Node)
        return [
            (self.arguments.name(k), given.structure.children[k])
            for k in range(count)
            if k not in self.nondiff
        ]


class custom_vjp(_Ruled):
    """A function whose gradient is given: `@pb.custom_vjp`, then `f.defvjp(fwd, bwd)`.

    Outside of a trace the function runs as it is. Where no derivative is taken of it, it is
    compiled like any other. A derivative runs `fwd` in its place, and `bwd` for the cotangents;
    higher derivatives differentiate these two.

    Parameters
    ----------
    nondiff_argnums
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

    def __init__(self, function: Callable[..., Any], nondiff_argnums: Sequence[int] = ()) -> None:
        super().__init__(function, nondiff_argnums)
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

    def _check(self, inputs: Any) -> None:
        if self.fwd is None:
            raise DifferentiationError(
                f"{self.label} is a custom_vjp function without a rule.\n"
                f"  Give it one: {self.label}.defvjp(fwd, bwd)."
            )
        for name in ("fwd", "bwd"):
            inputs.load(f"{inputs.constant(self)}.{name}", getattr(self, name))

    def _rule(self, given: Given, args: tuple[Any, ...], body: Open) -> Any:
        fwd, bwd = self.fwd, self.bwd
        assert fwd is not None
        assert bwd is not None
        outs = len(body.results)
        who = f"{shown(fwd)}, the forward rule of {self.label},"

        def forward(arrays: list[TracedArray]) -> Returned:
            trace = require(self.label)
            returned = inline_call(fwd, self._filled(given, args, arrays), {})
            if not isinstance(returned, tuple) or len(returned) != 2:
                raise StructureError(f"{who} must return a pair (output, residuals).")
            structure, leaves = taken(returned[0], trace)
            types = [r.type for r in body.results]
            same_output(who, body.structure, types, structure, leaves, self.label)
            kept, residuals = taken(returned[1], trace)
            return [*leaves, *residuals], kept

        first = opened(f"{self.label}_forward", given.params(), given.kinds, forward)
        values = [Value(r.type, getattr(r, "hint", None), layout=r.layout) for r in first.results]
        values[:outs] = [Value(r.type, None) for r in first.results[:outs]]
        params = [*values[outs:], *values[:outs]]
        kinds = [*first.result_kinds[outs:], *[_kind(v) for v in values[:outs]]]
        targets: list[int] = []

        def backward(arrays: list[TracedArray]) -> Returned:
            trace = require(self.label)
            kept = len(first.results) - outs
            residuals = unflatten(first.structure, iter(arrays[:kept]))
            ct = unflatten(body.structure, iter(arrays[kept:]))
            returned = inline_call(bwd, (*self._static(args), residuals, ct), {})
            who = f"{shown(bwd)}, the backward rule of {self.label},"
            found = cotangents(who, returned, self._open(given, len(args)), given.types, trace)
            targets[:] = [k for k, a in enumerate(found) if a is not None]
            return [(a, Kind.ARRAY) for a in found if a is not None], None

        second = opened(f"{self.label}_backward", params, kinds, backward)
        second = second._replace(result_kinds=[_kind(r) for r in second.results])

        def make(scope: Scope) -> Rule:
            ahead = scope.enclosed(first)
            captured = range(len(given.types), len(ahead.params))
            ahead = ahead.replace(
                results=[*ahead.results, *ahead.params[captured.start :]],
                result_kinds=[*ahead.result_kinds, *ahead.param_kinds[captured.start :]],
            )
            back = scope.enclosed(second, len(first.results) - outs)
            closed = depends(ahead, outs, captured) | depends(scope.enclosed(body), outs, captured)
            refuse = closed_over(self.label, shown(bwd), scope, len(given.types))
            return _Given(Pair(ahead, back, tuple(targets), closed), refuse)

        return [first, second], make


class _Given(Rule):
    """A rule whose regions are traced."""

    def __init__(self, pair: Pair, refuse: Callable[[int], DifferentiationError]) -> None:
        self._pair = pair
        self._refuse = refuse

    def pair(self) -> Pair:
        return self._pair

    def refuse(self, operand: int) -> DifferentiationError:
        return self._refuse(operand)


def _kind(value: Atom) -> Kind:
    return Kind.ARRAY if value.type.shape else Kind.SCALAR


class custom_jvp(_Ruled):
    """A function whose tangent is given: `@pb.custom_jvp`, then `f.defjvp(rule)`.

    Outside of a trace the function runs as it is. Reverse mode transposes the rule, which has to be
    linear in the tangents; higher derivatives differentiate it.

    Parameters
    ----------
    nondiff_argnums
        Arguments that the rule is given as they are, before primals and tangents.

    Examples
    --------
    >>> import numpy as np
    >>> import pullback as pb
    >>> @pb.custom_jvp
    ... def softplus(x):
    ...     return np.logaddexp(x, 0.0)
    >>> @softplus.defjvp
    ... def rule(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return softplus(x), t / (1.0 + np.exp(-x))
    >>> pb.grad(softplus)(0.0)
    0.5
    """

    KIND = "custom_jvp"

    def __init__(self, function: Callable[..., Any], nondiff_argnums: Sequence[int] = ()) -> None:
        super().__init__(function, nondiff_argnums)
        self.rule: Callable[..., Any] | None = None
        self.rules: tuple[Callable[..., Any] | None, ...] = ()

    def defjvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Give the rule, `rule(primals, tangents) -> (output, tangent of the output)`; return it.

        Both are tuples with an entry for each argument.
        """
        check_callable("defjvp", rule)
        self.rule = rule
        return rule

    def defjvps(self, *rules: Callable[..., Any] | None) -> None:
        """Give a rule for each argument, `rule(tangent, output, *primals)`, or None for a zero.

        It returns the tangent of the output. The sum over the arguments is taken.
        """
        if self.nondiff:
            raise ArgumentError(
                f"defjvps has a rule for each argument of {self.label}, some of which are in "
                "nondiff_argnums.\n  Use defjvp."
            )
        self.rules = rules
        self.rule = self._summed

    def _summed(self, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
        """Return the output and the sum of what the rules of the arguments give."""
        if len(self.rules) != len(primals):
            raise StructureError(
                f"{self.label}.defjvps was given {len(self.rules)} rules for {len(primals)} "
                "arguments."
            )
        output = self(*primals)
        sums: list[Any] = []
        structure = flatten(output, sums)
        sums = [None] * len(sums)
        for rule, tangent in zip(self.rules, tangents, strict=True):
            if rule is None:
                continue
            leaves: list[Any] = []
            found = flatten(inline_call(rule, (tangent, output, *primals), {}), leaves)
            if found != structure:
                raise StructureError(
                    f"{shown(rule)}, a rule of {self.label}, must return a tangent of the "
                    f"structure of the output.\n  expected {structure}\n  returned {found}"
                )
            sums = [b if a is None else a + b for a, b in zip(sums, leaves, strict=True)]
        return output, unflatten(structure, iter(sums)) if sums[0] is not None else None

    def _check(self, inputs: Any) -> None:
        if self.rule is None:
            raise DifferentiationError(
                f"{self.label} is a custom_jvp function without a rule.\n"
                f"  Give it one: {self.label}.defjvp(rule)."
            )
        if not self.rules:
            inputs.load(f"{inputs.constant(self)}.rule", self.rule)
        inputs.load(f"{inputs.constant(self)}.rules", self.rules)

    def _rule(self, given: Given, args: tuple[Any, ...], body: Open) -> Any:
        rule = self.rule
        assert rule is not None
        inexact = given.inexact
        types = [r.type for r in body.results]
        flows = [k for k, t in enumerate(types) if t.is_inexact]
        who = f"{shown(rule)}, the rule of {self.label},"
        flags = [t.is_inexact for t in given.types]

        def both(arrays: list[TracedArray]) -> Returned:
            trace = require(self.label)
            count = len(flags)
            primals = self._filled(given, args, arrays[:count])
            tangents = tangents_of(given.structure, iter(arrays[count:]), iter(flags))
            open = [k for k in range(len(args)) if k not in self.nondiff]
            returned = inline_call(
                rule,
                (
                    *self._static(args),
                    tuple([primals[k] for k in open]),
                    tuple([tangents[k] for k in open]),
                ),
                {},
            )
            if not isinstance(returned, tuple) or len(returned) != 2:
                raise StructureError(f"{who} must return a pair (output, tangent).")
            structure, leaves = taken(returned[0], trace)
            same_output(who, body.structure, types, structure, leaves, self.label)
            expected = Expected(who, "a tangent", trace)
            found = list(expected.leaves(body.structure, iter(types), returned[1], "output"))
            outs = [
                (a if a is not None else zeros(t.shape, t.dtype)._atom, Kind.ARRAY)
                for a, t in zip(found, types, strict=True)
                if t.is_inexact
            ]
            return [*leaves, *outs], None

        tangents = [
            Value(given.types[k], f"{given.hints[k]}_dot" if given.hints[k] else None)
            for k in inexact
        ]
        region = opened(
            f"{self.label}_jvp",
            [*given.params(), *tangents],
            [*given.kinds, *[_kind(t) for t in tangents]],
            both,
        )
        region = region._replace(
            result_kinds=[
                *region.result_kinds[: len(types)],
                *[_kind(r) for r in region.results[len(types) :]],
            ]
        )

        def make(scope: Scope) -> Rule:
            function = scope.enclosed(region, len(given.types))
            captured = range(len(given.types), len(given.types) + len(scope.captured))
            closed = depends(function, len(types), captured) | depends(
                scope.enclosed(body), len(types), captured
            )
            return _Tangents(
                function,
                inexact,
                flows,
                len(types),
                DifferentiationError(
                    f"{who} is not linear in the tangents, so that reverse mode cannot transpose "
                    "it.\n  Let it be linear, or give a rule for cotangents: pb.custom_vjp."
                ),
                closed,
                closed_over(self.label, shown(rule), scope, len(given.types)),
            )

        return [region], make


class _Tangents(TangentRule):
    """A rule for tangents that says nothing of what its function captures."""

    def __init__(
        self,
        *args: Any,
    ) -> None:
        *rest, self.closed, self._refuse = args
        super().__init__(*rest)

    def pair(self) -> Pair:
        return super().pair()._replace(closed=self.closed)

    def tangents(self) -> Pair:
        return super().tangents()._replace(closed=self.closed)

    def refuse(self, operand: int) -> DifferentiationError:
        error: DifferentiationError = self._refuse(operand)
        return error


__all__ = ["custom_jvp", "custom_vjp"]
