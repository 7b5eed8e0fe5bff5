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
from typing import TYPE_CHECKING, Any

from ..ir.builder import Builder
from ..ir.core import Atom, Literal, Value
from ..ir.dims import Dim, Size, Symbol
from ..ir.ops.dynamic import Extent
from .state import Trace, current
from .watching import Unstageable, Watch

if TYPE_CHECKING:
    from .storage import Storage


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

    __slots__ = (
        "appended",
        "carries_constants",
        "index",
        "overlays",
        "read_lists",
        "reported",
        "watch",
    )

    parent: Trace

    def __init__(self, parent: Trace, *, carries_constants: bool = False) -> None:
        super().__init__(Builder(), parent)
        self.builder.provenance = parent.builder.provenance
        self.fixed = parent.fixed
        self.overlays: dict[int, Overlay] = {}
        self.index: tuple[Symbol, Value] | None = None
        self.carries_constants = carries_constants
        self.watch = Watch()
        self.reported = len(parent.root.inputs.decisions)
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

    def abandon(self) -> None:
        """End it before its time, and undo what it did to containers."""
        self.__exit__()
        self.watch.restore()

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
        param = Value(content.type, content.hint, layout=content.layout)
        self.overlays[id(storage)] = Overlay(storage, content, param)
        storage.hold(param)

    def outside(self) -> dict[Atom, Atom]:
        """Return what stands outside for the parameters of contents."""
        return {o.param: o.outside for o in self.overlays.values() if o.param is not None}

    def written(self) -> list[tuple[Overlay, Atom]]:
        """Return the storages of outside that were written, each with its last content."""
        return [
            (o, o.storage.content)
            for o in self.overlays.values()
            if o.storage.content is not o.entry
        ]

    # -- containers of outside ---------------------------------------------------------------------

    def is_outside(self, container: Any) -> bool:
        """Whether a container was there before the region."""
        return self.watch.holds(container)

    def see(self, values: Sequence[Any]) -> None:
        """Note which lists of outside the region reads.

        Raises
        ------
        Unstageable
            Where it advances an iterator of outside.
        """
        self.watch.check_advanced(values)
        for value in values:
            if type(value) is list and self.watch.holds(value):
                self.read_lists.add(id(value))


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


def size_of_atom(atom: Atom) -> Size | None:
    """Return the size that a traced integer is, such as the index of a loop, None for others."""
    trace = current()
    while trace is not None and isinstance(atom, Value):
        if isinstance(trace, Region) and trace.index is not None and trace.index[1] is atom:
            return Dim.of(trace.index[0])
        eqn = trace.builder.producers.get(atom)
        if eqn is not None:
            return eqn.op.dim if isinstance(eqn.op, Extent) else None
        trace = trace.parent
    return None


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
    "is_in_loop",
    "is_inside",
    "region",
    "size_of_atom",
]
