"""Makes the `Loop` of a loop whose body has been traced, and what the variables are after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.binding import mentioned
from ..ir.builder import Builder
from ..ir.closing import close, region_dims
from ..ir.core import Atom, Eqn, Function, Literal, Value
from ..ir.dims import Dim, Symbol, symbols
from ..ir.op import ELEMENTWISE, Effect
from ..ir.ops.cond import Cond
from ..ir.ops.control import Loop
from ..ir.types import ArrayType, Kind
from .array import TracedArray, lift
from .driving import refuse_writes, replaced, used_values
from .functions.create import zeros
from .functions.known import require
from .loop_memory import settle, share_start, shared_after, storage_of
from .regions import Region, Unstageable, append, is_in_loop
from .rows import Row
from .size import TracedSize, user_size
from .state import Trace, locate
from .storage import Storage
from .tree import unflatten
from .variables import MISSING, Part, Role, Variable, is_plain, leaves_of, unbound

if TYPE_CHECKING:
    from .loop_driver import LoopDriver

BOOL = np.dtype(np.bool_)


class _Carry:
    """One carried value of the loop: its initial value, parameter, and value after an iteration.

    `array` is the array of a variable that has no value before the loop.
    """

    __slots__ = ("array", "init", "kind", "param", "result")

    def __init__(
        self, init: Atom | None, param: Value, result: Atom, kind: Kind, array: Any = None
    ) -> None:
        self.array = array
        self.init = init
        self.param = param
        self.result = result
        self.kind = kind


class _Memory:
    """Which arrays share memory in plain NumPy after the loop, and are values of their own here.

    A write into one of them would have to be seen in the others: it traces the function anew.
    """

    def __init__(self, driver: LoopDriver, late: Sequence[Any]) -> None:
        self.driver = driver
        arrays = [c.array for c in late if isinstance(c, _Carry)]
        self.shared, self.outside = shared_after(driver, arrays)

    def refuse(self) -> None:
        """Refuse writes into the arrays of outside that share memory with what the loop makes."""
        for storage in dict.fromkeys(self.outside):
            self.refusal(storage)

    def refusal(self, storage: Storage) -> None:
        """Refuse writes into a storage."""
        why = "an array is written that has the memory of one that the loop binds or appends"
        refuse_writes(storage, self.driver.memo, why)

    def made(self, atom: Atom, kind: Kind, like: Any) -> TracedArray:
        """Return a result of the loop, of which `like` is what an iteration has made."""
        assert self.driver.trace is not None
        array = TracedArray(atom, kind, self.driver.trace)
        if kind is Kind.ARRAY and id(storage_of(like)) in self.shared:
            self.refusal(array._as_view().storage)
        return array


def emit_loop(driver: LoopDriver) -> Mapping[str, Any]:
    """Close the region of a driver as a `Loop`; return what the names are after it.

    Raises
    ------
    Unstageable
    """
    from .loop_driver import int_atom

    region, trace = driver.region, driver.trace
    assert region is not None
    assert trace is not None
    flag = _flag(driver)
    carries, parts, last = _carries(driver, region, flag)
    written = [
        (o, final, _Carry(o.outside, _param(o), final, Kind.ARRAY)) for o, final in region.written()
    ]
    carries += [c for _, _, c in written]
    captured = {o.param: o.outside for o in region.overlays.values() if o.param is not None}
    for _, _, carry in written:
        captured.pop(carry.param)
    captured.update(_invariant(driver))
    outputs, kinds, counts = _outputs(region)
    ranged = driver.source is not None or _is_counted(region, carries)
    body, outside = _body(driver, region, carries, captured, outputs, ranged)
    test = _test(driver, body, flag)
    body = body.replace(results=body.results[:-1]) if driver.test_at is not None else body
    memory = _Memory(driver, [c for _, found in last.values() for c in found])
    driver.close(is_used=True)
    trips: Any = driver.trips
    if test is not None or trips is None:
        trips = Symbol("n")
    op = Loop(
        body,
        len(carries),
        trips,
        ranged=ranged,
        test=test,
        counts=test is not None or driver.trips is None or not (carries or outputs),
        dims=region_dims(body) if ranged else tuple(map(Dim.of, body.dims)),
    )
    driver.is_emitted = True
    trace.builder.provenance = locate(trace)
    bounds = (driver.lo, driver.hi, driver.step) if ranged else ()
    ends = [int_atom(v, trace) for v in bounds]
    inits = [_init(c, trace) for c in carries]
    made = trace.builder.emit(op, [*ends, *inits, *outside])
    results = dict(zip(map(id, carries), made, strict=False))
    count = made[-1] if op.counts else None
    for overlay, _, carry in written:
        overlay.storage.put(results[id(carry)])
    contents = {id(p): results[id(c)] for p, c in parts.items() if c is not None}
    bound = settle(driver, contents)
    memory.refuse()
    _extend(region, made[len(carries) :], kinds, counts, trips, memory)
    return _after(driver, contents, bound, last, results, count, memory)


def _param(overlay: Any) -> Value:
    param: Value | None = overlay.param
    assert param is not None
    return param


# ---- carries -------------------------------------------------------------------------------------


def _flag(driver: LoopDriver) -> Part | None:
    """Return the part that says that the loop is left, None where it never is."""
    name = driver.site.flag
    variable = driver.variables.get(name) if name is not None else None
    if variable is None or variable.role is not Role.CARRY:
        return None
    part = variable.parts[0]
    if part.result is part.param:
        return None
    if isinstance(part.result, Literal) and not part.result.value:
        return None
    return part


def _every(driver: LoopDriver) -> list[Variable]:
    return [*driver.variables.values(), *[v for _, v in driver.cells.values()]]


def _carries(
    driver: LoopDriver, region: Region, flag: Part | None
) -> tuple[list[_Carry], dict[Part, _Carry | None], dict[str, tuple[Any, list[Any]]]]:
    """Return the carries, those of the parts of variables, and the late variables' values."""
    carries: list[_Carry] = []
    parts: dict[Part, _Carry | None] = {}
    for variable in _every(driver):
        if variable.role is not Role.CARRY:
            continue
        for part in variable.parts:
            assert part.param is not None
            assert part.result is not None
            if part.result is part.param:
                parts[part] = None
                continue
            _check_type(part.result.type, region, variable.label)
            carries.append(_Carry(part.init, part.param, part.result, part.kind))
            parts[part] = carries[-1]
    late: dict[str, tuple[Any, list[Any]]] = {}
    for name, variable in driver.variables.items():
        if variable.role is not Role.LATE or variable.end is MISSING:
            continue
        if name not in driver.site.after:
            continue
        late[name] = _late(driver, region, variable, carries)
    return carries, parts, late


