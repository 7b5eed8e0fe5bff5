"""Emits equations: infers types, folds constants, merges equal equations, applies rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .binding import fresh, matched_dims, renamed_op, symbols_in
from .core import UNKNOWN, Atom, Eqn, Function, Literal, Provenance, Value
from .dims import Dim, Size, Symbol
from .op import Effect, Op
from .types import ArrayType, Kind

FOLD_LIMIT = 16
"""Elements of the largest literal that folding makes; larger constants stay computed."""

Peephole = Callable[["Builder", Op, tuple[Atom, ...]], "tuple[Atom, ...] | None"]


class Builder:
    """A function under construction.

    `provenance` is attached to every equation emitted; `peephole`, if given, may return a
    replacement for an equation before it is emitted. `bound` are the dims that its equations bind.
    """

    __slots__ = (
        *("_memo", "_types", "bound", "eqns", "params", "peephole", "producers", "provenance"),
    )

    def __init__(self, peephole: Peephole | None = None) -> None:
        self.eqns: list[Eqn] = []
        self.params: list[Value] = []
        self.provenance: Provenance = UNKNOWN
        self.peephole = peephole
        self.producers: dict[Value, Eqn] = {}
        self.bound: set[Symbol] = set()
        self._memo: dict[Any, Eqn] = {}
        self._types: dict[Any, tuple[ArrayType, ...]] = {}

    def param(self, value: Value) -> Value:
        """Add a parameter."""
        self.params.append(value)
        return value

    def emit(self, op: Op, operands: Sequence[Atom], old: Eqn | None = None) -> tuple[Atom, ...]:
        """Emit `op(operands)` and return its results, which an equal equation may already hold.

        `old` is an equation of the same op that this one takes the place of: with operands of the
        same types and layouts it keeps its results.

        Raises
        ------
        ShapeError, DTypeError
            Where the operands do not fit the op.
        """
        operands = tuple(operands)
        if self.peephole is not None:
            replaced = self.peephole(self, op, operands)
            if replaced is not None:
                return replaced
        ordered = op.effect is Effect.ORDERED or op.makes_new
        key = (op, operands)
        if not ordered:
            known = self._memo.get(key)
            if known is not None:
                known.provenance = known.provenance.merge(self.provenance)
                return known.results
        is_constant = Value not in [a.__class__ for a in operands]
        if old is not None and not is_constant and _are_alike(operands, old.operands):
            return self.add(
                Eqn(op, operands, old.results, self.provenance), None if ordered else key
            )
        types = self._inferred(op, operands)
        if is_constant and operands and not ordered:
            folded = _fold(op, operands, types)
            if folded is not None:
                return folded
        return self.append(op, operands, types, key=None if ordered else key)

    def _inferred(self, op: Op, operands: tuple[Atom, ...]) -> tuple[ArrayType, ...]:
        """Return the types of results, which elementwise ops make of few types again and again."""
        types = [a.type for a in operands]
        if not op.is_elementwise:
            return op.infer(*types)
        key = (op, *types)
        known = self._types.get(key)
        if known is None:
            known = self._types[key] = op.infer(*types)
        return known

    def append(
        self,
        op: Op,
        operands: tuple[Atom, ...],
        types: Sequence[ArrayType],
        key: Any = None,
    ) -> tuple[Value, ...]:
        """Emit without folding, with types already inferred."""
        results = (Value(types[0]),) if len(types) == 1 else tuple([Value(t) for t in types])
        layouts = [a.layout for a in operands]
        if op.is_view or op.reorders or any(layouts):
            inferred = op.layouts([a.type for a in operands], layouts)
            if inferred is not None:
                for value, layout in zip(results, inferred, strict=True):
                    value.layout = layout
        return self.add(Eqn(op, operands, results, self.provenance), key)

    def find(self, key: Any) -> Eqn | None:
        """Return the equation that was remembered under a key."""
        return self._memo.get(key)

    def remember(self, key: Any, eqn: Eqn) -> None:
        """Remember an equation under a key of the caller's own."""
        self._memo[key] = eqn

    def add(self, eqn: Eqn, key: Any = None) -> tuple[Value, ...]:
        """Add a finished equation."""
        self.eqns.append(eqn)
        if eqn.op.binds:
            self.bound.update(eqn.op.binds)
        if key is not None:
            self._memo[key] = eqn
        for value in eqn.results:
            self.producers[value] = eqn
        return eqn.results

    def take_back(self, start: int) -> None:
        """Forget the equations from a number on, and that they were emitted."""
        gone = set(self.eqns[start:])
        del self.eqns[start:]
        self._memo = {key: eqn for key, eqn in self._memo.items() if eqn not in gone}
        for eqn in gone:
            self.bound.difference_update(eqn.op.binds)
            for value in eqn.results:
                del self.producers[value]

    def one(self, op: Op, *operands: Atom) -> Atom:
        """Emit an op with a single result."""
        (result,) = self.emit(op, operands)
        return result

    def inline(
        self, function: Function, operands: Sequence[Atom], provenance: Provenance | None = None
    ) -> tuple[Atom, ...]:
        """Emit a function's equations with its parameters replaced; return its results.

        Parameters
        ----------
        provenance
            That of all of them, in place of their own.
        """
        scope: dict[Atom, Atom] = dict(zip(function.params, operands, strict=True))
        dims: dict[Symbol, Size] = matched_dims(function, operands)
        outside = self.provenance
        for eqn in function.eqns:
            self.provenance = eqn.provenance if provenance is None else provenance
            # A function written twice binds dims of its own each time.
            dims.update({s: Dim.of(fresh(s)) for s in eqn.op.binds if s in self.bound})
            op = renamed_op(eqn.op, dims)
            results = self.emit(op, tuple([scope.get(a, a) for a in eqn.operands]))
            for old, new in zip(eqn.results, results, strict=True):
                scope[old] = new
                inherit(old, new)
        self.provenance = outside
        return tuple([scope.get(a, a) for a in function.results])

    def finish(
        self,
        name: str,
        results: Sequence[Atom],
        *,
        dims: Sequence[Symbol] = (),
        param_kinds: Sequence[Kind] | None = None,
        result_kinds: Sequence[Kind] | None = None,
    ) -> Function:
        """Return the function built so far."""
        return Function(
            name,
            self.params,
            self.eqns,
            results,
            dims=dims,
            param_kinds=param_kinds,
            result_kinds=result_kinds,
        )


