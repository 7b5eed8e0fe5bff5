"""Reverse mode: a function becomes one that also computes cotangents of chosen parameters.

Only vector-Jacobian products are formed: each equation maps the cotangents of its results to those
of its operands by its op's rule, walked from the last equation to the first. Equations on which no
chosen parameter depends are skipped (activity), and a cotangent that stays zero is never made.

Before::

    def f(x: f64[3]) -> f64:
        y : f64[3] = tanh(x)
        s : f64    = sum(y, axes=(-1,))
        return s

After, with the seed 1.0 and `wrt=(0,)`::

    def f(x: f64[3]) -> (f64, f64[3]):
        y  : f64[3] = tanh(x)
        s  : f64    = sum(y, axes=(-1,))
        dy : f64[3] = broadcast_to(array([1.0], f64), shape=(3,), rank=1)
        a  : f64[3] = y * y
        b  : f64[3] = 1.0 - a
        dx : f64[3] = dy * b
        return s, dx
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

import numpy as np

from ..ir.binding import renewed
from ..ir.builder import Builder, inherit
from ..ir.core import Atom, Eqn, Function, Literal, Provenance, Value, default_kind
from ..ir.errors import DifferentiationError, UnsupportedError
from ..ir.location import excerpt
from ..ir.op import Op, Scatter, Zero
from ..ir.ops.cond import Cond
from ..ir.ops.control import Call, Loop
from ..ir.ops.dynamic import Match
from ..ir.ops.recursion import Recur, Recursion
from ..ir.ops.shape import Reshape
from ..ir.types import ArrayType, Kind
from ..tracer.array import TracedArray, computed, wrap
from ..tracer.functions.create import zeros
from ..tracer.functions.reduce import reduction
from ..tracer.functions.shape import broadcast_to, cast, emit_reshape
from ..tracer.state import Trace
from .accumulate import Accumulate
from .custom_rules import exposed, without_rules

Cotangents = dict[Value, TracedArray]

# A tuple made once: a union is made at each call.
_CALLS = (Call, Recur)
_SEEDING = Provenance((), "vjp")


def active_values(function: Function, wrt: Sequence[Value]) -> set[Value]:
    """Return the values through which a derivative with respect to `wrt` flows."""
    active = {v for v in wrt if v.type.is_inexact}  # what is no float has the derivative zero
    for eqn in function.eqns:
        if active.isdisjoint(eqn.operands):
            continue
        if eqn.op.has_gradient or eqn.op.regions or isinstance(eqn.op, _CALLS):
            active.update([r for r in eqn.results if r.type.is_inexact])
    return active


class Adjoint:
    """The reverse sweep over a list of equations that a builder already holds.

    `cotangents` maps values to their running cotangents, `active` are the values that want one.
    Reversed loops return older versions of the arrays that they carry, in `undone` by the version
    after the loop; `links` are the loops of which the loop around needs that. `inserted` counts the
    equations that the sweep has put before others.
    """

    def __init__(
        self, trace: Trace, active: set[Value], links: Container[Eqn] = frozenset()
    ) -> None:
        self.trace = trace
        trace.fixed = _SEEDING
        self.active = active
        self.cotangents: Cotangents = {}
        self.links = links
        self.inserted = 0
        self.reshaped: dict[Value, Eqn] = {}
        self.undone: dict[Value, Value] = {}

    def sweep(self, eqns: Sequence[Eqn], scope: dict[Atom, Atom]) -> None:
        """Walk `eqns` backwards; `scope` maps their values to those of the builder."""
        self.reshaped.update((e.results[0], e) for e in eqns if isinstance(e.op, Reshape))
        for eqn in reversed(eqns):
            cts = [self.cotangents.pop(r, None) for r in eqn.results]
            needs = tuple([isinstance(a, Value) and a in self.active for a in eqn.operands])
            if True not in needs or all(ct is None for ct in cts):
                if eqn not in self.links:
                    continue
                cts, needs = [None] * len(cts), (False,) * len(needs)
            provenance = eqn.provenance.as_derived("vjp")
            self.trace.fixed = self.trace.builder.provenance = provenance
            for eqn_result, ct in zip(eqn.results, cts, strict=True):
                self._name(ct, scope.get(eqn_result, eqn_result))
            for operand, ct in zip(eqn.operands, self._rule(eqn, needs, cts, scope), strict=True):
                if ct is not None and isinstance(operand, Value) and operand in self.active:
                    self.accumulate(operand, ct)
            self.trace.fixed = _SEEDING

    def settle(self, first: int = 0, open: Container[Value] = frozenset()) -> None:
        """Let reversed loops read last versions of arrays where nothing wants older ones back.

        `first` is the number of the first adjoint equation; the older versions in `open` are
        wanted by the loop around.
        """
        from .restore import settle

        eqns = self.trace.builder.eqns
        eqns[first:], gone = settle(eqns[first:], self.undone, open)
        self.undone = {v: r for v, r in self.undone.items() if r not in gone}

    def _name(self, ct: TracedArray | None, primal: Atom) -> None:
        if ct is not None and isinstance(ct._atom, Value) and isinstance(primal, Value):
            named = ct._atom.cotangent_of is not None or ct._atom.hint is not None
            if not named and ct._atom is not primal:
                ct._atom.cotangent_of = primal

    def _rule(
        self, eqn: Eqn, needs: tuple[bool, ...], cts: Sequence[Any], scope: dict[Atom, Atom]
    ) -> Sequence[Any]:
        operands = [self._wrap(scope.get(a, a)) for a in eqn.operands]
        if eqn.op.regions or isinstance(eqn.op, _CALLS):
            return self._rule_of_regions(eqn, needs, cts, operands, scope)
        filled = tuple(
            [
                (Zero(r.type) if r.type.is_static else zeros(r.type.shape, r.type.dtype))
                if ct is None
                else ct
                for ct, r in zip(cts, eqn.results, strict=True)
            ]
        )
        results = tuple([self._wrap(scope.get(r, r)) for r in eqn.results])
        try:
            return eqn.op.vjp(needs, filled, results, *operands)
        except NotImplementedError as error:
            raise no_rule(eqn.op, eqn.provenance, str(error)) from error

    def _rule_of_regions(
        self,
        eqn: Eqn,
        needs: tuple[bool, ...],
        cts: Sequence[Any],
        operands: list[TracedArray],
        scope: dict[Atom, Atom],
    ) -> Sequence[Any]:
        """Return the cotangents of the operands of a loop, a branch, a recursion or its call."""
        if isinstance(eqn.op, Loop):
            from .reverse_loop import loop_vjp

            return loop_vjp(self, eqn, needs, cts, operands, scope)
        if isinstance(eqn.op, Cond):
            from .reverse_cond import cond_vjp

            return cond_vjp(self, eqn, needs, cts, operands, scope)
        if isinstance(eqn.op, Recursion | Recur):
            from .reverse_recursion import recur_vjp, recursion_vjp

            rule = recursion_vjp if isinstance(eqn.op, Recursion) else recur_vjp
            return rule(self, eqn, needs, cts, operands, scope)
        raise no_rule(eqn.op, eqn.provenance)

    def _wrap(self, atom: Atom) -> TracedArray:
        return computed(atom, self.trace)

    def accumulate(self, operand: Value, ct: Any) -> None:
        """Add a cotangent to the running one of `operand`, in the operand's own type."""
        running = self.cotangents.get(operand)
        if isinstance(ct, Scatter):
            if running is None and self._added_to_whole(operand, ct):
                return
            if running is None:
                running = zeros(operand.type.shape, operand.type.dtype)
            self.cotangents[operand] = ct.add(running)
            return
        ct = fit(ct, operand.type)
        self.cotangents[operand] = ct if running is None else running + ct

    def _added_to_whole(self, operand: Value, ct: Scatter) -> bool:
        """Add a part of a reshaped array into the running cotangent of the array, if there is one.

        None of the reshaped one is made then, as large as the array.
        """
        made = self.reshaped.get(operand)
        whole = made.operands[0] if made is not None else None
        running = self.cotangents.get(whole) if isinstance(whole, Value) else None
        if running is None or not isinstance(whole, Value) or whole.layout is not None:
            return False
        added = ct.add(emit_reshape(running, operand.type.shape))
        self.cotangents[whole] = emit_reshape(added, whole.type.shape)
        return True


