"""The variables of a loop or branch under way: what each is taken to be, and whether it was.

A variable is a name of the user's function, or an element of a container (an attribute of an
object) that the region changes. In a loop each has a role, guessed first and settled by trials:

* SAME: the same object after each iteration. An array may be written into meanwhile.
* STEP: a Python int that grows by a constant; it is known by the index of the loop.
* CARRY: another value after each iteration, of one structure and of the same types.
* LATE: it has no value at the start of an iteration; only the last one counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

import numpy as np

from ..ir.core import Atom, Eqn, Literal, Value
from ..ir.dims import Size
from ..ir.types import ArrayType, Kind
from .array import TracedArray, lift
from .functions.shape import cast
from .promotion import PYTHON_TYPES
from .regions import Region, Unstageable
from .size import TracedSize, user_size
from .state import Trace
from .tree import LEAF, Node, Static, Structure, children_of, is_leaf, same_static, unflatten
from .watching import MISSING, Missing


class Role(Enum):
    """What a loop does with a variable."""

    SAME = "the same after each iteration"
    STEP = "grows by a constant"
    CARRY = "carried from one iteration to the next"
    LATE = "assigned anew in each iteration"


class Retry(Exception):
    """A guess was wrong: the loop is tried again."""


class Peel(Exception):
    """The types settle after an iteration: the first one is run by itself. It says of what."""


class _Number(int):
    """An int that is carried, and so no part of the structure."""

    __pullback_leaf__ = True


def leaves_of(value: Any, numbers: bool) -> tuple[Structure, list[Any]]:
    """Return the structure and leaves of a value; with `numbers` ints and bools are leaves."""
    leaves: list[Any] = []

    def visit(part: Any) -> Structure:
        if is_leaf(part) and not isinstance(part, _Number):
            leaves.append(part)
            return LEAF
        if numbers and type(part) in (int, bool):
            leaves.append(part)
            return LEAF
        found = children_of(part)
        if found is None:
            return Static(part)
        static, children = found
        return Node(type(part), static, tuple([visit(c) for c in children]))

    return visit(value), leaves


def is_plain(structure: Structure) -> bool:
    """Whether what a structure holds besides leaves is data: no objects and no functions."""
    if isinstance(structure, Node):
        return all(map(is_plain, structure.children))
    if isinstance(structure, Static):
        return isinstance(structure.value, int | bool | str | bytes | np.dtype | None)
    return True


class Part:
    """One array or number of a carried variable.

    `init` is what it holds before the loop, `param` stands for it in the region, `given` is that as
    the user sees it, and `end` what it is after the iteration.
    """

    __slots__ = ("end", "given", "init", "kind", "param", "result", "start")

    def __init__(self, start: Any, trace: Trace) -> None:
        self.start = start
        self.init, self.kind = lift(start, trace)
        self.param: Value | None = None
        self.given: TracedArray | None = None
        self.end: Any = None
        self.result: Atom | None = None

    def give(self, region: Region, label: str | None) -> TracedArray:
        """Return what stands for it in a trial."""
        init = self.init
        self.param = Value(init.type, label or init.hint, layout=None)
        self.given = TracedArray(self.param, self.kind, region)
        return self.given

    @property
    def is_written(self) -> bool:
        """Whether the region has written into what was given."""
        given = self.given
        return given is not None and given._view is not None and given._view.storage.is_changed


class Variable:
    """A variable of a loop, in the role it is taken to have."""

    def __init__(self, label: str, start: Any, is_rebound: bool) -> None:
        self.label = label
        self.start = start
        self.delta = 0
        self.numbers = False
        self.is_ours = label.startswith("__pb_")
        self.role = _first_role(start, is_rebound)
        if self.is_ours:  # a result before it is returned, or a flag
            self.role = Role.LATE if start is None or start is MISSING else Role.CARRY
            self.numbers = True
        self.settled: dict[int, tuple[np.dtype, Kind]] = {}
        self.structure: Structure = LEAF
        self.parts: list[Part] = []
        self.end: Any = MISSING
        self.dim: Size = 0

    def prepare(self, outer: Trace) -> None:
        """Read what it is before the loop, in the trace around it."""
        self.parts = []
        if self.role is not Role.CARRY:
            return
        self.structure, leaves = leaves_of(self.start, self.numbers)
        self.parts = [Part(leaf, outer) for leaf in leaves]
        for k, (dtype, kind) in self.settled.items():
            part = self.parts[k]
            if part.init.type.dtype != dtype:
                part.init = _cast(part.init, part.kind, dtype, outer)
            part.kind = kind

    def give(self, region: Region, iteration: Size | None) -> Any:
        """Return its value in a trial, whose iterations are numbered `iteration`."""
        if self.role is Role.LATE:
            return self.start if self.is_ours else MISSING
        if self.role is Role.STEP:
            assert iteration is not None
            self.dim = _dim_of(self.start) + self.delta * iteration
            return user_size(self.dim)
        if self.role is Role.SAME:
            return self.start
        label = self.label if self.structure is LEAF and self.label.isidentifier() else None
        label = None if self.is_ours else label
        return unflatten(self.structure, iter([p.give(region, label) for p in self.parts]))

    def check(self, end: Any) -> None:
        """Compare what it is after a trial with its role.

        Raises
        ------
        Retry
            In another role, now its own, the loop may do.
        Peel, Unstageable
        """
        self.end = end
        if self.role is Role.LATE:
            return
        if end is MISSING:
            raise Unstageable(f"`{self.label}` is deleted")
        if self.role is Role.SAME:
            if not _is_same(self.start, end):
                self._revise(end)
        elif self.role is Role.STEP:
            found = _maybe_dim(end)
            if found is None or found != self.dim + self.delta:
                self.role, self.numbers = Role.CARRY, True
                raise Retry
        else:
            self._check_carry(end)

    def _revise(self, end: Any) -> None:
        start = self.start
        first, after = _maybe_dim(start), _maybe_dim(end)
        if first is not None and after is not None and type(start) is not bool:
            delta = after - first
            if isinstance(delta, int):
                self.role, self.delta = Role.STEP, delta
                raise Retry
        if start is None or (children_of(start) is None and not _can_carry(start)):
            raise Peel
        self.role, self.numbers = Role.CARRY, True
        raise Retry

    def _check_carry(self, end: Any) -> None:
        structure, leaves = leaves_of(end, self.numbers)
        if structure != self.structure:
            if not self.numbers:
                self.numbers = True
                raise Retry
            raise self._changes(end)
        revised = False
        for k, (part, leaf) in enumerate(zip(self.parts, leaves, strict=True)):
            assert part.given is not None
            part.end = leaf
            trace = part.given._trace
            part.result, kind = (
                (leaf._atom, leaf._kind) if isinstance(leaf, TracedArray) else lift(leaf, trace)
            )
            revised |= self._settle(k, part, part.result.type, kind)
        if revised:
            raise Retry

    def _settle(self, k: int, part: Part, type: ArrayType, kind: Kind) -> bool:
        """Take the type that a part has after an iteration; say whether it was another before."""
        init = part.init
        if init.type == type and (part.kind is kind or part.kind is Kind.SCALAR):
            return False
        if init.type.shape != type.shape:
            raise self._differs(init.type, type)
        if part.kind is Kind.PYTHON:
            # A Python number takes the type that it has after an iteration, as in NumPy.
            number = PYTHON_TYPES[init.type.dtype.kind](0)
            dtype = np.result_type(type.dtype, number)
            assert part.given is not None
            if not holds_number(dtype, part.init) or (
                kind is not Kind.PYTHON and _has_narrow(part.given._trace.builder.eqns)
            ):  # beside a narrow type, a Python number takes that, and NumPy's own would not
                raise self._differs("a Python number", type)
            known = (dtype, kind)
        elif kind is Kind.PYTHON and part.kind is not Kind.ARRAY:
            number = PYTHON_TYPES[type.dtype.kind](0)
            dtype = np.result_type(init.type.dtype, number)
            if dtype != init.type.dtype:
                raise self._differs(init.type, type)
            known = (dtype, part.kind)
            if part.result is not None and part.result.type.dtype != dtype:
                assert part.given is not None
                part.result = _cast(part.result, kind, dtype, part.given._trace)
            return False
        else:
            raise self._differs(init.type, type)
        if self.settled.get(k) == known:
            if part.result is not None and part.result.type.dtype != dtype:
                assert part.given is not None
                part.result = _cast(part.result, kind, dtype, part.given._trace)
            return False
        self.settled[k] = known
        return True

    def _changes(self, end: Any) -> Peel:
        return self._differs(shown(self.start), shown(end))

    def _differs(self, before: Any, after: Any) -> Peel:
        if before == after:
            return Peel(f"`{self.label}` is {before} of another kind after an iteration")
        return Peel(f"`{self.label}` is {before} before an iteration and {after} after it")


def shown(value: Any) -> str:
    """Return how messages call a value: by its type, but for what a user writes as it is."""
    if isinstance(value, TracedArray):
        return str(value.type)
    return repr(value) if value is None or isinstance(value, int | str) else type(value).__name__


def unbound(name: str) -> str:
    """Return what Python says of a variable that is read before it has a value."""
    return f"cannot access local variable '{name}' where it is not associated with a value"


def _first_role(start: Any, is_rebound: bool) -> Role:
    if start is MISSING:
        return Role.LATE
    if isinstance(start, TracedSize):
        return Role.SAME
    if isinstance(start, TracedArray):
        is_array = start._kind is Kind.ARRAY
        return Role.CARRY if is_rebound or not is_array else Role.SAME
    if isinstance(start, float | complex | np.generic):
        return Role.CARRY
    if is_rebound and children_of(start) is not None and leaves_of(start, False)[1]:
        return Role.CARRY
    return Role.SAME


def _is_same(start: Any, end: Any) -> bool:
    if start is end:
        return True
    if isinstance(start, TracedArray) and isinstance(end, TracedArray):
        return start._kind is not Kind.ARRAY and start._value is end._value
    if same_static(start, end):
        return True
    first, second = _maybe_dim(start), _maybe_dim(end)
    if first is not None and second is not None and type(start) is not bool:
        return bool(type(end) is not bool and _equal_dims(first, second))
    if children_of(start) is not None and children_of(end) is not None:
        (one, left), (other, right) = leaves_of(start, False), leaves_of(end, False)
        return one == other and all(map(_is_same, left, right))
    return False


def _equal_dims(left: Size, right: Size) -> bool:
    return type(left) is type(right) and left == right


def holds_number(dtype: np.dtype, number: Atom) -> bool:
    """Whether a Python number may be one of the dtype: nothing is rounded."""
    if dtype.char not in "efF" or number.type.dtype.kind in "iub":
        return True
    return isinstance(number, Literal) and bool(dtype.type(number.value) == number.value)


def _has_narrow(eqns: Sequence[Eqn]) -> bool:
    """Whether types narrower than Python's numbers are among operands."""
    return any(
        a.type.dtype.char in "efF" or any(_has_narrow(r.eqns) for r in e.op.regions)
        for e in eqns
        for a in e.operands
    )


def _can_carry(value: Any) -> bool:
    return is_leaf(value) or type(value) in (int, bool)


def _maybe_dim(value: Any) -> Size | None:
    if isinstance(value, TracedSize):
        return value.dim
    return value if type(value) is int else None


def _dim_of(value: Any) -> Size:
    found = _maybe_dim(value)
    assert found is not None
    return found


def _cast(atom: Atom, kind: Kind, dtype: np.dtype, trace: Trace) -> Atom:
    if isinstance(atom, Literal):
        return Literal(np.asarray(atom.value).astype(dtype)[()])
    made: TracedArray = cast(TracedArray(atom, kind, trace), dtype)
    return made._atom


def rebuilt(structure: Structure, parts: Sequence[Any]) -> Any:
    """Return a value of a structure; ints that were carried are what they were."""
    return unflatten(structure, iter(parts))


__all__ = [
    "MISSING",
    "Missing",
    "Part",
    "Peel",
    "Retry",
    "Role",
    "Variable",
    "holds_number",
    "is_plain",
    "leaves_of",
    "rebuilt",
    "shown",
    "unbound",
]
