"""Functions with derivative rules of the user's own.

`custom` is the function as a region, with its rule beside it. Where nobody differentiates it, the
region is written in its place. A derivative writes the rule's forward function there instead, which
returns residuals too, and behind it a `with_rule`: the results, with the rule's backward function
as their gradient (`passes.custom_rules`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..binding import instantiated
from ..core import Function
from ..dims import Size
from ..errors import DifferentiationError
from ..op import Array, Op, Zero
from ..samples import numbers
from ..types import ArrayType
from ..zeros import without_zeros
from .control import Enclosing


class Pair(NamedTuple):
    """What a rule comes to: a function that keeps residuals, and one that reads them.

    `forward` takes the operands and returns the results and then residuals. `backward` takes the
    residuals and a cotangent for each result, and returns one for each operand in `targets`. The
    rule has nothing to say of the operands in `closed`, on which the results depend as well. Both
    functions bind the dims of the region that they belong to, first and in the same order.
    """

    forward: Function
    backward: Function
    targets: tuple[int, ...]
    closed: frozenset[int] = frozenset()


class Rule(ABC):
    """A derivative rule; it is compared by identity, and may be asked for its functions late.

    A rule may use the very function that it belongs to: the functions then hold an equation with
    this rule. `is_busy` while the functions are made.
    """

    is_busy = False
    source = ""
    """What messages call the user's function that gives cotangents, empty where there is none."""
    pushed: Pair | None = None
    """The rule for tangents, in whichever way it was found; see `passes.rule_pairs`."""

    @abstractmethod
    def pair(self) -> Pair:
        """Return the rule as two functions."""

    def tangents(self) -> Pair | None:
        """Return the rule for tangents, None where it is what follows from `pair`.

        Its backward function takes the residuals and a tangent for each operand in `targets`, and
        returns one for each inexact result.
        """
        return None

    def refuse(self, operand: int) -> DifferentiationError:
        """Return the error for a derivative that flows to an operand in `Pair.closed`."""
        raise NotImplementedError  # nobody asks a rule whose pair closes nothing


@dataclass(frozen=True)
class Custom(Enclosing):
    """`body` with a derivative rule; None where the rule is not known, as in text."""

    name = "custom"
    body: Function
    label: str
    rule: Rule | None = None
    dims: tuple[Size, ...] = ()


@dataclass(frozen=True)
class WithRule(Op):
    """`outs` values as they are, whose derivative is a rule's.

    Operands are these values, residuals, and the operands of the rule. `kept` says where each
    residual of the rule stands: among the operands, or from -1 downwards among the results. Without
    a rule no derivative flows. With `is_forward` the rule is the one for tangents.
    """

    name = "with_rule"
    outs: int
    kept: tuple[int, ...]
    label: str
    rule: Rule | None = None
    dims: tuple[Size, ...] = ()
    is_forward: bool = False

    @property
    def start(self) -> int:
        """Where the operands of the rule start."""
        return max((self.outs, *[k + 1 for k in self.kept]))

    def infer(self, *types: ArrayType) -> tuple[ArrayType, ...]:
        return types[: self.outs]

    def evaluate(self, *operands: Array) -> Any:
        return operands[0] if self.outs == 1 else operands[: self.outs]

    @classmethod
    def samples(cls) -> Sequence[tuple[Op, tuple[Array, ...]]]:
        return [
            (cls(1, (), "f"), (numbers(2, 3), numbers(3))),
            (cls(2, (), "f"), (numbers(2, 3), numbers(3))),
        ]

    @property
    def has_gradient(self) -> bool:
        """Whether a derivative may flow through it."""
        return self.rule is not None

    def residuals(self, operands: Sequence[Any], results: Sequence[Any]) -> list[Any]:
        """Return the residuals of the rule, among the operands and results."""
        return [operands[k] if k >= 0 else results[-1 - k] for k in self.kept]

    def check(self, pair: Pair, needs: Sequence[bool]) -> None:
        """Raise where a derivative flows to an operand that the rule has nothing to say of."""
        assert self.rule is not None
        for k in pair.closed:
            if needs[self.start + k]:
                raise self.rule.refuse(k)

    def vjp(
        self,
        needs: tuple[bool, ...],
        cts: tuple[Array, ...],
        results: tuple[Array, ...],
        *operands: Array,
    ) -> Sequence[Array | None]:
        assert self.rule is not None
        pair = self.rule.pair()
        self.check(pair, needs)
        answer: list[Array | None] = [None] * len(operands)
        wanted = [n for n, k in enumerate(pair.targets) if needs[self.start + k]]
        if not wanted:
            return answer
        backward = bound(pair.backward, self.dims)
        backward = backward.replace(
            results=[backward.results[n] for n in wanted],
            result_kinds=[backward.result_kinds[n] for n in wanted],
        )
        first = len(self.kept)
        zeros = [first + k for k, ct in enumerate(cts) if isinstance(ct, Zero)]
        backward, gone = without_zeros(backward, zeros)
        given = [*self.residuals(operands, results), *cts]
        given = [g for k, g in enumerate(given) if k not in zeros]
        made = iter(inlined(backward, operands[0], given))
        for n, is_zero in zip(wanted, gone, strict=True):
            if not is_zero:
                answer[self.start + pair.targets[n]] = next(made)
        return answer


def bound(function: Function, dims: Sequence[Size]) -> Function:
    """Return a function with the first of the dims that it binds replaced."""
    head, rest = function.dims[: len(dims)], function.dims[len(dims) :]
    made = instantiated(function.replace(dims=head), dims)
    return made.replace(dims=(*made.dims, *rest))


def inlined(function: Function, traced: Any, operands: Sequence[Any]) -> Sequence[Any]:
    """Return the results of a function, written into the trace that `traced` belongs to."""
    made: Sequence[Any] = traced.__pullback_inline__(function, operands)
    return made


__all__ = ["Custom", "Pair", "Rule", "WithRule", "bound", "inlined"]
