"""Loops of segments: the same iterations, in a nest of loops of which the inner ones run again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..ir.builder import Builder
from ..ir.closing import Open, close, close_together, duplicate, region_dims
from ..ir.core import Atom, Eqn, Function, Literal, Value
from ..ir.dims import Symbol
from ..ir.ops.check import Require
from ..ir.ops.control import INDEX, Loop
from ..ir.ops.elementwise import add, floor_divide, less, maximum, minimum, multiply, subtract
from ..ir.ops.shape import Concatenate, Reshape
from ..ir.types import ArrayType, is_tape
from .schedule import Split


@dataclass(frozen=True)
class Chunks:
    """Segments of `length` iterations, for a loop whose length only the run knows.

    At most `most` of them; `is_checked` where the run may ask for more, which then raises.
    """

    length: int
    most: int
    is_checked: bool = True


def is_fixed(op: Loop) -> bool:
    """Whether it is known how often a loop runs."""
    return isinstance(op.trips, int) and op.test is None and not op.counts


def why_whole(eqn: Eqn, op: Loop) -> str:
    """Return why a loop cannot run in segments, empty where it can."""
    if any(is_tape(t.type) for t in eqn.operands):
        return "it carries residuals of another loop"
    if is_fixed(op):
        return ""
    if op.outputs:
        return "only the run knows how many values it collects"
    if op.ranged and not isinstance(eqn.operands[2], Literal):
        return "the step of its range is traced"
    if op.test is not None and op.ranged and _reads(op.test, op.test.params[0]):
        return "its condition reads the index"
    return ""


def _reads(function: Function, value: Value) -> bool:
    return value in function.results or any(value in e.operands for e in function.eqns)


def split_loop(
    eqn: Eqn,
    operands: Sequence[Atom],
    how: Split | Chunks,
    op: Loop,
    symbol: Symbol | None = None,
) -> tuple[list[Eqn], list[Atom]]:
    """Return equations that run a loop in segments, and what stands for its results.

    `symbol` is the index of the outermost loop over segments.
    """
    builder = Builder()
    builder.provenance = eqn.provenance
    writer = _Segments(eqn, op, operands, symbol)
    if isinstance(how, Chunks):
        results = writer.chunks(builder, how)
    else:
        carries = operands[op.head : op.head + op.carries]
        results = writer.run(builder, writer.first, carries, how.trips, how, False)
    for old, new in zip(eqn.results, results, strict=True):
        if isinstance(new, Value) and new.hint is None:
            new.hint = old.hint
            new.cotangent_of = old.cotangent_of
    return builder.eqns, results


def _literal(number: int) -> Literal:
    return Literal(np.int64(number))


class _Segments:
    """Writes the loops of one split."""

    def __init__(self, eqn: Eqn, op: Loop, operands: Sequence[Atom], symbol: Symbol | None) -> None:
        self.eqn = eqn
        self.symbol = symbol
        self.op = op
        self.first: Atom = operands[0] if op.ranged else _literal(0)
        self.stop: Atom = operands[1] if op.ranged else _literal(0)
        self.step: Atom = operands[2] if op.ranged else _literal(1)
        self.inits = operands[op.head : op.head + op.carries]
        self.captured = operands[op.head + op.carries :]

    # -- a length that is known --------------------------------------------------------------------

    def run(
        self,
        builder: Builder,
        first: Atom,
        carries: Sequence[Atom],
        trips: int,
        split: Split | None,
        again: bool,
    ) -> list[Atom]:
        """Run so many iterations from an index on; return the carries, then the stacks."""
        op = self.op
        if split is None:
            return self.whole(builder, first, carries, trips, again)
        count = op.carries
        at_rest = self.ahead(builder, first, split.segments * split.length)
        stacks: list[list[Atom]] = []
        parts = ["segments", "rest"] if split.rest else ["segments"]
        for part in reversed(parts) if op.backward else parts:
            if part == "rest":
                made = self.whole(builder, at_rest, carries, split.rest, again)
                stacks.append(made[count:])
            else:
                made = self.segments(builder, first, carries, split, again)
                stacks.append([self.joined(builder, s) for s in made[count:]])
            carries = made[:count]
        if op.backward:
            stacks.reverse()
        joined = [
            s[0] if len(s) == 1 else builder.one(Concatenate(-s[0].type.ndim), *s)
            for s in zip(*stacks, strict=True)
        ]
        return [*carries, *joined]

    def whole(
        self, builder: Builder, first: Atom, carries: Sequence[Atom], trips: int, again: bool
    ) -> list[Atom]:
        """Run iterations in one loop."""
        op = replace(self.op, body=duplicate(self.op.body), trips=trips, recompute=again)
        head = [first, self.ahead(builder, first, trips), self.step] if op.ranged else []
        return self.loop(builder, op, [*head, *carries, *self.captured])

    def segments(
        self, builder: Builder, first: Atom, carries: Sequence[Atom], split: Split, again: bool
    ) -> list[Atom]:
        """Run the segments of a split in a loop around them."""
        symbol = Symbol.between("s", 0, split.segments - 1)
        if self.symbol is not None:
            symbol, self.symbol = self.symbol, None
        index, params, inner = self.region()
        start = self.position(inner, first, index, split.length)
        results = self.run(inner, start, params, split.length, split.inner, True)
        function, outside = close("segment", [index, *params], inner.eqns, results, dims=(symbol,))
        op = Loop(
            function,
            len(params),
            split.segments,
            backward=self.op.backward,
            recompute=again,
            dims=region_dims(function),
        )
        bounds = [_literal(0), _literal(split.segments), _literal(1)]
        return self.loop(builder, op, [*bounds, *carries, *outside])

    # -- a length that only the run knows ----------------------------------------------------------

    def chunks(self, builder: Builder, how: Chunks) -> list[Atom]:
        """Run in segments until the range ends or the condition fails."""
        op = self.op
        symbol = Symbol.between("s", 0, how.most)
        index, params, inner = self.region()
        carries: list[Atom] = [*params]
        inits: list[Atom] = [*self.inits]
        if op.counts:  # the sum of what the segments count
            params.append(Value(ArrayType(INDEX, ()), "count"))
            inits.append(_literal(0))
        if how.is_checked:
            holds = inner.one(less, index, _literal(how.most))
            most = how.most * how.length
            message = f"a loop runs for more than the {most:,} iterations that memory= allows"
            carries[0] = inner.one(Require("BudgetError", message), carries[0], holds)
        start = self.position(inner, self.first, index, how.length)
        results = self.chunk(inner, start, carries, how.length)
        if op.counts:
            results[-1] = inner.one(add, params[-1], results[-1])
        region = Open("segment", [index, *params], inner.eqns, results, None, (symbol,))
        stop = self.count(builder, how)
        regions = [region] if op.test is None else [region, self.test(symbol)]
        (function, *test), outside, dims = close_together(regions)
        looped = Loop(
            function,
            len(params),
            Symbol.between("n", 0, how.most),
            test=test[0] if test else None,
            backward=op.backward,
            dims=dims,
        )
        return self.loop(builder, looped, [_literal(0), stop, _literal(1), *inits, *outside])

    def chunk(
        self, inner: Builder, start: Atom, carries: Sequence[Atom], length: int
    ) -> list[Atom]:
        """Run at most so many iterations."""
        op = self.op
        body = duplicate(op.body)
        test = None if op.test is None else duplicate(op.test)
        if op.ranged:
            ascends = isinstance(self.step, Literal) and int(self.step.value) > 0
            end = self.ahead(inner, start, length)
            head = [start, inner.one(minimum if ascends else maximum, end, self.stop), self.step]
        else:
            body, test = _numbered(body), None if test is None else _numbered(test)
            head = [_literal(0), _literal(length), _literal(1)]
        trips = Symbol.between("m", 0, length)
        made = replace(op, body=body, test=test, trips=trips, ranged=True, recompute=True)
        return self.loop(inner, made, [*head, *carries, *self.captured])

    def test(self, symbol: Symbol) -> Open:
        """Return the condition as that of the loop over segments."""
        assert self.op.test is not None
        test = duplicate(self.op.test)
        params = list(test.params)
        index = params.pop(0) if self.op.ranged else Value(ArrayType(INDEX, ()), "s")
        carries, captured = params[: self.op.carries], params[self.op.carries :]
        if self.op.counts:
            carries.append(Value(ArrayType(INDEX, ()), "count"))
        scope: dict[Atom, Atom] = dict(zip(captured, self.captured, strict=True))
        eqns = [
            Eqn(e.op, tuple([scope.get(a, a) for a in e.operands]), e.results, e.provenance)
            for e in test.eqns
        ]
        results = [scope.get(r, r) for r in test.results]
        return Open("segment_test", [index, *carries], eqns, results, None, (symbol,))

    def count(self, builder: Builder, how: Chunks) -> Atom:
        """Return the number of segments of a range, or the most that a condition may ask for."""
        if not how.is_checked:
            return _literal(how.most)
        if not self.op.ranged:
            return _literal(how.most + 1)
        assert isinstance(self.step, Literal)
        step = int(self.step.value)
        length = builder.one(subtract, self.stop, self.first)
        whole = how.length * step
        ahead = builder.one(add, length, _literal(whole - (1 if step > 0 else -1)))
        return builder.one(floor_divide, ahead, _literal(whole))

    # -- parts -------------------------------------------------------------------------------------

    def region(self) -> tuple[Value, list[Value], Builder]:
        """Return the parameters of a segment's body, index and carries, and a builder for it."""
        builder = Builder()
        builder.provenance = self.eqn.provenance
        head = 1 if self.op.ranged else 0
        params = [p.fresh() for p in self.op.body.params[head : head + self.op.carries]]
        return Value(ArrayType(INDEX, ()), "s"), params, builder

    def position(self, builder: Builder, first: Atom, index: Atom, length: int) -> Atom:
        """Return the index at which a segment starts."""
        if not self.op.ranged:
            return first
        many = builder.one(multiply, self.step, _literal(length))
        ahead = builder.one(multiply, index, many)
        if isinstance(first, Literal) and first.value == 0:
            return ahead
        return builder.one(add, first, ahead)

    def ahead(self, builder: Builder, first: Atom, trips: int) -> Atom:
        """Return the index so many iterations later."""
        if not self.op.ranged:
            return first
        return builder.one(add, first, builder.one(multiply, self.step, _literal(trips)))

    def joined(self, builder: Builder, stack: Atom) -> Atom:
        """Return a stack of stacks as one."""
        segments, length, *row = stack.type.shape
        return builder.one(Reshape((segments * length, *row), stack.type.ndim), stack)

    def loop(self, builder: Builder, op: Loop, operands: Sequence[Atom]) -> list[Atom]:
        builder.provenance = self.eqn.provenance
        types = op.infer(*[a.type for a in operands])
        return list(builder.append(op, tuple(operands), types))


def _numbered(region: Function) -> Function:
    """Return a region of a loop without a range as one of a loop with it."""
    index = Value(ArrayType(INDEX, ()), "k")
    return region.replace(params=[index, *region.params], dims=(Symbol("k"), *region.dims))


__all__ = ["Chunks", "is_fixed", "split_loop", "why_whole"]