def _late(
    driver: LoopDriver, region: Region, variable: Variable, carries: list[_Carry]
) -> tuple[Any, list[Any]]:
    """Return the structure of a variable's last value, and its leaves: carries, or known ones."""
    structure, leaves = leaves_of(variable.end, False)
    if not (driver._surely_runs() or variable.is_ours) and is_in_loop(driver.trace):
        # Where this loop does not run, an earlier iteration of the loop around may have bound it.
        raise UnboundLocalError(unbound(variable.label))
    found: list[Any] = []
    for leaf in leaves:
        if isinstance(leaf, TracedSize):
            last = driver.last_dim(leaf.dim)
            if last is not None and driver._surely_runs() and _flag(driver) is None:
                found.append(last)
                continue
        if isinstance(leaf, TracedArray):
            atom, kind = leaf._atom, leaf._kind
            _check_type(atom.type, region, variable.label)
            param = Value(atom.type, atom.hint)
            carries.append(_Carry(None, param, atom, kind, leaf))
            found.append(carries[-1])
        else:
            found.append(leaf)
    if not any(isinstance(f, _Carry) for f in found) and not driver._surely_runs():
        raise Unstageable(f"`{variable.label}` has a value only if the loop runs at all")
    return structure, found


def _check_type(type: ArrayType, region: Region, label: str) -> None:
    assert region.index is not None
    inside = {region.index[0], *region.builder.bound}
    if any(s in inside for d in type.shape for s in symbols(d)):
        raise Unstageable(f"`{label}` changes its shape from iteration to iteration")


def _init(carry: _Carry, trace: Trace) -> Atom:
    if carry.init is not None:
        return carry.init
    type = carry.param.type
    if not type.shape:
        return Literal(np.zeros((), type.dtype)[()])
    made: TracedArray = zeros(type.shape, type.dtype)
    return made._atom


def _invariant(driver: LoopDriver) -> dict[Value, Atom]:
    """Return what stands outside for the parameters that no iteration changes."""
    return {
        p.param: p.init
        for v in _every(driver)
        if v.role is Role.CARRY
        for p in v.parts
        if p.param is not None and p.result is p.param
    }


# ---- lists ---------------------------------------------------------------------------------------


_Appended = tuple[int, Any, list[tuple[Any, Kind]]]
"""What an iteration appends: the list, the structure of the value, and its leaves."""


