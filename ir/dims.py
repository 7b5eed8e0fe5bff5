"""Sizes of axes: integers, or integer expressions over symbols bound at run time.

A dim is an `int` or a `Dim`, a canonical sum of integer multiples of atoms. An atom is a `Symbol`
(a loop index or a size known only when the program runs) or a `Compound` (a floor division,
remainder, minimum or maximum, kept opaque). Two dims are equal exactly when their canonical forms
are.
"""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .errors import ConcretizationError

_numbers = itertools.count()


@dataclass(frozen=True, eq=False)
class Symbol:
    """A size or loop index that a function binds, told apart by identity; `name` is for print.

    `least` and `greatest` are limits that mention symbols bound before it, as the index of
    `range(i)` has.
    """

    name: str
    lower: int | None = 0
    upper: int | None = None
    number: int = field(default_factory=lambda: next(_numbers))
    least: Size | None = None
    greatest: Size | None = None

    @staticmethod
    def between(name: str, least: Size | None, greatest: Size | None) -> Symbol:
        """Return a symbol with limits that may be symbolic; None: it is unbounded there."""
        lower = None if least is None else bounds(least)[0]
        upper = None if greatest is None else bounds(greatest)[1]
        if lower is not None and upper is not None and upper < lower:
            upper = lower  # of an empty range nothing is asked
        return Symbol(
            name,
            lower,
            upper,
            least=least if isinstance(least, Dim) else None,
            greatest=greatest if isinstance(greatest, Dim) else None,
        )

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Compound:
    """An opaque atom: `operator` is one of `//`, `%`, `*`, `min`, `max`."""

    operator: str
    operands: tuple[Size, ...]

    def __str__(self) -> str:
        if self.operator in ("min", "max"):
            return f"{self.operator}({', '.join(map(str, self.operands))})"
        left, right = (f"({d})" if isinstance(d, Dim) else str(d) for d in self.operands)
        return f"{left} {self.operator} {right}"


Atom: TypeAlias = Symbol | Compound


def _order(atom: Atom) -> tuple[int, int, str]:
    return (0, atom.number, "") if isinstance(atom, Symbol) else (1, 0, _key(atom))


def _key(part: Atom | Size) -> str:
    """Return a text that tells symbols of one name apart; it orders atoms."""
    if isinstance(part, Symbol):
        return f"{part.number:012d}"
    if isinstance(part, Compound):
        return f"{part.operator}({','.join(map(_key, part.operands))})"
    if isinstance(part, Dim):
        terms = [f"{_key(atom)}*{coefficient}" for atom, coefficient in part.terms]
        return "+".join([*terms, str(part.constant)])
    return str(part)


