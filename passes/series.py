"""Power series of values: what is known of their coefficients, and operations on these.

Of a value `y(t) = y[0] + y[1] t + y[2] t² + ...` the coefficient of order k is an atom, or None for
a zero. It is computed when it is asked for (`expansion`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from ..ir.builder import Builder
from ..ir.core import Atom, Literal
from ..ir.ops.elementwise import add, multiply
from ..ir.types import ArrayType
from ..ir.zeros import zeros_like


class Series(ABC):
    """The coefficients of a value; see the module's text."""

    type: ArrayType
    is_constant = False
    """Whether all but the first coefficient are zero."""
    is_tail = False
    """Whether the first coefficient is zero."""

    @abstractmethod
    def get(self, order: int) -> Atom | None:
        """Return a coefficient, None for zero."""

    def vanishes(self, order: int) -> bool:
        """Whether a coefficient is known to be zero before it is computed."""
        return order == 0 if self.is_tail else (self.is_constant and order > 0)

    def first(self, builder: Builder) -> Atom:
        """Return the coefficient of order 0, zeros too."""
        found = self.get(0)
        return zeros_like(builder, self.type) if found is None else found


class Given(Series):
    """Coefficients that are there."""

    def __init__(self, coefficients: Sequence[Atom | None]) -> None:
        first = coefficients[0]
        assert first is not None
        self.type = first.type
        self.coefficients = tuple(coefficients)
        self.is_constant = all(c is None for c in coefficients[1:])

    def get(self, order: int) -> Atom | None:
        return self.coefficients[order] if order < len(self.coefficients) else None


class Slope(Series):
    """The derivative of a series."""

    def __init__(self, of: Series, builder: Builder) -> None:
        self.type = of.type
        self.of = of
        self.builder = builder

    def get(self, order: int) -> Atom | None:
        return scaled(self.builder, self.of.get(order + 1), order + 1)


class Tail(Series):
    """A series without its first coefficient."""

    is_tail = True

    def __init__(self, of: Series) -> None:
        self.type = of.type
        self.of = of

    def get(self, order: int) -> Atom | None:
        return self.of.get(order) if order else None


def summed(builder: Builder, total: Atom | None, part: Atom) -> Atom:
    """Return a sum, where None is zero."""
    return part if total is None else builder.one(add, total, part)


def scaled(builder: Builder, atom: Atom | None, factor: int | float) -> Atom | None:
    """Return the product of a coefficient and a number."""
    if atom is None or factor == 1:
        return atom
    return builder.one(multiply, atom, Literal(atom.type.dtype.type(factor)))


__all__ = ["Given", "Series", "Slope", "Tail", "scaled", "summed"]
