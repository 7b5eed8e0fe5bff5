"""Sums of cotangents that are zero because their terms cancel: no gradient through a shift.

A softmax or logsumexp is often written with its maximum subtracted, which changes nothing; the
cotangent of the maximum is a sum over a row that cancels. So does the sum of what has its mean
subtracted. The sum is expanded into products of values that are not taken apart, and sums of such
products; where the coefficients of equal products add up to nothing, it is 0.0.

Before, `c` being the gradient with respect to a shift of `x`::

    def f(x: f64[4, 3]) -> f64[4]:
        m : f64[4, 1] = sum(x, axes=(-1,), keepdims=True)
        a : f64[4, 1] = m / 3.0
        b : f64[4, 3] = x - a
        c : f64[4] = sum(b, axes=(-1,))
        return c

After::

    def f(x: f64[4, 3]) -> f64[4]:
        c : f64[4] = broadcast_to(0.0, shape=(4,), rank=0)
        return c
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.builder import Builder
from ..ir.core import Atom, Literal, Value
from ..ir.ops.elementwise import add, divide, multiply, negative, square, subtract
from ..ir.ops.index import IndexAdd
from ..ir.ops.reduce import Sum
from ..ir.ops.shape import Full, Reshape
from .facts import made, unspread
from .scatter import scattered_sum

_MOST_TERMS = 24
_DEEPEST = 14

Place = tuple[Any, ...]
"""For each axis of a value the axis of the whole that it lies along; None where its size is 1."""
Factor = tuple[Any, ...]
"""What is not taken apart, with its place: a value, what is scattered, or a sum of a product."""
Term = frozenset[tuple[Factor, int]]
"""Factors with their powers."""
Terms = dict[Term, float]
_ONE: Term = frozenset()


class _Unknown(Exception):
    """There are too many terms, or sizes that only the run knows."""


def cancels(builder: Builder, op: Sum, x: Atom) -> bool:
    """Whether a sum is zero whatever its values are."""
    if made(builder, x) is None or not x.type.is_static or x.type.dtype.kind != "f":
        return False
    place = tuple(range(-x.type.ndim, 0))
    try:
        expansion = _Expansion(builder)
        terms = expansion.terms(x, place, 0)
        if len(terms) < 2:
            return False
        sizes = {a: int(x.type.shape[a]) for a in sorted(op.axes)}
        total = expansion.total(terms, sizes)
        # Rounding is judged by what met in each product, not by other ones that are larger.
        most = expansion.total({t: abs(c) for t, c in terms.items()}, sizes)
    except _Unknown:
        return False
    eps = 16 * float(np.finfo(x.type.dtype).eps)
    return all(abs(c) <= eps * most.get(t, 0.0) for t, c in total.items())


def remaining(builder: Builder, op: Sum, x: Atom) -> Atom | None:
    """Return the term of a sum or difference whose sum is left, where that of the other is zero.

    With a minus where it was subtracted; None where neither is zero.
    """
    eqn = made(builder, x)
    if eqn is None or (eqn.op is not add and eqn.op is not subtract):
        return None
    left, right = eqn.operands
    if left.type == x.type and right.type == x.type:
        if cancels(builder, op, right):
            return left
        if cancels(builder, op, left):
            return right if eqn.op is add else builder.one(negative, right)
    return None


class _Expansion:
    def __init__(self, builder: Builder) -> None:
        self.builder = builder

    def terms(self, atom: Atom, place: Place, depth: int) -> Terms:
        """Return a value as a sum of products."""
        if isinstance(atom, Literal):
            if atom.type.size != 1:
                return {frozenset({(("literal", atom, place), 1)}): 1.0}
            value = float(np.asarray(atom.value).reshape(()))
            return {_ONE: value} if value else {}
        found = self._inside(atom, place, depth) if depth < _DEEPEST else None
        if found is None:
            return {frozenset({(self._factor("value", atom, place), 1)}): 1.0}
        if len(found) > _MOST_TERMS:
            raise _Unknown
        return found

    def _factor(self, kind: str, atom: Atom, place: Place) -> Factor:
        shape = atom.type.shape
        return (
            kind,
            atom,
            tuple([None if n == 1 else p for n, p in zip(shape, place, strict=True)]),
        )

    def _inside(self, atom: Value, place: Place, depth: int) -> Terms | None:
        eqn = made(self.builder, atom)
        if eqn is None:
            return None
        op = eqn.op
        if op in (add, subtract, multiply, divide, negative, square):
            parts = [
                self.terms(a, place[len(place) - a.type.ndim :], depth + 1) for a in eqn.operands
            ]
            if op is negative:
                return _scaled(parts[0], -1.0)
            if op is add or op is subtract:
                return _plus(parts[0], _scaled(parts[1], 1.0 if op is add else -1.0))
            if op is multiply or op is square:
                return _times(parts[0], parts[-1])
            inverse = _inverse(parts[1])
            return None if inverse is None else _times(parts[0], inverse)
        source = unspread(eqn)
        if source is not None:
            return self.terms(source, place[len(place) - source.type.ndim :], depth + 1)
        if isinstance(op, Full):
            return self.terms(eqn.operands[0], (), depth + 1)
        if isinstance(op, Reshape):
            (source,) = eqn.operands
            own = [p for p, n in zip(place, atom.type.shape, strict=True) if n != 1]
            if [n for n in source.type.shape if n != 1] != [n for n in atom.type.shape if n != 1]:
                return None
            rest = iter(own)
            inner = tuple([None if n == 1 else next(rest) for n in source.type.shape])
            return self.terms(source, inner, depth + 1)
        if isinstance(op, IndexAdd):
            added = ("added", op, eqn.operands[1:], atom.type, place)
            base = self.terms(eqn.operands[0], place, depth + 1)
            return _plus(base, {frozenset({(added, 1)}): 1.0})
        if isinstance(op, Sum):
            return self._sum(op, eqn.operands[0], place, depth)
        return None

    def _sum(self, op: Sum, x: Atom, place: Place, depth: int) -> Terms | None:
        if not x.type.is_static:
            raise _Unknown
        ndim = x.type.ndim
        summed = {a + ndim for a in sorted(op.axes)}
        rest = iter(place)
        inner: list[Any] = []
        sizes: dict[Any, int] = {}
        for k, size in enumerate(x.type.shape):
            if k in summed:
                if op.keepdims:
                    next(rest)
                label = ("summed", depth, k)
                sizes[label] = int(size)
                inner.append(label)
            else:
                inner.append(next(rest))
        return self.total(self.terms(x, tuple(inner), depth + 1), sizes)

    def total(self, terms: Terms, sizes: dict[Any, int]) -> Terms:
        """Return the sum of terms along some axes of the whole."""
        found: Terms = {}
        for term, coefficient in terms.items():
            touching = {f: n for f, n in term if _axes(f) & sizes.keys()}
            touched = set().union(*[_axes(f) for f in touching]) & sizes.keys()
            scale = coefficient
            for label, size in sizes.items():
                scale *= 1 if label in touched else size
            kept = frozenset((f, n) for f, n in term if f not in touching)
            rows = self._rows(touching, sizes) if len(touching) == 1 else None
            if rows is not None:
                found = _plus(found, _scaled(_times(rows, {kept: 1.0}), scale))
                continue
            if touching:
                names = {a: ("bound", k) for k, a in enumerate([a for a in sizes if a in touched])}
                if any(f[0] == "sum" for f in touching):
                    raise _Unknown
                inner = frozenset((_renamed(f, names), n) for f, n in touching.items())
                free = frozenset().union(*[_axes(f) for f in touching]) - touched
                count = tuple([sizes[a] for a in names])
                kept = _joined(kept, frozenset({(("sum", inner, count, free), 1)}))
            found = _plus(found, {kept: scale})
        return found

    def _rows(self, touching: dict[Factor, int], sizes: dict[Any, int]) -> Terms | None:
        """Return the sum of what is scattered, where it is known without the zeros around it."""
        ((factor, power),) = touching.items()
        if factor[0] != "added" or power != 1:
            return None
        _, op, operands, whole, place = factor
        axes = tuple([k - len(place) for k, p in enumerate(place) if p in sizes])
        rows = scattered_sum(self.builder, op, operands, axes, whole)
        if rows is None:
            return None
        return self.terms(rows, tuple([p for p in place if p not in sizes]), _DEEPEST - 4)


def _axes(factor: Factor) -> frozenset[Any]:
    """Return the axes of the whole along which a factor varies."""
    if factor[0] == "sum":
        return factor[3]  # type: ignore[no-any-return]
    return frozenset(p for p in factor[-1] if p is not None)


def _renamed(factor: Factor, names: dict[Any, Any]) -> Factor:
    return (*factor[:-1], tuple([names.get(p, p) for p in factor[-1]]))


def _plus(a: Terms, b: Terms) -> Terms:
    found = dict(a)
    for term, coefficient in b.items():
        total = found.get(term, 0.0) + coefficient
        if total:
            found[term] = total
        else:
            found.pop(term, None)
    return found


def _scaled(terms: Terms, factor: float) -> Terms:
    return {t: c * factor for t, c in terms.items()}


def _joined(a: Term, b: Term) -> Term:
    powers = dict(a)
    for factor, power in b:
        powers[factor] = powers.get(factor, 0) + power
    return frozenset((f, n) for f, n in powers.items() if n)


def _times(a: Terms, b: Terms) -> Terms:
    if len(a) * len(b) > _MOST_TERMS:
        raise _Unknown
    found: Terms = {}
    for t, c in a.items():
        for u, d in b.items():
            found = _plus(found, {_joined(t, u): c * d})
    return found


def _inverse(terms: Terms) -> Terms | None:
    """Return the reciprocal of a single product."""
    if len(terms) != 1:
        return None
    ((term, coefficient),) = terms.items()
    return {frozenset((f, -n) for f, n in term): 1.0 / coefficient}


__all__ = ["cancels", "remaining"]
