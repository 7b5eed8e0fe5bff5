"""A stack of states becomes a few rows, refilled by running segments again.

`checkpoint` marks a loop of segments of which too many states would be kept (`Rows`). Reverse mode
has made of it a loop that stacks the state of each segment, and a reversed loop that reads one
state in each iteration. Here both carry an array of rows instead. The forward loop writes the
state of a segment into the row that the binomial schedule gives it, the reversed loop runs on from
the nearest state where the one that it needs is not there. It comes after reverse mode, so that no
derivative is taken of it.

Before, the reversed loop of segments, and after::

    def adjoint(s: i64, dh: f64[3], hs: f64[9, 3], *, dims=(s,)) -> f64[3]:
        h   : f64[3] = hs[s]
        dh2 : f64[3] = ...
        return dh2

    def adjoint(s: i64, dh: f64[3], rows: f64[4, 3], *, dims=(s,)) -> (f64[3], f64[4, 3]):
        first = begin[s]
        last  = end[s]
        rows2 : f64[4, 3] = loop(refill, range(first, last), carry=(rows,))
        own   = row[s]
        h     : f64[3]    = rows2[own]
        dh2   : f64[3]    = ...
        return dh2, rows2
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..ir.builder import Builder
from ..ir.closing import close, duplicate, region_dims
from ..ir.core import Atom, Eqn, Function, Literal, Value
from ..ir.dims import Symbol
from ..ir.ops.control import INDEX, Loop
from ..ir.ops.elementwise import subtract
from ..ir.ops.index import AT, Index, IndexUpdate, Item, Span
from ..ir.ops.shape import Full
from ..ir.types import ArrayType
from .binomial import schedule
from .dce import Dce
from .undoing import row


def rewind(function: Function, rows: Mapping[Symbol, int]) -> Function:
    """Return a joint function in which marked loops keep so many rows of states.

    Parameters
    ----------
    rows
        By the index symbol of a loop of segments, how many rows; the last one is scratch.
    """
    if not rows:
        return function
    function = Dce()(function)
    for symbol, count in rows.items():
        pair = [e for e in function.eqns if _symbol(e) is symbol]
        if len(pair) == 2:
            function = _Rewind(function, pair[0], pair[1], count).run()
    return Dce()(function)


def _symbol(eqn: Eqn) -> Symbol | None:
    op = eqn.op
    return op.body.dims[0] if isinstance(op, Loop) and op.ranged and op.body.dims else None


def _literal(number: int) -> Literal:
    return Literal(np.int64(number))


class _Rewind:
    """Rewrites one loop of segments and its reversed loop."""

    def __init__(self, function: Function, forward: Eqn, backward: Eqn, rows: int) -> None:
        assert isinstance(forward.op, Loop)
        assert isinstance(backward.op, Loop)
        self.function = function
        self.forward, self.loop = forward, forward.op
        self.backward, self.reversed = backward, backward.op
        assert isinstance(self.loop.trips, int)
        self.segments = self.loop.trips
        self.rows = rows
        self.tables = schedule(self.segments, rows)
        self.params = self.loop.body.params[1 : 1 + self.loop.carries]
        results = forward.results
        self.stacks = {
            results[k]: self.params.index(value)
            for k, value in enumerate(self.loop.body.results)
            if k >= self.loop.carries and value in self.params and self._is_state(results[k])
        }
        """The stacks of states, with the carries that they hold."""
        self.kept = self._closure()

    def _is_state(self, stack: Value) -> bool:
        """Whether a stack is read by the reversed loop alone."""
        others = [e for e in self.function.eqns if e is not self.backward]
        is_read = any(stack in e.operands for e in others) or stack in self.function.results
        return not is_read and stack in self.backward.operands

    def _closure(self) -> list[int]:
        """Return the carries whose states are kept: all that the next ones of them depend on."""
        body = self.loop.body
        needed: set[Atom] = {body.results[k] for k in self.stacks.values()}
        needed |= {self.params[k] for k in self.stacks.values()}
        while True:
            before = len(needed)
            for eqn in reversed(body.eqns):
                if any(r in needed for r in eqn.results):
                    needed.update(a for a in eqn.operands if isinstance(a, Value))
            needed |= {body.results[k] for k, p in enumerate(self.params) if p in needed}
            if len(needed) == before:
                return [k for k, p in enumerate(self.params) if p in needed]

    def run(self) -> Function:
        if not self.kept:
            return self.function
        eqns: list[Eqn] = []
        for eqn in self.function.eqns:
            if eqn is self.forward:
                eqns += self._forward()
            elif eqn is self.backward:
                eqns.append(self._backward())
            else:
                eqns.append(eqn)
        return self.function.replace(
            eqns=eqns,
            results=self.function.results,
            result_kinds=self.function.result_kinds,
        )

    def _rows_type(self, k: int) -> ArrayType:
        type = self.params[k].type
        return type.with_shape((self.rows, *type.shape))

    def number(self, builder: Builder, index: Atom) -> Atom:
        """Return when a segment runs in the forward loop, counted from 0."""
        if not self.loop.backward:
            return index
        return builder.one(subtract, _literal(self.segments - 1), index)

    def _entry(self, builder: Builder, table: Sequence[int], position: Atom) -> Atom:
        return builder.one(Index((AT,)), Literal(np.array(table, INDEX)), position)

    # -- the forward loop --------------------------------------------------------------------------

    def _forward(self) -> list[Eqn]:
        """Return the forward loop with rows in the place of the stacks."""
        eqn, op = self.forward, self.loop
        builder = Builder()
        builder.provenance = eqn.provenance
        index, *params = op.body.params
        held = [Value(self._rows_type(k)) for k in self.kept]
        place = self._entry(builder, self.tables.first, self.number(builder, index))
        written = [
            _put(builder, rows, self.params[k], place)
            for k, rows in zip(self.kept, held, strict=True)
        ]
        outputs = [
            (result, value)
            for result, value in zip(eqn.results, op.body.results, strict=True)
            if result not in self.stacks
        ]
        body = op.body.replace(
            params=[index, *params[: op.carries], *held, *params[op.carries :]],
            eqns=[*builder.eqns, *op.body.eqns],
            results=[
                *[v for _, v in outputs[: op.carries]],
                *written,
                *[v for _, v in outputs[op.carries :]],
            ],
        )
        before = Builder()
        before.provenance = eqn.provenance
        empty = [
            before.one(Full(self._rows_type(k).shape), Literal(self.params[k].type.dtype.type(0)))
            for k in self.kept
        ]
        self.filled = [Value(self._rows_type(k)) for k in self.kept]
        cut = op.head + op.carries
        made = Eqn(
            replace(op, body=body, carries=op.carries + len(held)),
            (*eqn.operands[:cut], *empty, *eqn.operands[cut:]),
            (
                *[r for r, _ in outputs[: op.carries]],
                *self.filled,
                *[r for r, _ in outputs[op.carries :]],
            ),
            eqn.provenance,
        )
        return [*before.eqns, made]

    # -- the reversed loop -------------------------------------------------------------------------

    def _backward(self) -> Eqn:
        """Return the reversed loop that refills rows and reads its state there."""
        eqn, op = self.backward, self.reversed
        index, *params = op.body.params
        captured = dict(
            zip(params[op.carries :], eqn.operands[op.head + op.carries :], strict=True)
        )
        builder = Builder()
        builder.provenance = eqn.provenance
        held = [Value(self._rows_type(k)) for k in self.kept]
        number = self.number(builder, index)
        full = self._refill(builder, number, held)
        own = self._entry(builder, self.tables.own, number)
        scope: dict[Atom, Atom] = {p: a for p, a in captured.items() if a not in self.stacks}
        for inner in op.body.eqns:
            base = inner.operands[0] if inner.operands else None
            carry = self.stacks.get(captured.get(base)) if base in captured else None  # type: ignore[arg-type]
            if carry is not None:
                value = row(builder, full[self.kept.index(carry)], own)
                scope[inner.results[0]] = value
            else:
                operands = tuple([scope.get(a, a) for a in inner.operands])
                builder.add(Eqn(inner.op, operands, inner.results, inner.provenance))
        results = [scope.get(r, r) for r in op.body.results]
        function, outside = close(
            op.body.name,
            [index, *params[: op.carries], *held],
            builder.eqns,
            [*results[: op.carries], *full, *results[op.carries :]],
            dims=op.body.dims[:1],
        )
        made = replace(
            op, body=function, carries=op.carries + len(held), dims=region_dims(function)
        )
        cut = op.head + op.carries
        return Eqn(
            made,
            (*eqn.operands[:cut], *self.filled, *outside),
            (
                *eqn.results[: op.carries],
                *[Value(r.type) for r in held],
                *eqn.results[op.carries :],
            ),
            eqn.provenance,
        )

    def _refill(self, builder: Builder, number: Atom, held: Sequence[Value]) -> Sequence[Atom]:
        """Run on from the nearest state to that of a segment, keeping states on the way."""
        tables = self.tables
        inner = Builder()
        inner.provenance = builder.provenance
        action = Value(ArrayType(INDEX, ()), "a")
        params = [Value(v.type) for v in held]
        place = self._entry(inner, tables.row, action)
        before = inner.one(subtract, place, _literal(1))
        states = [row(inner, p, before) for p in params]
        source = self._entry(inner, tables.source, action)
        target = self._entry(inner, tables.target, action)
        ends = self._run_on(inner, source, target, states)
        results = [_put(inner, p, e, place) for p, e in zip(params, ends, strict=True)]
        symbol = Symbol.between("a", 0, len(tables.row) - 1)
        function, outside = close("refill", [action, *params], inner.eqns, results, dims=(symbol,))
        first = self._entry(builder, tables.begin, number)
        last = self._entry(builder, tables.end, number)
        op = Loop(function, len(params), Symbol("n"), dims=region_dims(function))
        return builder.emit(op, [first, last, _literal(1), *held, *outside])

    def _run_on(
        self, builder: Builder, source: Atom, target: Atom, states: Sequence[Atom]
    ) -> Sequence[Atom]:
        """Run the forward loop from one segment to another."""
        op, eqn = self.loop, self.forward
        body = duplicate(op.body.replace(results=op.body.results[: op.carries]))
        bounds = [source, target]
        if op.backward:
            last = _literal(self.segments)
            bounds = [builder.one(subtract, last, b) for b in (target, source)]
        inits = list(eqn.operands[op.head : op.head + op.carries])
        for k, state in zip(self.kept, states, strict=True):
            inits[k] = state
        made = replace(op, body=body, trips=Symbol("m"))
        captured = eqn.operands[op.head + op.carries :]
        after = builder.emit(made, [*bounds, _literal(1), *inits, *captured])
        return [after[k] for k in self.kept]


def _put(builder: Builder, rows: Atom, state: Atom, place: Atom) -> Atom:
    rest: list[Item] = [Span(0, d, 1) for d in state.type.shape]
    return builder.one(IndexUpdate((AT, *rest)), rows, state, place)


__all__ = ["rewind"]
