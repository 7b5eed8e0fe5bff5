"""What `inspect` returns: every stage of a compilation, readable, with its plan and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from .budget import KeptTable
from .ir.core import Function, Value
from .ir.plan import Plan
from .passes.checkpoint import Kept
from .passes.pipeline import Stage
from .passes.residual_rows import residuals


@dataclass(frozen=True)
class Cost:
    """Predicted work of a program: floating-point operations and bytes read and written.

    `forward` counts the primal equations, `backward` those that compute cotangents.
    """

    forward_flops: int
    backward_flops: int
    forward_bytes: int
    backward_bytes: int

    @property
    def ratio(self) -> float:
        """Operations of forward and backward together, over those of the forward alone."""
        return (self.forward_flops + self.backward_flops) / max(self.forward_flops, 1)

    def __str__(self) -> str:
        rows = [
            ("forward", self.forward_flops, self.forward_bytes),
            ("backward", self.backward_flops, self.backward_bytes),
        ]
        lines = [f"{'':<10}{'operations':>16}{'bytes':>16}"]
        lines += [f"{name:<10}{flops:>16,}{nbytes:>16,}" for name, flops, nbytes in rows]
        return "\n".join([*lines, f"gradient to forward: {self.ratio:.2f}"])


def cost_of(function: Function) -> Cost:
    """Return the predicted work of a function before fusion."""
    flops, nbytes = {True: 0, False: 0}, {True: 0, False: 0}
    for eqn in function.eqns:
        adjoint = eqn.provenance.is_adjoint
        operands, results = [a.type for a in eqn.operands], [r.type for r in eqn.results]
        flops[adjoint] += eqn.op.flops(operands, results)
        if not eqn.op.is_view:
            nbytes[adjoint] += sum(t.nbytes for t in (*operands, *results))
    return Cost(flops[False], flops[True], nbytes[False], nbytes[True])


class Inspection:
    """The stages of one compilation; prints the optimised program.

    `kept` is the table of what is kept for the gradient and what is computed again, with the
    choices of a `memory=` budget.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        source: str,
        plan: Plan,
        kept: Sequence[Kept] = (),
        budget: int | None = None,
        reasons: Mapping[Value, str] = MappingProxyType({}),
    ) -> None:
        self.stages = tuple(stages)
        self.source = source
        self.plan = plan
        joint = self._stage("joint rematerialize") or self._stage("joint recompute")
        rows = [] if joint is None else residuals(joint, budget, reasons)
        self.kept = KeptTable(kept, rows)

    def _stage(self, name: str) -> Function | None:
        found = [s.function for s in self.stages if s.name == name]
        return found[0] if found else None

    @property
    def forward(self) -> Function:
        """The function as traced."""
        return self.stages[0].function

    @property
    def joint(self) -> Function:
        """Forward and backward together, before optimisation; without a backward, the forward."""
        return self._stage("reverse") or self.forward

    @property
    def optimized(self) -> Function:
        """The program that runs."""
        return self.stages[-1].function

    @property
    def cost(self) -> Cost:
        """Predicted operations and bytes, forward and backward."""
        return cost_of(self._stage("joint dce") or self._stage("dce") or self.joint)

    def __str__(self) -> str:
        return str(self.optimized)

    def __repr__(self) -> str:
        names = ", ".join(f"{s.name} {s.milliseconds:.1f} ms" for s in self.stages)
        return f"<inspection of {self.forward.name}: {names}>"
