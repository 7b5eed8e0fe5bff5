"""Forward mode: a function becomes one that also computes how its results move with parameters.

Beside each value through which a derivative flows runs its tangent. The tangents of an equation's
results are made by the transpose of the gradient rule of its op (`transposed`), right after it, so
that nothing is kept. Loops, branches and recursions carry tangents as they carry values
(`forward_loop`, `forward_cond`, `forward_recursion`); the primal equations stay as they are, and
effects happen once.

Before::

    def f(x: f64[3]) -> f64:
        y : f64[3] = tanh(x)
        s : f64    = sum(y, axes=(-1,))
        return s

After, with `wrt=(0,)`::

    def f(x: f64[3], x_dot: f64[3]) -> (f64, f64):
        y     : f64[3] = tanh(x)
        a     : f64[3] = square(y)
        b     : f64[3] = 1.0 - a
        y_dot : f64[3] = x_dot * b
        s     : f64    = sum(y, axes=(-1,))
        s_dot : f64    = sum(y_dot, axes=(-1,))
        return s, s_dot
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..ir.binding import instantiated
from ..ir.builder import Builder, inherit
from ..ir.closing import Open
from ..ir.core import Atom, Eqn, Function, Provenance, Value
from ..ir.dims import Symbol
from ..ir.op import Op
from ..ir.ops.cond import Cond
from ..ir.ops.control import Call, Fused, Loop
from ..ir.ops.recursion import Recur, Recursion
from ..ir.ops.tape import TapeNew
from ..tracer.state import Trace
from .custom_rules import exposed, without_rules
from .keeping import nothing
from .reverse import emit_into, no_rule
from .tangent_flow import Flow, Places, Ports
from .transposed import pushforward

_STARTING = Provenance((), "jvp")


class Forward:
    """The sweep that writes equations with their tangents into a builder.

    `active` are the values that have tangents, `tangents` those made so far, by the value. `labels`
    says what of each recursion under way has tangents.
    """

    def __init__(
        self, trace: Trace, active: set[Value], labels: Mapping[str, Ports] | None = None
    ) -> None:
        self.trace = trace
        self.builder = trace.builder
        self.active = active
        self.labels = dict(labels or {})
        self.tangents: dict[Atom, Atom] = {}

    def sweep(self, eqns: Sequence[Eqn], scope: dict[Atom, Atom]) -> None:
        """Emit equations; `scope` maps their values to those of the builder, and gets more."""
        flow = Flow(self.labels)
        for eqn in eqns:
            ports = flow.around(eqn, self.active)
            if not flow.concerns(eqn, ports):
                emit_into(self.builder, eqn, scope)
            elif eqn.op.regions or isinstance(eqn.op, Call | Recur):
                self._structural(eqn, flow.through(eqn, ports), scope)
            elif isinstance(eqn.op, TapeNew):
                emit_into(self.builder, eqn, scope)
                self.builder.provenance = eqn.provenance.as_derived("jvp")
                self._follow(eqn, self.builder.emit(eqn.op, ()))
            else:
                self._plain(eqn, ports, scope)

    def tangent(self, atom: Atom) -> Atom:
        """Return the tangent of a value, zeros where it has none."""
        found = self.tangents.get(atom) if atom in self.active else None
        if found is None:
            self.trace.fixed = self.builder.provenance = _STARTING
            found = nothing(atom.type, self.trace)
        return found

    def start(self, value: Value) -> Value:
        """Return the tangent of a parameter."""
        self.tangents[value] = made = Value(value.type, _named(value), layout=value.layout)
        return made

    def emit_both(
        self,
        eqn: Eqn,
        op: Op,
        operands: Places,
        results: Places,
        count: int,
        scope: dict[Atom, Atom],
    ) -> None:
        """Emit what takes and makes tangents beside values, `count` results and their tangents."""
        given = operands.joined(
            [scope.get(a, a) for a in eqn.operands], lambda k: [self.tangent(eqn.operands[k])]
        )
        self.builder.provenance = eqn.provenance
        made = results.separated(self.builder.emit(op, given), count)
        for old, (new, *_) in zip(eqn.results, made, strict=True):
            scope[old] = new
            inherit(old, new)
        self._follow(eqn, [part[1] if len(part) > 1 else None for part in made])

    def region(
        self,
        function: Function,
        params: Places,
        results: Places,
        bound: tuple[Symbol, ...] = (),
        labels: Mapping[str, Ports] | None = None,
    ) -> Open:
        """Return a region that takes and returns tangents too.

        `bound` are the dims that it binds itself, `labels` those of the recursions around it.
        """
        builder = Builder()
        labels = dict(self.labels if labels is None else labels)
        wrt = [function.params[k] for k in params.moving]
        with Trace(builder, self.trace) as trace:
            sweep = Forward(trace, Flow(labels).active(function, wrt), labels)
            own = [p.fresh() for p in function.params]
            scope: dict[Atom, Atom] = {}
            scope.update(zip(function.params, own, strict=True))
            for p in params.joined(own, lambda k: [sweep.start(function.params[k])]):
                builder.param(p)
            sweep.sweep(function.eqns, scope)
            made = results.joined(
                [scope.get(r, r) for r in function.results],
                lambda k: [sweep.tangent(function.results[k])],
            )
        return Open(function.name, builder.params, builder.eqns, made, None, bound)

    def _plain(self, eqn: Eqn, ports: Ports, scope: dict[Atom, Atom]) -> None:
        """Emit an equation and, by its pushforward, the tangents of its results."""
        needs = tuple([k in ports.operands for k in range(len(eqn.operands))])
        if not ports.operands or not eqn.op.has_gradient:
            emit_into(self.builder, eqn, scope)
            return
        try:
            found = pushforward(eqn, needs)
        except NotImplementedError as error:
            raise no_rule(eqn.op, eqn.provenance, str(error)) from error
        tangents = [self.tangent(a) for a, need in zip(eqn.operands, needs, strict=True) if need]
        # What is written in place is read before.
        is_first = eqn.op.updates is not None and not found.reads_results
        if not is_first:
            emit_into(self.builder, eqn, scope)
        results = [scope.get(r, r) for r in eqn.results]
        operands = [scope.get(a, a) for a in eqn.operands]
        made = iter(
            self.builder.inline(
                found.function,
                [*operands, *results, *tangents],
                eqn.provenance.as_derived("jvp"),
            )
        )
        if is_first:
            emit_into(self.builder, eqn, scope)
        self._follow(eqn, [next(made) if flows else None for flows in found.flows])

    def _follow(self, eqn: Eqn, tangents: Sequence[Atom | None]) -> None:
        """Remember the tangents of an equation's results."""
        for result, tangent in zip(eqn.results, tangents, strict=True):
            if tangent is None:
                continue
            self.tangents[result] = tangent
            if isinstance(tangent, Value) and tangent.hint is None:
                tangent.hint = _named(result)

    def _structural(self, eqn: Eqn, ports: Ports, scope: dict[Atom, Atom]) -> None:
        """Emit a loop, a branch, a recursion or its call, with tangents."""
        op = eqn.op
        if isinstance(op, Loop):
            from .forward_loop import loop_jvp

            loop_jvp(self, eqn, op, ports, scope)
        elif isinstance(op, Cond):
            from .forward_cond import cond_jvp

            cond_jvp(self, eqn, op, ports, scope)
        elif isinstance(op, Recursion | Recur):
            from .forward_recursion import recur_jvp, recursion_jvp

            if isinstance(op, Recursion):
                recursion_jvp(self, eqn, op, ports, scope)
            else:
                recur_jvp(self, eqn, op, ports, scope)
        elif isinstance(op, Fused):
            self._fused(eqn, op, scope)
        else:
            raise no_rule(op, eqn.provenance)

    def _fused(self, eqn: Eqn, op: Fused, scope: dict[Atom, Atom]) -> None:
        """Emit what a fused region computes, which may be fused again with the tangents."""
        body = instantiated(op.body, op.dims)
        inside: dict[Atom, Atom] = {}
        for param, operand in zip(body.params, eqn.operands, strict=True):
            inside[param] = scope.get(operand, operand)
            if operand in self.tangents:
                self.tangents[param] = self.tangents[operand]
        wrt = [p for p in body.params if p in self.tangents]
        self.active |= Flow(self.labels).active(body, wrt)
        self.sweep(body.eqns, inside)
        for old, result in zip(eqn.results, body.results, strict=True):
            scope[old] = inside.get(result, result)
        self._follow(eqn, [self.tangents.get(r) for r in body.results])


