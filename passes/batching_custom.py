"""Functions with derivative rules of the user's own, for many examples at once.

The function is batched, and its rule with it: the rule's two functions are batched when somebody
asks for them. A cotangent of what all examples share is the sum over the examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..ir.builder import Builder
from ..ir.core import Atom, Eqn, Function
from ..ir.dims import Dim, Size, symbols
from ..ir.errors import DifferentiationError
from ..ir.ops.custom import Custom, Pair, Rule
from ..ir.ops.reduce import Sum
from .rule_pairs import Derived

if TYPE_CHECKING:
    from .batching import Examples


def batch_custom(examples: Examples, eqn: Eqn, mapped: tuple[bool, ...]) -> list[Atom]:
    """Write a function with a rule for all examples; return its results, which are all mapped."""
    op = eqn.op
    assert isinstance(op, Custom)
    operands = [examples.atom(a) for a in eqn.operands]
    own = len(op.body.dims)
    body, _ = _batched(op.body, mapped, examples.size, [True] * len(eqn.results), own)
    rule = (
        None
        if op.rule is None
        else _ForExamples(op.rule, mapped, examples.size, len(eqn.results), own)
    )
    more = body.dims[own:]
    made = replace(op, body=body, rule=rule, dims=(*op.dims, *map(Dim.of, more)))
    examples.mapped.update(eqn.results)
    return list(examples.builder.emit(made, operands))


class _ForExamples(Derived):
    """A rule for many examples; the operands in `mapped` have an entry for each of `size`.

    `outs` is the number of results, `own` that of the dims that the function itself binds.
    """

    def __init__(
        self, rule: Rule, mapped: tuple[bool, ...], size: Size, outs: int, own: int
    ) -> None:
        self.rule = rule
        self.source = rule.source
        self.mapped = mapped
        self.size = size
        self.outs = outs
        self.own = own

    @property
    def is_busy(self) -> bool:  # type: ignore[override]  # it is another rule that knows
        """Whether its functions are being made."""
        return self.rule.is_busy

    def for_cotangents(self) -> Pair:
        pair = self.rule.pair()
        made = self._both(pair, [True] * self.outs)
        summed = [k for k, t in enumerate(pair.targets) if not self.mapped[t]]
        return made._replace(backward=_summed(made.backward, summed))

    def for_tangents(self) -> Pair | None:
        pair = self.rule.tangents()
        return None if pair is None else self._both(pair, [self.mapped[t] for t in pair.targets])

    def refuse(self, operand: int) -> DifferentiationError:
        return self.rule.refuse(operand)

    def _both(self, pair: Pair, late: Sequence[bool]) -> Pair:
        """Return both functions of all examples; `late` are what the second takes but residuals."""
        wanted = [k < self.outs for k in range(len(pair.forward.results))]
        forward, found = _batched(pair.forward, self.mapped, self.size, wanted, self.own)
        flags = [*found[self.outs :], *late]
        wanted = [True] * len(pair.backward.results)
        backward, _ = _batched(pair.backward, flags, self.size, wanted, self.own)
        return pair._replace(forward=forward, backward=backward)


def _batched(
    function: Function, mapped: Sequence[bool], size: Size, results: Sequence[bool], own: int
) -> tuple[Function, list[bool]]:
    """Return a function of all examples, which binds the size's symbols behind the first dims."""
    from .batching import batched_region

    made, found = batched_region(function, mapped, size, results)
    first = function.dims[:own]
    more = [s for s in symbols(size) if s not in first]
    rest = [s for s in made.dims if s not in first and s not in more]
    return made.replace(dims=(*first, *more, *rest)), found


def _summed(function: Function, results: Sequence[int]) -> Function:
    """Return the function with some results summed over their first axis."""
    builder = Builder()
    for eqn in function.eqns:
        builder.add(eqn)
    returned = list(function.results)
    for k in results:
        returned[k] = builder.one(Sum((-returned[k].type.ndim,)), returned[k])
    return function.replace(eqns=builder.eqns, results=returned, result_kinds=function.result_kinds)


__all__ = ["batch_custom"]
