"""Compares functions by structure: names, locations and provenance do not count."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

from .core import Atom, Eqn, Function, Literal, Value
from .dims import Dim, Size, Symbol, substitute
from .op import Elementwise, Op
from .ops.control import Fused
from .ops.recursion import Recur, Recursion
from .types import ArrayType


def equal_up_to_renaming(left: Function, right: Function) -> bool:
    """Whether two functions have the same equations on corresponding values.

    Ops and their regions, types, kinds, dims with their bounds, and the layouts of parameters
    count; names do not, nor the layouts that a fused region's parameters take from its operands.
    """
    return _Comparison().functions(left, right)


class _Comparison:
    def __init__(self) -> None:
        self.symbols: dict[Symbol, Symbol] = {}
        self.images: set[Symbol] = set()
        self.labels: dict[str, str] = {}

    def functions(self, left: Function, right: Function, layouts: bool = True) -> bool:
        values: dict[Value, Value] = {}
        return (
            self.binders(left.dims, right.dims)
            and left.param_kinds == right.param_kinds
            and left.result_kinds == right.result_kinds
            and self.bind(values, left.params, right.params)
            and (not layouts or self.layouts(left, right))
            and len(left.eqns) == len(right.eqns)
            and all(
                self.equations(values, a, b) for a, b in zip(left.eqns, right.eqns, strict=True)
            )
            and self.atoms(values, left.results, right.results)
        )

    def layouts(self, left: Function, right: Function) -> bool:
        pairs = zip(left.params, right.params, strict=True)
        return all((a.layout or None) == (b.layout or None) for a, b in pairs)

    def binders(self, left: Sequence[Symbol], right: Sequence[Symbol]) -> bool:
        return len(left) == len(right) and all(map(self.binder, left, right))

    def binder(self, left: Symbol, right: Symbol) -> bool:
        if left in self.symbols:
            return self.symbols[left] is right
        if right in self.images or (left.lower, left.upper) != (right.lower, right.upper):
            return False
        self.symbols[left] = right
        self.images.add(right)
        return True

    def bind(
        self, values: dict[Value, Value], left: Sequence[Value], right: Sequence[Value]
    ) -> bool:
        if len(left) != len(right):
            return False
        values.update(zip(left, right, strict=True))
        return all(self.types(a.type, b.type) for a, b in zip(left, right, strict=True))

    def equations(self, values: dict[Value, Value], left: Eqn, right: Eqn) -> bool:
        return (
            self.atoms(values, left.operands, right.operands)
            and self.ops(left.op, right.op)
            and self.bind(values, left.results, right.results)
        )

    def atoms(
        self, values: dict[Value, Value], left: Sequence[Atom], right: Sequence[Atom]
    ) -> bool:
        return len(left) == len(right) and all(
            a == b if isinstance(a, Literal) else isinstance(b, Value) and values.get(a) is b
            for a, b in zip(left, right, strict=True)
        )

    def ops(self, left: Op, right: Op) -> bool:
        if isinstance(left, Elementwise) or not dataclasses.is_dataclass(left):
            return left == right
        if type(left) is not type(right):
            return False
        labels = self.labels
        if isinstance(left, Recursion) and isinstance(right, Recursion):
            self.labels = {**labels, left.label: right.label}
        if isinstance(left, Recur) and isinstance(right, Recur):
            same_label = labels.get(left.label, left.label) == right.label
            if not same_label:
                return False
        # Regions first: their dims are what other attributes mention.
        same = all(
            self.functions(a, b, not isinstance(left, Fused))
            for a, b in zip(left.regions, right.regions, strict=False)
        ) and all(
            self.attributes(getattr(left, f.name), getattr(right, f.name))
            for f in dataclasses.fields(left)
            if not (f.name == "label" and isinstance(left, Recur | Recursion))
        )
        self.labels = labels
        return same

    def attributes(self, left: Any, right: Any) -> bool:
        if isinstance(left, Function):
            return isinstance(right, Function)  # compared as a region
        if isinstance(left, Symbol):
            return isinstance(right, Symbol) and self.binder(left, right)
        if isinstance(left, Dim):
            return isinstance(right, Dim) and self.sizes(left, right)
        if isinstance(left, ArrayType):
            return isinstance(right, ArrayType) and self.types(left, right)
        if type(left) is not type(right):
            return False
        if isinstance(left, tuple):
            return len(left) == len(right) and all(map(self.attributes, left, right))
        if isinstance(left, slice):
            parts = ("start", "stop", "step")
            return all(self.attributes(getattr(left, p), getattr(right, p)) for p in parts)
        if isinstance(left, float):
            return repr(left) == repr(right)  # nan is nan, and -0.0 is not 0.0
        if dataclasses.is_dataclass(left) and not isinstance(left, type):
            names = [f.name for f in dataclasses.fields(left)]
            return all(self.attributes(getattr(left, n), getattr(right, n)) for n in names)
        return bool(cast(Any, left) == right)

    def types(self, left: ArrayType, right: ArrayType) -> bool:
        return (
            left.dtype == right.dtype
            and left.ndim == right.ndim
            and all(map(self.sizes, left.shape, right.shape))
        )

    def sizes(self, left: Size, right: Size) -> bool:
        renamed: dict[Symbol, Size] = {a: Dim.of(b) for a, b in self.symbols.items()}
        return substitute(left, renamed) == right
