"""Drives an `if` of the user's: both branches staged as one `Cond`, or the one that is taken.

Each branch runs once in a region of its own, from the values that the variables have before it.
Afterwards each variable has one value for both: the same object, or results of the `Cond`. What
cannot be staged is undone, and the condition is asked for its value: that is an error, or, for a
value of the present arguments, a guard under which the program is good for calls that agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import Any

import numpy as np

from ..ir.closing import close
from ..ir.core import Atom, Eqn, Function, Literal, Value, default_kind
from ..ir.dims import Dim
from ..ir.errors import ConcretizationError
from ..ir.op import Effect
from ..ir.ops.check import Ensure
from ..ir.ops.cond import Cond
from ..ir.ops.select import Convert
from ..ir.ops.shape import Full
from ..ir.types import Kind
from .array import TracedArray, lift
from .checks import is_raised_by_user, may_be_caught, raised
from .driving import LIMIT, Driver, Recurring, reason, refuse_writes, replaced, truth
from .loop_memory import storage_of
from .promotion import PYTHON_TYPES
from .regions import Overlay, Region, Unstageable
from .state import Trace, locate
from .storage import Storage
from .tree import Structure, same_static, unflatten
from .variables import MISSING, holds_number, leaves_of, shown


class Mode(Enum):
    """What the next run is."""

    START = "nothing has run"
    FIRST = "the first branch, in a region"
    SECOND = "the second branch, in a region"
    FAILED = "a branch has raised"
    DONE = "the branch that is taken has run, or both"


class _Branch:
    """What a branch has done: its region, and the variables after it."""

    def __init__(self, region: Region, ends: dict[str, Any]) -> None:
        self.region = region
        self.ends = ends
        self.written = {id(o.storage): (o, final) for o, final in region.written()}
        self.atoms: list[Atom] = []


class BranchDriver(Driver):
    """One execution of an `if` statement."""

    def __init__(self, site: Sequence[Any], place: Any, condition: Any) -> None:
        super().__init__(site, place)
        self.mode = Mode.START
        self.condition = condition
        self.then = True
        self.is_emitted = False
        self.check: tuple[Region, Eqn] | None = None
        self.branches: list[_Branch] = []
        self.raised: list[BaseException | None] = [None, None]

    # -- what the rewritten function calls ---------------------------------------------------------

    def go(self, names: Mapping[str, Any]) -> bool:
        """Say whether a branch runs, which `then` says, and prepare it."""
        self.unpack = False
        if self.mode is Mode.DONE:
            return False
        if self.mode is Mode.START:
            known = truth(self.condition)
            if not isinstance(known, TracedArray):
                return self._take(known)
            self.condition = known
            self.remember(names)
            if self.memo.failures >= LIMIT:
                return self._choose(self.memo.why, restore=False)
            return self._run(Mode.FIRST, names)
        if self.mode is Mode.FAILED:
            return self._after_failure(names)
        try:
            self._keep(names)
            if self.mode is Mode.SECOND:
                return self._finish(names)
        except Exception as error:
            if self.is_emitted:  # nothing undoes that
                raise
            self.close()
            return self._choose(reason(error), restore=True)
        self.close(is_used=True)
        return self._run(Mode.SECOND, names)

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        if self.region is not None and error is not None and self._may_check(error):
            try:
                self.check = self.region, raised(error, self.region)
            except Unstageable:
                pass
            except BaseException:
                self.close()
                raise
        swallowed = super().__exit__(kind, error, traceback)
        if swallowed:
            self.raised[0 if self.mode is Mode.FIRST else 1] = error
            self.mode = Mode.FAILED
        return swallowed

    # -- a branch that raises ----------------------------------------------------------------------

    def _may_check(self, error: BaseException) -> bool:
        assert self.trace is not None
        return is_raised_by_user(error) and not may_be_caught(error, self.trace)

    def _go_on(self, region: Region, check: Eqn) -> bool:
        """Let the program raise where the branch that raises is taken, and take the other one."""
        trace = self.trace
        assert trace is not None
        is_first = self.then
        if region.builder.eqns == [check]:
            trace.builder.provenance = check.provenance
            scope = region.outside()
            values = [scope.get(a, a) for a in check.operands[1:]]
            assert isinstance(check.op, Ensure)
            op = replace(check.op, expected=not is_first)
            trace.builder.emit(op, [self.condition._atom, *values])
        else:
            branches = [_Branch(region, {}), _Branch(Region(trace), {})]
            _emit(trace, self.condition, *(branches if is_first else branches[::-1]))
        if trace.root is trace:
            trace.inputs.checks.add(trace.builder.eqns[-1])
        self.report("staged", "it raises when the program runs")
        self.assign(self.start)
        return self._take(not is_first)

    # -- the branch that is taken ------------------------------------------------------------------

    def _take(self, then: bool) -> bool:
        self.then = then
        self.mode = Mode.DONE
        return True

    def _choose(self, why: str, *, restore: bool) -> bool:
        """Ask for the value of the condition, and take its branch."""
        self.memo.failures += 1
        self.memo.why = why
        trace = self.trace
        assert trace is not None
        try:
            then = bool(self.condition)
        except ConcretizationError as error:
            text = f"{error}\n  Both branches could not be compiled into one program: {why}."
            raise ConcretizationError(text) from None
        if restore:
            self.assign(self.start)
        return self._take(then)

    # -- both branches -----------------------------------------------------------------------------

    def _run(self, mode: Mode, names: Mapping[str, Any]) -> bool:
        assert self.trace is not None
        try:
            self.open(Region(self.trace), names)
        except Unstageable as error:
            return self._choose(reason(error), restore=mode is Mode.SECOND)
        if mode is Mode.SECOND:
            self.assign(self.start)
        self.mode = mode
        self.then = mode is Mode.FIRST
        return True

    def _after_failure(self, names: Mapping[str, Any]) -> bool:
        error = self.failure
        assert error is not None
        if isinstance(error, Recurring):
            self.assign(self.start)
            return self._take(self.raised[1] is error)
        if self.check is not None:
            return self._go_on(*self.check)
        return self._choose(reason(error), restore=True)

    def _keep(self, names: Mapping[str, Any]) -> None:
        """Keep what the branch that has run has done."""
        region = self.region
        assert region is not None
        if region.watch.changes():
            raise Unstageable("it changes what a container holds")
        if region.appended:
            raise Unstageable("it appends to a list in one branch")
        ends = {n: names.get(n, MISSING) for n in self.site.after}
        branch = _Branch(region, {})
        for name, end in ends.items():
            branch.ends[name] = _End(end, region)
        self.branches.append(branch)

    def _finish(self, names: Mapping[str, Any]) -> bool:
        """Merge the two branches."""
        trace = self.trace
        assert trace is not None
        first, second = self.branches
        merged = {
            n: _merge(n, first.ends[n], second.ends[n], first, second) for n in self.site.after
        }
        storages = _merge_storages(first, second)
        memory = _Memory(self, list(merged.values()), self.branches)
        self.close(is_used=True)
        self.is_emitted = True
        results = _emit(trace, self.condition, first, second)
        for storage in dict.fromkeys(memory.outside):
            memory.refuse(storage)
        for position, overlay in storages:
            overlay.storage.put(results[position])
        values = dict(self.start)
        for name, merge in merged.items():
            values[name] = merge.value(results, trace, memory)
        self.assign(values)
        self.mode = Mode.DONE
        self.report("staged")
        return False


class _End:
    """The value of a variable after a branch, read while the branch's region is open."""

    def __init__(self, value: Any, region: Region) -> None:
        self.value = value
        self.structure: Structure | None = None
        self.leaves: list[Any] = []
        self.atoms: list[tuple[Atom, Kind]] = []
        self.region = region
        if value is not MISSING:
            self.structure, self.leaves = leaves_of(value, True)
            self.atoms = [lift(leaf, region) for leaf in self.leaves]


