"""`custom_jvp`: a function whose tangent the user writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..compiled import check_callable
from ..ir.core import Atom, Value, default_kind
from ..ir.errors import ArgumentError, DifferentiationError, StructureError
from ..ir.ops.custom import Rule
from ..passes.rule_pairs import TangentRule
from ..tracer.array import TracedArray
from ..tracer.functions.create import zeros
from ..tracer.inputs import Inputs
from ..tracer.nested import inline_call
from ..tracer.state import require
from ..tracer.tree import flatten, unflatten
from .rule_regions import Given, Open, Returned, RuleParts, Scope, closed_over, opened
from .rule_results import Expected, check_parameters, same_output, shown, taken, tangents_of
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
            names = self.names(range(len(primals)))
            who = f"{shown(rule)}, a rule of {self.label},"
            check_parameters(who, rule, ["the tangent", "the output", *names])
            leaves: list[Any] = []
            found = flatten(inline_call(rule, (tangent, output, *primals), {}), leaves)
            if found != structure:
                raise StructureError(
                    f"{who} must return a tangent of the structure of the output.\n"
                    f"  expected {structure}\n  returned {found}"
                )
            sums = [b if a is None else a + b for a, b in zip(sums, leaves, strict=True)]
        return output, unflatten(structure, iter(sums)) if sums[0] is not None else None

    def _check(self, inputs: Inputs) -> None:
        if self.rule is None:
            raise DifferentiationError(
                f"{self.label} is a custom_jvp function without a rule.\n"
                f"  Give it one: {self.label}.defjvp(rule)."
            )
        if not self.rules:
            inputs.load(f"{inputs.constant(self)}.rule", self.rule)
        inputs.load(f"{inputs.constant(self)}.rules", self.rules)

    def _rule(self, given: Given, args: tuple[Any, ...], body: Open) -> RuleParts:
        rule = self.rule
        assert rule is not None
        types, count = [r.type for r in body.results], len(given.types)
        who = f"{shown(rule)}, the rule of {self.label},"
        statics = self.names(self.static(args))
        check_parameters(who, rule, [*statics, "the primals", "the tangents"])
        region = self._region(who, rule, given, args, body)

        def make(scope: Scope) -> Rule:
            function = scope.enclosed(region, count)
            return TangentRule(
                function,
                given.inexact,
                [k for k, t in enumerate(types) if t.is_inexact],
                len(types),
                DifferentiationError(
                    f"{who} is not linear in the tangents, so that reverse mode cannot transpose "
                    "it.\n  Let it be linear, or give a rule for cotangents: pb.custom_vjp."
                ),
                scope.read_by([function, scope.enclosed(body)], len(types), count),
                closed_over(self.label, shown(rule), scope, count),
            )

        return [region], make

    def _region(
        self,
        who: str,
        rule: Callable[..., Any],
        given: Given,
        args: tuple[Any, ...],
        body: Open,
    ) -> Open:
        """Trace the rule: it returns the results, and then tangents of the inexact ones."""
        types, count = [r.type for r in body.results], len(given.types)
        flags = [t.is_inexact for t in given.types]
        differentiated = [k for k in range(len(args)) if k not in self.nondiff]

        def both(arrays: list[TracedArray]) -> Returned:
            trace = require(self.label)
            primals = self.filled(given, args, arrays[:count])
            tangents = tangents_of(given.structure, iter(arrays[count:]), iter(flags))
            pair = [tuple([of[k] for k in differentiated]) for of in (primals, tangents)]
            returned = inline_call(rule, (*self.statics(args), *pair), {})
            if not isinstance(returned, tuple) or len(returned) != 2:
                raise StructureError(f"{who} must return a pair (output, tangent).")
            structure, leaves = taken(returned[0], trace)
            same_output(who, body.structure, types, structure, leaves, self.label)
            expected = Expected(who, "a tangent")
            moved = expected.values(body.structure, returned[1], "output")
            outs: list[Atom] = []
            for type, (path, value) in zip(types, moved, strict=True):
                if type.is_inexact:
                    found = expected.atom(type, value, path, trace)
                    outs.append(zeros(type.shape, type.dtype)._atom if found is None else found)
            return [*leaves, *[(a, default_kind(a)) for a in outs]], None

        hints = [given.hints[k] for k in given.inexact]
        dots = [
            Value(given.types[k], hint and f"{hint}_dot")
            for k, hint in zip(given.inexact, hints, strict=True)
        ]
        return opened(
            f"{self.label}_jvp",
            [*given.params(), *dots],
            [*given.kinds, *map(default_kind, dots)],
            both,
        )


__all__ = ["custom_jvp"]
