"""The adjoint of a recursion: a recursion over what each activation of the forward one recorded.

The forward body returns a record besides: what the adjoint of the activation reads, and the records
of the activations that it has called. The adjoint body takes the record and the cotangents of the
results; where the body has called itself, the adjoint calls itself with the record of that call.
Arguments that each call passes on as they are (weights, index arrays) are passed to the adjoint as
well, and so are their running cotangents, updated in place.

Before::

    def f(x: f64, w: f64[3]) -> f64:
        def g(x: f64, w: f64[3]) -> f64:
            p : bool = x < 1.0
            def then(x: f64, w: f64[3]) -> f64:
                return x
            def otherwise(x: f64, w: f64[3]) -> f64:
                a : f64 = w[0]
                b : f64 = x * a
                c : f64 = recur(g, b, w)
                return c
            r = cond(p, then, otherwise, captured=(x, w))
            return r
        y = recursion(g, x, w)
        return y

After, by `reverse` with respect to both parameters::

    def f(x: f64, w: f64[3]) -> (f64, f64, f64[3]):
        def g(x: f64, w: f64[3]) -> (f64, record):
            p : bool = x < 1.0
            def then(x: f64, w: f64[3]) -> (f64, record):
                none : record = tape_new(dtype=record, zeros=True)
                return x, none
            def otherwise(x: f64, w: f64[3]) -> (f64, record):
                a : f64 = w[0]
                b : f64 = x * a
                c, inner = recur(g, b, w, types=(f64[()], record[()]))
                return c, inner
            r, inner = cond(p, then, otherwise, captured=(x, w))
            kept : record = pack(x, inner)
            return r, kept
        y, kept = recursion(g, x, w)
        none : f64[3] = full(0.0, shape=(3,))
        def g_adjoint(dw: f64[3], kept: record, dr: f64, w: f64[3]) -> (f64[3], f64):
            x, inner = unpack(kept, types=(f64[()], record[()]))
            p : bool = x < 1.0
            def then(dr: f64, dw: f64[3], inner: record, w: f64[3], x: f64) -> (f64, f64[3]):
                return dr, dw
            def otherwise(dr: f64, dw: f64[3], inner: record, w: f64[3], x: f64) -> (f64, f64[3]):
                dwi, db = recur(g_adjoint, dw, inner, dr, w, types=(f64[3], f64[()]), carries=1)
                a   : f64    = w[0]
                dx  : f64    = db * a
                da  : f64    = db * x
                dwo : f64[3] = index_add(dwi[0], da)
                return dx, dwo
            dx, dwo = cond(p, then, otherwise, captured=(dr, dw, inner, w, x))
            return dwo, dx
        dw, dx = recursion(g_adjoint, none, kept, 1.0, w, carries=1)
        return y, dx, dw
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..ir.binding import instantiated
from ..ir.builder import Builder, inherit
from ..ir.closing import Open, close_together
from ..ir.core import Atom, Eqn, Function, Value
from ..ir.ops.cond import Cond
from ..ir.ops.control import Loop
from ..ir.ops.recursion import Pack, Recur, Recursion, Unpack
from ..ir.ops.tape import TapeNew
from ..ir.types import RECORD, ArrayType, tape_of
from ..tracer.array import TracedArray, computed
from ..tracer.functions.create import zeros
from ..tracer.state import Trace
from .keeping import kept, nothing
from .residuals import Residuals
from .reverse_cond import Branch, is_pushed, with_adjoint
from .undoing import Undoing

if TYPE_CHECKING:
    from .reverse import Adjoint

_RECORD = ArrayType(RECORD, ())


@dataclass(frozen=True)
class _Signature:
    """How the adjoint of a recursion is called.

    It takes the running cotangents of `running`, the record, the cotangents of the results `seeds`
    and the parameters `fixed`; it returns the cotangents of `running` and of `wanted`.
    """

    label: str
    types: tuple[ArrayType, ...]
    """Those of the forward results, without the record."""
    seeds: tuple[int, ...]
    fixed: tuple[int, ...]
    """The parameters that every call passes on as they are."""
    running: tuple[int, ...]
    wanted: tuple[int, ...]
    params: tuple[ArrayType, ...]

    @property
    def adjoint(self) -> str:
        """The label of the adjoint."""
        return f"{self.label}_adjoint"

    @classmethod
    def of(cls, op: Recursion, body: Function, needs: Sequence[bool]) -> _Signature:
        """Return the signature where the operands that need a cotangent are known."""
        fixed = _fixed(body, op.label)
        inexact = [j for j, p in enumerate(body.params) if p.type.is_inexact]
        running = [j for j in inexact if j in fixed and needs[j] and body.params[j].type.shape]
        wanted = [j for j in inexact if j not in running and (needs[j] or j not in fixed)]
        return cls(
            op.label,
            tuple([r.type for r in body.results]),
            tuple([k for k, r in enumerate(body.results) if r.type.is_inexact]),
            tuple(sorted(fixed)),
            tuple(running),
            tuple(wanted),
            tuple([p.type for p in body.params]),
        )


_UNDER_WAY: ContextVar[dict[str, _Signature]] = ContextVar("recursions", default={})  # noqa: B039


def recursion_vjp(
    adjoint: Adjoint,
    eqn: Eqn,
    needs: Sequence[bool],
    cts: Sequence[Any],
    operands: Sequence[TracedArray],
    scope: dict[Atom, Atom],
) -> list[Any]:
    """Return the cotangents of a recursion's operands; the forward one in the builder records."""
    op, trace = eqn.op, adjoint.trace
    assert isinstance(op, Recursion)
    body = instantiated(op.body, op.dims)
    signature = _Signature.of(op, body, needs)
    token = _UNDER_WAY.set({**_UNDER_WAY.get(), op.label: signature})
    try:
        seeded = [k if k in signature.seeds else None for k in range(len(body.results))]
        order = [*signature.running, *signature.wanted]
        branch = with_adjoint(trace, body, order, signature.running, seeded, {})
    finally:
        _UNDER_WAY.reset(token)
    branch.changing = {p for j, p in enumerate(branch.params) if j not in signature.fixed}
    residuals = Residuals(branch, False)
    record = _forward(trace.builder, eqn, op, scope, branch, residuals)
    function, dims = _backward(trace, branch, residuals, signature)
    carries = len(signature.running)
    made = Recursion(function, signature.adjoint, carries, dims)
    return _called(adjoint, eqn, made, signature, record, cts, operands)


