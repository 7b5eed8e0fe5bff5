"""Branches for many examples at once.

Where all examples take the same branch, the branch is batched. Where each has a predicate of its
own, the examples are parted: each branch runs on the rows of those that take it, and its results
are written back to their places. Nothing is computed that a branch not taken would have computed:
there is no warning from it, no error, and no `0 * inf` in a derivative, as with `where`.

Before::

    def f(p: bool, x: f64) -> f64:
        def then(x: f64) -> f64:
            a : f64 = sqrt(x)
            return a
        def otherwise(x: f64) -> f64:
            return x
        y = cond(p, then, otherwise, captured=(x,))
        return y

After, for 5 examples of both::

    def f(p: bool[5], x: f64[5]) -> f64[5]:
        i : i64[n] = nonzero(p, size=new(0 <= n <= 5))
        r : f64[n] = x[i]
        a : f64[n] = sqrt(r)
        y : f64[5] = index_update(x[i], a)
        return y
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..ir.binding import instantiated
from ..ir.builder import Builder
from ..ir.closing import Open, close_together, free_dims
from ..ir.core import Atom, Eqn, Function, Literal
from ..ir.dims import Dim
from ..ir.op import Effect
from ..ir.ops.cond import Cond
from ..ir.ops.elementwise import equal, greater_equal, less_equal, logical_not
from ..ir.ops.reduce import Any_
from ..ir.ops.select import where
from ..ir.ops.shape import Full
from .batching_reach import reached_cond
from .batching_rows import Rows

if TYPE_CHECKING:
    from .batching import Examples


def batch_cond(examples: Examples, eqn: Eqn, mapped: tuple[bool, ...]) -> list[Atom]:
    """Write a branch for all examples; return its results, of which all are mapped that may be."""
    op = eqn.op
    assert isinstance(op, Cond)
    branches = [instantiated(b, op.dims) for b in op.branches]
    if mapped[0]:
        return _parted(examples, eqn, branches, mapped[1:])
    return _together(examples, eqn, op, branches, mapped[1:])


def _together(
    examples: Examples,
    eqn: Eqn,
    op: Cond,
    branches: list[Function],
    mapped: tuple[bool, ...],
) -> list[Atom]:
    from .batching import batched_region

    found = reached_cond(op, mapped)
    predicate, *captured = [examples.atom(a) for a in eqn.operands]
    layouts = [a.layout for a in captured]
    while True:
        pairs = [batched_region(b, mapped, examples.size, found, layouts) for b in branches]
        # What is done for one example after the other is made for each, whatever it depends on.
        grown = [any(flags) for flags in zip(*[flags for _, flags in pairs], strict=True)]
        if grown == found:
            break
        found = grown
    made = [b for b, _ in pairs]
    dims = sorted({s for b in made for s in free_dims(b, ())}, key=lambda s: s.number)
    made = [b.replace(dims=dims) for b in made]
    results = examples.builder.emit(
        Cond(tuple(made), tuple(map(Dim.of, dims))), (predicate, *captured)
    )
    examples.mapped.update(r for r, m in zip(eqn.results, found, strict=True) if m)
    return list(results)


def _parted(
    examples: Examples, eqn: Eqn, branches: list[Function], mapped: tuple[bool, ...]
) -> list[Atom]:
    builder = examples.builder
    predicate, *captured = [examples.atom(a) for a in eqn.operands]
    examples.mapped.update(eqn.results)
    wholes: list[Atom | None] = [None] * len(eqn.results)
    # What a branch returns of its operands is there for all examples: others are written into it.
    passed = [[_passed(b, r, captured) for r in b.results] for b in branches]
    order = sorted(range(len(branches)), key=lambda k: -sum(p is not None for p in passed[k]))
    for k in order:
        open_results = [j for j, p in enumerate(passed[k]) if p is None]
        mask = functools.partial(_mask, builder, predicate, k, len(branches))
        for j, whole in enumerate(passed[k]):
            if whole is not None:
                is_mapped = _is_mapped(branches[k].results[j], branches[k], mapped)
                wholes[j] = _chosen(examples, mask, whole, is_mapped, wholes[j])
        if not open_results:
            continue
        for j in open_results:
            if wholes[j] is None:
                type = eqn.results[j].type
                zero = Literal(np.zeros((), type.dtype)[()])
                wholes[j] = builder.one(Full(examples.type(type).shape), zero)
        bases = [w for j in open_results if (w := wholes[j]) is not None]
        part = branches[k]
        part = part.replace(
            results=[part.results[j] for j in open_results],
            result_kinds=[part.result_kinds[j] for j in open_results],
        )
        results = _branch(builder, part, mapped, captured, mask(), bases)
        for j, whole in zip(open_results, results, strict=True):
            wholes[j] = whole
    return [w for w in wholes if w is not None]


def _mask(builder: Builder, predicate: Atom, k: int, count: int) -> Atom:
    """Return which examples take branch `k` of so many."""
    if predicate.type.dtype.kind == "b":
        return builder.one(logical_not, predicate) if k else predicate
    compare = less_equal if k == 0 else greater_equal if k == count - 1 else equal
    return builder.one(compare, predicate, Literal(np.int64(k)))


def _passed(branch: Function, result: Atom, captured: list[Atom]) -> Atom | None:
    """Return the outer value of a result that is an operand or a constant, else None."""
    if isinstance(result, Literal):
        return result
    if result in branch.params:
        return captured[branch.params.index(result)]
    return None


def _is_mapped(result: Atom, branch: Function, mapped: tuple[bool, ...]) -> bool:
    return result in branch.params and mapped[branch.params.index(result)]


def _chosen(
    examples: Examples,
    mask: Callable[[], Atom],
    value: Atom,
    is_mapped: bool,
    other: Atom | None,
) -> Atom:
    """Return the value where the mask is true, and what is there elsewhere."""
    builder = examples.builder
    if other is None:
        return value if is_mapped else examples.repeated(value)
    if other is value:
        return value
    missing = other.type.ndim - 1
    return builder.one(where, examples.with_axes(mask(), missing), value, other)


def _branch(
    builder: Builder,
    branch: Function,
    mapped: tuple[bool, ...],
    captured: list[Atom],
    mask: Atom,
    bases: list[Atom],
) -> list[Atom]:
    """Return all examples of a branch's results: those that the mask chooses, written into bases.

    What the branch computes once for all examples is not computed where none takes it.
    """

    def on_rows(builder: Builder) -> list[Atom]:
        rows = Rows(builder, mask)
        results = rows.run(branch, mapped, rows.all_of(captured, mapped))
        return [rows.put(base, r) for base, r in zip(bases, results, strict=True)]

    if not _computes_once(branch, mapped):
        return on_rows(builder)
    inner = Builder()
    inner.provenance = builder.provenance
    results = on_rows(inner)
    regions = [Open("some", [], inner.eqns, results), Open("none", [], [], bases)]
    closed, outer, dims = close_together(regions)
    any_takes_it = builder.one(Any_((-1,)), mask)
    return list(builder.emit(Cond(tuple(closed), dims), (any_takes_it, *outer)))


def _computes_once(function: Function, mapped: tuple[bool, ...]) -> bool:
    """Whether a region computes something that is the same for all examples."""
    marked: set[Atom] = {p for p, m in zip(function.params, mapped, strict=True) if m}
    for eqn in function.eqns:
        if not marked.isdisjoint(eqn.operands):
            marked.update(eqn.results)
            continue
        types = [a.type for a in eqn.operands], [r.type for r in eqn.results]
        if eqn.op.effect is not Effect.PURE or eqn.op.regions or eqn.op.flops(*types):
            return True
    return False


__all__ = ["batch_cond"]
