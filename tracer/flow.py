"""The control flow of a function as a tree, in which variables are bits of an int.

`before` goes backward: which names are read before they are bound again. `after` goes forward:
which names are certainly bound. On the way both note what they find at loops and branches.

A loop is gone through once to find what is live at its head: its body turns a set `x` into
`gen | (x & keep)`, and applying that twice adds nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import NamedTuple, Protocol

EVERYTHING = -1


class Exits(NamedTuple):
    """What is live where control may go from a block, other than to its end."""

    breaks: int = 0
    continues: int = 0
    returns: int = 0
    raises: int = 0


class Notes:
    """What was found at one loop or branch."""

    __slots__ = ("assigned", "defined", "head", "live_after", "node", "rebound")

    def __init__(self, node: ast.stmt) -> None:
        self.node = node
        self.assigned = self.rebound = 0
        self.head = self.live_after = 0
        self.defined = 0


class Part(Protocol):
    """A statement, or a run of them without branches."""

    def before(self, live: int, exits: Exits, noting: bool) -> int: ...

    def after(self, defined: int, gone: int) -> int: ...


Block = Sequence[Part]


def before(block: Block, live: int, exits: Exits, noting: bool) -> int:
    """Return what is live before `block`, where `live` is live after it."""
    for part in reversed(block):
        live = part.before(live, exits, noting)
    return live


def after(block: Block, defined: int, gone: int) -> int:
    """Return what is bound after `block`, where `defined` is before it.

    What may be deleted anywhere in the function, `gone`, counts as unbound where paths meet that
    are not followed one by one.
    """
    for part in block:
        defined = part.after(defined, gone)
    return defined


class Straight:
    """Reads `gen`, binds or deletes `kill`, and leaves `gone` deleted."""

    __slots__ = ("gen", "gone", "kill")

    def __init__(self, gen: int = 0, kill: int = 0, gone: int = 0) -> None:
        self.gen = gen
        self.kill = kill
        self.gone = gone

    def then(self, gen: int, kill: int, gone: int = 0) -> None:
        """Add what comes next."""
        self.gen |= gen & ~self.kill
        self.kill |= kill
        self.gone = (self.gone & ~kill) | gone

    def before(self, live: int, exits: Exits, noting: bool) -> int:
        return self.gen | (live & ~self.kill) | exits.raises

    def after(self, defined: int, gone: int) -> int:
        return (defined | self.kill) & ~self.gone


class Exit:
    """Leaves the block; `kind` is the field of `Exits` that says where to."""

    __slots__ = ("kind",)

    def __init__(self, kind: int) -> None:
        self.kind = kind

    def before(self, live: int, exits: Exits, noting: bool) -> int:
        return exits[self.kind] | exits.raises

    def after(self, defined: int, gone: int) -> int:
        return EVERYTHING


class Branch:
    """An `if`."""

    __slots__ = ("_body", "_notes", "_orelse", "_test")

    def __init__(self, notes: Notes, test: Straight, body: Block, orelse: Block) -> None:
        self._notes = notes
        self._test = test
        self._body = body
        self._orelse = orelse

    def before(self, live: int, exits: Exits, noting: bool) -> int:
        head = before(self._body, live, exits, noting) | before(self._orelse, live, exits, noting)
        if noting:
            self._notes.head = head
            self._notes.live_after = live
        return self._test.before(head, exits, noting)

    def after(self, defined: int, gone: int) -> int:
        self._notes.defined = defined
        defined = self._test.after(defined, gone)
        return after(self._body, defined, gone) & after(self._orelse, defined, gone)


class Loop:
    """A `for`, of which `entry` is the iterable and `bound` the target, or a `while`.

    Parameters
    ----------
    test
        What is evaluated at the head.
    flag
        The bit of the variable that stops the loop, looked at before the test; 0 for none.
    ends
        Whether the loop may end by itself.
    """

    __slots__ = ("_body", "_bound", "_ends", "_entry", "_flag", "_notes", "_orelse", "_test")

    def __init__(
        self,
        notes: Notes,
        entry: Straight,
        test: Straight,
        bound: Straight,
        body: Block,
        orelse: Block,
        flag: int,
        ends: bool,
    ) -> None:
        self._notes = notes
        self._entry = entry
        self._test = test
        self._bound = bound
        self._body = body
        self._orelse = orelse
        self._flag = flag
        self._ends = ends

    def _head(self, body: int, end: int, flagged: int, exits: Exits) -> int:
        inside = self._bound.before(body, exits, False)
        return flagged | self._test.before(inside | end, exits, False)

    def before(self, live: int, exits: Exits, noting: bool) -> int:
        end = before(self._orelse, live, exits, noting) if self._ends else 0
        flagged = self._flag | live if self._flag else 0
        head = self._head(0, end, flagged, exits)
        inside = exits._replace(breaks=live, continues=head)
        head = self._head(before(self._body, head, inside, False), end, flagged, exits)
        if noting:
            before(self._body, head, inside._replace(continues=head), True)
            if not self._ends:
                before(self._orelse, live, exits, True)
            self._notes.head = head
            self._notes.live_after = live
        return self._entry.before(head, exits, noting)

    def after(self, defined: int, gone: int) -> int:
        self._notes.defined = defined
        defined = self._test.after(self._entry.after(defined, gone) & ~gone, gone)
        after(self._body, self._bound.after(defined, gone), gone)
        return after(self._orelse, defined, gone) & defined


class Guarded:
    """A `with` that may swallow what its body raises."""

    __slots__ = ("_body",)

    def __init__(self, body: Block) -> None:
        self._body = body

    def before(self, live: int, exits: Exits, noting: bool) -> int:
        return before(self._body, live, exits._replace(raises=exits.raises | live), noting)

    def after(self, defined: int, gone: int) -> int:
        return after(self._body, defined, gone) & defined & ~gone


class Try:
    """A `try`; each handler is a block that binds and unbinds its own name.

    What raises may be anything in the body, so that a name which is read afterwards is live all
    through it. What is read in or after `finally` is live wherever control may leave from.
    """

    __slots__ = ("_body", "_final", "_handlers", "_orelse")

    def __init__(self, body: Block, handlers: Sequence[Block], orelse: Block, final: Block) -> None:
        self._body = body
        self._handlers = handlers
        self._orelse = orelse
        self._final = final

    def before(self, live: int, exits: Exits, noting: bool) -> int:
        if self._final:
            anywhere = live
            for away in exits:
                anywhere |= away
            live = before(self._final, anywhere, exits, noting)
            exits = Exits(live, live, live, live)
        caught = exits.raises
        for handler in self._handlers:
            caught |= before(handler, live, exits, noting)
        live = before(self._orelse, live, exits, noting)
        return before(self._body, live, exits._replace(raises=caught), noting)

    def after(self, defined: int, gone: int) -> int:
        start = defined & ~gone
        defined = after(self._orelse, after(self._body, defined, gone), gone)
        for handler in self._handlers:
            defined &= after(handler, start, gone)
        if self._final:
            # What is noted inside holds for all ways there: the last one to note is the least.
            result = after(self._final, defined, gone)
            after(self._final, start & defined, gone)
            return result
        return defined


class Case(NamedTuple):
    """One case of a `match`: its pattern, the names that it captures, its guard and body."""

    pattern: int
    captures: int
    guard: Straight
    body: Block


class Match:
    """A `match`, the subject aside."""

    __slots__ = ("_cases",)

    def __init__(self, cases: Sequence[Case]) -> None:
        self._cases = cases

    def before(self, live: int, exits: Exits, noting: bool) -> int:
        next_case = live
        for case in reversed(self._cases):
            inside = before(case.body, live, exits, noting)
            inside = case.guard.before(inside, exits, noting)
            next_case |= case.pattern | (inside & ~case.captures)
        return next_case

    def after(self, defined: int, gone: int) -> int:
        result = defined
        for case in self._cases:
            entry = case.guard.after(defined | case.captures, gone)
            result &= after(case.body, entry, gone)
        return result