def recur_vjp(
    adjoint: Adjoint,
    eqn: Eqn,
    needs: Sequence[bool],
    cts: Sequence[Any],
    operands: Sequence[TracedArray],
    scope: dict[Atom, Atom],
) -> list[Any]:
    """Return the cotangents of the operands of a call within a recursion, which records too."""
    op, builder = eqn.op, adjoint.trace.builder
    assert isinstance(op, Recur)
    signature = _UNDER_WAY.get()[op.label]
    position = _position(builder, scope[eqn.results[0]])
    current = builder.eqns[position]
    if len(current.results) == len(signature.types):
        current = _recording(current, op, signature.types)
        builder.eqns[position] = current
        builder.producers.update(dict.fromkeys(current.results, current))
    types = tuple([signature.params[j] for j in (*signature.running, *signature.wanted)])
    made = Recur(signature.adjoint, types, len(signature.running))
    return _called(adjoint, eqn, made, signature, current.results[-1], cts, operands)


def _called(
    adjoint: Adjoint,
    eqn: Eqn,
    op: Recursion | Recur,
    signature: _Signature,
    record: Value,
    cts: Sequence[Any],
    operands: Sequence[TracedArray],
) -> list[Any]:
    """Call the adjoint; return the cotangents of the operands of the primal call."""
    trace = adjoint.trace
    running: list[Atom] = []
    for j in signature.running:
        operand, type = eqn.operands[j], signature.params[j]
        known = adjoint.cotangents.pop(operand, None) if isinstance(operand, Value) else None
        running.append(zeros(type.shape, type.dtype)._atom if known is None else known._atom)
    seeds = [
        nothing(signature.types[k], trace) if cts[k] is None else cts[k]._atom
        for k in signature.seeds
    ]
    fixed = [operands[j]._atom for j in signature.fixed]
    trace.builder.provenance = trace.fixed or eqn.provenance
    made = trace.builder.emit(op, [*running, record, *seeds, *fixed])
    answer: list[Any] = [None] * len(operands)
    for j, ct in zip((*signature.running, *signature.wanted), made, strict=True):
        answer[j] = computed(ct, trace)
    return answer


# ---- the forward recursion -----------------------------------------------------------------------


def _forward(
    builder: Builder,
    eqn: Eqn,
    op: Recursion,
    scope: dict[Atom, Atom],
    branch: Branch,
    residuals: Residuals,
) -> Value:
    """Let the forward recursion record; return the record."""
    position = _position(builder, scope[eqn.results[0]])
    current = builder.eqns[position]
    starts = {v: Value(tape_of(v.type)) for v in residuals.saved if is_pushed(branch, v)}
    empty = [Eqn(TapeNew(t.type.dtype), (), (t,), current.provenance) for t in starts.values()]
    eqns, tapes, _ = kept(residuals, [], starts, current.provenance)
    ends = dict(zip(starts, tapes, strict=True))
    recorded = Value(_RECORD)
    parts = tuple([ends.get(v, v) for v in residuals.saved])
    eqns = [*empty, *eqns, Eqn(Pack(), parts, (recorded,), current.provenance)]
    count = len(branch.primal_function.results)
    results = [*[branch.result(k) for k in range(count)], recorded]
    types = tuple([r.type for r in branch.primal_function.results])
    function = _completed(Function(op.label, branch.params, eqns, results), op.label, types)
    (closed,), captured, dims = close_together(
        [Open(op.label, function.params, function.eqns, function.results, op.body.param_kinds)]
    )
    assert not captured
    record = Value(_RECORD)
    made = Recursion(closed, op.label, op.carries, dims)
    if current.op is op:
        forward = Eqn(made, current.operands, (*current.results, record), current.provenance)
        builder.eqns[position] = forward
    else:  # it records for an equal recursion already
        fresh = [Value(t) for t in types]
        forward = Eqn(made, current.operands, (*fresh, record), current.provenance)
        builder.eqns.insert(position + 1, forward)
    builder.producers.update(dict.fromkeys(forward.results, forward))
    return record


