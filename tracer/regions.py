"""Regions under way: the body of a loop or a branch, traced into a function of its own.

The user's code runs as it stands while a region is traced. What it reads from outside becomes a
captured value when the region is closed. Memory needs more: an array of outside that is read in a
region may be written further on, and a loop's next iteration then reads what was written. So the
first touch of a storage lets a parameter of the region stand for its content, in each region that
lies between; at the end the content is what it was. A content that was not written is captured, one
that was is carried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..ir.builder import Builder
from ..ir.core import Atom, Literal, Value
from ..ir.dims import Symbol
from ..ir.errors import UnsupportedError
from .state import Trace, current

if TYPE_CHECKING:
    from .storage import Storage


class Unstageable(UnsupportedError):
    """Code that cannot become a region: the loop is unrolled, the branch chosen."""


class Held(NamedTuple):
    """A container of outside, and what it held at the start of a region."""

    container: Any
    items: list[Any]
    keys: list[Any] | None


@dataclass
class Overlay:
    """What a region sees in the place of a storage's content.

    `param` is None where the content is a constant, which stays known.
    """

    storage: Storage
    outside: Atom
    param: Value | None

    @property
    def entry(self) -> Atom:
        """The content at the start of the region."""
        return self.outside if self.param is None else self.param


class Region(Trace):
    """One run of a body or branch.

    `index` are a loop's index symbol and its parameter. `fixed_constants` says that constants of
    outside stay known: false in a loop that writes into them.
    """

    __slots__ = ("appended", "carries_constants", "held", "index", "overlays", "read_lists")

    parent: Trace

    def __init__(self, parent: Trace, *, carries_constants: bool = False) -> None:
        super().__init__(Builder(), parent)
        self.builder.provenance = parent.builder.provenance
        self.fixed = parent.fixed
        self.overlays: dict[int, Overlay] = {}
        self.index: tuple[Symbol, Value] | None = None
        self.carries_constants = carries_constants
        self.held: dict[int, Held] = {}
        self.appended: dict[int, list[Any]] = {}
        self.read_lists: set[int] = set()

    def __enter__(self) -> Region:
        super().__enter__()
        outer: Trace | None = self.parent
        while outer is not None:
            outer.region = self
            outer = outer.parent
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        innermost: Region | None = None
        outer: Trace | None = self.parent
        while outer is not None:
            outer.region = innermost
            if innermost is None and isinstance(outer, Region):
                innermost = outer
            outer = outer.parent
        for overlay in self.overlays.values():
            overlay.storage.hold(overlay.outside)

    # -- memory of outside -------------------------------------------------------------------------

    def touch(self, storage: Storage) -> None:
        """Let a parameter stand for the content of a storage of outside."""
        if id(storage) in self.overlays:
            return
        outer: Trace | None = self.parent
        while outer is not None and outer is not storage.trace:
            if isinstance(outer, Region):
                outer.touch(storage)
                break
            outer = outer.parent
        content = storage.content
        if isinstance(content, Literal) and not self.carries_constants:
            self.overlays[id(storage)] = Overlay(storage, content, None)
            return
        param = Value(content.type, getattr(content, "hint", None), layout=content.layout)
        self.overlays[id(storage)] = Overlay(storage, content, param)
        storage.hold(param)

    def written(self) -> list[tuple[Overlay, Atom]]:
        """Return the storages of outside that were written, each with its last content."""
        return [
            (o, o.storage.content)
            for o in self.overlays.values()
            if o.storage.content is not o.entry
        ]

    # -- containers of outside ---------------------------------------------------------------------

    def hold(self, values: Sequence[Any]) -> None:
        """Remember what the containers among values hold, to notice what the region changes.

        Raises
        ------
        Unstageable
            Where there is too much to look at.
        """
        left = [_CONTAINER_LIMIT]

        def visit(value: Any) -> None:
            content = content_of(value)
            if content is None or id(value) in self.held:
                return
            items = [*content.values()] if isinstance(content, dict) else [*content]
            left[0] -= len(items) + 1
            if left[0] < 0:
                raise Unstageable("the containers around it are too large to be watched")
            keys = [*content] if isinstance(content, dict) else None
            self.held[id(value)] = Held(value, items, keys)
            for item in items:
                visit(item)

        for value in values:
            visit(value)

    def is_outside(self, container: Any) -> bool:
        """Whether a container was there before the region."""
        known = self.held.get(id(container))
        return known is not None and known.container is container

    def see(self, values: Sequence[Any]) -> None:
        """Note which lists of outside the region reads."""
        for value in values:
            if type(value) is list and id(value) in self.held:
                self.read_lists.add(id(value))

    def changes(self) -> list[tuple[Any, Any]]:
        """Return the elements of containers that the region has replaced: container and key.

        Raises
        ------
        Unstageable
            Where a container has more or fewer elements than before.
        """
        found: list[tuple[Any, Any]] = []
        for container, items, keys in self.held.values():
            if type(container) is tuple:
                continue
            content = content_of(container)
            now = [*content.values()] if keys is not None else [*content]
            same_keys = len(now) == len(items) and (keys is None or keys == [*content])
            if not same_keys or (type(container) is set and set(now) != set(items)):
                raise Unstageable(f"a {type(container).__name__} changes its size in it")
            places = range(len(items)) if keys is None else keys
            found += [
                (content, k)
                for k, old, new in zip(places, items, now, strict=True)
                if new is not old
            ]
        return found

    def restore(self) -> None:
        """Give the containers of outside their content back."""
        for container, items, keys in self.held.values():
            content = content_of(container)
            if type(container) is tuple:
                continue
            if keys is not None:
                content.clear()
                content.update(zip(keys, items, strict=True))
            elif type(content) is set:
                content.clear()
                content.update(items)
            else:
                content.clear()
                content.extend(items)


_CONTAINER_LIMIT = 20_000


def content_of(value: Any) -> Any:
    """Return what a container or an object holds: its elements, or its attributes by name."""
    kind = type(value)
    if kind in (list, dict) or (kind is set) or kind.__name__ == "deque":
        return value
    if kind is tuple:
        return value
    if kind.__module__ in ("builtins", "numpy", "types") or isinstance(value, type):
        return None
    if kind.__module__.partition(".")[0] == __name__.partition(".")[0]:
        return None
    found = getattr(value, "__dict__", None)
    return found if type(found) is dict else None


def is_inside(trace: Trace, outer: Trace) -> bool:
    """Whether a trace is another, or a region of it (of regions, at any depth)."""
    inner: Trace | None = trace
    while inner is not outer:
        if not isinstance(inner, Region):
            return False
        inner = inner.parent
    return True


def is_in_loop(trace: Trace | None) -> bool:
    """Whether a trace is in the body of a loop that is being staged."""
    while isinstance(trace, Region):
        if trace.index is not None:
            return True
        trace = trace.parent
    return False


def append(target: list[Any], value: Any) -> None:
    """Append to a list: where it is from outside of the region under way, once that is closed."""
    inner = region()
    if inner is not None and inner.is_outside(target):
        inner.appended.setdefault(id(target), []).append(value)
    else:
        target.append(value)


def region() -> Region | None:
    """Return the region under way, if the innermost trace is one."""
    trace = current()
    return trace if isinstance(trace, Region) else None


__all__ = [
    "Overlay",
    "Region",
    "Unstageable",
    "append",
    "content_of",
    "is_in_loop",
    "is_inside",
    "region",
]
