"""Whether the memory of carried arrays may be told apart: rebinding together with writes.

A carried array is a value that the loop owns. Where an iteration writes into it, plain NumPy writes
into the very array that the name was bound to, which others may see. It is right to stage where

* the names of written arrays are exchanged among themselves (`u, v = v, u`): then each array is
  known after a known number of trips;
* the arrays at the start were made by an iteration that ran by itself before: then nobody else has
  them, and what they hold after the loop is not known, which a later read or write finds out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..ir.core import Value
from ..ir.types import Kind
from .array import TracedArray
from .driving import Restage, refuse_writes
from .regions import Unstageable
from .storage import Storage
from .variables import Part, Peel, Retry, Role, Variable, leaves_of

if TYPE_CHECKING:
    from .loop_driver import LoopDriver
    from .regions import Region


def check_memory(driver: LoopDriver) -> None:
    """Raise where a loop, staged, would not do what plain NumPy does with its arrays.

    Raises
    ------
    Retry, Peel, Unstageable
    """
    region = driver.region
    assert region is not None
    carried = _carried(driver)
    owners = _owners(carried)
    affected = _affected(carried, owners)
    seen: dict[int, Variable] = {}
    for variable, part in carried:
        storage = storage_of(part.end)
        if storage is None:
            continue
        if _is_rewritten(storage, region):
            raise Unstageable(
                f"`{variable.label}` shares memory with an array that the loop writes into"
            )
        other = seen.get(id(storage))
        owner = owners.get(id(storage))
        is_written = owner is not None and owner.is_written
        if other is not None and (affected or storage.is_changed):
            raise Unstageable(f"`{other.label}` and `{variable.label}` end as one array")
        seen[id(storage)] = variable
        if part in affected and storage.unsettled is not None:
            raise Unstageable(f"`{variable.label}` may be another array, and is written into")
        if owner in affected and part.end._view.steps:
            raise Unstageable(f"`{variable.label}` is a part of an array that the loop writes into")
        if is_written and owner is part and part.end is part.given:
            # Never rebound: the array of outside itself is written.
            variable.role = Role.SAME
            raise Retry
    for variable, part in carried:
        start = storage_of(part.start)
        if start is not None and _is_rewritten(start, region):
            if driver.peeled == 0:
                raise Peel
            raise Unstageable(f"`{variable.label}` is written into under another name")
        if part in affected:
            _check_written(driver, variable, part, carried, owners)
    _check_appended(region, carried, owners, affected)


def _is_rewritten(storage: Storage, region: Region) -> bool:
    """Whether a storage is one of outside that the region writes into."""
    overlay = region.overlays.get(id(storage))
    return overlay is not None and storage.content is not overlay.entry


def _affected(carried: list[tuple[Variable, Part]], owners: dict[int, Part]) -> set[Part]:
    """Return the parts whose arrays at the start of an iteration some iteration writes into."""
    found = {p for _, p in carried if p.is_written}
    # An array that an iteration binds to another name is written when that name's is.
    while True:
        more = set()
        for _, part in carried:
            storage = storage_of(part.end)
            owner = owners.get(id(storage)) if storage is not None else None
            if part in found and owner is not None and owner not in found:
                more.add(owner)
        if not more:
            return found
        found |= more


def _check_written(
    driver: LoopDriver,
    variable: Variable,
    part: Part,
    carried: list[tuple[Variable, Part]],
    owners: dict[int, Part],
) -> None:
    region = driver.region
    assert region is not None
    start = part.start
    if not isinstance(start, TracedArray):
        raise Peel
    view = start._as_view()
    if view.steps:
        raise Unstageable(f"`{variable.label}` is a part of another array, and written into")
    if id(view.storage) in region.overlays:
        raise Unstageable(f"`{variable.label}` is written into, and has another name too")
    if view.storage.unsettled is not None:
        raise Unstageable(f"`{variable.label}` may be another array, and is written into")
    sharing = [
        v.label
        for v, p in carried
        if p is not part
        and isinstance(p.start, TracedArray)
        and storage_of(p.start) is view.storage
    ]
    if sharing:
        raise Unstageable(f"`{variable.label}` and `{sharing[0]}` start as one array")
    cycle = exchanged(part, carried, owners)
    if cycle is None and driver.peeled == 0:
        raise Peel
    if is_given(view.storage) and (cycle is None or not isinstance(driver.trips, int)):
        raise Unstageable(f"`{variable.label}` is an array of the caller, written and bound anew")


def is_given(storage: Storage) -> bool:
    """Whether an array is the caller's, or one that a loop around carries: others may have it."""
    param = storage.param
    return isinstance(param, Value) and param not in storage.trace.builder.producers


def _check_appended(
    region: Region,
    carried: list[tuple[Variable, Part]],
    owners: dict[int, Part],
    affected: set[Part],
) -> None:
    """Raise where an array that is appended to a list is written in a later iteration."""
    written = {id(storage_of(p.end)) for _, p in carried if p in affected}
    for values in region.appended.values():
        for value in values:
            for leaf in leaves_of(value, False)[1]:
                storage = storage_of(leaf)
                if storage is None:
                    continue
                is_written = _is_rewritten(storage, region) or id(storage) in written
                if is_written or owners.get(id(storage)) in affected:
                    raise Unstageable("an array is appended to a list and written into afterwards")