class _Merged:
    """One variable after both branches: an object, or a structure over results of the `Cond`.

    `pairs` are what the leaves are after either branch.
    """

    def __init__(self, value: Any = MISSING) -> None:
        self.plain = value
        self.structure: Structure | None = None
        self.positions: list[tuple[int, Kind]] = []
        self.pairs: list[tuple[Any, Any]] = []

    def value(self, results: Sequence[Atom], trace: Trace, memory: _Memory) -> Any:
        """Return the value for the user's code."""
        if self.structure is None:
            return self.plain
        made: list[Any] = []
        for k, (position, kind) in enumerate(self.positions):
            array = TracedArray(results[position], kind, trace)
            if kind is Kind.ARRAY and self.pairs and memory.is_shared(self.pairs[k]):
                memory.refuse(array._as_view().storage)
            made.append(array)
        return unflatten(self.structure, iter(made))


class _Memory:
    """Which arrays share memory after a branch in plain NumPy, and are values of their own here.

    A write into one of them would have to be seen in the others: it traces the function anew.
    """

    def __init__(
        self, driver: Driver, merged: Sequence[_Merged], branches: Sequence[_Branch]
    ) -> None:
        self.memo = driver.memo
        self.count: dict[int, int] = {}
        self.outside: list[Storage] = []
        for merge in merged:
            for pair in merge.pairs:
                for leaf, branch in zip(pair, branches, strict=True):
                    self._add(storage_of(leaf), branch.region)

    def _add(self, storage: Storage | None, region: Region) -> None:
        if storage is None:
            return
        known = self.count.get(id(storage), 0)
        self.count[id(storage)] = known + 1 + (storage.unsettled is not None)
        if storage.trace is not region:
            self.count[id(storage)] += 1
            self.outside.append(storage)

    def is_shared(self, pair: tuple[Any, Any]) -> bool:
        """Whether the memory of an array is that of another one, after either branch."""
        return any(self.count.get(id(storage_of(leaf)), 0) > 1 for leaf in pair)

    def refuse(self, storage: Storage) -> None:
        """Refuse writes into a storage."""
        why = "an array is written that has the memory of one that a branch binds"
        refuse_writes(storage, self.memo, why)


