"""The slots of a workspace: which values take turns in one piece of memory.

Each value asks for memory at one equation and gives it back after another. Values of one size share
slots as their times allow, the slot that was freed last first, since it is in the cache. A value
that would need a slot more goes into a larger one that is free all the time it lives.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Sequence

SMALLEST = 4096
"""Bytes of a value from which on it may stand in a larger slot."""
TRIED = 20_000
"""Larger slots looked at for all values together, besides 8 for each."""


class Slots:
    """Requests for memory, in the order in which a program runs, and how slots meet them."""

    def __init__(self) -> None:
        self.now = 0
        self.sizes: list[int] = []
        self.starts: list[int] = []
        self.ends: list[int | None] = []

    def take(self, nbytes: int) -> int:
        """Return the number of a new request."""
        self.sizes.append(nbytes)
        self.starts.append(self.now)
        self.ends.append(None)
        return len(self.sizes) - 1

    def give_back(self, request: int) -> None:
        """Note that the memory of a request is free after this equation."""
        self.ends[request] = self.now

    def assigned(self) -> tuple[list[int], list[int]]:
        """Return the slot of each request, and the bytes of each slot."""
        spans = [
            (start, self.now if end is None else end)
            for start, end in zip(self.starts, self.ends, strict=True)
        ]
        classes: dict[int, list[int]] = {}
        for request, nbytes in enumerate(self.sizes):
            classes.setdefault(nbytes, []).append(request)
        packing = _Packing(spans, 8 + TRIED // max(len(spans), 1))
        for nbytes in sorted(classes, reverse=True):
            packing.place(nbytes, classes[nbytes])
        return [packing.slot_of[request] for request in range(len(spans))], packing.sizes


class _Packing:
    """Slots by decreasing size, each with the times at which it is taken."""

    def __init__(self, spans: Sequence[tuple[int, int]], tried: int) -> None:
        self.spans = spans
        self.tried = tried
        self.sizes: list[int] = []
        self.taken: list[list[tuple[int, int]]] = []
        self.slot_of: dict[int, int] = {}

    def place(self, nbytes: int, requests: Sequence[int]) -> None:
        """Place requests of one size, in the order of their starts."""
        larger = range(len(self.sizes) - 1, max(len(self.sizes) - 1 - self.tried, -1), -1)
        running: list[tuple[int, int]] = []
        free: list[int] = []
        for request in requests:
            start, end = self.spans[request]
            while running and running[0][0] < start:
                free.append(heapq.heappop(running)[1])
            if free:
                slot = free.pop()
            else:
                gaps = larger if nbytes >= SMALLEST else ()
                found = next((s for s in gaps if self.is_free(s, start, end)), None)
                if found is not None:
                    self.take(found, request)
                    continue
                slot = len(self.sizes)
                self.sizes.append(nbytes)
                self.taken.append([])
            heapq.heappush(running, (end, slot))
            self.take(slot, request)

    def is_free(self, slot: int, start: int, end: int) -> bool:
        """Whether nothing is in a slot from `start` to `end`, both included."""
        taken = self.taken[slot]
        at = bisect_left(taken, (start, -1))
        if at < len(taken) and taken[at][0] <= end:
            return False
        return at == 0 or taken[at - 1][1] < start

    def take(self, slot: int, request: int) -> None:
        span = self.spans[request]
        taken = self.taken[slot]
        taken.insert(bisect_left(taken, span), span)
        self.slot_of[request] = slot


__all__ = ["Slots"]