class Dim:
    """An integer expression in canonical form: `constant + sum(coefficient * atom)`."""

    __slots__ = ("_hash", "constant", "terms")

    def __init__(self, terms: tuple[tuple[Atom, int], ...], constant: int) -> None:
        self.terms = terms
        self.constant = constant
        self._hash = hash((terms, constant))

    @staticmethod
    def of(symbol: Atom) -> Dim:
        """Return the dim that is `symbol` itself."""
        return Dim(((symbol, 1),), 0)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Dim):
            return False
        return self.terms == other.terms and self.constant == other.constant

    def __hash__(self) -> int:
        return self._hash

    def __bool__(self) -> bool:
        low, high = bounds(self)
        if (low is not None and low > 0) or (high is not None and high < 0):
            return True
        raise self._unknown()

    def __index__(self) -> int:
        raise self._unknown()

    def _unknown(self) -> ConcretizationError:
        return ConcretizationError(
            f"this needs the size {self} as a Python int, but it is known only when the program "
            "runs"
        )

    def _is_less(self, other: Size, strictly: bool) -> bool:
        low, high = bounds(self - other)
        if high is not None and (high < 0 or (high == 0 and not strictly)):
            return True
        if low is not None and (low > 0 or (low == 0 and strictly)):
            return False
        raise self._unknown()

    def __lt__(self, other: Size) -> bool:
        return self._is_less(other, True)

    def __le__(self, other: Size) -> bool:
        return self._is_less(other, False)

    def __gt__(self, other: Size) -> bool:
        return not self._is_less(other, False)

    def __ge__(self, other: Size) -> bool:
        return not self._is_less(other, True)

    def __add__(self, other: Size) -> Size:
        other = self._size(other)
        return other if other is NotImplemented else _combine(self, other, 1)

    __radd__ = __add__

    def __sub__(self, other: Size) -> Size:
        other = self._size(other)
        return other if other is NotImplemented else _combine(self, other, -1)

    def __rsub__(self, other: Size) -> Size:
        other = self._size(other)
        return other if other is NotImplemented else other + self * -1

    def __mul__(self, other: Size) -> Size:
        other = self._size(other)
        if other is NotImplemented:
            return NotImplemented
        if isinstance(other, Dim):
            return _product(self, other)
        if other == 0:
            return 0
        return Dim(tuple((a, c * other) for a, c in self.terms), self.constant * other)

    __rmul__ = __mul__

    def __floordiv__(self, other: Size) -> Size:
        other = self._size(other)
        if isinstance(other, int) and other != 0:
            factors = (self.constant, *(c for _, c in self.terms))
            if all(c % other == 0 for c in factors):
                return Dim(tuple((a, c // other) for a, c in self.terms), self.constant // other)
        return other if other is NotImplemented else Dim.of(Compound("//", (self, other)))

    def __rfloordiv__(self, other: int) -> Size:
        size = self._size(other)
        return size if size is NotImplemented else Dim.of(Compound("//", (size, self)))

    def __mod__(self, other: Size) -> Size:
        other = self._size(other)
        if isinstance(other, int) and other != 0 and all(c % other == 0 for _, c in self.terms):
            return self.constant % other
        return other if other is NotImplemented else Dim.of(Compound("%", (self, other)))

    def __rmod__(self, other: int) -> Size:
        size = self._size(other)
        return size if size is NotImplemented else Dim.of(Compound("%", (size, self)))

    def __truediv__(self, other: Any) -> Any:
        return self._size(other) if not isinstance(other, int | Dim) else self._refuse()

    __rtruediv__ = __truediv__

    def _size(self, other: Any) -> Any:
        """Return what arithmetic on sizes takes; traced numbers have operators of their own.

        Raises
        ------
        ConcretizationError
            For a number that is no integer: it would need the size itself.
        """
        if isinstance(other, int | Dim):
            return other
        if isinstance(other, numbers.Integral):
            return int(other)
        return self._refuse() if isinstance(other, numbers.Number) else NotImplemented

    def _refuse(self) -> Any:
        raise self._unknown()

    def __neg__(self) -> Size:
        return self * -1

    def __str__(self) -> str:
        parts: list[str] = []
        for atom, coefficient in self.terms:
            text = str(atom)
            if isinstance(atom, Compound) and atom.operator in ("//", "%", "*"):
                text = f"({text})"
            sign = "-" if coefficient < 0 else "+"
            scaled = text if abs(coefficient) == 1 else f"{abs(coefficient)} * {text}"
            parts += [sign, scaled]
        if self.constant:
            parts += ["-" if self.constant < 0 else "+", str(abs(self.constant))]
        head = parts[1] if parts[0] == "+" else f"-{parts[1]}"
        return " ".join([head, *parts[2:]])

    __repr__ = __str__


Size: TypeAlias = int | Dim


def _combine(left: Dim, right: Size, sign: int) -> Size:
    if isinstance(right, int):
        return Dim(left.terms, left.constant + sign * right)
    sums = dict(left.terms)
    for atom, coefficient in right.terms:
        sums[atom] = sums.get(atom, 0) + sign * coefficient
    terms = tuple(sorted(((a, c) for a, c in sums.items() if c), key=lambda t: _order(t[0])))
    constant = left.constant + sign * right.constant
    return Dim(terms, constant) if terms else constant


def _product(left: Dim, right: Dim) -> Size:
    """Return the product as a sum of products of atoms, these in one order."""
    total: Size = left * right.constant + right * left.constant - left.constant * right.constant
    for a, c in left.terms:
        for b, d in right.terms:
            first, *rest = sorted([*_factors(a), *_factors(b)], key=_order)
            product = Dim.of(first)
            for atom in rest:
                product = Dim.of(Compound("*", (product, Dim.of(atom))))
            total = total + product * (c * d)
    return total


def _factors(atom: Atom) -> list[Atom]:
    if isinstance(atom, Symbol) or atom.operator != "*":
        return [atom]
    return [f for d in atom.operands if isinstance(d, Dim) for f in _factors(d.terms[0][0])]


def minimum(left: Size, right: Size) -> Size:
    """Return the smaller of two dims, decided by their bounds where possible."""
    return _extreme("min", left, right)


def maximum(left: Size, right: Size) -> Size:
    """Return the larger of two dims, decided by their bounds where possible."""
    return _extreme("max", left, right)


def _extreme(operator: str, left: Size, right: Size) -> Size:
    low, high = bounds(left - right)
    if high is not None and high <= 0:
        return left if operator == "min" else right
    if low is not None and low >= 0:
        return right if operator == "min" else left
    if operator == "max" and right == 0 and isinstance(left, Dim):
        return _positive_part(left)
    return Dim.of(Compound(operator, (left, right)))


def _positive_part(dim: Dim) -> Size:
    """Return `max(dim, 0)`; of `dim` and `-dim` only the one with a positive first term is used."""
    if dim.terms[0][1] > 0:
        return Dim.of(Compound("max", (dim, 0)))
    return Dim.of(Compound("max", (-dim, 0))) + dim


def clipped(dim: Size, size: Size) -> Size:
    """Return the smaller of `dim` and `size`, so that `size - clipped(dim, size)` cancels."""
    return size - maximum(size - dim, 0)


Limits: TypeAlias = Mapping[Symbol, tuple[int | None, int | None]]


def bounds(dim: Size) -> tuple[int | None, int | None]:
    """Return the least and greatest value that `dim` can take; None where unbounded."""
    if isinstance(dim, int):
        return dim, dim
    parts = [a for a, _ in dim.terms if isinstance(a, Compound) and a.operands[1:] == (0,)]
    parts = [a for a in parts if a.operator == "max"]
    if not parts or len(dim.terms) == 1:
        return _bounds(dim)
    # Either the part in `max(part, 0)` is not negative or it is not positive: the union of both.
    inner = parts[0].operands[0]
    coefficient = dict(dim.terms)[parts[0]]
    rest = dim - Dim(((parts[0], coefficient),), 0)
    above, below = rest + inner * coefficient, rest
    low, high = _union(_limited(above, inner, True), _limited(below, inner, False))
    least, greatest = _bounds(dim)
    low = least if low is None else low if least is None else max(low, least)
    high = greatest if high is None else high if greatest is None else min(high, greatest)
    return low, high


def _union(
    left: tuple[int | None, int | None], right: tuple[int | None, int | None]
) -> tuple[int | None, int | None]:
    low = None if left[0] is None or right[0] is None else min(left[0], right[0])
    high = None if left[1] is None or right[1] is None else max(left[1], right[1])
    return low, high


def _limited(dim: Size, inner: Size, is_above: bool) -> tuple[int | None, int | None]:
    """Return the bounds of a dim where `inner`, if it is a symbol and a constant, has a sign."""
    if not isinstance(inner, Dim) or len(inner.terms) != 1:
        return bounds(dim)
    ((symbol, coefficient),) = inner.terms
    if not isinstance(symbol, Symbol) or coefficient != 1:
        return bounds(dim)
    lower, upper, pivot = symbol.lower, symbol.upper, -inner.constant
    if is_above:
        lower = pivot if lower is None else max(lower, pivot)
        lower = lower if upper is None else min(lower, upper)
    else:
        upper = pivot if upper is None else min(upper, pivot)
        upper = upper if lower is None else max(upper, lower)
    narrow = Symbol(symbol.name, lower, upper, symbol.number, symbol.least, symbol.greatest)
    return bounds(substitute(dim, {symbol: Dim.of(narrow)}))


def _bounds(dim: Dim) -> tuple[int | None, int | None]:
    low, high = _numeric_bounds(dim)
    if any(
        isinstance(a, Symbol) and (a.least is not None or a.greatest is not None)
        for a, _ in dim.terms
    ):
        least, greatest = _eliminated(dim, -1), _eliminated(dim, 1)
        low = least if low is None else low if least is None else max(low, least)
        high = greatest if high is None else high if greatest is None else min(high, greatest)
    return low, high


def _eliminated(dim: Size, sign: int) -> int | None:
    """Return a bound of `dim` (the greatest value where `sign` is 1), the newest symbol first.

    A symbol is replaced by its own limit, which may cancel with older ones: `i - j` is positive
    for `j` in `range(i)`.
    """
    while isinstance(dim, Dim):
        limited = [
            t for t in dim.terms if isinstance(t[0], Symbol) and _limit(*t, sign) is not None
        ]
        if not limited:
            return _numeric_bounds(dim)[(sign + 1) // 2]
        symbol, coefficient = max(limited, key=lambda t: _order(t[0]))
        limit = _limit(symbol, coefficient, sign)
        assert limit is not None
        dim = dim - Dim(((symbol, coefficient),), 0) + limit * coefficient
    return dim


def _limit(atom: Atom, coefficient: int, sign: int) -> Size | None:
    assert isinstance(atom, Symbol)
    return atom.greatest if coefficient * sign > 0 else atom.least


def _numeric_bounds(dim: Dim) -> tuple[int | None, int | None]:
    low: int | None = dim.constant
    high: int | None = dim.constant
    for atom, coefficient in dim.terms:
        lower, upper = _atom_bounds(atom)
        if coefficient < 0:
            lower, upper = upper, lower
        low = None if low is None or lower is None else low + coefficient * lower
        high = None if high is None or upper is None else high + coefficient * upper
    return low, high


def _atom_bounds(atom: Atom) -> tuple[int | None, int | None]:
    if isinstance(atom, Symbol):
        return atom.lower, atom.upper
    left, right = (bounds(d) for d in atom.operands)
    if atom.operator == "min":
        uppers = [b for b in (left[1], right[1]) if b is not None]
        lower = None if left[0] is None or right[0] is None else min(left[0], right[0])
        return lower, min(uppers) if uppers else None
    if atom.operator == "max":
        lowers = [b for b in (left[0], right[0]) if b is not None]
        upper = None if left[1] is None or right[1] is None else max(left[1], right[1])
        return max(lowers) if lowers else None, upper
    if atom.operator == "%" and right[0] is not None and right[0] > 0:
        return 0, None if right[1] is None else right[1] - 1
    nonnegative = all(b[0] is not None and b[0] >= 0 for b in (left, right))
    return (0 if nonnegative else None), None


def symbols(dim: Size) -> set[Symbol]:
    """Return the symbols that `dim` mentions."""
    if isinstance(dim, int):
        return set()
    found: set[Symbol] = set()
    for atom, _ in dim.terms:
        if isinstance(atom, Symbol):
            found.add(atom)
        else:
            for operand in atom.operands:
                found |= symbols(operand)
    return found


def substitute(dim: Size, binding: Mapping[Symbol, Size]) -> Size:
    """Return `dim` with the symbols of `binding` replaced; an int if nothing symbolic is left."""
    if isinstance(dim, int):
        return dim
    total: Size = dim.constant
    for atom, coefficient in dim.terms:
        total = total + _substitute_atom(atom, binding) * coefficient
    return total


def typical(dim: Size) -> int:
    """Return a size that a dim may have; strides of arrays with unknown sizes are told by it."""
    if isinstance(dim, int):
        return dim
    found = substitute(dim, {s: _typical(s) for s in symbols(dim)})
    assert isinstance(found, int)
    return max(found, 0)


def _typical(symbol: Symbol) -> int:
    middle = 5 if symbol.upper is None else min(5, symbol.upper)
    return middle if symbol.lower is None else max(symbol.lower, middle)


def _substitute_atom(atom: Atom, binding: Mapping[Symbol, Size]) -> Size:
    if isinstance(atom, Symbol):
        return binding[atom] if atom in binding else Dim.of(atom)
    left, right = (substitute(d, binding) for d in atom.operands)
    if atom.operator == "//":
        return left // right
    if atom.operator == "%":
        return left % right
    if atom.operator == "*":
        return left * right
    return _extreme(atom.operator, left, right)
