"""How the result of an op depends on its operands, as its gradient rule says.

A tangent of the results may depend on the values or not: that of a sum is the sum of the tangents,
that of a product is linear in each factor, that of `exp` reads the result.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

from ..ir.core import Atom, Eqn, Value, reads
from .transposed import pushforward


class Form(enum.Enum):
    """How results depend on the operands that vary."""

    CONSTANT = "constant"
    LINEAR = "linear"
    PRODUCT = "product"
    CURVE = "curve"


class Tangents:
    """The equations that make tangents of an equation's results of those of its operands.

    `tangents` has None for an operand that has none, `outs` for a result that depends on none.
    """

    def __init__(self, eqn: Eqn, chosen: tuple[bool, ...]) -> None:
        found = pushforward(eqn, chosen)
        self.function = found.function
        params = list(found.function.params)
        count, cut = len(eqn.operands), len(eqn.operands) + len(eqn.results)
        self.operands: Sequence[Value] = params[:count]
        self.results: Sequence[Value] = params[count:cut]
        given = iter(params[cut:])
        self.tangents = [next(given) if c else None for c in chosen]
        made = iter(found.function.results)
        self.outs: Sequence[Atom | None] = [next(made) if f else None for f in found.flows]

    @property
    def reads(self) -> set[Atom]:
        """What the equations read, and return."""
        return reads(self.function)


def form_of(eqn: Eqn, chosen: tuple[bool, ...]) -> Form:
    """Return how the results of an equation depend on the `chosen` operands.

    They are linear where tangents are made without a look at what varies, and a product where that
    holds for each operand alone.

    Raises
    ------
    NotImplementedError
        Where the op has no gradient rule.
    """
    if not eqn.op.has_gradient or True not in chosen:
        return Form.CONSTANT
    whole = Tangents(eqn, chosen)
    if all(o is None for o in whole.outs):
        return Form.CONSTANT
    varying = {*whole.results, *[a for a, c in zip(whole.operands, chosen, strict=True) if c]}
    if varying.isdisjoint(whole.reads):
        return Form.LINEAR
    if len(eqn.results) != 1 or sum(chosen) < 2:
        return Form.CURVE
    for k, is_chosen in enumerate(chosen):
        if is_chosen:
            alone = Tangents(eqn, tuple([k == n for n in range(len(chosen))]))
            itself = {alone.operands[k], *alone.results}
            if alone.outs == [None] or not itself.isdisjoint(alone.reads):
                return Form.CURVE
    return Form.PRODUCT


__all__ = ["Form", "Tangents", "form_of"]
