"""The graph: values, literals, equations, functions and modules.

A function is a list of equations in A-normal form: every operand is a value or a literal, every
value is assigned once, and the order of the list is the order of execution and of print. Functions
are closed: what a region reads from outside comes in through its parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .dims import Symbol
from .types import ArrayType, Kind, Layout

if TYPE_CHECKING:
    from .location import Location
    from .op import Op


class Value:
    """One result of an equation, or a parameter; its identity is the object.

    `hint` is the user's name for it, `cotangent_of` the value whose cotangent it is, `layout` the
    strides that plain NumPy would give it (None: C-contiguous).
    """

    __slots__ = ("cotangent_of", "hint", "layout", "type")

    def __init__(
        self,
        type: ArrayType,
        hint: str | None = None,
        cotangent_of: Value | None = None,
        layout: Layout = None,
    ) -> None:
        self.type = type
        self.hint = hint
        self.cotangent_of = cotangent_of
        self.layout = layout

    def fresh(self) -> Value:
        """Return another value of the same type, name and layout."""
        return Value(self.type, self.hint, self.cotangent_of, self.layout)

    def __repr__(self) -> str:
        return f"<{self.hint or 'value'}: {self.type}>"


class Literal:
    """A constant: a NumPy scalar or a read-only ndarray; equal when type and bytes are equal."""

    __slots__ = ("_hash", "_key", "type", "value")

    def __init__(self, value: Any) -> None:
        if isinstance(value, np.ndarray):
            if value.flags.writeable:
                value = value.copy()
                value.flags.writeable = False
            if value.ndim == 0:
                value = value[()]
        self.value: np.generic | np.ndarray = value
        self.type = ArrayType(value.dtype, value.shape)
        self._key = (self.type, value.tobytes())
        self._hash = hash(self._key)

    @property
    def layout(self) -> Layout:
        """Literals are C-contiguous."""
        return None

    @property
    def hint(self) -> str | None:
        """Literals have no name."""
        return None

    @property
    def is_scalar(self) -> bool:
        """Whether it has no axes."""
        return not self.type.shape

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Literal) and self._key == other._key)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"<literal {self.value!r}: {self.type}>"


Atom = Value | Literal


Mark = tuple[int, int]


class Provenance:
    """Where an equation comes from.

    `frames` are the user's call sites, innermost first; `derived` says how the equation was made:
    `primal`, `vjp` (the adjoint of the primal at those frames), `jvp`, `recompute`, or the name of
    the pass; `merged` are the provenances of equal equations that were folded into this one.
    `errors` is how NumPy treats floating-point errors here, where the function itself sets it.
    `marks` are the checkpoints that the equation lies in, outermost first (`passes.recompute`):
    the number of each, and how many derivatives were taken since it was passed.
    """

    __slots__ = ("derived", "errors", "frames", "marks", "merged")

    def __init__(
        self,
        frames: tuple[Location, ...] = (),
        derived: str = "primal",
        merged: tuple[Provenance, ...] = (),
        errors: Mapping[str, str] | None = None,
        marks: tuple[Mark, ...] = (),
    ) -> None:
        self.errors = errors
        self.marks = marks
        self.frames = frames
        self.derived = derived
        self.merged = merged

    @property
    def location(self) -> Location | None:
        """The innermost call site, or None."""
        return self.frames[0] if self.frames else None

    @property
    def is_adjoint(self) -> bool:
        """Whether the equation computes a cotangent."""
        return self.derived == "vjp"

    def as_derived(self, derived: str) -> Provenance:
        """Return the same call sites with another derivation."""
        marks = self.marks
        if marks and derived == "vjp":
            marks = tuple([(number, order + 1) for number, order in marks])
        return Provenance(self.frames, derived, errors=self.errors, marks=marks)

    def with_marks(self, marks: tuple[Mark, ...]) -> Provenance:
        """Return this provenance in other checkpoints."""
        return Provenance(self.frames, self.derived, self.merged, self.errors, marks)

    def merge(self, other: Provenance) -> Provenance:
        """Return this provenance with another equation's origin added.

        What a tangent needs and the primal computes as well is the primal's, with its warnings.
        """
        if other is self or len(self.merged) >= 8:
            return self
        if self.derived == "jvp" and other.derived == "primal" and self.marks == other.marks:
            return other.merge(self)
        merged = (*self.merged, other)
        return Provenance(self.frames, self.derived, merged, self.errors, self.marks)


UNKNOWN = Provenance()


class Eqn:
    """`results = op(operands)`."""

    __slots__ = ("op", "operands", "provenance", "results")

    def __init__(
        self,
        op: Op,
        operands: tuple[Atom, ...],
        results: tuple[Value, ...],
        provenance: Provenance = UNKNOWN,
    ) -> None:
        self.op = op
        self.operands = operands
        self.results = results
        self.provenance = provenance

    @property
    def result(self) -> Value:
        """The only result."""
        (result,) = self.results
        return result

    def __repr__(self) -> str:
        return f"<{self.op.name} -> {', '.join(str(r.type) for r in self.results)}>"


class Function:
    """A closed program: parameters, equations, results, and the dims it binds.

    `dims` are symbols that its types mention: for a region, its operator passes their values.
    `param_kinds` and `result_kinds` say what NumPy object stands at the boundary; `writeable` says,
    for each parameter, whether the caller's array may be written.
    """

    __slots__ = ("dims", "eqns", "name", "param_kinds", "params", "result_kinds", "results")

    def __init__(
        self,
        name: str,
        params: Sequence[Value],
        eqns: Sequence[Eqn],
        results: Sequence[Atom],
        *,
        dims: Sequence[Symbol] = (),
        param_kinds: Sequence[Kind] | None = None,
        result_kinds: Sequence[Kind] | None = None,
    ) -> None:
        self.name = name
        self.dims = tuple(dims)
        self.params = tuple(params)
        self.eqns = tuple(eqns)
        self.results = tuple(results)
        self.param_kinds = (
            tuple(map(default_kind, params)) if param_kinds is None else tuple(param_kinds)
        )
        self.result_kinds = (
            tuple(map(default_kind, results)) if result_kinds is None else tuple(result_kinds)
        )

    def replace(self, **changes: Any) -> Function:
        """Return a copy with some fields replaced."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in Function.__slots__}
        if "params" in changes and "param_kinds" not in changes:
            fields.pop("param_kinds")
        if "results" in changes and "result_kinds" not in changes:
            fields.pop("result_kinds")
        fields.update(changes)
        return Function(
            fields.pop("name"),
            fields.pop("params"),
            fields.pop("eqns"),
            fields.pop("results"),
            **fields,
        )

    def __repr__(self) -> str:
        return f"<function {self.name}: {len(self.eqns)} equations>"

    def __str__(self) -> str:
        from .printer import print_function

        return print_function(self)


