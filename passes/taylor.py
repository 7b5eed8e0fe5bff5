"""Taylor mode: a function becomes one that also computes higher derivatives along a path.

The parameters `wrt` move along `x(t) = x[0] + x[1] t + ... + x[K] t^K`. The new function takes the
coefficients x[1], ..., x[K] of each as well, and returns those of its results: derivatives divided
by factorials. An equation takes O(K²) operations where nested derivatives take O(2^K); `expansion`
says how the coefficients of its results follow. Loops carry the coefficients of what they carry,
and branches and recursions take and return them.

Before::

    def f(x: f64[3]) -> f64[3]:
        y : f64[3] = exp(x)
        return y

After, with `wrt=(0,)` and `order=2`, where y' = x' y::

    def f(x: f64[3], x1: f64[3], x2: f64[3]) -> (f64[3], f64[3], f64[3]):
        y  : f64[3] = exp(x)
        y1 : f64[3] = x1 * y
        a  : f64[3] = x1 * y1
        b  : f64[3] = x2 * 2.0
        c  : f64[3] = b * y
        d  : f64[3] = a + c
        y2 : f64[3] = d / 2.0
        return y, y1, y2
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from ..ir.builder import Builder, inherit
from ..ir.core import Atom, Eqn, Function, Provenance, Value
from ..ir.ops.control import Call
from ..ir.ops.custom import Custom, Rule, bound
from ..ir.ops.recursion import Recur
from ..ir.types import is_tape
from ..ir.zeros import zeros_like
from .expansion import Expander, Expansion, Ruled, stated
from .series import Given, Series
from .tangent_flow import Flow, Ports
from .taylor_regions import kept_apart, region_series


def taylor(
    function: Function,
    wrt: Sequence[int],
    order: int,
    *,
    zero: Container[tuple[int, int]] = (),
    of: Sequence[int] | None = None,
) -> Function:
    """Return the function that also propagates Taylor coefficients.

    Parameters
    ----------
    wrt
        The parameters that move: trailing parameters for each are its coefficients, in order.
    order
        The number of coefficients besides the value.
    zero
        `(k, n)` for each coefficient of order n of the parameter k that is zero, and no parameter.
    of
        The results whose coefficients to return, all by default.

    Returns
    -------
    Function
        Its results are those of `function`, then `order` coefficients for each.

    Raises
    ------
    DifferentiationError
        Where an op has no gradient rule.
    """
    propagation = Propagation(order)
    builder = Builder()
    params = [builder.param(p.fresh()) for p in function.params]
    more = {
        k: [
            None if (k, n) in zero else builder.param(function.params[k].fresh())
            for n in range(1, order + 1)
        ]
        for k in wrt
    }
    scope: dict[Atom, Series] = {
        old: Given([new, *more.get(k, [])])
        for k, (old, new) in enumerate(zip(function.params, params, strict=True))
    }
    given = [k for k, part in more.items() for p in part if p is not None]
    active = Flow().active(function, [function.params[k] for k in given])
    results = propagation.write(function, Expander(builder), scope, active)
    moving = range(len(results)) if of is None else of
    coefficients = [a for k in moving for a in propagation.filled(builder, results[k])]
    return Function(
        f"{function.name}_taylor",
        builder.params,
        builder.eqns,
        [*[s.first(builder) for s in results], *coefficients],
        dims=function.dims,
        param_kinds=[
            *function.param_kinds,
            *[function.param_kinds[k] for k in given],
        ],
        result_kinds=[
            *function.result_kinds,
            *[function.result_kinds[k] for k in moving for _ in range(order)],
        ],
    )


class Propagation:
    """Coefficients up to an order, through functions and the regions in them.

    `labels` says what of each recursion under way has coefficients.
    """

    def __init__(self, order: int) -> None:
        self.order = order
        self.labels: dict[str, Ports] = {}
        self.stating: set[Expansion] = set()
        """Functions with rules, of which the rules are under way: they may be stated by these."""

    def write(
        self, function: Function, expander: Expander, scope: dict[Atom, Series], active: set[Value]
    ) -> list[Series]:
        """Write equations and coefficients; return the results.

        `scope` has the parameters, `active` the values that have coefficients.
        """
        builder = expander.builder
        for eqn in function.eqns:
            operands = [scope.get(a) or expander.constant(a) for a in eqn.operands]
            builder.provenance = eqn.provenance
            made = self._equation(eqn, operands, expander, active)
            for old, new in zip(eqn.results, made, strict=True):
                scope[old] = new
                inherit(old, new.first(builder))
        return [scope.get(r) or expander.constant(r) for r in function.results]

    def _equation(
        self, eqn: Eqn, operands: Sequence[Series], expander: Expander, active: set[Value]
    ) -> Sequence[Series]:
        builder, flow = expander.builder, Flow(self.labels)
        ports = flow.around(eqn, active)
        if not flow.concerns(eqn, ports):
            atoms = [s.first(builder) for s in operands]
            return [expander.constant(r) for r in builder.emit(eqn.op, atoms)]
        if isinstance(eqn.op, Custom) and eqn.op.rule is not None:
            return self._ruled(eqn, eqn.op, eqn.op.rule, operands, expander)
        if eqn.op.regions or isinstance(eqn.op, Call | Recur):
            return region_series(self, eqn, flow.through(eqn, ports), operands, builder)
        if any(is_tape(a.type) for a in (*eqn.operands, *eqn.results)):
            return kept_apart(self, eqn, operands, builder)
        return self._all(expander.expansion(eqn, operands), eqn.provenance)

    def _all(self, made: Expansion, provenance: Provenance) -> Sequence[Series]:
        """Compute all coefficients, so that they stand where the equation stands."""
        made.coefficients(0)
        made.builder.provenance = provenance.as_derived("jvp")
        for k in range(1, self.order + 1):
            for s in made.results:
                s.get(k)
        return made.results

    def _ruled(
        self, eqn: Eqn, op: Custom, rule: Rule, operands: Sequence[Series], expander: Expander
    ) -> Sequence[Series]:
        """Return the results of a function with a rule of its own."""
        if rule.is_busy:  # the rule applies its own function to tangents, in which it is linear
            return self._inline(bound(op.body, op.dims), operands, expander)
        made = expander.expansion(eqn, operands)
        if made in self.stating:
            return made.results
        made.coefficients(0)
        forward = stated(op, rule)
        if made.rule is None and any(e.op.regions for e in forward.eqns):
            self.stating.add(made)
            series = self._inline(forward, operands, expander)
            self.stating.discard(made)
            made.rule = Ruled(made, op, rule, series)
        return self._all(made, eqn.provenance)

    def _inline(
        self, function: Function, operands: Sequence[Series], expander: Expander
    ) -> list[Series]:
        given = list(zip(function.params, operands, strict=True))
        moving = [p for p, s in given if not s.is_constant]
        active = Flow(self.labels).active(function, moving)
        scope: dict[Atom, Series] = {}
        scope.update(given)
        return self.write(function, expander, scope, active)

    def filled(self, builder: Builder, series: Series) -> list[Atom]:
        """Return the coefficients from the first on, zeros too."""
        return [
            found if (found := series.get(k)) is not None else zeros_like(builder, series.type)
            for k in range(1, self.order + 1)
        ]


__all__ = ["Propagation", "taylor"]
