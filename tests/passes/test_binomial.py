"""The binomial schedule runs as few segments as any can, and has every state when it is due."""

from __future__ import annotations

from functools import cache

import pytest

from pullback.passes.binomial import advance, runs, schedule


@cache
def fewest(length: int, more: int) -> int:
    """Return the fewest runs by trying every place for the next kept state."""
    if length == 1:
        return 0
    if not more:
        return length * (length - 1) // 2
    return min(m + fewest(m, more) + fewest(length - m, more - 1) for m in range(1, length))


@pytest.mark.parametrize("more", [0, 1, 2, 3, 5, 9])
def test_it_is_the_optimum_of_all_schedules(more: int) -> None:
    for length in range(1, 50):
        assert runs(length, more) == fewest(length, more)
        if length > 1 and more:
            m = advance(length, more)
            assert m + fewest(m, more) + fewest(length - m, more - 1) == runs(length, more)


@pytest.mark.parametrize("rows", [2, 3, 5, 12, 80])
@pytest.mark.parametrize("segments", [1, 2, 3, 10, 77])
def test_the_tables_have_every_state_when_it_is_due(segments: int, rows: int) -> None:
    tables = schedule(segments, rows)
    held: dict[int, int] = {}  # what stands in each row
    for e in range(segments):
        held[tables.first[e]] = e
    for e in range(segments - 1, -1, -1):
        for a in range(tables.begin[e], tables.end[e]):
            assert 0 < tables.row[a] < rows
            assert held[tables.row[a] - 1] == tables.source[a] < tables.target[a]
            held[tables.row[a]] = tables.target[a]
        assert held[tables.own[e]] == e
    if segments > 1:
        assert tables.again + segments - 1 == runs(segments, rows - 2)
