"""The greatest factor by which one step of a program can scale a vector: its Jacobian's norm.

The Jacobian is not formed. Power iteration (Golub and Van Loan, Matrix Computations, 8.2) applies
it, by forward mode, and its transpose, by reverse mode, in turn.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..built import Built
from ..ir.binding import mentioned
from ..ir.closing import close, free_dims
from ..ir.core import Eqn, Function, Value, walk
from ..ir.errors import DifferentiationError
from ..ir.evaluate import evaluate
from ..ir.op import Effect
from ..ir.ops.dynamic import AsSize
from ..passes.dce import Dce
from ..passes.forward import forward
from ..passes.reverse import reverse

ITERATIONS = 30
"""Applications of the Jacobian and its transpose, at most."""
TOLERANCE = 1e-3
"""The relative change of the estimate at which it stops."""

Vector = Sequence[Any]


class Step:
    """One step of a program as a function: the parameters `wrt` are what flows on, to its results.

    It is compiled where it `repeats`; else the interpreter is sooner done.
    """

    def __init__(self, function: Function, wrt: Sequence[int], repeats: bool) -> None:
        self.wrt = wrt
        results = range(len(function.results))
        backward = Dce()(reverse(function, wrt, seeds=results, keep=()))
        pushing = Dce()(forward(function, wrt, keep=()))
        if repeats:
            self.back: Callable[..., Vector] = Built(backward)
            self.forth: Callable[..., Vector] = Built(pushing)
        else:
            self.back = functools.partial(evaluate, backward)
            self.forth = functools.partial(evaluate, pushing)

    def norm(self, arguments: Sequence[Any]) -> float | None:
        """Return the estimated norm at the given arguments, from below; None if it is not finite.

        A random start has a part along every direction.
        """
        rng = np.random.default_rng(0)
        at = [np.asarray(arguments[k]) for k in self.wrt]
        v: Vector = [rng.standard_normal(x.shape).astype(x.dtype) for x in at]
        estimate = 0.0
        with np.errstate(all="ignore"):  # a norm that is not finite is None
            for _ in range(ITERATIONS):
                length = _length(v)
                if length == 0:
                    break
                v = [part / x.dtype.type(length) for part, x in zip(v, at, strict=True)]
                image = self.forth(*arguments, *v)
                before, estimate = estimate, _length(image)
                if not np.isfinite(estimate):
                    return None
                if abs(estimate - before) <= TOLERANCE * estimate:
                    break
                # Cotangents are transposed, not conjugated.
                v = [np.conj(ct) for ct in self.back(*arguments, *map(np.conj, image))]
        return estimate


def _length(vector: Vector) -> float:
    return float(np.sqrt(sum(float(np.sum(np.abs(part) ** 2)) for part in vector)))


def between(function: Function, start: Value, end: Value) -> tuple[Step, list[Value]] | None:
    """Return the step from one value of a function to another, and what else it reads.

    None where there is none that could run again by itself: it has effects or sizes that only the
    run tells, or no rule for tangents.
    """
    depends: set[Value] = {start}
    path: list[Eqn] = []
    for eqn in function.eqns:
        if not depends.isdisjoint(eqn.operands):
            path.append(eqn)
            depends.update(eqn.results)
        if end in eqn.results:
            break
    if end not in depends:
        return None
    needed = {end}
    kept: list[Eqn] = []
    for eqn in reversed(path):
        if not needed.isdisjoint(eqn.results):
            kept.append(eqn)
            needed.update(a for a in eqn.operands if isinstance(a, Value))
    alone, captured = close("step", [start], kept[::-1], [end])
    step = _step(alone, (0,), repeats=False)
    return None if step is None else (step, captured)


def body_step(body: Function, ranged: bool, carries: Sequence[int]) -> Step | None:
    """Return the step that a loop's body makes of some carries, None where there is none."""
    head = 1 if ranged else 0
    eqns = list(body.eqns)
    if ranged and any(body.dims[0] in mentioned(e) for e in walk(body)):
        index = body.params[0]
        eqns.insert(0, Eqn(AsSize(body.dims[0]), (index,), (Value(index.type),)))
    results = [body.results[k] for k in carries]
    alone = Function("step", body.params, eqns, results)
    return _step(alone, [head + k for k in carries], repeats=True)


def _step(function: Function, wrt: Sequence[int], *, repeats: bool) -> Step | None:
    if free_dims(function, ()) or any(e.op.effect is Effect.ORDERED for e in walk(function)):
        return None
    if not all(r.type.is_static for r in (*function.params, *function.results)):
        return None
    try:
        return Step(function, wrt, repeats)
    except DifferentiationError:
        return None


__all__ = ["Step", "between", "body_step"]
