"""Derivatives of what is defined by an equation: of linear solves and of roots.

Of `A(p) x = b` the tangents satisfy `A dx = db - dA x`, and of `f(x, p) = 0` they satisfy
`(df/dx) dx = -(df/dp) dp`. How `x` was found does not matter; each rule needs one more linear
solve, forward with `A` and backward with its transpose. See Griewank and Walther, Evaluating
Derivatives, chapter 15, and Christianson, Reverse accumulation and implicit functions (1998).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..ir.builder import Builder
from ..ir.closing import duplicate
from ..ir.core import Eqn, Function, Value
from ..ir.dims import Dim
from ..ir.errors import DifferentiationError
from ..ir.ops.custom import Custom, Pair
from ..tracer.array import computed, lift
from ..tracer.functions.create import zeros
from ..tracer.nested import inline_function
from ..tracer.state import Trace, require
from .forward import forward
from .reverse import reverse
from .rule_pairs import Derived, NotLinear, transposed

Arrays = Sequence[Any]
Write = Callable[[Arrays, Arrays], Arrays]
"""From residuals, and from cotangents or tangents, what a rule makes of them."""


class Implicit(Derived):
    """The rule of a solve: of `solve(b, p)`, which returns the unknowns and then what else it says.

    Its residuals are the unknowns and `p`; `b` stands for as many right sides or first guesses.
    """

    def __init__(self, label: str, unknowns: int, solve: Function) -> None:
        self.label = label
        self.unknowns = unknowns
        self.solve = solve

    def op(self) -> Custom:
        """Return the solve with this rule, which higher derivatives take of it."""
        dims = tuple(map(Dim.of, self.solve.dims))
        return Custom(duplicate(self.solve), self.label, self, dims)

    def paired(
        self, suffix: str, given: Sequence[Value], targets: Sequence[int], write: Write
    ) -> Pair:
        """Return the solve that keeps residuals, and the function that reads them.

        Parameters
        ----------
        given
            What that function takes besides residuals.
        targets
            The operands that it is about.
        write
            What it computes, called inside its trace.
        """
        count, solve = self.unknowns, self.solve
        residuals = [Value(v.type, v.hint) for v in (*solve.results[:count], *solve.params[count:])]
        builder = Builder()
        with Trace(builder, None) as trace:
            arrays = [computed(builder.param(p), trace) for p in (*residuals, *given)]
            made = write(arrays[: len(residuals)], arrays[len(residuals) :])
            results = [lift(m, trace)[0] for m in made]
        name = f"{self.label}_{suffix}"
        late = Function(name, builder.params, builder.eqns, results, dims=solve.dims)
        return Pair(self._keeping(), late, tuple(targets))

    def _keeping(self) -> Function:
        count, solve = self.unknowns, self.solve
        params = [Value(p.type, p.hint, layout=p.layout) for p in solve.params]
        results = [Value(r.type, r.hint, layout=r.layout) for r in solve.results]
        return Function(
            self.label,
            params,
            [Eqn(self.op(), tuple(params), tuple(results))],
            [*results, *results[:count], *params[count:]],
            dims=solve.dims,
            param_kinds=solve.param_kinds,
        )

    def cotangents(self) -> list[Value]:
        """Return parameters for the cotangents of all results."""
        return [Value(r.type) for r in self.solve.results]

    def tangents_of(self, operands: Sequence[int]) -> list[Value]:
        """Return parameters for the tangents of some operands."""
        return [Value(self.solve.params[k].type) for k in operands]

    def still(self) -> Arrays:
        """Return the tangents of what else the solve says: it does not move."""
        rest = [r.type for r in self.solve.results[self.unknowns :] if r.type.is_inexact]
        return [zeros(t.shape, t.dtype) for t in rest]


class LinearSolve(Implicit):
    """The rule of a linear solve with the map `apply(x, p)`.

    `other` is the rule of the solve with its transpose.
    """

    def __init__(self, label: str, unknowns: int, apply: Function, solve: Function) -> None:
        super().__init__(label, unknowns, solve)
        self.apply = apply
        self.other: LinearSolve | None = None

    def for_cotangents(self) -> Pair:
        count, other = self.unknowns, self.other
        if other is None:
            raise DifferentiationError(
                f"reverse mode through {self.label} solves with the transpose of its map, and no "
                "transpose_solve was given.\n"
                "  Give transpose_solve=..., or symmetric=True where the map is."
            )
        wrt = _moving(self.apply, count)
        back = reverse(self.apply, wrt, seeds=range(count), keep=())

        def write(at: Arrays, cts: Arrays) -> Arrays:
            u = other.solved(cts[:count], at[count:])
            return *u, *inline_function(back, [*at, *[-part for part in u]])

        return self.paired("vjp", self.cotangents(), (*range(count), *wrt), write)

    def for_tangents(self) -> Pair:
        count = self.unknowns
        wrt = _moving(self.apply, count)
        push = forward(self.apply, wrt, keep=())
        targets = (*range(count), *wrt)

        def write(at: Arrays, dots: Arrays) -> Arrays:
            right = dots[:count]
            if wrt:
                made = inline_function(push, [*at, *dots[count:]])
                right = [b - m for b, m in zip(right, made, strict=True)]
            return *self.solved(right, at[count:]), *self.still()

        return self.paired("jvp", self.tangents_of(targets), targets, write)

    def solved(self, right: Arrays, more: Arrays) -> Arrays:
        """Write the solve into the trace under way, with its rule; return the unknowns."""
        trace = require(self.label)
        atoms = [lift(a, trace)[0] for a in (*right, *more)]
        made = trace.builder.emit(self.op(), atoms)
        return [computed(a, trace) for a in made[: self.unknowns]]


class Root(Implicit):
    """The rule of a root: of `solve(x0, p)`, which returns an x where `residual(x, p)` is zero.

    `linear(x, y, p)` solves with the Jacobian of the residual at x.
    """

    def __init__(
        self, label: str, unknowns: int, solve: Function, residual: Function, linear: Function
    ) -> None:
        super().__init__(label, unknowns, solve)
        self.residual = residual
        self.linear = linear

    def for_cotangents(self) -> Pair:
        count = self.unknowns
        try:
            solve = transposed(self.linear, range(count, 2 * count), range(count))
        except NotLinear:
            raise DifferentiationError(
                f"reverse mode through {self.label} transposes its tangent_solve, which is not "
                "linear in the right side as it is computed.\n"
                "  Let it be np.linalg.solve, or pb.custom_linear_solve with a transpose_solve."
            ) from None
        wrt = _moving(self.residual, count)
        back = reverse(self.residual, wrt, seeds=range(count), keep=())

        def write(at: Arrays, cts: Arrays) -> Arrays:
            u = inline_function(solve, [*at, *cts[:count]])
            return inline_function(back, [*at, *[-part for part in u]])

        return self.paired("vjp", self.cotangents(), wrt, write)

    def for_tangents(self) -> Pair:
        count = self.unknowns
        wrt = _moving(self.residual, count)
        push = forward(self.residual, wrt, keep=())

        def write(at: Arrays, dots: Arrays) -> Arrays:
            right = [-part for part in inline_function(push, [*at, *dots])]
            made = inline_function(self.linear, [*at[:count], *right, *at[count:]])
            return *made, *self.still()

        return self.paired("jvp", self.tangents_of(wrt), wrt, write)


def _moving(function: Function, start: int) -> list[int]:
    """Return the inexact parameters from a position on that the results depend on."""
    needed = set(function.results)
    for eqn in reversed(function.eqns):
        if not needed.isdisjoint(eqn.results):
            needed.update(eqn.operands)
    return [
        k for k, p in enumerate(function.params) if k >= start and p.type.is_inexact and p in needed
    ]


__all__ = ["LinearSolve", "Root"]