def _outputs(region: Region) -> tuple[list[Atom], list[_Appended], int]:
    """Return what an iteration appends to lists: atoms, and for each value list and structure."""
    atoms: list[Atom] = []
    values: list[_Appended] = []
    for owner, appended in region.appended.items():
        if owner in region.read_lists:
            raise Unstageable("a list is read while the loop appends to it")
        for value in appended:
            structure, leaves = leaves_of(value, True)
            if not is_plain(structure):
                raise Unstageable(f"it appends a {type(value).__name__} to a list")
            lifted = [lift(leaf, region) for leaf in leaves]
            atoms += [a for a, _ in lifted]
            kinds = [k for _, k in lifted]
            values.append((owner, structure, list(zip(leaves, kinds, strict=True))))
    for atom in atoms:
        _check_type(atom.type, region, "what is appended")
    return atoms, values, len(atoms)


def _extend(
    region: Region,
    stacks: Sequence[Atom],
    values: Sequence[_Appended],
    count: int,
    trips: Any,
    memory: _Memory,
) -> None:
    """Append the rows of the stacks to the lists, in the order of the iterations."""
    trace = memory.driver.trace
    assert trace is not None
    arrays = [TracedArray(s, Kind.ARRAY, trace) for s in stacks[:count]]
    by_list: dict[int, list[tuple[Any, list[tuple[TracedArray, Kind, Any]]]]] = {}
    position = 0
    for owner, structure, leaves in values:
        mine = []
        for array, (leaf, kind) in zip(arrays[position:], leaves, strict=False):
            is_shared = kind is Kind.ARRAY and id(storage_of(leaf)) in memory.shared
            mine.append((array, kind, memory.refusal if is_shared else None))
        position += len(leaves)
        by_list.setdefault(owner, []).append((structure, mine))
    for owner, entries in by_list.items():
        target = region.watch.held[owner].container
        for k in range(trips):
            for structure, mine in entries:
                rows = [Row(array, k, kind, refusal) for array, kind, refusal in mine]
                append(target, unflatten(structure, iter(rows)))


# ---- functions -----------------------------------------------------------------------------------


def _body(
    driver: LoopDriver,
    region: Region,
    carries: Sequence[_Carry],
    captured: Mapping[Value, Atom],
    outputs: Sequence[Atom],
    ranged: bool,
) -> tuple[Function, list[Value]]:
    assert region.index is not None
    if region.appended and (driver.trips is None or not isinstance(driver.trips, int)):
        raise Unstageable("it appends to a list as often as only the program knows")
    if region.appended and (driver.test_at is not None or _flag(driver) is not None):
        raise Unstageable("it appends to a list, and may be left early")
    symbol, index = region.index
    scope: dict[Atom, Atom] = {p: a for p, a in captured.items()}  # noqa: C416 - for its type
    eqns = replaced(region.builder.eqns, scope)
    results = [scope.get(c.result, c.result) for c in carries]
    results += [scope.get(a, a) for a in outputs]
    if driver.test_at is not None:
        tested = driver.tested
        atom = Literal(np.True_) if tested is True else tested._atom
        results.append(scope.get(atom, atom))
    return close(
        "body",
        [*([index] if ranged else []), *[c.param for c in carries]],
        eqns,
        results,
        dims=(symbol,) if ranged else (),
        param_kinds=[*([Kind.SCALAR] if ranged else []), *[c.kind for c in carries]],
    )


def _is_counted(region: Region, carries: Sequence[_Carry]) -> bool:
    """Whether the body of a `while` uses the number of its iteration."""
    assert region.index is not None
    symbol, index = region.index
    if any(symbol in mentioned(e) for e in region.builder.eqns):
        return True
    return index in used_values(region.builder.eqns) or any(c.result is index for c in carries)


def _test(driver: LoopDriver, body: Function, flag: Part | None) -> Function | None:
    """Return the test of the loop: the flag is not set, and what the `while` says holds."""
    if driver.test_at is None and flag is None:
        return None
    builder = Builder()
    params = [builder.param(Value(p.type, p.hint, layout=p.layout)) for p in body.params]
    left: Atom | None = None
    if flag is not None:
        left = next(p for p, own in zip(params, body.params, strict=True) if own is flag.param)
    count = driver.test_at or 0
    result: Atom
    if driver.test_at is None:
        assert left is not None
        result = builder.one(ELEMENTWISE[np.logical_not], left)
    elif left is None:
        result = _copied(builder, body, params, count)
    elif count == 0 and isinstance(body.results[-1], Literal):
        result = builder.one(ELEMENTWISE[np.logical_not], left)
    else:
        result = _unless(builder, left, body, params, count)
    return Function("test", params, builder.eqns, [result], dims=body.dims)


