"""`custom_jvp`: a function whose tangent the user writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..compiled import check_callable
from ..ir.core import Value, default_kind
from ..ir.errors import ArgumentError, DifferentiationError, StructureError
from ..ir.ops.custom import Rule
from ..passes.rule_pairs import TangentRule
from ..tracer.array import TracedArray
from ..tracer.functions.create import zeros
from ..tracer.nested import inline_call
from ..tracer.state import require
from ..tracer.tree import flatten, unflatten
from .rule_regions import Given, Open, Returned, Scope, closed_over, depends, opened
from .rule_results import Expected, same_output, shown, taken, tangents_of
from .ruled import Ruled


class custom_jvp(Ruled):
    """A function whose tangent is given: `@pb.custom_jvp`, then `f.defjvp(rule)`.

    Outside of a trace the function runs as it is. Reverse mode transposes the rule, which has to be
    linear in the tangents; higher derivatives differentiate it.

    Parameters
    ----------
    nondiff_argnums, nondiff_argnames
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
    IS_PLAIN = False

    def __init__(
        self,
        function: Callable[..., Any],
        nondiff_argnums: int | Sequence[int] = (),
        nondiff_argnames: str | Sequence[str] = (),
    ) -> None:
        super().__init__(function, nondiff_argnums, nondiff_argnames)
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
            primals = self.filled(given, args, arrays[:count])
            tangents = tangents_of(given.structure, iter(arrays[count:]), iter(flags))
            open = [k for k in range(len(args)) if k not in self.nondiff]
            returned = inline_call(
                rule,
                (
                    *self.static(args),
                    tuple([primals[k] for k in open]),
                    tuple([tangents[k] for k in open]),
                ),
                {},
            )
            if not isinstance(returned, tuple) or len(returned) != 2:
                raise StructureError(f"{who} must return a pair (output, tangent).")
            structure, leaves = taken(returned[0], trace)
            same_output(who, body.structure, types, structure, leaves, self.label)
            expected = Expected(who, "a tangent")
            moved = expected.values(body.structure, returned[1], "output")
            found = [
                expected.atom(type, value, path, trace)
                for type, (path, value) in zip(types, moved, strict=True)
            ]
            outs = [
                a if a is not None else zeros(t.shape, t.dtype)._atom
                for a, t in zip(found, types, strict=True)
                if t.is_inexact
            ]
            return [*leaves, *[(a, default_kind(a)) for a in outs]], None

        tangents = [
            Value(given.types[k], f"{given.hints[k]}_dot" if given.hints[k] else None)
            for k in inexact
        ]
        region = opened(
            f"{self.label}_jvp",
            [*given.params(), *tangents],
            [*given.kinds, *map(default_kind, tangents)],
            both,
        )

        def make(scope: Scope) -> Rule:
            function = scope.enclosed(region, len(given.types))
            captured = range(len(given.types), len(given.types) + len(scope.captured))
            closed = depends(function, len(types), captured) | depends(
                scope.enclosed(body), len(types), captured
            )
            return TangentRule(
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


__all__ = ["custom_jvp"]