def _named(value: Value) -> str | None:
    """Return what to call the tangent of a value."""
    if value.hint is None:
        of = value.cotangent_of
        return None if of is None or of.hint is None else f"d{of.hint}_dot"
    return f"{value.hint}_dot"


def forward(
    function: Function,
    wrt: Sequence[int],
    *,
    keep: Sequence[int] | None = None,
    of: Sequence[int] | None = None,
) -> Function:
    """Return the joint function: primal results, then their tangents along those of parameters.

    The tangents of the parameters `wrt` are new trailing parameters, of the same types.

    Parameters
    ----------
    keep
        The primal results to return, all by default.
    of
        The results whose tangents to return, all by default: zeros of the result's type where no
        derivative flows.

    Raises
    ------
    DifferentiationError
        Where an op on the way has no gradient rule.

    Notes
    -----
    Each equation of the primal is visited once, and its tangents are made from values at hand: the
    cost is about that of the primal again for each set of tangents, and no memory grows with the
    number of steps.
    """
    wanted = [function.params[k] for k in wrt]
    function = exposed(function, wanted, is_forward=True)
    builder = Builder()
    with Trace(builder, None) as trace:
        scope: dict[Atom, Atom] = {}
        for p in function.params:
            scope[p] = builder.param(p.fresh())
        sweep = Forward(trace, Flow().active(function, wanted))
        for p in wanted:
            builder.param(sweep.start(p))
        sweep.sweep(function.eqns, scope)
        kept = range(len(function.results)) if keep is None else keep
        moving = range(len(function.results)) if of is None else of
        results = [scope.get(function.results[k], function.results[k]) for k in kept]
        tangents = [sweep.tangent(function.results[k]) for k in moving]
    joint = Function(
        f"{function.name}_jvp",
        builder.params,
        builder.eqns,
        [*results, *tangents],
        dims=function.dims,
        param_kinds=[*function.param_kinds, *[function.param_kinds[k] for k in wrt]],
        result_kinds=[
            *[function.result_kinds[k] for k in kept],
            *[function.result_kinds[k] for k in moving],
        ],
    )
    return without_rules(joint)


__all__ = ["Forward", "forward"]
