"""Which values to keep and which to compute again, at a price for a byte: a minimum cut.

Each value of the forward part has two nodes: `there` (the backward part can read it) and `again`
(it is computed again for that). A value that is there and not computed again costs its bytes at
their price; one that is computed again costs its time, and what it is computed from must be there.
What the backward part reads must be there. The nodes on the source's side of a minimum cut are
those that hold, and the cut is the cheapest choice, exactly.

Between segments, what later equations of the forward part read is kept, and the rest is computed
again, a segment at a time: of n equal layers some √n are kept and √n computed again at once.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from ..ir.core import Value
from .straight_line import Line, seconds

_UNIT = 1e-9
"""Capacities are whole numbers of this many seconds: sums of floats never quite meet."""


def cheapest(line: Line, price: float, kept: Container[Value] = frozenset()) -> frozenset[Value]:
    """Return the values to compute again, where keeping a byte costs so many seconds.

    What is in `kept` is there for nothing.
    """
    import networkx as nx  # 0.1 s, so only where there is a budget

    graph: Any = nx.DiGraph()
    source, sink = "source", "sink"
    graph.add_node(source)
    graph.add_node(sink)
    for value in line.read:
        graph.add_edge(source, (value, 0))
    for value, eqn in line.makers.items():
        if value in kept or value in line.results:
            continue
        if eqn.op.is_view:
            keep: int | None = None  # its memory is that of another value
        else:
            keep = round(price * value.type.nbytes / _UNIT)
        if value not in line.droppable:
            graph.add_edge((value, 0), sink, capacity=keep or 0)
            continue
        if keep is None:
            graph.add_edge((value, 0), (value, 1))
        else:
            graph.add_edge((value, 0), (value, 1), capacity=keep)
        graph.add_edge((value, 1), sink, capacity=1 + round(seconds(eqn) / _UNIT))
        for operand in eqn.operands:
            if operand in line.makers:
                graph.add_edge((value, 1), (operand, 0))
    _, (holds, _) = nx.minimum_cut(
        graph, source, sink, flow_func=nx.algorithms.flow.boykov_kolmogorov
    )
    return frozenset(v for v in line.droppable if (v, 1) in holds)


def starts(line: Line, count: int, end: int) -> list[int]:
    """Return where to cut the first `end` equations of the forward part into `count` segments.

    Segments hold about equally many bytes that the backward part reads. Near an even border, the
    cut is where the fewest bytes are read behind it. The last one is at `end`.
    """
    filled = line.filled
    whole = filled[end]
    found: list[int] = []
    for k in range(1, count):
        low, middle, high = ((k + d) * whole / count for d in (-0.5, 0.0, 0.5))
        near = [p for p in line.between(low, high) if (found[-1] if found else 0) < p < end]
        if near:
            found.append(min(near, key=lambda p: (line.crossing[p], abs(filled[p] - middle))))
    return [*found, end]


def in_segments(line: Line, count: int, end: int) -> tuple[frozenset[Value], frozenset[Value]]:
    """Return what is computed again where the first `end` equations are cut, and what is kept.

    What crosses a border is kept, and so is everything behind the last one.
    """
    kept: set[Value] = set()
    for place in starts(line, count, end):
        kept.update(line.crossing_at(place))
    inside = frozenset(v for v in line.droppable if line.place[v] < end and v not in kept)
    return inside, frozenset(kept)


__all__ = ["cheapest", "in_segments", "starts"]