def _copied(builder: Builder, body: Function, params: Sequence[Value], count: int) -> Atom:
    """Write the first equations of a body, which compute its last result; return that."""
    scope: dict[Atom, Atom] = dict(zip(body.params, params, strict=True))
    for eqn in body.eqns[:count]:
        if eqn.op.effect is Effect.ORDERED:
            raise Unstageable("the test of the loop prints, draws or stores")
        results = tuple([r.fresh() for r in eqn.results])
        operands = tuple([scope.get(a, a) for a in eqn.operands])
        builder.add(Eqn(eqn.op, operands, results, eqn.provenance))
        scope.update(zip(eqn.results, results, strict=True))
    return scope.get(body.results[-1], body.results[-1])


def _unless(
    builder: Builder, left: Atom, body: Function, params: Sequence[Value], count: int
) -> Atom:
    """Write the test of a `while` that is not asked once the loop is left."""
    branches = []
    for is_left in (True, False):
        inner = Builder()
        own = [inner.param(Value(p.type, p.hint, layout=p.layout)) for p in params]
        result: Atom = Literal(np.False_)
        if not is_left:
            result = _copied(inner, body, own, count)
        name = "left" if is_left else "goes_on"
        branches.append(Function(name, own, inner.eqns, [result], dims=body.dims))
    dims = tuple([Dim.of(s) for s in body.dims])
    return builder.one(Cond(tuple(branches), dims), left, *params)


# ---- after the loop ------------------------------------------------------------------------------


def _after(
    driver: LoopDriver,
    contents: Mapping[int, Atom],
    bound: Mapping[int, Any],
    late: Mapping[str, tuple[Any, list[Any]]],
    results: Mapping[int, Atom],
    count: Atom | None,
    memory: _Memory,
) -> dict[str, Any]:
    trace = driver.trace
    assert trace is not None
    found: dict[str, Any] = {}
    for name, variable in driver.variables.items():
        found[name] = _final(driver, variable, contents, bound, count, memory)
    for content, variable in driver.cells.values():
        key = next(k for (_, k), (_, v) in driver.cells.items() if v is variable)
        content[key] = _final(driver, variable, contents, bound, count, memory)
    surely = driver._surely_runs()
    for name, (structure, leaves) in late.items():
        made: list[Any] = []
        for leaf in leaves:
            if isinstance(leaf, _Carry):
                array: Any = memory.made(results[id(leaf)], leaf.kind, leaf.array)
                checked = surely or driver.variables[name].is_ours
                made.append(array if checked else _if_run(driver, name, array, count))
            else:
                made.append(user_size(leaf) if isinstance(leaf, Dim) else leaf)
        found[name] = unflatten(structure, iter(made))
    return found


def _if_run(driver: LoopDriver, name: str, value: Any, count: Atom | None) -> Any:
    """Return a value that exists only where the loop has run at least once."""
    trips: Any
    assert driver.trace is not None
    if count is not None:
        trips = TracedArray(count, Kind.SCALAR, driver.trace)
    else:
        assert driver.trips is not None
        trips = user_size(driver.trips)
    return require(value, trips > 0, UnboundLocalError, unbound(name))


def _final(
    driver: LoopDriver,
    variable: Variable,
    contents: Mapping[int, Atom],
    bound: Mapping[int, Any],
    count: Atom | None,
    memory: _Memory,
) -> Any:
    trace = driver.trace
    assert trace is not None
    if variable.role is Role.LATE:
        return variable.start
    if variable.role is Role.SAME:
        return variable.start
    if variable.role is Role.STEP:
        trips: Any
        if count is not None:
            trips = TracedArray(count, Kind.PYTHON, trace)
        else:
            assert driver.trips is not None
            trips = user_size(driver.trips)
        grown = trips if variable.delta == 1 else variable.delta * trips
        is_zero = type(variable.start) is int and variable.start == 0
        return grown if is_zero else variable.start + grown
    made: list[Any] = []
    for part in variable.parts:
        if id(part) in bound:
            made.append(bound[id(part)])
        elif id(part) in contents:
            made.append(memory.made(contents[id(part)], part.kind, part.end))
            if part.kind is Kind.ARRAY and not driver._surely_runs():
                share_start(driver, part, made[-1]._as_view().storage)
        else:
            made.append(part.start)
    return unflatten(variable.structure, iter(made))


__all__ = ["emit_loop"]
