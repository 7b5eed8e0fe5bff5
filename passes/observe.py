"""Observation: `observe` equations behind the values of a function, in its regions too.

What is differentiated after this tells its observer of every value and, on the way back, of every
cotangent (`ir.ops.observe`): of each parameter, result, and carry of a loop at each iteration. A
value that several equations read, or a region captures, is observed once more for each of them,
which gives the parts that its cotangent is the sum of. Results of writes are left out, so that
arrays stay written in place, and loops and checkpoints that would run again on the way back do not.

Before::

    def f(x: f64[3]) -> f64:
        y : f64[3] = tanh(x)
        s : f64    = sum(y, axes=(-1,))
        return s

After::

    def f(x: f64[3]) -> f64:
        x1 : f64[3] = observe(x, site=0)
        y  : f64[3] = tanh(x1)
        y1 : f64[3] = observe(y, site=1)
        s  : f64    = sum(y1, axes=(-1,))
        s1 : f64    = observe(s, site=2)
        return s1
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..ir.core import UNKNOWN, Atom, Eqn, Function, Provenance, Value
from ..ir.op import Op
from ..ir.ops.control import Loop
from ..ir.ops.indices import Indexing
from ..ir.ops.observe import Observe
from ..ir.ops.recursion import Recur


@dataclass(frozen=True)
class Site:
    """What an `observe` equation is about.

    `value` and `eqn` belong to the function as it was: the value, and the equation that makes it,
    None for a parameter; where `is_use`, the one that reads it. `loops` are the equations of the
    loops around, outermost first. A `carry` of the innermost one has its number.
    """

    number: int
    value: Value
    eqn: Eqn | None
    loops: tuple[Eqn, ...] = ()
    carry: int | None = None
    is_use: bool = False


class _Observing:
    """Functions under way; `sites` are those of the observations so far."""

    def __init__(self) -> None:
        self.sites: list[Site] = []

    def function(
        self, function: Function, loops: tuple[Eqn, ...], observed: Mapping[Value, int | None]
    ) -> Function:
        """Return a function observed.

        `observed` are its parameters that are, each with the number of the carry that it is of the
        innermost loop, None for another one.
        """
        scope: dict[Atom, Atom] = {}
        eqns: list[Eqn] = []
        params = [p.fresh() for p in function.params]
        for old, new in zip(function.params, params, strict=True):
            scope[old] = new
            if old in observed and _is_observed(old, False):
                site = Site(len(self.sites), old, None, loops, observed[old])
                scope[old] = self.observed(site, new, UNKNOWN, eqns)
        readers = Counter(a for e in function.eqns for a in set(e.operands))
        readers.update(p for p in function.params if p not in observed)
        for eqn in function.eqns:
            self.equation(eqn, loops, scope, readers, eqns)
        return function.replace(
            params=params,
            eqns=eqns,
            results=[scope.get(r, r) for r in function.results],
            param_kinds=function.param_kinds,
            result_kinds=function.result_kinds,
        )

    def equation(
        self,
        eqn: Eqn,
        loops: tuple[Eqn, ...],
        scope: dict[Atom, Atom],
        readers: Counter[Atom],
        eqns: list[Eqn],
    ) -> None:
        """Append an equation observed; `scope` maps values, `readers` counts who reads them."""
        op, provenance = eqn.op, eqn.provenance.with_marks(())
        own: dict[Atom, Atom] = {}
        for operand in dict.fromkeys(eqn.operands):
            own[operand] = scope.get(operand, operand)
            if readers[operand] > 1 and _has_parts(op, operand):
                assert isinstance(operand, Value)
                site = Site(len(self.sites), operand, eqn, loops, is_use=True)
                own[operand] = self.observed(site, own[operand], provenance, eqns)
        fresh = [Value(r.type, None, None, r.layout) for r in eqn.results]
        operands = tuple([own[a] for a in eqn.operands])
        eqns.append(Eqn(self.op(eqn, loops), operands, tuple(fresh), provenance))
        for old, new in zip(eqn.results, fresh, strict=True):
            scope[old] = new
            if op.updates is None and _is_observed(old, bool(loops)):
                site = Site(len(self.sites), old, eqn, loops)
                scope[old] = self.observed(site, new, provenance, eqns)
            else:
                new.hint, new.cotangent_of = old.hint, old.cotangent_of

    def observed(self, site: Site, atom: Atom, provenance: Provenance, eqns: list[Eqn]) -> Value:
        """Add an observation of a value, and return what stands for the value after it."""
        self.sites.append(site)
        old = site.value
        result = old.fresh()
        eqns.append(Eqn(Observe(site.number), (atom,), (result,), provenance))
        return result

    def op(self, eqn: Eqn, loops: tuple[Eqn, ...]) -> Op:
        """Return the op of an equation with its regions observed."""
        op = eqn.op
        if isinstance(op, Recur):
            return replace(op, ordered=True)
        if isinstance(op, Loop):
            head = 1 if op.ranged else 0
            made: dict[Atom, Eqn] = {r: e for e in op.body.eqns for r in e.results}
            carries: dict[Value, int | None] = {}
            for k in range(op.carries):
                maker = made.get(op.body.results[k])
                if maker is None or maker.op.updates is None:
                    carries[op.body.params[head + k]] = k
            body = self.function(op.body, (*loops, eqn), carries)
            return replace(op, body=body, recompute=False)
        if not op.regions:
            return op
        return op.with_regions([self.function(r, loops, {}) for r in op.regions])


def _is_observed(value: Value, inexact: bool) -> bool:
    """Whether a value is observed: numbers, in loops and for a derivative those with cotangents."""
    return value.type.is_inexact if inexact else value.type.dtype.kind in "biufc"


def _has_parts(op: Op, operand: Atom) -> bool:
    """Whether what an equation adds to the cotangent of an operand is more than what is moved."""
    if op.regions or op.is_view or not op.has_gradient or isinstance(op, Indexing):
        return False
    return isinstance(operand, Value) and _is_observed(operand, True)


def observe(function: Function) -> tuple[Function, list[Site]]:
    """Return a function that is observed, and what each `observe` equation is about, by number."""
    observing = _Observing()
    made = observing.function(function, (), dict.fromkeys(function.params))
    return made, observing.sites


__all__ = ["Site", "observe"]
