"""A derivative as a linear function: cut off from the primal, then applied to many vectors at once.

The joint function of either mode computes the primal and, from vectors given as trailing
parameters, what the derivative makes of them. It is cut there: the first function runs once, the
second one is batched over the vectors and does nothing that is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ..ir.core import Function, Literal, Value, walk
from ..ir.errors import DifferentiationError
from ..ir.op import Effect
from ..ir.types import ArrayType
from ..passes.batching import batched
from ..passes.diagonal import diagonal
from ..passes.factors import joined
from ..passes.forward import forward
from ..passes.reverse import no_fixed_shape, reverse
from ..pullbacks import split
from ..tracer.nested import inline_function
from ..tracer.report import defined
from ..tracer.trace import Traced
from .apart import Apart


class Linear(NamedTuple):
    """A derivative at a point: `primal` returns `results` results, then what `linear` reads.

    `linear` takes that, then `vectors` vectors, and returns the products with the derivative.
    """

    primal: Function
    linear: Function
    results: int
    vectors: int

    @classmethod
    def pushforward(
        cls,
        function: Function,
        wrt: Sequence[int],
        of: Sequence[int],
        keep: Sequence[int] | None = None,
    ) -> Linear:
        """Return the derivative that maps tangents of parameters to those of the results `of`."""
        joint = forward(function, wrt, keep=keep, of=of)
        kept = len(joint.results) - len(of)
        return cls(*split(joint, kept, len(wrt)), kept, len(wrt))

    @classmethod
    def pullback(
        cls,
        function: Function,
        wrt: Sequence[int],
        of: Sequence[int],
        keep: Sequence[int] | None = None,
    ) -> Linear:
        """Return the derivative that maps cotangents of the results `of` to those of parameters."""
        joint = reverse(function, wrt, seeds=of, keep=keep)
        kept = len(joint.results) - len(wrt)
        return cls(*split(joint, kept, len(of)), kept, len(of))

    @property
    def has_effects(self) -> bool:
        """Whether the linear part would do for each vector what is to happen once."""
        return any(e.op.effect is Effect.ORDERED for e in walk(self.linear))

    def batched(self, size: int) -> tuple[Function, list[bool]]:
        """Return the linear part for `size` vectors, and which of its results have as many."""
        kept = len(self.linear.params) - self.vectors
        return batched(self.linear, [False] * kept + [True] * self.vectors, size)


class Leaves(NamedTuple):
    """The arrays on one side of a derivative, laid out one behind the other."""

    types: list[ArrayType]
    shapes: list[tuple[int, ...]]
    starts: list[int]
    total: int

    @classmethod
    def of(cls, types: Sequence[ArrayType], name: str) -> Leaves:
        """Return the layout of arrays.

        Raises
        ------
        UnsupportedError
            Where a size is only known when the program runs.
        """
        shapes: list[tuple[int, ...]] = []
        starts, total = [], 0
        for type in types:
            if not type.is_static:
                raise no_fixed_shape(name, type)
            shape: Any = type.shape
            shapes.append(shape)
            starts.append(total)
            total += prod(shape)
        return cls(list(types), shapes, starts, total)

    def basis(self) -> list[Literal]:
        """Return, for each array, its part of all rows of the identity matrix."""
        found = []
        for type, shape, start in zip(self.types, self.shapes, self.starts, strict=True):
            rows = np.eye(self.total, prod(shape), -start, type.dtype)
            found.append(Literal(rows.reshape((self.total, *shape))))
        return found

    def rows(self, whole: Any, k: int) -> Any:
        """Return the rows of an array that belong to array k, in its shape."""
        start, shape = self.starts[k], self.shapes[k]
        part = whole[start : start + prod(shape)]
        return np.reshape(part, (*shape, *np.shape(whole)[1:]))


def product_with_basis(
    apart: Apart, linear: Linear, side: Leaves, exact: bool = False
) -> tuple[list[Any], list[Any]]:
    """Return the primal results, and the derivative of all rows of the identity matrix."""
    flat = apart.inline(linear.primal)
    kept = list(flat[: linear.results])
    residuals = flat[linear.results :]
    basis = side.basis()
    if side.total == 1:
        once = [Literal(b.value.reshape(t.shape)) for b, t in zip(basis, side.types, strict=True)]
        made = inline_function(linear.linear, [*residuals, *once])
        return kept, [np.reshape(m, (1, *np.shape(m))) for m in made]
    function, mapped = linear.batched(side.total)
    if len(basis) == 1:
        function = diagonal(function, [len(function.params) - 1])
    if not exact:
        function = joined(function)
    found = []
    for value, is_mapped in zip(
        inline_function(function, [*residuals, *basis]), mapped, strict=True
    ):
        shape = (side.total, *np.shape(value))
        found.append(value if is_mapped else np.broadcast_to(value, shape))
    return kept, found


def outputs_of(traced: Traced) -> list[ArrayType]:
    """Return the types of the output's arrays, which must be floating point.

    Raises
    ------
    DifferentiationError
    """
    types = [r.type for r in traced.function.results[: traced.results]]
    others = [t for t in types if not t.is_inexact]
    if others or not types:
        what = others[0] if others else traced.structure
        text = (
            f"the Jacobian is of floating-point outputs, and {traced.function.name} returns "
            f"{what}.\n"
            "  Return float arrays; what is not to be differentiated goes into aux: "
            "(output, aux) with has_aux=True."
        )
        raise DifferentiationError(defined(text, traced.where))
    return types


def check_real(
    inputs: Sequence[Value],
    outputs: Sequence[ArrayType],
    mode: str,
    holomorphic: bool = False,
) -> None:
    """Raise where complex numbers have no Jacobian of their own shape.

    Raises
    ------
    DifferentiationError
    """
    shown = [(f"`{v.hint}`", v.type) for v in inputs]
    complex_in = [(n, t) for n, t in shown if t.dtype.kind == "c"]
    complex_out = [("the output", t) for t in outputs if t.dtype.kind == "c"]
    if holomorphic:
        if len(complex_in) + len(complex_out) == len(inputs) + len(outputs):
            return
        every = (*shown, *[("the output", t) for t in outputs])
        which, real = next((n, t) for n, t in every if t.dtype.kind != "c")
        raise DifferentiationError(
            f"holomorphic=True is for complex arguments and outputs alone, and {which} is {real}.\n"
            "  Convert it, for example x.astype(complex), or leave holomorphic out."
        )
    if complex_in or (complex_out and mode == "reverse"):
        which, found = (*complex_in, *complex_out)[0]
        raise DifferentiationError(
            f"{which} is {found}, and the Jacobian of a complex function is one matrix only where "
            "it is holomorphic.\n  Write holomorphic=True if it is; else "
            "differentiate real and imaginary parts, np.real(z) and np.imag(z)."
        )


__all__ = ["Leaves", "Linear", "check_real", "outputs_of", "product_with_basis"]