def _are_alike(operands: tuple[Atom, ...], others: tuple[Atom, ...]) -> bool:
    """Whether an op makes the same of two lists of operands: the same types and layouts."""
    for a, b in zip(operands, others, strict=True):
        if a is not b and (a.type != b.type or a.layout != b.layout):
            return False
    return True


def inherit(old: Atom, new: Atom) -> None:
    """Give a value that replaces another its name, where it has none of its own.

    What the user named stays so, even where it turns out to be a cotangent.
    """
    if new is old or not isinstance(new, Value) or not isinstance(old, Value):
        return
    if new.hint is None:
        if new.cotangent_of is None:
            origin = old.cotangent_of
            while origin is not None and origin is not new:
                origin = origin.cotangent_of
            if origin is None:  # else it would be the cotangent of itself
                new.cotangent_of = old.cotangent_of
        new.hint = old.hint


def _fold(
    op: Op, operands: tuple[Atom, ...], types: Sequence[ArrayType]
) -> tuple[Atom, ...] | None:
    if op.effect is not Effect.PURE or op.regions or symbols_in(op):
        return None
    largest = max(a.type.size for a in operands)
    if not all(t.is_static and t.size <= FOLD_LIMIT and t.size <= largest for t in types):
        return None  # a broadcast stays a broadcast
    with np.errstate(all="raise"):
        try:
            value = op.evaluate(*[a.value for a in operands if isinstance(a, Literal)])
        except FloatingPointError:
            return None  # the warning belongs to run time
    values = value if isinstance(value, tuple) else (value,)
    folded = []
    for part, type in zip(values, types, strict=True):
        literal = Literal(np.asarray(part, dtype=type.dtype)[()])
        if literal.type != type:
            return None
        folded.append(literal)
    return tuple(folded)
