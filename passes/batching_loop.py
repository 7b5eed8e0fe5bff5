"""Loops for many examples at once.

A loop that runs equally often for all examples is the same loop over batched carries. Where each
example has an end of its own, the loop runs while any of them goes on: an iteration takes the rows
of those that do, and writes what it makes of them back. The others are left as they are.

Before::

    def f(x: f64) -> f64:
        def body(x: f64) -> f64:
            y : f64 = sqrt(x)
            return y
        def test(x: f64) -> bool:
            p : bool = x > 2.0
            return p
        z = loop(body, carry=(x,), test=test, trips=new(k))
        return z

After, for 5 examples::

    def f(x: f64[5]) -> f64[5]:
        p : bool[5] = x > 2.0
        def body(x: f64[5], p: bool[5]) -> (f64[5], bool[5]):
            i : i64[n]  = nonzero(p, size=new(0 <= n <= 5))
            r : f64[n]  = x[i]
            y : f64[n]  = sqrt(r)
            q : bool[n] = y > 2.0
            z : f64[5]  = index_update(x[i], y)
            o : bool[5] = full(False, shape=(5,))
            s : bool[5] = index_update(o[i], q)
            return z, s
        def test(x: f64[5], p: bool[5]) -> bool_:
            t : bool = any(p, axes=(-1,))
            return t
        z, q = loop(body, carry=(x, p), test=test, trips=new(k))
        return z
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..ir.binding import fresh, instantiated, mentioned, symbols_of
from ..ir.builder import Builder
from ..ir.closing import Open, close_together
from ..ir.core import Atom, Eqn, Function, Literal, Value, walk
from ..ir.dims import Dim, Symbol, symbols
from ..ir.ops.control import INDEX, Loop
from ..ir.ops.elementwise import (
    add,
    floor_divide,
    less,
    logical_and,
    maximum,
    multiply,
    negative,
    subtract,
)
from ..ir.ops.reduce import Any_, Max
from ..ir.ops.shape import Concatenate, Full, Transpose
from ..ir.types import ArrayType
from .batching_reach import LoopReach, reached_loop
from .batching_rows import Rows
from .keeping import with_outer_dims

if TYPE_CHECKING:
    from .batching import Examples


def batch_loop(examples: Examples, eqn: Eqn, mapped: tuple[bool, ...]) -> list[Atom]:
    """Write a loop for all examples; return its results.

    Raises
    ------
    Unbatchable
        Where it has to run for one example after the other.
    """
    from .batching import Unbatchable

    assert isinstance(eqn.op, Loop)
    op = with_outer_dims(eqn.op)
    reach = reached_loop(op, mapped)
    together: list[Atom] | None = None
    while not reach.ends and together is None:
        reach, together = _together(examples, eqn, op, mapped, reach)
    if together is not None:
        results = together
    elif op.outputs or (any(mapped[: op.head]) and _sizes_by_index(op)):
        raise Unbatchable(eqn.results[-1], eqn)
    elif not op.ranged:
        results = _While(examples, eqn, op, mapped, reach).run()
    else:
        results = _Ranged(examples, eqn, op, mapped, reach).run()
    examples.mapped.update(r for r, m in zip(eqn.results, reach.results, strict=True) if m)
    return results


def _sizes_by_index(op: Loop) -> bool:
    """Whether the index of a loop decides about a size."""
    index = op.body.dims[0]
    for region in op.regions:
        for eqn in walk(region):
            if index in mentioned(eqn) or any(index in symbols_of(a.type) for a in eqn.operands):
                return True
    return False


def _together(
    examples: Examples, eqn: Eqn, op: Loop, mapped: tuple[bool, ...], reach: LoopReach
) -> tuple[LoopReach, list[Atom] | None]:
    """Write a loop that ends at once for all examples; return what differs, and its results.

    There are none where more differs than `reach` says: what is done for one example after the
    other in the body is made for each, whether it depends on the example or not.
    """
    from .batching import batched_region

    head, carries = op.head, op.carries
    operands = [examples.atom(a) for a in eqn.operands]
    for k, is_mapped in enumerate(reach.carries):
        if is_mapped:
            operands[head + k] = examples.whole(eqn.operands[head + k])
    index = [False] if op.ranged else []
    inside = [*index, *reach.carries, *mapped[head + carries :]]
    captured = [a.layout for a in operands[head + carries :]]
    layouts = [*[None] * (len(index) + carries), *captured]
    wanted = reach.results[: carries + op.outputs]
    body, found = batched_region(op.body, inside, examples.size, wanted, layouts)
    if found != wanted:
        grown = reached_loop(op, [*mapped[:head], *found[:carries], *mapped[head + carries :]])
        flags = [*grown.carries, *found[carries:], *grown.results[carries + op.outputs :]]
        return grown._replace(results=flags), None
    test = op.test
    if test is not None:
        test, _ = batched_region(test, inside, examples.size, None, layouts)
    more = [s for s in symbols(examples.size) if s not in op.body.dims]
    dims = (*op.dims, *map(Dim.of, more))
    results = list(examples.builder.emit(replace(op, body=body, test=test, dims=dims), operands))
    for k in range(carries, carries + op.outputs):
        if wanted[k]:  # each iteration has made a row for all examples
            count = results[k].type.ndim
            order = (1 - count, -count, *range(2 - count, 0))
            results[k] = examples.builder.one(Transpose(order), results[k])
    return reach, results


class _Ends:
    """A loop of which each example has an end of its own.

    `wholes` are the initial carries; all are mapped but for those that no iteration changes.
    """

    def __init__(
        self,
        examples: Examples,
        eqn: Eqn,
        op: Loop,
        mapped: tuple[bool, ...],
        reach: LoopReach,
    ) -> None:
        self.examples = examples
        self.builder = examples.builder
        self.op = op
        self.reach = reach
        self.captured = [examples.atom(a) for a in eqn.operands[op.head + op.carries :]]
        self.captured_mapped = mapped[op.head + op.carries :]
        self.range = (
            [examples.whole(a) for a in eqn.operands[: op.head]]
            if any(mapped[: op.head])
            else [examples.atom(a) for a in eqn.operands[: op.head]]
        )
        inits = eqn.operands[op.head : op.head + op.carries]
        self.wholes = [
            examples.whole(a) if m else examples.atom(a)
            for a, m in zip(inits, reach.carries, strict=True)
        ]
        self.mask = examples.type(ArrayType(np.dtype(bool), ()))
        self.count = examples.type(ArrayType(INDEX, ()))

    def region(
        self,
        region: Function,
        index: tuple[Atom, bool] | None,
        rows: Rows,
        carries: Sequence[Atom],
    ) -> list[Atom]:
        """Write a region, with the rows of the carries; return its results, which are mapped."""
        head = [] if index is None else [index[0]]
        own = [] if index is None else [index[1]]
        flags = [*own, *self.reach.carries, *self.captured_mapped]
        operands = [*head, *carries, *rows.all_of(self.captured, self.captured_mapped)]
        wanted = self.reach.carries if region is self.op.body else [True]
        return rows.run(region, flags, operands, wanted)

    def written(self, rows: Rows, carries: Sequence[Atom], new: Sequence[Atom]) -> list[Atom]:
        """Return the carries with new rows."""
        return [
            rows.put(c, n) if m else c
            for c, n, m in zip(carries, new, self.reach.carries, strict=True)
        ]

    def marked(self, rows: Rows, goes_on: Atom) -> Atom:
        """Return the mask of the examples that go on, which are among these rows.

        It is made anew: a reversed loop could not find the rows of a mask that it has to restore.
        """
        return rows.put(_filled(rows.builder, self.mask, False), goes_on)

    def counted(self, rows: Rows, counts: Atom) -> Atom:
        """Return the trip counts with one more for some examples."""
        one = Literal(np.int64(1))
        return rows.put(counts, rows.builder.one(add, rows.of(counts), one))

    def loop(
        self,
        body: Open,
        test: Open | None,
        operands: Sequence[Atom],
        carries: Sequence[Atom],
        backward: bool = False,
    ) -> list[Atom]:
        """Write the loop; return its carries."""
        closed, captured, dims = close_together([body] if test is None else [body, test])
        loop = Loop(
            closed[0],
            len(carries),
            fresh(self.op.trips) if isinstance(self.op.trips, Symbol) else Symbol("k"),
            ranged=self.op.ranged,
            test=closed[1] if test is not None else None,
            backward=backward,
            dims=dims,
        )
        return list(self.builder.emit(loop, (*operands, *carries, *captured)))

    def any_goes_on(self, head: Sequence[Value], carries: Sequence[Atom], mask: int) -> Open:
        """Return the condition that some example goes on, the mask being one of the carries."""
        params = _params(carries)
        builder = Builder()
        found = builder.one(Any_((-1,)), params[mask])
        return Open("test", [*_params(head), *params], builder.eqns, [found], bound=self.bound())

    def bound(self) -> tuple[Symbol, ...]:
        """Return the dims that a region binds itself."""
        return self.op.body.dims[:1] if self.op.ranged else ()


class _While(_Ends):
    """A loop without a range: its condition is asked for the next iteration at the end of one."""

    def run(self) -> list[Atom]:
        """Write the loop; return its results."""
        op, test = self.op, self.op.test
        assert test is not None
        from .batching import batched_region

        flags = [*self.reach.carries, *self.captured_mapped]
        first = [*self.wholes, *self.captured]
        layouts = [a.layout for a in first]
        made, _ = batched_region(test, flags, self.examples.size, [True], layouts)
        (mask,) = self.builder.inline(made, first)
        inits = [*self.wholes, mask]
        if op.counts:
            inits.append(_filled(self.builder, self.count, 0))
        params = _params(inits)
        state, going = params[: op.carries], params[op.carries]
        builder = Builder()
        builder.provenance = self.builder.provenance
        rows = Rows(builder, going)
        new = self.region(op.body, None, rows, rows.all_of(state, self.reach.carries))
        after = [n if m else s for n, s, m in zip(new, state, self.reach.carries, strict=True)]
        (goes_on,) = self.region(test, None, rows, after)
        results = [*self.written(rows, state, new), self.marked(rows, goes_on)]
        if op.counts:
            results.append(self.counted(rows, params[-1]))
        body = Open("body", params, builder.eqns, results)
        found = self.loop(body, self.any_goes_on([], inits, op.carries), [], inits)
        return [*found[: op.carries], *found[op.carries + 1 :]]


class _Ranged(_Ends):
    """A loop over a range, which may be another for each example, perhaps with a condition.

    Where the ranges differ, the new loop counts iterations, and each example has its own index.
    """

    def run(self) -> list[Atom]:
        """Write the loop; return its results."""
        op = self.op
        bounds, lengths = self.range, None
        if any(a.type.shape for a in self.range):
            lengths = self._lengths()
            longest = self.builder.one(Max((-1,)), self._with_zero(lengths))
            bounds = [Literal(np.int64(0)), longest, Literal(np.int64(1))]
        inits = [*self.wholes]
        if op.test is not None:
            inits.append(_filled(self.builder, self.mask, True))
        if op.counts:
            inits.append(_filled(self.builder, self.count, 0))
        index = Value(ArrayType(INDEX, ()), op.body.params[0].hint)
        body = self._body(index, inits, lengths)
        condition = None
        if op.test is not None:
            condition = self.any_goes_on([index], inits, op.carries)
        found = self.loop(body, condition, bounds, inits, backward=op.backward and lengths is None)
        return [*found[: op.carries], *found[len(found) - op.counts :]]

    def _body(self, index: Value, inits: Sequence[Atom], lengths: Atom | None) -> Open:
        """Return an iteration for the examples in whose range the index is, and that go on."""
        op, params, builder = self.op, _params(inits), Builder()
        builder.provenance = self.builder.provenance
        state = params[: op.carries]
        mask = params[op.carries] if op.test is not None else None
        rows = Rows(builder, _going(builder, index, lengths, mask))
        marks: list[Atom] = []
        if op.test is not None:
            at = self._index(index, lengths, rows)
            before = rows.all_of(state, self.reach.carries)
            (goes_on,) = self.region(self._with_index(op.test), at, rows, before)
            # Those out of range are done: that nobody asks for them again is as good.
            marks = [self.marked(rows, goes_on)]
            rows = Rows(builder, marks[0])
        at = self._index(index, lengths, rows)
        new = self.region(op.body, at, rows, rows.all_of(state, self.reach.carries))
        results = [*self.written(rows, state, new), *marks]
        if op.counts:
            results.append(self.counted(rows, params[-1]))
        return Open("body", [index, *params], builder.eqns, results, bound=self.bound())

    def _with_index(self, region: Function) -> Function:
        """Return the condition with the index symbol of the body."""
        own, *rest = region.dims
        if own is self.op.body.dims[0]:
            return region
        renamed = instantiated(region, [Dim.of(self.op.body.dims[0]), *map(Dim.of, rest)])
        return renamed.replace(dims=(self.op.body.dims[0], *rest))

    def _with_zero(self, lengths: Atom) -> Atom:
        """Return lengths of which the greatest is at least 0, also if there are none."""
        zero = Literal(np.zeros(1, INDEX))
        return self.builder.one(Concatenate(-1), lengths, zero)

    def _lengths(self) -> Atom:
        """Return how many iterations the range of each example has."""
        lo, hi, step = self.range
        one = self.builder.one
        # The ceiling of the quotient, for steps of either sign.
        span = one(subtract, lo, hi)
        whole = one(negative, one(floor_divide, span, step))
        return one(maximum, whole, Literal(np.int64(0)))

    def _index(self, index: Atom, lengths: Atom | None, rows: Rows) -> tuple[Atom, bool]:
        """Return the index in an iteration, and whether each example has its own."""
        if lengths is None:
            return index, False
        lo, _, step = self.range
        one = rows.builder.one
        number: Atom = index
        if self.op.backward:
            number = one(subtract, one(subtract, rows.of(lengths), Literal(np.int64(1))), index)
        return one(add, rows.of(lo), one(multiply, number, rows.of(step))), True


def _going(builder: Builder, index: Value, lengths: Atom | None, mask: Atom | None) -> Atom:
    """Return which examples have an iteration: by their lengths, by a mask, or by both."""
    if lengths is None:
        assert mask is not None  # else all end at once
        return mask
    within = builder.one(less, index, lengths)
    return within if mask is None else builder.one(logical_and, mask, within)


def _params(atoms: Sequence[Atom]) -> list[Value]:
    """Return parameters of a region for carries."""
    return [Value(a.type, a.hint) for a in atoms]


def _filled(builder: Builder, type: ArrayType, value: int | bool) -> Atom:
    """Return an array of one value."""
    return builder.one(Full(type.shape), Literal(type.dtype.type(value)))


__all__ = ["batch_loop"]
