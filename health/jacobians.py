"""The greatest factor by which one step of a program can scale a vector: its Jacobian's norm.

The Jacobian is not formed. Power iteration (Golub and Van Loan, Matrix Computations, 8.2) applies
it and its transpose in turn; the transpose is the step's own reverse mode, and the Jacobian is the
transpose of that, since a cotangent passes through it linearly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..ir.closing import close, free_dims
from ..ir.core import Eqn, Function, Value, walk
from ..ir.dims import Symbol
from ..ir.evaluate import evaluate
from ..ir.op import Effect
from ..passes.dce import Dce
from ..passes.reverse import reverse

ITERATIONS = 30
"""Applications of the Jacobian and its transpose, at most."""
TOLERANCE = 1e-3
"""The relative change of the estimate at which it stops."""


class Step:
    """One step of a program as a function, of which the first parameter `wrt` is what flows on."""

    def __init__(self, function: Function, wrt: int) -> None:
        self.wrt = wrt
        self.backward = Dce()(reverse(function, (wrt,), seeds=(0,), keep=()))
        seed = len(function.params)
        self.forward = Dce()(reverse(self.backward, (seed,), seeds=(0,), keep=()))
        type = function.results[0].type
        self.seed = np.zeros([int(str(d)) for d in type.shape], type.dtype)[()]

    def norm(
        self, arguments: Sequence[Any], dims: Mapping[Symbol, int] | None = None
    ) -> float | None:
        """Return the estimated norm at the given arguments, from below; None if it is not finite.

        A rule of the user's own that is not linear in the cotangent is no Jacobian's transpose.
        """
        x = np.asarray(arguments[self.wrt])

        def forth(v: Any) -> Any:
            flat = evaluate(self.forward, *arguments, self.seed, np.conj(v)[()], dims=dims)
            return np.conj(flat[0])

        def back(u: Any) -> Any:
            return evaluate(self.backward, *arguments, np.asarray(u)[()], dims=dims)[0]

        with np.errstate(all="ignore"):
            found = _power(forth, back, x)
        return found if np.isfinite(found) else None


def _power(forth: Callable[[Any], Any], back: Callable[[Any], Any], x: np.ndarray) -> float:
    rng = np.random.default_rng(0)
    v: Any = rng.standard_normal(x.shape).astype(x.dtype)
    estimate = 0.0
    length = float(np.linalg.norm(v))
    for _ in range(ITERATIONS):
        if length == 0:
            break
        if not np.isfinite(length):
            return length
        image = forth(v / x.dtype.type(length))
        before, estimate = estimate, float(np.linalg.norm(image))
        if abs(estimate - before) <= TOLERANCE * estimate or not np.isfinite(estimate):
            break
        v = back(image)
        length = float(np.linalg.norm(v))
    return estimate


def between(function: Function, start: Value, end: Value) -> tuple[Function, list[Value]] | None:
    """Return what computes one value of a function from another, and what else that reads.

    None where it does not, has effects, or has sizes that only the run tells.
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
    step, captured = close("step", [start], kept[::-1], [end])
    return (step, captured) if is_plain(step) and not step.dims else None


def is_plain(function: Function) -> bool:
    """Whether a function may be run again: it has no ordered effects, and static sizes."""
    if any(e.op.effect is Effect.ORDERED for e in walk(function)):
        return False
    return all(r.type.is_static for r in (*function.params, *function.results))


def body_step(body: Function, wrt: int, result: int) -> Step | None:
    """Return the step of one carry of a loop's body, None where it cannot be run by itself."""
    own = free_dims(body, body.dims)
    alone = body.replace(results=[body.results[result]])
    if own or not is_plain(alone) or not isinstance(body.results[result], Value):
        return None
    return Step(alone, wrt)


__all__ = ["Step", "between", "body_step", "is_plain"]
