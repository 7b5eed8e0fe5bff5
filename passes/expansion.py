"""Equations of power series: each coefficient of the results, of those of the operands.

What is needed of an op is its gradient rule alone (`forms`). The coefficients of a result y follow
in one of four ways:

* linear: the tangents do not depend on the values, so each coefficient is mapped as a tangent is;
* products, where the tangent of each operand does not depend on that operand: the sums
  `y[k] = a[0] b[k] + ... + a[k] b[0]`;
* quotients: `y' = op(b, r)` with r free of b, as of `b y = a` (a division, a linear system): then
  `op(b[0], a[k] - b[1] y[k-1] - ... - b[k] y[0])`;
* anything else: `y' = J(u, y) u'`. The equations of J have series themselves, and the coefficient
  k - 1 of y' needs no more of y than its first k coefficients.

Equal equations of equal series are one, so that the series of `sin(u)`, which needs `cos(u)`, which
needs `sin(u)`, close upon themselves. To order K an equation takes O(K²) operations, where few
series are needed: powers take O(K³), with series of x**n, x**(n - 1) and so on, and functions of
matrices, whose derivatives take ever more directions, O(2^K).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, TypeVar

import numpy as np

from ..ir.builder import Builder
from ..ir.core import Atom, Eqn, Function, Literal, Value
from ..ir.op import Effect
from ..ir.ops.custom import Custom, WithRule, bound
from ..ir.ops.custom import Rule as CustomRule
from ..ir.ops.elementwise import divide
from .forms import Form, Tangents, form_of
from .reverse import no_rule
from .rule_pairs import tangent_pair
from .series import Given, Series, Slope, Tail, summed

K = TypeVar("K")
T = TypeVar("T")


class Result(Series):
    """One of the results of an equation."""

    def __init__(self, made: Expansion, position: int) -> None:
        self.type = made.eqn.results[position].type
        self.made = made
        self.position = position
        self.is_constant = made.is_constant or not self.type.is_inexact
        self.is_tail = made.is_tail

    def get(self, order: int) -> Atom | None:
        if self.vanishes(order):
            return None
        return self.made.coefficients(order)[self.position]


Coefficients = tuple[Atom | None, ...]


class Expansion:
    """An equation whose operands are series.

    `eqn` has the op and the types; its operands stand for themselves where they are constants.
    """

    def __init__(self, expander: Expander, eqn: Eqn, operands: Sequence[Series]) -> None:
        self.expander = expander
        self.builder = expander.builder
        self.op = eqn.op
        self.operands = tuple(operands)
        self.eqn = Eqn(eqn.op, tuple([_known(s) for s in operands]), eqn.results, eqn.provenance)
        self.active = tuple([not s.is_constant and s.type.is_inexact for s in operands])
        flows = eqn.op.has_gradient or isinstance(eqn.op, Custom)
        self.is_constant = not flows or True not in self.active
        self.is_tail = any(s.is_tail for s in operands)
        self.results = tuple([Result(self, k) for k in range(len(eqn.results))])
        self.known: list[Coefficients] = []
        self.rule: Rule | None = None

    @property
    def nothing(self) -> Coefficients:
        """No coefficient for any result."""
        return (None,) * len(self.results)

    def coefficients(self, order: int) -> Coefficients:
        """Return the coefficients of the results."""
        while len(self.known) <= order:
            known = len(self.known)
            if known:
                self.rule = self.rule or self._rule()
                found = self.rule.coefficients(known)
            elif self.is_tail:
                found = self.nothing
            else:
                found = self.builder.emit(self.op, [s.first(self.builder) for s in self.operands])
            self.known.append(found)
        return self.known[order]

    def _rule(self) -> Rule:
        if isinstance(self.op, Custom) and self.op.rule is not None and not self.is_constant:
            forward = stated(self.op, self.op.rule)
            scope = dict(zip(forward.params, self.operands, strict=True))
            made = self.expander.series_of(forward.eqns, forward.results, scope)
            return Ruled(self, self.op, self.op.rule, made)
        try:
            form = form_of(self.eqn, self.active)
        except NotImplementedError as error:
            raise no_rule(self.op, self.builder.provenance, str(error)) from error
        if form is not Form.CURVE:
            return _RULES[form](self)
        return quotient_of(self) or Curve(self)


def _known(series: Series) -> Atom:
    """Return a constant, or a value of the type."""
    if isinstance(series, Given) and series.is_constant:
        atom = series.coefficients[0]
        if isinstance(atom, Literal):
            return atom
    return Value(series.type)


class Rule:
    """How coefficients of order 1 and more are computed; by itself: all are zero."""

    def __init__(self, of: Expansion) -> None:
        self.of = of

    def coefficients(self, order: int) -> Coefficients:
        """Return the coefficients of the results."""
        return self.of.nothing


class Linear(Rule):
    """Each coefficient is mapped as a tangent is."""

    def coefficients(self, order: int) -> Coefficients:
        of = self.of
        parts = [
            s.get(order) if is_active and not s.vanishes(order) else None
            for s, is_active in zip(of.operands, of.active, strict=True)
        ]
        chosen = tuple([p is not None for p in parts])
        if True not in chosen:
            return of.nothing
        made = Tangents(of.eqn, chosen)
        scope: dict[Atom, Atom] = {}
        for k, part in enumerate(parts):
            if not of.active[k]:
                scope[made.operands[k]] = of.operands[k].first(of.builder)
            tangent = made.tangents[k]
            if tangent is not None and part is not None:
                scope[tangent] = part
        for eqn in made.function.eqns:
            results = of.builder.emit(eqn.op, [scope.get(a, a) for a in eqn.operands])
            scope.update(zip(eqn.results, results, strict=True))
        return tuple([None if o is None else scope.get(o, o) for o in made.outs])


class Product(Rule):
    """The sum of the products whose orders sum up to the order."""

    def coefficients(self, order: int) -> Coefficients:
        of, builder = self.of, self.of.builder
        varying = sum(of.active)
        total: Atom | None = None
        for head in product(range(order + 1), repeat=varying - 1):
            if sum(head) > order:
                continue
            orders = iter((*head, order - sum(head)))
            taken = [
                (s, next(orders) if is_active else 0)
                for s, is_active in zip(of.operands, of.active, strict=True)
            ]
            if any(s.vanishes(k) for s, k in taken):
                continue
            factors = [s.get(k) for s, k in taken]
            if any(f is None or _is_zero(f) for f in factors):
                continue
            total = summed(builder, total, builder.one(of.op, *[f for f in factors if f]))
        return (total,)


class Curve(Rule):
    """The coefficient before, of the derivative, over the order."""

    def __init__(self, of: Expansion) -> None:
        super().__init__(of)
        expander = of.expander
        slopes = [
            expander.slope(s) if is_active else None
            for s, is_active in zip(of.operands, of.active, strict=True)
        ]
        tangents = Tangents(of.eqn, of.active)
        self.slopes = expander.written(of, tangents, tangents.function.eqns, tangents.outs, slopes)

    def coefficients(self, order: int) -> Coefficients:
        builder = self.of.builder
        found: list[Atom | None] = []
        for slope in self.slopes:
            part = None if slope is None else slope.get(order - 1)
            if part is not None and order > 1:
                part = builder.one(divide, part, Literal(part.type.dtype.type(order)))
            found.append(part)
        return tuple(found)


class Quotient(Rule):
    """The op, on the first denominator and on what the others leave of the numerator."""

    def __init__(self, of: Expansion, numerator: int, remainder: Series) -> None:
        super().__init__(of)
        self.numerator = numerator
        self.remainder = remainder

    def coefficients(self, order: int) -> Coefficients:
        part = self.remainder.get(order)
        if part is None:
            return (None,)
        of, builder = self.of, self.of.builder
        operands = enumerate(of.operands)
        atoms = [part if k == self.numerator else s.first(builder) for k, s in operands]
        return builder.emit(of.op, atoms)


class Ruled(Rule):
    """The derivative of a function with a rule, which may be stated by that function itself.

    `made` are the series of what the rule's forward function returns.
    """

    def __init__(self, of: Expansion, op: Custom, rule: CustomRule, made: Sequence[Series]) -> None:
        super().__init__(of)
        count = len(of.results)
        operands = [*of.results, *made[count:], *of.operands]
        kept = tuple(range(count, len(made)))
        ruled = WithRule(count, kept, op.label, rule, op.dims, is_forward=True)
        values = tuple([Value(s.type) for s in operands])
        eqn = Eqn(ruled, values, of.eqn.results, of.eqn.provenance)
        self.made = Expansion(of.expander, eqn, operands)
        self.made.known.append(of.known[0])

    def coefficients(self, order: int) -> Coefficients:
        return self.made.coefficients(order)


def stated(op: Custom, rule: CustomRule) -> Function:
    """Return the forward function of a rule: it returns the results and what tangents need."""
    return bound(tangent_pair(rule, op.label, len(op.body.results)).forward, op.dims)


_RULES: dict[Form, type[Rule]] = {
    Form.CONSTANT: Rule,
    Form.LINEAR: Linear,
    Form.PRODUCT: Product,
}


def quotient_of(of: Expansion) -> Quotient | None:
    """Return the rule of a quotient: `y' = op(b, r)`, where r depends on a', b' and y, not on b.

    With `op(b, .)` the inverse of B, that is B y' = a' - M(b', y) whatever b' is, so that
    B' y = M(b', y): b enters through a product with y alone.
    """
    whole = Tangents(of.eqn, of.active)
    eqns = whole.function.eqns
    last = eqns[-1] if eqns else None
    if last is None or last.op != of.op or len(last.operands) != len(whole.operands):
        return None
    places = [k for k, a in enumerate(last.operands) if not _is_same(a, whole, of, k)]
    if len(places) != 1 or [*last.results] != whole.outs or len(last.results) != 1:
        return None
    (numerator,) = places
    before, remainder = eqns[:-1], last.operands[numerator]
    read = {a for e in before for a in e.operands} | {remainder}
    if not read.isdisjoint(whole.operands) or not _is_affine(before, whole):
        return None
    parts = [
        None if not is_active else (s if k == numerator else of.expander.tail(s))
        for k, (s, is_active) in enumerate(zip(of.operands, of.active, strict=True))
    ]
    (rest,) = of.expander.written(of, whole, before, [remainder], parts)
    return None if rest is None else Quotient(of, numerator, rest)


def _is_same(atom: Atom, whole: Tangents, of: Expansion, k: int) -> bool:
    """Whether an atom is the operand k itself, or the constant that it is."""
    return atom is whole.operands[k] or atom is of.eqn.operands[k]


def _is_affine(eqns: Sequence[Eqn], whole: Tangents) -> bool:
    """Whether equations are of degree one in the result: linear maps and products with it."""
    degrees: dict[Atom, int] = {whole.results[0]: 1}
    degrees.update((t, 0) for t in whole.tangents if t is not None)
    for eqn in eqns:
        form = form_of(eqn, tuple([a in degrees for a in eqn.operands]))
        if form is Form.CURVE:
            return False
        varying = [degrees[a] for a in eqn.operands if a in degrees]
        if form is not Form.CONSTANT:
            degree = sum(varying) if form is Form.PRODUCT else max(varying)
            degrees.update((r, degree) for r in eqn.results)
    return max(degrees.values()) <= 1


class Expander:
    """Writes equations of series into a builder."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self._expansions: dict[Any, Expansion] = {}
        self._constants: dict[Atom, Series] = {}
        self._slopes: dict[Series, Series] = {}
        self._tails: dict[Series, Series] = {}

    def constant(self, atom: Atom) -> Series:
        """Return the series of what does not vary."""
        return _kept(self._constants, atom, lambda: Given([atom]))

    def slope(self, series: Series) -> Series:
        """Return the derivative of a series."""
        return _kept(self._slopes, series, lambda: Slope(series, self.builder))

    def tail(self, series: Series) -> Series:
        """Return a series without its first coefficient."""
        return _kept(self._tails, series, lambda: Tail(series))

    def expansion(self, eqn: Eqn, operands: Sequence[Series]) -> Expansion:
        """Return an equation of series, which an equal one may be."""
        if isinstance(eqn.op, Custom) and eqn.op.rule is not None:
            # Its body may be a copy: the rule says which function it is.
            ruled = (eqn.op.rule, tuple(operands))
            return _kept(self._expansions, ruled, lambda: Expansion(self, eqn, operands))
        if eqn.op.regions:
            raise no_rule(eqn.op, self.builder.provenance, "there is a region in a gradient rule")
        if eqn.op.effect is Effect.ORDERED or eqn.op.makes_new:
            return Expansion(self, eqn, operands)
        key = (eqn.op, tuple(operands))
        return _kept(self._expansions, key, lambda: Expansion(self, eqn, operands))

    def written(
        self,
        of: Expansion,
        tangents: Tangents,
        eqns: Sequence[Eqn],
        outs: Sequence[Atom | None],
        parts: Sequence[Series | None],
    ) -> list[Series | None]:
        """Return the series of `outs`, which `eqns` make, with `parts` in the place of tangents."""
        scope: dict[Atom, Series] = dict(zip(tangents.operands, of.operands, strict=True))
        scope.update(zip(tangents.results, of.results, strict=True))
        pairs = zip(tangents.tangents, parts, strict=True)
        scope.update({t: s for t, s in pairs if t is not None and s is not None})
        made = iter(self.series_of(eqns, [o for o in outs if o is not None], scope))
        return [None if o is None else next(made) for o in outs]

    def series_of(
        self, eqns: Sequence[Eqn], outs: Sequence[Atom], scope: dict[Any, Series]
    ) -> list[Series]:
        """Return the series of `outs`, which `eqns` make; `scope` has what they read."""
        for eqn in eqns:
            made = self.expansion(eqn, [scope.get(a) or self.constant(a) for a in eqn.operands])
            scope.update(zip(eqn.results, made.results, strict=True))
        return [scope.get(o) or self.constant(o) for o in outs]


def _kept(known: dict[K, T], key: K, make: Callable[[], T]) -> T:
    found = known.get(key)
    if found is None:
        found = known[key] = make()
    return found


def _is_zero(atom: Atom) -> bool:
    return isinstance(atom, Literal) and not np.any(atom.value)


__all__ = ["Expander", "Expansion", "Ruled", "stated"]
