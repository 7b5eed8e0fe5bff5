"""Proofs that reads and writes of an array in loops are apart, against running the loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pullback.ir.core import Eqn, Function, Literal
from pullback.ir.dims import Dim, Size, Symbol, substitute
from pullback.ir.ops.control import Loop
from pullback.passes.footprints import Access, Level, Tracker, is_untouched

N = 6


def loop(symbol: Symbol, *, ascends: bool | None = True) -> Level:
    body = Function("body", [], [], [], dims=(symbol,))
    ends = tuple([Literal(np.int64(k)) for k in (0, N, 1)])
    return Level(Eqn(Loop(body, 0, N), ends, ()), symbol, ascends)


def nest() -> tuple[Dim, Dim, list[Level]]:
    i = Symbol.between("i", 0, N - 1)
    j = Symbol.between("j", 0, Dim.of(i) - 1)
    return Dim.of(i), Dim.of(j), [loop(i), loop(j)]


def point(*places: Size) -> tuple[tuple[Size, Size], ...]:
    return tuple([(p, p) for p in places])


def access(writes: bool, part: object, path: list[Level], *order: int) -> Access:
    return Access(writes, part, tuple(path), tuple((n,) for n in order), None)  # type: ignore[arg-type]


ROW, COLUMN, (OUTER, INNER) = nest()
BOTH = [OUTER, INNER]

READS = {
    "the row up to j": access(False, ((ROW, ROW), (0, COLUMN - 1)), BOTH, 0, 0, 0),
    "the other row up to j": access(False, ((COLUMN, COLUMN), (0, COLUMN - 1)), BOTH, 0, 0, 0),
    "the diagonal": access(False, point(COLUMN, COLUMN), BOTH, 0, 0, 0),
    "itself": access(False, point(ROW, COLUMN), BOTH, 0, 0, 2),
    "the row up to i": access(False, ((ROW, ROW), (0, ROW - 1)), [OUTER], 0, 1),
    "the row before": access(False, ((ROW - 1, ROW - 1), None), [OUTER], 0, 1),
    "a whole row": access(False, ((ROW, ROW), None), [OUTER], 0, 1),
    "anything": access(False, None, [OUTER], 0, 1),
}
WRITES = {
    "i, j": access(True, point(ROW, COLUMN), BOTH, 0, 0, 1),
    "i, i": access(True, point(ROW, ROW), [OUTER], 0, 2),
    "the row after": access(True, ((ROW + 1, ROW + 1), (0, N)), [OUTER], 0, 2),
    "a column": access(True, (None, (COLUMN, COLUMN)), BOTH, 0, 0, 1),
    "the last row": access(True, ((N - 1, N - 1), None), [OUTER], 0, 2),
}


def runs(a: Access) -> list[tuple[tuple[int, ...], set[tuple[int, int]]]]:
    """Return when an access runs, as a sortable key, and which places it touches."""
    found = []
    for i, j in itertools.product(range(N), range(N)):
        if len(a.path) == 2 and j >= i:
            continue
        if len(a.path) == 1 and j:
            continue
        at: dict[Symbol, Size] = {OUTER.symbol: i, INNER.symbol: j}  # type: ignore[dict-item]
        orders = [n for (n,) in a.order]
        key = [orders[0], i, orders[1], *([j, orders[2]] if len(a.path) == 2 else [])]
        spans = []
        for interval in a.part or (None, None):
            low, high = (0, N) if interval is None else [substitute(d, at) for d in interval]
            spans.append(range(int(low), int(high) + 1))  # type: ignore[call-overload]
        found.append((tuple(key), set(itertools.product(*spans))))
    return found


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("read", READS)
def test_what_is_proved_holds(read: str, write: str, before: bool) -> None:
    touching = any(
        places & others
        for when, places in runs(READS[read])
        for then, others in runs(WRITES[write])
        if (then < when if before else then > when)
    )
    proved = is_untouched(READS[read], [WRITES[write]], before=before)
    assert not (proved and touching)
    # What a factorisation needs is proved.
    needed = {"the row up to j", "the other row up to j", "the diagonal", "the row up to i"}
    if not before and read in needed and write in ("i, j", "i, i") and not touching:
        assert proved


def test_a_loop_of_unknown_direction_proves_nothing_of_its_iterations() -> None:
    i = Symbol.between("i", 0, N - 1)
    for ascends in (True, None):
        path = [loop(i, ascends=ascends)]
        read = access(False, point(Dim.of(i) - 1), path, 0, 0)
        write = access(True, point(Dim.of(i)), path, 0, 1)
        assert is_untouched(read, [write], before=False) == (ascends is True)


def test_another_use_of_an_array_reads_all_of_it() -> None:
    from pullback.ir.parser import parse_function

    function = parse_function("""
def f(x: f64[5], k: i64) -> f64:
    y : f64[5] = index_update(x[2:4], 1.0)
    a : f64 = y[0]
    s : f64 = sum(y, axes=(-1,))
    r : f64 = s * a
    return r
""")
    tracker = Tracker()
    versions = tracker.body(function.eqns, function.params[0], (), (), {})
    assert len(versions) == 2
    assert [(a.writes, a.part) for a in tracker.accesses] == [
        (True, ((2, 3),)),
        (False, ((0, 0),)),
        (False, None),
    ]
