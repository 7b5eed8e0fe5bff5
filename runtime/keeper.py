"""Which programs are there, and which of them have memory that nobody has used for a while.

A program keeps workspaces and memory of dropped results for its next call. `release` drops those of
all programs. `look` drops those of programs that have not run since the look before, at most one in
`pause` seconds; programs call it when they are made and now and then when they run, so that there
is no thread and no timer. A process that calls no program at all keeps what the last ones used.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

PAUSE = 30.0
"""Seconds between looks: memory is dropped after 30 to 60 seconds without use."""


class Keeping(Protocol):
    """A program: `uses` changes whenever it runs."""

    uses: int

    def release(self) -> None:
        """Drop the memory that is kept for the next calls."""
        ...


class Keeper:
    """The programs of a process, as long as they live."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, pause: float = PAUSE) -> None:
        self._clock = clock
        self._pause = pause
        self._lock = threading.Lock()
        self._next = clock() + pause
        self._known: dict[int, tuple[weakref.ref[Keeping], int]] = {}

    def add(self, program: Keeping) -> None:
        """Note a program that has been made."""
        key = id(program)

        def forget(gone: weakref.ref[Keeping]) -> None:
            # No lock: a program may go at any point, also while this thread holds it.
            if self._known.get(key, (None,))[0] is gone:
                self._known.pop(key, None)

        self._known[key] = weakref.ref(program, forget), -1
        self.look()

    def programs(self) -> list[Keeping]:
        """Return the programs that there are."""
        found = [ref() for ref, _ in list(self._known.values())]
        return [program for program in found if program is not None]

    def release(self) -> None:
        """Drop the memory that programs keep for their next calls."""
        for program in self.programs():
            program.release()

    def look(self) -> None:
        """Drop the memory of programs that have not run since the last look, if it is time."""
        if self._clock() < self._next or not self._lock.acquire(blocking=False):
            return
        try:
            self._next = self._clock() + self._pause
            for key, (ref, uses) in list(self._known.items()):
                program = ref()
                if program is None:
                    continue
                if program.uses == uses:
                    program.release()
                else:
                    self._known[key] = ref, program.uses
        finally:
            self._lock.release()


KEEPER = Keeper()


def release() -> None:
    """Give back the memory that compiled functions keep for their next calls.

    They keep the workspace of a call, and the memory of large results that have been dropped. The
    next call makes them anew. Results that are held stay as they are, and calls that run in other
    threads go on with what they have. Memory that has not been used for a minute goes by itself
    when other compiled functions run.

    Examples
    --------
    >>> import pullback as pb
    >>> pb.release()
    """
    KEEPER.release()


__all__ = ["KEEPER", "Keeper", "release"]