def fit(ct: Any, type: ArrayType) -> Any:
    """Return a cotangent in the type of its primal: summed over broadcast axes, cast, real part."""
    ct = ct if isinstance(ct, TracedArray) else broadcast_to(ct, np.shape(ct))
    if ct.dtype.kind == "c" and type.dtype.kind != "c":
        ct = np.real(ct)
    if ct.shape != type.shape:
        extra = ct.ndim - type.ndim
        if extra < 0:
            ct = broadcast_to(ct, type.shape)
        else:
            axes = [
                k
                for k, size in enumerate(ct.shape)
                if k < extra or (type.shape[k - extra] == 1 and size != 1)
            ]
            if axes:
                from ..ir.ops.reduce import Sum

                if extra:
                    kept = _kept(ct, axes, extra)
                    ct = emit_reshape(reduction(Sum, ct, tuple(axes), False), kept)
                else:
                    ct = reduction(Sum, ct, tuple(axes), True)
            if ct.shape != type.shape:
                ct = broadcast_to(ct, type.shape)
    return cast(ct, type.dtype)


def _kept(ct: TracedArray, axes: Sequence[int], extra: int) -> list[Any]:
    return [1 if k in axes else d for k, d in enumerate(ct.shape)][extra:]


def no_rule(op: Op, provenance: Provenance, detail: str = "") -> DifferentiationError:
    """Return the error for an equation that cannot be differentiated."""
    location = provenance.location
    where = f"\n\n{excerpt(location)}\n" if location is not None else ""
    what = detail or f"{op.name} has no gradient rule"
    return DifferentiationError(
        f"cannot differentiate {op.name}: {what}.{where}\n"
        "  Wrap the value in pb.stop_gradient(...) if no derivative should flow through it."
    )


