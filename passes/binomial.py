"""The binomial schedule: which states to keep when there is memory for only a few.

To reverse l segments from a kept state, with c more that may be kept, one runs m segments on, keeps
the state there, reverses the l - m behind it, and then the m before it. The fewest runs in all are
t(l, c) = r l - binomial(s + r, r - 1), where s = c + 1 and r is the least number with
binomial(s + r, s) >= l; `advance` returns an m that attains it (Griewank and Walther 2000,
"Algorithm 799: Revolve", ACM Transactions on Mathematical Software 26).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import comb


def repeats(length: int, more: int) -> int:
    """Return how often a segment runs at most, with `more` states to keep beside the first."""
    count = 0
    while comb(more + 1 + count, count) < length:
        count += 1
    return count


def runs(length: int, more: int) -> int:
    """Return the fewest runs of segments to have each state in turn, the last one first."""
    count = repeats(length, more)
    return count * length - comb(more + 1 + count, count - 1) if count else 0


@cache
def advance(length: int, more: int) -> int:
    """Return how far to run before the next state is kept."""
    if not more:
        return length - 1
    count, own = repeats(length, more), more + 1
    least = max(comb(own + count - 2, own) if count > 1 else 1, length - comb(more + count, more))
    return max(1, min(least, length - 1))


@dataclass(frozen=True)
class Schedule:
    """What a reversed loop of segments does, by tables.

    `first` says for each segment in which row its state is kept as the forward loop passes, the
    last row being for what is not kept. Before segment e is reversed, the actions from `begin[e]`
    to `end[e]` run: from the state of segment `source`, which stands in the row before `row`, to
    that of `target`, which is put there. Its own state then stands in row `own[e]`.
    """

    first: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]
    own: tuple[int, ...]
    source: tuple[int, ...]
    target: tuple[int, ...]
    row: tuple[int, ...]

    @property
    def again(self) -> int:
        """How many segments run again to have their states, without those being reversed."""
        return sum(self.target) - sum(self.source)


def schedule(segments: int, rows: int) -> Schedule:
    """Return the tables for so many segments and rows, one of which is scratch."""
    scratch = rows - 1
    kept = [0]  # the segments whose states stand in the rows 0, 1, ...
    first = [scratch] * segments
    begin, end, own = [0] * segments, [0] * segments, [0] * segments
    actions: list[tuple[int, int, int]] = []
    for e in range(segments - 1, -1, -1):
        begin[e] = len(actions)
        while kept[-1] < e:
            start = kept[-1]
            more = scratch - len(kept)
            target = start + advance(e - start + 1, more)
            actions.append((start, target, len(kept)))
            kept.append(target)
        end[e] = len(actions)
        own[e] = len(kept) - 1
        if e == segments - 1:  # the forward loop has been there
            for row, segment in enumerate(kept):
                first[segment] = row
            actions.clear()
            begin[e] = end[e] = 0
        kept.pop()
    source, target_of, row_of = zip(*actions, strict=True) if actions else ((0,), (0,), (1,))
    return Schedule(tuple(first), tuple(begin), tuple(end), tuple(own), source, target_of, row_of)


__all__ = ["Schedule", "advance", "repeats", "runs", "schedule"]
