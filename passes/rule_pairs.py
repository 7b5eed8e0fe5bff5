"""Rules as pairs of functions: transposed, cut into a part that keeps and one that reads."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..ir.builder import Builder
from ..ir.closing import close
from ..ir.core import Atom, Eqn, Function, Provenance, Value, reads
from ..ir.errors import DifferentiationError
from ..ir.ops.custom import Pair, Rule, WithRule, bound
from ..ir.zeros import without_zeros
from ..tracer.array import computed, lift
from ..tracer.nested import inline_derived
from ..tracer.state import Trace
from .dce import Dce


def transposed(
    function: Function, linear: Sequence[int], of: Sequence[int], keep: Sequence[int] = ()
) -> Function:
    """Return the transpose of a function that is linear in some of its parameters.

    It takes the other parameters and a cotangent for each of the results `of`; it returns the
    results in `keep`, and cotangents of the parameters `linear`.

    Raises
    ------
    NotLinear
        Where the transpose would read the linear parameters themselves.
    """
    from .reverse import reverse

    joint = Dce()(reverse(function, linear, seeds=of, keep=keep))
    gone = [joint.params[k] for k in linear]
    if not reads(joint).isdisjoint(gone):
        raise NotLinear
    return without_params(joint, linear)


class NotLinear(Exception):
    """What should be linear in some parameters is not."""


def without_params(function: Function, positions: Sequence[int]) -> Function:
    """Return a function without parameters that nothing reads."""
    left = [k for k in range(len(function.params)) if k not in positions]
    return function.replace(
        params=[function.params[k] for k in left],
        param_kinds=[function.param_kinds[k] for k in left],
    )


class Derived(Rule):
    """A rule whose functions follow from others: they are made when they are asked for, once."""

    _pair: Pair | None = None
    _tangents: Pair | None = None

    def pair(self) -> Pair:
        if self._pair is None:
            self._pair = self.for_cotangents()
        return self._pair

    def tangents(self) -> Pair | None:
        if self._tangents is None:
            self._tangents = self.for_tangents()
        return self._tangents

    @abstractmethod
    def for_cotangents(self) -> Pair:
        """Make what `pair` returns."""

    @abstractmethod
    def for_tangents(self) -> Pair | None:
        """Make what `tangents` returns."""


@dataclass(eq=False)
class TangentRule(Derived):
    """A rule given for tangents: its transpose serves the other modes.

    `function` takes the operands and tangents of those at the positions `inexact`, and returns
    `results` results and tangents of those at the positions `flows`. It says nothing of the
    operands in `closed`, for which `refusal` makes the error; `failure` is that of a function that
    is not linear in the tangents.
    """

    function: Function
    inexact: Sequence[int]
    flows: Sequence[int]
    results: int
    failure: DifferentiationError
    closed: frozenset[int]
    refusal: Callable[[int], DifferentiationError]
    is_busy: bool = field(default=False, init=False)

    def for_cotangents(self) -> Pair:
        self.is_busy = True
        try:
            return self._transposed()
        except NotLinear:
            raise self.failure from None
        finally:
            self.is_busy = False

    def for_tangents(self) -> Pair | None:
        count = len(self.function.params) - len(self.inexact)
        late = self.function.params[count:]
        try:
            return cut(self.function, count, self.results, late, self.inexact, self.closed)
        except NotLinear:  # a loop may have primals and tangents in it: the transpose has not
            return None

    def _transposed(self) -> Pair:
        function, count = self.function, self.results
        operands = len(function.params) - len(self.inexact)
        joint = transposed(
            function,
            range(operands, len(function.params)),
            range(count, count + len(self.flows)),
            range(count),
        )
        given = dict(zip(self.flows, joint.params[operands:], strict=True))
        cts = [given.get(k) or Value(r.type) for k, r in enumerate(joint.results[:count])]
        return cut(joint, operands, count, cts, self.inexact, self.closed)

    def refuse(self, operand: int) -> DifferentiationError:
        return self.refusal(operand)


def cut(
    joint: Function,
    operands: int,
    results: int,
    late: Sequence[Value],
    targets: Sequence[int],
    closed: frozenset[int] = frozenset(),
) -> Pair:
    """Cut a function where cotangents, or tangents, come in.

    Parameters
    ----------
    operands, results
        How many parameters come before them, and how many results depend on those alone.
    late
        The parameters of the second function besides residuals.
    targets, closed
        The operands that it is about, and those of which it says nothing.

    Raises
    ------
    NotLinear
        Where one of the first results depends on what comes in.
    """
    known: set[Atom] = set(joint.params[operands:])
    parts: tuple[list[Eqn], list[Eqn]] = ([], [])
    for eqn in joint.eqns:
        is_late = not known.isdisjoint(eqn.operands)
        parts[is_late].append(eqn)
        if is_late:
            known.update(eqn.results)
    outs = joint.results[:results]
    if not known.isdisjoint(outs):
        raise NotLinear
    second, residuals = close(
        f"{joint.name}_late",
        late,
        parts[1],
        joint.results[results:],
        dims=joint.dims,
    )
    count = len(late)
    second = second.replace(
        params=[*second.params[count:], *second.params[:count]],
        param_kinds=[*second.param_kinds[count:], *second.param_kinds[:count]],
    )
    first = Function(
        joint.name,
        joint.params[:operands],
        parts[0],
        [*outs, *residuals],
        dims=joint.dims,
        param_kinds=joint.param_kinds[:operands],
    )
    return Pair(first, second, tuple(targets), closed)


def tangent_pair(rule: Rule, label: str, results: int) -> Pair:
    """Return a rule for tangents: its own, or the transpose of the one for cotangents.

    Raises
    ------
    DifferentiationError
        Where the rule for cotangents is not linear in them.
    """
    if rule.pushed is None:
        rule.pushed = rule.tangents() or _pushed_by_transpose(rule, label, results)
    return rule.pushed


def _pushed_by_transpose(rule: Rule, label: str, results: int) -> Pair:
    pair = rule.pair()
    residuals = len(pair.forward.results) - results
    linear = [k for k, c in enumerate(pair.backward.params) if k >= residuals and c.type.is_inexact]
    try:
        push = transposed(pair.backward, linear, range(len(pair.targets)))
    except NotLinear:
        raise DifferentiationError(
            f"forward mode transposes {rule.source or f'the backward rule of {label}'}, which is "
            "not linear in the cotangents.\n"
            "  Use reverse mode, or give a rule for tangents: pb.custom_jvp."
        ) from None
    return pair._replace(backward=push)


class Pushed(NamedTuple):
    """How the tangents of a `with_rule` equation are made: see `transposed.Pushforward`."""

    function: Function
    flows: tuple[bool, ...]


def pushed(eqn: Eqn, needs: Sequence[bool]) -> Pushed:
    """Return the function of the operands, the results, and tangents of operands that have one."""
    op = eqn.op
    assert isinstance(op, WithRule)
    assert op.rule is not None
    pair = tangent_pair(op.rule, op.label, op.outs)
    op.check(pair, needs)
    places = [op.start + k for k in pair.targets]
    first = len(op.kept)
    push = bound(pair.backward, op.dims)
    # Cotangents of integers, if any, come before the tangents.
    start = len(push.params) - len(places)
    zeros = [*range(first, start), *[start + n for n, k in enumerate(places) if not needs[k]]]
    push, gone = without_zeros(push, zeros)
    builder = Builder()
    operands = [_param(builder, a) for a in eqn.operands]
    results = [_param(builder, r) for r in eqn.results]
    tangents = {k: _param(builder, eqn.operands[k]) for k, need in enumerate(needs) if need}
    with Trace(builder, None) as trace:
        trace.fixed = Provenance(eqn.provenance.frames, "jvp", marks=eqn.provenance.marks)
        given: list[Any] = op.residuals(operands, results)
        given += [tangents[k] for k in places if needs[k]]
        made = inline_derived(push, [computed(a, trace) for a in given])
        atoms = [lift(m, trace)[0] for m in made]
    moving = iter(gone)
    flows = tuple([r.type.is_inexact and not next(moving) for r in eqn.results])
    return Pushed(Function(f"{op.label}_jvp", builder.params, builder.eqns, atoms), flows)


def _param(builder: Builder, atom: Atom) -> Value:
    return builder.param(Value(atom.type, layout=atom.layout))


__all__ = ["Derived", "NotLinear", "TangentRule", "cut", "pushed", "tangent_pair", "transposed"]
