"""Derivatives of what is defined by an equation: of linear solves and of roots.

Of `A(p) x = b` the tangents satisfy `A dx = db - dA x`, and of `f(x, p) = 0` they satisfy
`(df/dx) dx = -(df/dp) dp`. How `x` was found does not matter; each rule needs one more linear
solve, forward with `A` and backward with its transpose. See Griewank and Walther, Evaluating
Derivatives, chapter 15, and Christianson, Reverse accumulation and implicit functions (1998).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ir.builder import Builder
from ..ir.closing import duplicate
from ..ir.core import Eqn, Function, Value
from ..ir.dims import Dim
from ..ir.errors import DifferentiationError
from ..ir.ops.custom import Custom, Pair, Rule
from ..tracer.array import computed, lift
from ..tracer.nested import inline_function
from ..tracer.state import Trace
from .forward import forward
from .reverse import reverse
from .rule_pairs import NotLinear, transposed


def keeping(solve: Function, label: str, unknowns: int, rule: Rule) -> Function:
    """Return a solve that keeps the unknowns and what stands behind the right side or guess.

    It is called with its rule, which higher derivatives take of it.
    """
    params = [Value(p.type, p.hint, layout=p.layout) for p in solve.params]
    results = [Value(r.type, r.hint, layout=r.layout) for r in solve.results]
    op = Custom(duplicate(solve), label, rule, tuple(map(Dim.of, solve.dims)))
    return Function(
        label,
        params,
        [Eqn(op, tuple(params), tuple(results))],
        [*results, *results[:unknowns], *params[unknowns:]],
        dims=solve.dims,
        param_kinds=solve.param_kinds,
    )


class Solver:
    """A linear map and how to solve with it: functions of unknowns (or right sides) and `p`.

    `apply(x, p)` is the map, and `solve(b, p)` returns x and then what else it has to say.
    """

    def __init__(self, label: str, unknowns: int, apply: Function, solve: Function) -> None:
        self.label = label
        self.unknowns = unknowns
        self.apply = apply
        self.solve = solve

    def run(self, rule: Rule, right: Sequence[Any], more: Sequence[Any], trace: Trace) -> list[Any]:
        """Write the solve into a trace, with its rule; return the unknowns."""
        op = Custom(duplicate(self.solve), self.label, rule, tuple(map(Dim.of, self.solve.dims)))
        atoms = [lift(a, trace)[0] for a in (*right, *more)]
        made = trace.builder.emit(op, atoms)
        return [computed(a, trace) for a in made[: self.unknowns]]


class LinearSolve(Rule):
    """The rule of a linear solve; `other` is that of the solve with the transpose."""

    def __init__(self, solver: Solver) -> None:
        self.solver = solver
        self.other: LinearSolve | None = None
        self._pair: Pair | None = None
        self._tangents: Pair | None = None

    def _forward(self) -> Function:
        return keeping(self.solver.solve, self.solver.label, self.solver.unknowns, self)

    def pair(self) -> Pair:
        if self._pair is None:
            self._pair = self._made()
        return self._pair

    def tangents(self) -> Pair:
        if self._tangents is None:
            self._tangents = self._pushed()
        return self._tangents

    def _made(self) -> Pair:
        solver, other = self.solver, self.other
        if other is None:
            raise DifferentiationError(
                f"reverse mode through {solver.label} solves with the transpose of its map, and no "
                "transpose_solve was given.\n"
                "  Give transpose_solve=..., or symmetric=True where the map is."
            )
        count = solver.unknowns
        wrt = moving(solver.apply, count)
        back = reverse(solver.apply, wrt, seeds=range(count), keep=())
        params = _residuals(self.solver)
        cts = [Value(r.type) for r in solver.solve.results]
        builder = Builder()
        with Trace(builder, None) as trace:
            arrays = [computed(builder.param(p), trace) for p in (*params, *cts)]
            x, more, seeds = arrays[:count], arrays[count : len(params)], arrays[len(params) :]
            u = other.solver.run(other, seeds[:count], more, trace)
            made = inline_function(back, [*x, *more, *[-part for part in u]])
            results = [lift(r, trace)[0] for r in (*u, *made)]
        function = Function(f"{solver.label}_vjp", builder.params, builder.eqns, results)
        function = function.replace(dims=solver.solve.dims)
        return Pair(self._forward(), function, (*range(count), *wrt))

    def _pushed(self) -> Pair:
        solver = self.solver
        count = solver.unknowns
        wrt = moving(solver.apply, count)
        push = forward(solver.apply, wrt, keep=())
        params = _residuals(solver)
        tangents = [Value(solver.solve.params[k].type) for k in (*range(count), *wrt)]
        builder = Builder()
        with Trace(builder, None) as trace:
            arrays = [computed(builder.param(p), trace) for p in (*params, *tangents)]
            x, more, dots = arrays[:count], arrays[count : len(params)], arrays[len(params) :]
            right = dots[:count]
            if wrt:
                made = inline_function(push, [*x, *more, *dots[count:]])
                right = [b - m for b, m in zip(right, made, strict=True)]
            moved = solver.run(self, right, more, trace)
            results = [lift(m, trace)[0] for m in moved]
            # What else the solve says does not move.
            results += nothing_of(solver.solve.results[count:], trace)
        function = Function(f"{solver.label}_jvp", builder.params, builder.eqns, results)
        function = function.replace(dims=solver.solve.dims)
        return Pair(self._forward(), function, (*range(count), *wrt))


def nothing_of(results: Sequence[Any], trace: Trace) -> list[Any]:
    """Return zeros for the inexact ones of results."""
    from .keeping import nothing

    return [nothing(r.type, trace) for r in results if r.type.is_inexact]


def moving(function: Function, start: int) -> list[int]:
    """Return the inexact parameters from a position on that the results depend on."""
    needed = set(function.results)
    for eqn in reversed(function.eqns):
        if not needed.isdisjoint(eqn.results):
            needed.update(eqn.operands)
    return [
        k for k, p in enumerate(function.params) if k >= start and p.type.is_inexact and p in needed
    ]


def _residuals(solver: Solver) -> list[Value]:
    """Return parameters for the unknowns, and for what the map reads."""
    count = solver.unknowns
    values = [*solver.solve.results[:count], *solver.solve.params[count:]]
    return [Value(v.type, v.hint) for v in values]


class Root(Rule):
    """The rule of a root: of `find(x0, p) -> x` where `residual(x, p)` is zero.

    `linear(x, y, p)` solves with the Jacobian of the residual at x.
    """

    def __init__(
        self, label: str, unknowns: int, find: Function, residual: Function, linear: Function
    ) -> None:
        self.label = label
        self.unknowns = unknowns
        self.find = find
        self.residual = residual
        self.linear = linear
        self._pair: Pair | None = None
        self._tangents: Pair | None = None

    def _forward(self) -> Function:
        return keeping(self.find, self.label, self.unknowns, self)

    def _params(self) -> list[Value]:
        count = self.unknowns
        values = [*self.find.results[:count], *self.find.params[count:]]
        return [Value(v.type, v.hint) for v in values]

    def pair(self) -> Pair:
        if self._pair is None:
            self._pair = self._made()
        return self._pair

    def tangents(self) -> Pair:
        if self._tangents is None:
            self._tangents = self._pushed()
        return self._tangents

    def _made(self) -> Pair:
        count = self.unknowns
        try:
            solve = transposed(self.linear, range(count, 2 * count), range(count))
        except NotLinear:
            raise DifferentiationError(
                f"reverse mode through {self.label} transposes its tangent_solve, which is not "
                "linear in the right side as it is computed.\n"
                "  Let it be np.linalg.solve, or pb.custom_linear_solve with a transpose_solve."
            ) from None
        wrt = moving(self.residual, count)
        back = reverse(self.residual, wrt, seeds=range(count), keep=())
        params = self._params()
        cts = [Value(r.type) for r in self.find.results]
        builder = Builder()
        with Trace(builder, None) as trace:
            arrays = [computed(builder.param(p), trace) for p in (*params, *cts)]
            x, more, seeds = arrays[:count], arrays[count : len(params)], arrays[len(params) :]
            u = inline_function(solve, [*x, *more, *seeds[:count]])
            made = inline_function(back, [*x, *more, *[-part for part in u]])
            results = [lift(r, trace)[0] for r in made]
        function = Function(f"{self.label}_vjp", builder.params, builder.eqns, results)
        return Pair(self._forward(), function.replace(dims=self.find.dims), tuple(wrt))

    def _pushed(self) -> Pair:
        count = self.unknowns
        wrt = moving(self.residual, count)
        push = forward(self.residual, wrt, keep=())
        params = self._params()
        dots = [Value(self.find.params[k].type) for k in wrt]
        builder = Builder()
        with Trace(builder, None) as trace:
            arrays = [computed(builder.param(p), trace) for p in (*params, *dots)]
            x, more, given = arrays[:count], arrays[count : len(params)], arrays[len(params) :]
            right = inline_function(push, [*x, *more, *given])
            made = inline_function(self.linear, [*x, *[-part for part in right], *more])
            results = [lift(r, trace)[0] for r in made]
            results += nothing_of(self.find.results[count:], trace)
        function = Function(f"{self.label}_jvp", builder.params, builder.eqns, results)
        return Pair(self._forward(), function.replace(dims=self.find.dims), tuple(wrt))


__all__ = ["LinearSolve", "Root", "Solver", "moving"]
