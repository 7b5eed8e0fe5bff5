"""Rewrite rules: a pattern and its replacement, both plain NumPy functions.

A rule is traced lazily, by dispatch alone, and found by the op at its root. Parameters whose name
starts with `c` match scalar literals only; the others match any value. Addition and multiplication
match in either order.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.builder import Builder
from ..ir.core import Atom, Eqn, Literal, Value
from ..ir.op import Op
from ..ir.ops.elementwise import add, multiply
from ..ir.types import ArrayType, Kind
from ..tracer.array import wrap
from ..tracer.state import Trace


class Class(enum.IntEnum):
    """How far a rule may change a result; see ARCHITECTURE.md.

    EXACT gives the same bits for every input, REASSOCIATE differs by rounding, STABLE where NumPy
    over- or underflows, FINITE at inf, nan and -0.
    """

    EXACT = 0
    REASSOCIATE = 1
    STABLE = 2
    FINITE = 3


class Rule:
    """One rewrite."""

    def __init__(
        self,
        pattern: Callable[..., Any],
        replacement: Callable[..., Any],
        kind: Class,
        real: bool = False,
    ) -> None:
        self.pattern = pattern
        self.replacement = replacement
        self.kind = kind
        self.real = real
        self.names = list(inspect.signature(pattern).parameters)
        self._template: tuple[list[Eqn], list[Value]] | None = None
        self._made: dict[Value, Eqn] = {}
        self._constants: frozenset[Value] = frozenset()
        self.inner: frozenset[Op] = frozenset()
        self.literal = False
        self._number: Literal | None = None
        self.same = False

    @property
    def template(self) -> tuple[list[Eqn], list[Value]]:
        """The pattern's equations and parameters."""
        if self._template is None:
            builder = Builder()
            scalar = ArrayType(np.dtype(float), ())
            with Trace(builder, None) as trace:
                params = [builder.param(Value(scalar, n)) for n in self.names]
                self.pattern(*[wrap(p, Kind.ARRAY, trace) for p in params])
            self._template = builder.eqns, params
            self._made = {eqn.result: eqn for eqn in builder.eqns}
            operands = builder.eqns[-1].operands
            self.inner = frozenset(
                self._made[a].op for a in operands if isinstance(a, Value) and a in self._made
            )
            numbers = [a for a in operands if isinstance(a, Literal)]
            self._number = numbers[0] if numbers else None
            self._constants = frozenset(p for p in params if (p.hint or "").startswith("c"))
            self.literal = bool(numbers) or any(a in self._constants for a in operands)
            self.same = len(operands) == 2 and operands[0] is operands[1]
        return self._template

    @property
    def root(self) -> Op:
        """The op of the pattern's last equation."""
        return self.template[0][-1].op

    def may_have(self, numbers: Sequence[Literal]) -> bool:
        """Whether scalar literals among operands may be those of the pattern: a quick no."""
        if not self.literal:
            return True
        number = self._number
        return bool(numbers) if number is None else any(_equal(number, a) for a in numbers)

    def match(
        self, op: Op, operands: Sequence[Atom], producers: dict[Value, Eqn]
    ) -> list[Atom] | None:
        """Return what the parameters stand for, or None."""
        eqns, params = self.template
        if self.real and "c" in [a.type.dtype.kind for a in operands]:
            return None
        binding: dict[Value, Atom] = {}
        if not self._fit_all(eqns[-1].operands, operands, op, binding, producers):
            return None
        return [binding[p] for p in params]

    # Methods: functions that call each other hold each other, and what they have seen, in a cycle.

    def _fit_all(
        self,
        left: Sequence[Atom],
        right: Sequence[Atom],
        at: Op,
        binding: dict[Value, Atom],
        producers: dict[Value, Eqn],
    ) -> bool:
        """Whether operands of an op are those of the pattern, in either order where it has none."""
        before = dict(binding)
        for order in (right, right[::-1]) if at is add or at is multiply else (right,):
            for pattern, atom in zip(left, order, strict=True):
                if not self._fits(pattern, atom, binding, producers):
                    break
            else:
                return True
            binding.clear()
            binding.update(before)
        return False

    def _fits(
        self,
        pattern: Atom,
        atom: Atom,
        binding: dict[Value, Atom],
        producers: dict[Value, Eqn],
    ) -> bool:
        """Whether an operand is what the pattern has in its place; `binding` says what it binds."""
        if isinstance(pattern, Literal):
            return isinstance(atom, Literal) and atom.is_scalar and _equal(pattern, atom)
        inner = self._made.get(pattern)
        if inner is None:
            known = binding.get(pattern)
            if known is not None:
                return known is atom or known == atom
            if pattern in self._constants and not (isinstance(atom, Literal) and atom.is_scalar):
                return False
            binding[pattern] = atom
            return True
        producer = producers.get(atom) if isinstance(atom, Value) else None
        return (
            producer is not None
            and producer.op is inner.op
            and self._fit_all(inner.operands, producer.operands, inner.op, binding, producers)
        )


def candidates(
    rules: Sequence[Rule], operands: Sequence[Atom], producers: dict[Value, Eqn]
) -> list[Rule]:
    """Return the rules that may match operands, by what makes these: the others surely do not."""
    if not rules:
        return []
    numbers = [a for a in operands if isinstance(a, Literal) and a.is_scalar]
    is_same = len(operands) == 2 and operands[0] == operands[1]
    makers = [producers[a] for a in operands if a in producers]  # type: ignore[index]
    inner = {maker.op for maker in makers}
    return [
        known
        for known in rules
        if (is_same or not known.same) and known.inner <= inner and known.may_have(numbers)
    ]


def _equal(pattern: Literal, atom: Literal) -> bool:
    """Whether two scalar literals are the same number, sign of zero included."""
    a, b = pattern.value, atom.value
    return bool(a == b) and bool(np.signbit(np.real(a)) == np.signbit(np.real(b)))


def rule(
    pattern: Callable[..., Any],
    replacement: Callable[..., Any],
    kind: Class = Class.EXACT,
    *,
    real: bool = False,
) -> Rule:
    """Declare a rule; with `real` not for complex numbers, whose zeros and infs it changes."""
    return Rule(pattern, replacement, kind, real)