def exchanged(
    part: Part, carried: list[tuple[Variable, Part]], owners: dict[int, Part]
) -> list[Part] | None:
    """Return the cycle of parts whose arrays an iteration exchanges, None where it is none.

    After an iteration the first part is bound to the array of the second, and so on.
    """
    cycle = [part]
    while True:
        storage = storage_of(cycle[-1].end)
        owner = owners.get(id(storage)) if storage is not None else None
        if owner is None or cycle[-1].end._view.steps:
            return None
        if owner is part:
            return cycle
        if owner in cycle:
            return None
        cycle.append(owner)


def settle(driver: LoopDriver, contents: dict[int, Any]) -> dict[int, Any]:
    """Give arrays of outside what carried ones hold after the loop; return the names' new arrays.

    `contents` are the results of the loop by the id of the part, and what is returned is the array
    of outside that a part is bound to, where it is one.
    """
    carried = _carried(driver)
    owners = _owners(carried)
    affected = _affected(carried, owners)
    bound: dict[int, Any] = {}
    for _, part in carried:
        cycle = exchanged(part, carried, owners)
        storage = storage_of(part.start)
        if cycle is not None and isinstance(driver.trips, int) and storage is not None:
            for k, member in enumerate(cycle):
                array = cycle[(k + driver.trips) % len(cycle)].start
                if id(member) not in bound:
                    bound[id(member)] = array
                    if member in affected:
                        _put(array, contents[id(member)])
        elif part in affected:
            assert storage is not None
            unsettle(driver, storage, "an array that a loop writes into and binds anew")
    return bound


def shared_after(driver: LoopDriver, late: Sequence[Any]) -> tuple[set[int], list[Storage]]:
    """Return which arrays share their memory with others after the loop, and others of outside.

    The arrays are what carried parts (but those bound to an array of outside), variables without a
    value before (`late`) and appended values hold at the end of an iteration, each by the id of its
    storage.
    """
    region = driver.region
    assert region is not None
    carried = _carried(driver)
    owners = _owners(carried)
    known = isinstance(driver.trips, int)
    bound = {id(p) for _, p in carried if known and exchanged(p, carried, owners) is not None}
    leaves = [p.end for _, p in carried if id(p) not in bound] + list(late)
    for values in region.appended.values():
        leaves += [leaf for v in values for leaf in leaves_of(v, False)[1]]
    count: dict[int, int] = {id(storage_of(p.end)): 1 for _, p in carried if id(p) in bound}
    outside: list[Storage] = []
    for leaf in leaves:
        storage = storage_of(leaf)
        if storage is None:
            continue
        count[id(storage)] = count.get(id(storage), 0) + 1
        if id(storage) in owners:
            # In some iteration it may be what a variable was before the loop.
            count[id(storage)] += 1
            outside += [s for _, p in carried if (s := storage_of(p.start)) is not None]
        elif storage.trace is not region:
            count[id(storage)] += 1
            outside.append(storage)
        elif storage.unsettled is not None:
            count[id(storage)] += 1
    return {key for key, n in count.items() if n > 1}, outside


def _put(array: TracedArray, content: Any) -> None:
    storage = array._as_view().storage
    storage.put(content)
    if storage.written is None:
        from .source import current_location

        storage.written = current_location()


def unsettle(driver: Any, storage: Storage, what: str) -> None:
    """Let a later read or write of a storage trace the function anew, with the loop unrolled."""
    memo = driver.memo

    def refuse(is_write: bool) -> None:
        raise Restage(memo, f"{what} is {'written' if is_write else 'read'} after it")

    storage.unsettled = refuse


def _owners(carried: list[tuple[Variable, Part]]) -> dict[int, Part]:
    """Return the parts by the storage of what stands for them at the start of an iteration."""
    return {id(storage_of(p.given)): p for _, p in carried}


def share_start(driver: LoopDriver, part: Part, storage: Storage) -> None:
    """Note that after a loop that may not run at all an array may be the one of before.

    A write into it then is one into that array: where that is the caller's, it traces anew; where
    it is not, nobody may look at it any more.
    """
    begun = storage_of(part.start)
    if begun is None or storage.unsettled is not None:
        return
    why = "an array is written that a loop binds, if it runs at all"
    is_callers = is_given(begun) or begun.unsettled is not None

    def refuse(is_write: bool) -> None:
        if is_write and is_callers:
            raise Restage(driver.memo, why)
        if is_write:
            unsettle(driver, begun, "an array that may be another one, which is written,")

    refuse_writes(begun, driver.memo, why)
    storage.unsettled = refuse


def _carried(driver: LoopDriver) -> list[tuple[Variable, Part]]:
    every = [*driver.variables.values(), *[v for _, v in driver.cells.values()]]
    return [
        (v, p)
        for v in every
        if v.role is Role.CARRY
        for p in v.parts
        if p.given is not None and p.kind is Kind.ARRAY
    ]


def storage_of(value: Any) -> Storage | None:
    """Return the memory of a traced array, None for anything else."""
    if isinstance(value, TracedArray) and value._kind is Kind.ARRAY:
        return value._as_view().storage
    return None


__all__ = [
    "check_memory",
    "exchanged",
    "settle",
    "share_start",
    "shared_after",
    "storage_of",
    "unsettle",
]
