"""What drivers of loops and branches share: a run of the user's code in a region, and its undoing.

A driver is an object that the rewritten function asks, before it runs a body, whether to run it and
with which values of the variables (`go`, `unpack`, `values`, `missing`), and that is entered around
the body (see `hooking`). The body is one piece of code in every mode: what cannot be staged is
undone, and the same code runs again with the values that it started from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ir.core import Atom, Eqn, Literal
from ..ir.errors import EscapedError, PullbackError
from ..ir.location import Location
from ..ir.types import Kind
from .array import TracedArray
from .functions.shape import cast, emit_reshape
from .regions import Region
from .size import TracedSize
from .source import current_location
from .state import current
from .storage import Storage
from .variables import MISSING

_PREFIX = "__pb_"


class Site(NamedTuple):
    """What the rewrite knows of a loop or branch.

    Attributes
    ----------
    names
        The variables that it assigns and that are read afterwards, in an iteration or after it.
    rebound
        Those of them that are assigned by more than `name op= value`.
    after
        Those that are read after it.
    targets
        The names that a `for` assigns.
    flag
        The variable that says, after an iteration, that the loop is left.
    """

    names: tuple[str, ...]
    rebound: tuple[str, ...]
    after: tuple[str, ...]
    targets: tuple[str, ...] = ()
    flag: str | None = None


class Restage(BaseException):
    """What was staged turns out to be wrong for what follows: trace anew, without staging it."""

    def __init__(self, memo: Memo, why: str) -> None:
        super().__init__(why)
        self.memo = memo
        self.why = why


class Recurring(Exception):
    """A recursive function is called of which it is not known yet what it returns.

    Of a branch the other side is taken, and a loop is left out, to find that (see `recursion`).
    """


class Memo:
    """What is known of a place in the source from earlier runs of it in this trace."""

    def __init__(self) -> None:
        self.failures = 0
        self.why = ""
        self.roles: dict[str, Any] = {}
        self.constants = False


LIMIT = 2
"""Failures after which a place is not tried again."""


class Driver:
    """The part that loops and branches share."""

    def __init__(self, site: Sequence[Any], place: Any) -> None:
        self.site = Site(*site)
        self.inner = f"{getattr(place[0], 'co_qualname', '')}.<locals>."
        """How the names of functions begin that the function itself has defined."""
        self.trace = current()
        self.location: Location | None = None
        self.unpack = False
        self.values: tuple[Any, ...] = ()
        self.missing: frozenset[str] = frozenset()
        self.region: Region | None = None
        self.failure: BaseException | None = None
        self.start: dict[str, Any] = {}
        self.memo = Memo()
        if self.trace is not None:
            self.location = current_location()
            self.memo = self.trace.root.inputs.memos.setdefault(place, self.memo)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> bool:
        region = self.region
        if region is None or error is None:
            return False
        self.close()
        self.failure = error
        return isinstance(error, Exception)

    # -- the variables -----------------------------------------------------------------------------

    def remember(self, names: Mapping[str, Any]) -> None:
        """Keep what the variables hold before the region."""
        self.start = {n: names.get(n, MISSING) for n in self.site.names}

    def assign(self, values: Mapping[str, Any]) -> None:
        """Let the user's code continue with these values of the variables."""
        found = [values.get(n, MISSING) for n in self.site.names]
        self.unpack = bool(found)
        self.values = tuple(found)
        self.missing = frozenset(
            n for n, v in zip(self.site.names, found, strict=True) if v is MISSING
        )

    # -- regions -----------------------------------------------------------------------------------

    def open(self, region: Region, names: Mapping[str, Any]) -> None:
        """Start a region; the containers that the user's code can reach are watched."""
        values = [v for n, v in {**names, **self.start}.items() if not n.startswith(_PREFIX)]
        own = {n: names.get(n, MISSING) for n in self.site.names}
        region.watch.hold(values, own, self.inner)
        self.failure = None
        self.region = region
        region.__enter__()

    def close(self, *, is_used: bool = False) -> None:
        """End the region and undo what it did to containers; unless it is used, its reports too."""
        region = self.region
        if region is not None:
            self.region = None
            region.__exit__()
            region.watch.restore()
            if not is_used:
                del region.root.inputs.decisions[region.reported :]

    def report(self, what: str, why: str = "") -> None:
        """Note what became of the place, for `explain`."""
        if self.trace is not None and self.location is not None:
            self.trace.root.inputs.report(self.location, what, why)


def reason(error: BaseException | None) -> str:
    """Return in one line why something could not be staged."""
    if error is None:
        return ""
    if isinstance(error, EscapedError):
        return "a value of one iteration or branch is kept outside of it"
    text = str(error).strip()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    shown = lines[0].partition(", but ")[0] if lines else type(error).__name__
    return shown if isinstance(error, PullbackError) else f"{type(error).__name__}: {shown}"


def truth(value: Any) -> Any:
    """Return the truth of a value as a traced bool without axes, or a bool where it is known.

    Raises
    ------
    ValueError
        As NumPy, for an array of several elements.
    """
    if not isinstance(value, TracedArray) or isinstance(value._atom, Literal):
        return bool(value)
    if isinstance(value, TracedSize):
        value = value != 0
        if not isinstance(value, TracedArray):
            return bool(value)
    if value.shape:
        if value.size != 1:
            raise ValueError(
                "The truth value of an array with more than one element is ambiguous. Use a.any() "
                "or a.all()"
            )
        value = emit_reshape(value, [])
    found = cast(value, np.bool_)
    return TracedArray(found._atom, Kind.PYTHON, found._trace)


def refuse_writes(storage: Storage, memo: Memo, why: str) -> None:
    """Let a later write into a storage trace anew, without what has been staged.

    In plain NumPy another array shares its memory; here each has a value of its own.
    """
    before = storage.unsettled

    def refuse(is_write: bool) -> None:
        if before is not None:
            before(is_write)
        if is_write:
            raise Restage(memo, why)

    storage.unsettled = refuse


def used_values(eqns: Sequence[Eqn]) -> set[Atom]:
    """Return what equations read."""
    return {a for e in eqns for a in e.operands}


def replaced(eqns: Sequence[Eqn], scope: Mapping[Atom, Atom]) -> list[Eqn]:
    """Return equations with operands replaced."""
    if not scope:
        return list(eqns)
    return [
        Eqn(e.op, tuple([scope.get(a, a) for a in e.operands]), e.results, e.provenance)
        for e in eqns
    ]


__all__ = [
    "LIMIT",
    "Driver",
    "Memo",
    "Recurring",
    "Restage",
    "Site",
    "reason",
    "refuse_writes",
    "replaced",
    "truth",
    "used_values",
]