def no_fixed_shape(name: str, type: ArrayType) -> UnsupportedError:
    """Return the error for a derivative between arrays of which one has a size of the run's."""
    return UnsupportedError(
        f"the derivative of {name} has no fixed shape: {type} is of a size that only the run "
        "knows.\n  Keep the full size, for example with np.where in place of a mask."
    )


def reverse(
    function: Function,
    wrt: Sequence[int],
    *,
    seeds: Sequence[int] | None = None,
    keep: Sequence[int] | None = None,
) -> Function:
    """Return the joint function: primal results, then cotangents of the parameters `wrt`.

    Parameters
    ----------
    seeds
        The results whose cotangents are new trailing parameters; None: the first result is a scalar
        and is seeded with 1.
    keep
        The primal results to return, all by default.

    Notes
    -----
    Of several cotangents that reach one value the sum is taken where it is needed, so each equation
    of the primal is visited once: the cost is a small multiple of the primal's, whatever the number
    of parameters.
    """
    function = exposed(Accumulate()(function), [function.params[i] for i in wrt])
    builder = Builder()
    with Trace(builder, None) as trace:
        scope: dict[Atom, Atom] = {}
        for p in function.params:
            scope[p] = builder.param(p.fresh())
        inline_into(builder, function, scope)
        wanted = [function.params[i] for i in wrt]
        adjoint = Adjoint(trace, active_values(function, wanted))
        kinds = list(function.param_kinds)
        dims = list(function.dims)
        seeded = [0] if seeds is None else list(seeds)
        for position in seeded:
            result = function.results[position]
            seed: Atom
            if seeds is None:
                seed = Literal(np.ones((), result.type.dtype)[()])
            else:
                of = scope.get(result, result)
                of = of if isinstance(of, Value) else None  # type: ignore[assignment]
                # The size of a cotangent is its own, until it is checked against the result's.
                type, fresh = renewed(result.type)
                dims += fresh
                seed = builder.param(Value(type, None, of))  # type: ignore[arg-type]
                kinds.append(default_kind(result))
                if fresh:
                    builder.provenance = _SEEDING
                    seed = builder.one(Match(result.type.shape), seed)
            if isinstance(result, Value) and result in adjoint.active:
                adjoint.accumulate(result, wrap(seed, Kind.ARRAY, trace))
        adjoint.sweep(function.eqns, scope)
        adjoint.settle()
        cotangents: list[Atom] = []
        for p in wanted:
            ct = adjoint.cotangents.get(p)
            ct = zeros(p.type.shape, p.type.dtype) if ct is None else ct
            adjoint._name(ct, scope[p])
            cotangents.append(ct._atom)
        kept = range(len(function.results)) if keep is None else keep
        results = [scope.get(function.results[k], function.results[k]) for k in kept]
    joint = Function(
        f"{function.name}_grad",
        builder.params,
        builder.eqns,
        [*results, *cotangents],
        dims=dims,
        param_kinds=kinds,
        result_kinds=[
            *[function.result_kinds[k] for k in kept],
            *[function.param_kinds[i] for i in wrt],
        ],
    )
    return without_rules(joint)


def inline_into(builder: Builder, function: Function, scope: dict[Atom, Atom]) -> None:
    """Emit the equations of `function`, its parameters being in `scope`; add its values there."""
    for eqn in function.eqns:
        emit_into(builder, eqn, scope)


def emit_into(builder: Builder, eqn: Eqn, scope: dict[Atom, Atom]) -> None:
    """Emit an equation on what `scope` has of its operands; add its results there."""
    builder.provenance = eqn.provenance
    results = builder.emit(eqn.op, tuple([scope.get(a, a) for a in eqn.operands]))
    for old, new in zip(eqn.results, results, strict=True):
        scope[old] = new
        inherit(old, new)


__all__ = [
    "Adjoint",
    "active_values",
    "emit_into",
    "fit",
    "inline_into",
    "no_fixed_shape",
    "no_rule",
    "reverse",
]