def _merge(name: str, left: _End, right: _End, first: _Branch, second: _Branch) -> _Merged:
    """Return one value for two.

    Raises
    ------
    Unstageable
        Where no value stands for both: they differ in structure, shape or dtype.
    """
    a, b = left.value, right.value
    if a is b or (a is not MISSING and b is not MISSING and same_static(a, b)):
        return _Merged(a)
    if name.startswith("__pb_") and (a is MISSING or b is MISSING or a is None or b is None):
        return _one_sided(left, right, first, second)
    if a is MISSING or b is MISSING:
        raise Unstageable(f"`{name}` has a value after one branch only")
    if left.structure != right.structure:
        raise Unstageable(f"`{name}` is {shown(a)} after one branch and {shown(b)} after the other")
    merged = _Merged()
    merged.structure = left.structure
    for (x, kind_x), (y, kind_y) in zip(left.atoms, right.atoms, strict=True):
        merged.positions.append(_pair(name, (x, kind_x), (y, kind_y), first, second))
    merged.pairs = list(zip(left.leaves, right.leaves, strict=True))
    return merged


def _one_sided(left: _End, right: _End, first: _Branch, second: _Branch) -> _Merged:
    """Return the value of a variable of the rewrite, which is read on the side that has it only."""
    has, lacks = (left, second) if left.value not in (MISSING, None) else (right, first)
    other = first if lacks is second else second
    if has.value in (MISSING, None):
        return _Merged(has.value)
    merged = _Merged()
    merged.structure = has.structure
    for atom, kind in has.atoms:
        if any(not isinstance(d, int) for d in atom.type.shape):
            raise Unstageable("the size of a result is known only in one branch")
        blank: Atom
        if atom.type.shape:
            zero = Literal(atom.type.dtype.type(0))
            blank = lacks.region.builder.one(Full(atom.type.shape), zero)
        else:
            blank = Literal(np.zeros((), atom.type.dtype)[()])
        lacks.atoms.append(blank)
        other.atoms.append(atom)
        merged.positions.append((len(lacks.atoms) - 1, kind))
    return merged