def _position(builder: Builder, first: Atom) -> int:
    return next(k for k, e in enumerate(builder.eqns) if e.results and e.results[0] is first)


def _recording(eqn: Eqn, op: Recur, types: tuple[ArrayType, ...]) -> Eqn:
    """Return a call that returns the record of what it calls, too."""
    made = replace(op, types=(*types, _RECORD))
    return Eqn(made, eqn.operands, (*eqn.results, Value(_RECORD)), eqn.provenance)


def _completed(function: Function, label: str, types: tuple[ArrayType, ...]) -> Function:
    """Return a function in which every call of a recursion returns a record."""
    eqns: list[Eqn] = []
    for eqn in function.eqns:
        op = eqn.op
        if isinstance(op, Recur) and op.label == label and len(op.types) == len(types):
            eqn = _recording(eqn, op, types)
        elif op.regions and not (isinstance(op, Recursion) and op.label == label):
            regions = [_completed(r, label, types) for r in op.regions]
            eqn = Eqn(op.with_regions(regions), eqn.operands, eqn.results, eqn.provenance)
        eqns.append(eqn)
    return function.replace(
        eqns=eqns, param_kinds=function.param_kinds, result_kinds=function.result_kinds
    )


def _fixed(body: Function, label: str) -> set[int]:
    """Return the numbers of the parameters that every call within passes on as they are."""
    found = set(range(len(body.params)))

    def visit(function: Function, known: dict[Atom, int]) -> None:
        for eqn in function.eqns:
            op = eqn.op
            if isinstance(op, Recur) and op.label == label:
                found.difference_update(
                    [j for j, a in enumerate(eqn.operands) if known.get(a) != j]
                )
            elif op.regions:
                skip = 1 if isinstance(op, Cond) else 0
                lead = 0
                if isinstance(op, Loop):
                    skip = op.head + op.carries
                    lead = (1 if op.ranged else 0) + op.carries
                for region in op.regions:
                    pairs = zip(region.params[lead:], eqn.operands[skip:], strict=True)
                    visit(region, {p: known[a] for p, a in pairs if a in known})

    visit(body, {p: j for j, p in enumerate(body.params)})
    return found


# ---- the adjoint recursion -----------------------------------------------------------------------


def _backward(
    outer: Trace, branch: Branch, residuals: Residuals, signature: _Signature
) -> tuple[Function, tuple[Any, ...]]:
    """Return the body of the adjoint, closed, and its dims."""
    builder = Builder()
    inside: dict[Atom, Atom] = {}

    def param(type: ArrayType, stands_for: Value | None) -> Value:
        if stands_for is None:
            return builder.param(Value(type))
        made = Value(type, stands_for.hint, stands_for.cotangent_of, stands_for.layout)
        inside[stands_for] = made
        return builder.param(made)

    with Trace(builder, outer) as trace:
        trace.fixed = outer.fixed
        builder.provenance = outer.fixed or builder.provenance
        running = [param(signature.params[j], branch.running[j]) for j in signature.running]
        record = param(_RECORD, None)
        for k in signature.seeds:
            param(signature.types[k], branch.seeds.get(k))
        for j in signature.fixed:
            param(signature.params[j], branch.params[j])
        tapes: dict[Value, Value] = {}
        saved = list(residuals.saved)
        if saved:
            types = [tape_of(v.type) if is_pushed(branch, v) else v.type for v in saved]
            parts = builder.emit(Unpack(tuple(types)), [record])
            for value, part in zip(saved, parts, strict=True):
                if is_pushed(branch, value):
                    tapes[value] = part  # type: ignore[assignment]
                else:
                    inside[value] = part
                    inherit(value, part)
        undoing = Undoing(builder, residuals, inside, {}, {}, tapes)
        undoing.run()
        results: list[Atom] = []
        for j, before in zip(signature.running, running, strict=True):
            found = branch.found.get(j)
            results.append(before if found is None else undoing.value(found))
        for j in signature.wanted:
            found = branch.found.get(j)
            type = signature.params[j]
            results.append(nothing(type, trace) if found is None else undoing.value(found))
    (closed,), captured, dims = close_together(
        [Open(signature.adjoint, builder.params, builder.eqns, results)]
    )
    assert not captured
    return closed, dims


__all__ = ["recur_vjp", "recursion_vjp"]
