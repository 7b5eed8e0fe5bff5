"""Sparsity: which entries of a Jacobian can differ from zero, read off the program.

The program is run once on sets: in place of its value each entry has the set of inputs that its
derivative can depend on (`dependence`), and each equation says how sets go on (`dependence_rules`).
What has no derivative, such as a comparison or what `stop_gradient` returns, depends on nothing.
Positions are followed where they are known without the inputs; all others are taken to be any.

A loop runs on sets iteration by iteration where its range is known and it is short enough,
else until no set grows any more; of branches the union is taken.

Before::

    def f(x: f64[4]) -> f64[3]:
        a : f64[3] = index(x, at[1:4])
        b : f64[3] = index(x, at[0:3])
        c : f64[3] = a - b
        return c

The sets of c are {0, 1}, {1, 2}, {2, 3}.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from ..ir.core import Atom, Eqn, Function, Literal, Value
from ..ir.dims import Size, Symbol
from ..ir.errors import UnsupportedError, VerificationError
from ..ir.evaluate import Sizes, concrete_op, concrete_shape, concrete_size
from ..ir.op import Effect, Op
from ..ir.ops.cond import Cond
from ..ir.ops.control import Fused, Loop
from ..ir.ops.custom import WithRule, bound
from ..ir.ops.tape import TapeNew, TapePop, TapePush
from ..ir.types import is_tape
from .custom_rules import exposed
from .dependence import Combine, Dependence, Rows
from .dependence_rules import Chains, chains, flows
from .reverse import no_fixed_shape
from .sparsity_loop import NOTHING, Abstract, LoopRun

REPEATED = 2
"""How often a rule may be within itself (the transpose of a solve is a solve, and so on)."""


def sparsity(
    function: Function,
    wrt: Sequence[int],
    of: Sequence[int],
    known: Mapping[int, Any] | None = None,
    within: tuple[str, ...] = (),
) -> Rows:
    """Return the pattern of the Jacobian of results `of` in parameters `wrt`, flattened.

    Parameters
    ----------
    known
        The values of parameters that positions may be computed from, by their numbers.
    within
        The functions whose rules this is part of, the innermost one last.

    Returns
    -------
    pattern : bool[all entries of the results, all entries of the parameters]
        A `scipy.sparse.csr_array` that holds every entry that can differ from zero.

    Raises
    ------
    UnsupportedError
        Where the size of a result is only known when the program runs.
    """
    function = exposed(function, [function.params[p] for p in wrt])
    sizes = [_entries(function.params[p], function) for p in wrt]
    interpreter = Interpreter(Dependence(sum(sizes)), within)
    arguments = [Abstract(value=(known or {}).get(k)) for k in range(len(function.params))]
    start = 0
    for position, size in zip(wrt, sizes, strict=True):
        rows = interpreter.dependence.of_inputs(start, size)
        arguments[position] = Abstract(rows)
        start += size
    results = interpreter.run(function, arguments, {})
    parts = [(results[k].rows, _entries(function.results[k], function)) for k in of]
    dependence = interpreter.dependence
    return dependence.resolved(dependence.stacked(parts))


def _entries(atom: Atom, function: Function) -> int:
    """Return the number of entries of a parameter or result."""
    if not atom.type.is_static:
        raise no_fixed_shape(function.name, atom.type)
    return atom.type.size


class Interpreter:
    """Runs functions on sets."""

    def __init__(self, dependence: Dependence, within: tuple[str, ...] = ()) -> None:
        self.dependence = dependence
        self.within = within
        self._chains = functools.lru_cache(maxsize=256)(_chains_of_shapes)

    def run(
        self, function: Function, arguments: Sequence[Abstract], sizes: Sizes
    ) -> list[Abstract]:
        scope: dict[Atom, Abstract] = dict(zip(function.params, arguments, strict=True))

        def read(atom: Atom) -> Abstract:
            return Abstract(value=atom.value) if isinstance(atom, Literal) else scope[atom]

        for eqn in function.eqns:
            results = self.equation(eqn, [read(a) for a in eqn.operands], sizes)
            for value, result in zip(eqn.results, results, strict=True):
                if result.rows is not None and not _carries(value):
                    result = Abstract(value=result.value)
                scope[value] = result
        return [read(r) for r in function.results]

    def equation(self, eqn: Eqn, operands: list[Abstract], sizes: Sizes) -> list[Abstract]:
        op = eqn.op
        if isinstance(op, Loop):
            return LoopRun(self, op, operands, sizes).results()
        if isinstance(op, Cond):
            return self._branches(op, operands, sizes)
        if isinstance(op, Fused):
            return self.run(op.body, operands, self.inside(op.dims, op.body.dims, sizes))
        if isinstance(op, TapeNew | TapePush | TapePop):
            return self._tape(op, operands)
        if isinstance(op, WithRule) and not op.is_forward:
            return self._ruled(op, operands)
        value = _computed(eqn, operands, sizes)
        if value is not None:
            return [Abstract(value=v) for v in value]
        if not op.has_gradient and not op.regions:
            return [NOTHING] * len(eqn.results)
        if all(o.rows is None for o in operands):
            return [NOTHING] * len(eqn.results)
        return [self._rows(eqn, k, operands, sizes) for k in range(len(eqn.results))]

    def inside(self, outer: Sequence[Size], inner: Sequence[Symbol], sizes: Sizes) -> Sizes:
        """Return the sizes of a region, as far as they are known."""
        found = dict(sizes)
        for symbol, size in zip(inner, outer, strict=True):
            try:
                found[symbol] = concrete_size(size, sizes)
            except VerificationError:
                found.pop(symbol, None)
        return found

    def union(self, items: Sequence[Abstract]) -> Abstract:
        """Return what is one of several."""
        rows: Rows | None = None
        for item in items:
            rows = self.dependence.union(rows, self.content(item))
        return Abstract(rows)

    def content(self, item: Abstract) -> Rows | None:
        """Return the rows; of a tape the union of all that is on it."""
        if item.last is None:
            return item.rows
        found: Rows | None = None
        tape: Abstract | None = item
        while tape is not None:
            rows = tape.rows if tape.last is None else self.content(tape.last)
            found = self._whole([Abstract(found), Abstract(rows)])
            tape = tape.rest
        return found

    def whole(self, items: Sequence[Abstract]) -> Abstract:
        """Return what depends on all that some values depend on."""
        return Abstract(self._whole([Abstract(self.content(i)) for i in items]))

    def _whole(self, items: Sequence[Abstract]) -> Rows | None:
        found: Rows | None = None
        for item in items:
            if item.rows is not None and item.rows.shape[0]:
                found = self.dependence.union(found, self.dependence.whole(item.rows))
        return None if found is None else self.dependence.whole(found)

    def _branches(self, op: Cond, operands: list[Abstract], sizes: Sizes) -> list[Abstract]:
        chosen, *captured = operands
        branches = op.branches
        if chosen.value is not None:
            branches = (branches[op.chosen(chosen.value)],)
        taken = [self.run(b, captured, self.inside(op.dims, b.dims, sizes)) for b in branches]
        if len(taken) == 1:
            return taken[0]
        return [self.union(several) for several in zip(*taken, strict=True)]

    def _tape(self, op: Op, operands: list[Abstract]) -> list[Abstract]:
        if isinstance(op, TapeNew):
            return [NOTHING]
        tape, *values = operands
        if isinstance(op, TapePush):
            return [Abstract(rest=tape, last=values[0])]
        if tape.last is not None and tape.rest is not None:
            return [tape.rest, tape.last]
        return [tape, Abstract(tape.rows)]

    def _ruled(self, op: WithRule, operands: list[Abstract]) -> list[Abstract]:
        """Return what depends on the operands of a rule: its cotangents depend on those there."""
        if op.rule is None:
            return [NOTHING] * op.outs
        if self.within.count(op.label) == REPEATED:
            return [self.whole(operands[op.start :])] * op.outs
        pair = op.rule.pair()
        backward = bound(pair.backward, op.dims)
        given = range(len(backward.params) - op.outs, len(backward.params))
        try:
            within = (*self.within, op.label)
            found_back = sparsity(backward, given, range(len(pair.targets)), within=within)
            pattern = found_back.T.tocsr()
        except UnsupportedError:
            return [self.whole(operands[op.start :])] * op.outs
        sources = [operands[op.start + k] for k in pair.targets]
        tops = np.cumsum([0, *[_entries(backward.params[k], backward) for k in given]])
        lefts = np.cumsum([0, *[_entries(r, backward) for r in backward.results]])
        found: list[Abstract] = []
        for k in range(op.outs):
            rows: Rows | None = None
            for n, source in enumerate(sources):
                if source.rows is not None:
                    part = pattern[tops[k] : tops[k + 1], lefts[n] : lefts[n + 1]]
                    own = self.dependence.spread(source.rows, part.shape[1])
                    made = self.dependence.apply(own, (Combine(part),))
                    rows = self.dependence.union(rows, made)
            found.append(Abstract(rows))
        return found

    def _rows(self, eqn: Eqn, k: int, operands: list[Abstract], sizes: Sizes) -> Abstract:
        dependence = self.dependence
        pairs = list(zip(eqn.operands, operands, strict=True))
        flowing = flows(eqn.op, tuple([a.type.dtype for a in eqn.operands]))
        needed = [
            o if f and isinstance(a, Value) and _carries(a) else NOTHING
            for f, (a, o) in zip(flowing, pairs, strict=True)
        ]
        if all(n.rows is None for n in needed):
            return NOTHING
        found = self._chains_of(eqn, k, operands, sizes)
        if found is None:
            return self.whole(needed)
        rows: Rows | None = None
        shapes, ways = found
        for operand, shape, way in zip(needed, shapes, ways, strict=True):
            if operand.rows is None:
                continue
            for chain in way:
                made = dependence.apply(dependence.spread(operand.rows, prod(shape)), chain)
                rows = dependence.union(rows, made)
        return Abstract(rows)

    def _chains_of(
        self, eqn: Eqn, k: int, operands: list[Abstract], sizes: Sizes
    ) -> tuple[list[tuple[int, ...]], Chains] | None:
        """Return the shapes of the operands and their chains, None where the result is whole."""
        if eqn.op.regions or any(is_tape(a.type) for a in (*eqn.operands, *eqn.results)):
            return None
        try:
            op = concrete_op(eqn.op, sizes)
            shapes = [concrete_shape(a.type, sizes) for a in eqn.operands]
            result = concrete_shape(eqn.results[k].type, sizes)
        except VerificationError:
            return None
        pairs = zip(eqn.operands, operands, strict=True)
        positions = [None if a.type.is_inexact else o.value for a, o in pairs]
        if all(p is None for p in positions):
            ways = self._chains(op, tuple(shapes), result)
        else:
            ways = chains(op, shapes, positions, result)
        return None if ways is None else (shapes, ways)


def _chains_of_shapes(
    op: Op, shapes: tuple[tuple[int, ...], ...], result: tuple[int, ...]
) -> Chains | None:
    return chains(op, shapes, [None] * len(shapes), result)


def _carries(value: Value) -> bool:
    """Whether a derivative can flow through a value."""
    return value.type.is_inexact or is_tape(value.type)


def _computed(eqn: Eqn, operands: Sequence[Abstract], sizes: Sizes) -> Sequence[Any] | None:
    """Return the values of the results, where those of all operands are known."""
    op = eqn.op
    if any(o.value is None for o in operands) or op.regions or op.binds or op.makes_new:
        return None
    if op.effect is not Effect.PURE:
        return None
    try:
        with np.errstate(all="ignore"):  # the run warns
            value = concrete_op(op, sizes).evaluate(*[o.value for o in operands])
    except (VerificationError, IndexError):
        return None  # a size is not known, or it would raise when it runs
    return value if isinstance(value, tuple) else [value]


__all__ = ["sparsity"]
