"""Whether the memory of carried arrays may be told apart: rebinding together with writes.

A carried array is a value that the loop owns. Where an iteration writes into it, plain NumPy writes
into the very array that the name was bound to, which others may see. It is right to stage where

* the names of written arrays are exchanged among themselves (`u, v = v, u`): then each array is
  known after a known number of trips;
* the arrays at the start were made by an iteration that ran by itself before: then nobody else has
  them, and what they hold after the loop is not known, which a later read or write finds out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..ir.types import Kind
from .array import TracedArray
from .driving import Restage
from .regions import Unstageable
from .storage import Storage
from .variables import Part, Peel, Retry, Role, Variable

if TYPE_CHECKING:
    from .loop_driver import LoopDriver


def check_memory(driver: LoopDriver) -> None:
    """Raise where a loop, staged, would not do what plain NumPy does with its arrays.

    Raises
    ------
    Retry, Peel, Unstageable
    """
    region = driver.region
    assert region is not None
    carried = _carried(driver)
    owners: dict[int, Part] = {}
    for _, part in carried:
        given = part.given
        assert given is not None
        if given._view is not None:
            owners[id(given._view.storage)] = part
    written = [(v, p) for v, p in carried if p.is_written]
    seen: dict[int, Variable] = {}
    for variable, part in carried:
        storage = _storage(part.end)
        if storage is None:
            continue
        overlay = region.overlays.get(id(storage))
        if overlay is not None and storage.content is not overlay.entry:
            raise Unstageable(
                f"`{variable.label}` shares memory with an array that the loop writes into"
            )
        other = seen.get(id(storage))
        owner = owners.get(id(storage))
        is_written = owner is not None and owner.is_written
        if other is not None and (written or storage.is_changed):
            raise Unstageable(f"`{other.label}` and `{variable.label}` end as one array")
        seen[id(storage)] = variable
        if is_written and part.end._view.steps:
            raise Unstageable(f"`{variable.label}` is a part of an array that the loop writes into")
        if is_written and owner is part and part.end is part.given:
            # Never rebound: the array of outside itself is written.
            variable.role = Role.SAME
            raise Retry
    for variable, part in written:
        _check_written(driver, variable, part, carried, owners)


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
    sharing = [
        v.label
        for v, p in carried
        if p is not part and isinstance(p.start, TracedArray) and _storage(p.start) is view.storage
    ]
    if sharing:
        raise Unstageable(f"`{variable.label}` and `{sharing[0]}` start as one array")
    cycle = exchanged(part, carried, owners)
    if cycle is None and driver.peeled == 0:
        raise Peel
    assert driver.trace is not None
    if view.storage.param in driver.trace.root.builder.params and (
        cycle is None or not isinstance(driver.trips, int)
    ):
        raise Unstageable(f"`{variable.label}` is an array of the caller, written and bound anew")


def exchanged(
    part: Part, carried: list[tuple[Variable, Part]], owners: dict[int, Part]
) -> list[Part] | None:
    """Return the cycle of parts whose arrays an iteration exchanges, None where it is none.

    After an iteration the first part is bound to the array of the second, and so on.
    """
    cycle = [part]
    while True:
        storage = _storage(cycle[-1].end)
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
    owners = {
        id(p.given._view.storage): p
        for _, p in carried
        if p.given is not None and p.given._view is not None
    }
    bound: dict[int, Any] = {}
    for _, part in carried:
        if not part.is_written:
            continue
        cycle = exchanged(part, carried, owners)
        storage = _storage(part.start)
        assert storage is not None
        if cycle is not None and isinstance(driver.trips, int):
            for k, member in enumerate(cycle):
                array = cycle[(k + driver.trips) % len(cycle)].start
                if id(member) not in bound:
                    bound[id(member)] = array
                    _put(array, contents[id(member)])
        else:
            unsettle(driver, storage, "an array that a loop writes into and binds anew")
    return bound


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


def _carried(driver: LoopDriver) -> list[tuple[Variable, Part]]:
    every = [*driver.variables.values(), *[v for _, v in driver.cells.values()]]
    return [
        (v, p)
        for v in every
        if v.role is Role.CARRY
        for p in v.parts
        if p.given is not None and p.kind is Kind.ARRAY
    ]


def _storage(value: Any) -> Storage | None:
    if isinstance(value, TracedArray) and value._kind is Kind.ARRAY and value._view is not None:
        return value._view.storage
    return None


__all__ = ["check_memory", "exchanged", "settle", "unsettle"]