def default_kind(atom: Atom) -> Kind:
    """Return the kind of a value of which nothing is known: a scalar without axes, or an array."""
    return Kind.ARRAY if atom.type.shape else Kind.SCALAR


class Module:
    """Functions that call each other by name, and the one to start with."""

    __slots__ = ("entry", "functions")

    def __init__(self, functions: Mapping[str, Function], entry: str) -> None:
        self.functions = dict(functions)
        self.entry = entry

    @property
    def main(self) -> Function:
        """The entry function."""
        return self.functions[self.entry]

    def __str__(self) -> str:
        from .printer import print_module

        return print_module(self)


def walk(function: Function) -> Iterator[Eqn]:
    """Yield every equation of a function and of the regions inside it, outermost first."""
    for eqn in function.eqns:
        yield eqn
        for region in eqn.op.regions:
            yield from walk(region)


def reads(function: Function) -> set[Atom]:
    """Return what equations and results read, in regions too."""
    found: set[Atom] = set(function.results)
    for eqn in walk(function):
        found.update(eqn.operands)
        for region in eqn.op.regions:
            found.update(region.results)
    return found


def uses(function: Function) -> dict[Value, int]:
    """Count how often each value is read by equations and results."""
    counts: dict[Value, int] = {}
    for eqn in function.eqns:
        for operand in eqn.operands:
            if isinstance(operand, Value):
                counts[operand] = counts.get(operand, 0) + 1
    for result in function.results:
        if isinstance(result, Value):
            counts[result] = counts.get(result, 0) + 1
    return counts