def _pair(
    name: str, left: tuple[Atom, Kind], right: tuple[Atom, Kind], first: _Branch, second: _Branch
) -> tuple[int, Kind]:
    """Make two atoms one result of the `Cond`; return its position and kind."""
    (x, kind_x), (y, kind_y) = left, right
    if x.type.shape != y.type.shape:
        raise Unstageable(f"`{name}` is {x.type} after one branch and {y.type} after the other")
    kind = kind_x
    if kind_x is not kind_y:
        if Kind.PYTHON not in (kind_x, kind_y):
            raise Unstageable(f"`{name}` is an array without axes after one branch only")
        kind = kind_y if kind_x is Kind.PYTHON else kind_x
    if x.type != y.type:
        dtype = _common(name, left, right)
        x = _converted(x, kind_x, dtype, first.region)
        y = _converted(y, kind_y, dtype, second.region)
    first.atoms.append(x)
    second.atoms.append(y)
    return len(first.atoms) - 1, kind


def _common(name: str, left: tuple[Atom, Kind], right: tuple[Atom, Kind]) -> np.dtype:
    """Return the dtype of a Python number beside a typed one, or beside another Python number."""
    (x, kind_x), (y, kind_y) = left, right
    if Kind.PYTHON not in (kind_x, kind_y):
        raise Unstageable(f"`{name}` is {x.type} after one branch and {y.type} after the other")
    one = PYTHON_TYPES[x.type.dtype.kind](0) if kind_x is Kind.PYTHON else x.type.dtype
    two = PYTHON_TYPES[y.type.dtype.kind](0) if kind_y is Kind.PYTHON else y.type.dtype
    if kind_x is kind_y:
        return np.result_type(x.type.dtype, y.type.dtype)
    dtype = np.result_type(one, two)
    if not holds_number(dtype, x if kind_x is Kind.PYTHON else y):
        raise Unstageable(
            f"`{name}` is {dtype} after one branch and a Python number after the other"
        )
    return dtype


def _converted(atom: Atom, kind: Kind, dtype: np.dtype, region: Region) -> Atom:
    if atom.type.dtype == dtype:
        return atom
    if isinstance(atom, Literal):
        return Literal(np.asarray(atom.value).astype(dtype)[()])
    return region.builder.one(Convert(dtype), atom)


def _merge_storages(first: _Branch, second: _Branch) -> list[tuple[int, Overlay]]:
    """Make the content of what either branch writes a result; return positions and storages."""
    found: list[tuple[int, Overlay]] = []
    for key in {**first.written, **second.written}:
        overlay, _ = first.written.get(key) or second.written[key]
        for branch in (first, second):
            branch.atoms.append(
                branch.written[key][1] if key in branch.written else overlay.outside
            )
        found.append((len(first.atoms) - 1, overlay))
    return found


# ---- the equation --------------------------------------------------------------------------------


def _emit(trace: Trace, condition: TracedArray, first: _Branch, second: _Branch) -> Sequence[Atom]:
    """Emit the `Cond` of two branches; nothing where it would do nothing."""
    branches = (first, second)
    if not first.atoms and not any(_acts(b.region.builder.eqns) for b in branches):
        return ()
    closed: list[tuple[Function, list[Value]]] = []
    for branch, name in zip(branches, ("then", "otherwise"), strict=True):
        scope = branch.region.outside()
        eqns = replaced(branch.region.builder.eqns, scope)
        closed.append(close(name, [], eqns, [scope.get(a, a) for a in branch.atoms]))
    outside = list(dict.fromkeys([*closed[0][1], *closed[1][1]]))
    dims = tuple(dict.fromkeys([*closed[0][0].dims, *closed[1][0].dims]))
    functions = []
    for function, captured in closed:
        own = dict(zip(captured, function.params, strict=True))
        params = [own.get(v) or Value(v.type, v.hint, layout=v.layout) for v in outside]
        kinds = list(map(default_kind, params))
        functions.append(function.replace(params=params, param_kinds=kinds, dims=dims))
    trace.builder.provenance = locate(trace)
    op = Cond(tuple(functions), tuple([Dim.of(s) for s in dims]))
    return trace.builder.emit(op, [condition._atom, *outside])


def _acts(eqns: Sequence[Eqn]) -> bool:
    return any(e.op.effect is not Effect.PURE for e in eqns)


__all__ = ["BranchDriver"]
