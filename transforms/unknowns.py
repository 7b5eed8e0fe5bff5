"""What is solved for, and the functions of it: traced as regions, pushed forward, transposed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..ir.core import Atom, Function
from ..ir.errors import ArgumentError, ShapeError, StructureError
from ..ir.types import Kind
from ..passes.forward import forward
from ..passes.rule_pairs import NotLinear, transposed
from ..tracer.array import TracedArray, lift
from ..tracer.nested import inline_call, inline_function
from ..tracer.report import expression_here
from ..tracer.state import Trace, require
from ..tracer.tree import Node, Structure, flatten, paths, statics, unflatten
from .rule_regions import Given, Returned, Scope, opened
from .rule_results import taken


def given_for(label: str, what: str, value: Any, trace: Trace) -> Given:
    """Return unknowns or right sides, which have to be inexact.

    Raises
    ------
    StructureError
    """
    leaves: list[Any] = []
    structure = flatten(value, leaves)
    lifted = [lift(leaf, trace) for leaf in leaves]
    for (path, _), (atom, _) in zip(paths(value, what), lifted, strict=True):
        if not atom.type.is_inexact:
            raise StructureError(
                f"{expression_here()}: `{path}` of {label} is {atom.type}, and only real and "
                "complex floating-point numbers are solved for.\n"
                "  Convert it, for example x.astype(float)."
            )
    if not leaves or any(True for _ in statics(structure)):
        raise StructureError(
            f"{expression_here()}: `{what}` of {label} is {structure}; it must be a container of "
            "arrays and floats."
        )
    atoms = [a for a, _ in lifted]
    return Given(
        structure,
        tuple(leaves),
        tuple(atoms),
        tuple([a.type for a in atoms]),
        tuple([k for _, k in lifted]),
        tuple([None for _ in atoms]),
        tuple([a.hint for a in atoms]),
    )


def like(given: Given, value: Any, who: str, trace: Trace) -> list[tuple[Atom, Kind]]:
    """Return the leaves of what a function returned, which must be like what was given.

    Raises
    ------
    StructureError, ShapeError
    """
    structure, leaves = taken(value, trace)
    if structure != given.structure:
        raise StructureError(
            f"{expression_here()}: {who} must return the structure that it is given.\n"
            f"  given    {given.structure}\n  returned {structure}"
        )
    for type, (atom, _) in zip(given.types, leaves, strict=True):
        if type != atom.type:
            raise ShapeError(
                f"{expression_here()}: {who} must return the types that it is given.\n"
                f"  given    {type}\n  returned {atom.type}"
            )
    return leaves


def split_aux(output: Any, has_aux: bool, who: str) -> tuple[Any, Any]:
    """Return what a solve found, and what else it has to say."""
    if not has_aux:
        return output, ()
    if not isinstance(output, tuple) or len(output) != 2:
        raise StructureError(
            f"{expression_here()}: with has_aux=True {who} must return a pair (x, aux)."
        )
    return output


def pair(first: Structure, second: Structure) -> Structure:
    """Return the structure of a pair."""
    return Node(tuple, 2, (first, second))


class TracedMap:
    """A function of arrays traced as a region, which can be applied, pushed forward, transposed."""

    def __init__(self, label: str, given: Given, function: Callable[[Any], Any], who: str) -> None:
        self.given = given

        def run(arrays: list[TracedArray]) -> Returned:
            trace = require(label)
            output = inline_call(function, (unflatten(given.structure, iter(arrays)),), {})
            return like(given, output, who, trace), None

        self.region = opened(label, given.params(), given.kinds, run)
        self.scope = Scope.around([self.region])
        self.function = self.scope.enclosed(self.region)

    def _applied(self, function: Function, values: Sequence[Any]) -> Any:
        return unflatten(self.given.structure, iter(inline_function(function, values)))

    def _leaves(self, value: Any, who: str) -> list[Any]:
        trace = require(who)
        return [TracedArray(a, k, trace) for a, k in like(self.given, value, who, trace)]

    def pushed(self, at: Sequence[Any]) -> Callable[[Any], Any]:
        """Return the map of tangents at a point."""
        count = len(self.given.types)
        push = forward(self.function, range(count), keep=())
        return lambda v: self._applied(
            push, [*at, *self.scope.captured, *self._leaves(v, "the tangent")]
        )

    def transpose(self, label: str) -> Callable[[Any], Any]:
        """Return the transpose of a linear map."""
        count = len(self.given.types)
        try:
            back = transposed(self.function, range(count), range(count))
        except NotLinear:
            raise ArgumentError(
                f"{expression_here()}: the matvec of {label} is not linear.\n"
                "  Let it be a product such as a @ x, in which x stands once in each term."
            ) from None
        return lambda v: self._applied(
            back, [*self.scope.captured, *self._leaves(v, "the right side")]
        )


__all__ = ["TracedMap", "given_for", "like", "pair", "split_aux"]
